//! What is written once.

use std::future::Future;

use serde::{Deserialize, Serialize};
use tlog::tile::Tile;
use tlog::{Hash, LeafIndex};

use super::Failed;
use crate::StoreError;

/// What is known about an envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoredEnvelope {
    /// Canonical JSON of the envelope.
    Present(Vec<u8>),
    /// Erased, for this reason.
    Erased(Tombstone),
}

/// Why and when an envelope was erased.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// The operator's words.
    pub reason: String,
    /// Unix milliseconds.
    pub erased_at: u64,
}

/// Something that is written once.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// A full tile: its 256 hashes.
    Tile(Tile, &'a [Hash]),
    /// A full bundle: the 256 leaves from 256 times this number on.
    Bundle(u64, &'a [Vec<u8>]),
    /// An envelope, by its hash.
    Envelope(Hash, &'a [u8]),
}

/// Which objects are listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Full tiles of this level.
    Tiles(u8),
    /// Full bundles.
    Bundles,
}

/// What became of a put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Put {
    /// It is durable now, or was there with the same bytes.
    Stored,
    /// Other bytes are there, and stay. Of a tile or a bundle this means that two trees were made under one name: whoever
    /// meets it halts, and raises an alarm.
    Differs,
}

/// Tiles, leaves and envelopes.
pub trait Objects: Send + Sync {
    /// A full tile.
    fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError>;

    /// A leaf, ordered or integrated.
    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows `visit` the leaves `from..to` in order, ordered or integrated. A missing one is damage.
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError>;

    /// An envelope, or its tombstone.
    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError>;

    /// The numbers of the objects of a kind from `from` on, at most `limit`.
    fn list_objects(&self, kind: Kind, from: u64, limit: usize) -> Result<Vec<u64>, StoreError>;

    /// Writes an object once. An engine that keeps leaves one by one answers of a bundle whether it has these leaves.
    fn put(&self, object: Object<'_>) -> impl Future<Output = Result<Put, Failed>> + Send
    where
        Self: Sized;

    /// Replaces an envelope by its tombstone; afterwards no disk of the engine holds the envelope. Whether there was one.
    fn erase(
        &self,
        envelope: &Hash,
        tombstone: &Tombstone,
    ) -> impl Future<Output = Result<bool, Failed>> + Send
    where
        Self: Sized;
}
