//! Public keys as tools of others write them: a SubjectPublicKeyInfo in DER, or that in PEM.
//!
//! ```text
//! 302a300506032b6570032100                              <32 bytes>   Ed25519 (RFC 8410 §4)
//! 3059301306072a8648ce3d020106082a8648ce3d030107034200  <65 bytes>   P-256, point not compressed (RFC 5480 §2)
//! ```
//! DER has one spelling of each, and no other is read.

use std::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use tlog::Hash;
use tlog::encoding;
use tlog::key::Ed25519PublicKey;

/// A key that somebody may sign with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SpkiKey {
    /// Pure Ed25519.
    Ed25519(Ed25519PublicKey),
    /// ECDSA on P-256 over SHA-256.
    P256(Box<VerifyingKey>),
}

impl SpkiKey {
    /// Reads a file: PEM, or the DER itself. Line ends and the width of lines are an editor's, and free; all else is not.
    pub fn parse(file: &[u8]) -> Result<Self, KeyError> {
        match file.starts_with(b"-----BEGIN ") {
            true => Self::from_der(&pem_body(file)?),
            false => Self::from_der(file),
        }
    }

    /// Reads a SubjectPublicKeyInfo.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(raw) = der.strip_prefix(ED25519_HEAD).and_then(|raw| raw.try_into().ok()) {
            return Ok(Self::Ed25519(Ed25519PublicKey::from_bytes(raw)?));
        }
        if let Some(point) = der.strip_prefix(P256_HEAD).filter(|point| point.len() == P256_POINT_BYTES) {
            // 0x04: the reader of points takes compressed ones as well, in as many bytes as they say.
            let key = VerifyingKey::from_sec1_bytes(point).ok().filter(|_| point[0] == 0x04);
            return key.map(|key| Self::P256(Box::new(key))).ok_or(KeyError::NotOnCurve);
        }
        Err(KeyError::Kind)
    }

    /// The SubjectPublicKeyInfo.
    pub fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => spki_of(key),
            Self::P256(key) => [P256_HEAD, key.to_sec1_point(false).as_bytes()].concat(),
        }
    }

    /// The PEM, as OpenSSL and Go write it: lines of 64 characters, LF behind each.
    pub fn to_pem(&self) -> String {
        let body = encoding::base64(&self.to_der());
        let lines: Vec<&str> =
            (0..body.len()).step_by(PEM_LINE).map(|at| &body[at..body.len().min(at + PEM_LINE)]).collect();
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", lines.join("\n"))
    }

    /// SHA-256 of the SubjectPublicKeyInfo: what people compare, and Rekor v1's name of a log.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&self.to_der())
    }

    /// Whether this key signed `message`.
    ///
    /// An ECDSA signature is DER of r and s, each in its one spelling. s may lie in either half of its range, as cosign has
    /// it: (r, -s) is a second signature of the same message, so a signature is no name for what was signed.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => signature.try_into().is_ok_and(|signature| key.verify(message, signature)),
            Self::P256(_) => self.verify_sha256(&Hash::of(message), signature),
        }
    }

    /// Whether this key signed a message with this SHA-256. Pure Ed25519 signs no digest, and never did.
    pub fn verify_sha256(&self, digest: &Hash, signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(_) => false,
            Self::P256(key) => Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest.as_bytes(), &signature).is_ok()),
        }
    }
}

/// The algorithm and the fingerprint, as `ed25519 sha256:…`.
impl fmt::Display for SpkiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self {
            Self::Ed25519(_) => "Ed25519",
            Self::P256(_) => "P-256",
        };
        write!(f, "{algorithm} key sha256:{}", self.fingerprint())
    }
}

/// The SubjectPublicKeyInfo of an Ed25519 key.
pub fn spki_of(key: &Ed25519PublicKey) -> Vec<u8> {
    [ED25519_HEAD, key.as_bytes()].concat()
}

/// Why bytes are no key that can be used here.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// An Ed25519 key that nobody should have.
    #[error(transparent)]
    Ed25519(#[from] tlog::key::KeyError),
    /// Another kind of key, or no key.
    #[error("no SubjectPublicKeyInfo in DER of an Ed25519 or P-256 key")]
    Kind,
    /// Not a point of the curve.
    #[error("the P-256 key is no point of its curve, not compressed")]
    NotOnCurve,
    /// Something else than one PEM block of a public key.
    #[error("the PEM is not one block `PUBLIC KEY` of canonical base64")]
    Pem,
}

fn pem_body(file: &[u8]) -> Result<Vec<u8>, KeyError> {
    let text = std::str::from_utf8(file).map_err(|_| KeyError::Pem)?;
    let mut lines = text.lines().map(str::trim_end);
    if lines.next() != Some(PEM_BEGIN) {
        return Err(KeyError::Pem);
    }
    let mut body = String::new();
    for line in lines.by_ref() {
        if line == PEM_END {
            // Two keys in one file: which of them is meant, nobody can say.
            let is_alone = lines.all(str::is_empty);
            return encoding::decode_base64(&body).filter(|_| is_alone).ok_or(KeyError::Pem);
        }
        body.push_str(line);
    }
    Err(KeyError::Pem)
}

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// RFC 7468 §3.
const PEM_LINE: usize = 64;

const ED25519_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// 0x04, x, y.
const P256_POINT_BYTES: usize = 65;

#[cfg(test)]
mod tests;
