//! Sigstore bundles v0.3 that a key signed.
//!
//! ```text
//! {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
//!  "verificationMaterial": {
//!    "publicKey": {["hint": "…"]},
//!    "tlogEntries": [{
//!      ["logIndex": "<decimal>"], "logId": {"keyId": "<base64>"}, "kindVersion": {"kind": "…", "version": "…"},
//!      ["integratedTime": "<decimal>"], ["inclusionPromise": {"signedEntryTimestamp": "<base64>"}],
//!      "inclusionProof": {["logIndex": "<decimal>"], "rootHash": "<base64>", "treeSize": "<decimal>",
//!                         ["hashes": ["<base64>" …]], "checkpoint": {"envelope": "<signed note>"}},
//!      "canonicalizedBody": "<base64 of the leaf>"}],
//!    ["timestampVerificationData": {["rfc3161Timestamps": […]]}]},                                      not read
//!  "dsseEnvelope": {"payload": "<base64>", "payloadType": "application/vnd.in-toto+json",
//!                   "signatures": [{"sig": "<base64>"[, "keyid": ""]}]}
//!  or "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": "<base64>"}, "signature": "<base64>"}}
//! ```
//! Exactly these members, by protobuf's names in JSON. A number is a text or a number; one that is 0, and a list that is
//! empty, may be absent: protobuf leaves them out.

use std::sync::Arc;

use serde_json::Value;
use tlog::encoding;
use tlog::key::{KeyName, PublicKey, VerifierKey};

use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use super::leaf::LoggedLeaf;
use super::note::{LogNote, LogNoteError};
use super::trusted_root::TrustedRoot;
use super::{LeafError, MAX_BUNDLE_BYTES, MEDIA_TYPE, SpkiKey};
use crate::dsse::PAYLOAD_TYPE;
use crate::json::{JsonError, Object};
use crate::quote::quoted;
use crate::statement::{Statement, StatementError};

/// A bundle that keeps the rules of its format. Nothing in it has been verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What was signed.
    pub(crate) content: Content,
    /// Over what: an envelope's PAE, or the message.
    pub(crate) signature: Vec<u8>,
    /// The log's id, by which a trusted root names it.
    pub(crate) log_id: Vec<u8>,
    pub(crate) index: LeafIndex,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) size: TreeSize,
    pub(crate) root: Hash,
    pub(crate) note: LogNote,
    /// The leaf's bytes.
    pub(crate) body: Vec<u8>,
    pub(crate) leaf: LoggedLeaf,
    pub(crate) promise: Option<Promise>,
    unread: Vec<&'static str>,
}

/// That a log of Rekor v1 had taken the leaf, by its word: a signature over this text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Promise {
    /// When, by the log's clock.
    pub(crate) time: UnixTime,
    pub(crate) text: String,
    pub(crate) signature: Vec<u8>,
}

impl Promise {
    fn read(
        mut promise: Object,
        body: &[u8],
        log_id: &[u8],
        index: u64,
        time: u64,
    ) -> Result<Self, BundleError> {
        let signature = base64(&mut promise, "signedEntryTimestamp")?;
        promise.finish()?;
        let (body, log_id) = (encoding::base64(body), hex::encode(log_id));
        let text =
            format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{log_id}","logIndex":{index}}}"#);
        Ok(Self { time: UnixTime::from_secs(time), text, signature })
    }
}

/// What was signed.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A statement, in an envelope.
    Envelope {
        /// The payload as it was signed.
        payload: Arc<[u8]>,
        /// The same, read.
        statement: Statement,
    },
    /// A message, of which the bundle has the SHA-256.
    Message(Hash),
}

