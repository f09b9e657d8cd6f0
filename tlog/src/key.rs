//! Keys of logs, witnesses and pipelines: Ed25519 and ML-DSA-44, and their C2SP text forms.
//!
//! ```text
//! vkey  <name>+<8 hex digits: key id>+<base64(type || public key)>
//! skey  PRIVATE+KEY+<name>+<8 hex digits: key id>+<base64(type || 32-byte seed)>
//! ```
//! key id = SHA-256(name || 0x0A || type || public key)[..4]; type 0x01 Ed25519, 0x04 Ed25519
//! cosignature, 0x06 ML-DSA-44 cosignature (c2sp.org/signed-note).

mod admitted;

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signer as _, Verifier as _};
use ml_dsa::{MlDsa44, signature::Keypair as _};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Hash;
use crate::encoding;

pub use admitted::AdmittedKeys;

/// An Ed25519 public key that can be believed in: a canonical encoding of a point of prime order.
///
/// Small-order and mixed-order points, and second spellings of a point, are refused at admission, so
/// that one key has one name and every verifier agrees about every signature (RFC 8032 §5.1.7,
/// strict: no cofactor, canonical `S`).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Ed25519PublicKey(ed25519_dalek::VerifyingKey);

impl Ed25519PublicKey {
    /// Length of the raw key.
    pub const BYTES: usize = 32;

    /// Admits a raw key.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        let point = key.to_edwards();
        if point.compress() != CompressedEdwardsY(*bytes) {
            return Err(KeyError::NotCanonical);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyError::Torsion);
        }
        Ok(Self(key))
    }

    /// The raw key.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        self.0.as_bytes()
    }

    /// The key's X25519 form: the coordinate u = (1 + y)/(1 - y) of its point (RFC 7748 section 4.1).
    pub fn to_x25519(&self) -> [u8; 32] {
        self.0.to_montgomery().to_bytes()
    }

    /// Whether `signature` is this key's over `message`: pure Ed25519, strict.
    #[expect(clippy::disallowed_methods, reason = "it accepts no more than strict verification: see below")]
    pub fn verify(&self, message: &[u8], signature: &[u8; ED25519_SIGNATURE_BYTES]) -> bool {
        // Strict verification refuses an R of small order, and decompresses R to see it: an eighth of the time, a fifth with AVX-512. This key is of
        // prime order, so the point that R is compared with, S·B − k·A, is too, unless it is the neutral point.
        if signature[..32] == NEUTRAL_POINT {
            return false;
        }
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify(message, &signature).is_ok()
    }
}

/// The canonical encoding of the neutral point: y = 1.
const NEUTRAL_POINT: [u8; 32] = {
    let mut y = [0; 32];
    y[0] = 1;
    y
};

impl std::hash::Hash for Ed25519PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519PublicKey({})", encoding::base64(self.as_bytes()))
    }
}

/// An Ed25519 private key: the 32-byte seed of RFC 8032. Wiped when dropped, never printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Ed25519PrivateKey(ed25519_dalek::SigningKey);

impl Ed25519PrivateKey {
    /// Makes a new key from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, a secret: for storage by its owner.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The key's X25519 form, a secret: the first half of SHA-512 of the seed, not clamped yet.
    pub fn to_x25519(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }

    /// The public half.
    pub fn public_key(&self) -> Ed25519PublicKey {
        Ed25519PublicKey(self.0.verifying_key())
    }

    /// Signs `message`: pure Ed25519, deterministic.
    pub fn sign(&self, message: &[u8]) -> [u8; ED25519_SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Ed25519PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519PrivateKey(…)")
    }
}

/// Length of an Ed25519 signature.
pub const ED25519_SIGNATURE_BYTES: usize = 64;

/// What a key signs, which is also its algorithm: the first byte of the key in a vkey.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum KeyType {
    /// 0x01: Ed25519 over the text of a note.
    Ed25519 = 0x01,
    /// 0x04: Ed25519 over a `cosignature/v1` message.
    Ed25519Cosignature = 0x04,
    /// 0x06: ML-DSA-44 over a `subtree/v1` message.
    MlDsa44Cosignature = 0x06,
}

impl KeyType {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::Ed25519Cosignature, Self::MlDsa44Cosignature]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The first four bytes of the hash that names a key in a signature line.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// Takes four bytes as they stand in a signature blob.
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a key: not empty, no white space, no `+`, no control character.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(bad) {
            return Err(KeyError::Name);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key with its name: a vkey.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    key: PublicKey,
}

