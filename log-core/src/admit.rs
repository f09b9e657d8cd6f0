//! Admission: bytes become an [`Admitted`] entry, or the rule they break. Pure.
//!
//! There are two steps: [`read`] takes a submission apart, [`Candidate::admit`] checks its signatures. Between them a
//! claim that is already in the log gets its answer. The rules of state are `registry`'s.

use std::fmt::{self, Write as _};

use attestation::api::Submission;
use attestation::dsse::{Envelope, EnvelopeError};
use attestation::entry::{ClaimHash, DescribeError, EntryError, PendingLeaf, PublishError};
use attestation::event::{EventError, MessageKeys, RawKey};
use attestation::identity::StateError;
use attestation::rules::RuleError;
use tlog::Hash;
use tlog::encoding;
use tlog::key::{Ed25519PublicKey, KeyError};

/// How large one entry may be.
#[derive(Clone, Copy, Debug)]
pub struct EntryLimits {
    /// The longest pending leaf, in bytes.
    pub leaf_bytes: usize,
    /// The longest envelope, in bytes of its canonical JSON.
    pub envelope_bytes: usize,
}

/// A submission that reads well. Nobody has checked a signature of it.
#[derive(Debug)]
pub struct Candidate {
    entry: PendingLeaf,
    leaf_bytes: usize,
    claim: ClaimHash,
    envelope: Option<Sent>,
}

/// An envelope that came along, with its canonical JSON and the hash of that.
#[derive(Debug)]
struct Sent {
    envelope: Envelope,
    json: Vec<u8>,
    hash: Hash,
}

/// An entry that may be logged, as far as its bytes tell.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The entry.
    pub entry: PendingLeaf,
    /// Its idempotency key.
    pub claim: ClaimHash,
    /// The envelope to publish, by its hash, in canonical JSON.
    pub envelope: Option<(Hash, Vec<u8>)>,
    leaf_bytes: usize,
}

impl Admitted {
    /// An entry that was admitted elsewhere.
    pub fn new(entry: impl Into<PendingLeaf>, envelope: Option<(Hash, Vec<u8>)>) -> Self {
        let entry = entry.into();
        let (leaf_bytes, claim) = (entry.to_bytes().len(), entry.hash());
        Self { entry, claim, envelope, leaf_bytes }
    }

    /// Whether it is an event, about an identity or about trust.
    pub fn is_event(&self) -> bool {
        matches!(self.entry, PendingLeaf::Event(_))
    }

    /// What it adds to the log, in bytes of leaf and envelope.
    pub fn bytes(&self) -> usize {
        self.leaf_bytes + self.envelope.as_ref().map_or(0, |(_, envelope)| envelope.len())
    }
}

/// Reads one submission to the log `origin`.
pub fn read(json: &[u8], limits: &EntryLimits, origin: &str) -> Result<Candidate, Refusal> {
    let submission: Submission<'_> = serde_json::from_slice(json).map_err(|e| Refusal::Submission(cut(e)))?;
    // Base64 takes four characters for three bytes: what cannot fit is not decoded.
    if submission.leaf.len() / 4 * 3 > limits.leaf_bytes + 3 {
        return Err(Refusal::LeafSize { got: submission.leaf.len() / 4 * 3, limit: limits.leaf_bytes });
    }
    let leaf = encoding::decode_base64(&submission.leaf).ok_or(Refusal::LeafEncoding)?;
    if leaf.len() > limits.leaf_bytes {
        return Err(Refusal::LeafSize { got: leaf.len(), limit: limits.leaf_bytes });
    }
    let entry = PendingLeaf::parse(&leaf)?;
    if entry.origin() != origin {
        return Err(Refusal::Origin { got: entry.origin().to_owned(), want: origin.to_owned() });
    }
    if matches!(entry, PendingLeaf::Event(_)) && submission.envelope.is_some() {
        return Err(Refusal::EventEnvelope);
    }
    let envelope = match submission.envelope {
        None => None,
        Some(json) if json.get().len() > limits.envelope_bytes => {
            return Err(Refusal::EnvelopeSize { got: json.get().len(), limit: limits.envelope_bytes });
        }
        Some(json) => {
            let envelope = Envelope::parse(json.get().as_bytes())?;
            let json = envelope.to_json().into_bytes();
            Some(Sent { envelope, hash: Hash::of(&json), json })
        }
    };
    let claim = entry.hash();
    Ok(Candidate { entry, leaf_bytes: leaf.len(), claim, envelope })
}

