//! Files that are there whole or not at all, and still there after a power cut.
//!
//! A file is written under another name in its own folder, synced, renamed, and its folder synced: a crash
//! leaves the old file or the new one. The other name begins with a dot and ends in [`TEMPORARY`], so that
//! no pattern takes what a crash leaves behind, and nobody looks for a receipt there. A folder that is named has it.
//!
//! Windows has neither mode bits nor a way to sync a folder: a file there has the access rights of its folder, and a
//! rename that was answered may be undone by a power cut, which leaves the old file whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::platform::Platform;
use crate::report::{Failure, Result};

mod swap;

pub(crate) use swap::{Disk, Swapped, stage_all, sync_folders, take};

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readers {
    /// Its owner: 0600, from the first byte.
    Owner,
    /// Whoever the umask lets.
    Everyone,
}

/// What the names of unfinished files end in.
pub(crate) const TEMPORARY: &str = ".aip-tmp";

/// Puts `bytes` at `path`, durably. Makes the folders above it. A symlink stays one, and what it names is written.
///
/// A pipe or a device is written into as it is, and keeps its name; what is for its owner only is refused there.
pub(crate) fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<()> {
    let path = &named_by(path).map_err(|source| cannot_write(path).caused_by(source))?;
    // Only a file, or nothing at all, gives its name to another one. A folder says so itself.
    if path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        if readers == Readers::Owner {
            return Err(cannot_write(path).because("it is not a regular file"));
        }
        let written = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes));
        return written.map_err(|source| cannot_write(path).caused_by(source));
    }
    let folder = folder_of(path);
    create_folder(folder, readers)?;
    let temporary = temporary_name(path)?;
    let written = write_and_rename(&temporary, path, bytes, readers);
    if written.is_err() {
        // The error that matters is the first.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(folder)).map_err(|source| cannot_write(path).caused_by(source))
}

/// Puts `bytes` at `path` as [`write()`] does, where nothing is: of several that try at once exactly one does, and
/// the others get `false` and have changed nothing.
pub(crate) fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> Result<bool> {
    write_new_by(|from, to| fs::hard_link(from, to), path, bytes, readers)
}

fn write_new_by(
    link: impl Fn(&Path, &Path) -> io::Result<()>,
    path: &Path,
    bytes: &[u8],
    readers: Readers,
) -> Result<bool> {
    let folder = folder_of(path);
    create_folder(folder, readers)?;
    let temporary = temporary_name(path)?;
    // Unlike a rename, a second name for a file is refused where the name is taken.
    let written = write_synced(&temporary, bytes, readers).and_then(|()| match link(&temporary, path) {
        // A medium without second names, such as a FAT stick. A crash now may leave the beginning of the file.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_in_place(path, bytes, readers),
        linked => linked,
    });
    let _ = fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        written => written
            .and_then(|()| sync_folder(folder))
            .map(|()| true)
            .map_err(|source| cannot_write(path).caused_by(source)),
    }
}

/// Moves the file at `path` to the first of `names` that is free, durably, and answers which; `None` if there is no
/// file any more. Several at once never move one file over another.
pub(crate) fn set_aside(path: &Path, mut names: impl Iterator<Item = PathBuf>) -> Result<Option<PathBuf>> {
    let cannot = |source| Failure::new(format!("cannot move `{}` away", path.display())).caused_by(source);
    let to = loop {
        let Some(name) = names.next() else {
            return Err(cannot(io::Error::other("there is no name left for it")));
        };
        // An empty file holds the name, and is the one that is renamed over.
        match create_new(&name, Readers::Owner) {
            Ok(_) => break name,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(error)),
        }
    };
    match rename(path, &to) {
        Ok(()) => sync_folder(folder_of(&to)).map(|()| Some(to)).map_err(cannot),
        Err(error) => {
            let _ = fs::remove_file(&to);
            if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(cannot(error)) }
        }
    }
}

