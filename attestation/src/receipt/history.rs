//! The identity events of a DID in one tree: what a receipt carries, and what a log answers about a DID.
//!
//! In scope: that every event is in the tree, signed, and follows from those before. Out of scope: whether the
//! log withheld the last ones, which only a later tree shows.

use tlog::LeafIndex;
use tlog::checkpoint::Checkpoint;
use tlog::key::Ed25519PublicKey;
use tlog::merkle::{ProofError, leaf_hash};

use super::IdentityEvent;
use crate::did::Did;
use crate::entry::Entry;
use crate::event::{Body, EventEntry};
use crate::identity::{Identity, MAX_EVENTS, StateError};
use crate::leaf::{self, BrokenRule};

/// The identity events of a DID in the tree of a checkpoint, in log order, each proved to be there and to
/// follow from those before. [`History::verify`] is the only way to get one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History {
    events: Vec<(LeafIndex, EventEntry)>,
    state: Option<Identity>,
}

impl History {
    /// Verifies `events` against a checkpoint that the caller believes. Without any event the DID counts as a bare key.
    pub fn verify(did: Did, events: &[IdentityEvent], checkpoint: &Checkpoint) -> Result<Self, HistoryError> {
        if events.len() > MAX_EVENTS as usize {
            return Err(HistoryError::TooMany(events.len()));
        }
        let mut history = Self { events: Vec::with_capacity(events.len()), state: None };
        for (event, at) in events.iter().zip(0..) {
            history.add(did, event, at, checkpoint)?;
        }
        Ok(history)
    }

    fn add(
        &mut self,
        did: Did,
        event: &IdentityEvent,
        at: usize,
        checkpoint: &Checkpoint,
    ) -> Result<(), HistoryError> {
        let index = event.proof.index;
        event
            .proof
            .verify_inclusion(&leaf_hash(&event.leaf), checkpoint)
            .map_err(|error| HistoryError::Inclusion { at, error })?;
        if self.events.last().is_some_and(|(before, _)| *before >= index) {
            return Err(HistoryError::Order { at });
        }
        let leaf = leaf::check(&checkpoint.origin, &event.leaf, Ed25519PublicKey::from_bytes)
            .map_err(|error| HistoryError::Leaf { at, error })?;
        let Entry::Event(entry) = leaf.entry() else { return Err(HistoryError::NotIdentity { at }) };
        if !matches!(entry.event().body(), Body::Identity(_)) {
            return Err(HistoryError::NotIdentity { at });
        }
        if entry.event().issuer() != did {
            return Err(HistoryError::OtherDid { at, got: entry.event().issuer() });
        }
        let state = Identity::apply(self.state.as_ref(), entry.pending(), index)
            .map_err(|error| HistoryError::State { at, error })?;
        self.state = Some(state);
        self.events.push((index, EventEntry::clone(entry)));
        Ok(())
    }

    /// The events with their indexes.
    pub fn events(&self) -> &[(LeafIndex, EventEntry)] {
        &self.events
    }

    /// The state after all of them; `None` if there is none.
    pub fn state(&self) -> Option<&Identity> {
        self.state.as_ref()
    }

    /// The state that an entry at `index` met.
    pub fn state_at(&self, index: LeafIndex) -> Option<Identity> {
        let before = self.events.iter().take_while(|(at, _)| *at < index);
        Identity::fold(before.map(|(at, event)| (*at, event.pending())))
    }
}

/// Why events are no history of a DID.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HistoryError {
    /// An event is not in the tree.
    #[error("identity event {at} is not in the tree: {error}")]
    Inclusion {
        /// Its position, from 0.
        at: usize,
        /// Why.
        error: ProofError,
    },
    /// An event breaks a rule by itself.
    #[error("identity event {at}: {error}")]
    Leaf {
        /// Its position, from 0.
        at: usize,
        /// The rule.
        error: BrokenRule,
    },
    /// Another kind of entry.
    #[error("identity event {at} is another kind of entry")]
    NotIdentity {
        /// Its position, from 0.
        at: usize,
    },
    /// Events that are not in log order, or one twice.
    #[error("identity event {at} does not come after the one before")]
    Order {
        /// Its position, from 0.
        at: usize,
    },
    /// Another DID's event.
    #[error("identity event {at} is of {got}")]
    OtherDid {
        /// Its position, from 0.
        at: usize,
        /// Whose.
        got: Did,
    },
    /// An event that does not follow: one before it is missing, or the log took what it must refuse.
    #[error("identity event {at}: {error}")]
    State {
        /// Its position, from 0.
        at: usize,
        /// The rule.
        error: StateError,
    },
    /// More than a DID can have.
    #[error("{0} identity events are more than the {MAX_EVENTS} that a DID can have")]
    TooMany(usize),
}
