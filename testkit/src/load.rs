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
    /// Each connection its own equal share of the requests, in their order, for this long: what it sends next may
    /// depend on the answer before, so that a connection that was refused something ends.
    Lanes(Duration),
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
    /// Answers with status 200, or 201 of a log of others.
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
    connections: usize,
    plan: Plan,
    next: AtomicUsize,
    start: Instant,
}

impl Work {
    /// The number of a connection's next request, when it has sent so many, and when it is due.
    fn next(&self, connection: usize, sent: usize) -> Option<(usize, Instant)> {
        let now = Instant::now();
        if let Plan::Lanes(time) = self.plan {
            let share = self.requests.len() / self.connections;
            return (sent < share && now - self.start < time).then_some((connection * share + sent, now));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.plan {
            Plan::Lanes(_) => unreachable!("answered above"),
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
        for number in 0..connections {
            // A server's queue of connections that it has not taken yet may be short, and who finds it full waits for
            // a second.
            if number % 64 == 63 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            streams.push(stream);
        }
        let start = Instant::now();
        let next = AtomicUsize::new(0);
        let work = Arc::new(Work { requests: requests.clone(), connections, plan, next, start });
        let converse = |(connection, stream)| tokio::spawn(converse(connection, stream, work.clone()));
        let tasks: Vec<_> = streams.into_iter().enumerate().map(converse).collect();
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

/// The value below which `part` of the sorted values lie.
pub fn percentile(sorted: &[u32], part: f64) -> f64 {
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |value| f64::from(*value))
}

/// One connection's part of the work: a request, its answer, the next.
async fn converse(connection: usize, mut stream: TcpStream, work: Arc<Work>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut answer = Answer::new();
    while let Some((number, due)) = work.next(connection, outcome.answered) {
        if matches!(work.plan, Plan::Paced { .. }) {
            tokio::time::sleep_until(due.into()).await;
        }
        let status = match send(&mut stream, work.requests.request(number)).await {
            Ok(()) => answer.receive(&mut stream).await,
            Err(error) => Err(error),
        };
        match status {
            Ok(200 | 201) => {
                outcome.answered += 1;
                outcome.latencies.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                if outcome.samples.is_empty() {
                    outcome.samples.push((number, answer.body().to_vec()));
                }
            }
            Ok(status) => {
                outcome.failed += 1;
                let body = String::from_utf8_lossy(answer.body());
                outcome.first_failure.get_or_insert(format!("status {status}: {body}"));
                if matches!(work.plan, Plan::Lanes(_)) {
                    break;
                }
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

/// One answer after the other, read into the same memory.
struct Answer {
    bytes: Vec<u8>,
    filled: usize,
    head: Head,
}

#[derive(Clone, Copy, Default)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    /// Where it ends.
    end: usize,
}

impl Answer {
    fn new() -> Self {
        Self { bytes: vec![0; 16 << 10], filled: 0, head: Head::default() }
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.head.body..self.head.end]
    }

    /// Reads one answer; answers its status.
    async fn receive(&mut self, stream: &mut TcpStream) -> io::Result<u16> {
        self.filled = 0;
        self.head = Head::default();
        loop {
            if self.filled == self.bytes.len() {
                self.bytes.resize(2 * self.filled, 0);
            }
            let mut free = ReadBuf::new(&mut self.bytes[self.filled..]);
            std::future::poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut free)).await?;
            let read = free.filled().len();
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += read;
            if self.head.status == 0 {
                self.head = parse_head(&self.bytes[..self.filled])?.unwrap_or_default();
            }
            match self.head {
                Head { status: 0, .. } => {}
                Head { end, .. } if self.filled > end => {
                    return Err(io::Error::other("more than one answer"));
                }
                Head { status, end, .. } if self.filled == end => return Ok(status),
                _ => {}
            }
        }
    }
}

/// The head of an answer, once it is all there.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::other("an answer without status or Content-Length"));
    };
    Ok(Some(Head { status, body: end + 4, end: end + 4 + length }))
}
