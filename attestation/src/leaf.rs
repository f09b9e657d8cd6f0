//! The rules that every leaf of every log must keep, as a monitor applies them (`specs/finding.md`).
//!
//! | rule | broken when | checked by |
//! |---|---|---|
//! | `leaf-form` | the bytes are no entry, or one in another spelling | [`check`] |
//! | `origin` | the entry is for another log | [`check`] |
//! | `verifier-key` | a key is none that can be believed in | [`check`] |
//! | `claim-signature` | the verifier's key did not sign the claim | [`check`] |
//! | `event-signature` | a key that an event names did not sign it | [`check`] |
//! | `signer-key` | the DID has no events, and the key does not hash to it | [`Leaf::check_state`] |
//! | `retired-key` | the key may not log artifacts for the DID at this index | [`Leaf::check_state`] |
//! | `event-state` | the event breaks a rule of its issuer's state | [`Leaf::check_state`] |
//! | `known` | an earlier leaf is the same claim or event | [`Leaf::check_new`] |
//! | `reference`, `failure-open`, `failure-not-open`, `message-keys-order` | what an event says about earlier leaves is not so | [`Leaf::check_behind`] |
//! | `logged-at-order` | an earlier leaf has a later time | [`Leaf::check_order`] |
//!
//! Entries of other kinds are valid and not understood: they count for no rule but the first.
//! In scope: one leaf, and its place behind others, which the caller knows. Out of scope: whether it is in a tree;
//! envelopes, which may be withheld or erased.

use std::fmt;

use tlog::LeafIndex;
use tlog::key::{Ed25519PublicKey, KeyError};

use crate::did::Did;
use crate::entry::{ClaimHash, DsseEntry, Entry, EntryError, LogTime};
use crate::event::{Body, EventEntry, EventError};
use crate::identity::{
    Identity, StateError, check_artifact_signer, check_message_keys_signer, check_trust_signer,
};
use crate::quote::quoted;
use crate::rules::{self, CheckError, Prefix, RuleError};

/// A leaf that keeps all rules that can be checked on it alone. [`Leaf::check_state`] checks those of its signer's state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaf {
    entry: Entry,
}

impl Leaf {
    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// When it was logged; entries that are not understood say nothing.
    pub fn logged_at(&self) -> Option<LogTime> {
        match &self.entry {
            Entry::Dsse(entry) => Some(entry.logged_at()),
            Entry::Event(event) => Some(event.logged_at()),
            Entry::NotUnderstood { .. } => None,
        }
    }

    /// Who signed; entries that are not understood do not tell.
    pub fn did(&self) -> Option<Did> {
        match &self.entry {
            Entry::Dsse(entry) => Some(entry.claim().did()),
            Entry::Event(event) => Some(event.event().issuer()),
            Entry::NotUnderstood { .. } => None,
        }
    }

    /// Checks that the signer may log this at `index`. `state` is that of the DID by its identity events before
    /// it, `None` if there are none. Answers the state that an identity event leads to.
    pub fn check_state(
        &self,
        index: LeafIndex,
        state: Option<&Identity>,
    ) -> Result<Option<Identity>, BrokenRule> {
        match &self.entry {
            Entry::NotUnderstood { .. } => Ok(None),
            Entry::Dsse(entry) => {
                let claim = entry.claim();
                let checked = check_artifact_signer(state, claim.did(), claim.verifier());
                let broken = if state.is_none() { BrokenRule::SignerKey } else { BrokenRule::RetiredKey };
                checked.map_err(broken).map(|()| None)
            }
            Entry::Event(event) => match event.event().body() {
                Body::Identity(_) => {
                    Identity::apply(state, event.pending(), index).map(Some).map_err(BrokenRule::EventState)
                }
                Body::MessageKeys(_) => check_message_keys_signer(state, event.pending())
                    .map_err(BrokenRule::EventState)
                    .map(|()| None),
                Body::Trust(trust) => check_trust_signer(state, event.pending(), trust)
                    .map_err(BrokenRule::EventState)
                    .map(|()| None),
            },
        }
    }

    /// The same for two leaves that are one claim or event, logged at any times. `None` for entries that are not
    /// understood.
    pub fn hash(&self) -> Option<ClaimHash> {
        match &self.entry {
            Entry::Dsse(entry) => Some(entry.claim().hash()),
            Entry::Event(event) => Some(event.pending().hash()),
            Entry::NotUnderstood { .. } => None,
        }
    }

