//! The protocol, rule by rule (WIT). The decision table itself is tested beside `decide`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use hyper::body::Frame;
use serde_json::Value;
use tlog::Hash;
use tlog::UnixTime;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::{Subtree, verify_subtree};
use tlog::key::KeyType;
use tlog::note::{Note, NoteSignature};
use tlog::sign_subtree::SignSubtree;
use witness::http::MAX_BODY_BYTES;
use witness::log_list::Stanza;
use witness::store::memory::MemoryStore;
use witness::store::{Batch, Column, Store, StoreError, Visit};

use crate::world::{Log, NAME, START, World, body, both_keys, logs_of, signer};

const ORIGIN: &str = "log.example/a";

#[tokio::test]
async fn wit_2_wit_3_wit_4_a_size_that_is_out_of_date_is_answered_by_the_right_one() {
    let log = Log::new(ORIGIN, 20);
    let world = World::new(&[&log]);
    // WIT-4: not even a valid proof makes a first contact from another size.
    let first = world.add(log.request(5, 9)).await;
    assert_eq!((first.status, first.text.as_str()), (409, "0\n"));
    // WIT-3: on a new log, 0 is right.
    assert_eq!(world.add(log.request(0, 9)).await.status, 200);
    for (old, size) in [(0, 9), (0, 20), (8, 9), (8, 20), (10, 20), (5, 8)] {
        let late = world.add(log.request(old, size)).await;
        assert_eq!((late.status, late.text.as_str()), (409, "9\n"), "{old} {size}");
        assert_eq!(late.header(header::CONTENT_TYPE), "text/x.tlog.size");
    }
    assert_eq!(world.add(log.request(9, 20)).await.status, 200);
    assert_eq!(world.size(&log), Some(20));
}

#[tokio::test]
async fn wit_8_the_answer_holds_our_lines_only_and_verifies_on_the_submitted_note() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    let answer = world.add(log.request(0, 9)).await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    assert_eq!(world.verified_times(&answer, &log, 9), [START, START]);
    assert!(answer.lines().iter().zip(world.vkeys()).all(|(line, key)| line.is_by(key)));
}

/// WIT-9: what we did not verify is nowhere: not in the answer, not in what is kept, also when it stands under our
/// own name and id; and it does not stop what comes after it.
#[tokio::test]
async fn wit_9_forged_and_unknown_lines_are_neither_stored_nor_echoed() {
    let log = Log::new(ORIGIN, 20);
    let world = World::new(&[&log]);
    let stranger = signer("stranger.example", KeyType::Ed25519, 7);
    for (old, size) in [(0, 0), (0, 9), (9, 9), (9, 20)] {
        let mut note = log.note(size);
        let good = note.signatures().to_vec();
        for key in world.vkeys() {
            note.add(NoteSignature::new(key.name().clone(), key.id(), vec![7; 72]));
            note.add(NoteSignature::new(key.name().clone(), stranger.verifier().id(), vec![7; 72]));
        }
        note.sign(&stranger);
        let proof = log.tree.consistency(old, size);
        let answer = world.add(body(old, proof, note)).await;
        world.verified_times(&answer, &log, size);
        let seen = Note::parse(world.seen(&log).await.text.as_bytes()).expect("a note");
        let want: Vec<NoteSignature> = good.into_iter().chain(answer.lines()).collect();
        assert_eq!(seen.signatures(), want);
        assert_eq!(seen.text(), log.note(size).text());
    }
}

#[tokio::test]
async fn wit_10_a_checkpoint_with_extension_lines_is_refused() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    let extended = Checkpoint { extensions: vec!["more".into()], ..log.checkpoint(9) };
    let answer = world.add(body(0, Vec::new(), log.sign(&extended))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("extension"), "{}", answer.text);
    assert_eq!(world.size(&log), None);
}

#[tokio::test]
async fn wit_11_the_empty_tree_is_cosigned_and_grows() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    assert_eq!(world.seen(&log).await.status, 404);
    for (old, size) in [(0, 0), (0, 0), (0, 9)] {
        let answer = world.add(log.request(old, size)).await;
        world.verified_times(&answer, &log, size);
        assert_eq!(world.size(&log), Some(size));
        assert_eq!(world.seen(&log).await.status, 200);
    }
}

