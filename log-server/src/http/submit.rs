//! Submissions: admit, wait for commit and publication, answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::api::{self, Answer, Submission};
use attestation::entry::{ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body as EventBody, TrustEvent};
use attestation::rules::CheckError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use rayon::prelude::*;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use service::bodies::Received;
use tlog::{Hash, LeafIndex, encoding};
use tokio::sync::oneshot;
use tokio::time::{Instant as Deadline, timeout_at};

use super::answer::{Outcome, answer};
use super::body::{self, SMALL_BODY_BYTES};
use super::error::Problem;
use super::{App, Client, Parts, below_quorum, in_turn, not_ready, reading};
use crate::admit::{self, Refusal};
use crate::metrics;
use crate::pool::{Committed, NotTaken, Sequenced, Unavailable};
use crate::store::StoreError;
use crate::store::schema::{Read as _, StoredEnvelope};

/// Submits one entry or many.
#[utoipa::path(post, tag = "submit", path = "/api/v1/entries", request_body(description = "One submission, or an array of them", content = Submission), responses(
    (status = 200, description = "Answered: one result, or an array in the order of the submissions", body = Answer),
    (status = 202, description = "Committed and not yet published", body = Answer),
    (status = 400, description = "Not of its form", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No token that this log knows", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not a DID that this log takes", body = Problem, content_type = "application/problem+json"),
    (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
    (status = 410, description = "The envelope was erased", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "Not plain JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Breaks a rule", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "A budget is spent", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not taken now", body = Problem, content_type = "application/problem+json")))]
pub async fn submit(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(&app, address, &headers, body).await
}

/// Takes a client's submissions.
pub(super) async fn take<B>(
    app: &Arc<App>,
    address: IpAddr,
    headers: &HeaderMap,
    body: B,
) -> Result<Response, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let start = Instant::now();
    app.terms().gatekeeper.check_request(headers)?;
    // Before the body is read: reading it is work, too.
    app.budgets.spend_address(address, 1)?;
    let body = body::read(app, address, headers, body, app.request_limits.body_bytes).await?;
    let patience = Patience::from_headers(headers, app.request_limits.deadline);
    let response = if body.trim_ascii_start().first() == Some(&b'[') {
        submit_many(app, address, body, patience).await?
    } else {
        submit_one(app, address, body, patience).await?
    };
    metrics::submitted(start.elapsed());
    Ok(response)
}

/// What became of a claim.
#[utoipa::path(get, tag = "submit", path = "/api/v1/claims/{hash}", params(("hash" = String, Path, description = "SHA-256 of the claim, hex")), responses(
    (status = 200, description = "Published", body = Answer),
    (status = 202, description = "Committed and not yet published", body = Answer),
    (status = 404, description = "Unknown", body = Problem, content_type = "application/problem+json")))]
pub async fn claim(
    State(app): State<Arc<App>>,
    Client(client): Client,
    Parts(hash): Parts<String>,
) -> Result<Response, Problem> {
    let hash = Hash::from_hex(&hash)
        .ok_or_else(|| Problem::bad_request("hash", "a hash is 64 lower-case hex digits"))?;
    let claim = ClaimHash::new(hash);
    let committed = reading(&app, move |app| match app.store.claim(&hash)? {
        Some(index) => committed(app, index),
        None => Err(Problem::not_found("no-claim", format!("no claim {hash} is in this log"))),
    });
    let committed = committed.await?;
    let did = match Entry::parse(&committed.leaf) {
        Ok(Entry::Dsse(entry)) => Some(entry.claim().did()),
        Ok(Entry::Event(event)) => Some(event.event().issuer()),
        Ok(Entry::NotUnderstood { .. }) | Err(_) => None,
    };
    answer(&app, client, vec![Outcome::Committed(claim, did, committed)], false).await
}

async fn submit_one(
    app: &Arc<App>,
    address: IpAddr,
    body: Received,
    patience: Patience,
) -> Result<Response, Problem> {
    // Who waits holds no body.
    let step = if body.len() <= SMALL_BODY_BYTES {
        let step = begin(app, address, &body);
        drop(body);
        step
    } else {
        in_turn(app, &app.work, address, move |app| Ok(begin(app, address, &body))).await?
    };
    let outcome = finish(app, step, patience).await?;
    answer(app, address, vec![outcome], false).await
}

