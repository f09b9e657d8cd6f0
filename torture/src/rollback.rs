//! Directories that are rolled back (R9), and one directory, record or key for two servers (R10).

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use attestation::entry::Visibility::Public;
use testkit::log::{Log, ORIGIN, copy_folder, free_port};
use testkit::oracle::check_log;
use testkit::program;
use testkit::signer::{Signed, Signer};
use testkit::witness::Witness;

use crate::frame::{Findings, Outcome, Plan, count};

/// Soon enough, and long enough for a machine that does something else as well.
const FLAGS: [&str; 6] = ["--publish-interval", "0s", "--witness-timeout", "5s", "--deadline", "20s"];

fn sign(number: u64) -> Signed {
    Signer::new(number % 3).sign(ORIGIN, &number.to_be_bytes(), Public, 0)
}

fn replace(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    copy_folder(from, to);
}

/// So many times an older copy of the directory, with its record kept; the same with an older record, and a witness that knows
/// better; and an older record of a newer directory. Each is refused at the start, and the true pair is served.
pub fn log(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::init();
    let witness = Witness::start("w1", &[], &log.vkey);
    log.ask(&witness.policy, "w1");
    log.serve(&FLAGS);
    let dir = log.dir();
    let record = dir.with_extension("signed");
    let aside = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| aside.path().join(name);
    for round in 0..plan.count {
        for (moment, number) in [("old", 2 * round), ("new", 2 * round + 1)] {
            let (status, answer) = log.submit(&sign(number).published());
            findings.require(status == 200, || format!("round {round}: {status} {answer}"));
            findings.require(log.stop() == Some(0), || format!("round {round}: it did not stop"));
            replace(&log.dir(), &at(moment));
            fs::copy(&record, at(&format!("{moment}.record"))).expect("a copy");
            if moment == "old" {
                log.serve(&FLAGS);
            }
        }
        let put = |directory: &str, its_record: &str| {
            replace(&at(directory), &dir);
            fs::copy(at(&format!("{its_record}.record")), &record).expect("a copy");
        };
        for (directory, its_record, why) in [
            ("old", "new", "it is an older copy"),
            ("old", "old", "shows a checkpoint that this log signed"),
            ("new", "old", "the record is an older copy"),
        ] {
            put(directory, its_record);
            match log.try_serve(&[], &FLAGS) {
                Ok(_) => {
                    findings
                        .require(false, || format!("round {round}: {directory} with {its_record} is served"));
                    log.kill();
                }
                Err(said) => {
                    findings.require(said.contains(why), || format!("round {round}: not `{why}`: {said}"));
                }
            }
        }
        put("new", "new");
        log.serve(&FLAGS);
    }
    let entries = check_log(&log).leaves.len() as u64;
    findings.require(entries == 2 * plan.count, || format!("{entries} entries, not {}", 2 * plan.count));
    findings.into_outcome(format!(
        "{0} older directories, {0} with their records, {0} older records; {1} entries",
        count(plan.count),
        count(entries)
    ))
}

/// So many times a second server: on a directory that is served, on a copy with the same record, and on a copy with a record
/// of its own, where the witness stops it.
pub fn twice(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::init();
    let witness = Witness::start("w1", &[], &log.vkey);
    log.ask(&witness.policy, "w1");
    // Both begin as the same empty tree: neither record can tell them apart, and the witness can.
    let aside = tempfile::tempdir().expect("a temporary folder");
    let record = log.dir().with_extension("signed");
    let first = log.dir();
    let at = |name: &str| aside.path().join(name);
    let second = |from: &Path, name: &str| {
        replace(from, &at(name));
        fs::copy(from.with_extension("signed"), at(name).with_extension("signed")).expect("a copy");
        at(name)
    };
    let empty = second(&first, "empty");
    let with_the_same = second(&empty, "same");
    log.serve(&FLAGS);
    let (status, answer) = log.submit(&sign(1).published());
    findings.require(status == 200, || format!("{status} {answer}"));
    let the_same = record.to_str().expect("a path");
    for round in 0..plan.count {
        // What a witness showed is remembered beside the record: each time it is another copy.
        let copy = second(&empty, &format!("copy-{round}"));
        let tries: [(&str, &Path, &[&str], &str); 3] = [
            ("the same directory", &first, &[], "another process"),
            ("the same record", &with_the_same, &["--signed-record", the_same], "another process"),
            ("the same key", &copy, &[], "shows a checkpoint that this log signed, of 1 entries"),
        ];
        for (what, dir, flags, why) in &tries {
            let Output { status, stderr, .. } = serve(dir, flags);
            let said = String::from_utf8_lossy(&stderr);
            findings
                .require(status.code() == Some(2) && said.contains(why) && said.contains("hint:"), || {
                    format!("round {round}, {what}: {status}: {said}")
                });
        }
    }
    let (status, answer) = log.submit(&sign(2).published());
    findings.require(status == 200, || format!("the first does not go on: {status} {answer}"));
    // A copy is checked beside it all the same.
    let fsck = Command::new(program("log-server")).arg("fsck").arg("--dir").arg(&with_the_same).output();
    let fsck = fsck.expect("log-server runs");
    findings.require(fsck.status.code() == Some(0), || String::from_utf8_lossy(&fsck.stderr).into_owned());
    findings.into_outcome(format!(
        "{0} second servers of a directory, {0} of a record, {0} of a key",
        count(plan.count)
    ))
}

/// Starts a server that must end by itself.
fn serve(dir: &Path, flags: &[&str]) -> Output {
    let mut serve = Command::new("timeout");
    serve.arg("60").arg(program("log-server")).args(["serve", "--listen"]);
    serve.arg(format!("127.0.0.1:{}", free_port())).arg("--dir").arg(dir).args(flags);
    serve.output().expect("timeout runs")
}
