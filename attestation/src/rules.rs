//! Whether an entry may stand at its index, by the entries before it: the rules that a log keeps when it
//! admits and sequences, and that readers apply again (`specs/event.md`, `specs/identity.md`).
//!
//! In scope: rules of state, and those that hold "by the leaves alone". Out of scope: signatures, which are
//! checked before; whether the same claim or event is known, which is looked up before any rule.

use std::borrow::Cow;

use tlog::{Hash, LeafIndex};

use crate::did::Did;
use crate::entry::{Claim, ClaimHash, PendingEntry};
use crate::event::{Body, PendingEvent, Reference, TrustEvent};
use crate::identity::{
    Identity, StateError, check_artifact_signer, check_message_keys_signer, check_trust_signer,
};

/// What the entries before an index say. All answers are of one moment.
pub trait Prefix {
    /// Why there is no answer.
    type Error;

    /// The state of a DID; `None` if it is not registered.
    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Self::Error>;

    /// The artifact entry at `index`; `None` if there is none, or one that broke a rule.
    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, Self::Error>;

    /// The failure report of `from` about `to` that is not withdrawn. There is at most one.
    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, Self::Error>;

    /// The event hash of a DID's last `message-keys` event, void or not.
    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, Self::Error>;
}

/// What the rules need of an artifact entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Artifact {
    /// Who signed.
    pub did: Did,
    /// SHA-256 of the payload.
    pub payload: Hash,
    /// The digests it lists, sorted; `None` if it is private.
    pub subjects: Option<Vec<Hash>>,
}

impl Artifact {
    /// Of this claim.
    pub fn of(claim: &Claim) -> Self {
        let subjects = claim.listing().map(|listing| listing.subjects.clone());
        Self { did: claim.did(), payload: claim.payload_hash(), subjects }
    }

    fn lists(&self, digest: &Hash) -> bool {
        self.subjects.as_ref().is_some_and(|subjects| subjects.binary_search(digest).is_ok())
    }
}

/// Whether an artifact entry may come next.
pub fn check_artifact<P: Prefix>(before: &P, entry: &PendingEntry) -> Result<(), CheckError<P::Error>> {
    let claim = entry.claim();
    let state = before.identity(claim.did()).map_err(CheckError::Prefix)?;
    Ok(check_artifact_signer(state.as_deref(), claim.did(), claim.verifier())?)
}

/// Whether an event may come next, at `index`. Answers the new state of its issuer, `None` if it changes none.
pub fn check_event<P: Prefix>(
    before: &P,
    event: &PendingEvent,
    index: LeafIndex,
) -> Result<Option<Identity>, CheckError<P::Error>> {
    let (issuer, subject) = (event.event().issuer(), event.event().subject());
    let state = before.identity(issuer).map_err(CheckError::Prefix)?;
    let trust = match event.event().body() {
        Body::Identity(_) => {
            return Ok(Some(Identity::apply(state.as_deref(), event, index)?));
        }
        Body::MessageKeys(keys) => {
            check_message_keys_signer(state.as_deref(), event)?;
            let last = before.message_keys(issuer).map_err(CheckError::Prefix)?;
            check(keys.previous == last, RuleError::MessageKeysOrder(last))?;
            return Ok(None);
        }
        Body::Trust(trust) => trust,
    };
    check_trust_signer(state.as_deref(), event, trust)?;
    let artifact = |member, reference: &Reference| {
        let missing = RuleError::NoArtifact { member, index: reference.index };
        let earlier = if reference.index < index { before.artifact(reference.index) } else { Ok(None) };
        earlier.map_err(CheckError::Prefix)?.ok_or(CheckError::Rule(missing))
    };
    let open = || before.open_failure(issuer, subject).map_err(CheckError::Prefix);
    match trust {
        TrustEvent::Vouch { .. } | TrustEvent::Revocation { .. } | TrustEvent::Distrust { .. } => (),
        TrustEvent::Confirmation { artifact: digest, receipt, build } => {
            for (member, reference, did) in [("receipt", receipt, subject), ("build", build, issuer)] {
                let artifact = artifact(member, reference)?;
                check(artifact.did == did, RuleError::OthersArtifact { member, did })?;
                check(artifact.lists(digest), RuleError::NotListed { member })?;
            }
        }
        TrustEvent::Failure { .. } => {
            open()?.map_or(Ok(()), |failure| Err(RuleError::FailureOpen(failure)))?
        }
        TrustEvent::Withdrawal { failure } => {
            check(open()? == Some(failure.index), RuleError::FailureNotOpen(failure.index))?;
        }
        TrustEvent::Equivocation { receipts, statements } => {
            let member = "receipts";
            let signer = before.identity(subject).map_err(CheckError::Prefix)?;
            for (reference, statement) in receipts.iter().zip(statements) {
                let artifact = artifact(member, reference)?;
                check(artifact.did == subject, RuleError::OthersArtifact { member, did: subject })?;
                let answers = signer.as_ref().is_none_or(|signer| answers_for(signer, reference.index));
                check(answers, RuleError::PastArtifact { member })?;
                // The signer of a private entry never agreed to show its statement.
                check(artifact.subjects.is_some(), RuleError::PrivateArtifact { member })?;
                check(artifact.payload == Hash::of(statement), RuleError::OtherStatement { member })?;
            }
        }
    }
    Ok(None)
}

