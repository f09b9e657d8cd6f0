//! Attacks on what a log bounds, each by clients of a few addresses that take what they can get. The tests ask whether
//! everybody else is answered meanwhile, the benchmark how soon.
//!
//! Attackers come from 127.0.1.0/24, so that 127.0.0.1 is somebody else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attestation::did::Did;
use attestation::dsse::Envelope;
use attestation::entry::Visibility::Public;
use attestation::entry::{Claim, PendingEntry};
use attestation::statement::{Statement, Subject};
use serde_json::{Map, Value, json};
use tlog::Hash;
use tlog::encoding::base64;

use crate::log::{Log, ORIGIN};
use crate::signer::Signer;

/// An attack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attack {
    /// Five addresses open all connections they can, and say nothing.
    Connections,
    /// One address asks for large answers on 40 connections, and reads none.
    SlowReaders,
    /// One address sends the beginning of 68 large bodies, and a byte now and then.
    SlowBodies,
    /// One address logs as many bytes as it can.
    DayBytes,
    /// One address asks for evidence that is long to gather on 64 connections, over and over.
    Evidence,
    /// One address asks for the largest bundle on four connections, over and over, and wants it compressed.
    Bundles,
    /// One address sends 16 MiB of `0,` on eight connections, over and over.
    Commas,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::SlowReaders,
        Self::SlowBodies,
        Self::DayBytes,
        Self::Evidence,
        Self::Bundles,
        Self::Commas,
    ];

    /// What the attackers do.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "all connections, idle (5 addresses)",
            Self::SlowReaders => "40 slow readers of large answers",
            Self::SlowBodies => "68 slow large bodies",
            Self::DayBytes => "the day's bytes",
            Self::Evidence => "evidence on 64 connections",
            Self::Bundles => "12 MB bundles, gzip, 4 connections",
            Self::Commas => "16 MiB of `0,` on 8 connections",
        }
    }

    /// The bound that refuses the attackers more, as `/metrics` names it; `None` where they wait for their turn.
    pub fn bound(self) -> Option<&'static str> {
        match self {
            Self::Connections => Some("connections"),
            Self::SlowReaders => Some("unread"),
            Self::SlowBodies => Some("bodies"),
            Self::DayBytes => Some("day-bytes"),
            Self::Evidence | Self::Bundles | Self::Commas => None,
        }
    }

    /// The log's settings: those bounds that would take too long to reach are lower.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::DayBytes => &["--bytes-per-day", "100000000"],
            // So many that the attackers are still there when the others have been answered.
            Self::Connections => &["--header-timeout", "120s"],
            Self::SlowReaders | Self::SlowBodies => &["--answer-timeout", "120s", "--body-timeout", "120s"],
            Self::Evidence | Self::Bundles | Self::Commas => &[],
        }
    }

    /// Begins, and returns once the attackers have what they can get, or work at it.
    pub fn start(self, victim: SocketAddr) -> Attackers {
        let stop = Arc::new(AtomicBool::new(false));
        let (answers, held, threads) = Default::default();
        let mut attackers = Attackers { stop, answers, held, threads };
        match self {
            Self::Connections => attackers.hold_connections(victim),
            Self::SlowReaders => attackers.hold_answers(victim),
            Self::SlowBodies => attackers.hold_bodies(victim),
            Self::DayBytes => {
                // Signed beforehand, and more than there is room for: who signs meanwhile takes the CPUs, not the bytes.
                let signer = Signer::new(666);
                let request = |number: u32| {
                    let signed = signer.sign(ORIGIN, format!("spent {number}").as_bytes(), Public, 600_000);
                    post("/api/v1/entries", signed.published().to_string().as_bytes())
                };
                let requests: Vec<_> = (0..120).map(request).collect();
                let next = AtomicUsize::new(0);
                attackers.ask(victim, 4, 130, move || {
                    let number = next.fetch_add(1, Ordering::Relaxed).min(requests.len() - 1);
                    requests[number].clone()
                });
            }
            Self::Evidence => {
                let question = post("/api/v1/evidence", &long_question());
                attackers.ask(victim, 64, 64, move || question.clone());
            }
            Self::Bundles => {
                let bundle = format!("GET {BUNDLE} HTTP/1.1\r\nHost: log\r\nAccept-Encoding: gzip\r\n\r\n")
                    .into_bytes();
                attackers.ask(victim, 4, 4, move || bundle.clone());
            }
            Self::Commas => {
                let body = format!("[{}0]", "0,".repeat((8 << 20) - 2));
                let request = post("/api/v1/entries", body.as_bytes());
                attackers.ask(victim, 8, 8, move || request.clone());
            }
        }
        attackers
    }
}

