//! Files that only grow, and that count as far as the state says: what lies behind was written by a round that did
//! not end, and its entries are checked again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::Failure;

/// Opens the record at `path` and cuts it to its first `length` bytes. `hint` says what to do if some of those are
/// gone.
pub(super) fn open(path: &Path, length: u64, hint: &str) -> Result<File, Failure> {
    let cannot = |e: io::Error| Failure::new(format!("cannot use `{}`", path.display())).caused_by(e);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(cannot)?;
    let there = file.metadata().map_err(cannot)?.len();
    if there < length {
        let what = format!("`{}` has {there} bytes, the state says {length}", path.display());
        return Err(Failure::new(what).hint(hint));
    }
    file.set_len(length).and_then(|()| file.sync_all()).map_err(cannot)?;
    Ok(file)
}
