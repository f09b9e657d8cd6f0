//! The verdict for programs.
//!
//! ```text
//! {"schema": "aip.verify.v1", "verdict": "verified | failed | could-not-check",
//!  "selection": {"passedOver": 0, "excluded": 0, "hidden": 0, "internal": 0},      files that were not judged, and why
//!  "results": [{
//!    "artifact": "…", "sha256": "…", "receipt": "…", "policy": "…", "verdict": "…",
//!    "checks": [{"id": "…", "result": "passed | failed | could-not-check | not-checked", "detail": "…"}],
//!    "cosigned": [{"witness", "time"}],                         who counted, once the quorum is met
//!    "asOf": {"origin", "treeSize", "seenSize", "keptState"},   as of which tree its signer is judged; the size at which the
//!                                                                log was seen, if that is more and no state is given, and the
//!                                                                file of a kept state, else null
//!    "error": {"message": "…", "hint": "…"},                    only where there is no verdict
//!    "claimedDid": "…",                                          whose it says it is, believed or not
//!    "signedAs": "…",                                            only where it was found by the digest, or names it otherwise than its file
//!    "notChecked": ["…"],                                        every check that was not made, asked for or not
//!    "otherReceipts": [{"receipt", "verdict", "why"}],           what else was looked at beside the artifact
//!    "verified": {"did", "origin", "index", "loggedAt", "loggedAtMillis", "treeSize", "root",
//!                 "registered": true,                          whether the receipt has identity events
//!                 "cosigned": [{"witness", "time"}], "statement": {…}, "selfAsserted": true}}]}
//! ```
//! `statement` is the payload as it was signed, without white space: its numbers are not read and written anew.
//! The schema changes its name when a member changes its meaning or goes; members may be added.

use attestation::provenance::BuildFacts;
use attestation::receipt::{Check, Outcome, Report, Verified};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tlog::TreeSize;
use tlog::policy::Cosigned;

use super::found::{Found, Judged, word};
use super::later::AsOf;
use super::text::words;
use crate::artifact::Aside;
use crate::clock;
use crate::report::{Console, Exit};

/// Prints it.
pub(super) fn print(found: &[Found], aside: &Aside, console: &mut Console) {
    let exit = found.iter().map(Found::exit).fold(Exit::Yes, Exit::and);
    let results = found.iter().map(json_of).collect();
    let (verdict, selection) = (word(exit), aside.to_json());
    console.json(&Answer { schema: "aip.verify.v1", verdict, selection, results });
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    verdict: &'static str,
    selection: Value,
    results: Vec<OneResult>,
}

/// The verdict about one artifact.
#[derive(Serialize)]
pub(super) struct OneResult {
    #[serde(flatten)]
    pub(super) facts: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<VerifiedResult>,
}

/// What is verified.
#[derive(Serialize)]
pub(super) struct VerifiedResult {
    #[serde(flatten)]
    pub(super) facts: Value,
    /// As it was signed; of a message, which has none, it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statement: Option<Box<RawValue>>,
}

fn json_of(found: &Found) -> OneResult {
    let mut facts = facts(found);
    let answer = &found.answer;
    let verified = answer.verdict.as_ref().ok().and_then(Report::verified).map(|verified| {
        let statement = as_signed(&answer.payload).expect("a verified payload is JSON");
        VerifiedResult { facts: verified_facts(verified), statement: Some(statement) }
    });
    if verified.is_none() && answer.verdict.is_ok() {
        facts["verified"] = Value::Null;
    }
    OneResult { facts, verified }
}

fn facts(found: &Found) -> Value {
    let answer = &found.answer;
    let mut result = json!({
        "artifact": found.label,
        "sha256": found.sha256.map(|hash| hash.to_string()),
        "receipt": answer.receipt.as_ref().map(|path| path.to_string_lossy()),
        "policy": answer.policy.as_ref().map(ToString::to_string),
        "verdict": found.word(),
        "asOf": answer.as_of.as_ref().map(as_of),
        "signedAs": answer.signed_as,
        "notChecked": not_checked(answer.verdict.as_ref().ok()),
        "otherReceipts": found.others.iter().map(other).collect::<Vec<Value>>(),
    });
    match &answer.verdict {
        Err(failure) => {
            result["error"] = failure.to_json();
        }
        Ok(report) => {
            result["checks"] = checks(report);
            result["cosigned"] = report.cosigned().iter().map(cosigned).collect();
            result["claimedDid"] = json!(answer.claimed_did.map(|did| did.to_string()));
        }
    }
    result
}