/// Attackers at work, until this is dropped.
pub struct Attackers {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    held: Arc<Mutex<Vec<TcpStream>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Attackers {
    /// One address asks this on eight connections, over and over.
    pub fn asking(victim: SocketAddr, request: Vec<u8>) -> Self {
        let (stop, answers, held, threads) = Default::default();
        let mut attackers = Self { stop, answers, held, threads };
        attackers.ask(victim, 8, 8, move || request.clone());
        attackers
    }

    fn hold(&self, stream: TcpStream) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }

    fn hold_connections(&mut self, victim: SocketAddr) {
        for address in 1..=5 {
            for _ in 0..1_024 {
                // One that is refused is closed by the log; one that is not accepted waits in the system's queue.
                let Ok(stream) = connect_from(&format!("127.0.1.{address}"), victim) else { break };
                self.hold(stream);
            }
        }
    }

    fn hold_answers(&mut self, victim: SocketAddr) {
        // Then smaller ones, until nothing is left.
        let smaller = [128, 64, 32, 16, 8, 4, 3, 2].map(|width| format!("{BUNDLE}.p/{width}"));
        let paths = std::iter::repeat_n(BUNDLE.to_owned(), 24)
            .chain(smaller.into_iter().flat_map(|path| [path.clone(), path]));
        for path in paths {
            let mut stream = connect_from(ATTACKER, victim).expect("the log listens");
            let request = format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n").repeat(64);
            stream.write_all(request.as_bytes()).expect("a socket");
            // The answer has begun, so it is held.
            let _ = stream.peek(&mut [0]);
            self.hold(stream);
        }
    }

    fn hold_bodies(&mut self, victim: SocketAddr) {
        let body = vec![b' '; 8 << 20];
        let head = head("/api/v1/entries", 16 << 20);
        // Then smaller ones, until nothing is left.
        let smaller = (0..7).flat_map(|halvings| [(4 << 20) >> halvings; 4]);
        for length in std::iter::repeat_n(8 << 20, 40).chain(smaller) {
            let mut stream = connect_from(ATTACKER, victim).expect("the log listens");
            // Who is refused is cut off.
            let _ = stream.write_all(&[head.as_bytes(), &body[..length]].concat());
            self.hold(stream);
        }
        let (held, stop) = (self.held.clone(), self.stop.clone());
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for stream in held.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                    let _ = stream.write_all(b" ");
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }));
    }

    /// Asks over and over on so many connections; returns once so many were answered, or nothing more comes.
    fn ask(
        &mut self,
        victim: SocketAddr,
        connections: usize,
        answers: usize,
        request: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) {
        let request = Arc::new(request);
        for _ in 0..connections {
            let (stop, answered, request) = (self.stop.clone(), self.answers.clone(), request.clone());
            self.threads.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = connect_from(ATTACKER, victim) else { return };
                    while !stop.load(Ordering::Relaxed) {
                        // Who is refused may be cut off while it writes.
                        let sent = stream.write_all(&request());
                        let refused = read_answer(&mut stream);
                        if sent.is_err() || refused.is_none() {
                            break;
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                        if refused == Some(true) {
                            // As fast as makes sense for somebody who was refused.
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                }
            }));
        }
        let start = Instant::now();
        while self.answers.load(Ordering::Relaxed) < answers && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for stream in self.held.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A server that does for these attackers as little as one can: it reads each request, and answers with bytes that lie ready.
/// What honest clients of a log notice while the attackers ask this one is the machine's share, not the log's.
pub struct Sink {
    address: SocketAddr,
}

