//! The description of the interface, made from the handlers.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Transparency log for CI pipelines",
        description = "See specs/http.md.",
        license(name = "MIT", identifier = "MIT")
    ),
    paths(
        super::submit::submit,
        super::submit::claim,
        super::evidence::evidence,
        super::lookup::entries,
        super::lookup::entry,
        super::lookup::proof,
        super::lookup::receipt,
        super::lookup::envelope,
        super::lookup::inclusion,
        super::lookup::consistency,
        super::identity::document,
        super::identity::resolution,
        super::identity::lists,
        crate::relay::http::send,
        crate::relay::http::mailbox,
        super::read::checkpoint,
        super::read::policy,
        super::read::tile,
        super::read::bundle,
        super::healthz,
        super::readyz,
        super::metrics,
        openapi,
    )
)]
struct Api;

/// This description.
#[utoipa::path(get, tag = "operation", path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub async fn openapi() -> impl IntoResponse {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| Api::openapi().to_json().expect("the description is JSON")).as_str();
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], json)
}
