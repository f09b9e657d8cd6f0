//! `specs/vectors/entry.json`, byte for byte.

use attestation::Did;
use attestation::did::{to_did_key, to_pem};
use attestation::dsse::Envelope;
use attestation::entry::{Claim, DsseEntry, Entry, LogTime, PendingEntry, Visibility};
use attestation::receipt::{Check, Receipt, Signers, State, Verdict, VerifyPolicy};
use attestation::statement::Statement;
use serde_json::Value;
use tlog::Hash;
use tlog::encoding::decode_base64;
use tlog::merkle::{leaf_hash, root_of};
use tlog::proof::TlogProof;

use crate::fixture::{self, ORIGIN};

fn cases() -> Vec<Value> {
    let mut vectors = fixture::vectors();
    let Value::Array(cases) = vectors["cases"].take() else { panic!("cases are an array") };
    assert_eq!(cases.len(), 4);
    cases
}

fn text<'v>(case: &'v Value, name: &str) -> &'v str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is text"))
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[test]
fn keys_have_the_names_of_the_vectors() {
    let vectors = fixture::vectors();
    let key = fixture::signer().public_key();
    assert_eq!(Did::of(&key).to_string(), text(&vectors["signer"], "did"));
    assert_eq!(to_pem(&key), text(&vectors["signer"], "pem"));
    assert_eq!(to_did_key(&key), "did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd");
    assert_eq!(fixture::log().verifier().to_string(), text(&vectors["log"], "vkey"));
    assert_eq!(fixture::witness().verifier().to_string(), text(&vectors["witness"], "vkey"));
    assert_eq!(fixture::policy(), text(&vectors, "policy").parse().expect("a policy"));
}

#[test]
fn envelopes_are_signed_byte_for_byte() {
    for case in cases() {
        let envelope = Envelope::parse(&bytes(&case["envelope"])).expect("an envelope");
        let payload = envelope.verify(&fixture::signer().public_key()).expect("signed");
        assert_eq!(Envelope::sign(&fixture::signer(), payload.to_vec()), envelope);
        assert_eq!(Statement::parse(payload).expect("a statement").to_payload(), payload);
    }
}

#[test]
fn entries_are_made_byte_for_byte() {
    let key = fixture::signer().public_key();
    for case in cases() {
        let name = text(&case, "name");
        let envelope = Envelope::parse(&bytes(&case["envelope"])).expect("an envelope");
        let statement = Statement::parse(envelope.unverified_payload()).expect("a statement");
        let private = name.starts_with("private");
        let visibility = if private { Visibility::Private } else { Visibility::Public };
        let claim = Claim::new(&envelope, &statement, Did::of(&key), &key, ORIGIN, visibility);
        let claim = claim.expect("a claim");
        assert_eq!(String::from_utf8(claim.to_bytes()).expect("UTF-8"), text(&case, "claim"), "{name}");
        assert_eq!(claim.pae(), hex::decode(text(&case, "claim_pae_hex")).expect("hex"), "{name}");
        assert_eq!(claim.hash().get().to_string(), text(&case, "idempotency_key"), "{name}");
        assert_eq!(claim.check_genesis_key(&key), Ok(()), "{name}");

        let pending = PendingEntry::sign(claim, &fixture::signer()).expect("an entry");
        assert_eq!(pending.to_bytes(), text(&case, "pending_leaf").as_bytes(), "{name}");
        assert_eq!(pending.signature().as_slice(), decode_base64(text(&case, "signature")).expect("base64"));
        assert_eq!(pending.verify_claim_signature(&key), Ok(()), "{name}");
        assert_eq!(PendingEntry::parse(&pending.to_bytes()).as_ref(), Ok(&pending), "{name}");
        let published = pending.check_published(&envelope, &key);
        assert_eq!(published.is_err(), private, "{name}");

        let leaf = text(&case, "leaf").as_bytes();
        let entry = DsseEntry::parse(leaf).expect("a leaf");
        assert_eq!(entry.pending(), &pending, "{name}");
        assert_eq!(pending.to_leaf(entry.logged_at()), leaf, "{name}");
        assert_eq!(leaf_hash(leaf).to_string(), text(&case, "leaf_hash"), "{name}");
        assert_eq!(Entry::parse(leaf), Ok(Entry::Dsse(Box::new(entry))), "{name}");
    }
}

#[test]
fn the_leaves_make_the_tree() {
    let vectors = fixture::vectors();
    let leaves: Vec<Hash> = cases().iter().map(|case| leaf_hash(text(case, "leaf").as_bytes())).collect();
    assert_eq!(root_of(&leaves).to_base64(), text(&vectors["tree"], "root"));
}

