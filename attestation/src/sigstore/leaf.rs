//! What a log says was signed, in the two kinds of leaves that clients of Sigstore still write and take.
//!
//! ```text
//! {"apiVersion":"0.0.1","kind":"dsse","spec":{["aip":{…},]"envelopeHash":{"algorithm":"sha256","value":"<hex>"},
//!   "payloadHash":{"algorithm":"sha256","value":"<hex>"},
//!   "signatures":[{"signature":"<base64>","verifier":"<base64 of the PEM>"}]}}
//!
//! {"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{
//!   "data":{"algorithm":"SHA2_256","digest":"<base64>"},
//!   "signature":{"content":"<base64>","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256",
//!     "publicKey":{"rawBytes":"<base64 of the DER>"}}}}}}
//! ```
//! There is one spelling of each, its JCS. A leaf with `aip` is this project's (`specs/entry.md`).

use tlog::Hash;
use tlog::encoding;
use tlog::key::Ed25519PublicKey;

use super::{KeyError, SpkiKey};
use crate::entry::{DsseEntry, EntryError};
use crate::json::{JsonError, Object};
use crate::quote::quoted;

/// A leaf that says who signed what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LoggedLeaf {
    /// The key.
    pub(crate) key: SpkiKey,
    /// The signature.
    pub(crate) signature: Vec<u8>,
    /// What was signed.
    pub(crate) subject: LoggedSubject,
}

/// What a leaf says was signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LoggedSubject {
    /// `hashedrekord` 0.0.2: the SHA-256 of the message, which of an envelope is its PAE.
    Message(Hash),
    /// `dsse` 0.0.1: the SHA-256 of an envelope's payload.
    Payload(Hash),
    /// `dsse` 0.0.1 with the claim of a DID.
    Ours(Box<DsseEntry>),
}

impl LoggedLeaf {
    /// Reads a leaf of this kind and version.
    pub(crate) fn parse(bytes: &[u8], kind: &str, version: &str) -> Result<Self, LeafError> {
        let mut leaf = Object::parse(bytes, MAX_DEPTH)?;
        let (own_kind, own_version) = (leaf.string("kind")?, leaf.string("apiVersion")?);
        if (own_kind.as_str(), own_version.as_str()) != (kind, version) {
            let got = quoted(&format!("{own_kind} {own_version}"));
            return Err(LeafError::KindVersion { got, want: quoted(&format!("{kind} {version}")) });
        }
        let mut spec = leaf.object("spec")?;
        leaf.finish()?;
        let read = match (kind, version) {
            ("dsse", "0.0.1") if spec.has("aip") => return Self::parse_ours(bytes),
            ("dsse", "0.0.1") => Self::dsse(&mut spec)?,
            ("hashedrekord", "0.0.2") => Self::hashedrekord(&mut spec)?,
            _ => return Err(LeafError::Kind(quoted(&format!("{kind} {version}")))),
        };
        spec.finish()?;
        let (leaf, canonical) = read;
        match canonical.as_bytes() == bytes {
            true => Ok(leaf),
            false => Err(LeafError::NotCanonical),
        }
    }

    /// Whether it is of the kind that only Rekor v1 logs: `dsse` 0.0.1.
    pub(crate) fn is_of_rekor_1(&self) -> bool {
        matches!(self.subject, LoggedSubject::Payload(_) | LoggedSubject::Ours(_))
    }

    /// The entry, if it is one of this project.
    pub(crate) fn ours(&self) -> Option<&DsseEntry> {
        match &self.subject {
            LoggedSubject::Ours(entry) => Some(entry),
            LoggedSubject::Message(_) | LoggedSubject::Payload(_) => None,
        }
    }

    fn parse_ours(bytes: &[u8]) -> Result<Self, LeafError> {
        let entry = DsseEntry::parse(bytes)?;
        let key = Ed25519PublicKey::from_bytes(entry.claim().verifier()).map_err(KeyError::from)?;
        let signature = entry.claim().envelope_signature().to_vec();
        Ok(Self { key: SpkiKey::Ed25519(key), signature, subject: LoggedSubject::Ours(Box::new(entry)) })
    }

    /// The leaf, and its one spelling.
    fn dsse(spec: &mut Object) -> Result<(Self, String), LeafError> {
        let envelope_hash = sha256(spec.object("envelopeHash")?)?;
        let payload_hash = sha256(spec.object("payloadHash")?)?;
        let signatures = spec.objects("signatures")?;
        let count = signatures.len();
        let Ok([mut signed]) = <[Object; 1]>::try_from(signatures) else {
            return Err(LeafError::SignatureCount(count));
        };
        let signature = bytes(&mut signed, "signature")?;
        let pem = bytes(&mut signed, "verifier")?;
        signed.finish()?;
        if pem.starts_with(b"-----BEGIN CERTIFICATE-----") {
            return Err(LeafError::Certificate);
        }
        let key = SpkiKey::parse(&pem)?;
        let canonical = format!(
            r#"{{"apiVersion":"0.0.1","kind":"dsse","spec":{{"envelopeHash":{{"algorithm":"sha256","value":"{envelope_hash}"}},"payloadHash":{{"algorithm":"sha256","value":"{payload_hash}"}},"signatures":[{{"signature":"{}","verifier":"{}"}}]}}}}"#,
            encoding::base64(&signature),
            encoding::base64(key.to_pem().as_bytes()),
        );
        Ok((Self { key, signature, subject: LoggedSubject::Payload(payload_hash) }, canonical))
    }

