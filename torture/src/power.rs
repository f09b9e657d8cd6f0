//! R3: the power fails under load. A copy of the disk is made in one instant, as the disk then was: what the file system had
//! not written yet is not in it. Whatever was acknowledged before that instant is in the copy (I1, I5).
//!
//! The disk is an image on an XFS that copies files by reference; `cp --reflink` of the image is that instant. The control
//! is the same log with every sync left out: it must lose what it acknowledged, or the trial would not see a missing sync.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use serde_json::Value;
use tempfile::TempDir;
use testkit::log::{Log, ORIGIN};
use testkit::oracle::check_log;
use testkit::signer::Signer;
use tlog::Hash;
use tlog::encoding::base64;

use crate::disks::{self, Disk, Kind, NoDisk};
use crate::frame::{Findings, Outcome, Plan, count};
use crate::preload;

/// The disk of a log, and where a copy of it is looked at. Let go of in this order.
struct Rig {
    inner: Disk,
    _outer: Disk,
    folder: TempDir,
    kind: Kind,
}

/// XFS is no smaller than 300 MB. What nobody writes takes no room.
const INNER_BYTES: u64 = 400 << 20;
const OUTER_BYTES: u64 = 4 << 30;

impl Rig {
    fn make(kind: Kind) -> Result<Self, NoDisk> {
        let folder = tempfile::tempdir().map_err(|e| (e.to_string(), "free some room".to_owned()))?;
        let path = |name: &str| folder.path().join(name);
        for name in ["outer", "inner", "copy"] {
            std::fs::create_dir(path(name)).expect("a folder of ours");
        }
        let outer = Disk::make(Kind::Xfs, &path("outer"), &path("outer.img"), OUTER_BYTES)?;
        let inner = Disk::make(kind, &path("inner"), &path("outer/inner.img"), INNER_BYTES)?;
        Ok(Self { inner, _outer: outer, folder, kind })
    }

    fn image(&self, name: &str) -> PathBuf {
        self.folder.path().join("outer").join(name)
    }

    /// The disk as it is now, and nothing of what is on its way to it.
    fn cut(&self) -> Result<(), String> {
        disks::clone(&self.image("inner.img"), &self.image("copy.img"))
    }

    /// Mounts the copy, as a machine does that has power again.
    fn copy(&self) -> Result<Disk, NoDisk> {
        // XFS refuses two disks of one name.
        let options = if self.kind == Kind::Xfs { "loop,nouuid" } else { "loop" };
        Disk::mount(&self.image("copy.img"), &self.folder.path().join("copy"), options)
    }
}

/// What was acknowledged: index, leaf and claim.
type Acknowledged = (u64, String, Hash);

/// Clients that send one entry at a time.
const CLIENTS: u64 = 4;

/// A log lives through so many cuts; then another one begins, so that all that it promised is looked for each time.
const CUTS_A_LOG: u64 = 20;

/// The disk is smaller than what a log leaves free.
const FLAGS: [&str; 8] = [
    "--round-interval",
    "2ms",
    "--did-entries-per-minute",
    "0",
    "--address-entries-per-minute",
    "0",
    "--disk-floor-bytes",
    "0",
];

/// On ext4.
pub fn ext4(plan: &Plan) -> Outcome {
    survive(plan, Kind::Ext4)
}

/// On XFS.
pub fn xfs(plan: &Plan) -> Outcome {
    survive(plan, Kind::Xfs)
}

fn survive(plan: &Plan, kind: Kind) -> Outcome {
    let rig = match Rig::make(kind) {
        Ok(rig) => rig,
        Err((why, hint)) => return Outcome::not_run(why, hint),
    };
    let findings = Findings::default();
    let (mut cuts, mut acknowledged) = (0, 0);
    while cuts < plan.count {
        let life = CUTS_A_LOG.min(plan.count - cuts);
        acknowledged += cut(&rig, plan.seed + cuts, life, &[], |number, lost| {
            findings
                .require(lost.is_none(), || format!("cut {}: {}", cuts + number, lost.unwrap_or_default()));
        });
        cuts += life;
    }
    findings
        .require(acknowledged as u64 > cuts, || format!("only {acknowledged} entries: there was no load"));
    findings.into_outcome(format!(
        "{} cuts under load, {} acknowledged entries looked for",
        count(cuts),
        count(acknowledged as u64)
    ))
}

/// The control, on ext4: no sync reaches the disk, so each cut must lose something that was acknowledged.
pub fn without_sync(plan: &Plan) -> Outcome {
    let made = Rig::make(Kind::Ext4).and_then(|rig| Ok((preload::compile(rig.folder.path())?, rig)));
    let (library, rig) = match made {
        Ok(made) => made,
        Err((why, hint)) => return Outcome::not_run(why, hint),
    };
    let findings = Findings::default();
    let starter = preload::starter(&library, &[("TORTURE_NO_SYNC", "1")]);
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    let mut found = 0;
    for number in 0..plan.count {
        cut(&rig, plan.seed + number, 1, &starter, |_, lost| {
            found += u64::from(lost.is_some());
            findings.require(lost.is_some(), || {
                format!("cut {number}: no sync, and nothing lost: the trial does not see a missing sync")
            });
        });
    }
    findings.into_outcome(format!("{} cuts, {} of them found out", count(plan.count), count(found)))
}

