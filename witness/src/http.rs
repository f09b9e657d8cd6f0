//! The HTTP interface (`specs/witness.md`): routes, and what they share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use service::addresses::{AddressBudget, Proxies};
use service::bodies::Bodies;
use service::shares::Shares;
use tlog::Hash;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};

use crate::cosigner::Cosigner;

pub mod about;
pub mod error;

use error::Problem;

/// Everything a handler may use.
pub struct App {
    /// The witness.
    pub cosigner: Arc<Cosigner>,
    /// The URL under which others reach it, without a slash at the end.
    pub url: Option<String>,
    /// Reverse proxies that are believed.
    pub proxies: Proxies,
    /// How much one address may ask.
    pub addresses: AddressBudget,
    /// How much all bodies together may be at a time.
    pub bodies: Bodies,
    /// Free disk space is below the floor.
    pub disk_low: AtomicBool,
    /// The connections that are open.
    pub connections: Shares,
    /// Whether health and metrics have a port of their own.
    pub operator_port: bool,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
}

/// The routes. Tests call them without a socket.
pub fn router(app: Arc<App>) -> Router {
    let operation = if app.operator_port { Router::new() } else { operation() };
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
        .merge(operation)
        .fallback(no_such_resource)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(count))
        .layer(CatchPanicLayer::custom(panicked))
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

async fn add_checkpoint(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let client = app.proxies.client(peer, &headers);
    spend(&app, client)?;
    if app.disk_low.load(Ordering::Relaxed) {
        return Err(Problem::disk_low());
    }
    let body = app.bodies.read(client, &headers, body, MAX_BODY_BYTES).await?;
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
    let client = app.proxies.client(peer, &headers);
    spend(&app, client)?;
    let body = app.bodies.read(client, &headers, body, MAX_BODY_BYTES).await?;
    Ok(text(app.cosigner.sign_subtree(&body)?))
}

/// The last cosigned checkpoint, for monitors. It is readable only once it is durable (WIT-19).
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
    if let Some(jump) = app.cosigner.clock.stopped() {
        return Err(jump.into());
    }
    match app.cosigner.state.logs_held() {
        0 => Ok("ready\n"),
        held => Err(Problem::unavailable(
            "held",
            format!("nothing is cosigned of {held} logs whose two records do not agree: see `witness fsck`"),
        )),
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

/// Counts every answer, and lets no cache keep it.
async fn count(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = path.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    crate::metrics::request(&route, response.status().as_u16());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // A bug of ours. stderr has the details; the client learns that its request was not the cause.
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the witness failed on this request")
        .into_response()
}

fn spend(app: &App, address: IpAddr) -> Result<(), Problem> {
    let spent = app.addresses.spend(address, 1);
    spent.map_err(|_| Problem::too_many("address-budget", format!("{address} has sent too many requests")))
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// The longest request body: room for 16 signatures of 3,300 bytes and 63 hashes, and as much again (WIT-13).
pub const MAX_BODY_BYTES: usize = 128 << 10;

/// How long a body may be without a share: longer than a log that signs with both kinds of key sends.
pub(crate) const SMALL_BODY_BYTES: usize = 16 << 10;
