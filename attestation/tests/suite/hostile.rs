//! Hostile receipts: strict JSON, keys, sizes, and members that do not belong.

use attestation::receipt::{Check, Receipt, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::trials::{confusions, names};
use tlog::encoding::base64;

use crate::fixture::*;

/// The error of the format check; fails if another check is reached.
fn format_error(bytes: &[u8]) -> String {
    let report = verify(bytes);
    let (check, fault) = report.fault().expect("refused");
    assert_eq!((check, report.verdict()), (Check::Format, Verdict::Failed), "{fault}");
    assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
    fault.to_string()
}

fn with(alter: impl FnOnce(&mut Value)) -> String {
    let mut receipt = receipt_json();
    alter(&mut receipt);
    receipt.to_string()
}

#[test]
fn receipts_of_another_shape_are_refused_by_rule() {
    let proof = receipt_json()["proof"].clone();
    let event = json!({"leaf": base64(b"an event"), "proof": proof});
    let other_proof = prove(b"another tree").to_string();
    for (name, text, want) in [
        ("array", "[]".to_owned(), "the text is not an object"),
        ("unknown member", with(|r| r["x"] = json!(1)), "unknown member `x`"),
        ("no DID", with(|r| drop(r.as_object_mut().expect("an object").remove("did"))), "`did` is missing"),
        ("null leaf", with(|r| r["leaf"] = Value::Null), "member `leaf` is not a string"),
        ("leaf in loose base64", with(|r| r["leaf"] = json!("e30")), "`leaf` is not canonical base64"),
        (
            "leaf of another kind",
            with(|r| r["leaf"] = json!(base64(OTHER_KIND))),
            "leaf: the entry is `hashedrekord`",
        ),
        ("short key", with(|r| r["publicKey"] = json!("AAAA")), "`publicKey` is not 32 bytes"),
        ("hex key", with(|r| r["publicKey"] = json!("00".repeat(32))), "`publicKey` is not 32 bytes"),
        (
            "keyid",
            with(|r| r["envelope"]["signatures"][0]["keyid"] = json!("")),
            "envelope.signatures[0].keyid",
        ),
        ("two signatures", with(two_signatures), "2 signatures, not one"),
        ("payload type", with(|r| r["envelope"]["payloadType"] = json!("text/plain")), "`payloadType` is"),
        ("no statement", with(|r| r["envelope"]["payload"] = json!("e30=")), "member `_type` is missing"),
        ("no leaf", with(|r| drop(r.as_object_mut().expect("an object").remove("leaf"))), "needs the `leaf`"),
        ("pending leaf with a proof", with(|r| r["leaf"] = json!(pending_leaf())), "has no `loggedAt`"),
        ("leaf without proof", with(no_proof), "has a `loggedAt`, which only the log gives"),
        ("note without proof", unproved("sigstoreNote", json!("x")), "`sigstoreNote` needs a `proof`"),
        ("events without proof", unproved("identity", json!([event])), "`identity` needs a `proof`"),
        ("no event", with(|r| r["identity"] = json!([])), "`identity` is empty"),
        (
            "event with more",
            with(|r| r["identity"] = json!([{"leaf": "", "proof": proof, "x": 1}])),
            "identity[0].x",
        ),
        (
            "event without leaf",
            with(|r| r["identity"] = json!([{"proof": proof}])),
            "`identity[0].leaf` is missing",
        ),
        (
            "event leaf",
            with(|r| r["identity"] = json!([{"leaf": "x", "proof": proof}])),
            "identity[0].leaf` is not",
        ),
        (
            "event proof",
            with(|r| r["identity"] = json!([{"leaf": "", "proof": ""}])),
            "`identity[0].proof`: ",
        ),
        (
            "event on another checkpoint",
            with(|r| r["identity"] = json!([event, {"leaf": "", "proof": other_proof}])),
            "`identity[1]` leads to another checkpoint",
        ),
    ] {
        let error = format_error(text.as_bytes());
        assert!(error.contains(want), "{name}: {error}");
    }
}

/// S11: the same JSON rules hold in a receipt and in the payload inside it.
#[test]
fn s11_hostile_json_is_refused_everywhere() {
    let good = receipt_json().to_string();
    let payload = String::from_utf8(statement().to_payload()).expect("UTF-8");
    let deep = "[".repeat(100_000);
    let head = r#"{"did""#;
    for (name, hostile) in [
        ("duplicate", r#""did":"x","did""#),
        ("duplicate by escape", r#""\u0064id":"x","did""#),
        ("unknown", r#""x":1,"did""#),
        ("deep", &format!(r#""x":{deep},"did""#)),
        ("huge number", r#""x":1e400,"did""#),
        ("minus zero", r#""x":-0,"did""#),
        ("lone surrogate", r#""x":"\ud800","did""#),
        ("NUL name", r#""\u0000":1,"did""#),
        ("raw NUL", "\"\0\":1,\"did\""),
    ] {
        let text = good.replacen(head, &format!("{{{hostile}"), 1);
        assert_ne!(text, good);
        format_error(text.as_bytes());
        let inner = payload.replacen(r#"{"_type""#, &format!("{{{}", hostile.replace("did", "_type")), 1);
        assert_ne!(inner, payload, "{name}");
        format_error(with(|r| r["envelope"]["payload"] = json!(base64(inner.as_bytes()))).as_bytes());
    }
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("byte order mark", [b"\xef\xbb\xbf".as_slice(), good.as_bytes()].concat()),
        ("trailing data", [good.as_bytes(), b"{}"].concat()),
        ("trailing NUL", [good.as_bytes(), b"\0"].concat()),
        ("invalid UTF-8", [&good.as_bytes()[..1], b"\"\xff\":1,", &good.as_bytes()[1..]].concat()),
        ("cut", good.as_bytes()[..good.len() - 1].to_vec()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ] {
        assert!(!format_error(&bytes).is_empty(), "{name}");
    }
}

/// S13: a signature counts for its payload type only.
#[test]
fn s13_a_signature_counts_for_its_payload_type_only() {
    confusions::payload_types().assert_clean(132);
}

/// S14: every other spelling of a DID, and keys of small order, of mixed order, and in a second spelling.
#[test]
fn s14_other_spellings_and_keys_that_nobody_owns_are_refused() {
    names::dids().assert_clean(17);
    names::keys().assert_clean(9);
}

/// S14: names and keys that nobody can own, in a receipt.
#[test]
fn s14_bad_dids_and_keys_are_refused() {
    let did = did().to_string();
    for bad in [
        did.to_uppercase(),
        did.replace("did:aip:5", "did:aip:５"),
        did[..did.len() - 1].to_owned(),
        format!("{did}0"),
        format!("{did} "),
        did.replace("aip", "key"),
    ] {
        assert!(format_error(with(|r| r["did"] = json!(bad)).as_bytes()).contains("a DID"), "{bad:?}");
    }
    let mut small_order = [0; 32];
    small_order[0] = 1;
    let mut not_canonical = [0xff; 32];
    (not_canonical[0], not_canonical[31]) = (0xed, 0x7f);
    let mixed = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    for (raw, want) in [
        (small_order.to_vec(), "not of prime order"),
        (not_canonical.to_vec(), "not the canonical encoding"),
        (hex::decode(mixed).expect("hex"), "not of prime order"),
    ] {
        let error = format_error(with(|r| r["publicKey"] = json!(base64(&raw))).as_bytes());
        assert!(error.contains(want), "{error}");
    }
}

/// S9: hostile sizes in the checkpoint, each validly signed.
#[test]
fn s9_extreme_sizes_are_refused_cleanly() {
    let leaf = entry(&statement()).to_bytes();
    for size in [1, 2, 1 << 32, (1 << 63) - 1] {
        for index in [0, 1, 4, 5, 1 << 32, (1 << 63) - 2, (1 << 63) - 1, 1 << 63, u64::MAX] {
            let mut checkpoint = Tree::around(&leaf).checkpoint(ORIGIN);
            checkpoint.size = tlog::TreeSize::new(size);
            let mut proof = prove(&leaf);
            proof.index = tlog::LeafIndex::new(index);
            proof.checkpoint = cosigned(&checkpoint, &log(), &[&witness()]);
            let report = verify_json(
                &serde_json::from_str(&with(|r| r["proof"] = json!(proof.to_string()))).expect("JSON"),
            );
            let (check, fault) = report.fault().expect("refused");
            assert_eq!(check, Check::Inclusion, "size {size} index {index}: {fault}");
        }
    }
}

#[test]
fn white_space_and_order_of_members_do_not_matter() {
    let good = receipt();
    for text in [good.to_json(), receipt_json().to_string(), good.to_json().replace('\n', "\r\n\t")] {
        assert_eq!(Receipt::parse(text.as_bytes()).as_ref(), Ok(&good));
        assert_eq!(verify(text.as_bytes()).verdict(), Verdict::Verified);
    }
}

const OTHER_KIND: &[u8] = br#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}"#;

fn two_signatures(receipt: &mut Value) {
    let signature = receipt["envelope"]["signatures"][0].clone();
    receipt["envelope"]["signatures"] = json!([signature, signature]);
}

fn no_proof(receipt: &mut Value) {
    receipt.as_object_mut().expect("an object").remove("proof");
}

fn pending_leaf() -> String {
    base64(&pending(&statement()).to_bytes())
}

/// A pending receipt with a member that only a logged one has.
fn unproved(member: &str, value: Value) -> String {
    with(|receipt| {
        no_proof(receipt);
        receipt["leaf"] = json!(pending_leaf());
        receipt[member] = value;
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        prop_assert!(verify(&bytes).verified().is_none());
    }

    /// JSON of the right members with wrong texts in them.
    #[test]
    fn no_texts_make_the_reader_panic(
        member in prop::sample::select(vec!["mediaType", "did", "publicKey", "leaf", "proof"]),
        text in "\\PC{0,60}|[A-Za-z0-9+/]{0,60}={0,2}",
    ) {
        let report = verify(with(|receipt| receipt[member] = json!(text)).as_bytes());
        prop_assert!(report.verified().is_none());
    }
}
