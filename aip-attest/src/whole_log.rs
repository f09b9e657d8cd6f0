//! The whole of a log, read and verified here: what is computed from it is taken on nobody's word.
//!
//! The leaves are kept in `~/.aip/logs/<SHA-256 that names the log's key, hex>`, one behind the other as in an
//! entry bundle (c2sp.org/tlog-tiles). The file is a cache and is never believed: the root over all leaves must be
//! the one that log and witnesses signed. What a crash leaves of a leaf is cut off; a file that leads to another
//! root is read again from the log, once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::leaf_hash;
use tlog::merkle::range::CompactRange;
use tlog::tile::{TILE_WIDTH, Tile};
use tlog::{Hash, LeafIndex};

use crate::client::Client;
use crate::durable::{self, Readers};
use crate::environment;
use crate::patience::Patience;
use crate::progress::Progress;
use crate::report::{Console, Failure, Result};

/// Shows `visit` every leaf of the tree of `checkpoint`, which log and witnesses signed, in order. Only what
/// comes after `Ok` is certain: the root is known when the last leaf is.
pub fn read(
    log: &VerifierKey,
    checkpoint: &Checkpoint,
    client: &Client,
    patience: &mut Patience,
    console: &mut Console,
    visit: &mut dyn FnMut(LeafIndex, &[u8]) -> Result<()>,
) -> Result<()> {
    let path = cache_path(log)?;
    let mut cache = Cache::open(&path, patience, console)?;
    cache.extend(checkpoint.size.get(), client, patience, console)?;
    if cache.root(checkpoint.size.get())? != checkpoint.root {
        console.note(format!("`{}` is damaged, or another tree's: reading the log again", path.display()));
        cache.clear()?;
        cache.extend(checkpoint.size.get(), client, patience, console)?;
        let root = cache.root(checkpoint.size.get())?;
        if root != checkpoint.root {
            cache.clear()?;
            return Err(Failure::refuted(format!(
                "the entries of `{}` are not those of its checkpoint",
                checkpoint.origin
            ))
            .because(format!(
                "they have the root {root}, signed is {} for size {}",
                checkpoint.root, checkpoint.size
            ))
            .hint("do not rely on this log, and tell those who do"));
        }
    }
    cache.leaves(checkpoint.size.get(), visit)
}

fn cache_path(log: &VerifierKey) -> Result<PathBuf> {
    let home = environment::home()
        .ok_or_else(|| Failure::new("there is no place for the log's entries: HOME is not set"))?;
    Ok(home.join("logs").join(log.full_id().to_string()))
}

/// The leaves that are here. One process at a time: the file is locked.
struct Cache {
    path: PathBuf,
    file: File,
    leaves: u64,
}

impl Cache {
    fn open(path: &Path, patience: &mut Patience, console: &mut Console) -> Result<Self> {
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
                    if !patience.pause(None, console, &why) {
                        return Err(Failure::new(why).because("there is no time left to wait").for_now());
                    }
                }
            }
        }
        let mut cache = Self { path: path.to_path_buf(), file, leaves: 0 };
        let (mut bytes, mut leaves) = (0, 0);
        cache
            .scan(u64::MAX, &mut |leaf| {
                bytes += 2 + leaf.len() as u64;
                leaves += 1;
                Ok(())
            })
            .map_err(cannot)?;
        // What a crash left of a leaf.
        cache.file.set_len(bytes).map_err(cannot)?;
        cache.leaves = leaves;
        Ok(cache)
    }

    fn clear(&mut self) -> Result<()> {
        self.leaves = 0;
        self.file.set_len(0).map_err(|error| cannot_use(&self.path, error))
    }

    /// Reads from the log what is missing up to `size`.
    fn extend(
        &mut self,
        size: u64,
        client: &Client,
        patience: &mut Patience,
        console: &mut Console,
    ) -> Result<()> {
        if self.leaves >= size {
            return Ok(());
        }
        let progress = Progress::over_leaves(size - self.leaves);
        self.file.seek(SeekFrom::End(0)).map_err(|error| cannot_use(&self.path, error))?;
        while self.leaves < size {
            let (index, skip) = (self.leaves / TILE_WIDTH, self.leaves % TILE_WIDTH);
            let width = (size - index * TILE_WIDTH).min(TILE_WIDTH);
            let tile = u16::try_from(width).ok().and_then(|width| Tile::new(0, index, width));
            let tile = tile.expect("a width from 1 to 256 at level 0 is a tile's");
            let leaves = patience.ask(console, || client.bundle(tile))?;
            let mut bytes = Vec::new();
            let new = leaves.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
            new.for_each(|leaf| tlog::bundle::push(&mut bytes, leaf));
            self.file.write_all(&bytes).map_err(|error| cannot_use(&self.path, error))?;
            progress.add(width - skip);
            self.leaves += width - skip;
        }
        progress.finish();
        self.file.sync_data().map_err(|error| cannot_use(&self.path, error))
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
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
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

fn cannot_use(path: &Path, error: io::Error) -> Failure {
    Failure::new(format!("cannot use the log's entries in `{}`", path.display())).caused_by(error)
}