/// WIT-12, and what else is no request: 400 and one sentence, as plain text.
#[tokio::test]
async fn wit_12_what_is_no_request_is_400() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    let good = log.request(0, 9);
    for bad in [
        String::new(),
        good.replacen("old 0", "old 00", 1),
        good.replacen("old 0", "old +0", 1),
        good.replacen("old 0", "old 18446744073709551616", 1),
        good.replacen("old 0", "old  0", 1),
        good.replacen("\n9\n", "\n09\n", 1),
        good.replacen("\n9\n", "\n9223372036854775808\n", 1),
        good.replacen("\n\n", "\n", 1),
        good.trim_end().to_owned(),
        good.replace('\n', "\r\n"),
        format!("{good}\n"),
    ] {
        let answer = world.add(bad.clone()).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
        assert_eq!(answer.text.lines().count(), 1, "{}", answer.text);
    }
    let bytes = world.add(vec![0xff, b'\n']).await;
    assert_eq!(bytes.status, 400);
    let packed = Request::post("/add-checkpoint").header(header::CONTENT_ENCODING, "gzip");
    assert_eq!(world.ask(packed.body(Body::from(good)).expect("a request")).await.status, 415);
    assert_eq!(world.size(&log), None);
}

#[tokio::test]
async fn wit_13_there_is_room_for_16_ml_dsa_signatures_and_an_end() {
    let mut log = Log::new(ORIGIN, 9);
    log.keys.push(signer(ORIGIN, KeyType::MlDsa44Cosignature, 1));
    let world = World::new(&[&log]);
    let mut note = log.note(9);
    for seed in 0..15 {
        let name = format!("cosigner-{seed}.example");
        let other = signer(&name, KeyType::MlDsa44Cosignature, seed);
        note.add(NoteSignature::new(other.verifier().name().clone(), other.verifier().id(), vec![1; 2_428]));
    }
    let request = body(0, Vec::new(), note);
    assert!(request.len() > 50_000);
    assert_eq!(world.add(request).await.status, 200);
    let endless = "x".repeat(MAX_BODY_BYTES + 1);
    assert_eq!(world.add(endless.clone()).await.status, 413);
    // Also when nothing announces how long it is.
    let chunks: Vec<Vec<u8>> = endless.into_bytes().chunks(999).map(<[u8]>::to_vec).collect();
    let stream = Body::new(Chunks(chunks.into_iter()));
    assert_eq!(world.add(stream).await.status, 413);
}

/// A body in chunks.
struct Chunks(std::vec::IntoIter<Vec<u8>>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|chunk| Ok(Frame::data(chunk.into()))))
    }
}

#[tokio::test]
async fn wit_15_logs_sign_with_either_kind_of_key_and_change_it() {
    let mut log = Log::new(ORIGIN, 9);
    log.keys.push(signer(ORIGIN, KeyType::MlDsa44Cosignature, 1));
    let world = World::new(&[&log]);
    let last = log.keys.pop().expect("two keys");
    assert_eq!(world.add(log.request(0, 4)).await.status, 200);
    log.keys = vec![last];
    assert_eq!(world.add(log.request(4, 9)).await.status, 200);
    log.keys = vec![signer(ORIGIN, KeyType::Ed25519, 99)];
    assert_eq!(world.add(log.request(9, 9)).await.status, 403);
    // A key that is not called like the log, as older logs have them.
    let mut named = Log::new("other.example", 9);
    named.origin = "go.sum database tree".into();
    let world = World::new(&[&named]);
    assert_eq!(world.add(named.request(0, 9)).await.status, 200);
}

/// WIT-16: all active keys sign; what was kept under the old keys is read and served under the new ones.
#[tokio::test]
async fn wit_16_a_witness_changes_its_keys() {
    let log = Log::new(ORIGIN, 20);
    let store = Arc::new(MemoryStore::default());
    let before = World::with(store.clone(), both_keys(), &[&log]);
    let old = before.add(log.request(0, 9)).await;
    let seen = before.seen(&log).await.text;
    drop(before);
    let mut keys = both_keys();
    keys.push(signer(NAME, KeyType::Ed25519Cosignature, 201));
    let both = World::with(store.clone(), keys, &[&log]);
    assert_eq!(both.seen(&log).await.text, seen);
    let answer = both.add(log.request(9, 20)).await;
    assert_eq!(both.verified_times(&answer, &log, 20).len(), 3);
    drop(both);
    let after = World::with(store, vec![signer(NAME, KeyType::Ed25519Cosignature, 201)], &[&log]);
    assert_eq!(after.seen(&log).await.text.lines().count(), 8);
    let answer = after.add(log.request(20, 20)).await;
    assert_eq!(after.verified_times(&answer, &log, 20).len(), 1);
    assert!(!after.seen(&log).await.text.contains(&old.text));
}

