//! What a relay answers. Relay and client share these types.

use serde::{Deserialize, Serialize};

use super::EnvelopeId;
use super::legacy::LegacyContent;
use crate::did::Did;
use crate::logged::LogTime;

/// A message was kept, or was known already.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Until when it is kept.
    #[cfg_attr(feature = "utoipa", schema(value_type = u64))]
    pub expires: LogTime,
    /// Its envelope id: SHA-256 of the sealed message, hex.
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub id: EnvelopeId,
    /// When it came first.
    #[cfg_attr(feature = "utoipa", schema(value_type = u64))]
    pub received_at: LogTime,
    /// False: it waits already, or was acknowledged before.
    pub stored: bool,
}

/// Mail by arrival.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The mail, at most about 1 MiB of it.
    pub messages: Vec<Waiting>,
    /// Whether there is more behind the last of them.
    pub more: bool,
    /// The relay's time.
    pub now: LogTime,
}

/// A message that waits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The message: the member `sealed` or `legacy`.
    #[serde(flatten)]
    pub content: Content,
    /// Until when it is kept.
    pub expires: LogTime,
    /// Its envelope id; of legacy mail the relay makes one.
    pub id: EnvelopeId,
    /// Its number in the mailbox: what [`super::List::after`] counts.
    pub number: u64,
    /// When it came.
    pub received_at: LogTime,
    /// Who sent it: whose signature the relay checked.
    pub sender: Did,
}

/// What waits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// Mail of Python `aip` 0.5.
    Legacy(LegacyContent),
    /// A sealed message in base64, as [`super::Sealed::from_base64`] reads it.
    Sealed(String),
}

/// Mail was deleted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Acknowledged {
    /// How many of the ids were there.
    pub acknowledged: u64,
}
