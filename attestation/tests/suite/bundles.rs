//! Sigstore bundles of others: each form that is taken, and each rule broken alone.

use attestation::Did;
use attestation::dsse::{PAYLOAD_TYPE, pae};
use attestation::receipt::{Check, Demand, Fault, Outcome, Pin, Report, Verdict};
use attestation::sigstore::{
    Content, Refusal, Signer, SpkiKey, TrustedRoot, Verified, VerifyPolicy, Witnesses, spki_of, verify,
};
use p256::ecdsa::signature::{Signer as _, hazmat::PrehashSigner as _};
use serde_json::{Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::encoding::base64;
use tlog::key::{Ed25519PrivateKey, KeyId, KeyName, KeyType, VerifierKey};
use tlog::merkle::{leaf_hash, node_hash};
use tlog::note::{Note, NoteSignature};
use tlog::policy::Policy;
use tlog::{Hash, TreeSize, UnixTime, cosignature};

use crate::fixture::{self, artifact, key, witness};

const HOST: &str = "log.example.com";
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

/// Who signs.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    Ed25519,
    P256,
}

/// Makes bundles: one leaf, and another one, in a log with one witness.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) signer: Key,
    /// The payload of the envelope; else the artifact itself is signed.
    pub(crate) payload: Option<Value>,
    pub(crate) leaf: fn(Value) -> Value,
    pub(crate) is_hashedrekord: bool,
    pub(crate) log: Key,
    pub(crate) origin: String,
    pub(crate) cosigned_at: Option<u64>,
}

impl Maker {
    /// As stock cosign and Rekor v2 make it of a P-256 key.
    pub(crate) fn of_rekor_2() -> Self {
        Self {
            signer: Key::P256,
            payload: Some(statement()),
            leaf: |leaf| leaf,
            is_hashedrekord: true,
            log: Key::Ed25519,
            origin: HOST.to_owned(),
            cosigned_at: Some(fixture::COSIGNED_AT),
        }
    }

    /// As Rekor v1 answered to an Ed25519 key.
    pub(crate) fn of_rekor_1() -> Self {
        Self {
            signer: Key::Ed25519,
            is_hashedrekord: false,
            origin: format!("{HOST} - 42"),
            cosigned_at: None,
            ..Self::of_rekor_2()
        }
    }

    pub(crate) fn public(&self) -> SpkiKey {
        public(self.signer)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self.signer {
            Key::Ed25519 => ed25519().sign(message).to_vec(),
            Key::P256 => {
                let signature: p256::ecdsa::Signature = p256_key(1).sign(message);
                signature.to_der().to_bytes().to_vec()
            }
        }
    }

    pub(crate) fn bundle(&self) -> Value {
        let payload = self.payload.as_ref().map(|payload| payload.to_string().into_bytes());
        let (digest, signature, content, name) = match &payload {
            Some(payload) => {
                let message = pae(PAYLOAD_TYPE, payload);
                let signature = self.sign(&message);
                let envelope = json!({
                    "payload": base64(payload),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [{"sig": base64(&signature)}],
                });
                (Hash::of(&message), signature, envelope, "dsseEnvelope")
            }
            None => {
                let SpkiKey::P256(_) = self.public() else { panic!("Ed25519 signs no digest") };
                let signature: p256::ecdsa::Signature =
                    p256_key(1).sign_prehash(artifact().as_bytes()).expect("a signature");
                let signature = signature.to_der().to_bytes().to_vec();
                let digest = json!({"algorithm": "SHA2_256", "digest": artifact().to_base64()});
                let message = json!({"messageDigest": digest, "signature": base64(&signature)});
                (artifact(), signature, message, "messageSignature")
            }
        };
        let leaf = match self.is_hashedrekord {
            true => json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
                "data": {"algorithm": "SHA2_256", "digest": digest.to_base64()},
                "signature": {"content": base64(&signature), "verifier": {
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "publicKey": {"rawBytes": base64(&self.public().to_der())},
                }},
            }}}),
            false => json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": Hash::of(content.to_string().as_bytes()).to_string()},
                "payloadHash": {"algorithm": "sha256", "value": Hash::of(&payload.unwrap_or_default()).to_string()},
                "signatures": [{"signature": base64(&signature), "verifier": base64(self.public().to_pem().as_bytes())}],
            }}),
        };
        let leaf = (self.leaf)(leaf);
        let (kind, version) = (leaf["kind"].clone(), leaf["apiVersion"].clone());
        let body = leaf.to_string();
        let other = leaf_hash(b"other");
        let root = node_hash(&leaf_hash(body.as_bytes()), &other);
        let mut bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "publicKey": {"hint": "a hint"},
                "tlogEntries": [{
                    "logIndex": "0",
                    "logId": {"keyId": base64(&log_id(self.log))},
                    "kindVersion": {"kind": kind, "version": version},
                    "inclusionProof": {
                        "logIndex": "0",
                        "rootHash": root.to_base64(),
                        "treeSize": "2",
                        "hashes": [other.to_base64()],
                        "checkpoint": {"envelope": self.note(root).to_string()},
                    },
                    "canonicalizedBody": base64(body.as_bytes()),
                }],
            },
        });
        bundle[name] = content;
        bundle
    }

    fn note(&self, root: Hash) -> Note {
        let checkpoint = Checkpoint::new(&self.origin, TreeSize::new(2), root);
        let text = checkpoint.to_string();
        let mut note = Note::unsigned(text.clone());
        let signature = match self.log {
            Key::Ed25519 => log_ed25519().sign(text.as_bytes()).to_vec(),
            Key::P256 => {
                let signature: p256::ecdsa::Signature = p256_key(2).sign(text.as_bytes());
                signature.to_der().to_bytes().to_vec()
            }
        };
        let is_of_rekor_1 = self.origin.contains(" - ");
        let id = match self.log {
            Key::Ed25519 if !is_of_rekor_1 => vkey().id(),
            _ => KeyId::new(*log_id(self.log).first_chunk().expect("32 bytes")),
        };
        note.add(NoteSignature::new(KeyName::new(HOST).expect("a name"), id, signature));
        if let Some(time) = self.cosigned_at {
            note.add(
                cosignature::cosign(&witness(), &checkpoint, UnixTime::from_secs(time)).expect("a line"),
            );
        }
        note
    }
}

