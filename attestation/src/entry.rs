//! What is logged about a signed statement: an entry that proves its signer by itself
//! (`specs/entry.md`).
//!
//! ```text
//! {"apiVersion":"0.0.1","kind":"dsse","spec":{
//!   "aip":{"did":"did:aip:…"[,"loggedAt":<ms>],"origin":"example.com/log"[,"predicateType":"…"]
//!          [,"signature":"<base64>"][,"subjects":["<base64 SHA-256>",…]]},
//!   "envelopeHash":{"algorithm":"sha256","value":"<hex>"},
//!   "payloadHash":{"algorithm":"sha256","value":"<hex>"},
//!   "signatures":[{"signature":"<base64>","verifier":"<base64 of the PEM>"}]}}      JCS: one line, no spaces
//!
//! claim          without loggedAt and signature; SHA-256(claim) is the idempotency key
//! signature      Ed25519 over PAE("application/vnd.aip.entry.v1+json", claim), by the verifier's key
//! pending leaf   the claim with its signature        what a signer sends
//! leaf           the pending leaf with its loggedAt  what a log holds
//! ```
//! Parsing does not verify. Signatures are checked by separate calls, since a server admits each key once, and looks a
//! claim up before it checks a signature.
//!
//! In scope: the form, the signatures, the match of entry and envelope. Out of scope: whether the key is
//! the DID's current key in this log, beyond [`Claim::check_genesis_key`]; whether the claim is known.

use tlog::Hash;
use tlog::checkpoint::is_origin;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey};

use crate::did::{Did, DidError};
use crate::dsse::{Envelope, EnvelopeError, pae};
use crate::event::{EventEntry, EventError, HEAD as EVENT_HEAD, PendingEvent};
use crate::json::spelled::SpellingError;
use crate::json::{JsonError, MAX_DEPTH, Object};
use crate::quote::quoted;
use crate::statement::{MAX_SUBJECTS, Statement, StatementError, check_predicate_type, is_event};

mod wire;

pub use crate::logged::{ClaimHash, LogTime, MAX_LEAF_BYTES, MAX_PENDING_LEAF_BYTES};

/// The type of a claim in its PAE. It keeps the signature over a claim from passing as one over a statement.
pub const CLAIM_TYPE: &str = "application/vnd.aip.entry.v1+json";

/// What a signer asks a log to hold: that it signed this envelope, in this log.
///
/// Every value of this type keeps the rules of the form. [`PendingEntry::verify_claim_signature`] tells whether its signer
/// made it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    did: Did,
    origin: String,
    listing: Option<Listing>,
    envelope_hash: Hash,
    payload_hash: Hash,
    envelope_signature: [u8; ED25519_SIGNATURE_BYTES],
    verifier: [u8; Ed25519PublicKey::BYTES],
}

/// What a public claim is found by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    /// The statement's predicate type.
    pub predicate_type: String,
    /// The SHA-256 digests of the statement's subjects, sorted by their bytes, each once.
    pub subjects: Vec<Hash>,
}

/// Whether a claim says what it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Visibility {
    /// It lists subjects and predicate type, and its envelope may be published.
    Public,
    /// It holds hashes only: nothing is found by them, and its envelope stays with the signer.
    Private,
}

impl Claim {
    /// The claim that `did`, with its key `key`, signed `envelope` for the log `origin`. `statement` is
    /// the envelope's; the caller has read it.
    pub fn new(
        envelope: &Envelope,
        statement: &Statement,
        did: Did,
        key: &Ed25519PublicKey,
        origin: &str,
        visibility: Visibility,
    ) -> Result<Self, EntryError> {
        // For a private claim only a holder of the envelope can check this; for a public one everybody can.
        if is_event(statement.predicate_type()) {
            return Err(EntryError::EventPredicate(quoted(statement.predicate_type())));
        }
        let listing = match visibility {
            Visibility::Private => None,
            Visibility::Public => Some(Listing {
                predicate_type: statement.predicate_type().to_owned(),
                subjects: statement.digests(),
            }),
        };
        let claim = Self {
            did,
            origin: origin.to_owned(),
            listing,
            envelope_hash: envelope.hash(),
            payload_hash: envelope.payload_hash(),
            envelope_signature: *envelope.signature(),
            verifier: *key.as_bytes(),
        };
        claim.check()?;
        Ok(claim)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::encode(self, None, None)
    }

