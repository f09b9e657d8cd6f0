//! Names of signers: `did:aip`, `did:key`, and the PEM of a public key (`specs/identity.md`).
//!
//! ```text
//! did:aip:<32 lower-case hex digits>        the first 16 bytes of SHA-256(raw Ed25519 public key)
//! did:key:z<47 base58btc digits>            0xED 0x01 || raw Ed25519 public key
//!
//! -----BEGIN PUBLIC KEY-----\n
//! <base64(SubjectPublicKeyInfo), 60 characters>\n       RFC 8410; LF, final LF
//! -----END PUBLIC KEY-----\n
//! ```
//! Each has one spelling; every other is refused.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use tlog::Hash;
use tlog::encoding;
use tlog::key::{Ed25519PublicKey, KeyError};

use crate::quote::quoted;

/// A `did:aip`: the name of a signer, which is the hash of its first key, for ever.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Did([u8; Did::BYTES]);

impl Did {
    /// Length of the hash in a DID.
    pub const BYTES: usize = 16;

    /// The DID whose first key is `key`.
    pub fn of(key: &Ed25519PublicKey) -> Self {
        Self::of_raw(key.as_bytes())
    }

    /// The DID whose first key has these bytes, admitted or not.
    pub fn of_raw(key: &[u8; Ed25519PublicKey::BYTES]) -> Self {
        let hash = Hash::of(key);
        Self(*hash.as_bytes().first_chunk().expect("a digest is longer than 16 bytes"))
    }

    /// The DID of these 16 bytes, as an index may store it.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// Reads `did:aip:` and 32 lower-case hex digits.
impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        let digits = text.strip_prefix(PREFIX).ok_or_else(|| DidError::Method(quoted(text)))?;
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let mut bytes = [0; Self::BYTES];
        if !digits.bytes().all(lower_hex) || hex::decode_to_slice(digits, &mut bytes).is_err() {
            return Err(DidError::Digits(quoted(text)));
        }
        Ok(Self(bytes))
    }
}

/// `did:aip:` and 32 lower-case hex digits.
impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * Self::BYTES];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits a byte");
        f.write_str(PREFIX)?;
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Did {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Did {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is no `did:aip`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DidError {
    /// Not 32 lower-case hex digits behind the prefix.
    #[error("a DID ends in 32 lower-case hex digits: {0}")]
    Digits(String),
    /// Another prefix than `did:aip:`.
    #[error("a DID begins with `did:aip:`: {0}")]
    Method(String),
}

/// The `did:key` of a key.
pub fn to_did_key(key: &Ed25519PublicKey) -> String {
    let bytes = [MULTICODEC_ED25519.as_slice(), key.as_bytes()].concat();
    format!("{DID_KEY_PREFIX}{}", bs58::encode(bytes).into_string())
}

/// The key that a `did:key` is.
pub fn from_did_key(text: &str) -> Result<Ed25519PublicKey, DidKeyError> {
    let digits = text.strip_prefix(DID_KEY_PREFIX).ok_or_else(|| DidKeyError::Prefix(quoted(text)))?;
    // 34 bytes that begin with 0xED have 47 digits. Looked at first: decoding base58 is quadratic.
    if digits.len() != DID_KEY_DIGITS {
        return Err(DidKeyError::Length(digits.len()));
    }
    let bytes = bs58::decode(digits).into_vec().map_err(|_| DidKeyError::Base58)?;
    let raw = bytes.strip_prefix(&MULTICODEC_ED25519).ok_or(DidKeyError::NotEd25519)?;
    let raw = raw.try_into().map_err(|_| DidKeyError::NotEd25519)?;
    Ok(Ed25519PublicKey::from_bytes(raw)?)
}

/// Why a text is no `did:key` of an Ed25519 key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DidKeyError {
    /// A character outside the base58btc alphabet.
    #[error("a `did:key` is base58btc: no `0`, `O`, `I`, `l` or other character outside its alphabet")]
    Base58,
    /// The key is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another number of digits than an Ed25519 key has.
    #[error("the `did:key` of an Ed25519 key has {DID_KEY_DIGITS} digits, not {0}")]
    Length(usize),
    /// Another kind of key.
    #[error("the `did:key` is of no Ed25519 key: its bytes do not begin with 0xED 0x01")]
    NotEd25519,
    /// Another prefix than `did:key:z`.
    #[error("a `did:key` begins with `did:key:z`: {0}")]
    Prefix(String),
}

/// The PEM of a key: SubjectPublicKeyInfo, LF, final LF.
pub fn to_pem(key: &Ed25519PublicKey) -> String {
    pem_of_raw(key.as_bytes())
}

/// The key in a PEM, spelled as [`to_pem`] spells it.
pub fn from_pem(pem: &str) -> Result<Ed25519PublicKey, PemError> {
    let raw = raw_from_pem(pem).ok_or(PemError::Shape)?;
    Ok(Ed25519PublicKey::from_bytes(&raw)?)
}

/// Why a text is no PEM of an Ed25519 key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemError {
    /// The key is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not the one spelling of an Ed25519 SubjectPublicKeyInfo.
    #[error("not the PEM of an Ed25519 public key: 3 lines ending in LF, the second of 60 characters")]
    Shape,
}

/// As [`to_pem`], of a key that nobody has admitted.
pub(crate) fn pem_of_raw(raw: &[u8; Ed25519PublicKey::BYTES]) -> String {
    format!("{PEM_HEAD}{}{PEM_TAIL}", encoding::base64(raw))
}

