//! Whether a log lives and how: it takes an entry and proves it, its memory is bounded, what must come true does.

use std::fs;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use attestation::receipt::{Signers, Verdict, VerifyPolicy};
use serde_json::Value;

use crate::log::{Log, ORIGIN};
use crate::signer::{Signed, Signer};

/// The log still does its work: takes an entry and proves it.
pub fn assert_lives(log: &mut Log, content: &[u8]) {
    assert_eq!(log.ended(), None, "the server has ended");
    let signer = Signer::new(1);
    let signed = signer.sign(ORIGIN, content, Public, 0);
    let (status, answer) = log.submit(&signed.published());
    assert_eq!(status, 200, "{answer}");
    assert_verifies(log, &signer, &signed, &answer);
    assert_eq!(log.get("/readyz").status().as_u16(), 200);
}

/// An answer makes a receipt that verifies.
pub fn assert_verifies(log: &Log, signer: &Signer, signed: &Signed, answer: &Value) {
    let policy = log.policy();
    let verify = VerifyPolicy::new(&policy, Signers::OneOf(vec![signer.did()]));
    let report = signed.receipt(signer, answer).verify(&verify, &signed.artifact, None);
    assert_eq!(report.verdict(), Verdict::Verified, "{report:?}");
}

/// Waits for something that must come true, and says what did not.
pub fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Memory of a process in bytes, by the name of its line: `VmRSS` now, `VmHWM` at most so far.
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the log runs");
    let line = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.expect("a number of kB") << 10
}

/// S16: whatever comes, the server's memory stays within this of what it was.
pub const MEMORY_BYTES: u64 = 64 << 20;

/// The server was never that much larger than `before`.
pub fn assert_memory_bounded(log: &Log, before: u64) {
    let peak = memory(log.pid(), "VmHWM");
    eprintln!("memory: {} MB before, {} MB at most", before >> 20, peak >> 20);
    assert!(peak <= before + MEMORY_BYTES, "{} MB more", (peak - before) >> 20);
}

/// Ends a child when the test does, however that is.
pub struct Ends(pub Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `fsck` says of a log that does not run: its exit code, and its words.
pub fn fsck(log: &Log) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = log.fsck();
    let words = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&words).into_owned())
}
