//! The HTTP interface (`specs/http.md`): routes, and what they share.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::{Method, StatusCode, Uri, header, request};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::de::DeserializeOwned;
use service::addresses::Proxies;
use service::bodies::Bodies;
use service::shares::{Shares, Standing};
use service::turns::Turns;
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

use attestation::Did;
use attestation::message::Recipient;
use tlog::key::AdmittedKeys;

use crate::admit::EntryLimits;
use crate::aip_v1::{self, V1};
use crate::asserter::Asserter;
use crate::cosign::Cosigning;
use crate::pool::{Pool, Unavailable};
use crate::registry::Registry;
use crate::relay::Relay;
use crate::view::{Door, Published, View};
use log_core::StoreError;

pub mod answer;
pub mod body;
pub mod budget;
pub mod error;
pub mod evidence;
pub mod front;
pub mod identities;
pub mod identity;
pub mod lookup;
pub mod openapi;
pub mod prepared;
pub mod read;
pub mod submit;
pub mod unread;

use answer::Shown;
use budget::{Budgets, Gatekeeper};
use error::Problem;
use identities::Identities;
use prepared::Prepared;

/// What the log's files say, and what is read again at SIGHUP.
pub struct Terms {
    /// The policy text that consumers pin.
    pub policy: String,
    /// Where others reach the log, without a slash at the end, if its policy says so.
    pub address: Option<String>,
    /// Who may submit.
    pub gatekeeper: Gatekeeper,
}

/// Everything a handler may use.
pub struct App {
    /// The log's unique name.
    pub origin: String,
    /// What is read again while the log runs.
    pub terms: RwLock<Arc<Terms>>,
    /// What handlers read: what is published, and where claims stand. Only the sequencer writes.
    pub door: Door,
    /// Full tiles and bundles in memory, as they are sent.
    pub prepared: Prepared,
    /// What is published, as answers show it.
    pub shown: RwLock<Arc<Shown>>,
    /// Identity events in memory.
    pub identities: Identities,
    /// Turns at reads of the store that take one look.
    pub reads: Arc<Semaphore>,
    /// The states of DIDs as committed.
    pub registry: Arc<Registry>,
    /// What is published.
    pub published: watch::Receiver<Arc<Published>>,
    /// How publication stands.
    pub cosigning: watch::Receiver<Cosigning>,
    /// Why sequencing stands still because of the clock.
    pub clock_stopped: watch::Receiver<Option<String>>,
    /// Where admitted entries wait.
    pub pool: Arc<Pool>,
    /// How much.
    pub budgets: Budgets,
    /// Reverse proxies that are believed.
    pub proxies: Proxies,
    /// How large one entry may be.
    pub entry_limits: EntryLimits,
    /// How much one request may bring.
    pub request_limits: RequestLimits,
    /// How much all requests together may bring at a time.
    pub bodies: Bodies,
    /// How much all answers together may be while nobody reads them.
    pub unread: unread::Unread,
    /// Keys that were found to be of prime order.
    pub keys: AdmittedKeys,
    /// Free disk space is below the floor.
    pub disk_low: AtomicBool,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
    /// Whoever holds the log's key: it signs what the log says of its lists.
    pub asserter: Asserter,
    /// Turns at gathering evidence.
    pub evidence: Turns,
    /// Turns at other work that takes long: large bodies and large answers.
    pub work: Turns,
    /// The relay of messages, if this log has one.
    pub relay: Option<Arc<Relay>>,
    /// What the interface of Python `aip` keeps, if this log has one.
    pub aip_v1: Option<Arc<V1>>,
    /// The connections that are open.
    pub connections: Shares,
    /// Whether health and metrics have a port of their own.
    pub operator_port: bool,
    /// The wall clock, Unix milliseconds.
    pub now: fn() -> u64,
}

/// How much one request may bring, and how long it may take.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// The longest body.
    pub body_bytes: usize,
    /// The most entries.
    pub entries: usize,
    /// How long a submission waits for its publication.
    pub deadline: Duration,
}