    /// Checks that no leaf before this one is the same claim or event. `earlier` is one with this leaf's hash, if
    /// there is one.
    pub fn check_new(&self, earlier: Option<LeafIndex>) -> Result<(), BrokenRule> {
        if earlier.is_none() { Ok(()) } else { Err(BrokenRule::Earlier(RuleError::Known)) }
    }

    /// Checks that the leaf may stand at `index` behind the leaves before it: by its signer's state, and by the leaves that
    /// an event refers to. Answers the state that an identity event leads to.
    pub fn check_behind<P: Prefix>(
        &self,
        index: LeafIndex,
        before: &P,
    ) -> Result<Result<Option<Identity>, BrokenRule>, P::Error> {
        let Entry::Event(event) = &self.entry else {
            let state = self.did().map_or(Ok(None), |did| before.identity(did))?;
            return Ok(self.check_state(index, state.as_deref()));
        };
        match rules::check_event(before, event.pending(), index) {
            Ok(after) => Ok(Ok(after)),
            Err(CheckError::Rule(RuleError::State(error))) => Ok(Err(BrokenRule::EventState(error))),
            Err(CheckError::Rule(error)) => Ok(Err(BrokenRule::Earlier(error))),
            Err(CheckError::Prefix(error)) => Err(error),
        }
    }

    /// Checks that the leaf was logged no earlier than `previous`, the time of any leaf before it.
    pub fn check_order(&self, previous: Option<LogTime>) -> Result<(), BrokenRule> {
        match (previous, self.logged_at()) {
            (Some(previous), Some(got)) if got < previous => Err(BrokenRule::LoggedAtOrder { previous, got }),
            _ => Ok(()),
        }
    }
}

/// Checks a leaf of the log `origin` by itself. `admit` admits a raw key: [`Ed25519PublicKey::from_bytes`], or a cache of
/// its answers, since a key comes many times.
pub fn check(
    origin: &str,
    leaf: &[u8],
    admit: impl FnMut(&[u8; Ed25519PublicKey::BYTES]) -> Result<Ed25519PublicKey, KeyError>,
) -> Result<Leaf, BrokenRule> {
    let entry = Entry::parse(leaf).map_err(BrokenRule::LeafForm)?;
    match &entry {
        Entry::Dsse(entry) => check_dsse(origin, entry, admit)?,
        Entry::Event(event) => check_event(origin, event, admit)?,
        Entry::NotUnderstood { .. } => (),
    }
    Ok(Leaf { entry })
}

fn check_dsse(
    origin: &str,
    entry: &DsseEntry,
    mut admit: impl FnMut(&[u8; Ed25519PublicKey::BYTES]) -> Result<Ed25519PublicKey, KeyError>,
) -> Result<(), BrokenRule> {
    let claim = entry.claim();
    if claim.origin() != origin {
        return Err(BrokenRule::Origin { got: quoted(claim.origin()) });
    }
    let key = admit(claim.verifier()).map_err(BrokenRule::VerifierKey)?;
    entry.pending().verify_claim_signature(&key).map_err(|_| BrokenRule::ClaimSignature)
}

fn check_event(
    origin: &str,
    event: &EventEntry,
    admit: impl FnMut(&[u8; Ed25519PublicKey::BYTES]) -> Result<Ed25519PublicKey, KeyError>,
) -> Result<(), BrokenRule> {
    if event.event().origin() != origin {
        return Err(BrokenRule::Origin { got: quoted(event.event().origin()) });
    }
    event.pending().verify(admit).map_err(|error| match error {
        EventError::Key { error, .. } => BrokenRule::VerifierKey(error),
        _ => BrokenRule::EventSignature,
    })
}

/// The rule that a leaf breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BrokenRule {
    /// The claim's signature is bad.
    #[error("the claim's signature is not by the verifier's key over this claim")]
    ClaimSignature,
    /// What it says about earlier leaves is not so, or it was logged before.
    #[error("{0}")]
    Earlier(RuleError),
    /// An event's signature is bad.
    #[error("a signature of the event is not by its key over the event")]
    EventSignature,
    /// The event is not one that its issuer could log then.
    #[error("the event breaks a rule of its issuer's state: {0}")]
    EventState(StateError),
    /// No entry, or not in its one spelling.
    #[error("the leaf is no entry: {0}")]
    LeafForm(EntryError),
    /// An earlier leaf has a later time.
    #[error("it was logged at {} ms, before the {} ms of an earlier leaf", .got.as_millis(), .previous.as_millis())]
    LoggedAtOrder {
        /// The time of the earlier leaf.
        previous: LogTime,
        /// The time of this one.
        got: LogTime,
    },
    /// An entry for another log.
    #[error("the entry is for the log {got}")]
    Origin {
        /// That log, quoted.
        got: String,
    },
    /// The key may not log artifacts for its DID then.
    #[error("{0}")]
    RetiredKey(StateError),
    /// The DID is not the hash of the verifier's key.
    #[error("{0}")]
    SignerKey(StateError),
    /// A key that is refused.
    #[error("the verifier's key: {0}")]
    VerifierKey(KeyError),
}

