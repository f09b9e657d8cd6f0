//! The port to the disk: ordered bytes in columns, written in atomic, durable batches.
//!
//! What the columns hold is [`schema`]'s business. Leaves, full tiles, lookups and envelopes are written once, with the
//! same bytes on a retry, and never change, with one exception: `erase` replaces an envelope by its tombstone, in the
//! same row. The named state ([`Column::State`]) is replaced all the time; it is small, so that a later store may keep
//! it elsewhere.

use std::ops::ControlFlow;

pub use log_core::StoreError;
use service::disk;

pub mod faulty;
pub mod memory;
pub mod rocks;
pub mod schema;

pub mod damage;
pub mod salvaged;

/// The columns of the store.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Column {
    /// Leaf index → leaf bytes.
    Leaf,
    /// Tile level and index → 256 hashes. Full tiles only.
    Tile,
    /// SHA-256 of the claim → leaf index.
    Claim,
    /// Subject digest and leaf index → nothing.
    Subject,
    /// DID and leaf index → nothing, or the kind of an event.
    Did,
    /// List and leaf index → the rest of the list's entry.
    List,
    /// Envelope hash → envelope, or its tombstone.
    Envelope,
    /// Named mutable state.
    State,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 8] = [
        Self::Leaf,
        Self::Tile,
        Self::Claim,
        Self::Subject,
        Self::Did,
        Self::List,
        Self::Envelope,
        Self::State,
    ];

    /// The column's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Tile => "tile",
            Self::Claim => "claim",
            Self::Subject => "subject",
            Self::Did => "did",
            Self::List => "list",
            Self::Envelope => "envelope",
            Self::State => "state",
        }
    }
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// From small keys to large ones.
    Ascending,
    /// From large keys to small ones.
    Descending,
}

/// Sees one key and its value, and says whether the scan goes on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// What is written together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    puts: Vec<(Column, Vec<u8>, Vec<u8>)>,
}

impl Batch {
    /// Adds one key and its value.
    pub fn put(&mut self, column: Column, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.puts.push((column, key.into(), value.into()));
    }

    /// What the batch holds.
    pub fn puts(&self) -> &[(Column, Vec<u8>, Vec<u8>)] {
        &self.puts
    }
}

/// A store of ordered bytes.
///
/// - [`write`](Self::write) is atomic and durable: once it returns `Ok`, the batch survives a power
///   cut. If it returns `Err`, the batch may or may not be there: the caller stops, and learns which
///   from the disk when it starts again. It is never retried.
/// - A read sees every batch whose `write` has returned.
/// - Many threads may read; one thread writes.
pub trait Store: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of keys, in their order. One look where the store can do so.
    fn get_many(&self, column: Column, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(column, key)).collect()
    }

    /// Shows `visit` the keys from `from` on, in `order`, until it breaks.
    fn scan(&self, column: Column, from: &[u8], order: Order, visit: Visit<'_>) -> Result<(), StoreError>;

    /// Writes a batch.
    fn write(&self, batch: &Batch) -> Result<(), StoreError>;

    /// The store, of whatever type.
    fn as_dyn(&self) -> &dyn Store;

    /// Makes sure that what a key held before its last write is on no disk of the store any more.
    fn expunge(&self, column: Column, key: &[u8]) -> Result<(), StoreError>;
}

/// An error of the file system while doing `action`.
pub fn of_disk(action: &'static str, cause: &std::io::Error) -> StoreError {
    StoreError { may_pass: disk::may_pass(cause), ..StoreError::new(action, cause) }
}

/// What every store keeps, run by each implementation's tests.
#[cfg(test)]
pub(crate) fn contract(store: &dyn Store) {
    let mut batch = Batch::default();
    for key in [1u8, 3, 2] {
        batch.put(Column::Leaf, [key], [key * 10]);
    }
    batch.put(Column::State, *b"x", *b"y");
    store.write(&batch).expect("a write");
    assert_eq!(store.get(Column::Leaf, &[2]).expect("a read"), Some(vec![20]));
    assert_eq!(store.get(Column::Tile, &[2]).expect("a read"), None);
    let keys = |from: &[u8], order| {
        let mut keys = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            keys.push(key[0]);
            if keys.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(Column::Leaf, from, order, &mut visit).expect("a scan");
        keys
    };
    assert_eq!(keys(&[0], Order::Ascending), [1, 2]);
    assert_eq!(keys(&[2], Order::Ascending), [2, 3]);
    assert_eq!(keys(&[2], Order::Descending), [2, 1]);
    assert_eq!(keys(&[9], Order::Descending), [3, 2]);
    assert!(keys(&[9], Order::Ascending).is_empty());
    let mut batch = Batch::default();
    batch.put(Column::Leaf, [2], [99]);
    store.write(&batch).expect("a write");
    store.expunge(Column::Leaf, &[2]).expect("an expunge");
    assert_eq!(store.get(Column::Leaf, &[2]).expect("a read"), Some(vec![99]));
}
