//! Evidence: what a log asserts of its lists, and how each lie is named.

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{
    Capabilities, Commitment, Event, IdentityEvent, Level, Link, PendingEvent, RawKey, Scope, StatementId,
    TrustEvent,
};
use attestation::evidence::{Evidence, EvidenceError, MAX_BYTES, assert_lists};
use attestation::identity::Status;
use attestation::lists::{ListKey, Listed};
use testkit::keys::{policy_of, signer};
use tlog::checkpoint::Checkpoint;
use tlog::key::{Ed25519PrivateKey, KeyType, SignerKey};
use tlog::policy::Policy;
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

const ORIGIN: &str = "log.example.com/pipelines";

fn log() -> SignerKey {
    signer(ORIGIN, KeyType::Ed25519, 1)
}

fn witness() -> SignerKey {
    signer("witness.example.com", KeyType::Ed25519Cosignature, 2)
}

fn policy() -> Policy {
    policy_of(&log(), &witness()).parse().expect("a policy")
}

fn key(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn raw(seed: u8) -> RawKey {
    *key(seed).public_key().as_bytes()
}

fn did(seed: u8) -> Did {
    Did::of_raw(&raw(seed))
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

const CAPABILITIES: Capabilities = Capabilities { messages: false, receipts: true, vouches: true };

fn sign(event: Event, seeds: &[u8]) -> PendingEvent {
    let keys: Vec<Ed25519PrivateKey> = seeds.iter().map(|seed| key(*seed)).collect();
    PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("an event")
}

fn inception(seed: u8) -> PendingEvent {
    let event = IdentityEvent::Inception {
        key: raw(seed),
        next: Commitment::to(&raw(seed + 1)),
        recovery: Commitment::to(&raw(seed + 2)),
        capabilities: CAPABILITIES,
        public_name: None,
    };
    sign(Event::about_itself(did(seed), ORIGIN, event).expect("an event"), &[seed])
}

fn says(from: u8, about: u8, event: TrustEvent) -> PendingEvent {
    sign(Event::about(did(about), did(from), ORIGIN, event).expect("an event"), &[from])
}

/// A DID is registered, another vouches for it, and it rotates.
fn events() -> Vec<PendingEvent> {
    let vouch = TrustEvent::Vouch {
        id: StatementId([1; 16]),
        issued_at: time(1_000),
        scope: Scope::CodeSigning,
        level: Level::Strong,
        depth: None,
        expires_at: time(2_000),
    };
    let first = inception(10);
    let rotation = IdentityEvent::Rotation {
        link: Link { sequence: 1, previous: first.hash() },
        key: raw(11),
        next: Commitment::to(&raw(13)),
        capabilities: CAPABILITIES,
    };
    vec![
        first,
        inception(20),
        says(20, 10, vouch),
        sign(Event::about_itself(did(10), ORIGIN, rotation).expect("an event"), &[10, 11]),
    ]
}

fn good() -> Evidence {
    evidence_of(&events())
}

/// Evidence of a log with these events and all of their lists, whatever rules of state they break.
fn evidence_of(events: &[PendingEvent]) -> Evidence {
    let leaves: Vec<Vec<u8>> = events.iter().map(|event| event.to_leaf(time(1_500))).collect();
    testkit::evidence::evidence_of(&log(), &[(&witness(), 1_790_000_000)], &leaves, |_| true, [])
}

#[test]
fn what_is_written_is_read_and_holds() {
    let evidence = good();
    let json = evidence.to_json();
    assert_eq!(Evidence::parse(json.as_bytes()), Ok(evidence.clone()));
    let proven = evidence.verify(&policy()).expect("it holds");
    assert_eq!(proven.attested(), Some(UnixTime::from_secs(1_790_000_000)));
    let size = proven.checkpoint().size;
    let state = proven.identity(did(10), size).expect("its list is there").expect("registered");
    assert_eq!((state.status(), state.key()), (Status::Active, &raw(11)));
    let before = proven.identity(did(10), TreeSize::new(3)).expect("its list is there").expect("registered");
    assert_eq!(before.key(), &raw(10));
    assert_eq!(proven.identity(did(10), TreeSize::new(0)), Ok(None));
    let stranger = ListKey::Id(did(99));
    assert_eq!(proven.identity(did(99), size), Err(EvidenceError::MissingList(stranger)));
    let edge = proven.list(ListKey::Edge(did(20), did(10), Scope::CodeSigning)).expect("the edge");
    assert_eq!(edge.len(), 1);
    assert_eq!(edge[0].peer, did(10));
}

/// The refusal names the list that was taken out or altered.
#[test]
fn each_list_that_is_taken_out_or_altered_is_named() {
    let good = good();
    for (key, list) in &good.lists {
        let mut without = good.clone();
        without.lists.remove(key);
        assert_eq!(without.verify(&policy()).err(), Some(EvidenceError::AssertedList(*key)));
        for at in 0..list.len() {
            let mut shorter = good.clone();
            shorter.lists.get_mut(key).expect("the list").remove(at);
            assert_eq!(shorter.verify(&policy()).err(), Some(EvidenceError::AssertedList(*key)));
            let mut altered = good.clone();
            let listed = &mut altered.lists.get_mut(key).expect("the list")[at];
            listed.expiry_hours += 1;
            assert_eq!(altered.verify(&policy()).err(), Some(EvidenceError::AssertedList(*key)));
            // A log that asserts it all the same is contradicted by the entry.
            let (checkpoint, _) =
                policy().log_checkpoint(&good.checkpoint).map(|(c, l)| (c, l.clone())).expect("it");
            altered.assertion = assert_lists(&log(), &checkpoint, &altered.lists);
            let index = altered.lists[key][at].index;
            assert_eq!(altered.verify(&policy()).err(), Some(EvidenceError::Listed { list: *key, index }));
        }
        let mut more = good.clone();
        let one_more = Listed { index: LeafIndex::new(9), ..list[0] };
        more.lists.get_mut(key).expect("the list").push(one_more);
        assert_eq!(more.verify(&policy()).err(), Some(EvidenceError::AssertedList(*key)));
    }
}

#[test]
fn each_entry_that_is_taken_out_or_altered_is_named() {
    let good = good();
    for at in 0..good.elements.len() {
        let index = good.elements[at].index;
        let mut without = good.clone();
        without.elements.remove(at);
        let proven = without.verify(&policy()).expect("what is there holds");
        assert_eq!(proven.event(index), Err(EvidenceError::MissingEntry(index)));
        let byte = good.elements[at].leaf.len() / 2;
        let mut altered = good.clone();
        altered.elements[at].leaf[byte] ^= 1;
        assert!(
            matches!(altered.verify(&policy()), Err(EvidenceError::Inclusion { index: got, .. }) if got == index)
        );
        for hash in 0..good.elements[at].hashes.len() {
            let mut altered = good.clone();
            altered.elements[at].hashes[hash] = Hash::of(b"x");
            assert!(
                matches!(altered.verify(&policy()), Err(EvidenceError::Inclusion { index: got, .. }) if got == index)
            );
        }
    }
}

#[test]
fn log_and_witnesses_vouch_for_it() {
    let good = good();
    let (checkpoint, _) = policy().log_checkpoint(&good.checkpoint).map(|(c, l)| (c, l.clone())).expect("it");
    let unwitnessed = Evidence { checkpoint: checkpoint.sign(&log()), ..good.clone() };
    assert!(matches!(unwitnessed.verify(&policy()), Err(EvidenceError::Quorum(_))));
    let other = signer(ORIGIN, KeyType::Ed25519, 9);
    let forged = Evidence { checkpoint: checkpoint.sign(&other), ..good.clone() };
    assert!(matches!(forged.verify(&policy()), Err(EvidenceError::Checkpoint(_))));
    let by_another = Evidence { assertion: assert_lists(&other, &checkpoint, &good.lists), ..good.clone() };
    assert_eq!(by_another.verify(&policy()).err(), Some(EvidenceError::AssertionSignature));
    let elsewhere = Checkpoint { root: Hash::of(b"x"), ..checkpoint };
    let stale = Evidence { assertion: assert_lists(&log(), &elsewhere, &good.lists), ..good };
    assert_eq!(stale.verify(&policy()).err(), Some(EvidenceError::AssertedTree));
    // An assertion is no checkpoint, whoever reads it as one.
    assert!(Checkpoint::parse(stale.assertion.text()).is_err());
}

#[test]
fn other_forms_are_refused() {
    let good = good().to_json();
    for (from, to) in [
        ("evidence.v1", "evidence.v2"),
        ("\"lists\"", "\"x\": 1, \"lists\""),
        ("\"id:did", "\"ID:did"),
        ("\"index\": 0", "\"index\": 2"),
        ("\"index\": 0", "\"index\": -1"),
        ("\"hashes\": [\n        \"", "\"hashes\": [\n        \"!"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(Evidence::parse(bad.as_bytes()).is_err(), "{from}");
    }
    assert_eq!(Evidence::parse(&vec![b' '; MAX_BYTES + 1]), Err(EvidenceError::TooLong(MAX_BYTES + 1)));
}