    /// The idempotency key.
    pub fn hash(&self) -> ClaimHash {
        ClaimHash::new(Hash::of(&self.to_bytes()))
    }

    /// What the claim's signature is over.
    pub fn pae(&self) -> Vec<u8> {
        pae(CLAIM_TYPE, &self.to_bytes())
    }

    /// Who signed.
    pub fn did(&self) -> Did {
        self.did
    }

    /// The log that the claim is for.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the claim is found by; `None` if it is private.
    pub fn listing(&self) -> Option<&Listing> {
        self.listing.as_ref()
    }

    /// SHA-256 of the envelope's JCS.
    pub fn envelope_hash(&self) -> Hash {
        self.envelope_hash
    }

    /// SHA-256 of the envelope's payload.
    pub fn payload_hash(&self) -> Hash {
        self.payload_hash
    }

    /// The envelope's signature, unchecked.
    pub fn envelope_signature(&self) -> &[u8; ED25519_SIGNATURE_BYTES] {
        &self.envelope_signature
    }

    /// The raw key of the signer, not admitted yet. [`Ed25519PublicKey::from_bytes`] admits it; a caller may cache that.
    pub fn verifier(&self) -> &[u8; Ed25519PublicKey::BYTES] {
        &self.verifier
    }

    /// Whether the DID is the hash of the verifier's key, as it is until events change the key.
    pub fn check_genesis_key(&self, key: &Ed25519PublicKey) -> Result<(), EntryError> {
        self.check_key(key)?;
        match Did::of(key) {
            did if did == self.did => Ok(()),
            key_did => Err(EntryError::NotGenesisKey { did: self.did, key_did }),
        }
    }

    /// Checks that this claim is the one `key` makes of `envelope` for this claim's DID, log and
    /// visibility: the claim is rebuilt and compared.
    pub fn check_describes(
        &self,
        envelope: &Envelope,
        statement: &Statement,
        key: &Ed25519PublicKey,
    ) -> Result<(), DescribeError> {
        let visibility = if self.listing.is_some() { Visibility::Public } else { Visibility::Private };
        let rebuilt = Self::new(envelope, statement, self.did, key, &self.origin, visibility)?;
        match self.difference(&rebuilt) {
            None => Ok(()),
            Some(member) => Err(DescribeError::Differs { member }),
        }
    }

    /// The first member in which two claims differ.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let types = [self, other].map(|claim| claim.listing.as_ref().map(|listing| &listing.predicate_type));
        [
            (self.did != other.did, "spec.aip.did"),
            (self.origin != other.origin, "spec.aip.origin"),
            (types[0] != types[1], "spec.aip.predicateType"),
            (self.listing != other.listing, "spec.aip.subjects"),
            (self.envelope_hash != other.envelope_hash, "spec.envelopeHash"),
            (self.payload_hash != other.payload_hash, "spec.payloadHash"),
            (self.envelope_signature != other.envelope_signature, "spec.signatures[0].signature"),
            (self.verifier != other.verifier, "spec.signatures[0].verifier"),
        ]
        .into_iter()
        .find_map(|(differs, member)| differs.then_some(member))
    }

    fn check_key(&self, key: &Ed25519PublicKey) -> Result<(), EntryError> {
        if *key.as_bytes() == self.verifier { Ok(()) } else { Err(EntryError::OtherKey) }
    }

    /// The rules that the types do not keep by themselves.
    fn check(&self) -> Result<(), EntryError> {
        if !is_origin(&self.origin) {
            return Err(EntryError::Origin(quoted(&self.origin)));
        }
        let Some(Listing { predicate_type, subjects }) = &self.listing else {
            return Ok(());
        };
        check_predicate_type(predicate_type)
            .map_err(|_| EntryError::PredicateType(quoted(predicate_type)))?;
        if is_event(predicate_type) {
            return Err(EntryError::EventPredicate(quoted(predicate_type)));
        }
        if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
            return Err(EntryError::SubjectCount(subjects.len()));
        }
        if !subjects.is_sorted_by(|a, b| a < b) {
            return Err(EntryError::SubjectOrder);
        }
        Ok(())
    }
}

