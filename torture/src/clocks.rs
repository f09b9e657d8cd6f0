//! Clocks that jump (R11): the wall clock of a log is moved while it runs, by a second, an hour or ten years, either way, and
//! small steps back at each round.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attestation::entry::Entry;
use attestation::entry::Visibility::Public;
use testkit::chance::Chance;
use testkit::living::fsck;
use testkit::log::{Log, ORIGIN};
use testkit::oracle::check_log;
use testkit::signer::Signer;

use crate::frame::{Findings, Outcome, Plan, count};

const FLAGS: [&str; 4] = ["--round-interval", "2ms", "--deadline", "2s"];

/// So many jumps. Beside each an entry is sent: it is logged, or refused in the clock's name. Times never go back, nothing is
/// logged that is a jump away from the time before, no start is believed whose clock is behind the last entry, and once the
/// clock is right again the log goes on.
pub fn jump(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = match compile(folder.path()) {
        Ok(library) => library,
        Err(why) => return Outcome::not_run(why, "install `gcc` and `libc6-dev`"),
    };
    let findings = Findings::default();
    let ahead = folder.path().join("ahead");
    let set = |millis: i64| fs::write(&ahead, millis.to_string()).expect("written");
    let preload = format!("LD_PRELOAD={}", library.display());
    let clock = format!("TORTURE_CLOCK={}", ahead.display());
    let starter = ["env", &preload, &clock];
    let (mut log, signer, mut chance) = (Log::init(), Signer::new(1), Chance::new(plan.seed));
    set(0);
    log.serve_under(&starter, &FLAGS);
    let (mut taken, mut refused) = (0, 0);
    let mut send = |log: &Log, number: u64, findings: &Findings| {
        let entry = signer.sign(ORIGIN, &number.to_be_bytes(), Public, 0).by_hash();
        let (status, answer) = log.submit(&entry);
        let is_refused = status == 503 && answer["type"] == "urn:aip:problem:clock";
        findings.require(status == 200 || is_refused, || format!("jump {number}: {status} {answer}"));
        taken += u64::from(status == 200);
        refused += u64::from(is_refused);
        status == 200
    };
    for number in 0..plan.count {
        let millis = *chance.of(&JUMPS);
        set(millis);
        let is_taken = send(&log, 2 * number, &findings);
        findings.require(!is_taken || millis.abs() < LARGE, || format!("logged by a clock {millis} ms off"));
        if number % 20 == 19 {
            // Started again by a wrong clock: one behind the last entry is not believed, and the log can be read.
            log.kill();
            set(-LARGE);
            log.serve_under(&starter, &FLAGS);
            let is_taken = send(&log, 1_000_000 + number, &findings);
            findings.require(!is_taken, || "a start with a clock behind the last entry is believed".into());
            // By that clock the right one has jumped: only a start believes it again.
            log.kill();
            set(0);
            log.serve_under(&starter, &FLAGS);
        }
        set(0);
        let is_right = (0..200).any(|_| {
            send(&log, 2 * number + 1, &findings) || {
                std::thread::park_timeout(Duration::from_millis(10));
                false
            }
        });
        findings.require(is_right, || format!("jump {number}: the clock is right, and nothing is logged"));
        if !findings.require(log.ended().is_none(), || format!("{millis} ms ended the process")) {
            log.serve_under(&starter, &FLAGS);
        }
    }
    let mut last = 0;
    let seen = check_log(&log);
    for (index, leaf) in seen.leaves.iter().enumerate() {
        let Ok(Entry::Dsse(entry)) = Entry::parse(leaf) else { panic!("entry {index} is none of ours") };
        let time = entry.logged_at().as_millis();
        findings.require(time >= last, || format!("entry {index}: time goes back to {time}"));
        findings
            .require(last == 0 || time - last < LARGE as u64, || format!("entry {index}: a jump to {time}"));
        last = time;
    }
    findings.require(log.stop() == Some(0), || "the log did not stop when it was told to".into());
    let fsck = fsck(&log);
    findings.require(fsck.0 == Some(0), || format!("fsck: {}", fsck.1));
    findings.into_outcome(format!(
        "{} jumps: {} entries taken, {} refused in the clock's name",
        count(plan.count),
        count(taken),
        count(refused)
    ))
}

/// What the clock is off by, milliseconds.
const JUMPS: [i64; 10] =
    [-1_000, 1_000, -50, -3, 7, -HOUR, HOUR, -87_600 * HOUR, 87_600 * HOUR, -20 * 60_000];

const HOUR: i64 = 3_600_000;

/// A log believes no clock that is off by this.
const LARGE: i64 = 10 * 60_000;

fn compile(folder: &Path) -> Result<PathBuf, String> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, include_str!("clock.c")).map_err(|error| format!("clock.c: {error}"))?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let output = cc.output().map_err(|error| format!("cc: {error}"))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
