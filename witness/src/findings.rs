//! Contradictions, and findings of them: two checkpoints that a log signed and that cannot both be true.
//!
//! A refused request may carry one. The witness compares the checkpoint and the proof of the request with the checkpoints
//! that it remembers of the log. A contradiction is another root for a size that was cosigned, or a proof that leads to the
//! new tree from another old tree than the cosigned one. It is kept for ever, logged as an alarm and counted. Nothing else
//! changes: the log may still extend what was cosigned.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use attestation::entry::LogTime;
use attestation::finding::{Finding, Proof};
use serde::{Deserialize, Serialize};
use service::durable::replace;
use tlog::checkpoint::{Checkpoint, is_origin};
use tlog::fork::Fork;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::{Hash, UnixTime};

use crate::Failure;
use crate::decide::{Refusal, Seen, Submitted};
use crate::directory::look;
use crate::state::{Contradiction, read_contradictions};

/// Whether a refused request can contradict what was cosigned. Most requests are only late, or ask for our size.
pub fn is_suspect(refusal: &Refusal, submitted: &Submitted<'_>, seen: &Seen) -> bool {
    let new = submitted.proposal().new;
    match refusal {
        Refusal::Fork(_) | Refusal::Inconsistent(_) => true,
        // A log that asks for our size sends a larger tree and no proof.
        Refusal::Stale(_) => {
            new.size < seen.size
                || new.size == seen.size && new.root != seen.root
                || !submitted.proof.is_empty()
        }
        _ => false,
    }
}

/// The contradiction between a request that was refused and a log's `history`, if there is one.
pub fn find(submitted: &Submitted<'_>, history: &[Note]) -> Option<Fork> {
    history.iter().find_map(|older| {
        let size = Checkpoint::parse(older.text()).ok()?.size;
        if size == submitted.checkpoint.size {
            Fork::of_one_size(older.clone(), submitted.log_note()).ok()
        } else if size == submitted.old && size < submitted.checkpoint.size {
            Fork::from_proof(older.clone(), submitted.log_note(), submitted.proof.clone()).ok()
        } else {
            None
        }
    })
}

/// What is kept of a fork. JSON; the notes carry the log's signatures only.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeptFork {
    origin: String,
    vkeys: Vec<String>,
    /// Unix seconds, by the witness's clock.
    found_at: u64,
    older: String,
    newer: String,
    prefix_root: String,
    proof: Vec<String>,
}

/// A fork as it is to be kept.
pub fn keep(submitted: &Submitted<'_>, fork: &Fork, found_at: UnixTime) -> Contradiction {
    let kept = KeptFork {
        origin: submitted.log.origin.clone(),
        vkeys: submitted.log.keys.iter().map(ToString::to_string).collect(),
        found_at: found_at.as_secs(),
        older: fork.older.to_string(),
        newer: fork.newer.to_string(),
        prefix_root: fork.prefix_root.to_base64(),
        proof: fork.proof.iter().map(|hash| hash.to_base64()).collect(),
    };
    let kept = serde_json::to_vec(&kept).expect("strings and numbers are JSON");
    // The id is made of the texts, not of the signatures: the log could sign the same texts again and again.
    let id = Hash::of_parts(&[fork.older.text().as_bytes(), b"\n", fork.newer.text().as_bytes()]);
    Contradiction { log: submitted.log.hash, id, kept }
}

impl KeptFork {
    fn fork(&self) -> Option<Fork> {
        Some(Fork {
            older: Note::parse(self.older.as_bytes()).ok()?,
            newer: Note::parse(self.newer.as_bytes()).ok()?,
            prefix_root: Hash::from_base64(&self.prefix_root)?,
            proof: self.proof.iter().map(|hash| Hash::from_base64(hash)).collect::<Option<_>>()?,
        })
    }

    /// The finding that others confirm offline. `None` for a log whose keys are not called like it: a finding has
    /// no room for that, and such a log's contradictions are exported as it is kept.
    pub fn finding(&self) -> Option<Finding> {
        let vkeys: Vec<VerifierKey> = self.vkeys.iter().filter_map(|vkey| vkey.parse().ok()).collect();
        let named = vkeys.iter().all(|key: &VerifierKey| key.name().as_str() == self.origin);
        if !is_origin(&self.origin)
            || vkeys.is_empty()
            || vkeys.len() > attestation::finding::MAX_VKEYS
            || !named
        {
            return None;
        }
        let found_at = LogTime::from_millis(self.found_at.saturating_mul(1_000))?;
        let detail =
            "the log asked a witness to cosign a tree that contradicts one it had asked it to cosign";
        Some(Finding::new(&self.origin, vkeys, found_at, detail, Proof::Fork(self.fork()?)))
    }
}

/// Show the contradictions that logs have signed, and export them for others to confirm
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The witness's directory
    #[arg(long, env = "AIP_WITNESS_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Folder to write each contradiction to, as a finding for `aip-attest inspect --finding`
    #[arg(long, value_name = "FOLDER")]
    pub export: Option<PathBuf>,
}

/// Answers what is to be printed. Reads the directory also while the witness is served.
pub fn run(args: &Args) -> Result<String, Failure> {
    let damaged = || Failure::new(format!("the contradictions in `{}` cannot be read", args.dir.display()));
    let store = look(&args.dir)?;
    let mut text = String::new();
    for value in read_contradictions(&store, None).map_err(|e| damaged().caused_by(e))? {
        let kept: KeptFork = serde_json::from_slice(&value).map_err(|e| damaged().caused_by(e))?;
        let fork = kept.fork().ok_or_else(damaged)?;
        let (Ok(older), Ok(newer)) =
            (Checkpoint::parse(fork.older.text()), Checkpoint::parse(fork.newer.text()))
        else {
            return Err(damaged());
        };
        let found_at = UNIX_EPOCH + Duration::from_secs(kept.found_at);
        let _ = writeln!(text, "{}\n  found {}", kept.origin, humantime::format_rfc3339_seconds(found_at));
        let _ = writeln!(text, "  size {}  root {}", older.size, older.root.to_base64());
        let _ = writeln!(text, "  size {}  root {}", newer.size, newer.root.to_base64());
        if newer.size > older.size {
            let _ = writeln!(
                text,
                "  whose first {} entries have the root {}",
                older.size,
                fork.prefix_root.to_base64()
            );
        }
        if let Some(folder) = &args.export {
            let _ = writeln!(text, "  {}", export(&kept, folder)?.display());
        }
    }
    Ok(text)
}

/// Writes one contradiction; one that is there already stays as it is.
fn export(kept: &KeptFork, folder: &Path) -> Result<PathBuf, Failure> {
    let (name, json) = match kept.finding() {
        Some(finding) => (finding.file_name(), finding.to_json()),
        None => {
            let json = serde_json::to_string(kept).expect("strings and numbers are JSON");
            (format!("fork-{}.json", &Hash::of(json.as_bytes()).to_string()[..16]), json)
        }
    };
    let path = folder.join(name);
    if !path.exists() {
        let cannot = |e| Failure::new(format!("cannot write `{}`", path.display())).caused_by(e);
        fs::create_dir_all(folder).map_err(cannot)?;
        replace(&path, json.as_bytes()).map_err(cannot)?;
    }
    Ok(path)
}
