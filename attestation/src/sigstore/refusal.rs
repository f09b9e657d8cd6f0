//! Why a bundle does not pass a check.

use tlog::Hash;

use super::bundle::BundleError;
use super::note::LogNoteError;
use crate::did::Did;

/// Why a bundle does not pass a check, where a receipt knows no such reason.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleRefusal {
    /// The bundle is malformed, or of a kind that is not known here.
    #[error(transparent)]
    Format(BundleError),
    /// The log's key ended before anybody saw the checkpoint.
    #[error("the trusted root ends the log's key at {0}, and no quorum saw the checkpoint before")]
    KeyAfterEnd(String),
    /// The log's key did not count yet.
    #[error(
        "the trusted root lets the log's key count from {0} on: the checkpoint, or this clock, is before that"
    )]
    KeyBeforeStart(String),
    /// The leaf is about something else.
    #[error("the leaf has another {what} than the bundle")]
    Leaf {
        /// What differs.
        what: &'static str,
    },
    /// A kind of log key that is not known here.
    #[error("the log's key is a {0}: PKIX_ED25519 and PKIX_ECDSA_P256_SHA_256 are known here")]
    LogKey(String),
    /// The checkpoint is not the log's.
    #[error(transparent)]
    LogSignature(LogNoteError),
    /// A checkpoint of Rekor v1 has no cosignatures.
    #[error("no witness cosigned: a checkpoint `host - N` has no room for cosignatures")]
    NoRoomForWitnesses,
    /// The key is not the DID's first one.
    #[error("the key is not the first one of {0}, and a bundle does not tell of later ones")]
    OtherKey(Did),
    /// Other bytes were signed.
    #[error("what was signed has the sha256 {signed}, the artifact {artifact}")]
    OtherMessage {
        /// What was signed.
        signed: Hash,
        /// What was asked about.
        artifact: Hash,
    },
    /// The proof is for another tree than the checkpoint's.
    #[error("the proof is for another tree than the checkpoint's")]
    OtherTree,
    /// The log did not give the promise.
    #[error("the log's key did not sign the `inclusionPromise`")]
    Promise,
    /// The key did not sign it.
    #[error("the signature is not by the wanted key over this content")]
    Signature,
    /// The trusted root does not name the log.
    #[error("the trusted root names no log with the id {0}")]
    UnknownLog(String),
    /// The verifier did not say who must have seen the tree.
    #[error("no policy names witnesses: the log may have shown this tree to one person alone")]
    Unwitnessed,
}

impl BundleRefusal {
    /// Whether nothing was found false: the check could not be made.
    pub fn could_not_check(&self) -> bool {
        match self {
            Self::Format(error) => error.could_not_check(),
            Self::LogKey(_) | Self::OtherKey(_) | Self::Unwitnessed => true,
            _ => false,
        }
    }
}
