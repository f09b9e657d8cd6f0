//! The requests of the vectors.

use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::{
    Accept, Acknowledged, Action, Attachment, Content, EnvelopeId, List, MAX_REQUEST_BYTES, MAX_SEALED_BYTES,
    MessageKeyId, Page, Request, Route, Sealed, Settings, SignedRequest, Stored,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tlog::encoding::{base64, decode_base64};
use tlog::key::Ed25519PublicKey;

use super::{Given, ORIGIN, cases, identity, made, someone, text, time, vectors, wanted};

/// What a relay makes of a body, in its order.
fn judge(case: &Value, vectors: &Value) -> Result<SignedRequest, &'static str> {
    let body = case["body"].to_string().into_bytes();
    let said = decode_base64(text(&case["body"], "request")).expect("base64");
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    let route = if said["action"] == "send" { Route::Messages } else { Route::Mailbox };
    let request =
        SignedRequest::parse(&body, route, Ed25519PublicKey::from_bytes).map_err(|error| error.rule())?;
    let now = time(case, "now");
    request.check(text(case, "origin"), now).map_err(|error| error.rule())?;
    let state = identity(vectors, text(&said, "did"), &case["state"]);
    request.check_signer(state.as_ref()).map_err(|error| error.rule())?;
    if let Action::Send { sealed: id, expires } = request.request().action {
        let (sealed, until) = request.check_sealed(now).map_err(|error| error.rule())?;
        assert_eq!((sealed.id(), until), (id, expires));
    }
    // Read and written, it is the same.
    let again = serde_json::from_str::<Value>(&request.to_json()).expect("JSON");
    assert_eq!(again, case["body"], "{}", text(case, "name"));
    Ok(request)
}

/// S28: requests that are late, of others, or for others.
#[test]
fn s28_requests_are_judged_as_the_vectors_say() {
    let vectors = vectors();
    for case in cases("requests", 42) {
        assert_eq!(made(&judge(&case, &vectors)), wanted(&case), "{}", text(&case, "name"));
    }
}

#[test]
fn requests_are_signed_byte_for_byte() {
    let vectors = vectors();
    let people = vectors["identities"].as_object().expect("identities");
    let seeds: Vec<_> = people
        .values()
        .flat_map(|person| [person.get("seed"), person.get("rotatedTo").and_then(|next| next.get("seed"))])
        .flatten()
        .map(|seed| super::bytes_32(seed.as_str().expect("a seed")))
        .map(|seed| tlog::key::Ed25519PrivateKey::from_seed(&seed))
        .collect();
    let mut signed = 0;
    for case in cases("requests", 42) {
        let Ok(request) = judge(&case, &vectors) else { continue };
        let key = seeds.iter().find(|key| key.public_key() == *request.key()).expect("a key of theirs");
        let Request { action, did, issued_at, origin } = request.request().clone();
        let made = match action {
            Action::Send { expires, .. } => {
                let sealed = Sealed::from_base64(text(&case["body"], "sealed")).expect("sealed");
                SignedRequest::send(&sealed, did, &origin, issued_at, expires, key)
            }
            action => SignedRequest::sign(Request { action, did, issued_at, origin }, key),
        };
        assert_eq!(made.as_ref(), Ok(&request), "{}", text(&case, "name"));
        signed += 1;
    }
    assert_eq!(signed, 10);
}

