//! Tiles: how the hashes of a log are stored and served (c2sp.org/tlog-tiles).
//!
//! ```text
//! tile/<level>/<index>           256 hashes, 8,192 bytes, never changes
//! tile/<level>/<index>.p/<width> the first 1..=255 of them
//! tile/entries/<index>[.p/<w>]   the entries under a level-0 tile: see `bundle`
//! ```
//! A hash of level `l` covers 256^l entries. `<index>` is written in groups of three digits, all but
//! the last with an `x` before them: 1234067 is `x001/x234/067`.

use std::fmt;

use crate::Hash;
use crate::encoding;
use crate::merkle::{HashReader, Node, TreeSize, node_hash, root_of};

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;

/// Levels of the tree inside one tile: 2^8 = 256.
pub const TILE_HEIGHT: u8 = 8;

/// The highest tile level a path may name. No tree of 2^64 entries has more than 8 levels; the
/// specification's paths allow for 63.
pub const MAX_LEVEL: u8 = 63;

/// Which tile, and how many of its hashes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile of `level` at `index` with its first `width` hashes. `None` outside 0..=63 and 1..=256.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        (level <= MAX_LEVEL && (1..=TILE_WIDTH as u16).contains(&width)).then_some(Self {
            level,
            index,
            width,
        })
    }

    /// The level: a hash of it covers `256^level` entries.
    pub fn level(self) -> u8 {
        self.level
    }

    /// The position among the tiles of this level.
    pub fn index(self) -> u64 {
        self.index
    }

    /// The number of hashes, 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it has all 256 hashes and so never changes.
    pub fn is_full(self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The same tile with all its hashes.
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH as u16, ..self }
    }

    /// Whether a tree of `size` implies the tile with at least this width.
    pub fn is_in(self, size: TreeSize) -> bool {
        let hashes = hashes_at(self.level, size);
        let end =
            self.index.checked_mul(TILE_WIDTH).and_then(|start| start.checked_add(u64::from(self.width)));
        end.is_some_and(|end| end <= hashes)
    }

    /// The tiles that are new or wider in a tree of `new` than in one of `old`, level by level. From [`TreeSize::EMPTY`]
    /// these are all tiles of a tree.
    pub fn touched(old: TreeSize, new: TreeSize) -> impl Iterator<Item = Self> {
        (0..=MAX_LEVEL).take_while(move |level| hashes_at(*level, new) > 0).flat_map(move |level| {
            let (before, after) = (hashes_at(level, old), hashes_at(level, new));
            let first = before / TILE_WIDTH;
            let last = after.div_ceil(TILE_WIDTH);
            let tiles = if before < after { first..last } else { 0..0 };
            tiles.map(move |index| Self {
                level,
                index,
                width: (after - index * TILE_WIDTH).min(TILE_WIDTH) as u16,
            })
        })
    }

    /// The path below a log's prefix, for hashes.
    pub fn path(self) -> String {
        format!("tile/{}/{}", self.level, IndexPath(self))
    }

    /// The path below a log's prefix of the entries under this tile, which is of level 0.
    pub fn entries_path(self) -> String {
        format!("tile/entries/{}", IndexPath(self))
    }

    /// Reads a path. One spelling only: what does not print as it was read is no path.
    pub fn parse(path: &str) -> Option<(Self, Resource)> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (level, resource) = match level {
            "entries" => (0, Resource::Entries),
            level => (u8::try_from(encoding::parse_decimal(level)?).ok()?, Resource::Hashes),
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH),
            Some((index, width)) => (index, encoding::parse_decimal(width).filter(|w| *w < TILE_WIDTH)?),
        };
        let index = parse_index(index)?;
        let tile = Self::new(level, index, u16::try_from(width).ok()?)?;
        let spelled = match resource {
            Resource::Hashes => tile.path(),
            Resource::Entries => tile.entries_path(),
        };
        (spelled == path).then_some((tile, resource))
    }
}

