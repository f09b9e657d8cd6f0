//! The checkpoint of a bundle, in either of the two forms that Sigstore's logs sign.
//!
//! ```text
//! <host>             C2SP, as Rekor v2 signs it      id: of the name and the key     further lines: witnesses
//! <host> - <N>       Rekor v1, as `sigstoreNote`     id: SHA-256(SPKI)[..4]          no further line
//! ```
//! The id of a P-256 key is SHA-256(SPKI)[..4] in both.

use tlog::checkpoint::{Checkpoint, CheckpointError};
use tlog::key::{KeyId, KeyName, PublicKey, VerifierKey};
use tlog::note::{Note, NoteError};

use super::SpkiKey;
use crate::quote::quoted;

/// A checkpoint as it was read. Nothing in it is believed before [`LogNote::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LogNote {
    pub(crate) note: Note,
    pub(crate) checkpoint: Checkpoint,
    form: Form,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Form {
    Host,
    /// The host before ` - N`.
    HostAndTree(String),
}

impl LogNote {
    pub(crate) fn parse(text: &str) -> Result<Self, LogNoteError> {
        let note = Note::parse(text.as_bytes())?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let form = match checkpoint.origin.rsplit_once(" - ") {
            Some((host, tree)) if !tree.is_empty() && tree.bytes().all(|digit| digit.is_ascii_digit()) => {
                Form::HostAndTree(host.to_owned())
            }
            _ => Form::Host,
        };
        Ok(Self { note, checkpoint, form })
    }

    /// Whether it has the form of Rekor v1, the only one that stock cosign takes with a `dsse` 0.0.1 leaf.
    pub(crate) fn is_of_rekor_1(&self) -> bool {
        matches!(self.form, Form::HostAndTree(_))
    }

    /// The host that it says it is of.
    pub(crate) fn host(&self) -> &str {
        match &self.form {
            Form::Host => &self.checkpoint.origin,
            Form::HostAndTree(host) => host,
        }
    }

    /// Whether the log at `host` signed it with `key`.
    pub(crate) fn verify(&self, key: &SpkiKey, host: &str) -> Result<(), LogNoteError> {
        if self.host() != host {
            return Err(LogNoteError::Host { got: quoted(self.host()), want: quoted(host) });
        }
        let id = self.key_id(key, host).ok_or(LogNoteError::NoSignature)?;
        let lines = self.note.signatures();
        // Rekor v1's clients check every line by the log's key: one of a witness makes them refuse the note.
        if self.is_of_rekor_1() && lines.len() != 1 {
            return Err(LogNoteError::Lines(lines.len()));
        }
        // A second line of this key is not looked at, as in every signed note.
        let line = lines.iter().find(|line| line.name().as_str() == host && line.id() == id);
        let line = line.ok_or(LogNoteError::NoSignature)?;
        match key.verify(self.note.text().as_bytes(), line.signature()) {
            true => Ok(()),
            false => Err(LogNoteError::Signature),
        }
    }

    fn key_id(&self, key: &SpkiKey, host: &str) -> Option<KeyId> {
        match (key, &self.form) {
            (SpkiKey::Ed25519(key), Form::Host) => {
                Some(VerifierKey::new(KeyName::new(host).ok()?, PublicKey::Ed25519(*key)).id())
            }
            _ => Some(KeyId::new(*key.fingerprint().as_bytes().first_chunk().expect("4 of 32 bytes"))),
        }
    }
}

/// The host in a log's origin, by which Sigstore's clients know the log.
pub fn host_of(origin: &str) -> &str {
    origin.split(['/', ':']).next().unwrap_or(origin)
}

/// The host in a URL, without its port.
pub(crate) fn host_of_url(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => host,
        None => authority,
    };
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(address),
        None => host.split(':').next().unwrap_or(host),
    };
    Some(host).filter(|host| !host.is_empty())
}

/// Why a note is no checkpoint of this log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LogNoteError {
    /// Its text is no checkpoint.
    #[error("malformed checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of a log at another host.
    #[error("the checkpoint is of {got}, the log's URL is of {want}")]
    Host {
        /// The host in the checkpoint, quoted.
        got: String,
        /// The host of the log, quoted.
        want: String,
    },
    /// A note of Rekor v1 with other than one line.
    #[error("a checkpoint `host - N` has one signature line, the log's; this one has {0}")]
    Lines(usize),
    /// No line by this key under this name.
    #[error("no line of the checkpoint is by this key under the log's name")]
    NoSignature,
    /// No note at all.
    #[error("malformed checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The line does not verify.
    #[error("the log's signature on the checkpoint does not verify")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_origins_and_urls() {
        for (origin, want) in
            [("log.example.com/x", "log.example.com"), ("localhost:8080/x", "localhost"), ("log", "log")]
        {
            assert_eq!(host_of(origin), want);
        }
        for (url, want) in [
            ("https://log.example.com", Some("log.example.com")),
            ("http://127.0.0.1:8080/a/b", Some("127.0.0.1")),
            ("https://user:pass@log.example.com:1/", Some("log.example.com")),
            ("https://log.example.com@evil.example", Some("evil.example")),
            ("https://log.example.com?@evil.example", Some("log.example.com")),
            ("https://[::1]:8080/", Some("::1")),
            ("https://", None),
            ("https:///x", None),
            ("ftp://log.example.com", None),
            ("log.example.com", None),
        ] {
            assert_eq!(host_of_url(url), want, "{url}");
        }
    }
}
