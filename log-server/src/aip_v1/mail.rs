//! Mail of Python `aip`: the relay keeps it beside its own, and under its budgets.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use attestation::api::python;
use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::message::{EnvelopeId, LegacyMail, MAX_BOX_BYTES};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tlog::encoding::decode_base64_array;

use super::answer::{Detail, iso_time, plain_time};
use super::known::{self, Person};
use super::people::{asked, parse};
use crate::http::error::Problem;
use crate::http::{App, Client, Parts, body, fresh_json, in_turn};
use crate::metrics;
use crate::relay::{Delivery, Kind, Legacy, Mail, Message, Relay};

pub(super) async fn send(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Detail> {
    app.v1()?;
    let relay = relay(&app)?;
    app.terms().gatekeeper.check_request(&headers)?;
    relay.budgets().spend_send(address).map_err(Problem::from)?;
    let body = body::read(&app, address, &headers, body, MAX_SENT_BYTES).await?;
    let admitted = in_turn(&app, &app.work, address, move |app| Ok(admit(app, address, &body))).await?;
    let delivery = admitted?;
    let id = delivery.id;
    let delivered = relay.deliver(delivery).await.map_err(Problem::from)?;
    metrics::relay_delivered(delivered.stored);
    if !delivered.stored {
        return Err(Detail::new(StatusCode::CONFLICT, "Message replay detected: this signature came before"));
    }
    Ok(fresh_json(json!({
        "success": true,
        "message_id": message_id(&id),
        "sent_at": iso_time(delivered.received_at),
        "deprecation_warning": null,
    })))
}

/// The rules of a message, in their order, up to whether there is room for it.
fn admit(app: &App, address: IpAddr, body: &[u8]) -> Result<Delivery, Detail> {
    let (relay, now) = (relay(app)?, (app.now)());
    let sent: python::Message = parse(body)?;
    let unknown = |who: &str| Detail::bad(format!("{who} DID not registered"));
    let person = |text: &str, who| match text.parse() {
        Ok(did) => known::person(app, did)?.ok_or_else(|| unknown(who)),
        Err(_) => Err(unknown(who)),
    };
    let (sender, recipient) =
        (person(&sent.sender_did, "Sender")?, person(&sent.recipient_did, "Recipient")?);
    sender.check_messages()?;
    recipient.check_messages()?;
    if !app.terms().gatekeeper.allows(&sender.did) {
        return Err(Detail::new(
            StatusCode::FORBIDDEN,
            "this log takes nothing of this DID, which is not listed",
        ));
    }
    // A text that is not in a box would lie in the clear.
    let mail = LegacyMail::parse(sender.did, recipient.did, sent.into_content())
        .map_err(|refusal| Detail::bad(format!("encrypted_content, signature: {refusal}")))?;
    mail.check_time(LogTime::from_millis(now).unwrap_or(LogTime::MAX))
        .map_err(|refusal| Detail::bad(format!("timestamp: {refusal}")))?;
    mail.verify(&sender.key).map_err(|_| Detail::unauthorized("Invalid signature"))?;
    app.v1()?.table.note_signature(sender.did, now);
    let settings = relay.settings(recipient.did).map_err(Problem::from)?;
    if !settings.admits(sender.did, !sender.is_bare()) {
        return Err(Detail::new(StatusCode::FORBIDDEN, "the recipient takes no messages of this sender"));
    }
    // The signature's bytes and not their text, which has other spellings.
    let id = EnvelopeId::from_bytes(*mail.replay_key().as_bytes());
    // Sent again, which anybody can who got hold of the request, it costs its sender nothing.
    if !relay.knows(&id).map_err(Problem::from)? {
        relay.budgets().spend_send_of(sender.did).map_err(Problem::from)?;
    }
    Ok(Delivery {
        id,
        recipient: recipient.did,
        sender: sender.did,
        sender_is_bare: sender.is_bare(),
        client: Some(address),
        expires: now + KEPT_MILLIS,
        mail: Mail::Legacy(Legacy { content: mail.content().clone(), read_at: None }),
    })
}

#[derive(Deserialize)]
struct Asked {
    did: String,
}

pub(super) async fn challenge(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Detail> {
    let v1 = app.v1()?;
    v1.spend(address)?;
    let body = body::read(&app, address, &headers, body, MAX_ASKED_BYTES).await?;
    let Asked { did } = parse(&body)?;
    let Person { did, .. } = known::named(&app, &did)?;
    let (challenge, until) = v1.challenges.give(did, (app.now)()).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        Detail::new(StatusCode::SERVICE_UNAVAILABLE, "no challenge can be made now")
    })?;
    Ok(fresh_json(json!({
        "challenge": challenge,
        "did": did,
        "expires_at": iso_time(until),
        "message": "Sign this challenge with your private key and submit to /messages",
    })))
}

