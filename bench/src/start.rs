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
use super::{BATCH, BATCH_CONNECTIONS, Effort, SINGLE_CONNECTIONS};

/// The default of `log-server serve --round-interval`.
const ROUND_INTERVAL_MS: f64 = 50.0;

/// Entries of a quiet time, a second.
const QUIET_RATE: f64 = 50.0;

/// How a log of some size does.
struct Sized {
    entries: u64,
    filled: Duration,
    clean: Duration,
    crashed: Duration,
    started: f64,
    loaded: f64,
    peak: f64,
    disk: f64,
    wal: f64,
    proof_p99: f64,
}

/// Runs the benchmarks of logs of growing sizes; with the largest also the reads of tiles, and publication.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    let mut log = Log::init();
    let empty = log.serve(&NO_BUDGETS);
    let small_memory = memory_of(log.pid()).0;
    log.stop();
    drop(log);
    let mut sized = Vec::new();
    for (at, entries) in effort.sizes.iter().enumerate() {
        let mut log = Log::init();
        sized.push(grow(effort, corpus, &mut log, *entries));
        if at + 1 == effort.sizes.len() {
            super::tiles::run(effort, &log, *entries, budgets);
            publication(corpus, effort, &log, budgets);
        }
    }
    section("5. Logs of growing sizes (by hash; written by their own sequencer, without HTTP or signatures)");
    println!("  an empty log serves after {:.0} ms, with {small_memory:.0} MiB", empty.as_secs_f64() * 1e3);
    let mut table = Table::new(&[
        "entries",
        "written in s",
        "starts in ms",
        "after kill -9",
        "proof p99 ms",
        "RSS, MiB, started",
        "after reads and adds",
        "peak",
        "disk B/entry",
        "of it WAL",
    ]);
    let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
    for log in &sized {
        table.row([
            count(log.entries as f64),
            format!("{:.0}", log.filled.as_secs_f64()),
            ms(log.clean),
            ms(log.crashed),
            format!("{:.2}", log.proof_p99),
            format!("{:.0}", log.started),
            format!("{:.0}", log.loaded),
            format!("{:.0}", log.peak),
            count(log.disk),
            count(log.wal),
        ]);
    }
    table.print();
    for log in &sized {
        let size = count(log.entries as f64);
        budgets.at_most(
            &format!("start of a log of {size} entries"),
            log.clean.max(log.crashed).as_secs_f64(),
            2.0,
            "s",
        );
        budgets.at_most(&format!("proofs from a log of {size} entries, p99"), log.proof_p99, 5.0, "ms");
    }
    if let [first, .., last] = &sized[..] {
        let what =
            format!("memory, {} ÷ {} entries", count(last.entries as f64), count(first.entries as f64));
        budgets.at_most(&what, last.loaded / first.loaded, 1.5, "×");
    }
    packed(corpus, budgets);
}

/// A log of so many entries: it is filled, started, read, added to, killed, and started again.
fn grow(effort: &Effort, corpus: &Corpus, log: &mut Log, entries: u64) -> Sized {
    let filled = fill(log, entries, unsigned());
    let disk = bytes_on_disk(&log.dir(), &|_| true) as f64 / entries as f64;
    let wal = bytes_on_disk(&log.dir(), &|name| name.ends_with(".log")) as f64 / entries as f64;
    let clean = log.serve(&NO_BUDGETS);
    let started = memory_of(log.pid()).0;
    let mut proofs = load::Requests::default();
    let mut random = 1u64;
    for _ in 0..1 << 14 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        proofs.get(&format!("/api/v1/entries/{}/proof", (random >> 24) % entries));
    }
    let around = Plan::Around(Duration::from_secs(effort.read_seconds));
    let proved = load::run(log.address(), PROOF_CONNECTIONS, &Arc::new(proofs), around);
    assert_eq!(proved.failed, 0, "{:?}", proved.first_failure);
    let requests = corpus.requests(Form::ByHash, 1);
    let quick = Plan::Each { first: 0, count: effort.warm_up };
    load::run(log.address(), SINGLE_CONNECTIONS, &requests, quick);
    let (loaded, peak) = memory_of(log.pid());
    log.kill();
    let crashed = log.serve(&NO_BUDGETS);
    let proof_p99 = percentile(&proved.latencies, 0.99) / 1e3;
    Sized { entries, filled, clean, crashed, started, loaded, peak, disk, wal, proof_p99 }
}

