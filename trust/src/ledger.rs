//! What a judgement asks, and the entries that answer it.

use std::borrow::Cow;

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{FailureReason, Level, Scope};
use attestation::identity::Identity;
use attestation::lists::ListedKind;
use tlog::{Hash, LeafIndex};

/// What a judgement needs of the first entries of one log.
///
/// It answers only with entries that hold: their signatures are good, and they keep every rule of [`attestation::rules`] at their index.
/// The same claim or event counts once, where it came first. It leaves out no entry that can lower a score; a ledger that
/// cannot know that answers with an error.
pub trait Ledger {
    /// Why there is no answer.
    type Error;

    /// The state of a DID after all of its events; `None` if it is not registered.
    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Self::Error>;

    /// The vouch, revocation or distrust of the highest index by `from` about `to` in `scope`.
    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, Self::Error>;

    /// Who spoke against `did`: every failure, withdrawal and equivocation about it, by rising index.
    fn against(&self, did: Did) -> Result<Vec<Against>, Self::Error>;

    /// What was said at one of those.
    fn negative(&self, did: Did, against: &Against) -> Result<Negative, Self::Error>;

    /// Confirmations about `did`, in any order. Some may be left out: they only help.
    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, Self::Error>;

    /// Artifact entries of `did`, in any order. One a week is enough: they only help.
    fn receipts(&self, did: Did) -> Result<Vec<Logged>, Self::Error>;
}

/// A ledger in which paths can be found.
pub trait Graph: Ledger {
    /// The latest vouch, revocation or distrust by `from` about each DID in each scope, in any order.
    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, Self::Error>;

    /// The latest vouch, revocation or distrust about `to` by each DID in each scope, in any order.
    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, Self::Error>;
}

/// Where and when an entry was logged.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Logged {
    /// Its place in the log.
    pub index: LeafIndex,
    /// The log's time for it.
    pub time: LogTime,
}

/// A vouch, revocation or distrust in a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EdgeEvent {
    /// Where and when.
    pub logged: Logged,
    /// Who says it.
    pub from: Did,
    /// The DID that it is about.
    pub to: Did,
    /// For what.
    pub scope: Scope,
    /// What is said.
    pub kind: EdgeKind,
}

/// What an issuer says about a subject in a scope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EdgeKind {
    /// It believes in it.
    Vouch {
        /// How much.
        level: Level,
        /// How many further hops may follow; `None`: any number.
        depth: Option<u8>,
        /// When it ends, as it says itself.
        expires_at: LogTime,
    },
    /// It takes back what it said.
    Revocation,
    /// It warns of it.
    Distrust,
}

/// That somebody spoke against a DID, or takes it back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Against {
    /// Where.
    pub index: LeafIndex,
    /// Who.
    pub from: Did,
    /// A failure, withdrawal or equivocation.
    pub kind: ListedKind,
}

/// What speaks against a DID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Negative {
    /// When.
    pub time: LogTime,
    /// What is said.
    pub kind: NegativeKind,
}

/// What is said against a DID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NegativeKind {
    /// Something of its did not verify.
    Failure {
        /// The SHA-256 of the artifact.
        artifact: Hash,
        /// What did not verify.
        reason: FailureReason,
    },
    /// The issuer's failure report is taken back.
    Withdrawal,
    /// Two of its entries contradict each other.
    Equivocation {
        /// These, the earlier one first.
        receipts: [LeafIndex; 2],
    },
}

/// Somebody built what a DID built, and got the same bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Confirmation {
    /// Where and when it was said.
    pub logged: Logged,
    /// Who says it.
    pub from: Did,
    /// The DID's entry.
    pub receipt: LeafIndex,
    /// The issuer's own.
    pub build: LeafIndex,
}
