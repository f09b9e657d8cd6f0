//! `mirror`: a copy of a log's checkpoint, tiles and entries in a folder that any web server serves (c2sp.org/tlog-tiles).
//!
//! A file is written once its bytes lead to the root of the new checkpoint; the checkpoint is replaced last. So a crash, a
//! full disk and a source that lies leave the older checkpoint, with everything that its tree needs. What a run wrote before
//! it broke off is read again and kept.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use service::durable::{replace, sync_folder};
use tlog::TreeSize;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::consistency;
use tlog::note::Note;
use tlog::policy::{Policy, PolicyError};
use tlog::reader::{SignedTree, Want};
use tlog::tile::{Resource, Tile, TileHashReader};

use crate::Failure;
use crate::source::published::{FETCHERS, MAX_TEXT_BYTES, Place};

/// Copy a log into a folder that any web server serves: a mirror
///
/// Fetches what is new since the last run, checks it against the checkpoint that log and witnesses signed, and writes it as
/// C2SP tlog-tiles: `checkpoint`, `tile/…` and `tile/entries/…`. Run it from cron or a timer, on another machine than the
/// log's. `recover --from` takes such a folder, or its URL, and brings a lost log back. Envelopes are not copied.
///
/// Exit codes: 0 the folder has the log's newest checkpoint; 1 the log contradicts what is in the folder, or serves what is
/// not of its tree; 2 it could not be told.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The log's URL, or that of another mirror, or a folder like the one that is made
    #[arg(long, value_name = "URL_OR_DIR")]
    pub from: String,
    /// The folder; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// The policy, which says whose checkpoint counts and which witnesses must have cosigned it
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
}

/// Brings the folder up to the log's checkpoint and says what is in it.
pub fn run(args: &Args) -> Result<String, Failure> {
    let policy = read_policy(&args.policy)?;
    let place = match args.from.starts_with("http://") || args.from.starts_with("https://") {
        true => Place::url(&args.from)?,
        false => Place::Folder(args.from.clone().into()),
    };
    let cannot = |e: io::Error| cannot_write(&args.to, e);
    make_folder(&args.to).map_err(cannot)?;
    let _lock = lock(&args.to)?;
    let file = args.to.join(CHECKPOINT);
    let old = match read_bounded(&file) {
        Ok(bytes) => Some(signed(&bytes, &policy, &format!("`{}`", file.display()))?.0),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(Failure::new(format!("cannot read `{}`", file.display())).caused_by(e)),
    };
    let (new, note) = signed(&place.read(CHECKPOINT, MAX_TEXT_BYTES)?, &policy, "the log's checkpoint")?;
    policy.quorum(&note).map_err(|e| {
        let failure = Failure::new("the log's checkpoint does not satisfy the policy").caused_by(&e);
        match e {
            PolicyError::Quorum { .. } => failure.hint("it may be cosigned in a moment: try again"),
            _ => failure,
        }
    })?;
    let mut mirror = Mirror { place: &place, folder: &args.to, tree: None, written: 0 };
    let from = old.as_ref().map_or(TreeSize::EMPTY, |old| old.size);
    if let Some(old) = &old {
        mirror.require_extension(old, &new)?;
    }
    if new.size > from {
        mirror.bring(from, &new)?;
        replace(&file, note.to_string().as_bytes()).map_err(cannot)?;
        mirror.remove_outgrown(from);
    }
    Ok(format!("ok: {} entries, root {}, {} files written", new.size, new.root, mirror.written))
}

struct Mirror<'a> {
    place: &'a Place,
    folder: &'a Path,
    /// The tree of the new checkpoint, once its edge is known.
    tree: Option<SignedTree>,
    written: usize,
}

