//! The action's inputs, from the environment: `sign-paths` is `AIP_INPUT_SIGN_PATHS`.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use attestation::Did;
use tlog::Hash;
use trust::{Ppm, ScopeQuery};

use super::super::verify::Demands;
use super::lines::refuse_json;
use crate::artifact::parse_digest;
use crate::client::normal_url;
use crate::environment;
use crate::policy_file::trust::{Root, Trust};
use crate::predicate;
use crate::report::{Failure, Result};
use crate::scoring::age::MaxAge;

/// The inputs, read strictly: a word that means nothing is an error, not a default.
pub(super) struct Inputs {
    /// Whom the steps behind this one depend on.
    pub(super) gate: Option<GateInputs>,
    /// What is signed; empty: nothing.
    pub(super) sign_paths: Paths,
    /// Files that `sha256sum` wrote.
    pub(super) checksums: Vec<PathBuf>,
    /// `NAME@sha256:HEX`, one a line.
    pub(super) subjects: Vec<String>,
    /// One statement about all.
    pub(super) together: bool,
    /// Whether the provenance says that building again gives the same bytes.
    pub(super) reproducible: bool,
    pub(super) log_url: Option<String>,
    pub(super) policy: Option<PathBuf>,
    pub(super) policy_sha256: Option<Hash>,
    pub(super) trust_sha256: Option<Hash>,
    /// The settings of trust.toml that are inputs.
    pub(super) settings: Trust,
    pub(super) receipts_dir: PathBuf,
    pub(super) predicate_type: Option<String>,
    pub(super) predicate: Option<PathBuf>,
    pub(super) private: bool,
    pub(super) on_log_failure: OnLogFailure,
    pub(super) if_no_key: IfNoKey,
    pub(super) require_log: bool,
    pub(super) allow_untrusted_event: bool,
}

/// Files, folders and patterns, one a line; and what of them is left out, behind a `!`.
pub(super) struct Paths {
    pub(super) take: Vec<String>,
    pub(super) exclude: Vec<String>,
}

impl Paths {
    fn read(name: &str) -> Result<Self> {
        let (exclude, take): (Vec<String>, Vec<String>) =
            lines(name)?.into_iter().partition(|line| line.starts_with('!'));
        refuse_json(name, &take)?;
        if take.is_empty() && !exclude.is_empty() {
            return Err(Failure::new(format!("the input `{name}` says only what to leave out"))
                .hint("name what to take as well, one a line, such as `dist/**`"));
        }
        let exclude = exclude.iter().map(|line| line[1..].trim().to_owned()).collect();
        Ok(Self { take, exclude })
    }
}

/// What a log that does not answer does to the step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OnLogFailure {
    /// The step fails.
    Fail,
    /// The receipts stay pending, and the step passes with a warning.
    Defer,
}

/// What a missing key does to the step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum IfNoKey {
    /// The step fails.
    Fail,
    /// Nothing is signed, and the step passes with a warning.
    Skip,
}

impl Inputs {
    pub(super) fn read() -> Result<Self> {
        let gate = GateInputs::read()?;
        let sign_paths = Paths::read("sign-paths")?;
        let (checksums, subjects) = (lines("checksums")?, lines("subjects")?);
        let signs_nothing = sign_paths.take.is_empty() && checksums.is_empty() && subjects.is_empty();
        if signs_nothing && gate.is_none() {
            return Err(Failure::new(
                "the inputs `sign-paths`, `subjects`, `checksums` and `verify-did` are empty: there is nothing to do",
            )
            .hint("`sign-paths`: one file, folder or glob a line, such as `dist/*`")
            .hint("`verify-did` and `trust-threshold`: let the job go on only if that pipeline is trusted"));
        }
        let predicate_type =
            input("predicate-type")?.map(|text| kind("predicate-type", &text)).transpose()?;
        let predicate = input("predicate")?.map(PathBuf::from);
        if predicate_type.is_some() != predicate.is_some() {
            return Err(Failure::new(
                "the inputs `predicate-type` and `predicate` go together: one is empty",
            ));
        }
        let (together, reproducible) = (flag("together")?, flag("reproducible")?);
        if reproducible && predicate_type.is_some() {
            return Err(Failure::new(
                "the inputs `reproducible` and `predicate-type` are set: only provenance says it",
            ));
        }
        let words = [("fail", OnLogFailure::Fail), ("defer", OnLogFailure::Defer)];
        let on_log_failure = word("on-log-failure", &words)?;
        let if_no_key = word("if-no-key", &[("fail", IfNoKey::Fail), ("skip", IfNoKey::Skip)])?;
        Ok(Self {
            gate,
            sign_paths,
            checksums: checksums.into_iter().map(PathBuf::from).collect(),
            subjects,
            together,
            reproducible,
            log_url: input("log-url")?.map(|url| normal_url(&url)).transpose()?,
            policy: input("policy")?.map(PathBuf::from),
            policy_sha256: fingerprint("policy-sha256")?,
            trust_sha256: fingerprint("trust-sha256")?,
            settings: settings()?,
            receipts_dir: input("receipts-dir")?.unwrap_or_else(|| "aip-receipts".to_owned()).into(),
            predicate_type,
            predicate,
            private: flag("private")?,
            on_log_failure,
            if_no_key,
            require_log: flag("require-log")?,
            allow_untrusted_event: flag("allow-untrusted-event")?,
        })
    }
}

