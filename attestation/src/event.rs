//! Events about identities, trust and message keys: what pipelines say about identities (`specs/event.md`).
//!
//! ```text
//! {"apiVersion":"1","kind":"aip-event","spec":{
//!   "did":"did:aip:…","envelope":{"payload":"<base64>","payloadType":"application/vnd.in-toto+json",
//!   "signatures":[{"sig":"<base64>"}…]},"keys":["<base64>"…][,"loggedAt":<ms>],"origin":"example.com/log"}}
//!                                                                          JCS: one line, no spaces
//! event hash     SHA-256 of the pending leaf, which has no loggedAt: the idempotency key
//! payload        a statement about one DID, in the one spelling that `Event::to_payload` writes
//! ```
//! In scope: the form, and whether the keys that the entry names signed it. Out of scope: whether these are the right
//! keys at that index (`identity`), and what the event is worth (`trust`).

use std::fmt;

use tlog::checkpoint::is_origin;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey, KeyError};
use tlog::{Hash, LeafIndex};

use crate::did::Did;
use crate::dsse::{PAYLOAD_TYPE, pae};
use crate::json::JsonError;
use crate::logged::{ClaimHash, LogTime, MAX_PENDING_LEAF_BYTES};
use crate::message_key::MessageKeyError;
use crate::quote::quoted;
use crate::statement::{EVENT_PREDICATE_BASE, StatementError};

mod contradiction;
mod message_keys;
mod payload;
#[cfg(test)]
mod tests;
mod wire;

pub use message_keys::{DatedKey, MAX_MESSAGE_KEY_MILLIS, MAX_MESSAGE_KEYS, MessageKeys};
pub(crate) use wire::HEAD;

/// The raw bytes of an Ed25519 public key that nobody has admitted yet.
pub type RawKey = [u8; Ed25519PublicKey::BYTES];

/// The longest time between a vouch and its end.
pub const MAX_VOUCH_MILLIS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// The greatest depth a vouch can state.
pub const MAX_DEPTH: u8 = 7;

/// What an issuer says in a log about a DID.
///
/// Every value of this type keeps the rules of the form. [`PendingEvent::verify`] tells whether its signers made it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    issuer: Did,
    origin: String,
    subject: Did,
    body: Body,
}

/// What is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// About the issuer itself.
    Identity(IdentityEvent),
    /// About the issuer itself: to which keys messages to it are sealed.
    MessageKeys(MessageKeys),
    /// About another DID.
    Trust(TrustEvent),
}

/// What changes the state of the issuer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IdentityEvent {
    /// The DID is registered. The first one counts.
    Inception {
        /// The genesis key.
        key: RawKey,
        /// The key that comes next.
        next: Commitment,
        /// The key that undoes a theft.
        recovery: Commitment,
        /// What the key may do.
        capabilities: Capabilities,
        /// A name that its owner asks to be public. Nobody checks it.
        public_name: Option<String>,
    },
    /// The next key takes over.
    Rotation {
        /// Its place.
        link: Link,
        /// The key that was committed to.
        key: RawKey,
        /// The key that comes next.
        next: Commitment,
        /// What the key may do.
        capabilities: Capabilities,
    },
    /// The owner takes the DID back.
    Recovery {
        /// Its place.
        link: Link,
        /// The new key.
        key: RawKey,
        /// The key that comes next.
        next: Commitment,
        /// The next recovery key.
        recovery: Commitment,
        /// What the key may do.
        capabilities: Capabilities,
        /// The first entry that is void: everything from there to this event.
        since: Reference,
    },
    /// The current key is somebody else's too.
    Compromise {
        /// Its place.
        link: Link,
        /// The first entry that is void.
        since: Reference,
    },
    /// The DID ends.
    Deactivation {
        /// Its place.
        link: Link,
    },
}

