//! Receipts as Sigstore bundles, and what our own verifier makes of them.

use attestation::bundle::{
    ExportError, Signer, Verified, VerifyPolicy, Witnesses, export, trusted_root_of, verify,
};
use attestation::receipt::{Check, Demand, Receipt, SignerState, Verdict};
use attestation::sigstore::{SpkiKey, TrustedRoot, spki_of};
use proptest::prelude::*;
use serde_json::{Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::encoding::base64;
use tlog::key::{Ed25519PrivateKey, KeyId, KeyName, KeyType};
use tlog::note::{Note, NoteSignature};
use tlog::policy::Policy;
use tlog::{Hash, TreeSize, UnixTime};

use crate::bundles::{self, Maker};
use crate::fixture::{self, artifact, key, policy, receipt, vectors};

const HOST: &str = "log.example.com";

/// The second note of a log with this key, over this tree.
fn note(seed: u8, size: TreeSize, root: Hash) -> String {
    let key = Ed25519PrivateKey::from_seed(&[seed; 32]);
    let text = Checkpoint::new(&format!("{HOST} - 42"), size, root).to_string();
    let mut note = Note::unsigned(text.clone());
    let id = Hash::of(&spki_of(&key.public_key()));
    let id = KeyId::new(*id.as_bytes().first_chunk().expect("32 bytes"));
    let name = KeyName::new(HOST).expect("a name");
    note.add(NoteSignature::new(name, id, key.sign(text.as_bytes()).to_vec()));
    note.to_string()
}

fn with_note(receipt: Receipt, note: impl FnOnce(&Checkpoint) -> Option<String>) -> Receipt {
    let logged = receipt.log_answer().expect("logged").clone();
    let note = note(logged.checkpoint());
    receipt.logged(logged.entry, logged.proof, note).expect("a receipt")
}

fn good(checkpoint: &Checkpoint) -> Option<String> {
    Some(note(0x11, checkpoint.size, checkpoint.root))
}

fn exported() -> Value {
    let exported = export(&with_note(receipt(), good), &policy()).expect("exported");
    serde_json::from_str(&exported.bundle).expect("JSON")
}

fn root() -> Value {
    let root = trusted_root_of(&policy(), None).expect("a trusted root");
    serde_json::from_str(&root).expect("JSON")
}

fn judge(bundle: &Value, signer: Signer, demands: Vec<Demand>) -> attestation::receipt::Report<Verified> {
    let bundle = bundle.to_string();
    bundles::judged(bundle.as_bytes(), &root(), signer, Witnesses::None, None, demands)
}

/// The bundle, key and trusted root that were made elsewhere of the first vector, which stock cosign took.
#[test]
fn the_export_is_that_of_the_vectors() {
    let vectors = vectors();
    let policy: Policy = vectors["policy"].as_str().expect("a policy").parse().expect("a policy");
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    for (at, case) in vectors["cases"].as_array().expect("cases").iter().enumerate() {
        let receipt = Receipt::parse(case["receipt"].to_string().as_bytes()).expect("a receipt");
        let exported = export(&receipt, &policy).expect("exported");
        if at == 0 {
            let want = include_str!("../../../specs/vectors/sigstore/entry_bundle.json");
            assert_eq!(parse(&exported.bundle), parse(want));
            assert_eq!(exported.key, include_str!("../../../specs/vectors/sigstore/entry_key.pub"));
        }
        let root = trusted_root_of(&policy, None).expect("a trusted root");
        assert_eq!(
            parse(&root),
            parse(include_str!("../../../specs/vectors/sigstore/entry_trusted_root.json"))
        );
        let root = TrustedRoot::parse(root.as_bytes()).expect("a trusted root");
        let key = SpkiKey::parse(exported.key.as_bytes()).expect("a key");
        for signer in [Signer::Key(key), Signer::Did(receipt.did())] {
            let witnesses = Witnesses::None;
            let policy =
                VerifyPolicy { root: &root, signer, witnesses, pins: Vec::new(), demands: Vec::new() };
            let artifact = receipt.statement().subjects()[0].sha256;
            let report = verify(exported.bundle.as_bytes(), &policy, &artifact, None);
            assert_eq!(report.fault(), None, "{at}");
            let verified = report.verified().expect("verified");
            assert_eq!(verified.logged_at(), receipt.log_answer().map(|logged| logged.entry.logged_at()));
        }
    }
}

#[test]
fn only_a_receipt_with_a_second_note_of_its_own_tree_and_log_is_exported() {
    let refused =
        |receipt: &Receipt, policy: &Policy| export(receipt, policy).expect_err("refused").to_string();
    let with = |note: fn(&Checkpoint) -> Option<String>| refused(&with_note(receipt(), note), &policy());
    type Note = fn(&Checkpoint) -> Option<String>;
    let notes: [(&str, Note, &str); 8] = [
        ("none", |_| None, "no `sigstoreNote`"),
        ("no note", |_| Some("x".into()), "signature lines"),
        ("another size", |at| Some(note(0x11, TreeSize::new(at.size.get() + 1), at.root)), "its proof of"),
        ("another root", |at| Some(note(0x11, at.size, Hash::of(b""))), "its proof of"),
        ("another key", |at| Some(note(0x12, at.size, at.root)), "no line"),
        ("altered", |at| Some(note(0x11, at.size, at.root).replace("- 42", "- 43")), "does not verify"),
        (
            "a witness's line",
            |at| Some(format!("{}— witness.example.com AAAAAAAA\n", note(0x11, at.size, at.root))),
            "this one has 2",
        ),
        ("the log's own checkpoint", |at| Some(at.sign(&fixture::log()).to_string()), "host - N"),
    ];
    for (name, note, reason) in notes {
        assert!(with(note).contains(reason), "{name}: {}", with(note));
    }
    let signed = fixture::signed(&fixture::statement());
    assert_eq!(export(&signed, &policy()), Err(ExportError::NotLogged));
    let pending = signed.pending(fixture::pending(&fixture::statement()));
    assert_eq!(export(&pending, &policy()), Err(ExportError::NotLogged));
    let other: Policy =
        format!("log {}\nquorum none\n", key("other.example.com", KeyType::Ed25519, 0x11).verifier())
            .parse()
            .expect("a policy");
    assert!(refused(&with_note(receipt(), good), &other).contains("log.example.com/pipelines"));
}

/// Exactly what stock cosign reads, and not one member more: it refuses what it does not know.
#[test]
fn the_members_are_those_of_the_format() {
    let keys = |value: &Value| -> Vec<String> {
        let mut names = Vec::new();
        fn walk(path: &str, value: &Value, names: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    members.iter().for_each(|(name, value)| walk(&format!("{path}/{name}"), value, names))
                }
                Value::Array(values) => {
                    values.iter().take(1).for_each(|value| walk(&format!("{path}/*"), value, names))
                }
                _ => names.push(path.to_owned()),
            }
        }
        walk("", value, &mut names);
        names.sort();
        names
    };
    let entry = "/verificationMaterial/tlogEntries/*";
    let mut want = vec![
        "/mediaType".to_owned(),
        "/verificationMaterial/publicKey/hint".to_owned(),
        "/dsseEnvelope/payload".to_owned(),
        "/dsseEnvelope/payloadType".to_owned(),
        "/dsseEnvelope/signatures/*/sig".to_owned(),
    ];
    want.extend(
        [
            "logIndex",
            "logId/keyId",
            "kindVersion/kind",
            "kindVersion/version",
            "canonicalizedBody",
            "inclusionProof/logIndex",
            "inclusionProof/rootHash",
            "inclusionProof/treeSize",
            "inclusionProof/hashes/*",
            "inclusionProof/checkpoint/envelope",
        ]
        .map(|name| format!("{entry}/{name}")),
    );
    want.sort();
    assert_eq!(keys(&exported()), want);
}

