//! Reading: entries, lists, proofs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An entry in an answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct IndexedLeaf {
    /// The leaf index.
    pub index: u64,
    /// The leaf, base64.
    pub leaf: String,
}

/// A page of entries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EntryPage {
    /// The size of the tree that was searched.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub tree_size: u64,
    /// The entries.
    pub entries: Vec<IndexedLeaf>,
    /// The path of the next page.
    pub next: Option<String>,
}

/// Lists of entries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Lists {
    /// The size of the tree that they are of.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub tree_size: u64,
    /// Each list by its name: its entries, base64 of 32 bytes.
    pub lists: BTreeMap<String, Vec<String>>,
}

/// An inclusion proof between an index and a size. Hashes are base64.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct InclusionProof {
    /// The leaf index.
    pub index: u64,
    /// The tree size.
    pub tree_size: u64,
    /// The leaf hash.
    pub leaf_hash: String,
    /// The root of the tree.
    pub root: String,
    /// The proof.
    pub hashes: Vec<String>,
}

/// A consistency proof between two sizes. Hashes are base64.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConsistencyProof {
    /// The older size.
    pub old: u64,
    /// The newer size.
    pub new: u64,
    /// The root of the older tree.
    pub old_root: String,
    /// The root of the newer tree.
    pub new_root: String,
    /// The proof.
    pub hashes: Vec<String>,
}
