//! The one writer of a log: index and time, tiles, commit, checkpoint, publication.
//!
//! A round, and what a crash after each step means:
//!
//! | step | a crash after it |
//! |---|---|
//! | entries get index and time; tree, tiles, root are computed | nothing happened |
//! | **commit**: one synced write of entries, tiles, indexes and state | the entries are in the log: the next start signs them |
//! | the checkpoint is signed and recorded, in the file and in the database | the next start publishes it |
//! | the cosigned note is recorded | the next start shows it |
//! | **publish**: readers see it, waiters are answered | – |
//!
//! After any failed write the process stops and learns from the disk what happened (I5). Starting takes
//! the same path as a round: [`Sequencer::open`] ends in the same `publish`.

use std::sync::Arc;
use std::time::Duration;

use attestation::entry::LogTime;
use tlog::checkpoint::Checkpoint;
use tlog::key::SignerKey;
use tlog::merkle::range::CompactRange;
use tlog::merkle::{self, leaf_hash};
use tlog::note::Note;
use tlog::tile::{Edge, TILE_WIDTH, Tile, TileHashReader, hashes_at};
use tlog::{Hash, LeafIndex, TreeSize};
use tokio::sync::watch;

use crate::clock::ClockGuard;
use crate::integrate::{Integrated, Tree};
use crate::metrics;
use crate::pool::{Committed, Pending, Unavailable};
use crate::registry::Keys;
use crate::signed_record::SignedRecord;
use crate::sigstore_note::SigstoreName;
use crate::store::schema::{self, Read as _, TreeState};
use crate::store::{Batch, Store, StoreError};
use crate::view::Published;

/// What a log is called and signs with.
pub struct Identity {
    /// The log's key (type 0x01), named like its origin.
    pub key: SignerKey,
    /// Its name for stock cosign.
    pub sigstore: SigstoreName,
}

impl Identity {
    /// The log's unique name.
    pub fn origin(&self) -> &str {
        self.key.verifier().name().as_str()
    }
}

/// Reads the wall clock (Unix milliseconds) and the monotonic clock.
pub type Clocks = Box<dyn Fn() -> (u64, Duration) + Send>;

/// The writer. Owns the tree; everybody else sees what it publishes.
pub struct Sequencer {
    store: Arc<dyn Store>,
    identity: Identity,
    record: SignedRecord,
    clocks: Clocks,
    guard: ClockGuard,
    state: TreeState,
    tree: Tree,
    published: watch::Sender<Arc<Published>>,
    clock_stopped: watch::Sender<Option<String>>,
}

impl Sequencer {
    /// Opens the log, finishes what a crash interrupted, and publishes. Refuses a store that is behind
    /// what was ever signed.
    pub fn open(
        store: Arc<dyn Store>,
        identity: Identity,
        record: SignedRecord,
        clocks: Clocks,
        accept_clock: bool,
    ) -> Result<Self, OpenError> {
        let state = store.tree_state()?.ok_or(OpenError::NoTree)?;
        let tree = load_tree(&*store, &state)?;
        for signed in signed_before(&*store, &record, &identity)? {
            check_extends(&*store, &state, &tree, &signed)?;
        }
        let (wall, mono) = clocks();
        let empty = Published::new(
            Checkpoint::new(identity.origin(), TreeSize::EMPTY, merkle::empty_root()),
            Note::unsigned("\n".into()),
            String::new(),
            Edge::new(),
        );
        let mut sequencer = Self {
            store,
            identity,
            record,
            clocks,
            guard: ClockGuard::new(wall, mono, accept_clock),
            state,
            tree,
            published: watch::Sender::new(Arc::new(empty)),
            clock_stopped: watch::Sender::new(None),
        };
        sequencer.publish()?;
        Ok(sequencer)
    }

    /// What is published, now and later.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Why sequencing stands still because of the clock, if it does.
    pub fn clock_stopped(&self) -> watch::Receiver<Option<String>> {
        self.clock_stopped.subscribe()
    }

    /// One round: all of `batch` is answered when this returns `Ok`. After an error the process stops.
    pub fn round(&mut self, batch: Vec<Pending>) -> Result<(), FatalError> {
        let (wall, mono) = (self.clocks)();
        let time = match self.guard.log_time(wall, mono, self.state.logged_at) {
            Ok(time) => time,
            Err(jump) => {
                self.clock_stopped.send_replace(Some(jump.to_string()));
                let refusal = Err(Unavailable::Clock(jump.to_string()));
                batch.into_iter().for_each(|pending| pending.answer(&refusal));
                return Ok(());
            }
        };
        self.clock_stopped.send_replace(None);
        let round = self.sequence(batch, time)?;
        if !round.new.is_empty() {
            // SPEC design "Life of an entry": commit, the point of no return. A crash before this line
            // loses nothing that was promised; after it, `open` finishes the round.
            self.store.write(&round.writes)?;
            metrics::committed(round.new.len(), self.state.size + round.new.len() as u64);
            self.state = round.state;
            self.tree = round.integrated.tree;
        }
        for (pending, committed) in round.known.into_iter().chain(round.new) {
            pending.answer(&Ok(committed));
        }
        self.publish()
    }

