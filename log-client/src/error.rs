//! Why there is no answer. An error is about this attempt, and no verdict about the server.

use std::io;

use rustls::Error as TlsError;
use tlog::encoding::quoted;

/// Why there is no answer, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection ended in the middle of an answer.
    #[error("the answer from {} breaks off", quoted(.url))]
    BrokenOff {
        /// What was asked.
        url: String,
        /// The library's reason.
        source: reqwest::Error,
    },
    /// The other side hung up, or stopped reading, while the request was being sent.
    #[error("{} was reached, and the body was cut after {sent} of {of} bytes", quoted(.url))]
    Cut {
        /// What was asked.
        url: String,
        /// The bytes that went out.
        sent: usize,
        /// The bytes of the body.
        of: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A connection, and no answer. With a body, all of that went out.
    #[error("no answer from {}", quoted(.url))]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The deadline was over before anything was asked.
    #[error("there is no time left to ask for {}", quoted(.url))]
    NoTime {
        /// What would have been asked.
        url: String,
    },
    /// The other side does not prove to be the host of the URL, or speaks no TLS. Trying again does not help.
    #[error("no trustworthy connection to {}: {source}", quoted(.url))]
    Tls {
        /// What was asked.
        url: String,
        /// What the other side did wrong.
        source: TlsError,
    },
    /// An answer that began, and does not go on, or not in time.
    #[error("the answer from {} did not end in time", quoted(.url))]
    TooSlow {
        /// What was asked.
        url: String,
    },
    /// No connection.
    #[error("cannot reach {}{}", quoted(.url), through(.proxy.as_deref()))]
    Unreachable {
        /// What was asked.
        url: String,
        /// Host and port of the proxy of the environment, if one is in between: it may be this that is out of reach.
        proxy: Option<String>,
        /// The library's reason.
        source: reqwest::Error,
    },
}

impl Error {
    /// Why there is not even the head of an answer.
    pub(crate) fn before_answer(
        url: String,
        proxy: Option<&str>,
        sent: usize,
        of: usize,
        failed: Result<reqwest::Result<reqwest::Response>, tokio::time::error::Elapsed>,
    ) -> Self {
        let source: Box<dyn std::error::Error + Send + Sync> = match failed {
            Ok(Err(source)) => match tls_error(&source) {
                Some(tls) if !matches!(tls, TlsError::AlertReceived(_)) => {
                    return Self::Tls { url, source: tls.clone() };
                }
                // An alert does not last: a server that is about to restart may send one.
                _ if source.is_connect() => {
                    return Self::Unreachable { url, proxy: proxy.map(str::to_owned), source };
                }
                _ => Box::new(source),
            },
            _ => Box::new(io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
        };
        if sent > 0 && sent < of {
            Self::Cut { url, sent, of, source }
        } else {
            Self::NoAnswer { url, source }
        }
    }

    /// Whether the deadline passed and nothing else is known to be wrong.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::NoTime { .. } | Self::TooSlow { .. } => true,
            Self::Cut { source, .. } | Self::NoAnswer { source, .. } => source
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut),
            Self::Unreachable { source, .. } | Self::BrokenOff { source, .. } => source.is_timeout(),
            Self::Tls { .. } => false,
        }
    }

    /// The innermost cause, such as `Connection refused`. The layers above it tell only how the libraries are built.
    pub fn root_cause(&self) -> Option<String> {
        if let Self::Tls { .. } = self {
            return None;
        }
        let mut cause = std::error::Error::source(self)?;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Some(cause.to_string())
    }
}

fn through(proxy: Option<&str>) -> String {
    proxy.map_or(String::new(), |proxy| format!(" through the proxy {}", quoted(proxy)))
}

/// The fault of TLS below an error of the HTTP library, if that is what it is.
fn tls_error(error: &reqwest::Error) -> Option<&TlsError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An I/O error that carries another names the cause of that as its own, and leaves it out.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}
