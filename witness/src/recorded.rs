//! A store whose batches are counted, and recorded a second time outside of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::record::{CosignedRecord, Row};
use crate::state;
use crate::store::{Batch, Column, ROUND_KEY, Store, StoreError, Visit};

/// Another store, and the record beside it. A batch is a round: first in the store ([`write`](Store::write)), then in
/// the record ([`confirm`](Store::confirm)), each time durable. While one is confirmed the next may be written. So after
/// a crash the store may be two rounds ahead ([`crate::agreement::MOST_AHEAD`]), and never behind.
#[derive(Debug)]
pub struct RecordedStore<S> {
    inner: S,
    /// The number of the last round that was written.
    round: AtomicU64,
    record: Mutex<CosignedRecord>,
}

impl<S: Store> RecordedStore<S> {
    /// A store, and a record that agrees with it.
    pub fn new(inner: S, record: CosignedRecord) -> Self {
        Self { inner, round: AtomicU64::new(record.round()), record: Mutex::new(record) }
    }

    /// The store itself.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> Store for RecordedStore<S> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        rows_of(batch)?;
        let mut batch = batch.clone();
        // One thread writes.
        let round = self.round.fetch_add(1, Ordering::AcqRel) + 1;
        batch.put(Column::Round, ROUND_KEY, round.to_string());
        self.inner.write(&batch)
    }

    fn confirm(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.append(rows_of(batch)?).map_err(|e| StoreError::new("write its second record", e))
    }
}

fn rows_of(batch: &Batch) -> Result<Vec<Row>, StoreError> {
    state::rows_of(batch).map_err(|e| StoreError::new("record what it holds", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Rows;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_batch_that_says_what_it_is_not_is_not_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let record = CosignedRecord::replace(&folder.path().join("w.cosigned"), "w", 0, Rows::new());
        let store = RecordedStore::new(MemoryStore::default(), record.expect("a record"));
        let mut batch = Batch::default();
        batch.put(Column::Cosigned, [1], *b"no note");
        assert!(store.write(&batch).is_err());
        assert_eq!(store.get(Column::Cosigned, &[1]), Ok(None));
    }
}
