//! A way to a log on which submissions get lost, or old states come back: each time, and none by chance or by haste.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::blocking::Client;

use crate::log::Log;

/// What becomes of a submission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// It reaches the log, and its answer comes back.
    Through,
    /// It does not reach the log, and what answers is not the log.
    Lost,
    /// It reaches the log, and what answers is not the log.
    AnswerLost,
    /// It does not reach the log, and is refused in its name, by the rule `identity-event`.
    Refused,
    /// It reaches the log. What answers says that the log has committed to it, and then that it knows of no such claim.
    Forgotten,
    /// It reaches the log, and the request is refused as a whole, as for want of a token.
    TurnedAway,
    /// It does not reach the log, and evidence is what the log gave last, for ever.
    Replay,
    /// Evidence is what the log gave last, until a submission has come: somebody else was first. Then all goes through.
    Overtaken,
}

/// A proxy before a log.
pub struct Detour {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    log: String,
    http: Client,
    way: Mutex<Way>,
    submitted: Mutex<Vec<String>>,
    evidence: Mutex<Option<(u16, Vec<u8>)>>,
    stop: AtomicBool,
}

impl Detour {
    /// A way to this log, open at first.
    pub fn to(log: &Log) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            log: log.url(),
            http: log.http().clone(),
            way: Mutex::new(Way::Through),
            submitted: Mutex::default(),
            evidence: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let serving = serving.clone();
                // Who hangs up early gets no answer.
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        Self { address, shared }
    }

    /// Its address, as a log's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on submissions go this way.
    pub fn go(&self, way: Way) {
        *self.shared.way.lock().expect("no panic") = way;
    }

    /// The bodies of all submissions.
    pub fn submitted(&self) -> Vec<String> {
        self.shared.submitted.lock().expect("no panic").clone()
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes who waits for the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// Reads one request, passes it on as the way is, and answers it.
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut length, mut prefer) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            match header.trim().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().ok()?;
                }
                Some((name, value)) if name.eq_ignore_ascii_case("prefer") => prefer = Some(value.to_owned()),
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let is_submission = method == "POST" && path == "/api/v1/entries";
        let way = *self.way.lock().expect("no panic");
        if is_submission {
            self.submitted.lock().expect("no panic").push(body.clone());
        }
        let (status, answer) = match way {
            Way::Forgotten if path.starts_with("/api/v1/claims/") => (404, UNKNOWN.as_bytes().to_vec()),
            Way::Replay | Way::Overtaken if path == EVIDENCE => {
                self.evidence.lock().expect("no panic").clone()?
            }
            _ if path == EVIDENCE => {
                let answer = self.pass_on(&method, &path, prefer, body)?;
                self.evidence.lock().expect("no panic").insert(answer).clone()
            }
            _ if !is_submission => self.pass_on(&method, &path, prefer, body)?,
            Way::Through => self.pass_on(&method, &path, prefer, body)?,
            Way::Overtaken => {
                *self.way.lock().expect("no panic") = Way::Through;
                self.pass_on(&method, &path, prefer, body)?
            }
            Way::Lost | Way::Replay => (200, b"not a log's answer".to_vec()),
            Way::AnswerLost => {
                self.pass_on(&method, &path, prefer, body)?;
                (200, b"not a log's answer".to_vec())
            }
            Way::Refused => (200, REFUSAL.as_bytes().to_vec()),
            Way::Forgotten => {
                self.pass_on(&method, &path, prefer, body)?;
                (202, br#"[{"status":"committed"}]"#.to_vec())
            }
            Way::TurnedAway => {
                self.pass_on(&method, &path, prefer, body)?;
                (401, DENIAL.as_bytes().to_vec())
            }
        };
        let head =
            format!("HTTP/1.1 {status} .\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), &answer].concat()).ok()
    }

    fn pass_on(
        &self,
        method: &str,
        path: &str,
        prefer: Option<String>,
        body: String,
    ) -> Option<(u16, Vec<u8>)> {
        let url = format!("{}{path}", self.log);
        let mut request = match method {
            "POST" => self.http.post(url).header("Content-Type", "application/json").body(body),
            _ => self.http.get(url),
        };
        if let Some(prefer) = prefer {
            request = request.header("Prefer", prefer);
        }
        let answer = request.send().ok()?;
        Some((answer.status().as_u16(), answer.bytes().ok()?.to_vec()))
    }
}

const REFUSAL: &str =
    r#"[{"status":"refused","error":{"type":"urn:aip:problem:identity-event","title":"no","status":422}}]"#;

const UNKNOWN: &str = r#"{"type":"urn:aip:problem:unknown-claim","title":"no such claim","status":404}"#;

const DENIAL: &str = r#"{"type":"urn:aip:problem:token","title":"no token","status":401}"#;

const EVIDENCE: &str = "/api/v1/evidence";