/// Every check with its outcome.
pub(super) fn checks<V>(report: &Report<V>) -> Value {
    let check = |(check, outcome): &(Check, Outcome)| {
        let result = match outcome {
            Outcome::Passed(_) => "passed",
            Outcome::NotPassed(fault) if fault.could_not_check() => "could-not-check",
            Outcome::NotPassed(_) => "failed",
            Outcome::NotChecked => "not-checked",
        };
        json!({"id": check.id(), "result": result, "detail": words(report, *check, outcome).1})
    };
    report.checks().iter().map(check).collect()
}

fn as_of(AsOf { origin, size, seen, kept }: &AsOf) -> Value {
    json!({
        "origin": origin,
        "treeSize": size.get(),
        "seenSize": seen.map(TreeSize::get),
        "keptState": kept.as_ref().map(|file| file.to_string_lossy()),
    })
}

fn verified_facts(verified: &Verified) -> Value {
    let checkpoint = verified.checkpoint();
    json!({
        "did": verified.did().to_string(),
        "origin": checkpoint.origin,
        "index": verified.index().get(),
        "loggedAt": clock::rfc3339_millis(verified.logged_at().as_millis()),
        "loggedAtMillis": verified.logged_at().as_millis(),
        "treeSize": checkpoint.size.get(),
        "root": checkpoint.root.to_string(),
        "registered": verified.signer_state().is_some(),
        "cosigned": verified.cosigned().iter().map(cosigned).collect::<Vec<Value>>(),
        "selfAsserted": BuildFacts::read(verified.statement()).self_asserted,
    })
}

/// What was verified is what is shown: the payload's own text, but for the white space between its parts, which may
/// be control characters.
pub(super) fn as_signed(payload: &[u8]) -> Option<Box<RawValue>> {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        let is_space = !is_text && c.is_ascii_whitespace();
        if *c == '"' && !is_escaped {
            is_text = !is_text;
        }
        is_escaped = *c == '\\' && !is_escaped;
        !is_space
    };
    let text = std::str::from_utf8(payload).ok()?.chars().filter(is_kept).collect();
    RawValue::from_string(text).ok()
}

/// The checks that were not made: nobody asked for them, or an earlier one did not pass.
pub(super) fn not_checked<V>(report: Option<&Report<V>>) -> Vec<&'static str> {
    let made = |check: &Check| {
        let checks = report.map_or(&[][..], Report::checks).iter();
        checks.filter(|(_, outcome)| *outcome != Outcome::NotChecked).any(|(made, _)| made == check)
    };
    Check::ALL.into_iter().filter(|check| !made(check)).map(Check::id).collect()
}

fn other(answer: &Judged) -> Value {
    json!({
        "receipt": answer.receipt.as_ref().map(|path| path.to_string_lossy()),
        "verdict": word(answer.exit()),
        "why": answer.why(),
    })
}

pub(super) fn cosigned(by: &Cosigned) -> Value {
    json!({"witness": by.witness, "time": clock::rfc3339(by.time)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_as_it_was_signed() {
        for (payload, want) in [
            ("{}", "{}"),
            ("{ \"a b\" :\t[1.50 ,\r\n36893488147419103233 ] }", "{\"a b\":[1.50,36893488147419103233]}"),
            (r#"{"a\" ":" \\", "b\\" : "\\\" x" }"#, r#"{"a\" ":" \\","b\\":"\\\" x"}"#),
        ] {
            assert_eq!(as_signed(payload.as_bytes()).expect("JSON").get(), want);
        }
        assert!(as_signed(b"\xff").is_none());
    }
}
