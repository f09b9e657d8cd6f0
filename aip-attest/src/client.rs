//! A log's HTTP interface, from the outside (`specs/http.md`). Over [`log_client`], which alone opens a socket.
//!
//! Everything that comes back is bounded: bodies by [`MAX_BODY_BYTES`] after decompression, answers by the
//! caller's deadline. Redirects are not followed. Nothing that comes back is believed here: who asked verifies.

mod answer;
mod error;
mod token;
mod url;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::api::{self, EvidenceQuery, python};
use attestation::lists::{ListKey, Listed};
use attestation::message::Route;
use log_client::{ReadError, Request, Until};
use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tlog::Hash;
use tlog::key::Ed25519PublicKey;
use tlog::reader::Want;
use tlog::tile::Tile;

pub(crate) use answer::{Answer, EntryList, LoggedAnswer, Problem, ProvedLeaf};
pub(crate) use error::ClientError;
pub(crate) use token::Token;
pub(crate) use url::normal_url;

use crate::report::{Failure, Result};

/// The longest body that is read, decompressed: a bundle of 256 entries of 65,535 bytes fits.
pub(crate) const MAX_BODY_BYTES: usize = 17 << 20;

/// A log at its address, for as long as somebody waits for it.
pub(crate) struct Client {
    http: log_client::Client,
    authorization: Option<HeaderValue>,
    deadline: Instant,
}

