//! Signed notes: a text and the signatures on it (c2sp.org/signed-note).
//!
//! ```text
//! <text>\n
//! \n
//! — <key name> <base64(4-byte key id || signature)>\n      one or more
//! ```
//! The text may hold blank lines: the last one divides. A [`Note`] is unverified input; [`Note::verify`] says which keys
//! signed it.

use std::fmt;

use crate::UnixTime;
use crate::checkpoint::Checkpoint;
use crate::cosignature::{self, CosignatureError};
use crate::key::{KeyId, KeyName, PrivateKey, PublicKey, SignerKey, VerifierKey};
use crate::signature_line::{has_control, is_text};

pub use crate::signature_line::NoteSignature;

/// The largest note that is read: room for more than 16 ML-DSA-44 signatures of 3,300 bytes each.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 100;

/// A note as it was read. Its signatures have not been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature that was checked against a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signed<'k> {
    /// The key that signed.
    pub key: &'k VerifierKey,
    /// When, for a cosignature; a log's own Ed25519 signature has no time.
    pub time: Option<UnixTime>,
}

impl Note {
    /// A note over `text` without signatures, to be signed.
    ///
    /// # Panics
    /// If the text is no note text: programs sign what they wrote themselves.
    pub fn unsigned(text: String) -> Self {
        assert!(is_text(&text), "a note text ends in a newline and has no other control character");
        Self { text, signatures: Vec::new() }
    }

    /// Reads a note. Nothing in it is believed yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        if has_control(note) {
            return Err(NoteError::Characters);
        }
        let (text, block) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let text = format!("{text}\n");
        let block = block.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let lines: Vec<&str> = block.split('\n').collect();
        if lines.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures(lines.len()));
        }
        let mut signatures = Vec::new();
        for (line, number) in lines.into_iter().zip(1..) {
            signatures.push(NoteSignature::parse(line).ok_or(NoteError::SignatureLine(number))?);
        }
        Ok(Self { text, signatures })
    }

    /// The text, with its final newline. Not to be believed before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in their order, unchecked.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks the lines of `keys`; answers who signed, in the order of the lines, each key once.
    ///
    /// Lines of other keys are ignored (NOTE-7). A bad line of a known key fails the whole note, even if
    /// others verify (NOTE-8). A second line with the same name and id is skipped (NOTE-11). No known
    /// signature at all is not an error here: the caller says what it needs.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<Signed<'k>>, NoteError> {
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| other.name() == key.name() && other.id() == key.id()) {
                return Err(NoteError::AmbiguousKey(key.name().clone()));
            }
        }
        let mut signed: Vec<Signed<'k>> = Vec::new();
        for line in &self.signatures {
            let Some(key) = keys.iter().find(|key| line.is_by(key)) else { continue };
            if signed.iter().any(|other| other.key == key) {
                continue;
            }
            let time = verify_line(line, &self.text, key)?;
            signed.push(Signed { key, time });
        }
        Ok(signed)
    }

    /// Adds a signature by a key of type 0x01 (a log's).
    ///
    /// # Panics
    /// If the key only makes cosignatures: those need a time, see [`cosignature`].
    pub fn sign(&mut self, key: &SignerKey) {
        self.sign_as(key, key.verifier().name().clone(), key.verifier().id());
    }

    /// Adds a signature by a key of type 0x01 under another name and id. Sigstore, for instance, takes the hash of the SPKI
    /// for the id.
    ///
    /// # Panics
    /// As [`Note::sign`].
    pub fn sign_as(&mut self, key: &SignerKey, name: KeyName, id: KeyId) {
        let PrivateKey::Ed25519(private) = key.private() else {
            panic!("{} makes cosignatures, not note signatures", key.verifier().name())
        };
        let signature = private.sign(self.text.as_bytes()).to_vec();
        self.add(NoteSignature::new(name, id, signature));
    }

    /// Adds a signature line in the place of any lines with the same name and id. A forged one that stayed would fail the
    /// whole note elsewhere.
    pub fn add(&mut self, line: NoteSignature) {
        let same = |old: &NoteSignature| old.name() == line.name() && old.id() == line.id();
        let at = self.signatures.iter().position(same).unwrap_or(self.signatures.len());
        self.signatures.retain(|old| !same(old));
        self.signatures.insert(at, line);
    }
}

/// The note, byte for byte as it is read.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Checks the line, which says that it is by `key`, over a note's text; answers its time if it has one.
fn verify_line(line: &NoteSignature, text: &str, key: &VerifierKey) -> Result<Option<UnixTime>, NoteError> {
    let bad = |cause| NoteError::BadSignature { name: key.name().clone(), cause };
    match key.key() {
        PublicKey::Ed25519(public) => {
            let signature = line.signature().try_into();
            let signature = signature.map_err(|_| bad(CosignatureError::Length(line.signature().len())))?;
            let verified = public.verify(text.as_bytes(), signature);
            if verified { Ok(None) } else { Err(bad(CosignatureError::Signature)) }
        }
        PublicKey::Ed25519Cosignature(_) | PublicKey::MlDsa44Cosignature(_) => {
            let checkpoint = Checkpoint::parse_any_root(text);
            let checkpoint = checkpoint.map_err(|_| bad(CosignatureError::NoCheckpoint))?;
            cosignature::verify(key, text, &checkpoint, line.signature()).map(Some).map_err(bad)
        }
    }
}

impl Checkpoint {
    /// Signs the checkpoint with a log's Ed25519 key (type 0x01).
    pub fn sign(&self, key: &SignerKey) -> Note {
        let mut note = Note::unsigned(self.to_string());
        note.sign(key);
        note
    }
}

/// Why a note was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// Two keys that are configured share a name and an id.
    #[error("two configured keys are both `{0}` with the same key id")]
    AmbiguousKey(KeyName),
    /// A known key's line does not verify.
    #[error("the signature line of `{name}` is bad: {cause}")]
    BadSignature {
        /// The key the line names.
        name: KeyName,
        /// What is wrong with it.
        cause: CosignatureError,
    },
    /// Invalid UTF-8, or a control character that is not a newline.
    #[error("a note is UTF-8 without control characters other than newlines")]
    Characters,
    /// No blank line with signature lines behind it and a newline at the end.
    #[error("a note ends in a blank line and signature lines, each with its newline")]
    NoSignatures,
    /// A line that is not `— name base64`.
    #[error("signature line {0} is not `— name base64(id, signature)`")]
    SignatureLine(usize),
    /// Longer than [`MAX_NOTE_BYTES`].
    #[error("the note has {0} bytes, more than {MAX_NOTE_BYTES}")]
    TooLong(usize),
    /// More than [`MAX_SIGNATURES`] lines.
    #[error("the note has {0} signatures, more than {MAX_SIGNATURES}")]
    TooManySignatures(usize),
}
