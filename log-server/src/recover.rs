//! `recover`: a directory that is behind what was signed gets the missing entries back.

use std::io;
use std::path::{Path, PathBuf};

use service::key_file;
use tlog::checkpoint::Checkpoint;
use tlog::key::KeyType;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::{TreeSize, merkle};

use log_core::port::{Head as _, ready};
use log_core::stored::{check_extends, stored_hashes};
use log_rocksdb::ReadsOf;

use crate::Failure;
use crate::config::default_signed_record;
use crate::directory::Directory;
use crate::init::{make_directory, make_store};
use crate::replay::{Replay, check_beginning, check_tiles, contradiction};
use crate::sequencer::opening::signed_before;
use crate::sequencer::{Engine, OpenError};
use crate::signed_record::{Held, SignedRecord};
use crate::sigstore_note::SigstoreName;
use crate::source::{self, Opened, Source, open_checkpoint};
use crate::store::schema::{self, Read as _};
use crate::store::{Batch, Store};
use log_core::log_keys::LogKeys;

/// Bring entries that were signed, and are not in the directory, back from a mirror or a backup
///
/// Every entry is proven to be of the tree that the log signed before it is written. What is broken off goes on
/// where it stopped. Envelopes come along from a backup, or from a server that is one of ours.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The log's directory
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// A mirror's URL, a folder with its `checkpoint` and `tile/`, a backup, or another copy of the directory
    #[arg(long, value_name = "URL_OR_DIR")]
    pub from: String,
    /// When the directory is lost and there is no backup: make it anew under this key, a copy of `log.skey`
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The second record of what was signed [default: as `serve` finds it]
    #[arg(long, env = "AIP_LOG_SIGNED_RECORD", value_name = "FILE")]
    pub signed_record: Option<PathBuf>,
}

/// Recovers the directory and says what is in it.
pub fn run(args: &Args) -> Result<String, Failure> {
    // Until everything is back.
    let _held = match &args.key {
        Some(key) => make_anew(args, key)?,
        None => None,
    };
    let directory = Directory::lock(&args.dir)?;
    let file = directory.settings()?;
    let identity = directory.identity(&file)?;
    let record_path =
        args.signed_record.clone().unwrap_or_else(|| file.settings.signed_record_path(&args.dir));
    let record = SignedRecord::open(&record_path).map_err(|e| no_record(&record_path, e))?;
    let refused =
        |e: OpenError| Failure::new(format!("cannot recover `{}`", args.dir.display())).caused_by(e);
    let store = directory.store(|store| Replay::open(&**store).map(drop).map_err(refused))?;
    let engine = Engine::open(store.clone()).map_err(refused)?;
    let heads = ready(engine.heads()).map_err(|e| refused(e.into()))?;
    let signed = ready(signed_before(&heads, &record, &identity)).map_err(refused)?;
    let Opened { source, held, published } = source::open(&args.from, identity.key.verifier())?;
    check_tiles(&*source, &held)?;
    let mut replay = Replay::open(&*store).map_err(refused)?;
    for signed in signed.checkpoints().chain([&held]) {
        check_one_tree(&*store, &replay, &*source, &held, signed)?;
    }
    let before = replay.state().size;
    if held.size.get() > before {
        replay.run(&*source, &held)?;
    }
    let envelopes = replay.envelopes;
    // From the disk: what the next start will find.
    let replay = Replay::open(&*store).map_err(refused)?;
    let state = replay.state();
    for signed in signed.checkpoints() {
        match check_extends(&ReadsOf(&*store), replay.tree(), signed) {
            Ok(()) => {}
            Err(OpenError::RolledBack { size, signed }) => {
                return Err(not_reached(size, signed, size - before));
            }
            Err(e) => return Err(contradiction().caused_by(e)),
        }
    }
    let mut notes = Batch::default();
    // As after a round: both records say the same.
    schema::put_signed(&mut notes, &signed.last().note.to_string());
    if let Some(note) = published
        && shows_more(&directory, &*store, &identity, &note)?
    {
        schema::put_published(&mut notes, &note.to_string());
    }
    store.write(&notes).map_err(|e| Failure::new("a write failed: run it again").caused_by(e))?;
    Ok(format!(
        "ok: {} entries, root {}, {} of them brought back with {envelopes} envelopes",
        state.size,
        state.root,
        state.size - before
    ))
}

