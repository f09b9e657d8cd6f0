//! `erase`: takes an envelope off the disk. The tree holds only its hash, and stays as it is.

use std::path::PathBuf;

use tlog::Hash;

use crate::Failure;
use crate::directory::Directory;
use crate::replay::Replay;
use crate::sequencer::OpenError;
use crate::store::schema::Read as _;
use log_core::port::{Objects as _, StoredEnvelope, Tombstone, ready};
use log_rocksdb::ReadsOf;

/// Erase a published envelope; its entry, proofs and receipts stay valid
///
/// The log must not be running. A tombstone with the reason is kept, and the envelope is not taken again.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The envelope's hash: 64 hex digits
    pub hash: String,
    /// Why, for whoever asks for the envelope
    #[arg(long)]
    pub reason: String,
    /// The log's directory
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Erases the envelope.
pub fn run(args: &Args) -> Result<String, Failure> {
    let hash = Hash::from_hex(&args.hash).ok_or_else(|| {
        Failure::new(format!("`{}` is not 64 lower-case hex digits", args.hash.escape_debug()))
    })?;
    let directory = Directory::lock(&args.dir)?;
    let unreadable = |e: OpenError| Failure::new(format!("cannot erase {hash}")).caused_by(e);
    let store = directory.store(|store| Replay::open(&**store).map(drop).map_err(unreadable))?;
    let failed = |e| Failure::new(format!("cannot erase {hash}")).caused_by(e);
    let tombstone =
        Tombstone { reason: args.reason.clone(), erased_at: service::clock::wall().as_millis() as u64 };
    let before = store.envelope(&hash).map_err(failed)?;
    // Also of one that was erased before: an earlier run may have broken off before the old bytes were gone.
    ready(ReadsOf(&*store).erase(&hash, &tombstone)).map_err(|e| failed(e.into_error()))?;
    match before {
        Some(StoredEnvelope::Present(_)) => (),
        Some(StoredEnvelope::Erased(tombstone)) => {
            return Err(Failure::new(format!("{hash} was erased before: {}", tombstone.reason)));
        }
        None => {
            return Err(Failure::new(format!("no envelope {hash} is in this log"))
                .hint("`envelopeHash` in the entry's leaf names it; entries logged by hash have none here"));
        }
    }
    Ok(format!("erased {hash}"))
}
