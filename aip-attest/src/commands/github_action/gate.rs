//! The gate half: a step that fails unless a pipeline is trusted.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use super::super::gate::{Gate, Opened};
use super::super::trust::{self, Asked};
use super::inputs::{GateInputs, Inputs};
use super::outputs::{cell, outputs};
use super::runner::{Runner, append};
use crate::report::{Exit, Failure, Result};

/// Opens the gate, or says why not; the outputs and the summary say so too, whatever comes of it.
pub(super) fn pass(wanted: &GateInputs, inputs: &Inputs, runner: &mut Runner) -> Result<Exit> {
    let gate = Gate {
        did: wanted.did,
        artifacts: wanted.paths.iter().map(OsString::from).collect(),
        threshold: Some(wanted.threshold),
        min_paths: None,
        max_age: Some(MAX_AGE),
        complete: wanted.sync,
        artifact: !wanted.paths.is_empty(),
        receipts: wanted.receipts.clone(),
        asked: Asked {
            root: wanted.roots.clone(),
            scope: wanted.scope,
            evidence: None,
            sync: wanted.sync,
            evidence_out: None,
            log: inputs.log_url.clone(),
            policy: inputs.policy.clone(),
            timeout: super::timeout()?,
            fingerprint: inputs.policy_sha256,
        },
    };
    let opened = match gate.open(runner.console()) {
        Ok(opened) => opened,
        Err(failure) => {
            let why = failure.one_line();
            outputs(&[("verified", "false".into()), ("trust-score", String::new())])?;
            append(
                "GITHUB_STEP_SUMMARY",
                &format!("### Could not tell whether to trust `{}`\n\n{}\n\n", wanted.did, cell(&why)),
            )?;
            return Err(failure);
        }
    };
    let exit = opened.exit();
    let score = opened.judged.verdict.score.to_string();
    outputs(&[("verified", (exit == Exit::Yes).to_string()), ("trust-score", score)])?;
    append("GITHUB_STEP_SUMMARY", &summary(&opened))?;
    trust::print(&opened.judged, runner.console());
    runner.console().line(opened.reason());
    match exit {
        Exit::Yes => {}
        Exit::False => {
            runner.error(&Failure::refuted(opened.reason()).hint("the steps behind this one do not run"))
        }
        Exit::Unable => {
            runner.error(&Failure::new(opened.reason()).hint("the steps behind this one do not run"))
        }
    }
    Ok(exit)
}

fn summary(opened: &Opened) -> String {
    let verdict = &opened.judged.verdict;
    let word = match opened.exit() {
        Exit::Yes => "Trusted",
        Exit::False => "Not trusted",
        Exit::Unable => "Could not tell whether to trust",
    };
    let mut text = format!("### {word}: `{}`\n\n{}\n\n", verdict.target, cell(&opened.reason()));
    let _ = writeln!(text, "| | |\n|---|---|");
    let _ = writeln!(text, "| score | {} |", verdict.score);
    let _ = writeln!(text, "| threshold | {} |", verdict.params.threshold());
    let _ = writeln!(text, "| standing | {} |", verdict.standing.name());
    if let Some(path) = verdict.best.and_then(|best| verdict.paths.get(best)) {
        let dids: Vec<String> = path.path.dids().map(|did| format!("`{did}`")).collect();
        let _ = writeln!(text, "| path | {} |", dids.join(" → "));
    }
    for cause in &verdict.causes {
        let _ = writeln!(text, "| because | {} |", cell(&trust::words(verdict, *cause)));
    }
    for found in &opened.found {
        let why = found.why().map_or(String::new(), |why| format!(": {why}"));
        let _ = writeln!(text, "| {} | {} |", cell(found.label()), cell(&format!("{}{why}", found.word())));
    }
    text.push('\n');
    text
}

/// Gates use fresh evidence.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