#[test]
fn our_leaf_is_held_to_what_it_says() {
    let did = fixture::did();
    let report = judge(&exported(), Signer::Did(did), Vec::new());
    assert_eq!(report.fault(), None);
    let verified = report.verified().expect("verified");
    assert_eq!(verified.logged_at(), Some(fixture::logged_at()));
    let said = report.checks().iter().find(|(check, _)| *check == Check::Leaf).expect("the check");
    assert!(format!("{said:?}").contains("claimed for log.example.com/pipelines"));
    // The DID in the leaf is another one's than the wanted one: that is false, and no question of states.
    let other = attestation::Did::of(&fixture::other_signer().public_key());
    let report = judge(&exported(), Signer::Did(other), Vec::new());
    let (check, fault) = report.fault().expect("refused");
    assert_eq!((check, report.verdict()), (Check::Signer, Verdict::Failed), "{fault}");
    // A log at this host under another name signs the same second note.
    let elsewhere = key("log.example.com/other", KeyType::Ed25519, 0x11);
    let pinned = Demand::MinCheckpoint { log: elsewhere.verifier().clone(), size: TreeSize::new(1 << 40) };
    assert_eq!(judge(&exported(), Signer::Did(did), vec![pinned]).fault(), None);
    let own = Demand::MinCheckpoint { log: fixture::log().verifier().clone(), size: TreeSize::new(1 << 40) };
    let report = judge(&exported(), Signer::Did(did), vec![own]);
    assert_eq!(report.fault().map(|(check, _)| check), Some(Check::MinCheckpoint));
}

