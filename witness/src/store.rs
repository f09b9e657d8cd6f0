//! The port to the disk: ordered bytes in columns, written in atomic, durable batches.
//!
//! What the columns hold is [`crate::state`]'s business.

use std::ops::ControlFlow;

pub mod faulty;
pub mod memory;
pub mod rocks;

/// The columns of the store.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Column {
    /// Log → what was cosigned last.
    Cosigned,
    /// Log and slot → a checkpoint that was cosigned before, with the log's signatures.
    History,
    /// Log and contradiction → the two checkpoints that contradict each other. Kept for ever.
    Contradiction,
    /// One key → the number of batches that were written, which the record beside the directory counts too.
    Round,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 4] = [Self::Cosigned, Self::History, Self::Contradiction, Self::Round];

    /// The column's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosigned => "cosigned",
            Self::History => "history",
            Self::Contradiction => "evidence",
            Self::Round => "round",
        }
    }
}

/// The key under which a store counts its batches.
pub const ROUND_KEY: &[u8] = b"round";

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

    /// What the batch holds, in the order in which it is written.
    pub fn puts(&self) -> &[(Column, Vec<u8>, Vec<u8>)] {
        &self.puts
    }
}

/// A store of ordered bytes.
///
/// - [`write`](Self::write) is atomic and durable: once it returns `Ok`, the batch survives a power cut. If it
///   returns `Err`, the batch may or may not be there: the caller stops, and learns which from the disk when it
///   starts again. It is never retried.
/// - A read sees every batch whose `write` has returned, and nothing that is not durable.
/// - Many threads may read; one thread writes.
pub trait Store: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows `visit` the keys that begin with `prefix`, ascending, until it breaks.
    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError>;

    /// Writes a batch.
    fn write(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Records a written batch in the second record, if the store has one. Batches come one after the other, in the order
    /// in which they were written; the next one may be written meanwhile. Nobody is answered before this returns `Ok`. An
    /// `Err` means the same as one of [`write`](Self::write).
    fn confirm(&self, batch: &Batch) -> Result<(), StoreError> {
        let _ = batch;
        Ok(())
    }
}

/// The disk, or the database on it, failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the store failed to {action}: {cause}")]
pub struct StoreError {
    /// What was being done.
    pub action: &'static str,
    /// What the database said.
    pub cause: String,
}

impl StoreError {
    /// An error while doing `action`.
    pub fn new(action: &'static str, cause: impl std::fmt::Display) -> Self {
        Self { action, cause: cause.to_string() }
    }
}

/// What every store keeps, run by each implementation's tests.
#[cfg(test)]
pub(crate) fn contract(store: &dyn Store) {
    let mut batch = Batch::default();
    for key in [[1u8, 1], [1, 3], [1, 2], [2, 1]] {
        batch.put(Column::Cosigned, key, [key[1] * 10]);
    }
    batch.put(Column::Contradiction, *b"x", *b"y");
    store.write(&batch).expect("a write");
    assert_eq!(store.get(Column::Cosigned, &[1, 2]).expect("a read"), Some(vec![20]));
    assert_eq!(store.get(Column::History, &[1, 2]).expect("a read"), None);
    let keys = |prefix: &[u8], most: usize| {
        let mut keys = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            keys.push([key[0], key[1]]);
            if keys.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(Column::Cosigned, prefix, &mut visit).expect("a scan");
        keys
    };
    assert_eq!(keys(&[], 9), [[1, 1], [1, 2], [1, 3], [2, 1]]);
    assert_eq!(keys(&[1], 9), [[1, 1], [1, 2], [1, 3]]);
    assert_eq!(keys(&[1], 2), [[1, 1], [1, 2]]);
    assert!(keys(&[3], 9).is_empty());
    // The last put of a key counts, in a batch and after it.
    let mut batch = Batch::default();
    batch.put(Column::Cosigned, [1, 2], [98]);
    batch.put(Column::Cosigned, [1, 2], [99]);
    store.write(&batch).expect("a write");
    assert_eq!(store.get(Column::Cosigned, &[1, 2]).expect("a read"), Some(vec![99]));
}
