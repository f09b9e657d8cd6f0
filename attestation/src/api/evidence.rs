//! What evidence is wanted of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::did::Did;

/// What evidence is wanted of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EvidenceQuery {
    /// The DID
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub did: Did,
    /// Whether to show how messages reach it, too: its list `msg`, and the last entry of that
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub messages: bool,
    /// By whose trust; without it only the DID's state is proven
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustQuery>,
}

impl EvidenceQuery {
    /// The state of a DID, and nothing else.
    pub fn state(did: Did) -> Self {
        Self { did, messages: false, trust: None }
    }

    /// The state of a DID, and how messages reach it.
    pub fn messages(did: Did) -> Self {
        Self { messages: true, ..Self::state(did) }
    }

    /// All that a judgement by this trust needs.
    pub fn trust(did: Did, trust: TrustQuery) -> Self {
        Self { trust: Some(trust), ..Self::state(did) }
    }
}

/// The consumer's parameters, as `specs/trust.md` has them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TrustQuery {
    /// Per mille
    pub decay: u16,
    /// Parts per million
    pub floor: u32,
    /// The longest path
    pub max_hops: u8,
    /// The fewest paths
    pub min_paths: u8,
    /// Each root's DID and its weight in per mille
    #[cfg_attr(feature = "utoipa", schema(value_type = BTreeMap<String, u16>))]
    pub roots: BTreeMap<Did, u16>,
    /// What for
    pub scope: String,
    /// Parts per million
    pub threshold: u32,
}
