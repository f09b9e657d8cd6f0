//! What is one's own among the entries of watched DIDs: a folder with the receipts of one's runs.
//!
//! An entry is known if a receipt there proves it: every check of `specs/receipt.md` by the monitor's policy, and the
//! same leaf. Nothing weaker counts: who has the key can sign the same artifact again. Events, such as rotations, have no
//! receipts.
//!
//! The folder is read when there are alerts to judge, a file again when it has changed. Who can write there can silence
//! an alarm only with a receipt of the very entry.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::receipt::{Receipt, Signers, Verdict, VerifyPolicy};
use tlog::Hash;
use tlog::merkle::leaf_hash;
use tlog::policy::Policy;

use crate::Failure;
use crate::told::Told;

/// The receipts of one's own runs.
pub(super) struct Known {
    folder: PathBuf,
    /// How long an entry may be there before its receipt is.
    within: Duration,
    origin: String,
    policy: Policy,
    dids: Vec<Did>,
    files: HashMap<PathBuf, Proves>,
    leaves: HashSet<Hash>,
}

/// What an entry is, by the receipts that are there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// A receipt proves it.
    Own,
    /// No receipt does.
    Foreign,
    /// No receipt does, and one may still come.
    NotKnownYet,
}

/// A file as it was read.
#[derive(Clone, Copy)]
struct Proves {
    stamp: Stamp,
    leaf: Option<Hash>,
}

/// Length, time of change in seconds and nanoseconds, inode: another one, and the file is read again.
type Stamp = (u64, i64, i64, u64);

impl Known {
    /// The folder, which has to be there; nothing is read yet.
    pub(super) fn open(
        folder: &Path,
        within: Duration,
        origin: &str,
        policy: &Policy,
        dids: Vec<Did>,
    ) -> Result<Self, Failure> {
        fs::read_dir(folder).map_err(|e| cannot_read(folder, e))?;
        Ok(Self {
            folder: folder.to_owned(),
            within,
            origin: origin.to_owned(),
            policy: policy.clone(),
            dids,
            files: HashMap::new(),
            leaves: HashSet::new(),
        })
    }

    /// Reads what is new there. What was there and is not any more proves nothing any more.
    pub(super) fn read(&mut self) -> Result<(), Failure> {
        let mut there = HashMap::new();
        let found = receipts(&self.folder).map_err(|e| cannot_read(&self.folder, e))?;
        for (path, stamp) in found {
            let known = self.files.get(&path).filter(|proves| proves.stamp == stamp).copied();
            let proves = known.unwrap_or_else(|| Proves { stamp, leaf: self.leaf_of(&path) });
            there.insert(path, proves);
        }
        self.leaves = there.values().filter_map(|proves| proves.leaf).collect();
        self.files = there;
        Ok(())
    }

    /// Whose an entry is.
    pub(super) fn whose(&self, told: &Told, now: LogTime) -> Whose {
        if told.leaf_hash().is_some_and(|leaf| self.leaves.contains(&leaf)) {
            return Whose::Own;
        }
        // No receipt of an event comes, and it may be the thief's rotation.
        if told.is_event() {
            return Whose::Foreign;
        }
        let within = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        let ends = told.since().saturating_add(within);
        if now.as_millis() < ends { Whose::NotKnownYet } else { Whose::Foreign }
    }

    /// The leaf that a file proves; what should prove one and does not is told once.
    fn leaf_of(&self, path: &Path) -> Option<Hash> {
        match read(path).map_err(|e| e.to_string()).and_then(|bytes| self.proven(&bytes)) {
            Ok(leaf) => leaf,
            Err(why) => {
                // Whoever names files here must not write lines of ours.
                tracing::warn!(file = ?path, why, "a file in --known proves no entry");
                None
            }
        }
    }

    /// The leaf that a receipt proves; `None` for one of another log, of a DID that is not watched, or that no log has
    /// answered.
    fn proven(&self, bytes: &[u8]) -> Result<Option<Hash>, String> {
        let receipt = Receipt::parse(bytes).map_err(|e| e.to_string())?;
        let Some(logged) = receipt.log_answer().filter(|logged| logged.checkpoint().origin == self.origin)
        else {
            return Ok(None);
        };
        let subjects = receipt.statement().subjects();
        let Some(subject) = subjects.first().filter(|_| self.dids.contains(&receipt.did())) else {
            return Ok(None);
        };
        let demands = VerifyPolicy::new(&self.policy, Signers::OneOf(self.dids.clone()));
        let report = receipt.verify(&demands, &subject.sha256, None);
        match (report.verdict(), report.fault()) {
            (Verdict::Verified, _) => Ok(Some(leaf_hash(&logged.entry.to_bytes()))),
            (_, Some((check, fault))) => Err(format!("{check}: {fault}")),
            (_, None) => Err("it is not verified".to_owned()),
        }
    }
}

/// The receipts below a folder, at most [`MAX_FILES`]; links to folders are not followed.
fn receipts(folder: &Path) -> io::Result<Vec<(PathBuf, Stamp)>> {
    let (mut found, mut folders) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            // A run's folder may go while we look; the folder itself may not.
            Err(e) if e.kind() == io::ErrorKind::NotFound && depth > 0 => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
                continue;
            }
            if !entry.file_name().to_string_lossy().ends_with(SUFFIX) {
                continue;
            }
            // One that is gone again proves nothing.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            if found.len() == MAX_FILES {
                tracing::warn!(most = MAX_FILES, "--known has more receipts: the others are not read");
                return Ok(found);
            }
            let stamp = (metadata.len(), metadata.ctime(), metadata.ctime_nsec(), metadata.ino());
            found.push((path, stamp));
        }
    }
    Ok(found)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

fn cannot_read(folder: &Path, error: io::Error) -> Failure {
    Failure::new(format!("cannot read the receipts in `{}`", folder.display()))
        .caused_by(error)
        .hint("--known names a folder with the receipts of your own runs")
}

/// What the name of every receipt ends in (`specs/receipt.md`).
const SUFFIX: &str = ".receipt.json";

/// The longest receipt that is read, as by the command line.
const MAX_BYTES: u64 = 64 << 20;

/// Receipts that are looked at: about 300 bytes of memory each.
const MAX_FILES: usize = 100_000;

/// Folders within the folder: a run may have one of its own.
const MAX_DEPTH: usize = 8;
