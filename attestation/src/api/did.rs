//! DIDs: their documents (W3C DID Core), and what proves them. Members are in alphabetical order.

use serde::{Deserialize, Serialize};

use super::{ProvedLeaf, lenient};
use crate::did::Did;

/// What is known of a DID.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The document, as at `/did/{did}`; null if the log knows nothing of the DID.
    #[cfg_attr(feature = "utoipa", schema(value_type = Value))]
    pub did_document: Option<DidDocument>,
    /// Its history: `specs/http.md`.
    #[cfg_attr(feature = "utoipa", schema(value_type = Value))]
    pub did_document_metadata: DidMetadata,
    /// The published checkpoint.
    pub checkpoint: String,
    /// The identity events, in log order, with proofs to it; none if the DID is not registered.
    pub identity: Vec<ProvedLeaf>,
}

/// A DID document. A client needs its `alsoKnownAs` alone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DidDocument {
    /// The JSON-LD contexts.
    #[serde(rename = "@context", default, deserialize_with = "lenient")]
    pub context: Vec<String>,
    /// The `did:key` of the key that counts now.
    #[serde(default)]
    pub also_known_as: Vec<String>,
    /// The ids of the keys that sign statements.
    #[serde(default, deserialize_with = "lenient")]
    pub assertion_method: Vec<String>,
    /// The ids of the keys that the DID proves itself by.
    #[serde(default, deserialize_with = "lenient")]
    pub authentication: Vec<String>,
    /// The DID.
    #[serde(default, deserialize_with = "lenient")]
    pub id: String,
    /// The keys that a message is sealed to at this moment.
    #[serde(default, deserialize_with = "lenient")]
    pub key_agreement: Vec<VerificationMethod>,
    /// Where the history of the DID is, with what proves it.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub service: Vec<Service>,
    /// The key that counts now.
    #[serde(default, deserialize_with = "lenient")]
    pub verification_method: Vec<VerificationMethod>,
}

/// A key in a DID document.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationMethod {
    /// The DID.
    pub controller: String,
    /// The DID, `#`, and the key in multibase.
    pub id: String,
    /// The key.
    pub public_key_multibase: String,
    /// `Multikey`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A service in a DID document.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// The DID, `#`, and a name.
    pub id: String,
    /// Its URL.
    pub service_endpoint: String,
    /// What it is, a URI.
    #[serde(rename = "type")]
    pub kind: String,
}

impl VerificationMethod {
    /// A key of `did`, as it stands behind `did:key:`.
    pub fn multikey(did: Did, multibase: String) -> Self {
        Self {
            controller: did.to_string(),
            id: format!("{did}#{multibase}"),
            public_key_multibase: multibase,
            kind: "Multikey".to_owned(),
        }
    }
}

/// The metadata of a DID document.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum DidMetadata {
    /// Of a DID that has an inception.
    Registered(Box<Registered>),
    /// Of any other.
    #[serde(rename_all = "camelCase")]
    Bare {
        /// False.
        registered: bool,
        /// The size of the published tree.
        tree_size: u64,
    },
}

impl DidMetadata {
    /// Of a DID that is not registered in the tree of this size.
    pub fn bare(tree_size: u64) -> Self {
        Self::Bare { registered: false, tree_size }
    }
}

/// The metadata of a DID that is registered. Times are RFC 3339 in UTC, to the second.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// What its key may do.
    pub capabilities: Vec<&'static str>,
    /// When the first event was logged.
    pub created: String,
    /// Whether it is over.
    pub deactivated: bool,
    /// All keys.
    pub keys: Vec<KeyPeriod>,
    /// The commitment to the next key, hex.
    pub next_key: String,
    /// What the next event names as the one before, hex.
    pub previous: String,
    /// The name that it gave itself.
    pub public_name: Option<String>,
    /// The index of the last recovery.
    pub recovered: Option<u64>,
    /// The commitment to the recovery key, hex.
    pub recovery_key: String,
    /// True.
    pub registered: bool,
    /// The number of the next event.
    pub sequence: u32,
    /// `active`, `compromised` or `deactivated`.
    pub status: &'static str,
    /// The size of the published tree.
    pub tree_size: u64,
    /// When the last event was logged.
    pub updated: String,
    /// The index of the last event.
    pub version_id: String,
    /// Between which indexes what it signed is void.
    pub windows: Vec<Window>,
}

/// A key of a DID, and the events between which it was that.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPeriod {
    /// The index of the event that named it.
    pub from: u64,
    /// The key.
    pub public_key_multibase: Option<String>,
    /// The index of the event that named the next one.
    pub until: Option<u64>,
}

/// Indexes between which what a DID signed is void.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Window {
    /// The first.
    pub since: u64,
    /// The one behind the last.
    pub until: Option<u64>,
}
