//! A witness in memory, logs that it knows, and a clock that tests set.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use service::addresses::{AddressBudget, Proxies};
use service::bodies::Bodies;
pub(crate) use testkit::keys::signer;
use testkit::tree::Tree;
use tlog::add_checkpoint::AddCheckpoint;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{KeyType, PublicKey, SignerKey, VerifierKey};
use tlog::note::{Note, NoteSignature};
use tlog::{Hash, TreeSize, UnixTime};
use tower::ServiceExt as _;
use witness::clock::{Clock, Reading};
use witness::config::Settings;
use witness::cosigner::Cosigner;
use witness::http::{self, App};
use witness::keys::Keys;
use witness::log_list::Stanza;
use witness::logs::Logs;
use witness::metrics;
use witness::state::State;
use witness::store::Store;
use witness::store::memory::MemoryStore;

pub(crate) const NAME: &str = "witness.example/w1";
pub(crate) const START: u64 = 1_790_000_000;

/// A log with a tree and keys.
pub(crate) struct Log {
    pub(crate) origin: String,
    pub(crate) keys: Vec<SignerKey>,
    pub(crate) tree: Tree,
}

impl Log {
    /// An Ed25519 log with a tree of so many entries.
    pub(crate) fn new(origin: &str, size: u64) -> Self {
        let seed = Hash::of(origin.as_bytes()).as_bytes()[0];
        let keys = vec![signer(origin, KeyType::Ed25519, seed)];
        Self { origin: origin.to_owned(), keys, tree: Tree::new(size) }
    }

    /// The same log to other eyes: other entries from `at` on.
    pub(crate) fn forked(&self, at: u64, size: u64) -> Self {
        let keys = self.keys.iter().map(|key| key.to_skey().parse().expect("an skey")).collect();
        Self { origin: self.origin.clone(), keys, tree: Tree::forked(size, "another", at) }
    }

    pub(crate) fn stanzas(&self) -> Vec<Stanza> {
        let stanza = |key: &SignerKey| Stanza {
            vkey: key.verifier().clone(),
            origin: self.origin.clone(),
            qpd: None,
            contact: None,
        };
        self.keys.iter().map(stanza).collect()
    }

    pub(crate) fn checkpoint(&self, size: u64) -> Checkpoint {
        self.tree.checkpoint(&self.origin, size)
    }

    /// The checkpoint, signed by all keys.
    pub(crate) fn note(&self, size: u64) -> Note {
        self.sign(&self.checkpoint(size))
    }

    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> Note {
        let mut note = Note::unsigned(checkpoint.to_string());
        for key in &self.keys {
            match key.verifier().key() {
                PublicKey::Ed25519(_) => note.sign(key),
                _ => note.add(cosign(key, checkpoint, UnixTime::from_secs(START)).expect("a signature")),
            }
        }
        note
    }

    /// The request that asks for `size` after `old`, with the proof of this tree.
    pub(crate) fn request(&self, old: u64, size: u64) -> String {
        let proof = if old <= size { self.tree.consistency(old, size) } else { Vec::new() };
        body(old, proof, self.note(size))
    }
}

/// A request body.
pub(crate) fn body(old: u64, proof: Vec<Hash>, checkpoint: Note) -> String {
    AddCheckpoint { old: TreeSize::new(old), proof, checkpoint }.to_string()
}

/// A witness without a socket.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    router: Router,
    /// The wall clock, Unix seconds.
    pub(crate) wall: Arc<AtomicU64>,
    /// The steady one, seconds since the start. It stands still unless a test moves it.
    pub(crate) steady: Arc<AtomicU64>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The signature lines.
    pub(crate) fn lines(&self) -> Vec<NoteSignature> {
        assert_eq!(self.status, 200, "{}", self.text);
        assert!(self.text.ends_with('\n'));
        self.text.lines().map(|line| NoteSignature::parse(line).expect("a signature line")).collect()
    }
}

/// Both kinds of key.
pub(crate) fn both_keys() -> Vec<SignerKey> {
    [KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature].map(|kind| signer(NAME, kind, 200)).into()
}

