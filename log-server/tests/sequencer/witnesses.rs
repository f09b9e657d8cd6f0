//! S30: witnesses over HTTP, one that keeps the protocol, and others that do anything else.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use log_server::cosign::witnesses::Witnesses;
use log_server::cosign::{Answer, Ask, Cosigners, Gathering, Outcome};
use log_server::view::View;
use tlog::add_checkpoint::{AddCheckpoint, SIZE_MEDIA_TYPE};
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::merkle::{consistency, empty_root};
use tlog::policy::Policy;
use tlog::{Hash, TreeSize, UnixTime};

use super::{Bench, ORIGIN, key, round};

/// How a witness behaves.
#[derive(Clone, Default)]
enum Manner {
    /// As the specification says.
    #[default]
    Honest,
    /// Never answers.
    Hangs,
    /// This status, type and body, whatever it is asked.
    Says(StatusCode, &'static str, String),
    /// Says that it has seen so many entries, and shows this.
    HasSeen(u64, String),
    /// As `HasSeen`, after thinking for so long.
    Thinks(Duration, u64, String),
    /// A correction a time, each after thinking for so long.
    Dawdles(Duration),
}

#[derive(Clone, Default)]
struct Witness {
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Option<(TreeSize, Hash)>>>,
    requests: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
}

impl Witness {
    fn behaving(manner: Manner) -> Self {
        Self { manner: Arc::new(Mutex::new(manner)), ..Self::default() }
    }

    /// Serves on a port of its own; its URL.
    fn serve(&self, runtime: &tokio::runtime::Runtime) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{origin}/checkpoint", get(shown))
            .with_state(self.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("the fake serves");
        });
        url
    }

    fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("nobody panicked") = manner;
    }
}

async fn add_checkpoint(State(witness): State<Witness>, body: axum::body::Bytes) -> Response {
    witness.requests.fetch_add(1, Ordering::SeqCst);
    let manner = witness.manner.lock().expect("nobody panicked").clone();
    match manner {
        Manner::Honest => honest(&witness, &body),
        Manner::Hangs => {
            witness.at_once.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
        Manner::Says(status, kind, body) => (status, [(header::CONTENT_TYPE, kind)], body).into_response(),
        Manner::HasSeen(size, _) => conflict(TreeSize::new(size)),
        Manner::Thinks(time, size, _) => {
            tokio::time::sleep(time).await;
            conflict(TreeSize::new(size))
        }
        Manner::Dawdles(time) => {
            tokio::time::sleep(time).await;
            conflict(TreeSize::EMPTY)
        }
    }
}

fn honest(witness: &Witness, body: &[u8]) -> Response {
    let ask = AddCheckpoint::parse(body).expect("a log sends what can be read");
    let checkpoint = Checkpoint::parse(ask.checkpoint.text()).expect("a checkpoint");
    ask.checkpoint.verify(&[key().verifier().clone()]).expect("signed by the log");
    let mut seen = witness.seen.lock().expect("nobody panicked");
    let (size, root) = seen.unwrap_or((TreeSize::EMPTY, empty_root()));
    if ask.old != size {
        return conflict(size);
    }
    consistency::verify(size, checkpoint.size, &ask.proof, &root, &checkpoint.root).expect("a proof");
    *seen = Some((checkpoint.size, checkpoint.root));
    let line = cosign(&signer(1), &checkpoint, UnixTime::from_secs(5)).expect("a line");
    format!("{line}\n").into_response()
}

fn conflict(size: TreeSize) -> Response {
    (StatusCode::CONFLICT, [(header::CONTENT_TYPE, SIZE_MEDIA_TYPE)], format!("{size}\n")).into_response()
}

/// The URL of a witness that sends one byte of a body every so often, as long as anybody listens.
fn drips(pause: Duration) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        // An answer before the question would be no HTTP.
        let asked = stream.read(&mut [0; 4096]).expect("a request");
        assert_ne!(asked, 0, "a request");
        let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx";
        while stream.write_all(bytes).is_ok() {
            bytes = b"x";
            std::thread::sleep(pause);
        }
    });
    url
}

