//! Whose key it is: by the log's state of the DID, else by the table.

use std::sync::Arc;

use attestation::did::Did;
use attestation::identity::{Identity, Status, check_message_signer};
use tlog::key::Ed25519PublicKey;

use super::answer::Detail;
use crate::http::App;

/// Somebody who is known here.
pub(super) struct Person {
    pub(super) did: Did,
    /// The current key.
    pub(super) key: Ed25519PublicKey,
    /// The log's state; `None`: by the table alone.
    pub(super) state: Option<Arc<Identity>>,
    /// When the DID was registered in the table, Unix milliseconds.
    pub(super) in_table_since: Option<u64>,
}

impl Person {
    /// Whether the DID is not registered in the log.
    pub(super) fn is_bare(&self) -> bool {
        self.state.is_none()
    }

    /// Refuses a DID whose key may not send or read messages.
    pub(super) fn check_messages(&self) -> Result<(), Detail> {
        check_message_signer(self.state.as_deref(), self.did, self.key.as_bytes())
            .map_err(|error| Detail::bad(format!("{}: {error}", self.did)))
    }
}

/// Who has this DID: active by the log's state, or in the table. What the log says comes first: an ended or a compromised DID
/// is not known, whatever the table says.
pub(super) fn person(app: &App, did: Did) -> Result<Option<Person>, Detail> {
    let row = app.v1()?.table.get(did, (app.now)());
    let in_table_since = row.map(|row| row.registered);
    let person = match app.state(did)? {
        Some(state) if state.status() == Status::Active => {
            let key = Ed25519PublicKey::from_bytes(state.key()).ok();
            key.map(|key| Person { did, key, state: Some(state), in_table_since })
        }
        Some(_) => None,
        None => row.map(|row| Person { did, key: row.key, state: None, in_table_since }),
    };
    Ok(person)
}

/// The same of a text in a path: what is no DID is known to nobody.
pub(super) fn named(app: &App, text: &str) -> Result<Person, Detail> {
    let did = text.parse().map_err(|_| Detail::unknown())?;
    person(app, did)?.ok_or_else(Detail::unknown)
}
