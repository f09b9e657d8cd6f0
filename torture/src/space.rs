//! R5: the disk fills up under load, in memory and on a loop device. Above a floor of free space writes stop with a word and
//! go on by themselves; without a floor the process ends. Nothing is acknowledged that is not kept (I5).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use serde_json::json;
use testkit::log::{Log, ORIGIN};
use testkit::signer::{Signed, Signer};

use crate::disks::{Disk, Kind, NoDisk};
use crate::frame::{Findings, Outcome, Plan, count};
use crate::promised::Promised;

/// Writes are refused so soon after the disk has filled up.
const REFUSED: Duration = Duration::from_secs(1);

const FLAGS: [&str; 6] =
    ["--round-interval", "2ms", "--did-entries-per-minute", "0", "--address-entries-per-minute", "0"];

/// The disk's size, and what of it the log leaves free.
const BYTES: u64 = 160 << 20;
const FLOOR: u64 = 30_000_000;

/// What is left of the disk when it is full, where no floor is set.
const LEFT: [u64; 5] = [3 << 20, 1 << 20, 300_000, 100_000, 0];

/// A log on a disk of its own, with its record.
struct Small {
    log: Log,
    disk: Disk,
    signer: Signer,
    next: AtomicU64,
    promised: Promised,
    _folder: tempfile::TempDir,
}

/// In memory.
pub fn tmpfs(plan: &Plan) -> Outcome {
    fill(plan, Kind::Tmpfs)
}

/// On ext4, on a loop device.
pub fn ext4(plan: &Plan) -> Outcome {
    fill(plan, Kind::Ext4)
}

/// The plan's count is how often the disk fills up, by turns with a floor and without.
fn fill(plan: &Plan, kind: Kind) -> Outcome {
    let mut small = match Small::make(kind) {
        Ok(small) => small,
        Err((why, hint)) => return Outcome::not_run(why, hint),
    };
    let findings = Findings::default();
    let mut slowest = Duration::ZERO;
    for cycle in 0..plan.count {
        if cycle % 2 == 0 {
            slowest = slowest.max(small.fill_to_the_floor(cycle, &findings));
        } else {
            small.fill_until_it_ends(cycle, LEFT[(cycle / 2 % LEFT.len() as u64) as usize], &findings);
        }
    }
    small.log.serve(&FLAGS);
    small.promised.check_kept(&small.log, &small.signer, &findings);
    findings.into_outcome(format!(
        "{} times full, {} promises, refused after {:.0} ms at the latest",
        count(plan.count),
        count(small.promised.len() as u64),
        slowest.as_secs_f64() * 1e3
    ))
}

impl Small {
    fn make(kind: Kind) -> Result<Self, NoDisk> {
        let folder = tempfile::tempdir().map_err(|e| (e.to_string(), "free some room".to_owned()))?;
        let at = folder.path().join("disk");
        std::fs::create_dir(&at).expect("a folder of ours");
        let disk = Disk::make(kind, &at, &folder.path().join("image"), BYTES)?;
        let log = Log::init_in(&at, ORIGIN);
        Ok(Self {
            log,
            disk,
            signer: Signer::new(1),
            next: AtomicU64::new(0),
            promised: Promised::default(),
            _folder: folder,
        })
    }

    fn sign(&self, padding: usize) -> Signed {
        let content = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.signer.sign(ORIGIN, &content, Public, padding)
    }

