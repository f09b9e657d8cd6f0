//! One shape for every error: RFC 9457 problem details.

use attestation::api;
use attestation::entry::LogTime;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::admit::{self, Refusal};
use crate::pool::Unavailable;
use crate::store::StoreError;

/// What went wrong, for a client, and when to try again. Details that only the operator may know go to stderr.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    said: Box<api::Problem>,
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem: status, rule and fact.
    pub fn new(status: StatusCode, rule: &str, title: impl Into<String>) -> Self {
        Self { status, said: Box::new(api::Problem::new(status.as_u16(), rule, title)), retry_after: None }
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
        self.said.detail = Some(detail.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.said.hint = Some(hint.into());
        self
    }

    /// Adds the server's time.
    #[must_use]
    pub fn now(mut self, now: LogTime) -> Self {
        self.said.now = Some(now);
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
        let parts = [Some(&self.said.title), self.said.detail.as_ref(), self.said.hint.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// When to try again, in seconds.
    pub fn when_again(&self) -> Option<u32> {
        self.retry_after
    }

    /// The identifier of the rule.
    pub fn rule(&self) -> &str {
        self.said.rule()
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Described as what its clients read.
impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        api::Problem::schema()
    }
}

impl ToSchema for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_string(&self.said).expect("strings and numbers are JSON");
        let mut response = (self.status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(api::Problem::MEDIA_TYPE));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// As one of several results, where no header says when to try again.
impl From<Problem> for api::Problem {
    fn from(problem: Problem) -> Self {
        *problem.said
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
            Unavailable::Closed(_) => "closed",
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