/// A claim with its signature: what a signer sends to a log, and what a pending receipt holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingEntry {
    claim: Claim,
    signature: [u8; ED25519_SIGNATURE_BYTES],
}

impl PendingEntry {
    /// Signs a claim.
    ///
    /// # Panics
    /// If `key` is not the key that the claim names: its signer makes both.
    pub fn sign(claim: Claim, key: &Ed25519PrivateKey) -> Result<Self, EntryError> {
        assert_eq!(claim.check_key(&key.public_key()), Ok(()), "a claim is signed by the key it names");
        let signature = key.sign(&claim.pae());
        let entry = Self { claim, signature };
        let length = entry.to_bytes().len();
        if length > MAX_PENDING_LEAF_BYTES { Err(EntryError::TooLong(length)) } else { Ok(entry) }
    }

    /// Reads a pending leaf. One spelling only; no signature is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let (entry, logged_at) = wire::decode(bytes)?;
        match logged_at {
            None => Ok(entry),
            Some(_) => Err(EntryError::LoggedAtTooEarly),
        }
    }

    /// Checks that `key`, which the caller has admitted, is the one the entry names and signed the claim.
    ///
    /// That it is the DID's key is another question: [`Claim::check_genesis_key`].
    pub fn verify_claim_signature(&self, key: &Ed25519PublicKey) -> Result<(), EntryError> {
        self.claim.check_key(key)?;
        if key.verify(&self.claim.pae(), &self.signature) { Ok(()) } else { Err(EntryError::ClaimSignature) }
    }

    /// Checks an envelope that is to be published with this entry, and answers its statement. `key`, which the caller has
    /// admitted, must have signed it, and the entry must describe it.
    ///
    /// A private entry never publishes an envelope: otherwise anybody who holds a receipt could publish it.
    pub fn check_published(
        &self,
        envelope: &Envelope,
        key: &Ed25519PublicKey,
    ) -> Result<Statement, PublishError> {
        if self.claim.listing.is_none() {
            return Err(PublishError::Private);
        }
        let statement = Statement::parse(envelope.verify(key)?)?;
        self.claim.check_describes(envelope, &statement, key)?;
        Ok(statement)
    }

    /// The claim.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The signature over the claim, unchecked.
    pub fn signature(&self) -> &[u8; ED25519_SIGNATURE_BYTES] {
        &self.signature
    }

    /// The pending leaf.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::encode(&self.claim, None, Some(&self.signature))
    }

    /// The leaf, logged at this time: what is hashed into the tree.
    pub fn to_leaf(&self, logged_at: LogTime) -> Vec<u8> {
        wire::encode(&self.claim, Some(logged_at), Some(&self.signature))
    }
}

/// An entry in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DsseEntry {
    pending: PendingEntry,
    logged_at: LogTime,
}

impl DsseEntry {
    /// The entry as it was logged at this time.
    pub fn new(pending: PendingEntry, logged_at: LogTime) -> Self {
        Self { pending, logged_at }
    }

    /// Reads a leaf. One spelling only; no signature is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let (pending, logged_at) = wire::decode(bytes)?;
        Ok(Self { pending, logged_at: logged_at.ok_or(EntryError::LoggedAtMissing)? })
    }

    /// What the signer sent.
    pub fn pending(&self) -> &PendingEntry {
        &self.pending
    }

    /// The claim.
    pub fn claim(&self) -> &Claim {
        &self.pending.claim
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

/// What a signer sends to a log: an entry without its time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PendingLeaf {
    /// A signed statement about artifacts, by hash.
    Dsse(Box<PendingEntry>),
    /// An identity or trust event.
    Event(Box<PendingEvent>),
}