/// What a tile path asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Resource {
    /// The tile's hashes, 32 bytes each.
    Hashes,
    /// The entry bundle under a level-0 tile.
    Entries,
}

/// The number of hashes a tree of `size` has at a tile level.
pub fn hashes_at(level: u8, size: TreeSize) -> u64 {
    size.get().checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// The hashes in the bytes of a tile, if they are exactly as many as its width.
pub fn parse_hashes(tile: Tile, bytes: &[u8]) -> Option<Vec<Hash>> {
    (bytes.len() == usize::from(tile.width) * Hash::BYTES)
        .then(|| bytes.chunks_exact(Hash::BYTES).filter_map(Hash::from_slice).collect())
}

/// The hashes on the right side of a growing tree, by tile level: all that is not in a full tile.
///
/// Owns at most 255 hashes a level. What fills up is handed out as a full tile and forgotten.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Edge {
    levels: Vec<Vec<Hash>>,
    size: u64,
}

impl Edge {
    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge with these hashes a level, level 0 first. `None` when they are not as many as `size` says.
    pub fn from_levels(size: TreeSize, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let height = u8::try_from(levels.len()).ok()?;
        let fits = levels
            .iter()
            .zip(0..height)
            .all(|(hashes, level)| hashes.len() as u64 == hashes_at(level, size) % TILE_WIDTH);
        let complete = hashes_at(height, size) == 0;
        (fits && complete).then_some(Self { levels, size: size.get() })
    }

    /// The tree's size.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.size)
    }

    /// The hashes of a level that are not in a full tile.
    pub fn level(&self, level: u8) -> &[Hash] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Appends an entry by its leaf hash. `filled` gets each tile that became full, lowest first.
    ///
    /// # Panics
    /// At 2^64 - 1 entries, which no log reaches.
    pub fn append(&mut self, leaf_hash: Hash, mut filled: impl FnMut(Tile, &[Hash])) {
        self.size = self.size.checked_add(1).expect("a log ends before 2^64 entries");
        let mut hash = leaf_hash;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            let level = level as u8;
            let index = hashes_at(level, TreeSize::new(self.size)) / TILE_WIDTH - 1;
            filled(Tile { level, index, width: TILE_WIDTH as u16 }, hashes);
            hash = root_of(hashes);
            hashes.clear();
        }
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        // Each level's remainder, split into complete subtrees, largest first; the lowest level is the
        // rightmost part of the tree.
        let mut acc: Option<Hash> = None;
        for hashes in &self.levels {
            let mut end = hashes.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let left = root_of(&hashes[end - width..end]);
                acc = Some(acc.map_or(left, |right| node_hash(&left, &right)));
                end -= width;
            }
        }
        acc.unwrap_or_else(crate::merkle::empty_root)
    }
}

/// Where a node stands in the tiles of a tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InTile {
    /// The widest tile with it that the tree implies.
    pub tile: Tile,
    /// How far above the tile's hashes it stands, 0 to 7.
    pub height: u8,
    /// Its position among the nodes of that height in the tile.
    pub index: usize,
}

impl InTile {
    /// Locates a node of a tree of `size`.
    ///
    /// # Panics
    /// If the tree has no such complete subtree: the caller has checked index and size.
    pub fn of(node: Node, size: TreeSize) -> Self {
        let level = node.level / TILE_HEIGHT;
        let height = node.level % TILE_HEIGHT;
        let nodes_across = TILE_WIDTH >> height;
        let tile_index = node.index / nodes_across;
        let hashes = hashes_at(level, size).checked_sub(tile_index * TILE_WIDTH);
        let width = hashes.expect("a node of the tree").min(TILE_WIDTH);
        let tile = Tile { level, index: tile_index, width: width as u16 };
        Self { tile, height, index: (node.index % nodes_across) as usize }
    }
}