/// As [`from_pem`], without admitting the key: a caller that reads many entries admits each key once.
pub(crate) fn raw_from_pem(pem: &str) -> Option<[u8; Ed25519PublicKey::BYTES]> {
    encoding::decode_base64_array(pem.strip_prefix(PEM_HEAD)?.strip_suffix(PEM_TAIL)?)
}

const PREFIX: &str = "did:aip:";

const DID_KEY_PREFIX: &str = "did:key:z";
const DID_KEY_DIGITS: usize = 47;

/// The unsigned varint of `ed25519-pub` in the multicodec table.
const MULTICODEC_ED25519: [u8; 2] = [0xed, 0x01];

/// The head line, then base64 of the 12 bytes of DER before every Ed25519 key:
/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING (0 unused bits) …`. Twelve bytes are sixteen
/// characters, so the key's own base64 follows unchanged.
const PEM_HEAD: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA";
const PEM_TAIL: &str = "\n-----END PUBLIC KEY-----\n";

#[cfg(test)]
mod tests {
    use tlog::key::Ed25519PrivateKey;

    use super::*;

    const DID: &str = "did:aip:56475aa75463474c0285df5dbf2bcab7";
    const DID_KEY: &str = "did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd";
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n\
        -----END PUBLIC KEY-----\n";

    fn key() -> Ed25519PublicKey {
        let seed: Vec<u8> = (0..32).collect();
        Ed25519PrivateKey::from_seed(&seed.try_into().expect("32 bytes")).public_key()
    }

    /// Raw keys that are no point, a second spelling of one, or of small or mixed order.
    fn bad_keys() -> [(&'static str, [u8; 32], KeyError); 5] {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut not_a_point = [0; 32];
        not_a_point[0] = 2;
        // y = p, the second spelling of y = 0, a point of order 4.
        let mut twice_spelled = [0xff; 32];
        (twice_spelled[0], twice_spelled[31]) = (0xed, 0x7f);
        let order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
        // A multiple of the base point plus a point of order 8; from the table of eprint 2020/1244.
        let mixed = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
        [
            ("not a point", not_a_point, KeyError::NotAPoint),
            ("second spelling", twice_spelled, KeyError::NotCanonical),
            ("identity", identity, KeyError::Torsion),
            ("order 8", raw(order_8), KeyError::Torsion),
            ("mixed order", raw(mixed), KeyError::Torsion),
        ]
    }

    fn raw(hex: &str) -> [u8; 32] {
        hex::decode(hex).expect("hex").try_into().expect("32 bytes")
    }

    #[test]
    fn a_key_has_one_name_in_each_form() {
        let key = key();
        assert_eq!(Did::of(&key).to_string(), DID);
        assert_eq!(DID.parse(), Ok(Did::of(&key)));
        assert_eq!(Did::from_bytes(*Did::of(&key).as_bytes()), Did::of(&key));
        assert_eq!(to_did_key(&key), DID_KEY);
        assert_eq!(from_did_key(DID_KEY), Ok(key));
        assert_eq!(to_pem(&key), PEM);
        assert_eq!(from_pem(PEM), Ok(key));
    }

    #[test]
    fn other_spellings_of_a_did_key_are_refused() {
        for (text, want) in [
            (DID, DidKeyError::Prefix(quoted(DID))),
            ("did:key:6Mk", DidKeyError::Prefix(quoted("did:key:6Mk"))),
            (&DID_KEY[..55], DidKeyError::Length(46)),
            (&format!("{DID_KEY}1"), DidKeyError::Length(48)),
            (&DID_KEY.replace("z6Mke", "z16Mk"), DidKeyError::NotEd25519),
            (&DID_KEY.replace('J', "0"), DidKeyError::Base58),
            (&DID_KEY.replace("6Mk", "6Mé"), DidKeyError::Length(48)),
            // X25519: 0xEC 0x01.
            (&did_key(&[&[0xec, 0x01], [9; 32].as_slice()].concat()), DidKeyError::NotEd25519),
        ] {
            assert_eq!(from_did_key(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn other_spellings_of_a_pem_are_refused() {
        for bad in [
            PEM.trim_end().to_owned(),
            format!("{PEM}\n"),
            format!(" {PEM}"),
            PEM.replace('\n', "\r\n"),
            PEM.replace("=\n", "\n"),
            // Unused bits of the last character.
            PEM.replace("Mbg=", "Mbh="),
            PEM.replace("PUBLIC KEY", "PUBLIC  KEY"),
            PEM.replace("PUBLIC", "PRIVATE"),
            // X25519: OID 1.3.101.110.
            PEM.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu"),
            PEM.replace("v/P", "v/\nP"),
        ] {
            assert_eq!(from_pem(&bad), Err(PemError::Shape), "{bad:?}");
        }
    }

    /// S14: small-order, mixed-order and non-canonical keys, in every form.
    #[test]
    fn s14_keys_that_nobody_owns_are_refused() {
        for (name, raw, want) in bad_keys() {
            assert_eq!(Ed25519PublicKey::from_bytes(&raw), Err(want), "{name}");
            assert_eq!(from_pem(&pem_of_raw(&raw)), Err(PemError::Key(want)), "{name}");
            let bytes = [MULTICODEC_ED25519.as_slice(), &raw].concat();
            assert_eq!(from_did_key(&did_key(&bytes)), Err(DidKeyError::Key(want)), "{name}");
        }
    }

    fn did_key(bytes: &[u8]) -> String {
        format!("{DID_KEY_PREFIX}{}", bs58::encode(bytes).into_string())
    }
}