async fn submit_many(
    app: &Arc<App>,
    address: IpAddr,
    body: Received,
    patience: Patience,
) -> Result<Response, Problem> {
    let steps = if body.len() <= SMALL_BODY_BYTES {
        tokio::task::block_in_place(move || begin_many(app, address, &body))?
    } else {
        in_turn(app, &app.work, address, move |app| begin_many(app, address, &body)).await?
    };
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        outcomes.push(finish(app, step, patience).await?);
    }
    answer(app, address, outcomes, true).await
}

/// Admits the submissions of an array.
fn begin_many(app: &App, address: IpAddr, body: &[u8]) -> Result<Vec<Step>, Problem> {
    let limit = app.request_limits.entries;
    let submissions = elements(body, limit)
        .map_err(|e| Problem::bad_request("body", format!("the body is no JSON array: {e}")))?
        .filter(|submissions| !submissions.is_empty())
        .ok_or_else(|| {
            let title = format!("a request brings 1 to {limit} entries");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request-entries", title)
        })?;
    // One was spent before the body was read.
    if let Some(more) = submissions.len().checked_sub(1).filter(|more| *more > 0) {
        app.budgets.spend_address(address, more)?;
    }
    // Signatures are most of the work: all cores share it.
    Ok(submissions.par_iter().map(|submission| begin(app, address, submission.get().as_bytes())).collect())
}

/// The elements of a JSON array; `None` if there are more than `limit`, which are not read.
fn elements(body: &[u8], limit: usize) -> Result<Option<Vec<&RawValue>>, serde_json::Error> {
    struct Elements<'o>(usize, &'o mut bool);

    impl<'de> Visitor<'de> for Elements<'_> {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = array.next_element()? {
                if elements.len() == self.0 {
                    *self.1 = true;
                    return Err(A::Error::custom("too many elements"));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut too_many = false;
    let elements = match reader.deserialize_seq(Elements(limit, &mut too_many)) {
        Err(_) if too_many => return Ok(None),
        elements => elements?,
    };
    reader.end()?;
    Ok(Some(elements))
}

/// Where entries are submitted.
pub(crate) const PATH: &str = api::ENTRIES;

/// How far one submission has come without waiting.
enum Step {
    Refused(Refusal),
    Unavailable(Problem),
    Broken(Problem),
    Known(ClaimHash, Did, LeafIndex),
    Waiting(ClaimHash, Did, oneshot::Receiver<Sequenced>),
}

/// Admits one submission to the pool, or finds that its claim is in the log.
fn begin(app: &App, address: IpAddr, json: &[u8]) -> Step {
    let candidate = match admit::read(json, &app.entry_limits, &app.origin) {
        Ok(candidate) => candidate,
        Err(refusal) => return Step::Refused(refusal),
    };
    let (claim, did) = (candidate.claim(), candidate.entry().did());
    // Idempotency comes before every rule about state: a retry is answered even if its DID, its envelope
    // or the log's mood has changed since.
    match app.store.claim(&claim.get()) {
        Ok(Some(index)) => return Step::Known(claim, did, index),
        Ok(None) => {}
        Err(error) => return Step::Broken(error.into()),
    }
    if let Some(receiver) = app.pool.join(&claim) {
        return Step::Waiting(claim, did, receiver);
    }
    match admit_new(app, address, candidate) {
        Ok(receiver) => Step::Waiting(claim, did, receiver),
        Err(step) => *step,
    }
}

fn admit_new(
    app: &App,
    address: IpAddr,
    candidate: admit::Candidate,
) -> Result<oneshot::Receiver<Sequenced>, Box<Step>> {
    let refused = |refusal| Box::new(Step::Refused(refusal));
    let unavailable = |problem| Box::new(Step::Unavailable(problem));
    let did = candidate.entry().did();
    if !app.terms().gatekeeper.allows(&did) {
        return Err(refused(Refusal::DidNotAllowed(did.to_string())));
    }
    if let Some(problem) = not_ready(app) {
        return Err(unavailable(problem));
    }
    let broken = |error: StoreError| Box::new(Step::Broken(error.into()));
    let check = |entry: &PendingLeaf| {
        app.registry.check(entry).map_err(|error| match error {
            CheckError::Rule(rule) => refused(rule.into()),
            CheckError::Prefix(error) => broken(error),
        })
    };
    let admit = |candidate: admit::Candidate| candidate.admit(|raw| app.keys.admit(raw)).map_err(refused);
    let admitted = if is_message_keys(candidate.entry()) {
        // Of these the signature comes before the state (`specs/event.md`).
        let admitted = admit(candidate)?;
        check(&admitted.entry)?;
        admitted
    } else {
        check(candidate.entry())?;
        if let Some(hash) = candidate.envelope_hash() {
            let stored = app.store.envelope(&hash).map_err(broken)?;
            if matches!(stored, Some(StoredEnvelope::Erased(_))) {
                return Err(refused(Refusal::EnvelopeErased(hash)));
            }
        }
        admit(candidate)?
    };
    app.budgets.spend_did(&did).map_err(unavailable)?;
    if is_report(&admitted.entry) {
        app.budgets.spend_report(&did, address).map_err(unavailable)?;
    }
    let spent = app.budgets.spend_day(address, admitted.bytes() as u64, (app.now)()).map_err(unavailable)?;
    let receiver = app.pool.push(admitted, Some(address), spent);
    let receiver = receiver.map_err(|full| unavailable(Problem::from(&full)))?;
    metrics::admitted();
    Ok(receiver)
}

