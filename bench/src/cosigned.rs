//! What witnesses cost a log: the same log under the same load, with three witnesses and with none; and what one costs
//! that hangs, with a quorum that the others make.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use testkit::load::{self, Outcome, Plan, Requests, percentile};
use testkit::log::Log;
use testkit::witness::Witness;

use super::add::{NO_BUDGETS, counters};
use super::corpus::{Corpus, Form};
use super::measure::Spread;
use super::report::{Budgets, Table, count, ratio, section};
use super::{BATCH, Effort};

/// Connections that send batches: with fewer, a log that publishes once a second waits for its clients.
const CONNECTIONS: usize = 64;

/// Single entries a second of the paced load.
const RATE: f64 = 500.0;

/// Of the paced load while a witness hangs.
const HANGING_RATE: f64 = 200.0;

/// How long a witness may take in the part with one that hangs.
const DEADLINE: Duration = Duration::from_secs(1);

struct Scenario {
    name: &'static str,
    witnesses: usize,
    flags: &'static [&'static str],
    runs: Vec<Run>,
}

struct Run {
    per_second: f64,
    entries_a_round: f64,
    p50: f64,
    p99: f64,
    failed: usize,
}

/// Runs all scenarios, turn about, and prints them.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    section(&format!(
        "7. A log with witnesses: by hash, batches of {BATCH} over {CONNECTIONS} connections; then {RATE} single entries/s (open \
         loop). A quorum of two of three"
    ));
    let scenario = |name, witnesses, flags| Scenario { name, witnesses, flags, runs: Vec::new() };
    let mut scenarios = [
        scenario("no witness", 0, &["--publish-interval", "0s"][..]),
        scenario("three, published at once", 3, &["--publish-interval", "0s"]),
        scenario("no witness, published every second", 0, &["--publish-interval", "1s"]),
        scenario("three, published every second (default)", 3, &[]),
    ];
    let batches = corpus.requests(Form::ByHash, BATCH);
    let seconds = effort.read_seconds as usize;
    let singles = singles(corpus, effort.entries, effort.entries + seconds * RATE as usize);
    for round in 0..effort.rounds {
        let mut order: Vec<usize> = (0..scenarios.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let run = measure(effort, &scenarios[at], &batches, &singles);
            scenarios[at].runs.push(run);
        }
    }
    let mut table = Table::new(&["", "entries/s", "entries a round", "p50 ms", "p99 ms", "failed"]);
    for Scenario { name, runs, .. } in &scenarios {
        let median = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure)).median;
        table.row([
            (*name).to_owned(),
            count(median(|run| run.per_second)),
            count(median(|run| run.entries_a_round)),
            format!("{:.1}", median(|run| run.p50)),
            format!("{:.1}", median(|run| run.p99)),
            runs.iter().map(|run| run.failed).sum::<usize>().to_string(),
        ]);
    }
    table.print();
    println!(
        "  (entries/s of the batches; p50 and p99 of the paced entries, from sent to published; client and witnesses, \
         each with both keys, share the CPUs)"
    );
    let of = |figure: fn(&Run) -> f64, with: usize, without: usize| {
        let series = |at: usize| scenarios[at].runs.iter().map(figure).collect::<Vec<_>>();
        ratio(Spread::of_ratios(&series(with), &series(without)))
    };
    println!(
        "  three witnesses ÷ none, published at once: entries/s {}, p50 {}; every second: entries/s {}, p50 {}",
        of(|run| run.per_second, 1, 0),
        of(|run| run.p50, 1, 0),
        of(|run| run.per_second, 3, 2),
        of(|run| run.p50, 3, 2),
    );
    one_hangs(effort, corpus, budgets);
}

fn singles(corpus: &Corpus, first: usize, end: usize) -> Arc<Requests> {
    let mut requests = Requests::default();
    for number in first..end {
        requests.post("/api/v1/entries", corpus.get(number).1.by_hash().to_string().as_bytes());
    }
    Arc::new(requests)
}

