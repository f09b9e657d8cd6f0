//! The Merkle tree against RFC 6962, other implementations, and forged proofs.

use serde::Deserialize;
use testkit::tree::Tree;
use testkit::trials::probes;
use testkit::trials::proofs::{self, flip, neighbours};
use testkit::vectors::{self, hash, hashes, not_run};
use tlog::merkle::range::CompactRange;
use tlog::merkle::{
    HashReader, Node, ProofError, consistency, inclusion, leaf_hash, node_hash, root_of, subtree,
};
use tlog::tile::Edge;
use tlog::{Hash, LeafIndex, TreeSize};

fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    inclusion::verify(leaf, LeafIndex::new(index), TreeSize::new(size), proof, root)
}

fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    consistency::verify(TreeSize::new(old), TreeSize::new(new), proof, old_root, new_root)
}

#[derive(Deserialize)]
struct ReferenceTree {
    leaf_inputs_hex: Vec<String>,
    root_hashes_hex_by_size: Vec<String>,
    complete_node_hashes_hex_by_level: Vec<Vec<String>>,
}

#[test]
fn rfc_6962_reference_tree_has_these_roots_and_nodes() {
    let Some(want) = vectors::of_others::<ReferenceTree>("rfc6962_reference_tree.json") else { return };
    let leaves: Vec<Hash> =
        want.leaf_inputs_hex.iter().map(|hex| leaf_hash(&hex::decode(hex).expect("hex"))).collect();
    let tree = Tree::over(leaves.clone());
    let (mut edge, mut range) = (Edge::new(), CompactRange::new());
    for (size, root) in want.root_hashes_hex_by_size.iter().enumerate() {
        let root = Hash::from_hex(root).expect("a root");
        let roots = [root_of(&leaves[..size]), tree.root(size as u64), edge.root(), range.root()];
        assert_eq!(roots, [root; 4], "size {size}");
        if let Some(leaf) = leaves.get(size) {
            edge.append(*leaf, |_, _| ());
            range.append(*leaf);
        }
    }
    for (nodes, level) in want.complete_node_hashes_hex_by_level.iter().zip(0..) {
        for (node, index) in nodes.iter().zip(0..) {
            let Ok(got) = tree.read_hashes(&[Node { level, index }]);
            assert_eq!(got[0].to_string(), *node, "level {level}, index {index}");
        }
    }
}

#[derive(Deserialize)]
struct ValidProofs {
    inclusion: Vec<ValidInclusion>,
    consistency: Vec<ValidConsistency>,
}

#[derive(Deserialize)]
struct ValidInclusion {
    index: u64,
    size: u64,
    leaf_hash: String,
    root: String,
    proof: Vec<String>,
}

#[derive(Deserialize)]
struct ValidConsistency {
    old: u64,
    new: u64,
    old_root: String,
    new_root: String,
    proof: Vec<String>,
}

/// The 67 and 55 proofs that golang.org/x/mod made: ours are the same, and no proof next to one holds.
#[test]
fn rfc_6962_proofs_of_another_prover_hold_and_their_neighbours_do_not() {
    let proofs: ValidProofs = vectors::ours("rfc6962_proofs_valid.json");
    let tree = Tree::new(70_000);
    let mut refused = 0;
    for case in &proofs.inclusion {
        let (leaf, root, proof) = (hash(&case.leaf_hash), hash(&case.root), hashes(&case.proof));
        let (index, size) = (case.index, case.size);
        assert_eq!(tree.inclusion(index, size), proof, "{index} of {size}");
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()), "{index} of {size}");
        let mut check = |leaf: &Hash, index, proof: &[Hash], root: &Hash| {
            assert!(verify_inclusion(leaf, index, size, proof, root).is_err(), "{index} of {size}");
            refused += 1;
        };
        for bad in neighbours(&proof) {
            check(&leaf, index, &bad, &root);
        }
        for other in [0, 1, index ^ 1, index.wrapping_add(1), index.wrapping_sub(1), size, size - 1, u64::MAX]
        {
            if other != index {
                check(&leaf, other, &proof, &root);
            }
        }
        check(&root, index, &[&proof[..], &[root]].concat(), &root);
        check(&node_hash(&leaf, &leaf), index, &proof, &root);
        check(&leaf, index, &proof, &node_hash(&root, &root));
    }
    for case in &proofs.consistency {
        let (old_root, new_root, proof) = (hash(&case.old_root), hash(&case.new_root), hashes(&case.proof));
        let (old, new) = (case.old, case.new);
        assert_eq!(tree.consistency(old, new), proof, "{old} to {new}");
        assert_eq!(verify_consistency(old, new, &proof, &old_root, &new_root), Ok(()), "{old} to {new}");
        let mut check = |old: u64, new: u64, proof: &[Hash], old_root: &Hash, new_root: &Hash| {
            assert!(verify_consistency(old, new, proof, old_root, new_root).is_err(), "{old} to {new}");
            refused += 1;
        };
        for bad in neighbours(&proof) {
            check(old, new, &bad, &old_root, &new_root);
        }
        let other = node_hash(&old_root, &new_root);
        check(old, new, &proof, &other, &new_root);
        check(old, new, &proof, &old_root, &other);
        if old != new {
            check(old, new, &proof, &new_root, &old_root);
            check(new, old, &proof, &new_root, &old_root);
            check(old, old, &proof, &old_root, &new_root);
            check(new, new, &proof, &old_root, &new_root);
        }
    }
    assert_eq!((proofs.inclusion.len(), proofs.consistency.len()), (67, 55));
    assert!(refused > 2_000, "{refused}");
}