impl Inputs {
    /// Whether anything is to be signed.
    pub(super) fn signs(&self) -> bool {
        !(self.sign_paths.take.is_empty() && self.checksums.is_empty() && self.subjects.is_empty())
    }
}

/// What the gate is to ask.
pub(super) struct GateInputs {
    pub(super) did: Did,
    pub(super) threshold: Ppm,
    pub(super) roots: Vec<Root>,
    pub(super) scope: Option<ScopeQuery>,
    /// How old the log's checkpoint may be.
    pub(super) max_age: MaxAge,
    /// Whether the whole log is read.
    pub(super) sync: bool,
    /// Artifacts that must verify.
    pub(super) paths: Paths,
    /// The folder of their receipts.
    pub(super) receipts: Option<PathBuf>,
    /// What must be said about each of them.
    pub(super) demands: Demands,
    /// Whether they may have other names than those they were signed under.
    pub(super) any_name: bool,
}

impl GateInputs {
    fn read() -> Result<Option<Self>> {
        let Some(did) = input("verify-did")? else {
            // A workflow that asks for half a gate must not pass without one.
            let mut asked =
                vec![("trust-sync", flag("trust-sync")?), ("verify-any-name", flag("verify-any-name")?)];
            for name in GATE_INPUTS {
                asked.push((name, input(name)?.is_some()));
            }
            return match asked.iter().find(|(_, is_set)| *is_set) {
                None => Ok(None),
                Some((name, _)) => {
                    Err(Failure::new(format!("the input `{name}` is set, and `verify-did` is empty"))
                        .hint("name the DID whose trust is asked for"))
                }
            };
        };
        let Some(threshold) = input("trust-threshold")? else {
            return Err(Failure::new("the input `verify-did` is set, and `trust-threshold` is empty")
                .hint("name the least score that passes, such as `0.5`: without one anybody would"));
        };
        let (paths, receipts) =
            (Paths::read("verify-paths")?, input("verify-receipts-dir")?.map(PathBuf::from));
        let any_name = flag("verify-any-name")?;
        if paths.take.is_empty() {
            let mut asked = vec![("verify-any-name", any_name)];
            for name in ARTIFACT_INPUTS {
                asked.push((name, input(name)?.is_some()));
            }
            if let Some((name, _)) = asked.iter().find(|(_, is_set)| *is_set) {
                return Err(Failure::new(format!("the input `{name}` is set, and `verify-paths` is empty"))
                    .hint("name the artifacts that must verify: without any, none is checked"));
            }
        }
        let demands = Demands {
            source_uri: input("verify-source-uri")?,
            source_ref: input("verify-source-ref")?,
            builder_id: input("verify-builder-id")?,
            predicate_type: input("verify-predicate-type")?
                .map(|text| kind("verify-predicate-type", &text))
                .transpose()?,
            subject_name: input("verify-subject-name")?,
        };
        if any_name && demands.subject_name.is_some() {
            return Err(Failure::new("the inputs `verify-any-name` and `verify-subject-name` are both set")
                .hint(
                    "`verify-subject-name` alone lets the file have any name, and asks for the signed one",
                ));
        }
        Ok(Some(Self {
            did: parsed("verify-did", &did)?,
            threshold: parsed("trust-threshold", &threshold)?,
            roots: roots()?,
            scope: input("trust-scope")?.map(|scope| parsed("trust-scope", &scope)).transpose()?,
            max_age: input("trust-max-age")?.map_or(Ok(MaxAge::Usual), |age| age_of(&age))?,
            sync: flag("trust-sync")?,
            paths,
            receipts,
            demands,
            any_name,
        }))
    }
}

/// What else is set only for a gate, beside the flags `trust-sync` and `verify-any-name`.
const GATE_INPUTS: [&str; 19] = [
    "trust-threshold",
    "trust-roots",
    "trust-scope",
    "trust-max-age",
    "trust-newcomer",
    "trust-decay",
    "trust-max-hops",
    "trust-min-paths",
    "trust-min-checkpoint",
    "verify-paths",
    "verify-receipts-dir",
    "verify-subject-name",
    "verify-source-uri",
    "verify-source-ref",
    "verify-builder-id",
    "verify-predicate-type",
    "verify-artifact-max-age",
    "verify-max-age",
    "verify-max-checkpoint-age",
];

