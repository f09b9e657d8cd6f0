//! What honest clients of a log notice of an attack: each of [`Attack`] beside the same load without it, on the same log.
//! The attackers share the machine with the log and with the honest clients, so some of what is seen is theirs: attacks that keep
//! a CPU busy are also made on a [`Sink`], while the honest clients ask the log. What they notice then no log could avoid.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use testkit::attack::{Attack, Sink, fill_bundle};
use testkit::load::{self, Outcome, Plan, Requests, percentile};
use testkit::log::Log;
use testkit::raise_descriptors;

use super::Effort;
use super::corpus::Corpus;
use super::report::{Budgets, Table, not_run, section};

/// Reads a second: checkpoints, tiles and proofs.
const READS: f64 = 200.0;

/// Submissions a second: single entries, and every eleventh a batch.
const SUBMISSIONS: f64 = 55.0;

/// Questions for evidence a second.
const GATES: f64 = 20.0;

/// Entries of a batch: more than a body, and an answer, may have without a share.
const BATCH: usize = 60;

/// How long attackers stay beyond their time for clients that are not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one kind of honest client saw.
struct Seen {
    p50: f64,
    p99: f64,
    sent: usize,
    unanswered: usize,
    first_failure: Option<String>,
}

/// Runs every attack and prints what the others noticed.
pub fn run(effort: &Effort, budgets: &mut Budgets) {
    let seconds = effort.read_seconds + 2;
    section(&format!(
        "10. Honest clients beside attackers: {READS} reads, {SUBMISSIONS} submissions (every eleventh of {BATCH} entries) and \
         {GATES} gates a second for {seconds} s, alone and beside each attack, on one log"
    ));
    if !raise_descriptors(8_192) {
        return not_run("attacks", "this process may not have 8,192 descriptors");
    }
    let count = SUBMISSIONS as usize * seconds as usize;
    let corpus = Corpus::sign(3 * (count + count / 11 * BATCH));
    let mut table = Table::new(&[
        "p50/p99 ms",
        "reads alone",
        "beside",
        "submissions alone",
        "beside",
        "gates alone",
        "beside",
        "p50",
        "p99",
        "p99 beside a sink",
        "unanswered",
    ]);
    let sink = Sink::start();
    for attack in Attack::ALL {
        let mut log = Log::start(&[]);
        fill_bundle(&log);
        // By whom the day's bytes were logged does not survive a restart: the honest clients have their share.
        log.stop();
        log.serve(&[attack.flags(), &["--did-entries-per-minute", "0"]].concat());
        let third = corpus.len() / 3;
        let alone = honest(&log, &corpus, 0..third, seconds);
        let unavoidable = attack.bound().is_none().then(|| {
            let attackers = attack.start(sink.address());
            let beside = honest(&log, &corpus, third..2 * third, seconds);
            drop(attackers);
            beside
        });
        let attackers = attack.start(log.address());
        let (done, waiting) = mpsc::channel::<()>();
        // Who keeps everybody out for ever would keep the benchmark out, too.
        let end = Duration::from_secs(seconds) + PATIENCE;
        let guard = thread::spawn(move || {
            let patient = waiting.recv_timeout(end) == Err(RecvTimeoutError::Timeout);
            drop(attackers);
            patient
        });
        let beside = honest(&log, &corpus, 2 * third..3 * third, seconds);
        drop(done);
        let kept_out = guard.join().expect("the attackers do not panic");
        log.kill();
        let cell = |seen: &Seen| format!("{:.1}/{:.1}", seen.p50, seen.p99);
        let worst = |of: &[Seen; 3], figure: fn(&Seen) -> f64| {
            let ratios = alone.iter().zip(of).map(|(alone, beside)| figure(beside) / figure(alone));
            ratios.fold(0.0, f64::max)
        };
        let (p50, p99) = (worst(&beside, |seen| seen.p50), worst(&beside, |seen| seen.p99));
        let machine = unavoidable.as_ref().map(|of| worst(of, |seen| seen.p99));
        // Who is let in only once the attackers have gone was not answered, however soon it was then.
        let unanswered: usize =
            beside.iter().map(|seen| if kept_out { seen.sent } else { seen.unanswered }).sum();
        let mut row = vec![attack.name().to_owned()];
        row.extend(alone.iter().zip(&beside).flat_map(|(alone, beside)| [cell(alone), cell(beside)]));
        row.extend([format!("{p50:.1}×"), format!("{p99:.1}×")]);
        row.extend([machine.map_or("-".to_owned(), |ratio| format!("{ratio:.1}×")), unanswered.to_string()]);
        table.row(row);
        if let Some(failure) = beside.iter().find_map(|seen| seen.first_failure.as_ref()) {
            println!("  beside {}: the first that was not answered: {failure:.200}", attack.name());
        }
        if kept_out {
            println!("  beside {}: some were answered only once the attackers had gone", attack.name());
        }
        budgets.at_most(&format!("unanswered beside {}", attack.name()), unanswered as f64, 0.0, "requests");
        budgets.at_most(&format!("honest p50 beside {} ÷ alone", attack.name()), p50, 3.0, "×");
        // The load generator's CPU is not the log's to share.
        let baseline =
            |at: usize| unavoidable.as_ref().map_or(alone[at].p99, |of| of[at].p99.max(alone[at].p99));
        let ratios = (0..3).map(|at| beside[at].p99 / baseline(at));
        let name = format!("honest p99 beside {} ÷ alone, or beside a sink", attack.name());
        budgets.at_most(&name, ratios.fold(0.0, f64::max), 3.0, "×");
    }
    table.print();
    println!("  (p50 and p99 at the end: the worst of the three kinds, beside ÷ alone)");
}