    fn hashedrekord(spec: &mut Object) -> Result<(Self, String), LeafError> {
        let mut record = spec.object("hashedRekordV002")?;
        let mut data = record.object("data")?;
        let algorithm = data.string("algorithm")?;
        let digest = data.string("digest")?;
        data.finish()?;
        let mut signed = record.object("signature")?;
        let signature = bytes(&mut signed, "content")?;
        let mut verifier = signed.object("verifier")?;
        signed.finish()?;
        record.finish()?;
        let details = verifier.string("keyDetails")?;
        // Ed25519 signs what it is given, not its hash. A label that says otherwise is a lie about the signature beside it,
        // and who believes labels would take any hash that somebody signed.
        if details == "PKIX_ED25519_PH" {
            return Err(LeafError::Prehashed);
        }
        if details != P256_DETAILS || algorithm != "SHA2_256" {
            return Err(LeafError::Algorithm(quoted(&format!("{details} over {algorithm}"))));
        }
        if verifier.has("x509Certificate") {
            return Err(LeafError::Certificate);
        }
        let mut public_key = verifier.object("publicKey")?;
        let der = bytes(&mut public_key, "rawBytes")?;
        public_key.finish()?;
        verifier.finish()?;
        let key = SpkiKey::from_der(&der)?;
        if !matches!(key, SpkiKey::P256(_)) {
            return Err(LeafError::Label);
        }
        let digest = Hash::from_base64(&digest).ok_or(LeafError::Digest)?;
        let canonical = format!(
            r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":{{"content":"{}","verifier":{{"keyDetails":"{P256_DETAILS}","publicKey":{{"rawBytes":"{}"}}}}}}}}}}}}"#,
            digest.to_base64(),
            encoding::base64(&signature),
            encoding::base64(&key.to_der()),
        );
        Ok((Self { key, signature, subject: LoggedSubject::Message(digest) }, canonical))
    }
}

fn sha256(mut hash: Object) -> Result<Hash, LeafError> {
    let (algorithm, value) = (hash.string("algorithm")?, hash.string("value")?);
    hash.finish()?;
    let hash = Hash::from_hex(&value).filter(|_| algorithm == "sha256");
    hash.ok_or(LeafError::Digest)
}

fn bytes(object: &mut Object, name: &'static str) -> Result<Vec<u8>, LeafError> {
    encoding::decode_base64(&object.string(name)?).ok_or(LeafError::Base64(name))
}

/// Why a leaf is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeafError {
    /// Another algorithm than ECDSA P-256 over SHA-256.
    #[error("the algorithm {0} is not known here: P-256 over SHA-256 is")]
    Algorithm(String),
    /// Not strict base64.
    #[error("`{0}` is not canonical base64")]
    Base64(&'static str),
    /// Signed with a certificate.
    #[error("a certificate signed it, and no key of its own: Sigstore's cosign verifies that")]
    Certificate,
    /// Not a SHA-256.
    #[error("a hash is not SHA-256 in its one spelling")]
    Digest,
    /// A leaf with `aip` that is none of this project.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Not JSON, or not with these members.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// No key, or another kind of key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A kind that is not known here.
    #[error("entries of kind {0} are not known here: `dsse` 0.0.1 and `hashedrekord` 0.0.2 are")]
    Kind(String),
    /// The bundle says otherwise.
    #[error("it is a {got}, the bundle calls it {want}")]
    KindVersion {
        /// What the leaf says, quoted.
        got: String,
        /// What the bundle says, quoted.
        want: String,
    },
    /// A P-256 label on another key.
    #[error("it labels a key as P-256 that is another")]
    Label,
    /// Spelled otherwise than logs spell it.
    #[error("it is not in canonical form (RFC 8785)")]
    NotCanonical,
    /// An Ed25519 key labelled as prehashed.
    #[error(
        "it labels an Ed25519 signature as prehashed (PKIX_ED25519_PH): which of the two was made, nobody can tell"
    )]
    Prehashed,
    /// Not exactly one signature.
    #[error("it has {0} signatures, not one")]
    SignatureCount(usize),
}

impl LeafError {
    /// Whether nothing was found false: it is something that is not known here.
    pub fn could_not_check(&self) -> bool {
        matches!(self, Self::Algorithm(_) | Self::Certificate | Self::Kind(_) | Self::Key(KeyError::Kind))
    }
}

const P256_DETAILS: &str = "PKIX_ECDSA_P256_SHA_256";

/// A leaf nests 7 deep.
const MAX_DEPTH: usize = 16;