impl Sink {
    /// Listens, for as long as the process lives.
    ///
    /// # Panics
    /// If the system gives no port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let bundle = b"HTTP/1.1 200 OK\r\nContent-Length: 12582912\r\n\r\n".iter().copied();
        let bundle: Arc<[u8]> = bundle.chain(std::iter::repeat_n(0, 12 << 20)).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bundle = bundle.clone();
                std::thread::spawn(move || serve_sink(stream, &bundle));
            }
        });
        Self { address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve_sink(mut stream: TcpStream, bundle: &[u8]) -> Option<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let mut filled = 0;
        let end = loop {
            filled += stream.read(bytes.get_mut(filled..)?).ok().filter(|count| *count > 0)?;
            let end = bytes[..filled].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let mut left = (end + length.unwrap_or(0)).checked_sub(filled)?;
        while left > 0 {
            let most = left.min(bytes.len());
            left -= stream.read(&mut bytes[..most]).ok().filter(|count| *count > 0)?;
        }
        let small = b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(if head.starts_with("get ") { bundle } else { small }).ok()?;
    }
}

/// Reads one answer, and tells whether it is a refusal; `None` if there is none.
fn read_answer(stream: &mut TcpStream) -> Option<bool> {
    let mut bytes = vec![0; 1 << 16];
    let mut filled = 0;
    let (status, mut left) = loop {
        let count = stream.read(bytes.get_mut(filled..)?).ok().filter(|count| *count > 0)?;
        filled += count;
        let Some(end) = bytes[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status: u16 = head.get(9..12)?.parse().ok()?;
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        // A compressed answer comes in chunks: it ends with an empty one.
        let Some(length) = length else {
            return read_chunks(stream, bytes[end + 4..filled].to_vec(), status);
        };
        break (status, (end + 4 + length).checked_sub(filled)?);
    };
    while left > 0 {
        let most = left.min(bytes.len());
        let count = stream.read(&mut bytes[..most]).ok().filter(|count| *count > 0)?;
        left -= count;
    }
    Some(status >= 400)
}

fn read_chunks(stream: &mut TcpStream, mut last: Vec<u8>, status: u16) -> Option<bool> {
    let mut bytes = vec![0; 1 << 16];
    while !last.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        last.extend_from_slice(&bytes[..count]);
        last.drain(..last.len().saturating_sub(16));
    }
    Some(status >= 400)
}

/// A connection that comes from this address of the loopback network.
pub fn connect_from(address: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(address.parse().map_err(|_| ErrorKind::InvalidInput)?, 0))?;
        let connect = tokio::time::timeout(Duration::from_secs(2), socket.connect(to));
        connect.await.map_err(|_| std::io::Error::from(ErrorKind::TimedOut))?
    })?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// A leaf as long as they may be: 1,000 subjects of one statement, logged by hash.
pub fn long_entry(number: u32) -> Value {
    let signer = Signer::new(1);
    let subject = |at: u32| Subject::new(format!("{at}"), Hash::of(format!("{number} {at}").as_bytes()));
    let statement = Statement::new((0..1_000).map(subject).collect(), "https://example.com/p", Map::new());
    let statement = statement.expect("a statement");
    let envelope = Envelope::sign(&signer.key, statement.to_payload());
    let key = signer.key.public_key();
    let claim = Claim::new(&envelope, &statement, signer.did(), &key, ORIGIN, Public).expect("a claim");
    let entry = PendingEntry::sign(claim, &signer.key).expect("it fits");
    json!({"leaf": base64(&entry.to_bytes())})
}

/// Fills the first bundle of a log with leaves as long as they may be: 12 MB.
pub fn fill_bundle(log: &Log) {
    for batch in 0..4 {
        let entries = (0..64).map(|number| long_entry(batch * 64 + number)).collect();
        let (status, answer) = log.submit(&Value::Array(entries));
        assert!(matches!(status, 200 | 202), "{status} {answer}");
    }
}

/// A question about trust that names as many roots as there may be.
fn long_question() -> Vec<u8> {
    let root = |number: u64| {
        let hash = Hash::of(format!("root {number}").as_bytes()).to_string();
        let did: Did = format!("did:aip:{}", &hash[..32]).parse().expect("a DID");
        (did.to_string(), json!(1_000))
    };
    let roots: Map<String, Value> = (0..256).map(root).collect();
    let trust = json!({"roots": roots, "scope": "ANY", "decay": 800, "maxHops": 5, "floor": 1_000_000,
        "threshold": 500_000, "minPaths": 1});
    json!({"did": Signer::new(666).did().to_string(), "trust": trust}).to_string().into_bytes()
}

fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: log\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    [head(path, body.len()).as_bytes(), body].concat()
}

/// The full bundle that [`fill_bundle`] fills.
pub const BUNDLE: &str = "/tile/entries/000";

/// The address of an attacker that has one.
pub const ATTACKER: &str = "127.0.1.1";
