//! Reading a signed tree from any server of its tiles (c2sp.org/tlog-tiles), without I/O.
//!
//! ```text
//! wants ──▶ fetched by a shell ──▶ bytes ──▶ verified against the checkpoint, from the root down
//! ```
//! In scope: which tiles and bundles to fetch, and whether the fetched bytes are those of the tree. Out of scope: how they
//! are fetched, and whether the checkpoint is to be believed (`policy`).

use std::collections::HashMap;

use crate::bundle::{self, MAX_ENTRY_BYTES};
use crate::merkle::{TreeSize, leaf_hash, root_of};
use crate::tile::{Edge, Resource, TILE_WIDTH, Tile, hashes_at, parse_hashes};
use crate::{Hash, LeafIndex};

/// A tile or a bundle of a tree, to be fetched.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Want {
    /// Which tile, and how wide.
    pub tile: Tile,
    /// The hashes, or the entries under them.
    pub resource: Resource,
}

impl Want {
    /// A tile's hashes.
    pub fn hashes(tile: Tile) -> Self {
        Self { tile, resource: Resource::Hashes }
    }

    /// The entries under a tile of level 0.
    pub fn entries(tile: Tile) -> Self {
        Self { tile, resource: Resource::Entries }
    }

    /// The path below a log's prefix.
    pub fn path(self) -> String {
        match self.resource {
            Resource::Hashes => self.tile.path(),
            Resource::Entries => self.tile.entries_path(),
        }
    }

    /// The most bytes that it has.
    pub fn max_bytes(self) -> usize {
        let one = match self.resource {
            Resource::Hashes => Hash::BYTES,
            Resource::Entries => 2 + MAX_ENTRY_BYTES,
        };
        usize::from(self.tile.width()) * one
    }

    /// What to fetch if a partial one is gone: the full one, which took its place.
    ///
    /// SPEC: Logs MAY delete partial tiles once the corresponding full tile is available.
    pub fn instead(self) -> Option<Self> {
        (!self.tile.is_full()).then_some(Self { tile: self.tile.full(), ..self })
    }

    /// The bytes of this one, cut out of the beginning of [`instead`](Self::instead)'s. Bytes that are no bundle are left
    /// as they are; they will not verify.
    pub fn cut(self, mut full: Vec<u8>) -> Vec<u8> {
        let width = usize::from(self.tile.width());
        let length = match self.resource {
            Resource::Hashes => width * Hash::BYTES,
            Resource::Entries => match bundle::parse(&full) {
                Ok(entries) => entries.iter().take(width).map(|entry| 2 + entry.len()).sum(),
                Err(_) => full.len(),
            },
        };
        full.truncate(length);
        full
    }

    /// The hashes in the bytes of a tile, unverified.
    pub fn parse_hashes(self, bytes: &[u8]) -> Option<Vec<Hash>> {
        parse_hashes(self.tile, bytes)
    }

    /// The entries in the bytes of a bundle, unverified, if they are as many as the tile is wide.
    pub fn parse_entries(self, bytes: &[u8]) -> Option<Vec<&[u8]>> {
        bundle::parse(bytes).ok().filter(|entries| entries.len() == usize::from(self.tile.width()))
    }
}

/// A signed tree, as far as it was fetched. Every hash that it answers leads to its root.
#[derive(Clone, Debug)]
pub struct SignedTree {
    edge: Edge,
    /// Full tiles.
    checked: HashMap<Tile, Vec<Hash>>,
}

impl SignedTree {
    /// What [`open`](Self::open) needs of a tree of `size`: the partial tiles, one a level at most, level 0 first.
    pub fn edge_wants(size: TreeSize) -> Vec<Want> {
        let partial = |level| {
            let hashes = hashes_at(level, size);
            Tile::new(level, hashes / TILE_WIDTH, (hashes % TILE_WIDTH) as u16).map(Want::hashes)
        };
        (0..height(size)).filter_map(partial).collect()
    }

    /// The tree of `size` and `root`, with the bytes of its [`edge_wants`](Self::edge_wants) in their order. `None` if
    /// they do not give the root.
    pub fn open(size: TreeSize, root: &Hash, bytes: &[Vec<u8>]) -> Option<Self> {
        let mut levels = vec![Vec::new(); usize::from(height(size))];
        for (want, bytes) in Self::edge_wants(size).into_iter().zip(bytes) {
            levels[usize::from(want.tile.level())] = want.parse_hashes(bytes)?;
        }
        Self::with_edge(Edge::from_levels(size, levels)?, root)
    }

    /// The tree whose right edge is known. `None` if that is another tree's.
    pub fn with_edge(edge: Edge, root: &Hash) -> Option<Self> {
        (edge.root() == *root).then(|| Self { edge, checked: HashMap::new() })
    }

    /// The number of entries.
    pub fn size(&self) -> TreeSize {
        self.edge.size()
    }

