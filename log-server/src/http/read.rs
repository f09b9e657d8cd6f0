//! Tiles, bundles, checkpoint and policy: what every C2SP client reads.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use tlog::tile::{Resource, Tile};

use super::error::Problem;
use super::unread::no_room;
use super::{App, Client, IMMUTABLE, below_quorum, in_turn, reading};

/// The published checkpoint.
#[utoipa::path(get, tag = "tiles", path = "/checkpoint", responses(
    (status = 200, description = "The published checkpoint, a signed note", body = String),
    (status = 503, description = "Nothing was published yet: witnesses are asked first", body = Problem, content_type = "application/problem+json")))]
pub async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    show(&app)
}

/// Where the checkpoint is.
pub(crate) const CHECKPOINT: &str = "/checkpoint";

/// Shows the published checkpoint.
pub(super) fn show(app: &App) -> Result<Response, Problem> {
    let shown = app.shown();
    if !shown.published().is_signed() {
        let nothing = || Problem::unavailable("not-published", "this log has not published a checkpoint yet");
        return Err(below_quorum(app).unwrap_or_else(nothing));
    }
    let headers = [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from(shown.note())).into_response())
}

/// The policy that a consumer of this log pins.
#[utoipa::path(get, tag = "tiles", path = "/policy", responses((status = 200, description = "C2SP tlog-policy text", body = String)))]
pub async fn policy(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-cache")], app.terms().policy.clone())
}

/// A tile, full or partial.
#[utoipa::path(get, tag = "tiles", path = "/tile/{path}",
    params(("path" = String, Path, description = "level, index and width as in c2sp.org/tlog-tiles, such as `0/x001/234.p/5`")),
    responses((status = 200, description = "Hashes of 32 bytes", content_type = "application/octet-stream"),
              (status = 404, description = "The published tree does not imply it", body = Problem, content_type = "application/problem+json")))]
pub async fn tile(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let tile = parse(&uri, Resource::Hashes)?;
    let view = app.view();
    let hashes = match view.edge_tile(tile) {
        Some(hashes) => Some(hashes),
        None => reading(&app, move |_| Ok(view.tile(tile)?)).await?,
    };
    let bytes: Vec<u8> =
        hashes.ok_or_else(|| not_in_tree(&uri))?.iter().flat_map(|hash| *hash.as_bytes()).collect();
    Ok(octets(keep(&app, Resource::Hashes, tile, bytes)))
}

/// An entry bundle, full or partial.
#[utoipa::path(get, tag = "tiles", path = "/tile/entries/{path}",
    params(("path" = String, Path, description = "index and width as in c2sp.org/tlog-tiles, such as `x001/234.p/5`")),
    responses((status = 200, description = "Entries, each behind its length in two bytes", content_type = "application/octet-stream"),
              (status = 404, description = "The published tree does not imply it", body = Problem, content_type = "application/problem+json")))]
pub async fn bundle(
    State(app): State<Arc<App>>,
    Client(client): Client,
    uri: Uri,
) -> Result<Response, Problem> {
    let tile = parse(&uri, Resource::Entries)?;
    let bundle = in_turn(&app, &app.work, client, move |app| Ok(app.view().bundle(tile)?)).await?;
    let bundle = bundle.ok_or_else(|| not_in_tree(&uri))?;
    Ok(octets(keep(&app, Resource::Entries, tile, bundle)))
}

/// The routes of tiles and bundles.
pub(crate) const TILE: &str = "/tile/{*path}";
pub(crate) const BUNDLE: &str = "/tile/entries/{*path}";

/// The answer to a request for a full tile or bundle that is in memory, and its route.
pub(super) fn prepared(
    app: &App,
    client: IpAddr,
    path: &str,
) -> Option<(&'static str, Result<Response, Problem>)> {
    let (tile, of) = Tile::parse(path.strip_prefix('/')?)?;
    // What was published once, and so came into this memory, is published for ever.
    let bytes = app.prepared.get(of, tile)?;
    match of {
        Resource::Hashes => Some((TILE, Ok(octets(bytes)))),
        Resource::Entries => Some((BUNDLE, app.unread.hold(client, octets(bytes)).map_err(no_room))),
    }
}

/// Keeps a full tile or bundle in memory.
fn keep(app: &App, of: Resource, tile: Tile, bytes: Vec<u8>) -> Bytes {
    let bytes = Bytes::from(bytes);
    if tile == tile.full() {
        app.prepared.put(of, tile, bytes.clone());
    }
    bytes
}

/// The path as it was sent, not decoded: a tile has one spelling.
fn parse(uri: &Uri, resource: Resource) -> Result<Tile, Problem> {
    let tile = uri.path().strip_prefix('/').and_then(Tile::parse);
    match tile {
        Some((tile, of)) if of == resource => Ok(tile),
        _ => Err(Problem::not_found("tile-path", format!("`{}` is not the path of a tile", uri.path()))),
    }
}

fn not_in_tree(uri: &Uri) -> Problem {
    Problem::not_found("tile-outside", format!("the published tree has no `{}`", uri.path()))
}

fn octets(bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
