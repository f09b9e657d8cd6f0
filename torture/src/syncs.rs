//! R6: the n-th sync of the writer fails, of data or of the record. The process ends at once, with an error, syncs that file
//! never again, and acknowledges nothing of the round; the next start finds everything that it did (I5).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attestation::entry::Visibility::Public;
use testkit::log::{Log, ORIGIN};
use testkit::signer::Signer;

use crate::frame::{Findings, Outcome, Plan, count};
use crate::promised::Promised;
use crate::strace::{self, Strace};

/// What ends a process whose disk fails.
const FAILED: i32 = 70;

/// The process has ended so soon after the sync that failed.
const END: Duration = Duration::from_secs(1);

/// The plan's count is how many syncs fail: by turns of the record and of the data, with one client and with eight.
pub fn fail(plan: &Plan) -> Outcome {
    if let Err((why, hint)) = strace::needed() {
        return Outcome::not_run(why, hint);
    }
    let findings = Findings::default();
    let mut log = Log::init();
    let flags = ["--round-interval", "2ms", "--deadline", "30s"];
    let signer = Signer::new(1);
    let number = AtomicU64::new(0);
    let next = || signer.sign(ORIGIN, &number.fetch_add(1, Ordering::Relaxed).to_be_bytes(), Public, 0);
    let mut promised = Promised::default();
    let mut slowest = Duration::ZERO;
    for fault in 0..plan.count as usize {
        let nth = fault / 2 + 1;
        // Of each round: the record's file and its folder; the data, at least once.
        let (call, syncs_a_round) = [("fsync", 2), ("fdatasync", 1)][fault % 2];
        // One client has one entry a round, so that its answers count the rounds; eight are a load.
        let clients = [1, 8][fault / 2 % 2];
        let what = format!("{call} {nth}, {clients} clients");
        log.serve(&flags);
        // The first round of a life syncs more than a usual one.
        let mut warm = Some(next());
        findings.require(promised.load(&log, "", || warm.take()).is_none(), || {
            format!("{what}: a log that is whole refuses an entry")
        });
        let trace = log.folder().join("trace");
        let args = ["-ttt", "-y", "-e", "trace=fsync,fdatasync", "-e"].map(str::to_owned);
        let args = [args.to_vec(), vec![format!("inject={call}:error=EIO:when={nth}")]].concat();
        let strace = match Strace::attach(log.pid(), None, &trace, &args) {
            Ok(strace) => strace,
            Err(why) => return Outcome::not_run(why, "run it where one process may trace another"),
        };
        // Half of a load does not wait for the publication: `committed` is a promise too.
        let client = |number: usize| {
            let mut promised = Promised::default();
            let prefer = if number % 2 == 1 { "respond-async" } else { "" };
            let answer = promised.load(&log, prefer, || Some(next()));
            findings.require(answer.as_ref().is_none_or(|(status, _)| *status == 503), || {
                format!("{what}: {answer:?}")
            });
            promised
        };
        let heard: Vec<Promised> = std::thread::scope(|scope| {
            let client = &client;
            let clients: Vec<_> = (0..clients).map(|number| scope.spawn(move || client(number))).collect();
            clients.into_iter().map(|client| client.join().expect("no panic")).collect()
        });
        let deadline = Instant::now() + 5 * END;
        let mut code = None;
        while code.is_none() && Instant::now() < deadline {
            code = log.ended();
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let ended_at = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
        if !findings.require(code == Some(Some(FAILED)), || format!("{what}: ended with {code:?}"))
            && code.is_none()
        {
            log.kill();
        }
        let syncs = syncs(&strace.trace());
        drop(strace);
        let failed = syncs.iter().position(|sync| sync.is_injected);
        if findings.require(failed.is_some(), || format!("{what}: that sync did not come")) {
            let at = failed.unwrap_or_default();
            let took = ended_at.saturating_sub(syncs[at].at);
            slowest = slowest.max(took);
            findings.require(took <= END, || format!("{what}: it ended after {took:?}"));
            let again = syncs[at + 1..].iter().any(|sync| sync.path == syncs[at].path);
            findings.require(!again, || format!("{what}: `{}` was synced again", syncs[at].path));
        }
        let rounds = heard[0].len();
        findings.require(rounds <= (nth - 1) / syncs_a_round, || {
            format!("{what}: {rounds} rounds were acknowledged")
        });
        heard.into_iter().for_each(|heard| promised.append(heard));
        let fsck = log.fsck();
        findings.require(fsck.status.code() == Some(0), || {
            format!("{what}: fsck: {}", String::from_utf8_lossy(&fsck.stderr))
        });
    }
    log.serve(&flags);
    promised.check_kept(&log, &signer, &findings);
    findings.into_outcome(format!(
        "{} failed syncs, {} receipts and {} `committed`, slowest end {:.0} ms",
        count(plan.count),
        count(promised.receipts.len() as u64),
        count(promised.committed.len() as u64),
        slowest.as_secs_f64() * 1e3
    ))
}

/// A sync in a trace.
#[derive(Debug, Eq, PartialEq)]
struct Sync {
    /// Since 1970.
    at: Duration,
    path: String,
    is_injected: bool,
}

/// The syncs of a trace with times and paths, in their order. One that another thread interrupts is in two lines, and the
/// second says whether it failed.
fn syncs(trace: &str) -> Vec<Sync> {
    let mut syncs: Vec<Sync> = Vec::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let is_injected = line.contains("(INJECTED)");
        if rest.contains("resumed>") {
            if let Some(at) = open.iter().position(|(of, _)| *of == thread) {
                syncs[open.swap_remove(at).1].is_injected = is_injected;
            }
            continue;
        }
        let mut words = rest.split_whitespace();
        let at = words.next().and_then(|word| word.parse::<f64>().ok());
        let path = rest.split_once('<').and_then(|(_, path)| path.split_once('>'));
        let (Some(at), Some((path, _))) = (at, path) else { continue };
        if line.contains("<unfinished") {
            open.push((thread, syncs.len()));
        }
        syncs.push(Sync { at: Duration::from_secs_f64(at), path: path.to_owned(), is_injected });
    }
    syncs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_told_apart_by_their_files() {
        let trace = "7  1790000000.5 fsync(3</a/log.signed.new> <unfinished ...>\n\
                     8  1790000000.6 fdatasync(4</a/db/9.log>) = 0\n\
                     7  1790000001.0 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)\n\
                     7  1790000001.1 +++ exited with 70 +++\n";
        let seen: Vec<(String, bool)> =
            syncs(trace).into_iter().map(|sync| (sync.path, sync.is_injected)).collect();
        assert_eq!(seen, [("/a/log.signed.new".into(), true), ("/a/db/9.log".into(), false)]);
        assert_eq!(syncs(trace)[0].at, Duration::from_secs_f64(1_790_000_000.5));
    }
}