/// A tile with the complete subtrees inside it, for many proofs from one tile.
#[derive(Clone, Debug)]
pub struct TileTree {
    /// By height: the tile's hashes, then one hash for each two below.
    heights: Vec<Vec<Hash>>,
}

impl TileTree {
    /// Hashes a tile through: at most 255 hashes for 256.
    pub fn new(hashes: Vec<Hash>) -> Self {
        let mut heights = vec![hashes];
        while let Some(below) = heights.last().filter(|below| below.len() > 1) {
            let above = below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            heights.push(above);
        }
        Self { heights }
    }

    /// The tile's hashes.
    pub fn hashes(&self) -> &[Hash] {
        &self.heights[0]
    }

    /// The complete subtree at a height, by its position; `None` where the tile is too narrow.
    pub fn get(&self, height: u8, index: usize) -> Option<Hash> {
        self.heights.get(usize::from(height))?.get(index).copied()
    }
}

/// Reads the hashes of a tree of `size` from its tiles: turns a [`HashReader`] question into whole
/// tiles, each asked for once a question.
pub struct TileHashReader<F> {
    size: TreeSize,
    read_tile: F,
}

impl<F, E> TileHashReader<F>
where
    F: Fn(Tile) -> Result<Vec<Hash>, E>,
{
    /// A reader over `read_tile`, which answers as many hashes as the width of the tile it is asked
    /// for: always the widest tile that a tree of `size` implies.
    pub fn new(size: TreeSize, read_tile: F) -> Self {
        Self { size, read_tile }
    }
}

impl<F, E> HashReader for TileHashReader<F>
where
    F: Fn(Tile) -> Result<Vec<Hash>, E>,
{
    type Error = E;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, E> {
        let mut tiles: Vec<(Tile, Vec<Hash>)> = Vec::new();
        let mut hashes = Vec::with_capacity(nodes.len());
        for node in nodes {
            let InTile { tile, height, index } = InTile::of(*node, self.size);
            let at = match tiles.iter().position(|(read, _)| *read == tile) {
                Some(at) => at,
                None => {
                    tiles.push((tile, (self.read_tile)(tile)?));
                    tiles.len() - 1
                }
            };
            hashes.push(root_of(&tiles[at].1[index << height..(index + 1) << height]));
        }
        Ok(hashes)
    }
}

/// `<index>[.p/<width>]`.
struct IndexPath(Tile);

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tile { index, width, .. } = self.0;
        let digits = index.to_string();
        let padded = format!("{index:0width$}", width = digits.len().div_ceil(3) * 3);
        let groups = padded.len() / 3;
        for (at, group) in padded.as_bytes().chunks(3).enumerate() {
            let more = at + 1 < groups;
            let group = std::str::from_utf8(group).expect("decimal digits");
            write!(f, "{}{group}{}", if more { "x" } else { "" }, if more { "/" } else { "" })?;
        }
        if u64::from(width) < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

