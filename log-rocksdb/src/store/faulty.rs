//! A store whose writes fail when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Batch, Column, Order, Store, StoreError, Visit};

/// Another store with one write that fails, and everything after it: as after a failed fsync.
pub struct FaultyStore<S: ?Sized> {
    inner: Arc<S>,
    writes_left: AtomicU64,
    persisted: bool,
}

impl<S: Store + ?Sized> FaultyStore<S> {
    /// Lets `writes` writes through, then fails. `persisted` says whether the batch of the failing
    /// write is there afterwards all the same: both happen on a real disk.
    pub fn new(inner: Arc<S>, writes: u64, persisted: bool) -> Self {
        Self { inner, writes_left: AtomicU64::new(writes), persisted }
    }
}

impl<S: Store + ?Sized> Store for FaultyStore<S> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, from: &[u8], order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, from, order, visit)
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

    fn as_dyn(&self) -> &dyn Store {
        self
    }

    fn expunge(&self, column: Column, key: &[u8]) -> Result<(), StoreError> {
        self.inner.expunge(column, key)
    }
}
