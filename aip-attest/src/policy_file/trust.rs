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
use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use attestation::Did;
use attestation::did::DidError;
use attestation::receipt::Demand;
use attestation::trust::{MAX_HOPS, Params, Ppm, ScopeQuery};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
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
    pub fn refuse_small(&self, origin: &str, size: TreeSize) -> Result<()> {
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
    let wire: Wire = toml::from_str(text).map_err(|error| located(text, &error))?;
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

/// Why the settings cannot be read, with the line that it is about.
fn located(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some((at, line)) = before.and_then(|before| {
        let at = before.matches('\n').count();
        Some((at + 1, text.lines().nth(at)?.trim()))
    }) else {
        return message.to_owned();
    };
    let line: String = line.chars().take(MAX_LINE_CHARS).collect();
    format!("line {at}, `{line}`: {message}")
}

/// As much of a line as a message shows.
const MAX_LINE_CHARS: usize = 80;

/// A text, such as a number that must not become a float.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in quotation marks, such as \"0.5\"")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        from.deserialize_str(Quoted)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct WireScoring {
    roots: BTreeMap<String, Text>,
    threshold: Option<Text>,
    scope: Option<Text>,
    newcomer: Option<Text>,
    decay: Option<Text>,
    max_hops: Option<u64>,
    min_paths: Option<u64>,
}

impl WireScoring {
    fn read(self) -> Result<Scoring, String> {
        fn named<T, E: Display>(
            name: &str,
            text: Option<Text>,
            parse: impl Fn(&str) -> Result<T, E>,
        ) -> Result<Option<T>, String> {
            text.map(|Text(text)| parse(&text).map_err(|why| format!("`trust.{name}`: {why}"))).transpose()
        }
        let root = |(did, Text(weight)): (&String, &Text)| {
            format!("{did}={weight}").parse().map_err(|why| format!("`trust.roots`: {why}"))
        };
        let count = |name: &str, count: Option<u64>, most: u8| {
            let is_one = |count: &u64| (1..=u64::from(most)).contains(count);
            match count {
                None => Ok(None),
                Some(count) => u8::try_from(count)
                    .ok()
                    .filter(|_| is_one(&count))
                    .map(Some)
                    .ok_or_else(|| format!("`trust.{name}` is {count}, not from 1 to {most}")),
            }
        };
        Ok(Scoring {
            roots: self.roots.iter().map(root).collect::<Result<_, String>>()?,
            threshold: named("threshold", self.threshold, str::parse::<Ppm>)?,
            scope: named("scope", self.scope, str::parse::<ScopeQuery>)?,
            newcomer: named("newcomer", self.newcomer, str::parse::<Ppm>)?,
            decay: named("decay", self.decay, positive)?,
            max_hops: count("max-hops", self.max_hops, MAX_HOPS)?,
            min_paths: count("min-paths", self.min_paths, MAX_PATHS)?,
        })
    }
}

/// [`trust::MAX_PATHS`](attestation::trust::MAX_PATHS).
pub const MAX_PATHS: u8 = 8;

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
            (
                "version = 1\n[trust]\nthreshold = 0.5",
                "line 3, `threshold = 0.5`: invalid type: floating point `0.5`, expected a value in quotation marks",
            ),
            ("version = 1\n[trust.roots]\nme = 1", "line 3, `me = 1`: invalid type"),
            ("version = 1\n[trust]\ndecay = \"0\"", "`trust.decay`: a number above 0"),
            ("version = 1\n[trust]\nmax-hops = 9", "`trust.max-hops` is 9, not from 1 to 7"),
            ("version = 1\n[trust]\nmin-paths = 0", "`trust.min-paths` is 0, not from 1 to 8"),
            ("version = 1\n[trust]\nmin-paths = 300", "`trust.min-paths` is 300, not from 1 to 8"),
            ("version = 1\n[trust]\nthreshold = \"NaN\"", "`trust.threshold`"),
            ("version = 1\n[trust]\ndecay = \"0.1234\"", "at most three decimals"),
            ("version = 1\n[trust]\nscope = \"ALL\"", "`trust.scope`"),
            ("version = 1\n[trust.roots]\nme = \"1\"", "`trust.roots`"),
            ("version = 1\nmin-checkpoint = 5", "invalid type"),
            ("version = 1\n[min-checkpoint]\na = -1", "invalid value"),
        ] {
            let got = parse(text).expect_err(text);
            assert!(got.contains(why), "{text}: {got}");
        }
    }

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
        assert_eq!(usize::from(MAX_PATHS), attestation::trust::MAX_PATHS);
    }
}
