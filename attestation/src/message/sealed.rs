//! A message sealed to one key of one recipient: HPKE base mode (RFC 9180), and the bytes around it.
//!
//! ```text
//! plaintext  u32 BE payload length | signature 64 | payload | zeros, to the smallest frame size
//! sealed     0 "AIPM2" | 5 suite | 6 recipient DID 16 | 22 key id 16 | 38 message id 16 | 54 enc 32 | 86 ciphertext
//! aad        sealed[0..54]
//! ```
//! Suite 1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, sequence 0.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_core::CryptoRng;
use tlog::encoding;
use tlog::key::ED25519_SIGNATURE_BYTES;

use super::statement::{MessageError, SignedMessage};
use super::{EnvelopeId, MessageId, MessageKey, MessageKeyId, MessagePrivateKey, Refusal, wire};
use crate::did::Did;

/// How long a plaintext may be. A relay learns which of the eight it is, and no more of a message's length.
pub const FRAME_BYTES: [usize; 8] = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 98_304];

/// The longest sealed message.
pub const MAX_SEALED_BYTES: usize = overhead(FRAME_BYTES[FRAME_BYTES.len() - 1]);

/// A sealed message: of one of eight lengths, with the magic and a suite that is known. Nobody opened it yet.
#[derive(Clone, Eq, PartialEq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Reads a sealed message, such as a file that `--out` wrote.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SealedError> {
        let is_length = FRAME_BYTES.iter().any(|frame| overhead(*frame) == bytes.len());
        if !is_length {
            return Err(SealedError::Length(bytes.len()));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(SealedError::Magic);
        }
        match bytes[MAGIC.len()] {
            SUITE => Ok(Self(bytes)),
            suite => Err(SealedError::Suite(suite)),
        }
    }

    /// Reads a sealed message as a relay carries it: in canonical base64.
    pub fn from_base64(text: &str) -> Result<Self, SealedError> {
        Self::from_bytes(encoding::decode_base64(text).ok_or(SealedError::Base64)?)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes in base64, as a relay carries them.
    pub fn to_base64(&self) -> String {
        encoding::base64(&self.0)
    }

    /// What names this copy.
    pub fn id(&self) -> EnvelopeId {
        EnvelopeId::of(&self.0)
    }

    /// For whom it is.
    pub fn recipient(&self) -> Did {
        Did::from_bytes(self.header(RECIPIENT_AT))
    }

    /// The key of the recipient that it is sealed to.
    pub fn key_id(&self) -> MessageKeyId {
        MessageKeyId::from_bytes(self.header(KEY_ID_AT))
    }

    /// The message of which it is a copy.
    pub fn message_id(&self) -> MessageId {
        MessageId::from_bytes(self.header(MESSAGE_ID_AT))
    }

    fn header<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.0[at..].first_chunk().expect("the shortest sealed message is longer than its header")
    }

    /// The payload's bytes and signature, by the holder of `key`.
    pub(super) fn decrypt(&self, key: &MessagePrivateKey) -> Result<SignedMessage, Refusal> {
        let plaintext = open(
            key,
            &self.0[HEADER_BYTES..CIPHERTEXT_AT],
            &self.0[CIPHERTEXT_AT..],
            &self.0[..HEADER_BYTES],
        );
        let plaintext = plaintext.ok_or(Refusal::Decryption)?;
        let (signature, payload) = unframe(&plaintext).ok_or(Refusal::Padding)?;
        let (message, key) = wire::decode(payload).map_err(Refusal::Payload)?;
        Ok(SignedMessage { message, key, payload: payload.to_vec(), signature })
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({})", self.id())
    }
}

