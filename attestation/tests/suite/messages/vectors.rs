//! The messages of the vectors, accepted and refused, and their keys.

use attestation::Did;
use attestation::message::{
    Circumstances, FRAME_BYTES, LegacyRefusal, MAX_PAYLOAD_BYTES, MESSAGE_TYPE, Mailbox, MessageKey,
    MessagePrivateKey, REQUEST_TYPE, Refusal, Sealed, SignedMessage,
};
use serde_json::Value;
use tlog::Hash;
use tlog::encoding::decode_base64;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

use super::{Given, bytes_32, cases, did, identity, made, text, time, vectors, wanted};

/// What a recipient makes of a case: all checks, in order.
fn open(case: &Value, vectors: &Value) -> Result<SignedMessage, Refusal> {
    let sealed = Sealed::from_base64(text(case, "sealed"))?;
    let keys = case["privateKeys"].as_array().expect("keys").iter();
    let keys: Vec<_> =
        keys.map(|key| MessagePrivateKey::from_bytes(&bytes_32(key.as_str().expect("a key")))).collect();
    let mailbox = Mailbox {
        did: did(text(case, "recipient")),
        keys: &keys,
        origin: text(case, "origin"),
        relay_sender: case["relaySender"].as_str().map(did),
    };
    let opened = mailbox.open(&sealed)?;
    let sender = identity(vectors, &opened.sender().to_string(), &case["senderState"]);
    let pair = [opened.sender().to_string(), opened.id().to_string()];
    let seen = case.get("seen").and_then(Value::as_array);
    let accepted = opened.accept(&Circumstances {
        sender: sender.as_ref(),
        now: time(case, "now"),
        seen: seen.is_some_and(|seen| seen.iter().any(|other| other[0] == pair[0] && other[1] == pair[1])),
        registered_only: case.get("registeredOnly").is_some_and(|only| only == true),
    })?;
    assert_eq!(accepted.envelope(), sealed.id());
    assert_eq!(accepted.is_registered(), sender.is_some());
    Ok(accepted.signed().clone())
}

#[test]
fn accepted_messages_are_opened_and_sealed_again_byte_for_byte() {
    let vectors = vectors();
    for case in cases("messages", 55) {
        let name = text(&case, "name");
        let opened = open(&case, &vectors).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(wanted(&case), ("accepted", None), "{name}");
        assert_eq!(opened.payload().len() as u64, case["payloadBytes"].as_u64().expect("a length"), "{name}");
        match case.get("payload") {
            Some(payload) => {
                assert_eq!(opened.payload(), payload.as_str().expect("text").as_bytes(), "{name}")
            }
            None => {
                assert_eq!(Hash::of(opened.payload()).to_string(), text(&case, "payloadSha256"), "{name}")
            }
        }

        let key = Ed25519PrivateKey::from_seed(&bytes_32(text(&case, "signerSeed")));
        let signed = SignedMessage::sign(opened.message().clone(), &key).expect("a message");
        assert_eq!(signed, opened, "{name}");
        let recipient_key = MessageKey::from_bytes(&bytes_32(text(&case, "recipientKey"))).expect("a key");
        let mut rng = Given(hex::decode(text(&case, "ikmE")).expect("hex"));
        let sealed = signed.seal(did(text(&case, "recipient")), &recipient_key, &mut rng).expect("addressed");
        assert_eq!(sealed.to_base64(), text(&case, "sealed"), "{name}");
        assert_eq!(sealed.id().to_string(), text(&case, "id"), "{name}");
    }
}

/// S28, and S3 among them: encapsulated keys of small order.
#[test]
fn s28_refused_messages_are_refused_for_their_reason() {
    let vectors = vectors();
    for case in cases("refused", 160) {
        let outcome = open(&case, &vectors).map_err(|refusal| refusal.rule());
        assert_eq!(made(&outcome), wanted(&case), "{}", text(&case, "name"));
    }
}

#[test]
fn keys_have_the_forms_and_ids_of_the_vectors() {
    let vectors = vectors();
    let people = vectors["identities"].as_object().expect("identities");
    assert_eq!(people.len(), 8);
    for (name, person) in people {
        let key = Ed25519PrivateKey::from_seed(&bytes_32(text(person, "seed")));
        assert_eq!(key.public_key().as_bytes(), &bytes_32(text(person, "publicKey")), "{name}");
        assert_eq!(Did::of(&key.public_key()), did(text(person, "did")), "{name}");
        let private = MessagePrivateKey::of_identity(&key);
        assert_eq!(*private.to_bytes(), bytes_32(text(person, "identityX25519Private")), "{name}");
        let public = MessageKey::of_identity(&key.public_key());
        assert_eq!(private.public_key(), &public, "{name}");
        assert_eq!(public.as_bytes(), &bytes_32(text(person, "identityX25519Public")), "{name}");
        assert_eq!(public.id().to_string(), text(person, "identityKeyId"), "{name}");
        for pair in person["messageKeys"].as_array().expect("keys") {
            let private = MessagePrivateKey::from_bytes(&bytes_32(text(pair, "private")));
            assert_eq!(private.public_key().as_bytes(), &bytes_32(text(pair, "public")), "{name}");
            assert_eq!(private.id().to_string(), text(pair, "keyId"), "{name}");
        }
    }
}

#[test]
fn the_format_is_that_of_the_vectors() {
    let vectors = vectors();
    let format = &vectors["format"];
    assert_eq!(text(format, "payloadType"), MESSAGE_TYPE);
    assert_eq!(text(format, "requestType"), REQUEST_TYPE);
    assert_eq!(format["plaintextSizes"], serde_json::json!(FRAME_BYTES));
    assert_eq!(format["maxPayloadBytes"], MAX_PAYLOAD_BYTES);
}

/// The identity key of every admitted Ed25519 key is one that messages may be sealed to.
#[test]
fn an_identity_key_opens_what_was_sealed_to_its_public_half() {
    for seed in 0..64_u8 {
        let key = Ed25519PrivateKey::from_seed(&[seed; 32]);
        let public = Ed25519PublicKey::from_bytes(key.public_key().as_bytes()).expect("a key");
        assert_eq!(MessagePrivateKey::of_identity(&key).public_key(), &MessageKey::of_identity(&public));
    }
}

#[test]
fn the_specification_shows_the_bytes_and_the_checks() {
    let page = include_str!("../../../../specs/message.md");
    let case = &cases("messages", 55)[0];
    let sealed = Sealed::from_base64(text(case, "sealed")).expect("sealed");
    let request = &cases("requests", 42)[3];
    let request = decode_base64(text(&request["body"], "request")).expect("base64");
    let request = String::from_utf8(request).expect("UTF-8");
    for sample in [text(case, "payload"), &hex::encode(&sealed.as_bytes()[..86]), &request] {
        assert!(page.contains(&format!("\n{sample}\n")), "{sample}");
    }
    for rule in Refusal::RULES.into_iter().chain(LegacyRefusal::RULES) {
        assert!(page.contains(&format!("`{rule}`")), "{rule}");
    }
    // And no reason of the vectors is another.
    for case in cases("refused", 160) {
        assert!(Refusal::RULES.contains(&text(&case, "reason")));
    }
}