impl App {
    /// The terms as they are now.
    pub fn terms(&self) -> Arc<Terms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is published at this moment, as answers show it.
    pub fn shown(&self) -> Arc<Shown> {
        let published = self.published.borrow().clone();
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        if shown.is(&published) {
            return shown;
        }
        let shown = Shown::new(published);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown.clone();
        shown
    }

    /// The state of a DID; `None` if it is not registered.
    pub fn state(&self, did: Did) -> Result<Option<Arc<attestation::identity::Identity>>, StoreError> {
        match self.registry.known_state(did) {
            Some(state) => Ok(state),
            None => beside(|| self.registry.state(did)),
        }
    }

    /// How messages reach a DID; `None` if it is not registered and has logged no artifact.
    pub fn recipient(&self, did: Did) -> Result<Option<Arc<Recipient>>, StoreError> {
        match self.registry.known_recipient(did) {
            Some(recipient) => Ok(Some(recipient)),
            None => beside(|| self.registry.recipient(did)),
        }
    }

    /// What is published at this moment.
    pub fn view(&self) -> View {
        let published = self.published.borrow().clone();
        self.door.view(published)
    }

    /// How everything stands that is bounded for all and for each client, by its name in `/metrics`.
    pub fn bounds(&self) -> Vec<(&'static str, Standing)> {
        let (entries, bytes) = self.pool.standing();
        let mut bounds = vec![
            ("bodies", self.bodies.large().standing()),
            ("connections", self.connections.standing()),
            ("evidence", self.evidence.standing()),
            ("pool-bytes", bytes),
            ("pool-entries", entries),
            ("unread", self.unread.standing()),
            ("work", self.work.standing()),
        ];
        bounds.extend(self.budgets.day.standing((self.now)()).map(|standing| ("day-bytes", standing)));
        if let Some(relay) = &self.relay {
            bounds.push(("mail-waiters", relay.waiting()));
            bounds.push(("mail-work", relay.work().standing()));
            bounds.extend(relay.standing().map(|(_, bytes)| ("mail-bytes", bytes)));
        }
        bounds
    }
}

/// Does work that may take long: in its client's turn, and not on the threads that answer other clients.
pub(crate) async fn in_turn<T: Send + 'static>(
    app: &Arc<App>,
    turns: &Turns,
    client: IpAddr,
    work: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = turns.turn(client, PATIENCE).await.ok_or_else(|| {
        Problem::unavailable(BUSY, "the log does as much of this at a time as it can").hint("ask again later")
    })?;
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&app)
    });
    done.await.unwrap_or_else(|_| Err(failed()))
}

/// Reads the store where a slow disk holds up nobody but those who read it: never on the threads that serve. A read of
/// this kind takes one look, or a few; longer work is done [in turn](in_turn).
pub(crate) async fn reading<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let theirs = app.clone();
    reading_of(&app.reads, move || read(&theirs)).await
}

/// One of as many reads at a time as there are turns.
async fn reading_of<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turns.clone().acquire_owned()).await else {
        return Err(Problem::unavailable(BUSY, "the log's store is slow").hint("ask again later"));
    };
    let done = tokio::task::spawn_blocking(move || {
        // A client that hangs up does not end its read: the turn ends with the read.
        let _turn = turn;
        read()
    });
    done.await.unwrap_or_else(|_| Err(failed()))
}

/// Reads the store where the caller cannot be put off: another thread serves meanwhile.
pub(crate) fn beside<T>(read: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(read)
}

/// How many reads of the store are under way at a time.
pub const READS: usize = 64;

/// Memory for full tiles and bundles.
pub const PREPARED_BYTES: usize = 64 << 20;

