//! The second record of what was signed: one small file outside the database.
//!
//! A database that is restored from an older copy does not know that the log has signed more. This file does: it lies
//! beside the directory, only `init` makes it, and it holds the last signed checkpoint. It is replaced by write, fsync,
//! rename and fsync of the folder, so that a crash leaves the old note or the new one, never half of one.
//!
//! A second file, `….shown`, exists only if a witness showed a checkpoint that this log signed and does not have. It keeps
//! that checkpoint, so that a restart refuses as well, even if the witness cannot be asked then.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log_core::StoreError;
use log_core::port::Record;
use service::durable;

use crate::Failure;
use crate::config::default_signed_record;
use crate::store::of_disk;

/// The file.
#[derive(Debug)]
pub struct SignedRecord {
    path: PathBuf,
    /// The process that signs holds it until it ends.
    lock: Option<Arc<File>>,
}

/// Keeps other processes from signing with a record, and from making a directory where one that signs may still write.
#[derive(Debug)]
pub struct Held {
    _lock: Option<Arc<File>>,
}

impl SignedRecord {
    /// Makes the file with its first note. Refuses one that is there: its key has signed before.
    pub fn create(path: &Path, note: &str) -> io::Result<Self> {
        durable::write_new(path, note.as_bytes(), 0o644)?;
        durable::sync_folder(path)?;
        Ok(Self { path: path.to_owned(), lock: None })
    }

    /// The file that `init` made. A missing one is an error: nobody knows what was signed.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path)?;
        Ok(Self { path: path.to_owned(), lock: None })
    }

    /// As [`open`](Self::open), for the process that signs. A second one, on a copy of the directory, gets
    /// [`io::ErrorKind::WouldBlock`]: the two would sign two trees under one key. The lock is a file of its
    /// own beside the record, since the record itself is replaced.
    pub fn take(path: &Path) -> io::Result<Self> {
        let record = Self::open(path)?;
        let lock = path.with_added_extension("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(lock)?;
        lock.try_lock()?;
        Ok(Self { lock: Some(Arc::new(lock)), ..record })
    }

    /// For a command that makes the directory `dir`, whose record is this one: while a process still signs with the record,
    /// the log that was at this path before may still write to it. `None` if there is no record, or if it lies elsewhere: it
    /// may then be that of a log that runs.
    pub fn hold_for(path: &Path, dir: &Path) -> Result<Option<Held>, Failure> {
        if path != default_signed_record(dir) {
            return Ok(None);
        }
        match Self::take(path) {
            Ok(record) => Ok(Some(record.held())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let fact = format!("another process signs with the record `{}`", path.display());
                Err(Failure::new(fact).hint(format!(
                    "the log that was at `{}` is still stopping, or runs: what it writes would go into the new directory. Try \
                     again when its process has ended",
                    dir.display()
                )))
            }
            Err(e) => {
                let fact = format!("the record of what was signed, `{}`, cannot be locked", path.display());
                Err(Failure::new(fact).caused_by(e))
            }
        }
    }

    /// The lock that was taken, for whoever keeps it longer than the record.
    pub fn held(&self) -> Held {
        Held { _lock: self.lock.clone() }
    }

    /// The last signed checkpoint, a signed note.
    pub fn read(&self) -> io::Result<String> {
        fs::read_to_string(&self.path)
    }

    /// Replaces the note. Durable once this returns; after an error the process must stop.
    pub fn write(&self, note: &str) -> io::Result<()> {
        durable::replace(&self.path, note.as_bytes())
    }

    /// The note that a witness showed, if one did.
    pub fn shown(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.shown_path()) {
            Ok(note) => Ok(Some(note)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Keeps a note that a witness showed. Durable once this returns; after an error the process must stop.
    pub fn write_shown(&self, note: &str) -> io::Result<()> {
        durable::replace(&self.shown_path(), note.as_bytes())
    }

    fn shown_path(&self) -> PathBuf {
        self.path.with_added_extension("shown")
    }
}

impl Record for SignedRecord {
    async fn read(&self) -> Result<String, StoreError> {
        Self::read(self).map_err(|e| of_disk("read the signed record", &e))
    }

    async fn write(&self, note: &str) -> Result<(), StoreError> {
        Self::write(self, note).map_err(|e| of_disk("write the signed record", &e))
    }

    async fn shown(&self) -> Result<Option<String>, StoreError> {
        Self::shown(self).map_err(|e| of_disk("read what a witness showed", &e))
    }

    async fn write_shown(&self, note: &str) -> Result<(), StoreError> {
        Self::write_shown(self, note).map_err(|e| of_disk("write what the witness showed", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_made_once_and_keeps_the_last_note() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log.signed");
        assert!(SignedRecord::open(&path).is_err(), "a missing record is not replaced");
        let record = SignedRecord::create(&path, "one").expect("a new record");
        assert!(SignedRecord::create(&path, "two").is_err(), "a record is made once");
        record.write("three").expect("a write");
        // A crash between writing the new file and renaming it leaves the old note in force.
        fs::write(path.with_added_extension("new"), "half of fo").expect("a write");
        assert_eq!(SignedRecord::open(&path).and_then(|record| record.read()).expect("a read"), "three");
        let taken = SignedRecord::take(&path).expect("nobody else has it");
        let second = SignedRecord::take(&path).expect_err("one process signs");
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(taken);
        SignedRecord::take(&path).expect("nobody has it any more");
        record.write("four").expect("a write");
        assert_eq!(record.read().expect("a read"), "four");
    }
}
