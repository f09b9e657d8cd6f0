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

/// Sends entries until the server dies; every answer is remembered.
fn load(log: &Log, signer: &Signer, told: &Told, next: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let content = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let signed = signer.sign(ORIGIN, &content, Public, 0);
        let request = log.http().post(format!("{}/api/v1/entries", log.url())).json(&signed.published());
        let Ok(response) = request.send() else { return };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>() else { return };
        assert!(matches!(status, 200 | 503), "{status}: {answer}");
        if status == 200 {
            told.receipt(signed.receipt(signer, &answer));
        }
    }
}

#[test]
fn killed_under_load_nothing_acknowledged_is_lost() {
    let cycles: u64 = std::env::var("AIP_KILL_CYCLES").map_or(50, |cycles| cycles.parse().expect("a number"));
    let mut log = Log::init();
    let flags =
        ["--round-interval", "2ms", "--did-entries-per-minute", "0", "--address-entries-per-minute", "0"];
    let told = Told::default();
    let next = AtomicU64::new(0);
    let signers: Vec<Signer> = (0..8).map(Signer::new).collect();
    let mut restarts = Vec::new();
    for cycle in 0..cycles {
        restarts.push(log.serve(&flags));
        let served = checkpoint(&log);
        let newest = told.checkpoints.lock().expect("no panic").iter().map(|seen| seen.size).max();
        assert!(newest.is_none_or(|newest| newest <= served.size), "/checkpoint went back");
        told.checkpoint(served);
        // From 5 to 500 ms of load, a different time each cycle, the same in every run.
        let life = Duration::from_millis(5 + cycle * 7919 % 496);
        let stop = AtomicBool::new(false);
        let pid = log.pid().to_string();
        std::thread::scope(|scope| {
            for signer in &signers {
                scope.spawn(|| load(&log, signer, &told, &next, &stop));
            }
            let killed_at = Instant::now() + life;
            while Instant::now() < killed_at {
                std::thread::park_timeout(killed_at - Instant::now());
            }
            let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
            assert!(killed.expect("kill runs").success());
            stop.store(true, Ordering::Relaxed);
        });
        log.kill();
    }
    log.serve(&flags);
    let seen = check_log(&log);
    let receipts = told.receipts.into_inner().expect("no panic");
    let checkpoints = told.checkpoints.into_inner().expect("no panic");
    assert!(receipts.len() as u64 > cycles, "only {} receipts: there was no load", receipts.len());
    // Every acknowledged receipt is in the log, at its index, with its leaf; no index has two leaves.
    let mut leaves = HashMap::new();
    for receipt in &receipts {
        let logged = receipt.log_answer().expect("logged");
        let index = logged.proof.index.get();
        let leaf = logged.entry.to_bytes();
        assert_eq!(seen.leaves[index as usize], leaf, "leaf {index}");
        assert!(leaves.insert(index, leaf).is_none(), "index {index} was given twice");
    }
    // Every checkpoint ever served is a beginning of the log: all are consistent with each other.
    let mut range = tlog::merkle::range::CompactRange::new();
    let mut roots = vec![range.root()];
    for leaf in &seen.leaves {
        range.append(leaf_hash(leaf));
        roots.push(range.root());
    }
    for checkpoint in &checkpoints {
        assert_eq!(checkpoint.root, roots[checkpoint.size.get() as usize], "size {}", checkpoint.size);
    }
    assert_eq!(log.stop(), Some(0));
    let fsck = log.fsck();
    assert_eq!(fsck.status.code(), Some(0), "{}", String::from_utf8_lossy(&fsck.stderr));
    restarts.sort_unstable();
    println!(
        "{cycles} kills, {} receipts, {} checkpoints, {} entries; restart p99 {:?}",
        receipts.len(),
        checkpoints.len(),
        seen.leaves.len(),
        restarts[restarts.len() * 99 / 100]
    );
}
