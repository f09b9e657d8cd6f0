//! `salvage`: makes a whole store from everything that can be read of a damaged one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use service::disk;
use service::durable::sync_folder;
use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::leaf_hash;
use tlog::tile::{TILE_WIDTH, Tile};
use tlog::{Hash, LeafIndex};

use log_core::port::StoredEnvelope;
use log_core::stored::check_extends;
use log_rocksdb::ReadsOf;

use crate::Failure;
use crate::directory::Directory;
use crate::fsck;
use crate::init::make_store;
use crate::replay::{Replay, check_tiles, contradiction};
use crate::sequencer::OpenError;
use crate::signed_record::SignedRecord;
use crate::source::{self, Entries, Opened, Source, open_checkpoint};
use crate::store::rocks::RocksStore;
use crate::store::salvaged::{Salvaged, missing_leaves, ranges};
use crate::store::schema::{self, Read as _};
use crate::store::{Batch, Store as _, StoreError};
use log_core::log_keys::LogKeys;

/// Make a whole database of what can be read of a damaged one, and of other sources
///
/// Every entry is hashed into the tree again, and the tree is compared with all that was signed, before anything is
/// replaced. The damaged database is kept as `D/db.damaged`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The log's directory
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to take what cannot be read (can be repeated): a mirror's URL, a folder with its `checkpoint` and `tile/`,
    /// or a backup
    #[arg(long, value_name = "URL_OR_DIR")]
    pub from: Vec<String>,
    /// The second record of what was signed [default: as `serve` finds it]
    #[arg(long, env = "AIP_LOG_SIGNED_RECORD", value_name = "FILE")]
    pub signed_record: Option<PathBuf>,
}

/// Salvages the store and says what is in it.
pub fn run(args: &Args) -> Result<String, Failure> {
    let directory = Directory::lock(&args.dir)?;
    let places = Places::of(&args.dir);
    let cannot = |e: io::Error| {
        let may_pass = disk::may_pass(&e);
        Failure::new(format!("cannot replace `{}`", places.db.display())).caused_by(e).may_pass(may_pass)
    };
    if places.finish().map_err(cannot)? {
        return Ok("ok: a salvage that broke off is finished".into());
    }
    let file = directory.settings()?;
    let identity = directory.identity(&file)?;
    let key = identity.key.verifier();
    let record_path =
        args.signed_record.clone().unwrap_or_else(|| file.settings.signed_record_path(&args.dir));
    let record = SignedRecord::take(&record_path).map_err(|e| no_record(&record_path, e))?;
    let record = record.read().map_err(|e| no_record(&record_path, e))?;
    let recorded = open_checkpoint(record.as_bytes(), key)
        .map_err(|e| Failure::new(format!("`{}` is damaged", record_path.display())).because(e))?;
    let salvaged = Salvaged::open(&places.db)
        .map_err(|e| Failure::new("cannot read the damaged database").caused_by(e).hint(FROM_ELSEWHERE))?;
    let known = Known::read(salvaged.store(), recorded, &identity);
    let mut sources = Vec::new();
    for from in &args.from {
        let opened = source::open(from, key)?;
        check_tiles(&*opened.source, &opened.held)?;
        sources.push(opened);
    }
    let pieces = Pieces::new(salvaged.store().clone(), sources);
    let size = pieces.whole_to(&known)?;
    places.clear().map_err(cannot)?;
    let made = rebuild(&places.partial(), &pieces, &known, size, &record, key);
    if made.is_err() {
        let _ = fs::remove_dir_all(places.partial());
    }
    let root = made?;
    let kept = places.swap().map_err(cannot)?;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    if size < known.size() {
        eprintln!(
            "hint: the entries {} were committed, never signed, and cannot be read: whoever sent them has to send them again",
            ranges(from_ref(&(size..known.size())))
        );
    }
    if count(&pieces.envelopes_missing) > 0 {
        eprintln!(
            "hint: {} published envelopes are not here: they cannot be read, or never were here",
            count(&pieces.envelopes_missing)
        );
    }
    Ok(format!(
        "ok: {size} entries, root {root}, {} of them and {} envelopes from elsewhere; the damaged database is kept as `{}`",
        count(&pieces.entries_elsewhere),
        count(&pieces.envelopes_elsewhere),
        kept.display()
    ))
}

/// What the log knows of its tree, besides the entries.
struct Known {
    /// What was signed: of the record, and as far as it can be read of the database.
    signed: Vec<Checkpoint>,
    /// The note that was signed last, and the one that was published last, of the database.
    notes: [Option<String>; 2],
    /// The committed tree: size and root.
    committed: Option<(u64, String)>,
}

