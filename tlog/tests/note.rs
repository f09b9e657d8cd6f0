//! Signed notes and keys (NOTE, S2, S12).

use testkit::keys::signer;
use testkit::trials::{notes, signatures};
use testkit::vectors;
use tlog::cosignature::{CosignatureError, cosign};
use tlog::encoding::base64;
use tlog::key::{
    Ed25519PrivateKey, Ed25519PublicKey, KeyError, KeyName, KeyType, PublicKey, SignerKey, VerifierKey,
};
use tlog::merkle::empty_root;
use tlog::note::{MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, NoteSignature};
use tlog::{TreeSize, UnixTime, checkpoint::Checkpoint};

const TEXT: &str = "first\n\n  third, after a blank line\n";

fn alice() -> SignerKey {
    signer("alice.example", KeyType::Ed25519, 1)
}

fn bob() -> SignerKey {
    signer("bob.example", KeyType::Ed25519, 2)
}

fn signed(text: &str, keys: &[SignerKey]) -> Note {
    let mut note = Note::unsigned(text.to_owned());
    keys.iter().for_each(|key| note.sign(key));
    note
}

fn keys(keys: &[SignerKey]) -> Vec<VerifierKey> {
    keys.iter().map(|key| key.verifier().clone()).collect()
}

fn parse(note: &str) -> Result<Note, NoteError> {
    Note::parse(note.as_bytes())
}

/// `TEXT`, Alice's signature, and `line`.
fn with_line(line: &str) -> String {
    format!("{}{line}\n", signed(TEXT, &[alice()]))
}

/// A line by nobody's key: the right shape, unless `name` spoils it.
fn stranger(name: &str) -> String {
    format!("— {name} {}", base64(&[7; 68]))
}

/// The same line with a signature of which one bit is wrong.
fn forged(line: &NoteSignature) -> NoteSignature {
    let mut signature = line.signature().to_vec();
    signature[9] ^= 1;
    NoteSignature::new(line.name().clone(), line.id(), signature)
}

#[test]
fn note_1_to_12_s6_the_notes_of_go_and_c2sp_have_these_verdicts() {
    match notes::of_others() {
        Ok(tried) => tried.assert_clean(25),
        Err(why) => vectors::not_run("signed_note.json", &why),
    }
}

#[test]
fn note_1_the_last_blank_line_divides() {
    for text in [TEXT, "\n", "\n\n\n", "a\n\n— alice.example AAAAAAAA\n", "\u{2028}\n", "\u{feff}x\u{7f}\n"]
    {
        let note = signed(text, &[alice()]);
        let again = parse(&note.to_string()).expect("it was just printed");
        assert_eq!((again.text(), &again), (text, &note));
        assert_eq!(again.verify(&keys(&[alice()])).map(|signed| signed.len()), Ok(1), "{text:?}");
    }
}

#[test]
fn note_2_the_signature_block_is_there_and_ends_in_a_newline() {
    let whole = signed(TEXT, &[alice()]).to_string();
    let no_signatures = Err(NoteError::NoSignatures);
    for bad in ["", "\n", "\n\n", "a", "a\n", "a\n\n", "a\n\n\n", "a\nb\n", &whole[..whole.len() - 1]] {
        assert_eq!(parse(bad), no_signatures, "{bad:?}");
    }
    assert_eq!(parse(&format!("{whole}\n")), no_signatures);
}

#[test]
fn note_3_s12_no_control_characters_anywhere() {
    notes::characters().assert_clean(4_600);
}

#[test]
fn note_4_s12_a_line_that_is_no_signature_line_is_malformed() {
    notes::lines().assert_clean(17);
}

#[test]
fn note_5_a_blob_is_five_bytes_or_more_in_strict_base64() {
    for good in ["AAAAAAE=", "AAAAAAAA"] {
        assert!(parse(&with_line(&format!("— x {good}"))).is_ok(), "{good}");
    }
    for bad in
        ["", "AAAA", "AAAAAA==", "AAAAAAE", "AAAAAAF=", "AAAAAAE==", "AAAA-A_=", "AAAAAAE=A", "====", "é"]
    {
        let line = format!("— x {bad}");
        assert_eq!(parse(&with_line(&line)), Err(NoteError::SignatureLine(2)), "{bad}");
    }
}

