//! The Merkle tree against RFC 6962, other implementations, and forged proofs.

mod common;

use common::{Chance, Tree, foreign_vectors, hash, hashes, our_vectors};
use serde::Deserialize;
use tlog::merkle::range::CompactRange;
use tlog::merkle::{
    self, HashReader, Node, ProofError, consistency, inclusion, leaf_hash, node_hash, root_of, subtree,
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
    let Some(want) = foreign_vectors::<ReferenceTree>("rfc6962_reference_tree.json") else { return };
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
    let proofs: ValidProofs = our_vectors("rfc6962_proofs_valid.json");
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

/// Each hash changed, left out, doubled, and moved to the end; one hash more at each end.
fn neighbours(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for at in 0..proof.len() {
        let edits: [fn(&mut Vec<Hash>, usize); 4] = [
            |proof, at| proof[at] = flip(proof[at], 0),
            |proof, at| {
                proof.remove(at);
            },
            |proof, at| proof.insert(at, proof[at]),
            |proof, at| proof[at..].rotate_left(1),
        ];
        for edit in edits {
            let mut bad = proof.to_vec();
            edit(&mut bad, at);
            if bad != proof {
                all.push(bad);
            }
        }
    }
    let extra = [Hash::of(b"extra")];
    all.push([&extra, proof].concat());
    all.push([proof, &extra].concat());
    all
}

/// `hash` with one bit changed.
fn flip(hash: Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % Hash::BYTES] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

/// A probe of transparency-dev/merkle; which fields it has, its file says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    file: String,
    #[serde(default, alias = "treeSize", alias = "size2")]
    size: u64,
    #[serde(default)]
    leaf_idx: u64,
    #[serde(default, alias = "size1")]
    end: u64,
    #[serde(default)]
    start: u64,
    #[serde(alias = "root1")]
    root: String,
    #[serde(alias = "leafHash")]
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[derive(Deserialize)]
struct Probes {
    cases: Vec<Probe>,
}

/// Runs one file of probes; `but` are the differences, each argued where it stands.
fn s5_probes(file: &str, count: usize, but: &[&str], verify: impl Fn(&Probe, &[Hash], &Hash, &Hash) -> bool) {
    let Some(probes) = foreign_vectors::<Probes>(file) else { return };
    let mut differences = Vec::new();
    for probe in &probes.cases {
        let proof: Option<Vec<Hash>> =
            probe.proof.iter().flatten().map(|text| Hash::from_base64(text)).collect();
        let (root, other) = (stand_in(&probe.root), stand_in(&probe.root2));
        let accepted = proof.is_some_and(|proof| verify(probe, &proof, &root, &other));
        if accepted == probe.want_err {
            differences.push(probe.file.as_str());
        }
    }
    assert_eq!(differences, but);
    assert_eq!(probes.cases.len(), count);
}

/// A root or leaf hash of a probe. Many are texts such as `dont care 1`, of another length than a
/// [`Hash`] can have; only whether two of them are equal matters, so a hash of them stands in.
fn stand_in(base64: &str) -> Hash {
    Hash::from_base64(base64).unwrap_or_else(|| Hash::of_parts(&[b"stand-in ", base64.as_bytes()]))
}

/// One difference: `empty-root-and-leaf` has a leaf hash and a root of no bytes. Upstream refuses their
/// length; a [`Hash`] always has 32 bytes, and the stand-ins are an honest tree of one leaf.
#[test]
fn s5_inclusion_probes() {
    let but = ["inclusion/single-entry/empty-root-and-leaf.json"];
    s5_probes("merkle_inclusion_probes.json", 79, &but, |probe, proof, root, leaf| {
        verify_inclusion(leaf, probe.leaf_idx, probe.size, proof, root).is_ok()
    });
}

/// One difference: upstream has no proof from the empty tree. Here it is the beginning of every tree,
/// with an empty proof, as c2sp.org/tlog-witness needs it (`old 0`).
#[test]
fn s5_consistency_probes() {
    let but = ["consistency/additional/size1-is-zero-and-size2-is-not-zero.json"];
    s5_probes("merkle_consistency_probes.json", 79, &but, |probe, proof, root, new_root| {
        verify_consistency(probe.end, probe.size, proof, root, new_root).is_ok()
    });
}

/// One difference: the same as for the whole tree.
#[test]
fn s5_subtree_inclusion_probes() {
    let but = ["subtreeinclusion/single-entry/empty-root-and-leaf-subtree.json"];
    s5_probes("merkle_subtreeinclusion_probes.json", 164, &but, |probe, proof, root, leaf| {
        let index = LeafIndex::new(probe.leaf_idx);
        subtree::verify_inclusion(leaf, index, probe.start, probe.end, proof, root).is_ok()
    });
}

/// Five differences, all of them [n, n): upstream takes the empty subtree for part of every tree,
/// whatever the tree's root. The draft's §4.1 has no empty subtree (`start < end`), and tlog-witness
/// answers 400 to one.
#[test]
fn s5_subtree_consistency_probes() {
    let but = [
        "sizes-are-equal-one-subtree-root-valid-proof-is-empty",
        "sizes-are-equal-one-subtree-root-valid-tree-root-random-proof-is-empty",
        "sizes-are-equal-zero-subtree-root-valid-tree-root-random-proof-is-empty",
        "subtree-root-valid-proof-is-empty",
        "subtree-root-valid-tree-root-random-proof-is-empty",
    ]
    .map(|name| format!("subtreeconsistency/additional/subtree-is-empty-{name}.json"));
    let but = but.each_ref().map(String::as_str);
    s5_probes("merkle_subtreeconsistency_probes.json", 95, &but, |probe, proof, root, new_root| {
        let size = TreeSize::new(probe.size);
        subtree::verify_consistency(probe.start, probe.end, size, proof, root, new_root).is_ok()
    });
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

const MUTANTS: usize = 480_000;

/// 480,000 mutants. A mutant is whatever is not the one true proof of what it claims, for sizes and
/// roots that belong together: those a verifier has from a checkpoint.
#[test]
fn s7_mutated_inclusion_proofs_are_refused() {
    let (tree, mut chance) = (Tree::new(64), Chance::new(7));
    let roots: Vec<Hash> = (0..=64).map(|size| tree.root(size)).collect();
    let truth: Vec<Vec<Vec<Hash>>> =
        (0..=64).map(|size| (0..size).map(|index| tree.inclusion(index, size)).collect()).collect();
    let (mut mutants, mut accepted) = (0, 0);
    while mutants < MUTANTS {
        let mut size = 1 + chance.below(64);
        let mut index = chance.below(size);
        let mut leaf = tree.leaf(index as u64);
        let mut proof = truth[size][index].clone();
        match chance.below(8) {
            0 => index = chance.below(64),
            1 => size = chance.below(65),
            2 => leaf = flip(leaf, chance.below(256)),
            3 => leaf = tree.leaf(chance.below(64) as u64),
            _ => mutate(&mut proof, &mut chance),
        }
        if truth[size].get(index) == Some(&proof) && leaf == tree.leaf(index as u64) {
            continue;
        }
        mutants += 1;
        accepted +=
            usize::from(verify_inclusion(&leaf, index as u64, size as u64, &proof, &roots[size]).is_ok());
    }
    assert_eq!(accepted, 0);
}

/// 480,000 mutants, as above. From size 1: from the empty tree there is nothing to prove.
#[test]
fn s7_mutated_consistency_proofs_are_refused() {
    let (tree, mut chance) = (Tree::new(64), Chance::new(8));
    let roots: Vec<Hash> = (0..=64).map(|size| tree.root(size)).collect();
    let truth: Vec<Vec<Vec<Hash>>> =
        (0..=64).map(|new| (0..=new).map(|old| tree.consistency(old, new)).collect()).collect();
    let (mut mutants, mut accepted) = (0, 0);
    while mutants < MUTANTS {
        let mut new = 1 + chance.below(64);
        let mut old = 1 + chance.below(new);
        let mut proof = truth[new][old].clone();
        let case = chance.below(8);
        match case {
            0 => old = 1 + chance.below(64),
            1 => new = chance.below(65),
            2 | 3 => {}
            _ => mutate(&mut proof, &mut chance),
        }
        let (mut old_root, mut new_root) = (roots[old], roots[new]);
        match case {
            2 => old_root = flip(old_root, chance.below(256)),
            3 => new_root = roots[chance.below(65)],
            _ => {}
        }
        if truth[new].get(old) == Some(&proof) && old_root == roots[old] && new_root == roots[new] {
            continue;
        }
        mutants += 1;
        let verdict = verify_consistency(old as u64, new as u64, &proof, &old_root, &new_root);
        accepted += usize::from(verdict.is_ok());
    }
    assert_eq!(accepted, 0);
}

/// One edit of a proof: a bit, a hash less or more, two hashes swapped, one hash in another's place.
fn mutate(proof: &mut Vec<Hash>, chance: &mut Chance) {
    let stranger = Hash::new(chance.bytes());
    if proof.is_empty() {
        return proof.push(stranger);
    }
    let (at, other) = (chance.below(proof.len()), chance.below(proof.len()));
    match chance.below(6) {
        0 | 1 => proof[at] = flip(proof[at], chance.below(256)),
        2 => proof.truncate(at),
        3 => proof.insert(at, if other == at { stranger } else { proof[other] }),
        4 => proof.swap(at, other),
        _ => proof[at] = proof[other],
    }
}

/// More than 10^4 attempts to show a node as if it were an entry, or an entry as if it were a node.
#[test]
fn s8_second_preimages_are_refused() {
    let (tree, mut chance) = (Tree::new(256), Chance::new(9));
    let (mut attempts, mut accepted) = (0, 0);
    let mut attack = |leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash| {
        attempts += 1;
        accepted += usize::from(verify_inclusion(leaf, index, size, path, root).is_ok());
    };
    for _ in 0..2_000 {
        // An inner node, of which the attacker says that it is a leaf of this tree, or of the smaller
        // tree that its level is.
        let (size, height) = (2 + chance.below(255) as u64, 1 + chance.below(3));
        let index = chance.below(size as usize) as u64;
        let (above, start) = (index >> height, index >> height << height);
        let middle = (start + (1 << (height - 1))).min(size);
        let end = (start + (1 << height)).min(size);
        let (left, right) = (root_of(tree.leaves(start, middle)), root_of(tree.leaves(middle, end)));
        let (path, root) = (tree.inclusion(index, size), tree.root(size));
        let path = &path[height.min(path.len())..];
        for prefix in [&[][..], &[0x01]] {
            let leaf = leaf_hash(&[prefix, left.as_bytes(), right.as_bytes()].concat());
            attack(&leaf, above, size, path, &root);
            attack(&leaf, above, size.div_ceil(1 << height), path, &root);
        }
        if middle < end {
            // Its very hash: the size that was signed wants a longer path.
            attack(&node_hash(&left, &right), above, size, path, &root);
        }
    }
    for _ in 0..2_000 {
        // An entry that is two hashes, of which the attacker says that it is the node over them.
        let (forged, sibling) = (leaf_hash(b"never logged"), Hash::new(chance.bytes()));
        let size = 1 + chance.below(64) as u64;
        let index = chance.below(size as usize) as u64;
        let mut leaves = tree.leaves(0, size).to_vec();
        leaves[index as usize] = leaf_hash(&[*forged.as_bytes(), *sibling.as_bytes()].concat());
        let honest = Tree::over(leaves);
        let path = [&[sibling][..], &honest.inclusion(index, size)].concat();
        attack(&forged, index, size, &path, &honest.root(size));
        attack(&forged, 2 * index, 2 * size, &path, &honest.root(size));
    }
    assert!(attempts > 10_000, "{attempts}");
    assert_eq!(accepted, 0);
}

/// A tree of any size, all of whose entries are the same: one hash a level.
struct Uniform([Hash; 64]);

impl Uniform {
    fn new() -> Self {
        let mut hashes = [leaf_hash(b""); 64];
        for level in 1..64 {
            hashes[level] = node_hash(&hashes[level - 1], &hashes[level - 1]);
        }
        Self(hashes)
    }
}

impl HashReader for Uniform {
    type Error = std::convert::Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
        Ok(nodes.iter().map(|node| self.0[usize::from(node.level)]).collect())
    }
}

const SIZES: [u64; 14] = [
    0,
    1,
    2,
    3,
    255,
    256,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 1,
    u64::MAX,
];

#[test]
fn s9_proofs_hold_at_every_size_and_the_wrong_sizes_are_errors() {
    let tree = Uniform::new();
    let leaf = tree.0[0];
    for size in SIZES {
        let size = TreeSize::new(size);
        let Ok(root) = merkle::root(&tree, size);
        for index in SIZES.into_iter().chain([size.get().wrapping_sub(1)]).map(LeafIndex::new) {
            let verify = |proof: &[Hash]| inclusion::verify(&leaf, index, size, proof, &root);
            if !size.contains(index) {
                let outside = ProofError::IndexOutside { index: index.get(), size: size.get() };
                assert_eq!(verify(&[]), Err(outside));
                continue;
            }
            let Ok(proof) = inclusion::prove(&tree, index, size);
            assert_eq!(verify(&proof), Ok(()), "{index} of {size}");
            assert!(neighbours(&proof).iter().all(|bad| verify(bad).is_err()), "{index} of {size}");
        }
        for old in SIZES.map(TreeSize::new) {
            let Ok(old_root) = merkle::root(&tree, old);
            let verify = |proof: &[Hash]| consistency::verify(old, size, proof, &old_root, &root);
            if old > size {
                let reversed = ProofError::SizesReversed { old: old.get(), new: size.get() };
                assert_eq!(verify(&[]), Err(reversed));
                continue;
            }
            let Ok(proof) = consistency::prove(&tree, old, size);
            assert_eq!(verify(&proof), Ok(()), "{old} to {size}");
            assert!(neighbours(&proof).iter().all(|bad| verify(bad).is_err()), "{old} to {size}");
        }
    }
}
