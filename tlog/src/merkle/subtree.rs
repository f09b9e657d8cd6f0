//! Proofs about subtrees (draft-ietf-plants-merkle-tree-certs §4), as `subtree/v1` cosignatures use.
//!
//! A subtree `[start, end)` is valid when `start` is a multiple of the smallest power of two that is
//! not below `end - start`: then it hashes like a tree of its own.

use super::{HashReader, LeafIndex, ProofError, Range, TreeSize, inclusion, node_hash, range_hashes, split};
use crate::Hash;

/// Whether `[start, end)` is a subtree.
pub fn is_valid(start: u64, end: u64) -> bool {
    start < end
        && (end - start).checked_next_power_of_two().map_or(start == 0, |size| start.is_multiple_of(size))
}

/// Checks that the entry with `leaf_hash` stands at `index` in the subtree `[start, end)` with `root`.
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: LeafIndex,
    start: u64,
    end: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if !is_valid(start, end) {
        return Err(ProofError::NoSubtree { start, end, size: end });
    }
    let outside = ProofError::IndexOutside { index: index.get(), size: end };
    let within = index.get().checked_sub(start).ok_or(outside)?;
    inclusion::verify(leaf_hash, LeafIndex::new(within), TreeSize::new(end - start), proof, root)
}

/// Checks that the subtree `[start, end)` with `subtree_root` is part of the tree of `size` entries
/// and `root`. With `start` 0 this is a consistency proof (RFC 9162 §2.1.4.2).
pub fn verify_consistency(
    start: u64,
    end: u64,
    size: TreeSize,
    proof: &[Hash],
    subtree_root: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if !is_valid(start, end) || end > size.get() {
        return Err(ProofError::NoSubtree { start, end, size: size.get() });
    }
    // `first` and `last` are the ends of the subtree, `tree` the last node of the tree, all on one
    // level: first the level at which the verifier's own root, or the proof's first hash, stands.
    let (mut first, mut last, mut tree) = (start, end - 1, size.get() - 1);
    while first != last && (last == tree || last % 2 == 1) {
        (first, last, tree) = (first >> 1, last >> 1, tree >> 1);
    }
    let want = expected_length(first, last, tree);
    if proof.len() != want {
        return Err(ProofError::Length { got: proof.len(), want });
    }
    let (mut own, mut whole, rest) = if first == last {
        (*subtree_root, *subtree_root, proof)
    } else {
        let (seed, rest) = proof.split_first().expect("a length that was just checked");
        (*seed, *seed, rest)
    };
    for hash in rest {
        if last == tree {
            // No right neighbour: the node moves up unchanged until it is a right child.
            while last % 2 == 0 {
                (first, last, tree) = (first >> 1, last >> 1, tree >> 1);
            }
        }
        if last % 2 == 1 {
            if first < last {
                own = node_hash(hash, &own);
            }
            whole = node_hash(hash, &whole);
        } else {
            whole = node_hash(&whole, hash);
        }
        (first, last, tree) = (first >> 1, last >> 1, tree >> 1);
    }
    for (got, want) in [(own, subtree_root), (whole, root)] {
        if got != *want {
            return Err(ProofError::Root { got, want: *want });
        }
    }
    Ok(())
}

/// The proof that the subtree `[start, end)` is part of the tree of `size` entries, which `reader` has: what
/// [`verify_consistency`] takes. SUBTREE_PROOF of the draft.
///
/// # Panics
/// If `[start, end)` is no subtree, or not in the tree: callers ask about what they have.
pub fn prove<R: HashReader>(reader: &R, start: u64, end: u64, size: TreeSize) -> Result<Vec<Hash>, R::Error> {
    assert!(is_valid(start, end) && end <= size.get(), "a proof is asked for a subtree of the tree");
    let mut ranges = Vec::new();
    let mut tree = Range { start: 0, end: size.get() };
    let mut own = start;
    while (tree.start, tree.end) != (own, end) {
        let middle = tree.start + split(tree.len());
        let (left, right) = (Range { end: middle, ..tree }, Range { start: middle, ..tree });
        if end <= middle {
            ranges.push(right);
            tree = left;
        } else {
            ranges.push(left);
            tree = right;
            // A subtree that reaches over the middle begins where the tree does: its left part was just given.
            own = own.max(middle);
        }
    }
    // The subtree itself needs no hash, its right part does: the verifier has the root of the whole.
    if own != start {
        ranges.push(tree);
    }
    ranges.reverse();
    range_hashes(reader, &ranges)
}

/// How many hashes a proof has that starts at these nodes.
fn expected_length(first: u64, last: u64, tree: u64) -> usize {
    let seed = usize::from(first != last);
    // A hash a level up to where the subtree's last node and the tree's last node meet, and above
    // that one for each left neighbour.
    let meet = u64::BITS - (last ^ tree).leading_zeros();
    let left = if meet == u64::BITS { 0 } else { (last >> meet).count_ones() };
    seed + (meet + left) as usize
}

#[cfg(test)]
mod tests {
    use super::super::consistency;
    use super::super::tests::Leaves;
    use super::*;

    #[test]
    fn every_subtree_of_every_small_tree_is_proved() {
        let leaves = Leaves::new(40);
        for size in 1..=40 {
            let root = leaves.mth(0, size as usize);
            for end in 1..=size {
                for start in (0..end).filter(|start| is_valid(*start, end)) {
                    let whole = TreeSize::new(size);
                    let subtree = leaves.mth(start as usize, end as usize);
                    let Ok(proof) = prove(&leaves, start, end, whole);
                    let verify = |proof: &[Hash], subtree| {
                        verify_consistency(start, end, whole, proof, subtree, &root)
                    };
                    assert_eq!(verify(&proof, &subtree), Ok(()), "[{start}, {end}) of {size}");
                    assert!(verify(&proof, &Hash::of(subtree.as_bytes())).is_err());
                    if start == 0 {
                        assert_eq!(consistency::prove(&leaves, TreeSize::new(end), whole), Ok(proof));
                    }
                }
            }
        }
    }

    #[test]
    fn a_subtree_is_aligned() {
        for (start, end, want) in [
            (0, 1, true),
            (0, 7, true),
            (0, u64::MAX, true),
            (4, 8, true),
            (4, 7, true),
            (8, 13, true),
            (4, 9, false),
            (2, 5, false),
            (3, 3, false),
            (5, 4, false),
            (1 << 63, u64::MAX, true),
            (1, u64::MAX, false),
        ] {
            assert_eq!(is_valid(start, end), want, "[{start}, {end})");
        }
    }
}
