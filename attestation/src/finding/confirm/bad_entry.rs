//! Whether a leaf of a signed tree breaks the rule that a finding names.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tlog::LeafIndex;
use tlog::checkpoint::Checkpoint;
use tlog::key::Ed25519PublicKey;
use tlog::merkle::{inclusion, leaf_hash};

use super::{Believed, ConfirmError, Said};
use crate::did::Did;
use crate::entry::{ClaimHash, Entry};
use crate::event::{Body, Event, TrustEvent};
use crate::finding::{BadEntry, ProvenLeaf};
use crate::identity::Identity;
use crate::leaf::{self, BrokenRule, Leaf, Rule};
use crate::rules::{Artifact, Prefix};

impl Believed<'_> {
    pub(super) fn bad_entry(&self, bad: &BadEntry, said: &mut Said) -> Result<(), ConfirmError> {
        let checkpoint = self.signed(&bad.checkpoint)?;
        check_members(bad)?;
        let leaves =
            std::iter::once(&bad.leaf).chain(&bad.earlier).chain(&bad.identity).chain(&bad.references);
        leaves.into_iter().try_for_each(|leaf| included(leaf, &checkpoint))?;
        let broken = match self.check(&bad.leaf) {
            Ok(leaf) => self.broken(bad, &leaf)?,
            Err(broken) => Some(broken),
        };
        match broken {
            Some(broken) if broken.rule() == bad.rule => {
                tell(bad, &broken, &checkpoint, said);
                Ok(())
            }
            Some(broken) => Err(ConfirmError::OtherRule { want: bad.rule, got: broken.rule() }),
            None => Err(ConfirmError::GoodEntry),
        }
    }

    fn check(&self, leaf: &ProvenLeaf) -> Result<Leaf, BrokenRule> {
        leaf::check(self.origin, &leaf.bytes, Ed25519PublicKey::from_bytes)
    }

    /// The rule of state or order that a leaf breaks, although it keeps all rules that can be checked on it alone.
    fn broken(&self, bad: &BadEntry, leaf: &Leaf) -> Result<Option<BrokenRule>, ConfirmError> {
        let earlier =
            bad.earlier.as_ref().and_then(|earlier| Some((earlier.index, self.check(earlier).ok()?)));
        let checked = match bad.rule {
            Rule::LoggedAtOrder => leaf.check_order(earlier.and_then(|(_, earlier)| earlier.logged_at())),
            Rule::Known => {
                let same = earlier.filter(|(_, earlier)| earlier.hash() == leaf.hash());
                // Entries that are not understood have no hash, and may come again.
                leaf.check_new(same.filter(|_| leaf.hash().is_some()).map(|(index, _)| index))
            }
            rule if rule.is_about_earlier() => {
                let states = self.states_before(&bad.leaf, &[leaf.did(), subject(leaf)], &bad.identity)?;
                let shown = Shown { at: bad.leaf.index, leaf, states, leaves: self.references(bad) };
                leaf.check_behind(bad.leaf.index, &shown)?.map(drop)
            }
            rule if rule.is_of_state() => {
                let states = self.states_before(&bad.leaf, &[leaf.did()], &bad.identity)?;
                leaf.check_state(bad.leaf.index, states.values().next()).map(drop)
            }
            _ => Ok(()),
        };
        Ok(checked.err())
    }

    fn references(&self, bad: &BadEntry) -> Vec<(LeafIndex, Option<Leaf>)> {
        bad.references.iter().map(|leaf| (leaf.index, self.check(leaf).ok())).collect()
    }

    /// The states of `dids` by the events that are given, each of which must follow from those before it.
    fn states_before(
        &self,
        bad: &ProvenLeaf,
        dids: &[Option<Did>],
        events: &[ProvenLeaf],
    ) -> Result<BTreeMap<Did, Identity>, ConfirmError> {
        let mut states: BTreeMap<Did, Identity> = BTreeMap::new();
        let mut last = None;
        for event in events {
            let checked = self.check(event).map_err(|_| ConfirmError::NotIdentity)?;
            let in_order = last < Some(event.index) && event.index < bad.index;
            let did = checked.did().filter(|did| in_order && dids.contains(&Some(*did)));
            let did = did.ok_or(ConfirmError::NotIdentity)?;
            let after = checked.check_state(event.index, states.get(&did));
            // A trust event leads to no state, and is none of these.
            states.insert(did, after.ok().flatten().ok_or(ConfirmError::NotIdentity)?);
            last = Some(event.index);
        }
        Ok(states)
    }
}

/// The DID that an event is about.
fn subject(leaf: &Leaf) -> Option<Did> {
    match leaf.entry() {
        Entry::Event(event) => Some(event.event().subject()),
        Entry::Dsse(_) | Entry::NotUnderstood { .. } => None,
    }
}

fn included(leaf: &ProvenLeaf, checkpoint: &Checkpoint) -> Result<(), ConfirmError> {
    let hash = leaf_hash(&leaf.bytes);
    Ok(inclusion::verify(&hash, leaf.index, checkpoint.size, &leaf.proof, &checkpoint.root)?)
}

