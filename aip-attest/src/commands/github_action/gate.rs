//! The gate half: a step that fails unless a pipeline is trusted.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::super::excludes;
use super::super::gate::{Gate, Opened};
use super::super::trust::{self, Asked, Workflow};
use super::checkout::Rules;
use super::inputs::{GateInputs, Inputs, wanted_did};
use super::lines;
use super::outputs::{assign, cell};
use super::runner::{Runner, append};
use super::words::in_words;
use crate::policy_file::trust::Stated;
use crate::report::{Exit, Failure, Result};

/// Opens the gate, or says why not; the outputs and the summary say so too.
pub(super) fn pass(wanted: &GateInputs, inputs: &Inputs, rules: &Rules, runner: &mut Runner) -> Result<Exit> {
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
        demands: wanted.demands.clone(),
        // A setting, as `rules` has it.
        artifact_max_age: None,
        any_name: wanted.any_name,
        asked: Asked {
            root: wanted.roots.clone(),
            scope: wanted.scope,
            evidence: None,
            sync: wanted.sync,
            evidence_out: None,
            log: inputs.log_url.clone(),
            policy: None,
            timeout: None,
            fingerprint: inputs.policy_sha256,
            workflow: Some(Box::new(Workflow { policy: rules.policy.clone(), trust: rules.trust.clone() })),
        },
    };
    let opened = gate.open(runner.console())?;
    let exit = opened.exit();
    let score = opened.judged.verdict.score.to_string();
    assign("GITHUB_OUTPUT", &[("verified", (exit == Exit::Yes).to_string()), ("trust-score", score)])?;
    append("GITHUB_STEP_SUMMARY", &summary(&opened))?;
    trust::print(&opened.judged, runner.console());
    if let Some(text) = opened.aside.text("judged") {
        runner.console().line(text);
    }
    runner.console().line(opened.reason());
    if let Some(open) = opened.left_open() {
        runner.warning(&Failure::new(open));
    }
    if exit != Exit::Yes {
        let failure = Failure::new(opened.reason());
        let failure = opened.hint().into_iter().fold(failure, Failure::hint);
        let failure = match exit {
            Exit::Unable => lines::explain("verify-paths", &wanted.paths.take, failure),
            _ => failure,
        };
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
        &format!(
            "### Could not tell whether to trust {}\n\n{}\n\n",
            cell(&did),
            cell(&said(&failure.one_line()))
        ),
    )
}

/// Says that nothing is verified, until it is: whatever ends this step, no later one reads an empty output.
pub(super) fn begin() -> Result<()> {
    match wanted_did() {
        Some(_) => assign("GITHUB_OUTPUT", &[("verified", "false".into()), ("trust-score", String::new())]),
        None => Ok(()),
    }
}

/// In words of the action, where there are some.
fn said(text: &str) -> String {
    in_words(text).unwrap_or_else(|| text.to_owned())
}

fn summary(opened: &Opened) -> String {
    let verdict = &opened.judged.verdict;
    let word = match opened.exit() {
        Exit::Yes => "Trusted",
        Exit::False => "Not trusted",
        Exit::Unable => "Could not tell whether to trust",
    };
    let mut text = format!("### {word}: `{}`\n\n{}\n\n", verdict.target, cell(&opened.reason()));
    if let Some(open) = opened.left_open() {
        let _ = writeln!(text, "**Warning:** {}\n", cell(&said(&open)));
    }
    if let Some(hint) = opened.hint().as_deref().and_then(in_words) {
        let _ = writeln!(text, "{}\n", cell(&hint));
    }
    let _ = writeln!(text, "| | |\n|---|---|");
    let _ = writeln!(text, "| score | {} |", verdict.score);
    let _ = writeln!(text, "| threshold | {} |", verdict.params.threshold());
    let _ = writeln!(text, "| standing | {} |", verdict.standing.name());
    let _ = writeln!(text, "| roots | {} |", cell(&said(&opened.judged.roots.to_string())));
    let _ = writeln!(text, "| policy | {} |", cell(&said(&opened.judged.policy_words())));
    for Stated { name, value, from } in &opened.judged.settings {
        let _ = writeln!(text, "| {} | {} |", cell(name), cell(&format!("{value}: {from}")));
    }
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
