//! Tiles, bundles, checkpoint and policy: what every C2SP client reads.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use tlog::tile::{Resource, Tile};

use super::error::Problem;
use super::{App, Client, IMMUTABLE, below_quorum, in_turn};

/// The published checkpoint.
#[utoipa::path(get, tag = "tiles", path = "/checkpoint", responses(
    (status = 200, description = "The published checkpoint, a signed note", body = String),
    (status = 503, description = "Nothing was published yet: witnesses are asked first", body = Problem, content_type = "application/problem+json")))]
pub async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let published = app.published.borrow().clone();
    if !published.is_signed() {
        let nothing = || Problem::unavailable("not-published", "this log has not published a checkpoint yet");
        return Err(below_quorum(&app).unwrap_or_else(nothing));
    }
    let headers = [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, published.note.to_string()).into_response())
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
    let hashes = app.view().tile(tile)?.ok_or_else(|| not_in_tree(&uri))?;
    Ok(octets(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()))
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
    Ok(octets(bundle.ok_or_else(|| not_in_tree(&uri))?))
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

fn octets(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, IMMUTABLE)], bytes)
        .into_response()
}

const TEXT: &str = "text/plain; charset=utf-8";