/// What is said about another DID.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TrustEvent {
    /// The issuer believes in the subject.
    Vouch {
        /// What makes the statement unlike any other.
        id: StatementId,
        /// When the issuer says it was made.
        issued_at: LogTime,
        /// For what.
        scope: Scope,
        /// How much.
        level: Level,
        /// How many further hops may follow; `None`: any number.
        depth: Option<u8>,
        /// When it ends.
        expires_at: LogTime,
    },
    /// The issuer takes back what it said about the subject in this scope.
    Revocation {
        /// What makes the statement unlike any other.
        id: StatementId,
        /// When the issuer says it was made.
        issued_at: LogTime,
        /// For what.
        scope: Scope,
    },
    /// The issuer warns of the subject.
    Distrust {
        /// What makes the statement unlike any other.
        id: StatementId,
        /// When the issuer says it was made.
        issued_at: LogTime,
        /// For what.
        scope: Scope,
    },
    /// The issuer built what the subject built, and got the same bytes.
    Confirmation {
        /// The SHA-256 of the artifact.
        artifact: Hash,
        /// The subject's entry.
        receipt: Reference,
        /// The issuer's own.
        build: Reference,
    },
    /// The issuer could not verify something of the subject's.
    Failure {
        /// What makes the statement unlike any other.
        id: StatementId,
        /// The SHA-256 of the artifact.
        artifact: Hash,
        /// What did not verify.
        reason: FailureReason,
    },
    /// The issuer takes its failure report back.
    Withdrawal {
        /// The report.
        failure: Reference,
    },
    /// The subject signed two builds of one thing that it calls reproducible, and they differ.
    Equivocation {
        /// The subject's entries, the earlier one first.
        receipts: [Reference; 2],
        /// The payloads of their statements.
        statements: [Vec<u8>; 2],
    },
}

/// The place of an identity event among those of its DID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// How many came before.
    pub sequence: u32,
    /// The hash of the last one.
    pub previous: ClaimHash,
}

/// An entry of a log, as another entry names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    /// The log.
    pub origin: String,
    /// The place in it.
    pub index: LeafIndex,
}

/// The SHA-256 of a raw public key that stays secret until it is used.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Commitment(Hash);

impl Commitment {
    /// The commitment with this value.
    pub const fn new(hash: Hash) -> Self {
        Self(hash)
    }

    /// The commitment to `key`.
    pub fn to(key: &RawKey) -> Self {
        Self(Hash::of(key))
    }

    /// Its value.
    pub const fn get(self) -> Hash {
        self.0
    }
}

/// What a DID's key may do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Capabilities {
    /// Exchange messages.
    pub messages: bool,
    /// Log artifacts, and confirmations and failures of others'.
    pub receipts: bool,
    /// Vouch, revoke, distrust.
    pub vouches: bool,
}

impl Capabilities {
    /// What a pipeline's key may do unless its owner asks for more.
    pub const PIPELINE: Self = Self { messages: true, receipts: true, vouches: false };

    /// The names, in the order of the format.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [(self.messages, "messages"), (self.receipts, "receipts"), (self.vouches, "vouches")]
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
    }

    /// The capabilities with these names, sorted and each once; at least one.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let names: Vec<&str> = names.into_iter().collect();
        let has = |name| names.contains(&name);
        let capabilities =
            Self { messages: has("messages"), receipts: has("receipts"), vouches: has("vouches") };
        (!names.is_empty() && capabilities.names().eq(names)).then_some(capabilities)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

/// Sixteen random bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StatementId(pub [u8; 16]);

/// An enumeration whose values have one name each in the format.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name { $($(#[$value_doc])* $value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// The value with this name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// What a vouch is for.
    Scope {
        /// Everything.
        General = "GENERAL",
        /// Signing what it builds.
        CodeSigning = "CODE_SIGNING",
        /// Money.
        Financial = "FINANCIAL",
        /// What it says.
        Information = "INFORMATION",
        /// Who it is.
        Identity = "IDENTITY",
    }
}

named! {
    /// How much a vouch is worth.
    Level {
        /// Half weight.
        Weak = "WEAK",
        /// Three quarters.
        Moderate = "MODERATE",
        /// Full weight.
        Strong = "STRONG",
        /// Same weight as `Strong`.
        Ultimate = "ULTIMATE",
    }
}

named! {
    /// What did not verify.
    FailureReason {
        /// The artifact has another digest.
        Digest = "digest",
        /// The receipt is broken.
        Receipt = "receipt",
        /// A rebuild gave other bytes.
        Reproduction = "reproduction",
        /// The signature is bad.
        Signature = "signature",
    }
}

impl Event {
    /// What `issuer` says about `subject` in the log `origin`.
    pub fn new(issuer: Did, origin: impl Into<String>, subject: Did, body: Body) -> Result<Self, EventError> {
        let event = Self { issuer, origin: origin.into(), subject, body };
        event.check()?;
        Ok(event)
    }

    /// What `issuer` says about itself.
    pub fn about_itself(
        issuer: Did,
        origin: impl Into<String>,
        event: IdentityEvent,
    ) -> Result<Self, EventError> {
        Self::new(issuer, origin, issuer, Body::Identity(event))
    }

