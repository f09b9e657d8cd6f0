//! Damage to the files of a store, found by reading them before RocksDB does.
//!
//! RocksDB takes an unreadable record of a write-ahead log for its end, and opening read-write drops the rest for good. So
//! every caller that opens a store to write looks here first, and changes nothing if it finds damage.

use std::io;
use std::path::Path;

use service::wal;

use super::{StoreError, of_disk};

/// What is damaged in the store at `db`: a sentence for each file. A torn end that a crash explains is no damage.
pub fn examine(db: &Path) -> Result<Vec<String>, StoreError> {
    let unreadable = |e: io::Error| of_disk("read its files", &e);
    if let Some(sentence) = wal::current(db).map_err(unreadable)?.err() {
        return Ok(vec![sentence]);
    }
    let unsound = wal::unsound(db).map_err(unreadable)?;
    Ok(unsound.iter().filter(|file| !file.is_torn()).map(ToString::to_string).collect())
}
