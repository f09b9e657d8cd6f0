//! Replay: entries that were logged before become the same tree again, with the same lookups.
//!
//! The source is not believed: before a chunk is written, a consistency proof from the source's tiles shows that the
//! tree with it is a beginning of a tree that the log has signed. Each chunk is one synced write of everything
//! that a round would have written. So a replay that is interrupted leaves a smaller tree of the same log.

use std::time::{Duration, Instant};

use attestation::entry::{Entry, LogTime};
use rayon::prelude::*;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::{self, consistency, leaf_hash};
use tlog::tile::{Tile, TileHashReader};
use tlog::{Hash, LeafIndex, TreeSize};

use log_core::keys::Keys;
use log_core::port::StoredEnvelope;
use log_core::stored::load_tree;
use log_rocksdb::ReadsOf;

use crate::Failure;
use crate::integrate::Tree;
use crate::sequencer::{DAY_MILLIS, OpenError};
use crate::source::{Entries, Source};
use crate::store::schema::{self, Read as _, TreeState};
use crate::store::{Batch, Store};

/// A tree that grows out of entries that were logged before.
pub(crate) struct Replay<'s> {
    store: &'s dyn Store,
    state: TreeState,
    tree: Tree,
    /// Envelopes, or their tombstones, that came along.
    pub(crate) envelopes: u64,
}

impl<'s> Replay<'s> {
    /// Goes on from the tree that is in `store`.
    pub(crate) fn open(store: &'s dyn Store) -> Result<Self, OpenError> {
        let state = store.tree_state()?.ok_or(OpenError::NoTree)?;
        let tree = load_tree(&ReadsOf(store), state.tree_size(), &state.root)?;
        Ok(Self { store, state, tree, envelopes: 0 })
    }

    /// The tree as it is written.
    pub(crate) fn state(&self) -> &TreeState {
        &self.state
    }

    /// The same, in the shape that the next entries are integrated into.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Brings the entries of `source` up to `target`, a checkpoint that the log has signed.
    pub(crate) fn run(&mut self, source: &dyn Source, target: &Checkpoint) -> Result<(), Failure> {
        check_beginning(source, self.tree.edge().size(), &self.tree.edge().root(), target)?;
        self.bring(source, target.size.get(), &|size, root| check_beginning(source, size, root, target))
    }

    /// Brings the entries up to `size` into a new store. Nothing is proven here: the caller compares the whole tree with
    /// what was signed before it uses the store.
    pub(crate) fn rebuild(&mut self, entries: &dyn Entries, size: u64) -> Result<(), Failure> {
        self.bring(entries, size, &|_, _| Ok(()))
    }

    fn bring(&mut self, source: &dyn Entries, size: u64, check: Check<'_>) -> Result<(), Failure> {
        let mut said = Instant::now();
        let mut chunk = Vec::new();
        let mut chunk_bytes = 0;
        while self.state.size < size {
            let end = size.min(self.state.size + CHUNK_ENTRIES);
            let mut entries = read(source, self.state.size, end)?.into_iter().peekable();
            while entries.peek().is_some() {
                let mut unit: Vec<Replayed> = entries.by_ref().take(UNIT_ENTRIES).collect();
                bring_envelopes(source, &mut unit)?;
                chunk_bytes += unit.iter().map(Replayed::bytes).sum::<u64>();
                chunk.append(&mut unit);
                if chunk_bytes >= CHUNK_BYTES || entries.peek().is_none() {
                    self.commit(&chunk, check)?;
                    chunk.clear();
                    chunk_bytes = 0;
                }
            }
            if said.elapsed() > PROGRESS_INTERVAL {
                tracing::info!(entries = self.state.size, of = size, "replaying");
                said = Instant::now();
            }
        }
        Ok(())
    }

    fn commit(&mut self, chunk: &[Replayed], check: Check<'_>) -> Result<(), Failure> {
        let hashes: Vec<Hash> = chunk.par_iter().map(|entry| leaf_hash(&entry.leaf)).collect();
        let integrated = self.tree.integrate(&hashes);
        check(integrated.tree.edge().size(), &integrated.root)?;
        let mut writes = Batch::default();
        let mut state = self.state.clone();
        for entry in chunk {
            entry.put(&mut writes, LeafIndex::new(state.size));
            entry.count(&mut state);
        }
        for (tile, hashes) in &integrated.tiles {
            schema::put_tile(&mut writes, *tile, hashes);
        }
        state.root = integrated.root.to_string();
        schema::put_tree_state(&mut writes, &state);
        self.store.write(&writes).map_err(|e| {
            Failure::new("a write failed: what is on the disk is a smaller tree of the same log").caused_by(e)
        })?;
        (self.state, self.tree) = (state, integrated.tree);
        self.envelopes += chunk.iter().filter(|entry| entry.envelope.is_some()).count() as u64;
        Ok(())
    }
}

/// Whether the tree of this size and root may be written.
type Check<'c> = &'c dyn Fn(TreeSize, &Hash) -> Result<(), Failure>;

