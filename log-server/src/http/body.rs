//! Request bodies: plain JSON.

use std::net::IpAddr;

use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use service::bodies::{BodyError, Received};

use super::App;
use super::error::Problem;

/// Reads a client's JSON body of at most `limit` bytes.
pub async fn read<B>(
    app: &App,
    client: IpAddr,
    headers: &HeaderMap,
    body: B,
    limit: usize,
) -> Result<Received, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        let title = "a request body is `application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", title));
    }
    Ok(app.bodies.read(client, headers, body, limit).await?)
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let problem = Self::new(error.status(), error.rule(), error.to_string());
        match error {
            BodyError::NoRoom(_) => {
                problem.retry_after(1).hint("send the same bytes again later, or fewer entries at a time")
            }
            BodyError::TooLarge(_) => problem.hint("send fewer entries at a time, or log large ones by hash"),
            BodyError::TooSlow => problem.hint("send fewer entries at a time"),
            BodyError::BrokenOff | BodyError::Compressed => problem,
        }
    }
}

/// How long a body may be without a share: longer than most submissions of one entry. A longer body is read in its
/// client's turn.
pub const SMALL_BODY_BYTES: usize = 64 << 10;
