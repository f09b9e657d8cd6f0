//! The bytes of a request. There is one spelling, so reading is comparing.

use serde::Serialize;
use tlog::encoding;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PublicKey};

use super::{Accept, Action, List, Request, RequestError, Settings};
use crate::did::Did;
use crate::json::spelled::{Reader, SpellingError, Writer};
use crate::quote::quoted;

// Between them stand the values. Members are in alphabetical order: this is JCS.
const HEAD: &str = r#"{"action":"#;
const SETTINGS_HEAD: &str = r#"{"accept":"#;
const ACTION: &str = r#","action":"settings""#;
const AFTER: &str = r#","after":"#;
const BLOCKED: &str = r#","blocked":["#;
const DID: &str = r#","did":"#;
const EXPIRES: &str = r#","expires":"#;
const IDS: &str = r#","ids":["#;
const ISSUED_AT: &str = r#","issuedAt":"#;
const KEYS: &str = r#","keys":["#;
const LIMIT: &str = r#","limit":"#;
const LISTED: &str = r#","listed":["#;
const ORIGIN: &str = r#","origin":"#;
const SEALED: &str = r#","sealed":"#;
const WAIT: &str = r#","wait":"#;
const TAIL: &str = "}";

/// The JCS of a request.
pub(super) fn encode(request: &Request) -> Vec<u8> {
    let Request { action, did, issued_at, origin } = request;
    let mut out = Writer(String::with_capacity(512));
    if let Action::Settings(Settings { accept, blocked, .. }) = action {
        out.piece(SETTINGS_HEAD);
        out.quoted(accept.name());
        out.piece(ACTION);
        out.piece(BLOCKED);
        out.list(blocked, |out, did| out.quoted(&did.to_string()));
    } else {
        out.piece(HEAD);
        out.quoted(action.name());
    }
    if let Action::List(List { after, .. }) = action {
        out.piece(AFTER);
        out.piece(&after.to_string());
    }
    out.piece(DID);
    out.quoted(&did.to_string());
    match action {
        Action::Acknowledge(ids) => {
            out.piece(IDS);
            out.list(ids, |out, id| out.quoted(&id.to_string()));
        }
        Action::Send { expires, .. } => {
            out.piece(EXPIRES);
            out.piece(&expires.as_millis().to_string());
        }
        Action::List(_) | Action::Settings(_) => (),
    }
    out.piece(ISSUED_AT);
    out.piece(&issued_at.as_millis().to_string());
    match action {
        Action::List(List { keys, limit, .. }) => {
            if let Some(keys) = keys {
                out.piece(KEYS);
                out.list(keys, |out, id| out.quoted(&id.to_string()));
            }
            out.piece(LIMIT);
            out.piece(&limit.to_string());
        }
        Action::Settings(Settings { listed, .. }) => {
            out.piece(LISTED);
            out.list(listed, |out, did| out.quoted(&did.to_string()));
        }
        Action::Acknowledge(_) | Action::Send { .. } => (),
    }
    out.piece(ORIGIN);
    out.text(origin);
    match action {
        Action::List(List { wait, .. }) => {
            out.piece(WAIT);
            out.piece(&wait.to_string());
        }
        Action::Send { sealed, .. } => {
            out.piece(SEALED);
            out.quoted(&sealed.to_string());
        }
        Action::Acknowledge(_) | Action::Settings(_) => (),
    }
    out.piece(TAIL);
    out.0.into_bytes()
}

/// The request in its JCS.
pub(super) fn decode(payload: &[u8]) -> Result<Request, RequestError> {
    let mut reader = Reader::new(payload)?;
    let request = if reader.has(SETTINGS_HEAD) { settings(&mut reader)? } else { other(&mut reader)? };
    reader.piece(TAIL)?;
    reader.end()?;
    request.check()?;
    Ok(request)
}

fn settings(reader: &mut Reader<'_>) -> Result<Request, RequestError> {
    let bad = SpellingError::Value { member: "accept", want: "`anyone`, `registered` or `listed`" };
    let accept = Accept::from_name(reader.quoted()?).ok_or(bad)?;
    reader.piece(ACTION)?;
    reader.piece(BLOCKED)?;
    let blocked = reader.list(Reader::did)?;
    let did = did(reader)?;
    reader.piece(ISSUED_AT)?;
    let issued_at = reader.time("issuedAt")?;
    reader.piece(LISTED)?;
    let listed = reader.list(Reader::did)?;
    let origin = origin(reader)?;
    Ok(Request { action: Action::Settings(Settings { accept, blocked, listed }), did, issued_at, origin })
}

fn other(reader: &mut Reader<'_>) -> Result<Request, RequestError> {
    reader.piece(HEAD)?;
    match reader.quoted()? {
        "acknowledge" => {
            let did = did(reader)?;
            reader.piece(IDS)?;
            let ids = reader.list(|reader| Ok::<_, RequestError>(reader.quoted()?.parse()?))?;
            reader.piece(ISSUED_AT)?;
            let issued_at = reader.time("issuedAt")?;
            let origin = origin(reader)?;
            Ok(Request { action: Action::Acknowledge(ids), did, issued_at, origin })
        }
        "list" => {
            reader.piece(AFTER)?;
            let after = reader.number("after")?;
            let did = did(reader)?;
            reader.piece(ISSUED_AT)?;
            let issued_at = reader.time("issuedAt")?;
            let keys = match reader.has(KEYS) {
                true => Some(reader.list(|reader| Ok::<_, RequestError>(reader.quoted()?.parse()?))?),
                false => None,
            };
            reader.piece(LIMIT)?;
            let limit = reader.number("limit")?;
            let origin = origin(reader)?;
            reader.piece(WAIT)?;
            let wait = reader.number("wait")?;
            Ok(Request { action: Action::List(List { after, keys, limit, wait }), did, issued_at, origin })
        }
        "send" => {
            let did = did(reader)?;
            reader.piece(EXPIRES)?;
            let expires = reader.time("expires")?;
            reader.piece(ISSUED_AT)?;
            let issued_at = reader.time("issuedAt")?;
            let origin = origin(reader)?;
            reader.piece(SEALED)?;
            let sealed = reader.quoted()?.parse()?;
            Ok(Request { action: Action::Send { expires, sealed }, did, issued_at, origin })
        }
        unknown => Err(RequestError::Action(quoted(unknown))),
    }
}

fn did(reader: &mut Reader<'_>) -> Result<Did, SpellingError> {
    reader.piece(DID)?;
    reader.did()
}

fn origin(reader: &mut Reader<'_>) -> Result<String, SpellingError> {
    reader.piece(ORIGIN)?;
    reader.text("origin")
}

/// The body that carries a request.
pub(super) fn body(
    key: &Ed25519PublicKey,
    payload: &[u8],
    signature: &[u8; ED25519_SIGNATURE_BYTES],
    sealed: Option<&str>,
) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        key: String,
        request: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        sealed: Option<&'a str>,
        signature: String,
    }
    let body = Body {
        key: encoding::base64(key.as_bytes()),
        request: encoding::base64(payload),
        sealed,
        signature: encoding::base64(signature),
    };
    serde_json::to_string(&body).expect("strings are JSON")
}
