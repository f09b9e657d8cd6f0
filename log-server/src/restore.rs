//! `restore`: a backup becomes the directory of its log again.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use service::durable::{sync_folder, write_new};
use service::key_file;
use tlog::TreeSize;
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyType, VerifierKey};

use log_core::stored::check_extends;
use log_rocksdb::ReadsOf;

use crate::Failure;
use crate::backup::{CHECKPOINT, copy_file, copy_keys, left_over, make_partial};
use crate::directory::{KEY, ML_DSA_KEY, read_key, read_settings};
use crate::fsck;
use crate::replay::Replay;
use crate::sequencer::OpenError;
use crate::signed_record::SignedRecord;
use crate::source::open_checkpoint;
use crate::store::damage;
use crate::store::rocks::RocksStore;

/// Make a log's directory from a backup, and check every entry of it
///
/// The record of what was signed is left as it is: if it knows of more entries than the backup has, `serve`
/// refuses until `recover` has brought them.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The backup
    #[arg(long, value_name = "BACKUP")]
    pub from: PathBuf,
    /// The directory to make
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// A copy of the log's `log.skey`, and once more with that of `log-ml-dsa.skey` if there was one
    /// [default: the backup's own, if it was made --with-keys]
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// The second record of what was signed [default: as `serve` finds it]
    #[arg(long, env = "AIP_LOG_SIGNED_RECORD", value_name = "FILE")]
    pub signed_record: Option<PathBuf>,
}

