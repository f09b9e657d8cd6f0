//! Inclusion proofs: an entry is in a tree (RFC 6962 §2.1.1).

use super::{HashReader, LeafIndex, ProofError, Range, TreeSize, node_hash, range_hashes, split};
use crate::Hash;

/// Checks that the entry with `leaf_hash` stands at `index` in the tree of `size` entries and `root`.
///
/// Exact: `index < size`, and as many hashes as that pair needs, no more (RFC 9162 §2.1.3.2). Right
/// for every `u64`.
pub fn verify(
    leaf_hash: &Hash,
    index: LeafIndex,
    size: TreeSize,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if !size.contains(index) {
        return Err(ProofError::IndexOutside { index: index.get(), size: size.get() });
    }
    let want = path_length(index.get(), size.get());
    if proof.len() != want {
        return Err(ProofError::Length { got: proof.len(), want });
    }
    let (mut node, mut last) = (index.get(), size.get() - 1);
    let mut hash = *leaf_hash;
    for sibling in proof {
        // On the right edge a node without a right neighbour moves up until it is a right child.
        if node == last {
            let lone = node.trailing_zeros();
            node >>= lone;
            last >>= lone;
        }
        hash = if node % 2 == 1 { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
        node >>= 1;
        last >>= 1;
    }
    if hash != *root {
        return Err(ProofError::Root { got: hash, want: *root });
    }
    Ok(())
}

/// The proof that `index` is in the tree of `size` entries: leaf sibling first.
///
/// # Panics
/// If `index` is not below `size`: callers look up what they have.
pub fn prove<R: HashReader>(reader: &R, index: LeafIndex, size: TreeSize) -> Result<Vec<Hash>, R::Error> {
    assert!(size.contains(index), "a proof is asked for an entry of the tree");
    range_hashes(reader, &siblings(index.get(), Range { start: 0, end: size.get() }))
}

/// PATH of RFC 6962 §2.1.1 as ranges, leaf sibling first.
fn siblings(index: u64, tree: Range) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut tree = tree;
    while tree.len() > 1 {
        let middle = tree.start + split(tree.len());
        let (left, right) = (Range { end: middle, ..tree }, Range { start: middle, ..tree });
        let (own, sibling) = if index < middle { (left, right) } else { (right, left) };
        ranges.push(sibling);
        tree = own;
    }
    ranges.reverse();
    ranges
}

/// How many hashes PATH has: the levels up to where the paths of the entry and of the last entry
/// meet, then one for each complete subtree to the left.
fn path_length(index: u64, size: u64) -> usize {
    let meet = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let left = if meet == u64::BITS { 0 } else { (index >> meet).count_ones() };
    (meet + left) as usize
}

#[cfg(test)]
mod tests {
    use super::super::tests::Leaves;
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree() {
        let leaves = Leaves::new(130);
        for size in 1..=130 {
            let root = leaves.mth(0, size as usize);
            for index in 0..size {
                let (index, size) = (LeafIndex::new(index), TreeSize::new(size));
                let hash = leaves.0[index.get() as usize];
                let Ok(proof) = prove(&leaves, index, size);
                assert_eq!(verify(&hash, index, size, &proof, &root), Ok(()), "{index} of {size}");
                for at in 0..proof.len() {
                    let mut bad = proof.clone();
                    bad[at] = Hash::of(bad[at].as_bytes());
                    assert!(verify(&hash, index, size, &bad, &root).is_err(), "hash {at} of {index}, {size}");
                }
                for longer in 0..=proof.len() {
                    let mut bad = proof.clone();
                    bad.insert(longer, hash);
                    assert!(verify(&hash, index, size, &bad, &root).is_err());
                }
            }
        }
    }

    #[test]
    fn sizes_at_the_edge_of_u64_do_not_overflow() {
        let hash = Hash::of(b"");
        for size in [0, 1, 2, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            for index in [0, 1, 1 << 31, (1 << 63) - 2, 1 << 63, u64::MAX - 1, u64::MAX] {
                for hashes in [0, 1, 32, 63, 64, 65] {
                    let verdict =
                        verify(&hash, LeafIndex::new(index), TreeSize::new(size), &vec![hash; hashes], &hash);
                    let right = size == 1 && index == 0 && hashes == 0;
                    assert_eq!(verdict.is_ok(), right, "{index} of {size} with {hashes}");
                }
            }
        }
    }

    #[test]
    fn path_lengths_are_those_of_the_ranges() {
        for size in 1..=600 {
            for index in 0..size {
                assert_eq!(path_length(index, size), siblings(index, Range { start: 0, end: size }).len());
            }
        }
        for size in [1 << 63, u64::MAX] {
            for index in [0, 1, (1 << 63) - 1, size - 1] {
                assert_eq!(path_length(index, size), siblings(index, Range { start: 0, end: size }).len());
            }
        }
    }
}