#[test]
fn receipts_verify_and_are_written_as_they_were_read() {
    let vectors = fixture::vectors();
    let policy = text(&vectors, "policy").parse().expect("a policy");
    let policy = VerifyPolicy::new(&policy, Signers::OneOf(vec![fixture::did()]));
    let artifact = decode_base64(text(&vectors["artifacts"], "artifact.bin")).expect("base64");
    for (case, index) in cases().into_iter().zip(0..) {
        let receipt = Receipt::parse(&bytes(&case["receipt"])).expect("a receipt");
        let written: Value = serde_json::from_str(&receipt.to_json()).expect("JSON");
        assert_eq!(written, case["receipt"]);
        assert_eq!(Receipt::parse(receipt.to_json().as_bytes()), Ok(receipt.clone()));

        let report = receipt.verify(&policy, &Hash::of(&artifact), None);
        assert_eq!(report.verdict(), Verdict::Verified, "{report:?}");
        let verified = report.verified().expect("verified");
        assert_eq!(verified.did(), fixture::did());
        assert_eq!(verified.index().get(), index);
        assert_eq!(verified.checkpoint().size.get(), 4);
        assert_eq!(verified.cosigned()[0].witness, "w");
        let State::Logged(logged) = receipt.state() else { panic!("a logged receipt") };
        assert_eq!(logged.entry.to_bytes(), text(&case, "leaf").as_bytes());
        assert_eq!(logged.proof.to_string(), text(&case, "proof"));
    }
}

#[test]
fn a_receipt_grows_from_signed_to_logged() {
    for case in cases() {
        let envelope = Envelope::parse(&bytes(&case["envelope"])).expect("an envelope");
        let entry = DsseEntry::parse(text(&case, "leaf").as_bytes()).expect("a leaf");
        let key = fixture::signer().public_key();

        let signed = Receipt::signed(Did::of(&key), key, envelope).expect("a receipt");
        assert_eq!(Receipt::parse(signed.to_json().as_bytes()), Ok(signed.clone()));
        assert_eq!((signed.pending_entry(), signed.log_answer()), (None, None));

        let pending = signed.pending(entry.pending().clone());
        assert_eq!(Receipt::parse(pending.to_json().as_bytes()), Ok(pending.clone()));
        assert_eq!(pending.pending_entry(), Some(entry.pending()));
        assert_eq!(pending.log_answer(), None);

        let proof = TlogProof::parse(text(&case, "proof")).expect("a proof");
        let note = text(&case["receipt"], "sigstoreNote").to_owned();
        let logged = pending.logged(entry, proof, Some(note)).expect("a checkpoint");
        assert_eq!(logged, Receipt::parse(&bytes(&case["receipt"])).expect("a receipt"));
    }
}

#[test]
fn log_times_end_where_json_integers_do() {
    assert_eq!(LogTime::from_millis((1 << 53) - 1), Some(LogTime::MAX));
    assert_eq!(LogTime::from_millis(1 << 53), None);
    assert_eq!(LogTime::MAX.as_millis(), 9_007_199_254_740_991);
}

/// The samples in the prose are the vectors: nobody implements from stale bytes.
#[test]
fn the_prose_shows_the_bytes_of_the_vectors() {
    let case = &cases()[0];
    let entry = include_str!("../../../specs/entry.md");
    for name in ["claim", "idempotency_key", "leaf"] {
        assert!(entry.contains(&format!("\n{}\n", text(case, name))), "{name}");
    }
    let statement = include_str!("../../../specs/statement.md");
    let envelope = Envelope::parse(&bytes(&case["envelope"])).expect("an envelope");
    assert!(statement.contains(&format!("\n{}\n", envelope.to_json())));
    let payload = String::from_utf8(envelope.unverified_payload().to_vec()).expect("UTF-8");
    assert!(statement.contains(&format!("\n{payload}\n")));
    let identity = include_str!("../../../specs/identity.md");
    let key = fixture::signer().public_key();
    for name in [to_did_key(&key), to_pem(&key), Did::of(&key).to_string(), hex::encode(key.as_bytes())] {
        assert!(identity.contains(&name), "{name}");
    }
    let event = include_str!("../../../specs/event.md");
    assert!(event.contains(attestation::statement::EVENT_PREDICATE_BASE));
    let receipt = include_str!("../../../specs/receipt.md");
    for check in Check::ALL {
        assert!(receipt.contains(&format!("`{}`", check.id())), "{check}");
    }
}
