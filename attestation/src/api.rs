//! The JSON of a log's HTTP interface (`specs/http.md`): what the server writes the client reads as the same types, and the
//! other way round.
//!
//! | request | its body | its answer |
//! |---|---|---|
//! | `POST /api/v1/entries`, `GET /api/v1/claims/{hash}` | [`Submission`] | [`Answer`] |
//! | `GET /api/v1/entries/{index}` | | [`IndexedLeaf`] |
//! | `GET /api/v1/entries?…` | | [`EntryPage`] |
//! | `GET /api/v1/lists?…` | | [`Lists`] |
//! | `GET /api/v1/proofs/…` | | [`InclusionProof`], [`ConsistencyProof`] |
//! | `GET /did/{did}`, `GET /api/v1/dids/{did}` | | [`DidDocument`], [`Resolution`] |
//! | `POST /api/v1/evidence` | [`EvidenceQuery`] | [`crate::evidence::Evidence`] |
//! | `GET /lookup/{did}`, `POST /message` of Python `aip` | [`python::Message`] | [`python::Lookup`] |
//! | any, refused | | [`Problem`] |
//!
//! The requests to a relay and its answers are in [`crate::message`].
//!
//! Reading believes nothing and verifies nothing. A server refuses members that it does not know; a client passes over them, as
//! a newer log may have them, and asks only for what it uses. The reader bounds the bytes.

mod did;
mod evidence;
mod lookup;
mod problem;
pub mod python;
mod submission;
#[cfg(test)]
mod tests;

pub use did::{
    DidDocument, DidMetadata, KeyPeriod, Registered, Resolution, Service, VerificationMethod, Window,
};
pub use evidence::{EvidenceQuery, TrustQuery};
pub use lookup::{ConsistencyProof, EntryPage, InclusionProof, IndexedLeaf, Lists};
pub use problem::Problem;
pub use submission::{Answer, ProvedLeaf, Submission};

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;
use tlog::Hash;

/// Where entries are submitted, and looked up.
pub const ENTRIES: &str = "/api/v1/entries";

/// Where to ask what became of a claim.
pub fn claim(hash: &Hash) -> String {
    format!("/api/v1/claims/{hash}")
}

/// Where lists are read.
pub const LISTS: &str = "/api/v1/lists";

/// Where evidence is asked for.
pub const EVIDENCE: &str = "/api/v1/evidence";

/// Reads a member that its reader can do without: what is of another form counts as absent.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}
