//! The mail database on disk: RocksDB, every write synced, in a folder of its own. What it holds is [`rows`]'s business.
//!
//! RocksDB's background threads are shared by all databases of a process. The mail has its own part of them and a bound on
//! the bytes that they write, so that the log's flushes never wait for the mail's.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, CompactOptions, DB, DBCompressionType,
    DBRecoveryMode, Direction, Env, FlushOptions, IteratorMode, Options, ReadOptions, Snapshot, WriteBatch,
    WriteOptions,
};
use service::durable::sync_folder;
use service::wal;

use crate::store::rocks::failed;
use crate::store::{StoreError, damage, of_disk};

/// The mail database.
pub(crate) struct Disk {
    db: DB,
    /// Which folder it was opened in.
    place: (u64, u64),
    synced: WriteOptions,
}

impl Disk {
    /// Makes an empty database at `path` if nothing is there. It gets its name once it is whole, so that a crash leaves
    /// a database or nothing; a folder that is there and empty, which may be a disk of its own, is taken as it is.
    pub(crate) fn create_if_missing(path: &Path) -> Result<bool, StoreError> {
        let in_the_way = |e: io::Error| of_disk("make the mail database", &e);
        if has_files(path).map_err(in_the_way)? {
            return Ok(false);
        }
        let mut options = options();
        options.create_if_missing(true);
        options.set_error_if_exists(true);
        let made = |path: &Path| {
            DB::open(&options, path).map(drop).map_err(|e| failed("make the mail database", &e))
        };
        if path.exists() {
            return made(path).map(|()| true);
        }
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        // An earlier start broke off.
        absent(fs::remove_dir_all(&new)).map_err(in_the_way)?;
        made(&new)?;
        fs::rename(&new, path).and_then(|()| sync_folder(path)).map_err(in_the_way)?;
        Ok(true)
    }

    /// Opens the database. Damage to its record files is an error, and changes nothing: RocksDB would drop what lies behind
    /// it without a word.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let found = damage::examine(path)?;
        if !found.is_empty() {
            return Err(StoreError::new("open", format!("damaged: {}", found.join("; "))));
        }
        // RocksDB keeps one at all times, and without it goes on from what the sorted files hold, without a word.
        if wal::logs(path).map_err(|e| of_disk("read its files", &e))?.is_empty() {
            let folder = path.display();
            return Err(StoreError::new("open", format!("damaged: `{folder}` has no write-ahead log")));
        }
        let place = place(path).map_err(|e| of_disk("read its files", &e))?;
        let db = DB::open(&options(), path).map_err(|e| failed("open", &e))?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Self { db, place, synced })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(|e| failed("read", &e))
    }

    /// Shows `visit` every row whose key begins with `first` and is below `end`, in order, until it answers `false`.
    pub(crate) fn scan(
        &self,
        first: u8,
        end: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut read = ReadOptions::default();
        read.set_iterate_upper_bound(end);
        read.fill_cache(false);
        read.set_readahead_size(READ_AHEAD_BYTES);
        for row in self.db.iterator_opt(IteratorMode::From(&[first], Direction::Forward), read) {
            let (key, value) = row.map_err(|e| failed("scan", &e))?;
            if !visit(&key, &value)? {
                break;
            }
        }
        Ok(())
    }

    /// The value of the first row whose key begins so.
    pub(super) fn first(&self, beginning: &[u8]) -> Result<Option<Box<[u8]>>, StoreError> {
        let mut rows = self.db.iterator(IteratorMode::From(beginning, Direction::Forward));
        let first = rows.next().transpose().map_err(|e| failed("read", &e))?;
        Ok(first.filter(|(key, _)| key.starts_with(beginning)).map(|(_, value)| value))
    }

    /// The database as it is now, whatever is written meanwhile.
    pub(super) fn moment(&self) -> Moment<'_> {
        Moment(self.db.snapshot())
    }

    /// Writes all of a batch or nothing of it, durably. After an error nobody knows which: the caller reads again from
    /// the disk.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write_opt(batch, &self.synced).map_err(|e| failed("write", &e))?;
        self.check_place()
    }

    /// Files that were removed or moved still take writes, and are gone when the process ends, or are not where it looks then.
    fn check_place(&self) -> Result<(), StoreError> {
        let path = self.db.path();
        let gone = |what: String| StoreError::new("write", format!("its files are gone: {what}"));
        match place(path) {
            Ok(place) if place == self.place => {}
            Ok(_) => return Err(gone(format!("`{}` is another folder now", path.display()))),
            Err(e) => return Err(gone(format!("`{}`: {e}", path.display()))),
        }
        let current = path.join("CURRENT");
        current.symlink_metadata().map_err(|e| gone(format!("`{}`: {e}", current.display())))?;
        match wal::logs(path) {
            Ok(logs) if !logs.is_empty() => Ok(()),
            Ok(_) => Err(gone("the write-ahead log".to_owned())),
            Err(e) => Err(gone(format!("`{}`: {e}", path.display()))),
        }
    }

    /// Takes off the disk what was deleted before: out of the write-ahead log, and out of every sorted file.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        self.db.flush_opt(&flush).map_err(|e| failed("flush", &e))?;
        let mut compact = CompactOptions::default();
        compact.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        // Writes go on meanwhile, and so do the compactions that they need.
        compact.set_exclusive_manual_compaction(false);
        self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &compact);
        Ok(())
    }

    /// Ends flushes and compactions that are under way; what was written stays.
    pub(super) fn close(&self) {
        self.db.cancel_all_background_work(true);
    }
}