fn ed25519() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[0x33; 32])
}

fn p256_key(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).expect("a scalar")
}

fn log_ed25519() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[0x11; 32])
}

fn vkey() -> VerifierKey {
    key(HOST, KeyType::Ed25519, 0x11).verifier().clone()
}

fn public(key: Key) -> SpkiKey {
    match key {
        Key::Ed25519 => SpkiKey::Ed25519(ed25519().public_key()),
        Key::P256 => SpkiKey::P256(Box::new(*p256_key(1).verifying_key())),
    }
}

/// The SPKI of the log's key.
fn log_der(key: Key) -> Vec<u8> {
    match key {
        Key::Ed25519 => spki_of(&log_ed25519().public_key()),
        Key::P256 => SpkiKey::P256(Box::new(*p256_key(2).verifying_key())).to_der(),
    }
}

fn log_id(key: Key) -> Vec<u8> {
    Hash::of(&log_der(key)).as_bytes().to_vec()
}

fn statement() -> Value {
    json!({
        // As cosign attest-blob writes it, and with what other tools add.
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": [
            {"name": "no digest that counts", "digest": {"gitCommit": "0123"}},
            {"uri": "https://example.com", "digest": {"sha512": "00"}, "annotations": {"a": 1}},
            {"name": "artifact.bin", "digest": {"sha256": artifact().to_string(), "sha1": "ab"}},
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"externalParameters": {"workflow": {
                "repository": "https://github.com/octo/app", "ref": "refs/heads/main",
            }}},
            "runDetails": {"builder": {"id": "https://example.com/builder"}},
        },
    })
}

pub(crate) fn root() -> Value {
    let log = |key, details| {
        json!({
            "baseUrl": format!("https://{HOST}:8443/path"),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": base64(&log_der(key)), "keyDetails": details,
                          "validFor": {"start": "2025-01-01T00:00:00Z"}},
            "logId": {"keyId": base64(&log_id(key))},
        })
    };
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [log(Key::Ed25519, "PKIX_ED25519"), log(Key::P256, "PKIX_ECDSA_P256_SHA_256")],
        "certificateAuthorities": [],
    })
}

fn policy() -> Policy {
    format!("witness w {}\nquorum w\n", witness().verifier()).parse().expect("a policy")
}

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
        ("dsse under a C2SP note", Maker { origin: HOST.into(), ..Maker::of_rekor_1() }),
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

