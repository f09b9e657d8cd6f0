//! Damage to the files of a store, told by reading them before RocksDB does.
//!
//! RocksDB takes what it cannot read of a write-ahead log for the end of it, and an open that may write drops the rest
//! for good. So whoever opens a store to write looks here first, and changes nothing if anything is found.

use std::path::Path;
use std::{fs, io};

use service::wal;

use super::StoreError;

/// What is damaged in the store at `db`: a sentence for each file. What a crash alone leaves is none.
pub(crate) fn examine(db: &Path) -> Result<Vec<String>, StoreError> {
    let unreadable = |e: io::Error| StoreError::of_disk("read its files", &e);
    if let Some(sentence) = current(db).map_err(unreadable)?.err() {
        return Ok(vec![sentence]);
    }
    let unsound = wal::unsound(db).map_err(unreadable)?;
    Ok(unsound.iter().filter(|file| !file.is_torn()).map(ToString::to_string).collect())
}

/// The name of the manifest, or what is wrong with the file that names it.
pub(crate) fn current(db: &Path) -> io::Result<Result<String, String>> {
    let path = db.join("CURRENT");
    let text = match fs::read(&path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        // A store that is not there is another matter.
        Err(e) if e.kind() == io::ErrorKind::NotFound && db.is_dir() => {
            return Ok(Err(format!("`{}` is missing", path.display())));
        }
        Err(e) => return Err(e),
    };
    let name = text.strip_suffix('\n').filter(|name| manifest(name).is_some());
    Ok(match name {
        Some(name) if db.join(name).is_file() => Ok(name.to_owned()),
        _ => Err(format!("`{}` is damaged: it names no manifest that is there", path.display())),
    })
}

/// The number of a manifest, by its name.
pub(crate) fn manifest(name: &str) -> Option<u64> {
    let number = name.strip_prefix("MANIFEST-")?;
    number.bytes().all(|digit| digit.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}
