//! What is found by a key.

use attestation::did::Did;
use attestation::entry::ClaimHash;
use attestation::event::{EventEntry, PendingEvent};
use attestation::lists::Listed;
use attestation::rules::Artifact;
use tlog::{Hash, LeafIndex, TreeSize};

use super::OrderState;
use crate::StoreError;
use crate::keys::List;

/// What a round wants to know. Each list has no double.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wants {
    /// Which of these claims have an index.
    pub claims: Vec<Hash>,
    /// What is known of the envelopes of these hashes.
    pub envelopes: Vec<Hash>,
    /// The identity events of these DIDs.
    pub identities: Vec<Did>,
    /// The open failure report of the first about the second.
    pub failures: Vec<(Did, Did)>,
    /// The last message keys of these DIDs.
    pub message_keys: Vec<Did>,
    /// The artifact entries at these indexes.
    pub artifacts: Vec<LeafIndex>,
}

/// The answers to [`Wants`], each list in the order of the questions, all of one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The moment.
    pub at: OrderState,
    /// Where the claim stands, with its leaf.
    pub claims: Vec<Option<Placed>>,
    /// Whether the log has the envelope, or had it.
    pub envelopes: Vec<Option<KnownEnvelope>>,
    /// In log order; none of a DID that is not registered.
    pub identities: Vec<Vec<(LeafIndex, PendingEvent)>>,
    /// Where it stands. There is at most one.
    pub failures: Vec<Option<LeafIndex>>,
    /// The event hash of the last `message-keys` event, void or not.
    pub message_keys: Vec<Option<ClaimHash>>,
    /// `None` if there is no entry, or one of another kind.
    pub artifacts: Vec<Option<Artifact>>,
}

/// An entry that has its index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placed {
    /// Where it stands.
    pub index: LeafIndex,
    /// Its leaf.
    pub leaf: Vec<u8>,
}

/// What a log knows of an envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KnownEnvelope {
    /// It is there.
    Present,
    /// It was erased, and is not taken again.
    Erased,
}

/// Which way a lookup goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From small indexes to large ones.
    Ascending,
    /// From large indexes to small ones.
    Descending,
}

/// A part of what a lookup finds.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The first index that may be in it.
    pub from: u64,
    /// Where it goes from there.
    pub direction: Direction,
    /// The most that are in it.
    pub limit: usize,
    /// Only the first entries of the log count, so many.
    pub size: TreeSize,
}

impl Page {
    /// The first entries of a log of `size`, at most `limit`.
    pub fn first(limit: usize, size: TreeSize) -> Self {
        Self { from: 0, direction: Direction::Ascending, limit, size }
    }

    /// The last entries of a log of `size`, the last one first, at most `limit`.
    pub fn last(limit: usize, size: TreeSize) -> Self {
        Self { from: u64::MAX, direction: Direction::Descending, limit, size }
    }
}

/// Lookups. What is integrated is found by all of them. What is ordered and not integrated yet is found by
/// [`facts`](Self::facts), [`claim`](Self::claim) and [`identity_events_since`](Self::identity_events_since); whether the
/// others find it is the engine's choice, so that a reader names the size that is meant.
pub trait Index: Send + Sync {
    /// Everything that a round wants to know, of one moment, in one call.
    fn facts(&self, wants: &Wants) -> Result<Facts, StoreError>;

    /// Where a claim stands, ordered or integrated.
    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError>;

    /// Indexes of entries about an artifact.
    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError>;

    /// Indexes of entries by a DID.
    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError>;

    /// Entries of a list.
    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError>;

    /// The identity events at `since` and behind it, ordered or integrated, in log order, and the moment up to which these
    /// are all. So whoever knows the states of DIDs at a [version](super::Versions) follows a log that others write.
    fn identity_events_since(&self, since: TreeSize) -> Result<Since, StoreError>;
}

/// Events since a version, and the moment of the answer.
pub type Since = (OrderState, Vec<(LeafIndex, EventEntry)>);