/// What cosign takes too, since nothing that counts is said by it (`compat.md` §3.1 of the references).
#[test]
fn what_says_nothing_may_be_left_out_or_be_there() {
    let maker = Maker::of_rekor_1();
    let changed = |change: fn(&mut Value)| {
        let mut bundle = maker.bundle();
        change(&mut bundle);
        judge(&maker, &bundle)
    };
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 9] = [
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
        ("an inclusion promise", |b| entry(b)["inclusionPromise"] = json!({"signedEntryTimestamp": "AAAA"})),
        ("an index among older trees, with a promise", |b| {
            let entry = entry(b);
            entry["logIndex"] = json!("25579");
            entry["inclusionPromise"] = json!({"signedEntryTimestamp": "AAAA"});
        }),
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
    let mixed = Maker { payload: None, is_hashedrekord: false, ..Maker::of_rekor_2() };
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

#[test]
fn a_policy_names_the_witnesses() {
    let judge = |maker: &Maker, witnesses| {
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root(), Signer::Key(maker.public()), witnesses, None, Vec::new())
    };
    let (v2, policy) = (Maker::of_rekor_2(), policy());
    let report = judge(&v2, Witnesses::Of(&policy));
    assert_eq!(report.fault(), None);
    assert_eq!(report.cosigned().len(), 1);
    let unsaid = judge(&v2, Witnesses::Unsaid);
    assert_refused(
        "unsaid",
        &unsaid,
        Check::WitnessQuorum,
        Verdict::CouldNotCheck,
        "no policy names witnesses",
    );
    let alone = Maker { cosigned_at: None, ..v2.clone() };
    let report = judge(&alone, Witnesses::Of(&policy));
    assert_refused("alone", &report, Check::WitnessQuorum, Verdict::Failed, "quorum");
    let v1 = Maker::of_rekor_1();
    let report = judge(&v1, Witnesses::Of(&policy));
    assert_refused("Rekor v1", &report, Check::WitnessQuorum, Verdict::Failed, "no room for cosignatures");
    // A forged line of a witness that counts fails, as in a receipt.
    let mut forged = v2.bundle();
    let note = &mut proof(&mut forged)["checkpoint"]["envelope"];
    let line = format!(
        "— witness.example.com {}",
        base64(&[witness().verifier().id().as_bytes().as_slice(), &[0; 72]].concat())
    );
    let text = note.as_str().expect("a note").split("— witness").next().expect("a text").to_owned();
    *note = json!(format!("{text}{line}\n"));
    let report = judged(
        forged.to_string().as_bytes(),
        &root(),
        Signer::Key(v2.public()),
        Witnesses::Of(&policy),
        None,
        vec![],
    );
    assert_refused("forged", &report, Check::WitnessQuorum, Verdict::Failed, "witness.example.com");
}

/// cosign does not look at when a log's key ends; here it does not count after that.
#[test]
fn a_key_of_a_log_counts_until_its_end() {
    let (v1, v2, policy) = (Maker::of_rekor_1(), Maker::of_rekor_2(), policy());
    let seen = fixture::COSIGNED_AT;
    let judge = |maker: &Maker, start: &str, end: Option<&str>, witnesses, now| {
        let mut root = root();
        for log in root["tlogs"].as_array_mut().expect("logs") {
            log["publicKey"]["validFor"] = match end {
                Some(end) => json!({"start": start, "end": end}),
                None => json!({"start": start}),
            };
        }
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root, Signer::Key(maker.public()), witnesses, now, Vec::new())
    };
    // COSIGNED_AT is 2026-09-21T14:13:21Z.
    let (long_ago, before, just, after) =
        ("2020-01-01T00:00:00Z", "2026-09-21T14:13:20Z", "2026-09-21T14:13:21Z", "2026-09-22T00:00:00Z");
    let passes = [
        // Nobody asks for a clock where there is no end.
        judge(&v1, "2030-01-01T00:00:00Z", None, Witnesses::None, None),
        judge(&v1, long_ago, Some(after), Witnesses::None, Some(seen)),
        judge(&v1, long_ago, Some(just), Witnesses::None, Some(seen)),
        // The witness saw it before the end, so it is as good as it was.
        judge(&v2, long_ago, Some(after), Witnesses::Of(&policy), None),
        judge(&v2, long_ago, Some(just), Witnesses::Of(&policy), Some(seen + 1_000_000_000)),
    ];
    for (at, report) in passes.iter().enumerate() {
        assert_eq!(report.fault(), None, "{at}");
    }
    for (name, report, reason) in [
        (
            "ended",
            judge(&v1, long_ago, Some(before), Witnesses::None, Some(seen)),
            "ends the log's key at 2026-09-21T14:13:20Z",
        ),
        (
            "seen after the end",
            judge(&v2, long_ago, Some(before), Witnesses::Of(&policy), Some(seen)),
            "ends the log's key",
        ),
        (
            "cosigned by nobody that counts",
            judge(&v2, long_ago, Some(before), Witnesses::None, Some(seen)),
            "ends the log's key",
        ),
        (
            "not yet",
            judge(&v1, after, Some("2030-01-01T00:00:00Z"), Witnesses::None, Some(seen)),
            "count from",
        ),
        ("seen before the start", judge(&v2, after, None, Witnesses::Of(&policy), None), "count from"),
    ] {
        assert_refused(name, &report, Check::LogSignature, Verdict::Failed, reason);
    }
    let no_clock = judge(&v1, long_ago, Some(after), Witnesses::None, None);
    assert_refused("no clock", &no_clock, Check::LogSignature, Verdict::CouldNotCheck, "present time");
    // A quorum of nobody attests nothing.
    let none: Policy = "quorum none\n".parse().expect("a policy");
    let report = judge(&v2, long_ago, Some(before), Witnesses::Of(&none), Some(seen));
    assert_refused("quorum none", &report, Check::LogSignature, Verdict::Failed, "ends the log's key");
}

