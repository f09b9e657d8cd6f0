#![no_main]
//! A statement has one spelling: whatever is written into a good one, signed and sealed, it is refused, or it is a message that signs to
//! the same bytes. And no sealed bytes panic.
use attestation::Did;
use attestation::message::{Circumstances, Mailbox, MessagePrivateKey, Refusal, Sealed, SignedMessage};
use hpke::{Deserializable as _, Kem, Serializable as _};
use tlog::key::Ed25519PrivateKey;

const ORIGIN: &str = "log.example.com/pipelines";
const FRAMES: [usize; 8] = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 98304];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Sealed::from_base64(&String::from_utf8_lossy(bytes));
    let _ = Sealed::from_bytes(bytes.to_vec());
    let (sender, key) = (Ed25519PrivateKey::from_seed(&[3; 32]), MessagePrivateKey::from_bytes(&[4; 32]));
    let did = Did::of(&sender.public_key());
    let Some(payload) = fuzz::splice(&good(&sender, did), bytes) else { return };
    let Some(sealed) = seal(&sender, did, &key, &payload) else { return };
    let keys = [key];
    let mailbox = Mailbox { did, keys: &keys, origin: ORIGIN, relay_sender: None };
    let Ok(opened) = mailbox.open(&sealed) else { return };
    let now = opened.created();
    let circumstances = Circumstances { sender: None, now, seen: false, registered_only: false };
    match opened.accept(&circumstances) {
        Ok(accepted) => {
            let again = SignedMessage::sign(accepted.message().clone(), &sender).expect("it kept the rules");
            assert_eq!(again.payload(), payload);
        }
        // Another sender in the statement.
        Err(Refusal::State(_)) => (),
        Err(refusal) => panic!("{refusal}"),
    }
});

fn good(sender: &Ed25519PrivateKey, did: Did) -> Vec<u8> {
    let key = tlog::encoding::base64(sender.public_key().as_bytes());
    let (artifacts, reply) = ("00".repeat(32), "01".repeat(16));
    format!(
        r#"{{"artifacts":[{{"entry":{{"index":7,"origin":"{ORIGIN}"}},"name":"a","sha256":"{artifacts}"}}],"attachments":[{{"content":"AAAA","contentType":"text/plain","name":"b"}}],"body":"c","contentType":"text/plain","created":1,"expires":2,"id":"{}","inReplyTo":"{reply}","key":"{key}","origin":"{ORIGIN}","recipients":["{did}"],"sender":"{did}"}}"#,
        "02".repeat(16)
    )
    .into_bytes()
}

/// Seals any payload, as no message of ours could.
fn seal(sender: &Ed25519PrivateKey, did: Did, key: &MessagePrivateKey, payload: &[u8]) -> Option<Sealed> {
    let signature = sender.sign(&attestation::dsse::pae(attestation::message::MESSAGE_TYPE, payload));
    let length = u32::try_from(payload.len()).ok()?;
    let mut plaintext = [length.to_be_bytes().as_slice(), &signature, payload].concat();
    plaintext.resize(FRAMES.into_iter().find(|frame| plaintext.len() <= *frame)?, 0);
    let header = [b"AIPM2\x01".as_slice(), did.as_bytes(), key.id().as_bytes(), &[2; 16]].concat();
    type Suite = hpke::kem::X25519HkdfSha256;
    let public = <Suite as Kem>::PublicKey::from_bytes(key.public_key().as_bytes()).ok()?;
    let (enc, ciphertext) =
        hpke::single_shot_seal_with_rng::<hpke::aead::ChaCha20Poly1305, hpke::kdf::HkdfSha256, Suite>(
            &hpke::OpModeS::Base,
            &public,
            b"aip-msg/v2",
            &plaintext,
            &header,
            &mut fuzz::Fixed,
        )
        .ok()?;
    Sealed::from_bytes([header.as_slice(), &enc.to_bytes(), &ciphertext].concat()).ok()
}
