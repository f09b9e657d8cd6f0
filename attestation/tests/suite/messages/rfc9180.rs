//! The known answers of RFC 9180 A.2.1 for the suite that messages use, by the crate that seals them.

use attestation::message::MessagePrivateKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256 as Dhkem;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use serde_json::Value;
use shake::{ExtendableOutput as _, Shake128, Update as _, XofReader};

use super::{Given, text, vectors};

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).expect("hex")
}

/// As in Go's `crypto/hpke`: a length of one byte, and so many bytes.
fn draw(source: &mut impl XofReader) -> Vec<u8> {
    let mut length = [0];
    source.read(&mut length);
    let mut drawn = vec![0; usize::from(length[0])];
    source.read(&mut drawn);
    drawn
}

fn first_16(sink: Shake128) -> Vec<u8> {
    let mut out = vec![0; 16];
    sink.finalize_xof().read(&mut out);
    out
}

/// S4: keys, ciphertexts and exports, the accumulated ones too.
#[test]
fn s4_the_known_answers_hold() {
    let vectors = vectors();
    let case = &vectors["rfc9180"];
    let (private, public) = Dhkem::derive_keypair(&bytes(case, "ikmR"));
    // The crate writes private keys clamped, and the RFC's are not.
    let clamped =
        |name| MessagePrivateKey::from_bytes(&super::bytes_32(text(case, name))).to_bytes().to_vec();
    assert_eq!(private.to_bytes().to_vec(), clamped("skRm"));
    assert_eq!(public.to_bytes().to_vec(), bytes(case, "pkRm"));
    let (ephemeral, _) = Dhkem::derive_keypair(&bytes(case, "ikmE"));
    assert_eq!(ephemeral.to_bytes().to_vec(), clamped("skEm"));

    let info = bytes(case, "info");
    let setup = || {
        let mut rng = Given(bytes(case, "ikmE"));
        let (enc, sender) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Dhkem>(
            &OpModeS::Base,
            &public,
            &info,
            &mut rng,
        )
        .expect("a good key");
        assert_eq!(enc.to_bytes().to_vec(), bytes(case, "enc"));
        let enc = <Dhkem as Kem>::EncappedKey::from_bytes(&enc.to_bytes()).expect("32 bytes");
        let recipient = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, Dhkem>(
            &OpModeR::Base,
            &private,
            &enc,
            &info,
        )
        .expect("a good key");
        (sender, recipient)
    };

    let (mut sender, mut recipient) = setup();
    let encryptions = case["encryptions"].as_array().expect("a list");
    let mut next = 0;
    for encryption in encryptions {
        let sequence = encryption["sequence"].as_u64().expect("a number");
        // The vectors skip: what lies between is sealed and thrown away.
        while next < sequence {
            let skipped = sender.seal(b"", b"").expect("sealed");
            recipient.open(&skipped, b"").expect("opened");
            next += 1;
        }
        let (plaintext, aad) = (bytes(encryption, "plaintext"), bytes(encryption, "aad"));
        let ciphertext = sender.seal(&plaintext, &aad).expect("sealed");
        assert_eq!(ciphertext, bytes(encryption, "ciphertext"), "sequence {sequence}");
        assert_eq!(recipient.open(&ciphertext, &aad).expect("opened"), plaintext, "sequence {sequence}");
        next += 1;
    }
    assert_eq!(encryptions.len(), 6);

    for export in case["exports"].as_array().expect("a list") {
        let mut out = vec![0; export["length"].as_u64().expect("a length") as usize];
        sender.export(&bytes(export, "context"), &mut out).expect("exported");
        assert_eq!(out, bytes(export, "value"));
    }

    let (mut sender, mut recipient) = setup();
    let (mut source, mut sink) = (Shake128::default().finalize_xof(), Shake128::default());
    for _ in 0..1_000 {
        let (aad, plaintext) = (draw(&mut source), draw(&mut source));
        let ciphertext = sender.seal(&plaintext, &aad).expect("sealed");
        sink.update(&ciphertext);
        assert_eq!(recipient.open(&ciphertext, &aad).expect("opened"), plaintext);
    }
    assert_eq!(first_16(sink), bytes(case, "accumulatedEncryptions"));

    let (mut source, mut sink) = (Shake128::default().finalize_xof(), Shake128::default());
    for length in 0..1_000 {
        let mut out = vec![0; length];
        sender.export(&draw(&mut source), &mut out).expect("exported");
        sink.update(&out);
    }
    assert_eq!(first_16(sink), bytes(case, "accumulatedExports"));
}
