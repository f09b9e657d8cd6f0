//! Kinds of statements: their URIs, the short words for them, and predicates from files.

use std::path::Path;

use attestation::json::JsonError;
use attestation::statement::Predicate;
use tlog::Hash;

use crate::bounded_file::read_bounded;
use crate::report::{Failure, Result};

/// The predicate type of SLSA provenance, which `sign` fills by itself.
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// The longest predicate that is read from a file.
pub(crate) const MAX_BYTES: u64 = 32 << 20;

/// Short words for well-known predicate types: accepted where a type is asked for, and part of the names of
/// receipts. A word never gets another meaning.
const WORDS: [(&str, &str); 9] = [
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("openvex", "https://openvex.dev/ns"),
    ("provenance", PROVENANCE),
    ("release", "https://in-toto.io/attestation/release"),
    ("scai", "https://in-toto.io/attestation/scai/v0.3"),
    ("spdx", "https://spdx.dev/Document"),
    ("test-result", "https://in-toto.io/attestation/test-result/v0.1"),
    ("vsa", "https://slsa.dev/verification_summary/v1"),
    ("vulns", "https://in-toto.io/attestation/vulns/v0.2"),
];

/// The predicate type that `text` means: one of the short words, or a URI. For a command line: a word that is
/// misspelt would else be signed as a type that nobody asks for.
pub(crate) fn resolve(text: &str) -> Result<String, String> {
    let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
        let mut scheme = scheme.chars();
        let is_scheme = scheme.next().is_some_and(|first| first.is_ascii_alphabetic())
            && scheme.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        is_scheme && !rest.is_empty() && !rest.contains([' ', '"', '<', '>'])
    });
    match WORDS.iter().find(|(word, _)| *word == text) {
        Some((_, uri)) => Ok((*uri).to_owned()),
        None if is_uri => Ok(text.to_owned()),
        None => {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            Err(format!("neither a URI nor one of {}", words.join(", ")))
        }
    }
}

/// Each word with the type that it stands for.
pub(crate) fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
    WORDS.into_iter()
}

/// The part of a receipt's name that tells its predicate type: the short word, else the URI's letters and
/// digits, and enough of its hash that no two types share a name.
pub(crate) fn file_word(predicate_type: &str) -> String {
    if let Some((word, _)) = WORDS.iter().find(|(_, uri)| *uri == predicate_type) {
        return (*word).to_owned();
    }
    let rest = predicate_type.split_once("://").map_or(predicate_type, |(_, rest)| rest);
    let letters: String =
        rest.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let hash = Hash::of(predicate_type.as_bytes()).to_string();
    format!("{}-{}", letters.trim_matches('-'), &hash[..8])
}

/// Reads a predicate: a JSON object, with the strictness of everything that is signed.
pub(crate) fn read(path: &Path) -> Result<Predicate> {
    let cannot = || Failure::new(format!("cannot use the predicate `{}`", path.display()));
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| {
        let failure = cannot().caused_by(error);
        match path.metadata().is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
            true => failure.hint(format!(
                "a predicate is at most {} MiB: sign the file itself, so that the receipt holds its digest: \
                 `aip-attest sign {}`",
                MAX_BYTES >> 20,
                path.display()
            )),
            false => failure,
        }
    })?;
    refuse_too_little_memory(bytes.len()).map_err(|why| cannot().because(why))?;
    Predicate::parse_exact(&bytes).map_err(|error| match error {
        JsonError::Number { .. } => cannot().caused_by(error).hint("write it as a string"),
        _ => cannot().caused_by(error),
    })
}

/// Asks for as much memory as a predicate takes until its receipt is written, and gives it back. What fails here would
/// end the process later, with the receipt half made.
fn refuse_too_little_memory(bytes: usize) -> Result<(), String> {
    let wanted = bytes.saturating_mul(MEMORY).saturating_add(BESIDE_BYTES);
    Vec::<u8>::new()
        .try_reserve_exact(wanted)
        .map_err(|_| format!("not enough memory: signing it takes up to {} MiB", wanted >> 20))
}

/// How many times its length a predicate takes: its text, the payload, what is signed, the receipt in base64 and as
/// it is written.
const MEMORY: usize = 8;

/// What the process takes beside: threads with their stacks, the connection to a log.
const BESIDE_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_types_and_name_files() {
        assert_eq!(resolve("spdx").as_deref(), Ok("https://spdx.dev/Document"));
        for uri in ["https://example.com/x", "urn:x", "tag:example.com,2026:x"] {
            assert_eq!(resolve(uri).as_deref(), Ok(uri));
        }
        for other in
            ["", "spdxx", "SPDX", "not a uri", "example.com/x", "https:", ":x", "1:x", "a b:x", "a:b c"]
        {
            assert!(resolve(other).is_err_and(|why| why.contains("cyclonedx")), "{other}");
        }
        assert_eq!(file_word("https://spdx.dev/Document"), "spdx");
        let word = file_word("https://example.com/../a b/v1");
        assert!(word.starts_with("example-com----a-b-v1-"), "{word}");
        assert_ne!(file_word("https://example.com/a.b"), file_word("https://example.com/a-b"));
        assert!(file_word(&"世".repeat(256)).len() < 60);
    }
}
