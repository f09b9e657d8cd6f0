//! Opening a log: reads what a crash left, checks it against everything that was ever signed, and goes on where the log
//! stood.

use tlog::checkpoint::Checkpoint;
use tlog::merkle::range::CompactRange;
use tlog::merkle::{self, leaf_hash};
use tlog::note::Note;
use tlog::tile::{Edge, TILE_WIDTH, Tile, TileHashReader, hashes_at};
use tlog::{Hash, TreeSize};

use super::{Accept, FatalError};
use crate::integrate::Tree;
use crate::signed_record::SignedRecord;
use crate::store::schema::{Read as _, TreeState};
use crate::store::{Store, StoreError};
use crate::view::Published;
use log_core::log_keys::LogKeys;

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A record of what was signed is not this log's.
    #[error("{record} holds no checkpoint signed by this log's key: {cause}")]
    BadRecord {
        /// Which record.
        record: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The stored tree contradicts what was signed.
    #[error("the directory holds another tree than was signed at size {size}: root {root}, signed {signed}")]
    Contradiction {
        /// The size.
        size: u64,
        /// The root of the stored tree at that size.
        root: Hash,
        /// The root that was signed.
        signed: Hash,
    },
    /// The stored tree does not hash to its own root.
    #[error("the stored tree is damaged: its tiles lead to root {got}, its state says {want}")]
    Damaged {
        /// The root of tiles and leaves.
        got: Hash,
        /// The root in the state.
        want: String,
    },
    /// `init` has not finished.
    #[error("the directory holds no tree: `init` did not finish")]
    NoTree,
    /// The file that records what was signed is older than the database.
    #[error(
        "the record of what was signed holds a checkpoint of {file} entries, the database one of {database}: the record is an older copy"
    )]
    RecordBehind {
        /// The size in the file.
        file: u64,
        /// The size in the database.
        database: u64,
    },
    /// The stored tree is smaller than what was signed.
    #[error(
        "the directory holds {size} entries, but this log has signed a checkpoint of {signed}: it is an older copy"
    )]
    RolledBack {
        /// Stored entries.
        size: u64,
        /// Entries signed.
        signed: u64,
    },
    /// Publishing what was recovered failed.
    #[error(transparent)]
    Publish(#[from] FatalError),
    /// A witness has a checkpoint of this log that the directory does not hold.
    #[error("the witness `{witness}` shows a checkpoint that this log signed, {cause}")]
    WitnessKnowsMore {
        /// Its name in the policy.
        witness: String,
        /// How it contradicts the directory.
        cause: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A checkpoint that the log signed, and the note it did so in.
pub(crate) struct SignedNote {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: Note,
}

impl SignedNote {
    /// Reads a note of ours; `name` says where it stood.
    fn read(name: &'static str, text: &str, identity: &LogKeys) -> Result<Self, OpenError> {
        let bad = |cause: String| OpenError::BadRecord { record: name, cause };
        let note = Note::parse(text.as_bytes()).map_err(|e| bad(e.to_string()))?;
        let checkpoint = identity.own_checkpoint(&note).map_err(bad)?;
        Ok(Self { checkpoint, note })
    }
}

/// Both records of what was signed, and what a witness showed beyond them.
pub(crate) struct SignedBefore {
    file: SignedNote,
    database: Option<SignedNote>,
    shown: Option<SignedNote>,
}

impl SignedBefore {
    /// The checkpoints, that of the file first.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        let signed = [Some(&self.file), self.database.as_ref(), self.shown.as_ref()];
        signed.into_iter().flatten().map(|signed| &signed.checkpoint)
    }

    /// Fails unless the tree extends each of them: a smaller checkpoint of another tree shows a fork as well as a larger
    /// one does. The file is written before the database, so a file that is behind the database is a copy from elsewhere.
    pub(super) fn check(
        &self,
        store: &dyn Store,
        state: &TreeState,
        tree: &Tree,
        accept: Accept,
    ) -> Result<(), OpenError> {
        for signed in self.checkpoints() {
            check_extends(store, state, tree, signed)?;
        }
        let file = self.file.checkpoint.size;
        match self.database.as_ref().map(|signed| signed.checkpoint.size).filter(|database| *database > file)
        {
            Some(database) if !accept.older_record => {
                Err(OpenError::RecordBehind { file: file.get(), database: database.get() })
            }
            _ => Ok(()),
        }
    }

    /// Writes the file anew if it is an older copy that the operator accepted, so that the next start finds it in order.
    pub(super) fn renew(&self, record: &SignedRecord) -> Result<(), StoreError> {
        match &self.database {
            Some(database) if database.checkpoint.size > self.file.checkpoint.size => record
                .write(&database.note.to_string())
                .map_err(|e| StoreError::new("write the signed record", e)),
            _ => Ok(()),
        }
    }

    /// The larger of the two records.
    pub(crate) fn last(self) -> SignedNote {
        match self.database {
            Some(database) if database.checkpoint.size > self.file.checkpoint.size => database,
            _ => self.file,
        }
    }
}

/// Reads both records, and what was kept of a witness.
pub(crate) fn signed_before(
    store: &dyn Store,
    record: &SignedRecord,
    identity: &LogKeys,
) -> Result<SignedBefore, OpenError> {
    let text = record.read();
    let text = text.map_err(|e| OpenError::BadRecord { record: FILE_RECORD, cause: e.to_string() })?;
    let file = SignedNote::read(FILE_RECORD, &text, identity)?;
    let lines = identity.check_record(&file.note);
    lines.map_err(|cause| OpenError::BadRecord { record: FILE_RECORD, cause })?;
    let database = store.signed()?.map(|text| SignedNote::read("the database's record", &text, identity));
    let shown = record.shown();
    let shown = shown.map_err(|e| OpenError::BadRecord { record: SHOWN, cause: e.to_string() })?;
    let shown = shown.map(|text| SignedNote::read(SHOWN, &text, identity));
    Ok(SignedBefore { file, database: database.transpose()?, shown: shown.transpose()? })
}

/// Whether a store may be served, before anything is written to it: it holds everything that was signed.
pub(crate) fn judge(
    store: &dyn Store,
    record: &SignedRecord,
    identity: &LogKeys,
    accept: Accept,
) -> Result<(), OpenError> {
    let state = store.tree_state()?.ok_or(OpenError::NoTree)?;
    let tree = load_tree(store, &state)?;
    let signed = signed_before(store, record, identity)?;
    signed.check(store, &state, &tree, accept)?;
    published_before(store, &state, &tree, identity)?;
    // Everything else that a start reads is read here, before it writes.
    let SignedNote { checkpoint, note } = signed.last();
    show(store, &tree, identity, checkpoint, note)?;
    store.seen()?;
    Ok(())
}

/// What was published last, if anything was.
pub(super) fn published_before(
    store: &dyn Store,
    state: &TreeState,
    tree: &Tree,
    identity: &LogKeys,
) -> Result<Published, OpenError> {
    let Some(text) = store.published()? else { return Ok(Published::nothing(identity.origin())) };
    let SignedNote { checkpoint, note } = SignedNote::read("the published checkpoint", &text, identity)?;
    check_extends(store, state, tree, &checkpoint)?;
    show(store, tree, identity, checkpoint, note)
}

/// What readers see under `note`, a checkpoint of the tree or of its beginning.
pub(super) fn show(
    store: &dyn Store,
    tree: &Tree,
    identity: &LogKeys,
    checkpoint: Checkpoint,
    note: Note,
) -> Result<Published, OpenError> {
    let edge = match checkpoint.size == tree.edge().size() {
        true => tree.edge().clone(),
        false => load_edge(store, checkpoint.size)?,
    };
    let sigstore = identity.sigstore.sign(checkpoint.size, checkpoint.root, &identity.key);
    Ok(Published::new(checkpoint, note, sigstore.to_string(), edge))
}

/// Whether the stored tree is at least what was signed, with its root.
pub(crate) fn check_extends(
    store: &dyn Store,
    state: &TreeState,
    tree: &Tree,
    signed: &Checkpoint,
) -> Result<(), OpenError> {
    if state.size < signed.size.get() {
        return Err(OpenError::RolledBack { size: state.size, signed: signed.size.get() });
    }
    let root = merkle::root(&stored_hashes(store, tree.edge()), signed.size)?;
    if root != signed.root {
        return Err(OpenError::Contradiction { size: signed.size.get(), root, signed: signed.root });
    }
    Ok(())
}

/// Rebuilds the right side of the tree in both shapes, and checks that both lead to the root of the state.
pub(crate) fn load_tree(store: &dyn Store, state: &TreeState) -> Result<Tree, OpenError> {
    let size = state.tree_size();
    let edge = load_edge(store, size)?;
    let range = CompactRange::read(&stored_hashes(store, &edge), size)?;
    let got = edge.root();
    if got.to_string() != state.root || range.root() != got {
        return Err(OpenError::Damaged { got, want: state.root.clone() });
    }
    Ok(Tree::new(edge, range))
}

/// The edge of the first `size` entries, from leaves and full tiles: nothing partial is stored.
fn load_edge(store: &dyn Store, size: TreeSize) -> Result<Edge, StoreError> {
    let mut levels: Vec<Vec<Hash>> = Vec::new();
    for level in 0..8 {
        let hashes = hashes_at(level, size);
        if hashes == 0 {
            break;
        }
        let first = hashes / TILE_WIDTH * TILE_WIDTH;
        let mut edge = Vec::new();
        if level == 0 {
            store.leaves(first, hashes, &mut |_, leaf| edge.push(leaf_hash(leaf)))?;
        } else {
            for index in first..hashes {
                edge.push(merkle::root_of(&full_tile(store, level - 1, index)?));
            }
        }
        levels.push(edge);
    }
    Ok(Edge::from_levels(size, levels).expect("as many hashes as the size implies"))
}

/// The hashes of the stored tree, published or not.
pub(crate) fn stored_hashes(
    store: &dyn Store,
    edge: &Edge,
) -> TileHashReader<impl Fn(Tile) -> Result<Vec<Hash>, StoreError>> {
    TileHashReader::new(edge.size(), move |tile: Tile| {
        if tile.is_full() {
            full_tile(store, tile.level(), tile.index())
        } else {
            Ok(edge.level(tile.level()).to_vec())
        }
    })
}

fn full_tile(store: &dyn Store, level: u8, index: u64) -> Result<Vec<Hash>, StoreError> {
    let tile = Tile::new(level, index, TILE_WIDTH as u16).expect("a level of a tree of 2^64 entries");
    store.full_tile(tile)?.ok_or_else(|| StoreError::new("read", format!("{} is missing", tile.path())))
}

const FILE_RECORD: &str = "the signed-checkpoint file";
const SHOWN: &str = "the file of what a witness showed";
