//! The store on disk: RocksDB, every write synced.
//!
//! Opening read-write truncates the write-ahead log at the first damaged record. Opening read-only keeps the rest for
//! salvage. So `damage::examine` reads the files before anything is opened.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamilyDescriptor, CompactOptions, DB,
    DBCompressionType, DBRecoveryMode, Direction, ErrorKind, FlushOptions, IteratorMode, Options, WriteBatch,
    WriteOptions, checkpoint::Checkpoint,
};

use service::{connections, disk};

use super::{Batch, Column, Order, Store, StoreError, Visit, damage};

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
        Self::with(&options, path)
    }

    /// Opens a store that was made by [`RocksStore::create`]: a missing one is an error, never a new
    /// tree under the old key. Call `damage::examine` first: entries behind damage would be dropped for good.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        // A log of an earlier release has fewer.
        options.create_missing_column_families(true);
        Self::with(&options, path)
    }

    /// Opens a store read-only. Refuses one whose record files are damaged: RocksDB skips what it cannot read of them, and
    /// loops for ever on a flipped record type.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let found = damage::examine(path)?;
        if !found.is_empty() {
            return Err(StoreError::new("open", found.join("; ")));
        }
        let mut options = options();
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        let there = DB::list_cf(&options, path).map_err(|e| failed("open", &e))?;
        let columns = columns().into_iter().filter(|column| there.iter().any(|name| name == column.name()));
        Self::of(DB::open_cf_descriptors_read_only(&options, path, columns, false))
    }

    /// Makes a store at `path` that holds what this one holds at one moment: hard links to the sorted files,
    /// and copies of the write-ahead log and the manifest. Writers are not held up: nothing is flushed.
    pub fn link_to(&self, path: &Path) -> Result<(), StoreError> {
        let checkpoint = Checkpoint::new(&self.db).map_err(|e| failed("prepare a snapshot", &e))?;
        let linked = checkpoint.create_checkpoint_with_log_size(path, u64::MAX);
        linked.map_err(|e| failed("make a snapshot", &e))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.db.path()
    }

    /// Puts everything that was written into sorted files: the next start has no write-ahead log to replay.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        let columns: Vec<_> = Column::ALL.iter().filter_map(|column| self.column(*column)).collect();
        self.db.flush_cfs_opt(&columns, &flush).map_err(|e| failed("flush", &e))
    }

    fn with(options: &Options, path: &Path) -> Result<Self, StoreError> {
        Self::of(DB::open_cf_descriptors(options, path, columns()))
    }

    fn of(db: Result<DB, rocksdb::Error>) -> Result<Self, StoreError> {
        let db = db.map_err(|e| failed("open", &e))?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Self { db, synced })
    }

    /// Fails if the files are no longer in their folder: removed files still take writes, and are gone when the process
    /// ends.
    fn check_linked(&self) -> Result<(), StoreError> {
        let current = self.db.path().join("CURRENT");
        match current.symlink_metadata() {
            Ok(_) => Ok(()),
            Err(e) => {
                Err(StoreError::new("write", format!("its files are gone: `{}`: {e}", current.display())))
            }
        }
    }

    /// `None` only in a log of an earlier release that was opened to look at it.
    fn column(&self, column: Column) -> Option<&rocksdb::ColumnFamily> {
        self.db.cf_handle(column.name())
    }
}

