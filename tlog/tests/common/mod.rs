//! What the test programs of this folder share: vectors, a tree in memory, keys, chance.
#![allow(dead_code, reason = "each test program is compiled by itself and uses a part")]
#![allow(clippy::disallowed_methods, reason = "the library is pure; its tests read vectors")]

use std::io::Write as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use tlog::key::{KeyName, KeyType, SignerKey, VerifierKey};
use tlog::merkle::{HashReader, Node, leaf_hash, node_hash};
use tlog::{Hash, LeafIndex, TreeSize};

/// A vector file of this project.
pub(crate) fn our_vectors<T: DeserializeOwned>(name: &str) -> T {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../specs/vectors");
    parse(&Path::new(folder).join(name))
}

/// A vector file of somebody else, read where `AIP_VECTORS` says; `None`, and a line on stderr, when
/// it is not there. Printed past the test harness, which would keep the line of a test that passes.
pub(crate) fn foreign_vectors<T: DeserializeOwned>(name: &str) -> Option<T> {
    let file = std::env::var_os("AIP_VECTORS")
        .filter(|folder| !folder.is_empty())
        .ok_or_else(|| "AIP_VECTORS names no folder".to_owned())
        .map(|folder| Path::new(&folder).join(name))
        .and_then(|path| if path.exists() { Ok(path) } else { Err(format!("no `{}`", path.display())) });
    match file {
        Ok(path) => Some(parse(&path)),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "not run: {name}: {why}");
            None
        }
    }
}

fn parse<T: DeserializeOwned>(path: &Path) -> T {
    let json = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A hash in base64.
pub(crate) fn hash(base64: &str) -> Hash {
    Hash::from_base64(base64).unwrap_or_else(|| panic!("no hash: {base64}"))
}

/// Hashes in base64.
pub(crate) fn hashes(base64: &[String]) -> Vec<Hash> {
    base64.iter().map(|text| hash(text)).collect()
}

/// Entry `i` of every test tree.
pub(crate) fn entry(i: u64) -> Vec<u8> {
    format!("leaf {i}").into_bytes()
}

/// A tree in memory: each complete subtree's hash, by level.
pub(crate) struct Tree(Vec<Vec<Hash>>);

impl Tree {
    /// The tree over `leaf 0`, `leaf 1`, …
    pub(crate) fn new(size: u64) -> Self {
        Self::over((0..size).map(|i| leaf_hash(&entry(i))).collect())
    }

    pub(crate) fn over(leaf_hashes: Vec<Hash>) -> Self {
        let mut levels = vec![leaf_hashes];
        while levels[levels.len() - 1].len() > 1 {
            let pairs = levels[levels.len() - 1].chunks_exact(2);
            levels.push(pairs.map(|pair| node_hash(&pair[0], &pair[1])).collect());
        }
        Self(levels)
    }

    pub(crate) fn leaf(&self, index: u64) -> Hash {
        self.0[0][index as usize]
    }

    pub(crate) fn leaves(&self, start: u64, end: u64) -> &[Hash] {
        &self.0[0][start as usize..end as usize]
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        let Ok(root) = tlog::merkle::root(self, TreeSize::new(size));
        root
    }

    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        let Ok(proof) = tlog::merkle::inclusion::prove(self, LeafIndex::new(index), TreeSize::new(size));
        proof
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let Ok(proof) = tlog::merkle::consistency::prove(self, TreeSize::new(old), TreeSize::new(new));
        proof
    }
}

impl HashReader for Tree {
    type Error = std::convert::Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
        Ok(nodes.iter().map(|node| self.0[usize::from(node.level)][node.index as usize]).collect())
    }
}

/// A test key: the same one for the same seed.
pub(crate) fn signer(name: &str, kind: KeyType, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).expect("a key name"), kind, &[seed; 32])
}

/// The key of a vkey.
pub(crate) fn vkey(text: &str) -> VerifierKey {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Chance that is the same in every run (xorshift64*).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to `end` - 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}
