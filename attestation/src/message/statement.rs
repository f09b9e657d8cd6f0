//! What a sender says: the statement that is signed, and sealed once for each key of each recipient.

use tlog::checkpoint::is_origin;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey, KeyError};
use tlog::{Hash, LeafIndex};

use super::wire;
use super::{HexNameError, MessageId};
use crate::did::Did;
use crate::dsse::pae;
use crate::json::JsonError;
use crate::json::spelled::SpellingError;
use crate::logged::LogTime;
use crate::quote::quoted;

/// The type of a statement in its PAE.
pub const MESSAGE_TYPE: &str = "application/vnd.aip.message.v2+json";

/// The longest payload: what the largest frame leaves to it.
pub const MAX_PAYLOAD_BYTES: usize = 98_236;

/// The longest body, and the most that attachments hold together.
pub const MAX_BODY_BYTES: usize = 65_536;

/// The longest life of a message, 7 days: no relay keeps it longer.
pub const MAX_LIFE_MILLIS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// The largest group.
pub const MAX_RECIPIENTS: usize = 32;

/// The most attachments of a message.
const MAX_ATTACHMENTS: usize = 16;

/// The most artifacts that a message names.
pub const MAX_ARTIFACTS: usize = 64;

/// The content type of a body that is plain text.
pub const TEXT: &str = "text/plain";

/// A statement, as its sender writes it. Its rules are checked where it is signed, and where it is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Artifacts that it is about, at most [`MAX_ARTIFACTS`].
    pub artifacts: Vec<Artifact>,
    /// Files that come with it, at most 16. Their names differ.
    pub attachments: Vec<Attachment>,
    /// The text, at most [`MAX_BODY_BYTES`].
    pub body: String,
    /// What the body is: a media type without parameters, such as [`TEXT`].
    pub content_type: String,
    /// When it was written.
    pub created: LogTime,
    /// When it ends, behind `created` by at most [`MAX_LIFE_MILLIS`].
    pub expires: LogTime,
    /// Its random id.
    pub id: MessageId,
    /// The message that it answers.
    pub in_reply_to: Option<MessageId>,
    /// The log whose state judges the sender, and whose relay carries the message.
    pub origin: String,
    /// The whole group, 1 to [`MAX_RECIPIENTS`], sorted, each once.
    pub recipients: Vec<Did>,
    /// Who says it.
    pub sender: Did,
}

/// A file that comes with a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its media type, without parameters.
    pub content_type: String,
    /// Its name, in no folder: [`is_attachment_name`].
    pub name: String,
}

/// An artifact that a message is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Artifact {
    /// Where its receipt is logged.
    pub entry: Option<EntryReference>,
    /// What the sender calls it, 1 to 1,024 bytes without control characters.
    pub name: String,
    /// Its digest.
    pub sha256: Hash,
}

/// An entry in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntryReference {
    /// Its index.
    pub index: LeafIndex,
    /// The log.
    pub origin: String,
}

/// A message with its sender's signature. All copies of a message carry the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedMessage {
    pub(super) message: Message,
    pub(super) key: Ed25519PublicKey,
    pub(super) payload: Vec<u8>,
    pub(super) signature: [u8; ED25519_SIGNATURE_BYTES],
}

impl SignedMessage {
    /// Signs `message` with `key`, which is the sender's: its genesis key if it is not registered, else its current one.
    pub fn sign(message: Message, key: &Ed25519PrivateKey) -> Result<Self, MessageError> {
        message.check()?;
        let public = key.public_key();
        let payload = wire::encode(&message, public.as_bytes());
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(MessageError::TooLong(payload.len()));
        }
        let signature = key.sign(&pae(MESSAGE_TYPE, &payload));
        Ok(Self { message, key: public, payload, signature })
    }

    /// What is said.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The key that signed, by the statement's own word until a recipient checked it.
    pub fn key(&self) -> &Ed25519PublicKey {
        &self.key
    }

    /// The signed bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature over the PAE of [`MESSAGE_TYPE`] and the payload.
    pub fn signature(&self) -> &[u8; ED25519_SIGNATURE_BYTES] {
        &self.signature
    }

    /// Whether the key that the statement names signed it.
    pub(super) fn verifies(&self) -> bool {
        self.key.verify(&pae(MESSAGE_TYPE, &self.payload), &self.signature)
    }
}