#[tokio::test]
async fn wit_18_a_log_that_is_removed_is_not_forgotten() {
    let log = Log::new(ORIGIN, 20);
    let world = World::new(&[&log]);
    assert_eq!(world.add(log.request(0, 9)).await.status, 200);
    world.app.cosigner.set_logs(logs_of(&[]));
    assert_eq!(world.add(log.request(9, 20)).await.status, 404);
    assert_eq!(world.seen(&log).await.status, 200, "what was cosigned stays to be seen");
    world.app.cosigner.set_logs(logs_of(&log.stanzas()));
    let again = world.add(log.request(0, 20)).await;
    assert_eq!((again.status, again.text.as_str()), (409, "9\n"));
    assert_eq!(world.add(log.request(9, 20)).await.status, 200);
}

#[tokio::test]
async fn wit_19_monitors_see_what_was_given_out() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    let never = world.seen(&log).await;
    assert_eq!(never.status, 404);
    let answer = world.add(log.request(0, 9)).await;
    let seen = world.seen(&log).await;
    assert_eq!(seen.text, format!("{}{}", log.note(9), answer.text));
    assert_eq!(seen.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    assert_eq!(seen.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    let hash = Hash::of(ORIGIN.as_bytes()).to_string();
    for path in [
        format!("/{}/checkpoint", hash.to_uppercase()),
        format!("/{}/checkpoint", &hash[1..]),
        "/x/checkpoint".into(),
    ] {
        assert_eq!(world.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(world.post(&format!("/{hash}/checkpoint"), "").await.status, 405);
    assert_eq!(world.get("/add-checkpoint").await.status, 405);
    let head = Request::builder().method(Method::HEAD).uri(format!("/{hash}/checkpoint"));
    assert_eq!(world.ask(head.body(Body::empty()).expect("a request")).await.status, 200);
}

#[tokio::test]
async fn wit_20_subtrees_of_what_was_cosigned_are_signed_without_a_time() {
    let log = Log::new(ORIGIN, 20);
    let world = World::new(&[&log]);
    let lines = world.add(log.request(0, 14)).await.lines();
    let ml_dsa = world.vkeys()[1].clone();
    let subtree = log.tree.clone();
    let root = |start: u64, end: u64| tlog::merkle::root_of(subtree.leaves(start, end));
    // The whole tree, by the consistency proof; a leaf and a full subtree, by the path of their node.
    let reference = |of: &Log, size: u64, with: &[NoteSignature]| {
        let mut note = Note::unsigned(of.checkpoint(size).to_string());
        with.iter().for_each(|line| note.add(line.clone()));
        note
    };
    let request = |start, end, root, proof: Vec<Hash>, checkpoint| {
        SignSubtree { start, end, root, proof, checkpoint }.to_string()
    };
    let good = reference(&log, 14, &lines);
    for (start, end, proof) in [(0, 5, subtree.consistency(5, 14)), (0, 14, Vec::new())] {
        for with in [&lines[..], &lines[..1], &lines[1..]] {
            let checkpoint = reference(&log, 14, with);
            let answer = world
                .post("/sign-subtree", request(start, end, root(start, end), proof.clone(), checkpoint))
                .await;
            let [line] = &answer.lines()[..] else { panic!("one key signs subtrees: {}", answer.text) };
            assert!(line.is_by(&ml_dsa));
            let of = Subtree { origin: ORIGIN, start, end, root: root(start, end) };
            assert_eq!(verify_subtree(&ml_dsa, &of, line.signature()), Ok(UnixTime::from_secs(0)));
        }
    }
    // [8, 13) of 14: the node over 8..12, leaf 12, then its right neighbour and the left half.
    let eight = [root(12, 13), root(13, 14), root(8, 12), root(0, 8)];
    let answer = world.post("/sign-subtree", request(8, 13, root(8, 13), eight.to_vec(), good.clone())).await;
    assert_eq!(answer.lines().len(), 1);
    let proof = subtree.consistency(5, 14);
    let five = root(0, 5);
    let other = Log::new("log.example/b", 20);
    let stranger = signer("stranger.example", KeyType::MlDsa44Cosignature, 9);
    let mut strange = reference(&log, 14, &[]);
    strange.add(
        tlog::cosignature::cosign(&stranger, &log.checkpoint(14), UnixTime::from_secs(1)).expect("a line"),
    );
    let mut bad_line = good.clone();
    bad_line.add(NoteSignature::new(ml_dsa.name().clone(), ml_dsa.id(), vec![1; 2_428]));
    let extended = Checkpoint { extensions: vec!["x".into()], ..log.checkpoint(14) };
    let mut extension = Note::unsigned(extended.to_string());
    extension
        .add(tlog::cosignature::cosign(&both_keys()[0], &extended, UnixTime::from_secs(1)).expect("a line"));
    let raw = |text: &str| request(0, 5, five, proof.clone(), good.clone()).replacen("subtree 0 5", text, 1);
    for (body, status, why) in [
        (raw("subtree 5 5"), 400, "empty"),
        (raw("subtree 6 5"), 400, "reversed"),
        (raw("subtree 4 9"), 400, "unaligned"),
        (raw("subtree 0 05"), 400, "spelling"),
        (raw("subtree 0 15"), 400, "beyond"),
        (request(0, 5, five, proof.clone(), extension), 400, "extension lines"),
        (request(0, 5, five, proof.clone(), reference(&other, 14, &lines)), 404, "unknown log"),
        (request(0, 5, five, proof.clone(), log.note(14)), 403, "signed by the log only"),
        (request(0, 5, five, proof.clone(), strange), 403, "signed by another witness"),
        (request(0, 5, five, proof.clone(), bad_line), 403, "a bad line of ours"),
        (request(0, 5, five, proof.clone(), reference(&log, 13, &lines)), 403, "another checkpoint"),
        (request(0, 5, root(0, 4), proof.clone(), good.clone()), 422, "another root"),
        (request(0, 5, five, proof[1..].to_vec(), good.clone()), 422, "a short proof"),
    ] {
        let answer = world.post("/sign-subtree", body).await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text);
    }
    // A witness without such a key does not offer it.
    let ed25519 = World::with(Arc::new(MemoryStore::default()), vec![both_keys().remove(0)], &[&log]);
    assert_eq!(ed25519.post("/sign-subtree", request(0, 5, five, proof, good)).await.status, 404);
}

/// The same size again is signed afresh, and the time of a log never goes back.
#[tokio::test]
async fn the_same_size_again_gets_a_fresh_time_that_never_goes_back() {
    let log = Log::new(ORIGIN, 20);
    let world = World::new(&[&log]);
    // seconds that the wall clock moves, time of the cosignatures after the start
    for (old, move_by, want) in [(0, 0, 0), (9, 10, 10), (9, 0, 10), (9, -60, 10), (9, 55, 10), (9, 60, 65)] {
        world.wall.store(world.wall.load(Ordering::SeqCst).wrapping_add_signed(move_by), Ordering::SeqCst);
        let answer = world.add(log.request(old, 9)).await;
        assert_eq!(world.verified_times(&answer, &log, 9), [START + want; 2]);
        assert_eq!(world.seen(&log).await.text, format!("{}{}", log.note(9), answer.text));
    }
}

/// R11, for a witness.
#[tokio::test]
async fn a_clock_that_jumps_stops_cosigning_until_it_is_right_or_accepted() {
    let log = Log::new(ORIGIN, 20);
    let store = Arc::new(MemoryStore::default());
    let world = World::with(store.clone(), both_keys(), &[&log]);
    assert_eq!(world.add(log.request(0, 9)).await.status, 200);
    world.wall.fetch_add(400, Ordering::SeqCst);
    let stopped = world.add(log.request(9, 20)).await;
    assert_eq!(stopped.status, 503);
    assert!(stopped.text.contains("clock"), "{}", stopped.text);
    assert_ne!(stopped.header(header::RETRY_AFTER), "");
    assert_eq!(world.size(&log), Some(9));
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let status: Value = serde_json::from_str(&world.get("/status").await.text).expect("JSON");
    assert!(status["clock_stopped"].as_str().is_some_and(|why| why.contains("400") || why.contains("clock")));
    // What does not depend on the time is still answered.
    assert_eq!(world.add(log.request(5, 20)).await.status, 409);
    assert_eq!(world.seen(&log).await.status, 200);
    // Right again.
    world.wall.fetch_sub(400, Ordering::SeqCst);
    assert_eq!(world.add(log.request(9, 10)).await.status, 200);
    assert_eq!(world.get("/readyz").await.status, 200);
    // The operator's word.
    world.wall.fetch_add(400, Ordering::SeqCst);
    assert_eq!(world.add(log.request(10, 20)).await.status, 503);
    world.app.cosigner.clock.accept();
    let answer = world.add(log.request(10, 20)).await;
    assert_eq!(world.verified_times(&answer, &log, 20), [START + 400; 2]);
    // Started again with a clock that lies behind what was signed.
    let again = World::with(store, both_keys(), &[&log]);
    assert_eq!(again.add(log.request(20, 20)).await.status, 503);
    again.app.cosigner.clock.accept();
    let answer = again.add(log.request(20, 20)).await;
    assert_eq!(again.verified_times(&answer, &log, 20), [START + 400; 2], "never back");
}

#[tokio::test]
async fn budgets_are_kept_for_each_log_and_each_address() {
    let log = Log::new(ORIGIN, 99);
    let world = World::new(&[&log]);
    let limited: Vec<Stanza> =
        log.stanzas().into_iter().map(|stanza| Stanza { qpd: Some(24), ..stanza }).collect();
    world.app.cosigner.set_logs(logs_of(&limited));
    // Whoever is not the log spends nothing of it.
    let stranger = Log { keys: vec![signer(ORIGIN, KeyType::Ed25519, 99)], ..Log::new(ORIGIN, 9) };
    for _ in 0..100 {
        assert_eq!(world.add(stranger.request(0, 9)).await.status, 403);
    }
    assert_eq!(world.add(log.request(0, 1)).await.status, 200);
    // Nor does whoever resends what the log has published, however often.
    for attempt in 0..200u64 {
        assert_eq!(world.add(log.request(0, 1)).await.status, 409);
        world.pass(10);
        let times = world.verified_times(&world.add(log.request(1, 1)).await, &log, 1);
        let last = (attempt.min(59) + 1) * 10;
        assert_eq!(times, [START + last; 2], "spent: the last lines are the answer");
    }
    for size in 1..60 {
        assert_eq!(world.add(log.request(size, size + 1)).await.status, 200, "{size}");
    }
    let late = world.add(log.request(60, 61)).await;
    assert_eq!((late.status, late.header(header::RETRY_AFTER)), (429, "60"));
    let limited = World::limited(Arc::new(MemoryStore::default()), both_keys(), &[&log], 3);
    for want in [200, 409, 409, 429, 429] {
        assert_eq!(limited.add(log.request(0, 9)).await.status, want);
    }
}

/// A client that replays a public note costs the witness no signature and no sync for ten seconds. Without an agreed
/// budget it costs at most 8,640 signatures a day.
#[tokio::test]
async fn a_note_that_is_replayed_is_answered_from_what_is_stored() {
    let log = Log::new(ORIGIN, 9);
    let store = Arc::new(CountingStore::default());
    let world = World::with(store.clone(), both_keys(), &[&log]);
    let first = world.add(log.request(0, 5)).await;
    for seconds in 0..10 {
        let again = world.add(log.request(5, 5)).await;
        assert_eq!((again.status, &again.text), (200, &first.text), "after {seconds} s");
        world.pass(1);
    }
    assert_eq!(store.writes.load(Ordering::SeqCst), 1, "nothing was written");
    assert_eq!(world.verified_times(&world.add(log.request(5, 5)).await, &log, 5), [START + 10; 2]);
    assert_eq!(store.writes.load(Ordering::SeqCst), 2);
    // Growth waits for nothing.
    assert_eq!(world.add(log.request(5, 9)).await.status, 200);
    assert_eq!(store.writes.load(Ordering::SeqCst), 3);
    for _ in 0..400 {
        world.pass(10);
        assert_eq!(world.add(log.request(9, 9)).await.status, 200);
    }
    let writes = store.writes.load(Ordering::SeqCst);
    assert!((355..=380).contains(&writes), "an hour's worth at once: {writes}");
}

/// A witness that was given a further key signs with it at once.
#[tokio::test]
async fn what_is_stored_is_no_answer_for_a_key_that_is_new() {
    let log = Log::new(ORIGIN, 9);
    let store = Arc::new(MemoryStore::default());
    let world = World::with(store.clone(), vec![both_keys().remove(0)], &[&log]);
    assert_eq!(world.add(log.request(0, 9)).await.lines().len(), 1);
    let world = World::with(store, both_keys(), &[&log]);
    assert_eq!(world.add(log.request(9, 9)).await.lines().len(), 2);
}

/// A store that counts its writes.
#[derive(Default)]
struct CountingStore {
    inner: MemoryStore,
    writes: AtomicU64,
}

impl Store for CountingStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.write(batch)
    }
}

