//! The log under attack: hostile clients, hostile bytes, a disk that fails. Real program, real sockets.
//!
//! Each test names the trial that it runs (docs/dev/rules.md: S malicious input, R reliability). A test that this
//! operating system does not allow is reported as `not run`, never as passed.

mod bytes;
mod clients;
mod disk;
mod mail;
mod shares;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestation::dsse::Envelope;
use attestation::entry::PendingEntry;
use attestation::entry::Visibility::Public;
use attestation::receipt::{Signers, Verdict, VerifyPolicy};
use serde_json::{Value, json};
use testkit::attack::connect_from;
use testkit::log::{Log, ORIGIN, copy_folder, free_port};
use testkit::oracle::{check_log, checkpoint};
use testkit::signer::{Signed, Signer};
use testkit::{program, raise_descriptors};
use tlog::encoding::base64;
use tlog::{Hash, TreeSize};

/// One answer, as it came over the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The rule that the problem names. Every refusal is one: RFC 9457, short, kept by no cache.
    fn rule(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let problem: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(self.body.len() < 20_000, "a refusal does not repeat all that was sent");
        let rule = problem["type"].as_str().and_then(|rule| rule.strip_prefix("urn:aip:problem:"));
        rule.unwrap_or_else(|| panic!("no rule in {problem}")).to_owned()
    }
}

/// Connects; a read that takes longer than any answer may ends the test.
fn connect(log: &Log) -> TcpStream {
    let stream = TcpStream::connect(log.address()).expect("the log listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Sends bytes and reads every answer until the log closes: the last request must ask for that.
fn talk(log: &Log, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = connect(log);
    // A log that has refused may close before it has read everything.
    let _ = stream.write_all(bytes);
    answers(&mut stream)
}

fn answers(stream: &mut TcpStream) -> Vec<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1 << 16];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&bytes)),
        }
    }
    let mut answers = Vec::new();
    let mut rest = &bytes[..];
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8(rest[..end].to_vec()).expect("a head is ASCII");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: Vec::new() };
        rest = &rest[end + 4..];
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        answer.body = rest[..length].to_vec();
        rest = &rest[length..];
        answers.push(answer);
    }
    assert_eq!(rest, b"", "bytes behind the last answer");
    answers
}

/// The only answer to these bytes.
fn answer(log: &Log, bytes: &[u8]) -> Answer {
    let mut answers = talk(log, bytes);
    assert_eq!(
        answers.len(),
        1,
        "{answers:?} to {}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
    );
    answers.remove(0)
}

const POST: &str =
    "POST /api/v1/entries HTTP/1.1\r\nHost: log\r\nConnection: close\r\nContent-Type: application/json\r\n";

fn post(body: &[u8]) -> Vec<u8> {
    [format!("{POST}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The log still does its work: takes an entry and proves it.
fn assert_lives(log: &mut Log, content: &[u8]) {
    assert_eq!(log.ended(), None, "the server has ended");
    let signer = Signer::new(1);
    let signed = signer.sign(ORIGIN, content, Public, 0);
    let (status, answer) = log.submit(&signed.published());
    assert_eq!(status, 200, "{answer}");
    assert_verifies(log, &signer, &signed, &answer);
    assert_eq!(log.get("/readyz").status().as_u16(), 200);
}

fn assert_verifies(log: &Log, signer: &Signer, signed: &Signed, answer: &Value) {
    let policy = log.policy();
    let verify = VerifyPolicy::new(&policy, Signers::OneOf(vec![signer.did()]));
    let report = signed.receipt(signer, answer).verify(&verify, &signed.artifact, None);
    assert_eq!(report.verdict(), Verdict::Verified, "{report:?}");
}

/// Waits for something that must come true, and says what did not.
fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Memory of a process in bytes, by the name of its line: `VmRSS` now, `VmHWM` at most so far.
fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the log runs");
    let line = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.expect("a number of kB") << 10
}

/// S16: whatever comes, the server's memory stays within this of what it was.
const MEMORY_BYTES: u64 = 64 << 20;

fn assert_memory_bounded(log: &Log, before: u64) {
    let peak = memory(log.pid(), "VmHWM");
    eprintln!("memory: {} MB before, {} MB at most", before >> 20, peak >> 20);
    assert!(peak <= before + MEMORY_BYTES, "{} MB more", (peak - before) >> 20);
}

/// Ends a child when the test does, however that is.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fsck(log: &Log) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = log.fsck();
    let words = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&words).into_owned())
}