impl Message {
    /// The rules that the types do not keep by themselves.
    pub(super) fn check(&self) -> Result<(), MessageError> {
        if self.body.len() > MAX_BODY_BYTES {
            return Err(MessageError::BodyTooLong(self.body.len()));
        }
        check_content_type("contentType", &self.content_type)?;
        let life = self.expires.as_millis().checked_sub(self.created.as_millis());
        if !life.is_some_and(|life| (1..=MAX_LIFE_MILLIS).contains(&life)) {
            return Err(MessageError::Life);
        }
        check_origin("origin", &self.origin)?;
        if !(1..=MAX_RECIPIENTS).contains(&self.recipients.len()) {
            return Err(MessageError::Count { member: "recipients", most: MAX_RECIPIENTS });
        }
        value(self.recipients.is_sorted_by(|a, b| a < b), "recipients", "sorted, each once")?;
        if self.attachments.len() > MAX_ATTACHMENTS {
            return Err(MessageError::Count { member: "attachments", most: MAX_ATTACHMENTS });
        }
        for (at, Attachment { content_type, name, .. }) in self.attachments.iter().enumerate() {
            check_content_type("attachments.contentType", content_type)?;
            if !is_attachment_name(name) {
                return Err(MessageError::AttachmentName(quoted(name)));
            }
            let is_new = self.attachments[..at].iter().all(|other| other.name != *name);
            value(is_new, "attachments.name", "different in each attachment")?;
        }
        let attached = self.attachments.iter().map(|attachment| attachment.content.len()).sum();
        if attached > MAX_BODY_BYTES {
            return Err(MessageError::AttachmentsTooLong(attached));
        }
        if self.artifacts.len() > MAX_ARTIFACTS {
            return Err(MessageError::Count { member: "artifacts", most: MAX_ARTIFACTS });
        }
        for Artifact { entry, name, .. } in &self.artifacts {
            let holds =
                (1..=MAX_ARTIFACT_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
            value(holds, "artifacts.name", "1 to 1024 bytes without control characters")?;
            if let Some(EntryReference { index, origin }) = entry {
                value(index.get() <= LogTime::MAX.as_millis(), "artifacts.entry.index", "at most 2^53 - 1")?;
                check_origin("artifacts.entry.origin", origin)?;
            }
        }
        Ok(())
    }
}

/// Whether an attachment may be called so: a file name that leads nowhere and that no shell takes for an option.
pub fn is_attachment_name(name: &str) -> bool {
    (1..=MAX_ATTACHMENT_NAME_BYTES).contains(&name.len())
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':'))
        && !name.starts_with(['.', '-'])
        && name.trim() == name
}

/// Whether a text is a media type as messages name it: `type/subtype` in lower case, without parameters.
pub fn is_content_type(text: &str) -> bool {
    let is_token = |token: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        (1..=64).contains(&token.len())
            && token.bytes().all(|b| plain(b) || b"!#$&^_.+-".contains(&b))
            && token.bytes().next().is_some_and(plain)
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn value(holds: bool, member: &'static str, want: &'static str) -> Result<(), MessageError> {
    if holds { Ok(()) } else { Err(SpellingError::Value { member, want }.into()) }
}

fn check_content_type(member: &'static str, text: &str) -> Result<(), MessageError> {
    value(is_content_type(text), member, "a media type: `type/subtype` in lower case, without parameters")
}

fn check_origin(member: &'static str, origin: &str) -> Result<(), MessageError> {
    value(is_origin(origin), member, "the name of a log")
}

/// Why a statement is refused, by its sender or by its reader.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// A name that leads out of a folder, or that a shell would take for something else.
    #[error(
        "an attachment cannot be called {0}: 1 to 128 bytes, no control character, no `/`, `\\` or `:`, not begun by `.` or \
         `-`, no white space at either end"
    )]
    AttachmentName(String),
    /// More than [`MAX_BODY_BYTES`] together.
    #[error("the attachments have {0} bytes, and a message carries at most {MAX_BODY_BYTES} of them")]
    AttachmentsTooLong(usize),
    /// More than [`MAX_BODY_BYTES`].
    #[error(
        "the body has {0} bytes, and a message carries at most {MAX_BODY_BYTES}: attach it, or name where it is"
    )]
    BodyTooLong(usize),
    /// None, or too many.
    #[error("`{member}` holds 1 to {most}")]
    Count {
        /// The member.
        member: &'static str,
        /// The most.
        most: usize,
    },
    /// An id that is none.
    #[error(transparent)]
    Id(#[from] HexNameError),
    /// Not UTF-8.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The sender's key is refused.
    #[error("`key`: {0}")]
    Key(#[from] KeyError),
    /// It ends before it begins, or later than a relay keeps it.
    #[error("`expires` is not behind `created` by 1 ms to 7 days")]
    Life,
    /// A recipient that is not in the group.
    #[error("{0} is not among the recipients")]
    NotAddressed(Did),
    /// Not in its one spelling, or a member with a value that it cannot have.
    #[error(transparent)]
    Spelling(#[from] SpellingError),
    /// Body, attachments and artifacts fit into no frame together.
    #[error("the message has {0} bytes, and the largest is {MAX_PAYLOAD_BYTES}: attach less")]
    TooLong(usize),
}

const MAX_ATTACHMENT_NAME_BYTES: usize = 128;

const MAX_ARTIFACT_NAME_BYTES: usize = 1024;
