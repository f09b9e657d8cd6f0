//! A change of keys that was begun: kept on disk until the credentials have the new key.

use attestation::event::{Body, IdentityEvent, PendingEvent};
use attestation::identity::Identity as State;
use serde::Deserialize;
use serde_json::json;
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use super::stored_key::{StoredKey, WireKey};
use crate::report::Result;

/// A change of keys: the event, and the keys after it.
pub(crate) struct UnderWay {
    /// The event, as it is sent.
    pub event: PendingEvent,
    /// The current key after it.
    pub key: StoredKey,
    /// The next key after it.
    pub next: StoredKey,
    /// Where the recovery key after it was written, if it makes one.
    pub recovery_file: Option<String>,
}

/// Where a change of keys stands by the state of its DID in a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// The current and the next key are those of the change.
    Logged,
    /// It can be the next event.
    Open,
    /// Another event came first.
    Passed,
    /// It was made on a later state than this one: the log shows an old one.
    Later,
}

impl UnderWay {
    /// A change to these keys, which are kept as the credentials are.
    pub(crate) fn new(
        event: PendingEvent,
        key: &Ed25519PrivateKey,
        next: &Ed25519PrivateKey,
        recovery_file: Option<String>,
        passphrase: Option<&str>,
    ) -> Result<Self> {
        let (key, next) = (StoredKey::new(key, passphrase)?, StoredKey::new(next, passphrase)?);
        Ok(Self { event, key, next, recovery_file })
    }

    /// Where it stands by the state of its DID in the log of this origin.
    pub(crate) fn standing(&self, state: &State, origin: &str) -> Standing {
        let Body::Identity(event) = self.event.event().body() else { return Standing::Passed };
        let is_logged = match event {
            IdentityEvent::Rotation { key, next, .. } => (key, *next) == (state.key(), state.next()),
            IdentityEvent::Recovery { key, next, recovery, .. } => {
                (key, *next, *recovery) == (state.key(), state.next(), state.recovery())
            }
            _ => false,
        };
        match event.link() {
            _ if is_logged => Standing::Logged,
            Some(link) if link == state.link() => Standing::Open,
            Some(link) if self.event.event().origin() == origin && link.sequence > state.link().sequence => {
                Standing::Later
            }
            _ => Standing::Passed,
        }
    }

    /// `rotation` or `recovery`.
    pub(crate) fn name(&self) -> &'static str {
        self.event.event().name()
    }

    /// Whether it is a recovery, and no rotation.
    pub(crate) fn is_recovery(&self) -> bool {
        matches!(self.event.event().body(), Body::Identity(IdentityEvent::Recovery { .. }))
    }

    /// The command that finishes it.
    pub(crate) fn command(&self) -> &'static str {
        match self.is_recovery() {
            true => "`aip-attest recover --recovery FILE`",
            false => "`aip-attest rotate-key`",
        }
    }

    pub(super) fn from_wire(wire: WireUnderWay) -> Option<Self> {
        let event = encoding::decode_base64(&wire.event)?;
        Some(Self {
            event: PendingEvent::parse(&event).ok()?,
            key: StoredKey::from_wire(wire.key)?,
            next: StoredKey::from_wire(wire.next)?,
            recovery_file: wire.recovery_file,
        })
    }

    pub(super) fn to_json(&self) -> Zeroizing<String> {
        let event = encoding::base64(&self.event.to_bytes());
        let (key, next) = (self.key.to_json(), self.next.to_json());
        let file = self.recovery_file.as_ref();
        let file = file.map_or(String::new(), |file| format!(",\"recoveryFile\":{}", json!(file)));
        Zeroizing::new(format!("{{\"event\":\"{event}\",\"key\":{},\"next\":{}{file}}}", *key, *next))
    }
}

/// Its JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireUnderWay {
    event: String,
    key: WireKey,
    next: WireKey,
    recovery_file: Option<String>,
}
