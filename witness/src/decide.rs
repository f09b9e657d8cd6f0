//! What a witness cosigns: pure rules, in the order in which they are judged (`specs/witness.md`).
//!
//! [`Submitted::read`] checks a request by itself: its form, whether the log is known, whether the log signed it.
//! [`decide`] compares it with what was cosigned before. The first broken rule is the answer.

use tlog::add_checkpoint::{AddCheckpoint, AddCheckpointError};
use tlog::checkpoint::{Checkpoint, CheckpointError};
use tlog::key::VerifierKey;
use tlog::merkle::{ProofError, consistency, empty_root};
use tlog::note::{Note, NoteError, NoteSignature};
use tlog::{Hash, TreeSize};

use crate::logs::{Log, Logs};

/// The tree of a log that was cosigned last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Its size.
    pub size: TreeSize,
    /// Its root.
    pub root: Hash,
}

impl Seen {
    /// The state before the first checkpoint of a log: the empty tree, which every tree extends.
    pub fn nothing() -> Self {
        Self { size: TreeSize::EMPTY, root: empty_root() }
    }
}

/// A tree that a log wants cosigned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proposal<'a> {
    /// The size from which the proof leads.
    pub old: TreeSize,
    /// The new tree.
    pub new: Seen,
    /// The consistency proof.
    pub proof: &'a [Hash],
}

/// Decides whether `proposal` may follow `seen`; answers what is seen then.
pub fn decide(seen: &Seen, proposal: &Proposal<'_>) -> Result<Seen, Refusal> {
    let Proposal { old, new, proof } = *proposal;
    // SPEC: The old size MUST be equal to or lower than the checkpoint size.
    if old > new.size {
        return Err(Refusal::OldAboveSize { old, size: new.size });
    }
    // SPEC: A checkpoint of size zero MUST have the root hash of the empty tree.
    if new.size == TreeSize::EMPTY && new.root != empty_root() {
        return Err(Refusal::EmptyRoot(new.root));
    }
    // SPEC: The witness MUST check that the old size matches the size of the latest checkpoint it cosigned
    //       for the checkpoint's origin (or zero if it never cosigned a checkpoint for that origin).
    if old != seen.size {
        return Err(Refusal::Stale(seen.size));
    }
    // SPEC: If the old size matches the checkpoint size, the witness MUST check that the root hashes are
    //       also identical.
    if old == new.size && new.root != seen.root {
        return Err(Refusal::Fork(old));
    }
    // SPEC: If the old size is zero, the consistency proof MUST be empty. RFC 6962 says the same of a tree
    //       and itself.
    if (old == TreeSize::EMPTY || old == new.size) && !proof.is_empty() {
        return Err(Refusal::ProofNotEmpty(proof.len()));
    }
    consistency::verify(old, new.size, proof, &seen.root, &new.root).map_err(Refusal::Inconsistent)?;
    assert!(new.size >= seen.size, "a witness never moves backwards");
    Ok(new)
}

/// A request of a known log, signed by it.
#[derive(Clone, Debug)]
pub struct Submitted<'l> {
    /// The log.
    pub log: &'l Log,
    /// The size from which the proof leads.
    pub old: TreeSize,
    /// The consistency proof.
    pub proof: Vec<Hash>,
    /// What the log signed.
    pub checkpoint: Checkpoint,
    /// The log's signatures that were verified, and no others. All other lines of the request are dropped here, above all
    /// lines under our own name (WIT-9).
    pub log_lines: Vec<NoteSignature>,
}

impl<'l> Submitted<'l> {
    /// Reads a request body.
    pub fn read(body: &[u8], logs: &'l Logs) -> Result<Self, Refusal> {
        let request = AddCheckpoint::parse(body).map_err(|error| malformed(body, error, logs))?;
        let AddCheckpoint { old, proof, checkpoint: note } = request;
        let checkpoint = read_checkpoint(&note)?;
        let log = logs.get(&checkpoint.origin).ok_or_else(|| Refusal::unknown(&checkpoint))?;
        let log_lines = verified_lines(&note, &log.keys)?;
        Ok(Self { log, old, proof, checkpoint, log_lines })
    }

    /// What [`decide`] compares with the state.
    pub fn proposal(&self) -> Proposal<'_> {
        let new = Seen { size: self.checkpoint.size, root: self.checkpoint.root };
        Proposal { old: self.old, new, proof: &self.proof }
    }

    /// The checkpoint with the log's signatures.
    pub fn log_note(&self) -> Note {
        // Print what was parsed, not the bytes that came (CP-8).
        let mut note = Note::unsigned(self.checkpoint.to_string());
        self.log_lines.iter().for_each(|line| note.add(line.clone()));
        note
    }
}

/// The checkpoint of a note; signatures are not looked at. One with extension lines is refused: an ML-DSA cosignature
/// would not cover them (WIT-10).
pub fn read_checkpoint(note: &Note) -> Result<Checkpoint, Refusal> {
    let checkpoint = Checkpoint::parse_any_root(note.text())?;
    if checkpoint.extensions.is_empty() { Ok(checkpoint) } else { Err(Refusal::Extensions) }
}

