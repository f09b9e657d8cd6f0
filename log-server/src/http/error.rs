//! One shape for every error: RFC 9457 problem details.

use std::num::NonZeroU64;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admit::{self, Refusal};
use crate::pool::Unavailable;
use crate::store::StoreError;

/// What went wrong, for a client. Details that only the operator may know go to stderr.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:aip:problem:` and the fixed identifier of the rule that was broken.
    #[serde(rename = "type")]
    kind: String,
    /// The fact.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Which value.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The server's time, Unix milliseconds, where the client's is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    now: Option<NonZeroU64>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem: status, rule and fact.
    pub fn new(status: StatusCode, rule: &str, title: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:aip:problem:{rule}"),
            title: title.into(),
            status: status.as_u16(),
            detail: None,
            hint: None,
            now: None,
            retry_after: None,
        }
    }

    /// The request is not of its form.
    pub fn bad_request(rule: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rule, title)
    }

    /// What was asked for is not here.
    pub fn not_found(rule: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, rule, title)
    }

    /// Not now. The same request may be sent again.
    pub fn unavailable(rule: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, rule, title).retry_after(1)
    }

    /// Adds which value.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the server's time, Unix milliseconds.
    #[must_use]
    pub fn now(mut self, millis: u64) -> Self {
        self.now = NonZeroU64::new(millis);
        self
    }

    /// Adds when to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The fact, which value, and what to do, in one line.
    pub fn text(&self) -> String {
        let parts = [Some(&self.title), self.detail.as_ref(), self.hint.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// When to try again, in seconds.
    pub fn when_again(&self) -> Option<u32> {
        self.retry_after
    }

    /// The identifier of the rule.
    pub fn rule(&self) -> &str {
        self.kind.strip_prefix("urn:aip:problem:").unwrap_or(&self.kind)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_string(&self).expect("strings and numbers are JSON");
        let mut response = (self.status(), json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal {
            Refusal::Submission(_) | Refusal::LeafEncoding => StatusCode::BAD_REQUEST,
            Refusal::LeafSize { .. } | Refusal::EnvelopeSize { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::DidNotAllowed(_) => StatusCode::FORBIDDEN,
            Refusal::EnvelopeErased(_) => StatusCode::GONE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let problem = Self::new(status, refusal.rule(), admit::cut(refusal));
        match refusal.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<&Unavailable> for Problem {
    fn from(unavailable: &Unavailable) -> Self {
        let rule = match unavailable {
            Unavailable::Full | Unavailable::ShareFull => "pool-full",
            Unavailable::Clock(_) => "clock",
            Unavailable::Halted(_) => "halted",
            Unavailable::Stopping => "stopping",
        };
        Self::unavailable(rule, unavailable.to_string())
            .hint("send the same bytes again later: nothing is logged twice")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // Paths and database words are the operator's.
        tracing::error!(%error, "a read failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the log could not read its own data")
    }
}