    /// To which keys messages to `issuer` are sealed.
    pub fn message_keys(
        issuer: Did,
        origin: impl Into<String>,
        keys: MessageKeys,
    ) -> Result<Self, EventError> {
        Self::new(issuer, origin, issuer, Body::MessageKeys(keys))
    }

    /// What `issuer` says about another DID.
    pub fn about(
        subject: Did,
        issuer: Did,
        origin: impl Into<String>,
        event: TrustEvent,
    ) -> Result<Self, EventError> {
        Self::new(issuer, origin, subject, Body::Trust(event))
    }

    /// Who says it.
    pub fn issuer(&self) -> Did {
        self.issuer
    }

    /// The log it is said in.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The DID that it is about.
    pub fn subject(&self) -> Did {
        self.subject
    }

    /// What is said.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The event's name, as its predicate type has it.
    pub fn name(&self) -> &'static str {
        match &self.body {
            Body::Identity(event) => event.name(),
            Body::MessageKeys(_) => MessageKeys::NAME,
            Body::Trust(event) => event.name(),
        }
    }

    /// The predicate type.
    pub fn predicate_type(&self) -> String {
        format!("{EVENT_PREDICATE_BASE}{}/v1", self.name())
    }

    /// The bytes that are signed.
    pub fn to_payload(&self) -> Vec<u8> {
        payload::encode(self)
    }

    /// The rules that the types do not keep by themselves.
    fn check(&self) -> Result<(), EventError> {
        if !is_origin(&self.origin) {
            return Err(EventError::Origin(quoted(&self.origin)));
        }
        match &self.body {
            Body::Identity(_) | Body::MessageKeys(_) if self.issuer != self.subject => {
                Err(EventError::AboutAnother(self.name()))
            }
            Body::Trust(_) if self.issuer == self.subject => Err(EventError::AboutItself(self.name())),
            Body::Identity(event) => event.check(&self.origin),
            Body::MessageKeys(keys) => keys.check(),
            Body::Trust(event) => event.check(&self.origin),
        }
    }
}

impl IdentityEvent {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inception { .. } => "inception",
            Self::Rotation { .. } => "rotation",
            Self::Recovery { .. } => "recovery",
            Self::Compromise { .. } => "compromise",
            Self::Deactivation { .. } => "deactivation",
        }
    }

    /// Its place; an inception is the first.
    pub fn link(&self) -> Option<Link> {
        match self {
            Self::Inception { .. } => None,
            Self::Rotation { link, .. }
            | Self::Recovery { link, .. }
            | Self::Compromise { link, .. }
            | Self::Deactivation { link } => Some(*link),
        }
    }

    /// The keys it makes known or commits to.
    fn keys(&self) -> Option<(&RawKey, Commitment, Option<Commitment>)> {
        match self {
            Self::Inception { key, next, recovery, .. } | Self::Recovery { key, next, recovery, .. } => {
                Some((key, *next, Some(*recovery)))
            }
            Self::Rotation { key, next, .. } => Some((key, *next, None)),
            Self::Compromise { .. } | Self::Deactivation { .. } => None,
        }
    }

    fn check(&self, origin: &str) -> Result<(), EventError> {
        if let Self::Inception { public_name: Some(name), .. } = self {
            check_public_name(name)?;
        }
        if let Self::Recovery { since, .. } | Self::Compromise { since, .. } = self {
            since.check("since", origin)?;
        }
        let Some((key, next, recovery)) = self.keys() else { return Ok(()) };
        let key = Commitment::to(key);
        if key == next || Some(key) == recovery || Some(next) == recovery {
            return Err(EventError::SameKey);
        }
        Ok(())
    }
}

impl TrustEvent {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vouch { .. } => "vouch",
            Self::Revocation { .. } => "revocation",
            Self::Distrust { .. } => "distrust",
            Self::Confirmation { .. } => "confirmation",
            Self::Failure { .. } => "failure",
            Self::Withdrawal { .. } => "withdrawal",
            Self::Equivocation { .. } => "equivocation",
        }
    }

    /// The scope of a vouch, revocation or distrust.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Vouch { scope, .. } | Self::Revocation { scope, .. } | Self::Distrust { scope, .. } => {
                Some(*scope)
            }
            _ => None,
        }
    }

    fn check(&self, origin: &str) -> Result<(), EventError> {
        match self {
            Self::Vouch { depth: Some(depth), .. } if *depth > MAX_DEPTH => Err(EventError::Depth(*depth)),
            Self::Vouch { issued_at, expires_at, .. } => {
                let time = expires_at.as_millis().checked_sub(issued_at.as_millis());
                let fits = time.is_some_and(|time| (1..=MAX_VOUCH_MILLIS).contains(&time));
                if fits { Ok(()) } else { Err(EventError::Expiry) }
            }
            Self::Revocation { .. } | Self::Distrust { .. } | Self::Failure { .. } => Ok(()),
            Self::Confirmation { receipt, build, .. } => {
                receipt.check("receipt", origin)?;
                build.check("build", origin)
            }
            Self::Withdrawal { failure } => failure.check("failure", origin),
            Self::Equivocation { receipts: [first, second], statements } => {
                first.check("receipts", origin)?;
                second.check("receipts", origin)?;
                if first.index >= second.index {
                    return Err(EventError::ReceiptOrder);
                }
                contradiction::check(statements)
            }
        }
    }
}

