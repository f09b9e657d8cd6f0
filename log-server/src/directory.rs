//! A log's directory: one process at a time.
//!
//! ```text
//! D/log.toml   origin, name for cosign, settings       D/log.skey   the log's key, 0600
//! D/policy     what consumers pin, and whom to ask     D/log-ml-dsa.skey   a second key, by option
//! D/db/        RocksDB
//! D/mail/      RocksDB: messages that wait (`relay`); the log goes on without it
//! D/aip-v1/    RocksDB: who registered by the interface of Python `aip` (`aip_v1`); the log goes on without it
//! D/lock       held while a process uses the directory
//! D/read       what the files that people edit were when they were read last
//! D/snapshot   and D/snapshot.sock: see `snapshot`
//! D.signed     the second record of what was signed, beside the directory; D.signed.lock like D/lock
//! D/db.damaged what `salvage` replaced             D/db.salvaged   what replaces it, until it has its name
//! D.signed.shown   what a witness showed that was signed and is not in D/db, if one did
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use service::{disk, key_file};
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyType, SignerKey};
use tlog::note::Note;

use crate::Failure;
use crate::config::LogFile;
use crate::sigstore_note::SigstoreName;
use crate::store::rocks::RocksStore;
use crate::store::salvaged::{Salvaged, missing_leaves, ranges};
use crate::store::schema::Read as _;
use crate::store::{StoreError, damage};
use crate::{salvage, snapshot};
use log_core::log_keys::LogKeys;