#[test]
fn a_did_is_its_first_key() {
    let judge = |maker: &Maker, did| {
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root(), Signer::Did(did), Witnesses::None, None, Vec::new())
    };
    let did = Did::of(&ed25519().public_key());
    let report = judge(&Maker::of_rekor_1(), did);
    assert_eq!(report.fault(), None);
    assert_eq!(report.verified().and_then(Verified::did), Some(did));
    for (name, maker) in
        [("another DID", Maker::of_rekor_1()), ("a key that is no DID's", Maker::of_rekor_2())]
    {
        let report = judge(&maker, fixture::did());
        assert_refused(name, &report, Check::Signer, Verdict::CouldNotCheck, "not the first one");
    }
}

#[test]
fn demands_ask_the_same_as_of_receipts() {
    let ask = |maker: &Maker, demand| {
        let bundle = maker.bundle().to_string();
        let policy = policy();
        let witnesses = Witnesses::Of(&policy);
        let now = Some(fixture::COSIGNED_AT + 10);
        judged(bundle.as_bytes(), &root(), Signer::Key(maker.public()), witnesses, now, vec![demand])
    };
    let (envelope, message) = (Maker::of_rekor_2(), Maker { payload: None, ..Maker::of_rekor_2() });
    let seconds = std::time::Duration::from_secs;
    for demand in [
        Demand::SourceUri("https://github.com/octo/app".into()),
        Demand::SourceRef("refs/heads/main".into()),
        Demand::BuilderId("https://example.com/builder".into()),
        Demand::PredicateType("https://slsa.dev/provenance/v1".into()),
        Demand::SubjectName("artifact.bin".into()),
        Demand::CheckpointFreshness(seconds(10)),
        Demand::MinCheckpoint { log: vkey(), size: TreeSize::new(2) },
    ] {
        let report = ask(&envelope, demand.clone());
        assert_eq!(report.fault(), None, "{demand:?}");
        assert_eq!(report.checks().len(), 9);
    }
    for (demand, reason) in [
        (Demand::SourceRef("refs/heads/side".into()), "is wanted"),
        (Demand::PredicateType("https://cyclonedx.org/bom".into()), "is wanted"),
        (Demand::SubjectName("other.bin".into()), "is wanted"),
        (Demand::CheckpointFreshness(seconds(9)), "10 s old"),
        (Demand::MinCheckpoint { log: vkey(), size: TreeSize::new(3) }, "less than 3"),
    ] {
        let report = ask(&envelope, demand.clone());
        assert_refused(&format!("{demand:?}"), &report, demand.check(), Verdict::Failed, reason);
    }
    // A message says nothing, and no foreign entry has a time by its log.
    for demand in [
        Demand::PredicateType("https://slsa.dev/provenance/v1".into()),
        Demand::SubjectName("artifact.bin".into()),
        Demand::SourceUri("https://github.com/octo/app".into()),
    ] {
        let report = ask(&message, demand.clone());
        assert_refused("a message", &report, demand.check(), Verdict::Failed, "says nothing");
    }
    let age = Demand::MaxAge(seconds(1_000_000));
    assert_refused("age", &ask(&envelope, age), Check::MaxAge, Verdict::CouldNotCheck, "no time");
}

