//! A log's store as a source: a backup, a snapshot, another copy of the directory.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::{leaf_hash, root_of};
use tlog::tile::{TILE_WIDTH, Tile};
use tlog::{Hash, TreeSize};

use super::{Entries, Opened, Source, damaged, open_note};
use crate::Failure;
use crate::directory::Directory;
use crate::store::damage;
use crate::store::rocks::RocksStore;
use crate::store::salvaged::Salvaged;
use crate::store::schema::Read as _;
use crate::store::{Store, StoreError};
use log_core::port::StoredEnvelope;

/// The tree of the last signed checkpoint in a store. Entries that were committed after it are left out: they are not
/// signed yet, and the log itself may lose them.
pub(crate) struct Stored {
    store: Arc<dyn Store>,
    /// Held while it is read, if it is a directory and not a backup.
    _directory: Option<Directory>,
    /// After the store, which is in it, if the files are damaged.
    _salvaged: Option<Salvaged>,
}

/// Opens the store in a backup or a directory.
pub(crate) fn open(folder: &Path, key: &VerifierKey) -> Result<Opened, Failure> {
    let directory = folder.join("lock").exists().then(|| Directory::lock(folder)).transpose()?;
    let cannot = |e: StoreError| {
        Failure::new(format!("cannot open the database in `{}`", folder.display())).caused_by(e)
    };
    let db = folder.join("db");
    let found = damage::examine(&db).map_err(cannot)?;
    let salvaged = match found.is_empty() {
        true => None,
        false => {
            eprintln!("hint: the source is damaged, and read as far as it can be: {}", found.join("; "));
            Some(Salvaged::open(&db).map_err(cannot)?)
        }
    };
    let store = match &salvaged {
        Some(salvaged) => salvaged.store().clone(),
        None => Arc::new(RocksStore::open_read_only(&db).map_err(cannot)?),
    };
    let Opened { source, held, published } = of(store, key)?;
    let source = Box::new(Stored { _directory: directory, _salvaged: salvaged, ..source });
    Ok(Opened { source, held, published })
}

/// A store as a source.
pub(crate) fn of(store: Arc<dyn Store>, key: &VerifierKey) -> Result<Opened<Stored>, Failure> {
    let read = |note: Option<String>, name| {
        let note = note.map(|note| open_note(note.as_bytes(), key)).transpose();
        note.map_err(|e| damaged(name, e))
    };
    let signed = read(store.signed().map_err(unreadable)?, "the signed checkpoint")?;
    let published = read(store.published().map_err(unreadable)?, "the published checkpoint")?;
    // Without one it is a log that was made and never served.
    let never = || Checkpoint::new(key.name().as_str(), TreeSize::EMPTY, tlog::merkle::empty_root());
    Ok(Opened {
        source: Stored { store, _directory: None, _salvaged: None },
        held: signed.map_or_else(never, |(checkpoint, _)| checkpoint),
        published: published.map(|(_, note)| note),
    })
}

impl Source for Stored {
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Failure> {
        let width = usize::from(tile.width());
        if let Some(mut hashes) = self.store.full_tile(tile).map_err(unreadable)? {
            hashes.truncate(width);
            return Ok(hashes);
        }
        // Nothing partial is stored.
        let first = tile.index() * TILE_WIDTH;
        let last = first + u64::from(tile.width());
        let Some(below) = tile.level().checked_sub(1) else {
            let mut hashes = Vec::with_capacity(width);
            self.store
                .leaves(first, last, &mut |_, leaf| hashes.push(leaf_hash(leaf)))
                .map_err(unreadable)?;
            return Ok(hashes);
        };
        let full = |index| {
            let tile = Tile::new(below, index, TILE_WIDTH as u16).expect("below a level that there is");
            let hashes = self.store.full_tile(tile).map_err(unreadable)?;
            hashes.map(|hashes| root_of(&hashes)).ok_or_else(|| damaged(&tile.path(), "it is missing"))
        };
        (first..last).map(full).collect()
    }
}

impl Entries for Stored {
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let mut leaves = Vec::new();
        self.store.leaves(from, to, &mut |_, leaf| leaves.push(leaf.to_vec())).map_err(unreadable)?;
        Ok(leaves)
    }

    fn envelopes(&self, hashes: &[Hash]) -> Result<Vec<Option<StoredEnvelope>>, Failure> {
        let envelope = |hash: &Hash| match self.store.envelope(hash).map_err(unreadable)? {
            Some(StoredEnvelope::Present(bytes)) if Hash::of(&bytes) != *hash => {
                Err(damaged(&format!("envelope {hash}"), "its bytes are not those of its hash"))
            }
            stored => Ok(stored),
        };
        hashes.par_iter().map(envelope).collect()
    }
}

fn unreadable(error: StoreError) -> Failure {
    Failure::no("damaged: the database of the source").caused_by(error)
}
