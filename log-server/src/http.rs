//! The HTTP interface (`specs/http.md`): routes, bounds, and the accept loop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};

use crate::admit::EntryLimits;
use crate::cosign::Cosigning;
use crate::pool::{Pool, Unavailable};
use crate::registry::Registry;
use crate::sequencer::Identity;
use crate::store::Store;
use crate::view::{Published, TileCache, View};

pub mod body;
pub mod budget;
pub mod error;
pub mod evidence;
pub mod identity;
pub mod lookup;
pub mod openapi;
pub mod read;
pub mod submit;
pub mod unread;

use budget::{Budgets, Gatekeeper};
use error::Problem;

/// Everything a handler may use.
pub struct App {
    /// The log's unique name.
    pub origin: String,
    /// The policy text that consumers pin.
    pub policy: String,
    /// Where others reach the log, without a slash at the end, if its policy says so.
    pub address: Option<String>,
    /// Where everything is kept. Handlers read; the sequencer writes.
    pub store: Arc<dyn Store>,
    /// Full tiles in memory.
    pub tiles: Arc<TileCache>,
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
    /// Who may submit.
    pub gatekeeper: Gatekeeper,
    /// How much.
    pub budgets: Budgets,
    /// How large one entry may be.
    pub entry_limits: EntryLimits,
    /// How much one request may bring.
    pub request_limits: RequestLimits,
    /// How much all requests together may bring at a time.
    pub bodies: body::Bodies,
    /// How much all answers together may be while nobody reads them.
    pub unread: unread::Unread,
    /// Keys that were found to be of prime order.
    pub keys: submit::KeyCache,
    /// Free disk space is below the floor.
    pub disk_low: AtomicBool,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
    /// The log's keys: they sign what the log says of its lists.
    pub identity: Arc<Identity>,
    /// How many gather evidence at a time.
    pub evidence: Arc<Semaphore>,
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
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How long a submission waits for its publication.
    pub deadline: Duration,
}

/// How many connections there are, and how long each may be slow.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// The most connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// How long a request head may take.
    pub header_timeout: Duration,
    /// How long an answer may wait for its client to read on.
    pub answer_timeout: Duration,
}

impl App {
    /// What is published at this moment.
    pub fn view(&self) -> View {
        let published = self.published.borrow().clone();
        View::new(self.store.clone(), self.tiles.clone(), published)
    }
}

/// The routes. Tests call them without a socket.
pub fn router(app: Arc<App>) -> Router {
    let packed = Router::new()
        .route("/tile/entries/{*path}", get(read::bundle))
        .route("/api/v1/entries", get(lookup::entries).post(submit::submit))
        .route("/api/v1/entries/{index}", get(lookup::entry))
        .route("/api/v1/entries/{index}/proof", get(lookup::proof))
        .route("/api/v1/entries/{index}/receipt", get(lookup::receipt))
        .route("/api/v1/envelopes/{hash}", get(lookup::envelope))
        .route("/api/v1/evidence", post(evidence::evidence))
        .route("/api/v1/dids/{did}", get(identity::resolution))
        .route("/api/v1/lists", get(identity::lists))
        .route("/did/{did}", get(identity::document))
        .route("/openapi.json", get(openapi::openapi))
        .layer(middleware::from_fn_with_state(app.clone(), unread::share))
        .layer(CompressionLayer::new().gzip(true).zstd(true));
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET, Method::HEAD]);
    packed
        .route("/checkpoint", get(read::checkpoint))
        .route("/policy", get(read::policy))
        .route("/tile/{*path}", get(read::tile))
        .route("/api/v1/claims/{hash}", get(submit::claim))
        .route("/api/v1/proofs/inclusion/{index}/{size}", get(lookup::inclusion))
        .route("/api/v1/proofs/consistency/{old}/{new}", get(lookup::consistency))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(cors)
        .layer(middleware::from_fn(count))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// Listens on an address, with room for many who come at once. A connection that finds none waits a second or more
/// before it tries again.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait for connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` says so, then finishes what is under way.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(64);
    let router = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let slot = tokio::select! {
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a connection that died in the queue: neither is the server's end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        limit_unread(&stream, limits.answer_timeout);
        let service = match router.clone().call(address).await {
            Ok(service) => TowerToHyperService::new(service),
            Err(never) => match never {},
        };
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open when the server stopped");
    }
}

/// A client that asks and does not read the answer would hold its connection, and the answer, for ever.
#[cfg(target_os = "linux")]
fn limit_unread(stream: &TcpStream, answer_timeout: Duration) {
    let milliseconds = u32::try_from(answer_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
        tracing::debug!(%error, "a connection that cannot be limited");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_unread(_: &TcpStream, _: Duration) {}

/// The address a request counts for: the peer's, or, behind trusted proxies, the last address in
/// `X-Forwarded-For` that is not such a proxy.
pub fn client_address(app: &App, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let trusted =
        |address: IpAddr| app.budgets.trusted_proxies.iter().any(|network| network.contains(&address));
    let mut address = peer.ip().to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        if !trusted(address) {
            break;
        }
        match hop.parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

#[utoipa::path(get, tag = "operation", path = "/healthz", responses((status = 200, description = "The process runs", body = String)))]
async fn healthz() -> &'static str {
    "ok\n"
}

#[utoipa::path(get, tag = "operation", path = "/readyz", responses(
    (status = 200, description = "Entries are taken and published; below, if they are published without the quorum, and how each witness does", body = String),
    (status = 503, description = "Entries are not taken or not published, for this reason", body = Problem, content_type = "application/problem+json"),
))]
async fn readyz(State(app): State<Arc<App>>) -> Result<String, Problem> {
    if let Some(problem) = not_ready(&app).or_else(|| below_quorum(&app)) {
        return Err(problem);
    }
    let cosigning = app.cosigning.borrow();
    let below = cosigning.shown_below_quorum.iter().map(|shown| format!("published: {shown}\n"));
    let witnesses = cosigning.witnesses.iter().map(|health| format!("witness {health}\n"));
    Ok(format!("ready\n{}", below.chain(witnesses).collect::<String>()))
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
            .hint("set the clock, then restart the log; a restart is the operator's word for it")
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

/// Counts every answer; and an answer is kept by a cache only if it says so, and is a success.
async fn count(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = path.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    crate::metrics::request(&route, response.status().as_u16());
    if !response.status().is_success() || !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // A bug of ours. What it was stands on stderr; the client learns that it was not the request.
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed on this request")
        .into_response()
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

/// JSON that no cache keeps.
fn fresh_json<T: serde::Serialize>(value: T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

/// JSON that never changes.
fn immutable_json<T: serde::Serialize>(value: T) -> Response {
    ([(header::CACHE_CONTROL, IMMUTABLE)], Json(value)).into_response()
}

/// For what is addressed by its content, or by an index or size that never changes meaning.
const IMMUTABLE: &str = "public, max-age=604800, immutable";

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 1_024;

/// The longest request head: above it 431.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long requests under way may take once the server stops: longer than a submission's deadline.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

type Peer = ConnectInfo<SocketAddr>;