#[tokio::test]
async fn below_the_disk_floor_nothing_is_cosigned_and_everything_is_read() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    assert_eq!(world.add(log.request(0, 5)).await.status, 200);
    world.app.disk_low.store(true, Ordering::SeqCst);
    assert_eq!(world.add(log.request(5, 9)).await.status, 503);
    assert_eq!(world.get("/readyz").await.status, 503);
    assert_eq!(world.seen(&log).await.status, 200);
    world.app.disk_low.store(false, Ordering::SeqCst);
    assert_eq!(world.add(log.request(5, 9)).await.status, 200);
}

/// With a long list of logs `/metadata` has megabytes. All connections share one copy.
#[tokio::test]
async fn metadata_is_made_once_and_shared() {
    let log = Log::new(ORIGIN, 9);
    let world = World::new(&[&log]);
    let many = |from: u64| {
        let stanza = |number| Stanza { origin: format!("{ORIGIN}/{number}"), ..log.stanzas().remove(0) };
        logs_of(&(from..from + 1_000).map(stanza).collect::<Vec<_>>())
    };
    world.app.cosigner.set_logs(many(0));
    let body = async || {
        let request = Request::get("/metadata").body(Body::empty()).expect("a request");
        let body = world.answer(request).await.into_body();
        axum::body::to_bytes(body, usize::MAX).await.expect("a body")
    };
    let (one, two) = (body().await, body().await);
    assert_eq!((one.as_ptr(), one.len()), (two.as_ptr(), two.len()), "the same bytes in memory");
    assert!(one.len() > 100_000);
    world.app.cosigner.set_logs(many(1));
    let other = body().await;
    assert_ne!(one, other, "until there are other logs");
}

