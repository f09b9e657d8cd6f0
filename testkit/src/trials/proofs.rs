//! Proofs that are none: mutated (S7), second preimages (S8), at every size (S9).

use std::convert::Infallible;

use tlog::cosignature::cosign;
use tlog::key::KeyType;
use tlog::merkle::{
    self, HashReader, Node, ProofError, consistency, inclusion, leaf_hash, node_hash, root_of,
};
use tlog::policy::Policy;
use tlog::proof::TlogProof;
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use super::Tried;
use crate::chance::Chance;
use crate::keys::{policy_of, signer};
use crate::tree::Tree;

fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    inclusion::verify(leaf, LeafIndex::new(index), TreeSize::new(size), proof, root).is_ok()
}

/// S7: so many mutants of inclusion proofs. A mutant is whatever is not the one true proof of what it claims, for sizes and
/// roots that belong together: those a verifier has from a checkpoint.
pub fn mutated_inclusion(count: u64, seed: u64) -> Tried {
    let (tree, mut chance, mut tried) = (Tree::new(64), Chance::new(seed), Tried::default());
    let roots: Vec<Hash> = (0..=64).map(|size| tree.root(size)).collect();
    let truth: Vec<Vec<Vec<Hash>>> =
        (0..=64).map(|size| (0..size).map(|index| tree.inclusion(index, size)).collect()).collect();
    while tried.count < count {
        let mut size = 1 + chance.place(64);
        let mut index = chance.place(size);
        let mut leaf = tree.leaf(index as u64);
        let mut proof = truth[size][index].clone();
        match chance.below(8) {
            0 => index = chance.place(64),
            1 => size = chance.place(65),
            2 => leaf = flip(leaf, chance.place(256)),
            3 => leaf = tree.leaf(chance.below(64)),
            _ => mutate(&mut proof, &mut chance),
        }
        if truth[size].get(index) == Some(&proof) && leaf == tree.leaf(index as u64) {
            continue;
        }
        let accepted = is_included(&leaf, index as u64, size as u64, &proof, &roots[size]);
        tried.require(!accepted, || format!("entry {index} of {size}: a mutant is accepted: {proof:?}"));
    }
    tried
}

/// S7: so many mutants of consistency proofs, as above. From size 1: from the empty tree there is nothing to prove.
pub fn mutated_consistency(count: u64, seed: u64) -> Tried {
    let (tree, mut chance, mut tried) = (Tree::new(64), Chance::new(seed), Tried::default());
    let roots: Vec<Hash> = (0..=64).map(|size| tree.root(size)).collect();
    let truth: Vec<Vec<Vec<Hash>>> =
        (0..=64).map(|new| (0..=new).map(|old| tree.consistency(old, new)).collect()).collect();
    while tried.count < count {
        let mut new = 1 + chance.place(64);
        let mut old = 1 + chance.place(new);
        let mut proof = truth[new][old].clone();
        let case = chance.below(8);
        match case {
            0 => old = 1 + chance.place(64),
            1 => new = chance.place(65),
            2 | 3 => {}
            _ => mutate(&mut proof, &mut chance),
        }
        let (mut old_root, mut new_root) = (roots[old], roots[new]);
        match case {
            2 => old_root = flip(old_root, chance.place(256)),
            3 => new_root = roots[chance.place(65)],
            _ => {}
        }
        if truth[new].get(old) == Some(&proof) && old_root == roots[old] && new_root == roots[new] {
            continue;
        }
        let sizes = (TreeSize::new(old as u64), TreeSize::new(new as u64));
        let verdict = consistency::verify(sizes.0, sizes.1, &proof, &old_root, &new_root);
        tried.require(verdict.is_err(), || format!("{old} to {new}: a mutant is accepted: {proof:?}"));
    }
    tried
}

/// One edit of a proof: a bit, a hash less or more, two hashes swapped, one hash in another's place.
fn mutate(proof: &mut Vec<Hash>, chance: &mut Chance) {
    let stranger = Hash::new(chance.bytes());
    if proof.is_empty() {
        return proof.push(stranger);
    }
    let (at, other) = (chance.place(proof.len()), chance.place(proof.len()));
    match chance.place(6) {
        0 | 1 => proof[at] = flip(proof[at], chance.place(256)),
        2 => proof.truncate(at),
        3 => proof.insert(at, if other == at { stranger } else { proof[other] }),
        4 => proof.swap(at, other),
        _ => proof[at] = proof[other],
    }
}

