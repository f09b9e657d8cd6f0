//! Requests to a log as bytes, and answers as they come over the wire: for clients that no library would be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::log::Log;

/// One answer, as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The rule that the problem names. Every refusal is one: RFC 9457, short, kept by no cache.
    pub fn rule(&self) -> String {
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
pub fn connect(log: &Log) -> TcpStream {
    let stream = TcpStream::connect(log.address()).expect("the log listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Sends bytes and reads every answer until the log closes: the last request must ask for that.
pub fn talk(log: &Log, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = connect(log);
    // A log that has refused may close before it has read everything.
    let _ = stream.write_all(bytes);
    answers(&mut stream)
}

/// Reads every answer until the other side closes.
pub fn answers(stream: &mut TcpStream) -> Vec<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1 << 16];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
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
pub fn answer(log: &Log, bytes: &[u8]) -> Answer {
    let mut answers = talk(log, bytes);
    assert_eq!(
        answers.len(),
        1,
        "{answers:?} to {}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
    );
    answers.remove(0)
}

/// The beginning of a submission that ends the connection.
pub const POST: &str =
    "POST /api/v1/entries HTTP/1.1\r\nHost: log\r\nConnection: close\r\nContent-Type: application/json\r\n";

/// A submission with this body.
pub fn post(body: &[u8]) -> Vec<u8> {
    [format!("{POST}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// A request for a path.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n").into_bytes()
}
