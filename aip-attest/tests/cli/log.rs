//! A log of a few hundred lines: a real tree, real signatures, and lies on demand.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use attestation::dsse::Envelope;
use attestation::entry::{DsseEntry, LogTime, PendingEntry};
use attestation::event::PendingEvent;
use attestation::receipt::Receipt;
use serde_json::{Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::encoding::{base64, decode_base64};
use tlog::key::{Ed25519PublicKey, KeyName, KeyType, SignerKey};
use tlog::merkle::{HashReader, Node, inclusion, leaf_hash, node_hash, root_of};
use tlog::note::Note;
use tlog::proof::TlogProof;
use tlog::tile::{Resource, TILE_WIDTH, Tile, hashes_at};
use tlog::{Hash, LeafIndex, TreeSize, UnixTime, cosignature};

use crate::relay::Mail;
use crate::world::{ORIGIN, witness_key};

/// How the log answers one submission, instead of honestly.
pub(crate) enum Answer {
    Raw {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    Endless {
        gzip: bool,
    },
    /// Nothing: the connection ends.
    HangUp,
    Unavailable,
    BelowQuorum,
    Committed,
    RefuseFirst,
    TooLarge,
    OtherLeaf,
    NoSignature,
    NoWitness,
    BadWitness,
    OtherProof,
    NoProof,
}

impl Answer {
    pub(crate) fn raw(status: u16, body: &str) -> Self {
        Self::Raw { status, headers: String::new(), body: body.as_bytes().to_vec() }
    }

    pub(crate) fn busy() -> Self {
        let body = r#"{"type":"urn:aip:problem:pool-full","title":"the-pool-is-full","status":503}"#;
        Self::Raw { status: 503, headers: "Retry-After: 1\r\n".into(), body: body.as_bytes().to_vec() }
    }
}

/// A log on loopback, for as long as it is held.
pub(crate) struct Log {
    address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    key: SignerKey,
    policy: String,
    entries: Vec<(DsseEntry, Option<Envelope>)>,
    /// Leaves behind them that nobody asks for: after the first of these no entry is taken.
    others: Vec<Hash>,
    /// What to say next to a submission, or to a list.
    script: VecDeque<Answer>,
    bodies: Vec<String>,
    paths: Vec<String>,
    heads: Vec<String>,
    lists_anyway: bool,
    erased: bool,
    witness_is_down: bool,
    tiles: Tiles,
    /// The size of the checkpoint that is shown, if it is not the newest.
    shown: Option<usize>,
    /// The tree that is shown instead, of equal leaves: 2 to the power of this.
    immense: Option<u8>,
    mail: Mail,
}

/// What the log does with its tiles.
#[derive(Clone, Copy, PartialEq)]
enum Tiles {
    Served,
    Wrong,
    Forgotten,
}

impl Log {
    pub(crate) fn start() -> Self {
        Self::start_with_key([0x11; 32])
    }

    pub(crate) fn start_with_key(seed: [u8; 32]) -> Self {
        let key = SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &seed);
        let policy = format!("log {}\nwitness w {}\nquorum w\n", key.verifier(), witness_key().verifier());
        let state = State {
            key,
            policy,
            entries: Vec::new(),
            others: Vec::new(),
            script: VecDeque::new(),
            bodies: Vec::new(),
            paths: Vec::new(),
            heads: Vec::new(),
            lists_anyway: false,
            erased: false,
            witness_is_down: false,
            tiles: Tiles::Served,
            shown: None,
            immense: None,
            mail: Mail::default(),
        };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn say(&self, answers: impl IntoIterator<Item = Answer>) {
        self.lock().script = answers.into_iter().collect();
    }

    pub(crate) fn policy(&self) -> String {
        self.lock().policy.clone()
    }

    pub(crate) fn fingerprint(&self) -> String {
        format!("sha256:{}", Hash::of(self.policy().as_bytes()))
    }

    pub(crate) fn set_policy(&self, policy: String) {
        self.lock().policy = policy;
    }

    /// What its relay holds, to be looked at or changed.
    pub(crate) fn mail<T>(&self, act: impl FnOnce(&mut Mail) -> T) -> T {
        act(&mut self.lock().mail)
    }

    /// Asks no witness from here on, so that its age is nobody's to attest.
    pub(crate) fn ask_no_witness(&self) {
        let mut log = self.lock();
        log.policy = format!("log {}\nquorum none\n", log.key.verifier());
    }

    /// Appends `count` leaves that say `what`.
    pub(crate) fn grow(&self, count: usize, what: &str) {
        let start = self.lock().others.len();
        let leaf = |number| leaf_hash(format!("{what} {number}").as_bytes());
        self.lock().others.extend((start..start + count).map(leaf));
    }

    /// Forgets all of these leaves but the first `count`.
    pub(crate) fn shrink(&self, count: usize) {
        self.lock().others.truncate(count);
    }

    /// Shows the checkpoint of a tree that has grown since: its partial tiles may be gone.
    pub(crate) fn show(&self, size: Option<usize>) {
        self.lock().shown = size;
    }

    /// Shows a tree of 2^`height` leaves of 65,535 zeros, every one of which it serves.
    pub(crate) fn be_immense(&self, height: u8) {
        self.lock().immense = Some(height);
    }

    pub(crate) fn serve_wrong_tiles(&self) {
        self.lock().tiles = Tiles::Wrong;
    }

    pub(crate) fn forget_tiles(&self) {
        self.lock().tiles = Tiles::Forgotten;
    }

    pub(crate) fn truncate(&self, size: usize) {
        self.lock().entries.truncate(size);
    }

    pub(crate) fn list_anyway(&self) {
        self.lock().lists_anyway = true;
    }

    /// The hashes of the claims of all entries.
    pub(crate) fn claims(&self) -> BTreeSet<String> {
        let claim = |(entry, _): &(DsseEntry, _)| entry.claim().hash().get().to_string();
        self.lock().entries.iter().map(claim).collect()
    }

    pub(crate) fn erase(&self) {
        self.lock().erased = true;
    }

    /// Publishes without its witness's cosignature from now on.
    pub(crate) fn stop_witness(&self) {
        self.lock().witness_is_down = true;
    }

    pub(crate) fn start_witness(&self) {
        self.lock().witness_is_down = false;
    }

    /// The bodies of all submissions.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.lock().bodies.clone()
    }

    /// The paths of all requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().paths.clone()
    }

    /// The heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.lock().heads.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread died")
    }
}