/// An entry that was logged before, with what is beside the log under its name.
struct Replayed {
    leaf: Vec<u8>,
    keys: Keys,
    logged_at: Option<LogTime>,
    /// Whether its envelope may be beside the log: a private entry's is its signer's.
    listed: bool,
    envelope: Option<StoredEnvelope>,
}

impl Replayed {
    fn parse(index: u64, leaf: Vec<u8>) -> Result<Self, Failure> {
        let entry = Entry::parse(&leaf)
            .map_err(|e| Failure::no(format!("damaged: leaf {index} of the source")).caused_by(e))?;
        let (logged_at, listed) = match &entry {
            Entry::Dsse(entry) => (Some(entry.logged_at()), entry.claim().listing().is_some()),
            Entry::Event(event) => (Some(event.logged_at()), false),
            Entry::NotUnderstood { .. } => (None, false),
        };
        Ok(Self { keys: Keys::of(&entry, LeafIndex::new(index)), leaf, logged_at, listed, envelope: None })
    }

    fn bytes(&self) -> u64 {
        let envelope = match &self.envelope {
            Some(StoredEnvelope::Present(envelope)) => envelope.len(),
            Some(StoredEnvelope::Erased(_)) | None => 0,
        };
        (self.leaf.len() + envelope) as u64
    }

    fn put(&self, writes: &mut Batch, index: LeafIndex) {
        schema::put_leaf(writes, index, &self.leaf);
        schema::put_keys(writes, &self.keys, index);
        match (&self.keys.envelope, &self.envelope) {
            (Some(hash), Some(StoredEnvelope::Present(envelope))) => {
                schema::put_envelope(writes, hash, envelope)
            }
            (Some(hash), Some(StoredEnvelope::Erased(tombstone))) => {
                schema::put_tombstone(writes, hash, tombstone);
            }
            _ => {}
        }
    }

    /// What a round of the sequencer would have made of the state.
    fn count(&self, state: &mut TreeState) {
        state.size += 1;
        state.logged_at = self.logged_at.map_or(state.logged_at, LogTime::as_millis);
        let day = state.logged_at / DAY_MILLIS;
        let spent = if day == state.day { state.day_bytes } else { 0 };
        (state.day, state.day_bytes) = (day, spent + self.bytes());
    }
}

fn read(source: &dyn Entries, from: u64, to: u64) -> Result<Vec<Replayed>, Failure> {
    let leaves = source.leaves(from, to)?;
    let parse = |(at, leaf)| Replayed::parse(from + at as u64, leaf);
    leaves.into_par_iter().enumerate().map(parse).collect()
}

fn bring_envelopes(source: &dyn Entries, entries: &mut [Replayed]) -> Result<(), Failure> {
    let named: Vec<(usize, Hash)> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((at, entry.keys.envelope.filter(|_| entry.listed)?)))
        .collect();
    let hashes: Vec<Hash> = named.iter().map(|(_, hash)| *hash).collect();
    for ((at, _), envelope) in named.into_iter().zip(source.envelopes(&hashes)?) {
        entries[at].envelope = envelope;
    }
    Ok(())
}

/// Whether the tree of `size` and `root` is a beginning of the signed tree `target`, by a proof made of the
/// source's tiles.
pub(crate) fn check_beginning(
    source: &dyn Source,
    size: TreeSize,
    root: &Hash,
    target: &Checkpoint,
) -> Result<(), Failure> {
    let tiles = TileHashReader::new(target.size, |tile: Tile| source.tile(tile));
    let proof = consistency::prove(&tiles, size, target.size)?;
    consistency::verify(size, target.size, &proof, root, &target.root).map_err(|e| {
        contradiction()
            .because(format!(
                "the tree of {size} entries with the root {root} is no beginning of that of {}",
                target.size
            ))
            .caused_by(e)
    })
}

/// Either two trees were signed, or one of the compared sides is damaged.
pub(crate) fn contradiction() -> Failure {
    Failure::no("the directory, the source and what was signed are not of one tree").hint(
        "`log-server fsck` (`--dir` here, `--url` there) tells which of them is damaged; another source may not be. \
         If two checkpoints of different trees are signed, the log has forked and its origin is over: docs/log.md \
         says what a successor needs",
    )
}

/// Whether the tiles of `source` lead to its own checkpoint. Otherwise no proof from them means anything.
pub(crate) fn check_tiles(source: &dyn Source, held: &Checkpoint) -> Result<(), Failure> {
    let tiles = TileHashReader::new(held.size, |tile: Tile| source.tile(tile));
    let root = merkle::root(&tiles, held.size)?;
    if root == held.root {
        return Ok(());
    }
    Err(Failure::no("damaged: the source's tiles")
        .because(format!("they lead to the root {root}, its checkpoint says {}", held.root)))
}

/// Entries whose envelopes are asked for together: 256 MiB of them, if each is as long as it may be.
const UNIT_ENTRIES: usize = 256;

/// What is written together, at the most and about.
const CHUNK_ENTRIES: u64 = 2_048;
const CHUNK_BYTES: u64 = 32 << 20;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