/// The rule of an answer to a client that got no turn.
const BUSY: &str = "busy";

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The routes. Nothing is compressed: caches keep what never changes, and compressing the
/// rest would cost the threads that answer other clients.
fn router(app: Arc<App>) -> Router {
    // The handlers of submissions and claims bound their answers themselves.
    let large = Router::new()
        .route(read::BUNDLE, get(read::bundle))
        .route("/api/v1/entries", get(lookup::entries))
        .route("/api/v1/entries/{index}", get(lookup::entry))
        .route("/api/v1/entries/{index}/proof", get(lookup::proof))
        .route("/api/v1/entries/{index}/receipt", get(lookup::receipt))
        .route("/api/v1/envelopes/{hash}", get(lookup::envelope))
        .route("/api/v1/evidence", post(evidence::evidence))
        .route("/api/v1/dids/{did}", get(identity::resolution))
        .route("/api/v1/lists", get(identity::lists))
        .route("/api/v1/mailbox", post(crate::relay::http::mailbox))
        .route("/did/{did}", get(identity::document))
        .route("/openapi.json", get(openapi::openapi))
        .route_layer(middleware::from_fn_with_state(app.clone(), unread::share));
    let operation = if app.operator_port { Router::new() } else { operation() };
    let python = if app.aip_v1.is_some() { aip_v1::router(&app) } else { Router::new() };
    large
        .merge(operation)
        .merge(python)
        .route(submit::PATH, post(submit::submit))
        .route("/api/v1/claims/{hash}", get(submit::claim))
        .route("/api/v1/messages", post(crate::relay::http::send))
        .route(read::CHECKPOINT, get(read::checkpoint))
        .route("/policy", get(read::policy))
        .route(read::TILE, get(read::tile))
        .route("/api/v1/proofs/inclusion/{index}/{size}", get(lookup::inclusion))
        .route("/api/v1/proofs/consistency/{old}/{new}", get(lookup::consistency))
        .route("/healthz", get(healthz))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(front::end))
        .with_state(app)
}

/// What only the operator needs.
fn operation() -> Router<Arc<App>> {
    Router::new().route("/readyz", get(readyz)).route("/metrics", get(metrics))
}

/// The routes of the operator's port.
pub fn operator_router(app: Arc<App>) -> Router {
    operation()
        .route("/healthz", get(healthz))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

#[utoipa::path(get, tag = "operation", path = "/healthz", responses((status = 200, description = "The process runs", body = String)))]
async fn healthz() -> &'static str {
    "ok\n"
}

#[utoipa::path(get, tag = "operation", path = "/readyz", responses(
    (status = 200, description = "Entries are taken and published; below, if they are published without the quorum, and how each witness does", body = String),
    (status = 503, description = "Entries are not taken or not published, or a witness has forgotten what it cosigned", body = Problem, content_type = "application/problem+json"),
))]
async fn readyz(State(app): State<Arc<App>>) -> Result<String, Problem> {
    let reasons = [not_ready, below_quorum, forgetful, day_spent];
    if let Some(problem) = reasons.iter().find_map(|reason| reason(&app)) {
        return Err(problem);
    }
    let cosigning = app.cosigning.borrow();
    let below = cosigning.shown_below_quorum.iter().map(|shown| format!("published: {shown}\n"));
    let witnesses = cosigning.witnesses.iter().map(|health| format!("witness {health}\n"));
    let day = app.budgets.day.standing((app.now)());
    let day = day.map(|day| format!("logged today: {} of {} bytes\n", day.taken, day.whole));
    let messages = crate::relay::status(app.relay.as_deref());
    let messages = std::iter::once(format!("messages: {messages}\n"));
    Ok(format!("ready\n{}", below.chain(witnesses).chain(day).chain(messages).collect::<String>()))
}

/// A problem if so little of the day's bytes is left that even a client that logged nothing today may be refused.
fn day_spent(app: &App) -> Option<Problem> {
    let longest = app.entry_limits.leaf_bytes + app.entry_limits.envelope_bytes;
    if app.budgets.day.has_left(longest as u64, (app.now)()) {
        return None;
    }
    let day = app.budgets.day.standing((app.now)())?;
    Some(
        Problem::unavailable("day-budget", "the log has taken nearly as many bytes as it takes in a day")
            .detail(format!("{} of {} bytes were logged today (UTC)", day.taken, day.whole))
            .hint("restart the log with a higher --bytes-per-day, or wait for the next day"),
    )
}