    /// Gives index and time, and computes everything the round writes. Nothing is written here.
    fn sequence(&self, batch: Vec<Pending>, time: u64) -> Result<Round, FatalError> {
        let logged_at =
            LogTime::from_millis(time).expect("the clock guard refuses times a leaf cannot carry");
        let mut writes = Batch::default();
        let (mut known, mut new) = (Vec::new(), Vec::new());
        let mut hashes = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for pending in batch {
            let claim = pending.admitted.claim.get();
            // Looked up again here: the claim may have been committed after it was admitted.
            if let Some(index) = self.store.claim(&claim)? {
                let leaf = self.store.leaf(index)?.ok_or_else(|| missing(index))?;
                known.push((pending, Committed { index, leaf }));
                continue;
            }
            let index = LeafIndex::new(self.state.size + new.len() as u64);
            let leaf = pending.admitted.entry.to_leaf(logged_at);
            hashes.push(leaf_hash(&leaf));
            schema::put_leaf(&mut writes, index, &leaf);
            let keys = Keys::of_claim(pending.admitted.entry.claim(), pending.admitted.claim);
            put_keys(&mut writes, &keys, index);
            if let Some((hash, envelope)) = &pending.admitted.envelope {
                // An envelope that was erased stays erased, whoever sends it again.
                if self.store.envelope(hash)?.is_none() {
                    schema::put_envelope(&mut writes, hash, envelope);
                }
                bytes += envelope.len() as u64;
            }
            bytes += leaf.len() as u64;
            new.push((pending, Committed { index, leaf }));
        }
        let integrated = self.tree.integrate(&hashes);
        for (tile, hashes) in &integrated.tiles {
            schema::put_tile(&mut writes, *tile, hashes);
        }
        let day = time / DAY_MILLIS;
        let spent = if day == self.state.day { self.state.day_bytes } else { 0 };
        let state = TreeState {
            size: integrated.tree.edge().size().get(),
            root: integrated.root.to_string(),
            logged_at: time,
            day,
            day_bytes: spent + bytes,
        };
        schema::put_tree_state(&mut writes, &state);
        Ok(Round { writes, known, new, integrated, state })
    }

    /// Signs the committed tree, records that in both places, and shows it.
    fn publish(&mut self) -> Result<(), FatalError> {
        let size = self.state.tree_size();
        if self.published.borrow().size() == size && size != TreeSize::EMPTY {
            return Ok(());
        }
        let checkpoint = Checkpoint::new(self.identity.origin(), size, self.tree.edge().root());
        let note = checkpoint.sign(&self.identity.key);
        let text = note.to_string();
        self.record.write(&text).map_err(|e| StoreError::new("write the signed record", e))?;
        let mut signed = Batch::default();
        schema::put_signed(&mut signed, &text);
        self.store.write(&signed)?;
        // The policy asks for no witness: the signed note is what is published.
        let mut published = Batch::default();
        schema::put_published(&mut published, &text);
        self.store.write(&published)?;
        let sigstore = self.identity.sigstore.sign(size, checkpoint.root, &self.identity.key);
        let edge = self.tree.edge().clone();
        self.published.send_replace(Arc::new(Published::new(checkpoint, note, sigstore.to_string(), edge)));
        metrics::published(size.get());
        Ok(())
    }
}

/// What one round does.
struct Round {
    writes: Batch,
    known: Vec<(Pending, Committed)>,
    new: Vec<(Pending, Committed)>,
    integrated: Integrated,
    state: TreeState,
}

/// Adds an entry to the lookups.
pub fn put_keys(writes: &mut Batch, keys: &Keys, index: LeafIndex) {
    if let Some(claim) = &keys.claim {
        schema::put_claim(writes, claim, index);
    }
    for subject in &keys.subjects {
        schema::put_subject(writes, subject, index);
    }
    if let Some(did) = &keys.did {
        schema::put_did(writes, did, index);
    }
}

/// A write failed: the process must stop.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FatalError(#[from] pub StoreError);

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
    /// Signing what was recovered failed.
    #[error(transparent)]
    Publish(#[from] FatalError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Both records of what was signed. The tree must extend each of them: a smaller one of another tree tells
/// of a fork as well as a larger one.
fn signed_before(
    store: &dyn Store,
    record: &SignedRecord,
    identity: &Identity,
) -> Result<Vec<Checkpoint>, OpenError> {
    let bad = |record, cause: String| OpenError::BadRecord { record, cause };
    let read = |name, text: &str| {
        let note = Note::parse(text.as_bytes()).map_err(|e| bad(name, e.to_string()))?;
        let keys = [identity.key.verifier().clone()];
        let signed = note.verify(&keys).map_err(|e| bad(name, e.to_string()))?;
        if signed.is_empty() {
            return Err(bad(name, "it is signed by another key".into()));
        }
        let checkpoint = Checkpoint::parse(note.text()).map_err(|e| bad(name, e.to_string()))?;
        if checkpoint.origin != identity.origin() {
            return Err(bad(name, format!("it is of the log `{}`", checkpoint.origin)));
        }
        Ok(checkpoint)
    };
    let file = record.read().map_err(|e| bad(FILE_RECORD, e.to_string()))?;
    let mut signed = vec![read(FILE_RECORD, &file)?];
    if let Some(text) = store.signed()? {
        signed.push(read("the database's record", &text)?);
    }
    Ok(signed)
}

/// Whether the stored tree is at least what was signed, with its root.
fn check_extends(
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

/// Rebuilds the right side of the tree from leaves and full tiles: nothing partial is stored.
fn load_tree(store: &dyn Store, state: &TreeState) -> Result<Tree, OpenError> {
    let size = state.tree_size();
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
    let edge = Edge::from_levels(size, levels).expect("as many hashes as the size implies");
    let range = CompactRange::read(&stored_hashes(store, &edge), size)?;
    let got = edge.root();
    if got.to_string() != state.root || range.root() != got {
        return Err(OpenError::Damaged { got, want: state.root.clone() });
    }
    Ok(Tree::new(edge, range))
}

/// The hashes of the stored tree, published or not.
fn stored_hashes(
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

fn missing(index: LeafIndex) -> StoreError {
    StoreError::new("read", format!("leaf {index} is missing"))
}

const FILE_RECORD: &str = "the signed-checkpoint file";

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;
