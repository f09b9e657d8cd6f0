//! Opening the state of a directory: first everything is read without touching anything. Only a whole state is opened for
//! writing.
//!
//! ```text
//! db/*.log, db/MANIFEST   every byte read (`service::wal`)    ▶ damaged: no start
//! db, read-only           every log's row, contradictions, round ▶ unreadable: no start
//! D.cosigned              every frame                         ▶ `agreement::judge` ▶ no start, or held logs
//! db, for writing         D.cosigned with one frame           ▶ served
//! ```
//! After a crash in here the next start finds the same state.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use service::{disk, wal};

use crate::Failure;
use crate::agreement::{Agreement, Break, Held, Stored, judge};
use crate::config::{ConfigError, WitnessFile};
use crate::record::{CosignedRecord, Recorded};
use crate::recorded::RecordedStore;
use crate::state::{StateError, count_contradictions, read_stored};
use crate::store::StoreError;
use crate::store::rocks::RocksStore;

/// The store of a witness, with its second record.
pub type WitnessStore = RecordedStore<RocksStore>;

/// The state of a directory, ready to be served.
pub struct Opened {
    /// What was cosigned, to be served.
    pub store: Arc<WitnessStore>,
    /// Of which logs nothing is to be cosigned.
    pub held: Held,
}

/// What reading a directory gave. Nothing was changed.
pub(crate) struct Looked {
    /// Files with torn ends that a crash explains.
    pub(crate) torn: Vec<wal::Unsound>,
    pub(crate) stored: Stored,
    pub(crate) recorded: Option<Recorded>,
    pub(crate) agreement: Agreement,
}

/// Why a directory is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsound {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Files(Vec<wal::Unsound>),
    #[error("{0}")]
    Current(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read `{}`: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Settings(#[from] ConfigError),
    #[error(
        "the record beside the directory is of the witness `{of}`, the keys are of `{name}`: put each back where it was"
    )]
    OfAnother { of: String, name: String },
    #[error(transparent)]
    Broken(#[from] Break),
    #[error("{0}: a directory without a second record gets one after a clean stop only")]
    NotClean(wal::Unsound),
}

/// Looks at a directory that this process holds.
pub(crate) fn look(dir: &Path, record: &Path) -> Result<Looked, Unsound> {
    let db = dir.join("db");
    let unreadable = |cause| Unsound::Read { path: db.clone(), cause };
    wal::current(&db).map_err(unreadable)?.map_err(Unsound::Current)?;
    let unsound = wal::unsound(&db).map_err(unreadable)?;
    let (torn, damaged): (Vec<_>, Vec<_>) = unsound.into_iter().partition(wal::Unsound::is_torn);
    if !damaged.is_empty() {
        return Err(Unsound::Files(damaged));
    }
    let recorded =
        Recorded::read(record).map_err(|cause| Unsound::Read { path: record.to_owned(), cause })?;
    whose(dir, recorded.as_ref())?;
    let store = RocksStore::open_read_only(&db)?;
    let stored = read_stored(&store)?;
    // A start reads this later. Read it here, before anything is written.
    count_contradictions(&store)?;
    let agreement = judge(&stored, recorded.as_ref());
    Ok(Looked { torn, stored, recorded, agreement })
}

/// The name of the directory's witness. Refuses the record of another witness: together with that witness's database the
/// two would agree, and this witness would cosign forks of what it has cosigned.
pub(crate) fn whose(dir: &Path, recorded: Option<&Recorded>) -> Result<String, Unsound> {
    let name = WitnessFile::read(dir)?.name;
    match recorded.and_then(|recorded| recorded.witness.clone()).filter(|of| *of != name) {
        Some(of) => Err(Unsound::OfAnother { of, name }),
        None => Ok(name),
    }
}

/// Opens the state of a directory that this process holds, for writing.
pub fn open(dir: &Path) -> Result<Opened, Failure> {
    let cannot = |e: io::Error| Failure::new(format!("cannot find `{}`", dir.display())).caused_by(e);
    let record_path = record_path(dir).map_err(cannot)?;
    let refused = |e: Unsound| {
        Failure::new(format!("the state in `{}` is not what this witness wrote", dir.display()))
            .caused_by(e)
            .hint("nothing was changed; `witness fsck` says what is damaged and what can be saved")
    };
    let looked = look(dir, &record_path).map_err(refused)?;
    for torn in &looked.torn {
        tracing::warn!(file = %torn, "a crash cut the last write");
    }
    let Looked { stored, recorded, agreement, mut torn } = looked;
    let held = match agreement {
        Agreement::Broken(broken) => return Err(refused(broken.into())),
        Agreement::First => match torn.pop() {
            Some(torn) => return Err(refused(Unsound::NotClean(torn))),
            None => Held::new(),
        },
        Agreement::Counted(held) => held,
    };
    // It could be read a moment ago. So the disk is full or read-only, or the files belong to another user, who ran
    // `fsck --salvage`.
    let cannot = |e: StoreError| {
        let may_pass = disk::words_may_pass(&e.to_string());
        let failure = Failure::new(format!("cannot open the database in `{}`", dir.display()));
        let failure = failure.caused_by(e).may_pass(may_pass);
        match may_pass {
            true => failure,
            false => {
                failure.hint("every file of the directory has to belong to the user that the witness runs as")
            }
        }
    };
    let store = RocksStore::open(&dir.join("db")).map_err(cannot)?;
    let name = whose(dir, recorded.as_ref()).map_err(refused)?;
    let round = stored.round.unwrap_or(0);
    let mut rows = stored.rows;
    match recorded {
        None => tracing::info!(
            record = %record_path.display(), logs = rows.len(),
            "this directory is of an earlier release: it has a second record of what was cosigned from now on"
        ),
        Some(recorded) => {
            if recorded.round < round {
                tracing::warn!(round, "a crash came between the database and the record of its last rounds");
            }
            // Where the two differ, each keeps its row.
            for log in held.values() {
                rows.remove(&log.origin);
                rows.extend(log.recorded.clone().map(|row| (row.origin.clone(), row)));
            }
        }
    }
    let record = CosignedRecord::replace(&record_path, &name, round, rows);
    let record = record.map_err(|e| {
        let may_pass = disk::may_pass(&e);
        Failure::new(format!("cannot write the record `{}`", record_path.display()))
            .caused_by(e)
            .may_pass(may_pass)
    })?;
    Ok(Opened { store: Arc::new(RecordedStore::new(store, record)), held })
}

/// `D.cosigned`, beside the directory, so that copies and backups of the directory do not contain it. The directory need
/// not exist yet.
pub(crate) fn record_path(dir: &Path) -> io::Result<PathBuf> {
    let mut path = match fs::canonicalize(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let name = dir.file_name().ok_or(e)?;
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name)
        }
        path => path?,
    }
    .into_os_string();
    path.push(".cosigned");
    Ok(path.into())
}
