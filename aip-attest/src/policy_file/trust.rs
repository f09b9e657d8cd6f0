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

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use attestation::Did;
use attestation::did::DidError;
use attestation::receipt::Demand;
use attestation::trust::{Params, Ppm, PpmError, ScopeQuery};
use serde::Deserialize;
use tlog::TreeSize;
use tlog::policy::Policy;

use crate::receipt_file::read_found;
use crate::report::{Failure, Result};

/// The settings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trust {
    max_age: Option<Duration>,
    max_checkpoint_age: Option<Duration>,
    min_checkpoint: BTreeMap<String, u64>,
    /// How scores come about.
    pub scoring: Scoring,
}

/// `[trust]`: what is not there is left to the defaults.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scoring {
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
pub struct Root {
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
            Some((did, weight)) => (did, per_mille(weight)?),
        };
        Ok(Self { did: did.parse().map_err(|error: DidError| error.to_string())?, weight })
    }
}

/// A share with at most three decimals, in per mille.
pub fn per_mille(text: &str) -> Result<u16, String> {
    let share: Ppm = text.parse().map_err(|error: PpmError| error.to_string())?;
    match u16::try_from(share.get() / 1_000) {
        Ok(weight) if share.get().is_multiple_of(1_000) => Ok(weight),
        _ => Err(format!("`{text}` has more than three decimals")),
    }
}

impl Trust {
    /// Refuses a tree that is smaller than the least one of its log: whoever shows it hides what came later.
    pub fn refuse_small(&self, origin: &str, size: TreeSize) -> Result<()> {
        match self.min_checkpoint.get(origin) {
            Some(least) if size.get() < *least => {
                Err(Failure::new(format!("the checkpoint of `{origin}` is older than trust.toml allows"))
                    .because(format!("it is of size {size}, `min-checkpoint` is {least}")))
            }
            _ => Ok(()),
        }
    }

    /// The greatest age of a checkpoint, if there is one.
    pub fn max_checkpoint_age(&self) -> Option<Duration> {
        self.max_checkpoint_age
    }

    /// What the settings demand of a receipt that `policy` judges.
    pub fn demands(&self, policy: &Policy) -> Vec<Demand> {
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

/// The settings beside the policy at `path`; none if there is no such file.
pub fn beside(policy: &Path) -> Result<Trust> {
    let path = policy.with_file_name("trust.toml");
    let cannot = || Failure::new(format!("cannot use the settings `{}`", path.display()));
    let text = match read_found(&path, MAX_BYTES) {
        Ok(text) => String::from_utf8(text).map_err(|_| cannot().because("it is not UTF-8"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Trust::default()),
        Err(error) => return Err(cannot().caused_by(error)),
    };
    parse(&text).map_err(|why| cannot().because(why))
}

fn parse(text: &str) -> Result<Trust, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Wire {
        version: u32,
        max_age: Option<String>,
        max_checkpoint_age: Option<String>,
        #[serde(default)]
        min_checkpoint: BTreeMap<String, u64>,
        #[serde(default)]
        trust: WireScoring,
    }
    let wire: Wire = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if wire.version != 1 {
        return Err(format!("`version` is {}, this program knows 1", wire.version));
    }
    let duration = |name: &str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => humantime::parse_duration(&text)
            .map(Some)
            .map_err(|_| format!("`{name}` is `{text}`, not a duration such as `7d` or `12h`")),
    };
    Ok(Trust {
        max_age: duration("max-age", wire.max_age)?,
        max_checkpoint_age: duration("max-checkpoint-age", wire.max_checkpoint_age)?,
        min_checkpoint: wire.min_checkpoint,
        scoring: wire.trust.read()?,
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct WireScoring {
    roots: BTreeMap<String, String>,
    threshold: Option<String>,
    scope: Option<String>,
    newcomer: Option<String>,
    decay: Option<String>,
    max_hops: Option<u8>,
    min_paths: Option<u8>,
}

impl WireScoring {
    fn read(self) -> Result<Scoring, String> {
        fn named<T, E: Display>(
            name: &str,
            text: Option<String>,
            parse: impl Fn(&str) -> Result<T, E>,
        ) -> Result<Option<T>, String> {
            text.map(|text| parse(&text).map_err(|why| format!("`trust.{name}`: {why}"))).transpose()
        }
        let root = |(did, weight): (&String, &String)| {
            format!("{did}={weight}").parse().map_err(|why| format!("`trust.roots`: {why}"))
        };
        Ok(Scoring {
            roots: self.roots.iter().map(root).collect::<Result<_, String>>()?,
            threshold: named("threshold", self.threshold, str::parse::<Ppm>)?,
            scope: named("scope", self.scope, str::parse::<ScopeQuery>)?,
            newcomer: named("newcomer", self.newcomer, str::parse::<Ppm>)?,
            decay: named("decay", self.decay, per_mille)?,
            max_hops: self.max_hops,
            min_paths: self.min_paths,
        })
    }
}

const MAX_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_unknown_ones_refused() {
        let trust = parse(
            "version = 1\nmax-age = \"90d\"\nmax-checkpoint-age = \"12h\"\n[min-checkpoint]\n\"a/b\" = 5\n",
        );
        let want = Trust {
            max_age: Some(Duration::from_secs(90 * 86_400)),
            max_checkpoint_age: Some(Duration::from_secs(12 * 3600)),
            min_checkpoint: BTreeMap::from([("a/b".to_owned(), 5)]),
            scoring: Scoring::default(),
        };
        assert_eq!(trust, Ok(want));
        for (text, why) in [
            ("", "missing field `version`"),
            ("version = 2", "`version` is 2"),
            ("version = 1\nthreshold = 0.5", "unknown field `threshold`"),
            ("version = 1\nmax-age = \"soon\"", "not a duration"),
            ("version = 1\n[trust]\nthreshold = 0.5", "invalid type"),
            ("version = 1\n[trust]\nthreshold = \"NaN\"", "`trust.threshold`"),
            ("version = 1\n[trust]\ndecay = \"0.1234\"", "more than three decimals"),
            ("version = 1\n[trust]\nscope = \"ALL\"", "`trust.scope`"),
            ("version = 1\n[trust.roots]\nme = \"1\"", "`trust.roots`"),
            ("version = 1\nmin-checkpoint = 5", "invalid type"),
            ("version = 1\n[min-checkpoint]\na = -1", "invalid value"),
        ] {
            let got = parse(text).expect_err(text);
            assert!(got.contains(why), "{text}: {got}");
        }
    }
}
