//! Tiles and bundles (TILE as far as a format can keep it; S15).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use serde::Deserialize;
use testkit::tree::{Tree, entry};
use testkit::vectors::{self, hash};
use tlog::merkle::{HashReader as _, Node, consistency, inclusion, leaf_hash};
use tlog::tile::{
    Edge, InTile, Resource, TILE_WIDTH, Tile, TileHashReader, TileTree, hashes_at, parse_hashes,
};
use tlog::{Hash, LeafIndex, TreeSize, bundle};

#[derive(Deserialize)]
struct Vectors {
    trees: Vec<TreeOfTiles>,
    index_paths: Vec<IndexPath>,
    bad_paths: Vec<String>,
}

#[derive(Deserialize)]
struct TreeOfTiles {
    size: u64,
    root: String,
    tiles_first_last_partial: Option<Vec<TileCase>>,
    last_entry_bundle: Option<BundleCase>,
}

#[derive(Deserialize)]
struct TileCase {
    level: u8,
    index: u64,
    width: u16,
    path: String,
    len: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct BundleCase {
    path: String,
    width: u16,
    len: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct IndexPath {
    index: u64,
    encoded: String,
}

/// A log that keeps what an [`Edge`] hands out, as a server does.
#[derive(Default)]
struct Log {
    edge: Edge,
    full: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Log {
    fn grow_to(&mut self, size: u64) {
        let Self { edge, full } = self;
        for i in edge.size().get()..size {
            edge.append(leaf_hash(&entry(i)), |tile, hashes| {
                let before = full.insert((tile.level(), tile.index()), hashes.to_vec());
                assert!(before.is_none() && tile.is_full(), "{}", tile.path());
            });
        }
    }

    fn tile(&self, tile: Tile) -> Vec<Hash> {
        let hashes = self.full.get(&(tile.level(), tile.index()));
        let hashes = hashes.map_or(self.edge.level(tile.level()), Vec::as_slice);
        hashes[..usize::from(tile.width())].to_vec()
    }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn bundle_under(tile: Tile) -> Vec<u8> {
    let mut bytes = Vec::new();
    let first = tile.index() * TILE_WIDTH;
    (first..first + u64::from(tile.width())).for_each(|i| bundle::push(&mut bytes, &entry(i)));
    bytes
}

#[test]
fn tile_2_tile_3_all_20_trees_have_these_roots_tiles_and_bundles() {
    let vectors: Vectors = vectors::ours("tlog_tiles.json");
    let mut log = Log::default();
    for case in &vectors.trees {
        log.grow_to(case.size);
        let size = TreeSize::new(case.size);
        assert_eq!(log.edge.root(), hash(&case.root), "size {size}");
        let tiles: Vec<Tile> = Tile::touched(TreeSize::EMPTY, size).collect();
        // Of each level: the first tile, the last full one, the partial one.
        let mut listed: BTreeSet<Tile> = BTreeSet::new();
        for level in 0..=2 {
            let of_level = || tiles.iter().filter(|tile| tile.level() == level);
            listed.extend(of_level().next());
            listed.extend(of_level().rfind(|tile| tile.is_full()));
            listed.extend(of_level().find(|tile| !tile.is_full()));
        }
        let wanted = case.tiles_first_last_partial.as_deref().unwrap_or_default();
        assert_eq!(listed.len(), wanted.len(), "size {size}");
        for (tile, want) in listed.into_iter().zip(wanted) {
            let same = Tile::new(want.level, want.index, want.width).expect("in range");
            assert_eq!((tile, tile.path()), (same, want.path.clone()), "size {size}");
            let bytes = bytes(&log.tile(tile));
            assert_eq!((bytes.len(), Hash::of(&bytes).to_string()), (want.len, want.sha256.clone()));
            assert_eq!(parse_hashes(tile, &bytes), Some(log.tile(tile)));
            assert!(tile.is_in(size));
        }
        let Some(want) = &case.last_entry_bundle else { continue };
        let last = tiles.iter().rfind(|tile| tile.level() == 0).expect("a tree has leaves");
        assert_eq!((last.entries_path(), last.width()), (want.path.clone(), want.width));
        let bytes = bundle_under(*last);
        assert_eq!((bytes.len(), Hash::of(&bytes).to_string()), (want.len, want.sha256.clone()));
    }
    assert_eq!(vectors.trees.len(), 20);
}

/// Each complete subtree of a tree, found in its tile.
#[test]
fn tile_2_tiles_have_every_node_of_a_tree() {
    let (mut log, tree) = (Log::default(), Tree::new(1_000));
    for size in [1, 2, 255, 256, 257, 1_000] {
        log.grow_to(size);
        for level in 0..10 {
            for index in 0..size >> level {
                let node = Node { level, index };
                let at = InTile::of(node, TreeSize::new(size));
                let in_tile = TileTree::new(log.tile(at.tile)).get(at.height, at.index);
                let Ok(want) = tree.read_hashes(&[node]);
                assert_eq!(in_tile, Some(want[0]), "{node:?} of {size}");
            }
        }
    }
}

#[test]
fn tile_3_every_bundle_hashes_to_its_tile_and_has_nothing_else() {
    let mut log = Log::default();
    log.grow_to(1_000);
    for tile in Tile::touched(TreeSize::EMPTY, TreeSize::new(1_000)).filter(|tile| tile.level() == 0) {
        let mut bytes = bundle_under(tile);
        let entries = bundle::parse(&bytes).expect("a bundle");
        let hashes: Vec<Hash> = entries.into_iter().map(leaf_hash).collect();
        assert_eq!(hashes, log.tile(tile), "{}", tile.entries_path());
        bytes.push(0);
        assert!(bundle::parse(&bytes).is_err());
    }
}

#[test]
fn tile_4_paths_of_the_vectors() {
    let vectors: Vectors = vectors::ours("tlog_tiles.json");
    for case in &vectors.index_paths {
        for (suffix, width) in [("", 256), (".p/7", 7)] {
            let tile = Tile::new(1, case.index, width).expect("in range");
            assert_eq!(tile.path(), format!("tile/1/{}{suffix}", case.encoded));
            assert_eq!(Tile::parse(&tile.path()), Some((tile, Resource::Hashes)));
            let entries = Tile::new(0, case.index, width).expect("in range");
            assert_eq!(entries.entries_path(), format!("tile/entries/{}{suffix}", case.encoded));
            assert_eq!(Tile::parse(&entries.entries_path()), Some((entries, Resource::Entries)));
        }
    }
    for bad in &vectors.bad_paths {
        assert_eq!(Tile::parse(bad), None, "{bad}");
    }
    assert_eq!((vectors.index_paths.len(), vectors.bad_paths.len()), (8, 18));
}

#[test]
fn tile_4_s15_paths_that_lead_elsewhere_are_no_paths() {
    for bad in [
        "",
        "/",
        ".",
        "..",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/../0/000",
        "tile/0/../../etc/passwd",
        "tile/0/%2e%2e/000",
        "tile%2f0%2f000",
        "tile//0/000",
        "tile/0//000",
        "//tile/0/000",
        "./tile/0/000",
        "\\tile\\0\\000",
        "tile/0/000\0",
        "tile/0/\0",
        "tile/0/000\n",
        "tile/0/000 ",
        " tile/0/000",
        "tile/0/000?x",
        "tile/0/000#x",
        "tile/0/x-01/000",
        "tile/0/-01",
        "tile/0/+01",
        "tile/0/0x1",
        "tile/0/X001/000",
        "tile/0/xx01/000",
        "tile/0/x001x/000",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/x000/000",
        "tile/0/x000/x000/001",
        "tile/1000/000",
        "tile/18446744073709551616/000",
        "tile/+0/000",
        "tile/0 /000",
        "tile/0/000.p/257",
        "tile/0/000.p/-1",
        "tile/0/000.p/+1",
        "tile/0/000.p/65537",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/0/000.p//1",
        "tile/0/.p/1",
        "tile/0/x001.p/1/000",
        "tile/Entries/000",
        "tile/entries",
        "tile/entries/../000",
        "tile/entries/000.p/0",
        "tile/0/٠٠٠",
        "tile/０/000",
    ] {
        assert_eq!(Tile::parse(bad), None, "{bad:?}");
    }
    let deep = format!("tile/0/{}000", "x000/".repeat(100_000));
    assert_eq!(Tile::parse(&deep), None);
}

/// Every tile of every small tree, counted from the definition: at level `l` a tree of size `s` has
/// `s / 256^l` hashes.
#[test]
fn tile_5_a_tree_implies_no_wider_tile() {
    for size in (0..2_000).step_by(97).chain([255, 256, 257, 511, 512, 65_535, 65_536, 65_537]) {
        let tree = TreeSize::new(size);
        for (level, span) in [(0, 1), (1, 256), (2, 65_536)] {
            let hashes = size / span;
            assert_eq!(hashes_at(level, tree), hashes);
            for index in [0, 1, 2, hashes / 256, hashes / 256 + 1] {
                let wanted = hashes.saturating_sub(index * 256).min(256);
                for width in 1..=256 {
                    let tile = Tile::new(level, index, width).expect("in range");
                    assert_eq!(tile.is_in(tree), u64::from(width) <= wanted, "{} in {size}", tile.path());
                }
            }
        }
        assert!(Tile::touched(TreeSize::EMPTY, tree).all(|tile| tile.is_in(tree)));
    }
}

/// A client asks for tiles that its checkpoint implies, each as wide as that has it, each once.
#[test]
fn tile_5_a_reader_asks_for_implied_tiles_only() {
    let mut log = Log::default();
    log.grow_to(70_000);
    for size in [1, 255, 256, 257, 65_536, 65_537, 70_000].map(TreeSize::new) {
        let implied: BTreeSet<Tile> = Tile::touched(TreeSize::EMPTY, size).collect();
        for index in [0, size.get() / 2, size.get() - 1].map(LeafIndex::new) {
            let asked = RefCell::new(BTreeSet::new());
            let reader = TileHashReader::new(size, |tile| {
                assert!(implied.contains(&tile) && asked.borrow_mut().insert(tile), "{}", tile.path());
                Ok::<_, Infallible>(log.tile(tile))
            });
            let Ok(_) = inclusion::prove(&reader, index, size);
        }
    }
}

/// A partial tile may be gone once the full one is there: its first hashes are the same, so whoever
/// holds the old checkpoint proves all that it says from the newer tiles.
#[test]
fn tile_6_tile_8_a_full_tile_serves_an_old_checkpoint() {
    let mut log = Log::default();
    let sizes = [1, 100, 255, 256, 300, 511, 512, 513, 65_535, 65_540];
    let roots = sizes.map(|size| {
        log.grow_to(size);
        log.edge.root()
    });
    log.grow_to(66_000);
    for (old, old_root) in sizes.into_iter().zip(roots) {
        let size = TreeSize::new(old);
        let reader = TileHashReader::new(size, |tile: Tile| {
            let full = log.full.get(&(tile.level(), tile.index()));
            let hashes = full.cloned().unwrap_or_else(|| log.tile(tile));
            Ok::<_, Infallible>(hashes[..usize::from(tile.width())].to_vec())
        });
        assert_eq!(tlog::merkle::root(&reader, size), Ok(old_root), "size {size}");
        for index in [0, old / 3, old - 1] {
            let (leaf, index) = (leaf_hash(&entry(index)), LeafIndex::new(index));
            let Ok(proof) = inclusion::prove(&reader, index, size);
            assert_eq!(inclusion::verify(&leaf, index, size, &proof, &old_root), Ok(()));
        }
        for (older, older_root) in sizes.map(TreeSize::new).into_iter().zip(roots).filter(|(s, _)| *s <= size)
        {
            let Ok(proof) = consistency::prove(&reader, older, size);
            assert_eq!(consistency::verify(older, size, &proof, &older_root, &old_root), Ok(()));
        }
    }
}

/// What a growth touches is new or was partial: a full tile is written once. In any steps, the widest
/// of what was touched is what the tree implies.
#[test]
fn tile_8_a_growth_touches_no_full_tile() {
    let tree = Tree::new(2_000);
    for step in [1, 7, 255, 256, 257, 1_999] {
        let mut widest: BTreeMap<(u8, u64), u16> = BTreeMap::new();
        let sizes: Vec<u64> = (0..2_000).step_by(step).chain([2_000]).collect();
        for pair in sizes.windows(2) {
            for tile in Tile::touched(TreeSize::new(pair[0]), TreeSize::new(pair[1])) {
                let before = widest.insert((tile.level(), tile.index()), tile.width());
                assert!(before < Some(tile.width()), "{} from {} to {}", tile.path(), pair[0], pair[1]);
            }
        }
        let tiles = Tile::touched(TreeSize::EMPTY, TreeSize::new(2_000));
        assert!(tiles.map(|tile| ((tile.level(), tile.index()), tile.width())).eq(widest));
    }
    let mut log = Log::default();
    log.grow_to(2_000);
    assert_eq!(log.edge.root(), tree.root(2_000));
}

#[test]
fn tile_11_entries_of_0_1_and_65_535_bytes_work() {
    let entries = [vec![], vec![1], vec![7; bundle::MAX_ENTRY_BYTES]];
    let mut bytes = Vec::new();
    entries.iter().for_each(|entry| bundle::push(&mut bytes, entry));
    assert_eq!(bundle::parse(&bytes), Ok(entries.iter().map(Vec::as_slice).collect()));
    let longer =
        std::panic::catch_unwind(|| bundle::push(&mut Vec::new(), &[0; bundle::MAX_ENTRY_BYTES + 1]));
    assert!(longer.is_err());
}

#[test]
fn tile_12_the_empty_tree_has_no_tiles() {
    assert_eq!(Tile::touched(TreeSize::EMPTY, TreeSize::EMPTY).count(), 0);
    for level in 0..=63 {
        assert!(!Tile::new(level, 0, 1).expect("in range").is_in(TreeSize::EMPTY));
    }
    assert_eq!(Edge::new().root(), tlog::merkle::empty_root());
}

/// Levels that cannot be those of the size they are stored with.
#[test]
fn tile_2_an_edge_that_does_not_fit_its_size_is_refused() {
    let hashes =
        |counts: &[usize]| counts.iter().map(|count| vec![Hash::of(b"x"); *count]).collect::<Vec<_>>();
    for (size, counts, want) in [
        (0, &[][..], true),
        (0, &[0], true),
        (0, &[1], false),
        (300, &[44, 1], true),
        (300, &[44], false),
        (300, &[44, 1, 0], true),
        (300, &[44, 1, 1], false),
        (300, &[300], false),
        (256, &[0, 1], true),
        (256, &[256], false),
        (u64::MAX, &[255; 8], true),
        (u64::MAX, &[255; 7], false),
        (0, &[0; 300], false),
    ] {
        let edge = Edge::from_levels(TreeSize::new(size), hashes(counts));
        assert_eq!(edge.is_some(), want, "{size}, {} levels", counts.len());
    }
}