async fn shown(State(witness): State<Witness>) -> Response {
    match &*witness.manner.lock().expect("nobody panicked") {
        Manner::HasSeen(_, note) | Manner::Thinks(_, _, note) => note.clone().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn signer(number: u8) -> SignerKey {
    let name = KeyName::new(&format!("w{number}.example")).expect("a name");
    SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[10 + number; 32])
}

/// A policy with these witnesses, of which any suffices.
fn policy(urls: &[String]) -> Policy {
    let witness =
        |(url, number): (&String, u8)| format!("witness w{number} {} {url}\n", signer(number).verifier());
    let witnesses: String = urls.iter().zip(1..).map(witness).collect();
    format!("log {}\n{witnesses}quorum w1\n", key().verifier()).parse().expect("a policy")
}

/// Trees of one log, to ask about.
struct Trees {
    bench: Bench,
    next: u64,
}

impl Trees {
    fn new() -> Self {
        Self { bench: Bench::new(), next: 0 }
    }

    /// The tree with `entries` more.
    fn grow(&mut self, entries: u64) -> Ask {
        let mut sequencer = self.bench.open().expect("a log");
        round(&mut sequencer, &(self.next..self.next + entries).collect::<Vec<_>>()).0.expect("a round");
        self.next += entries;
        let published = sequencer.published().borrow().clone();
        let view = View::new(self.bench.engine(), sequencer.tiles(), published.clone());
        Ask { note: published.note.clone(), view }
    }
}

const TIMEOUT: Duration = Duration::from_millis(500);

/// Waits for the next answer.
fn answer(witnesses: &mut Witnesses) -> Answer {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = witnesses.answers().into_iter().next() {
            return answer;
        }
        assert!(Instant::now() < until, "no answer came");
        std::thread::yield_now();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

#[test]
fn an_honest_witness_is_asked_from_where_it_stands() {
    let runtime = runtime();
    let witness = Witness::default();
    let policy = Arc::new(policy(&[witness.serve(&runtime)]));
    let mut trees = Trees::new();
    let first = trees.grow(300);
    let mut witnesses = Witnesses::start(&policy, TIMEOUT, || ()).expect("threads");
    for (ask, requests) in [(first.clone(), 1), (first, 2), (trees.grow(1), 3), (trees.grow(700), 4)] {
        witnesses.ask(ask.clone());
        let Answer { size, root, outcome, .. } = answer(&mut witnesses);
        let checkpoint = &ask.view.published().checkpoint;
        assert_eq!((size, root), (checkpoint.size, checkpoint.root));
        let Outcome::Cosigned(lines) = outcome else { panic!("{outcome:?}") };
        let mut gathering = Gathering::new(policy.clone(), &[key().verifier().clone()], &ask.note);
        lines.into_iter().for_each(|line| drop(gathering.offer(line).expect("it counts")));
        assert!(gathering.is_met());
        assert_eq!(witness.requests.load(Ordering::SeqCst), requests, "what it has is remembered");
    }
    // A log that was started again knows nothing, and learns it from one answer 409.
    let mut witnesses = Witnesses::start(&policy, TIMEOUT, || ()).expect("threads");
    let answers = log_core::port::ready(witnesses.survey(trees.grow(1)));
    let [Answer { outcome: Outcome::Cosigned(_), named, .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(*named, Some(TreeSize::new(1_001)), "what it says that it has seen is told");
    assert_eq!(witness.requests.load(Ordering::SeqCst), 6);
}

#[test]
fn whatever_else_a_witness_says_is_a_failure_and_it_is_asked_again() {
    let runtime = runtime();
    let witness = Witness::default();
    let policy = policy(&[witness.serve(&runtime)]);
    let mut trees = Trees::new();
    let text = "text/plain";
    for (manner, want) in [
        (Manner::Says(StatusCode::OK, text, String::new()), "no signature lines"),
        (Manner::Says(StatusCode::OK, text, "nonsense\n".into()), "no signature lines"),
        (Manner::Says(StatusCode::OK, text, "x".repeat(10 << 20)), "more than 131072 bytes"),
        (
            Manner::Says(StatusCode::FORBIDDEN, text, "who\x1b[31m are you".into()),
            "403 Forbidden: `who\\u{1b}",
        ),
        (Manner::Says(StatusCode::NOT_FOUND, text, "no log".into()), "404 Not Found: `no log`"),
        (Manner::Says(StatusCode::TOO_MANY_REQUESTS, text, String::new()), "429"),
        (Manner::Says(StatusCode::INTERNAL_SERVER_ERROR, text, String::new()), "500"),
        (Manner::Says(StatusCode::FOUND, text, String::new()), "302"),
        (Manner::Says(StatusCode::CONFLICT, SIZE_MEDIA_TYPE, "07\n".into()), "names no size"),
        (Manner::Says(StatusCode::CONFLICT, SIZE_MEDIA_TYPE, "0\n".into()), "changing its mind"),
        (Manner::Hangs, "does not answer in time"),
    ] {
        witness.behave(manner);
        let mut witnesses = Witnesses::start(&policy, TIMEOUT, || ()).expect("threads");
        witnesses.ask(trees.grow(1));
        let Outcome::Failed(reason) = answer(&mut witnesses).outcome else { panic!("{want}") };
        assert!(reason.contains(want), "{reason}: {want}");
        witness.behave(Manner::Honest);
        while !matches!(answer(&mut witnesses).outcome, Outcome::Cosigned(_)) {}
    }
}

#[test]
fn an_objection_brings_what_the_witness_shows() {
    let runtime = runtime();
    let witness = Witness::default();
    let policy = policy(&[witness.serve(&runtime)]);
    let mut trees = Trees::new();
    let larger = Checkpoint::new(ORIGIN, TreeSize::new(99), Hash::of(b"larger")).sign(&key());
    let text = "text/plain";
    for (manner, words, shows) in [
        (Manner::HasSeen(99, larger.to_string()), "has seen 99 entries", true),
        (Manner::HasSeen(99, "nonsense".into()), "has seen 99 entries", false),
        (Manner::HasSeen(99, format!("{larger}{}", "x".repeat(1 << 20))), "has seen 99 entries", false),
        (Manner::Says(StatusCode::UNPROCESSABLE_ENTITY, text, "no".into()), "422", false),
        (Manner::Says(StatusCode::CONFLICT, text, String::new()), "409", false),
    ] {
        witness.behave(manner);
        let mut witnesses = Witnesses::start(&policy, TIMEOUT, || ()).expect("threads");
        let answers = log_core::port::ready(witnesses.survey(trees.grow(1)));
        let [Answer { outcome: Outcome::Objects { reason, shown }, .. }] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(*shown, shows.then(|| larger.clone()));
    }
}

#[test]
fn one_that_hangs_delays_no_other_and_has_one_request_under_way() {
    let runtime = runtime();
    let (honest, hangs) = (Witness::default(), Witness::behaving(Manner::Hangs));
    let policy = policy(&[honest.serve(&runtime), hangs.serve(&runtime)]);
    let mut trees = Trees::new();
    let mut witnesses = Witnesses::start(&policy, Duration::from_secs(60), || ()).expect("threads");
    for _ in 0..20 {
        witnesses.ask(trees.grow(1));
        let Answer { witness, outcome, .. } = answer(&mut witnesses);
        assert_eq!(witness, "w1");
        assert!(matches!(outcome, Outcome::Cosigned(_)), "{outcome:?}");
    }
    assert_eq!(hangs.at_once.load(Ordering::SeqCst), 1);
    // Dropped, it would wait for the request that hangs.
    std::mem::forget(witnesses);
}

/// Before the first signature every witness that can be reached is heard, whoever else fails how often.
#[test]
fn one_that_fails_at_once_does_not_answer_for_one_that_thinks() {
    let runtime = runtime();
    let larger = Checkpoint::new(ORIGIN, TreeSize::new(99), Hash::of(b"larger")).sign(&key());
    let thinks = Manner::Thinks(Duration::from_secs(1), 99, larger.to_string());
    let down = Manner::Says(StatusCode::BAD_GATEWAY, "text/plain", String::new());
    let urls = [down, thinks].map(|manner| Witness::behaving(manner).serve(&runtime));
    let mut witnesses = Witnesses::start(&policy(&urls), Duration::from_secs(10), || ()).expect("threads");
    let answers = log_core::port::ready(witnesses.survey(Trees::new().grow(1)));
    let objects = answers.iter().find(|answer| answer.witness == "w2").expect("it was waited for");
    assert!(matches!(&objects.outcome, Outcome::Objects { shown: Some(shown), .. } if *shown == larger));
}

/// A deadline is one for the whole ask: not for each byte of a body, nor for each correction.
#[test]
fn one_that_is_slow_in_small_steps_is_given_up_at_the_deadline() {
    let runtime = runtime();
    let pause = TIMEOUT / 2;
    for url in [drips(pause), Witness::behaving(Manner::Dawdles(pause)).serve(&runtime)] {
        let policy = policy(&[url]);
        let mut witnesses = Witnesses::start(&policy, TIMEOUT, || ()).expect("threads");
        let start = Instant::now();
        witnesses.ask(Trees::new().grow(1));
        let Outcome::Failed(reason) = answer(&mut witnesses).outcome else { panic!("it did not answer") };
        assert_eq!(reason, "it does not answer in time");
        assert!(start.elapsed() < TIMEOUT * 3, "{:?}", start.elapsed());
        // And a stop does not wait for it.
        let start = Instant::now();
        drop(witnesses);
        assert!(start.elapsed() < TIMEOUT * 3, "{:?}", start.elapsed());
    }
}

/// Two keys of one witness are asked once, however its URL is written.
#[test]
fn one_url_is_one_witness() {
    let runtime = runtime();
    let witness = Witness::default();
    let url = witness.serve(&runtime);
    let policy = policy(&[url.clone(), format!("{url}/")]);
    let mut witnesses = Witnesses::start(&policy, TIMEOUT, || ()).expect("threads");
    let answers = log_core::port::ready(witnesses.survey(Trees::new().grow(1)));
    assert!(matches!(&answers[..], [Answer { witness, .. }] if witness == "w1"), "{answers:?}");
}
