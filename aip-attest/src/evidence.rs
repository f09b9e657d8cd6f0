//! Evidence about DIDs, verified before anybody sees it (`specs/evidence.md`). Opens no socket: `verify` stands on it;
//! `fresh_evidence` asks a log.

use std::path::Path;

use attestation::Did;
use attestation::evidence::{Evidence, EvidenceError, MAX_BYTES, Proven};
use attestation::identity::Identity;
use tlog::policy::Policy;

use crate::policy_file::pins::{Pin, Pins};
use crate::receipt_file::read_bounded;
use crate::report::{Failure, Result};

/// Reads evidence from a file. It is refused if more was seen of its log since: it could hide what came later.
pub fn read(path: &Path, policy: &Policy, pins: &Pins) -> Result<(Evidence, Proven)> {
    let cannot = || Failure::new(format!("cannot read the evidence `{}`", path.display()));
    let bytes = read_bounded(path, MAX_BYTES as u64).map_err(|error| cannot().caused_by(error))?;
    let (evidence, proven) = verify(&bytes, policy, &format!("the evidence `{}`", path.display()))?;
    if let Some(pin) = pins.of_key(proven.log()) {
        refuse_older(pin, &proven, path)?;
    }
    Ok((evidence, proven))
}

/// The log in evidence that nobody has verified, to find the policy that judges it.
pub fn claimed_origin(path: &Path) -> Result<String> {
    let cannot = || Failure::new(format!("cannot read the evidence `{}`", path.display()));
    let bytes = read_bounded(path, MAX_BYTES as u64).map_err(|error| cannot().caused_by(error))?;
    let evidence = Evidence::parse(&bytes).map_err(|error| cannot().caused_by(error))?;
    Ok(evidence.checkpoint.text().lines().next().unwrap_or_default().to_owned())
}

/// The state of a DID in evidence; `None` if it is not registered.
pub fn state(proven: &Proven, did: Did) -> Result<Option<Identity>> {
    let cannot = || Failure::refuted(format!("the evidence does not show the state of {did}"));
    proven.identity(did, proven.checkpoint().size).map_err(|error| cannot().caused_by(error))
}

/// Reads evidence and verifies it; `whose` names it in messages.
pub fn verify(bytes: &[u8], policy: &Policy, whose: &str) -> Result<(Evidence, Proven)> {
    let evidence = parse(bytes, whose)?;
    let proven = evidence.verify(policy).map_err(|error| refuted(whose, error))?;
    Ok((evidence, proven))
}

/// Reads evidence that nobody has verified.
pub fn parse(bytes: &[u8], whose: &str) -> Result<Evidence> {
    Evidence::parse(bytes).map_err(|error| Failure::new(format!("{whose} is malformed")).caused_by(error))
}

/// Why evidence is refused: it stays what it is.
pub fn refuted(whose: &str, error: EvidenceError) -> Failure {
    Failure::refuted(format!("{whose} does not hold")).caused_by(error)
}

fn refuse_older(pin: &Pin, proven: &Proven, path: &Path) -> Result<()> {
    let checkpoint = proven.checkpoint();
    if checkpoint.size < pin.size {
        return Err(Failure::new(format!("the evidence `{}` is older than what was seen", path.display()))
            .because(format!(
                "it is as of size {}, the log `{}` was seen at size {}",
                checkpoint.size,
                pin.origin(),
                pin.size
            ))
            .hint("get it again from the log"));
    }
    if checkpoint.size == pin.size && checkpoint.root != pin.root {
        return Err(Failure::refuted(format!("the log `{}` contradicts what was seen of it", pin.origin()))
            .because(format!("two roots of size {}: {} and {}", pin.size, pin.root, checkpoint.root))
            .hint("keep the evidence: the log signed both, and one is false"));
    }
    Ok(())
}
