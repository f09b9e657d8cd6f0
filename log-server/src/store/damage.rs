//! Damage to the files of a store, told by reading them before RocksDB does.
//!
//! RocksDB takes what it cannot read of a write-ahead log for the end of it, and an open that may write drops the rest
//! for good. So whoever opens a store to write looks here first, and changes nothing if anything is found.

use std::io;
use std::path::Path;

use service::wal;

use super::StoreError;

/// What is damaged in the store at `db`: a sentence for each file. What a crash alone leaves is none.
pub(crate) fn examine(db: &Path) -> Result<Vec<String>, StoreError> {
    let unreadable = |e: io::Error| StoreError::of_disk("read its files", &e);
    if let Some(sentence) = wal::current(db).map_err(unreadable)?.err() {
        return Ok(vec![sentence]);
    }
    let unsound = wal::unsound(db).map_err(unreadable)?;
    Ok(unsound.iter().filter(|file| !file.is_torn()).map(ToString::to_string).collect())
}