impl Candidate {
    /// The idempotency key.
    pub fn claim(&self) -> ClaimHash {
        self.claim
    }

    /// The entry, unchecked.
    pub fn entry(&self) -> &PendingLeaf {
        &self.entry
    }

    /// The hash of the envelope that came along.
    pub fn envelope_hash(&self) -> Option<Hash> {
        self.envelope.as_ref().map(|sent| sent.hash)
    }

    /// Checks every signature: all of an event; of a claim its own and, if its envelope is to be published, the
    /// envelope's. `keys` admits raw keys.
    pub fn admit(
        self,
        mut keys: impl FnMut(&RawKey) -> Result<Ed25519PublicKey, KeyError>,
    ) -> Result<Admitted, Refusal> {
        let envelope = match &self.entry {
            PendingLeaf::Event(event) => {
                event.verify(keys).map_err(|error| match error {
                    EventError::Key { error, .. } => Refusal::WeakKey(error),
                    error => Refusal::EventSignature(error),
                })?;
                None
            }
            PendingLeaf::Dsse(entry) => {
                let key = keys(entry.claim().verifier())?;
                entry.verify_claim_signature(&key)?;
                if let Some(sent) = &self.envelope {
                    entry.check_published(&sent.envelope, &key)?;
                }
                self.envelope.map(|sent| (sent.hash, sent.json))
            }
        };
        Ok(Admitted { entry: self.entry, claim: self.claim, envelope, leaf_bytes: self.leaf_bytes })
    }
}

/// The rule that a submission breaks. Sending it again does not help.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The DID is not on the log's list.
    #[error("this log takes entries of listed DIDs only, and {0} is not listed")]
    DidNotAllowed(String),
    /// The envelope breaks a rule of its format, or its signature is bad.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The envelope was erased from this log.
    #[error("the envelope {0} was erased from this log and is not published again")]
    EnvelopeErased(Hash),
    /// The envelope is too large.
    #[error("the envelope has {got} bytes, more than {limit}")]
    EnvelopeSize {
        /// Its length in bytes.
        got: usize,
        /// The log's limit.
        limit: usize,
    },
    /// The entry breaks a rule of its format, or the claim signature is bad.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An event brings everything in its leaf.
    #[error("an event comes without `envelope`: it is in the leaf")]
    EventEnvelope,
    /// An event's signature is bad.
    #[error(transparent)]
    EventSignature(EventError),
    /// The leaf is not base64.
    #[error("`leaf` is not canonical base64")]
    LeafEncoding,
    /// The leaf is too large.
    #[error("the leaf has {got} bytes, more than {limit}")]
    LeafSize {
        /// Its length in bytes.
        got: usize,
        /// The log's limit.
        limit: usize,
    },
    /// The entry consents to another log.
    #[error("the entry is for the log `{got}`, this log is `{want}`")]
    Origin {
        /// The entry's origin.
        got: String,
        /// This log's origin.
        want: String,
    },
    /// The envelope does not belong to the entry, or is private.
    #[error(transparent)]
    Publish(PublishError),
    /// The entry may not stand behind those that are in the log.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The key is no key to believe.
    #[error("the verifier key is refused: {0}")]
    WeakKey(#[from] KeyError),
    /// The submission is not JSON of its form.
    #[error("a submission is a JSON object with `leaf` and, to publish, `envelope`: {0}")]
    Submission(String),
}

/// The beginning of a message: a library's error about a submission may repeat all of it.
pub fn cut(message: impl fmt::Display) -> String {
    struct Cut(String);

    impl fmt::Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = text.floor_char_boundary(MAX_MESSAGE_BYTES.saturating_sub(self.0.len()));
            self.0.push_str(&text[..end]);
            if end < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut cut = Cut(String::new());
    if write!(cut, "{message}").is_err() {
        cut.0.push('…');
    }
    cut.0
}