#[test]
fn s5_probes() {
    for probes in
        [probes::inclusion, probes::consistency, probes::subtree_inclusion, probes::subtree_consistency]
    {
        match probes() {
            Ok(tried) => tried.assert_clean(50),
            Err(why) => not_run("s5_probes", &why),
        }
    }
}

/// The node hash of RFC 6962 for rs_merkle, which moves a lone node up by itself.
#[derive(Clone)]
struct Rfc6962;

impl rs_merkle::Hasher for Rfc6962 {
    type Hash = [u8; Hash::BYTES];

    fn hash(data: &[u8]) -> Self::Hash {
        *leaf_hash(data).as_bytes()
    }

    fn concat_and_hash(left: &Self::Hash, right: Option<&Self::Hash>) -> Self::Hash {
        right.map_or(*left, |right| *Hash::of_parts(&[&[1], left, right]).as_bytes())
    }
}

#[test]
fn rs_merkle_has_the_same_roots_and_paths_for_all_sizes_to_300() {
    let tree = Tree::new(300);
    let (mut edge, mut range) = (Edge::new(), CompactRange::new());
    for size in 1..=300 {
        edge.append(tree.leaf(size - 1), |_, _| ());
        range.append(tree.leaf(size - 1));
        let leaves: Vec<_> = tree.leaves(0, size).iter().map(|hash| *hash.as_bytes()).collect();
        let theirs = rs_merkle::MerkleTree::<Rfc6962>::from_leaves(&leaves);
        let root = Hash::new(theirs.root().expect("a tree with leaves has a root"));
        assert_eq!([tree.root(size), edge.root(), range.root()], [root; 3], "size {size}");
        for index in 0..size {
            let path = theirs.proof(&[index as usize]);
            let path: Vec<Hash> = path.proof_hashes().iter().map(|hash| Hash::new(*hash)).collect();
            assert_eq!(tree.inclusion(index, size), path, "{index} of {size}");
            assert_eq!(verify_inclusion(&tree.leaf(index), index, size, &path, &root), Ok(()));
        }
    }
}

/// SUBTREE_SUBPROOF of the draft's §4.4.1, word for word: the proof that `[start, end)` of `leaves` is
/// part of their tree. `known` is false once the verifier has to be told the subtree's own parts.
fn subtree_proof(start: usize, end: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if (start, end) == (0, leaves.len()) {
        return if known { vec![] } else { vec![root_of(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let k = left.len();
    let (mut proof, sibling) = if end <= k {
        (subtree_proof(start, end, left, known), right)
    } else if k <= start {
        (subtree_proof(start - k, end - k, right, known), left)
    } else {
        (subtree_proof(0, end - k, right, false), left)
    };
    proof.push(root_of(sibling));
    proof
}

#[test]
fn every_subtree_of_every_small_tree_is_consistent_and_nothing_else() {
    let tree = Tree::new(40);
    for size in 1..=40 {
        let root = tree.root(size);
        let subtrees = (0..size).flat_map(|start| (start + 1..=size).map(move |end| (start, end)));
        for (start, end) in subtrees {
            let verify = |proof: &[Hash], own: &Hash, root: &Hash| {
                subtree::verify_consistency(start, end, TreeSize::new(size), proof, own, root)
            };
            let own = root_of(tree.leaves(start, end));
            if !subtree::is_valid(start, end) {
                assert_eq!(verify(&[], &own, &root), Err(ProofError::NoSubtree { start, end, size }));
                continue;
            }
            let proof = subtree_proof(start as usize, end as usize, tree.leaves(0, size), true);
            assert_eq!(verify(&proof, &own, &root), Ok(()), "[{start}, {end}) of {size}");
            for bad in neighbours(&proof) {
                assert!(verify(&bad, &own, &root).is_err(), "[{start}, {end}) of {size}");
            }
            assert!(verify(&proof, &flip(own, 7), &root).is_err());
            assert!(verify(&proof, &own, &flip(root, 7)).is_err());
            for index in start..end {
                let (index, within) = (LeafIndex::new(index), tree.leaves(start, end));
                let path = Tree::over(within.to_vec()).inclusion(index.get() - start, end - start);
                let verify = |index| {
                    subtree::verify_inclusion(
                        &tree.leaf(index),
                        LeafIndex::new(index),
                        start,
                        end,
                        &path,
                        &own,
                    )
                };
                assert_eq!(verify(index.get()), Ok(()));
            }
        }
    }
}

#[test]
fn s7_mutated_inclusion_proofs_are_refused() {
    proofs::mutated_inclusion(480_000, 7).assert_clean(480_000);
}

#[test]
fn s7_mutated_consistency_proofs_are_refused() {
    proofs::mutated_consistency(480_000, 8).assert_clean(480_000);
}

#[test]
fn s8_second_preimages_are_refused() {
    proofs::second_preimages(10_000, 9).assert_clean(10_000);
}

#[test]
fn s9_proofs_hold_at_every_size_and_the_wrong_sizes_are_errors() {
    proofs::sizes().assert_clean(10_000);
}
