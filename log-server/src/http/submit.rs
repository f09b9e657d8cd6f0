//! Submissions: admit, wait for commit and publication, answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::api::{self, Answer, Submission};
use attestation::entry::{ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body as EventBody, TrustEvent};
use attestation::identity::check_artifact_signer;
use attestation::rules::{CheckError, RuleError};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use rayon::prelude::*;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use service::bodies::Received;
use tlog::{Hash, encoding};
use tokio::time::{Instant as Deadline, timeout_at};

use super::answer::{Outcome, answer};
use super::body::{self, SMALL_BODY_BYTES};
use super::error::Problem;
use super::{App, Client, Parts, below_quorum, in_turn, not_ready, reading};
use crate::admit::{self, Refusal};
use crate::metrics;
use crate::pool::{Committed, NotTaken, Ticket, Unavailable, Until};
use crate::view::Published;

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
    let Some(committed) = reading(&app, move |app| Ok(app.door.claim(claim)?)).await? else {
        return Err(Problem::not_found("no-claim", format!("no claim {hash} is in this log")));
    };
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
    let until = patience.awaits();
    // Who waits holds no body.
    let step = if body.len() <= SMALL_BODY_BYTES {
        let step = begin(app, address, &body, until);
        drop(body);
        match step {
            Step::Unchecked(candidate) => {
                reading(app, move |app| Ok(go_on(app, address, *candidate, until))).await?
            }
            step => step,
        }
    } else {
        in_turn(app, &app.work, address, move |app| Ok(begin_reading(app, address, &body, until))).await?
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
    let until = patience.awaits();
    let steps = if body.len() <= SMALL_BODY_BYTES {
        tokio::task::block_in_place(move || begin_many(app, address, &body, until))?
    } else {
        in_turn(app, &app.work, address, move |app| begin_many(app, address, &body, until)).await?
    };
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        outcomes.push(finish(app, step, patience).await?);
    }
    answer(app, address, outcomes, true).await
}

/// Admits the submissions of an array.
fn begin_many(app: &App, address: IpAddr, body: &[u8], until: Until) -> Result<Vec<Step>, Problem> {
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
    let begin = |submission: &&RawValue| begin_reading(app, address, submission.get().as_bytes(), until);
    Ok(submissions.par_iter().map(begin).collect())
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
    /// No; but if the claim is in the log already, the answer is that entry, whatever has changed since.
    No(ClaimHash, Did, No),
    /// No: it has no claim, or its claim is not in the log.
    Final(No),
    Broken(Problem),
    /// The disk is to be read before anything that belongs to its DID is spent.
    Unchecked(Box<admit::Candidate>),
    Known(ClaimHash, Did, Committed),
    Waiting(ClaimHash, Did, Ticket),
}

/// Why a submission is not taken.
enum No {
    Refused(Refusal),
    Unavailable(Problem),
}

impl No {
    fn outcome(self) -> Outcome {
        match self {
            Self::Refused(refusal) => refused(&refusal),
            Self::Unavailable(problem) => unavailable(problem),
        }
    }
}

/// Admits one submission to the pool, without a look at the disk: whether its claim is in the log is found for a whole round
/// at once.
fn begin(app: &App, address: IpAddr, json: &[u8], until: Until) -> Step {
    let candidate = match admit::read(json, &app.entry_limits, &app.origin) {
        Ok(candidate) => candidate,
        Err(refusal) => return Step::Final(No::Refused(refusal)),
    };
    let (claim, did) = (candidate.claim(), candidate.entry().did());
    if let Some(ticket) = app.pool.join(claim, until) {
        return Step::Waiting(claim, did, ticket);
    }
    // Events are few, and their budgets small.
    if matches!(candidate.entry(), PendingLeaf::Event(_)) || !app.budgets.may_be_unseen(&did) {
        return Step::Unchecked(Box::new(candidate));
    }
    match app.registry.check_known(candidate.entry()) {
        Err(CheckError::Prefix(_)) if !is_by_genesis_key(candidate.entry()) => {
            Step::Unchecked(Box::new(candidate))
        }
        // Bare DIDs are many, and each is new once: who orders the entry reads the states of a whole round.
        Err(CheckError::Prefix(_)) => admit_checked(app, address, candidate, Ok(()), until),
        Err(CheckError::Rule(rule)) => admit_checked(app, address, candidate, Err(rule), until),
        Ok(()) => admit_checked(app, address, candidate, Ok(()), until),
    }
}

/// The same where the disk may be read.
fn begin_reading(app: &App, address: IpAddr, json: &[u8], until: Until) -> Step {
    let step = match begin(app, address, json, until) {
        Step::Unchecked(candidate) => go_on(app, address, *candidate, until),
        step => step,
    };
    let Step::No(claim, did, no) = step else { return step };
    // Now, and not when the others of its array are logged.
    match app.door.claim(claim) {
        Ok(Some(committed)) => Step::Known(claim, did, committed),
        Ok(None) => Step::Final(no),
        Err(error) => Step::Broken(error.into()),
    }
}

/// Goes on with a submission whose claim and rules of state are looked up. Before that, nothing that belongs to its DID is
/// spent: anybody can name it, and send again what it has published.
fn go_on(app: &App, address: IpAddr, candidate: admit::Candidate, until: Until) -> Step {
    let (claim, did) = (candidate.claim(), candidate.entry().did());
    match app.door.claim(claim) {
        Ok(Some(committed)) => return Step::Known(claim, did, committed),
        Ok(None) => {}
        Err(error) => return Step::Broken(error.into()),
    }
    match app.registry.check(candidate.entry()) {
        Ok(()) => admit_checked(app, address, candidate, Ok(()), until),
        Err(CheckError::Rule(rule)) => admit_checked(app, address, candidate, Err(rule), until),
        Err(CheckError::Prefix(error)) => Step::Broken(error.into()),
    }
}

