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
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_written_also_where_there_are_no_second_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let link = |_: &Path, _: &Path| Err(io::Error::from(io::ErrorKind::Unsupported));
        assert!(write_new_by(link, &path, b"one", Readers::Owner).expect("written"));
        assert!(!write_new_by(link, &path, b"two", Readers::Owner).expect("refused"));
        assert_eq!(fs::read(&path).expect("there"), b"one");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }

    /// Whoever unpacked something into the home had a command wait for ever, or empty a file elsewhere.
    #[cfg(unix)]
    #[test]
    fn a_lock_is_a_file_of_its_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let [lock, pipe, link, dangling, whose] =
            ["lock", "pipe", "link", "dangling", "whose"].map(|name| dir.path().join(name));
        lock_file(&lock).expect("made");
        lock_file(&lock).expect("there").try_lock().expect("free");
        fs::write(&whose, "somebody's").expect("written");
        std::os::unix::fs::symlink(&whose, &link).expect("a link");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &dangling).expect("a link");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        for path in [&pipe, &link, &dangling, dir.path()] {
            lock_file(path).expect_err("no file of its own");
            open_lock(path).expect_err("nor if it came after the look");
        }
        assert_eq!(fs::read(&whose).expect("there"), b"somebody's");
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_other_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b/file");
        write(&path, b"one", Readers::Everyone).expect("written");
        write(&path, b"two", Readers::Everyone).expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::read_dir(dir.path().join("a/b")).expect("read").count(), 1);
    }

    /// A scanner that looked at the receipt when it was replaced made the command fail.
    #[test]
    fn what_another_program_has_open_is_waited_for_on_windows() {
        const SHARING_VIOLATION: i32 = 32;
        let tries = |platform, held_for: usize| {
            let mut tries = 0;
            let changed = while_held(platform, || {
                tries += 1;
                if tries > held_for { Ok(()) } else { Err(io::Error::from_raw_os_error(SHARING_VIOLATION)) }
            });
            (tries, changed.is_ok())
        };
        assert_eq!(tries(Platform::Windows, 2), (3, true));
        assert_eq!(tries(Platform::Windows, usize::MAX), (PAUSES_MILLIS.len() + 1, false));
        assert_eq!(tries(Platform::Unix, 2), (1, false));
        let other = while_held(Platform::Windows, || Err(io::ErrorKind::NotFound.into()));
        assert_eq!(other.expect_err("not there").kind(), io::ErrorKind::NotFound);
    }

    /// Of five processes that wrote receipts to one place, one found a receipt in a list and then did not find it.
    #[test]
    fn what_is_just_being_replaced_is_read_on_windows() {
        let reads = |platform, gone_for: usize| {
            let mut reads = 0;
            let read = while_moved(platform, || {
                reads += 1;
                if reads > gone_for { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
            });
            (reads, read.is_ok())
        };
        assert_eq!(reads(Platform::Windows, 2), (3, true));
        assert_eq!(reads(Platform::Windows, usize::MAX), (5, false));
        assert_eq!(reads(Platform::Unix, 2), (1, false));
    }

    #[cfg(windows)]
    #[test]
    fn a_file_that_is_held_open_is_replaced_once_it_is_free() {
        use std::os::windows::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        write(&path, b"one", Readers::Everyone).expect("written");
        let held = OpenOptions::new().read(true).share_mode(1).open(&path).expect("open");
        assert!(
            fs::write(dir.path().join("other"), b"x").is_ok()
                && fs::rename(dir.path().join("other"), &path).is_err()
        );
        let scanner = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(held);
        });
        write(&path, b"two", Readers::Everyone).expect("written");
        scanner.join().expect("no panic");
        assert_eq!(fs::read(&path).expect("read"), b"two");
    }

    #[test]
    fn a_new_file_is_put_where_nothing_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/file");
        assert!(write_new(&path, b"one", Readers::Owner).expect("written"));
        assert!(!write_new(&path, b"two", Readers::Owner).expect("left"));
        assert_eq!(fs::read(&path).expect("read"), b"one");
        assert_eq!(fs::read_dir(dir.path().join("a")).expect("read").count(), 1);
    }

    #[test]
    fn what_is_set_aside_takes_a_free_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let names = || (1..3).map(|number| dir.path().join(format!("{number}.old")));
        assert_eq!(set_aside(&path, names()).expect("nothing to do"), None);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
        for number in 1..3 {
            write(&path, &[number], Readers::Owner).expect("written");
            let old = set_aside(&path, names()).expect("moved").expect("a name");
            assert_eq!(fs::read(old).expect("read"), [number]);
        }
        write(&path, b"x", Readers::Owner).expect("written");
        assert!(set_aside(&path, names()).is_err());
        assert!(path.exists());
    }

    #[test]
    fn what_is_replaced_is_kept_and_the_place_is_never_empty() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let names = || (1..3).map(|number| dir.path().join(format!("{number}.old")));
        assert_eq!(replace(&path, b"one", Readers::Owner, names()).expect("written"), None);
        // When the old one gets its second name, the new one is whole already, and the old one still in its place.
        let seen = names().inspect(|_| {
            assert_eq!(fs::read(&path).expect("there"), b"one");
            let unfinished = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(unfinished).is_some();
            let entries = fs::read_dir(dir.path()).expect("a folder").flatten();
            let new: Vec<_> =
                entries.filter(unfinished).map(|entry| fs::read(entry.path()).expect("read")).collect();
            assert_eq!(new, [b"two"]);
        });
        let kept = replace(&path, b"two", Readers::Owner, seen).expect("written").expect("a name");
        assert_eq!(
            (fs::read(&path).expect("read"), fs::read(kept).expect("read")),
            (b"two".into(), b"one".into())
        );
        replace(&path, b"three", Readers::Owner, names()).expect("written");
        assert!(replace(&path, b"four", Readers::Owner, names()).is_err());
        assert_eq!(fs::read(&path).expect("read"), b"three");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_that_is_replaced_is_kept_as_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        fs::write(&target, b"old").expect("written");
        std::os::unix::fs::symlink("target", &link).expect("a link");
        let name = dir.path().join("kept");
        replace(&link, b"new", Readers::Owner, [name.clone()].into_iter()).expect("written");
        assert_eq!(fs::read(&name).expect("read"), b"old");
        assert_eq!(
            (fs::read(&target).expect("read"), fs::read(&link).expect("read")),
            (b"old".into(), b"new".into())
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_stays_and_what_it_names_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let [link, middle, target] = ["link", "middle", "below/target"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink("middle", &link).expect("a link");
        std::os::unix::fs::symlink(&target, &middle).expect("a link");
        for text in ["new", "over it"] {
            write(&link, text.as_bytes(), Readers::Everyone).expect("written");
            assert_eq!(fs::read_to_string(&target).expect("read"), text);
            assert!(link.is_symlink() && middle.is_symlink() && !target.is_symlink());
        }
        let ring = dir.path().join("ring");
        std::os::unix::fs::symlink("ring", &ring).expect("a link");
        assert!(write(&ring, b"x", Readers::Everyone).is_err());
        assert!(ring.is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_into_and_never_with_a_secret() {
        use std::os::unix::fs::FileTypeExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        assert!(write(&pipe, b"secret", Readers::Owner).is_err());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe)
        });
        write(&pipe, b"data", Readers::Everyone).expect("written");
        // First: a pipe that was replaced is read by nobody, and its reader waits for ever.
        assert!(pipe.symlink_metadata().expect("there").file_type().is_fifo());
        assert_eq!(reader.join().expect("no panic").expect("read"), b"data");
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_and_its_folder_are_the_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("private/file");
        write(&path, b"secret", Readers::Owner).expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&dir.path().join("private"))), (0o600, 0o700));
    }

    #[test]
    fn a_long_name_can_be_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("é".repeat(120));
        write(&path, b"x", Readers::Everyone).expect("written");
        assert!(path.exists());
    }

    #[test]
    fn an_unfinished_file_is_known_by_its_name() {
        for name in ["file", "a.b", &"é".repeat(120)] {
            let temporary = temporary_name(&Path::new("folder").join(name)).expect("a name");
            let temporary = temporary.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            assert_eq!(unfinished(&temporary), Some(start_of(name)));
            assert_eq!(unfinished(&temporary[1..]), None);
            assert_eq!(unfinished(&format!("{temporary}x")), None);
        }
    }
}
