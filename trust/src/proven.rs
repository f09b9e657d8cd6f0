//! Evidence as a ledger: answers a judgement from verified elements, and names a missing element (`specs/evidence.md`,
//! `specs/trust.md`).
//!
//! An entry that raises a score must be proven: the leaf, the signer's key at its index, and the entries that it refers to.
//! An entry that lowers a score counts as soon as the list has it.

use std::borrow::Cow;

use tlog::{LeafIndex, TreeSize};

use crate::{Against, Confirmation, EdgeEvent, EdgeKind, Graph, Ledger, Logged, Negative, NegativeKind};
use attestation::did::Did;
use attestation::entry::{DsseEntry, Entry};
use attestation::event::{Body, EventEntry, Scope, TrustEvent};
use attestation::evidence::{EvidenceError, Proven, Said};
use attestation::identity::{Identity, check_artifact_signer, check_trust_signer};
use attestation::lists::{ListKey, Listed, ListedKind};

impl Ledger for Proven {
    type Error = EvidenceError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, EvidenceError> {
        Ok(Proven::identity(self, did, self.checkpoint().size)?.map(Cow::Owned))
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, EvidenceError> {
        let edge = ListKey::Edge(from, to, scope);
        // The issuer's whole `out` list contains what it said about this DID.
        let out = ListKey::Out(from);
        let list = [edge, out].into_iter().find(|list| self.lists().contains_key(list));
        let list = list.ok_or(EvidenceError::MissingList(edge))?;
        let said = self.said().get(&(from, to, scope)).map_or(&[][..], Vec::as_slice);
        let Some((last, before)) = said.split_last() else { return Ok(None) };
        // No entry may be here twice: earlier lines that could be of the same event must bring their entries.
        for listed in before.iter().filter(|listed| last.could_be(listed)) {
            self.entry(listed.index)?;
        }
        edge_event(self, list, last).map(Some)
    }

    fn against(&self, did: Did) -> Result<Vec<Against>, EvidenceError> {
        let against = |listed: &Listed| Against { index: listed.index, from: listed.peer, kind: listed.kind };
        Ok(self.list(ListKey::Neg(did))?.iter().map(against).collect())
    }

    /// A report counts without a check of its issuer's key, since that check could only make it count for less. A withdrawal
    /// must be signed by the key of its index, and name the report before it.
    fn negative(&self, did: Did, against: &Against) -> Result<Negative, EvidenceError> {
        let (list, index) = (ListKey::Neg(did), against.index);
        let other = || EvidenceError::Listed { list, index };
        let entry = match against.kind {
            ListedKind::Withdrawal => trust_event(self, list, index)?.0,
            _ => self.event(index)?,
        };
        let Body::Trust(trust) = entry.event().body() else { return Err(other()) };
        if let TrustEvent::Withdrawal { failure } = trust {
            let by =
                |listed: &&Listed| listed.peer == against.from && listed.kind != ListedKind::Equivocation;
            let before = self.list(list)?.iter().filter(by).take_while(|listed| listed.index < index).last();
            if before.map(|listed| listed.index) != Some(failure.index) {
                return Err(EvidenceError::Withdrawal { index, failure: failure.index });
            }
        }
        Ok(Negative { time: entry.logged_at(), kind: NegativeKind::of(trust).ok_or_else(other)? })
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, EvidenceError> {
        let list = ListKey::Pos(did);
        self.list(list)?.iter().map(|listed| confirmation(self, list, listed)).collect()
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, EvidenceError> {
        let list = ListKey::Receipts(did);
        let receipt = |listed: &Listed| {
            let entry = artifact_entry(self, list, listed.index)?;
            Ok(Logged { index: listed.index, time: entry.logged_at() })
        };
        self.list(list)?.iter().map(receipt).collect()
    }
}

/// The vouches in the evidence. Paths that are not in it are not found; what speaks against one is asked of the [`Ledger`].
impl Graph for Proven {
    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, EvidenceError> {
        edges_here(self, |key| key.0 == from)
    }

    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, EvidenceError> {
        edges_here(self, |key| key.1 == to)
    }
}

/// The last word of each issuer about each subject in each scope, where its entry is here.
fn edges_here(proven: &Proven, wanted: impl Fn(&Said) -> bool) -> Result<Vec<EdgeEvent>, EvidenceError> {
    let last = proven.said().iter().filter_map(|(key, said)| Some((key, said.last()?)));
    let here = last.filter(|(key, listed)| wanted(key) && proven.has_entry(listed.index));
    here.map(|((from, to, scope), listed)| edge_event(proven, ListKey::Edge(*from, *to, *scope), listed))
        .collect()
}

/// A trust event that its issuer's key of that moment signed.
fn trust_event(
    proven: &Proven,
    list: ListKey,
    index: LeafIndex,
) -> Result<(&EventEntry, &TrustEvent), EvidenceError> {
    let entry = proven.event(index)?;
    let Body::Trust(trust) = entry.event().body() else {
        return Err(EvidenceError::Listed { list, index });
    };
    let state = Proven::identity(proven, entry.event().issuer(), TreeSize::new(index.get()))?;
    check_trust_signer(state.as_ref(), entry.pending(), trust)
        .map_err(|error| EvidenceError::State { index, error })?;
    Ok((entry, trust))
}

fn edge_event(proven: &Proven, list: ListKey, listed: &Listed) -> Result<EdgeEvent, EvidenceError> {
    let (entry, trust) = trust_event(proven, list, listed.index)?;
    let other = || EvidenceError::Listed { list, index: listed.index };
    Ok(EdgeEvent {
        logged: Logged { index: listed.index, time: entry.logged_at() },
        from: entry.event().issuer(),
        to: entry.event().subject(),
        scope: trust.scope().ok_or_else(other)?,
        kind: EdgeKind::of(trust).ok_or_else(other)?,
    })
}

fn confirmation(proven: &Proven, list: ListKey, listed: &Listed) -> Result<Confirmation, EvidenceError> {
    let index = listed.index;
    let other = || EvidenceError::Listed { list, index };
    let (entry, trust) = trust_event(proven, list, index)?;
    let TrustEvent::Confirmation { artifact, receipt, build } = trust else { return Err(other()) };
    let (issuer, subject) = (entry.event().issuer(), entry.event().subject());
    for (reference, did) in [(receipt, subject), (build, issuer)] {
        let claim = artifact_entry(proven, list, reference.index)?.claim();
        let lists = claim.listing().is_some_and(|listing| listing.subjects.contains(artifact));
        if claim.did() != did || !lists || reference.index >= index {
            return Err(other());
        }
    }
    let logged = Logged { index, time: entry.logged_at() };
    Ok(Confirmation { logged, from: issuer, receipt: receipt.index, build: build.index })
}

/// An artifact entry that its DID's key of that moment signed.
fn artifact_entry(proven: &Proven, list: ListKey, index: LeafIndex) -> Result<&DsseEntry, EvidenceError> {
    let Entry::Dsse(entry) = proven.entry(index)? else {
        return Err(EvidenceError::Listed { list, index });
    };
    let claim = entry.claim();
    let state = Proven::identity(proven, claim.did(), TreeSize::new(index.get()))?;
    check_artifact_signer(state.as_ref(), claim.did(), claim.verifier())
        .map_err(|error| EvidenceError::State { index, error })?;
    Ok(entry)
}
