//! Reading what a log publishes as files: its checkpoint, its policy, tiles, bundles, envelopes.

use reqwest::StatusCode;
use tlog::encoding::quoted;
use tlog::reader::Want;

use crate::{Answer, Client, Error, Request, Until};

/// The longest envelope that a log publishes and that anybody reads.
pub const MAX_ENVELOPE_BYTES: usize = 16 << 20;

impl Client {
    /// What is at `path` below the URL, all of it: at most `max_bytes`.
    pub fn read(&self, path: &str, max_bytes: usize, until: Until) -> Result<Vec<u8>, ReadError> {
        let answer = self.send(Request::get(path, max_bytes), until)?;
        match (answer.status.is_success(), answer.is_whole) {
            (true, true) => Ok(answer.body),
            (true, false) => Err(ReadError::TooLong { url: answer.url, max_bytes }),
            (false, _) => Err(ReadError::Status(Box::new(answer))),
        }
    }

    /// The bytes of a tile or a bundle. If a partial one is gone, the beginning of the full one that took its place.
    ///
    /// An answer that is too long comes back with one byte more than it may have: it does not verify, and is evidence.
    pub fn fetch(&self, want: Want, until: Until) -> Result<Vec<u8>, ReadError> {
        match self.fetch_this(want, until) {
            Err(ReadError::Status(answer)) if is_missing(answer.status) => match want.instead() {
                Some(full) => Ok(want.cut(self.fetch_this(full, until)?)),
                None => Err(ReadError::Status(answer)),
            },
            fetched => fetched,
        }
    }

    fn fetch_this(&self, want: Want, until: Until) -> Result<Vec<u8>, ReadError> {
        let answer = self.send(Request::get(want.path(), want.max_bytes() + 1), until)?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(ReadError::Status(Box::new(answer))) }
    }
}

/// Whether a status says that nothing is there. An object store answers 403 to clients that may not list it.
pub fn is_missing(status: StatusCode) -> bool {
    matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Why something was not read. An error is about this attempt, and no verdict about the server.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer, or no whole one.
    #[error(transparent)]
    Http(#[from] Error),
    /// Another status than success.
    #[error("{} answers {}", quoted(&.0.url), .0.status)]
    Status(Box<Answer>),
    /// It is longer than it may be.
    #[error("{} has more than {max_bytes} bytes", quoted(.url))]
    TooLong {
        /// What was asked.
        url: String,
        /// What it may have.
        max_bytes: usize,
    },
}