/// One log on the disk, cut off so many times under load. Says after each cut what was lost, in the words of the first loss.
/// Answers how many entries were acknowledged before a cut.
fn cut(
    rig: &Rig,
    seed: u64,
    cuts: u64,
    starter: &[&str],
    mut told: impl FnMut(u64, Option<String>),
) -> usize {
    let folder = rig.inner.folder().join("log");
    std::fs::create_dir(&folder).expect("a folder");
    let mut log = Log::init_in(&folder, ORIGIN);
    // The log itself is there before the power fails; what is tried is what it acknowledges.
    let synced = std::process::Command::new("sync").arg("-f").arg(&folder).status();
    assert!(synced.is_ok_and(|status| status.success()), "sync -f");
    log.serve_under(starter, &FLAGS);
    let acknowledged: Mutex<Vec<Acknowledged>> = Mutex::default();
    let next = AtomicU64::new(0);
    let mut known = 0;
    for number in 0..cuts {
        let stop = AtomicBool::new(false);
        let (before, copied) = std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (log, acknowledged, next, stop) = (&log, &acknowledged, &next, &stop);
                scope.spawn(move || load(log, &Signer::new(client), acknowledged, next, stop));
            }
            // From 20 to 120 ms, a different time each, the same in every run; and until something was acknowledged.
            std::thread::park_timeout(Duration::from_millis(20 + (seed + number) * 7_919 % 100));
            let start = Instant::now();
            while acknowledged.lock().expect("no panic").len() == known {
                std::thread::park_timeout(Duration::from_millis(1));
                if start.elapsed() > Duration::from_secs(30) {
                    stop.store(true, Ordering::Relaxed);
                    panic!("nothing is acknowledged");
                }
            }
            let before = acknowledged.lock().expect("no panic").len();
            let copied = rig.cut();
            stop.store(true, Ordering::Relaxed);
            (before, copied)
        });
        copied.expect("a copy by reference");
        let of_before = acknowledged.lock().expect("no panic")[..before].to_vec();
        told(number, lost(rig, &log, &of_before, known));
        known = before;
    }
    log.kill();
    std::fs::remove_dir_all(&folder).expect("the log's folder");
    known
}

/// Sends entries until it is told to stop.
fn load(
    log: &Log,
    signer: &Signer,
    acknowledged: &Mutex<Vec<Acknowledged>>,
    next: &AtomicU64,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let content = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let signed = signer.sign(ORIGIN, &content, Public, 200);
        let (status, answer) = log.submit(&signed.published());
        assert!(matches!(status, 200 | 503), "{status}: {answer}");
        if status == 200 {
            let index = answer["index"].as_u64().expect("an index");
            let leaf = answer["leaf"].as_str().expect("a leaf").to_owned();
            acknowledged.lock().expect("no panic").push((index, leaf, signed.claim()));
        }
    }
}

/// What the copy of the disk has lost of what was acknowledged; of the first `known` entries the lookups were looked at before.
fn lost(rig: &Rig, log: &Log, acknowledged: &[Acknowledged], known: usize) -> Option<String> {
    let disk = match rig.copy() {
        Ok(disk) => disk,
        Err((why, _)) => return Some(format!("the file system needs repair: {why}")),
    };
    let folder: &Path = &disk.folder().join("log");
    let mut copy = Log::at(folder, log.vkey.clone());
    if let Err(words) = copy.try_serve(&[], &FLAGS) {
        return Some(format!("the log does not start: {words}"));
    }
    let leaves = check_log(&copy).leaves;
    for (index, leaf, _) in acknowledged {
        if leaves.get(*index as usize).map(|leaf| base64(leaf)).as_ref() != Some(leaf) {
            return Some(format!("entry {index} was acknowledged, and the log has {} entries", leaves.len()));
        }
    }
    for (index, leaf, claim) in &acknowledged[known..] {
        let (status, answer): (u16, Value) = copy.json(&format!("/api/v1/claims/{claim}"));
        if (status, answer["index"].as_u64(), answer["leaf"].as_str()) != (200, Some(*index), Some(leaf)) {
            return Some(format!("entry {index} is not found by its claim: {answer}"));
        }
    }
    copy.kill();
    let fsck = copy.fsck();
    (fsck.status.code() != Some(0)).then(|| format!("fsck: {}", String::from_utf8_lossy(&fsck.stderr)))
}