/// A witness that this log does not have.
pub(crate) fn other_witness() -> SignerKey {
    let name = KeyName::new("other.example.com").expect("a name");
    SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[0x33; 32])
}

/// A log that nobody runs.
pub(crate) fn other_log() -> SignerKey {
    SignerKey::from_seed(
        KeyName::new("other.example.com/log").expect("a name"),
        KeyType::Ed25519,
        &[0x55; 32],
    )
}

/// One request a connection.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body");
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let mut log = state.lock().expect("no thread died");
    log.paths.push(path.clone());
    log.heads.push(head);
    let takes_script = path.starts_with("/api/v1/entries") && !path.ends_with("/receipt");
    let lie = if takes_script { log.script.pop_front() } else { None };
    let (status, headers, body) = match lie {
        Some(Answer::Raw { status, headers, body: raw }) => {
            log.bodies.push(String::from_utf8(body).expect("JSON"));
            (status, headers, raw)
        }
        Some(Answer::HangUp) => {
            log.bodies.push(String::from_utf8(body).expect("JSON"));
            return;
        }
        Some(Answer::Endless { gzip }) => {
            drop(log);
            return endless(&mut stream, gzip);
        }
        lie => {
            let (status, body) = log.answer(&path, &body, lie);
            (status, String::new(), body)
        }
    };
    drop(log);
    let length = if headers.contains("Content-Length") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{length}{headers}\r\n");
    // Whoever hung up has seen enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

