//! Notes with what no note may hold (S12), and those of golang.org/x/mod and C2SP (S6).

use serde::Deserialize;
use tlog::encoding::{base64, decode_base64};
use tlog::key::{KeyType, SignerKey, VerifierKey};
use tlog::note::{MAX_SIGNATURES, Note, NoteError};

use super::Tried;
use crate::keys::{signer, vkey};
use crate::vectors;

/// A note of three lines, one of them blank, by one key.
fn whole() -> String {
    let mut note = Note::unsigned("first\n\n  third, after a blank line\n".to_owned());
    note.sign(&signer("alice.example", KeyType::Ed25519, 1));
    note.to_string()
}

/// S12: no control character, no other line end and no invalid UTF-8, at any place of a note.
pub fn characters() -> Tried {
    let (whole, mut tried) = (whole(), Tried::default());
    let mut refuse = |bytes: &[u8], what: &str| {
        tried.require(Note::parse(bytes) == Err(NoteError::Characters), || what.to_owned());
    };
    for control in (0..0x20).filter(|byte| *byte != b'\n') {
        for at in 0..=whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes.insert(at, control);
            refuse(&bytes, &format!("{control:#x} at {at}"));
        }
    }
    refuse(whole.replace('\n', "\r\n").as_bytes(), "CRLF");
    for bad in [&[0xff][..], &[0xc0, 0x80], &[0xed, 0xa0, 0x80], &[0xe2, 0x80], &[0xf4, 0x90, 0x80, 0x80]] {
        for at in [0, 5, whole.len() - 1, whole.len()] {
            let mut bytes = whole.clone().into_bytes();
            bytes.splice(at..at, bad.iter().copied());
            refuse(&bytes, &format!("{bad:x?} at {at}"));
        }
    }
    tried
}

/// S12: lines that are no signature lines, names that no key may have, and more lines than a note has.
pub fn lines() -> Tried {
    let (whole, blob, mut tried) = (whole(), base64(&[7; 68]), Tried::default());
    let parse = |line: &str| Note::parse(format!("{whole}{line}\n").as_bytes());
    assert!(parse(&format!("— x {blob}")).is_ok(), "the control");
    let bad_lines = [
        format!("- x {blob}"),
        format!("-- x {blob}"),
        format!("– x {blob}"),
        format!("―\u{20}x {blob}"),
        format!("—x {blob}"),
        format!("—  x {blob}"),
        format!("—\u{a0}x {blob}"),
        format!(" — x {blob}"),
        format!("— x  {blob}"),
        format!("— x {blob} "),
        format!("— x {blob} y"),
        format!("— {blob}"),
        format!("—  {blob}"),
        "— x ".into(),
        "— x".into(),
        "— ".into(),
        "x".into(),
    ];
    let names = ["", "+", "a+b", "a b", "a\u{a0}b", "a\u{2003}b", "a\u{2028}b", "\u{3000}", "a\u{85}b"];
    for line in bad_lines.into_iter().chain(names.map(|name| format!("— {name} {blob}"))) {
        tried.require(parse(&line) == Err(NoteError::SignatureLine(2)), || format!("{line:?}"));
    }
    for lines in [MAX_SIGNATURES + 1, 1_001, 100_000] {
        let note = format!("x\n\n{}", format!("— y {blob}\n").repeat(lines));
        let read = Note::parse(note.as_bytes());
        let is_refused = matches!(read, Err(NoteError::TooManySignatures(_) | NoteError::TooLong(_)));
        tried.require(is_refused, || format!("{lines} lines: {read:?}"));
    }
    tried
}

/// S12: of two lines by one name and key one counts.
pub fn doubles() -> Tried {
    let mut tried = Tried::default();
    let key = signer("alice.example", KeyType::Ed25519, 1);
    for times in [1, 2, 3, 15] {
        let mut note = Note::unsigned("a\n".to_owned());
        note.sign(&key);
        let lines = format!("{}\n", note.signatures()[0]).repeat(times);
        let note = Note::parse(format!("a\n\n{lines}").as_bytes()).expect("a note");
        let keys = [key.verifier().clone()];
        let signed = note.verify(&keys).expect("good lines");
        tried.require(signed.len() == 1, || format!("{times} lines count as {}", signed.len()));
    }
    tried
}

#[derive(Deserialize)]
struct SignedNotes {
    cases: Vec<SignedNote>,
    vkeys_good: Vec<String>,
    vkeys_bad: Vec<String>,
    skey_example: String,
    sign_vector: SignVector,
}

#[derive(Deserialize)]
struct SignedNote {
    name: String,
    vkeys: Vec<String>,
    note_b64: String,
    #[serde(default)]
    verified: usize,
    #[serde(default)]
    unverified: usize,
    error: Option<String>,
}

#[derive(Deserialize)]
struct SignVector {
    text: String,
    expected_signature_line: String,
}

/// S6: the verdicts of golang.org/x/mod and of the specification's text on 14 notes and 10 vkeys; an skey and the line that it
/// signs.
///
/// # Errors
/// Why the file is not there.
///
/// # Panics
/// If it is of another form.
pub fn of_others() -> Result<Tried, String> {
    let vectors: SignedNotes = vectors::read_others("signed_note.json")?;
    let mut tried = Tried::default();
    for case in &vectors.cases {
        let said = verdict(case);
        let want = match &case.error {
            Some(error) => error.clone(),
            None => format!("{} verified, {} unverified", case.verified, case.unverified),
        };
        tried.require(said == want, || format!("{}: {said}, not {want}", case.name));
    }
    for text in &vectors.vkeys_good {
        let read = text.parse::<VerifierKey>();
        tried.require(read.is_ok_and(|key| key.to_string() == *text), || format!("refused: {text}"));
    }
    for text in &vectors.vkeys_bad {
        tried.require(text.parse::<VerifierKey>().is_err(), || format!("accepted: {text}"));
    }
    let key: SignerKey = vectors.skey_example.parse().expect("a good skey");
    tried.require(*key.to_skey() == vectors.skey_example, || "an skey is written otherwise".into());
    let mut note = Note::unsigned(vectors.sign_vector.text);
    note.sign(&key);
    let line = format!("{}\n", note.signatures()[0]);
    tried.require(line == vectors.sign_vector.expected_signature_line, || line.clone());
    Ok(tried)
}

/// What we say of a note, in the words of the vectors.
fn verdict(case: &SignedNote) -> String {
    let keys: Vec<VerifierKey> = case.vkeys.iter().map(|text| vkey(text)).collect();
    let bytes = decode_base64(&case.note_b64).expect("base64");
    let Ok(note) = Note::parse(&bytes) else { return "malformed".to_owned() };
    match note.verify(&keys) {
        Err(NoteError::BadSignature { .. }) => "invalid_signature".to_owned(),
        Err(error) => error.to_string(),
        Ok(signed) if signed.is_empty() => "unverified".to_owned(),
        Ok(signed) => {
            assert_eq!(note.to_string().as_bytes(), bytes, "{}: written otherwise", case.name);
            let is_known = |key: &VerifierKey| note.signatures().iter().any(|line| line.is_by(key));
            assert!(signed.iter().all(|signed| is_known(signed.key)), "{}", case.name);
            let mut others: Vec<String> = note
                .signatures()
                .iter()
                .filter(|line| !keys.iter().any(|key| line.is_by(key)))
                .map(ToString::to_string)
                .collect();
            others.dedup();
            format!("{} verified, {} unverified", signed.len(), others.len())
        }
    }
}