    /// Fills the disk to the floor while clients send, looks at what is read then, and makes room. Answers how soon writes were
    /// refused.
    fn fill_to_the_floor(&mut self, cycle: u64, findings: &Findings) -> Duration {
        let floor = FLOOR.to_string();
        self.log.serve(&[&FLAGS[..], &["--disk-floor-bytes", &floor]].concat());
        let ballast = self.disk.folder().join("ballast");
        let full = AtomicBool::new(false);
        let this = &*self;
        let (heard, took) = std::thread::scope(|scope| {
            let client = || {
                let mut promised = Promised::default();
                while !full.load(Ordering::Relaxed) {
                    let content = || (!full.load(Ordering::Relaxed)).then(|| this.sign(200));
                    if let Some((status, answer)) = promised.load(&this.log, "", content) {
                        findings
                            .require(status == 503 && answer["type"] == "urn:aip:problem:disk-floor", || {
                                format!("cycle {cycle}: {status} {answer}")
                            });
                    }
                }
                promised
            };
            let clients = [scope.spawn(client), scope.spawn(client)];
            std::thread::park_timeout(Duration::from_millis(50));
            this.disk.fill(&ballast, FLOOR * 2 / 3);
            let start = Instant::now();
            while this.log.get("/readyz").status().as_u16() != 503 && start.elapsed() < 10 * REFUSED {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            let took = start.elapsed();
            full.store(true, Ordering::Relaxed);
            (clients.map(|client| client.join().expect("no panic")), took)
        });
        heard.into_iter().for_each(|heard| self.promised.append(heard));
        findings.require(took <= REFUSED, || format!("cycle {cycle}: refused after {took:?} only"));
        let (status, problem) = self.log.submit(&self.sign(0).published());
        findings.require((status, &problem["type"]) == (503, &json!("urn:aip:problem:disk-floor")), || {
            format!("cycle {cycle}: {status} {problem}")
        });
        // Operators are told the same as clients.
        let metrics = self.log.get("/metrics").text().expect("text");
        findings.require(metrics.contains("log_disk_low 1"), || {
            format!("cycle {cycle}: no metric says that it is full")
        });
        // What was promised now, with its proofs; all of it, in the end.
        self.promised.check_kept(&self.log, &self.signer, findings);
        std::fs::remove_file(&ballast).expect("the ballast");
        let start = Instant::now();
        while self.log.get("/readyz").status().as_u16() != 200 && start.elapsed() < 10 * REFUSED {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let signed = self.sign(0);
        let mut once = Some(signed);
        let answer = self.promised.load(&self.log, "", || once.take());
        findings.require(answer.is_none(), || format!("cycle {cycle}: with room again: {answer:?}"));
        findings.require(self.log.stop() == Some(0), || format!("cycle {cycle}: it did not stop"));
        self.check_fsck(cycle, findings);
        took
    }

    /// Fills the disk until the process ends, makes room, and looks at what it left.
    fn fill_until_it_ends(&mut self, cycle: u64, left: u64, findings: &Findings) {
        self.log.serve(&[&FLAGS[..], &["--disk-floor-bytes", "0"]].concat());
        let ballast = self.disk.folder().join("ballast");
        self.disk.fill(&ballast, left);
        let mut promised = Promised::default();
        let answer = promised.load(&self.log, "", || Some(self.sign(20_000)));
        self.promised.append(promised);
        findings.require(answer.as_ref().is_none_or(|(status, _)| *status == 503), || {
            format!("cycle {cycle}, {left} bytes left: {answer:?}")
        });
        let start = Instant::now();
        let mut code = None;
        while code.is_none() && start.elapsed() < 10 * REFUSED {
            code = self.log.ended();
            std::thread::park_timeout(Duration::from_millis(2));
        }
        findings.require(code == Some(Some(70)), || {
            format!("cycle {cycle}, {left} bytes left: the process ended with {code:?}")
        });
        if code.is_none() {
            self.log.kill();
        }
        std::fs::remove_file(&ballast).expect("the ballast");
        self.check_fsck(cycle, findings);
    }

    fn check_fsck(&self, cycle: u64, findings: &Findings) {
        let fsck = self.log.fsck();
        findings.require(fsck.status.code() == Some(0), || {
            format!("cycle {cycle}: fsck: {}", String::from_utf8_lossy(&fsck.stderr))
        });
    }
}
