//! The log under attack: hostile clients, hostile bytes, a disk that fails. Real program, real sockets.
//!
//! Each test names the row of the test programme that it runs (S: malicious input, R: reliability). What
//! the operating system does not allow here is reported as `not run`, never as passed.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::{Private, Public};
use attestation::receipt::{Signers, Verdict, VerifyPolicy};
use serde_json::{Value, json};
use tests::log::{Log, ORIGIN, copy_folder, free_port};
use tests::oracle::{check_log, checkpoint};
use tests::program;
use tests::signer::{Signed, Signer};
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

/// Lets this process have so many files and sockets, as far as it is allowed to.
fn raise_descriptors(descriptors: u32) -> bool {
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={descriptors}:")]).output();
    raised.is_ok_and(|output| output.status.success())
}

/// Ends a child when the test does, however that is.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// S16: 1,000 clients that never finish their request; the others are served all the while.
#[test]
fn slow_clients_keep_nobody_from_being_served() {
    let mut log = Log::start(&["--header-timeout", "4s", "--body-timeout", "4s"]);
    assert_lives(&mut log, b"before");
    if !raise_descriptors(4_096) {
        return eprintln!("not run: 1,000 slow clients: prlimit does not give 4,096 descriptors");
    }
    let signer = Signer::new(2);
    let healthy = |name: &str| {
        let mut times: Vec<Duration> = (0..150u32)
            .map(|number| {
                let start = Instant::now();
                if number % 10 == 0 {
                    let entry = signer.sign(ORIGIN, format!("{name} {number}").as_bytes(), Public, 0);
                    let (status, answer) = log.submit(&entry.published());
                    assert_eq!(status, 200, "{answer}");
                } else {
                    assert_eq!(log.get("/checkpoint").status().as_u16(), 200);
                }
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        eprintln!("{name}: p50 {:?}, p99 {:?} of {} requests", times[75], times[148], times.len());
    };
    healthy("alone");
    let before = memory(log.pid(), "VmRSS");
    let mut slow: Vec<TcpStream> = (0..1_000).map(|_| connect(&log)).collect();
    // Half of them stop in the head, half in the body: each kind has its own deadline.
    for (number, stream) in slow.iter_mut().enumerate() {
        let head = if number % 2 == 0 { "GET / HTTP/1.1\r\nX: " } else { "Content-Length: 99\r\n\r\n" };
        let head = if number % 2 == 0 { head.to_owned() } else { format!("{POST}{head}") };
        stream.write_all(head.as_bytes()).expect("a socket");
    }
    healthy("beside 1,000 slow clients");
    for stream in &mut slow {
        let _ = stream.write_all(b"a");
    }
    healthy("beside 1,000 slow clients that send a byte more");
    assert_memory_bounded(&log, before);
    // A byte now and then buys no time: every one of them is let go of.
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
            "a slow client is kept for ever"
        );
    }
    assert_lives(&mut log, b"after");
}