impl Reference {
    /// Refuses a reference to another log: only entries of one log have an order.
    fn check(&self, member: &'static str, origin: &str) -> Result<(), EventError> {
        if self.origin == origin {
            return Ok(());
        }
        Err(EventError::OtherLog { member, got: quoted(&self.origin) })
    }
}

const MAX_PUBLIC_NAME_BYTES: usize = 128;

/// Refuses a name that no inception takes (`specs/event.md`).
pub fn check_public_name(name: &str) -> Result<(), EventError> {
    let is_name = !name.is_empty() && name.len() <= MAX_PUBLIC_NAME_BYTES && !name.contains(char::is_control);
    if is_name { Ok(()) } else { Err(EventError::PublicName(quoted(name))) }
}

/// An event with its signatures: what a signer sends to a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingEvent {
    event: Event,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature, and the key that it should be by.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Signature {
    key: RawKey,
    signature: [u8; ED25519_SIGNATURE_BYTES],
}

impl PendingEvent {
    /// Signs an event with these keys, in the order of its row in the specification.
    pub fn sign(event: Event, keys: &[&Ed25519PrivateKey]) -> Result<Self, EventError> {
        let payload = event.to_payload();
        let message = pae(PAYLOAD_TYPE, &payload);
        let sign = |key: &&Ed25519PrivateKey| Signature {
            key: *key.public_key().as_bytes(),
            signature: key.sign(&message),
        };
        let signatures: Vec<Signature> = keys.iter().map(sign).collect();
        if !(1..=MAX_SIGNATURES).contains(&signatures.len()) {
            return Err(EventError::SignatureCount(signatures.len()));
        }
        check_signers(&event, signatures.len())?;
        let event = Self { event, payload, signatures };
        let length = event.to_bytes().len();
        if length > MAX_PENDING_LEAF_BYTES {
            return Err(EventError::TooLong(length));
        }
        Ok(event)
    }

    /// Reads a pending leaf. One spelling only; no signature is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, EventError> {
        match wire::decode(bytes)? {
            (event, None) => Ok(event),
            (_, Some(_)) => Err(EventError::Value { member: "loggedAt", want: "left to the log" }),
        }
    }

    /// Checks that each key signed. `admit` makes a raw key one that can be believed in.
    pub fn verify(
        &self,
        mut admit: impl FnMut(&RawKey) -> Result<Ed25519PublicKey, KeyError>,
    ) -> Result<(), EventError> {
        let message = pae(PAYLOAD_TYPE, &self.payload);
        for (at, Signature { key, signature }) in self.signatures.iter().enumerate() {
            let key = admit(key).map_err(|error| EventError::Key { at, error })?;
            if !key.verify(&message, signature) {
                return Err(EventError::Signature { at });
            }
        }
        Ok(())
    }

    /// What is said.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The keys that signed, in their order; one or two.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &RawKey> {
        self.signatures.iter().map(|signature| &signature.key)
    }

    /// The event hash: the idempotency key.
    pub fn hash(&self) -> ClaimHash {
        ClaimHash::new(Hash::of(&self.to_bytes()))
    }

    /// The pending leaf.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::encode(self, None)
    }

    /// The leaf, logged at this time: what is hashed into the tree.
    pub fn to_leaf(&self, logged_at: LogTime) -> Vec<u8> {
        wire::encode(self, Some(logged_at))
    }
}

const MAX_SIGNATURES: usize = 2;

/// Refuses message keys that are not signed by one key. How many sign another event is a rule of state (`identity`).
fn check_signers(event: &Event, signatures: usize) -> Result<(), EventError> {
    if !matches!(event.body, Body::MessageKeys(_)) || signatures == 1 {
        return Ok(());
    }
    let one = EventError::Value { member: "envelope.signatures", want: "one signature, by the current key" };
    Err(EventError::MessageKeys(Box::new(one)))
}

