//! Evidence about DIDs, verified before anybody sees it (`specs/evidence.md`). Opens no socket: `verify` stands on it;
//! `fresh_evidence` asks a log.

use std::fmt::{self, Display};
use std::path::Path;

use attestation::Did;
use attestation::evidence::{Evidence, EvidenceError, MAX_BYTES, Proven};
use attestation::identity::Identity;
use tlog::TreeSize;
use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use crate::bounded_file::{read_bounded, read_found};
use crate::policy_file::pins::{Pin, Pins};
use crate::report::{Failure, Result};

/// Evidence from a file that nobody has verified. It is read once, since it may come through a pipe.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    evidence: Evidence,
    whose: String,
}

impl Claimed {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let whose = format!("the evidence `{}`", path.display());
        let bytes = read_bounded(path, MAX_BYTES as u64)
            .map_err(|error| Failure::new(format!("cannot read {whose}")).caused_by(error))?;
        Ok(Self { evidence: parse(&bytes, &whose)?, whose })
    }

    /// Reads a file that lies where [`crate::states`] keeps one, and may be anything.
    pub(crate) fn read_kept(path: &Path) -> Result<Self> {
        let whose = format!("the kept state `{}`", path.display());
        let bytes = read_found(path, MAX_BYTES as u64)
            .map_err(|error| Failure::new(format!("cannot read {whose}")).caused_by(error))?;
        Ok(Self { evidence: parse(&bytes, &whose)?, whose })
    }

    /// The size of the tree that it says it is of.
    pub(crate) fn size(&self) -> Option<TreeSize> {
        Checkpoint::parse(self.evidence.checkpoint.text()).ok().map(|checkpoint| checkpoint.size)
    }

    /// Whether `log` signed the checkpoint.
    pub(crate) fn is_signed_by(&self, log: &VerifierKey) -> bool {
        let signed = self.evidence.checkpoint.verify(std::slice::from_ref(log));
        signed.is_ok_and(|signed| !signed.is_empty())
    }

    /// The log that it says it is of, to find the policy that judges it.
    pub(crate) fn origin(&self) -> &str {
        self.evidence.checkpoint.text().lines().next().unwrap_or_default()
    }

    /// Verifies it. It is refused if more was seen of its log since: it could hide what came later.
    pub(crate) fn verify(&self, policy: &Policy, pins: &Pins) -> Result<Proven> {
        let proven = self.verify_of_any_time(policy)?;
        if let Some(pin) = pins.of_key(proven.log()) {
            refuse_older(pin, &proven, &self.whose)?;
        }
        Ok(proven)
    }

    /// Verifies it, however much was seen of its log since.
    pub(crate) fn verify_of_any_time(&self, policy: &Policy) -> Result<Proven> {
        self.prove(policy).map_err(|error| refuted(&self.whose, error))
    }

    /// The same, for who has other words for what is wrong.
    pub(crate) fn prove(&self, policy: &Policy) -> Result<Proven, EvidenceError> {
        self.evidence.verify(policy)
    }

    /// What was verified.
    pub(crate) fn into_evidence(self) -> Evidence {
        self.evidence
    }
}

/// `the evidence`, and which.
impl Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whose)
    }
}

/// The state of a DID in evidence; `None` if it is not registered.
pub(crate) fn state(proven: &Proven, did: Did) -> Result<Option<Identity>> {
    let cannot = || Failure::refuted(format!("the evidence does not show the state of {did}"));
    proven.identity(did, proven.checkpoint().size).map_err(|error| cannot().caused_by(error))
}

/// Reads evidence that nobody has verified.
pub(crate) fn parse(bytes: &[u8], whose: &str) -> Result<Evidence> {
    Evidence::parse(bytes).map_err(|error| Failure::new(format!("{whose} is malformed")).caused_by(error))
}

/// Why evidence is refused: it stays what it is.
pub(crate) fn refuted(whose: &str, error: EvidenceError) -> Failure {
    Failure::refuted(format!("{whose} does not hold")).caused_by(error)
}

fn refuse_older(pin: &Pin, proven: &Proven, whose: &str) -> Result<()> {
    let checkpoint = proven.checkpoint();
    if checkpoint.size < pin.size {
        return Err(Failure::new(format!("{whose} is older than what was seen"))
            .because(format!(
                "it is as of size {}, the log `{}` was seen at size {}",
                checkpoint.size,
                pin.origin(),
                pin.size
            ))
            .hint("get it again from the log"));
    }
    refuse_fork(pin, checkpoint)
}

/// Refuses another root than the one that was seen at its size.
pub(crate) fn refuse_fork(pin: &Pin, checkpoint: &Checkpoint) -> Result<()> {
    if checkpoint.size == pin.size && checkpoint.root != pin.root {
        return Err(Failure::refuted(format!("the log `{}` contradicts what was seen of it", pin.origin()))
            .because(format!("two roots of size {}: {} and {}", pin.size, pin.root, checkpoint.root))
            .hint("keep the evidence: the log signed both, and one is false"));
    }
    Ok(())
}