#[test]
fn note_6_s12_a_key_name_has_no_space_and_no_plus() {
    for good in ["x", "example.com/a?b#c", "—", "ключ", "🔑", "\u{200b}"] {
        assert!(parse(&with_line(&stranger(good))).is_ok(), "{good:?}");
        assert!(KeyName::new(good).is_ok(), "{good:?}");
    }
    for bad in ["", "+", "a+b", "a b", "a\u{a0}b", "a\u{2003}b", "a\u{2028}b", "\u{3000}", "a\u{85}b"] {
        assert_eq!(parse(&with_line(&stranger(bad))), Err(NoteError::SignatureLine(2)), "{bad:?}");
        assert_eq!(KeyName::new(bad), Err(KeyError::Name), "{bad:?}");
    }
    // Stricter than the specification: DEL and the C1 controls have no place in what is printed.
    for bad in ["a\u{7f}", "a\u{9b}31m"] {
        assert_eq!(KeyName::new(bad), Err(KeyError::Name), "{bad:?}");
    }
}

#[test]
fn note_7_lines_of_unknown_keys_are_ignored() {
    let (known, other) = (alice(), bob());
    let (known, other) = (known.verifier(), other.verifier());
    let mut note = Note::unsigned(TEXT.to_owned());
    let junk = || vec![7; 64];
    for line in [
        NoteSignature::new(known.name().clone(), other.id(), junk()),
        NoteSignature::new(other.name().clone(), known.id(), junk()),
        NoteSignature::new(other.name().clone(), other.id(), junk()),
        NoteSignature::new(KeyName::new("x").expect("a name"), other.id(), vec![7]),
    ] {
        note.add(line);
    }
    note.sign(&alice());
    let keys = [known.clone()];
    let by = note.verify(&keys).expect("only strangers' lines are bad");
    assert_eq!(by.iter().map(|signed| (signed.key, signed.time)).collect::<Vec<_>>(), [(known, None)]);
    assert_eq!(note.signatures().len(), 5);
}

#[test]
fn note_8_a_bad_line_of_a_known_key_fails_the_note() {
    let keys = keys(&[alice(), bob()]);
    let good = signed(TEXT, &[alice(), bob()]);
    assert_eq!(good.verify(&keys).map(|signed| signed.len()), Ok(2));
    for (at, key) in keys.iter().enumerate() {
        for (signature, cause) in [
            (forged(&good.signatures()[at]).signature().to_vec(), CosignatureError::Signature),
            (good.signatures()[1 - at].signature().to_vec(), CosignatureError::Signature),
            (vec![0; 64], CosignatureError::Signature),
            (vec![0; 63], CosignatureError::Length(63)),
            (vec![0; 72], CosignatureError::Length(72)),
        ] {
            let mut bad = good.clone();
            bad.add(NoteSignature::new(key.name().clone(), key.id(), signature));
            let name = key.name().clone();
            assert_eq!(bad.verify(&keys), Err(NoteError::BadSignature { name, cause }));
        }
    }
    // The very same lines over another text.
    let moved = parse(&good.to_string().replacen("first", "First", 1)).expect("a note");
    assert!(matches!(moved.verify(&keys), Err(NoteError::BadSignature { .. })));
}

/// [`Note::verify`] answers who signed: nobody, here. What believes a note, refuses it: the policy.
#[test]
fn note_9_nobody_known_signed() {
    let note = signed("log.example\n1\nLXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=\n", &[alice()]);
    assert_eq!(note.verify(&keys(&[bob()])), Ok(vec![]));
    assert_eq!(note.verify(&[]), Ok(vec![]));
    let log = signer("log.example", KeyType::Ed25519, 3);
    let policy = format!("log {}\nquorum none\n", log.verifier());
    let policy: tlog::policy::Policy = policy.parse().expect("well formed");
    let refused = tlog::policy::PolicyError::NoLogSignature("log.example".into());
    assert_eq!(policy.log_checkpoint(&note), Err(refused));
}

