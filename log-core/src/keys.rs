//! Under which keys an entry is found: a pure function of its leaf, so that anyone can rebuild every lookup.

use attestation::did::Did;
use attestation::entry::{Claim, ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body, Event, TrustEvent};
use attestation::lists::{ListKey, Listed, ListedKind, lists_of_event};
use tlog::{Hash, LeafIndex};

/// A list that is kept.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum List {
    /// One that has a name outside. Of `rcpt`, the artifact entries of a DID.
    Named(ListKey),
    /// Failures and withdrawals.
    Failures {
        /// About whom.
        subject: Did,
        /// By whom.
        issuer: Did,
    },
}

/// Under which keys an entry is found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keys {
    /// The idempotency key.
    pub claim: Option<Hash>,
    /// Digests of the artifacts it is about, each once, in the order of the leaf.
    pub subjects: Vec<Hash>,
    /// Who signed, and what.
    pub did: Option<(Did, ListedKind)>,
    /// The lists that it stands in, and how; `rcpt` is told by `did`.
    pub lists: Vec<(List, Listed)>,
    /// The envelope it names, published or not.
    pub envelope: Option<Hash>,
}

impl Keys {
    /// The keys of an entry. An entry of a kind that is not understood has none.
    pub fn of(entry: &Entry, index: LeafIndex) -> Self {
        match entry {
            Entry::Dsse(entry) => Self::of_claim(entry.claim(), entry.claim().hash()),
            Entry::Event(event) => Self::of_event(event.event(), event.pending().hash(), index),
            Entry::NotUnderstood { .. } => Self::default(),
        }
    }

    /// The keys of an entry that gets this index; `hash` is its idempotency key.
    pub fn of_pending(leaf: &PendingLeaf, hash: ClaimHash, index: LeafIndex) -> Self {
        match leaf {
            PendingLeaf::Dsse(entry) => Self::of_claim(entry.claim(), hash),
            PendingLeaf::Event(event) => Self::of_event(event.event(), hash, index),
        }
    }

    fn of_claim(claim: &Claim, hash: ClaimHash) -> Self {
        Self {
            claim: Some(hash.get()),
            subjects: claim.listing().map(|listing| listing.subjects.clone()).unwrap_or_default(),
            did: Some((claim.did(), ListedKind::Receipt)),
            lists: Vec::new(),
            envelope: Some(claim.envelope_hash()),
        }
    }

    fn of_event(event: &Event, hash: ClaimHash, index: LeafIndex) -> Self {
        let listed = lists_of_event(event, index);
        let mut lists: Vec<(List, Listed)> =
            listed.iter().map(|(key, listed)| (List::Named(*key), *listed)).collect();
        if let Body::Trust(TrustEvent::Failure { .. } | TrustEvent::Withdrawal { .. }) = event.body() {
            let pair = List::Failures { subject: event.subject(), issuer: event.issuer() };
            lists.extend(listed.iter().map(|(_, listed)| (pair, *listed)));
        }
        Self {
            claim: Some(hash.get()),
            did: Some((event.issuer(), ListedKind::of(event.body()))),
            lists,
            ..Self::default()
        }
    }
}
