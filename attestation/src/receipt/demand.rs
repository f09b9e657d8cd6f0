//! What only some verifiers ask for, beyond a signed and logged statement: of receipts and of Sigstore's bundles alike.

use std::time::Duration;

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use super::later::{Judged, SignerState};
use super::naming::is_named;
use super::{Check, Fault};
use crate::did::Did;
use crate::entry::LogTime;
use crate::event::RawKey;
use crate::provenance::{self, BuildFacts};
use crate::statement::Statement;

/// Something that only some verifiers ask for, each a check of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a verifier has a handful of them")]
pub enum Demand {
    /// The repository that provenance must name, such as `https://github.com/octo/app`.
    SourceUri(String),
    /// The ref that provenance must name, such as `refs/heads/main`.
    SourceRef(String),
    /// The builder that provenance must name.
    BuilderId(String),
    /// The predicate type that the statement must have.
    PredicateType(String),
    /// The name that the statement must give the artifact.
    SubjectName(String),
    /// What the artifact's file is called: the statement must name it so, by the rule of [`is_named`].
    FileName(String),
    /// A state of the signer that may be later than the receipt, and its greatest age by the time that the
    /// quorum attests.
    State {
        /// The state.
        state: Box<SignerState>,
        /// Its greatest age, if there is one.
        max_age: Option<Duration>,
    },
    /// The greatest age of the entry, by the log's clock.
    MaxAge(Duration),
    /// The greatest age of the checkpoint: of the newest cosignatures that make the quorum, the oldest.
    CheckpointFreshness(Duration),
    /// The least size of a checkpoint of this log, such as one that the verifier has seen. It says nothing
    /// about other logs.
    MinCheckpoint {
        /// The log.
        log: VerifierKey,
        /// The least size.
        size: TreeSize,
    },
}

impl Demand {
    /// The check that answers the demand.
    pub const fn check(&self) -> Check {
        match self {
            Self::State { .. } => Check::LaterState,
            Self::SourceUri(_) => Check::SourceUri,
            Self::SourceRef(_) => Check::SourceRef,
            Self::BuilderId(_) => Check::BuilderId,
            Self::PredicateType(_) => Check::PredicateType,
            Self::SubjectName(_) | Self::FileName(_) => Check::SubjectName,
            Self::MaxAge(_) => Check::MaxAge,
            Self::CheckpointFreshness(_) => Check::CheckpointFreshness,
            Self::MinCheckpoint { .. } => Check::MinCheckpoint,
        }
    }
}

/// The demands in the order of their checks.
pub(crate) fn in_order(demands: &[Demand]) -> Vec<&Demand> {
    let mut demands: Vec<&Demand> = demands.iter().collect();
    demands.sort_by_key(|demand| demand.check());
    demands
}

/// What the checks before have shown, for the demands to judge by.
pub(crate) struct Facts<'a> {
    /// What was signed, if it is a statement.
    pub(crate) statement: Option<&'a Statement>,
    /// The SHA-256 of the artifact that was asked about.
    pub(crate) artifact: &'a Hash,
    /// The tree that holds the entry.
    pub(crate) checkpoint: &'a Checkpoint,
    /// The place of the entry.
    pub(crate) index: LeafIndex,
    /// When it was logged, by the log's clock, if the entry says so.
    pub(crate) logged_at: Option<LogTime>,
    /// How fresh the cosignatures are that make the quorum.
    pub(crate) quorum_time: Option<UnixTime>,
    /// The log, if it is one that a policy can name.
    pub(crate) log: Option<&'a VerifierKey>,
    /// Whose key signed, if a DID is known for it.
    pub(crate) signer: Option<(Did, &'a RawKey)>,
}

