//! Where the server's time goes: samples of its CPU clock by `perf`, by what the code under them is for. A virtual machine has no
//! counters of the hardware, so the clock is the kernel's.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::add::{NO_BUDGETS, counters, measured};
use super::corpus::{Corpus, Form};
use super::report::{Table, not_run, section};
use super::{BATCH, BATCH_CONNECTIONS, Effort, SINGLE_CONNECTIONS};
use testkit::load::{self, Plan};
use testkit::log::{Log, terminate};

/// What code is for, by a part of its name; the first that fits counts.
const KINDS: [(&str, &[&str]); 10] = [
    ("kernel", &["[k]"]),
    ("signatures", &["curve25519", "ed25519", "sha512"]),
    ("hashes", &["sha256", "digest::"]),
    ("allocator", &["_mi_", "mi_", "malloc", "_int_free", "operator new", "operator delete"]),
    ("RocksDB", &["rocksdb", "LZ4", "ZSTD", "crc32"]),
    ("JSON, base64", &["serde_json", "base64", "hex::", "from_utf8"]),
    ("copies, comparisons", &["memmove", "memcpy", "memcmp", "memset", "memchr"]),
    (
        "HTTP",
        &[
            "hyper",
            "axum",
            "tower",
            "httparse",
            "http::header",
            "log_server::http::front",
            "service::connections",
        ],
    ),
    ("runtime", &["tokio", "rayon", "crossbeam", "parking_lot", "futures"]),
    (
        "the log's own code",
        &["log_server", "log_core", "log_rocksdb", "attestation", "tlog", "service", "metrics", "governor"],
    ),
];

/// Profiles every way of adding entries.
pub fn run(effort: &Effort, corpus: &Corpus) {
    section("Where the server's time goes: samples of its CPU clock, 997 a second");
    if let Err(why) = Command::new("perf").arg("--version").output() {
        return not_run("the profile", &format!("perf: {why}"));
    }
    for (form, batch, connections) in [
        (Form::ByHash, 1, SINGLE_CONNECTIONS),
        (Form::ByHash, BATCH, BATCH_CONNECTIONS),
        (Form::Published, 1, SINGLE_CONNECTIONS),
        (Form::Published, BATCH, BATCH_CONNECTIONS),
    ] {
        let name = if batch == 1 { "single".to_owned() } else { format!("batches of {batch}") };
        println!("\n  {}, {name}", form.name());
        match profile(effort, corpus, form, batch, connections) {
            Ok((micros, samples)) => print(micros, &samples),
            Err(why) => not_run("the profile", &why),
        }
    }
}

/// Server CPU an entry in microseconds, and the share of each symbol in percent, largest first.
fn profile(
    effort: &Effort,
    corpus: &Corpus,
    form: Form,
    batch: usize,
    connections: usize,
) -> Result<(f64, Vec<(f64, String)>), String> {
    let mut log = Log::start(&NO_BUDGETS);
    let requests = corpus.requests(form, batch);
    let warm_up = effort.warm_up / batch;
    load::run(log.address(), connections, &requests, Plan::Each { first: 0, count: warm_up });
    let file = log.folder().join("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", "997", "-p", &log.pid().to_string(), "-o"])
        .arg(&file);
    perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut perf = perf.spawn().map_err(|error| format!("perf: {error}"))?;
    let start = Instant::now();
    while !file.exists() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = counters(&log).0;
    let plan = Plan::Each { first: warm_up, count: effort.entries / batch };
    let (_, cpu, _) = measured(log.pid(), || load::run(log.address(), connections, &requests, plan));
    let entries = counters(&log).0 - before;
    terminate(perf.id());
    perf.wait().map_err(|error| format!("perf: {error}"))?;
    let samples = read(&file);
    assert_eq!(log.stop(), Some(0), "a clean stop");
    Ok((cpu.as_micros() as f64 / entries, samples?))
}

fn read(file: &Path) -> Result<Vec<(f64, String)>, String> {
    let mut perf = Command::new("perf");
    perf.args(["report", "--stdio", "-q", "--no-children", "--percent-limit", "0", "--sort", "sym", "-i"])
        .arg(file);
    let output = perf.output().map_err(|error| format!("perf: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let sample = |line: &str| {
        let (share, symbol) = line.trim().split_once('%')?;
        Some((share.trim().parse().ok()?, symbol.trim().to_owned()))
    };
    let samples: Vec<(f64, String)> = text.lines().filter_map(sample).collect();
    let words = || String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    if samples.is_empty() { Err(format!("perf saw nothing: {}", words())) } else { Ok(samples) }
}

fn print(micros: f64, samples: &[(f64, String)]) {
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    for (share, symbol) in samples {
        let kind = KINDS.iter().find(|(_, names)| names.iter().any(|name| symbol.contains(name)));
        *kinds.entry(kind.map_or("other", |(kind, _)| kind)).or_default() += share;
    }
    let mut kinds: Vec<(&str, f64)> = kinds.into_iter().collect();
    kinds.sort_by(|one, other| other.1.total_cmp(&one.1));
    let mut table = Table::new(&["", "share %", "µs/entry"]);
    for (kind, share) in kinds {
        table.row([kind.to_owned(), format!("{share:.1}"), format!("{:.1}", share * micros / 100.0)]);
    }
    table.row(["all", "100.0", &format!("{micros:.1}")]);
    table.print();
    println!("  the largest symbols:");
    for (share, symbol) in samples.iter().take(LARGEST) {
        let short: String = symbol.chars().take(110).collect();
        println!("    {share:>5.2} %  {short}");
    }
}

/// Symbols that are printed.
const LARGEST: usize = 12;
