//! A log at its URL, or a witness's view of one, over blocking HTTP.
//!
//! Every request keeps its deadline: connecting, sending, waiting and reading. Up to the deadline it goes on as long as
//! bytes move. Every answer has a limit in bytes, after decompression. Redirects are not followed, since they would lead
//! a token or a submission elsewhere. A URL of this machine is asked without a proxy.
//!
//! In scope: sockets, bounds, and what went wrong on the way. Out of scope: what an answer says. The caller verifies it.

#![forbid(unsafe_code)]

mod error;
mod read;
mod upload;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::runtime::Runtime;
use tokio::time::timeout_at;

pub use error::Error;
pub use read::{MAX_ENVELOPE_BYTES, ReadError, is_missing};
use upload::Upload;

/// Whatever is served at a URL, for any number of threads. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    runtime: Arc<Background>,
    /// Host and port of the proxy that the environment puts before this place.
    proxy: Option<String>,
    silence: Duration,
}

impl Client {
    /// A client for what is at `base`, which names itself `agent`.
    pub fn new(base: &str, agent: &str) -> Result<Self, io::Error> {
        // Without a provider of its own rustls has no default; a second call finds the first's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = base.trim_end_matches('/').to_owned();
        let mut http = reqwest::Client::builder();
        let proxy = if is_here(&base) {
            // A proxy of the environment would read, or answer, what should stay on this machine.
            http = http.no_proxy();
            None
        } else {
            proxy_before(&base)
        };
        let http = http
            .user_agent(agent)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("log-client")
            .enable_all()
            .build()?;
        Ok(Self { base, http, runtime: Arc::new(Background(Some(runtime))), proxy, silence: SILENCE })
    }

    /// The URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Asks, and reads the answer, whatever its status.
    pub fn send(&self, request: Request, until: Until) -> Result<Answer, Error> {
        self.runtime.block_on(self.exchange(request, until))
    }

    async fn exchange(&self, request: Request, until: Until) -> Result<Answer, Error> {
        let Request { method, path, headers, body, max_bytes } = request;
        let url = format!("{}/{}", self.base, path.trim_start_matches('/'));
        if until.is_over() {
            return Err(Error::NoTime { url });
        }
        let length = body.as_ref().map_or(0, Bytes::len);
        let sent = Arc::new(AtomicUsize::new(0));
        let mut http = self.http.request(method, &url).headers(headers);
        if let Some(body) = body {
            http = http.body(reqwest::Body::wrap(Upload::new(body, sent.clone())));
        }
        // As long as its bytes may take at the least rate, and then as long as a silence.
        let head_by = until.cap(Instant::now() + at_least_rate(length) + self.silence);
        let mut answer = match timeout_at(head_by.into(), http.send()).await {
            Ok(Ok(answer)) => answer,
            failed => {
                let sent = sent.load(Ordering::Relaxed);
                return Err(Error::before_answer(url, self.proxy.as_deref(), sent, length, failed));
            }
        };
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let (mut body, mut is_whole, start) = (Vec::new(), true, Instant::now());
        while is_whole {
            let mut by = until.cap(Instant::now() + self.silence);
            if matches!(until, Until::LeastRate | Until::LeastRateBefore(_)) {
                by = by.min(start + self.silence + at_least_rate(body.len()));
            }
            let Ok(piece) = timeout_at(by.into(), answer.chunk()).await else {
                return Err(Error::TooSlow { url });
            };
            let piece = piece.map_err(|source| Error::BrokenOff { url: url.clone(), source })?;
            let Some(piece) = piece else { break };
            let room = max_bytes - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            is_whole = piece.len() <= room;
        }
        Ok(Answer { url, status, headers, body, is_whole })
    }
}

/// How long a request waits for its answer. In any case it gives up when nothing moves for half a minute.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// Until then, while bytes move: for a caller with somebody waiting.
    Deadline(Instant),
    /// As long as the answer comes at [`LEAST_BYTES_PER_SECOND`], after the first half minute: for a caller that has
    /// time, but must not be held up by a byte now and then.
    LeastRate,
    /// Both: for who has time for each answer, and an end for all of them.
    LeastRateBefore(Instant),
}

impl Until {
    /// Whether nothing is asked any more.
    pub fn is_over(self) -> bool {
        match self {
            Self::Deadline(deadline) | Self::LeastRateBefore(deadline) => deadline <= Instant::now(),
            Self::LeastRate => false,
        }
    }

    fn cap(self, moment: Instant) -> Instant {
        match self {
            Self::Deadline(deadline) | Self::LeastRateBefore(deadline) => deadline.min(moment),
            Self::LeastRate => moment,
        }
    }
}

fn at_least_rate(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1_000 / LEAST_BYTES_PER_SECOND)
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Bytes>,
    max_bytes: usize,
}

impl Request {
    /// Reads what is at `path` below the URL. An answer longer than `max_bytes` is cut there.
    pub fn get(path: impl Into<String>, max_bytes: usize) -> Self {
        Self { method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: None, max_bytes }
    }

    /// Sends `body` to `path` below the URL.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>, max_bytes: usize) -> Self {
        Self { method: Method::POST, body: Some(body.into()), ..Self::get(path, max_bytes) }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What was answered. Not believed.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked.
    pub url: String,
    /// The HTTP status.
    pub status: StatusCode,
    /// The HTTP headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
}

/// Whether a URL names this machine, by its number or as `localhost`: no proxy can stand between.
pub fn is_here(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host and port of the proxy that the environment names for a URL. Not its user: that is a secret.
fn proxy_before(url: &str) -> Option<String> {
    let proxy = Matcher::from_system().intercept(&url.parse().ok()?)?;
    Some(proxy.uri().authority()?.as_str().rsplit('@').next()?.to_owned())
}

/// A runtime that nobody waits for when it is dropped: a name server that does not answer would hold it up for long.
#[derive(Debug)]
struct Background(Option<Runtime>);

impl Background {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.as_ref().expect("it is there until it is dropped").block_on(future)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may be silent once the whole request can have been sent.
const SILENCE: Duration = Duration::from_secs(30);

/// The least rate of a connection. Our servers, too, stop reading a body that comes more slowly (`service::bodies`).
pub const LEAST_BYTES_PER_SECOND: u64 = 16 << 10;

#[cfg(test)]
mod tests;