/// The database as it was when this was taken.
pub(super) struct Moment<'d>(Snapshot<'d>);

impl Moment<'_> {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key).map_err(|e| failed("read", &e))
    }
}

/// Which folder is at `path`: another one may come to be there.
fn place(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|folder| (folder.dev(), folder.ino()))
}

/// Whether a folder is there and has anything in it, but for what every new ext4 disk has.
fn has_files(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => {
            let file = entries.find(|entry| entry.as_ref().map_or(true, |e| e.file_name() != "lost+found"));
            file.transpose().map(|file| file.is_some())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A closed write-ahead log that is missing, or shorter than it was, is an error and not an older store.
    options.set_track_and_verify_wals_in_manifest(true);
    // Every block is checked when read: a flipped bit is an error, never an answer.
    options.set_paranoid_checks(true);
    options.set_max_open_files(OPEN_FILES);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_write_buffer_size(BUFFER_BYTES);
    options.set_keep_log_file_num(4);
    options.set_max_background_jobs(2);
    options.set_ratelimiter(BACKGROUND_BYTES_PER_SECOND, 100_000, 10);
    // Ciphertext does not pack.
    options.set_compression_type(DBCompressionType::None);
    let mut table = BlockBasedOptions::default();
    table.set_format_version(6);
    table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    // An envelope id is looked up for every message that comes, mostly in vain.
    table.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&table);
    if let Ok(mut env) = Env::new() {
        env.set_low_priority_background_threads(2);
        env.set_high_priority_background_threads(2);
        options.set_env(&env);
    }
    options
}

/// Sorted files that are kept open: few, since the log and connections need open files more.
const OPEN_FILES: i32 = 24;

/// Memory for writes before they are sorted into a file.
const BUFFER_BYTES: usize = 8 << 20;

/// Memory for blocks of sorted files.
const CACHE_BYTES: usize = 8 << 20;

/// Bounds the write-ahead log, and with it the time to open after a crash.
const WAL_BYTES: u64 = 32 << 20;

/// Flushes and compactions of mail leave the rest of the disk to the log.
const BACKGROUND_BYTES_PER_SECOND: i64 = 64 << 20;

const READ_AHEAD_BYTES: usize = 1 << 20;
