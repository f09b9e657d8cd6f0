//! Evidence about DIDs: from a log, or from a file that was made with one. Verified before anybody sees it, and
//! judged by the pin of its log (`specs/evidence.md`).

use std::path::Path;

use attestation::evidence::{Evidence, MAX_BYTES, Proven};
use serde_json::Value;
use tlog::note::Note;
use tlog::policy::Policy;

use crate::clock;
use crate::current::{self, Shown};
use crate::patience::Patience;
use crate::policy_file::pins::{Pin, Pins, Seen};
use crate::receipt_file::read_bounded;
use crate::report::{Console, Failure, Result};
use crate::target::Target;

/// Asks a log for evidence as of its present checkpoint. That must extend the pinned one, if the log is pinned;
/// the pin moves to it.
pub fn fetch(
    target: &Target,
    query: &Value,
    pins: &Pins,
    patience: &mut Patience,
    console: &mut Console,
) -> Result<(Evidence, Proven)> {
    let bytes = patience.ask(console, || target.client.evidence(query))?;
    let whose = format!("the evidence of `{}`", target.client.url());
    let (evidence, proven) = verify(&bytes, &target.judge.policy, &whose)?;
    if proven.checkpoint().origin != target.origin {
        return Err(Failure::refuted(format!("{whose} is another log's")).because(format!(
            "asked was `{}`, it is of `{}`",
            target.origin,
            proven.checkpoint().origin
        )));
    }
    let shown = shown(&evidence, &proven);
    current::follow(&shown, proven.log(), &target.client, pins, patience, console)?;
    Ok((evidence, proven))
}

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

fn verify(bytes: &[u8], policy: &Policy, whose: &str) -> Result<(Evidence, Proven)> {
    let evidence = Evidence::parse(bytes)
        .map_err(|error| Failure::new(format!("{whose} is malformed")).caused_by(error))?;
    let proven = evidence
        .verify(policy)
        .map_err(|error| Failure::refuted(format!("{whose} does not hold")).caused_by(error))?;
    Ok((evidence, proven))
}

fn shown(evidence: &Evidence, proven: &Proven) -> Shown {
    let seen = Seen { note: Note::clone(&evidence.checkpoint), at: clock::now_millis() };
    Shown { seen, checkpoint: proven.checkpoint().clone() }
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
