//! Trials that run elsewhere: the row says what it ran, or where that is (S4, S10, S18).

use std::path::Path;
use std::process::Command;

use testkit::program;
use testkit::someone::{Someone, outcome};
use testkit::trials::urls::PRIVATE;

use crate::frame::{Findings, Outcome, Plan, Ran, count};

/// S4: the primitives below HPKE are those of a crate; what is ours of them is shown by known answers.
pub fn known_answers(_: &Plan) -> Outcome {
    Outcome::not_run(
        "ChaCha20-Poly1305 and HKDF are the crate's of HPKE",
        "`cargo test -p attestation --test suite rfc9180` runs the known answers of RFC 9180 A.2.1",
    )
}

/// S10: each target of cargo-fuzz for so many seconds, where cargo-fuzz is there.
pub fn fuzz(plan: &Plan) -> Outcome {
    let hint = "`./run fuzz` installs cargo-fuzz and feeds each parser for a minute";
    if plan.count == 0 {
        return Outcome::not_run("no seconds were given", hint);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz.sh");
    let mut fuzz = Command::new("sh");
    fuzz.arg(script).env("SECONDS_EACH", plan.count.to_string());
    let (code, out, err) = match fuzz.output() {
        Ok(output) => outcome(output),
        Err(error) => return Outcome::not_run(format!("sh: {error}"), hint),
    };
    let passed = out.lines().filter(|line| line.starts_with("pass ")).count() as u64;
    let failed: Vec<String> =
        out.lines().filter(|line| line.starts_with("FAIL ")).map(str::to_owned).collect();
    if passed == 0 && failed.is_empty() {
        return Outcome::not_run(format!("fuzz.sh ended with {code}: {}", err.trim()), hint);
    }
    let units = out.lines().filter_map(|line| line.rsplit_once("number_of_executed_units: "));
    let units: u64 = units.filter_map(|(_, units)| units.trim().parse::<u64>().ok()).sum();
    let tried = format!("{} targets, {} s each, {} executions", count(passed), plan.count, count(units));
    Outcome::Ran(Ran { tried, violations: failed })
}

/// S18: a monitor is told to post to each of them. It refuses before it posts, and before it reads a log.
pub fn private_urls(_: &Plan) -> Outcome {
    let (findings, someone) = (Findings::default(), Someone::new());
    let policy = someone.folder().join("policy");
    let key = testkit::keys::signer("log.example.com/pipelines", tlog::key::KeyType::Ed25519, 7);
    // Nobody listens there: who reads the log first says something else.
    std::fs::write(&policy, format!("log {} http://127.0.0.1:1\nquorum none\n", key.verifier()))
        .expect("written");
    for url in PRIVATE {
        let mut monitor = Command::new(program("monitor"));
        monitor.args(["--once", "--timeout", "20s", "--policy"]).arg(&policy);
        monitor.arg("--dir").arg(someone.folder().join("monitor")).args(["--webhook", url]);
        let (code, out, err) = outcome(monitor.output().expect("monitor runs"));
        let is_refused = code == 2 && (err.contains("cannot post alerts") || err.contains("--webhook"));
        findings.require(is_refused, || format!("{url}: {code}: {out}{err}"));
    }
    findings
        .into_outcome(format!("{} webhooks, each refused before a connection", count(PRIVATE.len() as u64)))
}
