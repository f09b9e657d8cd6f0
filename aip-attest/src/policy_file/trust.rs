//! `trust.toml`: what a verifier asks for beyond logs and witnesses, in a file beside the policy.
//!
//! ```toml
//! version = 1
//! max-age = "90d"                       # of an entry, by the log's clock
//! max-checkpoint-age = "7d"             # of a checkpoint, by its newest cosignature
//!
//! [min-checkpoint]                      # the least tree size, for each log
//! "log.example.com/pipelines" = 1000
//! ```
//! A setting that is not known here is refused: to pass over it would be to trust more than was asked.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use attestation::receipt::Demand;
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
}

impl Trust {
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
    })
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
        };
        assert_eq!(trust, Ok(want));
        for (text, why) in [
            ("", "missing field `version`"),
            ("version = 2", "`version` is 2"),
            ("version = 1\nthreshold = 0.5", "unknown field `threshold`"),
            ("version = 1\nmax-age = \"soon\"", "not a duration"),
            ("version = 1\nmin-checkpoint = 5", "invalid type"),
            ("version = 1\n[min-checkpoint]\na = -1", "invalid value"),
        ] {
            let got = parse(text).expect_err(text);
            assert!(got.contains(why), "{text}: {got}");
        }
    }
}