/// Each rule has the members that it needs, and no others.
fn check_members(bad: &BadEntry) -> Result<(), ConfirmError> {
    let needs_earlier = matches!(bad.rule, Rule::LoggedAtOrder | Rule::Known);
    let is_earlier = |leaf: &ProvenLeaf| leaf.index < bad.leaf.index;
    if bad.earlier.is_some() != needs_earlier || !bad.earlier.iter().all(is_earlier) {
        return Err(ConfirmError::NotEarlier);
    }
    if !(bad.identity.is_empty() || bad.rule.is_of_state() || bad.rule.is_about_earlier()) {
        return Err(ConfirmError::NotIdentity);
    }
    let in_order = bad.references.is_sorted_by(|a, b| a.index < b.index);
    let may_refer = bad.references.is_empty() || bad.rule.is_about_earlier();
    if !(may_refer && in_order && bad.references.iter().all(is_earlier)) {
        return Err(ConfirmError::NotReferences);
    }
    Ok(())
}

fn tell(bad: &BadEntry, broken: &BrokenRule, checkpoint: &Checkpoint, said: &mut Said) {
    let by_state = bad.rule.is_of_state() || bad.rule.is_about_earlier();
    let by = match bad.identity.len() {
        _ if !by_state => String::new(),
        0 => " without identity events before it".to_owned(),
        events => format!(" behind these {events} identity events"),
    };
    let (index, rule) = (bad.leaf.index, bad.rule);
    said.proven(format!(
        "leaf {index} of the tree of size {} that the log signed breaks the rule `{rule}`{by}: {broken}",
        checkpoint.size
    ));
    if by_state {
        let whose = if bad.rule.is_of_state() { "its signer" } else { "its signer, or of its subject," };
        said.word(format!("that no other identity event of {whose} stands before leaf {index}"));
    }
    if rule == Rule::MessageKeysOrder {
        let other = if bad.references.is_empty() { "no" } else { "no later" };
        said.word(format!("that {other} `message-keys` event of its signer stands before leaf {index}"));
    }
    if rule == Rule::FailureOpen {
        said.word(format!("that the report was not withdrawn before leaf {index}"));
    }
}

/// The earlier leaves that a finding shows.
struct Shown<'a> {
    at: LeafIndex,
    leaf: &'a Leaf,
    states: BTreeMap<Did, Identity>,
    /// `None` for a leaf that breaks a rule by itself: it counts for nothing.
    leaves: Vec<(LeafIndex, Option<Leaf>)>,
}

impl Shown<'_> {
    fn leaf(&self, index: LeafIndex) -> Result<Option<&Leaf>, ConfirmError> {
        let shown = self.leaves.iter().find(|(shown, _)| *shown == index);
        shown.map(|(_, leaf)| leaf.as_ref()).ok_or(ConfirmError::NotShown(index))
    }

    fn said(&self, leaf: Option<&Leaf>, from: Did, to: Did) -> Option<TrustEvent> {
        let event: &Event = match leaf?.entry() {
            Entry::Event(event) => event.event(),
            Entry::Dsse(_) | Entry::NotUnderstood { .. } => return None,
        };
        match event.body() {
            Body::Trust(trust) if (event.issuer(), event.subject()) == (from, to) => Some(trust.clone()),
            Body::Trust(_) | Body::Identity(_) | Body::MessageKeys(_) => None,
        }
    }

    /// Whether the leaf at `failure` is a report by `from` against `to` which none of these leaves withdraws.
    fn is_open(&self, failure: LeafIndex, from: Did, to: Did) -> Result<bool, ConfirmError> {
        let report = self.said(self.leaf(failure)?, from, to);
        let withdraws = |(index, leaf): &(LeafIndex, Option<Leaf>)| match self.said(leaf.as_ref(), from, to) {
            Some(TrustEvent::Withdrawal { failure: of }) => of.index == failure && *index > failure,
            _ => false,
        };
        Ok(matches!(report, Some(TrustEvent::Failure { .. })) && !self.leaves.iter().any(withdraws))
    }
}

impl Prefix for Shown<'_> {
    type Error = ConfirmError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, ConfirmError> {
        Ok(self.states.get(&did).map(Cow::Borrowed))
    }

    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, ConfirmError> {
        match self.leaf(index)?.map(Leaf::entry) {
            Some(Entry::Dsse(entry)) => Ok(Some(Cow::Owned(Artifact::of(entry.claim())))),
            Some(Entry::Event(_) | Entry::NotUnderstood { .. }) | None => Ok(None),
        }
    }

    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, ConfirmError> {
        let failure = match self.said(Some(self.leaf), from, to) {
            Some(TrustEvent::Withdrawal { failure }) => Some(failure.index).filter(|index| *index < self.at),
            _ => self.leaves.first().map(|(index, _)| *index),
        };
        let Some(failure) = failure else { return Ok(None) };
        Ok(self.is_open(failure, from, to)?.then_some(failure))
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, ConfirmError> {
        let hash = |leaf: &Leaf| match leaf.entry() {
            Entry::Event(event) if matches!(event.event().body(), Body::MessageKeys(_)) => {
                leaf.hash().filter(|_| event.event().issuer() == did)
            }
            Entry::Event(_) | Entry::Dsse(_) | Entry::NotUnderstood { .. } => None,
        };
        Ok(self.leaves.iter().rev().find_map(|(_, leaf)| hash(leaf.as_ref()?)))
    }
}
