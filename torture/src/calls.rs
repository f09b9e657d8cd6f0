//! R2: every call of one round that touches the log's directory or its signed record fails once, in each way that a call can.
//! The log stops or says no, acknowledges nothing of that batch, is whole at the next start, and has all that it promised
//! (I1, I5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use serde_json::Value;
use testkit::log::{Log, ORIGIN};
use testkit::signer::{Signed, Signer};

use crate::frame::{Findings, Outcome, Plan, count};
use crate::preload;
use crate::promised::Promised;
use crate::strace::{self, Strace};

/// Every call that reaches a file system.
const CALLS: &str = "trace=%file,%desc,fsync,fdatasync,sync_file_range,ftruncate,fallocate";

/// What is done to a call.
const FAULTS: [(&str, &str); 3] =
    [("SIGKILL", "signal=SIGKILL"), ("EIO", "error=EIO"), ("ENOSPC", "error=ENOSPC")];

/// Entries of one request may come into two rounds. One entry is one round, and whether it is acknowledged is the round's word.
const BATCH: usize = 1;

/// A log whose rounds are looked at one by one.
pub(crate) struct Rounds {
    pub(crate) log: Log,
    pub(crate) signer: Signer,
    pub(crate) promised: Promised,
    next: u64,
}

/// What became of a batch.
pub(crate) enum Heard {
    /// So many of its entries were acknowledged.
    Acknowledged(usize),
    /// It was refused.
    No,
    /// The connection ended.
    Nothing,
}

impl Rounds {
    pub(crate) fn new() -> Self {
        Self { log: Log::init(), signer: Signer::new(1), promised: Promised::default(), next: 0 }
    }

    /// Starts the log. The first round of a life syncs more than a usual one, so one is made.
    pub(crate) fn start(&mut self, starter: &[&str]) {
        self.log.serve_under(starter, &["--round-interval", "2ms", "--deadline", "30s"]);
        assert!(matches!(self.batch(1), Heard::Acknowledged(1)), "a log that is whole takes an entry");
    }

    /// Sends a batch in one request.
    pub(crate) fn batch(&mut self, entries: usize) -> Heard {
        let signed: Vec<Signed> = (0..entries)
            .map(|_| {
                self.next += 1;
                self.signer.sign(ORIGIN, &self.next.to_be_bytes(), Public, 300)
            })
            .collect();
        let body = Value::Array(signed.iter().map(Signed::published).collect());
        let request = self.log.http().post(format!("{}/api/v1/entries", self.log.url())).json(&body);
        let Ok(response) = request.send() else { return Heard::Nothing };
        let status = response.status();
        let Ok(answer) = response.json::<Value>() else { return Heard::Nothing };
        if !status.is_success() {
            return Heard::No;
        }
        let answers = answer.as_array().into_iter().flatten();
        let mut acknowledged = 0;
        for (signed, answer) in signed.into_iter().zip(answers) {
            match answer["status"].as_str() {
                Some("logged") => self.promised.receipts.push((signed, answer.clone())),
                Some("committed") => self.promised.committed.push(signed.claim()),
                _ => continue,
            }
            acknowledged += 1;
        }
        if acknowledged > 0 { Heard::Acknowledged(acknowledged) } else { Heard::No }
    }