impl Facts<'_> {
    /// Whether a demand is met, and by what.
    pub(crate) fn meet(&self, demand: &Demand, now: Option<UnixTime>) -> Result<String, Fault> {
        let facts = self.statement.map(BuildFacts::read).unwrap_or_default();
        let check = demand.check();
        match demand {
            Demand::State { state: later, max_age } => {
                let state = self.judged_by(later)?;
                let Some(limit) = max_age else { return Ok(state) };
                let attested = later.attested.ok_or(Fault::NoCosignatureTime)?;
                let age = age(check, attested.as_secs().saturating_mul(1000), *limit, now)?;
                Ok(format!("{state}; {age}"))
            }
            Demand::SourceUri(want) => {
                wanted(check, &provenance::normal_source(want), facts.source_uri.as_deref())
            }
            Demand::SourceRef(want) => wanted(check, want, facts.source_ref.as_deref()),
            Demand::BuilderId(want) => wanted(check, want, facts.builder_id.as_deref()),
            Demand::PredicateType(want) => wanted(check, want, self.statement.map(Statement::predicate_type)),
            Demand::SubjectName(want) => wanted(check, want, self.names()),
            Demand::FileName(file) => match self.names().find(|name| is_named(name, file)) {
                Some(name) => Ok(name.to_owned()),
                None => {
                    let names = self.names().map(str::to_owned).collect();
                    Err(Fault::OtherName { file: file.clone(), names })
                }
            },
            Demand::MaxAge(limit) => {
                let logged_at = self.logged_at.ok_or(Fault::NoLogTime)?;
                age(check, logged_at.as_millis(), *limit, now)
            }
            Demand::CheckpointFreshness(limit) => {
                let time = self.quorum_time.ok_or(Fault::NoCosignatureTime)?;
                age(check, time.as_secs().saturating_mul(1000), *limit, now)
            }
            Demand::MinCheckpoint { log: other, .. } if Some(other) != self.log => {
                Ok(format!("none for {}", self.checkpoint.origin))
            }
            Demand::MinCheckpoint { size: want, .. } => match self.checkpoint.size {
                got if got < *want => Err(Fault::OldCheckpoint { got, want: *want }),
                got => Ok(format!("size {got}, at least {want}")),
            },
        }
    }

    fn judged_by(&self, later: &SignerState) -> Result<String, Fault> {
        let other = Fault::OtherState { did: later.did };
        let (Some((did, key)), Some(log)) = (self.signer, self.log) else { return Err(other) };
        Judged { did, key, log, index: self.index, size: self.checkpoint.size }.by(later)
    }

    /// What the statement calls the artifact: of several subjects the ones with its digest.
    fn names(&self) -> impl Iterator<Item = &str> {
        let subjects = self.statement.map(Statement::subjects).unwrap_or_default().iter();
        subjects.filter(|subject| subject.sha256 == *self.artifact).map(|subject| subject.name.as_str())
    }
}

/// Passes if what is wanted is among what the statement says.
fn wanted<'s>(check: Check, want: &str, got: impl IntoIterator<Item = &'s str>) -> Result<String, Fault> {
    let got: Vec<String> = got.into_iter().map(str::to_owned).collect();
    if got.iter().any(|got| got == want) {
        return Ok(want.to_owned());
    }
    Err(Fault::Unwanted { check, got, want: want.to_owned() })
}

/// Passes if `time`, in milliseconds since the epoch, is at most `limit` before `now`.
fn age(check: Check, time: u64, limit: Duration, now: Option<UnixTime>) -> Result<String, Fault> {
    let now = now.ok_or(Fault::NoClock(check))?.as_secs().saturating_mul(1000);
    // A time ahead of the clock would stay young for ever.
    let ahead = Duration::from_millis(time.saturating_sub(now));
    if ahead > MAX_CLOCK_DIFFERENCE {
        return Err(Fault::AheadOfClock { check, ahead });
    }
    match Duration::from_millis(now.saturating_sub(time)) {
        age if age > limit => Err(Fault::TooOld { check, age, limit }),
        age => Ok(format!("{} s old, at most {} s", age.as_secs(), limit.as_secs())),
    }
}

/// How far two honest clocks differ at most.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);
