//! The whole of a log, read and verified here: what is computed from it is taken on nobody's word.
//!
//! The leaves are kept in `~/.aip/logs/<SHA-256 that names the log's key, hex>`, one behind the other as in an
//! entry bundle (c2sp.org/tlog-tiles). The file is a cache and is never believed: the root over all leaves must be
//! the one that log and witnesses signed. A file that leads to another root is read again from the log, once.
//!
//! New leaves are held against the signed tree as they come. They go to a file without a name, and join the cache when
//! the root over all is right: a reading that does not come to its end leaves nothing behind. What a crash in the middle of joining leaves of a leaf is cut off.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::leaf_hash;
use tlog::merkle::range::CompactRange;
use tlog::reader::{SignedTree, Want};
use tlog::tile::TILE_WIDTH;
use tlog::{Hash, LeafIndex};

use crate::durable::{self, Readers};
use crate::environment;
use crate::patience::Asking;
use crate::progress::Progress;
use crate::report::{Failure, Result};

/// Shows `visit` every leaf of the tree of `checkpoint`, which log and witnesses signed, in order. Only what
/// comes after `Ok` is certain: the root is known when the last leaf is.
pub(crate) fn read(
    log: &VerifierKey,
    checkpoint: &Checkpoint,
    asking: &mut Asking<'_>,
    visit: &mut dyn FnMut(LeafIndex, &[u8]) -> Result<()>,
) -> Result<()> {
    let size = checkpoint.size.get();
    if size > MAX_BYTES / LEAST_LEAF_BYTES {
        return Err(too_large(&checkpoint.origin).because(format!("its checkpoint is of {size} entries")));
    }
    let path = cache_path(log)?;
    let mut cache = Cache::open(&path, asking)?;
    cache.extend(checkpoint, asking)?;
    if cache.root(size)? != checkpoint.root {
        asking
            .console
            .note(format!("`{}` is damaged, or another tree's: reading the log again", path.display()));
        cache.doubt()?;
        cache.extend(checkpoint, asking)?;
        let root = cache.root(size)?;
        if root != checkpoint.root {
            return Err(Failure::refuted(format!(
                "the entries of `{}` are not those of its checkpoint",
                checkpoint.origin
            ))
            .because(format!("they have the root {root}, signed is {} for size {size}", checkpoint.root))
            .hint("do not rely on this log, and tell those who do"));
        }
    }
    cache.keep()?;
    cache.leaves(size, visit)
}

fn cache_path(log: &VerifierKey) -> Result<PathBuf> {
    let home = environment::home().ok_or_else(|| {
        Failure::new(format!("there is no place for the log's entries: {}", environment::no_home()))
    })?;
    Ok(home.join("logs").join(log.full_id().to_string()))
}

/// The leaves that are here. One process at a time: the file is locked.
struct Cache {
    path: PathBuf,
    file: File,
    /// What counts of the file: its first bytes.
    kept_bytes: u64,
    /// The leaves behind those, until the root is known to be right.
    new: File,
    new_bytes: u64,
    /// The leaves in both.
    leaves: u64,
}

