//! Evidence about DIDs as of today, from a log, judged by the pin of the log.

use attestation::api::EvidenceQuery;
use attestation::evidence::{Evidence, EvidenceError, Proven};
use tlog::policy::PolicyError;

use crate::clock;
use crate::contact::Inquiry;
use crate::policy_file::pins::Seen;
use crate::report::{Failure, Result};
use crate::word::current::{self, Shown};
use crate::word::evidence;

/// Asks a log for evidence as of its present checkpoint. That must extend the pinned one, if the log is pinned;
/// the pin moves to it.
pub(crate) fn fetch(query: &EvidenceQuery, inquiry: &mut Inquiry<'_>) -> Result<(Evidence, Proven)> {
    let target = inquiry.target;
    let bytes = inquiry.asking.ask(|client| client.evidence(query))?;
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
    current::follow(&shown, proven.log(), inquiry)?;
    Ok((found, proven))
}

fn shown(evidence: &Evidence, proven: &Proven) -> Shown {
    let seen = Seen { note: evidence.checkpoint.clone(), at: clock::now_millis() };
    Shown { seen, checkpoint: proven.checkpoint().clone() }
}
