//! The tree that a checkpoint signs, read from tiles that are each held against it, from the root down.

use std::cell::RefCell;
use std::collections::HashMap;

use attestation::finding::{BadTile, Proof, Served};
use log_client::ReadError;
use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::{HashReader, Node, subtree};
use tlog::note::Note;
use tlog::reader::{self, NotTheTrees, Want};
use tlog::tile::{Edge, Resource, TILE_WIDTH, Tile, TileHashReader};

use crate::source::Source;

/// A signed tree that is read as it is asked for. Every hash it answers leads to the checkpoint's root.
pub(crate) struct SignedTree<'a> {
    source: &'a Source,
    checkpoint: &'a Checkpoint,
    tree: RefCell<reader::SignedTree>,
    /// Full tiles that were fetched ahead, unchecked.
    fetched: RefCell<HashMap<Tile, Vec<u8>>>,
}

impl<'a> SignedTree<'a> {
    /// Reads the right edge of the tree, which must give the checkpoint's root.
    pub(crate) fn open(source: &'a Source, checkpoint: &'a Checkpoint) -> Result<Self, TreeError> {
        let wants = reader::SignedTree::edge_wants(checkpoint.size);
        let bytes = source.all(&wants).into_iter().collect::<Result<Vec<_>, _>>()?;
        match reader::SignedTree::open(checkpoint.size, &checkpoint.root, &bytes) {
            Some(tree) => Ok(Self::of(source, checkpoint, tree)),
            None => Err(TreeError::Edge(wants.into_iter().map(|want| want.tile).zip(bytes).collect())),
        }
    }

    /// The tree whose right edge is known.
    ///
    /// # Panics
    /// If it is another tree's.
    pub(crate) fn with_edge(source: &'a Source, checkpoint: &'a Checkpoint, edge: Edge) -> Self {
        assert!(edge.size() == checkpoint.size, "an edge is that of its checkpoint");
        let tree = reader::SignedTree::with_edge(edge, &checkpoint.root);
        Self::of(source, checkpoint, tree.expect("an edge is that of its checkpoint"))
    }

    fn of(source: &'a Source, checkpoint: &'a Checkpoint, tree: reader::SignedTree) -> Self {
        Self { source, checkpoint, tree: RefCell::new(tree), fetched: RefCell::default() }
    }

    /// Where it is read.
    pub(crate) fn source(&self) -> &Source {
        self.source
    }

    /// The widest tile of this tree at a place.
    ///
    /// # Panics
    /// If the tree has none there: callers ask about what they have.
    pub(crate) fn tile_at(&self, level: u8, index: u64) -> Tile {
        self.tree.borrow().tile_at(level, index)
    }

    /// Keeps the bytes of a full tile that was fetched ahead, to be checked when it is asked for.
    pub(crate) fn keep(&self, tile: Tile, bytes: Vec<u8>) {
        self.fetched.borrow_mut().insert(tile, bytes);
    }

    /// The hashes of a tile, as wide as this tree has it, checked.
    pub(crate) fn tile(&self, tile: Tile) -> Result<Vec<Hash>, TreeError> {
        if let Some(hashes) = self.tree.borrow().hashes(tile) {
            return Ok(hashes.to_vec());
        }
        let this = Want::hashes(tile);
        let mut wants = self.tree.borrow_mut().wants_above(this);
        wants.push(this);
        let mut hashes = Vec::new();
        for want in wants {
            let fetched = self.fetched.borrow_mut().remove(&want.tile);
            let bytes = fetched.map_or_else(|| self.source.fetch(want), Ok)?;
            hashes = match self.tree.borrow_mut().take(want.tile, &bytes) {
                Ok(hashes) => hashes.to_vec(),
                Err(NotTheTrees { root, .. }) => {
                    return Err(TreeError::Tile { tile: want.tile, bytes, root });
                }
            };
        }
        Ok(hashes)
    }

    /// The proof that served bytes are not the tile or bundle, whose hashes have `root`.
    pub(crate) fn proof(
        &self,
        note: &Note,
        tile: Tile,
        resource: Resource,
        bytes: Vec<u8>,
        root: Hash,
    ) -> Result<Proof, TreeError> {
        let leaves = 1u64 << (u32::from(tile.level()) * 8);
        let start = tile.index() * TILE_WIDTH * leaves;
        let end = start + u64::from(tile.width()) * leaves;
        // Its siblings stand in higher tiles than it: a tile that is bad, too, is found on a shorter way.
        let proof = subtree::prove(self, start, end, self.checkpoint.size)?;
        let served = Served::One { tile, resource, bytes, root, proof };
        Ok(Proof::BadTile(BadTile { checkpoint: note.clone(), served }))
    }

    /// The proof for what was found while reading this tree.
    pub(crate) fn proof_of(&self, note: &Note, error: TreeError) -> Result<Proof, ReadError> {
        match error {
            TreeError::Fetch(error) => Err(error),
            TreeError::Edge(tiles) => Ok(edge_proof(note, tiles)),
            TreeError::Tile { tile, bytes, root } => {
                match self.proof(note, tile, Resource::Hashes, bytes, root) {
                    Ok(proof) => Ok(proof),
                    // Levels only go up, so this ends.
                    Err(error) => self.proof_of(note, error),
                }
            }
        }
    }
}

/// The proof of an edge that is not the signed tree's.
pub(crate) fn edge_proof(note: &Note, tiles: Vec<(Tile, Vec<u8>)>) -> Proof {
    Proof::BadTile(BadTile { checkpoint: note.clone(), served: Served::Edge(tiles) })
}

impl HashReader for SignedTree<'_> {
    type Error = TreeError;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, TreeError> {
        TileHashReader::new(self.checkpoint.size, |tile| self.tile(tile)).read_hashes(nodes)
    }
}

/// Why a hash of the tree could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// The partial tiles do not give the root.
    #[error("the tiles of the right edge do not give the checkpoint's root")]
    Edge(Vec<(Tile, Vec<u8>)>),
    /// It was not answered.
    #[error(transparent)]
    Fetch(#[from] ReadError),
    /// A full tile is not the tree's.
    #[error("`{}` does not hash to the checkpoint's root", .tile.path())]
    Tile {
        /// The tile.
        tile: Tile,
        /// What was served.
        bytes: Vec<u8>,
        /// The root that its hashes must have.
        root: Hash,
    },
}
