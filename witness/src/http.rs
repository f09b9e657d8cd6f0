//! The HTTP interface (`specs/witness.md`): routes, bounds, and the accept loop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tlog::Hash;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};

use crate::cosigner::Cosigner;

pub mod about;
pub mod body;
pub mod budget;
pub mod error;

use budget::Budgets;
use error::Problem;

/// Everything a handler may use.
pub struct App {
    /// The witness.
    pub cosigner: Arc<Cosigner>,
    /// The URL under which others reach it, without a slash at the end.
    pub url: Option<String>,
    /// How much one address may ask.
    pub budgets: Budgets,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How much all bodies together may be at a time.
    pub bodies: body::Bodies,
    /// Free disk space is below the floor.
    pub disk_low: AtomicBool,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
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

/// The routes. Tests call them without a socket.
pub fn router(app: Arc<App>) -> Router {
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET, Method::HEAD]);
    let reads = Router::new()
        .route("/", get(about::about))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .route("/metadata", get(about::metadata))
        .route("/status", get(about::status))
        // Before the layer, which answers a browser's `OPTIONS` in its place.
        .method_not_allowed_fallback(method_not_allowed)
        .layer(cors);
    reads
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/sign-subtree", post(sign_subtree))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(method_not_allowed)
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

/// A client that asks and does not read the answer would hold its connection for ever.
#[cfg(target_os = "linux")]
fn limit_unread(stream: &TcpStream, answer_timeout: Duration) {
    let milliseconds = u32::try_from(answer_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds) {
        tracing::debug!(%error, "a connection that cannot be limited");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_unread(_: &TcpStream, _: Duration) {}

async fn add_checkpoint(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let start = Instant::now();
    app.budgets.spend_address(client_address(&app, peer, &headers))?;
    if app.disk_low.load(Ordering::Relaxed) {
        return Err(Problem::disk_low());
    }
    let body = body::read(&app, &headers, body).await?;
    let lines = app.cosigner.add_checkpoint(&body).await?;
    crate::metrics::added(start.elapsed());
    Ok(text(lines))
}

async fn sign_subtree(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    app.budgets.spend_address(client_address(&app, peer, &headers))?;
    let body = body::read(&app, &headers, body).await?;
    Ok(text(app.cosigner.sign_subtree(&body)?))
}

/// The checkpoint that was cosigned last, for monitors. Only what is durable is here to be read (WIT-19).
async fn checkpoint(State(app): State<Arc<App>>, Path(hash): Path<String>) -> Result<Response, Problem> {
    let hash = Hash::from_hex(&hash).ok_or_else(|| {
        Problem::not_found("a log is named by the SHA-256 of its origin, 64 lower-case hex digits")
    })?;
    let note = app.cosigner.checkpoint(&hash)?;
    note.map(|note| text(note.to_string()))
        .ok_or_else(|| Problem::not_found("this witness has never cosigned a checkpoint of that log"))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    if app.disk_low.load(Ordering::Relaxed) {
        return Err(Problem::disk_low());
    }
    match app.cosigner.clock.stopped() {
        Some(jump) => Err(jump.into()),
        None => Ok("ready\n"),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}

async fn no_such_resource(uri: Uri) -> Problem {
    Problem::not_found(format!("nothing is served at `{}`", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", format!("`{}` does not take {method}", uri.path()))
}

/// Counts every answer; nothing here is to be kept by a cache.
async fn count(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = path.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    crate::metrics::request(&route, response.status().as_u16());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // A bug of ours. What it was stands on stderr; the client learns that it was not the request.
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the witness failed on this request")
        .into_response()
}

/// The address a request counts for: the peer's, or, behind trusted proxies, the last address in
/// `X-Forwarded-For` that is not such a proxy.
fn client_address(app: &App, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let mut address = peer.ip().to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        if !app.budgets.trusts(address) {
            break;
        }
        match hop.parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 1_024;

/// The longest request head: above it 431.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long requests under way may take once the server stops: longer than a body may take to come.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