impl BrokenRule {
    /// Which rule it is.
    pub fn rule(&self) -> Rule {
        match self {
            Self::ClaimSignature => Rule::ClaimSignature,
            Self::Earlier(RuleError::Known) => Rule::Known,
            Self::Earlier(RuleError::FailureOpen(_)) => Rule::FailureOpen,
            Self::Earlier(RuleError::FailureNotOpen(_)) => Rule::FailureNotOpen,
            Self::Earlier(RuleError::MessageKeysOrder(_)) => Rule::MessageKeysOrder,
            Self::Earlier(RuleError::OtherLog) => Rule::Origin,
            Self::Earlier(RuleError::State(_)) => Rule::EventState,
            Self::Earlier(_) => Rule::Reference,
            Self::EventSignature => Rule::EventSignature,
            Self::EventState(_) => Rule::EventState,
            Self::LeafForm(_) => Rule::LeafForm,
            Self::LoggedAtOrder { .. } => Rule::LoggedAtOrder,
            Self::Origin { .. } => Rule::Origin,
            Self::RetiredKey(_) => Rule::RetiredKey,
            Self::SignerKey(_) => Rule::SignerKey,
            Self::VerifierKey(_) => Rule::VerifierKey,
        }
    }
}

/// The rules, by the names that findings use.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// `leaf-form`
    LeafForm,
    /// `origin`
    Origin,
    /// `verifier-key`
    VerifierKey,
    /// `claim-signature`
    ClaimSignature,
    /// `event-signature`
    EventSignature,
    /// `signer-key`
    SignerKey,
    /// `retired-key`
    RetiredKey,
    /// `event-state`
    EventState,
    /// `known`
    Known,
    /// `reference`
    Reference,
    /// `failure-open`
    FailureOpen,
    /// `failure-not-open`
    FailureNotOpen,
    /// `message-keys-order`
    MessageKeysOrder,
    /// `logged-at-order`
    LoggedAtOrder,
}

impl Rule {
    /// Every rule, in the order in which they are checked.
    pub const ALL: [Self; 14] = [
        Self::LeafForm,
        Self::Origin,
        Self::VerifierKey,
        Self::ClaimSignature,
        Self::EventSignature,
        Self::SignerKey,
        Self::RetiredKey,
        Self::EventState,
        Self::Known,
        Self::Reference,
        Self::FailureOpen,
        Self::FailureNotOpen,
        Self::MessageKeysOrder,
        Self::LoggedAtOrder,
    ];

    /// The rule with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Whether it is a rule of the signer's state.
    pub fn is_of_state(self) -> bool {
        matches!(self, Self::SignerKey | Self::RetiredKey | Self::EventState)
    }