/// The public half of a key, by what it signs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublicKey {
    /// Signs the text of a note.
    Ed25519(Ed25519PublicKey),
    /// Cosigns with Ed25519.
    Ed25519Cosignature(Ed25519PublicKey),
    /// Cosigns with ML-DSA-44.
    MlDsa44Cosignature(MlDsa44PublicKey),
}

impl PublicKey {
    /// The key's type byte.
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::Ed25519Cosignature(_) => KeyType::Ed25519Cosignature,
            Self::MlDsa44Cosignature(_) => KeyType::MlDsa44Cosignature,
        }
    }

    /// The raw key, without its type byte.
    pub fn raw(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) | Self::Ed25519Cosignature(key) => key.as_bytes(),
            Self::MlDsa44Cosignature(key) => key.as_bytes(),
        }
    }
}

impl VerifierKey {
    /// Names a public key.
    pub fn new(name: KeyName, key: PublicKey) -> Self {
        let id =
            KeyId(full_key_id(&name, key.key_type(), key.raw()).as_bytes()[..4].try_into().expect("4 of 32"));
        Self { name, id, key }
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// All 32 bytes of the hash whose first four are the key id: Sigstore's `logId.keyId`.
    pub fn full_id(&self) -> Hash {
        full_key_id(&self.name, self.key.key_type(), self.key.raw())
    }
}

/// Reads a vkey. One spelling only: a key that does not print as it was read is refused.
impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Base64 may contain `+`, a name may not: cut at the first two.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Shape);
        };
        let data = encoding::decode_base64(data).ok_or(KeyError::Base64)?;
        let (&kind, raw) = data.split_first().ok_or(KeyError::Length)?;
        let key = match KeyType::from_byte(kind).ok_or(KeyError::UnknownType(kind))? {
            KeyType::Ed25519 => PublicKey::Ed25519(ed25519(raw)?),
            KeyType::Ed25519Cosignature => PublicKey::Ed25519Cosignature(ed25519(raw)?),
            KeyType::MlDsa44Cosignature => PublicKey::MlDsa44Cosignature(MlDsa44PublicKey::from_slice(raw)?),
        };
        let vkey = Self::new(KeyName::new(name)?, key);
        if vkey.id.to_string() != id {
            return Err(KeyError::IdMismatch);
        }
        Ok(vkey)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = vec![self.key.key_type() as u8];
        data.extend_from_slice(self.key.raw());
        write!(f, "{}+{}+{}", self.name, self.id, encoding::base64(&data))
    }
}

/// An ML-DSA-44 public key (FIPS 204), 1,312 bytes.
#[derive(Clone, Eq, PartialEq)]
pub struct MlDsa44PublicKey(Box<[u8; Self::BYTES]>);

impl MlDsa44PublicKey {
    /// Length of the raw key.
    pub const BYTES: usize = 1312;

    /// Takes a raw key. Every byte string of this length is one (FIPS 204 §7.2).
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().map_err(|_| KeyError::Length)?;
        Ok(Self(Box::new(bytes)))
    }

    /// The raw key.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Whether `signature` is this key's over `message`: pure ML-DSA-44, empty context.
    pub fn verify(&self, message: &[u8], signature: &[u8; ML_DSA_44_SIGNATURE_BYTES]) -> bool {
        let key = ml_dsa::VerifyingKey::<MlDsa44>::decode(&(*self.0).into());
        let Some(signature) = ml_dsa::Signature::<MlDsa44>::decode(&(*signature).into()) else {
            return false;
        };
        key.verify_with_context(message, &[], &signature)
    }
}

impl fmt::Debug for MlDsa44PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MlDsa44PublicKey(sha256 {})", Hash::of(&*self.0))
    }
}

/// Length of an ML-DSA-44 signature.
pub const ML_DSA_44_SIGNATURE_BYTES: usize = 2420;

/// A private key with its name: an skey. Wiped when dropped; only [`SignerKey::to_skey`] prints it.
pub struct SignerKey {
    verifier: VerifierKey,
    key: PrivateKey,
}

/// The private half of a key, by what it signs.
pub(crate) enum PrivateKey {
    Ed25519(Ed25519PrivateKey),
    Ed25519Cosignature(Ed25519PrivateKey),
    MlDsa44Cosignature(Box<ml_dsa::SigningKey<MlDsa44>>),
}

impl SignerKey {
    /// Makes a new key from `rng`.
    pub fn generate(name: KeyName, kind: KeyType, rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(name, kind, &seed)
    }

