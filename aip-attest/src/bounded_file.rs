//! Files that somebody else wrote, read to a bound.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a file that must not be longer than `limit`.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A folder opens like a file.
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// As [`read_bounded`], of a file that was found and not named: a pipe that somebody put there would be waited
/// for, for ever.
pub(crate) fn read_found(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    match path.metadata()?.is_file() {
        true => read_bounded(path, limit),
        false => Err(io::Error::other("it is not a regular file")),
    }
}
