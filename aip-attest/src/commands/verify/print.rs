//! A verdict for people, and the same for programs.
//!
//! ```text
//! {"schema": "aip.verify.v1", "verdict": "verified | failed | could-not-check",
//!  "selection": {"passedOver": 0, "excluded": 0, "hidden": 0, "internal": 0},      files that were not judged, and why
//!  "results": [{
//!    "artifact": "…", "sha256": "…", "receipt": "…", "policy": "…", "verdict": "…",
//!    "checks": [{"id": "…", "result": "passed | failed | could-not-check | not-checked", "detail": "…"}],
//!    "cosigned": [{"witness", "time"}],                         who counted, once the quorum is met
//!    "error": {"message": "…", "hint": "…"},                    only where there is no verdict
//!    "claimedDid": "…",                                          whose it says it is, believed or not
//!    "signedAs": "…",                                            only where it was found by the digest: its name for it
//!    "notChecked": ["…"],                                        every check that was not made, asked for or not
//!    "otherReceipts": [{"receipt", "verdict", "why"}],           what else was looked at beside the artifact
//!    "verified": {"did", "origin", "index", "loggedAt", "loggedAtMillis", "treeSize", "root",
//!                 "registered": true,                          whether the receipt has identity events
//!                 "cosigned": [{"witness", "time"}], "statement": {…}, "selfAsserted": true}}]}
//! ```
//! `statement` is the payload as it was signed, without white space: its numbers are not read and written anew.
//! The schema changes its name when a member changes its meaning or goes; members may be added.

use attestation::provenance::BuildFacts;
use attestation::receipt::{Check, Fault, Outcome, Report, Verified};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tlog::TreeSize;
use tlog::policy::Cosigned;

use super::found::{Found, Judged, word};
use crate::artifact::Aside;
use crate::clock;
use crate::report::{Console, Exit, Failure};

/// A line a check, in their order, and one for the verdict.
pub(super) fn text(found: &[Found], aside: &Aside, console: &mut Console) {
    for (at, found) in found.iter().enumerate() {
        if at > 0 {
            console.line("");
        }
        console.line(&found.label);
        match &found.answer.verdict {
            Ok(report) => text_of(&found.answer, report, console),
            Err(failure) => {
                console.line("could not check");
                console.failure(failure);
            }
        }
        text_of_others(found, console);
    }
    if let Some(text) = aside.text("judged") {
        console.line(text);
    }
}

/// Which receipt it was, where several lie there; and what the others say, if none verifies.
fn text_of_others(found: &Found, console: &mut Console) {
    if let Some(name) = &found.answer.signed_as {
        console.line(format!("receipt: {}, found by its digest, signed as `{name}`", found.answer.file()));
    }
    if found.others.is_empty() {
        return;
    }
    if found.answer.receipt.is_some() && found.answer.signed_as.is_none() {
        console.line(format!("receipt: {}", found.answer.file()));
    }
    if found.exit() == Exit::Yes {
        return;
    }
    for other in &found.others {
        let file = if other.receipt.is_some() { format!("{}: ", other.file()) } else { String::new() };
        console.line(format!("also {file}{}", other.why().unwrap_or_default()));
    }
    if let Some(other) = found.unchecked() {
        console.line(format!("could not check: {other}"));
    }
    let failures = found.others.iter().filter_map(|other| other.verdict.as_ref().err());
    failures.filter_map(Failure::first_hint).for_each(|hint| console.hint(hint));
}

fn text_of(found: &Judged, report: &Report, console: &mut Console) {
    for (check, outcome) in report.checks() {
        let (word, detail) = words(report, *check, outcome);
        let line = format!("  {word:<15} {:<20} {detail}", check.id());
        console.line(line.trim_end());
    }
    match (report.verified(), report.fault()) {
        (Some(verified), _) => {
            console.line(format!("verified: {}", summary(verified)));
            if let Some(policy) = &found.policy {
                console.line(format!("policy: {policy}"));
            }
            if BuildFacts::read(verified.statement()).self_asserted {
                console.line("provenance: self-asserted, worth as much as its signer");
            } else {
                // Its host chooses which receipt lies there: one may say that the artifact is bad.
                let kind = verified.statement().predicate_type();
                console.line(format!(
                    "statement: `{kind}`, no provenance: read what it says, or ask with --predicate-type"
                ));
            }
            if let Some(size) = bare_as_of(report, verified) {
                console.line(format!(
                    "identity: not registered as of size {size}, as far as the receipt tells: no gate takes it"
                ));
            }
        }
        (None, Some((check, fault))) if fault.could_not_check() => {
            console.line(format!("could not check: {check}: {fault}"));
            if *fault == Fault::NotLogged {
                console.hint("`aip-attest submit RECEIPT` logs it");
            }
        }
        (None, Some((check, fault))) => {
            console.line(format!("FAILED: {check}: {fault}"));
            if let Fault::PinnedRoot { .. } = fault {
                console.hint(
                    "keep this receipt: the log signed its checkpoint and the pinned one, and one is false",
                );
            }
        }
        (None, None) => {}
    }
}

