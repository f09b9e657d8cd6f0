//! X25519 keys: which public keys are admitted, and the form of an identity key that opens messages.
//!
//! ```text
//! key id         SHA-256(public key)[0..16]
//! identity key   public (1 + y) / (1 - y) of the Ed25519 point, private SHA-512(seed)[0..32], clamped
//! multikey       z base58btc(0xEC 0x01 || public key)              in a DID document's keyAgreement
//! ```

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::scalar::clamp_integer;
use rand_core::CryptoRng;
use tlog::Hash;
use tlog::encoding;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::hex_name::MessageKeyId;

/// An X25519 public key that messages may be sealed to. It has one spelling, and no shared secret with it is zero.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageKey([u8; Self::BYTES]);

impl MessageKey {
    /// Length of the raw key.
    pub const BYTES: usize = 32;

    /// Admits a raw key: a coordinate below 2^255 - 19 that is none of the five of small order.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, MessageKeyError> {
        // Little-endian: compared from the last byte.
        if bytes.iter().rev().ge(FIELD.iter().rev()) {
            return Err(MessageKeyError::NotCanonical);
        }
        if SMALL_ORDER.contains(bytes) {
            return Err(MessageKeyError::SmallOrder);
        }
        Ok(Self(*bytes))
    }

    /// The X25519 form of an Ed25519 key. A message for a DID without message keys is sealed to it.
    pub fn of_identity(key: &Ed25519PublicKey) -> Self {
        Self::from_bytes(&key.to_x25519()).expect("a point of prime order has a coordinate of no small order")
    }

    /// The raw key.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// What names the key in a sealed message.
    pub fn id(&self) -> MessageKeyId {
        let hash = Hash::of(&self.0);
        MessageKeyId::from_bytes(*hash.as_bytes().first_chunk().expect("a digest is longer than 16 bytes"))
    }

    /// The `publicKeyMultibase` of a `Multikey`.
    pub fn to_multibase(&self) -> String {
        format!("z{}", bs58::encode([MULTICODEC_X25519.as_slice(), &self.0].concat()).into_string())
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageKey({})", encoding::base64(&self.0))
    }
}

/// Why a raw X25519 key is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageKeyError {
    /// 2^255 - 19 or more, or the top bit set: another spelling of a smaller number.
    #[error("the X25519 key is not below 2^255 - 19")]
    NotCanonical,
    /// Of order 1, 2, 4 or 8, on the curve or on its twist.
    #[error("the X25519 key is of small order: everybody knows the secret that it shares")]
    SmallOrder,
}

/// An X25519 private key. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct MessagePrivateKey {
    scalar: Zeroizing<[u8; MessageKey::BYTES]>,
    public: MessageKey,
}

impl MessagePrivateKey {
    /// Makes a new key from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; MessageKey::BYTES]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(&bytes)
    }

    /// The key of 32 bytes, clamped as RFC 7748 says: 32 keys of a file are one key, and [`MessagePrivateKey::to_bytes`]
    /// gives its one spelling.
    pub fn from_bytes(bytes: &[u8; MessageKey::BYTES]) -> Self {
        let mut clamped = clamp_integer(*bytes);
        let scalar = Zeroizing::new(clamped);
        clamped.zeroize();
        let public = MontgomeryPoint::mul_base_clamped(*scalar);
        let public = MessageKey::from_bytes(public.as_bytes())
            .expect("no clamped scalar is a multiple of the base point's order");
        Self { scalar, public }
    }

    /// The X25519 form of an Ed25519 key: it opens what was sealed to [`MessageKey::of_identity`].
    pub fn of_identity(key: &Ed25519PrivateKey) -> Self {
        Self::from_bytes(&key.to_x25519())
    }

    /// The key's bytes, clamped: a secret, for storage by its owner.
    pub fn to_bytes(&self) -> Zeroizing<[u8; MessageKey::BYTES]> {
        self.scalar.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> &MessageKey {
        &self.public
    }

    /// What names the key in a sealed message.
    pub fn id(&self) -> MessageKeyId {
        self.public.id()
    }

    /// The secret shared with `other`, which nobody admitted; `None` if it is zero (RFC 7748 section 6.1).
    pub(crate) fn shared_secret(
        &self,
        other: &[u8; MessageKey::BYTES],
    ) -> Option<Zeroizing<[u8; MessageKey::BYTES]>> {
        let shared = Zeroizing::new(MontgomeryPoint(*other).mul_clamped(*self.scalar).to_bytes());
        // One bit of it is told on purpose: a zero is no secret.
        (*shared != [0; MessageKey::BYTES]).then_some(shared)
    }
}

impl fmt::Debug for MessagePrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessagePrivateKey(…)")
    }
}

/// Which of a DID's keys a message is sealed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// The X25519 form of its Ed25519 key. A thief of that key reads old mail, too.
    Identity,
    /// A key of its event `message-keys`.
    Message,
}

impl KeyKind {
    /// Its name, `identity` or `message`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Message => "message",
        }
    }
}

/// The unsigned varint of `x25519-pub` in the multicodec table.
const MULTICODEC_X25519: [u8; 2] = [0xec, 0x01];

/// 2^255 - 19, little-endian.
const FIELD: [u8; 32] = {
    let mut field = [0xff; 32];
    (field[0], field[31]) = (0xed, 0x7f);
    field
};

/// The coordinates of small order below 2^255 - 19: 0, 1, 2^255 - 20 and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = FIELD;
        minus_one[0] -= 1;
        minus_one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];
