//! The keys that open what comes.

use attestation::message::{KeyKind, MessageKeyId, MessagePrivateKey};

use crate::keyfile::{Identity, message_keys};
use crate::report::{Console, Result};

/// The private keys of a DID that are here.
pub struct Held {
    keys: Vec<MessagePrivateKey>,
    /// The identity key's form, which is among them.
    identity: MessageKeyId,
}

impl Held {
    /// Those of an identity: its own key, and its message keys.
    pub fn of(identity: &Identity, console: &mut Console) -> Result<Self> {
        let own = MessagePrivateKey::of_identity(&identity.key).id();
        Ok(Self { identity: own, keys: message_keys::opening(identity, console)? })
    }

    /// All of them.
    pub fn keys(&self) -> &[MessagePrivateKey] {
        &self.keys
    }

    /// Of which kind the key of this id is.
    pub fn kind(&self, id: MessageKeyId) -> KeyKind {
        if id == self.identity { KeyKind::Identity } else { KeyKind::Message }
    }
}
