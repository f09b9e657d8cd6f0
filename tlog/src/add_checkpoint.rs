//! What a log sends to a witness, and what the witness may answer (c2sp.org/tlog-witness, `add-checkpoint`).
//!
//! ```text
//! old <decimal>\n               the size that the witness cosigned last, as far as the sender knows
//! <base64 hash>\n …             consistency proof from there, at most 63
//! \n
//! <checkpoint, a signed note>
//! ```
//! The answer to a size that is out of date is the size the witness has: `<decimal>\n`.

use std::fmt;

use crate::encoding::{self, quoted};
use crate::note::{Note, NoteError};
use crate::proof::MAX_HASHES;
use crate::{Hash, TreeSize};

/// The media type of the answer 409: the size the witness has.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// A request to cosign a checkpoint. Nothing in it has been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddCheckpoint {
    /// The size from which the proof leads to the checkpoint.
    pub old: TreeSize,
    /// The consistency proof.
    pub proof: Vec<Hash>,
    /// The checkpoint, with the log's signature.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// Reads a request body. One spelling only; signatures are not verified here.
    pub fn parse(body: &[u8]) -> Result<Self, AddCheckpointError> {
        let body = std::str::from_utf8(body).map_err(|_| NoteError::Characters)?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or(AddCheckpointError::BlankLine)?;
        let (old, proof) = head.split_once('\n').unwrap_or((head, ""));
        let old = old.strip_prefix("old ").and_then(encoding::parse_decimal);
        let old = old.ok_or_else(|| AddCheckpointError::Old(first_line(head)))?;
        let proof = parse_proof(proof)?;
        Ok(Self { old: TreeSize::new(old), proof, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }
}

/// The request body, byte for byte as it is read.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads the hashes of a proof, one a line, without a newline behind the last.
pub(crate) fn parse_proof(lines: &str) -> Result<Vec<Hash>, AddCheckpointError> {
    let mut proof = Vec::new();
    for line in lines.split('\n').take_while(|_| !lines.is_empty()) {
        if proof.len() == MAX_HASHES {
            return Err(AddCheckpointError::TooManyHashes);
        }
        proof.push(Hash::from_base64(line).ok_or(AddCheckpointError::Hash(proof.len() + 1))?);
    }
    Ok(proof)
}

/// Reads the body of an answer 409: the size that the witness has.
pub fn parse_size(body: &[u8]) -> Option<TreeSize> {
    let size = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    encoding::parse_decimal(size).map(TreeSize::new)
}

/// Why a body is no such request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddCheckpointError {
    /// No blank line before the checkpoint.
    #[error("a blank line must stand between the proof and its checkpoint")]
    BlankLine,
    /// The checkpoint is no signed note.
    #[error("the checkpoint is malformed: {0}")]
    Checkpoint(#[from] NoteError),
    /// A hash that is not 32 bytes in strict base64.
    #[error("hash {0} of the proof is not 32 bytes in canonical base64")]
    Hash(usize),
    /// No `old` line with a plain decimal.
    #[error("the first line is `old` and a plain decimal, not {}", quoted(.0))]
    Old(String),
    /// More than [`MAX_HASHES`].
    #[error("the proof has more than {MAX_HASHES} hashes")]
    TooManyHashes,
}

fn first_line(text: &str) -> String {
    text.split('\n').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=";
    const NOTE: &str = "o\n1\nLXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=\n\n— o AAAAAAA=\n";

    #[test]
    fn what_is_read_prints_as_it_was() {
        for body in [
            format!("old 0\n\n{NOTE}"),
            format!("old 7\n{HASH}\n\n{NOTE}"),
            format!("old 18446744073709551615\n{}\n{NOTE}", format!("{HASH}\n").repeat(63)),
        ] {
            assert_eq!(AddCheckpoint::parse(body.as_bytes()).expect("well formed").to_string(), body);
        }
    }

    /// WIT-12, and every other malformed body, by the rule it breaks.
    #[test]
    fn wit_12_one_spelling_only() {
        use AddCheckpointError as E;
        let old = |text: &str| E::Old(text.into());
        for (body, want) in [
            (String::new(), E::BlankLine),
            ("old 1\n".into(), E::BlankLine),
            (format!("\n\n{NOTE}"), old("")),
            (format!("old\n\n{NOTE}"), old("old")),
            (format!("old \n\n{NOTE}"), old("old ")),
            (format!("old 03\n\n{NOTE}"), old("old 03")),
            (format!("old +8\n\n{NOTE}"), old("old +8")),
            (format!("old -1\n\n{NOTE}"), old("old -1")),
            (format!("old 1 \n\n{NOTE}"), old("old 1 ")),
            (format!("OLD 1\n\n{NOTE}"), old("OLD 1")),
            (format!("old 18446744073709551616\n\n{NOTE}"), old("old 18446744073709551616")),
            (format!("old 1\r\n\n{NOTE}"), old("old 1\r")),
            (format!("old 1\nAAAA\n\n{NOTE}"), E::Hash(1)),
            (format!("old 1\n{HASH}\n{HASH} \n\n{NOTE}"), E::Hash(2)),
            (format!("old 1\n{}\n{NOTE}", format!("{HASH}\n").repeat(64)), E::TooManyHashes),
            ("old 1\n\nno note\n".into(), E::Checkpoint(NoteError::NoSignatures)),
            ("old 1\n\n\n".into(), E::Checkpoint(NoteError::NoSignatures)),
        ] {
            assert_eq!(AddCheckpoint::parse(body.as_bytes()), Err(want), "{body:?}");
        }
        assert_eq!(AddCheckpoint::parse(b"old 1\n\n\xff\n"), Err(E::Checkpoint(NoteError::Characters)));
    }

    /// WIT-2: the size of an answer 409 has one spelling, too.
    #[test]
    fn wit_2_a_size_is_a_decimal_and_a_newline() {
        assert_eq!(parse_size(b"0\n"), Some(TreeSize::EMPTY));
        assert_eq!(parse_size(b"70000\n"), Some(TreeSize::new(70_000)));
        for bad in [&b""[..], b"7", b"7\n\n", b"07\n", b"+7\n", b"7 \n", b"\xff\n", b"18446744073709551616\n"]
        {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }
}
