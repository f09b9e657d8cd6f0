//! Request bodies: how long, how slow, and how much of them is in memory at a time.

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

/// Reads the body of a request. Its media type does not matter: known clients send none.
pub async fn read<'a>(app: &'a App, headers: &HeaderMap, body: Body) -> Result<Received<'a>, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let sentence = "a request body is not compressed";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", sentence));
    }
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    // What is announced beyond that has no share of the memory before it comes.
    let bytes = Vec::with_capacity(announced.map_or(0, |length| length as usize).min(SMALL_BODY_BYTES));
    let collected = tokio::time::timeout(app.body_timeout, collect(&app.bodies, body, bytes)).await;
    collected.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "the request body came too slowly"))
    })
}

/// One buffer, whatever the chunks: a body of one-byte chunks kept as it comes would take many times its bytes.
async fn collect(bodies: &Bodies, mut body: Body, bytes: Vec<u8>) -> Result<Received<'_>, Problem> {
    let share = bodies.large.try_acquire_many(0).expect("nothing is always there");
    let mut received = Received { bytes, share };
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::new(StatusCode::BAD_REQUEST, "body", "the request body broke off");
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let length = received.bytes.len() + data.len();
        if length > MAX_BODY_BYTES {
            return Err(too_large());
        }
        let more = length.saturating_sub(SMALL_BODY_BYTES).saturating_sub(received.share.num_permits());
        let more = u32::try_from(more).ok().and_then(|more| bodies.large.try_acquire_many(more).ok());
        received.share.merge(more.ok_or_else(|| {
            Problem::unavailable("bodies", "this witness holds as many large requests as it takes at a time")
        })?);
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

fn too_large() -> Problem {
    let sentence = format!("a request body has at most {MAX_BODY_BYTES} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-size", sentence)
}

/// Room for 16 signatures of 3,300 bytes and 63 hashes, and as much again (WIT-13).
pub const MAX_BODY_BYTES: usize = 128 << 10;

/// What every body may have without a share: more than a log sends that signs with both kinds of key.
const SMALL_BODY_BYTES: usize = 16 << 10;