impl Store for RocksStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(column) = self.column(column) else { return Ok(None) };
        self.db.get_cf(column, key).map_err(|e| failed("read", &e))
    }

    fn get_many(&self, column: Column, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let Some(column) = self.column(column) else { return Ok(vec![None; keys.len()]) };
        // In the order of the files, in which neighbours share their blocks.
        let mut sorted: Vec<usize> = (0..keys.len()).collect();
        sorted.sort_unstable_by_key(|at| keys[*at]);
        let rows = self.db.batched_multi_get_cf(
            column,
            sorted.iter().map(|at| keys[*at]).collect::<Vec<_>>().iter(),
            true,
        );
        let mut values = vec![None; keys.len()];
        for (at, row) in sorted.into_iter().zip(rows) {
            values[at] = row.map_err(|e| failed("read", &e))?.map(|row| row.to_vec());
        }
        Ok(values)
    }

    fn scan(&self, column: Column, from: &[u8], order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let Some(column) = self.column(column) else { return Ok(()) };
        let direction = match order {
            Order::Ascending => Direction::Forward,
            Order::Descending => Direction::Reverse,
        };
        for pair in self.db.iterator_cf(column, IteratorMode::From(from, direction)) {
            let (key, value) = pair.map_err(|e| failed("scan", &e))?;
            if visit(&key, &value).is_break() {
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
        self.db.write_opt(writes, &self.synced).map_err(|e| failed("write", &e))?;
        self.check_linked()
    }

    fn as_dyn(&self) -> &dyn Store {
        self
    }

    fn expunge(&self, column: Column, key: &[u8]) -> Result<(), StoreError> {
        // An overwritten value lives on in the write-ahead log and in older files: flushing every
        // column retires the log, compacting the key to the last level drops the rest.
        self.flush()?;
        let mut compact = CompactOptions::default();
        compact.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        if let Some(column) = self.column(column) {
            self.db.compact_range_cf_opt(column, Some(key), Some(key), &compact);
        }
        Ok(())
    }
}

/// An error of the database. Errors of the file system come from it as text only.
pub fn failed(action: &'static str, error: &rocksdb::Error) -> StoreError {
    let text: &str = error.as_ref();
    let may_pass = error.kind() == ErrorKind::IOError && disk::words_may_pass(text);
    StoreError { may_pass, ..StoreError::new(action, text) }
}

fn options() -> Options {
    let mut options = Options::default();
    // A closed write-ahead log that is missing, or shorter than it was, is an error and not an older store.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_open_files(files() as i32);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    // Every block is checked when read: a flipped bit is an error, never an answer.
    options.set_paranoid_checks(true);
    options
}

fn columns() -> [ColumnFamilyDescriptor; Column::ALL.len()] {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    Column::ALL.map(|column| column_options(column, &cache))
}

fn column_options(column: Column, cache: &Cache) -> ColumnFamilyDescriptor {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_format_version(6);
    let mut options = Options::default();
    options.set_write_buffer_size(match column {
        Column::Leaf | Column::Envelope => LARGE_BUFFER_BYTES,
        _ => SMALL_BUFFER_BYTES,
    });
    match column {
        // JSON around base64: worth packing, and read in runs of a bundle.
        Column::Leaf | Column::Envelope => {
            table.set_block_size(32 << 10);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        // Hashes do not pack.
        Column::Claim => options.set_compression_type(DBCompressionType::None),
        Column::Tile => {
            table.set_block_size(16 << 10);
            options.set_compression_type(DBCompressionType::None);
        }
        Column::Subject | Column::Did | Column::List | Column::State => {
            options.set_compression_type(DBCompressionType::Lz4)
        }
    }
    if matches!(column, Column::Claim | Column::Envelope) {
        // Both are looked up for every submission, mostly in vain: in files and in memory.
        table.set_bloom_filter(10.0, false);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.02);
    }
    options.set_block_based_table_factory(&table);
    ColumnFamilyDescriptor::new(column.name(), options)
}

/// Blocks kept in memory, indexes and filters included.
const BLOCK_CACHE_BYTES: usize = 128 << 20;

/// Memory for writes before they are sorted into a file, a column.
const LARGE_BUFFER_BYTES: usize = 32 << 20;
const SMALL_BUFFER_BYTES: usize = 8 << 20;

/// Bounds the write-ahead log, and with it the time to open after a crash.
const WAL_BYTES: u64 = 128 << 20;

/// How many sorted files a store keeps open: a part of what the process may have, with room for connections.
pub fn files() -> usize {
    (connections::allowed_files() / 4).clamp(32, 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rocks_store_keeps_the_contract_and_what_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("db");
        super::super::contract(&RocksStore::create(&path).expect("a new store"));
        let store = RocksStore::open(&path).expect("the store again");
        assert_eq!(store.get(Column::Leaf, &[2]).expect("a read"), Some(vec![99]));
        drop(store);
        let looking = RocksStore::open_read_only(&path).expect("the store to look at");
        assert_eq!(looking.get(Column::Leaf, &[2]).expect("a read"), Some(vec![99]));
        let mut batch = Batch::default();
        batch.put(Column::Leaf, [2], [1]);
        assert!(looking.write(&batch).is_err(), "looking changes nothing");
        drop(looking);
        let store = RocksStore::open(&path).expect("the store again");
        let linked = folder.path().join("linked");
        store.link_to(&linked).expect("a snapshot");
        assert!(store.link_to(&linked).is_err(), "a snapshot is made once");
        store.write(&batch).expect("a write");
        let linked = RocksStore::open_read_only(&linked).expect("the snapshot");
        assert_eq!(linked.get(Column::Leaf, &[2]).expect("a read"), Some(vec![99]), "as it was");
        assert!(RocksStore::create(&path).is_err(), "a store is made once");
        assert!(RocksStore::open(&folder.path().join("missing")).is_err(), "a lost store is not replaced");
    }

    /// A directory of a release that kept no lists is looked at as it is, and gets the column when it is served.
    #[test]
    fn a_store_of_an_earlier_release_opens() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("db");
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let earlier = columns().into_iter().filter(|column| column.name() != Column::List.name());
        drop(DB::open_cf_descriptors(&options, &path, earlier).expect("a store"));
        let looking = RocksStore::open_read_only(&path).expect("the store to look at");
        assert_eq!(looking.get(Column::List, b"i").expect("a read"), None);
        looking
            .scan(Column::List, b"", Order::Ascending, &mut |_, _| panic!("nothing is there"))
            .expect("a scan");
        drop(looking);
        let mut batch = Batch::default();
        batch.put(Column::List, *b"i", *b"x");
        RocksStore::open(&path).expect("the store").write(&batch).expect("a write");
        let looking = RocksStore::open_read_only(&path).expect("the store to look at");
        assert_eq!(looking.get(Column::List, b"i").expect("a read"), Some(b"x".to_vec()));
    }
}
