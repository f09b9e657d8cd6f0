//! Reads of full tiles, 8 KiB each, and of full bundles, against nginx serving the same bytes from files.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use testkit::load::{self, Plan, Requests, percentile};
use testkit::log::Log;
use tlog::tile::{TILE_WIDTH, Tile};

use super::measure::{Spread, cpu_of};
use super::peers::{self, Server};
use super::report::{Budgets, Table, count, not_run, ratio, section};
use super::{Effort, READ_CONNECTIONS};

/// Most tiles, and most bundles, that are read: as many as the log keeps in memory, and nginx's files are in the system's.
const TILES: u64 = 4_096;
const BUNDLES: u64 = 300;

/// Reads tiles and bundles of a log of `size` entries, and prints it.
pub fn run(effort: &Effort, log: &Log, size: u64, budgets: &mut Budgets) {
    for (what, most, of) in
        [("tiles", TILES, Tile::path as fn(Tile) -> String), ("bundles", BUNDLES, Tile::entries_path)]
    {
        let tiles = (size / TILE_WIDTH).min(most);
        section(&format!(
            "4. Reads of {} {what} at random, {READ_CONNECTIONS} connections kept alive",
            count(tiles as f64)
        ));
        compare(effort, log, tiles, (what, of), budgets);
    }
}

fn compare(
    effort: &Effort,
    log: &Log,
    tiles: u64,
    (what, of): (&str, fn(Tile) -> String),
    budgets: &mut Budgets,
) {
    let mut requests = Requests::default();
    // A fixed sequence without a rhythm.
    let mut random = 1u64;
    for _ in 0..1 << 15 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        requests.get(&format!("/{}", of(tile(random >> 33 & u64::MAX >> 33, tiles))));
    }
    let requests = Arc::new(requests);
    let root = tempfile::tempdir().expect("a temporary folder");
    let peer = peers::find("BENCH_NGINX").map(|program| {
        for index in 0..tiles {
            let path = of(tile(index, tiles));
            let file = root.path().join(&path);
            fs::create_dir_all(file.parent().expect("below the root")).expect("a folder");
            fs::write(file, log.bytes(&format!("/{path}"))).expect("a file");
        }
        Server::nginx(&program, root.path())
    });
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        for turn in [round % 2, 1 - round % 2] {
            match (turn, &peer) {
                (0, _) => ours.push(read(effort, log.address(), &[log.pid()], &requests)),
                (_, Ok(peer)) => theirs.push(read(effort, peer.address(), &peer.pids(), &requests)),
                (_, Err(_)) => {}
            }
        }
    }
    let mut table = Table::new(&["", "reads/s", "server CPU µs/read", "p50 ms", "p99 ms", "failed"]);
    table.row(row("log-server", &ours));
    if !theirs.is_empty() {
        table.row(row("nginx, static files", &theirs));
    }
    table.print();
    match peer {
        Ok(_) => {
            let series =
                |reads: &[Read], figure: fn(&Read) -> f64| reads.iter().map(figure).collect::<Vec<_>>();
            let of = |figure| ratio(Spread::of_ratios(&series(&ours, figure), &series(&theirs, figure)));
            println!(
                "  {what}/s ÷ nginx's: {}; CPU a read ÷ nginx's: {}",
                of(|read| read.rate),
                of(|read| read.cpu)
            );
            let rate: fn(&Read) -> f64 = |read| read.rate;
            let median = Spread::of_ratios(&series(&ours, rate), &series(&theirs, rate)).median;
            budgets.at_least(&format!("reads of {what}"), median, 0.8, "× nginx's");
        }
        Err(why) => {
            not_run("nginx", &why);
            budgets.not_run(&format!("reads of {what} ÷ nginx's"), &why);
        }
    }
}

fn tile(number: u64, tiles: u64) -> Tile {
    Tile::new(0, number % tiles, TILE_WIDTH as u16).expect("a full tile")
}

struct Read {
    rate: f64,
    cpu: f64,
    p50: f64,
    p99: f64,
    failed: usize,
}

fn read(effort: &Effort, address: SocketAddr, pids: &[u32], requests: &Arc<Requests>) -> Read {
    let cpu = || pids.iter().map(|pid| cpu_of(*pid)).sum::<Duration>();
    let before = cpu();
    let plan = Plan::Around(Duration::from_secs(effort.read_seconds));
    let outcome = load::run(address, READ_CONNECTIONS, requests, plan);
    if let Some(failure) = &outcome.first_failure {
        println!("  {} requests failed, the first with {failure}", outcome.failed);
    }
    assert!(
        outcome.samples.iter().all(|(_, body)| body.len() >= 8_192),
        "a full tile has 8 KiB, and a bundle more"
    );
    Read {
        rate: outcome.rate(),
        cpu: (cpu() - before).as_micros() as f64 / outcome.answered as f64,
        p50: percentile(&outcome.latencies, 0.5) / 1e3,
        p99: percentile(&outcome.latencies, 0.99) / 1e3,
        failed: outcome.failed,
    }
}

fn row(name: &str, reads: &[Read]) -> [String; 6] {
    let median = |figure: fn(&Read) -> f64| Spread::of(reads.iter().map(figure)).median;
    [
        name.to_owned(),
        count(median(|read| read.rate)),
        format!("{:.1}", median(|read| read.cpu)),
        format!("{:.2}", median(|read| read.p50)),
        format!("{:.2}", median(|read| read.p99)),
        reads.iter().map(|read| read.failed).sum::<usize>().to_string(),
    ]
}
