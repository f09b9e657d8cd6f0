//! Cosignatures (COS). COS-7, one key is one signer, is a rule of policies.

use serde::Deserialize;
use testkit::chance::Chance;
use testkit::keys::{signer, vkey};
use testkit::vectors::{self, hash};
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::{
    CosignatureError, MAX_TIME, Subtree, cosign, cosign_subtree, ed25519_message, subtree_message, verify,
    verify_subtree,
};
use tlog::key::{KeyType, SignerKey, VerifierKey};
use tlog::note::{Note, NoteError, NoteSignature};
use tlog::{Hash, TreeSize, UnixTime};

#[derive(Deserialize)]
struct Cosignatures {
    timestamp: u64,
    keys: Keys,
    checkpoints: Vec<CosignedCheckpoint>,
    subtrees: Vec<CosignedSubtree>,
}

#[derive(Deserialize)]
struct Keys {
    log_ed25519: Key,
    log_mldsa44: Key,
    w1_ed25519: Key,
    w2_mldsa44: Key,
}

#[derive(Deserialize)]
struct Key {
    seed_hex: String,
    vkey: String,
}

#[derive(Deserialize)]
struct CosignedCheckpoint {
    note_text: String,
    log_ed25519_line: String,
    log_mldsa44_line: String,
    log_mldsa44_message_hex: String,
    w1_ed25519_message_hex: String,
    w1_line: String,
    w2_line: String,
    w2_mldsa44_message_hex: String,
    full_note: String,
}

#[derive(Deserialize)]
struct CosignedSubtree {
    start: u64,
    end: u64,
    subtree_root: String,
    message_hex: String,
    line: String,
}

impl Key {
    fn signer(&self, kind: KeyType) -> SignerKey {
        let seed = hex::decode(&self.seed_hex).expect("hex").try_into().expect("32 bytes");
        let name = vkey(&self.vkey).name().clone();
        let key = SignerKey::from_seed(name, kind, &seed);
        assert_eq!(key.verifier().to_string(), self.vkey);
        key
    }
}

fn line(text: &str) -> NoteSignature {
    NoteSignature::parse(text.trim_end_matches('\n')).expect("a signature line")
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new("log.example", TreeSize::new(7), Hash::of(b"a tree"))
}

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

fn witnesses() -> [SignerKey; 2] {
    [KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature].map(|kind| signer("w.example", kind, 9))
}

/// Whether `blob` cosigns the test checkpoint.
fn verdict(key: &SignerKey, blob: &[u8]) -> Result<UnixTime, CosignatureError> {
    verify(key.verifier(), &checkpoint().to_string(), &checkpoint(), blob)
}

#[test]
fn cos_1_cos_2_messages_lines_and_notes_are_those_of_go_byte_for_byte() {
    let vectors: Cosignatures = vectors::ours("cosignatures.json");
    let time = UnixTime::from_secs(vectors.timestamp);
    let log = vectors.keys.log_ed25519.signer(KeyType::Ed25519);
    let ml_dsa_log = vectors.keys.log_mldsa44.signer(KeyType::MlDsa44Cosignature);
    let w1 = vectors.keys.w1_ed25519.signer(KeyType::Ed25519Cosignature);
    let w2 = vectors.keys.w2_mldsa44.signer(KeyType::MlDsa44Cosignature);
    let keys = [&log, &w1, &w2, &ml_dsa_log].map(|key| key.verifier().clone());
    for case in &vectors.checkpoints {
        let checkpoint = Checkpoint::parse(&case.note_text).expect("a checkpoint");
        let mut note = checkpoint.sign(&log);
        assert_eq!(format!("{}\n", note.signatures()[0]), case.log_ed25519_line);
        assert_eq!(hex::encode(ed25519_message(time, &case.note_text)), case.w1_ed25519_message_hex);
        note.add(cosign(&w1, &checkpoint, time).expect("a witness's key"));
        assert_eq!(format!("{}\n", note.signatures()[1]), case.w1_line);
        for (key, message_hex, given) in [
            (&w2, &case.w2_mldsa44_message_hex, &case.w2_line),
            (&ml_dsa_log, &case.log_mldsa44_message_hex, &case.log_mldsa44_line),
        ] {
            let message = subtree_message(key.verifier(), time, &Subtree::of(&checkpoint));
            assert_eq!(message.map(hex::encode).as_ref(), Ok(message_hex));
            let given = line(given);
            assert_eq!(verify(key.verifier(), &case.note_text, &checkpoint, given.signature()), Ok(time));
            // ML-DSA says nothing about extension lines: these are verified, but not made (WIT-10).
            match cosign(key, &checkpoint, time) {
                Ok(own) => note.add(own),
                Err(refused) => {
                    assert_eq!(refused, CosignatureError::Extensions);
                    assert!(!checkpoint.extensions.is_empty());
                    note.add(given);
                }
            }
        }
        let theirs = Note::parse(case.full_note.as_bytes()).expect("a note");
        assert_eq!(theirs.to_string(), case.full_note);
        for note in [&theirs, &note] {
            let signed = note.verify(&keys).expect("all four signatures are good");
            let times: Vec<Option<UnixTime>> = signed.iter().map(|signed| signed.time).collect();
            assert_eq!(times, [None, Some(time), Some(time), Some(time)]);
        }
    }
    assert_eq!(vectors.checkpoints.len(), 3);
}