/// What is set only for artifacts that must verify, beside the flag `verify-any-name`.
const ARTIFACT_INPUTS: [&str; 8] = [
    "verify-receipts-dir",
    "verify-subject-name",
    "verify-source-uri",
    "verify-source-ref",
    "verify-builder-id",
    "verify-predicate-type",
    "verify-artifact-max-age",
    "verify-max-age",
];

/// Inputs that are settings of trust.toml, by their names there. Those that have a meaning of their own, such as
/// `trust-roots`, are not here.
const SETTINGS: [(&str, &str); 8] = [
    ("verify-artifact-max-age", "max-age"),
    // Its name before `gate` had --artifact-max-age.
    ("verify-max-age", "max-age"),
    ("verify-max-checkpoint-age", "max-checkpoint-age"),
    ("trust-min-checkpoint", "min-checkpoint"),
    ("trust-newcomer", "trust.newcomer"),
    ("trust-decay", "trust.decay"),
    ("trust-max-hops", "trust.max-hops"),
    ("trust-min-paths", "trust.min-paths"),
];

fn settings() -> Result<Trust> {
    if input("verify-artifact-max-age")?.is_some() && input("verify-max-age")?.is_some() {
        return Err(Failure::new("the inputs `verify-artifact-max-age` and `verify-max-age` are both set")
            .because("they mean the same")
            .hint("leave `verify-max-age` out: it is the older name"));
    }
    let mut trust = Trust::default();
    for (name, setting) in SETTINGS {
        // One log a line; of the others there is one value.
        let values =
            if setting == "min-checkpoint" { lines(name)? } else { input(name)?.into_iter().collect() };
        for value in values {
            let bad = |why| Failure::new(format!("the input `{name}` is `{value}`")).because(why);
            let one = Trust::of_setting(setting, &value, &format!("the input `{name}`")).map_err(bad)?;
            trust = trust.overridden_by(one);
        }
    }
    Ok(trust)
}

/// None where the input is not set. One that is set and names nobody is not the same: others would be asked.
fn roots() -> Result<Vec<Root>> {
    let Some(text) = input("trust-roots")? else { return Ok(Vec::new()) };
    let roots = crate::scoring::root_names(&text);
    if roots.is_empty() {
        return Err(Failure::new("the input `trust-roots` is set, and has no DID")
            .hint("name DIDs in it, with commas between them, or leave it out"));
    }
    roots.into_iter().map(|root| parsed("trust-roots", root)).collect()
}

/// `verify-did` as it was written, whether or not it is one. What cannot be read was written.
pub(super) fn wanted_did() -> Option<String> {
    input("verify-did").unwrap_or_else(|_| Some("what is not UTF-8".into()))
}

fn age_of(text: &str) -> Result<MaxAge> {
    let bad = |why| Failure::new(format!("the input `trust-max-age` is `{text}`")).because(why);
    MaxAge::parse(text).map_err(bad)
}

fn parsed<T: FromStr>(name: &str, text: &str) -> Result<T>
where
    T::Err: Display,
{
    text.parse().map_err(|why: T::Err| Failure::new(format!("the input `{name}` is `{text}`")).because(why))
}

/// The lines of an input that are not empty.
fn lines(name: &str) -> Result<Vec<String>> {
    let text = input(name)?.unwrap_or_default();
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn input(name: &str) -> Result<Option<String>> {
    let variable = format!("AIP_INPUT_{}", name.replace('-', "_").to_uppercase());
    Ok(environment::var(&variable)?.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
}

fn flag(name: &str) -> Result<bool> {
    word(name, &[("false", false), ("true", true)])
}

/// One of `words`; the first if the input is empty.
fn word<T: Copy>(name: &str, words: &[(&str, T)]) -> Result<T> {
    let Some(text) = input(name)? else { return Ok(words[0].1) };
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Failure::new(format!("the input `{name}` is `{text}`, not {}", known.join(" or ")))
    })
}

fn kind(name: &str, text: &str) -> Result<String> {
    let bad = |why| Failure::new(format!("the input `{name}` is `{text}`")).because(why);
    predicate::resolve(text).map_err(bad)
}

fn fingerprint(name: &str) -> Result<Option<Hash>> {
    let read = |text: String| {
        parse_digest(&text).or_else(|| Hash::from_hex(&text)).ok_or_else(|| {
            Failure::new(format!("the input `{name}` is `{text}`, not 64 lower-case hex digits"))
                .hint("`aip-attest policy check FILE` prints them")
        })
    };
    input(name)?.map(read).transpose()
}