/// Joins the groups of three; [`Tile::parse`] checks the spelling by printing.
fn parse_index(path: &str) -> Option<u64> {
    let mut index: u64 = 0;
    for group in path.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::merkle::tests::Leaves;
    use crate::merkle::{LeafIndex, consistency, inclusion};

    /// TILE-4: one spelling of a path.
    #[test]
    fn tile_4_paths_have_one_spelling() {
        for (level, index, width, want) in [
            (0, 0, 256, "tile/0/000"),
            (0, 5, 1, "tile/0/005.p/1"),
            (1, 1000, 255, "tile/1/x001/000.p/255"),
            (63, 1_234_067, 256, "tile/63/x001/x234/067"),
            (0, u64::MAX, 256, "tile/0/x018/x446/x744/x073/x709/x551/615"),
        ] {
            let tile = Tile::new(level, index, width).expect("in range");
            assert_eq!(tile.path(), want);
            assert_eq!(Tile::parse(want), Some((tile, Resource::Hashes)));
        }
        for bad in [
            "tile/0/0",
            "tile/0/00",
            "tile/0/x000",
            "tile/0/1000",
            "tile/0/x001/67",
            "tile/0/001/067",
            "tile/0/x000/001",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000/",
            "tile/entries/000.p/256",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/+01",
            "/tile/0/000",
            "tile/0/../000",
            "tile/0/00\u{0661}",
            "tile/256/000",
            "tile/entries/0/000",
            "tile//000",
            "tile",
        ] {
            assert_eq!(Tile::parse(bad), None, "{bad}");
        }
        assert!(
            Tile::new(64, 0, 1).is_none() && Tile::new(0, 0, 0).is_none() && Tile::new(0, 0, 257).is_none()
        );
    }

    /// TILE-5: a tile wider than the tree is not in it.
    #[test]
    fn tile_5_a_tree_implies_its_tiles_and_no_wider() {
        let size = TreeSize::new(70_000);
        for (level, index, width, want) in [
            (0, 272, 256, true),
            (0, 273, 112, true),
            (0, 273, 111, true),
            (0, 273, 113, false),
            (0, 273, 256, false),
            (0, 274, 1, false),
            (1, 1, 17, true),
            (1, 1, 18, false),
            (2, 0, 1, true),
            (3, 0, 1, false),
            (8, 0, 1, false),
            (63, 0, 1, false),
            (0, u64::MAX, 1, false),
        ] {
            let tile = Tile::new(level, index, width).expect("in range");
            assert_eq!(tile.is_in(size), want, "{}", tile.path());
        }
        let tiles: Vec<String> = Tile::touched(TreeSize::new(65_536), size).map(Tile::path).collect();
        assert_eq!(tiles.len(), 18 + 1);
        assert_eq!(tiles[17], "tile/0/273.p/112");
        assert_eq!(tiles[18], "tile/1/001.p/17");
        assert_eq!(Tile::touched(TreeSize::EMPTY, size).count(), 274 + 2 + 1);
        assert_eq!(Tile::touched(size, size).count(), 0);
    }

    #[test]
    fn an_edge_makes_the_tiles_that_prove_everything() {
        let leaves = Leaves::new(70_000);
        let mut edge = Edge::new();
        let mut full = HashMap::new();
        for (at, hash) in leaves.0.iter().enumerate() {
            if at < 600 || at % 6_999 == 0 {
                assert_eq!(edge.root(), root_of(&leaves.0[..at]), "size {at}");
            }
            edge.append(*hash, |tile, hashes| {
                assert!(full.insert((tile.level, tile.index), hashes.to_vec()).is_none());
            });
        }
        assert_eq!(full.len(), 273 + 1);
        let size = edge.size();
        let again = Edge::from_levels(size, (0..3).map(|level| edge.level(level).to_vec()).collect());
        assert_eq!(again.as_ref(), Some(&edge));
        let reader = TileHashReader::new(size, |tile: Tile| {
            let hashes = full.get(&(tile.level, tile.index)).map_or(edge.level(tile.level), Vec::as_slice);
            Ok::<_, std::convert::Infallible>(hashes[..usize::from(tile.width)].to_vec())
        });
        let root = edge.root();
        for index in (0..70_000).step_by(997).chain([255, 256, 65_535, 65_536, 69_999]) {
            let index = LeafIndex::new(index);
            let Ok(proof) = inclusion::prove(&reader, index, size);
            assert_eq!(
                inclusion::verify(&leaves.0[index.get() as usize], index, size, &proof, &root),
                Ok(())
            );
        }
        for old in [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 69_999, 70_000] {
            let old_root = root_of(&leaves.0[..old as usize]);
            let Ok(proof) = consistency::prove(&reader, TreeSize::new(old), size);
            assert_eq!(consistency::verify(TreeSize::new(old), size, &proof, &old_root, &root), Ok(()));
        }
    }
}
