//! `backup`: a verified copy of a log, also while it is served.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use service::durable::{sync_folder, write_new};
use tlog::key::{KeyType, VerifierKey};
use tlog::policy::Policy;

use crate::Failure;
use crate::directory::{Directory, read_policy, read_settings};
use crate::fsck;
use crate::init::make_store;
use crate::replay::{Replay, check_tiles};
use crate::snapshot::Snapshot;
use crate::source::{Opened, stored};
use crate::store::rocks::RocksStore;
use crate::store::schema::{self, Read as _};
use crate::store::{Batch, Store, damage};

/// Copy a log, running or not, and check the copy
///
/// The copy is the tree of the last signed checkpoint, with its lookups, envelopes, settings and policy. It has
/// neither the log's key nor the record of what was signed: keep the key elsewhere, and never copy the record.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The log's directory
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// The backup to make: a new folder
    #[arg(long, value_name = "DEST")]
    pub to: PathBuf,
    /// Copy the log's secret keys as well: whoever has the backup can then fork the log
    #[arg(long)]
    pub with_keys: bool,
}

/// Makes the backup and says what is in it.
pub fn run(args: &Args) -> Result<String, Failure> {
    let start = Instant::now();
    let partial = args.to.with_added_extension("partial");
    if args.to.exists() {
        return Err(Failure::new(format!("`{}` is there", args.to.display()))
            .hint("a backup is never overwritten: name a new folder, such as one with the date"));
    }
    let file = read_settings(&args.dir)?;
    let key = public_key(&read_policy(&args.dir)?, &file.origin)?;
    let running = Running::open(&args.dir)?;
    make_partial(&partial).map_err(|e| left_over(e.kind(), cannot(&partial, e)))?;
    let made = copy(running.store.clone(), &key, &partial).and_then(|line| {
        copy_files(args, &partial).map_err(|e| cannot(&partial, e))?;
        fs::rename(&partial, &args.to)
            .and_then(|()| sync_folder(&args.to))
            .map_err(|e| cannot(&args.to, e))?;
        Ok(line)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    Ok(format!("ok: {}, {:.1} s", made?, start.elapsed().as_secs_f64()))
}

/// Copies the tree, and reads the copy again.
fn copy(from: Arc<RocksStore>, key: &VerifierKey, partial: &Path) -> Result<String, Failure> {
    let Opened { source, held, .. } = stored::of(from.clone(), key)?;
    check_tiles(&source, &held)?;
    let db = partial.join("db");
    let failed = |e| Failure::new("cannot write the copy").caused_by(e);
    make_store(&db).map_err(failed)?;
    let to = RocksStore::open(&db).map_err(failed)?;
    let mut replay = Replay::open(&to).map_err(|e| Failure::new("cannot write the copy").caused_by(e))?;
    replay.run(&source, &held)?;
    let envelopes = replay.envelopes;
    let mut notes = Batch::default();
    if let Some(note) = from.published().map_err(failed)? {
        schema::put_published(&mut notes, &note);
    }
    if let Some(note) = from.signed().map_err(failed)? {
        schema::put_signed(&mut notes, &note);
        // Beside the database: one that has lost its end would not know it.
        write_new(&partial.join(CHECKPOINT), note.as_bytes(), 0o644).map_err(|e| cannot(partial, e))?;
    }
    to.write(&notes).map_err(failed)?;
    drop(to);
    let copy = RocksStore::open_read_only(&db).map_err(failed)?;
    fsck::check_hashes(&copy, key)?;
    Ok(format!("{} entries, {envelopes} envelopes, root {}", held.size, held.root))
}

/// Settings and policy; the keys if that is asked for.
fn copy_files(args: &Args, partial: &Path) -> io::Result<()> {
    for name in ["log.toml", "policy"] {
        copy_file(&args.dir.join(name), &partial.join(name), 0o644)?;
    }
    if args.with_keys {
        copy_keys(&args.dir, partial)?;
    }
    sync_folder(&partial.join("db"))
}

/// Copies every `.skey` of a directory.
pub(crate) fn copy_keys(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "skey")) {
            copy_file(&path, &to.join(name), 0o600)?;
        }
    }
    Ok(())
}

/// Copies a file to a new one, durably. It never has more rights than `mode`, also while it is written.
pub(crate) fn copy_file(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    let mut to = File::options().write(true).create_new(true).mode(mode).open(to)?;
    io::copy(&mut File::open(from)?, &mut to)?;
    to.sync_all()
}

/// The key that the policy names for the log. The secret one is not needed to check signatures.
fn public_key(policy: &str, origin: &str) -> Result<VerifierKey, Failure> {
    let policy: Policy =
        policy.parse().map_err(|e| Failure::new("the log's own policy is malformed").caused_by(e))?;
    let log = policy
        .logs()
        .iter()
        .find(|log| log.vkey.name().as_str() == origin && log.vkey.key().key_type() == KeyType::Ed25519);
    log.map(|log| log.vkey.clone())
        .ok_or_else(|| Failure::new(format!("the log's own policy does not name the log `{origin}`")))
}

/// The store of a log as it is at one moment.
struct Running {
    store: Arc<RocksStore>,
    /// After the store, which reads it.
    _held: Held,
}

enum Held {
    /// Nobody else has the directory: nobody writes.
    Directory { _lock: Directory },
    /// Somebody has.
    Snapshot { _snapshot: Snapshot },
}

impl Running {
    fn open(dir: &Path) -> Result<Self, Failure> {
        if let Some(directory) = Directory::try_lock(dir)? {
            let store = directory.store_read_only()?;
            return Ok(Self { store, _held: Held::Directory { _lock: directory } });
        }
        let snapshot = Snapshot::ask(dir)?;
        let cannot = |e| Failure::new("cannot open the snapshot of the running log").caused_by(e);
        let found = damage::examine(snapshot.path()).map_err(cannot)?;
        if !found.is_empty() {
            let failure =
                found.into_iter().fold(Failure::new("damaged: the running log's database"), Failure::because);
            return Err(
                failure.hint("the running process has what was written: stop it, and it writes it anew")
            );
        }
        let store = RocksStore::open_read_only(snapshot.path()).map_err(cannot)?;
        Ok(Self { store: Arc::new(store), _held: Held::Snapshot { _snapshot: snapshot } })
    }
}

/// Makes the folder that gets its name when it is whole.
pub(crate) fn make_partial(partial: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(partial)
}

/// Says what such a folder is that is there already.
pub(crate) fn left_over(kind: ErrorKind, failure: Failure) -> Failure {
    match kind {
        ErrorKind::AlreadyExists => {
            failure.hint("it is left of a run that was broken off, and may be removed")
        }
        _ => failure,
    }
}

fn cannot(path: &Path, cause: io::Error) -> Failure {
    Failure::new(format!("cannot make the backup `{}`", path.display())).caused_by(cause)
}

/// The signed checkpoint that a backup holds.
pub(crate) const CHECKPOINT: &str = "checkpoint";
