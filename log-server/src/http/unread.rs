//! Answers that nobody has read yet: how much of them is in memory at a time.
//!
//! A client may ask for a large answer and not read it. Each connection keeps one such answer until
//! `answer-timeout`, and there are thousands of connections: together they get so many bytes and no more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::error::Problem;

/// Memory for large answers. Small ones are bounded by the number of connections: checkpoints, tiles and
/// proofs are always given.
#[derive(Debug)]
pub struct Unread {
    large: Arc<Semaphore>,
}

impl Unread {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { large: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }
}

/// Gives a large answer its share until it is sent, or says that there is none left.
pub async fn share(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let bytes = response.body().size_hint().lower();
    if bytes <= SMALL_ANSWER_BYTES {
        return response;
    }
    let share = u32::try_from(bytes)
        .ok()
        .and_then(|bytes| app.unread.large.clone().try_acquire_many_owned(bytes).ok());
    match share {
        Some(share) => response.map(|body| Body::new(Shared { body, share: Arc::new(share) })),
        None => Problem::unavailable("unread", "too many large answers wait for their clients to read them")
            .hint("ask again later")
            .into_response(),
    }
}

/// A body whose bytes hold its share, however far they have come on their way out.
struct Shared {
    body: Body,
    share: Arc<OwnedSemaphorePermit>,
}

struct SharedBytes {
    bytes: Bytes,
    _share: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let shared = |bytes| Bytes::from_owner(SharedBytes { bytes, _share: self.share.clone() });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(shared))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What every answer may have without a share.
const SMALL_ANSWER_BYTES: u64 = 64 << 10;