/// S7: so many mutants of whole texts of proofs. Every one differs from its original, and none has an `extra` line or lines of
/// strangers, which change no verdict.
pub fn mutated_texts(cosigner: KeyType, count: u64, seed: u64) -> Tried {
    let (tree, mut chance, mut tried) = (Tree::new(300), Chance::new(seed), Tried::default());
    let (log, witness) = (signer("log.example", KeyType::Ed25519, 1), signer("w.example", cosigner, 2));
    let policy: Policy = policy_of(&log, &witness).parse().expect("a policy");
    let text = |(index, size): (u64, u64)| {
        let unsigned = tree.checkpoint("log.example", size);
        let mut checkpoint = unsigned.sign(&log);
        checkpoint.add(cosign(&witness, &unsigned, UnixTime::from_secs(1)).expect("a witness's key"));
        let hashes = tree.inclusion(index, size);
        let proof = TlogProof { extra: None, index: LeafIndex::new(index), hashes, checkpoint };
        (proof.to_string(), tree.leaf(index))
    };
    let proofs: Vec<(String, Hash)> = [(0, 1), (4, 7), (7, 8), (255, 257), (256, 257)].map(text).into();
    for (good, leaf) in &proofs {
        tried.require(is_proven(&policy, good, leaf), || format!("the control does not hold: {good}"));
    }
    while tried.count < count {
        let (good, logged) = chance.of(&proofs);
        let (bad, leaf) = mutated_text(good, logged, &tree, &mut chance);
        if bad == good.as_bytes() && leaf == *logged {
            continue;
        }
        let accepted = std::str::from_utf8(&bad).is_ok_and(|bad| is_proven(&policy, bad, &leaf));
        tried.require(!accepted, || format!("a mutant is accepted: {}", String::from_utf8_lossy(&bad)));
    }
    tried
}

/// The steps of c2sp.org/tlog-proof.
fn is_proven(policy: &Policy, text: &str, leaf: &Hash) -> bool {
    let Ok(proof) = TlogProof::parse(text) else { return false };
    let Ok((checkpoint, _)) = policy.log_checkpoint(&proof.checkpoint) else { return false };
    policy.quorum(&proof.checkpoint).is_ok() && proof.verify_inclusion(leaf, &checkpoint).is_ok()
}

fn mutated_text(good: &str, leaf: &Hash, tree: &Tree, chance: &mut Chance) -> (Vec<u8>, Hash) {
    let (mut bad, mut leaf) = (good.as_bytes().to_vec(), *leaf);
    let at = chance.place(bad.len());
    match chance.below(8) {
        0..=2 => bad[at] ^= 1 << chance.below(8),
        3 => bad[at] = good.as_bytes()[chance.place(good.len())],
        4 => {
            bad.remove(at);
        }
        5 => bad.insert(at, good.as_bytes()[chance.place(good.len())]),
        6 => bad.truncate(at),
        _ => {
            let mut proof = TlogProof::parse(good).expect("it was just printed");
            let end = proof.hashes.len();
            match chance.below(5) {
                0 => proof.index = LeafIndex::new(chance.below(300)),
                1 => leaf = tree.leaf(chance.below(300)),
                2 => proof.hashes.insert(chance.place(end + 1), Hash::new(chance.bytes())),
                3 => proof.hashes.truncate(chance.place(end + 1)),
                _ if end > 1 => proof.hashes.swap(chance.place(end), chance.place(end)),
                _ => {}
            }
            bad = proof.to_string().into_bytes();
        }
    }
    (bad, leaf)
}

/// S8: so many attempts to show a node as if it were an entry, or an entry as if it were a node.
pub fn second_preimages(count: u64, seed: u64) -> Tried {
    let (tree, mut chance, mut tried) = (Tree::new(256), Chance::new(seed), Tried::default());
    while tried.count < count {
        node_as_leaf(&tree, &mut chance, &mut tried);
        leaf_as_node(&tree, &mut chance, &mut tried);
    }
    tried
}

fn attack(tried: &mut Tried, leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) {
    let accepted = is_included(leaf, index, size, path, root);
    tried.require(!accepted, || format!("{leaf} is accepted as entry {index} of {size}"));
}

