//! The gate half: a step that fails unless a pipeline is trusted.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::super::excludes;
use super::super::gate::{Gate, Opened};
use super::super::trust::{self, Asked};
use super::inputs::{GateInputs, Inputs, wanted_did};
use super::outputs::{cell, outputs};
use super::runner::{Runner, append};
use crate::report::{Exit, Failure, Result};

/// Opens the gate, or says why not; the outputs and the summary say so too.
pub(super) fn pass(wanted: &GateInputs, inputs: &Inputs, runner: &mut Runner) -> Result<Exit> {
    let gate = Gate {
        did: wanted.did,
        artifacts: wanted.paths.take.iter().map(OsString::from).collect(),
        excludes: excludes(&wanted.paths.exclude)?,
        threshold: Some(wanted.threshold),
        min_paths: None,
        max_age: wanted.max_age,
        complete: wanted.sync,
        artifact: !wanted.paths.take.is_empty(),
        witnessed: false,
        receipts: wanted.receipts.clone(),
        asked: Asked {
            root: wanted.roots.clone(),
            scope: wanted.scope,
            evidence: None,
            sync: wanted.sync,
            evidence_out: None,
            log: inputs.log_url.clone(),
            policy: inputs.policy.clone(),
            timeout: None,
            fingerprint: inputs.policy_sha256,
            in_workflow: true,
        },
    };
    let opened = gate.open(runner.console())?;
    let exit = opened.exit();
    let score = opened.judged.verdict.score.to_string();
    outputs(&[("verified", (exit == Exit::Yes).to_string()), ("trust-score", score)])?;
    append("GITHUB_STEP_SUMMARY", &summary(&opened))?;
    trust::print(&opened.judged, runner.console());
    if let Some(text) = opened.aside.text("judged") {
        runner.console().line(text);
    }
    runner.console().line(opened.reason());
    if exit != Exit::Yes {
        let failure = Failure::new(opened.reason());
        let failure = opened.hint().into_iter().fold(failure, Failure::hint);
        runner.error(&failure.hint("the steps behind this one do not run"));
    }
    Ok(exit)
}

/// What later steps and people see where a gate was asked for and there is no answer.
pub(super) fn could_not_tell(failure: &Failure) -> Result<()> {
    // As it was written: it may be no DID.
    let Some(did) = wanted_did() else { return Ok(()) };
    append(
        "GITHUB_STEP_SUMMARY",
        &format!("### Could not tell whether to trust {}\n\n{}\n\n", cell(&did), cell(&failure.one_line())),
    )
}

/// Says that nothing is verified, until it is: whatever ends this step, no later one reads an empty output.
pub(super) fn begin() -> Result<()> {
    match wanted_did() {
        Some(_) => outputs(&[("verified", "false".into()), ("trust-score", String::new())]),
        None => Ok(()),
    }
}

fn summary(opened: &Opened) -> String {
    let verdict = &opened.judged.verdict;
    let word = match opened.exit() {
        Exit::Yes => "Trusted",
        Exit::False => "Not trusted",
        Exit::Unable => "Could not tell whether to trust",
    };
    let mut text = format!("### {word}: `{}`\n\n{}\n\n", verdict.target, cell(&opened.reason()));
    if let Some(hint) = opened.hint() {
        let _ = writeln!(text, "{}\n", cell(&hint));
    }
    let _ = writeln!(text, "| | |\n|---|---|");
    let _ = writeln!(text, "| score | {} |", verdict.score);
    let _ = writeln!(text, "| threshold | {} |", verdict.params.threshold());
    let _ = writeln!(text, "| standing | {} |", verdict.standing.name());
    let _ = writeln!(text, "| roots | {} |", cell(&opened.judged.roots.to_string()));
    if !opened.is_age_attested() {
        let _ = writeln!(text, "| age | not attested: the policy asks no witness |");
    }
    if let Some(path) = verdict.best.and_then(|best| verdict.paths.get(best)) {
        let dids: Vec<String> = path.path.dids().map(|did| format!("`{did}`")).collect();
        let _ = writeln!(text, "| path | {} |", dids.join(" → "));
    }
    for cause in &verdict.causes {
        let _ = writeln!(text, "| because | {} |", cell(&trust::words(&opened.judged, *cause)));
    }
    for found in &opened.found {
        let why = found.why().map_or(String::new(), |why| format!(": {why}"));
        let _ = writeln!(text, "| {} | {} |", cell(found.label()), cell(&format!("{}{why}", found.word())));
    }
    if let Some(aside) = opened.aside.text("judged") {
        let _ = writeln!(text, "\n{}", cell(&aside));
    }
    text.push('\n');
    text
}
