//! Reads a log with the crates `signed_note` and `tlog_tiles` alone, and checks that checkpoint, tiles and entries agree.
//!
//! Usage: read_log SCENE. On success it prints what was checked.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, EMPTY_HASH, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, stored_hash_index, stored_hashes, tree_hash,
};

const TILE_HEIGHT: u8 = 8;
const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let scene = std::env::args().nth(1).expect("usage: read_log SCENE");
    match check_scene(Path::new(&scene)) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check_scene(scene: &Path) -> Result<String> {
    let text = |name: &str| fs::read_to_string(scene.join(name)).map(|text| text.trim().to_owned());
    let (vkey, url, altered) = (text("vkey")?, text("url")?, text("altered")?);

    let log = read_log(&url, &vkey)?;
    let reader = Tiles(url);
    let hashes = TileHashReader::new(log.checkpoint.size(), *log.checkpoint.hash(), &reader);
    check_inclusion(&log, &hashes)?;

    let mut served = 0;
    for file in fs::read_dir(scene.join("checkpoints"))? {
        let older = open_checkpoint(&fs::read(file?.path())?, &vkey)?;
        check_consistency(&older, &log.checkpoint, &hashes)?;
        served += 1;
    }

    read_log(&format!("{altered}/nothing"), &vkey)?;
    for what in ["checkpoint", "tile", "entries"] {
        if read_log(&format!("{altered}/{what}"), &vkey).is_ok() {
            return Err(format!("a log with an altered {what} was accepted").into());
        }
    }
    Ok(format!(
        "checkpoint verified, all level-0 tiles read and root recomputed at size {}, {} entries proven included, {served} served \
         checkpoints consistent with it; altered checkpoint, tile, entry, proof refused",
        log.checkpoint.size(),
        log.entries.len(),
    ))
}

struct Log {
    checkpoint: Checkpoint,
    entries: Vec<Vec<u8>>,
}

/// Reads everything, and recomputes the root twice: from the tiles, and from the entries alone.
fn read_log(url: &str, vkey: &str) -> Result<Log> {
    let checkpoint = open_checkpoint(&get(url, "checkpoint")?, vkey)?;
    let reader = Tiles(url.to_owned());
    let tiles = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &reader);
    let entries = read_entries(url, checkpoint.size())?;
    if tree_hash(checkpoint.size(), &tiles)? != *checkpoint.hash() || root_of(&entries)? != *checkpoint.hash()
    {
        return Err("the root of the checkpoint is not that of its tiles and of its entries".into());
    }
    let leaf_indexes: Vec<u64> = (0..checkpoint.size()).map(|index| stored_hash_index(0, index)).collect();
    let leaves = tiles.read_hashes(&leaf_indexes)?;
    if entries.iter().zip(leaves).any(|(entry, leaf)| record_hash(entry) != leaf) {
        return Err("an entry does not hash to its place in the level-0 tile".into());
    }
    Ok(Log { checkpoint, entries })
}

fn check_inclusion(log: &Log, hashes: &impl HashReader) -> Result<()> {
    let (size, root) = (log.checkpoint.size(), *log.checkpoint.hash());
    for (index, entry) in (0..).zip(&log.entries) {
        let (proof, leaf) = (prove_record(size, index, hashes)?, record_hash(entry));
        check_record(&proof, size, root, index, leaf)?;
        if check_record(&proof, size, root, index, flipped(leaf)).is_ok()
            || check_record(&proof, size, flipped(root), index, leaf).is_ok()
            || (index ^ 1 < size && check_record(&proof, size, root, index ^ 1, leaf).is_ok())
        {
            return Err(format!("entry {index}: an altered proof was accepted").into());
        }
    }
    Ok(())
}

fn check_consistency(older: &Checkpoint, newer: &Checkpoint, hashes: &impl HashReader) -> Result<()> {
    let proof = prove_tree(newer.size(), older.size(), hashes)?;
    check_tree(&proof, newer.size(), *newer.hash(), older.size(), *older.hash())?;
    if check_tree(&proof, newer.size(), *newer.hash(), older.size(), flipped(*older.hash())).is_ok() {
        return Err(format!("size {}: another root was accepted", older.size()).into());
    }
    Ok(())
}

fn open_checkpoint(signed: &[u8], vkey: &str) -> Result<Checkpoint> {
    let note = Note::from_bytes(signed)?;
    let verifier = StandardVerifier::new(vkey)?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)]))?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    let origin = vkey.split('+').next().unwrap_or_default();
    if checkpoint.origin() != origin
        || !checkpoint.extension().is_empty()
        || checkpoint.to_bytes() != note.text()
    {
        return Err(format!("not a checkpoint of {origin} without extensions").into());
    }
    Ok(checkpoint)
}

struct Tiles(String);

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        TILE_HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> std::result::Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        tiles
            .iter()
            .map(|tile| {
                get(&self.0, &c2sp_path(tile))
                    .map_err(|error| tlog_tiles::Error::InvalidInput(error.to_string()))
            })
            .collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The crate writes the paths of the Go checksum database: C2SP leaves out the tile height and says "entries" for "data".
fn c2sp_path(tile: &Tile) -> String {
    let path = tile.path();
    let rest = path.strip_prefix("tile/8/").expect("tiles of height 8");
    match rest.strip_prefix("data/") {
        Some(number) => format!("tile/entries/{number}"),
        None => format!("tile/{rest}"),
    }
}

fn read_entries(url: &str, size: u64) -> Result<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    for number in 0..size.div_ceil(TILE_WIDTH) {
        let width = u32::try_from((size - number * TILE_WIDTH).min(TILE_WIDTH))?;
        let bundle = get(url, &c2sp_path(&Tile::new(TILE_HEIGHT, 0, number, width, true)))?;
        let mut rest = bundle.as_slice();
        for _ in 0..width {
            let (length, after) = rest.split_first_chunk::<2>().ok_or("an entry bundle ends early")?;
            let (entry, after) = after
                .split_at_checked(u16::from_be_bytes(*length).into())
                .ok_or("an entry bundle ends early")?;
            entries.push(entry.to_vec());
            rest = after;
        }
        if !rest.is_empty() {
            return Err("an entry bundle has bytes too many".into());
        }
    }
    Ok(entries)
}

/// Hashes the entries into a tree of their own.
fn root_of(entries: &[Vec<u8>]) -> Result<Hash> {
    let mut stored = Stored(Vec::new());
    for (index, entry) in (0..).zip(entries) {
        let added = stored_hashes(index, entry, &stored)?;
        stored.0.extend(added);
    }
    if entries.is_empty() { Ok(EMPTY_HASH) } else { Ok(tree_hash(entries.len() as u64, &stored)?) }
}

struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> std::result::Result<Vec<Hash>, tlog_tiles::Error> {
        indexes
            .iter()
            .map(|&index| self.0.get(index as usize).copied().ok_or(tlog_tiles::Error::IndexesNotInTree))
            .collect()
    }
}

fn get(url: &str, path: &str) -> Result<Vec<u8>> {
    Ok(ureq::get(format!("{url}/{path}")).call()?.body_mut().read_to_vec()?)
}

fn flipped(mut hash: Hash) -> Hash {
    hash.0[0] ^= 1;
    hash
}
