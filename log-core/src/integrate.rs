//! Integration: an edge and a batch become tiles, a new edge and a root. Pure.

use tlog::Hash;
use tlog::merkle::range::CompactRange;
use tlog::tile::{Edge, Tile};

/// The right side of the tree, kept twice in different shapes. Both must give the same root, so that one flipped bit in
/// memory cannot lead to a signature.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tree {
    edge: Edge,
    range: CompactRange,
}

/// What a batch adds.
#[derive(Debug)]
pub struct Integrated {
    /// The tree with the batch.
    pub tree: Tree,
    /// The tiles that became full, lowest level first.
    pub tiles: Vec<(Tile, Vec<Hash>)>,
    /// The new root.
    pub root: Hash,
}

impl Tree {
    /// A tree from its edge and range.
    ///
    /// # Panics
    /// If the two are not of one tree: they were read from one store.
    pub fn new(edge: Edge, range: CompactRange) -> Self {
        assert_eq!(edge.size(), range.size(), "edge and range are of one tree");
        assert_eq!(edge.root(), range.root(), "edge and range are of one tree");
        Self { edge, range }
    }

    /// The hashes that are in no full tile.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Appends a batch of leaf hashes.
    ///
    /// # Panics
    /// If the two computations of the root differ: memory is damaged, and signing would be for ever.
    pub fn integrate(&self, leaf_hashes: &[Hash]) -> Integrated {
        let mut tree = self.clone();
        let mut tiles = Vec::new();
        for hash in leaf_hashes {
            tree.edge.append(*hash, |tile, hashes| tiles.push((tile, hashes.to_vec())));
            tree.range.append(*hash);
        }
        let root = tree.edge.root();
        assert_eq!(root, tree.range.root(), "two computations of one root: memory is damaged");
        Integrated { tree, tiles, root }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::merkle::{leaf_hash, root_of};

    #[test]
    fn batches_of_any_width_make_the_same_tree() {
        let hashes: Vec<Hash> = (0..1_000u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        for width in [1, 7, 255, 256, 257, 1_000] {
            let mut tree = Tree::default();
            let mut tiles = Vec::new();
            for batch in hashes.chunks(width) {
                let integrated = tree.integrate(batch);
                tiles.extend(integrated.tiles);
                tree = integrated.tree;
            }
            assert_eq!(tree.edge().root(), root_of(&hashes));
            assert_eq!(tiles.len(), 3);
            assert!(tiles.iter().zip(hashes.chunks(256)).all(|((_, tile), want)| tile == want));
        }
    }
}