/// A state of the signer says what a bundle cannot.
#[test]
fn a_later_state_of_the_signer_counts() {
    let did = fixture::did();
    let state = |size| {
        let checkpoint = Checkpoint::new(fixture::ORIGIN, TreeSize::new(size), Hash::of(b""));
        let attested = Some(UnixTime::from_secs(fixture::COSIGNED_AT));
        let log = fixture::log().verifier().clone();
        let state = SignerState { did, log, checkpoint, attested, events: Vec::new() };
        Demand::State { state: Box::new(state), max_age: None }
    };
    let size = exported()["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["treeSize"].clone();
    let size: u64 = size.as_str().expect("a text").parse().expect("a number");
    assert_eq!(judge(&exported(), Signer::Did(did), vec![state(size)]).fault(), None);
    let report = judge(&exported(), Signer::Did(did), vec![state(size - 1)]);
    let (check, _) = report.fault().expect("refused");
    assert_eq!((check, report.verdict()), (Check::LaterState, Verdict::CouldNotCheck));
    // Whose key it is, the bundle of a key does not say.
    let key =
        SpkiKey::parse(export(&with_note(receipt(), good), &policy()).expect("exported").key.as_bytes());
    let report = judge(&exported(), Signer::Key(key.expect("a key")), vec![state(size)]);
    assert_eq!(report.verdict(), Verdict::CouldNotCheck);
}

#[test]
fn a_trusted_root_has_the_logs_of_the_policy() {
    let logs = [("a.example.com/x", 1), ("b.example.com", 2)]
        .map(|(name, seed)| format!("log {}\n", key(name, KeyType::Ed25519, seed).verifier()));
    let witness = fixture::witness();
    let policy: Policy =
        format!("{}witness w {}\nquorum w\n", logs.concat(), witness.verifier()).parse().expect("a policy");
    let parse = |text: Option<String>| -> Value {
        serde_json::from_str(&text.expect("a trusted root")).expect("JSON")
    };
    let all = parse(trusted_root_of(&policy, None));
    let urls: Vec<&Value> =
        all["tlogs"].as_array().expect("logs").iter().map(|log| &log["baseUrl"]).collect();
    assert_eq!(urls, [&json!("https://a.example.com"), &json!("https://b.example.com")]);
    let one = parse(trusted_root_of(&policy, Some("b.example.com")));
    assert_eq!(one["tlogs"].as_array().map(Vec::len), Some(1));
    assert!(TrustedRoot::parse(all.to_string().as_bytes()).is_ok_and(|root| !root.has_end()));
    assert_eq!(trusted_root_of(&policy, Some("nowhere")), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// What anybody may do to a bundle on its way: take a member away, double it, put another value there. No change makes a
    /// panic, and what still verifies says the same.
    #[test]
    fn a_mutated_bundle_says_the_same_or_nothing(
        which in 0..3_usize,
        at in any::<prop::sample::Index>(),
        change in 0..6_usize,
        other in any::<prop::sample::Index>(),
    ) {
        let makers = [Maker::of_rekor_1(), Maker::of_rekor_2()];
        let (bundle, root, key) = match makers.get(which) {
            Some(maker) => (maker.bundle(), bundles::root(), maker.public()),
            None => (exported(), root(), SpkiKey::Ed25519(fixture::signer().public_key())),
        };
        let judge = |bundle: &Value| {
            let text = bundle.to_string();
            bundles::judged(text.as_bytes(), &root, Signer::Key(key.clone()), Witnesses::None, None, Vec::new())
        };
        let verified = judge(&bundle).verified().expect("verified").clone();
        let mut paths = Vec::new();
        walk(String::new(), &bundle, &mut paths);
        let path = at.get(&paths);
        let mut mutated = bundle.clone();
        let donor = bundle.pointer(other.get(&paths[..]).as_str()).expect("a value").clone();
        let place = mutated.pointer_mut(path).expect("a value");
        match change {
            0 => *place = Value::Null,
            1 => *place = donor,
            2 => *place = json!([place.clone()]),
            3 => *place = json!({"a": place.clone()}),
            4 => {
                let (parent, name) = path.rsplit_once('/').unwrap_or_default();
                match mutated.pointer_mut(parent) {
                    Some(Value::Object(members)) => drop(members.remove(name)),
                    Some(Value::Array(values)) => values.clear(),
                    _ => {}
                }
            }
            _ => {
                let (parent, _) = path.rsplit_once('/').unwrap_or_default();
                if let Some(Value::Array(values)) = mutated.pointer_mut(parent) {
                    values.push(donor);
                }
            }
        }
        if let Some(got) = judge(&mutated).verified() {
            prop_assert_eq!(got, &verified, "{} {}", path, change);
        }
        prop_assert_eq!(judge(&artifactless(bundle)).verdict(), Verdict::Failed);
    }

    #[test]
    fn no_text_makes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = attestation::sigstore::Bundle::parse(&bytes);
        let _ = TrustedRoot::parse(&bytes);
    }
}

/// The same about another artifact.
fn artifactless(mut bundle: Value) -> Value {
    let payload = bundle["dsseEnvelope"]["payload"].as_str().expect("an envelope");
    let payload = tlog::encoding::decode_base64(payload).expect("base64");
    let text = String::from_utf8(payload).expect("UTF-8");
    let other = text.replace(&artifact().to_string(), &Hash::of(b"other").to_string());
    assert_ne!(text, other);
    bundle["dsseEnvelope"]["payload"] = json!(base64(other.as_bytes()));
    bundle
}

fn walk(path: String, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(format!("{path}/{name}"), value, paths))
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(at, value)| walk(format!("{path}/{at}"), value, paths))
        }
        _ => {}
    }
    paths.push(path);
}
