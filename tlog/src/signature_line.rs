//! One line of a note, and the characters of its text (c2sp.org/signed-note).
//!
//! ```text
//! — <key name> <base64(4-byte key id || signature)>
//! ```
//! What the bytes after the key id are depends on the type of the key: a log's signature, or a witness's cosignature with
//! its time.

use std::fmt;

use crate::encoding;
use crate::key::{KeyId, KeyName, VerifierKey};

/// One signature line of a note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteSignature {
    name: KeyName,
    id: KeyId,
    signature: Vec<u8>,
}

impl NoteSignature {
    /// A line with this content.
    pub fn new(name: KeyName, id: KeyId, signature: Vec<u8>) -> Self {
        Self { name, id, signature }
    }

    /// Reads `— <name> <base64>`, without a newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
        let blob = encoding::decode_base64(blob)?;
        let (id, signature) = blob.split_first_chunk::<4>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self { name: KeyName::new(name).ok()?, id: KeyId::new(*id), signature: signature.to_vec() })
    }

    /// The key name in the line.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key id in the line.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The bytes after the key id.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the line says that it is by `key`.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

/// `— <name> <base64>`, without a newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.as_bytes().as_slice(), &self.signature].concat();
        write!(f, "— {} {}", self.name, encoding::base64(&blob))
    }
}

/// Whether `text` can be the text of a note: a newline at its end, no other control character.
pub(crate) fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !has_control(text)
}

/// Whether a note cannot hold this: a control character other than a newline.
pub(crate) fn has_control(text: &str) -> bool {
    text.bytes().any(|b| b < 0x20 && b != b'\n')
}
