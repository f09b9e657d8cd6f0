//! Submitting: what is sent, and what became of it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::Problem;
use crate::entry::ClaimHash;

/// One submission. A request brings one, or an array of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Submission<'a> {
    /// The pending leaf, base64.
    #[serde(borrow)]
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub leaf: Cow<'a, str>,
    /// The DSSE envelope, to be published.
    #[serde(
        borrow,
        default,
        deserialize_with = "whatever_is_there",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Value>))]
    pub envelope: Option<&'a RawValue>,
}

/// Keeps an explicit `null`, so that it is rejected: read as "no envelope", it would log the entry by hash, irreversibly.
fn whatever_is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What became of one submission.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "status")]
pub enum Answer {
    /// In the published tree.
    Logged {
        /// The leaf index.
        #[serde(default)]
        #[cfg_attr(feature = "utoipa", schema(required = true))]
        index: u64,
        /// The leaf with its `loggedAt`, base64.
        leaf: String,
        /// A C2SP tlog-proof.
        proof: String,
        /// The second note, for stock cosign.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "utoipa", schema(value_type = String, required = true))]
        sigstore_note: Option<String>,
        /// The signer's identity events, with proofs to the same checkpoint.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        identity: Vec<ProvedLeaf>,
    },
    /// Durable, and certain to be published.
    Committed {
        /// SHA-256 of the claim, hex.
        #[serde(default)]
        #[cfg_attr(feature = "utoipa", schema(required = true))]
        claim: String,
        /// Where to ask for it.
        #[serde(default)]
        #[cfg_attr(feature = "utoipa", schema(required = true))]
        url: String,
        /// What it waits for, if that takes longer than it should.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Problem>,
    },
    /// Breaks a rule.
    Refused {
        /// Which.
        error: Problem,
    },
    /// Not taken now.
    Unavailable {
        /// Why.
        error: Problem,
    },
}

impl Answer {
    /// The claim is durable; `reason` says what it waits for.
    pub fn committed(claim: ClaimHash, reason: Option<Problem>) -> Self {
        let claim = claim.get();
        Self::Committed { url: super::claim(&claim), claim: claim.to_string(), reason }
    }
}

/// An event with its proof to the published checkpoint.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ProvedLeaf {
    /// The leaf, base64.
    pub leaf: String,
    /// A C2SP tlog-proof.
    pub proof: String,
}