#[test]
fn note_10_s12_room_for_16_post_quantum_signatures_and_an_end() {
    let checkpoint = Checkpoint::new("log.example", TreeSize::EMPTY, empty_root());
    let mut note = Note::unsigned(checkpoint.to_string());
    let witnesses: Vec<SignerKey> =
        (0..16).map(|i| signer(&format!("w{i}.example"), KeyType::MlDsa44Cosignature, i)).collect();
    for witness in &witnesses {
        note.add(cosign(witness, &checkpoint, UnixTime::from_secs(1)).expect("a witness's key"));
    }
    let text = note.to_string();
    assert!(text.len() > 52_000, "{}", text.len());
    let note = parse(&text).expect("16 signatures are read");
    assert_eq!(note.verify(&keys(&witnesses)).map(|signed| signed.len()), Ok(16));

    let with_lines = |lines: usize| parse(&format!("x\n\n{}", format!("{}\n", stranger("y")).repeat(lines)));
    assert!(with_lines(17).is_ok() && with_lines(MAX_SIGNATURES).is_ok());
    for lines in [MAX_SIGNATURES + 1, 1_001] {
        assert_eq!(with_lines(lines), Err(NoteError::TooManySignatures(lines)));
    }
    let long = |bytes: usize| {
        let end = format!("\n\n{}\n", stranger("y"));
        parse(&format!("{}{end}", "x".repeat(bytes - end.len())))
    };
    assert!(long(MAX_NOTE_BYTES).is_ok());
    assert_eq!(long(MAX_NOTE_BYTES + 1), Err(NoteError::TooLong(MAX_NOTE_BYTES + 1)));
}

#[test]
fn note_11_s12_of_two_lines_with_one_name_and_id_the_first_counts() {
    let note = signed(TEXT, &[alice()]);
    let good = &note.signatures()[0];
    let bad = forged(good);
    let keys = keys(&[alice()]);
    for (first, second, want) in [(good, good, Some(1)), (good, &bad, Some(1)), (&bad, good, None)] {
        let note = parse(&format!("{TEXT}\n{first}\n{second}\n")).expect("a note");
        assert_eq!(note.verify(&keys).ok().map(|signed| signed.len()), want);
    }
    // Who adds a line replaces all of that name and id, so that nobody meets the forged ones.
    let mut note = parse(&format!("{TEXT}\n{bad}\n{}\n{bad}\n{bad}\n", stranger("x"))).expect("a note");
    note.sign(&alice());
    assert_eq!(note.to_string(), format!("{TEXT}\n{good}\n{}\n", stranger("x")));
}

#[test]
fn note_12_a_vkey_has_one_spelling() {
    let types = [KeyType::Ed25519, KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature];
    for kind in types {
        let key = signer("example.com/log", kind, 5);
        let text = key.verifier().to_string();
        assert_eq!(text.parse().as_ref(), Ok(key.verifier()));
        let refused = |bad: &str| assert!(bad.parse::<VerifierKey>().is_err(), "{bad:.60}");
        for at in 0..text.len() {
            refused(&[&text[..at], &text[at + 1..]].concat());
        }
        refused(&format!("{text}A"));
        refused(&format!("{text}\n"));
        refused(&format!(" {text}"));
        refused(&text.replace("example", "Example"));
        refused(&format!("{text}="));
    }
    let key = signer("example.com/log", KeyType::Ed25519, 5);
    let spell =
        |id: &str, data: &[u8]| format!("example.com/log+{id}+{}", base64(data)).parse::<VerifierKey>();
    let id = key.verifier().id().to_string();
    let raw = key.verifier().key().raw();
    let data = [&[0x01], raw].concat();
    assert_eq!(spell(&id, &data).as_ref(), Ok(key.verifier()));
    assert_eq!(spell(&id.to_uppercase(), &data), Err(KeyError::IdMismatch));
    assert_eq!(spell("00000000", &data), Err(KeyError::IdMismatch));
    assert_eq!(spell(&id[1..], &data), Err(KeyError::IdMismatch));
    assert_eq!(spell(&id, &[]), Err(KeyError::Length));
    assert_eq!(spell(&id, &data[..32]), Err(KeyError::Length));
    assert_eq!(spell(&id, &[&data[..], &[0]].concat()), Err(KeyError::Length));
    assert_eq!(spell(&id, &[&[0x06], raw].concat()), Err(KeyError::Length));
    // The same bytes under the other type: the id tells them apart.
    assert_eq!(spell(&id, &[&[0x04], raw].concat()), Err(KeyError::IdMismatch));
    for kind in (0..=255).filter(|kind| ![0x01, 0x04, 0x06].contains(kind)) {
        assert_eq!(spell(&id, &[&[kind], raw].concat()), Err(KeyError::UnknownType(kind)));
    }
    assert_eq!("a+b".parse::<VerifierKey>(), Err(KeyError::Shape));
    assert_eq!("a+b+*".parse::<VerifierKey>(), Err(KeyError::Base64));
}

