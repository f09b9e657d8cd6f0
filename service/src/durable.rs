//! Files that are there after a crash, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Makes a file that is not there yet. Durable once the folder is synced.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts `bytes` at `path`, durably: a crash leaves the old content or the new, never half of one. One writer a path. Who
/// may read what is there may read the new one, whatever the umask of this process.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_added_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    match fs::metadata(path) {
        Ok(old) => file.set_permissions(old.permissions())?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => (),
        // Nobody knows who may read it.
        Err(e) => return Err(e),
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// Makes a rename or a new file in `path`'s folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by failing each call of a log's round: the new record had the rights of the umask.
    #[test]
    fn where_nobody_knows_who_may_read_it_nothing_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("record");
        replace(&path, b"one").expect("a new file");
        replace(&path, b"two").expect("a file in its place");
        assert_eq!(fs::read(&path).expect("a file"), b"two");
        // A link to itself: its rights cannot be read, and that is not the same as a file that is not there.
        let endless = folder.path().join("endless");
        std::os::unix::fs::symlink(&endless, &endless).expect("a link");
        assert!(replace(&endless, b"three").is_err());
        assert!(endless.is_symlink(), "what was there is there");
    }
}
