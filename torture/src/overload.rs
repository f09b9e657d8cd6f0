//! Five times the load that fits (R13).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use serde_json::Value;
use testkit::living::{fsck, memory};
use testkit::log::{Log, ORIGIN};
use testkit::oracle::{check_log, checkpoint};
use testkit::signer::Signer;

use crate::frame::{Findings, Outcome, Plan, count, p99};

/// What fits into the pool, and how many times that comes at once.
const POOL: u64 = 40;
const TIMES: u64 = 5;

/// What is accepted is answered within this.
const LATEST: Duration = Duration::from_secs(2);

/// So many seconds of five times as many entries at once as the pool takes. What is accepted is answered in time and kept, the
/// rest is told to come again and when, the checkpoint grows all the while, and memory is bounded.
pub fn log(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let pool = POOL.to_string();
    let flags = ["--pool-entries", &pool, "--round-entries", &pool, "--round-interval", "20ms"];
    let unlimited = [
        "--did-entries-per-minute",
        "0",
        "--address-entries-per-minute",
        "0",
        "--address-connections",
        "0",
        "--bytes-per-day",
        "0",
    ];
    let mut log = Log::start(&[&flags[..], &unlimited].concat());
    let (stop, next, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let accepted = Mutex::new(Vec::<(u64, Value)>::new());
    let latencies = Mutex::new(Vec::new());
    let mut gap = Duration::ZERO;
    std::thread::scope(|scope| {
        for client in 0..POOL * TIMES {
            let (log, stop, next, refused) = (&log, &stop, &next, &refused);
            let (accepted, latencies, findings) = (&accepted, &latencies, &findings);
            scope.spawn(move || {
                let signer = Signer::new(client);
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let body = signer.sign(ORIGIN, &number.to_be_bytes(), Public, 0).by_hash();
                    let start = Instant::now();
                    let answer = log.http().post(format!("{}/api/v1/entries", log.url())).json(&body).send();
                    let Ok(answer) = answer else {
                        findings.require(false, || format!("no answer to entry {number}"));
                        continue;
                    };
                    let (status, has_time) =
                        (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
                    match status {
                        200 => {
                            latencies.lock().expect("no panic").push(start.elapsed());
                            let answer: Value = answer.json().expect("JSON");
                            let index = answer["index"].as_u64().expect("an index");
                            accepted.lock().expect("no panic").push((index, answer["leaf"].clone()));
                        }
                        429 | 503 => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            findings.require(has_time, || format!("{status} without Retry-After"));
                        }
                        _ => {
                            findings.require(false, || format!("entry {number}: {status}"));
                        }
                    }
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(plan.count);
        let (mut size, mut grown) = (checkpoint(&log).size, Instant::now());
        while Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(50));
            let now = checkpoint(&log).size;
            if now > size {
                (size, grown) = (now, Instant::now());
            }
            gap = gap.max(grown.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    findings.require(gap <= Duration::from_secs(5), || format!("no new checkpoint for {gap:?}"));
    let peak = memory(log.pid(), "VmHWM");
    findings.require(peak <= 512 << 20, || format!("{} MB of memory", peak >> 20));
    let seen = check_log(&log);
    let (accepted, refused) = (accepted.into_inner().expect("no panic"), refused.into_inner());
    for (index, leaf) in &accepted {
        let there = seen.leaves.get(*index as usize).map(|leaf| tlog::encoding::base64(leaf));
        findings
            .require(there.as_deref() == leaf.as_str(), || format!("entry {index} was answered and is lost"));
    }
    findings.require(refused > 0, || "nothing was refused: there was no overload".into());
    let mut latencies = latencies.into_inner().expect("no panic");
    if findings.require(!latencies.is_empty(), || "nothing was accepted".into()) {
        let late = p99(&mut latencies);
        findings.require(late <= LATEST, || format!("accepted ones were answered within {late:?}"));
    } else {
        latencies.push(Duration::MAX);
    }
    findings.require(log.stop() == Some(0), || "the log did not stop when it was told to".into());
    findings.require(fsck(&log).0 == Some(0), || "fsck".into());
    findings.into_outcome(format!(
        "{} s, {} accepted (p99 {:.0} ms), {} told to come again, {} MB at most",
        count(plan.count),
        count(accepted.len() as u64),
        p99(&mut latencies).as_secs_f64() * 1e3,
        count(refused),
        peak >> 20
    ))
}
