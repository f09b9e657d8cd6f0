//! An event on its way, and the check of the answer.

use attestation::api::Submission;
use attestation::event::{EventEntry, PendingEvent};
use tlog::encoding;
use tlog::merkle::leaf_hash;
use tlog::policy::PolicyError;
use tlog::proof::TlogProof;

use super::Logged;
use crate::client::{Answer, ClientError, LoggedAnswer, Problem};
use crate::contact::Contact;
use crate::patience::Patience;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Failure, Result};
use crate::submission::refusal;
use crate::target::Target;

/// What became of an event that was sent, where there is no doubt about it.
pub(super) enum Sent {
    Logged(Box<Logged>),
    /// By a rule of the log. Nothing proves it: it is its word.
    Refused(Box<Problem>),
}

/// Sends an event until the log has it, refuses it, or the time is up. Where it may be logged all the same, or be taken
/// later as it is, that is a failure.
pub(super) fn send(event: &PendingEvent, contact: Contact<'_>, console: &mut Console) -> Result<Sent> {
    let Contact { target, pins, deadline } = contact;
    let mut patience = Patience::until(deadline);
    let submission = Submission { leaf: encoding::base64(&event.to_bytes()).into(), envelope: None };
    let body = serde_json::to_string(&[submission]).expect("a text is JSON");
    let mut committed = false;
    loop {
        let answer = match committed {
            true => target.client.claim(&event.hash().get()),
            false => target.client.submit(body.clone(), 1).map(|mut answers| answers.remove(0)),
        };
        let (at_least, why) = match answer {
            Ok(Answer::Logged(answer)) => match accept(event, &answer, target, pins)? {
                Accepted::Logged(logged) => return Ok(Sent::Logged(logged)),
                Accepted::BelowQuorum(why) => {
                    committed = true;
                    (None, why)
                }
            },
            Ok(Answer::Committed { problem, retry_after }) => {
                committed = true;
                let why = "the log has committed to the event and not yet published it";
                (retry_after, problem.map_or(why.to_owned(), |problem| format!("{why}: {problem}")))
            }
            Ok(Answer::Unavailable { problem, retry_after }) => {
                (retry_after, format!("the log answers {problem}"))
            }
            Ok(Answer::Refused(problem)) if !committed => return refused(problem),
            // It took the event before, so that what it says now takes nothing back.
            Ok(Answer::Refused(problem)) => return Err(refusal(&problem)),
            Err(error) => match (error.retry(), &error) {
                (Some(retry_after), _) => (retry_after, error.one_line()),
                // Of the request as a whole, such as for its token: no rule was asked about the event.
                (None, ClientError::Refused { problem, .. }) => return Err(refusal(problem)),
                (None, _) => return Err(error.into()),
            },
        };
        if !patience.pause(at_least, console, &why) {
            return Err(Failure::new("the log has not logged the event in time")
                .because(why)
                .hint("it may log the event all the same: try again, or look with `aip-attest whoami`")
                .for_now());
        }
    }
}

/// A refusal by a rule is one; the words of whoever else answers, such as a proxy, are none.
fn refused(problem: Problem) -> Result<Sent> {
    match (400..500).contains(&problem.status) && !problem.rule.is_empty() {
        true => Ok(Sent::Refused(Box::new(problem))),
        false => Err(refusal(&problem)),
    }
}

enum Accepted {
    Logged(Box<Logged>),
    BelowQuorum(String),
}

/// Verifies an answer as anybody would.
fn accept(sent: &PendingEvent, answer: &LoggedAnswer, target: &Target, pins: &Pins) -> Result<Accepted> {
    let broken = |why: String| {
        Failure::refuted(format!("the answer of `{}` does not verify", target.client.url()))
            .because(why)
            .hint("ask whoever runs the log")
    };
    let entry = EventEntry::parse(&answer.leaf).map_err(|error| broken(error.to_string()))?;
    if entry.pending() != sent {
        return Err(broken("the leaf is not the event that was sent".to_owned()));
    }
    let proof = TlogProof::parse(&answer.proof).map_err(|error| broken(error.to_string()))?;
    let policy = &target.judge.policy;
    let (checkpoint, log) =
        policy.log_checkpoint(&proof.checkpoint).map_err(|error| broken(error.to_string()))?;
    if checkpoint.origin != target.origin {
        return Err(broken(format!("the proof is of the log `{}`", checkpoint.origin)));
    }
    let seen = pins.roots().into_iter().find(|pin| pin.log == log.vkey && pin.size == checkpoint.size);
    if seen.is_some_and(|pin| pin.root != checkpoint.root) {
        return Err(broken(format!("another root was seen at size {}", checkpoint.size)));
    }
    match policy.quorum(&proof.checkpoint) {
        Ok(_) => {}
        Err(error @ PolicyError::Quorum { .. }) => {
            let source = &target.judge.source;
            return Ok(Accepted::BelowQuorum(format!(
                "the log answers below the quorum of the policy {source}: {error}"
            )));
        }
        Err(error) => return Err(broken(error.to_string())),
    }
    proof
        .verify_inclusion(&leaf_hash(&answer.leaf), &checkpoint)
        .map_err(|error| broken(error.to_string()))?;
    Ok(Accepted::Logged(Box::new(Logged {
        event: sent.event().clone(),
        index: proof.index,
        logged_at: entry.logged_at(),
        size: checkpoint.size,
    })))
}
