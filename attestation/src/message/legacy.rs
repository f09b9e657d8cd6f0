//! Mail of Python `aip` 0.5, both ways: a NaCl sealed box and a signature beside it.
//!
//! ```text
//! box        ephemeral 32 || crypto_box, nonce BLAKE2b-24(ephemeral || recipient)           crypto_box_seal
//! signed     sender|recipient|timestamp|base64(box)                                         Ed25519, no PAE
//! ```
//! The signature is over the box and not over the text: its sender is not proven to know what it says. So such mail is shown as
//! what it is, and proves nothing.

use blake2::digest::consts::U24;
use blake2::{Blake2b, Digest as _};
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use rand_core::CryptoRng;
use salsa20::cipher::consts::U10;
use serde::{Deserialize, Serialize};
use tlog::Hash;
use tlog::encoding;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey};
use zeroize::Zeroizing;

use super::{MessageKey, MessagePrivateKey};
use crate::did::Did;
use crate::logged::LogTime;

mod time;

/// The shortest box: that of an empty text.
const MIN_BOX_BYTES: usize = MessageKey::BYTES + TAG_BYTES;

/// The longest box: that of a text of 64 KiB.
pub const MAX_BOX_BYTES: usize = MIN_BOX_BYTES + MAX_TEXT_BYTES;

/// The longest text.
pub const MAX_TEXT_BYTES: usize = 65_536;

/// How far the timestamp may be from the arrival.
const MAX_TIME_DIFFERENCE_MILLIS: u64 = 300 * 1_000;

/// The members of legacy mail that a relay keeps as they came.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LegacyContent {
    /// The box, in base64.
    pub encrypted_content: String,
    /// The signature, in base64.
    pub signature: String,
    /// The time that was signed; Python's client may leave it out, which is refused.
    pub timestamp: Option<String>,
}

/// Legacy mail whose box and signature have their form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LegacyMail {
    sender: Did,
    recipient: Did,
    content: LegacyContent,
    sealed: Vec<u8>,
    signature: [u8; ED25519_SIGNATURE_BYTES],
}

/// Who reads legacy mail, and what decides about it.
#[derive(Clone, Copy, Debug)]
pub struct LegacyCircumstances<'a> {
    /// Whose mailbox it is.
    pub did: Did,
    /// The X25519 form of the reader's identity key.
    pub key: &'a MessagePrivateKey,
    /// When the relay got it.
    pub received_at: LogTime,
    /// The sender's current key.
    pub sender_key: &'a Ed25519PublicKey,
    /// Whether it was accepted before: [`LegacyMail::replay_key`].
    pub seen: bool,
}