/// Puts `bytes` in the place of the file at `path`, which is kept under the first of `names` that is free; answers which,
/// `None` if nothing was there. At any moment there is a whole file at `path`: the old one, then the new one. A symlink is
/// replaced by a file, and is what is kept.
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    readers: Readers,
    names: impl Iterator<Item = PathBuf>,
) -> Result<Option<PathBuf>> {
    let folder = folder_of(path);
    create_folder(folder, readers)?;
    let temporary = temporary_name(path)?;
    let replaced = write_synced(&temporary, bytes, readers)
        .map_err(|source| cannot_write(path).caused_by(source))
        .and_then(|()| keep(path, names))
        .and_then(|kept| {
            rename(&temporary, path)
                .and_then(|()| sync_folder(folder))
                .map(|()| kept)
                .map_err(|source| cannot_write(path).caused_by(source))
        });
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// Gives the file at `path` a second name, durably.
fn keep(path: &Path, mut names: impl Iterator<Item = PathBuf>) -> Result<Option<PathBuf>> {
    let cannot = |source| Failure::new(format!("cannot keep `{}`", path.display())).caused_by(source);
    loop {
        let name = names.next().ok_or_else(|| cannot(io::Error::other("there is no name left for it")))?;
        match fs::hard_link(path, &name) {
            Ok(()) => {
                // Whoever wrote it may not have waited for the disk. What cannot be opened is synced by nobody.
                let _ = File::open(&name).and_then(|file| file.sync_all());
                return sync_folder(folder_of(path)).map(|()| Some(name)).map_err(cannot);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A medium without second names: a crash now leaves it under the other name alone.
            Err(_) => return set_aside(path, std::iter::once(name).chain(names)),
        }
    }
}

/// Makes a folder and those above it; those it makes for [`Readers::Owner`] are 0700.
pub(crate) fn create_folder(folder: &Path, readers: Readers) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    #[cfg(not(unix))]
    let _ = readers;
    builder.create(folder).map_err(|source| {
        Failure::new(format!("cannot make the folder `{}`", folder.display())).caused_by(source)
    })
}

/// What `path` names, through every symlink; it need not be there.
pub(crate) fn named_by(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_SYMLINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // Not there, or no symlink.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symlinks"))
}

/// As many as Linux follows.
const MAX_SYMLINKS: usize = 40;

/// How many files are written at a time.
const WRITERS: usize = 16;

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    write_synced(temporary, bytes, readers)?;
    rename(temporary, path)
}

/// Gives the file `from` the name `to`, in the place of what has it.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    while_held(Platform::HERE, || fs::rename(from, to))
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    while_held(Platform::HERE, || fs::remove_file(path))
}

/// Tries again for about a second while another program has the file open. Who reads a file on Windows, such as a virus
/// scanner, can keep everybody from moving it; the system refuses then, and has changed nothing.
fn while_held(platform: Platform, mut change: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for pause in PAUSES_MILLIS {
        match change() {
            Err(error) if is_held(platform, &error) => thread::sleep(Duration::from_millis(pause)),
            changed => return changed,
        }
    }
    change()
}

/// Reads what is expected to be there again, for a fifth of a second, where two files cannot be exchanged and another
/// process may just be putting one in the place of another.
pub(crate) fn while_moved<T>(platform: Platform, mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for pause in &PAUSES_MILLIS[..4] {
        match read() {
            Err(error) if is_moved(platform, &error) => thread::sleep(Duration::from_millis(*pause)),
            read => return read,
        }
    }
    read()
}

fn is_moved(platform: Platform, error: &io::Error) -> bool {
    is_held(platform, error) || (platform == Platform::Windows && error.kind() == io::ErrorKind::NotFound)
}

const PAUSES_MILLIS: [u64; 7] = [10, 20, 50, 100, 200, 300, 400];

/// Whether an error may be of a file that another program has open: access denied, sharing violation, lock violation.
fn is_held(platform: Platform, error: &io::Error) -> bool {
    platform == Platform::Windows && matches!(error.raw_os_error(), Some(5 | 32 | 33))
}

fn write_synced(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = create_new(path, readers)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_in_place(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = create_new(path, readers)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn create_new(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    options.open(path)
}

/// The file at `path` to take a lock on, made 0600 if there is none. What is no file of its own is refused: to open a pipe
/// is to wait for whoever reads it, and behind a link lies somebody's file.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    open_lock(path)
}

/// The same, whatever came between the look and the opening.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

fn temporary_name(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| cannot_write(path).because("it names no file"))?;
    let name = name.to_string_lossy();
    Ok(path.with_file_name(format!(".{}.{}{TEMPORARY}", start_of(&name), random_id()?)))
}

/// 16 hex digits that nobody else has.
pub(crate) fn random_id() -> Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|source| Failure::new("the system gives no random bytes").because(source))?;
    Ok(hex::encode(random))
}

/// What the name of an unfinished file has of the file's own: its beginning, since a name ends at 255 bytes.
pub(crate) fn start_of(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(end, _)| &name[..end])
}

/// The [`start_of`] the file that an unfinished one of this name was to be; `None` if it is none.
pub(crate) fn unfinished(name: &str) -> Option<&str> {
    let (start, random) = name.strip_prefix('.')?.strip_suffix(TEMPORARY)?.rsplit_once('.')?;
    (random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(start)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn cannot_write(path: &Path) -> Failure {
    Failure::new(format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests;