impl Mirror<'_> {
    /// Refuses a checkpoint whose tree does not begin with the one in the folder.
    fn require_extension(&self, old: &Checkpoint, new: &Checkpoint) -> Result<(), Failure> {
        let contradicts = |why: String| {
            Failure::no("the log contradicts the checkpoint in the folder")
                .because(why)
                .hint("keep the folder: both checkpoints are signed, and one of them is false")
                .hint("`monitor` and `aip log sync` keep such a pair as a finding that convicts the log")
        };
        if new.size < old.size {
            return Err(contradicts(format!("its tree has {} entries, and had {}", new.size, old.size)));
        }
        let tiles = TileHashReader::new(new.size, |tile: Tile| {
            let want = Want::hashes(tile);
            let bytes = self.place.fetch(want)?;
            want.parse_hashes(&bytes).ok_or_else(|| not_the_trees(want))
        });
        let proof = match old.size == new.size {
            true => Vec::new(),
            false => consistency::prove(&tiles, old.size, new.size)?,
        };
        consistency::verify(old.size, new.size, &proof, &old.root, &new.root).map_err(|e| {
            contradicts(format!(
                "the tree of {} entries is no beginning of that of {}: {e}",
                old.size, new.size
            ))
        })
    }

    /// Writes every file that the tree of `new` has and that of `from` entries has not.
    fn bring(&mut self, from: TreeSize, new: &Checkpoint) -> Result<(), Failure> {
        let edge = SignedTree::edge_wants(new.size);
        let bytes = edge.iter().map(|want| self.place.fetch(*want)).collect::<Result<Vec<_>, _>>()?;
        let tree = SignedTree::open(new.size, &new.root, &bytes);
        self.tree = Some(tree.ok_or_else(|| Failure::no("the log's tiles are not those of its checkpoint"))?);
        let mut tiles: Vec<Tile> = Tile::touched(from, new.size).collect();
        // From the top down: what a tile is compared with is known then.
        tiles.reverse();
        let entries = |tile: Tile| (tile.level() == 0).then(|| Want::entries(tile));
        let wants: Vec<Want> =
            tiles.into_iter().flat_map(|tile| [Some(Want::hashes(tile)), entries(tile)]).flatten().collect();
        let fetchers = rayon::ThreadPoolBuilder::new().num_threads(FETCHERS).build();
        let fetchers = fetchers.map_err(|e| Failure::new("cannot start threads").caused_by(e))?;
        for chunk in wants.chunks(CHUNK) {
            let all: Vec<(Want, Got)> = fetchers.install(|| {
                chunk.par_iter().map(|want| self.got(*want).map(|got| (*want, got))).collect::<Result<_, _>>()
            })?;
            for (want, got) in all {
                self.keep(want, got)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, want: Want, got: Got) -> Result<(), Failure> {
        let bytes = match got {
            Got::Here(bytes) if self.is_of_tree(want, &bytes)? => return Ok(()),
            Got::Here(_) => self.place.fetch(want)?,
            Got::Fetched(bytes) => bytes,
        };
        if !self.is_of_tree(want, &bytes)? {
            return Err(not_the_trees(want));
        }
        let path = self.folder.join(want.path());
        let written = make_folder(path.parent().unwrap_or(self.folder)).and_then(|()| replace(&path, &bytes));
        written.map_err(|e| cannot_write(&path, e))?;
        self.written += 1;
        Ok(())
    }

    /// Whether these bytes lead to the root of the new checkpoint.
    fn is_of_tree(&mut self, want: Want, bytes: &[u8]) -> Result<bool, Failure> {
        let mut tree = self.tree.take().expect("`bring` opens it before any file is kept");
        let checked = self.check(&mut tree, want, bytes);
        self.tree = Some(tree);
        checked
    }

    fn check(&self, tree: &mut SignedTree, want: Want, bytes: &[u8]) -> Result<bool, Failure> {
        for above in tree.wants_above(want) {
            let known = match self.got(above)? {
                Got::Here(bytes) if tree.take(above.tile, &bytes).is_ok() => continue,
                Got::Here(_) => self.place.fetch(above)?,
                Got::Fetched(bytes) => bytes,
            };
            tree.take(above.tile, &known).map_err(|e| not_the_trees(e.want))?;
        }
        Ok(match want.resource {
            Resource::Entries => tree.entries(want.tile, bytes).is_ok(),
            Resource::Hashes => tree.take(want.tile, bytes).is_ok(),
        })
    }

    /// The bytes in the folder, written by a run that broke off; else the source's.
    fn got(&self, want: Want) -> Result<Got, Failure> {
        let here = Place::Folder(self.folder.to_owned()).find_bytes(&want.path(), want.max_bytes());
        match here {
            Ok(Some(bytes)) => Ok(Got::Here(bytes)),
            // A file that cannot be read is fetched and written anew, or the write says why not.
            Ok(None) | Err(_) => self.place.fetch(want).map(Got::Fetched),
        }
    }

    /// Removes partial tiles that are full now: readers of the older checkpoint take the full one (tlog-tiles, "Partial
    /// Tiles"). One that stays is in nobody's way.
    fn remove_outgrown(&self, from: TreeSize) {
        for want in SignedTree::edge_wants(from) {
            let tile = want.tile;
            let is_full = |tile: &Tile| self.folder.join(Want::hashes(tile.full()).path()).is_file();
            if !is_full(&tile) {
                continue;
            }
            let bundle = (tile.level() == 0).then(|| Want::entries(tile.full()).path());
            for full in [Some(Want::hashes(tile.full()).path()), bundle].into_iter().flatten() {
                let _ = fs::remove_dir_all(self.folder.join(format!("{full}.p")));
            }
        }
    }
}

/// The bytes of a file.
enum Got {
    /// From the folder.
    Here(Vec<u8>),
    /// From the source.
    Fetched(Vec<u8>),
}

/// A checkpoint that a log of the policy signed.
fn signed(bytes: &[u8], policy: &Policy, what: &str) -> Result<(Checkpoint, Note), Failure> {
    let bad = |why: String| Failure::no(format!("{what} is not one of a log of the policy")).because(why);
    let note = Note::parse(bytes).map_err(|e| bad(e.to_string()))?;
    let (checkpoint, _) = policy.log_checkpoint(&note).map_err(|e| bad(e.to_string()))?;
    Ok((checkpoint, note))
}

fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let cannot = || Failure::new(format!("cannot read the policy `{}`", path.display()));
    let bytes = read_bounded(path).map_err(|e| cannot().caused_by(e))?;
    let text = String::from_utf8(bytes).map_err(|e| cannot().caused_by(e))?;
    text.parse().map_err(|e| cannot().caused_by(e))
}

/// A file of at most 1 MiB, which is no pipe.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > MAX_TEXT_BYTES {
        true => Err(io::Error::other(format!("it has more than {MAX_TEXT_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

/// One writer a folder.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(|e| cannot_write(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(format!("another process writes to `{}`", folder.display())))
        }
        Err(TryLockError::Error(e)) => Err(cannot_write(&path, e)),
    }
}

/// Makes a folder and those above it, each durable.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        _ => sync_folder(path),
    }
}

fn not_the_trees(want: Want) -> Failure {
    Failure::no(format!("`{}` of the log is not that of its signed tree", want.path()))
        .hint("the folder keeps its older checkpoint; try another source with --from")
}

fn cannot_write(path: &Path, e: io::Error) -> Failure {
    let may_pass = service::disk::may_pass(&e);
    Failure::new(format!("cannot write `{}`", path.display())).caused_by(e).may_pass(may_pass)
}

const CHECKPOINT: &str = "checkpoint";

/// Files that are fetched before they are checked. A bundle has at most 16 MiB.
const CHUNK: usize = FETCHERS;
