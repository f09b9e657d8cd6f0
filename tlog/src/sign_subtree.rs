//! What is sent to a witness for its signature on a part of a tree it cosigned (c2sp.org/tlog-witness,
//! `sign-subtree`).
//!
//! ```text
//! subtree <start> <end>\n       decimals
//! <base64 hash of the subtree>\n
//! <base64 hash>\n …             subtree consistency proof, at most 63
//! \n
//! <checkpoint, a signed note with a cosignature of that witness>
//! ```

use std::fmt;

use crate::Hash;
use crate::add_checkpoint::{AddCheckpointError, parse_proof};
use crate::encoding::{self, quoted};
use crate::merkle::subtree;
use crate::note::{Note, NoteError};

/// A request to sign a subtree. Nothing in it has been checked, but that the range is one of a subtree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignSubtree {
    /// The first leaf.
    pub start: u64,
    /// One past the last leaf.
    pub end: u64,
    /// The subtree's root.
    pub root: Hash,
    /// Leads from the subtree to the checkpoint.
    pub proof: Vec<Hash>,
    /// The checkpoint, with the witness's cosignature.
    pub checkpoint: Note,
}

impl SignSubtree {
    /// Reads a request body. One spelling only; signatures are not verified here.
    pub fn parse(body: &[u8]) -> Result<Self, SignSubtreeError> {
        let body = std::str::from_utf8(body).map_err(|_| NoteError::Characters)?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or(AddCheckpointError::BlankLine)?;
        let (range, rest) = head.split_once('\n').unwrap_or((head, ""));
        let (start, end) = parse_range(range).ok_or_else(|| SignSubtreeError::Range(range.to_owned()))?;
        if !subtree::is_valid(start, end) {
            return Err(SignSubtreeError::NoSubtree { start, end });
        }
        let (root, proof) = rest.split_once('\n').unwrap_or((rest, ""));
        let root = Hash::from_base64(root).ok_or_else(|| SignSubtreeError::Root(root.to_owned()))?;
        let proof = parse_proof(proof)?;
        Ok(Self { start, end, root, proof, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }
}

/// The request body, byte for byte as it is read.
impl fmt::Display for SignSubtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "subtree {} {}\n{}", self.start, self.end, self.root.to_base64())?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why a body is no such request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignSubtreeError {
    /// The checkpoint is no signed note.
    #[error("the checkpoint is malformed: {0}")]
    Checkpoint(#[from] NoteError),
    /// Empty, reversed, or not aligned to its own size.
    #[error("the leaves from {start} to {end} are no subtree")]
    NoSubtree {
        /// The first leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
    },
    /// The proof, or the blank line behind it, is malformed.
    #[error(transparent)]
    Proof(#[from] AddCheckpointError),
    /// No `subtree` line with two plain decimals.
    #[error("the first line is `subtree` and two plain decimals, not {}", quoted(.0))]
    Range(String),
    /// No hash of the subtree.
    #[error("the subtree's hash {} is not 32 bytes in canonical base64", quoted(.0))]
    Root(String),
}

fn parse_range(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.strip_prefix("subtree ")?.split_once(' ')?;
    Some((encoding::parse_decimal(start)?, encoding::parse_decimal(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=";
    const NOTE: &str = "o\n1\nLXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=\n\n— o AAAAAAA=\n";

    #[test]
    fn what_is_read_prints_as_it_was() {
        for body in [
            format!("subtree 0 1\n{HASH}\n\n{NOTE}"),
            format!("subtree 8 13\n{HASH}\n{HASH}\n\n{NOTE}"),
            format!("subtree 0 18446744073709551615\n{HASH}\n{}\n{NOTE}", format!("{HASH}\n").repeat(63)),
        ] {
            assert_eq!(SignSubtree::parse(body.as_bytes()).expect("well formed").to_string(), body);
        }
    }

    /// WIT-20: every malformed body, by the rule it breaks.
    #[test]
    fn wit_20_one_spelling_only_and_only_subtrees() {
        use SignSubtreeError as E;
        let range = |text: &str| E::Range(text.into());
        let root = |text: &str| E::Root(text.into());
        let none = |start, end| E::NoSubtree { start, end };
        for (body, want) in [
            (String::new(), E::Proof(AddCheckpointError::BlankLine)),
            (format!("\n\n{NOTE}"), range("")),
            (format!("subtree\n{HASH}\n\n{NOTE}"), range("subtree")),
            (format!("subtree 1\n{HASH}\n\n{NOTE}"), range("subtree 1")),
            (format!("subtree 0 01\n{HASH}\n\n{NOTE}"), range("subtree 0 01")),
            (format!("subtree 0  1\n{HASH}\n\n{NOTE}"), range("subtree 0  1")),
            (format!("subtree +0 1\n{HASH}\n\n{NOTE}"), range("subtree +0 1")),
            (format!("subtree 0 1 \n{HASH}\n\n{NOTE}"), range("subtree 0 1 ")),
            (
                format!("subtree 0 18446744073709551616\n{HASH}\n\n{NOTE}"),
                range("subtree 0 18446744073709551616"),
            ),
            (format!("subtree 1 1\n{HASH}\n\n{NOTE}"), none(1, 1)),
            (format!("subtree 2 1\n{HASH}\n\n{NOTE}"), none(2, 1)),
            (format!("subtree 4 9\n{HASH}\n\n{NOTE}"), none(4, 9)),
            (format!("subtree 0 1\n\n{NOTE}"), root("")),
            (format!("subtree 0 1\nAAAA\n\n{NOTE}"), root("AAAA")),
            (format!("subtree 0 1\n{HASH}\nAAAA\n\n{NOTE}"), E::Proof(AddCheckpointError::Hash(1))),
            (
                format!("subtree 0 1\n{HASH}\n{}\n{NOTE}", format!("{HASH}\n").repeat(64)),
                E::Proof(AddCheckpointError::TooManyHashes),
            ),
            (format!("subtree 0 1\n{HASH}\n\nno note\n"), E::Checkpoint(NoteError::NoSignatures)),
        ] {
            assert_eq!(SignSubtree::parse(body.as_bytes()), Err(want), "{body:?}");
        }
    }
}
