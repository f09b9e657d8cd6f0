//! The relay's HTTP interface (`specs/http.md`, "Messages"). The rules of requests are `attestation::message`'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::message::{
    Acknowledged, Action, Content, EnvelopeId, List, MAX_REQUEST_BYTES, Page, Recipient, Route, Sealed,
    Settings, SignedRequest, Stored, Waiting,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use service::bodies::Received;
use tlog::encoding::base64;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{Delivery, Kind, Mail, Mailed, Relay};
use crate::http::body::{self, SMALL_BODY_BYTES};
use crate::http::error::Problem;
use crate::http::{App, Client, fresh_json, in_turn};
use crate::metrics;

mod problem;

use problem::{by_rule, off};

/// A signed request, for the description of the interface.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only describes what `SignedRequest::parse` takes")]
pub struct SignedRequestJson {
    /// Who signs: a raw Ed25519 key, base64
    key: String,
    /// The request, base64 of its JCS: `specs/http.md`
    request: String,
    /// Over the request, base64
    signature: String,
    /// The sealed message, base64; only to send
    sealed: Option<String>,
}

/// Hands a sealed message to the relay.
#[utoipa::path(post, tag = "messages", path = "/api/v1/messages", request_body = SignedRequestJson, responses(
    (status = 200, description = "Durable", body = Stored),
    (status = 400, description = "Not of its form", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No token that this log knows, a clock that is wrong, or a signature that does not verify", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The log or the recipient does not take this sender's messages", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The log knows nothing of the recipient, or relays no messages", body = Problem, content_type = "application/problem+json"),
    (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "Not plain JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Breaks a rule", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "A budget is spent", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json")))]
pub async fn send(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    counted(take(&app, address, &headers, body).await)
}

/// Reads a mailbox, waits for mail, acknowledges it, or sets who may send.
#[utoipa::path(post, tag = "messages", path = "/api/v1/mailbox", request_body = SignedRequestJson, responses(
    (status = 200, description = "By the action: messages, how many were acknowledged, or `{}`", body = Object),
    (status = 400, description = "Not of its form", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "A clock that is wrong, or a signature that does not verify", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The log knows nothing of the DID whose settings these are, or relays no messages", body = Problem, content_type = "application/problem+json"),
    (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Later settings were taken before", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "Not plain JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Breaks a rule", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "A budget is spent", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json")))]
pub async fn mailbox(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    counted(manage(&app, address, &headers, body).await)
}

fn counted(answer: Result<Response, Problem>) -> Result<Response, Problem> {
    answer.inspect_err(|problem| metrics::relay_refused(problem.rule()))
}

async fn take(app: &Arc<App>, address: IpAddr, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let relay = relay(app)?;
    app.terms().gatekeeper.check_request(headers)?;
    // Before the body is read: reading it is work, too.
    relay.budgets().spend_send(address)?;
    let body = body::read(app, address, headers, body, MAX_REQUEST_BYTES).await?;
    let delivery = if body.len() <= SMALL_BODY_BYTES {
        admit(app, address, &body)?
    } else {
        in_turn(app, relay.work(), address, move |app| admit(app, address, &body)).await?
    };
    let id = delivery.id;
    let delivered = relay.deliver(delivery).await?;
    metrics::relay_delivered(delivered.stored);
    Ok(fresh_json(Stored {
        id,
        received_at: time(delivered.received_at),
        expires: time(delivered.expires),
        stored: delivered.stored,
    }))
}

/// The rules of a message that is sent, in their order, up to whether there is room for it.
fn admit(app: &App, address: IpAddr, body: &[u8]) -> Result<Delivery, Problem> {
    let relay = relay(app)?;
    let now = time((app.now)());
    let signed = SignedRequest::parse(body, Route::Messages, |raw| app.keys.admit(raw))?;
    signed.check(&app.origin, now)?;
    let sender = signed.request().did;
    let sender_is_bare = check_signer(app, &signed)?;
    if !app.terms().gatekeeper.allows(&sender) {
        return Err(by_rule(
            "did-not-allowed",
            format!("this log takes nothing of {sender}, which is not listed"),
        ));
    }
    let (sealed, expires) = signed.check_sealed(now)?;
    let recipient = sealed.recipient();
    check_recipient(app, &sealed, now)?;
    if !relay.settings(recipient)?.admits(sender, !sender_is_bare) {
        return Err(by_rule("sender-refused", format!("{recipient} takes no messages of {sender}")));
    }
    // What is known costs its sender nothing: whoever sends a request again does not spend its signer's budget.
    if !relay.knows(&sealed.id())? {
        relay.budgets().spend_send_of(sender)?;
    }
    Ok(Delivery {
        id: sealed.id(),
        recipient,
        sender,
        sender_is_bare,
        client: Some(address),
        expires: expires.as_millis(),
        mail: Mail::Sealed(sealed.as_bytes().to_vec()),
    })
}

/// Whether the recipient of a message may get it, and could open it.
fn check_recipient(app: &App, sealed: &Sealed, now: LogTime) -> Result<(), Problem> {
    let did = sealed.recipient();
    let recipient = recipient(app, did)?;
    match recipient.accepts(&sealed.key_id(), now) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(by_rule("recipient-key", format!("the message is sealed to a key that is not {did}'s now"))
                .hint("ask the log for the DID's keys, and seal it again"))
        }
        Err(state) => {
            Err(by_rule("recipient-state", format!("{did} takes no messages")).detail(state.to_string()))
        }
    }
}

