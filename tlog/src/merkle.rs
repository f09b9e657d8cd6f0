//! The Merkle tree of RFC 6962 §2.1.
//!
//! In scope: hashes, sizes, and the proofs in the submodules. Out of scope: where hashes are kept
//! ([`HashReader`] is the caller's), how they are published ([`crate::tile`]), who signs them
//! ([`crate::checkpoint`]).

use std::fmt;

use crate::Hash;

pub mod consistency;
pub mod inclusion;
pub mod range;
pub mod subtree;

/// The place of an entry in its log, from 0.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeafIndex(u64);

impl LeafIndex {
    /// The index `index`.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of entries in a tree. A tree of size `n` holds the indexes `0..n`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TreeSize(u64);

impl TreeSize {
    /// The tree without entries.
    pub const EMPTY: Self = Self(0);

    /// A tree of `entries` entries.
    pub const fn new(entries: u64) -> Self {
        Self(entries)
    }

    /// The number of entries.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the tree holds `index`.
    pub const fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hash of an entry: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash::of_parts(&[&[0x00], entry])
}

/// The hash of two subtrees: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [0x01; 1 + 2 * Hash::BYTES];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Hash::of(&bytes)
}

/// The root of the tree without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::of(b"")
}

/// The root over `hashes` as if they were leaf hashes: MTH of RFC 6962 §2.1. Halves in place.
pub fn root_of(hashes: &[Hash]) -> Hash {
    if hashes.is_empty() {
        return empty_root();
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        // A last hash without a neighbour moves up unchanged.
        let pairs = level.len() / 2;
        for i in 0..pairs {
            level[i] = node_hash(&level[2 * i], &level[2 * i + 1]);
        }
        if level.len() % 2 == 1 {
            level[pairs] = level[level.len() - 1];
        }
        level.truncate(level.len().div_ceil(2));
    }
    level[0]
}

/// A complete subtree: the leaves `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// Height above the leaves, at most 63.
    pub level: u8,
    /// Position among the complete subtrees of this level.
    pub index: u64,
}

/// Where the hashes of a tree come from: the only way out of the mathematics.
pub trait HashReader {
    /// Why a hash could not be had.
    type Error;

    /// The hashes of `nodes`, in their order, as many as were asked for. All of a proof's nodes are
    /// asked for at once, so that a reader can fetch them together.
    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error>;
}

/// The root of the first `size` entries.
pub fn root<R: HashReader>(reader: &R, size: TreeSize) -> Result<Hash, R::Error> {
    if size == TreeSize::EMPTY {
        return Ok(empty_root());
    }
    let [root] = range_hashes(reader, &[Range { start: 0, end: size.get() }])?[..] else {
        unreachable!("one range has one hash")
    };
    Ok(root)
}

/// Why a proof is no proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The index lies outside the tree.
    #[error("leaf index {index} is outside a tree of size {size}")]
    IndexOutside {
        /// The leaf index.
        index: u64,
        /// The tree size.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("tree size {old} does not come before tree size {new}")]
    SizesReversed {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// The number of hashes does not fit the index and size.
    #[error("the proof has {got} hashes where {want} belong")]
    Length {
        /// Hashes found.
        got: usize,
        /// Hashes that belong there.
        want: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the proof leads to root {got}, not to {want}")]
    Root {
        /// The root the proof computes.
        got: Hash,
        /// The root that was claimed.
        want: Hash,
    },
    /// Not an aligned subtree of the tree.
    #[error("[{start}, {end}) is no subtree of a tree of size {size}")]
    NoSubtree {
        /// First leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
        /// The tree size.
        size: u64,
    },
}

/// Leaves `start..end`, not empty, such that its hash is one hash of an RFC 6962 proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range {
    start: u64,
    end: u64,
}

impl Range {
    fn len(self) -> u64 {
        self.end - self.start
    }

    /// The complete subtrees that make up the range, left to right, at most 64.
    fn nodes(self) -> impl Iterator<Item = Node> {
        let mut start = self.start;
        std::iter::from_fn(move || {
            let left = self.end - start;
            if left == 0 {
                return None;
            }
            let aligned = start.trailing_zeros().min(63);
            let level = aligned.min(left.ilog2());
            let node = Node { level: level as u8, index: start >> level };
            start += 1 << level;
            Some(node)
        })
    }
}

/// The largest power of two smaller than `n`, for `n >= 2`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// One hash for each range, in one read.
fn range_hashes<R: HashReader>(reader: &R, ranges: &[Range]) -> Result<Vec<Hash>, R::Error> {
    let nodes: Vec<Node> = ranges.iter().flat_map(|range| range.nodes()).collect();
    let hashes = reader.read_hashes(&nodes)?;
    assert_eq!(hashes.len(), nodes.len(), "a hash reader answers every node");
    let mut rest = &hashes[..];
    Ok(ranges
        .iter()
        .map(|range| {
            let (own, others) = rest.split_at(range.nodes().count());
            rest = others;
            fold_right(own)
        })
        .collect())
}

/// The hash of a range from its complete subtrees, left to right: the rightmost are the smallest.
fn fold_right(hashes: &[Hash]) -> Hash {
    let (last, others) = hashes.split_last().expect("a range is not empty");
    others.iter().rfold(*last, |right, left| node_hash(left, &right))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All leaf hashes in memory, hashed by the definition: the slow, obvious reader.
    pub(crate) struct Leaves(pub(crate) Vec<Hash>);

    impl Leaves {
        pub(crate) fn new(size: u64) -> Self {
            Self((0..size).map(|i| leaf_hash(format!("leaf {i}").as_bytes())).collect())
        }

        /// MTH by the recursive definition of RFC 6962 §2.1.
        pub(crate) fn mth(&self, start: usize, end: usize) -> Hash {
            match end - start {
                0 => empty_root(),
                1 => self.0[start],
                n => {
                    let k = split(n as u64) as usize;
                    node_hash(&self.mth(start, start + k), &self.mth(start + k, end))
                }
            }
        }
    }

    impl HashReader for Leaves {
        type Error = std::convert::Infallible;

        fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
            let hash = |node: &Node| {
                let start = (node.index << node.level) as usize;
                self.mth(start, start + (1 << node.level))
            };
            Ok(nodes.iter().map(hash).collect())
        }
    }

    #[test]
    fn roots_follow_the_definition() {
        let leaves = Leaves::new(300);
        for size in 0..=300 {
            let want = leaves.mth(0, size);
            assert_eq!(root_of(&leaves.0[..size]), want, "size {size}");
            assert_eq!(root(&leaves, TreeSize::new(size as u64)), Ok(want), "size {size}");
        }
    }

    #[test]
    fn every_size_splits_into_nodes_without_overflow() {
        for size in [1, 2, 3, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX] {
            let range = Range { start: 0, end: size };
            let leaves: u128 = range.nodes().map(|node| 1u128 << node.level).sum();
            assert_eq!(leaves, u128::from(size));
            assert_eq!(range.nodes().count() as u32, size.count_ones());
        }
    }
}
