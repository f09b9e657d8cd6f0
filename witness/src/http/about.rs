//! What a witness says about itself.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tlog::key::PublicKey;

use super::error::Problem;
use super::{App, text};
use crate::keys::spki;
use crate::logs::Logs;

/// Name, keys and policy text, for people.
pub async fn about(State(app): State<Arc<App>>) -> Response {
    let keys = &app.cosigner.keys;
    let mut page =
        format!("{} cosigns checkpoints of transparency logs (c2sp.org/tlog-witness).\n\n", keys.name());
    for key in keys.verifiers() {
        let _ = writeln!(page, "{key}");
    }
    let logs = app.cosigner.logs().len();
    let _ = write!(page, "\nFor a policy (c2sp.org/tlog-policy):\n\n{}\n", keys.policy(app.url.as_deref()));
    let _ = writeln!(page, "{logs} logs. GET /metadata and /status say more.");
    text(page)
}

/// Metadata in the form in which clients of other witnesses read it to configure themselves.
#[derive(Debug, Serialize)]
pub struct Metadata {
    witness_name: String,
    /// The ML-DSA-44 key if there is one.
    witness_public_key: String,
    /// All keys, which the layout of others has no room for.
    witness_vkeys: Vec<String>,
    submission_prefix: String,
    monitoring_prefix: String,
    logs: Vec<LogMetadata>,
}

#[derive(Debug, Serialize)]
struct LogMetadata {
    origin: String,
    log_public_keys: Vec<String>,
}

/// `GET /metadata`: the same bytes for everybody, made on a thread that answers nobody else.
pub async fn metadata(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let describe = move || {
        let json = |logs: &Logs| {
            serde_json::to_vec(&Metadata::of(&app, logs)).expect("strings and numbers are JSON")
        };
        app.cosigner.logs().described(json)
    };
    let failed =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the witness failed on this request");
    let bytes = tokio::task::spawn_blocking(describe).await.map_err(failed)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

impl Metadata {
    fn of(app: &App, logs: &Logs) -> Self {
        let keys = &app.cosigner.keys;
        let ml_dsa =
            keys.verifiers().iter().find(|key| matches!(key.key(), PublicKey::MlDsa44Cosignature(_)));
        let url = app.url.clone().unwrap_or_default();
        let logs = logs.sorted().into_iter().map(|log| LogMetadata {
            origin: log.origin.clone(),
            log_public_keys: log.keys.iter().map(|key| spki(key.key())).collect(),
        });
        Self {
            witness_name: keys.name().to_string(),
            witness_public_key: spki(ml_dsa.unwrap_or(&keys.verifiers()[0]).key()),
            witness_vkeys: keys.verifiers().iter().map(ToString::to_string).collect(),
            submission_prefix: url.clone(),
            monitoring_prefix: url,
            logs: logs.collect(),
        }
    }
}

/// How the witness is.
#[derive(Debug, Serialize)]
pub struct Status {
    name: String,
    /// Logs that are cosigned now.
    logs: usize,
    /// Logs that were ever cosigned.
    logs_cosigned: usize,
    /// Logs of which nothing is cosigned because the two records of them do not agree.
    logs_held: usize,
    /// Unix seconds of the latest cosignature.
    last_cosigned: Option<u64>,
    /// Contradictions that logs have signed.
    #[serde(rename = "evidence")]
    contradictions: u64,
    /// Why nothing is cosigned because of the clock.
    clock_stopped: Option<String>,
}

/// `GET /status`.
pub async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let cosigner = &app.cosigner;
    Json(Status {
        name: cosigner.keys.name().to_string(),
        logs: cosigner.logs().len(),
        logs_cosigned: cosigner.state.logs(),
        logs_held: cosigner.state.logs_held(),
        last_cosigned: cosigner.state.latest().map(|time| time.as_secs()),
        contradictions: cosigner.state.contradictions(),
        clock_stopped: cosigner.clock.stopped().map(|jump| jump.to_string()),
    })
}