/// The logs of these stanzas.
pub(crate) fn logs_of(stanzas: &[Stanza]) -> Logs {
    Logs::new(stanzas, &[], &[], &Logs::default()).expect("logs")
}

impl World {
    /// A witness with both kinds of key and nothing seen.
    pub(crate) fn new(logs: &[&Log]) -> Self {
        Self::with(Arc::new(MemoryStore::default()), both_keys(), logs)
    }

    /// A witness over a store.
    pub(crate) fn with(store: Arc<dyn Store>, keys: Vec<SignerKey>, logs: &[&Log]) -> Self {
        Self::limited(store, keys, logs, 0)
    }

    /// A witness that answers an address so many times a minute.
    pub(crate) fn limited(
        store: Arc<dyn Store>,
        keys: Vec<SignerKey>,
        logs: &[&Log],
        per_minute: u32,
    ) -> Self {
        let (state, _) = State::open(store, |_| ()).expect("a state");
        Self::of(state, keys, logs, per_minute)
    }

    /// A witness with this state.
    pub(crate) fn of(state: State, keys: Vec<SignerKey>, logs: &[&Log], per_minute: u32) -> Self {
        let (wall, steady) = (Arc::new(AtomicU64::new(START)), Arc::new(AtomicU64::new(0)));
        let name = keys[0].verifier().name().clone();
        let read = {
            let (wall, steady) = (wall.clone(), steady.clone());
            move || Reading {
                wall: UnixTime::from_secs(wall.load(Ordering::SeqCst)),
                steady: Duration::from_secs(steady.load(Ordering::SeqCst)),
            }
        };
        let stanzas: Vec<Stanza> = logs.iter().flat_map(|log| log.stanzas()).collect();
        let keys = Keys::new(&name, keys).expect("keys");
        let cosigner = Cosigner::new(keys, state, Clock::new(Box::new(read), false), logs_of(&stanzas));
        let app = Arc::new(App {
            cosigner: Arc::new(cosigner),
            url: Some("https://witness.example".into()),
            proxies: Proxies::default(),
            addresses: AddressBudget::new(per_minute),
            bodies: Bodies::new(Settings::default().body_limits()),
            connections: Settings::default().connection_limits(|wanted| wanted).shares(),
            operator_port: false,
            disk_low: AtomicBool::new(false),
            metrics: metrics::install(),
        });
        let peer = MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1)));
        Self { router: http::router(app.clone()).layer(peer), app, wall, steady }
    }

    /// Lets time go by on both clocks.
    pub(crate) fn pass(&self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.steady.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The answer, before its body is read.
    pub(crate) async fn answer(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.expect("infallible")
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.answer(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(Request::post(path).body(body.into()).expect("a request")).await
    }

    pub(crate) async fn add(&self, body: impl Into<Body>) -> Answer {
        self.post("/add-checkpoint", body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// What monitors see of a log.
    pub(crate) async fn seen(&self, log: &Log) -> Answer {
        self.get(&format!("/{}/checkpoint", Hash::of(log.origin.as_bytes()))).await
    }

    /// The size that is kept of a log.
    pub(crate) fn size(&self, log: &Log) -> Option<u64> {
        let kept = self.app.cosigner.state.cosigned(&Hash::of(log.origin.as_bytes()));
        kept.map(|kept| kept.seen.size.get())
    }

    pub(crate) fn vkeys(&self) -> &[VerifierKey] {
        self.app.cosigner.keys.verifiers()
    }

    /// The times of the cosignatures in an answer, each verified over the log's note of `size`.
    pub(crate) fn verified_times(&self, answer: &Answer, log: &Log, size: u64) -> Vec<u64> {
        let mut note = log.note(size);
        answer.lines().into_iter().for_each(|line| note.add(line));
        let signed = note.verify(self.vkeys()).expect("every line of ours verifies");
        assert_eq!(signed.len(), self.vkeys().len());
        signed.iter().map(|signed| signed.time.expect("a cosignature has a time").as_secs()).collect()
    }
}
