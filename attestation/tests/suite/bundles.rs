//! Sigstore bundles of others: each form that is taken, and each rule broken alone.

mod alterations;
mod asked;
mod maker;

use attestation::bundle::{Signer, Verified, VerifyPolicy, Witnesses, verify};
use attestation::receipt::{Check, Demand, Fault, Outcome, Report, Verdict};
use attestation::sigstore::{BundleRefusal, Content, SpkiKey, TrustedRoot};
use serde_json::{Value, json};
use tlog::encoding::base64;
use tlog::{Hash, UnixTime};

use crate::fixture::artifact;
use maker::{HOST, Key, log_ed25519, log_id};
pub(crate) use maker::{Maker, root};

const EC: &[u8] = include_bytes!("../../../specs/vectors/sigstore/ec.pub");
const ED: &[u8] = include_bytes!("../../../specs/vectors/sigstore/ed.pub");
const ROOT: &[u8] = include_bytes!("../../../specs/vectors/sigstore/trusted_root.json");
/// Its name, bundle, key and trusted root.
type Vector = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

const VECTORS: [Vector; 3] = [
    ("A", include_bytes!("../../../specs/vectors/sigstore/A_ec_dsse_hr2pae.json"), EC, ROOT),
    ("E", include_bytes!("../../../specs/vectors/sigstore/E_ed_dsse_v1dsse.json"), ED, ROOT),
    (
        "entry",
        include_bytes!("../../../specs/vectors/sigstore/entry_bundle.json"),
        include_bytes!("../../../specs/vectors/sigstore/entry_key.pub"),
        include_bytes!("../../../specs/vectors/sigstore/entry_trusted_root.json"),
    ),
];
const ARTIFACT: &[u8] = include_bytes!("../../../specs/vectors/sigstore/artifact.bin");

pub(crate) fn judged(
    bundle: &[u8],
    root: &Value,
    signer: Signer,
    witnesses: Witnesses<'_>,
    now: Option<u64>,
    demands: Vec<Demand>,
) -> Report<Verified> {
    let root = TrustedRoot::parse(root.to_string().as_bytes()).expect("a trusted root");
    let policy = VerifyPolicy { root: &root, signer, witnesses, pins: Vec::new(), demands };
    verify(bundle, &policy, &artifact(), now.map(UnixTime::from_secs))
}

fn judge(maker: &Maker, bundle: &Value) -> Report<Verified> {
    let key = Signer::Key(maker.public());
    judged(bundle.to_string().as_bytes(), &root(), key, Witnesses::None, None, Vec::new())
}

fn assert_refused(name: &str, report: &Report<Verified>, check: Check, verdict: Verdict, reason: &str) {
    let (failed, fault) = report.fault().unwrap_or_else(|| panic!("{name} was accepted"));
    assert_eq!((failed, report.verdict()), (check, verdict), "{name}: {fault}");
    assert!(fault.to_string().contains(reason), "{name}: {fault}");
    let after = report.checks().iter().skip_while(|(at, _)| *at != check).skip(1);
    assert!(after.into_iter().all(|(_, outcome)| *outcome == Outcome::NotChecked), "{name}");
    assert!(report.verified().is_none(), "{name}");
}

#[test]
fn the_vectors_verify_and_nothing_altered_does() {
    for (name, bundle, key, root) in VECTORS {
        let key = SpkiKey::parse(key).expect("a key");
        let root = TrustedRoot::parse(root).expect("a trusted root");
        let policy = VerifyPolicy {
            root: &root,
            signer: Signer::Key(key.clone()),
            witnesses: Witnesses::None,
            pins: Vec::new(),
            demands: Vec::new(),
        };
        let artifact = Hash::of(ARTIFACT);
        let report = verify(bundle, &policy, &artifact, None);
        assert_eq!(report.fault(), None, "{name}");
        let verified = report.verified().expect("verified").clone();
        assert_eq!(verified.statement().map(|statement| statement.subjects().len()), Some(1), "{name}");
        let other = verify(bundle, &policy, &Hash::of(b"another"), None);
        assert_refused(name, &other, Check::ArtifactDigest, Verdict::Failed, "no subject");
        for at in 0..bundle.len() {
            let mut flipped = bundle.to_vec();
            flipped[at] ^= 1 << (at % 8);
            // Nobody signed the hint, and nobody asks for this witness.
            if let Some(got) = verify(&flipped, &policy, &artifact, None).verified() {
                let is_in = |text: &[u8], length: usize| {
                    let start = bundle.windows(text.len()).position(|window| window == text);
                    start.is_some_and(|start| (start..start + length).contains(&at))
                };
                assert!(
                    is_in(b"\"hint\"", 60) || is_in(" witness.example ".as_bytes(), 125),
                    "{name}: byte {at}"
                );
                assert_eq!(*got, verified, "{name}: byte {at}");
            }
        }
        for cut in 0..bundle.trim_ascii_end().len() {
            assert_ne!(
                verify(&bundle[..cut], &policy, &artifact, None).verdict(),
                Verdict::Verified,
                "{name}"
            );
        }
    }
}

