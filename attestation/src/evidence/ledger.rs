//! Evidence as a ledger: what a judgement asks for is answered from verified elements, and what is missing is
//! named (`specs/evidence.md`, `specs/trust.md`).
//!
//! What raises a score must be shown to hold: the leaf, the signer's key at its index, and what it refers to. What
//! lowers one counts when the list has it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tlog::{LeafIndex, TreeSize};

use super::{EvidenceError, Proven};
use crate::did::Did;
use crate::entry::{DsseEntry, Entry};
use crate::event::{Body, EventEntry, Scope, TrustEvent};
use crate::identity::{Identity, check_artifact_signer, check_trust_signer};
use crate::lists::{ListKey, Listed, ListedKind};
use crate::trust::{Confirmation, EdgeEvent, EdgeKind, Graph, Ledger, Logged, Negative, NegativeKind};

impl Ledger for Proven {
    type Error = EvidenceError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, EvidenceError> {
        Ok(Proven::identity(self, did, self.checkpoint().size)?.map(Cow::Owned))
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, EvidenceError> {
        let list = ListKey::Edge(from, to, scope);
        self.list(list)?.last().map(|listed| self.edge(list, listed)).transpose()
    }

    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, EvidenceError> {
        let list = ListKey::Out(from);
        let latest: BTreeMap<_, &Listed> =
            self.list(list)?.iter().map(|listed| ((listed.peer, listed.scope), listed)).collect();
        latest.into_values().map(|listed| self.edge(list, listed)).collect()
    }

    /// An issuer of whom no root speaks counts for nothing: its reports may come without their leaves.
    fn negatives(&self, did: Did) -> Result<Vec<Negative>, EvidenceError> {
        let list = ListKey::Neg(did);
        let counts = |listed: &&Listed| {
            listed.kind == ListedKind::Equivocation
                || self.has_entry(listed.index)
                || self.is_spoken_of(listed.peer)
        };
        self.list(list)?.iter().filter(counts).map(|listed| self.negative(list, listed)).collect()
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, EvidenceError> {
        let list = ListKey::Pos(did);
        self.list(list)?.iter().map(|listed| self.confirmation(list, listed)).collect()
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, EvidenceError> {
        let list = ListKey::Receipts(did);
        let receipt = |listed: &Listed| {
            let entry = self.artifact(list, listed.index)?;
            Ok(Logged { index: listed.index, time: entry.logged_at() })
        };
        self.list(list)?.iter().map(receipt).collect()
    }
}

/// The vouches that are here: a path that is not here is not found.
impl Graph for Proven {
    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, EvidenceError> {
        let into = |key: &ListKey| matches!(key, ListKey::Edge(_, subject, _) if *subject == to);
        let lists = self.lists().iter().filter(|(key, _)| into(key));
        let last = lists.filter_map(|(key, list)| Some((*key, list.last()?)));
        last.map(|(key, listed)| self.edge(key, listed)).collect()
    }
}

impl Proven {
    /// Whether a DID is a root here, or one that a root speaks of.
    fn is_spoken_of(&self, did: Did) -> bool {
        self.lists().iter().any(|(key, list)| match key {
            ListKey::Out(root) => *root == did || list.iter().any(|listed| listed.peer == did),
            _ => false,
        })
    }

    /// A trust event that its issuer's key of that moment signed.
    fn trust_event(
        &self,
        list: ListKey,
        index: LeafIndex,
    ) -> Result<(&EventEntry, &TrustEvent), EvidenceError> {
        let entry = self.event(index)?;
        let Body::Trust(trust) = entry.event().body() else {
            return Err(EvidenceError::Listed { list, index });
        };
        let state = Proven::identity(self, entry.event().issuer(), TreeSize::new(index.get()))?;
        check_trust_signer(state.as_ref(), entry.pending(), trust)
            .map_err(|error| EvidenceError::State { index, error })?;
        Ok((entry, trust))
    }

    fn edge(&self, list: ListKey, listed: &Listed) -> Result<EdgeEvent, EvidenceError> {
        let (entry, trust) = self.trust_event(list, listed.index)?;
        let other = || EvidenceError::Listed { list, index: listed.index };
        Ok(EdgeEvent {
            logged: Logged { index: listed.index, time: entry.logged_at() },
            from: entry.event().issuer(),
            to: entry.event().subject(),
            scope: trust.scope().ok_or_else(other)?,
            kind: EdgeKind::of(trust).ok_or_else(other)?,
        })
    }

    /// A report counts without a look at its issuer's key, which could only let it count for less; a withdrawal
    /// does not.
    fn negative(&self, list: ListKey, listed: &Listed) -> Result<Negative, EvidenceError> {
        let entry = match listed.kind {
            ListedKind::Withdrawal => self.trust_event(list, listed.index)?.0,
            _ => self.event(listed.index)?,
        };
        let kind = match entry.event().body() {
            Body::Trust(trust) => NegativeKind::of(trust),
            Body::Identity(_) => None,
        };
        Ok(Negative {
            logged: Logged { index: listed.index, time: entry.logged_at() },
            from: entry.event().issuer(),
            kind: kind.ok_or(EvidenceError::Listed { list, index: listed.index })?,
        })
    }

    fn confirmation(&self, list: ListKey, listed: &Listed) -> Result<Confirmation, EvidenceError> {
        let index = listed.index;
        let other = || EvidenceError::Listed { list, index };
        let (entry, trust) = self.trust_event(list, index)?;
        let TrustEvent::Confirmation { artifact, receipt, build } = trust else { return Err(other()) };
        let (issuer, subject) = (entry.event().issuer(), entry.event().subject());
        for (reference, did) in [(receipt, subject), (build, issuer)] {
            let claim = self.artifact(list, reference.index)?.claim();
            let lists = claim.listing().is_some_and(|listing| listing.subjects.contains(artifact));
            if claim.did() != did || !lists || reference.index >= index {
                return Err(other());
            }
        }
        let logged = Logged { index, time: entry.logged_at() };
        Ok(Confirmation { logged, from: issuer, receipt: receipt.index, build: build.index })
    }

    /// An artifact entry that its DID's key of that moment signed.
    fn artifact(&self, list: ListKey, index: LeafIndex) -> Result<&DsseEntry, EvidenceError> {
        let Entry::Dsse(entry) = self.entry(index)? else {
            return Err(EvidenceError::Listed { list, index });
        };
        let claim = entry.claim();
        let state = Proven::identity(self, claim.did(), TreeSize::new(index.get()))?;
        check_artifact_signer(state.as_ref(), claim.did(), claim.verifier())
            .map_err(|error| EvidenceError::State { index, error })?;
        Ok(entry)
    }
}
