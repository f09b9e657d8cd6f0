//! Trusted roots: which keys of which logs count, and from when until when (Sigstore's `sigstore_trustroot.proto`).
//!
//! ```text
//! {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
//!  "tlogs": [{"baseUrl": "https://log.example.com", "hashAlgorithm": "SHA2_256",
//!    "publicKey": {"rawBytes": "<base64 of the SPKI>", "keyDetails": "PKIX_ED25519",
//!                  "validFor": {"start": "<RFC 3339>"[, "end": "<RFC 3339>"]}},
//!    "logId": {"keyId": "<base64>"}[, "checkpointKeyId": {"keyId": "<base64>"}][, "operator": "…"]} …],
//!  ["certificateAuthorities": […]], ["ctlogs": […]], ["timestampAuthorities": […]]}                      not read
//! ```
//! It is the verifier's own file. A log whose key is of a kind that is not known here stands in it for others.

use tlog::UnixTime;
use tlog::encoding;

use super::note::host_of_url;
use super::{MAX_TRUSTED_ROOT_BYTES, SpkiKey, time};
use crate::json::{JsonError, Object};
use crate::quote::quoted;

/// The media type of a trusted root.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// The logs that a verifier believes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedRoot {
    logs: Vec<Log>,
}

/// A log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Log {
    /// The host of its URL.
    pub(crate) host: String,
    pub(crate) id: Vec<u8>,
    /// Its key, or what kind it is that is not known here, quoted.
    pub(crate) key: Result<SpkiKey, String>,
    pub(crate) start: Bound,
    /// The last second in which it signs.
    pub(crate) end: Option<Bound>,
}

/// A time, and how it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Bound {
    pub(crate) time: UnixTime,
    pub(crate) text: String,
}

impl TrustedRoot {
    /// Reads a trusted root.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustedRootError> {
        if bytes.len() as u64 > MAX_TRUSTED_ROOT_BYTES {
            return Err(TrustedRootError::TooLong(bytes.len()));
        }
        let mut root = Object::parse(bytes, MAX_DEPTH)?;
        let media_type = root.string("mediaType")?;
        if media_type != MEDIA_TYPE {
            return Err(TrustedRootError::MediaType(quoted(&media_type)));
        }
        let logs = root.optional_objects("tlogs")?.unwrap_or_default();
        for other in ["certificateAuthorities", "ctlogs", "timestampAuthorities"] {
            root.optional_objects(other)?;
        }
        root.finish()?;
        let logs = logs.into_iter().zip(0..).map(|(log, at)| Log::from_json(log, at));
        let logs: Vec<Log> = logs.collect::<Result<_, _>>()?;
        for (at, log) in logs.iter().enumerate() {
            if logs[..at].iter().any(|other| other.id == log.id) {
                return Err(TrustedRootError::Twice { at });
            }
        }
        Ok(Self { logs })
    }

    /// The log with this id.
    pub(crate) fn log(&self, id: &[u8]) -> Option<&Log> {
        self.logs.iter().find(|log| log.id == id)
    }

    /// Whether a log's key has an end: what was signed after it counts for nothing, so a verifier needs to know the time.
    pub fn has_end(&self) -> bool {
        self.logs.iter().any(|log| log.end.is_some())
    }
}

impl Log {
    fn from_json(mut log: Object, at: usize) -> Result<Self, TrustedRootError> {
        let url = log.string("baseUrl")?;
        let host =
            host_of_url(&url).ok_or_else(|| TrustedRootError::Url { at, url: quoted(&url) })?.to_owned();
        let algorithm = log.string("hashAlgorithm")?;
        if algorithm != "SHA2_256" {
            return Err(TrustedRootError::HashAlgorithm { at, algorithm: quoted(&algorithm) });
        }
        let mut key = log.object("publicKey")?;
        let mut id = log.object("logId")?;
        let base64 = |text: &str| encoding::decode_base64(text).ok_or(TrustedRootError::Base64 { at });
        let log_id = base64(&id.string("keyId")?)?;
        id.finish()?;
        log.optional_object("checkpointKeyId")?;
        log.optional_string("operator")?;
        log.finish()?;
        let der = base64(&key.string("rawBytes")?)?;
        let details = key.string("keyDetails")?;
        let mut valid_for = key.object("validFor")?;
        key.finish()?;
        let bound = |text: String| match time::parse(&text) {
            Some(time) => Ok(Bound { time, text }),
            None => Err(TrustedRootError::Time { at, time: quoted(&text) }),
        };
        let start = bound(valid_for.string("start")?)?;
        let end = valid_for.optional_string("end")?.map(bound).transpose()?;
        valid_for.finish()?;
        let key = match (details.as_str(), SpkiKey::from_der(&der)) {
            ("PKIX_ED25519", Ok(key @ SpkiKey::Ed25519(_))) => Ok(key),
            ("PKIX_ECDSA_P256_SHA_256", Ok(key @ SpkiKey::P256(_))) => Ok(key),
            ("PKIX_ED25519" | "PKIX_ECDSA_P256_SHA_256", _) => return Err(TrustedRootError::Key { at }),
            _ => Err(quoted(&details)),
        };
        Ok(Self { host, id: log_id, key, start, end })
    }
}

/// Why a text is no trusted root.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustedRootError {
    /// Not strict base64.
    #[error("a key or an id of `tlogs[{at}]` is not canonical base64")]
    Base64 {
        /// The position of the log, from 0.
        at: usize,
    },
    /// Another hash than SHA-256.
    #[error("`tlogs[{at}].hashAlgorithm` is {algorithm}, not SHA2_256")]
    HashAlgorithm {
        /// The position of the log, from 0.
        at: usize,
        /// What it says, quoted.
        algorithm: String,
    },
    /// Not JSON, or not with these members.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The key is not what its details say.
    #[error("the key of `tlogs[{at}]` is not what its `keyDetails` say")]
    Key {
        /// The position of the log, from 0.
        at: usize,
    },
    /// Another media type.
    #[error("`mediaType` is {0}, not {MEDIA_TYPE:?}")]
    MediaType(String),
    /// A time in another spelling.
    #[error("`tlogs[{at}].publicKey.validFor` has the time {time}: it is written 2025-01-01T00:00:00Z")]
    Time {
        /// The position of the log, from 0.
        at: usize,
        /// The time, quoted.
        time: String,
    },
    /// Too long.
    #[error("it has {0} bytes, more than {MAX_TRUSTED_ROOT_BYTES}")]
    TooLong(usize),
    /// One id twice.
    #[error("`tlogs[{at}]` has the id of one before it")]
    Twice {
        /// The position of the log, from 0.
        at: usize,
    },
    /// No URL with a host.
    #[error("`tlogs[{at}].baseUrl` has no host: {url}")]
    Url {
        /// The position of the log, from 0.
        at: usize,
        /// The URL, quoted.
        url: String,
    },
}

/// Certificates of Sigstore's own nest 6 deep.
const MAX_DEPTH: usize = 16;