/// As note 12, for the secret half; and no error or debug text shows a seed.
#[test]
fn note_12_an_skey_has_one_spelling() {
    for kind in [KeyType::Ed25519, KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature] {
        let key = signer("example.com/log", kind, 5);
        let text = key.to_skey();
        let again: SignerKey = text.parse().expect("it was just printed");
        assert_eq!((&*again.to_skey(), again.verifier()), (&*text, key.verifier()));
        let secret = &text[text.len() - 20..];
        assert!(!format!("{key:?}").contains(secret));
        for at in 0..text.len() {
            let bad = [&text[..at], &text[at + 1..]].concat();
            let error = bad.parse::<SignerKey>().expect_err("a character is missing");
            assert!(!format!("{error} {error:?}").contains(&secret[5..]));
        }
        assert!(format!("{}\n", *text).parse::<SignerKey>().is_err());
        assert!(key.verifier().to_string().parse::<SignerKey>().is_err());
    }
}

#[test]
fn note_13_two_keys_with_one_name_and_id_are_ambiguous() {
    let note = signed(TEXT, &[alice()]);
    let (twice, renamed) = (keys(&[alice(), bob(), alice()]), signer("carol.example", KeyType::Ed25519, 1));
    let name = alice().verifier().name().clone();
    assert_eq!(note.verify(&twice), Err(NoteError::AmbiguousKey(name)));
    assert!(note.verify(&keys(&[alice(), renamed])).is_ok());
}

/// The text has one way out, which says that it is not believed; errors are not a second.
#[test]
fn note_14_errors_do_not_show_an_unverified_text() {
    let note = signed("call 555-0100 now\n", &[alice()]);
    let mut bad = note.clone();
    bad.add(forged(&note.signatures()[0]));
    let error = bad.verify(&keys(&[alice()])).expect_err("a forged line");
    let unsigned = parse("call 555-0100 now\n").expect_err("no signatures");
    let malformed = parse("call 555-0100 now\n\n— call 555-0100\n").expect_err("a malformed line");
    assert!([error, unsigned, malformed].iter().all(|error| !error.to_string().contains("555")));
}

#[test]
fn note_15_s1_s2_ed25519_accepts_what_every_verifier_accepts() {
    for (what, trial, count) in
        [("Wycheproof", signatures::wycheproof as fn() -> _, 151), ("CCTV", signatures::edge_cases, 914)]
    {
        match trial() {
            Ok(tried) => tried.assert_clean(count),
            Err(why) => vectors::not_run(what, &why),
        }
    }
}

/// The eight points of small order, a point of mixed order, a second spelling, and no point at all.
#[test]
fn note_15_ed25519_keys_that_sign_for_nobody_are_refused() {
    use curve25519_dalek::constants::EIGHT_TORSION;
    for point in EIGHT_TORSION {
        assert_eq!(Ed25519PublicKey::from_bytes(point.compress().as_bytes()), Err(KeyError::Torsion));
    }
    let PublicKey::Ed25519(honest) = alice().verifier().key().clone() else { unreachable!("its type") };
    let point = curve25519_dalek::edwards::CompressedEdwardsY(*honest.as_bytes()).decompress();
    let mixed = point.expect("a point") + EIGHT_TORSION[1];
    assert_eq!(Ed25519PublicKey::from_bytes(mixed.compress().as_bytes()), Err(KeyError::Torsion));
    // y = p + 1, which is 1; y = 2, of which there is no x.
    let mut spelling = [0xff; 32];
    (spelling[0], spelling[31]) = (0xee, 0x7f);
    assert_eq!(Ed25519PublicKey::from_bytes(&spelling), Err(KeyError::NotCanonical));
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(Ed25519PublicKey::from_bytes(&two), Err(KeyError::NotAPoint));
}