impl Client {
    /// A client for the log at `url`: `http` or `https`, with neither user, query nor fragment. It reads what everybody
    /// may, and carries no token. No request lasts beyond `deadline`.
    pub(crate) fn new(url: &str, deadline: Instant) -> Result<Self> {
        let base = normal_url(url)?;
        let http = log_client::Client::new(&base, concat!("aip-attest/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::new("cannot set up an HTTP client").caused_by(error))?;
        Ok(Self { http, authorization: None, deadline })
    }

    /// The same client, whose submissions carry this token. Refuses a way on which others can read it.
    pub(crate) fn with_token(self, token: &Token) -> Result<Self> {
        let authorization = Some(token.header(self.url())?);
        Ok(Self { authorization, ..self })
    }

    /// The address, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        self.http.url()
    }

    /// The time until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether nobody on the way can read or answer instead: TLS, or this machine.
    pub(crate) fn is_private(&self) -> bool {
        url::is_private_way(self.url())
    }

    /// The policy that the log publishes.
    pub(crate) fn policy(&self) -> Result<String, ClientError> {
        self.get_text("/policy")
    }

    /// The published checkpoint, a note.
    pub(crate) fn checkpoint(&self) -> Result<Vec<u8>, ClientError> {
        Ok(self.get("/checkpoint")?.body)
    }

    /// The bytes of a tile or a bundle. Of a partial one that is gone, those at the beginning of the full one.
    pub(crate) fn fetch(&self, want: Want) -> Result<Vec<u8>, ClientError> {
        match self.http.fetch(want, Until::Deadline(self.deadline)) {
            Ok(bytes) => Ok(bytes),
            Err(ReadError::Http(error)) => Err(error.into()),
            Err(ReadError::TooLong { url, .. }) => Err(ClientError::TooLong { url }),
            Err(ReadError::Status(answer)) => Err(no_success(&format!("/{}", want.path()), *answer)),
        }
    }

    /// The hashes of a tile, for a proof that is verified.
    pub(crate) fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ClientError> {
        let want = Want::hashes(tile);
        let bytes = self.fetch(want)?;
        want.parse_hashes(&bytes).ok_or_else(|| {
            let what = format!("{} bytes are no tile of {} hashes", bytes.len(), tile.width());
            self.malformed(&format!("/{}", want.path()), what)
        })
    }

    /// One page of the entries about an artifact, newest first. `next` is the path of a further page, as
    /// the log gave it.
    pub(crate) fn entries(&self, artifact: &Hash, next: Option<&str>) -> Result<EntryList, ClientError> {
        let first = format!("{}?artifact=sha256:{artifact}&order=desc&limit=100", api::ENTRIES);
        let path = next.unwrap_or(&first);
        // The log says where its next page is: of this list it may say so, of nothing else.
        if !path.strip_prefix(api::ENTRIES).is_some_and(|query| query.starts_with('?'))
            || path.contains(char::is_control)
        {
            return Err(self.malformed(path, "the next page is not one of /api/v1/entries".into()));
        }
        let got = self.get(path)?;
        answer::entries(&got.body).map_err(|what| self.malformed(path, what))
    }

    /// The receipt of the entry at an index.
    pub(crate) fn receipt(&self, index: u64) -> Result<Vec<u8>, ClientError> {
        Ok(self.get(&format!("{}/{index}/receipt", api::ENTRIES))?.body)
    }

    /// Evidence about a DID (`specs/http.md`).
    pub(crate) fn evidence(&self, query: &EvidenceQuery) -> Result<Vec<u8>, ClientError> {
        Ok(self.send(api::EVIDENCE, post_json(api::EVIDENCE, to_json(query)))?.body)
    }

    /// The lists with these names, at most 64; an empty one for each of which nothing stands there.
    pub(crate) fn lists(&self, keys: &[ListKey]) -> Result<BTreeMap<ListKey, Vec<Listed>>, ClientError> {
        let names: Vec<String> = keys.iter().map(|key| format!("key={key}")).collect();
        let path = format!("{}?{}", api::LISTS, names.join("&"));
        let got = self.get(&path)?;
        answer::lists(&got.body, keys).map_err(|what| self.malformed(&path, what))
    }

    /// The key that the log knows a DID by which is not registered: the one that hashes to it. `None` if it knows none.
    pub(crate) fn genesis_key(&self, did: Did) -> Result<Option<Ed25519PublicKey>, ClientError> {
        let path = format!("/did/{did}");
        match self.get(&path) {
            Ok(got) => answer::genesis_key(&got.body, did).map_err(|what| self.malformed(&path, what)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The key that a DID hashes to, by the interface of Python `aip`; `None` if the log has none, or does not know the DID.
    pub(crate) fn python_key(&self, did: Did) -> Result<Option<Ed25519PublicKey>, ClientError> {
        let path = format!("/lookup/{did}");
        match self.get(&path) {
            Ok(got) => answer::python_key(&got.body, did).map_err(|what| self.malformed(&path, what)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands mail of Python `aip` to its interface. The token of a log that asks for one goes along.
    pub(crate) fn python_message(&self, message: &python::Message) -> Result<(), ClientError> {
        let request = post_json("/message", to_json(message));
        let request = match &self.authorization {
            None => request,
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
        };
        self.send("/message", request).map(drop)
    }

    /// Posts a signed request to the log's relay, and waits for the answer until `until`: a relay that holds requests back
    /// may be gone without a word. The token goes along to send: of that alone a log asks who may.
    pub(crate) fn signed_request<T: DeserializeOwned>(
        &self,
        route: Route,
        body: String,
        until: Instant,
    ) -> Result<T, ClientError> {
        let request = post_json(route.path(), body);
        let request = match (route, &self.authorization) {
            (Route::Messages, Some(authorization)) => request.header(AUTHORIZATION, authorization.clone()),
            _ => request,
        };
        let got = self.send_until(route.path(), request, until.min(self.deadline))?;
        answer::parse(&got.body).map_err(|what| self.malformed(route.path(), what))
    }

    /// Submits a JSON array of `count` submissions.
    pub(crate) fn submit(&self, array: String, count: usize) -> Result<Vec<Answer>, ClientError> {
        // The log answers before the request ends, so that what it knows by then is not lost.
        let wait = self.left().as_secs().saturating_sub(1).clamp(1, LONGEST_WAIT);
        let prefer = HeaderValue::try_from(format!("wait={wait}")).expect("digits");
        let request = post_json(api::ENTRIES, array).header(HeaderName::from_static("prefer"), prefer);
        let request = match &self.authorization {
            None => request,
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
        };
        let got = self.send(api::ENTRIES, request)?;
        let answers = answer::results(&got.body, got.retry_after);
        let answers = answers.map_err(|what| self.malformed(api::ENTRIES, what))?;
        if answers.len() == count {
            return Ok(answers);
        }
        Err(self.malformed(api::ENTRIES, format!("{} results for {count} submissions", answers.len())))
    }

    /// What became of a claim that was committed.
    pub(crate) fn claim(&self, claim: &Hash) -> Result<Answer, ClientError> {
        let path = api::claim(claim);
        let got = self.get(&path)?;
        answer::result(&got.body, got.retry_after).map_err(|what| self.malformed(&path, what))
    }

    fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let got = self.get(path)?;
        String::from_utf8(got.body).map_err(|_| self.malformed(path, "it is not UTF-8".into()))
    }

    fn get(&self, path: &str) -> Result<Got, ClientError> {
        self.send(path, Request::get(path, MAX_BODY_BYTES))
    }

    fn send(&self, path: &str, request: Request) -> Result<Got, ClientError> {
        self.send_until(path, request, self.deadline)
    }

    fn send_until(&self, path: &str, request: Request, until: Instant) -> Result<Got, ClientError> {
        let accept = HeaderValue::from_static("application/json, text/plain, */*");
        read_answer(path, self.http.send(request.header(ACCEPT, accept), Until::Deadline(until))?)
    }

    fn malformed(&self, path: &str, what: String) -> ClientError {
        ClientError::Malformed { url: format!("{}{path}", self.url()), what }
    }
}

/// What an answer to a request for `path` is.
fn read_answer(path: &str, answer: log_client::Answer) -> Result<Got, ClientError> {
    // `503` to an array carries one result for each submission, as `200` and `202` do.
    let has_results = answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.body.starts_with(b"[");
    match (answer.status.is_success() || has_results, answer.is_whole) {
        (true, true) => Ok(Got { retry_after: retry_after(&answer.headers), body: answer.body }),
        (true, false) => Err(ClientError::TooLong { url: answer.url }),
        (false, _) => Err(no_success(path, answer)),
    }
}

/// What an answer without success to a request for `path` means.
fn no_success(path: &str, answer: log_client::Answer) -> ClientError {
    if answer.status.is_redirection() {
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        return ClientError::redirect(answer.url, path, location);
    }
    let problem = Box::new(Problem::read(&answer.body, answer.status.as_u16()));
    ClientError::Refused { retry_after: retry_after(&answer.headers), problem, url: answer.url }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are JSON")
}

fn post_json(path: &str, body: String) -> Request {
    let json = HeaderValue::from_static("application/json");
    Request::post(path, body, MAX_BODY_BYTES).header(CONTENT_TYPE, json)
}

struct Got {
    body: Vec<u8>,
    retry_after: Option<Duration>,
}

/// Seconds, at most an hour; the other form of the header, a date, would need a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

/// The longest that a log is asked to hold an answer back: proxies between cut longer ones.
const LONGEST_WAIT: u64 = 25;
