//! A log in memory that can lie.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use attestation::dsse::Envelope;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::statement::{Statement, Subject};
use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tlog::cosignature::cosign;
use tlog::key::{Ed25519PrivateKey, KeyName, KeyType, SignerKey, VerifierKey};
use tlog::merkle::{self, inclusion, leaf_hash};
use tlog::note::Note;
use tlog::tile::{Edge, Resource, Tile, TileHashReader};
use tlog::{LeafIndex, TreeSize, UnixTime, bundle};

use super::*;

pub(super) const ORIGIN: &str = "log.example.com/pipelines";

/// A log that holds its key and serves on a port of its own until it is dropped.
pub(super) struct FakeLog {
    served: Arc<Mutex<Served>>,
    key: SignerKey,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Default)]
struct Served {
    leaves: Vec<Vec<u8>>,
    edge: Edge,
    full: HashMap<Tile, Vec<Hash>>,
    checkpoint: Option<String>,
    /// What is served instead of the truth.
    instead: HashMap<String, Lie>,
    gone: HashSet<String>,
    envelopes: HashMap<Hash, Option<String>>,
    hits: Vec<String>,
}

#[derive(Clone)]
enum Lie {
    Bytes(Vec<u8>),
    Answer(fn() -> Response),
}

impl FakeLog {
    /// The key of the log of this number: every log has the same name.
    pub(super) fn key(number: u8) -> SignerKey {
        SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[number; 32])
    }

    /// An empty log with the key of this number.
    pub(super) fn start(number: u8) -> Self {
        let served = Arc::new(Mutex::new(Served::default()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = served.clone();
        let answer = move |uri: Uri| {
            let state = state.clone();
            async move { locked(&state).answer(uri.path().trim_start_matches('/')) }
        };
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { served, key: Self::key(number), address, runtime: Some(runtime) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn vkey(&self) -> VerifierKey {
        self.key.verifier().clone()
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        locked(&self.served)
    }

    pub(super) fn size(&self) -> u64 {
        self.served().leaves.len() as u64
    }

    /// Appends a leaf.
    pub(super) fn push(&self, leaf: Vec<u8>) {
        let mut served = self.served();
        let served = &mut *served;
        served.edge.append(leaf_hash(&leaf), |tile, hashes| {
            served.full.insert(tile, hashes.to_vec());
        });
        served.leaves.push(leaf);
    }

    /// Appends leaves that cost nothing to make, up to a size. Another `tail` makes another tree.
    pub(super) fn grow_to_as(&self, size: u64, tail: &str) {
        for i in self.size()..size {
            let spec = format!(r#"{{"n":"{i}{tail}"}}"#);
            self.push(
                format!(r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{spec}}}"#).into_bytes(),
            );
        }
    }

    pub(super) fn grow_to(&self, size: u64) {
        self.grow_to_as(size, "");
    }

    /// Publishes a checkpoint of all leaves.
    pub(super) fn publish(&self) {
        let note = self.note_at(self.size());
        self.served().checkpoint = Some(note);
    }

    /// Publishes it with a cosignature.
    pub(super) fn publish_cosigned(&self, witness: &SignerKey, seconds: u64) {
        let note = cosigned(&self.note_at(self.size()), witness, seconds);
        self.served().checkpoint = Some(note);
    }

    /// What is published.
    pub(super) fn note(&self) -> String {
        self.served().checkpoint.clone().expect("a checkpoint was published")
    }

    /// A signed checkpoint of the first `size` leaves.
    pub(super) fn note_at(&self, size: u64) -> String {
        let root = self.root(size);
        Checkpoint::new(ORIGIN, TreeSize::new(size), root).sign(&self.key).to_string()
    }

    pub(super) fn root(&self, size: u64) -> Hash {
        let served = self.served();
        let whole = TreeSize::new(served.leaves.len() as u64);
        let reader = TileHashReader::new(whole, |tile| served.hashes(tile).ok_or(()));
        merkle::root(&reader, TreeSize::new(size)).expect("a tree with its tiles")
    }

    /// The inclusion proof of a leaf in the tree of all leaves.
    pub(super) fn proof(&self, index: LeafIndex) -> Vec<Hash> {
        let served = self.served();
        let whole = TreeSize::new(served.leaves.len() as u64);
        let reader = TileHashReader::new(whole, |tile| served.hashes(tile).ok_or(()));
        inclusion::prove(&reader, index, whole).expect("a tree with its tiles")
    }

    /// The true bytes at a path.
    pub(super) fn truth(&self, path: &str) -> Vec<u8> {
        self.served().truth(path).unwrap_or_else(|| panic!("no {path}"))
    }

    /// Serves other bytes at a path.
    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.served().instead.insert(path.to_owned(), Lie::Bytes(bytes));
    }

    /// Serves another answer at a path.
    pub(super) fn answer(&self, path: &str, answer: fn() -> Response) {
        self.served().instead.insert(path.to_owned(), Lie::Answer(answer));
    }

    /// Serves nothing at a path.
    pub(super) fn forget(&self, path: &str) {
        self.served().gone.insert(path.to_owned());
    }

    /// Serves the truth again.
    pub(super) fn restore(&self) {
        let mut served = self.served();
        served.instead.clear();
        served.gone.clear();
    }

    /// Serves what a witness at this URL would show.
    pub(super) fn put_witnessed(&self, note: String) {
        self.put(&format!("{}/checkpoint", Hash::of(ORIGIN.as_bytes())), note.into_bytes());
    }

    /// Keeps an envelope; `None` for one that was erased.
    pub(super) fn put_envelope(&self, hash: Hash, envelope: Option<String>) {
        self.served().envelopes.insert(hash, envelope);
    }

    /// What was asked for since the last time.
    pub(super) fn hits(&self) -> Vec<String> {
        std::mem::take(&mut self.served().hits)
    }
}

impl Drop for FakeLog {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Served {
    fn answer(&mut self, path: &str) -> Response {
        self.hits.push(path.to_owned());
        if self.gone.contains(path) {
            return StatusCode::NOT_FOUND.into_response();
        }
        match self.instead.get(path) {
            Some(Lie::Bytes(bytes)) => return Body::from(bytes.clone()).into_response(),
            Some(Lie::Answer(answer)) => return answer(),
            None => (),
        }
        if let Some(hash) = path.strip_prefix("api/v1/envelopes/").and_then(Hash::from_hex) {
            return match self.envelopes.get(&hash) {
                Some(Some(envelope)) => envelope.clone().into_response(),
                Some(None) => StatusCode::GONE.into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            };
        }
        self.truth(path).map_or_else(|| StatusCode::NOT_FOUND.into_response(), |bytes| bytes.into_response())
    }

    fn truth(&self, path: &str) -> Option<Vec<u8>> {
        if path == "checkpoint" {
            return self.checkpoint.clone().map(String::into_bytes);
        }
        match Tile::parse(path)? {
            (tile, Resource::Hashes) => {
                Some(self.hashes(tile)?.iter().flat_map(|hash| *hash.as_bytes()).collect())
            }
            (tile, Resource::Entries) => {
                let start = tile.index() as usize * 256;
                let leaves = self.leaves.get(start..start + usize::from(tile.width()))?;
                let mut bytes = Vec::new();
                leaves.iter().for_each(|leaf| bundle::push(&mut bytes, leaf));
                Some(bytes)
            }
        }
    }

    fn hashes(&self, tile: Tile) -> Option<Vec<Hash>> {
        let size = TreeSize::new(self.leaves.len() as u64);
        if !tile.is_in(size) {
            return None;
        }
        let all = self.full.get(&tile.full()).map_or_else(|| self.edge.level(tile.level()), Vec::as_slice);
        Some(all[..usize::from(tile.width())].to_vec())
    }
}

fn locked(served: &Mutex<Served>) -> MutexGuard<'_, Served> {
    served.lock().expect("nobody panicked with it")
}

/// The witness of this number.
pub(super) fn witness(number: u8) -> SignerKey {
    let name = KeyName::new(&format!("w{number}.example.com")).expect("a name");
    SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[100 + number; 32])
}

/// A note with a witness's cosignature.
pub(super) fn cosigned(note: &str, witness: &SignerKey, seconds: u64) -> String {
    let mut note = Note::parse(note.as_bytes()).expect("a note");
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    note.add(cosign(witness, &checkpoint, UnixTime::from_secs(seconds)).expect("a cosignature"));
    note.to_string()
}

/// The key of the pipeline of this number.
pub(super) fn pipeline(number: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[200 + number; 32])
}

pub(super) fn did(number: u8) -> Did {
    Did::of(&pipeline(number).public_key())
}

/// A signed statement, and its claim in the name of `did`.
pub(super) fn signed(number: u8, did: Did, about: u64, visibility: Visibility) -> (Envelope, PendingEntry) {
    let subject = Subject::new("artifact", Hash::of(&about.to_be_bytes()));
    let statement = Statement::new(vec![subject], "https://example.com/t", serde_json::Map::new());
    let statement = statement.expect("a statement");
    let key = pipeline(number);
    let envelope = Envelope::sign(&key, statement.to_payload());
    let claim =
        Claim::new(&envelope, &statement, did, &key.public_key(), ORIGIN, visibility).expect("a claim");
    (envelope, PendingEntry::sign(claim, &key).expect("an entry"))
}

/// A good leaf by the pipeline of this number.
pub(super) fn leaf(number: u8, about: u64, logged_at: u64) -> Vec<u8> {
    signed(number, did(number), about, Visibility::Public).1.to_leaf(time(logged_at))
}