impl Bundle {
    /// Reads a bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() as u64 > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLong(bytes.len()));
        }
        let mut bundle = Object::parse(bytes, MAX_DEPTH)?;
        let media_type = bundle.string("mediaType")?;
        if media_type != MEDIA_TYPE && media_type != OLD_MEDIA_TYPE {
            return Err(BundleError::MediaType(quoted(&media_type)));
        }
        let mut material = bundle.object("verificationMaterial")?;
        if material.has("certificate") || material.has("x509CertificateChain") {
            return Err(BundleError::Keyless);
        }
        let mut key = material.object("publicKey")?;
        // Whoever hands the bundle on may write another hint: the key is the verifier's to name.
        key.optional_string("hint")?;
        key.finish()?;
        let entries = material.optional_objects("tlogEntries")?.unwrap_or_default();
        let mut unread = Vec::new();
        if let Some(mut stamps) = material.optional_object("timestampVerificationData")? {
            stamps.optional_objects("rfc3161Timestamps")?;
            stamps.finish()?;
            unread.push("timestampVerificationData");
        }
        material.finish()?;
        let count = entries.len();
        let mut entry = match <[Object; 1]>::try_from(entries) {
            Ok([entry]) => entry,
            Err(_) if count == 0 => return Err(BundleError::NotLogged),
            Err(_) => return Err(BundleError::EntryCount(count)),
        };
        let (content, signature) = content(&mut bundle)?;
        bundle.finish()?;

        let outer_index = number(&mut entry, "logIndex")?;
        let log_id = keyed_bytes(&mut entry, "logId", "keyId")?;
        let mut kind_version = entry.object("kindVersion")?;
        let (kind, version) = (kind_version.string("kind")?, kind_version.string("version")?);
        kind_version.finish()?;
        let has_time = entry.has("integratedTime");
        let time = number(&mut entry, "integratedTime")?;
        let promise = entry.optional_object("inclusionPromise")?;
        // Protobuf writes an empty one, which promises nothing.
        let promise = promise.filter(|promise| !promise.is_empty());
        if has_time && promise.is_none() {
            unread.push("integratedTime");
        }
        let mut proof = match entry.optional_object("inclusionProof")? {
            Some(proof) => proof,
            None => return Err(BundleError::NoProof),
        };
        let body = base64(&mut entry, "canonicalizedBody")?;
        entry.finish()?;
        let promise =
            promise.map(|promise| Promise::read(promise, &body, &log_id, outer_index, time)).transpose()?;

        let index = number(&mut proof, "logIndex")?;
        // Rekor v1 counts the entries of older trees outside of the proof. Nobody signed that number but its promise.
        if outer_index != index && promise.is_none() {
            return Err(BundleError::Index { entry: outer_index, proof: index });
        }
        let root = Hash::from_base64(&proof.string("rootHash")?).ok_or(BundleError::Base64("rootHash"))?;
        let size = TreeSize::new(number(&mut proof, "treeSize")?);
        let hashes = if proof.has("hashes") { proof.strings("hashes")? } else { Vec::new() };
        if hashes.len() > tlog::proof::MAX_HASHES {
            return Err(BundleError::ProofLength(hashes.len()));
        }
        let hashes = hashes.iter().map(|hash| Hash::from_base64(hash)).collect::<Option<_>>();
        let mut checkpoint = proof.object("checkpoint")?;
        let note = LogNote::parse(&checkpoint.string("envelope")?)?;
        checkpoint.finish()?;
        proof.finish()?;
        let leaf = LoggedLeaf::parse(&body, &kind, &version)?;
        // No log of Sigstore makes it: Rekor v1 signs no other note, and Rekor v2 logs no such leaf.
        if leaf.is_of_rekor_1() && !note.is_of_rekor_1() {
            return Err(BundleError::LeafUnderNote);
        }
        Ok(Self {
            content,
            signature,
            log_id,
            index: LeafIndex::new(index),
            hashes: hashes.ok_or(BundleError::Base64("hashes"))?,
            size,
            root,
            note,
            leaf,
            body,
            promise,
            unread,
        })
    }

    /// What was signed, by its own word.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The log as policies and pins name it, by the word of the bundle and the key in the trusted root: the origin stands in our
    /// leaf, else it is the checkpoint's. `None` for a log that no policy can name.
    pub fn log_in(&self, root: &TrustedRoot) -> Option<VerifierKey> {
        let Ok(SpkiKey::Ed25519(key)) = &root.log(&self.log_id)?.key else { return None };
        let origin =
            self.leaf.ours().map_or(self.note.checkpoint.origin.as_str(), |entry| entry.claim().origin());
        Some(VerifierKey::new(KeyName::new(origin).ok()?, PublicKey::Ed25519(*key)))
    }

    /// The size of the checkpoint's tree, by its own word.
    pub fn size(&self) -> TreeSize {
        self.note.checkpoint.size
    }

    /// The members that are there and that nothing here looks at.
    pub fn unread(&self) -> &[&'static str] {
        &self.unread
    }
}

/// The content, and the signature over it.
fn content(bundle: &mut Object) -> Result<(Content, Vec<u8>), BundleError> {
    let (envelope, message) =
        (bundle.optional_object("dsseEnvelope")?, bundle.optional_object("messageSignature")?);
    match (envelope, message) {
        (Some(envelope), None) => of_envelope(envelope),
        (None, Some(message)) => of_message(message),
        _ => Err(BundleError::Content),
    }
}

fn of_envelope(mut envelope: Object) -> Result<(Content, Vec<u8>), BundleError> {
    let payload_type = envelope.string("payloadType")?;
    if payload_type != PAYLOAD_TYPE {
        return Err(BundleError::PayloadType(quoted(&payload_type)));
    }
    let payload: Arc<[u8]> = base64(&mut envelope, "payload")?.into();
    let signatures = envelope.objects("signatures")?;
    envelope.finish()?;
    let count = signatures.len();
    let Ok([mut signed]) = <[Object; 1]>::try_from(signatures) else {
        return Err(BundleError::SignatureCount(count));
    };
    let signature = base64(&mut signed, "sig")?;
    // protobuf writes an empty one. Stock cosign refuses any other of a key.
    if signed.optional_string("keyid")?.is_some_and(|id| !id.is_empty()) {
        return Err(BundleError::KeyId);
    }
    signed.finish()?;
    let statement = Statement::parse_foreign(&payload)?;
    Ok((Content::Envelope { payload, statement }, signature))
}

