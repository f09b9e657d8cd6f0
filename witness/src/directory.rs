//! A witness's directory: one process at a time.
//!
//! ```text
//! D/witness.toml     name, keys, lists, settings      D/*.skey   the witness's keys, 0600
//! D/logs             the operator's logs (logs/v0)    D/db/      RocksDB: what was cosigned, contradictions
//! D/logs.learned     logs that lists have brought     D/lock     held while a process uses the directory
//! D/read             what the files that people edit were when they were read last
//! D.cosigned         the second record of what was cosigned, beside the directory
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use service::{key_file, wal};
use tlog::key::KeyName;

use crate::Failure;
use crate::config::WitnessFile;
use crate::keys::Keys;
use crate::opening::{self, Opened};
use crate::store::rocks::RocksStore;

/// A directory that this process holds.
pub(crate) struct Directory {
    path: PathBuf,
    /// Held until the process ends; the kernel lets go of it even after kill -9.
    lock: File,
}

impl Directory {
    /// Takes the directory. Refuses when another process has it.
    pub(crate) fn lock(path: &Path) -> Result<Self, Failure> {
        let lock = path.join("lock");
        let file = OpenOptions::new().read(true).write(true).open(&lock);
        let file = file.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => no_witness(path).caused_by(e),
            _ => service::disk::cannot_open(&lock, e),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::new(format!("another process uses the directory `{}`", path.display()))
                    .hint("a witness has one state: stop the other process first"))
            }
            Err(TryLockError::Error(e)) => {
                Err(Failure::new(format!("cannot lock `{}`", lock.display())).caused_by(e))
            }
        }
    }

    /// Fails if the directory was removed or renamed since it was locked: nobody would find again what is written there.
    pub(crate) fn check_linked(&self) -> io::Result<()> {
        let named = self.path.join("lock").symlink_metadata()?;
        let held = self.lock.metadata()?;
        match (named.dev(), named.ino()) == (held.dev(), held.ino()) {
            true => self.path.join("db").join("CURRENT").symlink_metadata().map(drop),
            false => Err(io::Error::other("another directory has its name")),
        }
    }

    pub(crate) fn settings(&self) -> Result<WitnessFile, Failure> {
        WitnessFile::read(&self.path)
            .map_err(|e| Failure::new("the witness's settings are refused").caused_by(e))
    }

    /// Opens the state. It is read and checked before anything is written.
    pub(crate) fn state(&self) -> Result<Opened, Failure> {
        opening::open(&self.path)
    }

    pub(crate) fn keys(&self, file: &WitnessFile) -> Result<Keys, Failure> {
        let refused = || Failure::new(format!("the keys of `{}` are refused", self.path.display()));
        let name = KeyName::new(&file.name).map_err(|e| refused().caused_by(e))?;
        let signers =
            file.keys.iter().map(|key| key_file::read(&self.path.join(key))).collect::<Result<_, _>>()?;
        Keys::new(&name, signers).map_err(|e| refused().caused_by(e))
    }
}

/// Opens the database of a directory read-only, also while another process serves it.
pub(crate) fn look(path: &Path) -> Result<RocksStore, Failure> {
    if !path.join("lock").is_file() {
        return Err(no_witness(path));
    }
    let db = path.join("db");
    // RocksDB loops for ever on some damage in a record file. A torn end may be what a running witness is writing now.
    let unsound = wal::current(&db).and_then(|current| Ok((current, wal::unsound(&db)?)));
    if let Ok((current, files)) = unsound {
        let damaged = files.iter().find(|file| !file.is_torn()).map(ToString::to_string);
        if let Some(damage) = current.err().or(damaged) {
            return Err(cannot_open(path).because(damage).hint("`witness fsck` says what can be saved"));
        }
    }
    RocksStore::open_read_only(&db).map_err(|e| cannot_open(path).caused_by(e))
}

fn no_witness(path: &Path) -> Failure {
    Failure::new(format!("`{}` is not the directory of a witness", path.display()))
        .hint("`witness init --dir D --name N` makes one")
}

fn cannot_open(path: &Path) -> Failure {
    Failure::new(format!("cannot open the database in `{}`", path.display()))
}
