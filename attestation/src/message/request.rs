//! What a DID asks of a relay, signed: to send, list, acknowledge, and set who may send.
//!
//! ```text
//! {"key":"<base64>","request":"<base64 of JCS>","signature":"<base64>"[,"sealed":"<base64>"]}     sealed: to send
//!
//! signature  Ed25519 over PAE("application/vnd.aip.mailbox-request.v1+json", request)
//! request    {"action":"send","did":…,"expires":…,"issuedAt":…,"origin":…,"sealed":"<envelope id>"}
//!            {"action":"list","after":…,"did":…,"issuedAt":…[,"keys":[…]],"limit":…,"origin":…,"wait":…}
//!            {"action":"acknowledge","did":…,"ids":[…],"issuedAt":…,"origin":…}
//!            {"accept":…,"action":"settings","blocked":[…],"did":…,"issuedAt":…,"listed":[…],"origin":…}
//! ```
//! There is no challenge: nobody signs what a server chose. A request that is sent again within its five minutes does nothing
//! new: a send is known by its envelope id, and the others read, delete what is gone already, or are ordered by their time.
//!
//! A relay asks in this order: [`SignedRequest::parse`] (`request`), [`SignedRequest::check`] (`origin`, `request-clock`,
//! `request-signature`), [`SignedRequest::check_signer`] (the DID's state), and of a send
//! [`SignedRequest::check_sealed`] (`sealed`, `sealed-digest`, `expires`).

use tlog::checkpoint::is_origin;
use tlog::encoding;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey, KeyError};

use super::sealed::MAX_SEALED_BYTES;
use super::statement::MAX_LIFE_MILLIS;
use super::{EnvelopeId, MessageKeyId, Sealed};
use crate::did::Did;
use crate::dsse::pae;
use crate::event::RawKey;
use crate::identity::{Identity, StateError, check_message_signer};
use crate::json::Object;
use crate::json::spelled::SpellingError;
use crate::logged::LogTime;
use crate::quote::quoted;

mod error;
mod wire;

pub use error::RequestError;

/// The type of a request in its PAE.
pub const REQUEST_TYPE: &str = "application/vnd.aip.mailbox-request.v1+json";

/// How far the clocks of client and relay may differ.
const MAX_CLOCK_DIFFERENCE_MILLIS: u64 = 300 * 1_000;

/// The most messages of a page.
pub const MAX_PAGE: u64 = 100;

/// The longest time that a relay waits for a message, in seconds.
const MAX_WAIT_SECONDS: u64 = 60;

/// The most keys of a list.
const MAX_LISTED_KEYS: usize = 16;

/// The most ids of an acknowledgement.
pub const MAX_ACKNOWLEDGED: usize = 100;

/// The most DIDs that settings list, and that they block.
const MAX_SETTINGS_DIDS: usize = 256;

/// The longest body: the largest sealed message in base64, and room for what stands around it. Every other request is shorter.
pub const MAX_REQUEST_BYTES: usize = MAX_SEALED_BYTES.div_ceil(3) * 4 + 8 * 1024;

/// Where a request is posted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// `POST /api/v1/mailbox`: list, acknowledge, settings.
    Mailbox,
    /// `POST /api/v1/messages`: send.
    Messages,
}

impl Route {
    /// Its path below the log's URL.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mailbox => "/api/v1/mailbox",
            Self::Messages => "/api/v1/messages",
        }
    }
}

/// What is asked, by whom, of which relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// What is asked.
    pub action: Action,
    /// Who asks.
    pub did: Did,
    /// The client's clock.
    pub issued_at: LogTime,
    /// The log whose relay is asked.
    pub origin: String,
}

/// What a relay is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Deletes mail: 1 to [`MAX_ACKNOWLEDGED`] ids, sorted, each once.
    Acknowledge(Vec<EnvelopeId>),
    /// Lists mail.
    List(List),
    /// Keeps a sealed message.
    Send {
        /// Until when, at most 7 days behind the request's time.
        expires: LogTime,
        /// The envelope id of what is sent.
        sealed: EnvelopeId,
    },
    /// Says who may send.
    Settings(Settings),
}

impl Action {
    /// Its name in a request.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Acknowledge(_) => "acknowledge",
            Self::List(_) => "list",
            Self::Send { .. } => "send",
            Self::Settings(_) => "settings",
        }
    }

    /// Where it is posted.
    pub const fn route(&self) -> Route {
        match self {
            Self::Send { .. } => Route::Messages,
            Self::Acknowledge(_) | Self::List(_) | Self::Settings(_) => Route::Mailbox,
        }
    }
}

