//! Cosignatures: a witness says that it had seen this checkpoint at this time, and none that contradicts it
//! (c2sp.org/tlog-cosignature).
//!
//! ```text
//! line        — <cosigner> base64(key id || u64 BE time || signature)
//!
//! Ed25519     signs  "cosignature/v1\n" "time " <decimal> "\n" <whole note text>
//! ML-DSA-44   signs  "subtree/v1\n\0" u8 len || cosigner name || u64 BE time
//!                    || u8 len || origin || u64 BE start || u64 BE end || hash
//! ```
//! A checkpoint is the subtree `[0, size)`. A subtree that starts elsewhere carries no time.

use ml_dsa::MlDsa44;

use crate::Hash;
use crate::UnixTime;
use crate::checkpoint::Checkpoint;
use crate::key::{ML_DSA_44_SIGNATURE_BYTES, PrivateKey, PublicKey, SignerKey, VerifierKey};
use crate::merkle::subtree;
use crate::signature_line::NoteSignature;

/// The latest time a cosignature may carry: 2^63 - 1 seconds.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// The longest origin and cosigner name: one byte holds the length in an ML-DSA message.
pub const MAX_NAME_BYTES: usize = u8::MAX as usize;

/// Cosigns a checkpoint at `time` with a witness's key (type 0x04 or 0x06), or a log's of type 0x06.
///
/// Signs the re-encoding of what was parsed (CP-8). ML-DSA does not cover extension lines, so a
/// checkpoint that has them is refused for such a key (WIT-10).
pub fn cosign(
    key: &SignerKey,
    checkpoint: &Checkpoint,
    time: UnixTime,
) -> Result<NoteSignature, CosignatureError> {
    if time.as_secs() == 0 || time.as_secs() > MAX_TIME {
        return Err(CosignatureError::Time(time.as_secs()));
    }
    let signature = match key.private() {
        PrivateKey::Ed25519(_) => return Err(CosignatureError::NotACosigner),
        PrivateKey::Ed25519Cosignature(private) => {
            private.sign(&ed25519_message(time, &checkpoint.to_string())).to_vec()
        }
        PrivateKey::MlDsa44Cosignature(private) => {
            if !checkpoint.extensions.is_empty() {
                return Err(CosignatureError::Extensions);
            }
            ml_dsa_signature(private, key, time, &Subtree::of(checkpoint))?
        }
    };
    Ok(timed_line(key, time, &signature))
}

/// Signs a subtree with a key of type 0x06, without a time: it says that the subtree is part of a tree that the
/// signer cosigned, and nothing about the largest (c2sp.org/tlog-witness, `sign-subtree`).
pub fn cosign_subtree(key: &SignerKey, of: &Subtree<'_>) -> Result<NoteSignature, CosignatureError> {
    let PrivateKey::MlDsa44Cosignature(private) = key.private() else {
        return Err(CosignatureError::NotACosigner);
    };
    Ok(timed_line(key, UnixTime::from_secs(0), &ml_dsa_signature(private, key, UnixTime::from_secs(0), of)?))
}

/// Checks a cosignature blob (time and signature) by `key` over a note's text, which parsed as
/// `checkpoint`; answers its time.
pub fn verify(
    key: &VerifierKey,
    text: &str,
    checkpoint: &Checkpoint,
    blob: &[u8],
) -> Result<UnixTime, CosignatureError> {
    let (time, signature) = split(blob)?;
    if time.as_secs() == 0 {
        // The specification lets an ML-DSA cosigner write 0 when it does not claim "the largest that I have seen". Here a
        // cosigned checkpoint must claim that: 0 is for subtrees only.
        return Err(CosignatureError::Time(0));
    }
    let verified = match key.key() {
        PublicKey::Ed25519(_) => return Err(CosignatureError::NotACosigner),
        PublicKey::Ed25519Cosignature(public) => {
            let signature = signature.try_into().map_err(|_| CosignatureError::Length(blob.len()))?;
            public.verify(&ed25519_message(time, text), signature)
        }
        PublicKey::MlDsa44Cosignature(_) => {
            return verify_subtree(key, &Subtree::of(checkpoint), blob);
        }
    };
    if verified { Ok(time) } else { Err(CosignatureError::Signature) }
}

/// A subtree of a log, as an ML-DSA-44 cosignature names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Subtree<'a> {
    /// The log.
    pub origin: &'a str,
    /// The first leaf.
    pub start: u64,
    /// One past the last leaf.
    pub end: u64,
    /// The subtree's root.
    pub root: Hash,
}

