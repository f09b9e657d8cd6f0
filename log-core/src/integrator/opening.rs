//! Opening a log: reads what a crash left, checks it against everything that was ever signed, and goes on where the log
//! stood.

use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::note::Note;

use super::{Accept, FatalError};
use crate::StoreError;
use crate::integrate::Tree;
use crate::log_keys::LogKeys;
use crate::port::{Heads, IntegratorEngine, Objects, Record};
use crate::stored::{check_extends, load_edge};
use crate::view::Published;

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A record of what was signed is not this log's.
    #[error("{record} holds no checkpoint signed by this log's key: {cause}")]
    BadRecord {
        /// Which record.
        record: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The stored tree contradicts what was signed.
    #[error("the directory holds another tree than was signed at size {size}: root {root}, signed {signed}")]
    Contradiction {
        /// The size.
        size: u64,
        /// The root of the stored tree at that size.
        root: Hash,
        /// The root that was signed.
        signed: Hash,
    },
    /// The stored tree does not hash to its own root.
    #[error("the stored tree is damaged: its tiles lead to root {got}, its state says {want}")]
    Damaged {
        /// The root of tiles and leaves.
        got: Hash,
        /// The root in the state.
        want: String,
    },
    /// `init` has not finished.
    #[error("the directory holds no tree: `init` did not finish")]
    NoTree,
    /// The file that records what was signed is older than the database.
    #[error(
        "the record of what was signed holds a checkpoint of {file} entries, the database one of {database}: the record is an older copy"
    )]
    RecordBehind {
        /// The size in the file.
        file: u64,
        /// The size in the database.
        database: u64,
    },
    /// The stored tree is smaller than what was signed.
    #[error(
        "the directory holds {size} entries, but this log has signed a checkpoint of {signed}: it is an older copy"
    )]
    RolledBack {
        /// Stored entries.
        size: u64,
        /// Entries signed.
        signed: u64,
    },
    /// Publishing what was recovered failed.
    #[error(transparent)]
    Publish(#[from] FatalError),
    /// A witness has a checkpoint of this log that the directory does not hold.
    #[error("the witness `{witness}` shows a checkpoint that this log signed, {cause}")]
    WitnessKnowsMore {
        /// Its name in the policy.
        witness: String,
        /// How it contradicts the directory.
        cause: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A checkpoint that the log signed, and the note it did so in.
pub struct SignedNote {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The note.
    pub note: Note,
}

impl SignedNote {
    /// Reads a note of ours; `name` says where it stood.
    fn read(name: &'static str, text: &str, keys: &LogKeys) -> Result<Self, OpenError> {
        let bad = |cause: String| OpenError::BadRecord { record: name, cause };
        let note = Note::parse(text.as_bytes()).map_err(|e| bad(e.to_string()))?;
        let checkpoint = keys.own_checkpoint(&note).map_err(bad)?;
        Ok(Self { checkpoint, note })
    }
}

/// Both records of what was signed, and what a witness showed beyond them.
pub struct SignedBefore {
    file: SignedNote,
    database: Option<SignedNote>,
    shown: Option<SignedNote>,
}

impl SignedBefore {
    /// The checkpoints, that of the file first.
    pub fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        let signed = [Some(&self.file), self.database.as_ref(), self.shown.as_ref()];
        signed.into_iter().flatten().map(|signed| &signed.checkpoint)
    }

    /// Fails unless the tree extends each of them: a smaller checkpoint of another tree shows a fork as well as a larger
    /// one does. The file is written before the database, so a file that is behind the database is a copy from elsewhere.
    pub(super) fn check(&self, objects: &dyn Objects, tree: &Tree, accept: Accept) -> Result<(), OpenError> {
        for signed in self.checkpoints() {
            check_extends(objects, tree, signed)?;
        }
        let file = self.file.checkpoint.size;
        match self.database.as_ref().map(|signed| signed.checkpoint.size).filter(|database| *database > file)
        {
            Some(database) if !accept.older_record => {
                Err(OpenError::RecordBehind { file: file.get(), database: database.get() })
            }
            _ => Ok(()),
        }
    }

    /// Writes the file anew if it is an older copy that the operator accepted, so that the next start finds it in order.
    pub(super) async fn renew<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        match &self.database {
            Some(database) if database.checkpoint.size > self.file.checkpoint.size => {
                record.write(&database.note.to_string()).await
            }
            _ => Ok(()),
        }
    }

    /// The larger of the two records.
    pub fn last(self) -> SignedNote {
        match self.database {
            Some(database) if database.checkpoint.size > self.file.checkpoint.size => database,
            _ => self.file,
        }
    }
}

/// Reads both records, and what was kept of a witness.
pub async fn signed_before<R: Record>(
    heads: &Heads,
    record: &R,
    keys: &LogKeys,
) -> Result<SignedBefore, OpenError> {
    let bad = |record: &'static str| move |e: StoreError| OpenError::BadRecord { record, cause: e.cause };
    let text = record.read().await.map_err(bad(FILE_RECORD))?;
    let file = SignedNote::read(FILE_RECORD, &text, keys)?;
    let lines = keys.check_record(&file.note);
    lines.map_err(|cause| OpenError::BadRecord { record: FILE_RECORD, cause })?;
    let database = heads.signed.as_ref();
    let database = database.map(|text| SignedNote::read("the database's record", text, keys));
    let shown = record.shown().await.map_err(bad(SHOWN))?;
    let shown = shown.map(|text| SignedNote::read(SHOWN, &text, keys));
    Ok(SignedBefore { file, database: database.transpose()?, shown: shown.transpose()? })
}

/// Whether a log may be served, before anything is written to it: it holds everything that was signed.
pub async fn judge<E: IntegratorEngine, R: Record>(
    engine: &E,
    record: &R,
    keys: &LogKeys,
    accept: Accept,
) -> Result<(), OpenError> {
    let heads = engine.heads().await?;
    let signed = signed_before(&heads, record, keys).await?;
    signed.check(engine, &heads.integrated, accept)?;
    published_before(engine, &heads, keys)?;
    // Everything else that a start reads is read here, before it writes.
    let SignedNote { checkpoint, note } = signed.last();
    show(engine, &heads.integrated, keys, checkpoint, note)?;
    Ok(())
}

/// What was published last, if anything was.
pub(super) fn published_before(
    objects: &dyn Objects,
    heads: &Heads,
    keys: &LogKeys,
) -> Result<Published, OpenError> {
    let Some(published) = &heads.published else { return Ok(Published::nothing(keys.origin())) };
    let SignedNote { checkpoint, note } =
        SignedNote::read("the published checkpoint", &published.note, keys)?;
    check_extends(objects, &heads.integrated, &checkpoint)?;
    show(objects, &heads.integrated, keys, checkpoint, note)
}

/// What readers see under `note`, a checkpoint of the tree or of its beginning.
pub(super) fn show(
    objects: &dyn Objects,
    tree: &Tree,
    keys: &LogKeys,
    checkpoint: Checkpoint,
    note: Note,
) -> Result<Published, OpenError> {
    let edge = match checkpoint.size == tree.edge().size() {
        true => tree.edge().clone(),
        false => load_edge(objects, checkpoint.size)?,
    };
    let sigstore = keys.sigstore.sign(checkpoint.size, checkpoint.root, &keys.key);
    Ok(Published::new(checkpoint, note, sigstore.to_string(), edge))
}

const FILE_RECORD: &str = "the signed-checkpoint file";
const SHOWN: &str = "the file of what a witness showed";
