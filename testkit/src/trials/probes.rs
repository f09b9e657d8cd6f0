//! S5: the probes of transparency-dev/merkle, and where we differ from it, each difference argued where it stands.

use serde::Deserialize;
use tlog::merkle::{self, subtree};
use tlog::{Hash, LeafIndex, TreeSize};

use super::Tried;
use crate::vectors;

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

/// Runs one file of probes, which has so many; `but` are the differences.
fn probes(
    file: &str,
    count: usize,
    but: &[&str],
    verify: impl Fn(&Probe, &[Hash], &Hash, &Hash) -> bool,
) -> Result<Tried, String> {
    let probes: Probes = vectors::read_others(file)?;
    let mut tried = Tried::default();
    for probe in &probes.cases {
        let proof: Option<Vec<Hash>> =
            probe.proof.iter().flatten().map(|text| Hash::from_base64(text)).collect();
        let (root, other) = (stand_in(&probe.root), stand_in(&probe.root2));
        let accepted = proof.is_some_and(|proof| verify(probe, &proof, &root, &other));
        let differs = but.contains(&probe.file.as_str());
        tried.require((accepted == probe.want_err) == differs, || {
            format!("{}: {}", probe.file, if accepted { "accepted" } else { "refused" })
        });
    }
    if probes.cases.len() != count {
        tried.violations.push(format!("{file} has {} probes, not {count}", probes.cases.len()));
    }
    Ok(tried)
}

/// A root or leaf hash of a probe. Many are texts such as `dont care 1`, of another length than a
/// [`Hash`] can have; only whether two of them are equal matters, so a hash of them stands in.
fn stand_in(base64: &str) -> Hash {
    Hash::from_base64(base64).unwrap_or_else(|| Hash::of_parts(&[b"stand-in ", base64.as_bytes()]))
}

/// Inclusion in a whole tree. One difference: `empty-root-and-leaf` has a leaf hash and a root of no bytes. Upstream refuses their
/// length; a [`Hash`](struct@Hash) always has 32 bytes, and the stand-ins are an honest tree of one leaf.
///
/// # Errors
/// Why the file is not there.
pub fn inclusion() -> Result<Tried, String> {
    let but = ["inclusion/single-entry/empty-root-and-leaf.json"];
    probes("merkle_inclusion_probes.json", 79, &but, |probe, proof, root, leaf| {
        let (index, size) = (LeafIndex::new(probe.leaf_idx), TreeSize::new(probe.size));
        merkle::inclusion::verify(leaf, index, size, proof, root).is_ok()
    })
}

/// Consistency of whole trees. One difference: upstream has no proof from the empty tree. Here it is the beginning of every tree,
/// with an empty proof, as c2sp.org/tlog-witness needs it (`old 0`).
///
/// # Errors
/// Why the file is not there.
pub fn consistency() -> Result<Tried, String> {
    let but = ["consistency/additional/size1-is-zero-and-size2-is-not-zero.json"];
    probes("merkle_consistency_probes.json", 79, &but, |probe, proof, root, new_root| {
        let (old, new) = (TreeSize::new(probe.end), TreeSize::new(probe.size));
        merkle::consistency::verify(old, new, proof, root, new_root).is_ok()
    })
}

/// Inclusion in a subtree. One difference: the same as for the whole tree.
///
/// # Errors
/// Why the file is not there.
pub fn subtree_inclusion() -> Result<Tried, String> {
    let but = ["subtreeinclusion/single-entry/empty-root-and-leaf-subtree.json"];
    probes("merkle_subtreeinclusion_probes.json", 164, &but, |probe, proof, root, leaf| {
        let index = LeafIndex::new(probe.leaf_idx);
        subtree::verify_inclusion(leaf, index, probe.start, probe.end, proof, root).is_ok()
    })
}

/// Consistency of a subtree. Five differences, all of them [n, n): upstream takes the empty subtree for part of every tree,
/// whatever the tree's root. The draft's §4.1 has no empty subtree (`start < end`), and tlog-witness
/// answers 400 to one.
///
/// # Errors
/// Why the file is not there.
pub fn subtree_consistency() -> Result<Tried, String> {
    let but = [
        "sizes-are-equal-one-subtree-root-valid-proof-is-empty",
        "sizes-are-equal-one-subtree-root-valid-tree-root-random-proof-is-empty",
        "sizes-are-equal-zero-subtree-root-valid-tree-root-random-proof-is-empty",
        "subtree-root-valid-proof-is-empty",
        "subtree-root-valid-tree-root-random-proof-is-empty",
    ]
    .map(|name| format!("subtreeconsistency/additional/subtree-is-empty-{name}.json"));
    let but = but.each_ref().map(String::as_str);
    probes("merkle_subtreeconsistency_probes.json", 95, &but, |probe, proof, root, new_root| {
        let size = TreeSize::new(probe.size);
        subtree::verify_consistency(probe.start, probe.end, size, proof, root, new_root).is_ok()
    })
}
