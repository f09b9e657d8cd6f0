//! Full tiles and bundles in memory, as they are sent. They never change, so nothing is ever stale.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tlog::tile::{Resource, Tile};

/// The bodies that were read last, within a bound of bytes. What came first leaves first: a hit changes nothing that
/// another reader waits for.
#[derive(Debug)]
pub struct Prepared {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    most: usize,
}

#[derive(Debug, Default)]
struct Shard {
    bodies: HashMap<(Resource, Tile), Bytes>,
    order: VecDeque<(Resource, Tile)>,
    bytes: usize,
}

impl Prepared {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), most: bytes / SHARDS }
    }

    /// The body of a full tile, if it is here.
    pub fn get(&self, resource: Resource, tile: Tile) -> Option<Bytes> {
        self.shard(resource, tile).bodies.get(&(resource, tile)).cloned()
    }

    /// Keeps a body for those who ask next, unless it alone is more than a share of the room.
    pub fn put(&self, resource: Resource, tile: Tile, body: Bytes) {
        if body.len() > self.most {
            return;
        }
        let mut shard = self.shard(resource, tile);
        shard.bytes += body.len();
        match shard.bodies.insert((resource, tile), body) {
            // Two clients missed it at once.
            Some(same) => shard.bytes -= same.len(),
            None => shard.order.push_back((resource, tile)),
        }
        while shard.bytes > self.most {
            let Some(first) = shard.order.pop_front() else { break };
            shard.bytes -= shard.bodies.remove(&first).map_or(0, |body| body.len());
        }
    }

    fn shard(&self, resource: Resource, tile: Tile) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one((resource, tile)) as usize % SHARDS;
        // `bytes` is only too large if a panic came between: then less is kept.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound_and_the_oldest_leaves() {
        let prepared = Prepared::new(SHARDS * 3 * 8_192);
        let tile = |index| Tile::new(0, index, 256).expect("a tile");
        let body = |index: u64| Bytes::from(vec![index as u8; 8_192]);
        for index in 0..1_000 {
            prepared.put(Resource::Hashes, tile(index), body(index));
            prepared.put(Resource::Hashes, tile(index), body(index));
            assert_eq!(prepared.get(Resource::Hashes, tile(index)), Some(body(index)));
            assert_eq!(prepared.get(Resource::Entries, tile(index)), None, "another body");
        }
        let kept = (0..1_000).filter(|index| prepared.get(Resource::Hashes, tile(*index)).is_some()).count();
        assert!((SHARDS..=3 * SHARDS).contains(&kept), "{kept}");
        for shard in &prepared.shards {
            let shard = shard.lock().expect("no panic");
            assert_eq!(shard.bytes, shard.bodies.values().map(Bytes::len).sum::<usize>());
            assert_eq!(shard.order.len(), shard.bodies.len());
        }
        prepared.put(Resource::Entries, tile(7), Bytes::from(vec![0; 3 * 8_192 + 1]));
        assert_eq!(prepared.get(Resource::Entries, tile(7)), None, "larger than its room");
    }
}
