//! Clients that are slow, and what is no request (S16).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use testkit::living::{MEMORY_BYTES, assert_lives, memory};
use testkit::log::{Log, ORIGIN};
use testkit::oracle::checkpoint;
use testkit::raise_descriptors;
use testkit::signer::Signer;
use testkit::wire::{POST, answer, connect, post, talk};

use crate::frame::{Findings, Outcome, Plan, count, p99};

/// What honest clients may notice of the slow ones: three times as late. What they share is the machine.
const LATER: u32 = 3;

/// What is answered within this is not called late: a busy machine is as slow.
const SOON: Duration = Duration::from_millis(500);

/// So many clients that never finish their request, half of them in the head and half in the body; the others are served all
/// the while, memory is bounded, and each slow one is let go of.
pub fn slow(plan: &Plan) -> Outcome {
    let findings = Findings::default();
    let flags = ["--header-timeout", "4s", "--body-timeout", "4s", "--address-connections", "0"];
    let mut log = Log::start(&flags);
    assert_lives(&mut log, b"before");
    if !raise_descriptors(3 * u32::try_from(plan.count).unwrap_or(u32::MAX / 3) + 1_000) {
        return Outcome::not_run("prlimit gives too few descriptors", "run it where `ulimit -Hn` is higher");
    }
    let signer = Signer::new(2);
    let healthy = |name: &str| {
        let ask = |number: u32| {
            let start = Instant::now();
            if number.is_multiple_of(10) {
                let entry = signer.sign(ORIGIN, format!("{name} {number}").as_bytes(), Public, 0);
                // Behind its deadline it is committed, and late.
                let (status, answer) = log.submit(&entry.published());
                assert!(matches!(status, 200 | 202), "{status} {answer}");
            } else {
                assert_eq!(log.get("/checkpoint").status().as_u16(), 200);
            }
            start.elapsed()
        };
        p99(&mut (0..150).map(ask).collect::<Vec<_>>())
    };
    let alone = healthy("alone");
    let before = memory(log.pid(), "VmRSS");
    let mut slow: Vec<TcpStream> = (0..plan.count).map(|_| connect(&log)).collect();
    for (number, stream) in slow.iter_mut().enumerate() {
        let head = if number % 2 == 0 { "GET / HTTP/1.1\r\nX: " } else { "Content-Length: 99\r\n\r\n" };
        let head = if number % 2 == 0 { head.to_owned() } else { format!("{POST}{head}") };
        stream.write_all(head.as_bytes()).expect("a socket");
    }
    let mut beside = healthy("beside slow clients");
    for stream in &mut slow {
        let _ = stream.write_all(b"a");
    }
    beside = beside.max(healthy("beside slow clients that send a byte more"));
    let most = alone.max(SOON) * LATER;
    findings.require(beside <= most, || format!("p99 {beside:?} beside them, {alone:?} alone"));
    let peak = memory(log.pid(), "VmHWM");
    findings.require(peak <= before + MEMORY_BYTES, || format!("{} MB more memory", (peak - before) >> 20));
    // A byte now and then buys no time: every one of them is let go of.
    for mut stream in slow {
        let ended = stream.read_to_end(&mut Vec::new());
        let is_over = ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        findings.require(is_over, || "a slow client is kept for ever".into());
    }
    assert_lives(&mut log, b"after");
    findings.into_outcome(format!(
        "{} slow clients; p99 of the others {:.0} ms, alone {:.0}; {} MB more memory",
        count(plan.count),
        beside.as_secs_f64() * 1e3,
        alone.as_secs_f64() * 1e3,
        peak.saturating_sub(before) >> 20
    ))
}

/// S16: heads and bodies beyond their limits, framing with two meanings, bodies that stop or break off.
pub fn no_requests(_: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut tried = 0_u64;
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
        tried += 1;
        findings.require((answer.status, answer.body.len()) == (want, 0), || format!("{what}: {answer:?}"));
    }
    // TLS, HTTP/2 and noise: closed, whatever is said.
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 64],
    ] {
        tried += 1;
        let is_closed = talk(&log, bytes).iter().all(|answer| answer.status == 400);
        findings.require(is_closed, || format!("{bytes:?} is answered"));
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
        tried += 1;
        findings.require((answer.status, answer.rule().as_str()) == want, || format!("{what}: {answer:?}"));
    }
    // Cut in the middle: at every place of a good request. Nothing is logged, nothing is left behind.
    let size = checkpoint(&log).size;
    let request = post(Signer::new(3).sign(ORIGIN, b"cut", Public, 0).by_hash().to_string().as_bytes());
    for cut in (0..request.len()).step_by(13) {
        tried += 1;
        let mut stream = connect(&log);
        stream.write_all(&request[..cut]).expect("a socket");
        stream.shutdown(if cut % 2 == 0 { Shutdown::Both } else { Shutdown::Write }).expect("a socket");
    }
    assert_lives(&mut log, b"after");
    findings.require(checkpoint(&log).size.get() == size.get() + 1, || {
        "a request that was cut is an entry".into()
    });
    findings.into_outcome(format!("{} requests that are none: refused, and nothing more", count(tried)))
}
