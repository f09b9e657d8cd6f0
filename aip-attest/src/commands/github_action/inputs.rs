//! The action's inputs, from the environment: `sign-paths` is `AIP_INPUT_SIGN_PATHS`.

use std::path::PathBuf;

use tlog::Hash;

use crate::artifact::parse_digest;
use crate::environment;
use crate::predicate;
use crate::report::{Failure, Result};

/// The inputs, read strictly: a word that means nothing is an error, not a default.
pub(super) struct Inputs {
    /// One file, folder or glob a line.
    pub(super) sign_paths: Vec<String>,
    pub(super) log_url: Option<String>,
    pub(super) policy: Option<PathBuf>,
    pub(super) policy_sha256: Option<Hash>,
    pub(super) receipts_dir: PathBuf,
    pub(super) predicate_type: Option<String>,
    pub(super) predicate: Option<PathBuf>,
    pub(super) private: bool,
    pub(super) on_log_failure: OnLogFailure,
    pub(super) if_no_key: IfNoKey,
    pub(super) require_log: bool,
    pub(super) allow_untrusted_event: bool,
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
        refuse_trust_gate()?;
        let sign_paths = input("sign-paths")?.unwrap_or_default();
        let sign_paths = sign_paths.lines().map(str::trim).filter(|line| !line.is_empty());
        let sign_paths: Vec<String> = sign_paths.map(str::to_owned).collect();
        if sign_paths.is_empty() {
            return Err(Failure::new("the input `sign-paths` is empty: there is nothing to sign")
                .hint("one file, folder or glob a line, such as `dist/*`"));
        }
        let predicate_type = input("predicate-type")?.map(|text| kind(&text)).transpose()?;
        let predicate = input("predicate")?.map(PathBuf::from);
        if predicate_type.is_some() != predicate.is_some() {
            return Err(Failure::new(
                "the inputs `predicate-type` and `predicate` go together: one is empty",
            ));
        }
        let words = [("fail", OnLogFailure::Fail), ("defer", OnLogFailure::Defer)];
        let on_log_failure = word("on-log-failure", &words)?;
        let if_no_key = word("if-no-key", &[("fail", IfNoKey::Fail), ("skip", IfNoKey::Skip)])?;
        Ok(Self {
            sign_paths,
            log_url: input("log-url")?,
            policy: input("policy")?.map(PathBuf::from),
            policy_sha256: input("policy-sha256")?.map(|text| fingerprint(&text)).transpose()?,
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

/// The gate is announced and comes later: a workflow that asks for it must not pass without it.
fn refuse_trust_gate() -> Result<()> {
    for name in ["verify-did", "trust-threshold"] {
        if input(name)?.is_some() {
            return Err(Failure::new(format!(
                "the input `{name}` asks for the trust gate, which this release does not have"
            ))
            .hint("remove it; a gate that cannot be checked is not passed over"));
        }
    }
    Ok(())
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

fn kind(text: &str) -> Result<String> {
    let bad = |why| Failure::new(format!("the input `predicate-type` is `{text}`")).because(why);
    predicate::resolve(text).map_err(bad)
}

fn fingerprint(text: &str) -> Result<Hash> {
    parse_digest(text).or_else(|| Hash::from_hex(text)).ok_or_else(|| {
        Failure::new(format!("the input `policy-sha256` is `{text}`, not 64 lower-case hex digits"))
            .hint("`aip-attest policy check FILE` prints them")
    })
}