#[test]
fn cos_2_cos_8_subtrees_are_cosigned_without_a_time() {
    let vectors: Cosignatures = vectors::ours("cosignatures.json");
    let key = vectors.keys.w2_mldsa44.signer(KeyType::MlDsa44Cosignature);
    let (signer, key, zero) = (&key, key.verifier(), UnixTime::from_secs(0));
    for case in &vectors.subtrees {
        let root = hash(&case.subtree_root);
        let of = Subtree { origin: "example.com/log1", start: case.start, end: case.end, root };
        assert_eq!(subtree_message(key, zero, &of).map(hex::encode).as_ref(), Ok(&case.message_hex));
        let line = line(&case.line);
        let blob = line.signature();
        assert_eq!(verify_subtree(key, &of, blob), Ok(zero));
        let own = cosign_subtree(signer, &of).expect("a subtree");
        assert!(own.is_by(key));
        assert_eq!(verify_subtree(key, &of, own.signature()), Ok(zero));
        for other in [
            Subtree { origin: "example.com/log2", ..of },
            Subtree { start: of.start ^ 16, end: of.end ^ 16, ..of },
            Subtree { end: of.end - 1, ..of },
            Subtree { root: Hash::of(b"another"), ..of },
        ] {
            assert!(verify_subtree(key, &other, blob).is_err(), "{other:?}");
        }
        // A time would be a statement about the largest tree, which only a tree from 0 can be.
        let timed = [&1_u64.to_be_bytes()[..], &blob[8..]].concat();
        let want = if of.start == 0 { CosignatureError::Signature } else { CosignatureError::Time(1) };
        assert_eq!(verify_subtree(key, &of, &timed), Err(want));
    }
    assert_eq!(vectors.subtrees.len(), 3);
}

#[test]
fn cos_8_what_is_no_subtree_is_refused() {
    let [ed25519, ml_dsa] = witnesses();
    let zero = UnixTime::from_secs(0);
    let message = |start, end, time| {
        let of = Subtree { origin: "log.example", start, end, root: Hash::of(b"x") };
        subtree_message(ml_dsa.verifier(), time, &of).map(|message| message.len())
    };
    for (start, end) in [(0, 0), (0, 1), (0, u64::MAX), (8, 13), (1 << 63, u64::MAX)] {
        assert!(message(start, end, zero).is_ok(), "[{start}, {end})");
    }
    for (start, end) in [(1, 0), (1, 1), (4, 9), (5, 7), (u64::MAX, 0), (1, u64::MAX)] {
        assert_eq!(message(start, end, zero), Err(CosignatureError::NoSubtree), "[{start}, {end})");
    }
    assert_eq!(message(8, 13, NOW), Err(CosignatureError::Time(NOW.as_secs())));
    let whole = Subtree { origin: "log.example", start: 0, end: 1, root: Hash::of(b"x") };
    assert_eq!(verify_subtree(ed25519.verifier(), &whole, &[0; 72]), Err(CosignatureError::NotACosigner));
    assert_eq!(cosign_subtree(&ed25519, &whole), Err(CosignatureError::NotACosigner));
    assert_eq!(
        cosign_subtree(&ml_dsa, &Subtree { start: 1, end: 3, ..whole }),
        Err(CosignatureError::NoSubtree)
    );
}

