//! What stock cosign reads of a receipt and of a policy. Nothing of a quorum, of identity events or of what came later is in
//! it: cosign has no word for them.

use serde::Serialize;
use tlog::checkpoint::Checkpoint;
use tlog::encoding;
use tlog::key::{Ed25519PublicKey, PublicKey, VerifierKey};
use tlog::policy::{Log, Policy, PolicyError};

use crate::receipt::Receipt;
use crate::sigstore::note::{LogNote, LogNoteError};
use crate::sigstore::{MEDIA_TYPE, SpkiKey, host_of, spki_of, trusted_root};

/// A receipt for stock cosign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exported {
    /// The bundle, JSON.
    pub bundle: String,
    /// The signer's key, PEM.
    pub key: String,
}

/// The bundle of a receipt, and the key that verifies it, by what `policy` says of the log's keys.
///
/// Only the second note is judged here, which nothing else looks at: the caller has verified the receipt.
pub fn export(receipt: &Receipt, policy: &Policy) -> Result<Exported, ExportError> {
    let logged = receipt.log_answer().ok_or(ExportError::NotLogged)?;
    let text = logged.sigstore_note.as_deref().ok_or(ExportError::NoNote)?;
    let (checkpoint, _) = policy.log_checkpoint(&logged.proof.checkpoint)?;
    let note = LogNote::parse(text)?;
    if !note.is_of_rekor_1() {
        return Err(ExportError::Form);
    }
    if (note.checkpoint.size, note.checkpoint.root) != (checkpoint.size, checkpoint.root) {
        let tree = |checkpoint: &Checkpoint| format!("size {} and root {}", checkpoint.size, checkpoint.root);
        return Err(ExportError::OtherTree { note: tree(&note.checkpoint), proof: tree(&checkpoint) });
    }
    let keys = keys_of(policy, &checkpoint.origin);
    let signed = logged.proof.checkpoint.verify(&keys).map_err(PolicyError::from)?;
    let mut signed = signed.iter().filter_map(|signed| ed25519(signed.key.key()));
    let key = signed.next().ok_or_else(|| ExportError::NoKey(checkpoint.origin.clone()))?;
    note.verify(&SpkiKey::Ed25519(*key), host_of(&checkpoint.origin))?;

    let (index, size) = (logged.proof.index.to_string(), checkpoint.size.to_string());
    let bundle = Wire {
        media_type: MEDIA_TYPE,
        verification_material: Material {
            public_key: Hint { hint: receipt.did().to_string() },
            tlog_entries: [Entry {
                log_index: &index,
                log_id: log_id(key),
                kind_version: KindVersion { kind: "dsse", version: "0.0.1" },
                inclusion_proof: Proof {
                    log_index: &index,
                    root_hash: checkpoint.root.to_base64(),
                    tree_size: &size,
                    hashes: logged.proof.hashes.iter().map(|hash| hash.to_base64()).collect(),
                    checkpoint: Envelope { envelope: text },
                },
                canonicalized_body: encoding::base64(&logged.entry.to_bytes()),
            }],
        },
        dsse_envelope: receipt.envelope(),
    };
    let key = SpkiKey::Ed25519(*receipt.public_key()).to_pem();
    Ok(Exported { bundle: to_text(&bundle), key })
}

/// The trusted root that names every Ed25519 key of the policy's logs, or of the log `origin` alone; `None` if there is no such key.
pub fn trusted_root_of(policy: &Policy, origin: Option<&str>) -> Option<String> {
    let is_meant = |log: &&Log| origin.is_none_or(|origin| log.vkey.name().as_str() == origin);
    let log = |log: &Log| {
        let key = ed25519(log.vkey.key())?;
        Some(TrustedLog {
            base_url: format!("https://{}", host_of(log.vkey.name().as_str())),
            hash_algorithm: "SHA2_256",
            public_key: TrustedKey {
                raw_bytes: encoding::base64(&spki_of(key)),
                key_details: "PKIX_ED25519",
                valid_for: ValidFor { start: VALID_FROM },
            },
            log_id: log_id(key),
        })
    };
    let tlogs: Vec<TrustedLog> = policy.logs().iter().filter(is_meant).filter_map(log).collect();
    (!tlogs.is_empty()).then(|| {
        to_text(&Root {
            media_type: trusted_root::MEDIA_TYPE,
            tlogs,
            certificate_authorities: [],
            ctlogs: [],
            timestamp_authorities: [],
        })
    })
}

fn keys_of(policy: &Policy, origin: &str) -> Vec<VerifierKey> {
    let of_origin = |log: &&Log| log.vkey.name().as_str() == origin;
    policy.logs().iter().filter(of_origin).map(|log| log.vkey.clone()).collect()
}

fn ed25519(key: &PublicKey) -> Option<&Ed25519PublicKey> {
    match key {
        PublicKey::Ed25519(key) => Some(key),
        PublicKey::Ed25519Cosignature(_) | PublicKey::MlDsa44Cosignature(_) => None,
    }
}

/// The id of a log in Rekor v1: stock cosign takes it for notes `host - N`.
fn log_id(key: &Ed25519PublicKey) -> LogId {
    LogId { key_id: SpkiKey::Ed25519(*key).fingerprint().to_base64() }
}

fn to_text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("texts in, JSON out");
    text.push('\n');
    text
}

/// A policy has no start for a key, and a trusted root must have one: before the first log of this project.
const VALID_FROM: &str = "2025-01-01T00:00:00Z";

/// Why a receipt cannot be exported.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExportError {
    /// The second note is of another form.
    #[error(
        "its `sigstoreNote` is no checkpoint `host - N`, which stock cosign wants for this kind of entry"
    )]
    Form,
    /// No Ed25519 key signed the checkpoint.
    #[error(
        "no Ed25519 key of the log `{0}` signed the receipt's checkpoint, and Sigstore knows no other kind of ours"
    )]
    NoKey(String),
    /// No second note.
    #[error("it has no `sigstoreNote`, the checkpoint that stock cosign reads")]
    NoNote,
    /// Not logged.
    #[error("it is not logged")]
    NotLogged,
    /// The second note is not by the log's key.
    #[error("its `sigstoreNote`: {0}")]
    Note(#[from] LogNoteError),
    /// The second note is of another tree.
    #[error("its `sigstoreNote` is of {note}, its proof of {proof}")]
    OtherTree {
        /// The note's tree.
        note: String,
        /// The proof's tree.
        proof: String,
    },
    /// The receipt's checkpoint is not by a log of the policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    media_type: &'static str,
    verification_material: Material<'a>,
    dsse_envelope: &'a crate::dsse::Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Material<'a> {
    public_key: Hint,
    tlog_entries: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Hint {
    hint: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    log_index: &'a str,
    log_id: LogId,
    kind_version: KindVersion,
    inclusion_proof: Proof<'a>,
    canonicalized_body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Serialize)]
struct KindVersion {
    kind: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof<'a> {
    log_index: &'a str,
    root_hash: String,
    tree_size: &'a str,
    hashes: Vec<String>,
    checkpoint: Envelope<'a>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    envelope: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    media_type: &'static str,
    tlogs: Vec<TrustedLog>,
    certificate_authorities: [(); 0],
    ctlogs: [(); 0],
    timestamp_authorities: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustedLog {
    base_url: String,
    hash_algorithm: &'static str,
    public_key: TrustedKey,
    log_id: LogId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustedKey {
    raw_bytes: String,
    key_details: &'static str,
    valid_for: ValidFor,
}

#[derive(Serialize)]
struct ValidFor {
    start: &'static str,
}
