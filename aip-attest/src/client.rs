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

use attestation::lists::{ListKey, Listed};
use log_client::Request;
use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use tlog::tile::{self, Tile};
use tlog::{Hash, bundle};

pub use answer::{Answer, EntryList, ListedEntry, LoggedAnswer, Problem, ProvedLeaf};
pub use error::ClientError;
pub use token::Token;
pub use url::normal_url;

use crate::report::{Failure, Result};

/// The longest body that is read, decompressed: a bundle of 256 entries of 65,535 bytes fits.
pub const MAX_BODY_BYTES: usize = 17 << 20;

/// A log at its address, for as long as somebody waits for it.
pub struct Client {
    http: log_client::Client,
    authorization: Option<HeaderValue>,
    deadline: Instant,
}

impl Client {
    /// A client for the log at `url`: `http` or `https`, with neither user, query nor fragment. It reads what everybody
    /// may, and carries no token. No request lasts beyond `deadline`.
    pub fn new(url: &str, deadline: Instant) -> Result<Self> {
        let base = normal_url(url)?;
        let http = log_client::Client::new(&base, concat!("aip-attest/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::new("cannot set up an HTTP client").caused_by(error))?;
        Ok(Self { http, authorization: None, deadline })
    }

    /// The same client, whose submissions carry this token. Refuses a way on which others can read it.
    pub fn with_token(self, token: &Token) -> Result<Self> {
        let authorization = Some(token.header(self.url())?);
        Ok(Self { authorization, ..self })
    }

    /// The address, without a slash at the end.
    pub fn url(&self) -> &str {
        self.http.url()
    }

    /// The time until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether nobody on the way can read or answer instead: TLS, or this machine.
    pub fn is_private(&self) -> bool {
        url::is_private_way(self.url())
    }

    /// The policy that the log publishes.
    pub fn policy(&self) -> Result<String, ClientError> {
        self.get_text("/policy")
    }

    /// The published checkpoint, a note.
    pub fn checkpoint(&self) -> Result<Vec<u8>, ClientError> {
        Ok(self.get("/checkpoint")?.body)
    }

    /// The hashes of a tile (c2sp.org/tlog-tiles). Where a partial one is gone, those at the beginning of the
    /// full one that took its place.
    pub fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ClientError> {
        match self.whole_tile(tile) {
            Err(error) if !tile.is_full() && matches!(error.status(), Some(404 | 410)) => {
                let mut hashes = self.whole_tile(tile.full())?;
                hashes.truncate(usize::from(tile.width()));
                Ok(hashes)
            }
            answer => answer,
        }
    }

    fn whole_tile(&self, tile: Tile) -> Result<Vec<Hash>, ClientError> {
        let path = format!("/{}", tile.path());
        let got = self.get(&path)?;
        let wrong = || {
            self.malformed(&path, format!("{} bytes are no tile of {} hashes", got.body.len(), tile.width()))
        };
        tile::parse_hashes(tile, &got.body).ok_or_else(wrong)
    }

    /// The leaves under a tile of level 0 (c2sp.org/tlog-tiles). Where a partial bundle is gone, those at the
    /// beginning of the full one that took its place.
    pub fn bundle(&self, tile: Tile) -> Result<Vec<Vec<u8>>, ClientError> {
        match self.whole_bundle(tile) {
            Err(error) if !tile.is_full() && matches!(error.status(), Some(404 | 410)) => {
                let mut leaves = self.whole_bundle(tile.full())?;
                leaves.truncate(usize::from(tile.width()));
                Ok(leaves)
            }
            answer => answer,
        }
    }

    fn whole_bundle(&self, tile: Tile) -> Result<Vec<Vec<u8>>, ClientError> {
        let path = format!("/{}", tile.entries_path());
        let got = self.get(&path)?;
        let leaves = bundle::parse(&got.body).map_err(|error| self.malformed(&path, error.to_string()))?;
        if leaves.len() != usize::from(tile.width()) {
            let what = format!("{} entries, not {}", leaves.len(), tile.width());
            return Err(self.malformed(&path, what));
        }
        Ok(leaves.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// One page of the entries about an artifact, newest first. `next` is the path of a further page, as
    /// the log gave it.
    pub fn entries(&self, artifact: &Hash, next: Option<&str>) -> Result<EntryList, ClientError> {
        let first = format!("/api/v1/entries?artifact=sha256:{artifact}&order=desc&limit=100");
        let path = next.unwrap_or(&first);
        // The log says where its next page is: of this list it may say so, of nothing else.
        if !path.starts_with("/api/v1/entries?") || path.contains(char::is_control) {
            return Err(self.malformed(path, "the next page is not one of /api/v1/entries".into()));
        }
        let got = self.get(path)?;
        answer::entries(&got.body).map_err(|what| self.malformed(path, what))
    }

    /// The receipt of the entry at an index.
    pub fn receipt(&self, index: u64) -> Result<Vec<u8>, ClientError> {
        Ok(self.get(&format!("/api/v1/entries/{index}/receipt"))?.body)
    }

    /// Evidence about a DID (`specs/http.md`).
    pub fn evidence(&self, query: &serde_json::Value) -> Result<Vec<u8>, ClientError> {
        let path = "/api/v1/evidence";
        Ok(self.send(path, post_json(path, query.to_string()))?.body)
    }

    /// The lists with these names, at most 64; an empty one for each of which nothing stands there.
    pub fn lists(&self, keys: &[ListKey]) -> Result<BTreeMap<ListKey, Vec<Listed>>, ClientError> {
        let names: Vec<String> = keys.iter().map(|key| format!("key={key}")).collect();
        let path = format!("/api/v1/lists?{}", names.join("&"));
        let got = self.get(&path)?;
        answer::lists(&got.body, keys).map_err(|what| self.malformed(&path, what))
    }

    /// Submits a JSON array of `count` submissions.
    pub fn submit(&self, array: String, count: usize) -> Result<Vec<Answer>, ClientError> {
        let path = "/api/v1/entries";
        // The log answers before the request ends, so that what it knows by then is not lost.
        let wait = self.left().as_secs().saturating_sub(1).clamp(1, LONGEST_WAIT);
        let prefer = HeaderValue::try_from(format!("wait={wait}")).expect("digits");
        let request = post_json(path, array).header(HeaderName::from_static("prefer"), prefer);
        let request = match &self.authorization {
            None => request,
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
        };
        let got = self.send(path, request)?;
        let answers = answer::results(&got.body, got.retry_after);
        let answers = answers.map_err(|what| self.malformed(path, what))?;
        if answers.len() == count {
            return Ok(answers);
        }
        Err(self.malformed(path, format!("{} results for {count} submissions", answers.len())))
    }

    /// What became of a claim that was committed.
    pub fn claim(&self, claim: &Hash) -> Result<Answer, ClientError> {
        let path = format!("/api/v1/claims/{claim}");
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
        let accept = HeaderValue::from_static("application/json, text/plain, */*");
        let answer = self.http.send(request.header(ACCEPT, accept), self.deadline)?;
        let (url, status, retry_after) = (answer.url, answer.status, retry_after(&answer.headers));
        if status.is_redirection() {
            let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
            return Err(ClientError::redirect(url, path, location));
        }
        if !answer.is_whole {
            return Err(ClientError::TooLong { url });
        }
        let body = answer.body;
        // `503` to an array carries one result for each submission, as `200` and `202` do.
        if status.is_success() || (status == StatusCode::SERVICE_UNAVAILABLE && body.starts_with(b"[")) {
            return Ok(Got { body, retry_after });
        }
        let problem = Problem::read(&body, status.as_u16());
        Err(ClientError::Refused { url, problem: Box::new(problem), retry_after })
    }

    fn malformed(&self, path: &str, what: String) -> ClientError {
        ClientError::Malformed { url: format!("{}{path}", self.url()), what }
    }
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