/// The honest load, its submissions from a range of the corpus; what its reads, submissions and gates saw.
fn honest(log: &Log, corpus: &Corpus, range: std::ops::Range<usize>, seconds: u64) -> [Seen; 3] {
    let mut reads = Requests::default();
    for number in 0..(READS * seconds as f64) as usize {
        match number % 4 {
            0 => reads.get("/checkpoint"),
            1 => reads.get("/tile/0/000"),
            2 => reads.get(&format!("/api/v1/entries/{}/proof", number % 256)),
            _ => reads.get(&format!("/tile/0/000.p/{}", 1 + number % 255)),
        }
    }
    let mut submissions = Requests::default();
    let mut entries = range.map(|number| corpus.get(number).1.by_hash().to_string());
    for number in 0..(SUBMISSIONS * seconds as f64) as usize {
        let body = match number % 11 {
            10 => format!("[{}]", entries.by_ref().take(BATCH).collect::<Vec<_>>().join(",")),
            _ => entries.next().expect("as many were signed"),
        };
        submissions.post("/api/v1/entries", body.as_bytes());
    }
    let mut gates = Requests::default();
    for number in 0..(GATES * seconds as f64) as usize {
        let did = corpus.get(number).0.did().to_string();
        gates.post("/api/v1/evidence", json!({"did": did}).to_string().as_bytes());
    }
    let address = log.address();
    thread::scope(|scope| {
        let loads = [(reads, READS, 16), (submissions, SUBMISSIONS, 64), (gates, GATES, 16)];
        let loads = loads.map(|(requests, rate, connections)| {
            let requests = Arc::new(requests);
            scope.spawn(move || {
                let outcome = load::run(address, connections, &requests, Plan::Paced { rate });
                Seen::of(outcome, requests.len())
            })
        });
        loads.map(|load| load.join().expect("the load generator does not panic"))
    })
}

impl Seen {
    fn of(outcome: Outcome, sent: usize) -> Self {
        Self {
            p50: percentile(&outcome.latencies, 0.5) / 1e3,
            p99: percentile(&outcome.latencies, 0.99) / 1e3,
            sent,
            unanswered: sent - outcome.answered,
            first_failure: outcome.first_failure,
        }
    }
}