/// The tree in which the signer has no identity event, unless a later state, which was asked for, says more.
fn bare_as_of(report: &Report, verified: &Verified) -> Option<TreeSize> {
    let asked = report.checks().iter().any(|(check, _)| *check == Check::LaterState);
    (verified.signer_state().is_none() && !asked).then_some(verified.checkpoint().size)
}

fn summary(verified: &Verified) -> String {
    let checkpoint = verified.checkpoint();
    let seen = verified.cosigned().iter().map(|by| by.time).max();
    format!(
        "signed by {}, logged {} in {} at index {}; state as of size {}{}",
        verified.did(),
        clock::rfc3339_millis(verified.logged_at().as_millis()),
        checkpoint.origin,
        verified.index(),
        checkpoint.size,
        seen.map_or(String::new(), |time| format!(", {}", clock::rfc3339(time))),
    )
}

fn words(report: &Report, check: Check, outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Passed(_) if check == Check::WitnessQuorum && !report.cosigned().is_empty() => {
            let by = |by: &Cosigned| format!("{} {}", by.witness, clock::rfc3339(by.time));
            ("ok", report.cosigned().iter().map(by).collect::<Vec<_>>().join(", "))
        }
        Outcome::Passed(what) if check == Check::SignerState => {
            let seen = report.cosigned().iter().map(|by| by.time).max();
            ("ok", seen.map_or_else(|| what.clone(), |time| format!("{what}, {}", clock::rfc3339(time))))
        }
        Outcome::Passed(what) => ("ok", what.clone()),
        Outcome::NotPassed(fault) if fault.could_not_check() => ("could not check", fault.to_string()),
        Outcome::NotPassed(fault) => ("FAILED", fault.to_string()),
        Outcome::NotChecked => ("not checked", String::new()),
    }
}

/// The same for programs.
pub(super) fn json(found: &[Found], aside: &Aside, console: &mut Console) {
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

#[derive(Serialize)]
struct OneResult {
    #[serde(flatten)]
    facts: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<VerifiedResult>,
}

#[derive(Serialize)]
struct VerifiedResult {
    #[serde(flatten)]
    facts: Value,
    statement: Box<RawValue>,
}

fn json_of(found: &Found) -> OneResult {
    let mut facts = facts(found);
    let answer = &found.answer;
    let verified = answer.verdict.as_ref().ok().and_then(Report::verified).map(|verified| {
        let statement = as_signed(&answer.payload).expect("a verified payload is JSON");
        VerifiedResult { facts: verified_facts(verified), statement }
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
        "signedAs": answer.signed_as,
        "notChecked": not_checked(answer),
        "otherReceipts": found.others.iter().map(other).collect::<Vec<Value>>(),
    });
    match &answer.verdict {
        Err(failure) => {
            result["error"] = failure.to_json();
        }
        Ok(report) => {
            let check = |(check, outcome): &(Check, Outcome)| {
                let result = match outcome {
                    Outcome::Passed(_) => "passed",
                    Outcome::NotPassed(fault) if fault.could_not_check() => "could-not-check",
                    Outcome::NotPassed(_) => "failed",
                    Outcome::NotChecked => "not-checked",
                };
                json!({"id": check.id(), "result": result, "detail": words(report, *check, outcome).1})
            };
            result["checks"] = report.checks().iter().map(check).collect();
            result["cosigned"] = report.cosigned().iter().map(cosigned).collect();
            result["claimedDid"] = json!(answer.claimed_did.map(|did| did.to_string()));
        }
    }
    result
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
fn as_signed(payload: &[u8]) -> Option<Box<RawValue>> {
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
fn not_checked(answer: &Judged) -> Vec<&'static str> {
    let made = |check: &Check| {
        let checks = answer.verdict.as_ref().map_or(&[][..], Report::checks).iter();
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

fn cosigned(by: &Cosigned) -> Value {
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
