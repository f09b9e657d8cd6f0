//! To which keys messages to a DID are sealed: by its state and its `message-keys` events at a tree, and a time
//! (`specs/message.md`).
//!
//! In scope: which keys count. Out of scope: whether the events are all there, which a log asserts (`evidence`) or a reader
//! of the whole log knows.

use tlog::LeafIndex;
use tlog::key::{Ed25519PublicKey, KeyError};

use super::{KeyKind, MessageKey, MessageKeyId};
use crate::event::{Body, DatedKey, EventEntry, MessageKeys};
use crate::identity::{Identity, StateError, check_may_message};
use crate::logged::{ClaimHash, LogTime};

/// How long after its replacement a key still opens what comes: 7 days that a message lives, and one of a sender's old state.
pub const REPLACED_MILLIS: u64 = 8 * 24 * 60 * 60 * 1_000;

/// A `message-keys` event at its place in a log, where its issuer's key of that moment signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoggedKeys {
    /// The place.
    pub index: LeafIndex,
    /// When, by the log's clock.
    pub logged_at: LogTime,
    /// The event hash, which the next one names.
    pub hash: ClaimHash,
    /// What it says.
    pub event: MessageKeys,
}

impl LoggedKeys {
    /// The event of an entry; `None` if it is another one. The caller has checked who signed it.
    pub fn of(index: LeafIndex, entry: &EventEntry) -> Option<Self> {
        let Body::MessageKeys(event) = entry.event().body() else { return None };
        let (logged_at, hash) = (entry.logged_at(), entry.pending().hash());
        Some(Self { index, logged_at, hash, event: event.clone() })
    }
}

/// A DID that messages are sealed to, as a log knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recipient {
    /// Not registered: its key is the one that hashes to it.
    Bare(Ed25519PublicKey),
    /// Registered.
    Registered {
        /// Its state.
        state: Box<Identity>,
        /// Its current key, or the last one.
        key: Ed25519PublicKey,
        /// Its `message-keys` events, the newest first. The newest suffices for [`Recipient::keys`].
        said: Vec<LoggedKeys>,
    },
}

/// The keys to which a message is sealed, an envelope each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    /// Of what kind they are.
    pub kind: KeyKind,
    /// The keys, as the event has them; never empty.
    pub keys: Vec<MessageKey>,
}

impl Recipient {
    /// A registered DID; an error if its key is none that can be believed in, which no log takes.
    pub fn registered(state: Identity, said: Vec<LoggedKeys>) -> Result<Self, KeyError> {
        let key = Ed25519PublicKey::from_bytes(state.key())?;
        Ok(Self::Registered { state: Box::new(state), key, said })
    }

    /// The keys to which a message is sealed at this moment; an error if none may be.
    ///
    /// These are the live keys of the last event that counts. If there are none, it is the identity key.
    pub fn keys(&self, now: LogTime) -> Result<Keys, StateError> {
        self.check()?;
        let last = self.last();
        let live = last.into_iter().flat_map(|said| &said.event.keys).filter(|key| key.is_live(now));
        let keys: Vec<MessageKey> = live.map(|key| key.key).collect();
        Ok(if keys.is_empty() {
            Keys { kind: KeyKind::Identity, keys: vec![self.identity_key()] }
        } else {
            Keys { kind: KeyKind::Message, keys }
        })
    }

    /// Whether a relay takes what is sealed to the key with this id: one of the keys, one that was replaced less than 8 days
    /// ago by the log's clock, or the identity key. An error if it takes nothing for this DID.
    pub fn accepts(&self, key: &MessageKeyId, now: LogTime) -> Result<bool, StateError> {
        self.check()?;
        let mut replaced: Option<LogTime> = None;
        for said in self.counting() {
            let ago = replaced.map(|at| now.as_millis().saturating_sub(at.as_millis()));
            if ago.is_some_and(|ago| ago >= REPLACED_MILLIS) {
                break;
            }
            let is_one = |of: &&DatedKey| of.key.id() == *key;
            if said.event.keys.iter().find(is_one).is_some_and(|of| replaced.is_some() || of.is_live(now)) {
                return Ok(true);
            }
            replaced = Some(said.logged_at);
        }
        Ok(self.identity_key().id() == *key)
    }

    /// The last event that counts.
    pub fn last(&self) -> Option<&LoggedKeys> {
        self.counting().next()
    }

    /// The identity key, in its X25519 form.
    pub fn identity_key(&self) -> MessageKey {
        match self {
            Self::Bare(key) | Self::Registered { key, .. } => MessageKey::of_identity(key),
        }
    }

    /// Whether the log knows events of it.
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Registered { .. })
    }

    fn check(&self) -> Result<(), StateError> {
        match self {
            Self::Bare(_) => Ok(()),
            Self::Registered { state, .. } => check_may_message(state),
        }
    }

    /// The events that count, the newest first: not void, and behind the last recovery.
    fn counting(&self) -> impl Iterator<Item = &LoggedKeys> {
        let (state, said) = match self {
            Self::Bare(_) => (None, &[][..]),
            Self::Registered { state, said, .. } => (Some(state), &said[..]),
        };
        said.iter().filter(move |said| {
            state.is_some_and(|state| {
                !state.is_void(said.index) && state.recovered().is_none_or(|recovery| said.index > recovery)
            })
        })
    }
}
