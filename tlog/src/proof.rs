//! Proofs that travel: an inclusion proof with the checkpoint it leads to (c2sp.org/tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1\n
//! [extra <base64>\n]
//! index <decimal>\n
//! <base64 hash>\n …            leaf sibling first, at most 63
//! \n
//! <checkpoint, a signed note>
//! ```

use std::fmt;

use crate::checkpoint::Checkpoint;
use crate::encoding;
use crate::merkle::{ProofError, inclusion};
use crate::note::{Note, NoteError};
use crate::{Hash, LeafIndex};

/// The most hashes a proof has: a tree holds fewer than 2^63 entries.
pub const MAX_HASHES: usize = 63;

/// A tlog-proof as it was read. Nothing in it has been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlogProof {
    /// Bytes for the application, which no signature covers: never to be believed.
    pub extra: Option<Vec<u8>>,
    /// Where the entry stands.
    pub index: LeafIndex,
    /// The inclusion proof, leaf sibling first.
    pub hashes: Vec<Hash>,
    /// The checkpoint it leads to.
    pub checkpoint: Note,
}

impl TlogProof {
    /// The first line.
    pub const HEADER: &str = "c2sp.org/tlog-proof@v1";

    /// Reads a proof. One spelling only.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::BlankLine)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(extra) => {
                lines.next();
                Some(encoding::decode_base64(extra).ok_or(TlogProofError::Extra)?)
            }
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(encoding::parse_decimal).ok_or(TlogProofError::Index)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_HASHES {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(Hash::from_base64(line).ok_or(TlogProofError::Hash(hashes.len() + 1))?);
        }
        let checkpoint = Note::parse(checkpoint.as_bytes())?;
        Ok(Self { extra, index: LeafIndex::new(index), hashes, checkpoint })
    }

    /// Whether the entry with `leaf_hash` is in the tree of `checkpoint`, which the caller has read
    /// from this proof's note and believes.
    pub fn verify_inclusion(&self, leaf_hash: &Hash, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        inclusion::verify(leaf_hash, self.index, checkpoint.size, &self.hashes, &checkpoint.root)
    }
}

/// The text, byte for byte as it is read.
impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", encoding::base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why a text is no tlog-proof.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TlogProofError {
    /// No blank line before the checkpoint.
    #[error("a blank line must stand between the proof and its checkpoint")]
    BlankLine,
    /// The `extra` line is not strict base64.
    #[error("the `extra` line is not canonical base64")]
    Extra,
    /// Another first line.
    #[error("the first line must be `{HEADER}`")]
    Header,
    /// A hash that is not 32 bytes in strict base64.
    #[error("hash {0} of the proof is not 32 bytes in canonical base64")]
    Hash(usize),
    /// No `index` line with a plain decimal.
    #[error("an `index` line with a plain decimal must come first")]
    Index,
    /// More than [`MAX_HASHES`].
    #[error("the proof has more than {MAX_HASHES} hashes")]
    TooManyHashes,
    /// The checkpoint is no signed note.
    #[error("the checkpoint of the proof is malformed: {0}")]
    Checkpoint(#[from] NoteError),
}

const HEADER: &str = TlogProof::HEADER;