/// A log that asks so many witnesses, any two of which suffice. It does not run yet.
fn witnessed(number: usize) -> (Log, Vec<Witness>) {
    let log = Log::init();
    let names = &["w1", "w2", "w3"][..number];
    let witnesses: Vec<Witness> = names.iter().map(|name| Witness::start(name, &[], &log.vkey)).collect();
    if number > 0 {
        let lines: String = witnesses.iter().map(|witness| witness.policy.as_str()).collect();
        log.ask(&format!("{lines}group two 2 {}\n", names.join(" ")), "two");
    }
    (log, witnesses)
}

fn measure(effort: &Effort, scenario: &Scenario, batches: &Arc<Requests>, singles: &Arc<Requests>) -> Run {
    let (mut log, _witnesses) = witnessed(scenario.witnesses);
    log.serve(&[&NO_BUDGETS[..], scenario.flags].concat());
    let plan = Plan::Each { first: 0, count: effort.entries / 4 / BATCH };
    let before = counters(&log);
    let fast = load::run(log.address(), CONNECTIONS, batches, plan);
    let after = counters(&log);
    let paced = paced(&log, singles, RATE);
    assert_eq!(log.stop(), Some(0), "a clean stop");
    for outcome in [&fast, &paced] {
        if let Some(failure) = &outcome.first_failure {
            println!("  {}: {} requests failed, the first with {failure}", scenario.name, outcome.failed);
        }
    }
    Run {
        per_second: fast.rate() * BATCH as f64,
        entries_a_round: (after.0 - before.0) / (after.1 - before.1),
        p50: percentile(&paced.latencies, 0.5) / 1e3,
        p99: percentile(&paced.latencies, 0.99) / 1e3,
        failed: fast.failed + paced.failed,
    }
}

/// Entries that come at their own pace, over enough connections that none waits for another's answer.
fn paced(log: &Log, singles: &Arc<Requests>, rate: f64) -> Outcome {
    load::run(log.address(), 1_024, singles, Plan::Paced { rate })
}

/// One of three witnesses stops to answer, and later the log is started anew while it does not.
fn one_hangs(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    let seconds = effort.read_seconds as usize + 1;
    let (mut log, witnesses) = witnessed(3);
    let deadline = format!("{}ms", DEADLINE.as_millis());
    let flags = [&NO_BUDGETS[..], &["--publish-interval", "50ms", "--witness-timeout", &deadline]].concat();
    let well = log.serve(&flags);
    let mut next = 0;
    let mut phase = |log: &Log| {
        let count = seconds * HANGING_RATE as usize;
        let singles = singles(corpus, next, next + count);
        next += count;
        paced(log, &singles, HANGING_RATE)
    };
    let mut table = Table::new(&["", "p50 ms", "p99 ms", "slowest ms", "slower than the deadline", "failed"]);
    let mut row = |name: &str, outcome: &Outcome| {
        let late =
            outcome.latencies.iter().filter(|micros| u128::from(**micros) > DEADLINE.as_micros()).count();
        table.row([
            name.to_owned(),
            format!("{:.1}", percentile(&outcome.latencies, 0.5) / 1e3),
            format!("{:.1}", percentile(&outcome.latencies, 0.99) / 1e3),
            format!("{:.1}", percentile(&outcome.latencies, 1.0) / 1e3),
            format!("{late} of {}", outcome.latencies.len()),
            outcome.failed.to_string(),
        ]);
        late + outcome.failed
    };
    row("all three answer", &phase(&log));
    signal("STOP", witnesses[2].pid());
    let mut late = row("one hangs (SIGSTOP)", &phase(&log));
    log.stop();
    let start = log.serve(&flags);
    late += row("the log started anew, one hangs", &phase(&log));
    signal("CONT", witnesses[2].pid());
    row("it goes on (SIGCONT)", &phase(&log));
    println!(
        "  One of three witnesses hangs: {HANGING_RATE} single entries/s for {seconds} s each, published every 50 ms, deadline {} ms",
        DEADLINE.as_millis()
    );
    table.print();
    println!(
        "  start until it serves: {:.0} ms, with the witness that hangs {:.0} ms: at a start every witness is heard, or not, first",
        well.as_secs_f64() * 1e3,
        start.as_secs_f64() * 1e3
    );
    budgets.at_most(
        "entries later than the deadline while one of three witnesses hangs",
        late as f64,
        0.0,
        "entries",
    );
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "the witness is ours");
}