/// Why nothing is published now, if so. What is committed waits, and is published as it is.
pub fn below_quorum(app: &App) -> Option<Problem> {
    let cosigning = app.cosigning.borrow();
    cosigning.below_quorum.as_ref().map(|reason| {
        Problem::unavailable("below-quorum", "too few witnesses cosign this log's checkpoint")
            .detail(reason.clone())
            .hint("send the same bytes again later: nothing is logged twice, and nothing that was taken is lost")
    })
}

/// A problem if a witness has forgotten what it cosigned. Entries are taken all the same; a person has to look.
fn forgetful(app: &App) -> Option<Problem> {
    let forgetful = app.cosigning.borrow().forgetful()?;
    let problem = Problem::unavailable("witness-forgot", "a witness has forgotten what it cosigned");
    Some(problem.detail(forgetful).hint(
        "tell its operator; a witness that lost its state is over: take it out of the policy, then restart the log",
    ))
}

/// Why nothing is taken now, if so.
pub fn not_ready(app: &App) -> Option<Problem> {
    if app.disk_low.load(Ordering::Relaxed) {
        return Some(Problem::unavailable("disk-floor", "free disk space is below the log's floor"));
    }
    if let Some(reason) = &app.cosigning.borrow().halted {
        return Some(Problem::from(&Unavailable::Halted(reason.clone())));
    }
    let stopped = app.clock_stopped.borrow();
    stopped.as_ref().map(|jump| {
        Problem::unavailable("clock", "sequencing has stopped because of the clock")
            .detail(jump.clone())
            .hint("the operator sets the clock, and logging goes on; if it is right, `serve --accept-clock` says so")
    })
}

#[utoipa::path(get, tag = "operation", path = "/metrics", responses((status = 200, description = "Prometheus text", body = String)))]
async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}

async fn no_such_resource(uri: Uri) -> Problem {
    Problem::not_found("no-such-resource", format!("nothing is served at `{}`", uri.path()))
        .hint("`/openapi.json` lists what is")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", format!("`{}` does not take {method}", uri.path()))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    failed().into_response()
}

/// A bug of ours. stderr has the details; the client learns that its request was not the cause.
pub(crate) fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed on this request")
}

/// The parts of a path; what cannot be decoded is a problem like any other.
pub struct Parts<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(parts)| Self(parts)).map_err(|e| Problem::bad_request("path", e.body_text()))
    }
}

/// The address that a request counts for.
pub struct Client(pub IpAddr);

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>().ok_or_else(failed)?;
        Ok(Self(app.proxies.client(*peer, &parts.headers)))
    }
}

/// JSON that no cache keeps.
pub(crate) fn fresh_json<T: serde::Serialize>(value: T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

/// JSON that never changes.
fn immutable_json<T: serde::Serialize>(value: T) -> Response {
    ([(header::CACHE_CONTROL, IMMUTABLE)], Json(value)).into_response()
}

/// For what is addressed by its content, or by an index or size that never changes meaning.
const IMMUTABLE: &str = "public, max-age=604800, immutable";

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a client that asks and hangs up, again and again, would have any number of reads under way on a slow disk.
    #[tokio::test]
    async fn a_read_whose_client_hung_up_keeps_its_turn_until_it_ends() {
        let turns = Arc::new(Semaphore::new(1));
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let theirs = turns.clone();
        let client = tokio::spawn(async move {
            let read = move || {
                begun.send(()).expect("the test waits");
                may_go_on.recv().expect("the test lets it go on");
                Ok(())
            };
            reading_of(&theirs, read).await
        });
        is_begun.await.expect("the read begins");
        client.abort();
        assert!(client.await.expect_err("it hung up").is_cancelled());
        assert_eq!(turns.available_permits(), 0);
        go_on.send(()).expect("the read waits");
        let _turn = turns.acquire().await.expect("a turn");
    }
}
