//! Messages: a statement signed by its sender's key, sealed to one key of one recipient, and carried by a relay that can read
//! neither (`specs/message.md`).
//!
//! ```text
//! Message ─ SignedMessage::sign ─▶ SignedMessage ─ seal ─▶ Sealed ─ SignedRequest::send ─▶ the relay
//!                                      │           one for each key of each recipient, all with one statement
//! the relay ─ Page ─▶ Sealed ─ Mailbox::open ─▶ Opened ─ accept ─▶ Accepted
//! ```
//!
//! | what | types |
//! |---|---|
//! | X25519 keys | [`MessageKey`], [`MessagePrivateKey`], [`MessageKeyId`], [`KeyKind`] |
//! | which keys a DID has | [`Recipient`], [`Keys`], [`LoggedKeys`] |
//! | the statement | [`Message`], [`Attachment`], [`Artifact`], [`SignedMessage`], [`MessageError`] |
//! | the sealed copy | [`Sealed`], [`MessageId`], [`EnvelopeId`], [`SealedError`] |
//! | the recipient's checks | [`Mailbox::open`], [`Opened::accept`], [`Accepted`], [`Refusal`] |
//! | requests to a relay | [`Request`], [`Action`], [`SignedRequest`], [`RequestError`] |
//! | its answers | [`Stored`], [`Page`], [`Waiting`], [`Content`], [`Acknowledged`] |
//! | mail of Python `aip` 0.5 | [`LegacyMail`], [`LegacyContent`], [`LegacyRefusal`] |
//!
//! Every refusal has a `rule()`: its fixed identifier, for problems, JSON and tests.
//!
//! In scope: formats, sealing, and every rule that follows from bytes, keys, a sender's state and a clock. Out of scope:
//! whether a DID's events are all there, budgets, storage, and showing text to people.
//!
//! A message triggers, and a receipt proves: nothing here makes an artifact believed.

mod answer;
mod check;
mod legacy;
mod recipient;
mod request;
mod sealed;
mod statement;
mod wire;

pub use crate::hex_name::{EnvelopeId, HexNameError, MessageId, MessageKeyId};
pub use crate::json::spelled::SpellingError;
pub use crate::message_key::{KeyKind, MessageKey, MessageKeyError, MessagePrivateKey};
pub use answer::{Acknowledged, Content, Page, Stored, Waiting};
pub use check::{Accepted, Circumstances, MAX_AHEAD_MILLIS, Mailbox, Opened, Refusal};
pub use legacy::{
    LegacyCircumstances, LegacyContent, LegacyMail, LegacyRefusal, MAX_BOX_BYTES, MAX_TEXT_BYTES,
    sign_challenge,
};
pub use recipient::{Keys, LoggedKeys, REPLACED_MILLIS, Recipient};
pub use request::{
    Accept, Action, List, MAX_ACKNOWLEDGED, MAX_PAGE, MAX_REQUEST_BYTES, REQUEST_TYPE, Request, RequestError,
    Route, Settings, SignedRequest,
};
pub use sealed::{FRAME_BYTES, MAX_SEALED_BYTES, Sealed, SealedError};
pub use statement::{
    Artifact, Attachment, EntryReference, MAX_ARTIFACTS, MAX_BODY_BYTES, MAX_LIFE_MILLIS, MAX_PAYLOAD_BYTES,
    MAX_RECIPIENTS, MESSAGE_TYPE, Message, MessageError, SignedMessage, TEXT, is_attachment_name,
    is_content_type,
};
