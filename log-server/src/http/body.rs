//! Request bodies: plain JSON, how long, how slow, and how much of them is in memory at a time.

use std::ops::Deref;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::App;
use super::error::Problem;

/// Memory for what bodies have beyond their first `SMALL_BODY_BYTES`. Those are bounded by the number of
/// connections, so that who sends a body of the usual size never waits for who sends large ones.
#[derive(Debug)]
pub struct Bodies {
    large: Semaphore,
}

impl Bodies {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { large: Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)) }
    }
}

/// A whole body, and its share of the memory until it is dropped.
#[derive(Debug)]
pub struct Received<'a> {
    bytes: Vec<u8>,
    share: SemaphorePermit<'a>,
}

impl Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a JSON body of at most `limit` bytes.
pub async fn read<'a>(
    app: &'a App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Received<'a>, Problem> {
    let unsupported = |rule, title: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, rule, title);
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported("content-encoding", "a request body is not compressed"));
    }
    let json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(unsupported("content-type", "a request body is `application/json`"));
    }
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let bytes = Vec::with_capacity(announced.map_or(0, |length| length as usize));
    let collected =
        tokio::time::timeout(app.request_limits.body_timeout, collect(app, body, bytes, limit)).await;
    collected.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "the request body came too slowly"))
    })
}

/// One buffer, whatever the chunks: a body of one-byte chunks kept as it comes would take many times its bytes.
async fn collect(app: &App, mut body: Body, bytes: Vec<u8>, limit: usize) -> Result<Received<'_>, Problem> {
    let share = app.bodies.large.try_acquire_many(0).expect("nothing is always there");
    let mut received = Received { bytes, share };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad_request("body", "the request body broke off"))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        let length = received.bytes.len() + data.len();
        if length > limit {
            return Err(too_large(limit));
        }
        let more = length.saturating_sub(SMALL_BODY_BYTES).saturating_sub(received.share.num_permits());
        let more = u32::try_from(more).ok().and_then(|more| app.bodies.large.try_acquire_many(more).ok());
        received.share.merge(more.ok_or_else(|| {
            Problem::unavailable(
                "bodies",
                "the log holds as many bytes of request bodies as it takes at a time",
            )
            .hint("send the same bytes again later, or fewer entries at a time")
        })?);
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

fn too_large(limit: usize) -> Problem {
    let title = format!("a request body has at most {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-size", title)
        .hint("send fewer entries at a time, or log large ones by hash")
}

/// What every body may have without a share: more than most submissions of one entry.
const SMALL_BODY_BYTES: usize = 64 << 10;