/// Whether a DID answers for its entry at `index`: the entry is not void, and its last recovery lies before it. Once it
/// does not answer for an entry, it never does again.
pub fn answers_for(signer: &Identity, index: LeafIndex) -> bool {
    !signer.is_void(index) && signer.recovered().is_none_or(|recovery| index > recovery)
}

fn check(holds: bool, rule: RuleError) -> Result<(), RuleError> {
    if holds { Ok(()) } else { Err(rule) }
}

/// Why an entry may not come next, or why that is not known.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckError<E> {
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// What is before it could not be read.
    #[error(transparent)]
    Prefix(E),
}

/// The rule that an entry breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// No failure to withdraw.
    #[error("the entry {0} is no open failure report of the issuer against the subject")]
    FailureNotOpen(LeafIndex),
    /// A second report.
    #[error("the issuer's failure report {0} against the subject is open: one at a time")]
    FailureOpen(LeafIndex),
    /// The same claim or event, again.
    #[error("it was logged before: it counts where it came first")]
    Known,
    /// Message keys that do not follow the last ones: another device came before.
    #[error("`previous` is not the DID's last `message-keys` event, which is {}", hash(.0))]
    MessageKeysOrder(Option<ClaimHash>),
    /// No entry, a later one, or one of another kind.
    #[error("`{member}`: the entry {index} is no earlier artifact entry")]
    NoArtifact {
        /// The member of the event.
        member: &'static str,
        /// What it refers to.
        index: LeafIndex,
    },
    /// About another artifact.
    #[error("`{member}`: that entry does not list the artifact")]
    NotListed {
        /// The member of the event.
        member: &'static str,
    },
    /// Of another log.
    #[error("it is for another log")]
    OtherLog,
    /// Another payload.
    #[error("`{member}`: a statement is not the one that its entry is about")]
    OtherStatement {
        /// The member of the event.
        member: &'static str,
    },
    /// Of somebody else.
    #[error("`{member}`: that entry is not of {did}")]
    OthersArtifact {
        /// The member of the event.
        member: &'static str,
        /// Whose it should be.
        did: Did,
    },
    /// A private entry.
    #[error("`{member}`: that entry is private")]
    PrivateArtifact {
        /// The member of the event.
        member: &'static str,
    },
    /// A rule of the issuer's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// An entry that its signer answers for no more.
    #[error("`{member}`: that entry is void, or its signer's recovery lies behind it")]
    PastArtifact {
        /// The member of the event.
        member: &'static str,
    },
}

fn hash(hash: &Option<ClaimHash>) -> String {
    hash.map_or_else(|| "none".to_owned(), |hash| hash.get().to_string())
}

impl RuleError {
    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::FailureNotOpen(_) => "failure-not-open",
            Self::FailureOpen(_) => "failure-open",
            Self::Known => "known",
            Self::MessageKeysOrder(_) => "message-keys-order",
            Self::NoArtifact { .. }
            | Self::NotListed { .. }
            | Self::OtherStatement { .. }
            | Self::OthersArtifact { .. }
            | Self::PrivateArtifact { .. }
            | Self::PastArtifact { .. } => "reference",
            Self::OtherLog => "origin",
            Self::State(error) => error.rule(),
        }
    }
}

impl<E> From<StateError> for CheckError<E> {
    fn from(error: StateError) -> Self {
        Self::Rule(error.into())
    }
}
