//! A store whose writes fail when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Batch, Column, Store, StoreError, Visit};

/// Another store with one write that fails, and everything after it: as after a failed fsync.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: Arc<S>,
    writes_left: AtomicU64,
    persisted: bool,
}

impl<S: Store> FaultyStore<S> {
    /// Lets `writes` writes through, then fails. `persisted` says whether the batch of the failing write is there
    /// afterwards all the same: both happen on a real disk.
    pub fn new(inner: Arc<S>, writes: u64, persisted: bool) -> Self {
        Self { inner, writes_left: AtomicU64::new(writes.saturating_add(1)), persisted }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        match self.writes_left.load(Ordering::SeqCst) {
            0 => Err(StoreError::new("write", "it has failed before")),
            1 => {
                self.writes_left.store(0, Ordering::SeqCst);
                if self.persisted {
                    self.inner.write(batch)?;
                }
                Err(StoreError::new("write", "injected fault"))
            }
            left => {
                self.writes_left.store(left - 1, Ordering::SeqCst);
                self.inner.write(batch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;

    #[test]
    fn a_faulty_store_keeps_the_contract_until_it_fails_for_good() {
        super::super::contract(&FaultyStore::new(Arc::new(MemoryStore::default()), 2, false));
        for persisted in [false, true] {
            let inner = Arc::new(MemoryStore::default());
            let store = FaultyStore::new(inner.clone(), 0, persisted);
            let mut batch = Batch::default();
            batch.put(Column::Cosigned, *b"k", *b"v");
            assert!(store.write(&batch).is_err() && store.write(&batch).is_err());
            assert_eq!(inner.get(Column::Cosigned, b"k").expect("a read").is_some(), persisted);
        }
    }
}
