//! R17: the log, its witnesses, monitors and clients in one simulated world, from seeds: the program `simulate`.

use std::process::Command;

use crate::frame::{Findings, Outcome, Plan, count};

/// The plan's count is that of seeds.
pub fn world(plan: &Plan) -> Outcome {
    let here = std::env::current_exe().expect("a program knows where it is");
    let simulate = here.ancestors().map(|folder| folder.join("simulate")).find(|program| program.is_file());
    let Some(simulate) = simulate else {
        return Outcome::not_run("`simulate` is not built", "`./run torture` builds it");
    };
    let findings = Findings::default();
    let output = Command::new(simulate).args(["--seeds", &plan.count.to_string()]).output();
    let output = output.expect("a program that is there runs");
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    findings.require(output.status.success(), || words.clone());
    let last = words.lines().last().unwrap_or_default();
    findings.into_outcome(format!("{} seeds: {last}", count(plan.count)))
}