    /// The widest tile of this tree at a place.
    ///
    /// # Panics
    /// If the tree has none there: callers ask about what they have.
    pub fn tile_at(&self, level: u8, index: u64) -> Tile {
        let hashes = hashes_at(level, self.size()).saturating_sub(index * TILE_WIDTH);
        Tile::new(level, index, hashes.min(TILE_WIDTH) as u16).expect("a tile of the tree")
    }

    /// The widest tile of level 0 with an entry.
    ///
    /// # Panics
    /// If the tree has no such entry.
    pub fn tile_of(&self, index: LeafIndex) -> Tile {
        self.tile_at(0, index.get() / TILE_WIDTH)
    }

    /// What has to be fetched and [taken](Self::take) before `want`, in this order: the tiles above it that are not
    /// known, from the top down.
    pub fn wants_above(&mut self, want: Want) -> Vec<Want> {
        if self.checked.len() >= MAX_TILES {
            self.checked.clear();
        }
        let mut wants = Vec::new();
        let mut below = want.tile;
        while let Some(above) = self.above(below).filter(|above| self.hashes(*above).is_none()) {
            wants.push(Want::hashes(above));
            below = above;
        }
        wants.reverse();
        wants
    }

    /// The hashes of a tile, as wide as this tree has it, if they are known.
    pub fn hashes(&self, tile: Tile) -> Option<&[Hash]> {
        if tile.is_full() {
            self.checked.get(&tile).map(Vec::as_slice)
        } else {
            Some(self.edge.level(tile.level()))
        }
    }

    /// Takes the bytes of a tile.
    ///
    /// # Panics
    /// If a tile of [`wants_above`](Self::wants_above) it was not taken before.
    pub fn take(&mut self, tile: Tile, bytes: &[u8]) -> Result<&[Hash], NotTheTrees> {
        let root = self.root(tile);
        let hashes = parse_hashes(tile, bytes).filter(|hashes| root_of(hashes) == root);
        let hashes = hashes.ok_or(NotTheTrees { want: Want::hashes(tile), root })?;
        Ok(self.checked.entry(tile).insert_entry(hashes).into_mut())
    }

    /// The entries in the bytes of the bundle under a tile.
    ///
    /// # Panics
    /// If a tile of [`wants_above`](Self::wants_above) it was not taken before.
    pub fn entries<'b>(&self, tile: Tile, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>, NotTheTrees> {
        let want = Want::entries(tile);
        let root = self.root(tile);
        let is_this = |entries: &Vec<&[u8]>| {
            let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            root_of(&hashes) == root
        };
        want.parse_entries(bytes).filter(is_this).ok_or(NotTheTrees { want, root })
    }

    /// The root of a tile's hashes, as the tile above it or the edge has it.
    fn root(&self, tile: Tile) -> Hash {
        match self.above(tile) {
            None => root_of(self.edge.level(tile.level())),
            Some(above) => {
                let above = self.hashes(above).expect("the tiles above are taken first");
                above[(tile.index() % TILE_WIDTH) as usize]
            }
        }
    }

    /// The tile with the root of a full one. A partial one is part of the edge.
    fn above(&self, tile: Tile) -> Option<Tile> {
        tile.is_full().then(|| self.tile_at(tile.level() + 1, tile.index() / TILE_WIDTH))
    }
}

/// Bytes that were served and are not what the tree has there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{}` is not that of the signed tree", .want.path())]
pub struct NotTheTrees {
    /// What was asked for.
    pub want: Want,
    /// The root that its hashes, or those of its entries, have in the tree.
    pub root: Hash,
}

/// The tile levels of a tree.
fn height(size: TreeSize) -> u8 {
    (0..8).take_while(|level| hashes_at(*level, size) > 0).count() as u8
}