/// Which mail is listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// Only what has a higher number; 0: from the first.
    pub after: u64,
    /// Only what is sealed to one of these keys, 1 to 16, sorted, each once; `None`: all.
    pub keys: Option<Vec<MessageKeyId>>,
    /// At most so many messages, 1 to [`MAX_PAGE`].
    pub limit: u64,
    /// How long to wait if there is none, 0 to 60 seconds.
    pub wait: u64,
}

/// Who may send to a mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Whom it accepts from.
    pub accept: Accept,
    /// From whom it accepts nothing, sorted, each once, at most 256.
    pub blocked: Vec<Did>,
    /// From whom it accepts in any case but a block, sorted, each once, at most 256.
    pub listed: Vec<Did>,
}

/// From whom a mailbox accepts messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Accept {
    /// From everybody.
    #[default]
    Anyone,
    /// From DIDs that the log registered, and from those listed.
    Registered,
    /// From those listed.
    Listed,
}

impl Accept {
    /// Its name in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Registered => "registered",
            Self::Listed => "listed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Anyone, Self::Registered, Self::Listed].into_iter().find(|accept| accept.name() == name)
    }
}

impl Settings {
    /// Whether the mailbox takes a message from `sender`. A block goes before everything.
    pub fn admits(&self, sender: Did, is_registered: bool) -> bool {
        let listed = self.listed.binary_search(&sender).is_ok();
        let accepted = match self.accept {
            Accept::Anyone => true,
            Accept::Registered => is_registered || listed,
            Accept::Listed => listed,
        };
        accepted && self.blocked.binary_search(&sender).is_err()
    }
}

/// A request with its signature, as it travels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedRequest {
    request: Request,
    payload: Vec<u8>,
    key: Ed25519PublicKey,
    signature: [u8; ED25519_SIGNATURE_BYTES],
    /// What a send carries, as it came: its form is a later check's.
    sealed: Option<String>,
}

impl SignedRequest {
    /// Signs a request to list, acknowledge or set.
    pub fn sign(request: Request, key: &Ed25519PrivateKey) -> Result<Self, RequestError> {
        match request.action {
            Action::Send { .. } => Err(RequestError::SealedMissing),
            _ => Self::make(request, key, None),
        }
    }

    /// Signs a request of `did` to keep `sealed` until `expires`.
    pub fn send(
        sealed: &Sealed,
        did: Did,
        origin: &str,
        issued_at: LogTime,
        expires: LogTime,
        key: &Ed25519PrivateKey,
    ) -> Result<Self, RequestError> {
        let action = Action::Send { expires, sealed: sealed.id() };
        let request = Request { action, did, issued_at, origin: origin.to_owned() };
        Self::make(request, key, Some(sealed.to_base64()))
    }

    fn make(request: Request, key: &Ed25519PrivateKey, sealed: Option<String>) -> Result<Self, RequestError> {
        request.check()?;
        let payload = wire::encode(&request);
        let signature = key.sign(&pae(REQUEST_TYPE, &payload));
        Ok(Self { request, payload, key: key.public_key(), signature, sealed })
    }

    /// Reads the body of a request to `route`. `admit` admits its key: [`Ed25519PublicKey::from_bytes`], or a store of verdicts.
    /// No signature is checked.
    pub fn parse(
        body: &[u8],
        route: Route,
        admit: impl FnOnce(&RawKey) -> Result<Ed25519PublicKey, KeyError>,
    ) -> Result<Self, RequestError> {
        let mut members = Object::parse(body, MAX_BODY_DEPTH)?;
        let bad = |member, want| SpellingError::Value { member, want };
        let key = encoding::decode_base64_array(&members.string("key")?);
        let key = key.ok_or(bad("key", "32 bytes in canonical base64"))?;
        let payload = encoding::decode_base64(&members.string("request")?);
        let payload = payload.ok_or(bad("request", "canonical base64"))?;
        let signature = encoding::decode_base64_array(&members.string("signature")?);
        let signature = signature.ok_or(bad("signature", "64 bytes in canonical base64"))?;
        let sealed = members.optional_string("sealed")?;
        members.finish()?;
        let request = wire::decode(&payload)?;
        if request.action.route() != route {
            return Err(RequestError::Route {
                action: request.action.name(),
                path: request.action.route().path(),
            });
        }
        match (route, &sealed) {
            (Route::Messages, None) => return Err(RequestError::SealedMissing),
            (Route::Mailbox, Some(_)) => return Err(RequestError::SealedUnasked),
            _ => (),
        }
        Ok(Self { request, payload, key: admit(&key)?, signature, sealed })
    }

