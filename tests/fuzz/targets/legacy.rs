#![no_main]
//! Legacy mail of any form, time and box is read or refused, and never panics.
use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::{LegacyCircumstances, LegacyContent, LegacyMail, MessagePrivateKey, sign_challenge};
use tlog::encoding::base64;
use tlog::key::Ed25519PrivateKey;

const TIME: &str = "2026-09-21T14:13:20.123456+00:00";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let key = Ed25519PrivateKey::from_seed(&[3; 32]);
    let did = Did::of(&key.public_key());
    let _ = sign_challenge(&String::from_utf8_lossy(bytes), &key);
    let timestamp = fuzz::splice(TIME.as_bytes(), bytes).and_then(|time| String::from_utf8(time).ok());
    let encrypted_content = base64(bytes);
    let signed = format!("{did}|{did}|{}|{encrypted_content}", timestamp.clone().unwrap_or_default());
    let signature = base64(&key.sign(signed.as_bytes()));
    let Ok(mail) = LegacyMail::parse(did, did, LegacyContent { encrypted_content, signature, timestamp }) else {
        return;
    };
    let _ = mail.open(&LegacyCircumstances {
        did,
        key: &MessagePrivateKey::of_identity(&key),
        received_at: LogTime::from_millis(1_790_000_000_000).expect("a time"),
        sender_key: &key.public_key(),
        seen: false,
    });
});