impl Known {
    fn read(store: &RocksStore, recorded: Checkpoint, identity: &LogKeys) -> Self {
        let key = identity.key.verifier();
        let note = |note: Option<String>| {
            note.and_then(|note| Some((open_checkpoint(note.as_bytes(), key).ok()?, note)))
        };
        let signed = note(store.signed().ok().flatten());
        let published = note(store.published().ok().flatten());
        let committed = store.tree_state().ok().flatten().map(|state| (state.size, state.root));
        let checkpoints = signed.iter().chain(&published).map(|(checkpoint, _)| checkpoint.clone());
        Self {
            signed: [recorded].into_iter().chain(checkpoints).collect(),
            notes: [signed, published].map(|note| note.map(|(_, note)| note)),
            committed,
        }
    }

    /// The entries that must be there.
    fn signed_size(&self) -> u64 {
        self.signed.iter().map(|signed| signed.size.get()).max().unwrap_or(0)
    }

    /// The entries that may be there.
    fn size(&self) -> u64 {
        self.committed.as_ref().map_or(0, |(size, _)| *size).max(self.signed_size())
    }
}

/// The entries of the damaged store, and of other sources where it has none.
struct Pieces {
    store: Arc<RocksStore>,
    sources: Vec<Opened>,
    entries_elsewhere: AtomicU64,
    envelopes_elsewhere: AtomicU64,
    envelopes_missing: AtomicU64,
}

impl Pieces {
    fn new(store: Arc<RocksStore>, sources: Vec<Opened>) -> Self {
        let [entries_elsewhere, envelopes_elsewhere, envelopes_missing] = [(); 3].map(|()| AtomicU64::new(0));
        Self { store, sources, entries_elsewhere, envelopes_elsewhere, envelopes_missing }
    }

    /// How many entries there are without a gap. Refuses if a signed one is missing.
    fn whole_to(&self, known: &Known) -> Result<u64, Failure> {
        let most = self.sources.iter().map(|source| source.held.size.get()).max().unwrap_or(0);
        let missing: Vec<_> = missing_leaves(&*self.store, 0, known.size())
            .into_iter()
            .filter(|range| range.end > most)
            .map(|range| range.start.max(most)..range.end)
            .collect();
        let whole_to = missing.first().map_or(known.size(), |first| first.start);
        let signed = known.signed_size();
        if whole_to >= signed {
            return Ok(whole_to);
        }
        let signed: Vec<_> = missing.into_iter().filter(|range| range.start < signed).collect();
        Err(Failure::new(format!("entries were signed and cannot be read: {}", ranges(&signed))).hint(
            "nothing was changed. Name whoever may have them with --from: every mirror, copy of the directory and backup there is. If \
             none has, the origin is over: docs/log.md says what a successor needs",
        ))
    }

    /// Leaves that the store has not, from a source whose tiles have them.
    fn elsewhere(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let mut refused = Failure::no(format!("no source has the entries {}", ranges(from_ref(&(from..to)))));
        for Opened { source, .. } in self.sources.iter().filter(|source| source.held.size.get() >= to) {
            match source.leaves(from, to).and_then(|leaves| checked(&**source, from, leaves)) {
                Ok(leaves) => {
                    self.entries_elsewhere.fetch_add(to - from, Ordering::Relaxed);
                    return Ok(leaves);
                }
                Err(failure) => refused = failure,
            }
        }
        Err(refused)
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, Failure> {
        match self.store.envelope(hash) {
            Ok(Some(StoredEnvelope::Present(bytes))) if Hash::of(&bytes) != *hash => {}
            Ok(Some(stored)) => return Ok(Some(stored)),
            Ok(None) | Err(_) => {}
        }
        for Opened { source, .. } in &self.sources {
            if let Some(envelope) = source.envelopes(&[*hash])?.into_iter().next().flatten() {
                self.envelopes_elsewhere.fetch_add(1, Ordering::Relaxed);
                return Ok(Some(envelope));
            }
        }
        self.envelopes_missing.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }
}

impl Entries for Pieces {
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let mut leaves = Vec::new();
        if self.store.leaves(from, to, &mut |_, leaf| leaves.push(leaf.to_vec())).is_ok() {
            return Ok(leaves);
        }
        leaves.clear();
        let here = |index| self.store.leaf(LeafIndex::new(index)).ok().flatten();
        let mut next = from;
        while next < to {
            if let Some(leaf) = here(next) {
                leaves.push(leaf);
                next += 1;
                continue;
            }
            let end = (next + 1..to).find(|index| here(*index).is_some()).unwrap_or(to);
            leaves.extend(self.elsewhere(next, end)?);
            next = end;
        }
        Ok(leaves)
    }