/// Whether it is an artifact by the key whose hash its DID is: only a registered DID could refuse it.
fn is_by_genesis_key(leaf: &PendingLeaf) -> bool {
    let PendingLeaf::Dsse(entry) = leaf else { return false };
    check_artifact_signer(None, entry.claim().did(), entry.claim().verifier()).is_ok()
}

fn admit_checked(
    app: &App,
    address: IpAddr,
    candidate: admit::Candidate,
    checked: Result<(), RuleError>,
    until: Until,
) -> Step {
    let (claim, did) = (candidate.claim(), candidate.entry().did());
    match admit_new(app, address, candidate, checked, until) {
        Ok(ticket) => Step::Waiting(claim, did, ticket),
        Err(no) => Step::No(claim, did, *no),
    }
}

fn admit_new(
    app: &App,
    address: IpAddr,
    candidate: admit::Candidate,
    checked: Result<(), RuleError>,
    until: Until,
) -> Result<Ticket, Box<No>> {
    let refused = |refusal| Box::new(No::Refused(refusal));
    let unavailable = |problem| Box::new(No::Unavailable(problem));
    let did = candidate.entry().did();
    if !app.terms().gatekeeper.allows(&did) {
        return Err(refused(Refusal::DidNotAllowed(did.to_string())));
    }
    if let Some(problem) = not_ready(app) {
        return Err(unavailable(problem));
    }
    let checked = checked.map_err(|rule| refused(rule.into()));
    let admit = |candidate: admit::Candidate| candidate.admit(|raw| app.keys.admit(raw)).map_err(refused);
    let admitted = if is_message_keys(candidate.entry()) {
        // Of these the signature comes before the state (`specs/event.md`).
        let admitted = admit(candidate)?;
        checked?;
        admitted
    } else {
        checked?;
        admit(candidate)?
    };
    app.budgets.spend_did(&did).map_err(unavailable)?;
    if is_report(&admitted.entry) {
        app.budgets.spend_report(&did, address).map_err(unavailable)?;
    }
    let spent = app.budgets.spend_day(address, admitted.bytes() as u64, (app.now)()).map_err(unavailable)?;
    let ticket = app.pool.push(admitted, Some(address), spent, until);
    let ticket = ticket.map_err(|full| unavailable(Problem::from(&full)))?;
    metrics::admitted();
    Ok(ticket)
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
    let (claim, did, mut ticket) = match step {
        Step::Final(no) => return Ok(no.outcome()),
        Step::Broken(problem) => return Err(problem),
        Step::No(claim, did, no) => return finish_no(app, claim, did, no, patience).await,
        Step::Known(claim, did, committed) => {
            return Ok(known(app, claim, did, committed, patience).await);
        }
        Step::Unchecked(_) => return Err(super::failed()),
        Step::Waiting(claim, did, ticket) => (claim, did, ticket),
    };
    match timeout_at(patience.until, ticket.outcome()).await {
        Ok(Some(Ok(committed))) => {
            if committed.was_known {
                metrics::duplicate();
            }
            Ok(Outcome::Committed(claim, Some(did), committed))
        }
        Ok(Some(Err(NotTaken::Refused(refusal)))) => Ok(refused(&refusal)),
        Ok(Some(Err(NotTaken::Unavailable(not_now)))) => Ok(unavailable(Problem::from(&not_now))),
        // The sequencer dropped the waiter: a write failed and the process is stopping.
        Ok(None) => Ok(unavailable(Problem::from(&Unavailable::Stopping))),
        // A deadline that passes is answered by what is true: committed and not yet published, or neither.
        Err(_) => match app.pool.committed(&claim) {
            Some(committed) => Ok(Outcome::Committed(claim, Some(did), committed)),
            None => {
                let late = || {
                    Problem::unavailable("deadline", "the entry was not committed in time")
                        .hint("send the same bytes again: nothing is logged twice")
                };
                let no = No::Unavailable(below_quorum(app).unwrap_or_else(late));
                // It may have been published between the deadline and this line.
                finish_no(app, claim, did, no, patience).await
            }
        },
    }
}

/// Idempotency comes before every rule: a retry is answered even if its DID, its envelope, a budget or the log's mood has
/// changed since.
async fn finish_no(
    app: &Arc<App>,
    claim: ClaimHash,
    did: Did,
    no: No,
    patience: Patience,
) -> Result<Outcome, Problem> {
    match reading(app, move |app| Ok(app.door.claim(claim)?)).await? {
        Some(committed) => Ok(known(app, claim, did, committed, patience).await),
        None => Ok(no.outcome()),
    }
}

/// The answer to a claim that was in the log already.
async fn known(
    app: &Arc<App>,
    claim: ClaimHash,
    did: Did,
    committed: Committed,
    patience: Patience,
) -> Outcome {
    metrics::duplicate();
    if patience.awaits() == Until::Published {
        let mut published = app.published.clone();
        let is_there = |published: &Arc<Published>| published.size().contains(committed.index);
        let _ = timeout_at(patience.until, published.wait_for(is_there)).await;
    }
    Outcome::Committed(claim, Some(did), committed)
}

fn refused(refusal: &Refusal) -> Outcome {
    metrics::refused(refusal.rule());
    Outcome::Refused(Problem::from(refusal))
}

/// How long a client waits, and for what.
#[derive(Clone, Copy)]
struct Patience {
    until: Deadline,
    only_commit: bool,
}

impl Patience {
    fn awaits(self) -> Until {
        if self.only_commit { Until::Committed } else { Until::Published }
    }

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