/// Tiles that are kept: 8 KiB each.
const MAX_TILES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::tests::Leaves;

    /// A tree whose entries are their own numbers, served.
    struct Served {
        leaves: Leaves,
        size: TreeSize,
    }

    fn entry(index: u64) -> Vec<u8> {
        format!("entry {index}").into_bytes()
    }

    impl Served {
        fn new(size: u64) -> Self {
            let leaves = Leaves((0..size).map(|index| leaf_hash(&entry(index))).collect());
            Self { leaves, size: TreeSize::new(size) }
        }

        fn root(&self) -> Hash {
            root_of(&self.leaves.0)
        }

        fn bytes(&self, want: Want) -> Vec<u8> {
            let (start, width) = (want.tile.index() * TILE_WIDTH, u64::from(want.tile.width()));
            let mut bytes = Vec::new();
            match want.resource {
                Resource::Entries => {
                    (start..start + width).for_each(|index| bundle::push(&mut bytes, &entry(index)));
                }
                Resource::Hashes => {
                    let each = 256usize.pow(want.tile.level().into());
                    let hashes = self.leaves.0.chunks_exact(each).skip(start as usize).take(width as usize);
                    hashes.for_each(|leaves| bytes.extend_from_slice(root_of(leaves).as_bytes()));
                }
            }
            assert!(bytes.len() <= want.max_bytes());
            bytes
        }

        fn open(&self) -> SignedTree {
            let bytes: Vec<_> =
                SignedTree::edge_wants(self.size).into_iter().map(|want| self.bytes(want)).collect();
            SignedTree::open(self.size, &self.root(), &bytes).expect("its own edge")
        }
    }

    /// Every entry of trees of one, two and three levels is read, and nothing else is taken for it.
    #[test]
    fn what_is_wanted_is_verified_from_the_root_down() {
        for size in [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000] {
            let served = Served::new(size);
            let mut tree = served.open();
            let mut read = 0;
            for index in (0..size.div_ceil(TILE_WIDTH)).step_by(if size > 1_000 { 51 } else { 1 }) {
                let tile = tree.tile_at(0, index);
                for want in tree.wants_above(Want::entries(tile)) {
                    let good = served.bytes(want);
                    let mut bad = good.clone();
                    bad[7] ^= 1;
                    assert!(tree.take(want.tile, &bad).is_err(), "{size} {want:?}");
                    assert!(tree.take(want.tile, &good[32..]).is_err(), "{size} {want:?}");
                    assert!(tree.hashes(want.tile).is_none());
                    assert_eq!(tree.take(want.tile, &good).map(<[Hash]>::len), Ok(256));
                }
                assert_eq!(tree.wants_above(Want::entries(tile)), []);
                let good = served.bytes(Want::entries(tile));
                let entries = tree.entries(tile, &good).expect("its entries");
                assert_eq!(entries.len(), usize::from(tile.width()));
                assert_eq!(entries[0], entry(index * TILE_WIDTH));
                read += entries.len();
                for bad in [&good[..good.len() - 1], &[&good[..], b"\0\0"].concat(), b""] {
                    assert!(tree.entries(tile, bad).is_err(), "{size} {tile:?}");
                }
                let mut bad = good.clone();
                *bad.last_mut().expect("a byte") ^= 1;
                let error = tree.entries(tile, &bad).expect_err("another entry");
                let hashes = tile.index() * TILE_WIDTH..tile.index() * TILE_WIDTH + u64::from(tile.width());
                assert_eq!(error.root, root_of(&served.leaves.0[hashes.start as usize..hashes.end as usize]));
                let hashes = served.bytes(Want::hashes(tile));
                assert!(!tile.is_full() || tree.take(tile, &hashes).is_ok());
                assert_eq!(tree.hashes(tile).map(<[Hash]>::len), Some(usize::from(tile.width())));
            }
            assert!(size > 1_000 || read as u64 == size);
        }
    }

    #[test]
    fn an_edge_of_another_tree_opens_none() {
        for size in [1, 255, 257, 65_537] {
            let (served, other) = (Served::new(size), Served::new(size + 1));
            let wants = SignedTree::edge_wants(served.size);
            let good: Vec<_> = wants.iter().map(|want| served.bytes(*want)).collect();
            assert!(SignedTree::open(served.size, &other.root(), &good).is_none());
            assert!(SignedTree::open(other.size, &other.root(), &good).is_none());
            for at in 0..good.len() {
                for bad in [vec![7; good[at].len()], Vec::new()] {
                    let mut bytes = good.clone();
                    bytes[at] = bad;
                    assert!(SignedTree::open(served.size, &served.root(), &bytes).is_none(), "{size} {at}");
                }
                assert!(SignedTree::open(served.size, &served.root(), &good[..at]).is_none());
            }
        }
        let empty = crate::merkle::empty_root();
        assert_eq!(SignedTree::edge_wants(TreeSize::EMPTY), []);
        assert!(SignedTree::open(TreeSize::EMPTY, &empty, &[]).is_some());
        assert!(SignedTree::open(TreeSize::EMPTY, &Hash::of(b"another"), &[]).is_none());
    }

    /// Where a partial tile is gone, the full one has it at its beginning.
    #[test]
    fn a_partial_one_is_the_beginning_of_the_full_one() {
        let served = Served::new(512);
        for width in [1, 2, 255] {
            let tile = Tile::new(0, 1, width).expect("a tile");
            for want in [Want::hashes(tile), Want::entries(tile)] {
                let full = want.instead().expect("it is partial");
                assert_eq!((full.instead(), full.tile.width()), (None, 256));
                assert_eq!(want.cut(served.bytes(full)), served.bytes(want));
            }
        }
        let want = Want::entries(Tile::new(0, 0, 3).expect("a tile"));
        assert_eq!(want.cut(b"no bundle".to_vec()), b"no bundle");
    }
}
