//! The store on disk: RocksDB, every write synced.
//!
//! Opening read-write truncates the write-ahead log at the first damaged record. Opening read-only keeps the rest for
//! salvage. So a start reads first (`crate::opening`), and opens for writing only what it found whole.

use std::collections::BTreeMap;
use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    FlushOptions, IteratorMode, Options, WriteBatch, WriteOptions,
};

use super::{Batch, Column, Store, StoreError, Visit};

/// A RocksDB directory.
pub struct RocksStore {
    db: DB,
    synced: WriteOptions,
}

impl RocksStore {
    /// Makes a new, empty store. Refuses one that is there.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_error_if_exists(true);
        Self::of(DB::open_cf_descriptors(&options, path, columns()))
    }

    /// Opens a store that was made by [`RocksStore::create`]: a missing one is an error, never a witness that has
    /// seen nothing under keys that have signed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        // A witness of an earlier release has fewer.
        options.create_missing_column_families(true);
        Self::of(DB::open_cf_descriptors(&options, path, columns()))
    }

    /// Opens a store read-only, also while another process uses it: shows what was there at this moment. The caller must
    /// have checked that the record files are whole: RocksDB loops for ever on a flipped record type.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::look(path, &options())
    }

    /// As [`open_read_only`](Self::open_read_only), but skips damage in the write-ahead logs: for salvage, which then says
    /// what is missing.
    pub fn open_damaged(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        options.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
        // A missing write-ahead log may be the damage.
        options.set_track_and_verify_wals_in_manifest(false);
        Self::look(path, &options)
    }

    fn look(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let there = DB::list_cf(options, path).map_err(|e| StoreError::new("open", e))?;
        let columns = columns().into_iter().filter(|column| there.iter().any(|name| name == column.name()));
        Self::of(DB::open_cf_descriptors_read_only(options, path, columns, false))
    }

    /// Sorts everything into files, whose blocks are checked when they are read, and retires the write-ahead log.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        let columns: Vec<_> = Column::ALL.iter().filter_map(|column| self.column(*column)).collect();
        self.db.flush_cfs_opt(&columns, &flush).map_err(|e| StoreError::new("flush", e))
    }

    /// What can be read of a column, from both ends towards the damage, and the first error if there is any.
    pub fn rescue(&self, column: Column) -> (BTreeMap<Vec<u8>, Vec<u8>>, Option<StoreError>) {
        let mut rows = BTreeMap::new();
        let mut damage = None;
        let Some(column) = self.column(column) else { return (rows, damage) };
        for mode in [IteratorMode::Start, IteratorMode::End] {
            for pair in self.db.iterator_cf(column, mode) {
                match pair {
                    Ok((key, value)) => drop(rows.insert(key.into(), value.into())),
                    Err(error) => {
                        damage.get_or_insert_with(|| StoreError::new("scan", error));
                        break;
                    }
                }
            }
            if damage.is_none() {
                break;
            }
        }
        (rows, damage)
    }

    fn of(db: Result<DB, rocksdb::Error>) -> Result<Self, StoreError> {
        let db = db.map_err(|e| StoreError::new("open", e))?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Self { db, synced })
    }

    /// `None` only in a store of an earlier release that was opened to look at it.
    fn column(&self, column: Column) -> Option<&rocksdb::ColumnFamily> {
        self.db.cf_handle(column.name())
    }
}

impl Store for RocksStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(column) = self.column(column) else { return Ok(None) };
        self.db.get_cf(column, key).map_err(|e| StoreError::new("read", e))
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        let Some(column) = self.column(column) else { return Ok(()) };
        for pair in self.db.iterator_cf(column, IteratorMode::From(prefix, Direction::Forward)) {
            let (key, value) = pair.map_err(|e| StoreError::new("scan", e))?;
            if !key.starts_with(prefix) || visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for (column, key, value) in batch.puts() {
            let column =
                self.column(*column).ok_or_else(|| StoreError::new("write", "a column is missing"))?;
            writes.put_cf(column, key, value);
        }
        self.db.write_opt(writes, &self.synced).map_err(|e| StoreError::new("write", e))
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    // Every block is checked when read: a flipped bit is an error, never an answer.
    options.set_paranoid_checks(true);
    // Every write was synced, so nothing but a record that a crash cut off may be missing.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    // With this a manifest that lost its tail has lost all columns of a flush, never one of them; the count of rounds tells.
    options.set_atomic_flush(true);
    options
}

fn columns() -> [ColumnFamilyDescriptor; Column::ALL.len()] {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    Column::ALL.map(|column| {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_format_version(6);
        let mut options = Options::default();
        // Few keys are written over and over: most values are overwritten while they are still in memory.
        options.set_write_buffer_size(if column == Column::Contradiction { 1 << 20 } else { BUFFER_BYTES });
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_block_based_table_factory(&table);
        ColumnFamilyDescriptor::new(column.name(), options)
    })
}

/// Blocks kept in memory, indexes and filters included.
const BLOCK_CACHE_BYTES: usize = 32 << 20;

/// Memory for writes before they are sorted into a file, a column.
const BUFFER_BYTES: usize = 32 << 20;

/// Bounds the write-ahead log, and with it the time to open after a crash.
const WAL_BYTES: u64 = 128 << 20;

/// Below the usual limit of 1,024 descriptors, with room for connections.
const MAX_OPEN_FILES: i32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rocks_store_keeps_the_contract_and_what_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("db");
        super::super::contract(&RocksStore::create(&path).expect("a new store"));
        let store = RocksStore::open(&path).expect("the store again");
        assert_eq!(store.get(Column::Cosigned, &[1, 2]).expect("a read"), Some(vec![99]));
        // While the other one is open.
        let looking = RocksStore::open_read_only(&path).expect("the store to look at");
        assert_eq!(looking.get(Column::Cosigned, &[1, 2]).expect("a read"), Some(vec![99]));
        let mut batch = Batch::default();
        batch.put(Column::Cosigned, [1, 2], [1]);
        assert!(looking.write(&batch).is_err(), "looking changes nothing");
        drop(store);
        assert!(RocksStore::create(&path).is_err(), "a store is made once");
        assert!(RocksStore::open(&folder.path().join("missing")).is_err(), "a lost store is not replaced");
    }
}
