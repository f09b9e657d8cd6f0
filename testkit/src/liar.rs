//! A log that lies about its lists: a proxy before a real log, whose key it has. Everything it shows is the real
//! log's, but the evidence that it is told to give.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestation::Did;
use attestation::entry::Entry;
use attestation::event::Scope;
use attestation::evidence::Evidence;
use attestation::lists::ListKey;
use reqwest::blocking::Client;
use tlog::note::Note;

use crate::evidence::evidence_of;
use crate::log::Log;
use crate::oracle;

/// A log that lies.
pub struct Liar {
    /// Where it is.
    pub url: String,
    lie: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Liar {
    /// Honest until it is told otherwise.
    pub fn before(log: &Log) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let lie = Arc::new(Mutex::new(None));
        let (told, real, http) = (lie.clone(), log.url(), log.http().clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let lie = told.lock().expect("no panic").clone();
                // A client that breaks off asks again.
                let _ = answer(stream, lie, &real, &http);
            }
        });
        Self { url, lie }
    }

    /// From now on it answers every question with this evidence.
    pub fn tell(&self, evidence: &Evidence) {
        *self.lie.lock().expect("no panic") = Some(evidence.to_json().into_bytes());
    }
}

/// Evidence about everybody in a small log as it is now, signed by the log's key, that says nothing of the entries
/// at `omitted`.
pub fn evidence_without(log: &Log, omitted: &[u64]) -> Evidence {
    let seen = oracle::check_log(log);
    let note = Note::parse(&log.bytes("/checkpoint")).expect("a note");
    let skey = std::fs::read_to_string(log.dir().join("log.skey")).expect("the log's key");
    let key = skey.trim_end().parse().expect("the log's key");
    let entries: Vec<Entry> = seen.leaves.iter().map(|leaf| Entry::parse(leaf).expect("an entry")).collect();
    let said = |at| !omitted.contains(&at);
    Evidence { checkpoint: note, ..evidence_of(&key, &[], &seen.leaves, said, every_list(&entries)) }
}

/// Every list that somebody may ask for.
fn every_list(entries: &[Entry]) -> Vec<ListKey> {
    let mut dids = BTreeSet::<Did>::new();
    for entry in entries {
        match entry {
            Entry::Dsse(entry) => dids.extend([entry.claim().did()]),
            Entry::Event(event) => dids.extend([event.event().issuer(), event.event().subject()]),
            Entry::NotUnderstood { .. } => {}
        }
    }
    let mut lists = Vec::new();
    for did in &dids {
        let of_one = [
            ListKey::Id,
            ListKey::Out,
            ListKey::In,
            ListKey::Neg,
            ListKey::Pos,
            ListKey::Receipts,
            ListKey::Messages,
        ];
        lists.extend(of_one.map(|list| list(*did)));
        for to in dids.iter().filter(|to| *to != did) {
            lists.extend(Scope::ALL.iter().map(|scope| ListKey::Edge(*did, *to, *scope)));
        }
    }
    lists
}

/// Answers one request, by the lie or by the real log.
fn answer(stream: TcpStream, lie: Option<Vec<u8>>, real: &str, http: &Client) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, body) = match lie {
        Some(lie) if path == "/api/v1/evidence" => (200, lie),
        _ => {
            let url = format!("{real}{path}");
            let request = if method == "POST" { http.post(url).body(body) } else { http.get(url) };
            let answer = request.header("content-type", "application/json").send();
            let answer = answer.map_err(std::io::Error::other)?;
            (answer.status().as_u16(), answer.bytes().map_err(std::io::Error::other)?.to_vec())
        }
    };
    let head = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    (&stream).write_all(&[head.as_bytes(), &body].concat())
}