/// What published entries take on the disk once the store has packed them, over the bytes of their leaves and envelopes.
fn packed(corpus: &Corpus, budgets: &mut Budgets) {
    let mut log = Log::start(&NO_BUDGETS);
    let requests = corpus.requests(Form::Published, BATCH);
    load::run(
        log.address(),
        BATCH_CONNECTIONS,
        &requests,
        Plan::Each { first: 0, count: corpus.len() / BATCH },
    );
    log.stop();
    // The options are those that the log wrote beside its files.
    let path = log.dir().join("db");
    let env = rocksdb::Env::new().expect("the system's files");
    let loaded = rocksdb::Options::load_latest(&path, env, false, rocksdb::Cache::new_lru_cache(8 << 20));
    let (options, columns) = loaded.expect("the options of the log's store");
    let store = rocksdb::DB::open_cf_descriptors(&options, &path, columns).expect("the log's store");
    let mut compact = rocksdb::CompactOptions::default();
    compact.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
    let mut bytes = 0;
    for name in CONTENT {
        let column = store.cf_handle(name).expect("a column of the log");
        store.compact_range_cf_opt(column, None::<&[u8]>, None::<&[u8]>, &compact);
        let pairs = store.iterator_cf(column, rocksdb::IteratorMode::Start);
        bytes += pairs.map(|pair| pair.expect("a sound store").1.len()).sum::<usize>();
    }
    let files = store.live_files().expect("the files of the log's store");
    let of = |wanted: &dyn Fn(&str) -> bool| {
        files.iter().filter(|file| wanted(&file.column_family_name)).map(|file| file.size).sum::<usize>()
    };
    let entries = (corpus.len() / BATCH * BATCH) as f64;
    let (content, index) =
        (of(&|name| CONTENT.contains(&name) || name == "tile"), of(&|name| INDEX.contains(&name)));
    println!(
        "  published entries after compaction: {:.0} B an entry for leaf, envelope and tiles, of {:.0} B; {:.0} B of index",
        content as f64 / entries,
        bytes as f64 / entries,
        index as f64 / entries,
    );
    budgets.at_most(
        "bytes on disk after compaction ÷ leaf + envelope",
        content as f64 / bytes as f64,
        1.3,
        "×",
    );
}

/// The columns of what is logged, and of how it is found.
const CONTENT: [&str; 2] = ["leaf", "envelope"];
const INDEX: [&str; 4] = ["claim", "subject", "did", "list"];

/// Connections that ask for proofs.
const PROOF_CONNECTIONS: usize = 8;

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

/// Entries of one form that nobody signed: they differ in their hashes and in the artifact, and nothing that is measured looks
/// at more.
fn unsigned() -> impl Fn(u64) -> PendingEntry {
    let signed = Signer::new(0).sign(ORIGIN, b"template", Visibility::Public, 0);
    let leaf = String::from_utf8(signed.entry.to_bytes()).expect("JSON");
    let claim = signed.entry.claim();
    let hashes = [claim.envelope_hash(), claim.payload_hash()].map(|hash| hash.to_string());
    let subject = signed.artifact.to_base64();
    move |number| {
        let hash = Hash::of(&number.to_be_bytes());
        let other = hash.to_string();
        let leaf =
            leaf.replace(&hashes[0], &other).replace(&hashes[1], &other).replace(&subject, &hash.to_base64());
        PendingEntry::parse(leaf.as_bytes()).expect("an entry of the same form")
    }
}

/// Logs entries through the log's own sequencer and store, in rounds of 4,096.
///
/// # Panics
/// If the log is not an empty one that nobody serves.
pub fn fill(log: &Log, size: u64, entry: impl Fn(u64) -> PendingEntry) -> Duration {
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
    for number in 0..size {
        let entry = entry(number);
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
