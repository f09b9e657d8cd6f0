//! Request bodies: how long, how slow, and how much of them is in memory at a time.

use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What bodies may have, each and together.
#[derive(Debug)]
pub struct Bodies {
    limits: BodyLimits,
    large: Semaphore,
}

/// The bounds of bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// What every body may have without a share of `together`, bytes. It is bounded by the number of connections, so
    /// that who sends a body of the usual size never waits for who sends large ones.
    pub small: usize,
    /// What all bodies together may have beyond that at a time, bytes.
    pub together: usize,
    /// How long one may take.
    pub timeout: Duration,
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

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// It ended before its end.
    #[error("the request body broke off")]
    BrokenOff,
    /// It has a content encoding.
    #[error("a request body is not compressed")]
    Compressed,
    /// All memory for large ones is taken.
    #[error("as many bytes of request bodies are here as are taken at a time")]
    NoRoom,
    /// It has more bytes than this.
    #[error("a request body has at most {0} bytes")]
    TooLarge(usize),
    /// It took too long.
    #[error("the request body came too slowly")]
    TooSlow,
}

impl BodyError {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The fixed identifier, for programs.
    pub fn rule(self) -> &'static str {
        match self {
            Self::BrokenOff => "body",
            Self::Compressed => "content-encoding",
            Self::NoRoom => "bodies",
            Self::TooLarge(_) => "body-size",
            Self::TooSlow => "body-timeout",
        }
    }
}

impl Bodies {
    /// Bodies within these bounds.
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, large: Semaphore::new(limits.together.min(Semaphore::MAX_PERMITS)) }
    }

    /// Reads the body of a request, of at most `longest` bytes.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        longest: usize,
    ) -> Result<Received<'_>, BodyError> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(BodyError::Compressed);
        }
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let announced = announced.unwrap_or(0);
        if announced > longest as u64 {
            return Err(BodyError::TooLarge(longest));
        }
        // What is announced beyond that has no share of the memory before it comes.
        let bytes = Vec::with_capacity((announced as usize).min(self.limits.small));
        let collected = tokio::time::timeout(self.limits.timeout, self.collect(body, bytes, longest)).await;
        collected.unwrap_or(Err(BodyError::TooSlow))
    }

    /// One buffer, whatever the chunks: a body of one-byte chunks kept as it comes would take many times its bytes.
    async fn collect(
        &self,
        mut body: Body,
        bytes: Vec<u8>,
        longest: usize,
    ) -> Result<Received<'_>, BodyError> {
        let share = self.large.try_acquire_many(0).expect("nothing is always there");
        let mut received = Received { bytes, share };
        while let Some(frame) = body.frame().await {
            // Trailers say nothing here.
            let Ok(data) = frame.map_err(|_| BodyError::BrokenOff)?.into_data() else { continue };
            let length = received.bytes.len() + data.len();
            if length > longest {
                return Err(BodyError::TooLarge(longest));
            }
            let more = length.saturating_sub(self.limits.small).saturating_sub(received.share.num_permits());
            let more = u32::try_from(more).ok().and_then(|more| self.large.try_acquire_many(more).ok());
            received.share.merge(more.ok_or(BodyError::NoRoom)?);
            received.bytes.extend_from_slice(&data);
        }
        Ok(received)
    }
}
