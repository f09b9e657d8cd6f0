//! Errors as clients see them: a status and one sentence of plain text, as this protocol has it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use service::bodies::BodyError;
use tlog::TreeSize;
use tlog::add_checkpoint::SIZE_MEDIA_TYPE;

use crate::clock::ClockJump;
use crate::cosigner::{Refused, SubtreeRefused};
use crate::decide::Refusal;
use crate::metrics;
use crate::state::StateError;

/// What went wrong, for a client.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    rule: &'static str,
    sentence: String,
    retry_after: Option<u32>,
    /// The answer 409 says the size that the witness has, and nothing else.
    size: Option<TreeSize>,
}

impl Problem {
    /// A problem: status, fixed name for metrics, and the fact.
    pub fn new(status: StatusCode, rule: &'static str, sentence: impl Into<String>) -> Self {
        Self { status, rule, sentence: sentence.into(), retry_after: None, size: None }
    }

    /// What was asked for is not here.
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", sentence)
    }

    /// Not now. The same request may be sent again.
    pub fn unavailable(rule: &'static str, sentence: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, rule, sentence) }
    }

    /// Too many requests.
    pub fn too_many(rule: &'static str, sentence: impl Into<String>) -> Self {
        Self { retry_after: Some(60), ..Self::new(StatusCode::TOO_MANY_REQUESTS, rule, sentence) }
    }

    /// Nothing could be persisted.
    pub fn disk_low() -> Self {
        Self::unavailable("disk-floor", "free disk space is below this witness's floor")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        metrics::refused(self.rule);
        let (media, body) = match self.size {
            Some(size) => (SIZE_MEDIA_TYPE, format!("{size}\n")),
            None => ("text/plain; charset=utf-8", format!("{}\n", self.sentence)),
        };
        let mut response = (self.status, [(header::CONTENT_TYPE, media)], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let size = if let Refusal::Stale(size) = refusal { Some(size) } else { None };
        Self { size, ..Self::new(status, refusal.rule(), refusal.to_string()) }
    }
}

impl From<ClockJump> for Problem {
    fn from(jump: ClockJump) -> Self {
        Self { retry_after: Some(60), ..Self::unavailable("clock", format!("nothing is cosigned: {jump}")) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let sentence = refused.to_string();
        match refused {
            Refused::Rule(refusal) => refusal.into(),
            Refused::Clock(jump) => jump.into(),
            Refused::Held(_) => Self { retry_after: Some(60), ..Self::unavailable("held", sentence) },
            Refused::NoNote => Self::unavailable("no-note", sentence),
            Refused::LogBudget => Self::too_many("log-budget", sentence),
            Refused::Busy => Self::unavailable("busy", sentence),
            Refused::State(error) => error.into(),
            Refused::Stopping(_) => Self::unavailable("stopping", sentence),
            Refused::Signature(_) => Self::new(StatusCode::BAD_REQUEST, "unsignable", sentence),
        }
    }
}

impl From<SubtreeRefused> for Problem {
    fn from(refused: SubtreeRefused) -> Self {
        let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, "subtree", refused.to_string())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let sentence = error.to_string();
        match error {
            BodyError::NoRoom(_) => Self::unavailable(error.rule(), sentence),
            _ => Self::new(error.status(), error.rule(), sentence),
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        // Paths and database words are the operator's.
        tracing::error!(%error, "a read failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the witness could not read its own data")
    }
}