    fn envelopes(&self, hashes: &[Hash]) -> Result<Vec<Option<StoredEnvelope>>, Failure> {
        hashes.iter().map(|hash| self.envelope(hash)).collect()
    }
}

/// Leaves of a source, if they hash to its tiles, which were checked against its checkpoint.
fn checked(source: &dyn Source, from: u64, leaves: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
    for (index, leaf) in (from..).zip(&leaves) {
        let width = (index % TILE_WIDTH + 1) as u16;
        let tile = Tile::new(0, index / TILE_WIDTH, width).expect("a leaf is in a tile of level 0");
        if source.tile(tile)?.last() != Some(&leaf_hash(leaf)) {
            return Err(Failure::no(format!("damaged: leaf {index} of the source")));
        }
    }
    Ok(leaves)
}

/// Makes the store anew, and compares it with all that is known.
fn rebuild(
    partial: &Path,
    pieces: &Pieces,
    known: &Known,
    size: u64,
    record: &str,
    key: &VerifierKey,
) -> Result<Hash, Failure> {
    let failed = |e: StoreError| {
        let may_pass = e.may_pass;
        Failure::new("cannot write the new database").caused_by(e).may_pass(may_pass)
    };
    make_store(partial).map_err(failed)?;
    let store = RocksStore::open(partial).map_err(failed)?;
    let mut replay =
        Replay::open(&store).map_err(|e| Failure::new("cannot write the new database").caused_by(e))?;
    replay.rebuild(pieces, size)?;
    let (state, tree) = (replay.state(), replay.tree());
    let not_signed = |e: OpenError| contradiction().caused_by(e);
    for signed in &known.signed {
        check_extends(&ReadsOf(&store), tree, signed).map_err(not_signed)?;
    }
    if let Some((_, want)) =
        known.committed.as_ref().filter(|(committed, want)| *committed == size && *want != state.root)
    {
        return Err(not_signed(OpenError::Damaged { got: tree.edge().root(), want: want.clone() }));
    }
    let root = tree.edge().root();
    let mut notes = Batch::default();
    let [signed, published] = &known.notes;
    schema::put_signed(&mut notes, signed.as_deref().unwrap_or(record));
    if let Some(published) = published {
        schema::put_published(&mut notes, published);
    }
    store.write(&notes).and_then(|()| store.flush()).map_err(failed)?;
    drop(store);
    let store = RocksStore::open_read_only(partial).map_err(failed)?;
    fsck::check_store(&store, key, record)?;
    Ok(root)
}

/// The folders of the stores. Two renames replace `db`. If the process ends between them, the next run finds the whole
/// store under its second name.
pub(crate) struct Places {
    db: PathBuf,
    pub(crate) salvaged: PathBuf,
}

impl Places {
    pub(crate) fn of(dir: &Path) -> Self {
        Self { db: dir.join("db"), salvaged: dir.join("db.salvaged") }
    }

    /// The name of the new store while it is not whole.
    fn partial(&self) -> PathBuf {
        self.salvaged.with_added_extension("partial")
    }

    /// Removes what a run before this one left that was not whole, or was not put in its place.
    fn clear(&self) -> io::Result<()> {
        for path in [&self.salvaged, &self.partial()] {
            match fs::remove_dir_all(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts the new store in the place of the damaged one. Answers where that is.
    fn swap(&self) -> io::Result<PathBuf> {
        let name = |number: u32| match number {
            1 => self.db.with_added_extension("damaged"),
            _ => self.db.with_added_extension(format!("damaged.{number}")),
        };
        let kept = (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
        fs::rename(self.partial(), &self.salvaged)?;
        fs::rename(&self.db, &kept)?;
        self.finish()?;
        Ok(kept)
    }

    /// Gives the new store its name, if the damaged one has given it up.
    fn finish(&self) -> io::Result<bool> {
        if self.db.exists() || !self.salvaged.exists() {
            return Ok(false);
        }
        fs::rename(&self.salvaged, &self.db)?;
        sync_folder(&self.db)?;
        Ok(true)
    }
}

fn no_record(path: &Path, cause: io::Error) -> Failure {
    Failure::new(format!("the record of what was signed, `{}`, cannot be read", path.display()))
        .caused_by(cause)
        .hint("name it with --signed-record; without it nobody knows how far to go")
}

const FROM_ELSEWHERE: &str = "put the damaged `db` aside; `log-server restore` makes the directory from a backup, or \
                              `log-server recover --key` from a mirror";