/// An inner node, of which the attacker says that it is a leaf of this tree, or of the smaller tree that its level is.
fn node_as_leaf(tree: &Tree, chance: &mut Chance, tried: &mut Tried) {
    let (size, height) = (2 + chance.below(255), 1 + chance.place(3));
    let index = chance.below(size);
    let (above, start) = (index >> height, index >> height << height);
    let middle = (start + (1 << (height - 1))).min(size);
    let end = (start + (1 << height)).min(size);
    let (left, right) = (root_of(tree.leaves(start, middle)), root_of(tree.leaves(middle, end)));
    let (path, root) = (tree.inclusion(index, size), tree.root(size));
    let path = &path[height.min(path.len())..];
    for prefix in [&[][..], &[0x01]] {
        let leaf = leaf_hash(&[prefix, left.as_bytes(), right.as_bytes()].concat());
        attack(tried, &leaf, above, size, path, &root);
        attack(tried, &leaf, above, size.div_ceil(1 << height), path, &root);
    }
    if middle < end {
        // Its very hash: the size that was signed wants a longer path.
        attack(tried, &node_hash(&left, &right), above, size, path, &root);
    }
}

/// An entry that is two hashes, of which the attacker says that it is the node over them.
fn leaf_as_node(tree: &Tree, chance: &mut Chance, tried: &mut Tried) {
    let (forged, sibling) = (leaf_hash(b"never logged"), Hash::new(chance.bytes()));
    let size = 1 + chance.below(64);
    let index = chance.below(size);
    let mut leaves = tree.leaves(0, size).to_vec();
    leaves[index as usize] = leaf_hash(&[*forged.as_bytes(), *sibling.as_bytes()].concat());
    let honest = Tree::over(leaves);
    let path = [&[sibling][..], &honest.inclusion(index, size)].concat();
    attack(tried, &forged, index, size, &path, &honest.root(size));
    attack(tried, &forged, 2 * index, 2 * size, &path, &honest.root(size));
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
    type Error = Infallible;

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

/// S9: at sizes from 0 to 2^64 - 1 and at their edges a proof holds, its neighbours do not, and what is outside of the tree or the
/// wrong way round is named.
pub fn sizes() -> Tried {
    let (tree, mut tried) = (Uniform::new(), Tried::default());
    let leaf = tree.0[0];
    for size in SIZES {
        let size = TreeSize::new(size);
        let Ok(root) = merkle::root(&tree, size);
        for index in SIZES.into_iter().chain([size.get().wrapping_sub(1)]).map(LeafIndex::new) {
            let verify = |proof: &[Hash]| inclusion::verify(&leaf, index, size, proof, &root);
            if !size.contains(index) {
                let outside = ProofError::IndexOutside { index: index.get(), size: size.get() };
                tried.require(verify(&[]) == Err(outside), || format!("{index} is outside of {size}"));
                continue;
            }
            let Ok(proof) = inclusion::prove(&tree, index, size);
            tried.require(verify(&proof) == Ok(()), || format!("{index} of {size} does not hold"));
            for bad in neighbours(&proof) {
                tried.require(verify(&bad).is_err(), || format!("{index} of {size}: {bad:?}"));
            }
        }
        for old in SIZES.map(TreeSize::new) {
            let Ok(old_root) = merkle::root(&tree, old);
            let verify = |proof: &[Hash]| consistency::verify(old, size, proof, &old_root, &root);
            if old > size {
                let reversed = ProofError::SizesReversed { old: old.get(), new: size.get() };
                tried.require(verify(&[]) == Err(reversed), || format!("{old} is behind {size}"));
                continue;
            }
            let Ok(proof) = consistency::prove(&tree, old, size);
            tried.require(verify(&proof) == Ok(()), || format!("{old} to {size} does not hold"));
            for bad in neighbours(&proof) {
                tried.require(verify(&bad).is_err(), || format!("{old} to {size}: {bad:?}"));
            }
        }
    }
    tried
}

/// Each hash changed, left out, doubled, and moved to the end; one hash more at each end.
pub fn neighbours(proof: &[Hash]) -> Vec<Vec<Hash>> {
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
pub fn flip(hash: Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % Hash::BYTES] ^= 1 << (bit % 8);
    Hash::new(bytes)
}
