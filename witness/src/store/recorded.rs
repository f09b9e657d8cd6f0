//! A store whose batches are counted, and recorded a second time outside of it.

use std::sync::{Mutex, PoisonError};

use super::{Batch, Column, Store, StoreError, Visit};
use crate::record::CosignedRecord;
use crate::state;

/// Another store, and the record beside it. A batch is a round: first in the store, then in the record, and durable in
/// both before [`write`](Store::write) returns. So after a crash the store may be one round ahead, and never behind.
#[derive(Debug)]
pub struct RecordedStore<S> {
    inner: S,
    record: Mutex<CosignedRecord>,
}

impl<S: Store> RecordedStore<S> {
    /// A store, and a record that agrees with it.
    pub fn new(inner: S, record: CosignedRecord) -> Self {
        Self { inner, record: Mutex::new(record) }
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
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = state::rows_of(batch).map_err(|e| StoreError::new("record what it holds", e))?;
        let mut batch = batch.clone();
        batch.put(Column::Round, ROUND_KEY, (record.round() + 1).to_string());
        self.inner.write(&batch)?;
        record.append(rows).map_err(|e| StoreError::new("write its second record", e))
    }
}

/// The key under which a store counts its batches.
pub const ROUND_KEY: &[u8] = b"round";

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;
    use crate::record::Rows;

    #[test]
    fn a_batch_that_says_what_it_is_not_is_not_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let record = CosignedRecord::replace(&folder.path().join("w.cosigned"), 0, Rows::new());
        let store = RecordedStore::new(MemoryStore::default(), record.expect("a record"));
        let mut batch = Batch::default();
        batch.put(Column::Cosigned, [1], *b"no note");
        assert!(store.write(&batch).is_err());
        assert_eq!(store.get(Column::Cosigned, &[1]), Ok(None));
    }
}
