//! Message keys: the vectors of `specs/vectors/messages.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;

use attestation::Did;
use attestation::entry::ClaimHash;
use attestation::event::{EventError, PendingEvent, RawKey};
use attestation::identity::Identity;
use attestation::rules::{Artifact, CheckError, Prefix, check_event};
use serde_json::Value;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};
use tlog::{Hash, LeafIndex, encoding};

use crate::messages::{cases, identity, text, vectors};

/// What stands before an event of the vectors.
struct Before {
    state: Option<Identity>,
    last: Option<ClaimHash>,
}

impl Prefix for Before {
    type Error = Infallible;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Infallible> {
        Ok(self.state.as_ref().filter(|state| state.did() == did).map(Cow::Borrowed))
    }

    fn artifact(&self, _: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, Infallible> {
        Ok(None)
    }

    fn open_failure(&self, _: Did, _: Did) -> Result<Option<LeafIndex>, Infallible> {
        Ok(None)
    }

    fn message_keys(&self, _: Did) -> Result<Option<ClaimHash>, Infallible> {
        Ok(self.last)
    }
}

/// The reason of a refusal, in the order of the specification.
fn judge(leaf: &[u8], before: &Before) -> Result<PendingEvent, &'static str> {
    let event = PendingEvent::parse(leaf).map_err(|error| match error {
        EventError::MessageKeys(_) => "message-keys",
        error => panic!("no such case: {error}"),
    })?;
    event.verify(Ed25519PublicKey::from_bytes).map_err(|_| "event-signature")?;
    match check_event(before, &event, LeafIndex::new(100)) {
        Ok(after) => assert_eq!(after, None, "it changes no state"),
        Err(CheckError::Rule(error)) => return Err(error.rule()),
        Err(CheckError::Prefix(never)) => match never {},
    }
    Ok(event)
}

fn seeds(vectors: &Value) -> BTreeMap<RawKey, Ed25519PrivateKey> {
    let identities = vectors["identities"].as_object().expect("identities").values();
    let all = identities.flat_map(|identity| [&identity["seed"], &identity["rotatedTo"]["seed"]]);
    let key = |seed: &Value| {
        let seed = hex::decode(seed.as_str()?).expect("hex");
        let key = Ed25519PrivateKey::from_seed(&seed.try_into().expect("32 bytes"));
        Some((*key.public_key().as_bytes(), key))
    };
    all.filter_map(key).collect()
}

#[test]
fn every_event_of_the_vectors_is_judged_as_they_say() {
    let vectors = vectors();
    let keys = seeds(&vectors);
    for case in cases("messageKeysEvents", 33) {
        let name = text(&case, "name");
        let leaf = encoding::decode_base64(text(&case, "pendingLeaf")).expect("base64");
        let json: Value = serde_json::from_slice(&leaf).expect("JSON");
        let state = identity(&vectors, text(&json["spec"], "did"), &case["state"]);
        let last = case["lastEvent"].as_str().map(|hash| ClaimHash::new(Hash::from_hex(hash).expect("hex")));
        assert_eq!(Hash::of(&leaf).to_string(), text(&case, "eventHash"), "{name}");
        match (text(&case, "verdict"), judge(&leaf, &Before { state, last })) {
            ("refused", Err(reason)) => assert_eq!(reason, text(&case, "reason"), "{name}"),
            ("accepted", Ok(event)) => {
                assert_eq!(event.event().to_payload(), text(&case, "payload").as_bytes(), "{name}");
                // And made again, to the byte.
                let signer = &keys[event.keys().next().expect("a key")];
                let again = PendingEvent::sign(event.event().clone(), &[signer]).expect("an event");
                assert_eq!(again.to_bytes(), leaf, "{name}");
            }
            (verdict, judged) => panic!("{name}: {verdict}, and here {judged:?}"),
        }
    }
}