fn is_message_keys(leaf: &PendingLeaf) -> bool {
    matches!(leaf, PendingLeaf::Event(event) if matches!(event.event().body(), EventBody::MessageKeys(_)))
}

/// Whether an entry speaks against somebody. Withdrawals need no budget: there is at most one for each report.
fn is_report(leaf: &PendingLeaf) -> bool {
    let PendingLeaf::Event(event) = leaf else { return false };
    matches!(
        event.event().body(),
        EventBody::Trust(TrustEvent::Failure { .. } | TrustEvent::Equivocation { .. })
    )
}

/// A submission that is not taken now.
fn unavailable(problem: Problem) -> Outcome {
    metrics::unavailable(problem.rule());
    Outcome::Unavailable(problem)
}

/// Waits for a submission's commit and publication, as long as its client does.
async fn finish(app: &Arc<App>, step: Step, patience: Patience) -> Result<Outcome, Problem> {
    let (claim, did, committed) = match step {
        Step::Refused(refusal) => {
            metrics::refused(refusal.rule());
            return Ok(Outcome::Refused(Problem::from(&refusal)));
        }
        Step::Unavailable(problem) => return Ok(unavailable(problem)),
        Step::Broken(problem) => return Err(problem),
        Step::Known(claim, did, index) => {
            metrics::duplicate();
            (claim, did, reading(app, move |app| committed(app, index)).await?)
        }
        Step::Waiting(claim, did, receiver) => match timeout_at(patience.until, receiver).await {
            Ok(Ok(Ok(committed))) => (claim, did, committed),
            Ok(Ok(Err(NotTaken::Refused(rule)))) => {
                metrics::refused(rule.rule());
                return Ok(Outcome::Refused(Problem::from(&Refusal::from(rule))));
            }
            Ok(Ok(Err(NotTaken::Unavailable(not_now)))) => {
                return Ok(unavailable(Problem::from(&not_now)));
            }
            // The sequencer dropped the waiter: a write failed and the process is stopping.
            Ok(Err(_)) => return Ok(unavailable(Problem::from(&Unavailable::Stopping))),
            Err(_) => {
                let late = || {
                    Problem::unavailable("deadline", "the entry was not committed in time")
                        .hint("send the same bytes again: nothing is logged twice")
                };
                return Ok(unavailable(below_quorum(app).unwrap_or_else(late)));
            }
        },
    };
    if !patience.only_commit {
        let mut published = app.published.clone();
        // A deadline that passes here is answered by what is true: committed, not yet published.
        let _ = timeout_at(
            patience.until,
            published.wait_for(|published| published.size().contains(committed.index)),
        )
        .await;
    }
    Ok(Outcome::Committed(claim, Some(did), committed))
}

fn committed(app: &App, index: LeafIndex) -> Result<Committed, Problem> {
    let leaf = app
        .store
        .leaf(index)?
        .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the log lost an entry"))?;
    Ok(Committed { index, leaf })
}

/// How long a client waits, and for what.
#[derive(Clone, Copy)]
struct Patience {
    until: Deadline,
    only_commit: bool,
}

impl Patience {
    /// RFC 7240: `respond-async`, `wait=SECONDS`. Preferences that are not understood are ignored.
    fn from_headers(headers: &HeaderMap, deadline: Duration) -> Self {
        let mut wait = deadline;
        let mut only_commit = false;
        let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
        for preference in lines.flat_map(|line| line.split([',', ';'])).map(str::trim) {
            if preference.eq_ignore_ascii_case("respond-async") {
                only_commit = true;
            } else if let Some(seconds) = preference.strip_prefix("wait=").and_then(encoding::parse_decimal) {
                wait = wait.min(Duration::from_secs(seconds));
            }
        }
        Self { until: Deadline::now() + wait, only_commit }
    }
}