/// Makes the directory with an empty tree. The record of what was signed, which must be there, keeps it from
/// being served before everything is back.
fn make_anew(args: &Args, key: &Path) -> Result<Option<Held>, Failure> {
    let key = key_file::read(key)?;
    if key.verifier().key().key_type() != KeyType::Ed25519 {
        return Err(Failure::new("the log's key is the one of `log.skey`: Ed25519"));
    }
    let record = args.signed_record.clone().unwrap_or_else(|| default_signed_record(&args.dir));
    let held = SignedRecord::hold_for(&record, &args.dir)?;
    let note = SignedRecord::open(&record).and_then(|record| record.read());
    let note = note.map_err(|e| no_record(&record, e))?;
    open_checkpoint(note.as_bytes(), key.verifier()).map_err(|e| {
        Failure::new(format!("`{}` is not what this key signed last", record.display())).because(e)
    })?;
    let sigstore = SigstoreName::of(key.verifier().name().as_str(), key.verifier().key());
    let identity = LogKeys { key, ml_dsa: None, sigstore };
    make_directory(&args.dir, &identity, None, args.signed_record.clone()).map_err(|e| {
        Failure::new(format!("cannot make the directory `{}`", args.dir.display()))
            .caused_by(e)
            .hint("with --key it must not exist; without, what is there is recovered")
    })?;
    make_store(&args.dir.join("db")).map_err(|e| Failure::new("cannot make the database").caused_by(e))?;
    eprintln!(
        "hint: policy and settings are those that `init` writes: put yours back into `{}` before the log is served",
        args.dir.display()
    );
    Ok(held)
}

fn no_record(path: &Path, cause: io::Error) -> Failure {
    Failure::new(format!("the record of what was signed, `{}`, cannot be read", path.display()))
        .caused_by(cause)
        .hint("name it with --signed-record; without it nobody knows how far to go")
}

/// Whether the note that the source shows as published is newer than the directory's and has the quorum of the
/// directory's policy. Only such a note is shown: a log's published checkpoint never goes back, and always has its quorum.
fn shows_more(
    directory: &Directory,
    store: &dyn Store,
    identity: &LogKeys,
    note: &Note,
) -> Result<bool, Failure> {
    let policy: Policy = directory
        .policy()?
        .parse()
        .map_err(|e| Failure::new("the log's own policy is malformed").caused_by(e))?;
    let size =
        |text: &str| open_checkpoint(text.as_bytes(), identity.key.verifier()).ok().map(|shown| shown.size);
    let known = store.published().map_err(|e| Failure::no("damaged: the database").caused_by(e))?;
    Ok(size(&note.to_string()) > known.and_then(|known| size(&known)) && policy.quorum(note).is_ok())
}

/// Whether a signed checkpoint is of the same tree as the directory and the source, as far as they go.
fn check_one_tree(
    store: &dyn Store,
    replay: &Replay<'_>,
    source: &dyn Source,
    held: &Checkpoint,
    signed: &Checkpoint,
) -> Result<(), Failure> {
    if signed.size <= TreeSize::new(replay.state().size) {
        let root = merkle::root(&stored_hashes(&ReadsOf(store), replay.tree().edge()), signed.size)
            .map_err(|e| Failure::no("damaged: the database").caused_by(e))?;
        if root != signed.root {
            return Err(contradiction().caused_by(OpenError::Contradiction {
                size: signed.size.get(),
                root,
                signed: signed.root,
            }));
        }
    }
    if signed.size <= held.size {
        check_beginning(source, signed.size, &signed.root, held)?;
    }
    Ok(())
}

/// The source ends before what was signed.
fn not_reached(size: u64, signed: u64, brought: u64) -> Failure {
    Failure::new(format!(
        "this log has signed a checkpoint of {signed} entries, and the directory now has {size}, {brought} of them \
         brought back: {} are still missing",
        signed - size
    ))
    .hint(
        "name a source that has more: every mirror, copy of the directory and newer backup there is. If none has, the origin is \
         over, since signing again would fork it. A successor needs a new origin and a new key (`log-server init`); \
         announce it with the last good checkpoint, and let consumers pin the successor's policy. Receipts that \
         they have stay valid",
    )
}
