use tlog::LeafIndex;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

use super::*;
use crate::entry::Entry;
use crate::message_key::MessageKey;

const ORIGIN: &str = "log.example.com/pipelines";

fn key(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn raw(seed: u8) -> RawKey {
    *key(seed).public_key().as_bytes()
}

fn did(seed: u8) -> Did {
    Did::of(&key(seed).public_key())
}

fn at(index: u64) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(index) }
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

fn link() -> Link {
    Link { sequence: 1, previous: ClaimHash::new(Hash::of(b"before")) }
}

fn build(digest: &[u8], commit: &str, reproducible: bool) -> Vec<u8> {
    let predicate = serde_json::json!({
        "buildDefinition": {
            "buildType": "https://example.com/build",
            "externalParameters": {"ref": "main"},
            "internalParameters": {"reproducible": reproducible, "run": Hash::of(digest).to_string()},
            "resolvedDependencies": [{"digest": {"gitCommit": commit}}],
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    });
    let serde_json::Value::Object(predicate) = predicate else { panic!("an object") };
    let subject = crate::statement::Subject::new("app", Hash::of(digest));
    let statement =
        crate::statement::Statement::new(vec![subject], crate::provenance::PREDICATE_TYPE, predicate);
    statement.expect("a statement").to_payload()
}

fn message_keys(seeds: &[u8]) -> MessageKeys {
    let key = |seed: &u8| DatedKey {
        key: MessageKey::of_identity(&key(*seed).public_key()),
        not_after: time(1_000 + MAX_MESSAGE_KEY_MILLIS),
    };
    let mut keys: Vec<DatedKey> = seeds.iter().map(key).collect();
    DatedKey::sort(&mut keys);
    MessageKeys { issued_at: time(1_000), keys, previous: Some(link().previous) }
}

/// One of each, with its signers.
fn all() -> Vec<(Event, Vec<u8>)> {
    let (next, recovery) = (Commitment::to(&raw(2)), Commitment::to(&raw(3)));
    let capabilities = Capabilities::PIPELINE;
    let (id, issued_at, scope) = (StatementId([7; 16]), time(1_000), Scope::CodeSigning);
    let itself = |event| Event::about_itself(did(1), ORIGIN, event).expect("an event");
    let about = |event| Event::about(did(9), did(1), ORIGIN, event).expect("an event");
    let inception = IdentityEvent::Inception {
        key: raw(1),
        next,
        recovery,
        capabilities,
        public_name: Some("ä \"b\"".into()),
    };
    let rotation =
        IdentityEvent::Rotation { link: link(), key: raw(2), next: Commitment::to(&raw(4)), capabilities };
    let recover = IdentityEvent::Recovery {
        link: link(),
        key: raw(5),
        next: Commitment::to(&raw(6)),
        recovery: Commitment::to(&raw(7)),
        capabilities,
        since: at(3),
    };
    let vouch = TrustEvent::Vouch {
        id,
        issued_at,
        scope,
        level: Level::Strong,
        depth: Some(0),
        expires_at: time(2_000),
    };
    let statements = [build(b"1", "c0", true), build(b"2", "c0", true)];
    vec![
        (itself(inception), vec![1]),
        (itself(rotation), vec![1, 2]),
        (itself(recover), vec![3, 5]),
        (itself(IdentityEvent::Compromise { link: link(), since: at(3) }), vec![3]),
        (itself(IdentityEvent::Deactivation { link: link() }), vec![1, 2]),
        (about(vouch), vec![1]),
        (about(TrustEvent::Revocation { id, issued_at, scope }), vec![1]),
        (about(TrustEvent::Distrust { id, issued_at, scope }), vec![1]),
        (about(TrustEvent::Confirmation { artifact: Hash::of(b"a"), receipt: at(3), build: at(4) }), vec![1]),
        (about(TrustEvent::Failure { id, artifact: Hash::of(b"a"), reason: FailureReason::Digest }), vec![1]),
        (about(TrustEvent::Withdrawal { failure: at(5) }), vec![1]),
        (about(TrustEvent::Equivocation { receipts: [at(1), at(2)], statements }), vec![1]),
        (Event::message_keys(did(1), ORIGIN, message_keys(&[11, 12])).expect("an event"), vec![1]),
    ]
}

fn sign(event: &Event, signers: &[u8]) -> PendingEvent {
    let keys: Vec<Ed25519PrivateKey> = signers.iter().map(|seed| key(*seed)).collect();
    PendingEvent::sign(event.clone(), &keys.iter().collect::<Vec<_>>()).expect("an event")
}

#[test]
fn every_event_is_read_as_it_was_written() {
    let mut names = Vec::new();
    for (event, signers) in all() {
        let pending = sign(&event, &signers);
        assert_eq!(PendingEvent::parse(&pending.to_bytes()), Ok(pending.clone()), "{}", event.name());
        assert_eq!(pending.verify(Ed25519PublicKey::from_bytes), Ok(()), "{}", event.name());
        let leaf = pending.to_leaf(time(1_790_000_000_000));
        let Ok(Entry::Event(entry)) = Entry::parse(&leaf) else { panic!("{}", event.name()) };
        assert_eq!(entry.pending(), &pending);
        assert_eq!(entry.to_bytes(), leaf);
        assert_eq!(entry.pending().hash(), pending.hash(), "the time is no part of it");
        names.push(event.name());
    }
    names.dedup();
    assert_eq!(names.len(), 13);
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let (event, signers) = all().swap_remove(0);
    let text = String::from_utf8(sign(&event, &signers).to_bytes()).expect("text");
    assert!(text.starts_with(&format!(
        r#"{{"apiVersion":"1","kind":"aip-event","spec":{{"did":"{}","envelope":{{"payload":""#,
        did(1)
    )));
    assert!(text.ends_with(r#""],"origin":"log.example.com/pipelines"}}"#), "{text}");
    let payload = String::from_utf8(event.to_payload()).expect("text");
    let want = format!(
        concat!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"{did}","#,
            r#""digest":{{"sha256":"{digest}"}}}}],"predicateType":"https://aip.dev/event/inception/v1","#,
            r#""predicate":{{"capabilities":["messages","receipts"],"issuer":"{did}","key":"{key}","#,
            r#""nextKey":"{next}","origin":"log.example.com/pipelines","publicName":"ä \"b\"","#,
            r#""recoveryKey":"{recovery}"}}}}"#
        ),
        did = did(1),
        digest = Hash::of(did(1).to_string().as_bytes()),
        key = tlog::encoding::base64(&raw(1)),
        next = Hash::of(&raw(2)),
        recovery = Hash::of(&raw(3)),
    );
    assert_eq!(payload, want);
}

/// A flipped bit anywhere in a leaf is refused: by its form, or by a signature.
#[test]
fn no_altered_leaf_is_believed() {
    for (event, signers) in all() {
        let leaf = sign(&event, &signers).to_leaf(time(1_000));
        for at in (0..leaf.len()).step_by(7) {
            let mut altered = leaf.clone();
            altered[at] ^= 1;
            let believed = match Entry::parse(&altered) {
                // The log's time is the log's word; another kind counts for nothing.
                Ok(Entry::Event(entry)) => {
                    entry.pending().verify(Ed25519PublicKey::from_bytes).is_ok()
                        && entry.logged_at() == time(1_000)
                }
                _ => false,
            };
            assert!(!believed, "{} at byte {at}", event.name());
        }
    }
}

#[test]
fn another_spelling_is_no_event() {
    let (event, signers) = all().swap_remove(5);
    let pending = sign(&event, &signers);
    let good = String::from_utf8(pending.to_bytes()).expect("text");
    for (from, to) in [
        (r#","kind""#, r#", "kind""#),
        (r#""origin":"log.example.com/pipelines""#, r#""origin":"log.example.com\/pipelines""#),
        (r#""keys":["#, r#""x":1,"keys":["#),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(PendingEvent::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    // A statement in another order is the same to a JSON reader, and no event.
    let payload = String::from_utf8(event.to_payload()).expect("text");
    for (from, to) in [
        (r#""depth":0,"#, r#""depth":00,"#),
        (r#"{"depth":0,"#, r#"{"x":1,"depth":0,"#),
        (r#"{"depth":0,"#, r#"{ "depth":0,"#),
        (r#""level":"STRONG""#, r#""level":"SUSPICIOUS""#),
        (r#""level":"STRONG""#, r#""level":"strong""#),
        (r#""scope":"CODE_SIGNING""#, r#""scope":"ALL""#),
        (r#""id":"07"#, r#""id":"0G"#),
        ("/vouch/v1", "/vouch/v2"),
        ("/vouch/v1", "/binding/v1"),
    ] {
        let bad = payload.replacen(from, to, 1);
        assert_ne!(bad, payload, "{from}");
        assert!(payload::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn events_of_later_releases_are_valid_and_not_understood() {
    let (event, signers) = all().swap_remove(5);
    let leaf = sign(&event, &signers).to_leaf(time(1_000));
    let text = String::from_utf8(leaf).expect("text");
    let payload = String::from_utf8(event.to_payload()).expect("text");
    for later in ["/vouch/v2", "/binding/v1", "/gossip/v1"] {
        let other = payload.replace("/vouch/v1", later);
        let leaf = text
            .replace(&tlog::encoding::base64(payload.as_bytes()), &tlog::encoding::base64(other.as_bytes()));
        assert!(matches!(Entry::parse(leaf.as_bytes()), Ok(Entry::NotUnderstood { .. })), "{later}");
    }
}

#[test]
fn forms_that_no_event_has() {
    let vouch = |depth, issued, expires| TrustEvent::Vouch {
        id: StatementId([0; 16]),
        issued_at: time(issued),
        scope: Scope::General,
        level: Level::Weak,
        depth,
        expires_at: time(expires),
    };
    let about = |event| Event::about(did(9), did(1), ORIGIN, event).map(|_| ());
    assert_eq!(about(vouch(Some(8), 0, 1)), Err(EventError::Depth(8)));
    assert_eq!(about(vouch(None, 5, 5)), Err(EventError::Expiry));
    assert_eq!(about(vouch(None, 6, 5)), Err(EventError::Expiry));
    assert_eq!(about(vouch(None, 0, MAX_VOUCH_MILLIS)), Ok(()));
    assert_eq!(about(vouch(None, 0, MAX_VOUCH_MILLIS + 1)), Err(EventError::Expiry));
    let itself = Event::about(did(1), did(1), ORIGIN, vouch(None, 0, 1));
    assert_eq!(itself, Err(EventError::AboutItself("vouch")));
    let elsewhere = Reference { origin: "other.example".into(), index: LeafIndex::new(0) };
    let withdrawal = about(TrustEvent::Withdrawal { failure: elsewhere });
    assert!(matches!(withdrawal, Err(EventError::OtherLog { member: "failure", .. })));
    let same = IdentityEvent::Inception {
        key: raw(1),
        next: Commitment::to(&raw(2)),
        recovery: Commitment::to(&raw(2)),
        capabilities: Capabilities::PIPELINE,
        public_name: None,
    };
    assert_eq!(Event::about_itself(did(1), ORIGIN, same), Err(EventError::SameKey));
    assert_eq!(Capabilities::from_names([]), None);
    assert_eq!(Capabilities::from_names(["receipts", "messages"]), None);
    assert_eq!(Capabilities::from_names(["messages", "messages"]), None);
    assert_eq!(Capabilities::from_names(["messages", "receipts"]), Some(Capabilities::PIPELINE));
}

#[test]
fn message_keys_are_of_one_form_and_by_one_key() {
    let event = |keys: MessageKeys| Event::message_keys(did(1), ORIGIN, keys);
    assert!(event(message_keys(&[])).is_ok() && event(message_keys(&[1, 2, 3, 4, 5, 6, 7, 8])).is_ok());
    let mut twice = message_keys(&[1]);
    twice.keys.push(twice.keys[0]);
    let mut turned = message_keys(&[1, 2]);
    turned.keys.reverse();
    let mut late = message_keys(&[1]);
    late.issued_at = time(999);
    let mut never = message_keys(&[1]);
    never.keys[0].not_after = never.issued_at;
    for bad in [message_keys(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), twice, turned, late, never] {
        assert!(matches!(event(bad), Err(EventError::Value { .. })));
    }
    let other = Event::new(did(1), ORIGIN, did(2), Body::MessageKeys(message_keys(&[1])));
    assert_eq!(other, Err(EventError::AboutAnother("message-keys")));
    // Signed by two, it is none: written by hand, since `sign` makes no such thing.
    let good = event(message_keys(&[1])).expect("an event");
    let by_two = PendingEvent::sign(good.clone(), &[&key(1), &key(2)]);
    assert!(matches!(by_two, Err(EventError::MessageKeys(_))));
    let mut by_two = sign(&good, &[1]);
    by_two.signatures.push(by_two.signatures[0].clone());
    assert!(matches!(PendingEvent::parse(&by_two.to_bytes()), Err(EventError::MessageKeys(_))));
}

#[test]
fn only_builds_of_one_thing_contradict_each_other() {
    let about = |statements, order: [u64; 2]| {
        let receipts = order.map(at);
        Event::about(did(9), did(1), ORIGIN, TrustEvent::Equivocation { receipts, statements }).map(|_| ())
    };
    let good = || [build(b"1", "c0", true), build(b"2", "c0", true)];
    assert_eq!(about(good(), [1, 2]), Ok(()));
    assert_eq!(about(good(), [2, 2]), Err(EventError::ReceiptOrder));
    for statements in [
        [build(b"1", "c0", true), build(b"1", "c0", true)],
        [build(b"1", "c0", true), build(b"2", "c1", true)],
        [build(b"1", "c0", true), build(b"2", "c0", false)],
    ] {
        assert!(matches!(about(statements, [1, 2]), Err(EventError::Agreement(_))));
    }
}
