//! The lookups: what is found by what. A pure function of a leaf, so that anyone can rebuild them.

use attestation::did::Did;
use attestation::entry::{Claim, ClaimHash, Entry};
use tlog::Hash;

/// Under which keys an entry is found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keys {
    /// The idempotency key.
    pub claim: Option<Hash>,
    /// Digests of the artifacts it is about, each once, in the order of the leaf.
    pub subjects: Vec<Hash>,
    /// Who signed.
    pub did: Option<Did>,
    /// The envelope it names, published or not.
    pub envelope: Option<Hash>,
}

impl Keys {
    /// The keys of a claim, whose hash is `hash`.
    pub fn of_claim(claim: &Claim, hash: ClaimHash) -> Self {
        Self {
            claim: Some(hash.get()),
            subjects: claim.listing().map(|listing| listing.subjects.clone()).unwrap_or_default(),
            did: Some(claim.did()),
            envelope: Some(claim.envelope_hash()),
        }
    }

    /// The keys of an entry. An entry of a kind that is not understood has none.
    pub fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Dsse(entry) => Self::of_claim(entry.claim(), entry.claim().hash()),
            Entry::Event(event) => Self {
                claim: Some(event.pending().hash().get()),
                did: Some(event.event().issuer()),
                ..Self::default()
            },
            Entry::NotUnderstood { .. } => Self::default(),
        }
    }
}
