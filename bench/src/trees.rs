//! Trees in memory: integrate and proof verification, against `rs_merkle` with an RFC 6962 hasher.

use std::hint::black_box;
use std::time::{Duration, Instant};

use log_server::integrate::Tree;
use rs_merkle::{MerkleProof, MerkleTree};
use tlog::merkle::{inclusion, leaf_hash, root_of};
use tlog::{Hash, LeafIndex, TreeSize};

use super::Effort;
use super::measure::Spread;
use super::report::{Table, count, ratio, section};

/// RFC 6962 for `rs_merkle`, which moves a lone node up by itself.
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

/// Runs both and prints them.
pub fn run(effort: &Effort) {
    let leaves: Vec<Hash> = (0..effort.leaves as u64).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
    let raw: Vec<[u8; 32]> = leaves.iter().map(|leaf| *leaf.as_bytes()).collect();
    let root = root_of(&leaves);
    let full = integrate_all(&leaves);
    assert_eq!(full.edge().root(), root, "our root");
    let mut theirs = MerkleTree::<Rfc6962>::from_leaves(&raw);
    assert_eq!(theirs.root(), Some(*root.as_bytes()), "the root of rs_merkle");

    section(&format!(
        "1. Integrate, against rs_merkle (leaf hashes given; {} leaves)",
        count(leaves.len() as f64)
    ));
    let mut table = Table::new(&["", "ours ns/leaf", "rs_merkle ns/leaf", "rs_merkle ÷ ours"]);
    let built = paired(
        effort.rounds,
        || time(|| integrate_all(&leaves)),
        || time(|| MerkleTree::<Rfc6962>::from_leaves(&raw).root()),
    );
    built.row(&mut table, "build a tree: rounds of 4,096, against from_leaves", leaves.len());
    let batch: Vec<Hash> = (0..256u64).map(|leaf| leaf_hash(&(leaf | 1 << 40).to_be_bytes())).collect();
    let mut raw_batch: Vec<[u8; 32]> = batch.iter().map(|leaf| *leaf.as_bytes()).collect();
    let appended = paired(
        effort.rounds,
        // A single one is too short for the clock.
        || time(|| (0..100).for_each(|_| drop(black_box(full.integrate(black_box(&batch)))))) / 100,
        || {
            let mut batch = raw_batch.clone();
            let took = time(|| {
                theirs.append(&mut batch);
                theirs.commit();
                theirs.root()
            });
            theirs.rollback();
            took
        },
    );
    raw_batch.clear();
    appended.row(&mut table, "append 256 leaves to that tree", batch.len());
    table.print();
    verify(effort, &leaves, &root, &theirs);
}

fn verify(effort: &Effort, leaves: &[Hash], root: &Hash, theirs: &MerkleTree<Rfc6962>) {
    let size = leaves.len();
    let proofs: Vec<(usize, MerkleProof<Rfc6962>, Vec<Hash>)> = (0..PROOFS)
        .map(|number| {
            let index = number * 2_654_435_761 % size;
            let proof = theirs.proof(&[index]);
            let hashes: Vec<Hash> = proof.proof_hashes().iter().map(|hash| Hash::new(*hash)).collect();
            (index, proof, hashes)
        })
        .collect();
    let length = proofs[0].2.len();
    section(&format!(
        "2. Verify an inclusion proof of {length} hashes, against rs_merkle (which checks less: it accepts altered sizes)"
    ));
    let verified = paired(
        effort.rounds,
        || {
            time(|| {
                proofs.iter().all(|(index, _, hashes)| {
                    let (at, size) = (LeafIndex::new(*index as u64), TreeSize::new(size as u64));
                    inclusion::verify(black_box(&leaves[*index]), at, size, hashes, root).is_ok()
                })
            })
        },
        || {
            time(|| {
                proofs.iter().all(|(index, proof, _)| {
                    proof.verify(*root.as_bytes(), &[*index], &[*black_box(&leaves[*index]).as_bytes()], size)
                })
            })
        },
    );
    let mut table = Table::new(&["", "ours ns/proof", "rs_merkle ns/proof", "rs_merkle ÷ ours"]);
    verified.row(&mut table, &format!("{} proofs", count(PROOFS as f64)), PROOFS);
    table.print();
}

/// As the sequencer does it: round by round.
fn integrate_all(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::default();
    for round in leaves.chunks(4_096) {
        tree = tree.integrate(round).tree;
    }
    tree
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// Two series in seconds, taken turn about: ours, theirs, theirs, ours, …
struct Paired {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

fn paired(rounds: usize, mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> Paired {
    let mut paired = Paired { ours: Vec::new(), theirs: Vec::new() };
    for round in 0..rounds {
        let (first, second);
        if round % 2 == 0 {
            (first, second) = (ours(), theirs());
        } else {
            second = theirs();
            first = ours();
        }
        paired.ours.push(first.as_secs_f64());
        paired.theirs.push(second.as_secs_f64());
    }
    paired
}

impl Paired {
    fn row(&self, table: &mut Table, name: &str, per: usize) {
        let ns = |series: &[f64]| Spread::of(series.iter().copied()).median / per as f64 * 1e9;
        table.row([
            name.to_owned(),
            count(ns(&self.ours)),
            count(ns(&self.theirs)),
            ratio(Spread::of_ratios(&self.theirs, &self.ours)),
        ]);
    }
}

const PROOFS: usize = 10_000;
