//! Durable adds through the real server: RocksDB on disk, HTTP, every signature checked, every answer a
//! receipt. Beside it Tessera's POSIX log, which acknowledges an entry before its checkpoint is published
//! and checks no signature.

use std::sync::Arc;
use std::time::Duration;

use testkit::load::{self, Outcome, Plan, Requests, percentile};
use testkit::log::Log;

use super::corpus::{Corpus, Form};
use super::measure::{Spread, bytes_on_disk, cpu_of, cpu_of_self, memory_of, verification_micros};
use super::peers::{self, Server};
use super::report::{Budgets, Table, count, not_run, ratio, section};
use super::{BATCH, BATCH_CONNECTIONS, Effort, SINGLE_CONNECTIONS};

/// Budgets of the server are off: they are there to be reached, not to be measured.
pub const NO_BUDGETS: [&str; 8] = [
    "--did-entries-per-minute",
    "0",
    "--address-entries-per-minute",
    "0",
    "--bytes-per-day",
    "0",
    "--address-connections",
    "0",
];

/// One way of adding entries.
struct Scenario {
    form: Form,
    batch: usize,
    connections: usize,
    /// Entries a second, and CPU time an entry, over Tessera's.
    budgets: (f64, f64),
    requests: Arc<Requests>,
    runs: Vec<Run>,
}

/// What one round of one scenario came to.
#[derive(Clone, Debug)]
struct Run {
    per_second: f64,
    server_cpu: f64,
    client_cpu: f64,
    verification: f64,
    p50: f64,
    p99: f64,
    failed: usize,
    entries_a_round: f64,
    disk: f64,
    wal: f64,
    memory: f64,
}

impl Scenario {
    fn speeds(&self) -> Vec<(f64, f64)> {
        self.runs.iter().map(|run| (run.per_second, run.server_cpu)).collect()
    }

    fn name(&self) -> String {
        match self.batch {
            1 => format!("{}, single", self.form.name()),
            batch => format!("{}, batches of {batch}", self.form.name()),
        }
    }
}

/// Runs all scenarios and prints them.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    section(&format!(
        "3. Durable, signature-checked adds, answered with receipts: {} statements of 1 KiB by 1,000 signers a round, \
         {SINGLE_CONNECTIONS} connections for single entries, {BATCH_CONNECTIONS} for batches",
        count(effort.entries as f64)
    ));
    let scenario = |form, batch, connections, budgets| {
        let requests = corpus.requests(form, batch);
        Scenario { form, batch, connections, budgets, requests, runs: Vec::new() }
    };
    let mut scenarios = [
        scenario(Form::ByHash, 1, SINGLE_CONNECTIONS, (1.9, 0.85)),
        scenario(Form::ByHash, BATCH, BATCH_CONNECTIONS, (3.5, 0.5)),
        scenario(Form::Published, 1, SINGLE_CONNECTIONS, (1.3, 1.2)),
        scenario(Form::Published, BATCH, BATCH_CONNECTIONS, (2.2, 0.8)),
    ];
    let tessera = peers::find("BENCH_TESSERA");
    let plain = corpus.plain_requests();
    let mut peer_runs = Vec::new();
    let mut receipts = 0;
    for round in 0..effort.rounds {
        // ABBA: in every second round the order is turned around.
        let mut order: Vec<usize> = (0..=scenarios.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            match (scenarios.get_mut(at), &tessera) {
                (Some(scenario), _) => {
                    let (run, checked) = add_to_log(effort, corpus, scenario);
                    scenario.runs.push(run);
                    receipts += checked;
                }
                (None, Ok(program)) => peer_runs.push(add_to_peer(effort, program, &plain)),
                (None, Err(_)) => {}
            }
        }
    }
    print(&scenarios, &peer_runs, budgets);
    if let Err(why) = tessera {
        not_run("Tessera's POSIX log", &why);
    }
    println!("  {} of the receipts were verified offline after their round", count(receipts as f64));
    super::rekor::run(&scenarios[0].speeds(), budgets);
    super::syncs::run(effort, corpus, budgets);
}