/// Makes the directory and says what is in it.
pub fn run(args: &Args) -> Result<String, Failure> {
    let (from, dir) = (&args.from, &args.dir);
    if !from.join("db").is_dir() {
        return Err(Failure::new(format!("`{}` is no backup", from.display()))
            .hint("`log-server backup --dir D --to DEST` makes one"));
    }
    if fs::read_dir(dir).map_or(dir.exists(), |mut entries| entries.next().is_some()) {
        return Err(Failure::new(format!("`{}` is there, and not empty", dir.display())).hint(
            "name a new directory, or move the old one away: it may hold entries that the backup has not",
        ));
    }
    let cannot_read =
        |e| Failure::new(format!("cannot read the database of `{}`", from.display())).caused_by(e);
    let found = damage::examine(&from.join("db")).map_err(cannot_read)?;
    if !found.is_empty() {
        let failure = found.into_iter().fold(Failure::no("damaged: the backup"), Failure::because);
        return Err(failure.hint(
            "restore another backup; `log-server recover --from` takes out of this one all that can be read",
        ));
    }
    let file = read_settings(from)?;
    let record_path = args.signed_record.clone().unwrap_or_else(|| file.settings.signed_record_path(dir));
    // Until the directory is in its place.
    let _held = SignedRecord::hold_for(&record_path, dir)?;
    let partial = dir.with_added_extension("partial");
    make_partial(&partial).map_err(|e| left_over(e.kind(), cannot(&partial, e)))?;
    let made = copy(from, &partial, &args.keys).and_then(|()| {
        let key = read_key(&partial.join(KEY), KeyType::Ed25519, &file.origin)?.verifier().clone();
        let tree = check(from, &partial, &key)?;
        let missing = compare(&partial, &tree, &key, &record_path)?;
        fs::rename(&partial, dir).and_then(|()| sync_folder(dir)).map_err(|e| cannot(dir, e))?;
        Ok((tree, missing))
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    let (tree, missing) = made?;
    if let Some(missing) = missing {
        eprintln!("hint: {missing}");
    }
    Ok(format!("ok: {} entries, root {}", tree.size, tree.root))
}

/// Copies a backup's files and the keys into a directory that is not in its place yet.
fn copy(from: &Path, partial: &Path, keys: &[PathBuf]) -> Result<(), Failure> {
    let copied = || -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(partial.join("db"))?;
        for entry in fs::read_dir(from.join("db"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                copy_file(&entry.path(), &partial.join("db").join(entry.file_name()), 0o644)?;
            }
        }
        sync_folder(&partial.join("db").join("CURRENT"))?;
        for name in ["log.toml", "policy"] {
            copy_file(&from.join(name), &partial.join(name), 0o644)?;
        }
        write_new(&partial.join("lock"), b"", 0o600)?;
        sync_folder(&partial.join("lock"))
    };
    copied().map_err(|e| cannot(partial, e))?;
    let copy_named = |key: &PathBuf| {
        let name = match key_file::read(key)?.verifier().key().key_type() {
            KeyType::Ed25519 => KEY,
            _ => ML_DSA_KEY,
        };
        copy_file(key, &partial.join(name), 0o600).map_err(|e| cannot(partial, e))
    };
    keys.iter().try_for_each(copy_named)?;
    if keys.is_empty() {
        copy_keys(from, partial).map_err(|e| cannot(partial, e))?;
    }
    if !partial.join(KEY).exists() {
        return Err(Failure::new("the log's key is missing").hint(
            "a backup has keys only if it was made --with-keys; else name your copy of `log.skey` with --key",
        ));
    }
    sync_folder(&partial.join(KEY)).map_err(|e| cannot(partial, e))
}

/// Checks everything, as `fsck` does, and that it is what the backup was made with. Answers the tree.
fn check(from: &Path, partial: &Path, key: &VerifierKey) -> Result<Checkpoint, Failure> {
    let store = open(partial)?;
    let size = fsck::check_copy(&store, key)?;
    let replay = Replay::open(&store).map_err(|e| Failure::no("damaged: the backup").caused_by(e))?;
    let held = Checkpoint::new(key.name().as_str(), size, replay.tree().edge().root());
    let damaged = |cause: String| Failure::no("damaged: the backup's `checkpoint`").because(cause);
    match fs::read(from.join(CHECKPOINT)) {
        Ok(note) => {
            let made = open_checkpoint(&note, key).map_err(damaged)?;
            if (made.size, made.root) != (held.size, held.root) {
                let cause = format!("it is of {} entries, the database holds {}", made.size, held.size);
                return Err(damaged(cause));
            }
        }
        // Of a log that was never served.
        Err(e) if e.kind() == io::ErrorKind::NotFound && held.size == TreeSize::EMPTY => {}
        Err(e) => return Err(damaged(e.to_string())),
    }
    Ok(held)
}

/// What the record of what was signed knows, and the backup does not. Refuses a record of another tree.
fn compare(
    partial: &Path,
    held: &Checkpoint,
    key: &VerifierKey,
    record_path: &Path,
) -> Result<Option<String>, Failure> {
    let record = match SignedRecord::open(record_path).and_then(|record| record.read()) {
        Ok(record) => record,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!(
                "there is no record of what was signed at `{}`, and `serve` refuses without it: name it with \
                 --signed-record. A restore never makes one: it could not know what was signed after the backup",
                record_path.display()
            )));
        }
        Err(e) => return Err(Failure::new(format!("cannot read `{}`", record_path.display())).caused_by(e)),
    };
    let signed = open_checkpoint(record.as_bytes(), key).map_err(|e| {
        Failure::new(format!("`{}` is not this log's record of what was signed", record_path.display()))
            .because(e)
    })?;
    let store = open(partial)?;
    let replay = Replay::open(&store).map_err(|e| Failure::no("damaged: the backup").caused_by(e))?;
    match check_extends(&ReadsOf(&store), replay.tree(), &signed) {
        Ok(()) => Ok(None),
        Err(OpenError::RolledBack { size, signed }) => Ok(Some(format!(
            "this log has signed a checkpoint of {signed} entries, and the backup has {size}: `serve` refuses until \
             `log-server recover --dir D --from URL_OR_DIR` has brought the rest from a newer backup or a mirror",
        ))),
        Err(e) => Err(Failure::no(format!(
            "the backup of {} entries is not of the tree that was signed",
            held.size
        ))
        .caused_by(e)
        .hint("another backup may be; if none is, the origin is over: docs/log.md says what its successor needs")),
    }
}

fn open(partial: &Path) -> Result<RocksStore, Failure> {
    RocksStore::open_read_only(&partial.join("db"))
        .map_err(|e| Failure::new("cannot open the database of the backup").caused_by(e))
}

fn cannot(path: &Path, cause: io::Error) -> Failure {
    Failure::new(format!("cannot make the directory `{}`", path.display())).caused_by(cause)
}