#[tokio::test]
async fn a_witness_says_who_it_is() {
    let mut log = Log::new(ORIGIN, 9);
    log.keys.push(signer(ORIGIN, KeyType::MlDsa44Cosignature, 1));
    let world = World::new(&[&log]);
    let about = world.get("/").await.text;
    assert!(world.vkeys().iter().all(|key| about.contains(&key.to_string())));
    assert!(about.contains(&format!("group {NAME} any {NAME}-ed {NAME}-mldsa\n")), "{about}");
    let metadata = world.get("/metadata").await;
    assert_eq!(metadata.header(header::CONTENT_TYPE), "application/json");
    let json: Value = serde_json::from_str(&metadata.text).expect("JSON");
    assert_eq!(json["witness_name"], NAME);
    assert_eq!(json["submission_prefix"], "https://witness.example");
    assert_eq!(json["monitoring_prefix"], "https://witness.example");
    assert_eq!(json["logs"][0]["origin"], ORIGIN);
    assert_eq!(json["logs"][0]["log_public_keys"].as_array().map(Vec::len), Some(2));
    let key = json["witness_public_key"].as_str().and_then(tlog::encoding::decode_base64).expect("base64");
    assert!(key.ends_with(world.vkeys()[1].key().raw()));
    for path in ["/healthz", "/readyz", "/metrics", "/status"] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    assert_eq!(world.get("/nothing").await.status, 404);
    // A browser asks before it reads.
    let ask = Request::options("/status")
        .header("origin", "https://x")
        .header("access-control-request-method", "GET");
    let answer = world.ask(ask.body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status, answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN)), (200, "*"));
    assert_eq!(world.post("/status", "").await.status, 405);
}