    /// The key of a 32-byte seed (RFC 8032 or FIPS 204).
    pub fn from_seed(name: KeyName, kind: KeyType, seed: &[u8; 32]) -> Self {
        let ed25519 = || Ed25519PrivateKey::from_seed(seed);
        let (key, public) = match kind {
            KeyType::Ed25519 => {
                let key = ed25519();
                let public = PublicKey::Ed25519(key.public_key());
                (PrivateKey::Ed25519(key), public)
            }
            KeyType::Ed25519Cosignature => {
                let key = ed25519();
                let public = PublicKey::Ed25519Cosignature(key.public_key());
                (PrivateKey::Ed25519Cosignature(key), public)
            }
            KeyType::MlDsa44Cosignature => {
                let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(&(*seed).into());
                let raw = key.verifying_key().encode();
                let public = MlDsa44PublicKey::from_slice(&raw).expect("an encoded key has its length");
                (PrivateKey::MlDsa44Cosignature(Box::new(key)), PublicKey::MlDsa44Cosignature(public))
            }
        };
        Self { verifier: VerifierKey::new(name, public), key }
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn private(&self) -> &PrivateKey {
        &self.key
    }

    /// The skey text, a secret: for storage by its owner.
    pub fn to_skey(&self) -> Zeroizing<String> {
        let mut data = Zeroizing::new(vec![self.verifier.key.key_type() as u8]);
        match &self.key {
            PrivateKey::Ed25519(key) | PrivateKey::Ed25519Cosignature(key) => {
                data.extend_from_slice(&*key.seed())
            }
            PrivateKey::MlDsa44Cosignature(key) => {
                let mut seed = key.to_seed();
                data.extend_from_slice(&seed);
                seed.as_mut_slice().zeroize();
            }
        }
        let data = Zeroizing::new(encoding::base64(&data));
        Zeroizing::new(format!("{SKEY_PREFIX}{}+{}+{}", self.verifier.name, self.verifier.id, *data))
    }
}

/// Reads an skey. Errors name the rule, never the text: it is a secret.
impl FromStr for SignerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.strip_prefix(SKEY_PREFIX).ok_or(KeyError::Shape)?.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Shape);
        };
        let data = Zeroizing::new(encoding::decode_base64(data).ok_or(KeyError::Base64)?);
        let (&kind, seed) = data.split_first().ok_or(KeyError::Length)?;
        let kind = KeyType::from_byte(kind).ok_or(KeyError::UnknownType(kind))?;
        let seed: &[u8; 32] = seed.try_into().map_err(|_| KeyError::Length)?;
        let key = Self::from_seed(KeyName::new(name)?, kind, seed);
        if key.verifier.id.to_string() != id {
            return Err(KeyError::IdMismatch);
        }
        Ok(key)
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}+{}+…)", self.verifier.name, self.verifier.id)
    }
}

/// Why a key was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The key data is not strict base64.
    #[error("the key data is not canonical base64")]
    Base64,
    /// The id does not belong to this name and key.
    #[error("the key id is not the hash of this name and key")]
    IdMismatch,
    /// Wrong number of bytes for the type.
    #[error("the key has the wrong length for its type")]
    Length,
    /// The name has white space, a control character or `+`, or is empty.
    #[error("a key name must be non-empty, without white space, control characters or `+`")]
    Name,
    /// The bytes are a second spelling of a point.
    #[error("the public key is not the canonical encoding of its point")]
    NotCanonical,
    /// The bytes are no point of the curve.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// Not three parts joined by `+`.
    #[error("a key reads `name+id+base64`")]
    Shape,
    /// The point is of small or mixed order.
    #[error("the public key is not of prime order: such a key accepts signatures that nobody made")]
    Torsion,
    /// A type byte that is not 0x01, 0x04 or 0x06.
    #[error("unknown key type 0x{0:02x}")]
    UnknownType(u8),
}

fn ed25519(raw: &[u8]) -> Result<Ed25519PublicKey, KeyError> {
    Ed25519PublicKey::from_bytes(raw.try_into().map_err(|_| KeyError::Length)?)
}

fn full_key_id(name: &KeyName, kind: KeyType, raw: &[u8]) -> Hash {
    Hash::of_parts(&[name.as_str().as_bytes(), b"\n", &[kind as u8], raw])
}

const SKEY_PREFIX: &str = "PRIVATE+KEY+";

/// What checks Ed25519 signatures in this process: `AVX-512 IFMA`, `AVX2` or `portable`. The build offers, and the CPU
/// decides; curve25519-dalek asks the same of both.
pub fn signature_backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let has_ifma = is_x86_feature_detected!("avx512ifma") && is_x86_feature_detected!("avx512vl");
        if cfg!(curve25519_dalek_backend = "avx512") && has_ifma {
            return "AVX-512 IFMA";
        }
        if is_x86_feature_detected!("avx2") {
            return "AVX2";
        }
    }
    "portable"
}
