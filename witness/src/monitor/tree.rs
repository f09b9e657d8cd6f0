//! The tree that a checkpoint signs, read from tiles that are each held against it, from the root down.

use std::cell::RefCell;
use std::collections::HashMap;

use attestation::finding::{BadTile, Evidence, Served};
use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::{HashReader, Node, root_of, subtree};
use tlog::note::Note;
use tlog::tile::{Edge, Resource, TILE_WIDTH, Tile, TileHashReader, hashes_at, parse_hashes};

use super::source::{FetchError, Source};

/// A signed tree, as far as it was asked for. Every hash it answers leads to the checkpoint's root.
pub(crate) struct SignedTree<'a> {
    source: &'a Source,
    checkpoint: &'a Checkpoint,
    edge: Edge,
    /// Full tiles that were checked; at most [`MAX_TILES`].
    checked: RefCell<HashMap<Tile, Vec<Hash>>>,
    /// Full tiles that were fetched ahead, unchecked.
    fetched: RefCell<HashMap<Tile, Vec<u8>>>,
}

impl<'a> SignedTree<'a> {
    /// Reads the right edge of the tree, which must give the checkpoint's root.
    pub(crate) fn open(source: &'a Source, checkpoint: &'a Checkpoint) -> Result<Self, TreeError> {
        let size = checkpoint.size;
        let partial = |level| {
            let hashes = hashes_at(level, size);
            Tile::new(level, hashes / TILE_WIDTH, (hashes % TILE_WIDTH) as u16)
        };
        let height = (0..8).take_while(|level| hashes_at(*level, size) > 0).count() as u8;
        let tiles: Vec<Tile> = (0..height).filter_map(partial).collect();
        let wanted: Vec<_> = tiles.iter().map(|tile| (*tile, Resource::Hashes)).collect();
        let bytes = source.all(&wanted).into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut levels = vec![Vec::new(); usize::from(height)];
        for (tile, bytes) in tiles.iter().zip(&bytes) {
            levels[usize::from(tile.level())] = parse_hashes(*tile, bytes).unwrap_or_default();
        }
        match Edge::from_levels(size, levels) {
            Some(edge) if edge.root() == checkpoint.root => Ok(Self::with_edge(source, checkpoint, edge)),
            _ => Err(TreeError::Edge(tiles.into_iter().zip(bytes).collect())),
        }
    }

    /// The tree whose right edge is known.
    ///
    /// # Panics
    /// If it is another tree's.
    pub(crate) fn with_edge(source: &'a Source, checkpoint: &'a Checkpoint, edge: Edge) -> Self {
        assert!(
            edge.size() == checkpoint.size && edge.root() == checkpoint.root,
            "an edge is that of its checkpoint"
        );
        let (checked, fetched) = (RefCell::default(), RefCell::default());
        Self { source, checkpoint, edge, checked, fetched }
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
        let hashes = hashes_at(level, self.checkpoint.size).saturating_sub(index * TILE_WIDTH);
        Tile::new(level, index, hashes.min(TILE_WIDTH) as u16).expect("a tile of the tree")
    }

    /// Keeps the bytes of a full tile that was fetched ahead, to be checked when it is asked for.
    pub(crate) fn keep(&self, tile: Tile, bytes: Vec<u8>) {
        self.fetched.borrow_mut().insert(tile, bytes);
    }

    /// The hashes of a tile, as wide as this tree has it, checked.
    pub(crate) fn tile(&self, tile: Tile) -> Result<Vec<Hash>, TreeError> {
        if !tile.is_full() {
            return Ok(self.edge.level(tile.level()).to_vec());
        }
        if let Some(hashes) = self.checked.borrow().get(&tile) {
            return Ok(hashes.clone());
        }
        let above = self.tile_at(tile.level() + 1, tile.index() / TILE_WIDTH);
        let root = self.tile(above)?[(tile.index() % TILE_WIDTH) as usize];
        let fetched = self.fetched.borrow_mut().remove(&tile);
        let bytes = fetched.map_or_else(|| self.source.tile(tile), Ok)?;
        let hashes = parse_hashes(tile, &bytes).filter(|hashes| root_of(hashes) == root);
        let hashes = hashes.ok_or(TreeError::Tile { tile, bytes, root })?;
        let mut checked = self.checked.borrow_mut();
        if checked.len() >= MAX_TILES {
            checked.clear();
        }
        checked.insert(tile, hashes.clone());
        Ok(hashes)
    }

    /// The evidence that served bytes are not the tile or bundle, whose hashes have `root`.
    pub(crate) fn evidence(
        &self,
        note: &Note,
        tile: Tile,
        resource: Resource,
        bytes: Vec<u8>,
        root: Hash,
    ) -> Result<Evidence, TreeError> {
        let leaves = 1u64 << (u32::from(tile.level()) * 8);
        let start = tile.index() * TILE_WIDTH * leaves;
        let end = start + u64::from(tile.width()) * leaves;
        // Its siblings stand in higher tiles than it: a tile that is bad, too, is found on a shorter way.
        let proof = subtree::prove(self, start, end, self.checkpoint.size)?;
        let served = Served::One { tile, resource, bytes, root, proof };
        Ok(Evidence::BadTile(BadTile { checkpoint: note.clone(), served }))
    }

    /// The evidence for what was found while reading this tree.
    pub(crate) fn evidence_of(&self, note: &Note, error: TreeError) -> Result<Evidence, FetchError> {
        match error {
            TreeError::Fetch(error) => Err(error),
            TreeError::Edge(tiles) => Ok(edge_evidence(note, tiles)),
            TreeError::Tile { tile, bytes, root } => {
                match self.evidence(note, tile, Resource::Hashes, bytes, root) {
                    Ok(evidence) => Ok(evidence),
                    // Levels only go up, so this ends.
                    Err(error) => self.evidence_of(note, error),
                }
            }
        }
    }
}

/// The evidence of an edge that is not the signed tree's.
pub(crate) fn edge_evidence(note: &Note, tiles: Vec<(Tile, Vec<u8>)>) -> Evidence {
    Evidence::BadTile(BadTile { checkpoint: note.clone(), served: Served::Edge(tiles) })
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
    Fetch(#[from] FetchError),
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

/// 8 KiB each.
const MAX_TILES: usize = 4_096;
