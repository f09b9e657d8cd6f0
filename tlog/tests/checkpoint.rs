//! Checkpoints (CP). CP-5, to sign one history only, is tested with a running log: `tests/tests/crash.rs`.

use serde::Deserialize;
use testkit::chance::Chance;
use testkit::keys::signer;
use testkit::vectors;
use tlog::checkpoint::{Checkpoint, CheckpointError};
use tlog::cosignature::{cosign, ed25519_message};
use tlog::key::{KeyType, PublicKey};
use tlog::merkle::empty_root;
use tlog::note::Note;
use tlog::policy::{Policy, PolicyError};
use tlog::{Hash, TreeSize, UnixTime};

#[derive(Deserialize)]
struct CheckpointTexts {
    cases: Vec<CheckpointText>,
}

#[derive(Deserialize)]
struct CheckpointText {
    name: String,
    text: String,
    valid: bool,
}

fn root() -> Hash {
    Hash::of(b"some tree")
}

fn with_size(size: &str) -> String {
    format!("log.example\n{size}\n{}\n", root().to_base64())
}

#[test]
fn cp_1_to_4_the_vectors_have_these_verdicts() {
    let texts: CheckpointTexts = vectors::ours("checkpoint_text.json");
    for case in &texts.cases {
        let checkpoint = Checkpoint::parse(&case.text);
        assert_eq!(checkpoint.is_ok(), case.valid, "{}", case.name);
        assert!(checkpoint.is_err() || checkpoint.map(|c| c.to_string()).as_ref() == Ok(&case.text));
    }
    assert_eq!(texts.cases.len(), 13);
}

#[test]
fn cp_1_s12_no_line_ends_in_a_carriage_return() {
    let text = with_size("1");
    assert!(Checkpoint::parse(&text).is_ok());
    for (at, _) in text.match_indices('\n') {
        let text = [&text[..at], "\r", &text[at..]].concat();
        assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
    }
    let extended = text + "extension\r\n";
    assert_eq!(Checkpoint::parse(&extended), Err(CheckpointError::Lines));
}

#[test]
fn cp_2_s9_a_size_is_a_plain_decimal_up_to_2_63() {
    for (text, want) in [("1", 1), ("4294967296", 1 << 32), ("9223372036854775807", i64::MAX as u64)] {
        let checkpoint = Checkpoint::parse(&with_size(text)).expect("a size");
        assert_eq!(checkpoint, Checkpoint::new("log.example", TreeSize::new(want), root()));
    }
    for bad in [
        "",
        "00",
        "01",
        "+1",
        "-1",
        "-0",
        " 1",
        "1 ",
        "1e3",
        "1.0",
        "0x1",
        "1_000",
        "١",
        "１",
        "²",
        "NaN",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
    ] {
        assert_eq!(Checkpoint::parse(&with_size(bad)), Err(CheckpointError::Size(bad.into())), "{bad}");
    }
}

/// 32 bytes have one spelling: of the 64 last digits of a root, the four that end in the same bits.
#[test]
fn cp_3_a_root_has_one_spelling() {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=";
    let text = root().to_base64();
    let parse = |root: &str| Checkpoint::parse(&format!("log.example\n1\n{root}\n"));
    for digit in digits {
        let other = format!("{}{}=", &text[..42], char::from(*digit));
        assert!(parse(&other).map_or(true, |checkpoint| checkpoint.root.to_base64() == other), "{other}");
    }
    let accepted =
        digits.iter().filter(|digit| parse(&format!("{}{}=", &text[..42], char::from(**digit))).is_ok());
    assert_eq!(accepted.count(), 16);
    let short = tlog::encoding::base64(&[7; 31]);
    let long = tlog::encoding::base64(&[7; 33]);
    for bad in ["", &text[..43], &text.replace('=', "=="), &format!(" {text}"), &short, &long] {
        assert_eq!(parse(bad), Err(CheckpointError::Root(bad.into())), "{bad}");
    }
}