    /// Whether the process has ended, or does within so long.
    pub(crate) fn ends(&mut self, within: Duration) -> bool {
        let start = Instant::now();
        while self.log.ended().is_none() {
            if start.elapsed() > within {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        true
    }

    /// The directory, as it was left: `fsck` finds nothing.
    pub(crate) fn check_fsck(&self, what: &str, findings: &Findings) {
        let fsck = self.log.fsck();
        let words = String::from_utf8_lossy(&fsck.stderr).into_owned();
        findings.require(fsck.status.code() == Some(0), || format!("{what}: fsck: {words}"));
    }

    /// Starts the log once more, and looks for everything that it ever promised.
    pub(crate) fn check_kept(&mut self, findings: &Findings) {
        self.start(&[]);
        self.promised.check_kept(&self.log, &self.signer, findings);
        self.log.kill();
    }
}

/// Every call of a round, failing in three ways. The plan's count is that of passes over all of them.
pub fn fail(plan: &Plan) -> Outcome {
    if let Err((why, hint)) = strace::needed() {
        return Outcome::not_run(why, hint);
    }
    let findings = Findings::default();
    let mut rounds = Rounds::new();
    let trace = rounds.log.folder().join("trace");
    let found = match calls_of_a_round(&mut rounds, &trace) {
        Ok(found) => found,
        Err(why) => return Outcome::not_run(why, "run it where one process may trace another"),
    };
    let calls: usize = found.values().sum();
    let has = |name: &str| found.keys().any(|(_, call)| call == name);
    findings.require(has("fdatasync") && has("fsync"), || {
        format!("no sync among the calls of a round: {found:?}")
    });
    let (mut injected, mut behind_a_close) = (0, 0);
    for _ in 0..plan.count {
        for ((thread, name), times) in &found {
            for nth in 1..=*times {
                for (fault, inject) in FAULTS {
                    let what = format!("{fault} at {name} {nth} of a round");
                    let heard = match one(&mut rounds, &trace, (thread, name), nth, inject) {
                        Ok(heard) => heard,
                        Err(why) => {
                            findings.require(false, || format!("{what}: {why}"));
                            continue;
                        }
                    };
                    injected += 1;
                    let is_close = name == "close" && fault != "SIGKILL";
                    if let Heard::Acknowledged(entries) = heard {
                        // What is closed was synced: an answer behind it is true. Whether it is, the end looks at.
                        behind_a_close += usize::from(is_close);
                        findings.require(is_close, || format!("{what}: {entries} entries were acknowledged"));
                    }
                    let has_ended = rounds.ends(match heard {
                        Heard::Nothing => Duration::from_secs(5),
                        _ => Duration::ZERO,
                    });
                    findings.require(has_ended || !matches!(heard, Heard::Nothing), || {
                        format!("{what}: no answer, and the process has not ended")
                    });
                    if !has_ended {
                        rounds.log.kill();
                    }
                    rounds.check_fsck(&what, &findings);
                }
            }
        }
    }
    rounds.check_kept(&findings);
    let names: Vec<String> = found.iter().map(|((_, name), times)| format!("{times} {name}")).collect();
    findings.into_outcome(format!(
        "{calls} calls of a round ({}) × {} faults, {} injected; {behind_a_close} answers behind a failed close; {} promises",
        names.join(", "),
        FAULTS.len(),
        count(injected as u64),
        count(rounds.promised.len() as u64)
    ))
}

/// Every write of a round takes half of its bytes, as a write to a nearly full disk does; the next one to that file takes the
/// rest, or finds the disk full. The plan's count is that of passes over all of them.
pub fn shorten(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut rounds = Rounds::new();
    let folder = rounds.log.folder().to_owned();
    let library = match preload::compile(&folder) {
        Ok(library) => library,
        Err((why, hint)) => return Outcome::not_run(why, hint),
    };
    let (arm, below) = (folder.join("arm"), folder.join("log"));
    let done = arm.with_added_extension("done");
    let (arm_text, below_text) = (arm.display().to_string(), below.display().to_string());
    let starter = preload::starter(&library, &[("TORTURE_BELOW", &below_text), ("TORTURE_ARM", &arm_text)]);
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    let (mut completed, mut refused) = (0, 0);
    for _ in 0..plan.count {
        for (what, mode) in [("the rest", 0), ("ENOSPC", 1)] {
            for nth in 1..=MOST_WRITES {
                let what = format!("write {nth} of a round is short, then {what}");
                rounds.start(&starter);
                std::fs::write(&arm, format!("{nth} {mode}")).expect("a file");
                let heard = rounds.batch(BATCH);
                let came = done.exists();
                let has_ended = rounds.ends(match heard {
                    Heard::Nothing => Duration::from_secs(5),
                    _ => Duration::ZERO,
                });
                match heard {
                    // A write that is completed is no failure. Whether it was, the end looks at.
                    Heard::Acknowledged(_) => {
                        completed += usize::from(came);
                        findings
                            .require(!came || mode == 0, || format!("{what}: the batch was acknowledged"));
                    }
                    Heard::No => refused += 1,
                    Heard::Nothing => {
                        refused += 1;
                        findings.require(has_ended, || format!("{what}: no answer, and no end"));
                    }
                }
                if !has_ended {
                    rounds.log.kill();
                }
                for file in [&arm, &done] {
                    let _ = std::fs::remove_file(file);
                }
                rounds.check_fsck(&what, &findings);
                if !came {
                    findings.require(nth > 1, || "no write of a round came through the library".into());
                    break;
                }
            }
        }
    }
    findings.require(refused > 0, || "a full disk refused nothing".into());
    rounds.check_kept(&findings);
    findings.into_outcome(format!(
        "{} short writes, {completed} completed, {refused} with no acknowledgement; {} promises",
        completed + refused,
        count(rounds.promised.len() as u64)
    ))
}

/// No round of a small batch has so many writes.
const MOST_WRITES: u64 = 50;

/// A call of a round: the name of the thread that makes it, the call, and how often.
type Found = BTreeMap<(String, String), usize>;

/// How often a round makes each call on the log's files, of the threads that write in it.
fn calls_of_a_round(rounds: &mut Rounds, trace: &Path) -> Result<Found, String> {
    rounds.start(&[]);
    let pid = rounds.log.pid();
    let args = [vec!["-e".to_owned(), CALLS.to_owned()], paths(&rounds.log)].concat();
    let strace = Strace::attach(pid, None, trace, &args)?;
    assert!(matches!(rounds.batch(BATCH), Heard::Acknowledged(BATCH)), "nothing fails");
    let seen = strace::calls(&strace.trace());
    drop(strace);
    // Others look at the directory from time to time, whatever the rounds do.
    let writes = |call: &&strace::Call| call.name.contains("write") || call.name.contains("sync");
    let writers: BTreeSet<u32> = seen.iter().filter(writes).map(|call| call.thread).collect();
    let mut found = Found::new();
    for call in seen.iter().filter(|call| writers.contains(&call.thread)) {
        *found.entry((strace::name_of(pid, call.thread), call.name.clone())).or_default() += 1;
    }
    rounds.log.kill();
    Ok(found)
}

/// One round whose n-th call of a name fails, in the thread that makes it.
fn one(
    rounds: &mut Rounds,
    trace: &Path,
    (thread, name): (&str, &str),
    nth: usize,
    inject: &str,
) -> Result<Heard, String> {
    // RocksDB makes some calls now and then only.
    for _ in 0..TRIES {
        rounds.start(&[]);
        let which = [
            "-e".to_owned(),
            format!("trace={name}"),
            "-e".into(),
            format!("inject={name}:{inject}:when={nth}"),
        ];
        let args = [which.to_vec(), paths(&rounds.log)].concat();
        let mut strace = Strace::attach(rounds.log.pid(), Some(thread), trace, &args)?;
        let heard = rounds.batch(BATCH);
        if matches!(heard, Heard::Nothing) {
            strace.ends(Duration::from_secs(5));
        }
        let trace = strace.trace();
        drop(strace);
        if trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL") {
            return Ok(heard);
        }
        rounds.log.kill();
    }
    Err(format!("the call did not come in {TRIES} rounds"))
}

const TRIES: usize = 3;

/// The files to look at, for strace: the log's directory and its record with all that may come to be in them.
fn paths(log: &Log) -> Vec<String> {
    let mut paths = Vec::new();
    below(&log.dir(), &mut paths);
    let folder = log.folder();
    paths.push(folder.to_owned());
    paths.extend(["log.signed", "log.signed.new", "log.signed.lock"].map(|name| folder.join(name)));
    // What RocksDB numbers next.
    let db = log.dir().join("db");
    let last = paths.iter().filter_map(|path| path.file_stem()?.to_str()?.parse::<u64>().ok()).max();
    let last = last.unwrap_or(0);
    for number in last + 1..last + 20 {
        let names = [format!("{number:06}.log"), format!("{number:06}.sst"), format!("{number:06}.dbtmp")];
        paths.extend(names.map(|name| db.join(name)));
    }
    paths.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]).collect()
}

fn below(folder: &Path, paths: &mut Vec<PathBuf>) {
    paths.push(folder.to_owned());
    for entry in std::fs::read_dir(folder).expect("the log's folder").flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(&entry.path(), paths),
            _ => paths.push(entry.path()),
        }
    }
}