fn print(scenarios: &[Scenario], peer: &[Run], budgets: &mut Budgets) {
    let mut speed = Table::new(&[
        "",
        "entries/s",
        "CPUs used",
        "server CPU µs/entry",
        "in verifications",
        "client CPU",
        "p50 ms",
        "p99 ms",
        "failed",
    ]);
    let mut space = Table::new(&["", "entries a round", "disk B/entry", "of it WAL", "RSS MiB"]);
    let mut ratios = Table::new(&["", "entries/s ÷ Tessera's", "CPU an entry ÷ Tessera's"]);
    let series = |runs: &[Run], figure: fn(&Run) -> f64| runs.iter().map(figure).collect::<Vec<f64>>();
    let mut row = |name: &str, runs: &[Run]| {
        let median = |figure: fn(&Run) -> f64| Spread::of(series(runs, figure)).median;
        speed.row([
            name.to_owned(),
            count(median(|run| run.per_second)),
            format!("{:.2}", median(|run| run.per_second * (run.server_cpu + run.client_cpu) / 1e6)),
            format!("{:.1}", median(|run| run.server_cpu)),
            format!("{:.2}", median(|run| run.server_cpu / run.verification)),
            format!("{:.1}", median(|run| run.client_cpu)),
            format!("{:.1}", median(|run| run.p50)),
            format!("{:.1}", median(|run| run.p99)),
            runs.iter().map(|run| run.failed).sum::<usize>().to_string(),
        ]);
        let rounds = median(|run| run.entries_a_round);
        space.row([
            name.to_owned(),
            if rounds.is_nan() { "–".to_owned() } else { count(rounds) },
            count(median(|run| run.disk)),
            count(median(|run| run.wal)),
            format!("{:.0}", median(|run| run.memory)),
        ]);
        if !peer.is_empty() {
            let of = |figure: fn(&Run) -> f64| {
                ratio(Spread::of_ratios(&series(runs, figure), &series(peer, figure)))
            };
            ratios.row([name.to_owned(), of(|run| run.per_second), of(|run| run.server_cpu)]);
        }
    };
    for scenario in scenarios {
        row(&scenario.name(), &scenario.runs);
    }
    for scenario in scenarios {
        let (speed, cpu) =
            (format!("adds {}, entries/s", scenario.name()), format!("adds {}, CPU", scenario.name()));
        if peer.is_empty() {
            budgets.not_run(&speed, "Tessera's POSIX log was not run");
            continue;
        }
        let of = |figure: fn(&Run) -> f64| {
            Spread::of_ratios(&series(&scenario.runs, figure), &series(peer, figure)).median
        };
        budgets.at_least(&speed, of(|run| run.per_second), scenario.budgets.0, "× Tessera's");
        budgets.at_most(&cpu, of(|run| run.server_cpu), scenario.budgets.1, "× Tessera's");
    }
    if !peer.is_empty() {
        row("Tessera POSIX, single, no signature, before publication", peer);
    }
    speed.print();
    println!(
        "  (the client shares the CPUs; a verification: one strict Ed25519 check, timed after each round)"
    );
    space.print();
    ratios.print();
}

