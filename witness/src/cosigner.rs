//! The witness itself: a request in, cosignatures or the reason out. Knows no HTTP.
//!
#![doc = include_str!("../../specs/witness.md")]

use std::sync::{Arc, PoisonError, RwLock};

use tlog::cosignature::{CosignatureError, Subtree};
use tlog::merkle::{ProofError, subtree};
use tlog::note::{Note, NoteSignature};
use tlog::sign_subtree::{SignSubtree, SignSubtreeError};

use crate::clock::{Clock, ClockJump};
use crate::decide::{Refusal, Seen, Submitted, decide, read_checkpoint, verified_lines};
use crate::findings;
use crate::keys::Keys;
use crate::logs::Logs;
use crate::metrics;
use crate::state::{Cosigned, State, StateError, Stopped, Update};

/// A witness.
#[derive(Debug)]
pub struct Cosigner {
    /// What it signs with.
    pub keys: Keys,
    /// What it has signed.
    pub state: State,
    /// When it signs.
    pub clock: Clock,
    logs: RwLock<Arc<Logs>>,
}

impl Cosigner {
    /// A witness with these parts.
    pub fn new(keys: Keys, state: State, clock: Clock, logs: Logs) -> Self {
        Self { keys, state, clock, logs: RwLock::new(Arc::new(logs)) }
    }

    /// The logs it cosigns now.
    pub fn logs(&self) -> Arc<Logs> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the logs. The state of a log that is gone stays (WIT-18).
    pub fn set_logs(&self, logs: Logs) {
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(logs);
    }

    /// Answers an add-checkpoint request: the signature lines of the response, durable.
    pub async fn add_checkpoint(&self, body: &[u8]) -> Result<String, Refused> {
        let logs = self.logs();
        let submitted = Submitted::read(body, &logs)?;
        self.refuse_held(&submitted.log.hash)?;
        let mut is_paid = false;
        for _ in 0..MAX_ATTEMPTS {
            let there = self.state.cosigned(&submitted.log.hash);
            let seen = there.map_or_else(Seen::nothing, |there| there.seen);
            let decided = decide(&seen, &submitted.proposal());
            if let Err(refusal) = &decided {
                self.look_for_contradiction(refusal, &submitted, &seen).await?;
            }
            let decided = decided?;
            let is_again = there.is_some() && decided == seen;
            if is_again && self.is_fresh(there)? {
                // With a line by each key: one that was added since signs at once.
                let lines = self.last_lines(&submitted)?;
                if lines.len() == self.keys.verifiers().len() {
                    return Ok(print(&lines));
                }
            }
            is_paid = is_paid || submitted.log.spend(!is_again);
            if !is_paid {
                let lines = if is_again { self.last_lines(&submitted)? } else { Vec::new() };
                return if lines.is_empty() { Err(Refused::LogBudget) } else { Ok(print(&lines)) };
            }
            let (update, lines) = self.sign(&submitted, decided, there)?;
            if self.state.replace(update).await? {
                metrics::cosigned();
                return Ok(print(&lines));
            }
        }
        Err(Refused::Busy)
    }

    /// Whether the last cosignatures are so young that they are given out again. Anybody can send a published checkpoint
    /// again, and each time would cost a signature and a sync.
    fn is_fresh(&self, there: Option<Cosigned>) -> Result<bool, Refused> {
        let now = self.clock.now(self.state.latest())?;
        Ok(there.is_some_and(|there| now.as_secs() < there.time.as_secs().saturating_add(FRESH_SECONDS)))
    }

    /// The lines that were given out last for a log, by the present keys; none if they are for another tree. They are also
    /// the answer once the budget for the same size is spent: others may have spent it, and then the lines are fresh.
    fn last_lines(&self, submitted: &Submitted<'_>) -> Result<Vec<NoteSignature>, Refused> {
        let note = self.state.note(&submitted.log.hash)?;
        let same = note.filter(|note| note.text() == submitted.checkpoint.to_string());
        let Some(note) = same else { return Ok(Vec::new()) };
        let ours = |line: &&NoteSignature| self.keys.verifiers().iter().any(|key| line.is_by(key));
        Ok(note.signatures().iter().filter(ours).cloned().collect())
    }

    /// Refuses a log about which the two records differ.
    fn refuse_held(&self, log: &tlog::Hash) -> Result<(), Held> {
        if self.state.held(log).is_some() { Err(Held) } else { Ok(()) }
    }

    /// Signs what was decided. Nobody has the signatures yet.
    fn sign(
        &self,
        submitted: &Submitted<'_>,
        seen: Seen,
        there: Option<Cosigned>,
    ) -> Result<(Update, Vec<NoteSignature>), Refused> {
        let now = self.clock.now(self.state.latest())?;
        // A resubmission is signed afresh; never with an earlier time than the last one of this log.
        let time = there.map_or(now, |there| there.time.max(now));
        let lines = self.keys.cosign(&submitted.checkpoint, time)?;
        let log_note = submitted.log_note();
        let mut note = log_note.clone();
        lines.iter().for_each(|line| note.add(line.clone()));
        let update = Update { log: submitted.log.hash, expected: there, seen, time, note, log_note };
        Ok((update, lines))
    }

