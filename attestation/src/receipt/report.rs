//! What comes of verifying: every check with its outcome, and why one did not pass.

use std::fmt;
use std::time::Duration;

use tlog::merkle::ProofError;
use tlog::policy::{Cosigned, PolicyError};
use tlog::{Hash, LeafIndex, TreeSize};

use super::{Demand, HistoryError, ReceiptError, Verified};
use crate::did::Did;
use crate::entry::{DescribeError, EntryError};
use crate::identity::{StateError, Window};
use crate::sigstore::BundleRefusal;

/// A check, in the order in which they are made. Its identifier never changes: scripts depend on it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Check {
    /// The receipt and all that is in it keeps the rules of its format.
    Format,
    /// The artifact is a subject of the statement.
    ArtifactDigest,
    /// The receipt's key signed the statement.
    Signature,
    /// The leaf is the one that the signer made of this envelope, for this log.
    Leaf,
    /// A log of the policy signed the checkpoint, and no pinned root contradicts it.
    LogSignature,
    /// The policy's quorum of witnesses cosigned the checkpoint.
    WitnessQuorum,
    /// The leaf is in the tree of the checkpoint.
    Inclusion,
    /// The signer is a wanted one, and the key is its own.
    Signer,
    /// The key was the signer's at that point of the log.
    SignerState,
    /// A later state of the signer leaves the entry standing.
    LaterState,
    /// The source repository is the wanted one.
    SourceUri,
    /// The source ref is the wanted one.
    SourceRef,
    /// The builder is the wanted one.
    BuilderId,
    /// The predicate type is the wanted one.
    PredicateType,
    /// The artifact has the wanted name.
    SubjectName,
    /// The entry is young enough.
    MaxAge,
    /// The checkpoint is young enough.
    CheckpointFreshness,
    /// The checkpoint is large enough.
    MinCheckpoint,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 18] = [
        Self::Format,
        Self::ArtifactDigest,
        Self::Signature,
        Self::Leaf,
        Self::LogSignature,
        Self::WitnessQuorum,
        Self::Inclusion,
        Self::Signer,
        Self::SignerState,
        Self::LaterState,
        Self::SourceUri,
        Self::SourceRef,
        Self::BuilderId,
        Self::PredicateType,
        Self::SubjectName,
        Self::MaxAge,
        Self::CheckpointFreshness,
        Self::MinCheckpoint,
    ];

    /// Those that are made of every receipt; the others answer a [`Demand`].
    pub(super) const ALWAYS: [Self; 9] = [
        Self::Format,
        Self::ArtifactDigest,
        Self::Signature,
        Self::Leaf,
        Self::LogSignature,
        Self::WitnessQuorum,
        Self::Inclusion,
        Self::Signer,
        Self::SignerState,
    ];

    /// Those that are made of every Sigstore bundle, which has no history of its signer's keys.
    pub(crate) const OF_BUNDLES: [Self; 8] = [
        Self::Format,
        Self::ArtifactDigest,
        Self::Signature,
        Self::Leaf,
        Self::LogSignature,
        Self::WitnessQuorum,
        Self::Inclusion,
        Self::Signer,
    ];

    /// The identifier, for people and programs.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::ArtifactDigest => "artifact-digest",
            Self::Signature => "signature",
            Self::Leaf => "leaf",
            Self::LogSignature => "log-signature",
            Self::WitnessQuorum => "witness-quorum",
            Self::Inclusion => "inclusion",
            Self::Signer => "signer",
            Self::SignerState => "signer-state",
            Self::LaterState => "later-state",
            Self::SourceUri => "source-uri",
            Self::SourceRef => "source-ref",
            Self::BuilderId => "builder-id",
            Self::PredicateType => "predicate-type",
            Self::SubjectName => "subject-name",
            Self::MaxAge => "max-age",
            Self::CheckpointFreshness => "checkpoint-freshness",
            Self::MinCheckpoint => "min-checkpoint",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What came of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It holds. Says what was found.
    Passed(String),
    /// It does not hold, or could not be checked: [`Fault::could_not_check`].
    NotPassed(Fault),
    /// An earlier check did not pass.
    NotChecked,
}

/// What came of all checks together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Every check passed.
    Verified,
    /// A check was made and does not hold.
    Failed,
    /// A check could not be made.
    CouldNotCheck,
}

/// What verifying found; of what verifies, `V` is what may be believed.
#[derive(Clone, Debug)]
pub struct Report<V = Verified> {
    checks: Vec<(Check, Outcome)>,
    cosigned: Vec<Cosigned>,
    verified: Option<V>,
}

