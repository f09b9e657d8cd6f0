//! R1: kill -9 under load. Nothing that was acknowledged is lost, an index keeps its leaf, and no checkpoint that was
//! shown contradicts another (I1, I2, I3, CP-5, TILE-7).

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use attestation::receipt::{Receipt, State};
use serde_json::Value;
use testkit::log::{Log, ORIGIN};
use testkit::oracle::{check_log, checkpoint};
use testkit::signer::Signer;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::leaf_hash;
use tlog::merkle::range::CompactRange;

use crate::frame::{Findings, Outcome, Plan, count, p99};

/// What clients were told, over all lives of the server.
#[derive(Default)]
struct Told {
    receipts: Mutex<Vec<Receipt>>,
    checkpoints: Mutex<Vec<Checkpoint>>,
}

impl Told {
    /// Remembers a receipt and its checkpoint.
    fn receipt(&self, receipt: Receipt) {
        let State::Logged(logged) = receipt.state() else { panic!("a log's answer is logged") };
        self.checkpoint(logged.checkpoint().clone());
        self.receipts.lock().expect("no panic").push(receipt);
    }

    fn checkpoint(&self, checkpoint: Checkpoint) {
        self.checkpoints.lock().expect("no panic").push(checkpoint);
    }
}

/// Clients that send one entry at a time.
const CLIENTS: u64 = 8;

/// A start may take so long.
const START: Duration = Duration::from_secs(2);

/// Sends entries until the server dies; every answer is remembered.
fn load(log: &Log, signer: &Signer, told: &Told, next: &AtomicU64, stop: &AtomicBool, findings: &Findings) {
    while !stop.load(Ordering::Relaxed) {
        let content = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let signed = signer.sign(ORIGIN, &content, Public, 0);
        let request = log.http().post(format!("{}/api/v1/entries", log.url())).json(&signed.published());
        let Ok(response) = request.send() else { return };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>() else { return };
        match status {
            200 => told.receipt(signed.receipt(signer, &answer)),
            _ => {
                findings.require(status == 503, || format!("{status}: {answer}"));
            }
        }
    }
}

/// As many kills as the plan says, each after 5 to 500 ms of load; then everything that was ever said is checked.
pub fn log(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::init();
    let flags =
        ["--round-interval", "2ms", "--did-entries-per-minute", "0", "--address-entries-per-minute", "0"];
    let told = Told::default();
    let next = AtomicU64::new(0);
    let signers: Vec<Signer> = (0..CLIENTS).map(Signer::new).collect();
    let mut restarts = Vec::new();
    for cycle in 0..plan.count {
        restarts.push(log.serve(&flags));
        let served = checkpoint(&log);
        let newest = told.checkpoints.lock().expect("no panic").iter().map(|seen| seen.size).max();
        findings.require(newest.is_none_or(|newest| newest <= served.size), || {
            format!("cycle {cycle}: /checkpoint went back to {}", served.size)
        });
        told.checkpoint(served);
        // A different time each cycle, the same in every run.
        let life = Duration::from_millis(5 + (plan.seed + cycle) * 7_919 % 496);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for signer in &signers {
                scope.spawn(|| load(&log, signer, &told, &next, &stop, &findings));
            }
            let killed_at = Instant::now() + life;
            while Instant::now() < killed_at {
                std::thread::park_timeout(killed_at - Instant::now());
            }
            log.signal("KILL");
            stop.store(true, Ordering::Relaxed);
        });
        log.kill();
    }
    restarts.push(log.serve(&flags));
    let seen = check_log(&log);
    let receipts = told.receipts.into_inner().expect("no panic");
    let checkpoints = told.checkpoints.into_inner().expect("no panic");
    findings.require(receipts.len() as u64 > plan.count, || {
        format!("only {} receipts: there was no load", receipts.len())
    });
    // Every acknowledged receipt is in the log, at its index, with its leaf; no index has two leaves.
    let mut leaves = HashMap::new();
    for receipt in &receipts {
        let logged = receipt.log_answer().expect("logged");
        let index = logged.proof.index.get();
        let leaf = logged.entry.to_bytes();
        findings.require(seen.leaves.get(index as usize) == Some(&leaf), || {
            format!("entry {index} was acknowledged, and the log does not have it")
        });
        findings.require(leaves.insert(index, leaf).is_none(), || format!("index {index} was given twice"));
    }
    // Every checkpoint ever served is a beginning of the log: all are consistent with each other.
    let mut range = CompactRange::new();
    let mut roots = vec![range.root()];
    for leaf in &seen.leaves {
        range.append(leaf_hash(leaf));
        roots.push(range.root());
    }
    for checkpoint in &checkpoints {
        findings.require(roots.get(checkpoint.size.get() as usize) == Some(&checkpoint.root), || {
            format!("a checkpoint of {} entries was served that the log contradicts", checkpoint.size)
        });
    }
    findings.require(log.stop() == Some(0), || "the log did not stop when it was told to".into());
    let fsck = log.fsck();
    findings.require(fsck.status.code() == Some(0), || {
        format!("fsck: {}", String::from_utf8_lossy(&fsck.stderr))
    });
    let restart = p99(&mut restarts);
    findings.require(restart <= START, || format!("restart p99 {restart:?}"));
    findings.into_outcome(format!(
        "{} kills, {} receipts, {} checkpoints, {} entries, restart p99 {:.0} ms",
        count(plan.count),
        count(receipts.len() as u64),
        count(checkpoints.len() as u64),
        count(seen.leaves.len() as u64),
        restart.as_secs_f64() * 1e3
    ))
}
