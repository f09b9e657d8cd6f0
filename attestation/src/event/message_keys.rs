//! The keys to which messages to a DID are sealed: the whole set from this event on (`specs/event.md`).

use tlog::encoding;

use super::EventError;
use crate::logged::{ClaimHash, LogTime};
use crate::message_key::MessageKey;

/// The most keys of a DID at a time: one a device.
pub const MAX_MESSAGE_KEYS: usize = 8;

/// The longest time between an event and the end of one of its keys.
pub const MAX_MESSAGE_KEY_MILLIS: u64 = 400 * 24 * 60 * 60 * 1_000;

/// What a `message-keys` event says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageKeys {
    /// When the issuer says it was made.
    pub issued_at: LogTime,
    /// The keys, in the order of [`DatedKey::sort`], each once; none: only the identity key is left.
    pub keys: Vec<DatedKey>,
    /// The DID's last event of this kind, void or not; `None` in its first.
    pub previous: Option<ClaimHash>,
}

/// A message key and its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DatedKey {
    /// The key.
    pub key: MessageKey,
    /// From this moment on nobody seals to it.
    pub not_after: LogTime,
}

impl DatedKey {
    /// Brings keys into the order of the format: that of their base64.
    pub fn sort(keys: &mut [Self]) {
        keys.sort_by_cached_key(Self::text);
    }

    fn text(&self) -> String {
        encoding::base64(self.key.as_bytes())
    }

    /// Whether a message may be sealed to it at this moment.
    pub fn is_live(&self, now: LogTime) -> bool {
        now < self.not_after
    }
}

impl MessageKeys {
    /// Its name.
    pub const NAME: &'static str = "message-keys";

    pub(super) fn check(&self) -> Result<(), EventError> {
        let value = |member, want| Err(EventError::Value { member, want });
        if self.keys.len() > MAX_MESSAGE_KEYS {
            return value("keys", "at most 8 keys");
        }
        if !self.keys.is_sorted_by(|a, b| a.text() < b.text()) {
            return value("keys", "sorted by `key`, each once");
        }
        let fits = |key: &DatedKey| {
            let lives = key.not_after.as_millis().checked_sub(self.issued_at.as_millis());
            lives.is_some_and(|lives| (1..=MAX_MESSAGE_KEY_MILLIS).contains(&lives))
        };
        if self.keys.iter().all(fits) {
            Ok(())
        } else {
            value("notAfter", "1 ms to 400 days after `issuedAt`")
        }
    }
}
