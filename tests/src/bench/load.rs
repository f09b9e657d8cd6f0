//! The load generator. It shares the machine with what it loads, so it does as little as it can: requests
//! are bytes made beforehand, one thread drives all connections, and of an answer only the status and the
//! length are read.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

/// Requests, ready to be sent.
#[derive(Debug, Default)]
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Requests {
    /// Adds a POST of a body.
    pub fn post(&mut self, path: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(body);
        self.ends.push(self.bytes.len());
    }

    /// Adds a GET.
    pub fn get(&mut self, path: &str) {
        self.bytes.extend_from_slice(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn request(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }
}

/// How a load goes on.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// Each request of a range once, as fast as the answers come.
    Each {
        /// The first.
        first: usize,
        /// How many.
        count: usize,
    },
    /// All requests over and over, for this long.
    Around(Duration),
    /// Each request once, sent at times that do not depend on the answers, so many a second. Latency
    /// counts from the time a request was due.
    Paced {
        /// Requests a second.
        rate: f64,
    },
}

/// What a load led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answers with status 200.
    pub answered: usize,
    /// Other answers, and requests that got none.
    pub failed: usize,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each answer with status 200, in microseconds, sorted.
    pub latencies: Vec<u32>,
    /// The first answer of each connection: the request's number and the body.
    pub samples: Vec<(usize, Vec<u8>)>,
    /// What went wrong, the first time.
    pub first_failure: Option<String>,
}

struct Work {
    requests: Arc<Requests>,
    plan: Plan,
    next: AtomicUsize,
    start: Instant,
}

impl Work {
    /// The next request's number, and when it is due.
    fn next(&self) -> Option<(usize, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        match self.plan {
            Plan::Each { first, count } => (number < count).then_some((first + number, now)),
            Plan::Around(time) => (now - self.start < time).then_some((number % self.requests.len(), now)),
            Plan::Paced { rate } => {
                // Spread by half an interval, so that no rhythm of the server's is met again and again.
                let jitter = (number.wrapping_mul(2_654_435_761) >> 7) % 1_000;
                let due = (number as f64 + jitter as f64 / 1_000.0) / rate;
                (number < self.requests.len()).then(|| (number, self.start + Duration::from_secs_f64(due)))
            }
        }
    }
}

/// Sends the requests to a server and waits for every answer.
pub fn run(address: SocketAddr, connections: usize, requests: &Arc<Requests>, plan: Plan) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            streams.push(stream);
        }
        let start = Instant::now();
        let work = Arc::new(Work { requests: requests.clone(), plan, next: AtomicUsize::new(0), start });
        let tasks: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(converse(stream, work.clone()))).collect();
        let mut outcome = Outcome::default();
        for task in tasks {
            outcome.add(task.await.expect("the load generator does not panic"));
        }
        outcome.elapsed = start.elapsed();
        outcome.latencies.sort_unstable();
        outcome
    })
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.latencies.extend(other.latencies);
        self.samples.extend(other.samples);
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

/// One connection's part of the work: a request, its answer, the next.
async fn converse(mut stream: TcpStream, work: Arc<Work>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    while let Some((number, due)) = work.next() {
        if matches!(work.plan, Plan::Paced { .. }) {
            tokio::time::sleep_until(due.into()).await;
        }
        let answer = match send(&mut stream, work.requests.request(number)).await {
            Ok(()) => receive(&mut stream, &mut buffer).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Head { status: 200, length }) => {
                outcome.answered += 1;
                outcome.latencies.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                if outcome.samples.is_empty() {
                    outcome.samples.push((number, buffer[length..].to_vec()));
                }
            }
            Ok(Head { status, length }) => {
                outcome.failed += 1;
                let body = String::from_utf8_lossy(&buffer[length..]).into_owned();
                outcome.first_failure.get_or_insert(format!("status {status}: {body}"));
            }
            Err(error) => {
                outcome.failed += 1;
                outcome.first_failure.get_or_insert(format!("no answer: {error}"));
                break;
            }
        }
    }
    outcome
}

async fn send(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = std::future::poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

struct Head {
    status: u16,
    /// Where the body begins.
    length: usize,
}

/// Reads one answer into `buffer`.
async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Head> {
    buffer.clear();
    let mut expected: Option<(Head, usize)> = None;
    loop {
        let mut chunk = [0; BUFFER_BYTES];
        let mut chunk = ReadBuf::new(&mut chunk);
        std::future::poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut chunk)).await?;
        if chunk.filled().is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(chunk.filled());
        if expected.is_none() {
            expected = parse_head(buffer)?;
        }
        if expected.as_ref().is_some_and(|(_, total)| buffer.len() >= *total) {
            break;
        }
    }
    let (head, total) = expected.expect("read above");
    if buffer.len() > total { Err(io::Error::other("more than one answer")) } else { Ok(head) }
}

/// The head of an answer and the length of the whole, once the head is there.
fn parse_head(buffer: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&buffer[..end]).map_err(io::Error::other)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::other("an answer without status or Content-Length"));
    };
    Ok(Some((Head { status, length: end + 4 }, end + 4 + length)))
}

const BUFFER_BYTES: usize = 16 << 10;