impl PendingLeaf {
    /// Reads a pending leaf. One spelling only; no signature is checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.starts_with(EVENT_HEAD.as_bytes()) {
            return Ok(Self::Event(Box::new(PendingEvent::parse(bytes)?)));
        }
        Ok(Self::Dsse(Box::new(PendingEntry::parse(bytes)?)))
    }

    /// The idempotency key.
    pub fn hash(&self) -> ClaimHash {
        match self {
            Self::Dsse(entry) => entry.claim.hash(),
            Self::Event(event) => event.hash(),
        }
    }

    /// Who signed: the DID whose state judges the entry.
    pub fn did(&self) -> Did {
        match self {
            Self::Dsse(entry) => entry.claim.did,
            Self::Event(event) => event.event().issuer(),
        }
    }

    /// The log that the entry is for.
    pub fn origin(&self) -> &str {
        match self {
            Self::Dsse(entry) => &entry.claim.origin,
            Self::Event(event) => event.event().origin(),
        }
    }

    /// The pending leaf.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Dsse(entry) => entry.to_bytes(),
            Self::Event(event) => event.to_bytes(),
        }
    }

    /// The leaf, logged at this time: what is hashed into the tree.
    pub fn to_leaf(&self, logged_at: LogTime) -> Vec<u8> {
        match self {
            Self::Dsse(entry) => entry.to_leaf(logged_at),
            Self::Event(event) => event.to_leaf(logged_at),
        }
    }
}

impl From<PendingEntry> for PendingLeaf {
    fn from(entry: PendingEntry) -> Self {
        Self::Dsse(Box::new(entry))
    }
}

impl From<PendingEvent> for PendingLeaf {
    fn from(event: PendingEvent) -> Self {
        Self::Event(Box::new(event))
    }
}

/// What stands at an index of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A signed statement.
    Dsse(Box<DsseEntry>),
    /// An identity or trust event.
    Event(Box<EventEntry>),
    /// A valid entry of a kind that this release does not read.
    NotUnderstood {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
}

impl Entry {
    /// Reads a leaf of any kind.
    ///
    /// An entry of an unknown kind must be strict JSON with exactly `apiVersion`, `kind` and `spec`. What `spec` holds is
    /// not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.starts_with(DSSE_HEAD.as_bytes()) {
            return DsseEntry::parse(bytes).map(|entry| Self::Dsse(Box::new(entry)));
        }
        if bytes.starts_with(EVENT_HEAD.as_bytes()) {
            match EventEntry::parse(bytes) {
                // Events of a later release.
                Err(EventError::Reserved | EventError::Unknown(_)) => (),
                event => return event.map(|event| Self::Event(Box::new(event))).map_err(EntryError::from),
            }
        }
        let (kind, version) = parse_other(bytes)?;
        Ok(Self::NotUnderstood { kind, version })
    }
}

/// Kind and version of an entry that does not begin as a `dsse` entry does.
fn parse_other(bytes: &[u8]) -> Result<(String, String), EntryError> {
    if bytes.len() > MAX_LEAF_BYTES {
        return Err(EntryError::TooLong(bytes.len()));
    }
    let mut entry = Object::parse(bytes, MAX_DEPTH)?;
    let version = entry.string("apiVersion")?;
    let kind = entry.string("kind")?;
    entry.object("spec")?;
    entry.finish()?;
    let is_name = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !is_name(&kind) || !is_name(&version) {
        return Err(EntryError::Name { kind: quoted(&kind), version: quoted(&version) });
    }
    // An entry of these kinds in another spelling is no entry.
    match (kind.as_str(), version.as_str()) {
        ("dsse", "0.0.1") => Err(EntryError::NotCanonical { at: 0, want: DSSE_HEAD }),
        ("aip-event", "1") if !bytes.starts_with(EVENT_HEAD.as_bytes()) => {
            Err(EntryError::NotCanonical { at: 0, want: EVENT_HEAD })
        }
        _ => Ok((kind, version)),
    }
}

