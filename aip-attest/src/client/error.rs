//! Why a log gave no answer that can be used.

use std::time::Duration;

use rustls::Error as TlsError;

use super::{MAX_BODY_BYTES, Problem};
use crate::report::Failure;

/// Why a log gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection ended in the middle of an answer.
    #[error("the answer from `{url}` breaks off")]
    BrokenOff {
        /// What was asked.
        url: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An answer that is not what the interface says.
    #[error("the answer from `{url}` is malformed: {what}")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The caller's deadline is over: nothing was asked.
    #[error("there is no time left to ask for `{url}`")]
    NoTime {
        /// What would have been asked.
        url: String,
    },
    /// The answer points somewhere else.
    #[error("`{url}` redirects to `{to}`")]
    Redirect {
        /// What was asked.
        url: String,
        /// Where it points.
        to: String,
    },
    /// The log says no.
    #[error("`{url}` answers {problem}")]
    Refused {
        /// What was asked.
        url: String,
        /// The log's own words.
        problem: Box<Problem>,
        /// When to try again, if the log says so.
        retry_after: Option<Duration>,
    },
    /// Whoever answers does not prove to be the host of the URL, or does not speak TLS. It will not later.
    #[error("no trustworthy connection to `{url}`: {source}")]
    Tls {
        /// What was asked.
        url: String,
        /// What the other side did wrong.
        source: TlsError,
    },
    /// A body without an end, or a small one that unpacks to a large one.
    #[error("the answer from `{url}` is longer than {MAX_BODY_BYTES} bytes")]
    TooLong {
        /// What was asked.
        url: String,
    },
    /// A body that trickles.
    #[error("the answer from `{url}` did not end in time")]
    TooSlow {
        /// What was asked.
        url: String,
    },
    /// No connection, or one that broke.
    #[error("cannot reach `{url}`")]
    Unreachable {
        /// What was asked.
        url: String,
        /// The library's reason.
        source: reqwest::Error,
    },
}

impl ClientError {
    /// Why a request got no answer.
    pub(super) fn no_answer(url: String, source: reqwest::Error) -> Self {
        match tls_error(&source) {
            // Who answers with an alert may have been told to by somebody who is about to restart it.
            Some(TlsError::AlertReceived(_)) | None => Self::Unreachable { url, source },
            Some(tls) => Self::Tls { url, source: tls.clone() },
        }
    }

    /// Whether the same request may succeed later, and when to try.
    pub fn retry(&self) -> Option<Option<Duration>> {
        match self {
            Self::Refused { problem, retry_after, .. } if problem.is_for_now() => Some(*retry_after),
            Self::BrokenOff { .. } | Self::NoTime { .. } | Self::TooSlow { .. } | Self::Unreachable { .. } => {
                Some(None)
            }
            _ => None,
        }
    }

    /// What lies at the bottom of it, such as `Connection refused`: what the libraries say between is how
    /// they are built.
    fn root_cause(&self) -> Option<String> {
        if let Self::Tls { .. } = self {
            return None;
        }
        let mut cause = std::error::Error::source(self)?;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Some(cause.to_string())
    }

    /// The error and its cause on one line.
    pub fn one_line(&self) -> String {
        self.root_cause().map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}"))
    }

    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            _ => None,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::Malformed { .. } | ClientError::TooLong { .. } => Some(
                "is this the address of a log? `/checkpoint` below it has to be a signed note".to_owned(),
            ),
            // Its target is whatever the server wants it to be, so no hint of ours repeats it.
            ClientError::Redirect { .. } => Some(
                "redirects are not followed: if you know that address to be the log's, name the log there".to_owned(),
            ),
            ClientError::Refused { problem, .. } => problem.hint.clone(),
            ClientError::Tls { source: TlsError::InvalidCertificate(_), .. } => Some(
                "check the host in the log's URL; a certificate authority of your own is named by SSL_CERT_FILE"
                    .to_owned(),
            ),
            ClientError::Tls { .. } => Some("check the log's URL: is it an https one?".to_owned()),
            ClientError::NoTime { .. } => Some("a longer --timeout, or AIP_TIMEOUT, gives more".to_owned()),
            ClientError::BrokenOff { .. } | ClientError::TooSlow { .. } | ClientError::Unreachable { .. } => {
                Some("check the log's URL and your connection".to_owned())
            }
        };
        let failure = match error.root_cause() {
            None => Self::new(&error),
            Some(cause) => Self::new(&error).because(cause),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The fault of TLS below an error of the HTTP library, if that is what it is.
fn tls_error(error: &reqwest::Error) -> Option<&TlsError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An I/O error that carries another names the cause of that as its own, and leaves it out.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}
