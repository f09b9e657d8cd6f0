//! Why a relay refuses a request.

use tlog::key::KeyError;

use crate::json::JsonError;
use crate::json::spelled::SpellingError;
use crate::logged::LogTime;
use crate::message::{EnvelopeId, HexNameError, SealedError};

/// Why a relay refuses a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// No such action.
    #[error("{0} is no action of a mailbox")]
    Action(String),
    /// The clocks differ.
    #[error(
        "the clocks of client and log differ by {} s, and 300 s are allowed: this log's time is {} ms",
        issued_at.as_millis().abs_diff(now.as_millis()).div_ceil(1_000),
        now.as_millis()
    )]
    Clock {
        /// When, by the client.
        issued_at: LogTime,
        /// The relay's time.
        now: LogTime,
    },
    /// To be kept until the past, or for more than 7 days.
    #[error(
        "a message is kept until {} ms: that is not behind {} ms, or more than 7 days behind the request", expires.as_millis(),
        now.as_millis()
    )]
    Expires {
        /// Until when.
        expires: LogTime,
        /// The relay's time.
        now: LogTime,
    },
    /// An id that is none.
    #[error("request: {0}")]
    Id(#[from] HexNameError),
    /// Not JSON, or not with these members.
    #[error("request: {0}")]
    Json(#[from] JsonError),
    /// The key is refused.
    #[error("request: `key`: {0}")]
    Key(#[from] KeyError),
    /// For another log.
    #[error("the request is for the log {got}, and this is {want}")]
    Origin {
        /// The log that it names.
        got: String,
        /// The relay's.
        want: String,
    },
    /// Posted to the other path.
    #[error("`{action}` is posted to {path}")]
    Route {
        /// The action.
        action: &'static str,
        /// Where it belongs.
        path: &'static str,
    },
    /// No sealed message.
    #[error("sealed: {0}")]
    Sealed(#[from] SealedError),
    /// Another sealed message than the one that was signed for.
    #[error("the sealed message is {got}, and the request was signed for {want}")]
    SealedDigest {
        /// What came.
        got: EnvelopeId,
        /// What was signed for.
        want: EnvelopeId,
    },
    /// A send without what is sent.
    #[error("to send takes `sealed`")]
    SealedMissing,
    /// A sealed message with another action.
    #[error("only to send takes `sealed`")]
    SealedUnasked,
    /// Not signed by the key that it names.
    #[error("the request's signature is not by its key over this request")]
    Signature,
    /// Not in its one spelling, or a member with a value that it cannot have.
    #[error("request: {0}")]
    Spelling(#[from] SpellingError),
}

impl RequestError {
    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Clock { .. } => "request-clock",
            Self::Expires { .. } => "expires",
            Self::Origin { .. } => "origin",
            Self::Sealed(_) => "sealed",
            Self::SealedDigest { .. } => "sealed-digest",
            Self::Signature => "request-signature",
            Self::Action(_)
            | Self::Id(_)
            | Self::Json(_)
            | Self::Key(_)
            | Self::Route { .. }
            | Self::SealedMissing
            | Self::SealedUnasked
            | Self::Spelling(_) => "request",
        }
    }
}