    /// Keeps what a refused request proves against its log, before it is answered.
    async fn look_for_contradiction(
        &self,
        refusal: &Refusal,
        submitted: &Submitted<'_>,
        seen: &Seen,
    ) -> Result<(), Refused> {
        if !findings::is_suspect(refusal, submitted, seen) {
            return Ok(());
        }
        let history = self.state.history(&submitted.log.hash)?;
        let Some(fork) = findings::find(submitted, &history) else { return Ok(()) };
        // By any clock: a contradiction is one at whatever time it was found.
        let contradiction = findings::keep(submitted, &fork, self.clock.wall());
        if self.state.keep(contradiction).await? {
            metrics::contradictions(self.state.contradictions());
            let origin = &submitted.log.origin;
            tracing::error!(origin, "ALARM: a log has contradicted itself; `witness findings` shows how");
        }
        Ok(())
    }

    /// Answers a sign-subtree request: the signature lines of the response. Changes nothing.
    pub fn sign_subtree(&self, body: &[u8]) -> Result<String, SubtreeRefused> {
        if !self.keys.sign_subtrees() {
            return Err(SubtreeRefused::NotOffered);
        }
        let SignSubtree { start, end, root, proof, checkpoint: note } = SignSubtree::parse(body)?;
        let checkpoint = read_checkpoint(&note)?;
        if end > checkpoint.size.get() {
            return Err(SubtreeRefused::BeyondCheckpoint);
        }
        let logs = self.logs();
        let log = logs.get(&checkpoint.origin).ok_or_else(|| Refusal::unknown(&checkpoint))?;
        self.refuse_held(&log.hash)?;
        // SPEC: The witness MUST verify that the checkpoint includes a valid cosignature from one of its own
        //       keys.
        verified_lines(&note, self.keys.verifiers())?;
        subtree::verify_consistency(start, end, checkpoint.size, &proof, &root, &checkpoint.root)
            .map_err(SubtreeRefused::Proof)?;
        let of = Subtree { origin: &checkpoint.origin, start, end, root };
        Ok(print(&self.keys.cosign_subtree(&of)?))
    }

    /// The note that was cosigned last of the log with this origin hash.
    pub fn checkpoint(&self, log: &tlog::Hash) -> Result<Option<Note>, Refused> {
        self.refuse_held(log)?;
        let note = self.state.note(log)?;
        // It was cosigned, but the signatures are lost. "Not found" would say that this witness has forgotten the log.
        if note.is_none() && self.state.cosigned(log).is_some() { Err(Refused::NoNote) } else { Ok(note) }
    }
}

/// Signature lines as the response has them.
fn print(lines: &[NoteSignature]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Why no cosignature is given.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Each time that this request was to be persisted, another one had changed the log's state.
    #[error("other requests for the same log came first")]
    Busy,
    /// The clock cannot be right.
    #[error("this witness signs nothing because of its clock")]
    Clock(#[from] ClockJump),
    /// Nothing of this log is signed.
    #[error(transparent)]
    Held(#[from] Held),
    /// The log has grown too often.
    #[error("the log has asked for more cosignatures than were agreed on")]
    LogBudget,
    /// Only the tree of the last checkpoint is known, without signatures, until the log asks again.
    #[error(
        "this witness knows the size and root that it cosigned last of the log, and no signature of it any more"
    )]
    NoNote,
    /// A rule of the protocol.
    #[error(transparent)]
    Rule(#[from] Refusal),
    /// A key cannot sign this checkpoint: its origin has no room in the signature.
    #[error("the checkpoint cannot be cosigned: {0}")]
    Signature(#[from] CosignatureError),
    /// The state cannot be read.
    #[error("the witness could not read its own data")]
    State(#[from] StateError),
    /// The witness is stopping.
    #[error(transparent)]
    Stopping(#[from] Stopped),
}

/// The two records of what was cosigned of a log differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "this witness's two records of the log do not agree: it signs nothing of it until its operator decides"
)]
pub struct Held;

/// Why no subtree is signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SubtreeRefused {
    /// The subtree ends behind the checkpoint.
    #[error("the subtree ends behind the checkpoint")]
    BeyondCheckpoint,
    /// Nothing of this log is signed.
    #[error(transparent)]
    Held(#[from] Held),
    /// The request is not of its form.
    #[error(transparent)]
    Malformed(#[from] SignSubtreeError),
    /// The witness has no key that signs subtrees.
    #[error("this witness has no key that signs subtrees")]
    NotOffered,
    /// The proof does not lead from the subtree to the checkpoint.
    #[error("the subtree consistency proof does not verify: {0}")]
    Proof(ProofError),
    /// A rule that the two kinds of request share.
    #[error(transparent)]
    Rule(#[from] Refusal),
    /// The subtree cannot be signed.
    #[error("the subtree cannot be signed: {0}")]
    Signature(#[from] CosignatureError),
}

impl SubtreeRefused {
    /// The HTTP status that c2sp.org/tlog-witness gives to the broken rule.
    pub fn status(&self) -> u16 {
        match self {
            Self::BeyondCheckpoint | Self::Malformed(_) | Self::Signature(_) => 400,
            Self::NotOffered => 404,
            Self::Held(_) => 503,
            Self::Proof(_) => 422,
            // An empty tree has no subtree, so a checkpoint of size 0 has failed before its root is judged.
            Self::Rule(refusal) => refusal.status(),
        }
    }
}

/// How often a request is decided again because another request for the same log was persisted in between. A larger size
/// ends this one with 409, so only new times at the same size repeat it, once a second.
const MAX_ATTEMPTS: usize = 8;

/// How long the last lines are the answer to the same size and root.
const FRESH_SECONDS: u64 = 10;