impl<V> Report<V> {
    /// Every check that the policy asks for, in order, with its outcome.
    pub fn checks(&self) -> &[(Check, Outcome)] {
        &self.checks
    }

    /// The check that did not pass, and why.
    pub fn fault(&self) -> Option<(Check, &Fault)> {
        self.checks.iter().find_map(|(check, outcome)| match outcome {
            Outcome::NotPassed(fault) => Some((*check, fault)),
            Outcome::Passed(_) | Outcome::NotChecked => None,
        })
    }

    /// What came of all checks together.
    pub fn verdict(&self) -> Verdict {
        match self.fault() {
            None => Verdict::Verified,
            Some((_, fault)) if fault.could_not_check() => Verdict::CouldNotCheck,
            Some(_) => Verdict::Failed,
        }
    }

    /// The witnesses that count, with their times, once the quorum is met; whatever became of later checks.
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }

    /// What may be believed now, if every check passed.
    pub fn verified(&self) -> Option<&V> {
        self.verified.as_ref()
    }
}

/// Why a check did not pass.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A time lies further ahead of the verifier's clock than clocks differ.
    #[error("its time is {} s ahead of this clock", ahead.as_secs())]
    AheadOfClock {
        /// The check.
        check: Check,
        /// By how much.
        ahead: Duration,
    },
    /// No subject has the digest.
    #[error("no subject of the statement has the sha256 {0}")]
    ArtifactDigest(Hash),
    /// The receipt is malformed.
    #[error(transparent)]
    Format(#[from] ReceiptError),
    /// The events in the receipt are no history of its DID.
    #[error(transparent)]
    Identity(#[from] HistoryError),
    /// The leaf is not in the tree.
    #[error(transparent)]
    Inclusion(ProofError),
    /// The leaf is not the signer's for this envelope.
    #[error(transparent)]
    Leaf(#[from] DescribeError),
    /// The leaf was claimed for another log.
    #[error("the leaf was claimed for `{leaf}`, the checkpoint is of `{checkpoint}`")]
    LeafOrigin {
        /// The origin in the leaf.
        leaf: String,
        /// The origin in the checkpoint.
        checkpoint: String,
    },
    /// No log of the policy vouches for the checkpoint.
    #[error(transparent)]
    LogSignature(PolicyError),
    /// An age was asked for, and no time given.
    #[error("`{0}` needs the present time")]
    NoClock(Check),
    /// No cosignature that counts: nothing says how old the checkpoint is.
    #[error("no cosignature that counts says when the checkpoint was seen")]
    NoCosignatureTime,
    /// An age was asked for of an entry in which no log wrote a time.
    #[error("the entry has no time that its log wrote there")]
    NoLogTime,
    /// Signed or pending.
    #[error("not logged")]
    NotLogged,
    /// The verifier has seen the log larger.
    #[error("the checkpoint has size {got}, less than {want}")]
    OldCheckpoint {
        /// The size of the checkpoint.
        got: TreeSize,
        /// The least size that is accepted.
        want: TreeSize,
    },
    /// The signer's key is compromised, as its other log says.
    #[error("{origin} says that the signer is compromised")]
    CompromisedElsewhere {
        /// That log.
        origin: String,
    },
    /// The state is of a log that knows nothing of the signer.
    #[error("the signer is not registered in {origin}, which therefore says nothing of it")]
    NotAtHome {
        /// That log.
        origin: String,
    },
    /// The state is older than the receipt.
    #[error("the state is as of size {got}, the receipt as of size {want}: it brings nothing new")]
    OlderState {
        /// The size of the state's tree.
        got: TreeSize,
        /// The size of the receipt's tree.
        want: TreeSize,
    },
    /// The statement calls the artifact otherwise than its file is called.
    #[error("the file is called {file:?}, the statement names it {}", one_or_all(names))]
    OtherName {
        /// What the file is called.
        file: String,
        /// What the statement calls it.
        names: Vec<String>,
    },
    /// The state that was given is another DID's.
    #[error("the state that was given is of {did}")]
    OtherState {
        /// Whose.
        did: Did,
    },
    /// The key was never the signer's, as its other log says.
    #[error("the key was never the signer's in {origin}")]
    NeverItsKey {
        /// That log.
        origin: String,
    },
    /// The key was the signer's once, as its other log says; whether it was then, no order tells.
    #[error("the key is not the signer's any more in {origin}; whether it was then, two logs cannot tell")]
    RetiredElsewhere {
        /// That log.
        origin: String,
    },
    /// The verifier has seen another root at this size.
    #[error("the log has forked: its root at size {size} is {got}, pinned is {pinned}")]
    PinnedRoot {
        /// The size of both trees.
        size: TreeSize,
        /// The root that was seen.
        pinned: Hash,
        /// The root in the receipt.
        got: Hash,
    },
    /// The key did not sign the statement.
    #[error("the signature is not by the receipt's key over this statement")]
    Signature,
    /// The key is not the DID's.
    #[error(transparent)]
    SignerKey(EntryError),
    /// The key was not the DID's, or might not sign, when the entry was logged.
    #[error("at index {index}: {error}")]
    SignerState {
        /// The entry.
        index: LeafIndex,
        /// Why.
        error: StateError,
    },
    /// Nobody asked for this signer.
    #[error("{0} is none of the wanted signers")]
    SignerNotWanted(Did),
    /// Older than the policy allows.
    #[error("it is {} s old, more than {} s", age.as_secs(), limit.as_secs())]
    TooOld {
        /// The check.
        check: Check,
        /// How old.
        age: Duration,
        /// How old at most.
        limit: Duration,
    },
    /// The statement says something else, or nothing.
    #[error("{want:?} is wanted, the statement says {}", if got.is_empty() { "nothing".to_owned() } else { format!("{got:?}") })]
    Unwanted {
        /// The check.
        check: Check,
        /// What the statement says.
        got: Vec<String>,
        /// What the policy wants.
        want: String,
    },
    /// The signer takes back what was logged then: the key was somebody else's too.
    #[error("index {index} lies in a time that the signer reported as compromised: from {}{}", window.since, until(*window))]
    Void {
        /// The entry.
        index: LeafIndex,
        /// What is void.
        window: Window,
    },
    /// A rule of Sigstore's bundles.
    #[error(transparent)]
    Sigstore(#[from] BundleRefusal),
    /// Too few witnesses, or a bad line of a known one.
    #[error(transparent)]
    WitnessQuorum(PolicyError),
}

impl Fault {
    /// Whether nothing was found false: the check could not be made.
    pub fn could_not_check(&self) -> bool {
        if let Self::Sigstore(refusal) = self {
            return refusal.could_not_check();
        }
        matches!(
            self,
            Self::NoClock(_)
                | Self::NoCosignatureTime
                | Self::NoLogTime
                | Self::NotLogged
                | Self::NotAtHome { .. }
                | Self::OlderState { .. }
                | Self::OtherState { .. }
                | Self::RetiredElsewhere { .. }
        )
    }
}

fn one_or_all(names: &[String]) -> String {
    match names {
        [name] => format!("{name:?}"),
        names => format!("{names:?}"),
    }
}

fn until(window: Window) -> String {
    window.until.map_or(", not yet recovered".to_owned(), |until| format!(" to the recovery at {until}"))
}

/// The checks so far, in order; the rest has not been made.
pub(crate) struct Progress {
    checks: Vec<(Check, Outcome)>,
    passed: usize,
    cosigned: Vec<Cosigned>,
}

impl Progress {
    pub(crate) fn new(always: impl Iterator<Item = Check>, demands: &[&Demand]) -> Self {
        let checks = always.chain(demands.iter().map(|demand| demand.check()));
        let checks = checks.map(|check| (check, Outcome::NotChecked)).collect();
        Self { checks, passed: 0, cosigned: Vec::new() }
    }

    pub(crate) fn pass(&mut self, check: Check, found: impl Into<String>) {
        let next = &mut self.checks[self.passed];
        assert_eq!(next.0, check, "checks are made in their order");
        next.1 = Outcome::Passed(found.into());
        self.passed += 1;
    }

    /// The quorum is met, by these.
    pub(crate) fn pass_quorum(&mut self, found: impl Into<String>, cosigned: &[Cosigned]) {
        self.pass(Check::WitnessQuorum, found);
        self.cosigned = cosigned.to_vec();
    }

    /// The report: a fault belongs to the first check that has not passed.
    pub(crate) fn end<V>(mut self, result: Result<V, Fault>) -> Report<V> {
        let verified = match result {
            Ok(verified) => {
                assert_eq!(self.passed, self.checks.len(), "what is verified has passed every check");
                Some(verified)
            }
            Err(fault) => {
                self.checks[self.passed].1 = Outcome::NotPassed(fault);
                None
            }
        };
        Report { checks: self.checks, cosigned: self.cosigned, verified }
    }
}