#[derive(Deserialize)]
struct Opened {
    did: String,
    challenge: String,
    signature: String,
    #[serde(default)]
    unread_only: bool,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Detail> {
    let v1 = app.v1()?;
    let relay = relay(&app)?;
    relay.budgets().spend_list(address).map_err(Problem::from)?;
    let body = body::read(&app, address, &headers, body, MAX_ASKED_BYTES).await?;
    let Opened { did, challenge, signature, unread_only } = parse(&body)?;
    let person = known::named(&app, &did)?;
    person.check_messages()?;
    let now = (app.now)();
    if !v1.challenges.holds(person.did, &challenge, now) {
        return Err(Detail::unauthorized("Invalid or expired challenge"));
    }
    check_signature(&person, &challenge, &signature)?;
    if !v1.challenges.spend(person.did, &challenge, now) {
        return Err(Detail::unauthorized("Invalid or expired challenge"));
    }
    let owner = person.did;
    let newest = in_turn(&app, &app.work, address, move |app| {
        let v1 = app.v1().map_err(|_| crate::http::failed())?;
        v1.table.note_signature(owner, now);
        newest(&relay, owner, unread_only)
    });
    let messages: Vec<Value> = newest.await?.iter().map(shown).collect();
    Ok(fresh_json(json!({"success": true, "count": messages.len(), "messages": messages})))
}

/// The newest messages of a mailbox that came by this interface, newest first.
fn newest(relay: &Relay, owner: Did, unread_only: bool) -> Result<VecDeque<Message>, Problem> {
    let (mut newest, mut after) = (VecDeque::new(), 0);
    loop {
        let page = relay.page(owner, after, (MAX_SHOWN, MAX_PAGE_BYTES), |kind, _| kind == Kind::Legacy)?;
        for (number, message) in page.messages {
            after = number;
            let is_read = matches!(&message.mail, Mail::Legacy(legacy) if legacy.read_at.is_some());
            if !(unread_only && is_read) {
                newest.push_front(message);
                newest.truncate(MAX_SHOWN);
            }
        }
        if !page.more {
            return Ok(newest);
        }
    }
}

/// A message as upstream shows it, with the time that was signed: without it nobody can check the signature.
fn shown(message: &Message) -> Value {
    let Mail::Legacy(Legacy { content, read_at }) = &message.mail else { return Value::Null };
    json!({
        "id": message_id(&message.head.id),
        "sender_did": message.head.sender,
        "encrypted_content": content.encrypted_content,
        "signature": content.signature,
        "timestamp": content.timestamp,
        "created_at": plain_time(message.head.received_at),
        "read_at": read_at.map(plain_time),
    })
}

pub(super) async fn mark_read(
    State(app): State<Arc<App>>,
    Client(address): Client,
    id: Result<Parts<String>, Problem>,
    uri: Uri,
) -> Result<Response, Detail> {
    let (relay, owner, id) = owned(&app, address, id?.0, uri).await?;
    match relay.mark_read(owner, id, (app.now)()).await.map_err(Problem::from)? {
        true => Ok(fresh_json(json!({"success": true, "marked_read": message_id(&id)}))),
        false => Err(no_message()),
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Client(address): Client,
    id: Result<Parts<String>, Problem>,
    uri: Uri,
) -> Result<Response, Detail> {
    let (relay, owner, id) = owned(&app, address, id?.0, uri).await?;
    match relay.acknowledge(owner, vec![id]).await.map_err(Problem::from)? {
        0 => Err(no_message()),
        deleted => {
            metrics::relay_acknowledged(deleted);
            Ok(fresh_json(json!({"success": true, "deleted": message_id(&id)})))
        }
    }
}

/// Whose message an id names, if the one who asks signed the id.
async fn owned(
    app: &Arc<App>,
    address: IpAddr,
    id: String,
    uri: Uri,
) -> Result<(Arc<Relay>, Did, EnvelopeId), Detail> {
    app.v1()?;
    let relay = relay(app)?;
    relay.budgets().spend_list(address).map_err(Problem::from)?;
    let [did, signature] = asked(&uri, ["did", "signature"])?;
    let prefix = parse_id(&id).ok_or_else(no_message)?;
    let person = known::named(app, &did.unwrap_or_default())?;
    person.check_messages()?;
    check_signature(&person, &id, &signature.unwrap_or_default())?;
    let owner = person.did;
    let found = {
        let relay = relay.clone();
        in_turn(app, &app.work, address, move |_| Ok(relay.legacy_id(owner, prefix)?)).await?
    };
    Ok((relay, owner, found.ok_or_else(no_message)?))
}

/// Checks that the current key signed a text: canonical base64, so that a signature has one spelling.
fn check_signature(person: &Person, text: &str, signature: &str) -> Result<(), Detail> {
    let signature = decode_base64_array(signature);
    match signature.is_some_and(|signature| person.key.verify(text.as_bytes(), &signature)) {
        true => Ok(()),
        false => Err(Detail::unauthorized("Invalid signature")),
    }
}

/// `msg_` and 16 digits: the beginning of the envelope id.
fn message_id(id: &EnvelopeId) -> String {
    format!("msg_{}", hex::encode(&id.as_bytes()[..ID_BYTES]))
}

fn parse_id(text: &str) -> Option<[u8; ID_BYTES]> {
    let digits = text.strip_prefix("msg_")?;
    let mut bytes = [0; ID_BYTES];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    // One spelling: the text is what is signed.
    (hex::encode(bytes) == digits).then_some(bytes)
}

fn relay(app: &App) -> Result<Arc<Relay>, Detail> {
    let off = || Detail::new(StatusCode::SERVICE_UNAVAILABLE, "this log carries no messages");
    app.relay.clone().ok_or_else(off)
}

fn no_message() -> Detail {
    Detail::new(StatusCode::NOT_FOUND, "Message not found")
}

const ID_BYTES: usize = 8;

/// How long a message is kept.
const KEPT_MILLIS: u64 = 7 * 24 * 3_600 * 1_000;

/// The most messages of an answer.
const MAX_SHOWN: usize = 100;

/// How much is read at a time.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The longest box in base64, and what stands around it.
const MAX_SENT_BYTES: usize = MAX_BOX_BYTES.div_ceil(3) * 4 + (4 << 10);

/// Other requests are short.
const MAX_ASKED_BYTES: usize = 4 << 10;