/// The lines of `note` by `keys`, the first of each key, all of them verified. Fails if there is none.
pub fn verified_lines(note: &Note, keys: &[VerifierKey]) -> Result<Vec<NoteSignature>, Refusal> {
    let signed = note.verify(keys).map_err(Refusal::BadSignature)?;
    let line = |key: &VerifierKey| note.signatures().iter().find(|line| line.is_by(key)).cloned();
    let lines: Vec<NoteSignature> = signed.iter().filter_map(|signed| line(signed.key)).collect();
    if lines.is_empty() { Err(Refusal::NoSignature) } else { Ok(lines) }
}

/// The rule that a malformed request breaks. A malformed signature line that names a key of the log counts as a signature
/// that does not verify. Any other malformed line makes the request malformed.
fn malformed(body: &[u8], error: AddCheckpointError, logs: &Logs) -> Refusal {
    let AddCheckpointError::Checkpoint(NoteError::SignatureLine(number)) = error else { return error.into() };
    let names_known_key = || {
        let (_, note) = std::str::from_utf8(body).ok()?.split_once("\n\n")?;
        let (text, lines) = note.rsplit_once("\n\n")?;
        let checkpoint = Checkpoint::parse_any_root(&format!("{text}\n")).ok()?;
        let log = logs.get(&checkpoint.origin).filter(|_| checkpoint.extensions.is_empty())?;
        let (name, blob) = lines.split('\n').nth(number - 1)?.strip_prefix("— ")?.split_once(' ')?;
        // The id is in the first eight digits; the signature begins there, too.
        let id = tlog::encoding::decode_base64(blob.get(..8)?)?;
        let names = |key: &VerifierKey| key.name().as_str() == name && id.starts_with(key.id().as_bytes());
        log.keys.iter().any(names).then_some(())
    };
    match names_known_key() {
        Some(()) => Refusal::BadSignature(NoteError::SignatureLine(number)),
        None => error.into(),
    }
}

/// Why a checkpoint is not cosigned, in the order in which the rules are judged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The request is not of its form.
    #[error(transparent)]
    Malformed(#[from] AddCheckpointError),
    /// The note's text is no checkpoint.
    #[error("the checkpoint is malformed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint has extension lines.
    #[error("a checkpoint with extension lines is not cosigned")]
    Extensions,
    /// No such log is configured.
    #[error("this witness does not know the log {}", tlog::encoding::quoted(.0))]
    UnknownLog(String),
    /// A line of a key of the log does not verify.
    #[error("{0}")]
    BadSignature(NoteError),
    /// No line of a key of the log.
    #[error("no key that this witness trusts for the log has signed the checkpoint")]
    NoSignature,
    /// The proof leads backwards.
    #[error("the old size {old} is above the checkpoint's size {size}")]
    OldAboveSize {
        /// The old size.
        old: TreeSize,
        /// The checkpoint's.
        size: TreeSize,
    },
    /// The empty tree with the root of another.
    #[error("a tree of size 0 has another root than {0}")]
    EmptyRoot(Hash),
    /// The proof leads from another size than that of the last cosigned checkpoint, which is this one.
    #[error("the last checkpoint that this witness cosigned has the size {0}")]
    Stale(TreeSize),
    /// Two roots for one size: the log has forked.
    #[error("this witness has cosigned another root for the size {0}")]
    Fork(TreeSize),
    /// A proof where none is needed.
    #[error("the proof must be empty here, and has {0} hashes")]
    ProofNotEmpty(usize),
    /// The proof does not lead from the old tree to the new one.
    #[error("the consistency proof does not verify: {0}")]
    Inconsistent(ProofError),
}

impl Refusal {
    /// An unknown log.
    pub fn unknown(checkpoint: &Checkpoint) -> Self {
        Self::UnknownLog(checkpoint.origin.clone())
    }

    /// The HTTP status that c2sp.org/tlog-witness gives to the broken rule.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Checkpoint(_) | Self::Extensions | Self::OldAboveSize { .. } => 400,
            Self::BadSignature(_) | Self::NoSignature => 403,
            Self::UnknownLog(_) => 404,
            Self::Stale(_) => 409,
            Self::EmptyRoot(_) | Self::Fork(_) | Self::ProofNotEmpty(_) | Self::Inconsistent(_) => 422,
        }
    }

    /// The rule's fixed name, for metrics.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Checkpoint(_) => "checkpoint",
            Self::Extensions => "extensions",
            Self::UnknownLog(_) => "unknown-log",
            Self::BadSignature(_) => "bad-signature",
            Self::NoSignature => "no-signature",
            Self::OldAboveSize { .. } => "old-above-size",
            Self::EmptyRoot(_) => "empty-root",
            Self::Stale(_) => "stale",
            Self::Fork(_) => "fork",
            Self::ProofNotEmpty(_) => "proof-not-empty",
            Self::Inconsistent(_) => "inconsistent",
        }
    }
}

#[cfg(test)]
mod tests;
