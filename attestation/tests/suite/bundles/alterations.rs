//! What a bundle, its leaf and its checkpoint must not say.

use attestation::receipt::{Check, Verdict};
use serde_json::{Value, json};
use tlog::Hash;
use tlog::encoding::base64;

use super::maker::{Key, Maker, log_der, public, statement};
use super::{ED, assert_refused, entry, flip, judge, proof, push, remove};

/// Each alteration that stock cosign refuses, and more, by the check that finds it.
#[test]
fn each_alteration_fails_its_check() {
    use Verdict::{CouldNotCheck as Unable, Failed};
    type Change = fn(&mut Value);
    let changes: [(&str, Change, Check, Verdict, &str); 36] = [
        ("a hash of the proof", |b| flip(&mut proof(b)["hashes"][0]), Check::Inclusion, Failed, ""),
        ("no hash", |b| proof(b)["hashes"] = json!([]), Check::Inclusion, Failed, ""),
        ("a hash too many", |b| push(&mut proof(b)["hashes"]), Check::Inclusion, Failed, ""),
        (
            "64 hashes",
            |b| proof(b)["hashes"] = json!(vec![Hash::of(b"").to_base64(); 64]),
            Check::Format,
            Failed,
            "64 hashes",
        ),
        ("treeSize", |b| proof(b)["treeSize"] = json!("3"), Check::LogSignature, Failed, "another tree"),
        ("no treeSize", |b| remove(proof(b), "treeSize"), Check::LogSignature, Failed, "another tree"),
        ("rootHash", |b| flip(&mut proof(b)["rootHash"]), Check::LogSignature, Failed, "another tree"),
        (
            "both indexes",
            |b| {
                proof(b)["logIndex"] = json!("1");
                entry(b)["logIndex"] = json!("1");
            },
            Check::Inclusion,
            Failed,
            "",
        ),
        (
            "the proof's index",
            |b| proof(b)["logIndex"] = json!("1"),
            Check::Format,
            Failed,
            "index 0, its proof 1",
        ),
        (
            "the entry's index",
            |b| entry(b)["logIndex"] = json!("1"),
            Check::Format,
            Failed,
            "index 1, its proof 0",
        ),
        (
            "an index beyond the tree",
            |b| {
                proof(b)["logIndex"] = json!("2");
                entry(b)["logIndex"] = json!("2");
            },
            Check::Inclusion,
            Failed,
            "",
        ),
        ("a number with a sign", |b| proof(b)["treeSize"] = json!("+2"), Check::Format, Failed, "`treeSize`"),
        ("a negative number", |b| proof(b)["treeSize"] = json!(-2), Check::Format, Failed, "`treeSize`"),
        (
            "a number with a fraction",
            |b| proof(b)["treeSize"] = json!(2.5),
            Check::Format,
            Failed,
            "`treeSize`",
        ),
        ("signature", |b| flip(&mut b["dsseEnvelope"]["signatures"][0]["sig"]), Check::Signature, Failed, ""),
        (
            "payload",
            |b| {
                b["dsseEnvelope"]["payload"] =
                    json!(base64(statement().to_string().replace("main", "side").as_bytes()))
            },
            Check::Signature,
            Failed,
            "",
        ),
        (
            "payload of no statement",
            |b| b["dsseEnvelope"]["payload"] = json!("e30="),
            Check::Format,
            Failed,
            "`_type`",
        ),
        (
            "keyid",
            |b| b["dsseEnvelope"]["signatures"][0]["keyid"] = json!("1"),
            Check::Format,
            Failed,
            "keyid",
        ),
        (
            "two signatures",
            |b| push(&mut b["dsseEnvelope"]["signatures"]),
            Check::Format,
            Failed,
            "2 signatures",
        ),
        (
            "no signature",
            |b| b["dsseEnvelope"]["signatures"] = json!([]),
            Check::Format,
            Failed,
            "0 signatures",
        ),
        (
            "another payload type",
            |b| b["dsseEnvelope"]["payloadType"] = json!("text/plain"),
            Check::Format,
            Unable,
            "payloadType",
        ),
        ("a further member", |b| b["extra"] = json!(1), Check::Format, Failed, "extra"),
        ("a further member of the entry", |b| entry(b)["extra"] = json!(1), Check::Format, Failed, "extra"),
        ("a further member of the proof", |b| proof(b)["extra"] = json!(1), Check::Format, Failed, "extra"),
        (
            "no entry",
            |b| b["verificationMaterial"]["tlogEntries"] = json!([]),
            Check::Format,
            Failed,
            "no log entry",
        ),
        (
            "no list of entries",
            |b| remove(&mut b["verificationMaterial"], "tlogEntries"),
            Check::Format,
            Failed,
            "no log entry",
        ),
        (
            "two entries",
            |b| push(&mut b["verificationMaterial"]["tlogEntries"]),
            Check::Format,
            Unable,
            "2 log entries",
        ),
        ("no proof", |b| remove(entry(b), "inclusionProof"), Check::Format, Failed, "inclusionProof"),
        ("no checkpoint", |b| remove(proof(b), "checkpoint"), Check::Format, Failed, "checkpoint"),
        (
            "another kind",
            |b| entry(b)["kindVersion"]["kind"] = json!("intoto"),
            Check::Format,
            Failed,
            "calls it",
        ),
        (
            "another log",
            |b| flip(&mut entry(b)["logId"]["keyId"]),
            Check::LogSignature,
            Failed,
            "names no log",
        ),
        (
            "a certificate",
            |b| b["verificationMaterial"]["certificate"] = json!({"rawBytes": "AAAA"}),
            Check::Format,
            Unable,
            "keyless",
        ),
        (
            "a chain",
            |b| b["verificationMaterial"]["x509CertificateChain"] = json!({}),
            Check::Format,
            Unable,
            "--certificate-identity",
        ),
        (
            "version 0.2",
            |b| b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2"),
            Check::Format,
            Unable,
            "mediaType",
        ),
        ("no content", |b| remove(b, "dsseEnvelope"), Check::Format, Failed, "dsseEnvelope"),
        ("two contents", |b| b["messageSignature"] = json!({}), Check::Format, Failed, "dsseEnvelope"),
    ];
    for maker in [Maker::of_rekor_1(), Maker::of_rekor_2()] {
        for (name, change, check, verdict, reason) in changes {
            let mut bundle = maker.bundle();
            change(&mut bundle);
            assert_refused(name, &judge(&maker, &bundle), check, verdict, reason);
        }
    }
}