#[test]
fn each_form_verifies() {
    let message = Maker { payload: None, ..Maker::of_rekor_2() };
    for (name, maker) in [
        ("Rekor v2, P-256, envelope", Maker::of_rekor_2()),
        ("Rekor v2, P-256, message", message.clone()),
        ("Rekor v1, Ed25519", Maker::of_rekor_1()),
        ("Rekor v1, P-256", Maker { signer: Key::P256, ..Maker::of_rekor_1() }),
        (
            "Rekor v1's note over hashedrekord 0.0.2",
            Maker { is_hashedrekord: true, signer: Key::P256, ..Maker::of_rekor_1() },
        ),
        ("a log with a P-256 key", Maker { log: Key::P256, ..Maker::of_rekor_2() }),
        ("a Rekor v1 with a P-256 key", Maker { log: Key::P256, ..Maker::of_rekor_1() }),
    ] {
        let report = judge(&maker, &maker.bundle());
        assert_eq!(report.fault(), None, "{name}");
        assert_eq!(report.checks().len(), 8, "{name}");
        let verified = report.verified().expect("verified");
        assert_eq!(
            (verified.key(), verified.index().get(), verified.logged_at()),
            (&maker.public(), 0, None)
        );
        assert_eq!(verified.statement().is_none(), matches!(verified.content(), Content::Message(_)));
        // Every other key is refused, of either kind.
        for other in [SpkiKey::parse(EC).expect("a key"), SpkiKey::parse(ED).expect("a key")] {
            let bytes = maker.bundle().to_string();
            let other = judged(bytes.as_bytes(), &root(), Signer::Key(other), Witnesses::None, None, vec![]);
            assert_refused(name, &other, Check::Signature, Verdict::Failed, "not by the wanted key");
        }
    }
}

/// As stock cosign refuses it: it takes a leaf of Rekor v1 for one of Rekor v1's log, which signs no such note.
#[test]
fn a_leaf_of_rekor_1_under_another_note_is_refused() {
    for signer in [Key::Ed25519, Key::P256] {
        let rekor_1 = Maker { signer, ..Maker::of_rekor_1() };
        assert_eq!(judge(&rekor_1, &rekor_1.bundle()).fault(), None);
        for cosigned_at in [None, Some(1_700_000_000)] {
            let maker = Maker { origin: HOST.into(), cosigned_at, ..rekor_1.clone() };
            let report = judge(&maker, &maker.bundle());
            assert_refused("dsse under a C2SP note", &report, Check::Format, Verdict::Failed, "`host - N`");
        }
    }
}

/// What cosign takes too, since nothing that counts is said by it.
#[test]
fn what_says_nothing_may_be_left_out_or_be_there() {
    let maker = Maker::of_rekor_1();
    let changed = |change: fn(&mut Value)| {
        let mut bundle = maker.bundle();
        change(&mut bundle);
        judge(&maker, &bundle)
    };
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 10] = [
        ("no hint", |b| b["verificationMaterial"]["publicKey"] = json!({})),
        ("no index, which is 0", |b| {
            let entry = entry(b);
            remove(entry, "logIndex");
            remove(&mut entry["inclusionProof"], "logIndex");
        }),
        ("numbers for texts", |b| {
            let entry = entry(b);
            entry["logIndex"] = json!(0);
            entry["inclusionProof"]["treeSize"] = json!(2);
        }),
        ("integratedTime", |b| entry(b)["integratedTime"] = json!("1700000000")),
        ("an inclusion promise", |b| promise(b, "0", 1_780_000_000)),
        ("an index among older trees, with a promise", |b| promise(b, "25579", 1_780_000_000)),
        ("a promise of nothing", |b| entry(b)["inclusionPromise"] = json!({})),
        ("timestamps", |b| {
            b["verificationMaterial"]["timestampVerificationData"] = json!({"rfc3161Timestamps": []});
        }),
        ("an empty keyid", |b| b["dsseEnvelope"]["signatures"][0]["keyid"] = json!("")),
        ("the older media type", |b| {
            b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3");
        }),
    ];
    for (name, change) in changes {
        assert_eq!(changed(change).fault(), None, "{name}");
    }
}

