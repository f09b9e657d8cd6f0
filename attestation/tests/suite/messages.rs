//! `specs/vectors/messages.json`: seal gives the bytes of the vectors, and open their verdicts and reasons.

mod hostile;
mod legacy;
mod requests;
mod rfc9180;
mod vectors;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::event::{Capabilities, Commitment, Event, IdentityEvent, PendingEvent, Reference};
use attestation::identity::Identity;
use attestation::message::{Message, MessagePrivateKey, SignedMessage, TEXT};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;
use tlog::LeafIndex;
use tlog::key::Ed25519PrivateKey;

const ORIGIN: &str = "log.example.com/pipelines";

/// Of the vectors.
const NOW: u64 = 1_790_000_000_000;

pub(super) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../specs/vectors/messages.json")).expect("JSON")
}

/// The cases of a list, of which there are so many.
pub(super) fn cases(list: &str, count: usize) -> Vec<Value> {
    let Value::Array(cases) = vectors()[list].take() else { panic!("{list} is a list") };
    assert_eq!(cases.len(), count);
    cases
}

pub(super) fn text<'v>(case: &'v Value, name: &str) -> &'v str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is text"))
}

fn time(case: &Value, name: &str) -> LogTime {
    LogTime::from_millis(case[name].as_u64().expect("a time")).expect("a time")
}

fn bytes_32(hex: &str) -> [u8; 32] {
    hex::decode(hex).expect("hex").try_into().expect("32 bytes")
}

fn did(text: &str) -> Did {
    text.parse().expect("a DID")
}

/// What came of a case, as the vectors say it: the verdict, and the reason if there is one.
fn wanted(case: &Value) -> (&str, Option<&str>) {
    (text(case, "verdict"), case.get("reason").map(|_| text(case, "reason")))
}

fn made<T>(outcome: &Result<T, &'static str>) -> (&'static str, Option<&'static str>) {
    match outcome {
        Ok(_) => ("accepted", None),
        Err(rule) => ("refused", Some(rule)),
    }
}

/// A source of bytes that are known before.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("sealing draws bytes only")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("sealing draws bytes only")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        assert!(out.len() <= self.0.len(), "sealing draws what the vectors give, and no more");
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

/// The identity of a state of the vectors, by events; `None`: bare.
pub(super) fn identity(vectors: &Value, did_text: &str, state: &Value) -> Option<Identity> {
    let status = text(state, "status");
    if status == "bare" {
        return None;
    }
    let people = vectors["identities"].as_object().expect("identities");
    let person = people.values().find(|person| person["did"] == did_text).expect("the DID is one of theirs");
    let key = |seed: &Value| Ed25519PrivateKey::from_seed(&bytes_32(seed.as_str().expect("a seed")));
    let (genesis, recovery) = (key(&person["seed"]), Ed25519PrivateKey::from_seed(&[9; 32]));
    let next = person
        .get("rotatedTo")
        .map_or_else(|| Ed25519PrivateKey::from_seed(&[8; 32]), |next| key(&next["seed"]));
    let commit = |key: &Ed25519PrivateKey| Commitment::to(key.public_key().as_bytes());
    let names = state["capabilities"].as_array().expect("capabilities").iter();
    let capabilities =
        Capabilities::from_names(names.map(|name| name.as_str().expect("a name"))).expect("sorted");
    let mut events: Vec<(LeafIndex, PendingEvent)> = Vec::new();
    let mut say = |body: IdentityEvent, signers: &[&Ed25519PrivateKey]| {
        let event = Event::about_itself(did(did_text), ORIGIN, body).expect("an event");
        let index = LeafIndex::new(events.len() as u64);
        events.push((index, PendingEvent::sign(event, signers).expect("an event")));
        Identity::fold(events.iter().map(|(index, event)| (*index, event))).expect("registered")
    };
    let incepted = say(
        IdentityEvent::Inception {
            key: *genesis.public_key().as_bytes(),
            next: commit(&next),
            recovery: commit(&recovery),
            capabilities,
            public_name: None,
        },
        &[&genesis],
    );
    let link = incepted.link();
    let rotated = state["earlierKeys"].as_array().is_some_and(|earlier| !earlier.is_empty());
    let identity = match status {
        "active" if rotated => {
            let later = Ed25519PrivateKey::from_seed(&[7; 32]);
            let key = *next.public_key().as_bytes();
            let body = IdentityEvent::Rotation { link, key, next: commit(&later), capabilities };
            say(body, &[&genesis, &next])
        }
        "compromised" => {
            let since = Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(0) };
            say(IdentityEvent::Compromise { link, since }, &[&recovery])
        }
        "deactivated" => say(IdentityEvent::Deactivation { link }, &[&recovery]),
        _ => incepted,
    };
    assert_eq!(identity.status().name(), status);
    assert_eq!(tlog::encoding::base64(identity.key()), text(state, "key"));
    Some(identity)
}

/// A message of the day, from a bare sender to itself.
fn message(key: &Ed25519PrivateKey) -> Message {
    let time = |millis| LogTime::from_millis(millis).expect("a time");
    let sender = Did::of(&key.public_key());
    Message {
        artifacts: Vec::new(),
        attachments: Vec::new(),
        body: "Build complete. Artifacts signed.".to_owned(),
        content_type: TEXT.to_owned(),
        created: time(NOW),
        expires: time(NOW + 1_000),
        id: "00112233445566778899aabbccddeeff".parse().expect("an id"),
        in_reply_to: None,
        origin: ORIGIN.to_owned(),
        recipients: vec![sender],
        sender,
    }
}

/// Sender and recipient of tests without vectors, and its message key.
fn someone() -> (Ed25519PrivateKey, MessagePrivateKey) {
    (Ed25519PrivateKey::from_seed(&[3; 32]), MessagePrivateKey::from_bytes(&[4; 32]))
}

fn signed(message: Message) -> SignedMessage {
    SignedMessage::sign(message, &someone().0).expect("a message that keeps the rules")
}
