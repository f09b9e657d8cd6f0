//! A pin as a file.

use std::path::Path;

use attestation::entry::LogTime;
use serde::{Deserialize, Serialize};
use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::{Hash, TreeSize};

use super::{Pin, Seen};
use crate::bounded_file::read_found;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    version: u32,
    url: String,
    vkey: String,
    policy: String,
    size: u64,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<u64>,
}

/// Reads the pin at `path`, or says why that cannot be done.
pub(super) fn read(path: &Path) -> Result<Pin, String> {
    let bytes = read_found(path, MAX_BYTES).map_err(|error| error.to_string())?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Pin, String> {
    let wire: Wire = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let seen = match (wire.version, wire.checkpoint, wire.seen_at) {
        (1, None, None) => None,
        (2, Some(note), Some(at)) => Some((note, at)),
        (1 | 2, ..) => {
            return Err("`checkpoint` and `seenAt` are of version 2, and not of version 1".to_owned());
        }
        (version, ..) => return Err(format!("its version is {version}, this program knows 1 and 2")),
    };
    let vkey: VerifierKey = wire.vkey.parse().map_err(|error| format!("`vkey`: {error}"))?;
    let policy: Policy = wire.policy.parse().map_err(|error| format!("`policy`: {error}"))?;
    if !policy.logs().iter().any(|log| log.vkey == vkey) {
        return Err("its policy does not name its key".to_owned());
    }
    let size = TreeSize::new(wire.size);
    let root = Hash::from_base64(&wire.root).ok_or("`root` is not 32 bytes in base64")?;
    let seen = seen.map(|(note, at)| parse_seen(&note, at, &vkey, size, root)).transpose()?;
    Ok(Pin { url: wire.url, vkey, policy, text: wire.policy, size, root, seen })
}

fn parse_seen(note: &str, at: u64, vkey: &VerifierKey, size: TreeSize, root: Hash) -> Result<Seen, String> {
    let note = Note::parse(note.as_bytes()).map_err(|error| format!("`checkpoint`: {error}"))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| format!("`checkpoint`: {error}"))?;
    if (checkpoint.origin.as_str(), checkpoint.size, checkpoint.root) != (vkey.name().as_str(), size, root) {
        return Err("`checkpoint` is of another log, size or root".to_owned());
    }
    let at = LogTime::from_millis(at).ok_or("`seenAt` is later than any time")?;
    Ok(Seen { note, at })
}

/// The pin as it is written.
pub(super) fn write(pin: &Pin) -> String {
    let wire = Wire {
        version: if pin.seen.is_some() { 2 } else { 1 },
        url: pin.url.clone(),
        vkey: pin.vkey.to_string(),
        policy: pin.text.clone(),
        size: pin.size.get(),
        root: pin.root.to_base64(),
        checkpoint: pin.seen.as_ref().map(|seen| seen.note.to_string()),
        seen_at: pin.seen.as_ref().map(|seen| seen.at.as_millis()),
    };
    let mut json = serde_json::to_string_pretty(&wire).expect("text and numbers in, JSON out");
    json.push('\n');
    json
}

/// A policy and a note, each of a megabyte at most, in strings.
const MAX_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::super::tests::pin;
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let first = Pin { seen: None, ..pin() };
        assert_eq!(parse(write(&first).as_bytes()), Ok(first));
        assert_eq!(parse(write(&pin()).as_bytes()), Ok(pin()));
    }

    #[test]
    fn a_pin_that_cannot_be_read_is_an_error() {
        let (good, first) = (write(&pin()), write(&Pin { seen: None, ..pin() }));
        let root = pin().root.to_base64();
        for (bad, why) in [
            (String::new(), "EOF"),
            (good.replace("\"version\": 2", "\"version\": 3"), "its version is 3"),
            (good.replace("\"version\": 2", "\"version\": 1"), "are of version 2"),
            (first.replace("\"version\": 1", "\"version\": 2"), "are of version 2"),
            (good.replace("quorum none", "quorum some"), "`policy`"),
            (good.replace("+1d6673ac+", "+1d6673ad+"), "`vkey`"),
            (good.replace("\"size\"", "\"sizes\""), "unknown field"),
            (good.replace("\"size\": 4", "\"size\": 5"), "another log, size or root"),
            (good.replacen(&root, &Hash::of(b"x").to_base64(), 1), "another log, size or root"),
            (good.replace("\\n4\\n", "\\n04\\n"), "`checkpoint`"),
            (good.replace("\"seenAt\": 1790000000000", "\"seenAt\": 18446744073709551615"), "later than any"),
        ] {
            assert!(bad != good && bad != first, "{bad}");
            let got = parse(bad.as_bytes()).expect_err(why);
            assert!(got.contains(why), "{why}: {got}");
        }
    }
}