impl LegacyMail {
    /// Seals `text` for `recipient`, whose Ed25519 key is `to`, at the time `now`.
    pub fn seal(
        text: &str,
        sender: Did,
        key: &Ed25519PrivateKey,
        recipient: Did,
        to: &Ed25519PublicKey,
        now: LogTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, LegacyRefusal> {
        let sealed = seal_box(text.as_bytes(), &MessageKey::of_identity(to), rng);
        let encrypted_content = encoding::base64(&sealed);
        let timestamp = time::format(now);
        let signature = key.sign(&signed(sender, recipient, &timestamp, &encrypted_content));
        let content = LegacyContent {
            encrypted_content,
            signature: encoding::base64(&signature),
            timestamp: Some(timestamp),
        };
        Self::parse(sender, recipient, content)
    }

    /// Reads the form of box and signature: rule `legacy-form`.
    pub fn parse(sender: Did, recipient: Did, content: LegacyContent) -> Result<Self, LegacyRefusal> {
        let sealed = encoding::decode_base64(&content.encrypted_content).ok_or(LegacyRefusal::Form)?;
        if !(MIN_BOX_BYTES..=MAX_BOX_BYTES).contains(&sealed.len()) {
            return Err(LegacyRefusal::Form);
        }
        let signature = encoding::decode_base64_array(&content.signature).ok_or(LegacyRefusal::Form)?;
        Ok(Self { sender, recipient, content, sealed, signature })
    }

    /// Makes every check behind `legacy-form`, in their order, and gives the text.
    pub fn open(&self, circumstances: &LegacyCircumstances<'_>) -> Result<String, LegacyRefusal> {
        if self.recipient != circumstances.did {
            return Err(LegacyRefusal::Recipient(self.recipient));
        }
        self.check_time(circumstances.received_at)?;
        self.verify(circumstances.sender_key)?;
        let text = open_box(&self.sealed, circumstances.key).ok_or(LegacyRefusal::Decryption)?;
        let text = String::from_utf8(text).map_err(|_| LegacyRefusal::Text)?;
        if circumstances.seen { Err(LegacyRefusal::Replay) } else { Ok(text) }
    }

    /// Whether it was made within 300 s of its arrival: rule `legacy-time`.
    pub fn check_time(&self, received_at: LogTime) -> Result<(), LegacyRefusal> {
        let made = self.content.timestamp.as_deref().and_then(time::parse).ok_or(LegacyRefusal::Time)?;
        // In microseconds: a millisecond has fractions here.
        let received = received_at.as_millis().saturating_mul(1_000);
        match made.abs_diff(received) <= MAX_TIME_DIFFERENCE_MILLIS * 1_000 {
            true => Ok(()),
            false => Err(LegacyRefusal::Time),
        }
    }

    /// Whether `key` signed it: rule `legacy-signature`.
    pub fn verify(&self, key: &Ed25519PublicKey) -> Result<(), LegacyRefusal> {
        let timestamp = self.content.timestamp.as_deref().unwrap_or_default();
        let signed = signed(self.sender, self.recipient, timestamp, &self.content.encrypted_content);
        if key.verify(&signed, &self.signature) { Ok(()) } else { Err(LegacyRefusal::Signature) }
    }

    /// What tells it from all other legacy mail: SHA-256 of the signature's bytes.
    pub fn replay_key(&self) -> Hash {
        Hash::of(&self.signature)
    }

    /// Who says that it sent this.
    pub fn sender(&self) -> Did {
        self.sender
    }

    /// For whom it is.
    pub fn recipient(&self) -> Did {
        self.recipient
    }

    /// As it travels.
    pub fn content(&self) -> &LegacyContent {
        &self.content
    }
}

/// Signs the challenge of a v1 relay, if it is 64 lower-case hex digits. Nothing else that a server chose is ever signed: the text
/// could be a rotation.
pub fn sign_challenge(challenge: &str, key: &Ed25519PrivateKey) -> Option<[u8; ED25519_SIGNATURE_BYTES]> {
    let is_challenge =
        challenge.len() == 64 && challenge.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_challenge.then(|| key.sign(challenge.as_bytes()))
}

/// Why legacy mail is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LegacyRefusal {
    /// The key does not open the box.
    #[error("the identity key does not open it")]
    Decryption,
    /// Box or signature are not in their form.
    #[error("its box is not 48 to 65584 bytes, or its signature not 64 bytes, in canonical base64")]
    Form,
    /// For another mailbox.
    #[error("it is for {0}")]
    Recipient(Did),
    /// Accepted before.
    #[error("it was accepted before")]
    Replay,
    /// Not signed by its sender.
    #[error("its signature is not by its sender's current key over sender, recipient, time and box")]
    Signature,
    /// Not UTF-8.
    #[error("its text is not UTF-8")]
    Text,
    /// No time, not in UTC, or far from its arrival.
    #[error("its time is absent, not in UTC, or more than 300 s from its arrival")]
    Time,
}

impl LegacyRefusal {
    /// Every rule, in the order in which the checks are made.
    pub const RULES: [&str; 7] = [
        "legacy-form",
        "recipient",
        "legacy-time",
        "legacy-signature",
        "decryption",
        "legacy-text",
        "replay",
    ];

    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Decryption => "decryption",
            Self::Form => "legacy-form",
            Self::Recipient(_) => "recipient",
            Self::Replay => "replay",
            Self::Signature => "legacy-signature",
            Self::Text => "legacy-text",
            Self::Time => "legacy-time",
        }
    }
}

fn signed(sender: Did, recipient: Did, timestamp: &str, encrypted_content: &str) -> Vec<u8> {
    format!("{sender}|{recipient}|{timestamp}|{encrypted_content}").into_bytes()
}

/// NaCl's `crypto_box_seal`.
fn seal_box(text: &[u8], to: &MessageKey, rng: &mut impl CryptoRng) -> Vec<u8> {
    let ephemeral = MessagePrivateKey::generate(rng);
    let shared = ephemeral.shared_secret(to.as_bytes()).expect("an admitted key shares no zero");
    let (cipher, nonce) = cipher(&shared, ephemeral.public_key().as_bytes(), to);
    let sealed = cipher.encrypt(&nonce, text).expect("a text in memory is shorter than the cipher's limit");
    [ephemeral.public_key().as_bytes().as_slice(), &sealed].concat()
}

/// NaCl's `crypto_box_seal_open`.
fn open_box(sealed: &[u8], key: &MessagePrivateKey) -> Option<Vec<u8>> {
    let (ephemeral, sealed) = sealed.split_first_chunk()?;
    let (cipher, nonce) = cipher(&*key.shared_secret(ephemeral)?, ephemeral, key.public_key());
    cipher.decrypt(&nonce, sealed).ok()
}

fn cipher(shared: &[u8; 32], ephemeral: &[u8; 32], recipient: &MessageKey) -> (XSalsa20Poly1305, Nonce) {
    let key = Zeroizing::new(<[u8; 32]>::from(salsa20::hsalsa::<U10>(shared.into(), &[0; 16].into())));
    let nonce = Blake2b::<U24>::new().chain_update(ephemeral).chain_update(recipient.as_bytes()).finalize();
    (XSalsa20Poly1305::new((&*key).into()), nonce)
}

const TAG_BYTES: usize = 16;
