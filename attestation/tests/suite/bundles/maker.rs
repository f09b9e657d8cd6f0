//! Bundles as tools of Sigstore make them, with test keys.

use attestation::dsse::{PAYLOAD_TYPE, pae};
use attestation::sigstore::{SpkiKey, spki_of};
use p256::ecdsa::signature::{Signer as _, hazmat::PrehashSigner as _};
use serde_json::{Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::encoding::base64;
use tlog::key::{Ed25519PrivateKey, KeyId, KeyName, KeyType, VerifierKey};
use tlog::merkle::{leaf_hash, node_hash};
use tlog::note::{Note, NoteSignature};
use tlog::{Hash, TreeSize, UnixTime, cosignature};

use crate::fixture::{self, artifact, key, witness};

pub(super) const HOST: &str = "log.example.com";

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

pub(super) fn ed25519() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[0x33; 32])
}

fn p256_key(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).expect("a scalar")
}

pub(super) fn log_ed25519() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[0x11; 32])
}

pub(super) fn vkey() -> VerifierKey {
    key(HOST, KeyType::Ed25519, 0x11).verifier().clone()
}

pub(super) fn public(key: Key) -> SpkiKey {
    match key {
        Key::Ed25519 => SpkiKey::Ed25519(ed25519().public_key()),
        Key::P256 => SpkiKey::P256(Box::new(*p256_key(1).verifying_key())),
    }
}

/// The SPKI of the log's key.
pub(super) fn log_der(key: Key) -> Vec<u8> {
    match key {
        Key::Ed25519 => spki_of(&log_ed25519().public_key()),
        Key::P256 => SpkiKey::P256(Box::new(*p256_key(2).verifying_key())).to_der(),
    }
}

pub(super) fn log_id(key: Key) -> Vec<u8> {
    Hash::of(&log_der(key)).as_bytes().to_vec()
}

pub(super) fn statement() -> Value {
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