impl<'a> Subtree<'a> {
    /// The whole tree of a checkpoint.
    pub fn of(checkpoint: &'a Checkpoint) -> Self {
        Self { origin: &checkpoint.origin, start: 0, end: checkpoint.size.get(), root: checkpoint.root }
    }
}

/// Checks an ML-DSA-44 blob (time and signature) over a subtree; answers its time.
pub fn verify_subtree(
    key: &VerifierKey,
    of: &Subtree<'_>,
    blob: &[u8],
) -> Result<UnixTime, CosignatureError> {
    let PublicKey::MlDsa44Cosignature(public) = key.key() else {
        return Err(CosignatureError::NotACosigner);
    };
    let (time, signature) = split(blob)?;
    let signature: &[u8; ML_DSA_44_SIGNATURE_BYTES] =
        signature.try_into().map_err(|_| CosignatureError::Length(blob.len()))?;
    let message = subtree_message(key, time, of)?;
    if public.verify(&message, signature) { Ok(time) } else { Err(CosignatureError::Signature) }
}

/// The bytes an Ed25519 cosigner signs.
pub fn ed25519_message(time: UnixTime, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// The bytes an ML-DSA-44 cosigner signs.
pub fn subtree_message(
    cosigner: &VerifierKey,
    time: UnixTime,
    of: &Subtree<'_>,
) -> Result<Vec<u8>, CosignatureError> {
    // Only the empty checkpoint is a subtree of size 0.
    if of.end != 0 && !subtree::is_valid(of.start, of.end) || of.end == 0 && of.start != 0 {
        return Err(CosignatureError::NoSubtree);
    }
    if of.start != 0 && time.as_secs() != 0 {
        return Err(CosignatureError::Time(time.as_secs()));
    }
    let mut message = b"subtree/v1\n\0".to_vec();
    push_name(&mut message, cosigner.name().as_str())?;
    message.extend_from_slice(&time.as_secs().to_be_bytes());
    push_name(&mut message, of.origin)?;
    message.extend_from_slice(&of.start.to_be_bytes());
    message.extend_from_slice(&of.end.to_be_bytes());
    message.extend_from_slice(of.root.as_bytes());
    Ok(message)
}

/// Why a cosignature was refused, or cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CosignatureError {
    /// ML-DSA does not cover extension lines.
    #[error("an ML-DSA cosignature does not cover extension lines")]
    Extensions,
    /// The blob has the wrong length for the key's type.
    #[error("{0} bytes is the wrong length for a signature of this key's type")]
    Length(usize),
    /// A name or origin that an ML-DSA message has no room for.
    #[error("a cosigner name or origin has 1 to {MAX_NAME_BYTES} bytes, not {0}")]
    NameLength(usize),
    /// A cosignature over a text that is no checkpoint.
    #[error("it cosigns a text that is no checkpoint")]
    NoCheckpoint,
    /// A key of type 0x01 makes no cosignatures.
    #[error("the key signs notes and makes no cosignatures")]
    NotACosigner,
    /// Not an aligned range of leaves.
    #[error("the range of leaves is no subtree")]
    NoSubtree,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// A time of 0 on a checkpoint, above 2^63 - 1, or on a subtree that does not start at 0.
    #[error("the time {0} is not allowed on this cosignature")]
    Time(u64),
}

fn ml_dsa_signature(
    private: &ml_dsa::SigningKey<MlDsa44>,
    key: &SignerKey,
    time: UnixTime,
    of: &Subtree<'_>,
) -> Result<Vec<u8>, CosignatureError> {
    let message = subtree_message(key.verifier(), time, of)?;
    let signature = private.expanded_key().sign_deterministic(&message, &[]);
    Ok(signature.expect("an empty context is short enough").encode().to_vec())
}

fn timed_line(key: &SignerKey, time: UnixTime, signature: &[u8]) -> NoteSignature {
    let blob = [time.as_secs().to_be_bytes().as_slice(), signature].concat();
    NoteSignature::new(key.verifier().name().clone(), key.verifier().id(), blob)
}

fn split(blob: &[u8]) -> Result<(UnixTime, &[u8]), CosignatureError> {
    let (time, signature) = blob.split_first_chunk().ok_or(CosignatureError::Length(blob.len()))?;
    let time = u64::from_be_bytes(*time);
    if time > MAX_TIME {
        return Err(CosignatureError::Time(time));
    }
    Ok((UnixTime::from_secs(time), signature))
}

fn push_name(message: &mut Vec<u8>, name: &str) -> Result<(), CosignatureError> {
    let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
    message.push(length.ok_or(CosignatureError::NameLength(name.len()))?);
    message.extend_from_slice(name.as_bytes());
    Ok(())
}
