//! Files that several processes put in one place, also over a shared disk: nothing that was not read is ever replaced.
//!
//! A file is staged under another name in the folder of its place, and synced. It gets its place in one of two ways:
//! - [`Disk::put_new`], where nothing is: a second name for it, which the system refuses if the place is taken
//! - [`Disk::swap`], where something is: both files change places, so that the one which was there is in hand and can
//!   be compared with what was read before. No lock is needed, which not every shared disk has.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{
    Readers, WRITERS, cannot_write, create_folder, folder_of, remove, rename, sync_folder, temporary_name,
    write_in_place, write_synced,
};
use crate::report::{Failure, Result};

/// What a file system can do. A field is exchanged in tests only.
#[derive(Clone, Copy)]
pub(crate) struct Disk {
    pub(crate) exchange: fn(&Path, &Path) -> io::Result<()>,
    /// Gives a file that has a name a second one, or another one, where nothing is.
    pub(crate) link: fn(&Path, &Path) -> io::Result<()>,
}

/// What came of [`Disk::swap`].
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Swapped {
    /// The staged file has the place; what was there is the file named here.
    Done(PathBuf),
    /// Nothing is there any more, and nothing was changed.
    Gone,
    /// What was there is the file named here, and another process has put a third one in its place since. The staged
    /// file is where it was.
    Overtaken(PathBuf),
}

impl Disk {
    /// The one that the system has.
    pub(crate) const SYSTEM: Self = Self { exchange: system::exchange, link };

    /// One that has neither exchange nor second names, such as a FAT stick.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self {
        exchange: |_, _| Err(ErrorKind::Unsupported.into()),
        link: |_, _| Err(ErrorKind::Unsupported.into()),
    };

    /// One that has second names and no exchange, such as NFS.
    #[cfg(test)]
    pub(crate) const WITHOUT_EXCHANGE: Self = Self {
        exchange: |_, _| Err(ErrorKind::Unsupported.into()),
        link: |from, to| fs::hard_link(from, to),
    };

    /// Gives the staged file `staged` the name `path`, where nothing is; `false` if something is, and the staged file
    /// stays where it was. Who is told `true` waits for the folder.
    pub(crate) fn put_new(self, staged: &Path, path: &Path) -> io::Result<bool> {
        let put = match (self.link)(staged, path) {
            // A medium that can do neither: until all is written, others see the beginning of the file.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                fs::read(staged).and_then(|bytes| write_in_place(path, &bytes, Readers::Everyone))
            }
            put => put,
        };
        match put {
            Ok(()) => match remove(staged) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(true),
            },
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts the staged file `staged` in the place of what is at `path`. Where the disk cannot exchange two files, what
    /// was there is for a moment only at `aside`, a name that nobody else uses: a crash leaves it there.
    pub(crate) fn swap(self, staged: &Path, path: &Path, aside: &Path) -> io::Result<Swapped> {
        match (self.exchange)(staged, path) {
            Ok(()) => return Ok(Swapped::Done(staged.to_path_buf())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Swapped::Gone),
            Err(_) => {}
        }
        match rename(path, aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Swapped::Gone),
            moved => moved?,
        }
        match self.put_new(staged, path) {
            Ok(true) => Ok(Swapped::Done(aside.to_path_buf())),
            Ok(false) => Ok(Swapped::Overtaken(aside.to_path_buf())),
            Err(error) => {
                // Back to where it was, unless another one is there by now: `aside` is a name that is looked at.
                let _ = self.put_new(aside, path);
                Err(error)
            }
        }
    }
}

/// Writes each of `files` beside its place, synced, and answers their names in the same order. Makes the folders. Many
/// take the time of a few.
pub(crate) fn stage_all(files: &[(&Path, &[u8])]) -> Result<Vec<PathBuf>> {
    let folders: BTreeSet<&Path> = files.iter().map(|(path, _)| folder_of(path)).collect();
    folders.iter().try_for_each(|folder| create_folder(folder, Readers::Everyone))?;
    let stage = |(path, bytes): &(&Path, &[u8])| {
        let staged = temporary_name(path)?;
        match write_synced(&staged, bytes, Readers::Everyone) {
            Ok(()) => Ok(staged),
            Err(source) => {
                let _ = fs::remove_file(&staged);
                Err(cannot_write(path).caused_by(source))
            }
        }
    };
    // Threads that wait for the disk, not for a processor: the disk takes many at a time.
    let share = files.len().div_ceil(WRITERS).max(1);
    let staged: Vec<Result<PathBuf>> = std::thread::scope(|scope| {
        let stage_some = |files: &'_ [(&Path, &[u8])]| files.iter().map(stage).collect::<Vec<_>>();
        let writers: Vec<_> =
            files.chunks(share).map(|files| scope.spawn(move || stage_some(files))).collect();
        let join = |writer: std::thread::ScopedJoinHandle<'_, Vec<Result<PathBuf>>>| {
            writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        writers.into_iter().flat_map(join).collect()
    });
    if let Some(failure) = staged.iter().find_map(|staged| staged.as_ref().err().cloned()) {
        staged.into_iter().flatten().for_each(|staged| drop(fs::remove_file(staged)));
        return Err(failure);
    }
    staged.into_iter().collect()
}

/// Waits until the names in the folders of `paths` are on the disk.
pub(crate) fn sync_folders<'p>(paths: impl Iterator<Item = &'p Path>) -> Result<()> {
    let folders: BTreeSet<&Path> = paths.map(folder_of).collect();
    let sync = |folder: &Path| sync_folder(folder).map_err(|source| cannot_write(folder).caused_by(source));
    folders.into_iter().try_for_each(sync)
}

/// Takes what is at `path` in hand, whatever it is: its name from now on; `None` if nothing is there.
pub(crate) fn take(path: &Path) -> Result<Option<PathBuf>> {
    let taken = temporary_name(path)?;
    match rename(path, &taken) {
        Ok(()) => Ok(Some(taken)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::new(format!("cannot remove `{}`", path.display())).caused_by(source)),
    }
}

/// A second name is refused where one is, also over NFS. FAT has none, and moves a file to where nothing is.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => system::rename_new(from, to),
        linked => linked,
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod system {
    use std::io;
    use std::path::Path;

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
    }

    pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod system {
    use std::io::{Error, ErrorKind, Result};
    use std::path::Path;

    pub(super) fn exchange(_: &Path, _: &Path) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    pub(super) fn rename_new(_: &Path, _: &Path) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }
}