/// The longest message about a submission.
const MAX_MESSAGE_BYTES: usize = 1_000;

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Envelope(error) => Self::Envelope(error),
            PublishError::Describe(DescribeError::Entry(error)) => Self::Entry(error),
            error => Self::Publish(error),
        }
    }
}

impl Refusal {
    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::DidNotAllowed(_) => "did-not-allowed",
            Self::Envelope(EnvelopeError::Signature) => "envelope-signature",
            Self::Envelope(_) => "envelope",
            Self::EnvelopeErased(_) => "envelope-erased",
            Self::EnvelopeSize { .. } => "envelope-size",
            Self::Entry(EntryError::ClaimSignature) => "claim-signature",
            Self::Entry(error) if is_of_other_kind(error) => "kind",
            Self::Entry(EntryError::TooLong(_)) | Self::LeafSize { .. } => "leaf-size",
            Self::Entry(EntryError::Event(error)) if matches!(**error, EventError::TooLong(_)) => "leaf-size",
            Self::Entry(EntryError::Event(error)) if matches!(**error, EventError::MessageKeys(_)) => {
                MessageKeys::NAME
            }
            Self::Entry(_) | Self::LeafEncoding => "leaf",
            Self::EventEnvelope => "event-envelope",
            Self::EventSignature(_) => "event-signature",
            Self::Origin { .. } => "origin",
            Self::Publish(PublishError::Private) => "private-with-envelope",
            Self::Publish(PublishError::Statement(_)) => "statement",
            Self::Publish(_) => "envelope-differs",
            Self::Rule(error) => error.rule(),
            Self::WeakKey(_) => "signer-key",
            Self::Submission(_) => "submission",
        }
    }

    /// What the submitter can do about it, where that is not obvious.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::EnvelopeSize { .. } => Some("log the entry by hash: send it without `envelope`"),
            Self::Entry(error) if is_of_other_kind(error) => Some(
                "this release takes `dsse` 0.0.1 and `aip-event` 1 entries; an event's statement is in the latter",
            ),
            Self::Origin { .. } => Some("sign the claim for this log's origin; `GET /policy` names it"),
            Self::Rule(error) => rule_hint(error),
            Self::Publish(PublishError::Private) => Some("send a private claim without its envelope"),
            _ => None,
        }
    }
}

fn rule_hint(error: &RuleError) -> Option<&'static str> {
    let error = match error {
        RuleError::State(error) => error,
        RuleError::MessageKeysOrder(_) => {
            return Some(
                "another device was first: read the DID's message keys again, and make the event anew behind them",
            );
        }
        _ => return None,
    };
    match error {
        StateError::NotGenesisKey { .. } => Some("sign with the key whose hash the DID is"),
        StateError::RetiredKey => Some(
            "sign with the current key: `GET /did/{did}` names it. If you did not rotate, somebody else did",
        ),
        StateError::NotNext { .. } => {
            Some("make the event anew, behind the last one: `GET /did/{did}` names it")
        }
        StateError::NotRegistered => Some("log the DID's inception first"),
        StateError::NotNextKey | StateError::Signers(_) => {
            Some("sign with the keys that the DID's last event committed to; no other event changes them")
        }
        StateError::OldKey | StateError::SameKey => Some("make a new key"),
        StateError::Since { .. } => {
            Some("`since` is an index of this log, from the DID's inception to the size of the tree")
        }
        StateError::TooManyEvents { .. } => Some(
            "the last events of a DID are kept for `recovery`, `compromise` and `deactivation`: another DID \
             goes on",
        ),
        StateError::Capability(_) => Some("a rotation may give the key other capabilities"),
        _ => None,
    }
}

fn is_of_other_kind(error: &EntryError) -> bool {
    match error {
        EntryError::Kind { .. } | EntryError::EventPredicate(_) => true,
        EntryError::Event(error) => {
            matches!(**error, EventError::Kind { .. } | EventError::Reserved | EventError::Unknown(_))
        }
        _ => false,
    }
}