impl State {
    fn answer(&mut self, path: &str, body: &[u8], lie: Option<Answer>) -> (u16, Vec<u8>) {
        let parts: Vec<&str> = path.trim_start_matches('/').split(['/', '?']).collect();
        match parts[..] {
            ["policy"] if self.policy.is_empty() => (404, b"not here".to_vec()),
            ["policy"] => (200, self.policy.clone().into_bytes()),
            ["checkpoint"] => (200, self.checkpoint(true, true).to_string().into_bytes()),
            ["api", "v1", "entries"] => self.submit(body, lie),
            ["api", "v1", "entries", query] if query.contains("artifact=") => (200, self.list(query)),
            ["api", "v1", "entries", _, "receipt"] if self.erased => {
                (410, br#"{"type":"urn:aip:problem:erased","title":"erased","status":410}"#.to_vec())
            }
            ["api", "v1", "entries", index, "receipt"] => {
                (200, self.receipt(index.parse().expect("an index")))
            }
            ["api", "v1", "claims", claim] => {
                let at = self
                    .entries
                    .iter()
                    .position(|(entry, _)| entry.claim().hash().get().to_string() == claim);
                (200, self.logged(at.expect("a claim"), None).to_string().into_bytes())
            }
            ["did", did] => self.mail.document(did),
            ["lookup", did] => self.mail.lookup(did),
            ["message"] => self.mail.python_message(body),
            ["api", "v1", "evidence"] => {
                let checkpoint = Checkpoint::parse(self.checkpoint(true, true).text()).expect("a checkpoint");
                (200, self.mail.evidence(body, &self.key, &checkpoint, self.checkpoint(true, true)))
            }
            ["api", "v1", "messages" | "mailbox"] => self.mail.answer(path, body),
            ["tile", ..] => {
                self.tile(path.trim_start_matches('/')).map_or((404, Vec::new()), |tile| (200, tile))
            }
            _ => (404, b"not here".to_vec()),
        }
    }

    fn submit(&mut self, body: &[u8], lie: Option<Answer>) -> (u16, Vec<u8>) {
        self.bodies.push(String::from_utf8(body.to_vec()).expect("JSON"));
        if matches!(lie, Some(Answer::TooLarge)) {
            return (413, br#"{"type":"urn:aip:problem:body-size","title":"large","status":413}"#.to_vec());
        }
        let submissions: Vec<Value> = serde_json::from_slice(body).expect("an array");
        let mut results = Vec::new();
        for (submission, number) in submissions.iter().zip(0..) {
            let problem = |status: u16, rule: &str| {
                let kind = format!("urn:aip:problem:{rule}");
                json!({"type": kind, "title": "no \u{1b}good", "status": status, "hint": "do better"})
            };
            let leaf = decode_base64(submission["leaf"].as_str().expect("text")).expect("base64");
            if PendingEvent::parse(&leaf).is_ok() {
                // A log that knows no events: whoever signs stays bare.
                results.push(json!({"status": "refused", "error": problem(422, "kind")}));
                continue;
            }
            match &lie {
                Some(Answer::Unavailable) => {
                    results.push(json!({"status": "unavailable", "error": problem(503, "deadline")}));
                    continue;
                }
                Some(Answer::BelowQuorum) => {
                    let at = self.admit(submission);
                    let claim = self.entries[at].0.claim().hash().get().to_string();
                    let error = problem(503, "below-quorum");
                    results
                        .push(json!({"status": "committed", "url": "/x", "claim": claim, "reason": error}));
                    continue;
                }
                Some(Answer::RefuseFirst) if number == 0 => {
                    results.push(json!({"status": "refused", "error": problem(422, "claim-signature")}));
                    continue;
                }
                _ => {}
            }
            let at = self.admit(submission);
            results.push(match &lie {
                Some(Answer::Committed) => {
                    let claim = self.entries[at].0.claim().hash().get().to_string();
                    json!({"status": "committed", "url": format!("/api/v1/claims/{claim}"), "claim": claim})
                }
                lie => self.logged(at, lie.as_ref()),
            });
        }
        (200, json!(results).to_string().into_bytes())
    }

    /// As a log does: signatures and hashes are checked, the same claim is the same entry.
    fn admit(&mut self, submission: &Value) -> usize {
        let leaf = decode_base64(submission["leaf"].as_str().expect("text")).expect("base64");
        let entry = PendingEntry::parse(&leaf).expect("a pending entry");
        let key = Ed25519PublicKey::from_bytes(entry.claim().verifier()).expect("a key");
        entry.verify_claim_signature(&key).expect("a signature");
        let envelope = submission.get("envelope").map(|envelope| {
            let envelope = Envelope::parse(envelope.to_string().as_bytes()).expect("an envelope");
            entry.check_published(&envelope, &key).expect("its envelope");
            envelope
        });
        let known = self.entries.iter().position(|(old, _)| old.claim().hash() == entry.claim().hash());
        known.unwrap_or_else(|| {
            let time = LogTime::from_millis(1_790_000_000_000).expect("a time");
            self.entries.push((DsseEntry::new(entry, time), envelope));
            self.entries.len() - 1
        })
    }

    fn logged(&self, at: usize, lie: Option<&Answer>) -> Value {
        let mut leaf = self.entries[at].0.to_bytes();
        let mut proof = self.proof(
            at,
            !matches!(lie, Some(Answer::NoSignature)),
            !matches!(lie, Some(Answer::NoWitness)),
        );
        match lie {
            Some(Answer::OtherLeaf) => {
                leaf =
                    String::from_utf8(leaf).expect("JSON").replace("signatures", "signaturez").into_bytes();
                // Still an entry, of another claim.
                let text = String::from_utf8(leaf).expect("JSON").replace("signaturez", "signatures");
                leaf =
                    text.replacen("\"loggedAt\":1790000000000", "\"loggedAt\":1790000000001", 1).into_bytes();
                let at = String::from_utf8_lossy(&leaf).find("\"signature\":\"").expect("a signature") + 13;
                leaf[at] = if leaf[at] == b'A' { b'B' } else { b'A' };
            }
            Some(Answer::BadWitness) => {
                let other = Checkpoint::new(ORIGIN, TreeSize::new(99), Hash::of(b"another"));
                let line = cosignature::cosign(&witness_key(), &other, UnixTime::from_secs(1_790_000_001));
                proof.checkpoint.add(line.expect("a cosignature"));
            }
            Some(Answer::OtherProof) => proof.index = LeafIndex::new(proof.index.get() + 1),
            _ => {}
        }
        let proof = if matches!(lie, Some(Answer::NoProof)) { "none".to_owned() } else { proof.to_string() };
        json!({"status": "logged", "index": at, "leaf": base64(&leaf), "proof": proof})
    }

    fn receipt(&self, at: usize) -> Vec<u8> {
        let (entry, envelope) = &self.entries[at];
        let key = Ed25519PublicKey::from_bytes(entry.claim().verifier()).expect("a key");
        let receipt = Receipt::signed(entry.claim().did(), key, envelope.clone().expect("an envelope"));
        let receipt =
            receipt.and_then(|receipt| receipt.logged(entry.clone(), self.proof(at, true, true), None));
        receipt.expect("a receipt").to_json().into_bytes()
    }

    fn list(&self, query: &str) -> Vec<u8> {
        let hex = query.split("sha256:").nth(1).expect("a digest").split('&').next().expect("a digest");
        let digest = Hash::from_hex(hex).expect("hex");
        let is_about = |entry: &DsseEntry| {
            entry.claim().listing().is_some_and(|listing| listing.subjects.contains(&digest))
        };
        let entries = self
            .entries
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, (entry, _))| self.lists_anyway || is_about(entry));
        let mut entries: Vec<Value> = entries
            .map(|(index, (entry, _))| json!({"index": index, "leaf": base64(&entry.to_bytes())}))
            .collect();
        if self.lists_anyway {
            entries.push(json!({"index": 99, "leaf": base64(b"junk")}));
        }
        json!({"treeSize": self.entries.len(), "entries": entries, "next": null}).to_string().into_bytes()
    }

