//! Reading a log over HTTP, where nothing that is read is believed, and nothing is read without an end.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use tlog::Hash;
use tlog::bundle;
use tlog::encoding::quoted;
use tlog::note::MAX_NOTE_BYTES;
use tlog::tile::{Resource, TILE_WIDTH, Tile};

use crate::bounded::{self, Body};

/// A full bundle of the longest entries: the most that any answer may have, after decompression too.
pub(crate) const MAX_BUNDLE_BYTES: usize = TILE_WIDTH as usize * (2 + bundle::MAX_ENTRY_BYTES);

/// The longest envelope that a log takes is shorter.
const MAX_ENVELOPE_BYTES: usize = 4 << 20;

/// One place that serves a log, or a witness's view of it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    base: String,
    http: Client,
}

impl Source {
    /// The place below the URL `base`, which the operator has configured: it may be anywhere.
    pub(crate) fn new(base: &str) -> Result<Self, reqwest::Error> {
        // Without a provider of its own rustls has no default; a second call finds the first's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder();
        if is_here(base) {
            // A proxy of the environment would read, or answer, what is thought to stay on this machine.
            http = http.no_proxy();
        }
        let http = http
            .user_agent(concat!("aip-monitor/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// The URL.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// The checkpoint that the log shows, a note.
    pub(crate) fn checkpoint(&self) -> Result<Vec<u8>, FetchError> {
        self.fetch("checkpoint", MAX_NOTE_BYTES)
    }

    /// The checkpoint of the log `origin` that a witness shows; `None` if it has cosigned none.
    pub(crate) fn witnessed(&self, origin: &str) -> Result<Option<Vec<u8>>, FetchError> {
        let path = format!("{}/checkpoint", Hash::of(origin.as_bytes()));
        found(self.fetch(&path, MAX_NOTE_BYTES))
    }

    /// The bytes of a tile. A partial one that is gone is taken from the full one.
    pub(crate) fn tile(&self, tile: Tile) -> Result<Vec<u8>, FetchError> {
        let length = |tile: Tile| usize::from(tile.width()) * Hash::BYTES;
        if let Some(bytes) = found(self.fetch_part(&tile.path(), length(tile)))? {
            return Ok(bytes);
        }
        let mut bytes = self.fetch_part(&tile.full().path(), length(tile.full()))?;
        bytes.truncate(length(tile));
        Ok(bytes)
    }

    /// The bytes of the bundle under a level-0 tile. A partial one that is gone is taken from the full one.
    pub(crate) fn bundle(&self, tile: Tile) -> Result<Vec<u8>, FetchError> {
        if let Some(bytes) = found(self.fetch_part(&tile.entries_path(), MAX_BUNDLE_BYTES))? {
            return Ok(bytes);
        }
        let full = self.fetch_part(&tile.full().entries_path(), MAX_BUNDLE_BYTES)?;
        // What is no bundle stays what it is: whoever asked finds out.
        let Ok(entries) = bundle::parse(&full) else { return Ok(full) };
        let mut bytes = Vec::new();
        entries.iter().take(usize::from(tile.width())).for_each(|entry| bundle::push(&mut bytes, entry));
        Ok(bytes)
    }

    /// Tiles or bundles, several at a time, in their order.
    pub(crate) fn all(&self, wanted: &[(Tile, Resource)]) -> Vec<Result<Vec<u8>, FetchError>> {
        let fetch = |(tile, resource): &(Tile, Resource)| match resource {
            Resource::Hashes => self.tile(*tile),
            Resource::Entries => self.bundle(*tile),
        };
        in_parallel(wanted, fetch)
    }

    /// The envelope with a hash.
    pub(crate) fn envelope(&self, hash: &Hash) -> Result<StoredEnvelope, FetchError> {
        match self.fetch(&format!("api/v1/envelopes/{hash}"), MAX_ENVELOPE_BYTES) {
            Ok(bytes) => Ok(StoredEnvelope::Present(bytes)),
            Err(FetchError::Status { status, .. }) if status == StatusCode::GONE => {
                Ok(StoredEnvelope::Erased)
            }
            Err(error) => found(Err(error)).map(|_: Option<()>| StoredEnvelope::Withheld),
        }
    }

    /// Fetches a tile or bundle of at most `longest` bytes. Of one that is longer, the start and one byte more
    /// are answered: no reader takes them for what was asked, and they are evidence.
    fn fetch_part(&self, path: &str, longest: usize) -> Result<Vec<u8>, FetchError> {
        let url = format!("{}/{path}", self.base);
        read(self.get(&url)?, &url, longest + 1).map(|(bytes, _)| bytes)
    }

    /// Fetches what has to be whole.
    fn fetch(&self, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let url = format!("{}/{path}", self.base);
        match read(self.get(&url)?, &url, limit)? {
            (bytes, true) => Ok(bytes),
            (_, false) => Err(FetchError::TooLong { url, limit }),
        }
    }

    fn get(&self, url: &str) -> Result<Response, FetchError> {
        let answer = self.http.get(url).send();
        let answer = answer.map_err(|source| FetchError::Unreachable { url: url.to_owned(), source })?;
        let status = answer.status();
        if status.is_success() { Ok(answer) } else { Err(FetchError::Status { url: url.to_owned(), status }) }
    }
}

/// Whether it is this machine: no proxy can stand between.
pub(super) fn is_here(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a log has of an envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum StoredEnvelope {
    /// Its bytes.
    Present(Vec<u8>),
    /// The log never had it, or does not show it.
    Withheld,
    /// The log had it, and erased it.
    Erased,
}

/// Why something was not read: no verdict about a log, only about this attempt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The answer broke off.
    #[error("{} broke off", quoted(.url))]
    BrokenOff {
        /// The URL.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// Another status than 200.
    #[error("{} answers {status}", quoted(.url))]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The answer has no end.
    #[error("{} has more than {limit} bytes", quoted(.url))]
    TooLong {
        /// The URL.
        url: String,
        /// What it may have.
        limit: usize,
    },
    /// The answer takes too long.
    #[error("{} takes longer than {} s", quoted(.url), REQUEST_TIMEOUT.as_secs())]
    TooSlow {
        /// The URL.
        url: String,
    },
    /// No answer.
    #[error("{} does not answer", quoted(.url))]
    Unreachable {
        /// The URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// `None` for what is not there.
fn found<T>(result: Result<T, FetchError>) -> Result<Option<T>, FetchError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(FetchError::Status { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a body up to a limit, which holds for what comes out of decompression; says whether that is all of it.
fn read(answer: Response, url: &str, limit: usize) -> Result<(Vec<u8>, bool), FetchError> {
    match bounded::read(answer, limit, REQUEST_TIMEOUT) {
        Ok(Body::Whole(body)) => Ok((body, true)),
        Ok(Body::TooLong(body)) => Ok((body, false)),
        Ok(Body::TooSlow) => Err(FetchError::TooSlow { url: url.to_owned() }),
        Err(source) => Err(FetchError::BrokenOff { url: url.to_owned(), source }),
    }
}

/// Threads that wait for the network, not for a processor; so many results of `work` on the way at a time.
pub(super) fn in_parallel<T: Sync, R: Send>(of: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<R>>> = of.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(of.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = of.get(at) else { return };
                    *done[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(work(item));
                }
            });
        }
    });
    let result = |slot: Mutex<Option<R>>| {
        slot.into_inner().unwrap_or_else(PoisonError::into_inner).expect("every item was worked on")
    };
    done.into_iter().map(result).collect()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests to one log at a time.
const CONNECTIONS: usize = 8;
