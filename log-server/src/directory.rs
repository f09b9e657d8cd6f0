//! A log's directory: one process at a time.
//!
//! ```text
//! D/log.toml   origin, name for cosign, settings       D/log.skey   the log's key, 0600
//! D/policy     what consumers pin, and whom to ask     D/log-ml-dsa.skey   a second key, by option
//! D/db/        RocksDB
//! D/lock       held while a process uses the directory
//! D/snapshot   and D/snapshot.sock: see `snapshot`
//! D.signed     the second record of what was signed, beside the directory; D.signed.lock like D/lock
//! D.signed.shown   what a witness showed that was signed and is not in D/db, if one did
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use service::key_file;
use tlog::key::{KeyType, SignerKey};

use crate::Failure;
use crate::config::LogFile;
use crate::sequencer::Identity;
use crate::snapshot;
use crate::store::StoreError;
use crate::store::rocks::RocksStore;

/// A directory that this process holds.
pub(crate) struct Directory {
    path: PathBuf,
    snapshots: OnceLock<snapshot::Answering>,
    /// Held until the process ends; the kernel lets go of it even after kill -9.
    _lock: File,
}

impl Directory {
    /// Takes the directory. Refuses when another process has it.
    pub(crate) fn lock(path: &Path) -> Result<Self, Failure> {
        Self::try_lock(path)?.ok_or_else(|| {
            Failure::new(format!("another process uses the directory `{}`", path.display()))
                .hint("a log has one writer: stop the other process first")
        })
    }

    /// Takes the directory, unless another process has it.
    pub(crate) fn try_lock(path: &Path) -> Result<Option<Self>, Failure> {
        let lock = path.join("lock");
        let hint = "`log-server init --dir D --origin O` makes a log";
        let file = OpenOptions::new().read(true).write(true).open(&lock);
        let file = file.map_err(|e| {
            Failure::new(format!("`{}` is not the directory of a log", path.display()))
                .caused_by(e)
                .hint(hint)
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), snapshots: OnceLock::new(), _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => {
                Err(Failure::new(format!("cannot lock `{}`", lock.display())).caused_by(e))
            }
        }
    }

    pub(crate) fn settings(&self) -> Result<LogFile, Failure> {
        read_settings(&self.path)
    }

    /// Opens the store. As long as this process has the directory, `backup` is answered.
    pub(crate) fn store(&self) -> Result<Arc<RocksStore>, Failure> {
        let store = self.opened(RocksStore::open(&self.path.join("db")))?;
        match snapshot::answer(&self.path, &store) {
            // There is one store in a directory, and it is opened once.
            Ok(answering) => drop(self.snapshots.set(answering)),
            Err(error) => tracing::warn!(%error, "`backup` will find nobody to ask while this process runs"),
        }
        Ok(store)
    }

    pub(crate) fn store_read_only(&self) -> Result<Arc<RocksStore>, Failure> {
        self.opened(RocksStore::open_read_only(&self.path.join("db")))
    }

    fn opened(&self, store: Result<RocksStore, StoreError>) -> Result<Arc<RocksStore>, Failure> {
        store.map(Arc::new).map_err(|e| {
            Failure::new(format!("cannot open the database in `{}`", self.path.display())).caused_by(e)
        })
    }

    pub(crate) fn policy(&self) -> Result<String, Failure> {
        read_policy(&self.path)
    }

    pub(crate) fn identity(&self, file: &LogFile) -> Result<Identity, Failure> {
        let key = read_key(&self.path.join(KEY), KeyType::Ed25519, &file.origin)?;
        let ml_dsa = self.path.join(ML_DSA_KEY);
        let ml_dsa = ml_dsa.exists().then(|| read_key(&ml_dsa, KeyType::MlDsa44Cosignature, &file.origin));
        Ok(Identity { key, ml_dsa: ml_dsa.transpose()?, sigstore: file.sigstore.clone() })
    }
}

/// The settings of a directory or a backup.
pub(crate) fn read_settings(dir: &Path) -> Result<LogFile, Failure> {
    LogFile::read(dir).map_err(|e| Failure::new("the log's settings are refused").caused_by(e))
}

/// The policy of a directory or a backup.
pub(crate) fn read_policy(dir: &Path) -> Result<String, Failure> {
    let path = dir.join("policy");
    fs::read_to_string(&path)
        .map_err(|e| Failure::new(format!("cannot read `{}`", path.display())).caused_by(e))
}

/// A key of the log `origin`, of this type.
pub(crate) fn read_key(path: &Path, kind: KeyType, origin: &str) -> Result<SignerKey, Failure> {
    let key = key_file::read(path)?;
    if key.verifier().key().key_type() != kind || key.verifier().name().as_str() != origin {
        let fact = format!("`{}` is not such a key of the log `{origin}`", path.display());
        return Err(Failure::new(fact).hint("`init` made it, and its name is the origin"));
    }
    Ok(key)
}

/// The log's key.
pub(crate) const KEY: &str = "log.skey";

/// The log's second key, if `init` made one.
pub(crate) const ML_DSA_KEY: &str = "log-ml-dsa.skey";