/// Why an entry was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntryError {
    /// The claim's signature is not by the verifier's key over this claim.
    #[error("the claim's signature is not by the verifier's key over this claim")]
    ClaimSignature,
    /// `did` is no `did:aip`.
    #[error("entry: {0}")]
    Did(#[from] DidError),
    /// Of an event.
    #[error(transparent)]
    Event(Box<EventError>),
    /// An event's predicate type in a `dsse` entry.
    #[error("the predicate type {0} is an event's: it is logged as `aip-event`, not as `dsse`")]
    EventPredicate(String),
    /// Not JSON, or not with these members.
    #[error("entry: {0}")]
    Json(#[from] JsonError),
    /// An entry of another kind than `dsse` `0.0.1`.
    #[error("the entry is `{kind}` `{version}`, not `dsse` `0.0.1`")]
    Kind {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// A leaf of a log without its time.
    #[error("the entry has no `loggedAt`: it was not logged")]
    LoggedAtMissing,
    /// A pending leaf with a time.
    #[error("the entry has a `loggedAt`, which only the log gives")]
    LoggedAtTooEarly,
    /// A kind or version that is no name.
    #[error("a kind and a version are 1 to 64 letters, digits, `-`, `_` and `.`: {kind} {version}")]
    Name {
        /// The kind, quoted.
        kind: String,
        /// The version, quoted.
        version: String,
    },
    /// Another form of entry, or another spelling of the same.
    #[error("not a `dsse` entry in canonical form (RFC 8785): at byte {at} should stand `{want}`")]
    NotCanonical {
        /// The first byte that differs, from 0.
        at: usize,
        /// What should stand there.
        want: &'static str,
    },
    /// The DID is not the hash of the key.
    #[error("the entry is of {did}, and its key is the first key of {key_did}")]
    NotGenesisKey {
        /// The DID of the entry.
        did: Did,
        /// The DID whose first key the verifier is.
        key_did: Did,
    },
    /// No name of a log.
    #[error("an origin is 1 to 255 bytes without spaces, control characters and `+`: {0}")]
    Origin(String),
    /// The key that was given is not the verifier's.
    #[error("the entry names another key as its verifier")]
    OtherKey,
    /// Empty, too long, or with a control character.
    #[error("a predicate type is 1 to 256 bytes without control characters: {0}")]
    PredicateType(String),
    /// `subjects` without `predicateType`, or the other way round.
    #[error("`subjects` and `predicateType` are both there or both absent")]
    Pair,
    /// No claim signature.
    #[error("the entry has no `spec.aip.signature`")]
    SignatureMissing,
    /// None, or more than 1,024.
    #[error("the entry has {0} subjects, not 1 to {MAX_SUBJECTS}")]
    SubjectCount(usize),
    /// Unsorted, or one twice.
    #[error("the entry's subjects are not sorted by their bytes, each once")]
    SubjectOrder,
    /// Longer than an entry may be.
    #[error(
        "the entry has {0} bytes, more than {MAX_LEAF_BYTES}, or {MAX_PENDING_LEAF_BYTES} before it is logged"
    )]
    TooLong(usize),
    /// A value that is not what its member holds.
    #[error("entry: `{member}` is not {want}")]
    Value {
        /// The path of the member.
        member: &'static str,
        /// What it should be.
        want: &'static str,
    },
}

impl From<SpellingError> for EntryError {
    fn from(error: SpellingError) -> Self {
        match error {
            SpellingError::Did(error) => Self::Did(error),
            SpellingError::NotCanonical { at, want } => Self::NotCanonical { at, want },
            SpellingError::Value { member, want } => Self::Value { member, want },
        }
    }
}

/// Why a claim does not describe an envelope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DescribeError {
    /// The entry that describes the envelope differs here.
    #[error("the entry's `{member}` is not what the envelope gives")]
    Differs {
        /// The member of the entry.
        member: &'static str,
    },
    /// No entry describes this envelope.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl From<EventError> for EntryError {
    fn from(error: EventError) -> Self {
        Self::Event(Box::new(error))
    }
}

/// Why an envelope is not published.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// The entry does not describe the envelope.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// The envelope's signature is bad.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A private entry.
    #[error("a private entry comes without its envelope")]
    Private,
    /// The payload is no statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// How every `dsse` entry begins.
const DSSE_HEAD: &str = r#"{"apiVersion":"0.0.1","kind":"dsse","#;

/// The longest kind and version.
const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests;
