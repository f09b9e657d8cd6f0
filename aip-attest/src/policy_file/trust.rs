//! `trust.toml`: what a verifier asks for beyond logs and witnesses, in a file beside the policy.
//!
//! ```toml
//! version = 1
//! max-age = "90d"                       # of an entry, by the log's clock
//! max-checkpoint-age = "7d"             # of a checkpoint, by the cosignatures that make its quorum
//!
//! [min-checkpoint]                      # the least tree size, for each log
//! "log.example.com/pipelines" = 1000
//!
//! [trust]                               # of `trust` and `gate`; each may be left out
//! threshold = "0.5"                     # the score that passes
//! scope = "CODE_SIGNING"                # for what; ANY for whatever somebody vouched for
//! newcomer = "0.5"                      # what a pipeline without any history keeps of its score
//! decay = "0.8"                         # what is left of trust at each hop
//! max-hops = 5                          # the longest path
//! min-paths = 1                         # how many that share nothing but the target
//!
//! [trust.roots]                         # whom you trust yourself, and how much
//! "did:aip:56475aa75463474c0285df5dbf2bcab7" = "1"
//! ```
//! A setting that is not known here is refused: to pass over it would be to trust more than was asked.

mod file;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use ::trust::{Params, Ppm, ScopeQuery};
use attestation::Did;
use attestation::did::DidError;
use attestation::receipt::Demand;
use tlog::TreeSize;
use tlog::policy::Policy;

use crate::report::{Failure, Result};
pub(crate) use file::TrustFile;

/// The settings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Trust {
    max_age: Option<Duration>,
    max_checkpoint_age: Option<Duration>,
    min_checkpoint: BTreeMap<String, u64>,
    /// How scores come about.
    pub scoring: Scoring,
    stated: Vec<Stated>,
}

/// A setting as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stated {
    /// Its name, such as `max-age` or `trust.decay`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whose word it is: a file and how it was found, or what else names it.
    pub from: String,
}

/// `[trust]`: what is not there is left to the defaults.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Scoring {
    /// Whom the user trusts.
    pub roots: Vec<Root>,
    /// The score that passes.
    pub threshold: Option<Ppm>,
    /// For what.
    pub scope: Option<ScopeQuery>,
    /// What a pipeline without any history keeps of its score.
    pub newcomer: Option<Ppm>,
    /// What is left of trust at each hop, in per mille.
    pub decay: Option<u16>,
    /// The longest path.
    pub max_hops: Option<u8>,
    /// How many paths that share nothing but the target.
    pub min_paths: Option<u8>,
}

/// A root with its weight, as a user writes it: `did:aip:…` or `did:aip:…=0.6`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Root {
    /// The DID.
    pub did: Did,
    /// Its weight in per mille.
    pub weight: u16,
}

impl FromStr for Root {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (did, weight) = match text.split_once('=') {
            None => (text, Params::FULL_ROOT),
            Some((did, weight)) => (did, positive(weight)?),
        };
        Ok(Self { did: did.parse().map_err(|error: DidError| error.to_string())?, weight })
    }
}

/// A share that is more than nothing, with at most three decimals, in per mille.
fn positive(text: &str) -> Result<u16, String> {
    let share = text.parse::<Ppm>().ok().filter(|share| share.get().is_multiple_of(1_000));
    let share = share.and_then(|share| u16::try_from(share.get() / 1_000).ok());
    share.filter(|share| *share > 0).ok_or_else(|| {
        format!("a number above 0, at most 1, with at most three decimals, such as 0.5: `{text}`")
    })
}

impl Trust {
    /// Refuses a tree that is smaller than the least one of its log: whoever shows it hides what came later.
    pub(crate) fn refuse_small(&self, origin: &str, size: TreeSize) -> Result<()> {
        match self.min_checkpoint.get(origin) {
            Some(least) if size.get() < *least => Err(Failure::new(format!(
                "the checkpoint of `{origin}` is older than trust.toml allows"
            ))
            .because(format!("it is of size {size}, `min-checkpoint` is {least}"))
            .hint("evidence in a file: get it again from the log")
            .hint(
                "the log itself just now: it went back, or `min-checkpoint` in trust.toml was never its size",
            )),
            _ => Ok(()),
        }
    }

    /// The settings, each with whose word it is.
    pub(crate) fn stated(&self) -> &[Stated] {
        &self.stated
    }

    /// These settings, and those of `over` in their place.
    #[must_use]
    pub(crate) fn overridden_by(mut self, over: Self) -> Self {
        let (mine, theirs) = (self.scoring, over.scoring);
        let is_mine = |stated: &Stated| !over.stated.iter().any(|other| other.name == stated.name);
        self.stated.retain(is_mine);
        self.stated.extend(over.stated);
        self.min_checkpoint.extend(over.min_checkpoint);
        Self {
            max_age: over.max_age.or(self.max_age),
            max_checkpoint_age: over.max_checkpoint_age.or(self.max_checkpoint_age),
            min_checkpoint: self.min_checkpoint,
            scoring: Scoring {
                roots: if theirs.roots.is_empty() { mine.roots } else { theirs.roots },
                threshold: theirs.threshold.or(mine.threshold),
                scope: theirs.scope.or(mine.scope),
                newcomer: theirs.newcomer.or(mine.newcomer),
                decay: theirs.decay.or(mine.decay),
                max_hops: theirs.max_hops.or(mine.max_hops),
                min_paths: theirs.min_paths.or(mine.min_paths),
            },
            stated: self.stated,
        }
    }

    /// The greatest age of a checkpoint, if there is one.
    pub(crate) fn max_checkpoint_age(&self) -> Option<Duration> {
        self.max_checkpoint_age
    }

    /// What the settings demand of a receipt that `policy` judges.
    pub(crate) fn demands(&self, policy: &Policy) -> Vec<Demand> {
        let mut demands = Vec::new();
        demands.extend(self.max_age.map(Demand::MaxAge));
        demands.extend(self.max_checkpoint_age.map(Demand::CheckpointFreshness));
        for log in policy.logs() {
            if let Some(size) = self.min_checkpoint.get(log.vkey.name().as_str()) {
                demands.push(Demand::MinCheckpoint { log: log.vkey.clone(), size: TreeSize::new(*size) });
            }
        }
        demands
    }
}

/// What the file is called.
pub(super) const NAME: &str = "trust.toml";

/// Whose the user's own file is, where its settings are shown.
pub(super) const OWN: &str = "your own";

/// [`trust::MAX_PATHS`](trust::MAX_PATHS).
pub(crate) const MAX_PATHS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_more_than_nothing_and_has_three_decimals() {
        let did = "did:aip:56475aa75463474c0285df5dbf2bcab7";
        for (weight, want) in
            [("", Some(1_000)), ("=1", Some(1_000)), ("=0.001", Some(1)), ("=0.25", Some(250))]
        {
            let root: Root = format!("{did}{weight}").parse().expect(weight);
            assert_eq!((root.did.to_string().as_str(), Some(root.weight)), (did, want), "{weight}");
        }
        for weight in ["=0", "=0.0004", "=0.0000001", "=1.5", "=", "=-1"] {
            let why = format!("{did}{weight}").parse::<Root>().expect_err(weight);
            assert!(why.contains("above 0, at most 1, with at most three decimals"), "{weight}: {why}");
        }
    }

    #[test]
    fn paths_can_be_asked_for_as_many_as_are_judged() {
        assert_eq!(usize::from(MAX_PATHS), trust::MAX_PATHS);
    }
}