/// A promise is the log's word, as stock cosign has it: its own, over this entry, at a time when its key counted.
#[test]
fn a_promise_that_the_log_did_not_give_is_refused() {
    let maker = Maker::of_rekor_1();
    type Change = fn(&mut Value);
    let changes: [(&str, Change, Check, &str); 7] = [
        (
            "no signature of the log",
            |b| entry(b)["inclusionPromise"] = json!({"signedEntryTimestamp": "AAAA"}),
            Check::LogSignature,
            "inclusionPromise",
        ),
        (
            "a bit of it",
            |b| {
                promise(b, "0", 1_780_000_000);
                flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"]);
            },
            Check::LogSignature,
            "inclusionPromise",
        ),
        (
            "another time",
            |b| {
                promise(b, "0", 1_780_000_000);
                entry(b)["integratedTime"] = json!("1780000001");
            },
            Check::LogSignature,
            "inclusionPromise",
        ),
        (
            "another index",
            |b| {
                promise(b, "0", 1_780_000_000);
                entry(b)["logIndex"] = json!("9");
            },
            Check::LogSignature,
            "inclusionPromise",
        ),
        ("before the key counted", |b| promise(b, "0", 1_700_000_000), Check::LogSignature, "from 2025"),
        (
            "no promise",
            |b| entry(b)["inclusionPromise"] = json!({"rawBytes": "AAAA"}),
            Check::Format,
            "signedEntryTimestamp",
        ),
        (
            "no timestamps",
            |b| b["verificationMaterial"]["timestampVerificationData"] = json!({"x": 1}),
            Check::Format,
            "unknown member",
        ),
    ];
    for (name, change, check, reason) in changes {
        let mut bundle = maker.bundle();
        change(&mut bundle);
        assert_refused(name, &judge(&maker, &bundle), check, Verdict::Failed, reason);
    }
}

/// What an error repeats of a bundle is escaped and short.
#[test]
fn hostile_text_is_quoted() {
    let maker = Maker::of_rekor_1();
    let mut bundle = maker.bundle();
    bundle["mediaType"] = json!(format!("\u{1b}[31m{}", "x".repeat(10_000)));
    let report = judge(&maker, &bundle);
    let Some((_, Fault::Sigstore(refusal @ BundleRefusal::Format(_)))) = report.fault() else {
        panic!("{report:?}")
    };
    let text = refusal.to_string();
    assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// The log's promise that it took the entry, at this index among all of its trees and at this time.
fn promise(bundle: &mut Value, index: &str, time: u64) {
    let entry = entry(bundle);
    let text = format!(
        r#"{{"body":{},"integratedTime":{time},"logID":"{}","logIndex":{index}}}"#,
        entry["canonicalizedBody"],
        hex::encode(log_id(Key::Ed25519)),
    );
    let signature = log_ed25519().sign(text.as_bytes());
    entry["logIndex"] = json!(index);
    entry["integratedTime"] = json!(time.to_string());
    entry["inclusionPromise"] = json!({"signedEntryTimestamp": base64(&signature)});
}

fn proof(bundle: &mut Value) -> &mut Value {
    &mut entry(bundle)["inclusionProof"]
}

fn remove(object: &mut Value, name: &str) {
    object.as_object_mut().expect("an object").remove(name).expect("it is there");
}

/// Appends what is there already.
fn push(list: &mut Value) {
    let list = list.as_array_mut().expect("a list");
    let first = list[0].clone();
    list.push(first);
}

/// Flips a bit of the bytes in base64.
fn flip(text: &mut Value) {
    let mut bytes = tlog::encoding::decode_base64(text.as_str().expect("a text")).expect("base64");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    *text = json!(base64(&bytes));
}
