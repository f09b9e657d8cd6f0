//! R15: a log with many entries: how soon it serves, how much memory it takes, and how soon an entry that comes
//! at a quiet time is published.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attestation::entry::{PendingEntry, Visibility};
use log_core::log_keys::LogKeys;
use log_server::admit::Admitted;
use log_server::config::{LogFile, default_signed_record};
use log_server::day::Spent;
use log_server::pool::{Pool, PoolLimits, Turn, Until, Wish};
use log_server::sequencer::{Accept, Engine, Publication, Sequencer};
use log_server::signed_record::SignedRecord;
use log_server::store::rocks::RocksStore;
use testkit::load::{self, Plan, percentile};
use testkit::log::{Log, ORIGIN};
use testkit::signer::Signer;
use tlog::Hash;

use super::add::NO_BUDGETS;
use super::corpus::{Corpus, Form};
use super::measure::{bytes_on_disk, memory_of};
use super::report::{Budgets, Table, count, section};
use super::{Effort, SINGLE_CONNECTIONS};

/// The default of `log-server serve --round-interval`.
const ROUND_INTERVAL_MS: f64 = 50.0;

/// Entries of a quiet time, a second.
const QUIET_RATE: f64 = 50.0;

/// Runs the benchmarks of a large log; also the reads of tiles, which need one.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    let size = effort.large_log;
    let mut log = Log::init();
    let empty = log.serve(&NO_BUDGETS);
    let small_memory = memory_of(log.pid()).0;
    log.stop();
    let filled = fill(&log, size);
    let disk = bytes_on_disk(&log.dir(), &|_| true) as f64 / size as f64;
    let wal = bytes_on_disk(&log.dir(), &|name| name.ends_with(".log")) as f64 / size as f64;
    let clean = log.serve(&NO_BUDGETS);
    let started_memory = memory_of(log.pid()).0;
    super::tiles::run(effort, &log, size);
    section(&format!(
        "5. A log of {} entries (by hash; written in {:.0} s by its own sequencer, without HTTP or signatures)",
        count(size as f64),
        filled.as_secs_f64()
    ));
    let requests = corpus.requests(Form::ByHash, 1);
    let quick = Plan::Each { first: 0, count: effort.warm_up };
    load::run(log.address(), SINGLE_CONNECTIONS, &requests, quick);
    let (loaded_memory, peak_memory) = memory_of(log.pid());
    log.kill();
    let crashed = log.serve(&NO_BUDGETS);
    let mut table = Table::new(&["", "empty", "large", "large, after kill -9"]);
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    table.row(["start until it serves".to_owned(), ms(empty), ms(clean), ms(crashed)]);
    table.row(["RSS, MiB, started", &format!("{small_memory:.0}"), &format!("{started_memory:.0}")]);
    let loaded = format!("{loaded_memory:.0} (peak {peak_memory:.0})");
    table.row(["RSS, MiB, after reads and adds", "–", &loaded]);
    let bytes = format!("{} (of it WAL {})", count(disk), count(wal));
    table.row(["bytes on disk an entry", "–", &bytes]);
    table.print();
    let at = format!("start of a log of {} entries (the budget is for 10 million)", count(size as f64));
    budgets.at_most(&at, clean.max(crashed).as_secs_f64(), 2.0, "s");
    publication(corpus, effort, &log, budgets);
}

/// Entries that come one by one, at times that have nothing to do with the rounds.
fn publication(corpus: &Corpus, effort: &Effort, log: &Log, budgets: &mut Budgets) {
    let seconds = if effort.rounds > 3 { 20 } else { 5 };
    let mut requests = load::Requests::default();
    let first = effort.warm_up;
    for number in first..first + seconds * QUIET_RATE as usize {
        requests.post("/api/v1/entries", corpus.get(number).1.published().to_string().as_bytes());
    }
    let outcome = load::run(log.address(), 32, &Arc::new(requests), Plan::Paced { rate: QUIET_RATE });
    let p50 = percentile(&outcome.latencies, 0.5) / 1e3;
    let p99 = percentile(&outcome.latencies, 0.99) / 1e3;
    println!(
        "  publication at {QUIET_RATE} entries/s (open loop): p50 {p50:.1} ms, p99 {p99:.1} ms, {} failed; rounds are \
         {ROUND_INTERVAL_MS} ms apart",
        outcome.failed
    );
    budgets.at_most("publish latency p50 ÷ round interval", p50 / ROUND_INTERVAL_MS, 1.2, "");
}

/// Logs entries through the log's own sequencer and store, in rounds of 4,096. They differ in their hashes
/// and in the artifact; nobody signed them, and nothing that is measured looks at that.
fn fill(log: &Log, size: u64) -> Duration {
    let start = Instant::now();
    let dir = log.dir();
    let file = LogFile::read(&dir).expect("the log's settings");
    let skey = std::fs::read_to_string(dir.join("log.skey")).expect("the log's key");
    let key = skey.trim_end().parse().expect("the log's key");
    let store = Arc::new(RocksStore::open(&dir.join("db")).expect("the log's store"));
    let record = SignedRecord::open(&default_signed_record(&dir)).expect("the signed record");
    let clocks = Box::new(move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
        (now.as_millis() as u64, start.elapsed())
    });
    let identity = LogKeys { key, ml_dsa: None, sigstore: file.sigstore };
    let alone = Publication::alone(&identity);
    let engine = Arc::new(Engine::open(store).expect("a sound tree"));
    let mut sequencer =
        Sequencer::open(engine, identity, record, clocks, Accept::default(), alone).expect("a sound log");
    let limits = PoolLimits {
        entries: 4_096,
        bytes: usize::MAX,
        round_entries: 4_096,
        round_early: 1,
        round_interval: Duration::ZERO,
    };
    let pool = Pool::new(limits, sequencer.tickets());
    let signed = Signer::new(0).sign(ORIGIN, b"template", Visibility::Public, 0);
    let leaf = String::from_utf8(signed.entry.to_bytes()).expect("JSON");
    let claim = signed.entry.claim();
    let hashes = [claim.envelope_hash(), claim.payload_hash()].map(|hash| hash.to_string());
    let subject = signed.artifact.to_base64();
    for number in 0..size {
        let hash = Hash::of(&number.to_be_bytes());
        let other = hash.to_string();
        let leaf =
            leaf.replace(&hashes[0], &other).replace(&hashes[1], &other).replace(&subject, &hash.to_base64());
        let entry = PendingEntry::parse(leaf.as_bytes()).expect("an entry of the same form");
        drop(pool.push(Admitted::new(entry, None), None, Spent::nothing(), Until::Committed));
        if pool.len() == limits.round_entries || number + 1 == size {
            let wish = Wish { last_round: start, takes_entries: true, until: None };
            let Turn::Round(round) = pool.next(wish) else { panic!("entries wait") };
            sequencer.round(round).expect("a write");
        }
    }
    assert_eq!(sequencer.published().borrow().size().get(), size, "every entry is in the log");
    start.elapsed()
}
