//! Submissions: admit, wait for commit and publication, answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::api::{self, Answer, ProvedLeaf, Submission};
use attestation::entry::{ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body as EventBody, TrustEvent};
use attestation::rules::CheckError;
use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rayon::prelude::*;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use service::bodies::Received;
use tlog::{Hash, LeafIndex, TreeSize, encoding};
use tokio::sync::oneshot;
use tokio::time::{Instant as Deadline, timeout_at};

use super::body::{self, SMALL_BODY_BYTES};
use super::error::Problem;
use super::identity::identity_proofs;
use super::unread::no_room;
use super::{App, BUSY, Client, Parts, below_quorum, in_turn, not_ready};
use crate::admit::{self, Refusal};
use crate::metrics;
use crate::pool::{Committed, NotTaken, Sequenced, Unavailable};
use crate::store::StoreError;
use crate::store::schema::{Read as _, StoredEnvelope};
use crate::view::View;

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
    let Some(index) = app.store.claim(&hash)? else {
        return Err(Problem::not_found("no-claim", format!("no claim {hash} is in this log")));
    };
    let committed = committed(&app, index)?;
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

/// Answers a client. Long histories of signers take long to prove, so they are proved in the client's turn. Without a turn,
/// or without room for the proofs, each entry is answered `committed`, with the URL to ask: an entry that is in the log
/// must not look as if it were not.
async fn answer(
    app: &Arc<App>,
    client: IpAddr,
    outcomes: Vec<Outcome>,
    is_array: bool,
) -> Result<Response, Problem> {
    // One that was not taken is a problem like any other.
    if let ([Outcome::Refused(problem) | Outcome::Unavailable(problem)], false) = (&*outcomes, is_array) {
        return Ok(problem.clone().into_response());
    }
    if !is_long(app, &outcomes)? {
        return give(app, client, &outcomes, is_array);
    }
    let outcomes = Arc::new(outcomes);
    let theirs = outcomes.clone();
    match in_turn(app, &app.work, client, move |app| give(app, client, &theirs, is_array)).await {
        Err(problem) if problem.rule() == BUSY => give_without_proofs(app, client, &outcomes, is_array),
        answered => answered,
    }
}

/// Whether the signers together have so many events that proving them would hold up other clients.
fn is_long(app: &App, outcomes: &[Outcome]) -> Result<bool, Problem> {
    let mut events = 0;
    for outcome in outcomes {
        let Outcome::Committed(_, Some(did), _) = outcome else { continue };
        // The events of one signer are proved once, and written with each of its entries.
        events += app.registry.state(*did)?.map_or(0, |state| state.link().sequence);
        if events > MAX_EVENTS_WITHOUT_A_TURN {
            return Ok(true);
        }
    }
    Ok(false)
}

fn give(app: &App, client: IpAddr, outcomes: &[Outcome], is_array: bool) -> Result<Response, Problem> {
    let mut room = Room::new();
    let answers: Vec<Answer> =
        outcomes.iter().map(|outcome| answer_now(app, outcome, &mut room)).collect::<Result<_, _>>()?;
    match app.unread.hold(client, respond(&answers, is_array)) {
        Ok(response) => Ok(response),
        Err(_) => give_without_proofs(app, client, outcomes, is_array),
    }
}

fn give_without_proofs(
    app: &App,
    client: IpAddr,
    outcomes: &[Outcome],
    is_array: bool,
) -> Result<Response, Problem> {
    let without = |outcome: &Outcome| match outcome {
        Outcome::Refused(problem) => Answer::Refused { error: problem.clone().into() },
        Outcome::Unavailable(problem) => Answer::Unavailable { error: problem.clone().into() },
        Outcome::Committed(claim, _, committed) => {
            let is_published = app.view().published().size().contains(committed.index);
            Answer::committed(*claim, waits_for(app, is_published))
        }
    };
    let answers: Vec<Answer> = outcomes.iter().map(without).collect();
    app.unread.hold(client, respond(&answers, is_array)).map_err(no_room)
}