#[test]
fn cos_3_lengths_and_times_are_exact() {
    for key in witnesses() {
        let good = cosign(&key, &checkpoint(), NOW).expect("a witness's key").signature().to_vec();
        assert_eq!(verdict(&key, &good), Ok(NOW));
        for length in (0..good.len()).step_by(if good.len() > 72 { 61 } else { 1 }) {
            assert_eq!(verdict(&key, &good[..length]), Err(CosignatureError::Length(length)));
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(verdict(&key, &longer), Err(CosignatureError::Length(longer.len())));
        for time in [0, MAX_TIME + 1, u64::MAX] {
            let timed = [&time.to_be_bytes()[..], &good[8..]].concat();
            assert_eq!(verdict(&key, &timed), Err(CosignatureError::Time(time)));
            let refused = cosign(&key, &checkpoint(), UnixTime::from_secs(time));
            assert_eq!(refused, Err(CosignatureError::Time(time)));
        }
        let last = UnixTime::from_secs(MAX_TIME);
        let latest = cosign(&key, &checkpoint(), last).expect("the last second");
        assert_eq!(verdict(&key, latest.signature()), Ok(last));
        let other = [&(NOW.as_secs() + 1).to_be_bytes()[..], &good[8..]].concat();
        assert_eq!(verdict(&key, &other), Err(CosignatureError::Signature));
    }
}

/// Bits of ML-DSA-44 signatures, and noise in their place: refused, and no panic in the decoder.
#[test]
fn cos_3_altered_signatures_are_refused() {
    let mut chance = Chance::new(3);
    for key in witnesses() {
        let good = cosign(&key, &checkpoint(), NOW).expect("a witness's key").signature().to_vec();
        for round in 0..2_000 {
            let mut bad = good.clone();
            match round % 4 {
                0 | 1 => bad[chance.place(good.len())] ^= 1 << chance.place(8),
                2 => bad[8..].iter_mut().for_each(|byte| *byte = chance.next() as u8),
                // The end of an ML-DSA signature is a list of positions with rules of its own.
                _ => bad[good.len().saturating_sub(84)..]
                    .iter_mut()
                    .for_each(|byte| *byte = chance.next() as u8 % 81),
            }
            if bad != good {
                assert!(verdict(&key, &bad).is_err());
            }
        }
    }
}

#[test]
fn cos_4_extension_lines_are_covered_by_ed25519_only() {
    let extended = Checkpoint { extensions: vec!["one".into()], ..checkpoint() };
    let [ed25519, ml_dsa] = witnesses();
    let line = cosign(&ed25519, &extended, NOW).expect("a witness's key");
    let verdict = |key: &SignerKey, of: &Checkpoint, line: &NoteSignature| {
        verify(key.verifier(), &of.to_string(), of, line.signature())
    };
    assert_eq!(verdict(&ed25519, &extended, &line), Ok(NOW));
    assert_eq!(verdict(&ed25519, &checkpoint(), &line), Err(CosignatureError::Signature));
    assert_eq!(cosign(&ml_dsa, &extended, NOW), Err(CosignatureError::Extensions));
    let line = cosign(&ml_dsa, &checkpoint(), NOW).expect("no extension lines");
    assert_eq!(verdict(&ml_dsa, &extended, &line), Ok(NOW));
}

#[test]
fn cos_5_an_ml_dsa_message_has_room_for_1_to_255_bytes_of_name_and_origin() {
    let long = "n".repeat(256);
    for (length, want) in [(255, Ok(())), (256, Err(CosignatureError::NameLength(256)))] {
        let name = &long[..length];
        let of = |origin| Checkpoint::new(origin, TreeSize::new(1), Hash::of(b"x"));
        let long_name = signer(name, KeyType::MlDsa44Cosignature, 1);
        let short_name = signer("w", KeyType::MlDsa44Cosignature, 1);
        assert_eq!(cosign(&long_name, &of("log.example"), NOW).map(drop), want);
        assert_eq!(cosign(&short_name, &of(name), NOW).map(drop), want);
        assert_eq!(tlog::checkpoint::is_origin(name), want.is_ok());
        let ed25519 = signer(name, KeyType::Ed25519Cosignature, 1);
        assert_eq!(cosign(&ed25519, &of(name), NOW).map(drop), Ok(()));
    }
    let nameless = Checkpoint { origin: String::new(), ..checkpoint() };
    assert_eq!(cosign(&witnesses()[1], &nameless, NOW), Err(CosignatureError::NameLength(0)));
}

#[test]
fn cos_6_a_log_key_is_no_cosigner_and_the_other_way_round() {
    let log = signer("log.example", KeyType::Ed25519, 1);
    let witness = signer("log.example", KeyType::Ed25519Cosignature, 1);
    assert_eq!(log.verifier().key().raw(), witness.verifier().key().raw());
    assert_ne!(log.verifier().id(), witness.verifier().id());
    assert_eq!(cosign(&log, &checkpoint(), NOW), Err(CosignatureError::NotACosigner));
    assert_eq!(verdict(&log, &[1; 72]), Err(CosignatureError::NotACosigner));

    // Each one's signature under the other one's name and id.
    let signature = checkpoint().sign(&log).signatures()[0].signature().to_vec();
    let cosignature = cosign(&witness, &checkpoint(), NOW).expect("a witness's key").signature().to_vec();
    let keys: [VerifierKey; 2] = [&log, &witness].map(|key| key.verifier().clone());
    for (key, blob) in [
        (&log, cosignature.clone()),
        (&log, cosignature[8..].to_vec()),
        (&witness, signature.clone()),
        (&witness, [&NOW.as_secs().to_be_bytes()[..], &signature].concat()),
    ] {
        let mut note = Note::unsigned(checkpoint().to_string());
        note.add(NoteSignature::new(key.verifier().name().clone(), key.verifier().id(), blob));
        assert!(matches!(note.verify(&keys), Err(NoteError::BadSignature { .. })));
    }
}

#[test]
fn cos_6_only_checkpoints_are_cosigned() {
    let [witness, _] = witnesses();
    let line = cosign(&witness, &checkpoint(), NOW).expect("a witness's key");
    let mut note = Note::unsigned("no checkpoint\n".into());
    note.add(line);
    let name = witness.verifier().name().clone();
    let refused = NoteError::BadSignature { name, cause: CosignatureError::NoCheckpoint };
    assert_eq!(note.verify(&[witness.verifier().clone()]), Err(refused));
}