    /// The body of the request.
    pub fn to_json(&self) -> String {
        wire::body(&self.key, &self.payload, &self.signature, self.sealed.as_deref())
    }

    /// What is asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The key that signed, by the request's own word until [`SignedRequest::check`].
    pub fn key(&self) -> &Ed25519PublicKey {
        &self.key
    }

    /// Whether it is for the relay of `origin`, of this time, and signed by its key.
    pub fn check(&self, origin: &str, now: LogTime) -> Result<(), RequestError> {
        if self.request.origin != origin {
            return Err(RequestError::Origin { got: quoted(&self.request.origin), want: origin.to_owned() });
        }
        let issued_at = self.request.issued_at;
        if issued_at.as_millis().abs_diff(now.as_millis()) > MAX_CLOCK_DIFFERENCE_MILLIS {
            return Err(RequestError::Clock { issued_at, now });
        }
        match self.key.verify(&pae(REQUEST_TYPE, &self.payload), &self.signature) {
            true => Ok(()),
            false => Err(RequestError::Signature),
        }
    }

    /// Whether its key speaks for its DID, whose state is `state`; `None`: not registered.
    pub fn check_signer(&self, state: Option<&Identity>) -> Result<(), StateError> {
        check_message_signer(state, self.request.did, self.key.as_bytes())
    }

    /// What a send carries, and until when it is to be kept.
    pub fn check_sealed(&self, now: LogTime) -> Result<(Sealed, LogTime), RequestError> {
        let (Action::Send { expires, sealed: id }, Some(sealed)) = (&self.request.action, &self.sealed)
        else {
            return Err(RequestError::SealedMissing);
        };
        let sealed = Sealed::from_base64(sealed)?;
        if sealed.id() != *id {
            return Err(RequestError::SealedDigest { got: sealed.id(), want: *id });
        }
        let latest = self.request.issued_at.as_millis().saturating_add(MAX_LIFE_MILLIS);
        if *expires <= now || expires.as_millis() > latest {
            return Err(RequestError::Expires { expires: *expires, now });
        }
        Ok((sealed, *expires))
    }
}

impl Request {
    /// The rules that the types do not keep by themselves.
    fn check(&self) -> Result<(), RequestError> {
        fn each_once<T: Ord>(values: &[T]) -> bool {
            values.is_sorted_by(|a, b| a < b)
        }
        let value = |holds: bool, member, want| match holds {
            true => Ok(()),
            false => Err(SpellingError::Value { member, want }),
        };
        value(is_origin(&self.origin), "origin", "the name of a log")?;
        match &self.action {
            Action::Acknowledge(ids) => {
                value((1..=MAX_ACKNOWLEDGED).contains(&ids.len()), "ids", "1 to 100 envelope ids")?;
                value(each_once(ids), "ids", "sorted, each once")?;
            }
            Action::List(List { after, keys, limit, wait }) => {
                value(*after <= LogTime::MAX.as_millis(), "after", "a plain decimal up to 2^53 - 1")?;
                if let Some(keys) = keys {
                    value((1..=MAX_LISTED_KEYS).contains(&keys.len()), "keys", "1 to 16 key ids")?;
                    value(each_once(keys), "keys", "sorted, each once")?;
                }
                value((1..=MAX_PAGE).contains(limit), "limit", "1 to 100")?;
                value(*wait <= MAX_WAIT_SECONDS, "wait", "0 to 60 seconds")?;
            }
            Action::Send { .. } => (),
            Action::Settings(Settings { blocked, listed, .. }) => {
                for (member, dids) in [("blocked", blocked), ("listed", listed)] {
                    value(dids.len() <= MAX_SETTINGS_DIDS, member, "at most 256 DIDs")?;
                    value(each_once(dids), member, "sorted, each once")?;
                }
            }
        }
        Ok(())
    }
}

/// A body is an object of strings.
const MAX_BODY_DEPTH: usize = 1;