/// S16: heads and bodies beyond their limits, framing with two meanings, bodies that stop or break off.
#[test]
fn what_is_no_request_is_refused_and_nothing_more() {
    let mut log = Log::start(&["--body-timeout", "300ms", "--max-body-bytes", "1000000"]);
    assert_lives(&mut log, b"before");
    // A head that is none never gets to a handler: no body, and the connection is over.
    let many = "X: y\r\n".repeat(65);
    let long = "a".repeat(17_000);
    for (what, head, want) in [
        ("a header of 17,000 bytes", format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n"), 431),
        ("a path of 17,000 bytes", format!("GET /{long} HTTP/1.1\r\n\r\n"), 431),
        ("65 headers", format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        ("no version", "GET /checkpoint\r\n\r\n".into(), 400),
        ("no method", " /checkpoint HTTP/1.1\r\n\r\n".into(), 400),
        ("a version to come", "GET /checkpoint HTTP/3.0\r\n\r\n".into(), 400),
        ("a NUL in the path", "GET /checkpoint\0 HTTP/1.1\r\n\r\n".into(), 400),
        ("a NUL in a header", "GET /checkpoint HTTP/1.1\r\nX: a\0b\r\n\r\n".into(), 400),
        ("a folded header", "GET /checkpoint HTTP/1.1\r\nX: a\r\n b\r\n\r\n".into(), 400),
        ("a space before the colon", "GET /checkpoint HTTP/1.1\r\nX : a\r\n\r\n".into(), 400),
        ("two lengths", format!("{POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}} "), 400),
        ("a negative length", format!("{POST}Content-Length: -1\r\n\r\n"), 400),
        ("a signed length", format!("{POST}Content-Length: +2\r\n\r\n{{}}"), 400),
        ("a length in hex", format!("{POST}Content-Length: 0x2\r\n\r\n{{}}"), 400),
        ("a length above 2^64", format!("{POST}Content-Length: 18446744073709551616\r\n\r\n"), 400),
        ("an unknown coding", format!("{POST}Transfer-Encoding: chunky\r\n\r\n{{}}"), 400),
        ("chunked that is not last", format!("{POST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), 400),
        (
            "chunked in HTTP/1.0",
            format!("{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", POST.replace("1.1", "1.0")),
            400,
        ),
    ] {
        let answer = answer(&log, head.as_bytes());
        assert_eq!((answer.status, answer.body.len()), (want, 0), "{what}");
    }
    // TLS, HTTP/2 and noise: closed, whatever is said.
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 64],
    ] {
        assert!(talk(&log, bytes).iter().all(|answer| answer.status == 400), "{bytes:?}");
    }
    // A body that is none, too long, too slow, or in a coding.
    let chunks = |chunks: &str| format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    for (what, request, want) in [
        ("a length above the limit", format!("{POST}Content-Length: 1000001\r\n\r\n"), (413, "body-size")),
        (
            "a length of 2^63",
            format!("{POST}Content-Length: 9223372036854775808\r\n\r\n"),
            (413, "body-size"),
        ),
        ("chunks above the limit", chunks(&format!("{}0\r\n\r\n", chunk.repeat(16))), (413, "body-size")),
        ("chunks without end", chunks(&chunk.repeat(64)), (413, "body-size")),
        ("a chunk of 2^64 bytes", chunks("10000000000000000\r\nx"), (400, "body")),
        ("a chunk of -1 bytes", chunks("-1\r\nx\r\n0\r\n\r\n"), (400, "body")),
        ("a chunk longer than it says", chunks("1\r\nxyz\r\n0\r\n\r\n"), (400, "body")),
        ("a body that stops", format!("{POST}Content-Length: 9\r\n\r\n{{"), (408, "body-timeout")),
        ("a body that never comes", format!("{POST}Content-Length: 9\r\n\r\n"), (408, "body-timeout")),
        ("chunks that stop", chunks("1\r\n{\r\n"), (408, "body-timeout")),
        (
            "gzip",
            format!("{POST}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}"),
            (415, "content-encoding"),
        ),
        (
            "identity",
            format!("{POST}Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{{}}"),
            (415, "content-encoding"),
        ),
        (
            "no type",
            format!("{}Content-Length: 2\r\n\r\n{{}}", POST.replace("Content-Type", "X-Type")),
            (415, "content-type"),
        ),
        (
            "a form",
            format!("{}Content-Length: 2\r\n\r\n{{}}", POST.replace("/json", "/x-www-form-urlencoded")),
            (415, "content-type"),
        ),
        ("no body", format!("{POST}\r\n"), (400, "submission")),
    ] {
        let answer = answer(&log, request.as_bytes());
        assert_eq!((answer.status, answer.rule().as_str()), want, "{what}");
    }
    // Cut in the middle: at every place of a good request. Nothing is logged, nothing is left behind.
    let size = checkpoint(&log).size;
    let request = post(Signer::new(3).sign(ORIGIN, b"cut", Public, 0).by_hash().to_string().as_bytes());
    for cut in (0..request.len()).step_by(13) {
        let mut stream = connect(&log);
        stream.write_all(&request[..cut]).expect("a socket");
        stream.shutdown(if cut % 2 == 0 { Shutdown::Both } else { Shutdown::Write }).expect("a socket");
    }
    assert_lives(&mut log, b"after");
    assert_eq!(checkpoint(&log).size.get(), size.get() + 1, "a request that was cut is no entry");
}

/// S16: where a request ends is never in doubt, so nothing is smuggled behind one.
#[test]
fn requests_on_one_connection_are_answered_in_order_and_end_where_they_say() {
    let log = Log::start(&[]);
    let statuses =
        |bytes: &str| talk(&log, bytes.as_bytes()).iter().map(|answer| answer.status).collect::<Vec<_>>();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n");
    let last = "GET /healthz HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n";
    let keep = POST.replace("Connection: close\r\n", "");
    // Pipelined, also behind bodies.
    let pipelined = format!("{}{}{}{last}", get("/checkpoint"), get("/nowhere"), get("/policy"));
    assert_eq!(statuses(&pipelined), [200, 404, 200, 200]);
    assert_eq!(statuses(&format!("{}{last}", get("/healthz").repeat(200))), [200; 201]);
    assert_eq!(statuses(&format!("{keep}Content-Length: 2\r\n\r\n{{}}{last}")), [400, 200]);
    assert_eq!(
        statuses(&format!("{keep}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{last}")),
        [400, 200]
    );
    // HTTP/1.0 closes unless asked not to.
    assert_eq!(statuses("GET /healthz HTTP/1.0\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n"), [200]);
    let kept = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(statuses(kept), [200, 200]);
    // RFC 9112 §6.3: two framings are answered once, and the connection is closed: the next request is nobody's.
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 999999\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let statuses = statuses(&format!("{keep}{framing}\r\n2\r\n{{}}\r\n0\r\n\r\n{last}"));
        assert_eq!(statuses, [400], "{framing}");
    }
    // A body where none is expected is no second request.
    let body = "GET /checkpoint HTTP/1.1\r\nHost: log\r\n\r\n";
    let request =
        format!("GET /policy HTTP/1.1\r\nHost: log\r\nContent-Length: {}\r\n\r\n{body}{last}", body.len());
    assert_eq!(statuses(&request).len(), 2, "the policy and the last request");
    assert_eq!(checkpoint(&log).size, TreeSize::EMPTY);
}

/// S16: bodies made to cost more memory than they have bytes, one after the other and all at once.
#[test]
fn bodies_cost_no_more_memory_than_they_have_bytes() {
    let mut log = Log::start(&["--max-bodies-bytes", "8000000", "--max-body-bytes", "8000000"]);
    assert_lives(&mut log, b"before");
    let before = memory(log.pid(), "VmRSS");
    const MAX: usize = 8_000_000;
    let filled = |head: &[u8], unit: &[u8], tail: &[u8]| {
        let units = (MAX - head.len() - tail.len()) / unit.len();
        [head, &unit.repeat(units), tail].concat()
    };
    for (what, body, want) in [
        ("four million entries", filled(b"[1", b",1", b"]"), (413, "request-entries")),
        ("one string", filled(b"\"", b"a", b"\""), (400, "submission")),
        ("one member name", filled(b"{\"", b"a", b"\":1}"), (400, "submission")),
        ("one leaf", filled(b"{\"leaf\":\"", b"A", b"\"}"), (413, "leaf-size")),
        ("one leaf with escapes", filled(b"{\"leaf\":\"", b"\\u0041", b"\"}"), (413, "leaf-size")),
        ("one envelope", filled(b"{\"leaf\":\"\",\"envelope\":\"", b"A", b"\"}"), (422, "leaf")),
        ("arrays in arrays", filled(b"", b"[", b""), (400, "body")),
        ("objects in objects", filled(b"", b"{\"a\":", b""), (400, "submission")),
        ("spaces", filled(b"", b" ", b""), (400, "submission")),
    ] {
        let answer = answer(&log, &post(&body));
        let rule = answer.rule();
        assert!(
            answer.status == want.0 && (rule == want.1 || want.0 == 400),
            "{what}: {} {rule}",
            answer.status
        );
    }
    // A million chunks of one byte.
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\n \r\n".repeat(1 << 20));
    assert_eq!(answer(&log, chunks.as_bytes()).rule(), "submission");
    assert_memory_bounded(&log, before);
    // Sixteen bodies that stop one byte before their end: more than the log holds at a time.
    let request = post(&filled(b"\"", b"a", b"\""));
    let hold = || {
        let mut stream = connect(&log);
        // Who is refused is cut off.
        let _ = stream.write_all(&request[..request.len() - 1]);
        stream
    };
    let mut held: Vec<TcpStream> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(hold)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    // Who sends a body of the usual size is served all the same.
    assert_lives(&mut log, b"beside large bodies");
    assert_memory_bounded(&log, before);
    let mut refused = 0;
    for stream in &mut held {
        let _ = stream.write_all(b"\"");
        for answer in answers(stream) {
            match answer.rule().as_str() {
                "bodies" => {
                    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{answer:?}")
                }
                rule => assert_eq!((answer.status, rule), (400, "submission")),
            }
            refused += u32::from(answer.status == 503);
        }
    }
    eprintln!("bodies: {refused} of 16 refused");
    assert!(refused > 0, "a bound that is never reached");
    assert_lives(&mut log, b"after");
}

/// S11: JSON with more than one meaning, at each place where JSON is read.
#[test]
fn json_that_is_not_strict_is_refused_by_name() {
    let mut log = Log::start(&[]);
    assert_lives(&mut log, b"before");
    let signed = Signer::new(1).sign(ORIGIN, b"json", Public, 0);
    let good = signed.published().to_string();
    let leaf = base64(&signed.entry.to_bytes());
    let deep = |count: usize| ("[".repeat(count), "]".repeat(count));
    let (open, close) = deep(100_000);
    let submission = |text: &str| text.replace("LEAF", &leaf).into_bytes();
    let with_bytes = |bytes: &[u8]| [br#"{"leaf":""#, bytes, br#""}"#].concat();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a number", b"1e400".to_vec()),
        ("minus zero", b"-0".to_vec()),
        ("a string", submission(r#""LEAF""#)),
        ("an empty object", b"{}".to_vec()),
        ("a member twice", submission(r#"{"leaf":"LEAF","leaf":"LEAF"}"#)),
        ("a member twice, once escaped", submission(r#"{"leaf":"LEAF","\u006ceaf":"LEAF"}"#)),
        ("an envelope twice", submission(r#"{"leaf":"LEAF","envelope":{},"envelope":{}}"#)),
        ("an unknown member", submission(r#"{"leaf":"LEAF","Leaf":1}"#)),
        ("an unknown number", submission(r#"{"leaf":"LEAF","x":1e400}"#)),
        ("a leaf of null", b"{\"leaf\":null}".to_vec()),
        ("a leaf of bytes", b"{\"leaf\":[1,2,3]}".to_vec()),
        ("a leaf of minus zero", b"{\"leaf\":-0}".to_vec()),
        ("an envelope of null", submission(r#"{"leaf":"LEAF","envelope":null}"#)),
        ("an envelope of 1e400", submission(r#"{"leaf":"LEAF","envelope":1e400}"#)),
        ("an envelope in a string", submission(r#"{"leaf":"LEAF","envelope":"{}"}"#)),
        (
            "depth 100,000 in the envelope",
            submission(&format!(r#"{{"leaf":"LEAF","envelope":{open}{close}}}"#)),
        ),
        ("depth 100,000 that never closes", open.clone().into_bytes()),
        ("depth 100,000 of objects", "{\"leaf\":".repeat(100_000).into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("data behind it", format!("{good} {good}").into_bytes()),
        ("a NUL behind it", format!("{good}\0").into_bytes()),
        ("a NUL before it", format!("\0{good}").into_bytes()),
        ("a comma too many", good.replace('}', ",}").into_bytes()),
        ("a comment", format!("/* */{good}").into_bytes()),
        ("single quotes", good.replace('"', "'").into_bytes()),
        ("invalid UTF-8", with_bytes(b"\xff\xfe")),
        ("overlong UTF-8", with_bytes(b"\xc0\x80")),
        ("a surrogate in UTF-8", with_bytes(b"\xed\xa0\x80")),
        ("a lone surrogate", with_bytes(br"\ud800")),
        ("a NUL in a string", with_bytes(br"\u0000")),
        ("a raw NUL in a string", with_bytes(b"\0")),
        ("a raw newline in a string", with_bytes(b"\n")),
        ("base64 of another alphabet", with_bytes(b"-_-_")),
        ("base64 without padding", with_bytes(b"AA")),
        ("base64 with bits left over", with_bytes(b"AB==")),
        ("base64 with a newline", with_bytes(br"AAAA\n")),
    ];
    let mut count = 0;
    for (what, body) in &bodies {
        let answer = answer(&log, &post(body));
        assert!((400..500).contains(&answer.status), "{what}: {}", answer.status);
        answer.rule();
        count += 1;
    }
    // In an array the others are not sunk by it.
    let array = answer(&log, &post(format!("[{open}{close},{good}]").as_bytes()));
    let results: Value = serde_json::from_slice(&array.body).expect("JSON");
    assert_eq!((&results[0]["status"], &results[1]["index"]), (&json!("refused"), &json!(1)), "{results}");
    // In a leaf: other bytes for the same values, and other values.
    let text = String::from_utf8(signed.entry.to_bytes()).expect("JSON");
    let leaves: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a byte order mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("a newline behind it", format!("{text}\n").into_bytes()),
        ("a NUL behind it", format!("{text}\0").into_bytes()),
        ("a member twice", text.replacen("\"kind\":", "\"kind\":\"dsse\",\"kind\":", 1).into_bytes()),
        (
            "a member twice, deep",
            text.replacen("\"origin\":", "\"origin\":\"x\",\"origin\":", 1).into_bytes(),
        ),
        ("an unknown member", text.replacen("{\"apiVersion\"", "{\"a\":1,\"apiVersion\"", 1).into_bytes()),
        ("a time", text.replacen("\"origin\":", "\"loggedAt\":1790000000000,\"origin\":", 1).into_bytes()),
        ("a time of 1e400", text.replacen("\"origin\":", "\"loggedAt\":1e400,\"origin\":", 1).into_bytes()),
        ("a time of -0", text.replacen("\"origin\":", "\"loggedAt\":-0,\"origin\":", 1).into_bytes()),
        ("an escaped name", text.replacen("\"kind\"", "\"\\u006bind\"", 1).into_bytes()),
        ("an escaped value", text.replacen("\"dsse\"", "\"\\u0064sse\"", 1).into_bytes()),
        ("a space", text.replacen(':', ": ", 1).into_bytes()),
        (
            "invalid UTF-8",
            text.replacen("localhost", "\u{1}", 1)
                .into_bytes()
                .iter()
                .map(|b| if *b == 1 { 0xff } else { *b })
                .collect(),
        ),
        ("a lone surrogate", text.replacen("localhost", "\\ud800", 1).into_bytes()),
        ("a NUL", text.replacen("localhost", "\\u0000", 1).into_bytes()),
        ("a decomposed letter", text.replacen("localhost", "e\u{301}", 1).into_bytes()),
        ("depth 10,000", format!("{{\"apiVersion\":{}", &open[..10_000]).into_bytes()),
        (
            "another order",
            text.replacen(
                "\"apiVersion\":\"0.0.1\",\"kind\":\"dsse\"",
                "\"kind\":\"dsse\",\"apiVersion\":\"0.0.1\"",
                1,
            )
            .into_bytes(),
        ),
    ];
    for (what, leaf) in &leaves {
        let answer = answer(&log, &post(json!({"leaf": base64(leaf)}).to_string().as_bytes()));
        assert!(matches!(answer.status, 400 | 422), "leaf with {what}: {}", answer.status);
        answer.rule();
        count += 1;
    }
    // In an envelope.
    let envelope = signed.envelope.to_json();
    let long_name = "n".repeat(900_000);
    let envelopes: Vec<(&str, String)> = vec![
        ("an empty object", "{}".into()),
        ("an array", "[]".into()),
        ("a member twice", envelope.replacen("{", r#"{"payload":"","#, 1)),
        ("an unknown member", envelope.replacen("{", r#"{"x":1,"#, 1)),
        ("an unknown member of 900,000 bytes", envelope.replacen("{", &format!(r#"{{"{long_name}":1,"#), 1)),
        ("a keyid", envelope.replacen(r#"{"sig""#, r#"{"keyid":"","sig""#, 1)),
        ("two signatures", envelope.replacen(r#"{"sig""#, r#"{"sig":""},{"sig""#, 1)),
        ("depth 65", format!(r#"{{"x":{}{}"#, deep(65).0, deep(65).1)),
        ("a payload of 1e400", envelope.replacen(r#""payload":""#, r#""payload":1e400,"x":""#, 1)),
        ("another payload type", envelope.replace("in-toto", "in-tota")),
        ("a lone surrogate", r#"{"payload":"\ud800","payloadType":"","signatures":[]}"#.into()),
        ("a NUL", r#"{"payload":"\u0000","payloadType":"","signatures":[]}"#.into()),
    ];
    for (what, envelope) in &envelopes {
        let body = format!(r#"{{"leaf":"{leaf}","envelope":{envelope}}}"#);
        let answer = answer(&log, &post(body.as_bytes()));
        assert!((400..500).contains(&answer.status), "envelope with {what}: {}", answer.status);
        answer.rule();
        count += 1;
    }
    // Signed, and still not a statement that has one meaning.
    let signer = Signer::new(1);
    let payload = String::from_utf8(signed.envelope.unverified_payload().to_vec()).expect("JSON");
    for (what, payload) in [
        ("a member twice", payload.replacen("{", r#"{"_type":"x","#, 1)),
        ("an unknown member", payload.replacen("{", r#"{"x":1,"#, 1)),
        ("1e400", payload.replacen("\"padding\":\"\"", "\"padding\":1e400", 1)),
        ("a byte order mark", format!("\u{feff}{payload}")),
        ("data behind it", format!("{payload}{payload}")),
        (
            "depth 65",
            payload.replacen("\"padding\":\"\"", &format!("\"padding\":{}{}", deep(65).0, deep(65).1), 1),
        ),
        ("a lone surrogate", payload.replacen("\"padding\":\"\"", r#""padding":"\ud800""#, 1)),
    ] {
        let envelope = attestation::dsse::Envelope::sign(&signer.key, payload.into_bytes());
        let text = text
            .replace(&signed.envelope.hash().to_string(), &envelope.hash().to_string())
            .replace(&signed.envelope.payload_hash().to_string(), &envelope.payload_hash().to_string())
            .replace(&base64(signed.envelope.signature()), &base64(envelope.signature()));
        let unsigned = attestation::entry::PendingEntry::parse(text.as_bytes()).expect("a pending leaf");
        let entry =
            attestation::entry::PendingEntry::sign(unsigned.claim().clone(), &signer.key).expect("it fits");
        let body = format!(r#"{{"leaf":"{}","envelope":{}}}"#, base64(&entry.to_bytes()), envelope.to_json());
        let answer = answer(&log, &post(body.as_bytes()));
        assert_eq!((answer.status, answer.rule().as_str()), (422, "statement"), "statement with {what}");
        count += 1;
    }
    eprintln!("S11: {count} of {count} refused by name");
    assert_eq!(checkpoint(&log).size, TreeSize::new(2), "none of them is an entry");
    assert_lives(&mut log, b"after");
}

/// S15: no path leads out of the log, and each has one spelling.
#[test]
fn no_path_leads_out_of_the_log() {
    let mut log = Log::start(&[]);
    assert_lives(&mut log, b"before");
    let secrets = fs::read_to_string(log.dir().join("log.skey")).expect("the key");
    let deep = "x000/".repeat(1_000);
    let mut paths: Vec<String> = Vec::new();
    for escape in [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%5c",
        "..\\",
        "....//",
        "..;/",
        "%252e%252e%252f",
        "%c0%ae%c0%ae/",
        "%uff0e/",
        "./",
        "//",
        "/",
        "%2f",
        "%00",
        "%0a",
        "%ff",
        "%f0%28%8c%28",
        "%",
        "%2",
        "%zz",
        "~/",
        "file:///",
    ] {
        for (head, tail) in [
            ("/", "log.skey"),
            ("/tile/", "0/000"),
            ("/tile/0/", "000"),
            ("/tile/entries/", "000"),
            ("/tile/0/000.p/", "1"),
            ("/tile/entries/../../", "log.skey"),
            ("/api/v1/entries/", "0"),
            ("/api/v1/entries/0/", "proof"),
            ("/api/v1/envelopes/", "log.skey"),
            ("/api/v1/claims/", "log.skey"),
            ("/api/v1/proofs/inclusion/", "0/1"),
            ("/api/v1/proofs/inclusion/0/", "1"),
            ("/api/v1/proofs/consistency/", "0/1"),
        ] {
            paths.push(format!("{head}{escape}{tail}"));
            paths.push(format!("{head}{}{tail}", escape.repeat(20)));
        }
    }
    paths.extend([
        format!("/tile/0/{deep}000"),
        format!("/tile/entries/{deep}000"),
        format!("/{}", "../".repeat(1_000)),
        format!("/{}", "a/".repeat(5_000)),
        "/tile".into(),
        "/tile/".into(),
        "/tile/0".into(),
        "/tile/0/".into(),
        "/tile/entries".into(),
        "/tile/entries/".into(),
        "/checkpoint/".into(),
        "/checkpoint/x".into(),
        "/Checkpoint".into(),
        "/checkpoint.".into(),
        "/api".into(),
        "/api/v1".into(),
        "/api/v2/entries/0".into(),
        "/log.skey".into(),
        "/db/CURRENT".into(),
        "/.git/config".into(),
        "*".into(),
        "/%2e%2e/%2e%2e/etc/passwd".into(),
        "/tile/0/x-01/000".into(),
        "/tile/0/x00/000".into(),
        "/tile/0/000.p/0".into(),
        "/tile/0/000.p/256".into(),
        "/tile/0/000.p/257".into(),
        "/tile/0/000.p/65537".into(),
        "/tile/-1/000".into(),
        "/tile/8/000".into(),
        "/tile/63/000".into(),
        "/tile/255/000".into(),
        "/tile/0/000.P/1".into(),
        "/tile/0/000.p/1/".into(),
    ]);
    for path in &paths {
        let answer = answer(&log, &get(path));
        // hyper refuses what is no URI at all, before any handler.
        if !(answer.status == 400 && answer.body.is_empty()) {
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
            answer.rule();
        }
        assert!(!String::from_utf8_lossy(&answer.body).contains(secrets.trim()), "{path}");
    }
    // Whatever the host or the form of the target, it is this log and nothing else.
    for (request, want) in [
        ("GET http://169.254.169.254/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        ("GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        ("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        ("TRACE /checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: secret\r\n\r\n", 405),
        ("GET /checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUpgrade: h2c\r\n\r\n", 200),
    ] {
        let answer = answer(&log, request.as_bytes());
        assert_eq!(answer.status, want, "{request}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{request}");
    }
    eprintln!("S15: {} paths", paths.len());
    assert_lives(&mut log, b"after");
}

/// S9: numbers in every route.
#[test]
fn a_number_is_a_plain_decimal_or_refused() {
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let entries: Vec<Value> =
        (0..10u32).map(|i| signer.sign(ORIGIN, &i.to_be_bytes(), Public, 0).by_hash()).collect();
    assert_eq!(log.submit(&Value::Array(entries)).0, 200);
    let digits = "9".repeat(400);
    let numbers = [
        "",
        "00",
        "01",
        "007",
        "+1",
        "-1",
        "-0",
        "1.0",
        "1.",
        ".1",
        "1e3",
        "1E3",
        "0x1",
        "0b1",
        "0o1",
        "1_000",
        "1,000",
        "%201",
        "1%20",
        "1%00",
        "%2B1",
        "NaN",
        "inf",
        "true",
        "null",
        "%D9%A3",
        "%EF%BC%91",
        "1/1",
        "1;1",
        "1..2",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        &digits,
    ];
    let large =
        ["4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615"];
    let did = signer.did().to_string();
    let routes = [
        "/api/v1/entries/N",
        "/api/v1/entries/N/proof",
        "/api/v1/entries/N/receipt",
        "/api/v1/proofs/inclusion/N/10",
        "/api/v1/proofs/inclusion/0/N",
        "/api/v1/proofs/consistency/N/10",
        "/api/v1/proofs/consistency/1/N",
        "/tile/N/000",
        "/tile/0/N",
        "/tile/0/000.p/N",
        "/tile/entries/N",
        "/tile/entries/000.p/N",
        "/tile/0/xN/000",
    ];
    let mut count = 0;
    for route in routes {
        for number in numbers.iter().chain(&large) {
            let answer = answer(&log, &get(&route.replace('N', number)));
            assert!(matches!(answer.status, 400 | 404), "{route} {number}: {}", answer.status);
            answer.rule();
            count += 1;
        }
    }
    for name in ["from", "limit"] {
        for number in numbers.iter().chain(&large) {
            let answer = answer(&log, &get(&format!("/api/v1/entries?did={did}&{name}={number}")));
            if large.contains(number) {
                // Beyond the end there is nothing; a page has at most 100.
                assert_eq!(answer.status, 200, "{name} {number}");
            } else {
                assert_eq!((answer.status, answer.rule().as_str()), (400, name), "{name} {number}");
            }
            count += 1;
        }
    }
    // Sizes that do not go together.
    for (path, want) in [
        ("/api/v1/proofs/inclusion/10/10", (404, "index-outside")),
        ("/api/v1/proofs/inclusion/0/0", (404, "index-outside")),
        ("/api/v1/proofs/inclusion/0/11", (404, "size-outside")),
        ("/api/v1/proofs/consistency/10/9", (400, "sizes")),
        ("/api/v1/proofs/consistency/11/11", (404, "size-outside")),
    ] {
        let answer = answer(&log, &get(path));
        assert_eq!((answer.status, answer.rule().as_str()), want, "{path}");
    }
    // A preference that is none is ignored (RFC 7240).
    let entry = signer.sign(ORIGIN, &0u32.to_be_bytes(), Public, 0).by_hash();
    let index = log.submit(&entry).1["index"].as_u64();
    for number in numbers.iter().chain(&large).filter(|number| !number.is_empty()) {
        let (status, answer) = log.submit_with(&entry, &[("prefer", &format!("wait={number}"))]);
        assert_eq!((status, answer["index"].as_u64()), (200, index), "wait={number}");
        count += 1;
    }
    eprintln!("S9: {count} numbers");
    assert_lives(&mut log, b"after");
}

/// R12: one statement, 10,000 times from many clients, singly and in arrays, again after a restart.
#[test]
fn one_statement_is_one_leaf_however_often_it_is_sent() {
    let mut log = Log::init();
    let signer = Signer::new(1);
    let signed = signer.sign(ORIGIN, b"the same", Public, 0);
    let submission = signed.published();
    let mut first: Option<Value> = None;
    // A long round, so that most of the first ones meet in the pool: they cost no budget either.
    for (life, interval) in [("first", "500ms"), ("after a restart", "50ms")] {
        log.serve(&["--round-interval", interval]);
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let log = &log;
            let submission = &submission;
            let array = Value::Array(vec![submission.clone(); 1_000]);
            let arrays = (0..9).map(|_| {
                let array = array.clone();
                scope.spawn(move || {
                    let (status, answer) = log.submit(&array);
                    assert_eq!(status, 200);
                    answer.as_array().expect("results").clone()
                })
            });
            let singles = (0..10).map(|_| {
                scope.spawn(move || {
                    let answer = || {
                        let (status, answer) = log.submit(submission);
                        assert_eq!(status, 200, "{answer}");
                        answer
                    };
                    (0..100).map(|_| answer()).collect()
                })
            });
            let threads: Vec<_> = arrays.chain(singles).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(answers.len(), 10_000);
        let first = first.get_or_insert_with(|| answers[0].clone());
        let same =
            answers.iter().filter(|answer| answer["index"] == 0 && answer["leaf"] == first["leaf"]).count();
        assert_eq!(same, answers.len(), "{life}: {:?}", answers.iter().find(|answer| answer["index"] != 0));
        assert_verifies(&log, &signer, &signed, &answers[9_999]);
        assert_eq!(check_log(&log).checkpoint.size, TreeSize::new(1), "{life}");
        assert_eq!(log.stop(), Some(0));
        eprintln!("R12, {life}: {same} of {} answers name the same leaf", answers.len());
    }
    assert_eq!(fsck(&log), (Some(0), "ok: 1 entries\n".to_owned()));
}

fn fsck(log: &Log) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = log.fsck();
    let words = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&words).into_owned())
}

/// What clients were promised.
#[derive(Default)]
struct Promised {
    receipts: Vec<(Signed, Value)>,
    /// Claims that were answered `committed`.
    committed: Vec<Hash>,
}

impl Promised {
    /// Submits until something else than a promise comes, or nothing; answers that. `prefer`: RFC 7240.
    fn load(
        &mut self,
        log: &Log,
        signer: &Signer,
        prefer: &str,
        mut content: impl FnMut() -> Option<Signed>,
    ) -> Option<(u16, Value)> {
        while let Some(signed) = content() {
            let request = log.http().post(format!("{}/api/v1/entries", log.url())).json(&signed.published());
            let request = request.header("prefer", prefer);
            let response = request.send().ok()?;
            let status = response.status().as_u16();
            let answer: Value = response.json().ok()?;
            match status {
                200 => {
                    // A receipt that does not verify is no promise kept.
                    assert_verifies(log, signer, &signed, &answer);
                    self.receipts.push((signed, answer));
                }
                202 => self.committed.push(signed.claim()),
                _ => return Some((status, answer)),
            }
        }
        None
    }

    /// Every promise is kept by the log as it is now: same index, same leaf, provable.
    fn assert_kept(&self, log: &Log, signer: &Signer) {
        let seen = check_log(log);
        for (signed, promised) in &self.receipts {
            let (status, answer) = log.json(&format!("/api/v1/claims/{}", signed.claim()));
            assert_eq!(
                (status, &answer["index"], &answer["leaf"]),
                (200, &promised["index"], &promised["leaf"])
            );
            assert_verifies(log, signer, signed, &answer);
            let index = promised["index"].as_u64().expect("an index") as usize;
            assert_eq!(base64(&seen.leaves[index]), promised["leaf"].as_str().expect("a leaf"));
        }
        for claim in &self.committed {
            assert_eq!(log.json(&format!("/api/v1/claims/{claim}")).0, 200, "a committed claim is published");
        }
    }
}

/// R6, R2, I5: the n-th sync of the writer fails, of data or of the record. The process ends at once, with an
/// error; nothing of the round whose sync failed was acknowledged; the next start finds everything that was.
#[test]
fn after_a_failed_sync_the_process_ends_and_nothing_acknowledged_is_lost() {
    if Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("not run: failing sync: strace is not installed");
    }
    let mut log = Log::init();
    let flags = ["--round-interval", "2ms", "--deadline", "30s"];
    let signer = Signer::new(1);
    let number = AtomicU64::new(0);
    let next = || signer.sign(ORIGIN, &number.fetch_add(1, Ordering::Relaxed).to_be_bytes(), Public, 0);
    let mut promised = Promised::default();
    let mut failures = 0;
    // Of each round: the record's file and its folder; the data, at least once. One client has one entry a
    // round, so that its answers count the rounds; eight are a load.
    for (call, syncs_a_round, clients, nths) in [
        ("fsync", 2, 1, 1..=6),
        ("fdatasync", 1, 1, 1..=9),
        ("fsync", 2, 8, 15..=17),
        ("fdatasync", 1, 8, 15..=17),
    ] {
        for nth in nths {
            log.serve(&flags);
            // The first round of a life syncs more than a usual one.
            let mut warm = Some(next());
            assert_eq!(promised.load(&log, &signer, "", || warm.take()), None);
            let Some(_strace) = attach(log.pid(), &format!("inject={call}:error=EIO:when={nth}")) else {
                return eprintln!("not run: failing sync: strace may not attach to a process here");
            };
            // Half of a load does not wait for the publication: `committed` is a promise too.
            let client = |number: usize| {
                let mut promised = Promised::default();
                let prefer = if number % 2 == 1 { "respond-async" } else { "" };
                let answer = promised.load(&log, &signer, prefer, || Some(next()));
                assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
                promised
            };
            let heard: Vec<Promised> = std::thread::scope(|scope| {
                let clients: Vec<_> =
                    (0..clients).map(|number| scope.spawn(move || client(number))).collect();
                clients.into_iter().map(|client| client.join().expect("no panic")).collect()
            });
            let mut code = None;
            until("the process ends", Duration::from_secs(5), || {
                code = log.ended();
                code.is_some()
            });
            assert_eq!(code, Some(Some(70)), "{call} {nth}");
            let rounds = heard[0].receipts.len() + heard[0].committed.len();
            assert!(rounds <= (nth - 1) / syncs_a_round, "{call} {nth}: {rounds} rounds were acknowledged");
            for heard in heard {
                promised.receipts.extend(heard.receipts);
                promised.committed.extend(heard.committed);
            }
            let (code, words) = fsck(&log);
            assert_eq!(code, Some(0), "{call} {nth}: {words}");
            failures += 1;
        }
    }
    log.serve(&flags);
    promised.assert_kept(&log, &signer);
    assert_lives(&mut log, b"after");
    let (receipts, committed) = (promised.receipts.len(), promised.committed.len());
    eprintln!("R6: {failures} failures, {receipts} receipts and {committed} `committed`, 0 lost");
}

/// Attaches strace to all threads of a process and waits until it has.
fn attach(pid: u32, inject: &str) -> Option<Ends> {
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        inject,
        "-p",
        &pid.to_string(),
    ]);
    let mut strace = Ends(strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?);
    let mut stderr = strace.0.stderr.take()?;
    let mut words = String::new();
    let mut chunk = [0; 4_096];
    while !words.contains("attached") {
        match stderr.read(&mut chunk) {
            Ok(count) if count > 0 => words += &String::from_utf8_lossy(&chunk[..count]),
            _ => return None,
        }
    }
    // Strace tells of each end of a thread; nobody must wait for somebody to read that.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    Some(strace)
}

/// A small disk, mounted over a folder. Let go of when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output().ok()?;
        mount.status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A log whose directory is a small disk; its signed record is beside it, on another.
fn log_on_small_disk(bytes: u64) -> Option<(Log, SmallDisk)> {
    let log = Log::init();
    let aside = log.folder().join("aside");
    fs::rename(log.dir(), &aside).expect("renamed");
    fs::create_dir(log.dir()).expect("a folder");
    let disk = SmallDisk::mount(&log.dir(), bytes)?;
    copy_folder(&aside, &log.dir());
    Some((log, disk))
}

/// R5: the disk fills up to the floor. Writes stop with a word, reads go on, and writes go on by themselves
/// once there is room.
#[test]
fn below_the_floor_of_free_space_writes_stop_and_reads_go_on() {
    let Some((mut log, _disk)) = log_on_small_disk(160 << 20) else {
        return eprintln!("not run: disk full: a tmpfs cannot be mounted here");
    };
    let signer = Signer::new(1);
    log.serve(&["--disk-floor-bytes", "30000000"]);
    let mut promised = Promised::default();
    let mut few = 0..20u32;
    let mut content = || Some(signer.sign(ORIGIN, &few.next()?.to_be_bytes(), Public, 0));
    assert_eq!(promised.load(&log, &signer, "", &mut content), None);
    let ballast = log.dir().join("ballast");
    fill(&ballast, 20 << 20, &log.dir());
    let start = Instant::now();
    until("the log is not ready", Duration::from_secs(10), || log.get("/readyz").status().as_u16() == 503);
    eprintln!("R5: not ready {:?} after the disk was full", start.elapsed());
    let (status, problem) = log.submit(&signer.sign(ORIGIN, b"full", Public, 0).published());
    assert_eq!((status, problem["type"].as_str()), (503, Some("urn:aip:problem:disk-floor")));
    promised.assert_kept(&log, &signer);
    fs::remove_file(&ballast).expect("removed");
    until("the log is ready again", Duration::from_secs(10), || log.get("/readyz").status().as_u16() == 200);
    assert_lives(&mut log, b"after");
    assert_eq!(log.stop(), Some(0));
    assert_eq!(fsck(&log).0, Some(0));
}

/// R5: the disk is full without any floor. The process ends or goes on, but nothing is acknowledged that is
/// not there, and with room again everything that was is.
#[test]
fn on_a_full_disk_nothing_is_acknowledged_that_is_not_kept() {
    let Some((mut log, _disk)) = log_on_small_disk(48 << 20) else {
        return eprintln!("not run: disk full: a tmpfs cannot be mounted here");
    };
    let signer = Signer::new(1);
    let mut promised = Promised::default();
    let mut number = 0u32;
    let ballast = log.dir().join("ballast");
    for left in [3u64 << 20, 1 << 20, 300_000, 100_000, 0] {
        log.serve(&["--disk-floor-bytes", "0", "--round-interval", "2ms"]);
        fill(&ballast, left, &log.dir());
        let before = promised.receipts.len();
        let mut content = || {
            number += 1;
            Some(signer.sign(ORIGIN, &number.to_be_bytes(), Public, 20_000))
        };
        let answer = promised.load(&log, &signer, "", &mut content);
        assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
        let mut code = None;
        until("the process ends", Duration::from_secs(10), || {
            code = log.ended();
            code.is_some()
        });
        assert_eq!(code, Some(Some(70)), "with {left} bytes left");
        eprintln!("R5: {} receipts until {left} bytes were full", promised.receipts.len() - before);
        fs::remove_file(&ballast).expect("removed");
        let (code, words) = fsck(&log);
        assert_eq!(code, Some(0), "with {left} bytes left: {words}");
    }
    log.serve(&["--disk-floor-bytes", "0"]);
    promised.assert_kept(&log, &signer);
    assert_lives(&mut log, b"after");
}

/// Fills a disk until about `left` bytes are free.
fn fill(ballast: &Path, left: u64, disk: &Path) {
    let mut file = fs::File::create(ballast).expect("a file");
    let free = || {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(disk).output().expect("stat runs");
        let text = String::from_utf8(output.stdout).expect("numbers");
        text.split_whitespace().map(|number| number.parse::<u64>().expect("a number")).product::<u64>()
    };
    let bytes = vec![0; free().saturating_sub(left) as usize];
    let _ = file.write_all(&bytes);
}

/// R7: one bit flips in one of the files, many times over. `fsck` names damage, or the server refuses to
/// start, or nothing that is served has changed; a wrong byte is never served.
#[test]
fn a_flipped_bit_is_named_and_never_served() {
    const FLIPS: u64 = 32;
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let submit = |log: &Log, numbers: std::ops::Range<u32>| {
        let entry = |number: u32| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 200).published();
        let (status, answer) = log.submit(&Value::Array(numbers.map(entry).collect()));
        assert_eq!(status, 200, "{answer}");
    };
    // Most of it in sorted files: what was written before a restart. Some in the write-ahead log.
    submit(&log, 0..280);
    log.stop();
    log.serve(&[]);
    submit(&log, 280..300);
    let private = signer.sign(ORIGIN, b"private", Private, 0);
    log.submit(&private.by_hash());
    let paths = paths_of(&signer);
    let truth: HashMap<&str, Vec<u8>> = paths.iter().map(|path| (path.as_str(), log.bytes(path))).collect();
    log.kill();
    let good = log.folder().join("good");
    copy_folder(&log.dir(), &good);
    let record = log.folder().join("log.signed");
    let signed = fs::read(&record).expect("the record");
    // What the log writes. `policy`, `log.toml` and RocksDB's own journal are the operator's.
    let mut files: Vec<PathBuf> = fs::read_dir(good.join("db"))
        .expect("a folder")
        .map(|entry| PathBuf::from("db").join(entry.expect("an entry").file_name()))
        .filter(|file| !file.ends_with("db/LOG") && !file.to_string_lossy().contains("LOG.old"))
        .chain([PathBuf::from("log.skey"), PathBuf::from("../log.signed")])
        .filter(|file| fs::metadata(good.join(file)).is_ok_and(|file| file.len() > 0))
        .collect();
    files.sort();
    let (mut named, mut refused, mut harmless) = (0, 0, 0);
    for seed in 0..FLIPS {
        fs::remove_dir_all(log.dir()).expect("removed");
        copy_folder(&good, &log.dir());
        fs::write(&record, &signed).expect("written");
        let chance = Hash::of(format!("flip {seed}").as_bytes());
        let chance = u64::from_be_bytes(*chance.as_bytes().first_chunk().expect("8 of 32 bytes"));
        let file = &files[seed as usize % files.len()];
        let path = log.dir().join(file);
        let mut bytes = fs::read(&path).expect("a file");
        let at = (chance >> 3) as usize % bytes.len();
        bytes[at] ^= 1 << (chance & 7);
        fs::write(&path, &bytes).expect("written");
        let what = format!("bit {} of byte {at} of {} in {}", chance & 7, bytes.len(), file.display());
        let (code, words) = fsck(&log);
        assert!(matches!(code, Some(0..=2)), "{what}: {words}");
        assert!(
            code == Some(0) || words.starts_with("error: ") || words.contains("\nerror: "),
            "{what}: {words}"
        );
        match log.try_serve(&[], &[]) {
            Err(words) => {
                assert!(words.contains("error: "), "{what}: {words}");
                assert_ne!(code, Some(0), "{what}: fsck finds nothing, but serve says {words}");
                refused += 1;
            }
            Ok(_) => {
                for path in &paths {
                    let response = log.get(path);
                    if response.status().as_u16() != 500 {
                        assert_eq!(response.status().as_u16(), 200, "{what}: {path}");
                        assert!(response.bytes().expect("a body") == truth[path.as_str()], "{what}: {path}");
                    } else {
                        assert_ne!(code, Some(0), "{what}: fsck finds nothing, but {path} cannot be read");
                    }
                }
                log.kill();
                harmless += u32::from(code == Some(0));
            }
        }
        named += u32::from(code != Some(0));
    }
    eprintln!(
        "R7: {FLIPS} flips: {named} named by fsck, {refused} not served, {harmless} in bytes that nothing needs"
    );
    assert!(named >= FLIPS as u32 / 3, "a check that finds nothing");
}

/// Everything that is served of a log of 301 entries.
fn paths_of(signer: &Signer) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/checkpoint",
        "/tile/0/000",
        "/tile/0/001.p/45",
        "/tile/1/000.p/1",
        "/tile/entries/000",
        "/tile/entries/001.p/45",
        "/api/v1/proofs/inclusion/7/301",
        "/api/v1/proofs/consistency/100/301",
        "/policy",
    ]
    .map(str::to_owned)
    .into();
    for number in [0u32, 100, 255, 256, 279, 280, 299] {
        let signed = signer.sign(ORIGIN, &number.to_be_bytes(), Public, 200);
        paths.push(format!("/api/v1/entries/{number}"));
        paths.push(format!("/api/v1/entries/{number}/receipt"));
        paths.push(format!("/api/v1/claims/{}", signed.claim()));
        paths.push(format!("/api/v1/envelopes/{}", signed.envelope.hash()));
        paths.push(format!("/api/v1/entries?artifact=sha256:{}", signed.artifact));
    }
    paths.push(format!("/api/v1/entries?did={}&limit=100", signer.did()));
    paths.push(format!("/api/v1/entries?did={}&order=desc", signer.did()));
    paths
}

/// S16: whoever asks and does not read the answer has it for so long; with every connection taken in that
/// way the log stops when told to, and lets go of them when not.
#[test]
fn unread_answers_hold_no_connection_for_ever() {
    let mut log = Log::init();
    let flags = ["--max-connections", "8", "--answer-timeout", "2s", "--header-timeout", "60s"];
    let signer = Signer::new(1);
    log.serve(&flags);
    let entry = |number: u32| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 30_000).by_hash();
    // Two envelopes of 1 MB: far more than what two sockets take in.
    let large = signer.sign(ORIGIN, b"large", Public, 600_000);
    assert_eq!(log.submit(&json!([large.published(), entry(1)])).0, 200);
    let path = format!("/api/v1/envelopes/{}", large.envelope.hash());
    let unread = |log: &Log| -> Vec<TcpStream> {
        let hold = |_| {
            let mut stream = connect(log);
            let request = format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n").repeat(20);
            stream.write_all(request.as_bytes()).expect("a socket");
            stream
        };
        (0..20).map(hold).collect()
    };
    let held = unread(&log);
    // Whoever comes later waits for them, and is served once they are let go of.
    assert_lives(&mut log, b"behind unread answers");
    drop(held);
    let _held = unread(&log);
    let start = Instant::now();
    assert_eq!(log.stop(), Some(0));
    eprintln!("unread answers: stopped after {:?}", start.elapsed());
    // Connections that say nothing, on all places there are.
    log.serve(&["--max-connections", "2", "--header-timeout", "600s"]);
    let _idle: Vec<TcpStream> = (0..4).map(|_| connect(&log)).collect();
    assert_eq!(log.stop(), Some(0));
}

/// I5: a log that may have few files open takes fewer connections; it does not fail to write.
#[test]
fn connections_leave_the_writer_its_files() {
    let mut log = Log::init();
    if !raise_descriptors(4_096) || Command::new("prlimit").arg("--version").output().is_err() {
        return eprintln!("not run: few descriptors: prlimit does not give 4,096 descriptors");
    }
    log.serve_under(
        &["prlimit", "--nofile=1024:1024"],
        &["--header-timeout", "5s", "--round-interval", "2ms"],
    );
    assert_lives(&mut log, b"before");
    // As many as there is room for, up to the last descriptor; then nobody is let in for a while.
    let patience = Duration::from_millis(1_500);
    let idle: Vec<TcpStream> =
        (0..1_200).map_while(|_| TcpStream::connect_timeout(&log.address(), patience).ok()).collect();
    assert_lives(&mut log, b"beside all these connections");
    eprintln!("few descriptors: {} connections", idle.len());
    drop(idle);
    assert_eq!(log.stop(), Some(0));
}

/// R10: a copy of a directory with the same record of what was signed: the second server is refused.
#[test]
fn one_record_belongs_to_one_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |command: &str, dir: &str, more: &[&str]| {
        let mut run = Command::new(program("log-server"));
        run.arg(command).arg("--dir").arg(folder.path().join(dir)).args(more).stdin(Stdio::null());
        run
    };
    let record = folder.path().join("record");
    let record = record.to_str().expect("a path");
    let made = run("init", "one", &["--origin", ORIGIN, "--signed-record", record])
        .output()
        .expect("log-server runs");
    assert!(made.status.success());
    copy_folder(&folder.path().join("one"), &folder.path().join("two"));
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let mut first = run("serve", "one", &["--listen", &listen(free_port())]);
    let mut first = Ends(first.stderr(Stdio::piped()).spawn().expect("log-server runs"));
    let mut stderr = std::io::BufReader::new(first.0.stderr.take().expect("a pipe"));
    let mut words = String::new();
    while !words.contains(" serving ") {
        assert!(std::io::BufRead::read_line(&mut stderr, &mut words).expect("a line") > 0, "{words}");
    }
    let second = run("serve", "two", &["--listen", &listen(free_port())]).output().expect("log-server runs");
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{words}");
    assert!(words.contains("another process") && words.contains("hint:"), "{words}");
    // A backup is checked beside it all the same.
    let fsck = run("fsck", "two", &[]).output().expect("log-server runs");
    assert_eq!(fsck.status.code(), Some(0), "{}", String::from_utf8_lossy(&fsck.stderr));
}

/// Whatever `init` makes can be served, and is whole before anything was logged.
#[test]
fn init_makes_only_logs_that_can_be_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, origin) in ["/log", ":80/log", "", "a b", "a+b", "a\nb", &"x".repeat(256)].iter().enumerate()
    {
        let dir = folder.path().join(number.to_string());
        let init = Command::new(program("log-server"))
            .args(["init", "--origin", origin, "--dir"])
            .arg(&dir)
            .output();
        let init = init.expect("log-server runs");
        let words = String::from_utf8_lossy(&init.stderr).into_owned();
        assert_eq!(init.status.code(), Some(2), "{origin:?}: {words}");
        assert!(words.contains("error: ") && !dir.exists(), "{origin:?}: {words}");
    }
    assert_eq!(fsck(&Log::init()), (Some(0), "ok: 0 entries\n".to_owned()));
}

/// I5 for what is not wanted any more: an `erase` that broke off is finished by the next one.
#[test]
fn an_erase_that_broke_off_is_finished_by_the_next() {
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let signed = signer.sign(ORIGIN, b"secret", Public, 3_000);
    log.submit(&signed.published());
    log.stop();
    let hash = signed.envelope.hash().to_string();
    let erase = || {
        let args = ["erase", &hash, "--reason", "asked for", "--dir"];
        Command::new(program("log-server")).args(args).arg(log.dir()).output().expect("log-server runs")
    };
    let on_disk = || {
        // The artifact's digest inside the payload: hex in base64, which no compression takes apart.
        let payload = signed.envelope.unverified_payload();
        let digest = signed.artifact.to_string();
        let at = payload.windows(64).position(|window| window == digest.as_bytes()).expect("the digest");
        let needle = &base64(payload)[at.div_ceil(3) * 4..][..40];
        let grep = Command::new("grep").args(["-raqF", needle]).arg(log.dir()).status();
        grep.expect("grep runs").code() == Some(0)
    };
    assert!(on_disk(), "the check itself works");
    // What a crash between tombstone and compaction leaves behind.
    let store = log_server::store::rocks::RocksStore::open(&log.dir().join("db")).expect("the store");
    let mut batch = log_server::store::Batch::default();
    let tombstone = log_server::store::schema::Tombstone { reason: "asked for".into(), erased_at: 0 };
    log_server::store::schema::put_tombstone(&mut batch, &signed.envelope.hash(), &tombstone);
    log_server::store::Store::write(&store, &batch).expect("written");
    drop(store);
    assert!(on_disk(), "a tombstone alone takes nothing off the disk");
    erase();
    assert!(!on_disk(), "the envelope is still on the disk");
}

/// S17: `fsck --url` reads a log that never ends, packed or not.
#[test]
fn fsck_of_a_hostile_log_ends() {
    let vkey = Log::init().vkey.to_string();
    let zeros = Command::new("sh").args(["-c", "head -c 200000000 /dev/zero | gzip -1"]).output();
    let bomb = zeros.expect("sh runs").stdout;
    for (what, head, unit, repeat) in [
        ("an endless body", "", vec![b'x'; 1 << 16], u64::MAX),
        ("a bomb", "Content-Encoding: gzip\r\n", bomb, 1),
        ("an endless head", "X: ", vec![b'x'; 1 << 16], 0),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                listener.set_nonblocking(true).expect("a socket");
                while !stop.load(Ordering::SeqCst) {
                    let Ok((mut stream, _)) = listener.accept() else {
                        std::thread::park_timeout(Duration::from_millis(2));
                        continue;
                    };
                    stream.set_nonblocking(false).expect("a socket");
                    let _ = stream.read(&mut [0; 1 << 12]);
                    let end = if repeat == 0 { "" } else { "\r\n" };
                    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}{end}").as_bytes());
                    let mut sent = 0;
                    while (repeat == 0 || sent < repeat) && stream.write_all(&unit).is_ok() {
                        sent += 1;
                    }
                }
            });
            let mut fsck = Command::new(program("log-server"));
            fsck.args(["fsck", "--url", &url, "--vkey", &vkey]).env("NO_PROXY", "*");
            let mut fsck =
                Ends(fsck.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("log-server runs"));
            let mut code = None;
            until("fsck ends", Duration::from_secs(20), || {
                code = fsck.0.try_wait().expect("our child");
                code.is_some()
            });
            stop.store(true, Ordering::SeqCst);
            let mut words = String::new();
            fsck.0.stderr.take().expect("a pipe").read_to_string(&mut words).expect("words");
            let code = code.and_then(|status| status.code());
            assert!(matches!(code, Some(1 | 2)), "{what}: {words}");
            assert!(words.starts_with("error: "), "{what}: {words}");
        });
    }
}