#[test]
fn another_root_than_the_pinned_one_is_a_fork() {
    let maker = Maker::of_rekor_2();
    let judge = |root_hash| {
        let root = TrustedRoot::parse(root().to_string().as_bytes()).expect("a trusted root");
        let pins = vec![Pin { log: vkey(), size: TreeSize::new(2), root: root_hash }];
        let (signer, witnesses) = (Signer::Key(maker.public()), Witnesses::None);
        let policy = VerifyPolicy { root: &root, signer, witnesses, pins, demands: Vec::new() };
        verify(maker.bundle().to_string().as_bytes(), &policy, &artifact(), None)
    };
    let report = judge(Hash::of(b"another"));
    assert_refused("a fork", &report, Check::LogSignature, Verdict::Failed, "forked");
    let root = proof(&mut maker.bundle())["rootHash"].as_str().and_then(Hash::from_base64).expect("a root");
    assert_eq!(judge(root).fault(), None);
}

#[test]
fn trusted_roots_are_read_strictly() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 15] = [
        ("another media type", |r| r["mediaType"] = json!("x"), "mediaType"),
        ("a further member", |r| r["x"] = json!(1), "unknown member"),
        ("a further member of a log", |r| r["tlogs"][0]["x"] = json!(1), "unknown member"),
        ("no start", |r| r["tlogs"][0]["publicKey"]["validFor"] = json!({}), "start"),
        ("no period", |r| remove(&mut r["tlogs"][0]["publicKey"], "validFor"), "validFor"),
        (
            "an end that is no time",
            |r| r["tlogs"][0]["publicKey"]["validFor"]["end"] = json!("soon"),
            "\"soon\"",
        ),
        ("an end that is null", |r| r["tlogs"][0]["publicKey"]["validFor"]["end"] = json!(null), "end"),
        ("no URL", |r| r["tlogs"][0]["baseUrl"] = json!("log.example.com"), "no host"),
        ("another hash", |r| r["tlogs"][0]["hashAlgorithm"] = json!("SHA2_512"), "SHA2_512"),
        (
            "another key than the details say",
            |r| r["tlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256"),
            "keyDetails",
        ),
        ("a key that is none", |r| r["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA"), "keyDetails"),
        ("no base64", |r| r["tlogs"][0]["publicKey"]["rawBytes"] = json!("A"), "base64"),
        (
            "one id twice",
            |r| {
                let log = r["tlogs"][0].clone();
                r["tlogs"].as_array_mut().expect("logs").push(log);
            },
            "`tlogs[2]` has the id",
        ),
        ("no list", |r| r["tlogs"] = json!({}), "tlogs"),
        ("no list of authorities", |r| r["ctlogs"] = json!({}), "ctlogs"),
    ];
    for (name, change, reason) in changes {
        let mut root = root();
        change(&mut root);
        let error = TrustedRoot::parse(root.to_string().as_bytes()).expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
    // A log that others can use does not keep anybody from using the rest; its own entries cannot be checked.
    let mut root = root();
    root["tlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_RSA_PKCS1V15_4096_SHA256");
    root["tlogs"][0]["operator"] = json!("somebody");
    root["tlogs"][0]["checkpointKeyId"] = json!({"keyId": "AAAA"});
    let judge = |maker: Maker| {
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root, Signer::Key(maker.public()), Witnesses::None, None, Vec::new())
    };
    assert_eq!(judge(Maker { log: Key::P256, ..Maker::of_rekor_1() }).fault(), None);
    let report = judge(Maker::of_rekor_1());
    assert_refused(
        "RSA",
        &report,
        Check::LogSignature,
        Verdict::CouldNotCheck,
        "PKIX_RSA_PKCS1V15_4096_SHA256",
    );
    let twice = root.to_string().replacen("{", r#"{"mediaType":"x","#, 1);
    assert!(TrustedRoot::parse(twice.as_bytes()).is_err());
    let deep = format!("{}{}", r#"{"tlogs":"#, "[".repeat(100_000));
    assert!(TrustedRoot::parse(deep.as_bytes()).is_err());
}

/// What an error repeats of a bundle is escaped and short.
#[test]
fn hostile_text_is_quoted() {
    let maker = Maker::of_rekor_1();
    let mut bundle = maker.bundle();
    bundle["mediaType"] = json!(format!("\u{1b}[31m{}", "x".repeat(10_000)));
    let report = judge(&maker, &bundle);
    let Some((_, Fault::Sigstore(refusal @ Refusal::Format(_)))) = report.fault() else {
        panic!("{report:?}")
    };
    let text = refusal.to_string();
    assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
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
