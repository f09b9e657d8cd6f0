//! The way of a request to its handler.
//!
//! What clients ask for most goes straight there: submissions, the checkpoint, tiles and bundles that are in memory.
//! Everything else takes the router. Both ways lead to the same handlers and end in `finish`.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use service::connections::Routes;

use super::{App, failed, read, submit};
use crate::metrics;

/// What answers the log's connections.
pub struct Front {
    app: Arc<App>,
    router: Router,
}

impl Front {
    /// The routes of `app`.
    pub fn new(app: Arc<App>) -> Self {
        Self { router: super::router(app.clone()), app }
    }

    async fn route(&self, peer: SocketAddr, request: hyper::Request<Incoming>) -> Response {
        let app = &self.app;
        let client = |headers| app.proxies.client(peer, headers);
        match (request.method(), request.uri().path()) {
            (&Method::POST, submit::PATH) => {
                let (head, body) = request.into_parts();
                let answer = submit::take(app, client(&head.headers), &head.headers, body).await;
                finish(submit::PATH, answer.into_response())
            }
            (&Method::GET, read::CHECKPOINT) => finish(read::CHECKPOINT, read::show(app).into_response()),
            (&Method::GET, path) if path.starts_with("/tile/") => {
                match read::prepared(app, client(request.headers()), path) {
                    Some((route, answer)) => finish(route, answer.into_response()),
                    None => self.router.answer(peer, request).await,
                }
            }
            _ => self.router.answer(peer, request).await,
        }
    }
}

impl Routes for Front {
    async fn answer(&self, peer: SocketAddr, request: hyper::Request<Incoming>) -> Response {
        let mut answer = pin!(self.route(peer, request));
        // A handler that panicked is polled no more, and what it shares is locked by nobody who left it half done.
        poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
            polled.unwrap_or_else(|_| Poll::Ready(failed().into_response()))
        })
        .await
    }
}

/// What every route of the router ends in, and what a browser asks before it sends anything else.
pub(super) async fn end(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let response = if request.method() == Method::OPTIONS {
        let mut response = Response::default();
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, READ_METHODS);
        response
    } else {
        next.run(request).await
    };
    finish(path.as_ref().map_or("none", |path| path.as_str()), response)
}

/// Counts an answer, lets pages of every site read it, and lets caches keep only successes that say so. A connection whose
/// request was not read to its end is of no further use, which its client is told.
fn finish(route: &str, mut response: Response) -> Response {
    let status = response.status();
    metrics::request(route, status.as_u16());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    if !status.is_success() || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

const ANY: HeaderValue = HeaderValue::from_static("*");
const READ_METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD");

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::middleware;
    use axum::routing::get;
    use tower::ServiceExt as _;
    use tower_http::cors::{Any, CorsLayer};

    use super::*;

    #[tokio::test]
    async fn browsers_are_told_what_the_layer_of_others_tells_them() {
        let routes =
            || Router::new().route("/x", get(|| async { ([(header::CACHE_CONTROL, "no-store")], "x") }));
        let theirs = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET, Method::HEAD]);
        let (ours, theirs) = (routes().layer(middleware::from_fn(end)), routes().layer(theirs));
        for (method, path) in [("GET", "/x"), ("HEAD", "/x"), ("OPTIONS", "/x"), ("OPTIONS", "/y")] {
            let ask = || {
                let request =
                    Request::builder().method(method).uri(path).header("origin", "https://a.example");
                request.header("access-control-request-method", "GET").body(Body::empty()).expect("a request")
            };
            let mut ours = ours.clone().oneshot(ask()).await.expect("an answer");
            let theirs = theirs.clone().oneshot(ask()).await.expect("an answer");
            if method == "OPTIONS" {
                assert_eq!(
                    ours.headers_mut().remove(header::CACHE_CONTROL),
                    Some("no-store".parse().expect("a value"))
                );
            }
            assert_eq!(
                (ours.status(), ours.headers()),
                (theirs.status(), theirs.headers()),
                "{method} {path}"
            );
        }
    }
}
