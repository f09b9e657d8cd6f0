//! From ordered entries to an integrated tree. An engine that integrates as it orders leaves nothing to do here.

use std::sync::Arc;

use attestation::entry::Entry;
use tlog::merkle::leaf_hash;
use tlog::tile::TILE_WIDTH;
use tlog::{Hash, LeafIndex};

use super::{FatalError, Integrator};
use crate::StoreError;
use crate::keys::Keys;
use crate::port::{Epoch, Integration, IntegratorEngine, Moved, Object, Put, Record};

impl<E: IntegratorEngine, R: Record> Integrator<E, R> {
    /// Integrates what is ordered, in pieces. Whoever integrates makes the same bytes: what is put twice is the same, and
    /// anything else is a second tree under one name, behind which nothing is signed.
    pub(super) async fn integrate(&mut self, epoch: Epoch) -> Result<(), FatalError> {
        while self.epoch == Some(epoch) && self.tree.edge().size() < self.ordered.next {
            let from = self.tree.edge().size();
            let to = self.ordered.next.get().min(from.get() + MAX_ENTRIES);
            let (hashes, rows) = self.read(from.get(), to)?;
            let integrated = self.tree.integrate(&hashes);
            for (tile, hashes) in &integrated.tiles {
                if !self.put(Object::Tile(*tile, hashes)).await? {
                    return Ok(());
                }
            }
            for bundle in from.get() / TILE_WIDTH..to / TILE_WIDTH {
                let mut leaves = Vec::new();
                let first = bundle * TILE_WIDTH;
                self.engine.leaves(first, first + TILE_WIDTH, &mut |_, leaf| leaves.push(leaf.to_vec()))?;
                if !self.put(Object::Bundle(bundle, &leaves)).await? {
                    return Ok(());
                }
            }
            let tree = Arc::new(integrated.tree);
            let integration = Integration { from, tree: &tree, rows: &rows };
            match self.engine.integrate(epoch, integration).await {
                Ok(Moved::Moved) => self.tree = tree,
                Ok(Moved::Another(heads)) => self.follow(&heads)?,
                Err(failed) => return self.failed(failed).await,
            }
        }
        Ok(())
    }

    fn read(&self, from: u64, to: u64) -> Result<(Vec<Hash>, Vec<Keys>), StoreError> {
        let (mut hashes, mut rows) = (Vec::new(), Vec::new());
        let mut damage = None;
        self.engine.leaves(from, to, &mut |index, leaf| {
            hashes.push(leaf_hash(leaf));
            match Entry::parse(leaf) {
                Ok(entry) => rows.push(Keys::of(&entry, LeafIndex::new(index))),
                Err(cause) => damage = Some(StoreError::new("read", format!("leaf {index}: {cause}"))),
            }
        })?;
        damage.map_or(Ok((hashes, rows)), Err)
    }

    /// Whether it is there now.
    async fn put(&mut self, object: Object<'_>) -> Result<bool, FatalError> {
        match self.engine.put(object).await {
            Ok(Put::Stored) => Ok(true),
            Ok(Put::Differs) => {
                let what = match object {
                    Object::Tile(tile, _) => tile.path(),
                    Object::Bundle(number, _) => format!("the bundle {number}"),
                    Object::Envelope(hash, _) => format!("the envelope {hash}"),
                };
                self.halt(format!(
                    "{what} is there with other bytes than follow from the order of this log's entries"
                ));
                Ok(false)
            }
            Err(failed) => self.failed(failed).await.map(|()| false),
        }
    }
}

/// What is integrated at a time.
const MAX_ENTRIES: u64 = 8_192;