/// A new log, its keys admitted, then the measured part; stopped, and its bytes counted.
fn add_to_log(effort: &Effort, corpus: &Corpus, scenario: &Scenario) -> (Run, usize) {
    let mut log = Log::start(&NO_BUDGETS);
    let batch = scenario.batch;
    let warm_up = Plan::Each { first: 0, count: effort.warm_up / batch };
    let warm = load::run(log.address(), scenario.connections, &scenario.requests, warm_up);
    assert_eq!(warm.failed, 0, "warm-up: {:?}", warm.first_failure);
    let (committed, rounds) = counters(&log);
    let plan = Plan::Each { first: effort.warm_up / batch, count: effort.entries / batch };
    let (outcome, server_cpu, client_cpu) =
        measured(log.pid(), || load::run(log.address(), scenario.connections, &scenario.requests, plan));
    let checked = corpus.check_receipts(&outcome, batch, &log.policy());
    let (committed_after, rounds_after) = counters(&log);
    let entries = committed_after - committed;
    // A batch is answered 200 even if some of it was refused: the log's own count tells.
    let failed = (outcome.failed * batch).max(effort.entries - entries as usize);
    let memory = memory_of(log.pid()).0;
    assert_eq!(log.stop(), Some(0), "a clean stop");
    let run = Run {
        entries_a_round: entries / (rounds_after - rounds),
        memory,
        failed,
        ..Run::new(&outcome, entries, server_cpu, client_cpu)
    };
    let total = (effort.entries + effort.warm_up) as f64;
    let is_wal = |name: &str| name.ends_with(".log");
    let run = Run {
        disk: bytes_on_disk(&log.dir(), &|_| true) as f64 / total,
        wal: bytes_on_disk(&log.dir(), &is_wal) as f64 / total,
        ..run
    };
    report_failures("log", &outcome);
    (run, checked)
}

fn add_to_peer(effort: &Effort, program: &std::path::Path, requests: &Arc<Requests>) -> Run {
    let mut peer = Server::tessera(program);
    let warm_up = Plan::Each { first: 0, count: effort.warm_up };
    load::run(peer.address(), SINGLE_CONNECTIONS, requests, warm_up);
    let plan = Plan::Each { first: effort.warm_up, count: effort.entries };
    let (outcome, server_cpu, client_cpu) =
        measured(peer.pid(), || load::run(peer.address(), SINGLE_CONNECTIONS, requests, plan));
    let memory = memory_of(peer.pid()).0;
    let folder = peer.stop();
    report_failures("Tessera", &outcome);
    let total = (effort.entries + effort.warm_up) as f64;
    Run {
        memory,
        disk: bytes_on_disk(&folder, &|_| true) as f64 / total,
        ..Run::new(&outcome, outcome.answered as f64, server_cpu, client_cpu)
    }
}

/// Does some work, and tells what it cost the process `pid`, and this one, in CPU time.
pub fn measured(pid: u32, work: impl FnOnce() -> Outcome) -> (Outcome, Duration, Duration) {
    let (server, client) = (cpu_of(pid), cpu_of_self());
    let outcome = work();
    (outcome, cpu_of(pid) - server, cpu_of_self() - client)
}

fn report_failures(whose: &str, outcome: &Outcome) {
    if let Some(failure) = &outcome.first_failure {
        println!("  {whose}: {} requests failed, the first with {failure}", outcome.failed);
    }
}

impl Run {
    fn new(outcome: &Outcome, entries: f64, server_cpu: Duration, client_cpu: Duration) -> Self {
        Self {
            per_second: entries / outcome.elapsed.as_secs_f64(),
            server_cpu: server_cpu.as_micros() as f64 / entries,
            client_cpu: client_cpu.as_micros() as f64 / entries,
            verification: verification_micros(),
            p50: percentile(&outcome.latencies, 0.5) / 1e3,
            p99: percentile(&outcome.latencies, 0.99) / 1e3,
            failed: outcome.failed,
            entries_a_round: f64::NAN,
            disk: 0.0,
            wal: 0.0,
            memory: 0.0,
        }
    }
}

/// How many entries the log has committed, in how many rounds: its own count.
pub fn counters(log: &Log) -> (f64, f64) {
    let text = String::from_utf8(log.bytes("/metrics")).expect("UTF-8");
    let counter = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("Prometheus text"))
    };
    (counter("log_entries_committed_total"), counter("log_rounds_total"))
}
