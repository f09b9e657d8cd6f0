//! What is synced, and how often: every fsync of the server, counted and named by `strace`. Run apart, since
//! tracing slows it down.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::load::{self, Plan};
use testkit::log::{Log, terminate};

use super::add::{NO_BUDGETS, counters};
use super::corpus::{Corpus, Form};
use super::peers::{self, Server};
use super::report::{Budgets, Table, count, not_run};
use super::{BATCH, BATCH_CONNECTIONS, Effort, SINGLE_CONNECTIONS};

/// Counts the syncs of a round and prints them.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    println!();
    let budget = "synced data writes a round";
    if let Err(error) = Command::new("strace").arg("-V").output() {
        not_run("syncs a round", &format!("strace: {error}"));
        return budgets.not_run(budget, "no strace");
    }
    let entries = effort.entries.min(20_000);
    let mut table = Table::new(&[
        "syncs",
        "rounds",
        "entries",
        "data a round",
        "checkpoint records a round",
        "others in all",
    ]);
    let mut worst: f64 = 0.0;
    for (form, batch, connections) in
        [(Form::ByHash, 1, SINGLE_CONNECTIONS), (Form::Published, BATCH, BATCH_CONNECTIONS)]
    {
        let requests = corpus.requests(form, batch);
        let log = Log::start(&NO_BUDGETS);
        let Some(trace) = Trace::attach(log.pid(), log.folder()) else {
            not_run("syncs a round", "the kernel does not let strace look");
            return budgets.not_run(budget, "strace cannot attach");
        };
        let plan = Plan::Each { first: 0, count: entries / batch };
        load::run(log.address(), connections, &requests, plan);
        let (committed, rounds) = counters(&log);
        let syncs = Syncs::of_log(&trace.end());
        worst = worst.max(syncs.data as f64 / rounds);
        let name = if batch == 1 { "single".to_owned() } else { format!("batches of {batch}") };
        table.row([
            format!("{}, {name}", form.name()),
            count(rounds),
            count(committed),
            format!("{:.2}", syncs.data as f64 / rounds),
            format!("{:.2}", syncs.records as f64 / rounds),
            count(syncs.others as f64),
        ]);
    }
    budgets.at_most(budget, worst, 1.0, "a round");
    if let Ok(program) = peers::find("BENCH_TESSERA") {
        let peer = Server::tessera(&program);
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(trace) = Trace::attach(peer.pid(), folder.path()) {
            let plan = Plan::Each { first: 0, count: entries };
            let outcome = load::run(peer.address(), SINGLE_CONNECTIONS, &corpus.plain_requests(), plan);
            let syncs = trace.end().len();
            let batches = outcome.answered as f64 / 256.0;
            table.row([
                "Tessera POSIX, single".to_owned(),
                "–".to_owned(),
                count(outcome.answered as f64),
                format!("{:.2} for every 256 entries, checkpoints included", syncs as f64 / batches),
            ]);
        }
    }
    table.print();
}

/// The syncs of one log.
#[derive(Debug, Default)]
struct Syncs {
    /// Of the write that commits a round.
    data: usize,
    /// Of the signed checkpoint, in the file and in the database, and of its publication.
    records: usize,
    /// Of what RocksDB does by itself: sorted files, its manifest.
    others: usize,
}

impl Syncs {
    /// Tells the syncs of our log apart, by the file each is of. The write-ahead log is synced for a commit
    /// and for the records: the commit is the one that the file of the signed record comes after.
    fn of_log(syncs: &[String]) -> Self {
        let mut of = Self::default();
        let mut waiting = false;
        for path in syncs {
            if path.ends_with(".log") {
                of.records += usize::from(waiting);
                waiting = true;
            } else if path.ends_with(".signed.new") {
                of.data += usize::from(waiting);
                waiting = false;
                of.records += 1;
            } else if path.ends_with(".sst") || path.ends_with(".dbtmp") || path.contains("/db") {
                of.others += 1;
            } else {
                // The folder of the signed record.
                of.records += 1;
            }
        }
        of.records += usize::from(waiting);
        of
    }
}

/// `strace` on a running process.
struct Trace {
    strace: Child,
    file: std::path::PathBuf,
}

impl Trace {
    /// Attaches; `None` if the kernel forbids it.
    fn attach(pid: u32, folder: &Path) -> Option<Self> {
        let file = folder.join("strace");
        let mut strace = Command::new("strace")
            .args(["-f", "-y", "-e", "trace=fsync,fdatasync,sync_file_range", "-p", &pid.to_string(), "-o"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let start = Instant::now();
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let traced = |thread: fs::DirEntry| {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            status
                .lines()
                .any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
        };
        while !threads().all(traced) {
            if start.elapsed() > Duration::from_secs(5)
                || strace.try_wait().is_ok_and(|ended| ended.is_some())
            {
                let _ = strace.kill();
                let _ = strace.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { strace, file })
    }

    /// Detaches; answers the file of each sync, in their order.
    fn end(mut self) -> Vec<String> {
        terminate(self.strace.id());
        self.strace.wait().expect("strace ends when told to");
        let trace = fs::read_to_string(&self.file).expect("what strace wrote");
        let path = |line: &str| {
            let (_, call) = line.split_once("sync")?;
            let (_, path) = call.split_once('<')?;
            Some(path.split_once('>')?.0.to_owned())
        };
        trace.lines().filter(|line| !line.contains("resumed>")).filter_map(path).collect()
    }
}
