//! What a log asserted of its lists, held against its entries (`specs/evidence.md`): evidence is complete by the log's
//! word, and whoever reads the whole log finds out whether that is true.
//!
//! What is false is kept as a finding (`specs/finding.md`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use attestation::entry::Entry;
use attestation::evidence::{Evidence, Proven};
use attestation::finding::{FalseAssertion, Finding, Proof, ProvenLeaf};
use attestation::lists::{ListKey, Listed, lists_of};
use tlog::LeafIndex;
use tlog::merkle::inclusion;
use tlog::policy::Policy;
use tlog::tile::TileHashReader;

use crate::clock;
use crate::contact::Inquiry;
use crate::policy_file::findings;
use crate::policy_file::pins::{Pin, Seen};
use crate::report::{Failure, Result};
use crate::word::current::{self, Shown};
use crate::word::evidence::Claimed;

/// Evidence, and what is false in it as far as the log was read.
pub(crate) struct Asserted {
    evidence: Evidence,
    proven: Proven,
    /// What the lists have of the entries that are still to come.
    to_come: BTreeMap<LeafIndex, Vec<(ListKey, Listed)>>,
    lie: Option<Lie>,
}

/// A list that is not as it was asserted.
#[derive(Clone)]
struct Lie {
    list: ListKey,
    index: LeafIndex,
    /// The entry is missing; else it stands there as what it is not.
    is_omission: bool,
    /// None where the tree has no such entry.
    leaf: Option<Vec<u8>>,
}

impl Asserted {
    /// Reads evidence from a file. It may be older than what was seen of the log since.
    pub(crate) fn read(path: &Path, policy: &Policy) -> Result<Self> {
        let claimed = Claimed::read(path)?;
        let proven = claimed.verify_of_any_time(policy)?;
        let evidence = claimed.into_evidence();
        let mut to_come: BTreeMap<LeafIndex, Vec<(ListKey, Listed)>> = BTreeMap::new();
        for (list, entries) in &evidence.lists {
            entries.iter().for_each(|listed| to_come.entry(listed.index).or_default().push((*list, *listed)));
        }
        Ok(Self { evidence, proven, to_come, lie: None })
    }

    /// Refuses evidence of another log, and a log whose tree does not begin with the one that was asserted.
    pub(crate) fn require_before(&self, shown: &Shown, inquiry: &mut Inquiry<'_>) -> Result<()> {
        let (tree, log) = (self.proven.checkpoint(), self.proven.log());
        if tree.origin != shown.checkpoint.origin {
            return Err(Failure::new(format!(
                "the evidence is of `{}`, and `{}` is read",
                tree.origin, shown.checkpoint.origin
            )));
        }
        let seen = Seen { note: self.evidence.checkpoint.clone(), at: clock::now_millis() };
        let seen = Pin {
            url: inquiry.target.client.url().to_owned(),
            vkey: log.clone(),
            policy: inquiry.target.judge.policy.clone(),
            text: String::new(),
            size: tree.size,
            root: tree.root,
            seen: Some(seen),
        };
        current::require_extension(&seen, shown, &mut inquiry.asking)
    }

    /// Takes a leaf; `entry` is what it says, if it keeps the rules.
    pub(crate) fn take(&mut self, index: LeafIndex, leaf: &[u8], entry: Option<&Entry>) {
        if !self.proven.checkpoint().size.contains(index) {
            return;
        }
        let asserted = self.to_come.remove(&index).unwrap_or_default();
        let stands = entry.map(|entry| lists_of(entry, index)).unwrap_or_default();
        let is_named = |list: &ListKey| asserted.iter().any(|(key, _)| key == list);
        let is_missing = |(list, listed): &&(ListKey, Listed)| {
            let is_due = self.evidence.lists.contains_key(list) && (!list.is_chosen() || is_named(list));
            is_due && !asserted.contains(&(*list, *listed))
        };
        let made_up = asserted.iter().find(|listed| !stands.contains(listed));
        let Some((list, _)) = made_up.or_else(|| stands.iter().find(is_missing)) else { return };
        let (list, is_omission) = (*list, !is_named(list));
        self.lie.get_or_insert(Lie { list, index, is_omission, leaf: Some(leaf.to_vec()) });
    }

    /// Refuses a log that asserted what its entries contradict, all of which were taken.
    pub(crate) fn check(&self, shown: &Shown, inquiry: &mut Inquiry<'_>) -> Result<()> {
        let Some(lie) = self.lie() else {
            inquiry.asking.console.note("what the log asserted in the evidence is what its entries say");
            return Ok(());
        };
        let tree = self.proven.checkpoint();
        let failure =
            Failure::refuted(format!("the log `{}` asserted what its entries contradict", tree.origin))
                .because(self.words(&lie));
        let finding = self.finding(&lie, shown, inquiry);
        match finding.and_then(|finding| findings::keep(&finding)) {
            Ok(path) => Err(failure
                .hint(format!(
                    "the finding is in `{}`: `aip-attest inspect --finding FILE` confirms it",
                    path.display()
                ))
                .hint("do not rely on this log, and tell those who do")),
            Err(error) => Err(failure.because(error.one_line()).hint("there is no finding to keep")),
        }
    }

    /// The first entry by which a list is false.
    fn lie(&self) -> Option<Lie> {
        let behind = || {
            let (index, lists) = self.to_come.first_key_value()?;
            Some(Lie { list: lists.first()?.0, index: *index, is_omission: false, leaf: None })
        };
        self.lie.clone().or_else(behind)
    }

    fn words(&self, Lie { list, index, is_omission, .. }: &Lie) -> String {
        let what = if *is_omission { "lacks entry" } else { "has as what it is not entry" };
        format!("`{list}` of its tree of size {} {what} {index}", self.proven.checkpoint().size)
    }

    /// The finding, which confirms itself before anybody is told.
    fn finding(&self, lie: &Lie, shown: &Shown, inquiry: &mut Inquiry<'_>) -> Result<Finding> {
        let tree = self.proven.checkpoint();
        let Some(leaf) = &lie.leaf else {
            return Err(Failure::new("the tree has no such entry"));
        };
        let asking = RefCell::new(&mut inquiry.asking);
        // Of the whole tree, whose partial tiles the log still has.
        let reader = TileHashReader::new(shown.checkpoint.size, |tile| {
            asking.borrow_mut().ask(|client| client.tile(tile))
        });
        let proof = inclusion::prove(&reader, lie.index, tree.size)?;
        let shows = Proof::FalseAssertion(FalseAssertion {
            assertion: self.evidence.assertion.clone(),
            list: lie.list,
            entries: self.evidence.lists[&lie.list].clone(),
            leaf: ProvenLeaf { index: lie.index, bytes: leaf.clone(), proof },
        });
        let keys = vec![self.proven.log().clone()];
        let finding = Finding::new(&tree.origin, keys, clock::now_millis(), &self.words(lie), shows);
        match finding.confirm(Some(&inquiry.target.judge.policy)) {
            Ok(_) => Ok(finding),
            Err(error) => Err(Failure::new("the finding does not hold").caused_by(error)),
        }
    }
}
