//! R15: a log of many entries starts, proves and is checked within its bounds, and what it serves makes its root again.

use std::time::{Duration, Instant};

use attestation::entry::Visibility;
use serde_json::Value;
use testkit::chance::Chance;
use testkit::log::{Log, ORIGIN};
use testkit::oracle::checkpoint;
use testkit::signer::Signer;
use tlog::merkle::leaf_hash;
use tlog::merkle::range::CompactRange;
use tlog::tile::Tile;
use tlog::{TreeSize, bundle};

use crate::frame::{Findings, Outcome, Plan, count, p99};

/// Bounds of the trial. The budgets of `./run bench` are tighter, and hold on a quiet machine.
const START: Duration = Duration::from_secs(5);
const PROOF: Duration = Duration::from_millis(20);

const PROOFS: usize = 1_000;

/// The plan's count is that of entries.
pub fn log(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::init();
    // Signed, since `fsck` looks.
    let signer = Signer::new(1);
    let entry = |number: u64| signer.sign(ORIGIN, &number.to_be_bytes(), Visibility::Public, 0).entry;
    bench::start::fill(&log, plan.count, entry);
    let start = log.serve(&[]);
    findings.require(start <= START, || format!("it started within {start:?}"));
    let size = checkpoint(&log);
    findings.require(size.size == TreeSize::new(plan.count), || format!("it has {} entries", size.size));
    let mut chance = Chance::new(plan.seed);
    let mut took: Vec<Duration> = (0..PROOFS)
        .map(|_| {
            let index = chance.below(plan.count);
            let asked = Instant::now();
            let (status, proof): (u16, Value) =
                log.json(&format!("/api/v1/proofs/inclusion/{index}/{}", plan.count));
            findings.require(status == 200, || format!("a proof of entry {index}: {status} {proof}"));
            asked.elapsed()
        })
        .collect();
    let proof = p99(&mut took);
    findings.require(proof <= PROOF, || format!("proof p99 {proof:?}"));
    // Every entry, as the public reads it, in the order of the log: a tree of their hashes has the root that is signed.
    let mut range = CompactRange::new();
    for tile in Tile::touched(TreeSize::EMPTY, size.size).take_while(|tile| tile.level() == 0) {
        let bytes = log.bytes(&format!("/{}", tile.entries_path()));
        let entries = bundle::parse(&bytes).expect("a bundle");
        entries.iter().for_each(|entry| range.append(leaf_hash(entry)));
    }
    findings.require(range.root() == size.root, || {
        format!("the entries that are served make {}, and {} is signed", range.root(), size.root)
    });
    let (memory, _) = bench::measure::memory_of(log.pid());
    log.kill();
    let restart = log.serve(&[]);
    findings.require(restart <= START, || format!("after kill -9 it started within {restart:?}"));
    log.kill();
    let begun = Instant::now();
    let fsck = log.fsck();
    let rate = plan.count as f64 / begun.elapsed().as_secs_f64();
    findings.require(fsck.status.code() == Some(0), || {
        format!("fsck: {}", String::from_utf8_lossy(&fsck.stderr))
    });
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    findings.into_outcome(format!(
        "{} entries: start {:.0} ms, after kill -9 {:.0} ms, proof p99 {:.1} ms, {memory:.0} MiB, fsck {} entries/s, the root of \
         what is served is the signed one",
        count(plan.count),
        ms(start),
        ms(restart),
        ms(proof),
        count(rate as u64)
    ))
}
