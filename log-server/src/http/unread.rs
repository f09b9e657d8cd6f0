//! Answers that were not read yet: how much of them is in memory at a time, for all and for each client.
//!
//! A client may ask for a large answer and not read it. Each of thousands of connections can keep one such answer until
//! `answer-timeout`, so all of them together have a bound.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use service::shares::{Bounds, Refused, Share, Shares, Standing};

use super::error::Problem;
use super::{App, Client};

/// Memory for large answers. Small ones are bounded by the number of connections: checkpoints, tiles and
/// proofs are always given.
#[derive(Debug)]
pub struct Unread {
    large: Shares,
}

impl Unread {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { large: Shares::new(Bounds::of(bytes as u64)) }
    }

    /// Gives a client's answer its room until it is sent.
    pub fn hold(&self, client: IpAddr, response: Response) -> Result<Response, Refused> {
        let bytes = response.body().size_hint().lower();
        if bytes <= SMALL_ANSWER_BYTES {
            return Ok(response);
        }
        let share = Arc::new(self.large.take(Some(client), bytes)?);
        Ok(response.map(|body| Body::new(Shared { body, share })))
    }

    /// How the room stands.
    pub fn standing(&self) -> Standing {
        self.large.standing()
    }
}

/// Gives a large answer its room, or says that there is none.
pub async fn share(
    State(app): State<Arc<App>>,
    Client(client): Client,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    app.unread.hold(client, response).unwrap_or_else(|refused| no_room(refused).into_response())
}

/// Why a client gets no large answer now.
pub fn no_room(refused: Refused) -> Problem {
    let title = match refused {
        Refused::Share => "too many large answers wait for this address to read them",
        Refused::Whole => "too many large answers wait for their clients to read them",
    };
    Problem::unavailable("unread", title).hint("read the answers that are under way, then ask again")
}

/// A body whose bytes hold its share until the last of them has gone out.
struct Shared {
    body: Body,
    share: Arc<Share>,
}

struct SharedBytes {
    bytes: Bytes,
    _share: Arc<Share>,
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