/// Who gets messages here.
fn recipient(app: &App, did: Did) -> Result<Arc<Recipient>, Problem> {
    if let Some(recipient) = app.recipient(did)? {
        return Ok(recipient);
    }
    // Who registered by the interface of Python `aip` has a mailbox, too.
    let key = app.aip_v1.as_ref().and_then(|v1| v1.genesis_key(did, (app.now)()));
    key.map(|key| Arc::new(Recipient::Bare(key))).ok_or_else(|| unknown(did))
}

async fn manage(
    app: &Arc<App>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let relay = relay(app)?;
    relay.budgets().spend_list(address)?;
    let body = body::read(app, address, headers, body, SMALL_BODY_BYTES).await?;
    let signed = SignedRequest::parse(&body, Route::Mailbox, |raw| app.keys.admit(raw))?;
    drop::<Received>(body);
    signed.check(&app.origin, time((app.now)()))?;
    check_signer(app, &signed)?;
    let owner = signed.request().did;
    match &signed.request().action {
        Action::List(list) => listed(app, address, &signed, list).await,
        Action::Acknowledge(ids) => acknowledged(&relay, owner, ids.clone()).await,
        Action::Settings(settings) => set(app, address, &signed, settings.clone()).await,
        // `Route::Mailbox` has no such action.
        Action::Send { .. } => Err(by_rule("request", "a message is sent to /api/v1/messages")),
    }
}

async fn acknowledged(relay: &Relay, owner: Did, ids: Vec<EnvelopeId>) -> Result<Response, Problem> {
    let acknowledged = relay.acknowledge(owner, ids).await?;
    metrics::relay_acknowledged(acknowledged);
    Ok(fresh_json(Acknowledged { acknowledged }))
}

async fn set(
    app: &Arc<App>,
    address: IpAddr,
    signed: &SignedRequest,
    settings: Settings,
) -> Result<Response, Problem> {
    let owner = signed.request().did;
    // A DID costs nothing. Of one that gets no messages no settings are kept.
    recipient(app, owner)?;
    let issued_at = signed.request().issued_at.as_millis();
    relay(app)?.set(owner, settings, issued_at, Some(address)).await??;
    Ok(fresh_json(Nothing {}))
}

/// The answer where there is nothing to say.
#[derive(Serialize)]
struct Nothing {}

/// What waits in a mailbox; if nothing does, what comes in the time that its owner waits.
async fn listed(
    app: &Arc<App>,
    address: IpAddr,
    signed: &SignedRequest,
    list: &List,
) -> Result<Response, Problem> {
    let owner = signed.request().did;
    let until = Instant::now() + Duration::from_secs(list.wait);
    let mut page = read(app, address, owner, list).await?;
    if page.messages.is_empty() && list.wait > 0 {
        let waiter = relay(app)?.wait(owner, address)?;
        let news = waiter.news();
        loop {
            let told = news.notified();
            tokio::pin!(told);
            // From here on nothing is missed: what comes before the next line is read, what comes later is told.
            told.as_mut().enable();
            page = read(app, address, owner, list).await?;
            if !page.messages.is_empty() || timeout_at(until, told).await.is_err() {
                break;
            }
            // It may have been told because the server stops. And an owner that was compromised meanwhile reads nothing.
            if relay(app)?.is_stopping() {
                break;
            }
            check_signer(app, signed)?;
        }
    }
    Ok(fresh_json(page))
}

async fn read(app: &Arc<App>, address: IpAddr, owner: Did, list: &List) -> Result<Page, Problem> {
    let (after, limit) = (list.after, list.limit as usize);
    let keys = list.keys.clone();
    // Mail of Python `aip` is sealed to the identity key, and says no key: it is in a list that asks for none.
    let wanted = move |kind: Kind, key: Option<&_>| match &keys {
        None => true,
        Some(keys) => kind == Kind::Sealed && key.is_some_and(|key| keys.contains(key)),
    };
    let relay = relay(app)?;
    let mailed = if relay.holds(owner, after, &wanted)? {
        let theirs = relay.clone();
        let read = move |_: &App| Ok(theirs.page(owner, after, (limit, MAX_PAGE_BYTES), wanted)?);
        in_turn(app, relay.work(), address, read).await?
    } else {
        Mailed { messages: Vec::new(), more: false }
    };
    let waiting = |(number, message): (u64, super::Message)| Waiting {
        content: match message.mail {
            Mail::Sealed(sealed) => Content::Sealed(base64(&sealed)),
            Mail::Legacy(legacy) => Content::Legacy(legacy.content),
        },
        expires: time(message.head.expires),
        id: message.head.id,
        number,
        received_at: time(message.head.received_at),
        sender: message.head.sender,
    };
    let messages = mailed.messages.into_iter().map(waiting).collect();
    Ok(Page { messages, more: mailed.more, now: time((app.now)()) })
}

/// Checks that the key of a request speaks for its DID; whether that DID is not registered.
fn check_signer(app: &App, signed: &SignedRequest) -> Result<bool, Problem> {
    let state = app.state(signed.request().did)?;
    signed.check_signer(state.as_deref()).map_err(|error| {
        let problem = by_rule(error.rule(), error.to_string());
        match error.rule() {
            "retired-key" => problem.hint("sign with the DID's current key"),
            "compromised" => problem.hint("recover the DID first; its mail waits"),
            _ => problem,
        }
    })?;
    Ok(state.is_none())
}

fn relay(app: &App) -> Result<Arc<Relay>, Problem> {
    app.relay.clone().ok_or_else(off)
}

fn unknown(did: Did) -> Problem {
    by_rule("no-did", format!("this log has no entry of {did}"))
        .hint("it gets messages here once it has logged its inception, or an artifact")
}

/// Times of the relay come from its clock and its requests, which are bounded.
fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).unwrap_or(LogTime::MAX)
}

/// How long a list may be, about: with one message of the longest it is more.
const MAX_PAGE_BYTES: usize = 1 << 20;
