use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::statement::Subject;

const ORIGIN: &str = "log.example.com/pipelines";

fn key() -> Ed25519PrivateKey {
    let seed: Vec<u8> = (0..32).collect();
    Ed25519PrivateKey::from_seed(&seed.try_into().expect("32 bytes"))
}

fn statement(subjects: u32) -> Statement {
    let subject = |i: u32| Subject::new(format!("{i}"), Hash::of(&i.to_be_bytes()));
    let predicate = serde_json::Map::new();
    Statement::new((0..subjects).map(subject).collect(), "https://example.com/t", predicate)
        .expect("within the rules")
}

fn claim_of(statement: &Statement, visibility: Visibility) -> Claim {
    let envelope = Envelope::sign(&key(), statement.to_payload());
    let key = key().public_key();
    Claim::new(&envelope, statement, Did::of(&key), &key, ORIGIN, visibility).expect("a claim")
}

fn pending() -> PendingEntry {
    PendingEntry::sign(claim_of(&statement(2), Visibility::Public), &key()).expect("an entry")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("an entry is text")
}

fn pending_leaf() -> String {
    text(pending().to_bytes())
}

fn leaf() -> String {
    text(pending().to_leaf(LogTime::from_millis(1_790_000_000_000).expect("a time")))
}

/// What replaces something in the leaf, and how it is refused.
#[test]
fn other_spellings_and_shapes_are_refused_by_rule() {
    let subjects = serde_json::from_str::<Value>(&leaf()).expect("JSON")["spec"]["aip"]["subjects"].clone();
    let [first, second] = [&subjects[0], &subjects[1]].map(Value::to_string);
    let both = format!("[{first},{second}]");
    let type_member = r#""predicateType":"https://example.com/t","#;
    let long_type = format!(r#""predicateType":"{}","#, "t".repeat(257));
    let long_origin = format!(r#""origin":"{}""#, "o".repeat(256));
    let many = format!("[{}]", vec![first.as_str(); 1025].join(","));
    for (name, from, to, want) in [
        ("space", ",", ", ", "at byte 0 should stand"),
        ("newline behind", "}]}}", "}]}}\n", "should stand `the end`"),
        ("data behind", "}]}}", "}]}}{}", "should stand `the end`"),
        ("byte order mark", r#"{"apiV"#, "\u{feff}{\"apiV", "byte order mark"),
        (
            "order",
            r#""apiVersion":"0.0.1","kind":"dsse""#,
            r#""kind":"dsse","apiVersion":"0.0.1""#,
            "at byte 0 should stand",
        ),
        (
            "escape",
            r#""origin":"log"#,
            r#""origin":"\u006cog"#,
            "`spec.aip.origin` is not a text in its shortest spelling",
        ),
        (
            "escaped slash",
            "https://",
            r"https:\/\/",
            "`spec.aip.predicateType` is not a text in its shortest",
        ),
        ("escaped DID", "did:aip", r"did\u003aaip", "a DID begins with `did:aip:`"),
        ("unknown member", r#""kind""#, r#""a":1,"kind""#, "unknown member `a`"),
        ("unknown member inside", r#""did""#, r#""a":1,"did""#, r#"should stand `did"#),
        ("duplicate member", r#""kind""#, r#""kind":"dsse","kind""#, "should stand `spec"),
        ("version", "0.0.1", "0.0.2", "the entry is `dsse` `0.0.2`"),
        ("kind", r#""dsse""#, r#""hashedrekord""#, "the entry is `hashedrekord` `0.0.1`"),
        ("DID in upper case", "did:aip:5", "did:AIP:5", "a DID begins with `did:aip:`"),
        ("DID of 31 digits", "did:aip:5", "did:aip:", "32 lower-case hex digits"),
        ("no origin", r#""origin":"log.example.com/pipelines""#, r#""origin":"""#, "an origin is 1 to 255"),
        ("space in origin", "/pipelines", " pipelines", "an origin is 1 to 255"),
        ("plus in origin", "/pipelines", "+pipelines", "an origin is 1 to 255"),
        ("newline in origin", "/pipelines", r"\npipelines", "an origin is 1 to 255"),
        ("long origin", r#""origin":"log.example.com/pipelines""#, &long_origin, "an origin is 1 to 255"),
        ("type without subjects", &format!(r#","subjects":{both}"#), "", "both there or both absent"),
        ("subjects without type", type_member, "", "both there or both absent"),
        ("null type", type_member, r#""predicateType":null,"#, "`spec.aip.predicateType` is not a text"),
        ("empty type", type_member, r#""predicateType":"","#, "a predicate type is 1 to 256"),
        ("long type", type_member, &long_type, "a predicate type is 1 to 256"),
        ("control in type", "https://example.com/t", r"t\u0007", "a predicate type is 1 to 256"),
        ("event", "https://example.com/t", "https://aip.dev/event/rotate", "is an event's"),
        ("no subject", &both, "[]", "0 subjects"),
        ("1,025 subjects", &both, &many, "1025 subjects"),
        ("unsorted", &both, &format!("[{second},{first}]"), "not sorted"),
        ("twice", &both, &format!("[{first},{first}]"), "not sorted"),
        (
            "short subject",
            &both,
            r#"["AAAA"]"#,
            "`spec.aip.subjects` is not of 32 bytes each in canonical base64",
        ),
        (
            "loose base64",
            &both,
            &both.replace('=', ""),
            "`spec.aip.subjects` is not of 32 bytes each in canonical base64",
        ),
        ("null subjects", &both, "null", r#"should stand `},"envelopeHash""#),
        ("no time", r#""loggedAt":1790000000000,"#, "", "has no `loggedAt`"),
        ("null time", "1790000000000", "null", "`spec.aip.loggedAt` is not a plain decimal"),
        ("time as text", "1790000000000", r#""1790000000000""#, "`spec.aip.loggedAt` is not a plain decimal"),
        ("time as float", "1790000000000", "1790000000000.0", r#"should stand `,"origin":"#),
        ("time with exponent", "1790000000000", "1e12", r#"should stand `,"origin":"#),
        ("negative time", "1790000000000", "-1", "`spec.aip.loggedAt` is not a plain decimal"),
        ("minus zero", "1790000000000", "-0", "`spec.aip.loggedAt` is not a plain decimal"),
        ("leading zero", "1790000000000", "01", "`spec.aip.loggedAt` is not a plain decimal"),
        ("2^53", "1790000000000", "9007199254740992", "`spec.aip.loggedAt` is not a plain decimal"),
        ("2^64", "1790000000000", "18446744073709551616", "`spec.aip.loggedAt` is not a plain decimal"),
        ("no signature", r#""signature":""#, r#""signatur":""#, "should stand"),
        ("algorithm", "sha256", "sha512", "should stand `256"),
        (
            "upper-case hex",
            r#""value":""#,
            r#""value":"A"#,
            "`spec.envelopeHash.value` is not 64 lower-case hex digits",
        ),
        ("no signatures", r#""signatures":[{"#, r#""signatures":[],"x":[{"#, "should stand `{"),
        (
            "PEM with CRLF",
            "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0K",
            "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0N",
            "PEM",
        ),
        ("PEM as it is", "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0K", "-----BEGIN PUBLIC KEY-----", "PEM"),
    ] {
        let bad = leaf().replacen(from, to, 1);
        assert_ne!(bad, leaf(), "{name}");
        let error = DsseEntry::parse(bad.as_bytes()).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
        assert!(Entry::parse(bad.as_bytes()).is_err() || ["version", "kind"].contains(&name), "{name}");
    }
}

#[test]
fn an_array_is_no_entry_though_it_holds_the_same_values() {
    let Value::Object(entry) = serde_json::from_str(&leaf()).expect("JSON") else { panic!("an object") };
    let array = Value::Array(entry.into_iter().map(|(_, value)| value).collect());
    let error = DsseEntry::parse(array.to_string().as_bytes());
    assert!(matches!(error, Err(EntryError::Json(JsonError::Type { .. }))));
}

#[test]
fn only_the_log_gives_the_time() {
    assert_eq!(PendingEntry::parse(leaf().as_bytes()), Err(EntryError::LoggedAtTooEarly));
    assert_eq!(DsseEntry::parse(pending_leaf().as_bytes()), Err(EntryError::LoggedAtMissing));
    let last = text(pending().to_leaf(LogTime::MAX));
    assert_eq!(DsseEntry::parse(last.as_bytes()).map(|entry| entry.logged_at()), Ok(LogTime::MAX));
}

#[test]
fn a_claim_alone_is_no_pending_leaf() {
    let claim = pending().claim().to_bytes();
    assert_eq!(PendingEntry::parse(&claim), Err(EntryError::SignatureMissing));
}

#[test]
fn exactly_one_signature_is_read() {
    let (head, signatures) = pending_leaf()
        .split_once(r#""signatures":"#)
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("signatures");
    let signature = signatures.trim_start_matches('[').trim_end_matches("]}}").to_owned();
    for signatures in [String::new(), format!("{signature},{signature}")] {
        let bad = format!(r#"{head}"signatures":[{signatures}]}}}}"#);
        let error = PendingEntry::parse(bad.as_bytes());
        assert!(matches!(error, Err(EntryError::NotCanonical { .. })), "{error:?}");
    }
}

/// The longest entry that is admitted can be logged, at the latest time there is.
#[test]
fn what_is_admitted_can_be_logged() {
    let entry = PendingEntry::sign(claim_of(&statement(1024), Visibility::Public), &key()).expect("an entry");
    assert!(entry.to_leaf(LogTime::MAX).len() <= MAX_LEAF_BYTES);
    assert_eq!(PendingEntry::parse(&entry.to_bytes()), Ok(entry));
    assert_eq!(MAX_LEAF_BYTES - MAX_PENDING_LEAF_BYTES, r#""loggedAt":9007199254740991,"#.len());
    let long = vec![b' '; MAX_LEAF_BYTES + 1];
    assert_eq!(Entry::parse(&long), Err(EntryError::TooLong(65_536)));
    assert_eq!(DsseEntry::parse(&long), Err(EntryError::TooLong(65_536)));
}

#[test]
fn a_claim_is_believed_of_its_signer_only() {
    let entry = pending();
    let other = Ed25519PrivateKey::from_seed(&[9; 32]).public_key();
    assert_eq!(entry.verify_claim_signature(&key().public_key()), Ok(()));
    assert_eq!(entry.verify_claim_signature(&other), Err(EntryError::OtherKey));
    let junk = PendingEntry { signature: [0; 64], ..entry.clone() };
    assert_eq!(junk.verify_claim_signature(&key().public_key()), Err(EntryError::ClaimSignature));
    // Its signature for another log is none for this one.
    let elsewhere = Claim { origin: "other.example".to_owned(), ..entry.claim.clone() };
    let elsewhere = PendingEntry::sign(elsewhere, &key()).expect("an entry");
    let replayed = PendingEntry { signature: elsewhere.signature, ..entry };
    assert_eq!(replayed.verify_claim_signature(&key().public_key()), Err(EntryError::ClaimSignature));
}

/// S13: no signature over a statement, a bare claim or a leaf is one over a claim, nor the reverse.
#[test]
fn s13_signatures_of_one_thing_are_not_of_another() {
    let entry = pending();
    let (claim, public) = (entry.claim.to_bytes(), key().public_key());
    let leaf = entry.to_bytes();
    for message in [
        claim.clone(),
        pae(crate::dsse::PAYLOAD_TYPE, &claim),
        pae(CLAIM_TYPE, &leaf),
        pae(CLAIM_TYPE, entry.claim.hash().get().as_bytes()),
        pae("", &claim),
    ] {
        let entry = PendingEntry { signature: key().sign(&message), ..entry.clone() };
        assert_eq!(entry.verify_claim_signature(&public), Err(EntryError::ClaimSignature));
    }
    // A claim that is passed off as a statement's payload.
    let envelope = Envelope::parse(
        serde_json::json!({
            "payload": tlog::encoding::base64(&claim),
            "payloadType": crate::dsse::PAYLOAD_TYPE,
            "signatures": [{"sig": tlog::encoding::base64(&entry.signature)}],
        })
        .to_string()
        .as_bytes(),
    );
    assert_eq!(envelope.expect("an envelope").verify(&public), Err(EnvelopeError::Signature));
}

#[test]
fn the_did_is_the_hash_of_the_genesis_key() {
    let key = key().public_key();
    let claim = pending().claim;
    assert_eq!(claim.check_genesis_key(&key), Ok(()));
    let did = Did::from_bytes([0; 16]);
    let foreign = Claim { did, ..claim };
    let key_did = Did::of(&key);
    assert_eq!(foreign.check_genesis_key(&key), Err(EntryError::NotGenesisKey { did, key_did }));
}

#[test]
fn a_published_envelope_is_the_one_the_entry_describes() {
    let public = key().public_key();
    let entry = pending();
    let envelope = Envelope::sign(&key(), statement(2).to_payload());
    assert_eq!(entry.check_published(&envelope, &public), Ok(statement(2)));

    let differs = |member| Err(PublishError::Describe(DescribeError::Differs { member }));
    let altered = |alter: &dyn Fn(&mut Claim)| {
        let mut claim = pending().claim;
        alter(&mut claim);
        PendingEntry { claim, ..pending() }.check_published(&envelope, &public)
    };
    let listing = |alter: &dyn Fn(&mut Listing)| {
        altered(&|claim| alter(claim.listing.as_mut().expect("a public claim")))
    };
    assert_eq!(altered(&|claim| claim.envelope_hash = Hash::default()), differs("spec.envelopeHash"));
    assert_eq!(altered(&|claim| claim.payload_hash = Hash::default()), differs("spec.payloadHash"));
    assert_eq!(altered(&|claim| claim.envelope_signature = [0; 64]), differs("spec.signatures[0].signature"));
    assert_eq!(altered(&|claim| claim.verifier = [0; 32]), differs("spec.signatures[0].verifier"));
    assert_eq!(
        listing(&|listing| listing.predicate_type = "x".to_owned()),
        differs("spec.aip.predicateType")
    );
    assert_eq!(listing(&|listing| listing.subjects.truncate(1)), differs("spec.aip.subjects"));
    assert_eq!(listing(&|listing| listing.subjects.push(Hash::default())), differs("spec.aip.subjects"));

    let other = Envelope::sign(&key(), statement(3).to_payload());
    assert_eq!(entry.check_published(&other, &public), differs("spec.aip.subjects"));
    let foreign = Envelope::sign(&Ed25519PrivateKey::from_seed(&[9; 32]), statement(2).to_payload());
    let bad_signature = Err(PublishError::Envelope(EnvelopeError::Signature));
    assert_eq!(entry.check_published(&foreign, &public), bad_signature);
    let not_a_statement = Envelope::sign(&key(), b"{}".to_vec());
    let result = entry.check_published(&not_a_statement, &public);
    assert!(matches!(result, Err(PublishError::Statement(_))));
    let private = claim_of(&statement(2), Visibility::Private);
    let private = PendingEntry::sign(private, &key()).expect("an entry");
    assert_eq!(private.check_published(&envelope, &public), Err(PublishError::Private));
}

#[test]
fn kinds_of_other_releases_are_valid_and_not_understood() {
    for (kind, version) in [
        ("aip-event", "2"),
        ("aip-index", "1"),
        ("aip-log", "1"),
        ("hashedrekord", "0.0.2"),
        ("dsse", "0.0.2"),
    ] {
        let leaf = format!(r#"{{"apiVersion":"{version}","kind":"{kind}","spec":{{"x":[1.5]}}}}"#);
        let (kind, version) = (kind.to_owned(), version.to_owned());
        assert_eq!(Entry::parse(leaf.as_bytes()), Ok(Entry::NotUnderstood { kind, version }));
    }
    for (leaf, want) in [
        ("", "not JSON"),
        ("[]", "not an object"),
        ("{}", "`apiVersion` is missing"),
        (r#"{"apiVersion":"1","kind":"x","spec":{},"y":1}"#, "unknown member `y`"),
        (r#"{"apiVersion":"1","kind":"x","spec":[]}"#, "`spec` is not an object"),
        (r#"{"apiVersion":1,"kind":"x","spec":{}}"#, "`apiVersion` is not a string"),
        (r#"{"apiVersion":"1","kind":"","spec":{}}"#, "are 1 to 64 letters"),
        (r#"{"apiVersion":"1","kind":"\u001b[2J","spec":{}}"#, "are 1 to 64 letters"),
        (r#"{"apiVersion":"1","kind":"x","spec":{"a":1,"a":2}}"#, "stands twice"),
        (r#"{"kind":"dsse","apiVersion":"0.0.1","spec":{}}"#, "at byte 0 should stand"),
        (r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{}}"#, r#"at byte 44 should stand `"aip""#),
    ] {
        let error = Entry::parse(leaf.as_bytes()).expect_err(leaf).to_string();
        assert!(error.contains(want), "{leaf}: {error}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        did: [u8; 16],
        origin in "[^\\s\\p{Cc}+]{1,40}",
        predicate_type in "[^\\p{Cc}]{1,60}",
        subjects in prop::collection::btree_set(any::<[u8; 32]>(), 1..5),
        private: bool,
        hashes: [[u8; 32]; 2],
        verifier: [u8; 32],
        signature in any::<[u8; 32]>().prop_map(|half| [half, half].concat()),
        time in 0..=LogTime::MAX.as_millis(),
    ) {
        let subjects = subjects.into_iter().map(Hash::new).collect();
        let signature: [u8; 64] = signature.try_into().expect("64 bytes");
        let [envelope_hash, payload_hash] = hashes.map(Hash::new);
        let listing = (!private).then_some(Listing { predicate_type, subjects });
        let envelope_signature = signature;
        let did = Did::from_bytes(did);
        let claim = Claim { did, origin, listing, envelope_hash, payload_hash, envelope_signature, verifier };
        let pending = PendingEntry { claim, signature };
        let bytes = pending.to_bytes();
        // A JSON reader that knows nothing of entries writes the same: the form is canonical.
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        prop_assert_eq!(value.to_string().into_bytes(), bytes.clone());
        prop_assert_eq!(PendingEntry::parse(&bytes), Ok(pending.clone()));
        let logged_at = LogTime::from_millis(time).expect("in range");
        let entry = DsseEntry::new(pending, logged_at);
        prop_assert_eq!(DsseEntry::parse(&entry.to_bytes()), Ok(entry));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = Entry::parse(&bytes);
    }

    #[test]
    fn a_mutated_entry_is_refused_or_says_something_else(at: prop::sample::Index, mask in 1..=u8::MAX) {
        let mut bytes = leaf().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(entry) = DsseEntry::parse(&bytes) {
            prop_assert_eq!(entry.to_bytes(), bytes);
        }
    }
}