    /// Whether it is a rule of what an event says about earlier leaves.
    pub fn is_about_earlier(self) -> bool {
        matches!(self, Self::Reference | Self::FailureOpen | Self::FailureNotOpen | Self::MessageKeysOrder)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeafForm => "leaf-form",
            Self::Origin => "origin",
            Self::VerifierKey => "verifier-key",
            Self::ClaimSignature => "claim-signature",
            Self::EventSignature => "event-signature",
            Self::SignerKey => "signer-key",
            Self::RetiredKey => "retired-key",
            Self::EventState => "event-state",
            Self::Known => "known",
            Self::Reference => "reference",
            Self::FailureOpen => "failure-open",
            Self::FailureNotOpen => "failure-not-open",
            Self::MessageKeysOrder => "message-keys-order",
            Self::LoggedAtOrder => "logged-at-order",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use tlog::encoding;
    use tlog::key::Ed25519PrivateKey;

    use super::*;
    use crate::did::{Did, pem_of_raw};
    use crate::dsse::Envelope;
    use crate::entry::{Claim, PendingEntry, Visibility};
    use crate::statement::{Statement, Subject};

    const ORIGIN: &str = "log.example.com/pipelines";

    fn time(milliseconds: u64) -> LogTime {
        LogTime::from_millis(milliseconds).expect("a time")
    }

    fn key(seed: u8) -> Ed25519PrivateKey {
        Ed25519PrivateKey::from_seed(&[seed; 32])
    }

    /// A leaf by the key of `seed` in the name of `did`.
    fn leaf_of(seed: u8, did: Did) -> String {
        let subject = Subject::new("a", tlog::Hash::of(b"a"));
        let statement = Statement::new(vec![subject], "https://example.com/t", serde_json::Map::new());
        let statement = statement.expect("a statement");
        let envelope = Envelope::sign(&key(seed), statement.to_payload());
        let public = key(seed).public_key();
        let claim = Claim::new(&envelope, &statement, did, &public, ORIGIN, Visibility::Public);
        let entry = PendingEntry::sign(claim.expect("a claim"), &key(seed)).expect("an entry");
        String::from_utf8(entry.to_leaf(time(1_000))).expect("an entry is text")
    }

    fn check_text(leaf: &str) -> Result<Leaf, BrokenRule> {
        check(ORIGIN, leaf.as_bytes(), Ed25519PublicKey::from_bytes)
    }

    #[test]
    fn each_rule_is_broken_alone_and_named() {
        let did = Did::of(&key(1).public_key());
        let good = leaf_of(1, did);
        let leaf = check_text(&good).expect("a good leaf");
        assert_eq!(leaf.logged_at(), Some(time(1_000)));
        let mut identity = [0; 32];
        identity[0] = 1;
        let pem = |raw: &[u8; 32]| encoding::base64(pem_of_raw(raw).as_bytes());
        let small_order = good.replace(&pem(key(1).public_key().as_bytes()), &pem(&identity));
        for (name, leaf, want) in [
            ("not JSON", "x".to_owned(), Rule::LeafForm),
            ("nothing", String::new(), Rule::LeafForm),
            ("space", good.replace(',', ", "), Rule::LeafForm),
            ("no time", good.replace(r#""loggedAt":1000,"#, ""), Rule::LeafForm),
            ("another log", good.replace("log.example.com", "lag.example.com"), Rule::Origin),
            ("a key of small order", small_order, Rule::VerifierKey),
            ("another's name", leaf_of(2, did), Rule::SignerKey),
            ("another artifact", good.replace("example.com/t", "example.com/u"), Rule::ClaimSignature),
        ] {
            assert_ne!(leaf, good, "{name}");
            let checked = check_text(&leaf).and_then(|leaf| leaf.check_state(LeafIndex::new(7), None));
            let broken = checked.expect_err(name);
            assert_eq!(broken.rule(), want, "{name}: {broken}");
            assert_eq!(Rule::parse(want.name()), Some(want));
        }
    }

    /// The log's time is no part of the claim: only the order of the leaves checks it.
    #[test]
    fn times_never_go_back() {
        let leaf = check_text(&leaf_of(1, Did::of(&key(1).public_key()))).expect("a good leaf");
        assert_eq!(leaf.check_order(None), Ok(()));
        assert_eq!(leaf.check_order(Some(time(1_000))), Ok(()));
        let broken = leaf.check_order(Some(time(1_001))).expect_err("it goes back");
        assert_eq!(broken.rule(), Rule::LoggedAtOrder);
    }

    #[test]
    fn other_kinds_are_valid_and_count_for_nothing() {
        for (kind, version) in [("hashedrekord", "0.0.2"), ("aip-event", "2"), ("aip-index", "1"), ("x", "9")]
        {
            let leaf = format!(r#"{{"apiVersion":"{version}","kind":"{kind}","spec":{{}}}}"#);
            let leaf = check_text(&leaf).expect("a valid leaf");
            assert_eq!(leaf.logged_at(), None);
            assert_eq!(leaf.check_order(Some(time(1_000))), Ok(()));
            assert_eq!(
                leaf.entry(),
                &Entry::NotUnderstood { kind: kind.to_owned(), version: version.to_owned() }
            );
        }
    }

    #[test]
    fn a_key_is_admitted_by_the_caller() {
        let leaf = leaf_of(1, Did::of(&key(1).public_key()));
        let refused = check(ORIGIN, leaf.as_bytes(), |_| Err(KeyError::Torsion)).expect_err("refused");
        assert_eq!(refused, BrokenRule::VerifierKey(KeyError::Torsion));
    }
}
