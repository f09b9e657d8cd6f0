//! The store on disk: RocksDB, every write synced.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode,
    Options, WriteBatch, WriteOptions,
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
        Self::of(DB::open_cf_descriptors(&options(), path, columns()))
    }

    /// Opens a store to look at it, also while another process uses it: shows what was there at this moment.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::of(DB::open_cf_descriptors_read_only(&options(), path, columns(), false))
    }

    fn of(db: Result<DB, rocksdb::Error>) -> Result<Self, StoreError> {
        let db = db.map_err(|e| StoreError::new("open", e))?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Self { db, synced })
    }

    fn column(&self, column: Column) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(column.name()).expect("every column was opened")
    }
}

impl Store for RocksStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.column(column), key).map_err(|e| StoreError::new("read", e))
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        for pair in self.db.iterator_cf(self.column(column), IteratorMode::From(prefix, Direction::Forward)) {
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
            writes.put_cf(self.column(*column), key, value);
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
        // Few keys that are written over and over: most of what comes dies in memory.
        options.set_write_buffer_size(if column == Column::Evidence { 1 << 20 } else { BUFFER_BYTES });
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
