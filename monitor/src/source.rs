//! Reading a log over HTTP, where nothing that is read is believed, and nothing is read without an end.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use log_client::{Client, MAX_ENVELOPE_BYTES, ReadError, Until};
use reqwest::StatusCode;
use tlog::Hash;
use tlog::note::MAX_NOTE_BYTES;
use tlog::reader::Want;

/// One place that serves a log, or a witness's view of it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    place: Client,
    until: Until,
}

impl Source {
    /// The place below the URL `base`, which the operator has configured: it may be anywhere. Each answer is waited for
    /// `until` then.
    pub(crate) fn new(base: &str, until: Until) -> Result<Self, io::Error> {
        Ok(Self { place: Client::new(base, concat!("aip-monitor/", env!("CARGO_PKG_VERSION")))?, until })
    }

    /// The URL.
    pub(crate) fn url(&self) -> &str {
        self.place.url()
    }

    /// The checkpoint that the log shows, a note.
    pub(crate) fn checkpoint(&self) -> Result<Vec<u8>, ReadError> {
        self.place.read("checkpoint", MAX_NOTE_BYTES, self.until)
    }

    /// The checkpoint of the log `origin` that a witness shows; `None` if it has cosigned none.
    pub(crate) fn witnessed(&self, origin: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let path = format!("{}/checkpoint", Hash::of(origin.as_bytes()));
        match self.place.read(&path, MAX_NOTE_BYTES, self.until) {
            Err(ReadError::Status(answer)) if answer.status == StatusCode::NOT_FOUND => Ok(None),
            read => read.map(Some),
        }
    }

    /// The bytes of a tile or a bundle, unverified.
    pub(crate) fn fetch(&self, want: Want) -> Result<Vec<u8>, ReadError> {
        self.place.fetch(want, self.until)
    }

    /// Tiles or bundles, several at a time, in their order.
    pub(crate) fn all(&self, wants: &[Want]) -> Vec<Result<Vec<u8>, ReadError>> {
        in_parallel(wants, |want| self.fetch(*want))
    }

    /// The envelope with a hash.
    pub(crate) fn envelope(&self, hash: &Hash) -> Result<StoredEnvelope, ReadError> {
        let path = format!("api/v1/envelopes/{hash}");
        match self.place.read(&path, MAX_ENVELOPE_BYTES, self.until) {
            Ok(bytes) => Ok(StoredEnvelope::Present(bytes)),
            Err(ReadError::TooLong { .. }) => Ok(StoredEnvelope::TooLong),
            Err(ReadError::Status(answer)) if answer.status == StatusCode::GONE => Ok(StoredEnvelope::Erased),
            Err(ReadError::Status(answer)) if answer.status == StatusCode::NOT_FOUND => {
                Ok(StoredEnvelope::Withheld)
            }
            Err(error) => Err(error),
        }
    }
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
    /// It is longer than any that is read: a log that takes such ones is followed all the same.
    TooLong,
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

/// Requests to one log at a time.
const CONNECTIONS: usize = 8;