/// A body that is another on the wire: each is refused as `request`, and none panics.
#[test]
fn other_bodies_are_no_requests() {
    let (key, _) = someone();
    let action = Action::Acknowledge(vec!["00".repeat(32).parse().expect("an id")]);
    let now = LogTime::from_millis(super::NOW).expect("a time");
    let request =
        Request { action, did: Did::of(&key.public_key()), issued_at: now, origin: ORIGIN.to_owned() };
    let good = SignedRequest::sign(request, &key).expect("a request").to_json();
    let parse =
        |body: &str, route| SignedRequest::parse(body.as_bytes(), route, Ed25519PublicKey::from_bytes);
    assert!(parse(&good, Route::Mailbox).is_ok());
    let key_text = base64(key.public_key().as_bytes());
    for (name, bad, route) in [
        ("the other path", good.clone(), Route::Messages),
        ("a member twice", good.replacen('{', r#"{"key":"","#, 1), Route::Mailbox),
        ("a further member", good.replacen('{', r#"{"x":"","#, 1), Route::Mailbox),
        ("nested", good.replacen('{', r#"{"x":[[]],"#, 1), Route::Mailbox),
        ("null", good.replace(&format!("\"{key_text}\""), "null"), Route::Mailbox),
        ("key without padding", good.replace(&key_text, key_text.trim_end_matches('=')), Route::Mailbox),
        ("an array", "[]".to_owned(), Route::Mailbox),
        ("nothing", String::new(), Route::Mailbox),
    ] {
        let error = parse(&bad, route).expect_err(name);
        assert_eq!(error.rule(), "request", "{name}: {error}");
    }
    // The order of the outer members and white space are the client's.
    let spaced = good.replace(',', " ,\n");
    assert_eq!(parse(&spaced, Route::Mailbox), parse(&good, Route::Mailbox));
}

/// The longest request of each kind fits into the body that a relay reads.
#[test]
fn the_longest_requests_fit() {
    let (key, message_key) = someone();
    let now = LogTime::from_millis(super::NOW).expect("a time");
    let did = Did::of(&key.public_key());
    let mut long = super::message(&key);
    long.body = "x".repeat(64 * 1024);
    long.attachments = vec![Attachment {
        content: vec![0; 20_000],
        content_type: "text/plain".to_owned(),
        name: "x".to_owned(),
    }];
    let sealed =
        super::signed(long).seal(did, message_key.public_key(), &mut Given(vec![5; 32])).expect("addressed");
    assert_eq!(sealed.as_bytes().len(), MAX_SEALED_BYTES);
    let send = SignedRequest::send(&sealed, did, ORIGIN, now, LogTime::MAX, &key).expect("a request");
    assert!(send.to_json().len() <= MAX_REQUEST_BYTES);

    let dids = |from: u16| (from..from + 256).map(|n| Did::from_bytes(u128::from(n).to_be_bytes())).collect();
    let id = |n: u8| EnvelopeId::from_bytes([n; 32]);
    let key_id = |n: u8| MessageKeyId::from_bytes([n; 16]);
    for action in [
        Action::Settings(Settings { accept: Accept::Registered, blocked: dids(0), listed: dids(256) }),
        Action::Acknowledge((0..100).map(id).collect()),
        Action::List(List {
            after: LogTime::MAX.as_millis(),
            keys: Some((0..16).map(key_id).collect()),
            limit: 100,
            wait: 60,
        }),
    ] {
        let request = Request { action, did, issued_at: now, origin: ORIGIN.to_owned() };
        let json = SignedRequest::sign(request.clone(), &key).expect("a request").to_json();
        assert!(json.len() <= MAX_REQUEST_BYTES);
        let read = SignedRequest::parse(json.as_bytes(), Route::Mailbox, Ed25519PublicKey::from_bytes);
        assert_eq!(read.expect("read").request(), &request);
    }
}

/// Settings: a block goes before everything, and who is listed need not be registered.
#[test]
fn settings_say_who_may_send() {
    let dids = |numbers: &[u8]| numbers.iter().map(|n| Did::from_bytes([*n; 16])).collect::<Vec<_>>();
    let settings = |accept| Settings { accept, blocked: dids(&[1, 2]), listed: dids(&[2, 3]) };
    let admits =
        |accept, sender: u8, registered| settings(accept).admits(Did::from_bytes([sender; 16]), registered);
    for accept in [Accept::Anyone, Accept::Registered, Accept::Listed] {
        for registered in [false, true] {
            assert!(!admits(accept, 1, registered) && !admits(accept, 2, registered), "blocked");
            assert!(admits(accept, 3, registered), "listed");
        }
    }
    assert!(admits(Accept::Anyone, 4, false));
    assert!(!admits(Accept::Registered, 4, false) && admits(Accept::Registered, 4, true));
    assert!(!admits(Accept::Listed, 4, true));
}

/// The members that a relay answers with, and what a client makes of others.
#[test]
fn answers_are_read_as_they_are_written() {
    let vectors = vectors();
    let id = "ab".repeat(32);
    let did = text(&vectors["identities"]["alice"], "did").to_owned();
    let legacy = json!({"encrypted_content": "AA==", "signature": "AAAA", "timestamp": null});
    let head = json!({"expires": 2, "id": id, "number": 7, "receivedAt": 1, "sender": did});
    let with = |name: &str, value: Value| {
        let mut waiting = head.clone();
        waiting[name] = value;
        waiting
    };
    let page =
        json!({"messages": [with("legacy", legacy), with("sealed", json!("QUlQ"))], "more": false, "now": 3});
    let read: Page = serde_json::from_value(page.clone()).expect("a page");
    assert_eq!(read.messages[1].content, Content::Sealed("QUlQ".to_owned()));
    assert!(matches!(read.messages[0].content, Content::Legacy(_)));
    assert_eq!(serde_json::to_value(&read).expect("JSON"), page);

    let stored = json!({"expires": 2, "id": id, "receivedAt": 1, "stored": true});
    let read: Stored = serde_json::from_value(stored.clone()).expect("an answer");
    assert_eq!(serde_json::to_value(read).expect("JSON"), stored);
    let acknowledged: Acknowledged = serde_json::from_value(json!({"acknowledged": 1})).expect("an answer");
    assert_eq!(acknowledged.acknowledged, 1);

    for (name, bad) in [
        ("no content", head.clone()),
        ("an id in capitals", {
            let mut waiting = with("sealed", json!(""));
            waiting["id"] = json!("AB".repeat(32));
            waiting
        }),
    ] {
        let page = json!({"messages": [bad], "more": false, "now": 3});
        assert!(serde_json::from_value::<Page>(page).is_err(), "{name}");
    }
    let late = json!({"expires": 1_u64 << 53, "id": id, "receivedAt": 1, "stored": true});
    assert!(serde_json::from_value::<Stored>(late).is_err());
}

fn request(action: Action) -> Request {
    let now = LogTime::from_millis(super::NOW).expect("a time");
    Request { action, did: Did::of(&someone().0.public_key()), issued_at: now, origin: ORIGIN.to_owned() }
}

/// Each limit of a request, one beyond it: it is not signed, so nobody can send by mistake what every relay refuses.
#[test]
fn a_request_beyond_a_limit_is_not_signed() {
    let dids =
        |count: u16| (0..count).map(|n| Did::from_bytes(u128::from(n).to_be_bytes())).collect::<Vec<_>>();
    let ids = |count: u8| (0..count).map(|n| EnvelopeId::from_bytes([n; 32])).collect::<Vec<_>>();
    let keys = |count: u8| Some((0..count).map(|n| MessageKeyId::from_bytes([n; 16])).collect::<Vec<_>>());
    let list = List { after: 0, keys: None, limit: 1, wait: 0 };
    let settings = Settings { accept: Accept::Anyone, blocked: Vec::new(), listed: Vec::new() };
    let twice = |mut values: Vec<Did>| {
        values.push(values[0]);
        values
    };
    let (key, _) = someone();
    let sign =
        |request: Request| SignedRequest::sign(request, &key).map(|_| ()).map_err(|error| error.rule());
    assert_eq!(sign(request(Action::List(list.clone()))), Ok(()));
    assert_eq!(sign(request(Action::Settings(settings.clone()))), Ok(()));
    for action in [
        Action::Acknowledge(ids(0)),
        Action::Acknowledge(ids(101)),
        Action::Acknowledge(ids(2).into_iter().rev().collect()),
        Action::List(List { limit: 0, ..list.clone() }),
        Action::List(List { limit: 101, ..list.clone() }),
        Action::List(List { wait: 61, ..list.clone() }),
        Action::List(List { after: 1 << 53, ..list.clone() }),
        Action::List(List { keys: keys(0), ..list.clone() }),
        Action::List(List { keys: keys(17), ..list.clone() }),
        Action::List(List { keys: keys(2).map(|keys| keys.into_iter().rev().collect()), ..list }),
        Action::Settings(Settings { blocked: dids(257), ..settings.clone() }),
        Action::Settings(Settings { listed: dids(257), ..settings.clone() }),
        Action::Settings(Settings { listed: twice(dids(1)), ..settings.clone() }),
        Action::Settings(Settings { blocked: dids(2).into_iter().rev().collect(), ..settings }),
        // What is sent goes along with it.
        Action::Send { expires: LogTime::MAX, sealed: EnvelopeId::from_bytes([0; 32]) },
    ] {
        let name = format!("{action:?}");
        assert_eq!(sign(request(action)), Err("request"), "{name}");
    }
    let elsewhere = Request { origin: "a log".to_owned(), ..request(Action::Acknowledge(ids(1))) };
    assert_eq!(sign(elsewhere), Err("request"));
}

fn any_dids() -> impl Strategy<Value = Vec<Did>> {
    prop::collection::btree_set(any::<[u8; 16]>(), 0..6)
        .prop_map(|dids| dids.into_iter().map(Did::from_bytes).collect())
}

fn any_action() -> impl Strategy<Value = Action> {
    let accept = prop::sample::select(vec![Accept::Anyone, Accept::Registered, Accept::Listed]);
    let keys = prop::option::of(prop::collection::btree_set(any::<[u8; 16]>(), 1..=16));
    prop_oneof![
        prop::collection::btree_set(any::<[u8; 32]>(), 1..=100)
            .prop_map(|ids| Action::Acknowledge(ids.into_iter().map(EnvelopeId::from_bytes).collect())),
        (0_u64..1 << 53, keys, 1_u64..=100, 0_u64..=60).prop_map(|(after, keys, limit, wait)| {
            let keys = keys.map(|keys| keys.into_iter().map(MessageKeyId::from_bytes).collect());
            Action::List(List { after, keys, limit, wait })
        }),
        (accept, any_dids(), any_dids()).prop_map(|(accept, blocked, listed)| Action::Settings(Settings {
            accept,
            blocked,
            listed
        })),
    ]
}

proptest! {
    /// What is signed is read as it was, and is the relay's to take.
    #[test]
    fn what_is_signed_is_read(action in any_action(), issued_at in 0_u64..1 << 53, origin in "[!-*,-~é😀\"\\\\]{1,60}") {
        let (key, _) = someone();
        let issued_at = LogTime::from_millis(issued_at).expect("a time");
        let request = Request { issued_at, origin, ..request(action) };
        let signed = SignedRequest::sign(request.clone(), &key).expect("it keeps the rules");
        let read = SignedRequest::parse(signed.to_json().as_bytes(), Route::Mailbox, Ed25519PublicKey::from_bytes);
        let read = read.expect("read");
        prop_assert_eq!(read.request(), &request);
        prop_assert_eq!(read.check(&request.origin, issued_at), Ok(()));
        prop_assert_eq!(read.check_signer(None), Ok(()));
        prop_assert_eq!(read, signed);
    }
}