impl Cache {
    fn open(path: &Path, asking: &mut Asking<'_>) -> Result<Self> {
        let cannot = |error| cannot_use(path, error);
        durable::create_folder(path.parent().unwrap_or(path), Readers::Owner)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(cannot)?;
        if !file.metadata().map_err(cannot)?.is_file() {
            return Err(Failure::new(format!("cannot use the log's entries in `{}`", path.display()))
                .because("it is no regular file")
                .hint("move it away: the entries are read again from the log"));
        }
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
                Err(TryLockError::WouldBlock) => {
                    let why = format!("another process reads the log into `{}`", path.display());
                    if !asking.pause(None, &why) {
                        return Err(Failure::new(why).because("there is no time left to wait").for_now());
                    }
                }
            }
        }
        let new = nameless(&path.with_extension("new")).map_err(cannot)?;
        let path = path.to_path_buf();
        let mut cache = Self { path, file, kept_bytes: u64::MAX, new, new_bytes: 0, leaves: 0 };
        let (mut bytes, mut leaves) = (0, 0);
        cache
            .scan(u64::MAX, &mut |leaf| {
                bytes += 2 + leaf.len() as u64;
                leaves += 1;
                Ok(())
            })
            .map_err(|error| cannot_use(&cache.path, error))?;
        // Without what a crash left of a leaf.
        (cache.kept_bytes, cache.leaves) = (bytes, leaves);
        Ok(cache)
    }

    /// Takes nothing for read. The file stays as it is until [`keep`](Self::keep).
    fn doubt(&mut self) -> Result<()> {
        (self.kept_bytes, self.new_bytes, self.leaves) = (0, 0, 0);
        self.new.set_len(0).map_err(|error| cannot_use(&self.path, error))
    }

    /// Keeps what was read for the next time.
    fn keep(&mut self) -> Result<()> {
        if self.new_bytes == 0 {
            return Ok(());
        }
        let mut joined = || {
            self.file.set_len(self.kept_bytes)?;
            self.file.seek(SeekFrom::End(0))?;
            self.new.seek(SeekFrom::Start(0))?;
            io::copy(&mut self.new, &mut self.file)?;
            self.file.sync_data()?;
            self.new.set_len(0)
        };
        joined().map_err(|error| cannot_use(&self.path, error))?;
        self.kept_bytes += std::mem::take(&mut self.new_bytes);
        Ok(())
    }

    /// Reads from the log what is missing of the checkpoint's tree.
    fn extend(&mut self, checkpoint: &Checkpoint, asking: &mut Asking<'_>) -> Result<()> {
        let size = checkpoint.size.get();
        if self.leaves >= size {
            return Ok(());
        }
        let progress = Progress::over_leaves(size - self.leaves);
        let mut fetch = |want| asking.ask(|client| client.fetch(want));
        let refuted = |why: &dyn Display| {
            Failure::refuted(format!("`{}` does not serve the tree of its checkpoint", checkpoint.origin))
                .because(why)
                .hint("try again; if it stays so, do not rely on this log, and tell those who do")
        };
        let wants = SignedTree::edge_wants(checkpoint.size);
        let edge = wants.into_iter().map(&mut fetch).collect::<Result<Vec<_>>>()?;
        let mut tree = SignedTree::open(checkpoint.size, &checkpoint.root, &edge)
            .ok_or_else(|| refuted(&"the tiles at its right edge do not give its root"))?;
        self.new.seek(SeekFrom::End(0)).map_err(|error| cannot_use(&self.path, error))?;
        while self.leaves < size {
            let want = Want::entries(tree.tile_of(LeafIndex::new(self.leaves)));
            for above in tree.wants_above(want) {
                tree.take(above.tile, &fetch(above)?).map_err(|error| refuted(&error))?;
            }
            let bundle = fetch(want)?;
            let entries = tree.entries(want.tile, &bundle).map_err(|error| refuted(&error))?;
            let new = &entries[(self.leaves % TILE_WIDTH) as usize..];
            let mut bytes = Vec::new();
            new.iter().for_each(|entry| tlog::bundle::push(&mut bytes, entry));
            if self.kept_bytes + self.new_bytes + bytes.len() as u64 > MAX_BYTES {
                return Err(too_large(&checkpoint.origin)
                    .because(format!("its first {} entries are as long", self.leaves)));
            }
            self.new.write_all(&bytes).map_err(|error| cannot_use(&self.path, error))?;
            progress.add(new.len() as u64);
            self.new_bytes += bytes.len() as u64;
            self.leaves += new.len() as u64;
        }
        progress.finish();
        Ok(())
    }

    fn root(&mut self, size: u64) -> Result<Hash> {
        let mut range = CompactRange::new();
        let scanned = self.scan(size, &mut |leaf| {
            range.append(leaf_hash(leaf));
            Ok(())
        });
        scanned.map_err(|error| cannot_use(&self.path, error))?;
        Ok(range.root())
    }

    fn leaves(&mut self, size: u64, visit: &mut dyn FnMut(LeafIndex, &[u8]) -> Result<()>) -> Result<()> {
        let (mut index, mut visited) = (0, Ok(()));
        let scanned = self.scan(size, &mut |leaf| {
            visited = visit(LeafIndex::new(index), leaf);
            index += 1;
            if visited.is_err() { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
        });
        visited?;
        scanned.map_err(|error| cannot_use(&self.path, error))
    }

    /// The first leaves, at most `count`, up to the first that is not there whole.
    fn scan(&mut self, count: u64, visit: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.new.seek(SeekFrom::Start(0))?;
        let both = (&self.file).take(self.kept_bytes).chain(&self.new);
        let mut reader = BufReader::with_capacity(1 << 20, both);
        let mut leaf = Vec::new();
        for _ in 0..count {
            let mut length = [0; 2];
            if !whole(reader.read_exact(&mut length))? {
                break;
            }
            leaf.resize(usize::from(u16::from_be_bytes(length)), 0);
            if !whole(reader.read_exact(&mut leaf))? {
                break;
            }
            visit(&leaf)?;
        }
        Ok(())
    }
}

/// Whether all that was to be read is there; the end of the file is no error.
fn whole(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file that nobody finds, and that is gone when it is closed, also by a crash.
fn nameless(path: &Path) -> io::Result<File> {
    // Whatever lies there is left over from a crash between these lines, and is not written through.
    let _ = fs::remove_file(path);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

fn too_large(origin: &str) -> Failure {
    Failure::new(format!("the log `{origin}` is larger than what is read whole: {} GiB", MAX_BYTES >> 30))
        .hint("without --sync the log is asked for evidence")
}

fn cannot_use(path: &Path, error: io::Error) -> Failure {
    Failure::new(format!("cannot use the log's entries in `{}`", path.display())).caused_by(error)
}

/// The most leaves that are kept of a log, in bytes: no log fills a disk by signing that it is large.
const MAX_BYTES: u64 = 32 << 30;

/// Shorter is no entry: a signature alone has 64 bytes.
const LEAST_LEAF_BYTES: u64 = 64;
