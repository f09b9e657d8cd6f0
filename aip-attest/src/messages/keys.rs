//! The keys that open what comes.

use attestation::message::{KeyKind, MessageKeyId, MessagePrivateKey};

use crate::keyfile::{OwnIdentity, message_keys};
use crate::report::{Console, Result};

/// The private keys of a DID that are here.
#[derive(Clone)]
pub(crate) struct Held {
    keys: Vec<MessagePrivateKey>,
    /// The identity key's form, which is among them.
    identity: MessageKeyId,
}

impl Held {
    /// Those of an identity: its own key, and its message keys.
    pub(crate) fn of(identity: &OwnIdentity, console: &mut Console) -> Result<Self> {
        let own = MessagePrivateKey::of_identity(&identity.key).id();
        Ok(Self { identity: own, keys: message_keys::opening(identity, console)? })
    }

    /// All of them.
    pub(crate) fn keys(&self) -> &[MessagePrivateKey] {
        &self.keys
    }

    /// The one of the identity, which mail of Python `aip` is for.
    pub(crate) fn identity(&self) -> &MessagePrivateKey {
        let own = self.keys.iter().find(|key| key.id() == self.identity);
        own.expect("the identity key's form is among them")
    }

    /// Of which kind the key of this id is.
    pub(crate) fn kind(&self, id: MessageKeyId) -> KeyKind {
        if id == self.identity { KeyKind::Identity } else { KeyKind::Message }
    }
}