/// An event in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventEntry {
    pending: PendingEvent,
    logged_at: LogTime,
}

impl EventEntry {
    /// The event as it was logged at this time.
    pub fn new(pending: PendingEvent, logged_at: LogTime) -> Self {
        Self { pending, logged_at }
    }

    /// Reads a leaf. One spelling only; no signature is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, EventError> {
        let (pending, logged_at) = wire::decode(bytes)?;
        let logged_at =
            logged_at.ok_or(EventError::Value { member: "loggedAt", want: "there, as in a leaf" })?;
        Ok(Self { pending, logged_at })
    }

    /// What the signer sent.
    pub fn pending(&self) -> &PendingEvent {
        &self.pending
    }

    /// What is said.
    pub fn event(&self) -> &Event {
        &self.pending.event
    }

    /// When the log took it, by the log's clock.
    pub fn logged_at(&self) -> LogTime {
        self.logged_at
    }

    /// The leaf.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pending.to_leaf(self.logged_at)
    }
}

/// Why an event was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventError {
    /// An identity event about somebody else.
    #[error("{0} is about another DID than its issuer")]
    AboutAnother(&'static str),
    /// A trust event about oneself.
    #[error("{0} is about its issuer itself")]
    AboutItself(&'static str),
    /// The two statements of an equivocation agree, or are not comparable.
    #[error("the two statements do not contradict each other: {0}")]
    Agreement(&'static str),
    /// A depth that no path can have.
    #[error("the depth {0} is greater than {MAX_DEPTH}")]
    Depth(u8),
    /// A vouch that ends before it begins, or too late.
    #[error("`expiresAt` is not 1 ms to 365 days after `issuedAt`")]
    Expiry,
    /// Not JSON, or not with these members.
    #[error("event: {0}")]
    Json(#[from] JsonError),
    /// A key that is refused.
    #[error("key {at}: {error}")]
    Key {
        /// Which one, from 0.
        at: usize,
        /// Why.
        error: KeyError,
    },
    /// Another kind of entry.
    #[error("the entry is {kind} {version}, not `aip-event` `1`")]
    Kind {
        /// Its kind, quoted.
        kind: String,
        /// Its version, quoted.
        version: String,
    },
    /// A key that no message is sealed to.
    #[error("`keys`: {0}")]
    MessageKey(MessageKeyError),
    /// A `message-keys` event that breaks a rule of its form.
    #[error("message keys: {0}")]
    MessageKeys(Box<EventError>),
    /// Another spelling of the entry or of its statement.
    #[error("the {0} is not in its one spelling")]
    NotCanonical(&'static str),
    /// No origin.
    #[error("the origin {0} is not 1 to 255 bytes without white space, control character and `+`")]
    Origin(String),
    /// A reference to another log.
    #[error("`{member}` is an entry of the log {got}, not of this one")]
    OtherLog {
        /// The member.
        member: &'static str,
        /// That log, quoted.
        got: String,
    },
    /// A bad name.
    #[error("the public name {0} is not 1 to {MAX_PUBLIC_NAME_BYTES} bytes without control characters")]
    PublicName(String),
    /// The receipts of an equivocation are not two, or not in order.
    #[error("`receipts` are not two entries in the order of their indexes")]
    ReceiptOrder,
    /// A name that is kept for later.
    #[error("`binding` events are reserved for a later release")]
    Reserved,
    /// A key committed to is the current one, or two are one.
    #[error("the current, the next and the recovery key are not different keys")]
    SameKey,
    /// A bad signature.
    #[error("signature {at} is not by its key over this event")]
    Signature {
        /// Which one, from 0.
        at: usize,
    },
    /// Not one or two signatures, or not as many keys.
    #[error("{0} signatures or keys, not one or two of each")]
    SignatureCount(usize),
    /// The payload is no statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The statement's subject is not the one DID.
    #[error("the statement's subject is not one DID with the SHA-256 of its text")]
    Subject,
    /// The statement says otherwise than the entry.
    #[error("the statement's `{member}` is not the entry's")]
    Differs {
        /// The member.
        member: &'static str,
    },
    /// Longer than a leaf may be, with its time.
    #[error("the entry has {0} bytes, more than {MAX_PENDING_LEAF_BYTES} without its time")]
    TooLong(usize),
    /// An event that this release does not know.
    #[error("the predicate type {0} is no event that is known here")]
    Unknown(String),
    /// A value that is not of its form.
    #[error("`{member}` is not {want}")]
    Value {
        /// The member.
        member: &'static str,
        /// What it should be.
        want: &'static str,
    },
}
