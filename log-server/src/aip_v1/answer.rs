//! How the Python service answers: errors are `{"detail": text}`, times are UTC in one of two forms.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::error::Problem;
use crate::http::identity::date_time;
use crate::store::StoreError;
use attestation::entry::LogTime;

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    status: StatusCode,
    text: String,
    retry_after: Option<u32>,
}

impl Detail {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn unauthorized(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text)
    }

    pub(super) fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "DID not registered")
    }

    /// As often as an address may; when it may again, in seconds.
    pub(super) fn too_many(seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Rate limit exceeded. Try again in {seconds} seconds."),
            )
        }
    }
}

impl IntoResponse for Detail {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(json!({"detail": self.text}))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A problem of the log, in the words of this interface.
impl From<Problem> for Detail {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status(), text: problem.text(), retry_after: problem.when_again() }
    }
}

impl From<StoreError> for Detail {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

/// `2026-11-23 09:38:34`, for `registered_at`, `created_at` and `read_at`.
pub(super) fn plain_time(millis: u64) -> String {
    date_time(time(millis)).replace('T', " ").trim_end_matches('Z').to_owned()
}

/// `2026-11-23T09:38:34.446000+00:00`, for all others.
pub(super) fn iso_time(millis: u64) -> String {
    let seconds = date_time(time(millis));
    format!("{}.{:03}000+00:00", seconds.trim_end_matches('Z'), millis % 1_000)
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).unwrap_or(LogTime::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_two_forms_of_python() {
        assert_eq!(plain_time(1_790_000_000_446), "2026-09-21 14:13:20");
        assert_eq!(iso_time(1_790_000_000_046), "2026-09-21T14:13:20.046000+00:00");
    }
}
