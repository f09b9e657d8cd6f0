//! Evidence about DIDs as of today, from a log, judged by the pin of the log.

use attestation::api::EvidenceQuery;
use attestation::evidence::{Evidence, EvidenceError, Proven};
use tlog::policy::PolicyError;

use crate::clock;
use crate::patience::Patience;
use crate::policy_file::pins::{Pins, Seen};
use crate::report::{Console, Failure, Result};
use crate::target::Target;
use crate::word::current::{self, Shown};
use crate::word::evidence;

/// Asks a log for evidence as of its present checkpoint. That must extend the pinned one, if the log is pinned;
/// the pin moves to it.
pub fn fetch(
    target: &Target,
    query: &EvidenceQuery,
    pins: &Pins,
    patience: &mut Patience,
    console: &mut Console,
) -> Result<(Evidence, Proven)> {
    let bytes = patience.ask(console, || target.client.evidence(query))?;
    let whose = format!("the evidence of `{}`", target.client.url());
    let found = evidence::parse(&bytes, &whose)?;
    let proven = found.verify(&target.judge.policy).map_err(|error| match error {
        // Proves nothing against the log, which may have the quorum a moment later.
        EvidenceError::Quorum(PolicyError::Quorum { .. }) => {
            Failure::new(format!("{whose} does not satisfy the policy {}", target.judge.source))
                .caused_by(error)
                .hint("try again once the log has its witnesses' cosignatures")
                .for_now()
        }
        _ => evidence::refuted(&whose, error),
    })?;
    if proven.checkpoint().origin != target.origin {
        return Err(Failure::refuted(format!("{whose} is another log's")).because(format!(
            "asked was `{}`, it is of `{}`",
            target.origin,
            proven.checkpoint().origin
        )));
    }
    let shown = shown(&found, &proven);
    current::follow(&shown, proven.log(), &target.client, pins, patience, console)?;
    Ok((found, proven))
}

fn shown(evidence: &Evidence, proven: &Proven) -> Shown {
    let seen = Seen { note: evidence.checkpoint.clone(), at: clock::now_millis() };
    Shown { seen, checkpoint: proven.checkpoint().clone() }
}
