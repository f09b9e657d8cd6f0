//! Evidence about DIDs (`specs/http.md`).

use std::sync::Arc;

use attestation::api::EvidenceQuery;
use attestation::entry::LogTime;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use trust::{Params, Ppm, ScopeQuery};

use super::error::Problem;
use super::{App, Client, body, in_turn};
use crate::admit::cut;
use crate::evidence::{GatherError, Question, TIME};
use log_core::port::{Assert as _, Asserted, ready};
use tlog::TreeSize;

/// What is asked, in our terms.
fn read(query: EvidenceQuery, now: u64) -> Result<Question, Problem> {
    let bad = |why: String| Problem::bad_request("evidence", why);
    let trust = query.trust.map(|trust| -> Result<Params, Problem> {
        let scope: ScopeQuery = trust.scope.parse().map_err(|error| bad(cut(error)))?;
        let share =
            |parts| Ppm::new(parts).ok_or_else(|| bad(format!("{parts} is no share in parts per million")));
        let params = Params::new(trust.roots)
            .and_then(|params| params.with_decay(trust.decay))
            .and_then(|params| params.with_max_hops(trust.max_hops))
            .and_then(|params| params.with_min_paths(trust.min_paths))
            .map_err(|error| bad(cut(error)))?;
        Ok(params.with_scope(scope).with_floor(share(trust.floor)?).with_threshold(share(trust.threshold)?))
    });
    let time = LogTime::from_millis(now).unwrap_or(LogTime::MAX);
    Ok(Question { did: query.did, trust: trust.transpose()?, messages: query.messages, time })
}

/// Evidence about a DID: its state, all that a judgement of trust needs, and how messages reach it.
#[utoipa::path(post, tag = "lookup", path = "/api/v1/evidence", request_body = EvidenceQuery, responses(
    (status = 200, description = "Evidence as of the published checkpoint", body = String, content_type = "application/vnd.aip.evidence.v1+json"),
    (status = 400, description = "What is wanted is not of its form", body = Problem, content_type = "application/problem+json"),
    (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "Not plain JSON", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "The address's budget is spent", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The evidence is too large", body = Problem, content_type = "application/problem+json")))]
pub async fn evidence(
    State(app): State<Arc<App>>,
    Client(client): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    app.budgets.spend_address(client, 1)?;
    let body = body::read(&app, client, &headers, body, MAX_QUESTION_BYTES).await?;
    let query: EvidenceQuery =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request("evidence", cut(error)))?;
    drop(body);
    let question = read(query, (app.now)())?;
    let gathered = in_turn(&app, &app.evidence, client, move |app| {
        match ready(app.asserter.assert(question, TreeSize::EMPTY, TIME))? {
            Asserted::Signed(evidence) => Ok(evidence.to_json()),
            Asserted::Behind => Err(Problem::unavailable("no-checkpoint", "nothing is published yet")),
            Asserted::Busy => Err(GatherError::TooSlow.into()),
        }
    });
    let headers =
        [(header::CONTENT_TYPE, attestation::evidence::MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, gathered.await?).into_response())
}

impl From<GatherError> for Problem {
    fn from(error: GatherError) -> Self {
        match error {
            GatherError::Store(error) => error.into(),
            GatherError::TooSlow => Self::unavailable("busy", error.to_string()).hint(READ_THE_LOG),
            GatherError::TooMuch => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "evidence-size", error.to_string())
                    .hint(READ_THE_LOG)
            }
        }
    }
}

const READ_THE_LOG: &str = "read the whole log instead, and judge there: `--sync`";

/// The longest question: 256 roots fit.
const MAX_QUESTION_BYTES: usize = 32 << 10;