    /// A tile that the tree implies; of a partial one only the newest width is kept.
    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let (tile, resource) = Tile::parse(path)?;
        if self.immense.is_some() {
            let mut bundle = Vec::new();
            return Some(match resource {
                Resource::Hashes => equal_leaves(tile.level() * 8).as_bytes().repeat(tile.width().into()),
                Resource::Entries => {
                    (0..tile.width()).for_each(|_| tlog::bundle::push(&mut bundle, &LONGEST_LEAF));
                    bundle
                }
            });
        }
        if resource == Resource::Entries {
            return None;
        }
        let leaves = self.leaves().0;
        let hashes = hashes_at(tile.level(), TreeSize::new(leaves.len() as u64));
        let start = tile.index() * TILE_WIDTH;
        if !tile.is_in(TreeSize::new(leaves.len() as u64)) || !tile.is_full() && hashes >= start + TILE_WIDTH
        {
            return None;
        }
        match self.tiles {
            Tiles::Served => {}
            Tiles::Wrong => return Some(vec![7; usize::from(tile.width()) * Hash::BYTES]),
            Tiles::Forgotten => return None,
        }
        let leaves_a_hash = 256_usize.pow(tile.level().into());
        let hashes = leaves.chunks_exact(leaves_a_hash).skip(start as usize).take(tile.width().into());
        Some(hashes.flat_map(|hashes| *root_of(hashes).as_bytes()).collect())
    }

    fn leaves(&self) -> Leaves {
        let entries = self.entries.iter().map(|(entry, _)| leaf_hash(&entry.to_bytes()));
        Leaves(entries.chain(self.others.iter().copied()).collect())
    }

    fn proof(&self, at: usize, is_signed: bool, is_cosigned: bool) -> TlogProof {
        let size = TreeSize::new(self.entries.len() as u64);
        let index = LeafIndex::new(at as u64);
        let Ok(hashes) = inclusion::prove(&self.leaves(), index, size);
        TlogProof { extra: None, index, hashes, checkpoint: self.checkpoint(is_signed, is_cosigned) }
    }

    fn checkpoint(&self, is_signed: bool, is_cosigned: bool) -> Note {
        let mut leaves = self.leaves().0;
        leaves.truncate(self.shown.unwrap_or(usize::MAX));
        let mut checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(leaves.len() as u64), root_of(&leaves));
        if let Some(height) = self.immense {
            checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(1 << height), equal_leaves(height));
        }
        let other = SignerKey::from_seed(KeyName::new("other").expect("a name"), KeyType::Ed25519, &[1; 32]);
        let mut note = checkpoint.sign(if is_signed { &self.key } else { &other });
        if is_cosigned && !self.witness_is_down {
            let line = cosignature::cosign(&witness_key(), &checkpoint, UnixTime::from_secs(1_790_000_001));
            note.add(line.expect("a cosignature"));
        }
        note
    }
}

