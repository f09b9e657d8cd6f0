//! Why a log gave no answer that can be used.

use std::time::Duration;

use attestation::entry::LogTime;
use log_client::Error as HttpError;
use rustls::Error as TlsError;

use super::{MAX_BODY_BYTES, Problem};
use crate::report::{Failure, printable};

/// Why a log gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No answer, or no whole one.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer that is not what the interface says.
    #[error("the answer from `{url}` is malformed: {what}")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        what: String,
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
    /// A body without an end, or a small one that unpacks to a large one.
    #[error("the answer from `{url}` is longer than {MAX_BODY_BYTES} bytes")]
    TooLong {
        /// What was asked.
        url: String,
    },
}

impl ClientError {
    /// The answer to a request for `path` that names another place: in words the log there, if that is what it is.
    pub(super) fn redirect(url: String, path: &str, location: Option<&str>) -> Self {
        let to = location.and_then(|location| reqwest::Url::parse(&url).ok()?.join(location).ok());
        let log = to.as_ref().and_then(|to| to.as_str().strip_suffix(path));
        let to = printable(log.or(location).unwrap_or("elsewhere")).into_owned();
        Self::Redirect { url, to }
    }

    /// Whether the same request may succeed later, and when to try.
    pub(crate) fn retry(&self) -> Option<Option<Duration>> {
        match self {
            Self::Refused { problem, retry_after, .. } if problem.is_for_now() => Some(*retry_after),
            Self::Http(HttpError::Tls { .. }) => None,
            Self::Http(_) => Some(None),
            _ => None,
        }
    }

    /// The log's time, if it refused the request because of another one in it.
    pub(crate) fn time_there(&self) -> Option<LogTime> {
        match self {
            Self::Refused { problem, .. } if problem.rule == "request-clock" => problem.now,
            _ => None,
        }
    }

    /// Whether there is not even a connection.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Http(HttpError::Unreachable { .. }))
    }

    /// Whether a shorter request may get through where this one did not.
    pub(crate) fn is_for_length(&self) -> bool {
        match self {
            Self::Http(error) => matches!(error, HttpError::Cut { .. } | HttpError::NoAnswer { .. }),
            Self::Refused { problem, .. } => matches!(problem.status, 408 | 429 | 504),
            _ => false,
        }
    }

    fn root_cause(&self) -> Option<String> {
        match self {
            Self::Http(error) => error.root_cause(),
            _ => None,
        }
    }

    /// The error and its cause on one line.
    pub(crate) fn one_line(&self) -> String {
        self.root_cause().map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}"))
    }

    /// The HTTP status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            _ => None,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::new(&error);
        let failure = error.root_cause().into_iter().fold(failure, Self::because);
        error.hint().into_iter().fold(failure, Self::hint)
    }
}

impl ClientError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Malformed { .. } | Self::TooLong { .. } => {
                "is this the address of a log? `/checkpoint` below it has to be a signed note"
            }
            // Its target is whatever the server wants it to be, so no hint of ours repeats it.
            Self::Redirect { .. } => {
                "redirects are not followed: if you know that address to be the log's, name the log there"
            }
            Self::Refused { problem, .. } => return problem.hint.clone(),
            Self::Http(error) => match error {
                HttpError::Tls { source: TlsError::InvalidCertificate(_), .. } => {
                    match cfg!(any(windows, target_vendor = "apple")) {
                        true => {
                            "check the host in the log's URL; a certificate authority of your own is added to the system's"
                        }
                        false => {
                            "check the host in the log's URL; a certificate authority of your own is named by SSL_CERT_FILE"
                        }
                    }
                }
                HttpError::Tls { .. } => "check the log's URL: is it an https one?",
                HttpError::NoTime { .. } => "a longer --timeout, or AIP_TIMEOUT, gives more",
                HttpError::Cut { .. } => {
                    "a slow line needs a longer --timeout, or AIP_TIMEOUT; a proxy in between may cut what takes long"
                }
                HttpError::Unreachable { proxy: Some(_), .. } => {
                    "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names the proxy: is it there? NO_PROXY names hosts that \
                     are asked without it"
                }
                _ => "check the log's URL and your connection",
            },
        };
        Some(hint.to_owned())
    }
}