/// Leaves that a log took, and that say something else than the bundle, or nothing that can be believed.
#[test]
fn each_leaf_that_does_not_belong_is_refused() {
    use Verdict::{CouldNotCheck as Unable, Failed};
    type Change = fn(Value) -> Value;
    let with = |maker: &Maker, leaf: Change| {
        let maker = Maker { leaf, ..maker.clone() };
        judge(&maker, &maker.bundle())
    };
    let v2 = Maker::of_rekor_2();
    let changes: [(&str, Change, Check, Verdict, &str); 9] = [
        (
            "Ed25519 labelled as prehashed",
            |mut leaf| {
                let verifier = &mut leaf["spec"]["hashedRekordV002"]["signature"]["verifier"];
                verifier["keyDetails"] = json!("PKIX_ED25519_PH");
                verifier["publicKey"]["rawBytes"] = json!(base64(&public(Key::Ed25519).to_der()));
                leaf["spec"]["hashedRekordV002"]["data"]["algorithm"] = json!("SHA2_512");
                leaf
            },
            Check::Format,
            Failed,
            "prehashed",
        ),
        (
            "Ed25519 labelled as P-256",
            |mut leaf| {
                let verifier = &mut leaf["spec"]["hashedRekordV002"]["signature"]["verifier"];
                verifier["publicKey"]["rawBytes"] = json!(base64(&public(Key::Ed25519).to_der()));
                leaf
            },
            Check::Format,
            Failed,
            "labels a key as P-256",
        ),
        (
            "P-384",
            |mut leaf| {
                let verifier = &mut leaf["spec"]["hashedRekordV002"]["signature"]["verifier"];
                verifier["keyDetails"] = json!("PKIX_ECDSA_P384_SHA_384");
                leaf
            },
            Check::Format,
            Unable,
            "PKIX_ECDSA_P384_SHA_384",
        ),
        (
            "a certificate",
            |mut leaf| {
                let verifier = &mut leaf["spec"]["hashedRekordV002"]["signature"]["verifier"];
                remove(verifier, "publicKey");
                verifier["x509Certificate"] = json!({"rawBytes": "AAAA"});
                leaf
            },
            Check::Format,
            Unable,
            "certificate",
        ),
        (
            "another digest",
            |mut leaf| {
                flip(&mut leaf["spec"]["hashedRekordV002"]["data"]["digest"]);
                leaf
            },
            Check::Leaf,
            Failed,
            "another content",
        ),
        (
            "another signature",
            |mut leaf| {
                flip(&mut leaf["spec"]["hashedRekordV002"]["signature"]["content"]);
                leaf
            },
            Check::Leaf,
            Failed,
            "another signature",
        ),
        (
            "another key",
            |mut leaf| {
                let verifier = &mut leaf["spec"]["hashedRekordV002"]["signature"]["verifier"];
                verifier["publicKey"]["rawBytes"] = json!(base64(&log_der(Key::P256)));
                leaf
            },
            Check::Leaf,
            Failed,
            "another key",
        ),
        (
            "a further member",
            |mut leaf| {
                leaf["spec"]["x"] = json!(1);
                leaf
            },
            Check::Format,
            Failed,
            "unknown member",
        ),
        (
            "hashedrekord 0.0.1",
            |mut leaf| {
                leaf["apiVersion"] = json!("0.0.1");
                leaf
            },
            Check::Format,
            Unable,
            "0.0.1",
        ),
    ];
    for (name, change, check, verdict, reason) in changes {
        assert_refused(name, &with(&v2, change), check, verdict, reason);
    }
    let changes: [(&str, Change, Check, Verdict, &str); 5] = [
        (
            "another payload",
            |mut leaf| {
                leaf["spec"]["payloadHash"]["value"] = json!(Hash::of(b"").to_string());
                leaf
            },
            Check::Leaf,
            Failed,
            "another content",
        ),
        (
            "another signature",
            |mut leaf| {
                flip(&mut leaf["spec"]["signatures"][0]["signature"]);
                leaf
            },
            Check::Leaf,
            Failed,
            "another signature",
        ),
        (
            "another key",
            |mut leaf| {
                leaf["spec"]["signatures"][0]["verifier"] = json!(base64(ED));
                leaf
            },
            Check::Leaf,
            Failed,
            "another key",
        ),
        (
            "another PEM of the key",
            |mut leaf| {
                let pem = format!("{}\n", public(Key::Ed25519).to_pem());
                leaf["spec"]["signatures"][0]["verifier"] = json!(base64(pem.as_bytes()));
                leaf
            },
            Check::Format,
            Failed,
            "canonical",
        ),
        (
            "a claim that nobody signed",
            |mut leaf| {
                leaf["spec"]["aip"] = json!({});
                leaf
            },
            Check::Format,
            Failed,
            "leaf",
        ),
    ];
    for (name, change, check, verdict, reason) in changes {
        assert_refused(name, &with(&Maker::of_rekor_1(), change), check, verdict, reason);
    }
    // A message under a leaf for envelopes: its payload would be nobody's.
    let mixed = Maker { payload: None, signer: Key::P256, ..Maker::of_rekor_1() };
    assert_refused("mixed", &judge(&mixed, &mixed.bundle()), Check::Leaf, Failed, "another content");
}

