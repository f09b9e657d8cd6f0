//! How long an add takes at a quiet time: entries come one by one, whatever the answers do, beside Tessera's POSIX log at
//! the same intervals.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Effort;
use super::add::NO_BUDGETS;
use super::corpus::Corpus;
use super::measure::Spread;
use super::peers::{self, Server};
use super::report::{Budgets, Table, not_run, section};
use testkit::load::{self, Plan, Requests, percentile};
use testkit::log::Log;

/// So few that none is idle for as long as the log waits for a request, and so many that none waits for an answer.
const CONNECTIONS: usize = 300;

/// Entries a second.
const RATE: f64 = 100.0;

/// Tessera's conformance program waits up to a second for a batch, and publishes every second; nothing changes that.
const INTERVALS: [&str; 4] = ["--round-interval", "1s", "--publish-interval", "1s"];

/// Runs both turn about, and ours at its own intervals, and prints them.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    section(&format!("Adds by hash at {RATE} a second, open loop: from when an entry was due to its answer"));
    let entries = (effort.read_seconds as usize * 5 * RATE as usize).min(corpus.len());
    let mut ours = Requests::default();
    let mut theirs = Requests::default();
    for number in 0..entries {
        let (_, signed) = corpus.get(number);
        ours.post("/api/v1/entries", signed.by_hash().to_string().as_bytes());
        theirs.post("/add", signed.envelope.unverified_payload());
    }
    let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
    let tessera = peers::find("BENCH_TESSERA");
    let mut runs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..effort.rounds.min(3) {
        let order = if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] };
        for at in order {
            let run = match (at, &tessera) {
                (0, _) => with_log(&INTERVALS, &ours),
                (1, _) => with_log(&[], &ours),
                (_, Ok(program)) => {
                    let mut peer = Server::tessera(program);
                    let run = paced(peer.address(), &theirs);
                    peer.stop();
                    run
                }
                (_, Err(_)) => continue,
            };
            runs[at].push(run);
        }
    }
    let mut table = Table::new(&["", "p50 ms", "p99 ms"]);
    let median = |at: usize, figure: fn(&(f64, f64)) -> f64| Spread::of(runs[at].iter().map(figure)).median;
    let names = [
        "log-server, published, rounds and checkpoints 1 s apart",
        "log-server, its own intervals (50 ms)",
        "Tessera POSIX, before publication",
    ];
    for (at, name) in names.into_iter().enumerate().filter(|(at, _)| !runs[*at].is_empty()) {
        table.row([
            name.to_owned(),
            format!("{:.1}", median(at, |run| run.0)),
            format!("{:.1}", median(at, |run| run.1)),
        ]);
    }
    table.print();
    match tessera {
        Ok(_) => {
            for (what, figure) in [("p50", (|run| run.0) as fn(&(f64, f64)) -> f64), ("p99", |run| run.1)] {
                let ratio = median(0, figure) / median(2, figure);
                budgets.at_most(
                    &format!("add latency {what} at {RATE}/s, same intervals"),
                    ratio,
                    1.0,
                    "× Tessera's",
                );
            }
        }
        Err(why) => {
            not_run("Tessera's POSIX log", &why);
            budgets.not_run("add latency, open loop", &why);
        }
    }
}

fn with_log(flags: &[&str], requests: &Arc<Requests>) -> (f64, f64) {
    let mut log = Log::start(&[&NO_BUDGETS[..], flags].concat());
    let run = paced(log.address(), requests);
    assert_eq!(log.stop(), Some(0), "a clean stop");
    run
}

fn paced(address: SocketAddr, requests: &Arc<Requests>) -> (f64, f64) {
    let outcome = load::run(address, CONNECTIONS, requests, Plan::Paced { rate: RATE });
    assert_eq!(outcome.failed, 0, "{:?}", outcome.first_failure);
    (percentile(&outcome.latencies, 0.5) / 1e3, percentile(&outcome.latencies, 0.99) / 1e3)
}
