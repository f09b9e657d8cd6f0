//! A tree in memory.

use std::convert::Infallible;

use tlog::checkpoint::Checkpoint;
use tlog::merkle::{HashReader, Node, consistency, inclusion, leaf_hash, node_hash, root};
use tlog::{Hash, LeafIndex, TreeSize};

/// Each complete subtree's hash, by level. It shows its root and proofs at each size that it has had.
#[derive(Clone)]
pub struct Tree(Vec<Vec<Hash>>);

impl Tree {
    /// The tree over `leaf 0`, `leaf 1`, …
    pub fn new(size: u64) -> Self {
        Self::forked(size, "", u64::MAX)
    }

    /// As [`new`](Self::new), but from `fork_at` on the leaves are those of another history, which `salt` names.
    pub fn forked(size: u64, salt: &str, fork_at: u64) -> Self {
        let leaf = |at: u64| match at < fork_at {
            true => leaf_hash(&entry(at)),
            false => leaf_hash(format!("{salt} {at}").as_bytes()),
        };
        Self::over((0..size).map(leaf).collect())
    }

    /// The tree over the hashes of these leaves.
    pub fn of<L: AsRef<[u8]>>(leaves: &[L]) -> Self {
        Self::over(leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect())
    }

    /// The tree over these leaf hashes.
    pub fn over(leaf_hashes: Vec<Hash>) -> Self {
        let mut levels = vec![leaf_hashes];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(above);
        }
        Self(levels)
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.0[0].len() as u64
    }

    /// The hash of a leaf.
    pub fn leaf(&self, index: u64) -> Hash {
        self.0[0][index as usize]
    }

    /// The hashes of some leaves.
    pub fn leaves(&self, start: u64, end: u64) -> &[Hash] {
        &self.0[0][start as usize..end as usize]
    }

    /// The root of the first `size` leaves.
    pub fn root(&self, size: u64) -> Hash {
        let Ok(root) = root(self, TreeSize::new(size));
        root
    }

    /// The checkpoint of the first `size` leaves, which nobody has signed.
    pub fn checkpoint(&self, origin: &str, size: u64) -> Checkpoint {
        Checkpoint::new(origin, TreeSize::new(size), self.root(size))
    }

    /// That a leaf is among the first `size`.
    pub fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        let Ok(proof) = inclusion::prove(self, LeafIndex::new(index), TreeSize::new(size));
        proof
    }

    /// That the first `old` leaves are the beginning of the first `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let Ok(proof) = consistency::prove(self, TreeSize::new(old), TreeSize::new(new));
        proof
    }
}

impl HashReader for Tree {
    type Error = Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
        Ok(nodes.iter().map(|node| self.0[usize::from(node.level)][node.index as usize]).collect())
    }
}

/// The leaf at a place of [`Tree::new`].
pub fn entry(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}