#[test]
fn cp_4_s12_extension_lines_are_kept_and_signed_but_never_empty() {
    let log = signer("log.example", KeyType::Ed25519, 1);
    let text = with_size("5") + "one\n  two  \n\u{2028}\n— x AAAAAAAA\n";
    let checkpoint = Checkpoint::parse(&text).expect("extension lines");
    assert_eq!(checkpoint.extensions, ["one", "  two  ", "\u{2028}", "— x AAAAAAAA"]);
    let note = checkpoint.sign(&log);
    assert_eq!(note.text(), text);
    assert_eq!(note.verify(&[log.verifier().clone()]).map(|signed| signed.len()), Ok(1));
    let altered = Note::parse(note.to_string().replace("two", "2").as_bytes()).expect("a note");
    assert!(altered.verify(&[log.verifier().clone()]).is_err());
    for bad in ["\n", "one\n\n", "one\n\ntwo\n", "\none\n"] {
        assert_eq!(Checkpoint::parse(&(with_size("5") + bad)), Err(CheckpointError::Lines), "{bad:?}");
    }
}

#[test]
fn cp_6_the_empty_tree_has_the_empty_root() {
    let empty = Checkpoint::new("log.example", TreeSize::EMPTY, empty_root());
    assert_eq!(Checkpoint::parse(&empty.to_string()), Ok(empty));
    assert_eq!(Checkpoint::parse(&with_size("0")), Err(CheckpointError::EmptyRoot(root())));
}

/// A key speaks for the log it is configured for, whatever text it signs.
#[test]
fn cp_7_the_origin_is_compared_in_addition_to_the_key_name() {
    let (a, b) = (signer("a.example", KeyType::Ed25519, 1), signer("b.example", KeyType::Ed25519, 2));
    let ml_dsa_a = signer("a.example", KeyType::MlDsa44Cosignature, 3);
    let policy =
        format!("log {}\nlog {}\nlog {}\nquorum none\n", a.verifier(), b.verifier(), ml_dsa_a.verifier());
    let policy: Policy = policy.parse().expect("well formed");
    let of = |origin| Checkpoint::new(origin, TreeSize::new(1), root());
    let by_ml_dsa = |checkpoint: &Checkpoint| {
        let mut note = Note::unsigned(checkpoint.to_string());
        note.add(cosign(&ml_dsa_a, checkpoint, UnixTime::from_secs(1)).expect("a cosigner"));
        note
    };
    let refused = |origin: &str| Err(PolicyError::NoLogSignature(origin.into()));
    for (note, want) in [
        (of("a.example").sign(&a), Ok(a.verifier())),
        (of("b.example").sign(&b), Ok(b.verifier())),
        (by_ml_dsa(&of("a.example")), Ok(ml_dsa_a.verifier())),
        (of("a.example").sign(&b), refused("a.example")),
        (of("b.example").sign(&a), refused("b.example")),
        (by_ml_dsa(&of("b.example")), refused("b.example")),
        (of("c.example").sign(&a), Err(PolicyError::UnknownLog("c.example".into()))),
    ] {
        assert_eq!(policy.log_checkpoint(&note).map(|(_, log)| &log.vkey), want, "{note}");
    }
    // A bad line of the other log's key fails the note, too (NOTE-8).
    let mut note = of("a.example").sign(&a);
    note.add(of("b.example").sign(&b).signatures()[0].clone());
    assert!(matches!(policy.log_checkpoint(&note), Err(PolicyError::Note(_))));
}

/// What a witness signs is printed from what it parsed: there is no text that both parsers of a pair
/// accept and read differently.
#[test]
fn cp_8_what_is_signed_is_what_was_understood() {
    let witness = signer("w.example", KeyType::Ed25519Cosignature, 4);
    let mut chance = Chance::new(1);
    for extensions in [vec![], vec!["one".to_owned(), " two".to_owned()]] {
        let size = TreeSize::new(1 + chance.next() % (1 << 62));
        let checkpoint =
            Checkpoint { extensions, ..Checkpoint::new("log.example", size, Hash::new(chance.bytes())) };
        let text = checkpoint.to_string();
        assert_eq!(Checkpoint::parse(&text).as_ref(), Ok(&checkpoint));
        let time = UnixTime::from_secs(chance.next() >> 1);
        let line = cosign(&witness, &checkpoint, time).expect("a witness's key");
        let PublicKey::Ed25519Cosignature(key) = witness.verifier().key() else { unreachable!("its type") };
        let signature = line.signature()[8..].try_into().expect("64 bytes");
        assert!(key.verify(&ed25519_message(time, &text), signature));
    }
}