/// What its holder alone can make: R is the neutral point and S = k·a, which satisfies the equation.
fn of_neutral_point(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    use curve25519_dalek::scalar::{Scalar, clamp_integer};
    use sha2::{Digest as _, Sha512};
    let half = |digest: &[u8]| digest[..32].try_into().expect("32 bytes");
    let a = Scalar::from_bytes_mod_order(clamp_integer(half(&Sha512::digest(seed))));
    let mut signature = [0; 64];
    signature[0] = 1;
    let key = *Ed25519PrivateKey::from_seed(seed).public_key().as_bytes();
    let k: [u8; 64] = Sha512::new()
        .chain_update(&signature[..32])
        .chain_update(key)
        .chain_update(message)
        .finalize()
        .into();
    signature[32..].copy_from_slice((Scalar::from_bytes_mod_order_wide(&k) * a).as_bytes());
    signature
}

/// The verdict of ed25519-dalek's strict verification, and of its lax one.
#[expect(clippy::disallowed_methods, reason = "the lax one is the control")]
fn strict_and_lax(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> (bool, bool) {
    use ed25519_dalek::Verifier as _;
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).expect("a key of ours");
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    (key.verify_strict(message, &signature).is_ok(), key.verify(message, &signature).is_ok())
}

/// Verification does not decompress R, and yet says what strict verification says: of honest signatures, of flipped ones,
/// and of every R of small order. ED25519_MUTATIONS asks for more than 4,000.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test of the pure crate is no part of it")]
fn note_15_verification_is_strict_without_decompressing_r() {
    use curve25519_dalek::constants::EIGHT_TORSION;
    let number = std::env::var("ED25519_MUTATIONS").ok().and_then(|text| text.parse().ok());
    let (mut accepted, mut told_apart) = (0, 0);
    for case in 0..number.unwrap_or(4_000_u32) {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&(case / 16).to_le_bytes());
        let private = Ed25519PrivateKey::from_seed(&seed);
        let (key, mut message) = (private.public_key(), case.to_be_bytes().repeat(8));
        let mut signature = private.sign(&message);
        // Spread over all bits without a generator: a step that is odd visits each of the 512.
        let bit = (case / 16 * 37 % 512) as usize;
        match case % 16 {
            0 => {}
            1..=4 => signature[bit / 8] ^= 1 << (bit % 8),
            5 => message[bit % 32] ^= 1,
            6 => signature = of_neutral_point(&seed, &message),
            7 => signature[..32].copy_from_slice(&[0; 32]),
            small => {
                let point = EIGHT_TORSION[small as usize - 8].compress();
                signature[..32].copy_from_slice(point.as_bytes());
            }
        }
        let (strict, lax) = strict_and_lax(key.as_bytes(), &message, &signature);
        assert_eq!(key.verify(&message, &signature), strict, "case {case}");
        accepted += u32::from(strict);
        told_apart += u32::from(strict != lax);
    }
    // The control: lax verification takes what is made of the neutral point.
    assert!(accepted > 0 && told_apart > 0, "{accepted} {told_apart}");
}

/// RFC 8032: `S` is below the group order. `S + L` signs the same in a lax verifier.
#[test]
fn note_15_a_signature_has_one_spelling() {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let note = signed(TEXT, &[alice()]);
    let mut second = note.signatures()[0].signature().to_vec();
    let mut carry = 0;
    for (byte, add) in second[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let (name, id) = (alice().verifier().name().clone(), alice().verifier().id());
    let mut malleated = note.clone();
    malleated.add(NoteSignature::new(name, id, second));
    assert!(note.verify(&keys(&[alice()])).is_ok());
    assert!(malleated.verify(&keys(&[alice()])).is_err());
}
