//! What lies at a path: the one thing that the choice of files asks the world.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Somewhere that paths lead to.
pub(super) trait Disk {
    /// What lies at `path`; a link is followed.
    fn look(&self, path: &Path) -> Seen;

    /// What lies in a folder, sorted by name.
    fn list(&self, folder: &Path) -> io::Result<Vec<(OsString, Kind)>>;

    /// The path of a file with its name as its folder lists it: a statement is read on other systems, where `APP.exe`,
    /// `app.exe.` and `APP~1.EXE` are not `app.exe`.
    fn as_listed(&self, path: &Path) -> PathBuf;

    /// The path of `path` without links.
    fn real(&self, path: &Path) -> io::Result<PathBuf>;
}

/// What lies at a path.
#[derive(Debug)]
pub(super) enum Seen {
    File,
    Folder,
    /// A pipe, a device, a socket: it has no content to come back to.
    Special,
    /// A link that leads nowhere, or to itself.
    BrokenLink,
    Nothing,
    Unreadable(io::Error),
}

/// What an entry of a folder is, before a link is followed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    Folder,
    Link,
    /// A file, or something special.
    Other,
}

/// The file system.
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn look(&self, path: &Path) -> Seen {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Seen::Folder,
            Ok(metadata) if metadata.is_file() => Seen::File,
            Ok(_) => Seen::Special,
            Err(_) if path.is_symlink() => Seen::BrokenLink,
            Err(error) if is_no_name(&error) => Seen::Nothing,
            Err(error) => Seen::Unreadable(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(OsString, Kind)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match () {
                () if kind.is_dir() => Kind::Folder,
                () if kind.is_symlink() => Kind::Link,
                () => Kind::Other,
            };
            entries.push((entry.file_name(), kind));
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn as_listed(&self, path: &Path) -> PathBuf {
        // The name of a link is its own, not that of what it leads to.
        let knows_other_names = cfg!(windows) && !path.is_symlink();
        let real = knows_other_names.then(|| fs::canonicalize(path).ok()).flatten();
        let name = real.as_deref().and_then(Path::file_name);
        name.map_or_else(|| path.to_path_buf(), |name| path.with_file_name(name))
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}

/// Whether nothing can have this name: a long pattern is no path.
fn is_no_name(error: &io::Error) -> bool {
    let kinds =
        [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::InvalidFilename, ErrorKind::InvalidInput];
    kinds.contains(&error.kind())
}