/// A directory that this process holds.
pub(crate) struct Directory {
    path: PathBuf,
    snapshots: OnceLock<snapshot::Answering>,
    /// Held until the process ends; the kernel lets go of it even after kill -9.
    lock: File,
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
        let file = OpenOptions::new().read(true).write(true).open(&lock);
        let file = file.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Failure::new(format!("`{}` is not the directory of a log", path.display()))
                    .caused_by(e)
                    .hint("`log-server init --dir D --origin O` makes a log")
            }
            _ => disk::cannot_open(&lock, e),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), snapshots: OnceLock::new(), lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
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
            true => self.db().join("CURRENT").symlink_metadata().map(drop),
            false => Err(io::Error::other("another directory has its name")),
        }
    }

    pub(crate) fn settings(&self) -> Result<LogFile, Failure> {
        read_settings(&self.path)
    }

    /// Opens the store to write to it, after it was read and `judge` accepted it. Nothing in the directory changes before
    /// that. From then on `backup` gets snapshots, as long as this process has the directory.
    pub(crate) fn store(
        &self,
        judge: impl FnOnce(&Arc<RocksStore>) -> Result<(), Failure>,
    ) -> Result<Arc<RocksStore>, Failure> {
        judge(&self.store_read_only()?)?;
        let store = self.opened(RocksStore::open(&self.db()))?;
        match snapshot::answer(&self.path, &store) {
            // There is one store in a directory, and it is opened once.
            Ok(answering) => drop(self.snapshots.set(answering)),
            Err(error) => tracing::warn!(%error, "`backup` will find nobody to ask while this process runs"),
        }
        Ok(store)
    }

    /// Opens the store read-only. Refuses one whose files are damaged, and says how much can be salvaged.
    pub(crate) fn store_read_only(&self) -> Result<Arc<RocksStore>, Failure> {
        self.undamaged(Failure::new)
    }

    /// As [`store_read_only`](Self::store_read_only), for a command that was asked whether the store is damaged.
    pub(crate) fn store_to_check(&self) -> Result<Arc<RocksStore>, Failure> {
        self.undamaged(Failure::no)
    }

    fn undamaged(&self, refuse: fn(String) -> Failure) -> Result<Arc<RocksStore>, Failure> {
        let found = damage::examine(&self.db()).map_err(|e| self.cannot_open(e))?;
        if !found.is_empty() {
            let failure = refuse(format!("damaged: the database in `{}`", self.path.display()));
            let failure = found.into_iter().fold(failure, Failure::because).because(self.what_can_be_read());
            return Err(failure.hint(
                "nothing was changed. `log-server salvage --dir D` makes a whole database of what can be read, and keeps \
                 this one beside it",
            ));
        }
        self.opened(RocksStore::open_read_only(&self.db()))
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the store is.
    pub(crate) fn db(&self) -> PathBuf {
        self.path.join("db")
    }

    /// How many of the entries can be read of a store that is damaged.
    fn what_can_be_read(&self) -> String {
        let salvaged = match Salvaged::open(&self.db()) {
            Ok(salvaged) => salvaged,
            Err(e) => return format!("nothing can be read of it: {e}"),
        };
        let store = &**salvaged.store();
        // Everything before the damage is whole.
        let before = Salvaged::before_damage(&self.db()).ok();
        let before = before.and_then(|before| size_of(before.store())).unwrap_or(0);
        let size = size_of(store).max(self.entries_signed()).unwrap_or(0);
        let missing = missing_leaves(store, before.min(size), size);
        match &missing[..] {
            [] => format!("all {size} entries can be read all the same"),
            _ => {
                let lost: u64 = missing.iter().map(|range| range.end - range.start).sum();
                format!("{} of {size} entries can be read, {} cannot", size - lost, ranges(&missing))
            }
        }
    }

    /// The entries of the checkpoint in the record of what was signed, if it can be read.
    fn entries_signed(&self) -> Option<u64> {
        let record = self.settings().ok()?.settings.signed_record_path(&self.path);
        let note = Note::parse(fs::read_to_string(record).ok()?.as_bytes()).ok()?;
        Some(Checkpoint::parse(note.text()).ok()?.size.get())
    }

    fn opened(&self, store: Result<RocksStore, StoreError>) -> Result<Arc<RocksStore>, Failure> {
        store.map(Arc::new).map_err(|e| self.cannot_open(e))
    }

    fn cannot_open(&self, cause: StoreError) -> Failure {
        let may_pass = cause.may_pass;
        let failure = Failure::new(format!("cannot open the database in `{}`", self.path.display()));
        let failure = failure.caused_by(cause).may_pass(may_pass);
        match self.db().exists() || !salvage::Places::of(&self.path).salvaged.exists() {
            true => failure,
            false => failure
                .hint("a salvage broke off before its last step: run `log-server salvage --dir D` again"),
        }
    }

    pub(crate) fn policy(&self) -> Result<String, Failure> {
        read_policy(&self.path)
    }

    pub(crate) fn identity(&self, file: &LogFile) -> Result<LogKeys, Failure> {
        let key = read_key(&self.path.join(KEY), KeyType::Ed25519, &file.origin)?;
        // Everything that was signed for stock cosign says it.
        let made = SigstoreName::of(&file.origin, key.verifier().key());
        if file.sigstore != made {
            let fact =
                format!("`{}` gives the log another name for cosign", self.path.join("log.toml").display());
            let made = format!("host = \"{}\", tree_id = {}", made.host, made.tree_id);
            return Err(Failure::new(fact).hint(format!("put back what `init` wrote: {made}")));
        }
        let ml_dsa = self.path.join(ML_DSA_KEY);
        let ml_dsa = ml_dsa.exists().then(|| read_key(&ml_dsa, KeyType::MlDsa44Cosignature, &file.origin));
        Ok(LogKeys { key, ml_dsa: ml_dsa.transpose()?, sigstore: file.sigstore.clone() })
    }
}

/// The entries in a store, as far as it says.
fn size_of(store: &RocksStore) -> Option<u64> {
    store.tree_state().ok().flatten().map(|state| state.size)
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

/// The files that people edit.
pub(crate) const EDITED: [&str; 2] = ["log.toml", "policy"];

/// The folder of messages that wait.
pub(crate) const MAIL: &str = "mail";

/// The folder of those who registered by the interface of Python `aip`.
pub(crate) const AIP_V1: &str = "aip-v1";

/// The log's key.
pub(crate) const KEY: &str = "log.skey";

/// The log's second key, if `init` made one.
pub(crate) const ML_DSA_KEY: &str = "log-ml-dsa.skey";
