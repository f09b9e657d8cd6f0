//! The state that a gate judged by, kept for `verify`.

use attestation::Did;
use attestation::api::EvidenceQuery;

use super::super::trust::{Asked, Judged};
use crate::contact::Contact;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Result};
use crate::states::States;
use crate::target::Wish;
use crate::word::fresh_evidence;

/// Keeps the state of `did`. What is kept changes no verdict of a gate: that it cannot be is said, and no more.
pub(super) fn state(did: Did, judged: &Judged, asked: &Asked, pins: &Pins, console: &mut Console) {
    let states = States::of_user();
    if !states.has_place() {
        return;
    }
    if let Err(failure) = keep(did, judged, asked, &states, pins, console) {
        console.note(format!("the state of {did} is not kept for `verify`: {}", failure.one_line()));
    }
}

fn keep(
    did: Did,
    judged: &Judged,
    asked: &Asked,
    states: &States,
    pins: &Pins,
    console: &mut Console,
) -> Result<()> {
    let judge = &judged.policy.policy;
    if let Some((evidence, proven)) = judged.basis.proven() {
        return states.keep(evidence, proven, did, judge, pins).map(|_| ());
    }
    // The whole log was read, which nobody hands on: the log says in short what of it is the DID's.
    let deadline = super::super::deadline(asked.timeout)?;
    let named = judged.policy.source.path().map(|_| judged.policy.clone());
    let wish = Wish::new(asked.log.as_deref(), named, pins)?;
    let target = wish.with_fingerprint(asked.fingerprint).meet(pins, deadline, console)?;
    let contact = Contact { target: &target, pins, deadline };
    let (evidence, proven) =
        fresh_evidence::fetch(&EvidenceQuery::state(did), &mut contact.inquire(console))?;
    states.keep(&evidence, &proven, did, judge, pins).map(|_| ())
}
