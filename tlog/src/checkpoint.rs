//! Checkpoints: what a log says its tree is (c2sp.org/tlog-checkpoint).
//!
//! ```text
//! <origin>\n
//! <tree size, decimal>\n
//! <base64(root)>\n
//! [<extension line>\n …]
//! ```

use std::fmt;

use crate::encoding;
use crate::key::KeyName;
use crate::merkle::empty_root;
use crate::signature_line::is_text;
use crate::{Hash, TreeSize};

/// The largest size a checkpoint may name: Go's tools hold it in an `int64`.
pub const MAX_TREE_SIZE: u64 = i64::MAX as u64;

/// A log's statement about its tree. Parsing does not check signatures: the caller checks those of the note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The log's unique name.
    pub origin: String,
    /// The number of entries.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
    /// Further lines, kept byte for byte. This project's log writes none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: TreeSize, root: Hash) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads the text of a note. A text that would print otherwise, or that no note can hold, is no checkpoint.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_any_root(text)?;
        if checkpoint.size == TreeSize::EMPTY && checkpoint.root != empty_root() {
            return Err(CheckpointError::EmptyRoot(checkpoint.root));
        }
        Ok(checkpoint)
    }

    /// As [`parse`](Self::parse), but also takes an empty tree with another root than SHA-256 of nothing: a witness checks
    /// the signature before it refuses that root (c2sp.org/tlog-witness).
    pub fn parse_any_root(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').filter(|_| is_text(text)).ok_or(CheckpointError::Lines)?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let size = encoding::parse_decimal(size)
            .filter(|size| *size <= MAX_TREE_SIZE)
            .ok_or_else(|| CheckpointError::Size(size.to_owned()))?;
        let root = Hash::from_base64(root).ok_or_else(|| CheckpointError::Root(root.to_owned()))?;
        Ok(Self { origin: origin.to_owned(), size: TreeSize::new(size), root, extensions })
    }
}

/// The text of the note.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Whether `origin` can name a log here: a key name, so that the key can be called like the log,
/// of at most 255 bytes, which is what an ML-DSA cosignature has room for.
pub fn is_origin(origin: &str) -> bool {
    origin.len() <= 255 && KeyName::new(origin).is_ok()
}

/// Why a text is no checkpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// The empty tree with a root that is not SHA-256 of nothing.
    #[error("a tree of size 0 has another root than {0}")]
    EmptyRoot(Hash),
    /// Fewer than three lines, an empty line, another control character, or no newline at the end.
    #[error("a checkpoint is at least three non-empty lines of plain text: origin, size, root")]
    Lines,
    /// Not 32 bytes in strict base64.
    #[error("the root {} is not 32 bytes in canonical base64", encoding::quoted(.0))]
    Root(String),
    /// No plain decimal up to 2^63 - 1.
    #[error("the tree size {} is not a plain decimal up to 2^63 - 1", encoding::quoted(.0))]
    Size(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=";
    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    /// CP-1, CP-2, CP-3, CP-4, CP-6: what is refused, and by which rule.
    #[test]
    fn cp_1_to_4_and_6_malformed_texts_are_refused_by_rule() {
        let lines = Err(CheckpointError::Lines);
        let size = |s: &str| Err(CheckpointError::Size(s.to_owned()));
        let root = |s: &str| Err(CheckpointError::Root(s.to_owned()));
        for (text, want) in [
            // CP-1
            (String::new(), lines.clone()),
            ("o\n1\n".into(), lines.clone()),
            (format!("o\n1\n{ROOT}"), lines.clone()),
            (format!("\n1\n{ROOT}\n"), lines.clone()),
            (format!("o\r\n1\n{ROOT}\n"), lines.clone()),
            // CP-2
            (format!("o\n00\n{EMPTY}\n"), size("00")),
            (format!("o\n01\n{ROOT}\n"), size("01")),
            (format!("o\n+1\n{ROOT}\n"), size("+1")),
            (format!("o\n-1\n{ROOT}\n"), size("-1")),
            (format!("o\n 1\n{ROOT}\n"), size(" 1")),
            (format!("o\n1e3\n{ROOT}\n"), size("1e3")),
            (format!("o\n9223372036854775808\n{ROOT}\n"), size("9223372036854775808")),
            (format!("o\n18446744073709551616\n{ROOT}\n"), size("18446744073709551616")),
            // CP-3
            ("o\n1\nLXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE\n".into(), root(&ROOT[..43])),
            ("o\n1\nAAAA\n".into(), root("AAAA")),
            (format!("o\n1\n{}\n", ROOT.replace('+', "-")), root(&ROOT.replace('+', "-"))),
            (format!("o\n1\n{}\n", ROOT.replace("IE=", "IF=")), root(&ROOT.replace("IE=", "IF="))),
            // CP-4
            (format!("o\n1\n{ROOT}\n\n"), lines.clone()),
            (format!("o\n1\n{ROOT}\next\n\nmore\n"), lines),
        ] {
            assert_eq!(Checkpoint::parse(&text), want, "{text:?}");
        }
        // CP-6
        let other_root = Hash::from_base64(ROOT).expect("a root");
        assert_eq!(
            Checkpoint::parse(&format!("o\n0\n{ROOT}\n")),
            Err(CheckpointError::EmptyRoot(other_root))
        );
    }

    /// CP-4, CP-8: what is parsed prints as it was.
    #[test]
    fn cp_4_cp_8_what_is_parsed_prints_as_it_was() {
        for text in [
            format!("example.com/log\n0\n{EMPTY}\n"),
            format!("example.com/log\n9223372036854775807\n{ROOT}\n"),
            format!("a b\n1\n{ROOT}\next 1\n  ext 2\n"),
        ] {
            assert_eq!(Checkpoint::parse(&text).expect("well formed").to_string(), text);
        }
    }
}
