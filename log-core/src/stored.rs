//! The tree as an engine keeps it: full tiles and leaves; nothing partial is stored.

use tlog::checkpoint::Checkpoint;
use tlog::merkle::range::CompactRange;
use tlog::merkle::{self, leaf_hash};
use tlog::note::Note;
use tlog::tile::{Edge, TILE_WIDTH, Tile, TileHashReader, hashes_at};
use tlog::{Hash, TreeSize};

use crate::StoreError;
use crate::integrate::Tree;
use crate::integrator::OpenError;
use crate::port::{Objects, PublishedNote};
use crate::view::Published;

/// Whether the stored tree is at least what was signed, with its root.
pub fn check_extends(objects: &dyn Objects, tree: &Tree, signed: &Checkpoint) -> Result<(), OpenError> {
    let size = tree.edge().size();
    if size < signed.size {
        return Err(OpenError::RolledBack { size: size.get(), signed: signed.size.get() });
    }
    let root = merkle::root(&stored_hashes(objects, tree.edge()), signed.size)?;
    if root != signed.root {
        return Err(OpenError::Contradiction { size: signed.size.get(), root, signed: signed.root });
    }
    Ok(())
}

/// Rebuilds the right side of the tree in both shapes, and checks that both lead to the root of the state.
pub fn load_tree(objects: &dyn Objects, size: TreeSize, root: &str) -> Result<Tree, OpenError> {
    let edge = load_edge(objects, size)?;
    let range = CompactRange::read(&stored_hashes(objects, &edge), size)?;
    let got = edge.root();
    if got.to_string() != root || range.root() != got {
        return Err(OpenError::Damaged { got, want: root.to_owned() });
    }
    Ok(Tree::new(edge, range))
}

/// The edge of the first `size` entries, from leaves and full tiles: nothing partial is stored.
pub fn load_edge(objects: &dyn Objects, size: TreeSize) -> Result<Edge, StoreError> {
    let mut levels: Vec<Vec<Hash>> = Vec::new();
    for level in 0..8 {
        let hashes = hashes_at(level, size);
        if hashes == 0 {
            break;
        }
        let first = hashes / TILE_WIDTH * TILE_WIDTH;
        let mut edge = Vec::new();
        if level == 0 {
            objects.leaves(first, hashes, &mut |_, leaf| edge.push(leaf_hash(leaf)))?;
        } else {
            for index in first..hashes {
                edge.push(merkle::root_of(&full_tile(objects, level - 1, index)?));
            }
        }
        levels.push(edge);
    }
    Ok(Edge::from_levels(size, levels).expect("as many hashes as the size implies"))
}

/// The hashes of the stored tree, published or not.
pub fn stored_hashes(
    objects: &dyn Objects,
    edge: &Edge,
) -> TileHashReader<impl Fn(Tile) -> Result<Vec<Hash>, StoreError>> {
    TileHashReader::new(edge.size(), move |tile: Tile| {
        if tile.is_full() {
            full_tile(objects, tile.level(), tile.index())
        } else {
            Ok(edge.level(tile.level()).to_vec())
        }
    })
}

fn full_tile(objects: &dyn Objects, level: u8, index: u64) -> Result<Vec<Hash>, StoreError> {
    let tile = Tile::new(level, index, TILE_WIDTH as u16).expect("a level of a tree of 2^64 entries");
    objects.tile(tile)?.ok_or_else(|| StoreError::new("read", format!("{} is missing", tile.path())))
}

/// What readers see under a note that the log has published. The engine is believed: nobody without the log's policy could
/// check the note, and its readers do.
pub fn published(objects: &dyn Objects, published: &PublishedNote) -> Result<Published, StoreError> {
    let damaged = |cause: &dyn std::fmt::Display| StoreError::new("read the published checkpoint", cause);
    let note = Note::parse(published.note.as_bytes()).map_err(|e| damaged(&e))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|e| damaged(&e))?;
    let edge = load_edge(objects, checkpoint.size)?;
    if edge.root() != checkpoint.root {
        return Err(damaged(&format!("tiles and leaves lead to the root {}", edge.root())));
    }
    Ok(Published::new(checkpoint, note, published.sigstore.clone().unwrap_or_default(), edge))
}