fn of_message(mut message: Object) -> Result<(Content, Vec<u8>), BundleError> {
    let mut digest = message.object("messageDigest")?;
    let (algorithm, value) = (digest.string("algorithm")?, digest.string("digest")?);
    digest.finish()?;
    if algorithm != "SHA2_256" {
        return Err(BundleError::DigestAlgorithm(quoted(&algorithm)));
    }
    let signature = base64(&mut message, "signature")?;
    message.finish()?;
    let digest = Hash::from_base64(&value).ok_or(BundleError::Base64("digest"))?;
    Ok((Content::Message(digest), signature))
}

fn number(object: &mut Object, name: &'static str) -> Result<u64, BundleError> {
    if !object.has(name) {
        return Ok(0);
    }
    let number = match object.take(name)? {
        Value::String(text) => encoding::parse_decimal(&text),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    number.ok_or(BundleError::Number(name))
}

fn base64(object: &mut Object, name: &'static str) -> Result<Vec<u8>, BundleError> {
    encoding::decode_base64(&object.string(name)?).ok_or(BundleError::Base64(name))
}

fn keyed_bytes(object: &mut Object, name: &str, inner: &'static str) -> Result<Vec<u8>, BundleError> {
    let mut object = object.object(name)?;
    let bytes = base64(&mut object, inner)?;
    object.finish()?;
    Ok(bytes)
}

/// Why a text is no bundle that can be judged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// Not strict base64.
    #[error("`{0}` is not canonical base64 of what belongs there")]
    Base64(&'static str),
    /// Neither or both.
    #[error("a bundle has a `dsseEnvelope` or a `messageSignature`")]
    Content,
    /// Another hash.
    #[error("the message's digest is {0}: SHA2_256 is known here")]
    DigestAlgorithm(String),
    /// Several logs.
    #[error("the bundle has {0} log entries: one is judged here")]
    EntryCount(usize),
    /// Two indexes.
    #[error("the entry says index {entry}, its proof {proof}")]
    Index {
        /// What the entry says.
        entry: u64,
        /// What the proof says.
        proof: u64,
    },
    /// Not JSON, or not with these members.
    #[error("bundle: {0}")]
    Json(#[from] JsonError),
    /// The signature names its key.
    #[error("the envelope's signature has a `keyid`, which nobody signed and stock cosign refuses")]
    KeyId,
    /// A certificate.
    #[error(
        "the bundle holds a certificate, and no key (keyless): Sigstore's cosign verifies it, with \
         --certificate-identity and --certificate-oidc-issuer"
    )]
    Keyless,
    /// The leaf.
    #[error("leaf: {0}")]
    Leaf(#[from] LeafError),
    /// A leaf of Rekor v1 under a note of another.
    #[error(
        "a `dsse` leaf stands under a checkpoint `host - N`, and stock cosign refuses it under any other"
    )]
    LeafUnderNote,
    /// Another version.
    #[error("`mediaType` is {0}: bundles {MEDIA_TYPE:?} are known here")]
    MediaType(String),
    /// No proof.
    #[error("the log entry has no `inclusionProof`")]
    NoProof,
    /// The checkpoint.
    #[error(transparent)]
    Note(#[from] LogNoteError),
    /// No log.
    #[error("the bundle has no log entry: nobody but its holder need have seen it")]
    NotLogged,
    /// No number.
    #[error("`{0}` is not a decimal from 0 to 2^64 - 1")]
    Number(&'static str),
    /// Another payload.
    #[error("the envelope's `payloadType` is {0}: {PAYLOAD_TYPE:?} is known here")]
    PayloadType(String),
    /// No tree is so high.
    #[error("the proof has {0} hashes")]
    ProofLength(usize),
    /// Not exactly one.
    #[error("the envelope has {0} signatures, not one")]
    SignatureCount(usize),
    /// No statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Too long.
    #[error("the bundle has {0} bytes, more than {MAX_BUNDLE_BYTES}")]
    TooLong(usize),
}

impl BundleError {
    /// Whether nothing was found false: it is something that is not known here.
    pub fn could_not_check(&self) -> bool {
        match self {
            Self::DigestAlgorithm(_)
            | Self::EntryCount(_)
            | Self::Keyless
            | Self::MediaType(_)
            | Self::PayloadType(_) => true,
            Self::Leaf(error) => error.could_not_check(),
            _ => false,
        }
    }
}

/// As older tools write it.
const OLD_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";

/// A bundle nests 7 deep.
const MAX_DEPTH: usize = 16;
