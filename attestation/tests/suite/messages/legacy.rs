//! Legacy mail of the vectors.

use attestation::message::{
    LegacyCircumstances, LegacyContent, LegacyMail, LegacyRefusal, MessagePrivateKey,
};
use serde_json::Value;
use tlog::encoding::decode_base64_array;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

use super::{Given, bytes_32, cases, did, made, text, time, wanted};

fn open(case: &Value) -> Result<String, LegacyRefusal> {
    let wire = &case["wire"];
    let content = LegacyContent {
        encrypted_content: text(wire, "encrypted_content").to_owned(),
        signature: text(wire, "signature").to_owned(),
        timestamp: wire["timestamp"].as_str().map(str::to_owned),
    };
    let mail = LegacyMail::parse(did(text(wire, "sender_did")), did(text(wire, "recipient_did")), content)?;
    let sender_key = decode_base64_array(text(case, "senderKey")).expect("base64");
    let seed = Ed25519PrivateKey::from_seed(&bytes_32(text(case, "recipientSeed")));
    let replay = mail.replay_key().to_string();
    let seen = case.get("seen").and_then(Value::as_array);
    mail.open(&LegacyCircumstances {
        did: did(text(case, "recipient")),
        key: &MessagePrivateKey::of_identity(&seed),
        received_at: time(case, "receivedAt"),
        sender_key: &Ed25519PublicKey::from_bytes(&sender_key).expect("a key"),
        seen: seen.is_some_and(|seen| seen.iter().any(|other| *other == replay)),
    })
}

/// S28, for legacy mail.
#[test]
fn s28_legacy_mail_is_judged_as_the_vectors_say() {
    for case in cases("legacy", 26) {
        let name = text(&case, "name");
        let outcome = open(&case);
        if let Ok(opened) = &outcome {
            assert_eq!(opened, text(&case, "plaintext"), "{name}");
        }
        assert_eq!(made(&outcome.map_err(|refusal| refusal.rule())), wanted(&case), "{name}");
    }
}

#[test]
fn legacy_boxes_are_sealed_byte_for_byte() {
    let alice =
        Ed25519PrivateKey::from_seed(&bytes_32(text(&super::vectors()["identities"]["alice"], "seed")));
    let mut same = 0;
    for case in cases("legacy", 26) {
        let (Ok(opened), wire) = (open(&case), &case["wire"]) else { continue };
        let to = Ed25519PrivateKey::from_seed(&bytes_32(text(&case, "recipientSeed"))).public_key();
        let mut rng = Given(hex::decode(text(&case, "ephemeralPrivate")).expect("hex"));
        let (sender, recipient) = (did(text(wire, "sender_did")), did(text(wire, "recipient_did")));
        let now = time(&case, "receivedAt");
        let mail = LegacyMail::seal(&opened, sender, &alice, recipient, &to, now, &mut rng).expect("sealed");
        assert_eq!(
            mail.content().encrypted_content,
            text(wire, "encrypted_content"),
            "{}",
            text(&case, "name")
        );
        // Our own time, to the millisecond, is one that every reader takes.
        assert_eq!(mail.content().timestamp.as_deref(), Some("2026-09-21T14:13:20.000000+00:00"));
        assert_eq!(mail.check_time(now), Ok(()));
        assert_eq!(mail.verify(&alice.public_key()), Ok(()));
        same += 1;
    }
    assert_eq!(same, 10);
}