#[test]
fn each_checkpoint_that_does_not_belong_is_refused() {
    type Change = fn(&str) -> String;
    let changed = |maker: &Maker, change: Change| {
        let mut bundle = maker.bundle();
        let note = &mut proof(&mut bundle)["checkpoint"]["envelope"];
        *note = json!(change(note.as_str().expect("a note")));
        judge(maker, &bundle)
    };
    let (v1, v2) = (Maker::of_rekor_1(), Maker::of_rekor_2());
    let changes: [(&str, &Maker, Change, Check, &str); 7] = [
        (
            "another size",
            &v1,
            |note| note.replacen("\n2\n", "\n3\n", 1),
            Check::LogSignature,
            "does not verify",
        ),
        (
            "another tree id",
            &v1,
            |note| note.replacen("- 42", "- 43", 1),
            Check::LogSignature,
            "does not verify",
        ),
        (
            "another host",
            &v1,
            |note| note.replacen("log.", "lag.", 1),
            Check::LogSignature,
            "\"lag.example.com\"",
        ),
        (
            "another name in the line",
            &v1,
            |note| note.replace("— log.", "— lag."),
            Check::LogSignature,
            "no line",
        ),
        (
            "a line of a witness",
            &v1,
            |note| format!("{note}— witness.example.com AAAAAAAA\n"),
            Check::LogSignature,
            "this one has 2",
        ),
        (
            "no line",
            &v1,
            |note| note.split("—").next().expect("a text").to_owned(),
            Check::Format,
            "signature lines",
        ),
        (
            "another host",
            &v2,
            |note| note.replacen("log.", "lag.", 1),
            Check::LogSignature,
            "\"lag.example.com\"",
        ),
    ];
    for (name, maker, change, check, reason) in changes {
        assert_refused(name, &changed(maker, change), check, Verdict::Failed, reason);
    }
    // Unknown lines of a C2SP note are ignored, and so is a second one of the log.
    let further: Change = |note| format!("{note}— other.example.com AAAAAAAA\n");
    assert_eq!(changed(&v2, further).fault(), None);
}
