//! The text of `trust.toml`, and one setting of it that somebody names elsewhere.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ::trust::{MAX_HOPS, Ppm, ScopeQuery};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use tlog::Hash;
use toml::{Table, Value};

use super::{MAX_PATHS, NAME, Scoring, Stated, Trust, positive};
use crate::bounded_file::read_found;
use crate::report::{Failure, Result};

/// A `trust.toml` as it lies there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TrustFile {
    /// Where.
    pub path: PathBuf,
    text: String,
}

impl TrustFile {
    /// The one beside the policy at `policy`, if there is one.
    pub(crate) fn beside(policy: &Path) -> Result<Option<Self>> {
        Self::at(policy.with_file_name(NAME))
    }

    /// The one at this path, if there is one.
    pub(in super::super) fn at(path: PathBuf) -> Result<Option<Self>> {
        let cannot = || cannot_use(&path);
        match read_found(&path, MAX_BYTES) {
            Ok(text) => {
                let text = String::from_utf8(text).map_err(|_| cannot().because("it is not UTF-8"))?;
                Ok(Some(Self { path, text }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => Ok(None),
            Err(error) => Err(cannot().caused_by(error)),
        }
    }

    /// Whether it is the file at this path, by whatever name.
    pub(in super::super) fn is_at(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        real(path).is_some_and(|path| real(&self.path) == Some(path))
    }

    /// The SHA-256 of its whole text.
    pub(crate) fn sha256(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }

    /// Its settings; `whose` it is stands behind its name where they are shown.
    pub(crate) fn read(&self, whose: &str) -> Result<Trust> {
        let from = format!("{} ({whose})", self.path.display());
        parse(&self.text, &from).map_err(|why| cannot_use(&self.path).because(why))
    }
}

fn cannot_use(path: &Path) -> Failure {
    Failure::new(format!("cannot use the settings `{}`", path.display()))
}

impl Trust {
    /// One setting, by its name in `trust.toml`: `max-age`, `trust.decay`; of `min-checkpoint`, one log as
    /// `ORIGIN=SIZE`. `from` says who names it.
    pub(crate) fn of_setting(name: &str, value: &str, from: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u32>()
                .map(|number| Value::Integer(number.into()))
                .map_err(|_| "it is not a whole number")
        };
        let one = |name: &str, value| Table::from_iter([(name.to_owned(), value)]);
        let mut settings = match name.split_once('.') {
            None if name == "min-checkpoint" => {
                let (origin, size) = value.rsplit_once('=').ok_or("it is not ORIGIN=SIZE")?;
                one(name, Value::Table(one(origin.trim(), number(size.trim())?)))
            }
            None => one(name, value.into()),
            Some((table, name @ ("max-hops" | "min-paths"))) => {
                one(table, Value::Table(one(name, number(value)?)))
            }
            Some((table, name)) => one(table, Value::Table(one(name, value.into()))),
        };
        settings.insert("version".into(), 1.into());
        let wire = Wire::deserialize(settings.clone()).map_err(|error| error.message().to_owned())?;
        build(wire, &settings, from)
    }
}

fn parse(text: &str, from: &str) -> Result<Trust, String> {
    let located = |error| located(text, &error);
    // Read twice: a table has forgotten on which line a wrong value stood.
    let wire = toml::from_str(text).map_err(located)?;
    build(wire, &toml::from_str(text).map_err(located)?, from)
}

fn build(wire: Wire, table: &Table, from: &str) -> Result<Trust, String> {
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
        stated: stated(table, from),
    })
}

/// Each setting as it was written.
fn stated(table: &Table, from: &str) -> Vec<Stated> {
    let one = |name: String, value: &Value| Stated { name, value: words(value), from: from.into() };
    let of_table = |(name, value): (&String, &Value)| match value {
        Value::Table(inner) => inner.iter().map(|(key, value)| one(format!("{name}.{key}"), value)).collect(),
        value => vec![one(name.clone(), value)],
    };
    table.iter().filter(|(name, _)| *name != "version").flat_map(of_table).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Table(table) => {
            let each = table.iter().map(|(name, value)| format!("{name}={}", words(value)));
            each.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

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

const MAX_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn settings_are_read_and_unknown_ones_refused() {
        let trust = parse(
            "version = 1\nmax-age = \"90d\"\nmax-checkpoint-age = \"12h\"\n[min-checkpoint]\n\"a/b\" = 5\n",
            "f",
        );
        let want = Trust {
            max_age: Some(Duration::from_secs(90 * 86_400)),
            max_checkpoint_age: Some(Duration::from_secs(12 * 3600)),
            min_checkpoint: BTreeMap::from([("a/b".to_owned(), 5)]),
            scoring: Scoring::default(),
            stated: [("max-age", "90d"), ("max-checkpoint-age", "12h"), ("min-checkpoint.a/b", "5")]
                .map(|(name, value)| Stated { name: name.into(), value: value.into(), from: "f".into() })
                .to_vec(),
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
            let got = parse(text, "f").expect_err(text);
            assert!(got.contains(why), "{text}: {got}");
        }
    }

    #[test]
    fn a_setting_that_is_named_elsewhere_is_judged_as_in_the_file_and_takes_the_place_of_that_one() {
        let file = "version = 1\nmax-age = \"90d\"\n[min-checkpoint]\n\"a/b\" = 5\n[trust]\nmin-paths = 2\ndecay = \"0.5\"\n";
        let mut trust = parse(file, "file").expect("settings");
        for (name, value) in [("max-age", "1d"), ("min-checkpoint", "c = 7"), ("trust.min-paths", "3")] {
            trust = trust.overridden_by(Trust::of_setting(name, value, "input").expect(name));
        }
        let stated =
            trust.stated().iter().map(|Stated { name, value, from }| format!("{name} {value} {from}"));
        let mut stated: Vec<String> = stated.collect();
        stated.sort();
        let want = [
            "max-age 1d input",
            "min-checkpoint.a/b 5 file",
            "min-checkpoint.c 7 input",
            "trust.decay 0.5 file",
            "trust.min-paths 3 input",
        ];
        assert_eq!(stated, want);
        assert_eq!((trust.scoring.min_paths, trust.scoring.decay), (Some(3), Some(500)));
        for (name, value, why) in [
            ("max-age", "soon", "not a duration"),
            ("min-checkpoint", "5", "it is not ORIGIN=SIZE"),
            ("min-checkpoint", "a=-1", "it is not a whole number"),
            ("trust.decay", "0", "`trust.decay`: a number above 0"),
            ("trust.max-hops", "x", "it is not a whole number"),
            ("trust.max-hops", "9", "not from 1 to 7"),
            ("trust.newcomer", "2", "`trust.newcomer`"),
        ] {
            let got = Trust::of_setting(name, value, "input").expect_err(name);
            assert!(got.contains(why), "{name} {value}: {got}");
        }
    }
}
