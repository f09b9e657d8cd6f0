//! Tiles, leaves and envelopes in a store.

use std::ops::ControlFlow;

use log_core::StoreError;
use log_core::port::{Failed, Kind, Object, Objects, Put, StoredEnvelope, Tombstone};
use tlog::tile::{TILE_WIDTH, Tile};
use tlog::{Hash, LeafIndex};

use super::{Engine, ReadsOf};
use crate::store::schema::{self, Read as _};
use crate::store::{Batch, Column, Order, Store};

impl Objects for ReadsOf<'_> {
    fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        self.0.full_tile(tile)
    }

    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.leaf(index)
    }

    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.0.leaves(from, to, visit)
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        self.0.envelope(hash)
    }

    fn list_objects(&self, kind: Kind, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        match kind {
            Kind::Tiles(level) => {
                let mut each = |key: &[u8], _: &[u8]| {
                    let number = key.strip_prefix(&[level]).and_then(|key| <[u8; 8]>::try_from(key).ok());
                    let Some(number) = number.filter(|_| found.len() < limit) else {
                        return ControlFlow::Break(());
                    };
                    found.push(u64::from_be_bytes(number));
                    ControlFlow::Continue(())
                };
                let from = [&[level][..], &from.to_be_bytes()].concat();
                self.0.scan(Column::Tile, &from, Order::Ascending, &mut each)?;
            }
            // Leaves are kept one by one: as many bundles are full as the tree has.
            Kind::Bundles => {
                let size = self.0.tree_state()?.map_or(0, |state| state.size);
                found.extend((from..size / TILE_WIDTH).take(limit));
            }
        }
        Ok(found)
    }

    async fn put(&self, object: Object<'_>) -> Result<Put, Failed> {
        let is_same = match object {
            Object::Tile(tile, hashes) => {
                self.0.full_tile(tile).map_err(Failed::Lost)?.map(|there| there == hashes)
            }
            Object::Bundle(number, leaves) => {
                let mut is_same = true;
                let mut next = leaves.iter();
                let first = number * TILE_WIDTH;
                let mut each = |_, leaf: &[u8]| is_same &= next.next().is_some_and(|own| own == leaf);
                self.0.leaves(first, first + TILE_WIDTH, &mut each).map_err(Failed::Lost)?;
                Some(is_same && leaves.len() as u64 == TILE_WIDTH)
            }
            Object::Envelope(hash, bytes) => match self.0.envelope(&hash).map_err(Failed::Lost)? {
                Some(StoredEnvelope::Present(there)) => Some(there == bytes),
                // It was erased, and stays so.
                Some(StoredEnvelope::Erased(_)) => Some(false),
                None => None,
            },
        };
        let mut batch = Batch::default();
        match (is_same, object) {
            (Some(true), _) | (None, Object::Bundle(..)) => return Ok(Put::Stored),
            (Some(false), _) => return Ok(Put::Differs),
            (None, Object::Tile(tile, hashes)) => schema::put_tile(&mut batch, tile, hashes),
            (None, Object::Envelope(hash, bytes)) => schema::put_envelope(&mut batch, &hash, bytes),
        }
        self.0.write(&batch).map_err(Failed::Unknown)?;
        Ok(Put::Stored)
    }

    async fn erase(&self, envelope: &Hash, tombstone: &Tombstone) -> Result<bool, Failed> {
        let there = self.0.envelope(envelope).map_err(Failed::Lost)?;
        if let Some(StoredEnvelope::Present(_)) = &there {
            let mut batch = Batch::default();
            schema::put_tombstone(&mut batch, envelope, tombstone);
            self.0.write(&batch).map_err(Failed::Unknown)?;
        }
        if there.is_some() {
            // Also of one that was erased before: that call may have broken off between the tombstone and this.
            self.0.expunge(Column::Envelope, envelope.as_bytes()).map_err(Failed::Unknown)?;
        }
        Ok(matches!(there, Some(StoredEnvelope::Present(_))))
    }
}

impl<S: Store + ?Sized> Objects for Engine<S> {
    fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        self.store.full_tile(tile)
    }

    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.leaf(index)
    }

    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.store.leaves(from, to, visit)
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        self.store.envelope(hash)
    }

    fn list_objects(&self, kind: Kind, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.reads().list_objects(kind, from, limit)
    }

    async fn put(&self, object: Object<'_>) -> Result<Put, Failed> {
        self.alone(self.reads().put(object))
    }

    async fn erase(&self, envelope: &Hash, tombstone: &Tombstone) -> Result<bool, Failed> {
        self.alone(self.reads().erase(envelope, tombstone))
    }
}

impl<S: Store + ?Sized> Engine<S> {
    /// Executes a call on the store, which is ready at once, while no other is executed.
    fn alone<T>(&self, call: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        let mut state = self.sound().map_err(Failed::Unknown)?;
        state.absent.clear();
        let done = log_core::port::ready(call);
        if let Err(Failed::Unknown(error)) = &done {
            state.failed = Some(error.clone());
        }
        done
    }
}
