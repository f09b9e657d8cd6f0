//! Where a log's entries are besides its directory: a backup, a mirror, the log itself as it is published.

use std::path::Path;

use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::tile::Tile;

use crate::Failure;
use log_core::port::StoredEnvelope;

pub(crate) mod published;
pub(crate) mod stored;

/// Reads the tree of one checkpoint. The caller checks what it answers.
pub(crate) trait Source: Entries {
    /// The hashes of a tile of the tree, as many as its width.
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Failure>;
}

/// Reads what was logged.
pub(crate) trait Entries: Sync {
    /// The leaves `from..to`, at most a few thousand.
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Failure>;

    /// What is known of each envelope, at most 256. The bytes of one that is present have the hash that was
    /// asked for, so that they are its canonical bytes.
    fn envelopes(&self, hashes: &[Hash]) -> Result<Vec<Option<StoredEnvelope>>, Failure>;
}

/// A source, and what it holds.
pub(crate) struct Opened<S = Box<dyn Source>> {
    /// The source.
    pub(crate) source: S,
    /// The checkpoint of its tree, signed by the log.
    pub(crate) held: Checkpoint,
    /// The note that was published last, as far as the source knows; signed by the log.
    pub(crate) published: Option<Note>,
}

/// Opens what `from` names: a URL, the folder of a mirror, a backup or another directory of the log of `key`.
pub(crate) fn open(from: &str, key: &VerifierKey) -> Result<Opened, Failure> {
    if from.starts_with("http://") || from.starts_with("https://") {
        return published::open(published::Place::url(from)?, key);
    }
    let folder = Path::new(from);
    if folder.join("db").is_dir() {
        stored::open(folder, key)
    } else if folder.join("checkpoint").is_file() {
        published::open(published::Place::Folder(folder.to_owned()), key)
    } else {
        Err(Failure::new(format!("`{from}` is no source of a log"))
            .hint("name the URL of a mirror, a folder with its `checkpoint` and `tile/`, or a backup"))
    }
}

/// Reads a checkpoint that must be signed by `key` and be of the log that is called like it.
pub(crate) fn open_checkpoint(note: &[u8], key: &VerifierKey) -> Result<Checkpoint, String> {
    open_note(note, key).map(|(checkpoint, _)| checkpoint)
}

/// As [`open_checkpoint`], with the note.
fn open_note(note: &[u8], key: &VerifierKey) -> Result<(Checkpoint, Note), String> {
    let note = Note::parse(note).map_err(|e| e.to_string())?;
    let keys = [key.clone()];
    if note.verify(&keys).map_err(|e| e.to_string())?.is_empty() {
        return Err(format!("it is not signed by {}", key.name()));
    }
    let checkpoint = Checkpoint::parse(note.text()).map_err(|e| e.to_string())?;
    if checkpoint.origin != key.name().as_str() {
        return Err(format!("it is of the log `{}`", checkpoint.origin));
    }
    Ok((checkpoint, note))
}

fn damaged(object: &str, cause: impl std::fmt::Display) -> Failure {
    Failure::no(format!("damaged: {object} of the source: {cause}"))
}