impl SignedMessage {
    /// Seals a copy to `key`, a key of `recipient`. `rng` gives the 32 bytes that the ephemeral key is derived from.
    pub fn seal(
        &self,
        recipient: Did,
        key: &MessageKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, MessageError> {
        if !self.message.recipients.contains(&recipient) {
            return Err(MessageError::NotAddressed(recipient));
        }
        let mut sealed = Vec::with_capacity(MAX_SEALED_BYTES);
        sealed.extend(MAGIC);
        sealed.push(SUITE);
        sealed.extend(recipient.as_bytes());
        sealed.extend(key.id().as_bytes());
        sealed.extend(self.message.id.as_bytes());
        let (enc, ciphertext) = seal(key, &frame(&self.signature, &self.payload), &sealed, rng);
        sealed.extend(enc);
        sealed.extend(ciphertext);
        Ok(Sealed(sealed))
    }
}

/// Why bytes are no sealed message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealedError {
    /// Not canonical base64.
    #[error("a sealed message travels in canonical base64")]
    Base64,
    /// None of the eight lengths.
    #[error("{0} bytes are no sealed message: it has one of eight lengths")]
    Length(usize),
    /// It begins otherwise.
    #[error("a sealed message begins with `AIPM2`")]
    Magic,
    /// A suite that this release does not know.
    #[error("the message is sealed by suite {0}, and this release knows suite {SUITE}: install a newer one")]
    Suite(u8),
}

impl SealedError {
    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Base64 | Self::Length(_) | Self::Magic => "form",
            Self::Suite(_) => "suite",
        }
    }
}

/// Signature and payload in the smallest frame that holds them; the caller made them no longer than the largest.
fn frame(signature: &[u8; ED25519_SIGNATURE_BYTES], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload that was signed or read fits into a frame");
    let mut plaintext = [length.to_be_bytes().as_slice(), signature, payload].concat();
    plaintext.resize(frame_bytes(payload.len()).expect("as above"), 0);
    plaintext
}

/// Signature and payload, if what follows them is zeros up to the smallest frame that holds them.
fn unframe(plaintext: &[u8]) -> Option<([u8; ED25519_SIGNATURE_BYTES], &[u8])> {
    let (length, rest) = plaintext.split_first_chunk()?;
    let (signature, rest) = rest.split_first_chunk()?;
    let (payload, padding) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
    let is_smallest = frame_bytes(payload.len()) == Some(plaintext.len());
    (is_smallest && padding.iter().all(|byte| *byte == 0)).then_some((*signature, payload))
}

/// The smallest frame for a payload of this length.
fn frame_bytes(payload: usize) -> Option<usize> {
    let framed = payload.checked_add(FRAME_HEAD_BYTES)?;
    FRAME_BYTES.into_iter().find(|frame| framed <= *frame)
}

/// The encapsulated key and the ciphertext.
fn seal(key: &MessageKey, plaintext: &[u8], aad: &[u8], rng: &mut impl CryptoRng) -> (Vec<u8>, Vec<u8>) {
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key.as_bytes()).expect("32 bytes are a key");
    let sealed = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        INFO,
        plaintext,
        aad,
        rng,
    );
    let (enc, ciphertext) =
        sealed.expect("an admitted key shares no zero, and one plaintext is not too many");
    (enc.to_bytes().to_vec(), ciphertext)
}

/// The plaintext, if `key` opens it. A shared secret of zero opens nothing (RFC 9180 section 7.1.4).
fn open(key: &MessagePrivateKey, enc: &[u8], ciphertext: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let key = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(key.to_bytes().as_slice()).ok()?;
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(enc).ok()?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key,
        &enc,
        INFO,
        ciphertext,
        aad,
    )
    .ok()
}

/// How long a sealed message is whose plaintext has this length.
const fn overhead(frame: usize) -> usize {
    CIPHERTEXT_AT + frame + TAG_BYTES
}

const MAGIC: &[u8] = b"AIPM2";
const SUITE: u8 = 1;
const INFO: &[u8] = b"aip-msg/v2";

const RECIPIENT_AT: usize = 6;
const KEY_ID_AT: usize = 22;
const MESSAGE_ID_AT: usize = 38;
const HEADER_BYTES: usize = 54;
const CIPHERTEXT_AT: usize = 86;
const TAG_BYTES: usize = 16;

/// Before the payload: its length and the signature.
const FRAME_HEAD_BYTES: usize = 4 + ED25519_SIGNATURE_BYTES;
