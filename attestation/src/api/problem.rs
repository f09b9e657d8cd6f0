//! Refusals: RFC 9457 problem details.
//!
//! Whoever stands between a client and a log may answer one, so that reading is lenient: a member of another form counts as
//! absent.

use serde::{Deserialize, Serialize};

use super::lenient;
use crate::entry::LogTime;

/// What went wrong, for a client.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:aip:problem:` and the fixed identifier of the rule that was broken.
    #[serde(rename = "type", default, deserialize_with = "lenient")]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub kind: String,
    /// The fact.
    #[serde(default, deserialize_with = "lenient")]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub title: String,
    /// The HTTP status.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = u16, required = true))]
    pub status: Option<u16>,
    /// Which value.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The server's time, Unix milliseconds, where the client's is wrong.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<u64>))]
    pub now: Option<LogTime>,
}

impl Problem {
    /// The media type of a refusal.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    /// A problem: status, rule and fact.
    pub fn new(status: u16, rule: &str, title: impl Into<String>) -> Self {
        Self { kind: format!("{PREFIX}{rule}"), title: title.into(), status: Some(status), ..Self::default() }
    }

    /// The identifier of the rule; empty if there is none.
    pub fn rule(&self) -> &str {
        self.kind.strip_prefix(PREFIX).unwrap_or_default()
    }
}

/// What stands before the identifier of a rule.
const PREFIX: &str = "urn:aip:problem:";
