//! What can be read of a damaged store: as RocksDB reads it once the damage is taken out of its files.
//!
//! The store itself is left as it is.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use service::wal::Mended;
use tlog::LeafIndex;

use super::rocks::RocksStore;
use super::schema::Read as _;
use super::{Store, StoreError, of_disk};

/// A damaged store, as far as it can be read.
pub struct Salvaged {
    store: Arc<RocksStore>,
    /// After the store, which reads it.
    _mended: Mended,
}

impl Salvaged {
    /// Reads the store at `db`.
    pub fn open(db: &Path) -> Result<Self, StoreError> {
        Self::of(Mended::copy(db))
    }

    /// Reads it as it was before what is damaged.
    pub fn before_damage(db: &Path) -> Result<Self, StoreError> {
        Self::of(Mended::before_damage(db))
    }

    fn of(mended: io::Result<Mended>) -> Result<Self, StoreError> {
        let mended = mended.map_err(|e| of_disk("copy its files", &e))?;
        let store = RocksStore::open_read_only(mended.path())?;
        Ok(Self { store: Arc::new(store), _mended: mended })
    }

    /// Its rows. The reader checks each of them: an unreadable row is an error, or is missing.
    pub fn store(&self) -> &Arc<RocksStore> {
        &self.store
    }
}

/// Which of the leaves `from..to` cannot be read.
pub fn missing_leaves(store: &dyn Store, from: u64, to: u64) -> Vec<Range<u64>> {
    let mut missing: Vec<Range<u64>> = Vec::new();
    let mut next = from;
    while next < to {
        let end = to.min(next + 256);
        if store.leaves(next, end, &mut |_, _| ()).is_err() {
            for index in next..end {
                if store.leaf(LeafIndex::new(index)).is_ok_and(|leaf| leaf.is_some()) {
                    continue;
                }
                match missing.last_mut().filter(|last| last.end == index) {
                    Some(last) => last.end += 1,
                    None => missing.push(index..index + 1),
                }
            }
        }
        next = end;
    }
    missing
}

/// Ranges of indexes in words: `3, 120 to 131`.
pub fn ranges(ranges: &[Range<u64>]) -> String {
    let words = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{} to {}", range.start, range.end - 1),
    };
    ranges.iter().map(words).collect::<Vec<_>>().join(", ")
}
