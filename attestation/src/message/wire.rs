//! The bytes of a statement. There is one spelling, so reading is comparing.

use tlog::LeafIndex;
use tlog::encoding::decode_base64;
use tlog::key::Ed25519PublicKey;

use super::statement::{Artifact, Attachment, EntryReference, Message, MessageError};
use crate::json::spelled::{Reader, SpellingError, Writer};

// Between them stand the values. Members are in alphabetical order: this is JCS.
const ARTIFACTS: &str = r#""artifacts":["#;
const ATTACHMENTS: &str = r#""attachments":["#;
const BODY: &str = r#""body":"#;
const CONTENT_TYPE: &str = r#","contentType":"#;
const CREATED: &str = r#","created":"#;
const EXPIRES: &str = r#","expires":"#;
const ID: &str = r#","id":"#;
const IN_REPLY_TO: &str = r#","inReplyTo":"#;
const KEY: &str = r#","key":"#;
const ORIGIN: &str = r#","origin":"#;
const RECIPIENTS: &str = r#","recipients":["#;
const SENDER: &str = r#","sender":"#;

const CONTENT: &str = r#"{"content":"#;
const ENTRY: &str = r#""entry":{"index":"#;
const NAME: &str = r#","name":"#;
const ARTIFACT_NAME: &str = r#""name":"#;
const SHA256: &str = r#","sha256":"#;

/// The payload of `message`, signed by `key`.
pub(super) fn encode(message: &Message, key: &[u8; Ed25519PublicKey::BYTES]) -> Vec<u8> {
    let attached: usize = message.attachments.iter().map(|attachment| attachment.content.len()).sum();
    let mut out = Writer(String::with_capacity(1024 + message.body.len() + 4 * attached / 3));
    out.piece("{");
    if !message.artifacts.is_empty() {
        out.piece(ARTIFACTS);
        out.list(&message.artifacts, artifact);
        out.piece(",");
    }
    if !message.attachments.is_empty() {
        out.piece(ATTACHMENTS);
        out.list(&message.attachments, attachment);
        out.piece(",");
    }
    out.piece(BODY);
    out.text(&message.body);
    out.piece(CONTENT_TYPE);
    out.quoted(&message.content_type);
    out.piece(CREATED);
    out.piece(&message.created.as_millis().to_string());
    out.piece(EXPIRES);
    out.piece(&message.expires.as_millis().to_string());
    out.piece(ID);
    out.quoted(&message.id.to_string());
    if let Some(id) = &message.in_reply_to {
        out.piece(IN_REPLY_TO);
        out.quoted(&id.to_string());
    }
    out.piece(KEY);
    out.base64(key);
    out.piece(ORIGIN);
    out.text(&message.origin);
    out.piece(RECIPIENTS);
    out.list(&message.recipients, |out, did| out.quoted(&did.to_string()));
    out.piece(SENDER);
    out.quoted(&message.sender.to_string());
    out.piece("}");
    out.0.into_bytes()
}

fn artifact(out: &mut Writer, artifact: &Artifact) {
    out.piece("{");
    if let Some(EntryReference { index, origin }) = &artifact.entry {
        out.piece(ENTRY);
        out.piece(&index.to_string());
        out.piece(ORIGIN);
        out.text(origin);
        out.piece("},");
    }
    out.piece(ARTIFACT_NAME);
    out.text(&artifact.name);
    out.piece(SHA256);
    out.hex(artifact.sha256);
    out.piece("}");
}

fn attachment(out: &mut Writer, attachment: &Attachment) {
    out.piece(CONTENT);
    out.base64(&attachment.content);
    out.piece(CONTENT_TYPE);
    out.quoted(&attachment.content_type);
    out.piece(NAME);
    out.text(&attachment.name);
    out.piece("}");
}

/// The message in a payload, and the key that it names, admitted. No signature is checked.
pub(super) fn decode(payload: &[u8]) -> Result<(Message, Ed25519PublicKey), MessageError> {
    let mut reader = Reader::new(payload)?;
    reader.piece("{")?;
    let artifacts =
        if reader.has(ARTIFACTS) { some(&mut reader, "artifacts", read_artifact)? } else { vec![] };
    let attachments =
        if reader.has(ATTACHMENTS) { some(&mut reader, "attachments", read_attachment)? } else { vec![] };
    reader.piece(BODY)?;
    let body = reader.text("body")?;
    reader.piece(CONTENT_TYPE)?;
    let content_type = reader.quoted()?.to_owned();
    reader.piece(CREATED)?;
    let created = reader.time("created")?;
    reader.piece(EXPIRES)?;
    let expires = reader.time("expires")?;
    reader.piece(ID)?;
    let id = reader.quoted()?.parse()?;
    let in_reply_to = if reader.has(IN_REPLY_TO) { Some(reader.quoted()?.parse()?) } else { None };
    reader.piece(KEY)?;
    let key = reader.base64("key", "32 bytes in canonical base64")?;
    reader.piece(ORIGIN)?;
    let origin = reader.text("origin")?;
    reader.piece(RECIPIENTS)?;
    let recipients = reader.list(Reader::did)?;
    reader.piece(SENDER)?;
    let sender = reader.did()?;
    reader.piece("}")?;
    reader.end()?;
    let message = Message {
        artifacts,
        attachments,
        body,
        content_type,
        created,
        expires,
        id,
        in_reply_to,
        origin,
        recipients,
        sender,
    };
    message.check()?;
    Ok((message, Ed25519PublicKey::from_bytes(&key)?))
}

/// A list that is absent rather than empty, with the comma behind it.
fn some<T>(
    reader: &mut Reader<'_>,
    member: &'static str,
    read: impl FnMut(&mut Reader<'_>) -> Result<T, SpellingError>,
) -> Result<Vec<T>, MessageError> {
    let values = reader.list(read)?;
    if values.is_empty() {
        return Err(SpellingError::Value { member, want: "absent where it is empty" }.into());
    }
    reader.piece(",")?;
    Ok(values)
}

fn read_artifact(reader: &mut Reader<'_>) -> Result<Artifact, SpellingError> {
    reader.piece("{")?;
    let entry = if reader.has(ENTRY) {
        let index = LeafIndex::new(reader.number("artifacts.entry.index")?);
        reader.piece(ORIGIN)?;
        let origin = reader.text("artifacts.entry.origin")?;
        reader.piece("},")?;
        Some(EntryReference { index, origin })
    } else {
        None
    };
    reader.piece(ARTIFACT_NAME)?;
    let name = reader.text("artifacts.name")?;
    reader.piece(SHA256)?;
    let sha256 = reader.hex("artifacts.sha256")?;
    reader.piece("}")?;
    Ok(Artifact { entry, name, sha256 })
}

fn read_attachment(reader: &mut Reader<'_>) -> Result<Attachment, SpellingError> {
    reader.piece(CONTENT)?;
    let member = "attachments.content";
    let bad = SpellingError::Value { member, want: "canonical base64" };
    let content = decode_base64(reader.quoted()?).ok_or(bad)?;
    reader.piece(CONTENT_TYPE)?;
    let content_type = reader.quoted()?.to_owned();
    reader.piece(NAME)?;
    let name = reader.text("attachments.name")?;
    reader.piece("}")?;
    Ok(Attachment { content, content_type, name })
}
