//! What can be read of a damaged store: as RocksDB reads it once the damage is taken out of its files.
//!
//! The store itself is left as it is. In a folder for the while its sorted files are linked, and its record files are
//! written anew, with every record that is whole or that could be put right, before and behind what is damaged.

use std::fs::{self, DirBuilder};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use service::wal;
use tlog::LeafIndex;

use super::rocks::RocksStore;
use super::schema::Read as _;
use super::{Store, StoreError, damage};

/// A damaged store, as far as it can be read.
pub(crate) struct Salvaged {
    store: Arc<RocksStore>,
    /// After the store, which reads it.
    _scratch: Scratch,
}

impl Salvaged {
    /// Reads the store at `db`.
    pub(crate) fn open(db: &Path) -> Result<Self, StoreError> {
        let scratch = Scratch::new().map_err(|e| StoreError::of_disk("make a temporary folder", &e))?;
        copy(db, &scratch.0).map_err(|e| StoreError::of_disk("copy its files", &e))?;
        let store = RocksStore::open_read_only(&scratch.0)?;
        Ok(Self { store: Arc::new(store), _scratch: scratch })
    }

    /// Its rows, each checked by whoever reads it: what cannot be read is an error, or is not there.
    pub(crate) fn store(&self) -> &Arc<RocksStore> {
        &self.store
    }
}

/// Which of the leaves `from..to` cannot be read.
pub(crate) fn missing_leaves(store: &dyn Store, from: u64, to: u64) -> Vec<Range<u64>> {
    let mut missing: Vec<Range<u64>> = Vec::new();
    let mut next = from;
    while next < to {
        let end = to.min(next + 256);
        if store.leaves(next, end, &mut |_, _| ()).is_err() {
            for index in next..end {
                if store.leaf(LeafIndex::new(index)).is_ok_and(|leaf| leaf.is_some()) {
                    continue;
                }
                match missing.last_mut().filter(|last| last.end == index) {
                    Some(last) => last.end += 1,
                    None => missing.push(index..index + 1),
                }
            }
        }
        next = end;
    }
    missing
}

/// Ranges of indexes in words: `3, 120 to 131`.
pub(crate) fn ranges(ranges: &[Range<u64>]) -> String {
    let words = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{} to {}", range.start, range.end - 1),
    };
    ranges.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn copy(db: &Path, scratch: &Path) -> io::Result<()> {
    let db = &db.canonicalize()?;
    let mut manifests = Vec::new();
    for entry in fs::read_dir(db)? {
        let path = entry?.path();
        let (Some(name), Some(file)) = (path.file_name().and_then(|name| name.to_str()), path.file_name())
        else {
            continue;
        };
        let to = scratch.join(file);
        if let Some(number) = damage::manifest(name) {
            fs::write(&to, wal::write(&wal::read(&fs::read(&path)?).records))?;
            manifests.push((number, name.to_owned()));
        } else if name.ends_with(".log") {
            fs::write(&to, wal::write(&wal::read(&fs::read(&path)?).records))?;
        } else if name.ends_with(".sst") {
            symlink(&path, &to)?;
        }
    }
    let named = damage::current(db)?.ok();
    let newest = || manifests.into_iter().max().map(|(_, name)| name);
    if let Some(name) = named.or_else(newest) {
        fs::write(scratch.join("CURRENT"), format!("{name}\n"))?;
    }
    Ok(())
}

/// A folder of this process, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("log-server-salvage-{}-{number}", std::process::id()));
        // A folder of somebody else is not used.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