fn respond(answers: &[Answer], is_array: bool) -> Response {
    if let ([answer], false) = (answers, is_array) {
        return respond_one(answer);
    }
    let all_unavailable = answers.iter().all(|answer| matches!(answer, Answer::Unavailable { .. }));
    let any_committed = answers.iter().any(|answer| matches!(answer, Answer::Committed { .. }));
    let status = match (all_unavailable, any_committed) {
        (true, _) => StatusCode::SERVICE_UNAVAILABLE,
        (_, true) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let mut response = (status, Json(answers)).into_response();
    if all_unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
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
pub(crate) const PATH: &str = "/api/v1/entries";

/// How far one submission has come without waiting.
enum Step {
    Refused(Refusal),
    Unavailable(Problem),
    Broken(Problem),
    Known(ClaimHash, Did, LeafIndex),
    Waiting(ClaimHash, Did, oneshot::Receiver<Sequenced>),
}

/// How one submission ended.
enum Outcome {
    Refused(Problem),
    Unavailable(Problem),
    /// In the log, by this signer if it is one that we understand.
    Committed(ClaimHash, Option<Did>, Committed),
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
async fn finish(app: &App, step: Step, patience: Patience) -> Result<Outcome, Problem> {
    let (claim, did, committed) = match step {
        Step::Refused(refusal) => {
            metrics::refused(refusal.rule());
            return Ok(Outcome::Refused(Problem::from(&refusal)));
        }
        Step::Unavailable(problem) => return Ok(unavailable(problem)),
        Step::Broken(problem) => return Err(problem),
        Step::Known(claim, did, index) => {
            metrics::duplicate();
            (claim, did, committed(app, index)?)
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

/// What is true of a submission at this moment. If its proof does not fit the answer any more, the answer says where to
/// ask for it.
fn answer_now(app: &App, outcome: &Outcome, room: &mut Room) -> Result<Answer, Problem> {
    let (claim, did, committed) = match outcome {
        Outcome::Refused(problem) => return Ok(Answer::Refused { error: problem.clone().into() }),
        Outcome::Unavailable(problem) => return Ok(Answer::Unavailable { error: problem.clone().into() }),
        Outcome::Committed(claim, did, committed) => (*claim, *did, committed),
    };
    let view = app.view();
    let is_published = view.published().size().contains(committed.index);
    let identity = match did {
        // Most have no event, and the registry knows it without a look at the disk.
        Some(did) if is_published && app.registry.state(did)?.is_some() => Some(room.identity(&view, did)?),
        Some(_) | None => None,
    };
    if !is_published || identity.is_some_and(|identity| !room.takes(identity)) {
        return Ok(Answer::committed(claim, waits_for(app, is_published)));
    }
    logged(&view, committed, identity.map(|identity| room.proofs[identity].1.clone()).unwrap_or_default())
}

/// Why a committed entry is not published yet, if that takes longer than it should.
fn waits_for(app: &App, is_published: bool) -> Option<api::Problem> {
    let problem = if is_published { None } else { below_quorum(app).or_else(|| not_ready(app)) };
    problem.map(api::Problem::from)
}

/// How much identity one answer may carry: each result has all events of its signer, with proofs, and a thousand
/// results may be of a signer who rotated often.
struct Room {
    left: usize,
    /// The events of a DID, proved to one published size.
    proofs: Vec<((Did, TreeSize), Vec<ProvedLeaf>)>,
}

impl Room {
    fn new() -> Self {
        Self { left: MAX_IDENTITY_BYTES, proofs: Vec::new() }
    }

    /// The place of a DID's events in `proofs`.
    fn identity(&mut self, view: &View, did: Did) -> Result<usize, Problem> {
        let key = (did, view.published().size());
        if let Some(at) = self.proofs.iter().position(|(known, _)| *known == key) {
            return Ok(at);
        }
        // Signers of one request are few, or one; what is of many is not kept.
        if self.proofs.len() >= MAX_KEPT_IDENTITIES {
            self.proofs.clear();
        }
        self.proofs.push((key, identity_proofs(view, did)?));
        Ok(self.proofs.len() - 1)
    }

    /// Whether these events fit; then they are spent. The first always do.
    fn takes(&mut self, identity: usize) -> bool {
        let events = &self.proofs[identity].1;
        let bytes: usize = events.iter().map(|event| event.leaf.len() + event.proof.len()).sum();
        let fits = bytes <= self.left || self.left == MAX_IDENTITY_BYTES;
        if fits {
            self.left = self.left.saturating_sub(bytes);
        }
        fits
    }
}

/// Proving so many takes a few hundred microseconds, as other requests do.
const MAX_EVENTS_WITHOUT_A_TURN: u32 = 16;

/// With the entries themselves, which a request bounds, an answer stays below what clients read.
const MAX_IDENTITY_BYTES: usize = 8 << 20;

const MAX_KEPT_IDENTITIES: usize = 64;

fn logged(view: &View, committed: &Committed, identity: Vec<ProvedLeaf>) -> Result<Answer, Problem> {
    Ok(Answer::Logged {
        index: committed.index.get(),
        leaf: encoding::base64(&committed.leaf),
        proof: view.tlog_proof(committed.index)?.to_string(),
        sigstore_note: Some(view.published().sigstore_note.clone()),
        identity,
    })
}

fn committed(app: &App, index: LeafIndex) -> Result<Committed, Problem> {
    let leaf = app
        .store
        .leaf(index)?
        .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the log lost an entry"))?;
    Ok(Committed { index, leaf })
}

/// As the answer to a request with one submission.
fn respond_one(answer: &Answer) -> Response {
    let Answer::Committed { url, .. } = answer else { return super::fresh_json(answer) };
    let location = HeaderValue::from_str(url);
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
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
