//! Consistency proofs: an old tree is the beginning of a new one (RFC 6962 §2.1.2).

use super::{HashReader, ProofError, Range, TreeSize, empty_root, range_hashes, split, subtree};
use crate::Hash;

/// Checks that the tree of `old` entries and `old_root` is the beginning of the tree of `new`
/// entries and `new_root`.
///
/// RFC 9162 §2.1.4.2, exact about the number of hashes. The empty tree is the beginning of every
/// tree, with an empty proof (as c2sp.org/tlog-witness has it; RFC 6962 leaves it out).
pub fn verify(
    old: TreeSize,
    new: TreeSize,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed { old: old.get(), new: new.get() });
    }
    if old == TreeSize::EMPTY {
        if !proof.is_empty() {
            return Err(ProofError::Length { got: proof.len(), want: 0 });
        }
        same(old_root, &empty_root())?;
        return if new == old { same(new_root, old_root) } else { Ok(()) };
    }
    subtree::verify_consistency(0, old.get(), new, proof, old_root, new_root)
}

/// The proof that the tree of `old` entries is the beginning of the tree of `new`.
///
/// # Panics
/// If `old` is larger than `new`: callers ask about trees they have.
pub fn prove<R: HashReader>(reader: &R, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, R::Error> {
    assert!(old <= new, "a proof is asked for sizes of one tree");
    if old == TreeSize::EMPTY {
        return Ok(Vec::new());
    }
    range_hashes(reader, &subproof(old.get(), new.get()))
}

/// SUBPROOF of RFC 6962 §2.1.2 as ranges.
fn subproof(old: u64, new: u64) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut tree = Range { start: 0, end: new };
    while tree.end != old {
        let middle = tree.start + split(tree.len());
        let (left, right) = (Range { end: middle, ..tree }, Range { start: middle, ..tree });
        if old <= middle {
            ranges.push(right);
            tree = left;
        } else {
            ranges.push(left);
            tree = right;
        }
    }
    // The old tree itself needs no hash: the verifier has its root.
    if tree.start != 0 {
        ranges.push(tree);
    }
    ranges.reverse();
    ranges
}

fn same(got: &Hash, want: &Hash) -> Result<(), ProofError> {
    if got == want { Ok(()) } else { Err(ProofError::Root { got: *got, want: *want }) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Leaves;
    use super::*;

    #[test]
    fn every_pair_of_small_trees() {
        let leaves = Leaves::new(130);
        for new in 0..=130 {
            let new_root = leaves.mth(0, new);
            for old in 0..=new {
                let old_root = leaves.mth(0, old);
                let (old, new) = (TreeSize::new(old as u64), TreeSize::new(new as u64));
                let Ok(proof) = prove(&leaves, old, new);
                assert_eq!(verify(old, new, &proof, &old_root, &new_root), Ok(()), "{old} to {new}");
                for at in 0..proof.len() {
                    let mut bad = proof.clone();
                    bad[at] = Hash::of(bad[at].as_bytes());
                    assert!(
                        verify(old, new, &bad, &old_root, &new_root).is_err(),
                        "hash {at}, {old} to {new}"
                    );
                    let mut bad = proof.clone();
                    bad.remove(at);
                    assert!(verify(old, new, &bad, &old_root, &new_root).is_err());
                }
                for at in 0..=proof.len() {
                    let mut bad = proof.clone();
                    bad.insert(at, new_root);
                    assert!(verify(old, new, &bad, &old_root, &new_root).is_err());
                }
            }
        }
    }

    #[test]
    fn sizes_at_the_edge_of_u64_do_not_overflow() {
        let hash = Hash::of(b"x");
        let sizes = [0, 1, 2, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
        for old in sizes {
            for new in sizes {
                for hashes in [0, 1, 63, 64, 65, 128] {
                    let verdict =
                        verify(TreeSize::new(old), TreeSize::new(new), &vec![hash; hashes], &hash, &hash);
                    assert_eq!(
                        verdict.is_ok(),
                        old == new && old != 0 && hashes == 0,
                        "{old} {new} {hashes}"
                    );
                }
            }
        }
    }
}