/// The root of 2^`height` equal leaves.
fn equal_leaves(height: u8) -> Hash {
    (0..height).fold(leaf_hash(&LONGEST_LEAF), |below, _| node_hash(&below, &below))
}

static LONGEST_LEAF: [u8; tlog::bundle::MAX_ENTRY_BYTES] = [0; tlog::bundle::MAX_ENTRY_BYTES];

struct Leaves(Vec<Hash>);

impl HashReader for Leaves {
    type Error = std::convert::Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
        let hash = |node: &Node| {
            let width = 1 << node.level;
            let start = node.index as usize * width;
            root_of(&self.0[start..start + width])
        };
        Ok(nodes.iter().map(hash).collect())
    }
}

/// Zeros until the other side hangs up: plain, or as gzip of which one byte unpacks to more than a hundred.
fn endless(stream: &mut TcpStream, gzip: bool) {
    let encoding = if gzip { "Content-Encoding: gzip\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 x\r\nConnection: close\r\n{encoding}\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let (start, more) = if gzip { gzip_of_zeros() } else { (Vec::new(), vec![0; 65_536]) };
    let mut sent = stream.write_all(&start);
    while sent.is_ok() {
        sent = stream.write_all(&more);
    }
}

/// Deflate with fixed codes (RFC 1951 §3.2.6): a literal zero, then "258 bytes from one byte back" for ever.
/// The start, and eight such copies, which end on a byte.
fn gzip_of_zeros() -> (Vec<u8>, Vec<u8>) {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    // Not the last block, fixed codes; the literal 0.
    let mut bits: Vec<bool> = vec![false, true, false];
    bits.extend([false, false, true, true, false, false, false, false]);
    let copy = [true, true, false, false, false, true, false, true, false, false, false, false, false];
    let pack = |bits: &[bool]| -> Vec<u8> {
        bits.chunks(8)
            .map(|byte| byte.iter().zip(0..).map(|(bit, at)| u8::from(*bit) << at).sum::<u8>())
            .collect()
    };
    // 11 + 13 n bits end on a byte for n = 1.
    bits.extend(copy);
    assert_eq!(bits.len() % 8, 0);
    let more = pack(&copy.repeat(8)).repeat(1000);
    ([&header[..], &pack(&bits)].concat(), more)
}
