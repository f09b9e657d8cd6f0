//! The oracle: reads a log as the public would, and recomputes everything.

use std::fs;
use std::path::Path;

use tlog::checkpoint::Checkpoint;
use tlog::merkle::{leaf_hash, root_of};
use tlog::note::Note;
use tlog::tile::{Edge, TILE_WIDTH, Tile};
use tlog::{Hash, TreeSize, bundle};

use crate::log::Log;

/// A log as it was read.
pub struct Seen {
    /// The checkpoint, whose signature was checked.
    pub checkpoint: Checkpoint,
    /// Every leaf.
    pub leaves: Vec<Vec<u8>>,
}

impl Seen {
    /// The root of the first `size` leaves.
    pub fn root(&self, size: TreeSize) -> Hash {
        let hashes: Vec<Hash> =
            self.leaves[..size.get() as usize].iter().map(|leaf| leaf_hash(leaf)).collect();
        root_of(&hashes)
    }
}

/// The published checkpoint of a log, its signature checked.
pub fn checkpoint(log: &Log) -> Checkpoint {
    let note = Note::parse(&log.bytes("/checkpoint")).expect("a signed note");
    log.policy().log_checkpoint(&note).expect("signed by the log").0
}

/// Writes what a mirror has of a log that runs: a folder of files.
///
/// # Panics
/// If the log does not answer, or the folder takes no files.
pub fn mirror(log: &Log, to: &Path) {
    let size = checkpoint(log).size;
    let write = |path: &str| {
        let file = to.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, log.bytes(&format!("/{path}"))).expect("written");
    };
    write("checkpoint");
    for tile in Tile::touched(TreeSize::EMPTY, size) {
        write(&tile.path());
        if tile.level() == 0 {
            write(&tile.entries_path());
        }
    }
}

/// Reads the whole log as a stranger would: TILE-1, TILE-2, TILE-3.
///
/// # Panics
/// At the first thing that is not as c2sp.org/tlog-tiles has it.
pub fn check_log(log: &Log) -> Seen {
    let checkpoint = checkpoint(log);
    let mut edge = Edge::new();
    let mut leaves = Vec::new();
    let check = |tile: Tile, hashes: &[Hash]| {
        let want: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        assert_eq!(log.bytes(&format!("/{}", tile.path())), want, "{}", tile.path());
    };
    for tile in Tile::touched(TreeSize::EMPTY, checkpoint.size).take_while(|tile| tile.level() == 0) {
        let bytes = log.bytes(&format!("/{}", tile.entries_path()));
        let entries = bundle::parse(&bytes).expect("a bundle");
        assert_eq!(entries.len(), usize::from(tile.width()), "{}", tile.entries_path());
        for entry in entries {
            edge.append(leaf_hash(entry), check);
            leaves.push(entry.to_vec());
        }
    }
    for tile in Tile::touched(TreeSize::EMPTY, checkpoint.size).filter(|tile| !tile.is_full()) {
        check(tile, edge.level(tile.level()));
    }
    assert_eq!(edge.root(), checkpoint.root, "the root of {} entries", checkpoint.size);
    assert!(checkpoint.size.get() / TILE_WIDTH <= leaves.len() as u64);
    Seen { checkpoint, leaves }
}
