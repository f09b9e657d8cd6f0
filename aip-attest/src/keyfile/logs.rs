//! The logs that a key file keeps: which log has the DID, by its key, its address and its policy.
//!
//! ```text
//! "logs":[{"vkey":"<origin>+<id>+<base64>","url":"https://…","policy":"<text>"}]    each log once, the home first
//! ```
//! A log's name proves nothing: whoever writes a policy gives any key any name. The key does, and what is kept here is
//! the owner's own word: a pin, `--policy`, or what the log says at an address that the owner named. It is never taken
//! from a checkout.

use serde::Deserialize;
use serde_json::{Value, json};
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use crate::policy_file::difference;
use crate::policy_file::pins::Pin;
use crate::report::{Failure, Result};

/// A log, as its DID's owner knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptLog {
    /// Its key; the key's name is the log's origin.
    pub vkey: VerifierKey,
    /// Where it is served.
    pub url: String,
    /// The policy that judges it.
    pub policy: Policy,
    /// The policy's text.
    pub text: String,
}

/// Why a policy does not stand in for the one that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Difference {
    /// It believes another key of the log.
    OtherKey(Box<VerifierKey>),
    /// It is worth less, and why: by the rule of `policy pin`.
    Weaker(String),
}

impl KeptLog {
    /// The log `origin` by this policy; `None` if the policy has no key of it.
    pub(crate) fn new(origin: &str, url: &str, policy: &Policy, text: &str) -> Option<Self> {
        let log = policy.logs().iter().find(|log| log.vkey.name().as_str() == origin)?;
        let (vkey, url) = (log.vkey.clone(), url.to_owned());
        Some(Self { vkey, url, policy: policy.clone(), text: text.to_owned() })
    }

    /// A pinned log.
    pub(crate) fn of_pin(pin: &Pin) -> Self {
        let Pin { url, vkey, policy, text, .. } = pin.clone();
        Self { vkey, url, policy, text }
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.vkey.name().as_str()
    }

    /// Why `policy` is not believed of this log, if it is not.
    pub(crate) fn differs(&self, policy: &Policy) -> Option<Difference> {
        let is_kept = |key: &VerifierKey| {
            *key == self.vkey || keys(&self.policy, self.origin()).any(|kept| kept == key)
        };
        // One key too many is enough: whoever holds it speaks for the log.
        if let Some(other) = keys(policy, self.origin()).find(|key| !is_kept(key)) {
            return Some(Difference::OtherKey(Box::new(other.clone())));
        }
        difference::weaker(&self.policy, policy).map(Difference::Weaker)
    }
}

/// The keys that a policy has for the log `origin`. A log that signs with two algorithms has two.
pub(crate) fn keys<'p>(policy: &'p Policy, origin: &str) -> impl Iterator<Item = &'p VerifierKey> {
    policy.logs().iter().map(|log| &log.vkey).filter(move |key| key.name().as_str() == origin)
}

/// All logs that a key file keeps, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KeptLogs(Vec<KeptLog>);

impl KeptLogs {
    /// The logs, the home first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KeptLog> {
        self.0.iter()
    }

    /// The log of this name.
    pub(crate) fn of(&self, origin: &str) -> Option<&KeptLog> {
        self.0.iter().find(|log| log.origin() == origin)
    }

    /// Keeps a log, in the place of the one of its name.
    pub(crate) fn keep(&mut self, log: KeptLog) -> Result<()> {
        let cannot = || Failure::new(format!("the log `{}` cannot be kept with the key", log.origin()));
        if log.text.len() > MAX_POLICY_BYTES {
            return Err(cannot().because(format!("its policy is longer than {MAX_POLICY_BYTES} bytes")));
        }
        match self.0.iter().position(|kept| kept.origin() == log.origin()) {
            Some(at) => self.0[at] = log,
            None if self.0.len() < MAX_LOGS => self.0.push(log),
            None => return Err(cannot().because(format!("{MAX_LOGS} logs are kept already"))),
        }
        Ok(())
    }

    /// The logs, this one first.
    pub(crate) fn headed_by(mut self, origin: &str) -> Self {
        self.0.sort_by_key(|log| log.origin() != origin);
        self
    }

    /// These, and those of `others` whose names are not here.
    pub(crate) fn with(mut self, others: &Self) -> Self {
        let new: Vec<KeptLog> =
            others.iter().filter(|log| self.of(log.origin()).is_none()).cloned().collect();
        self.0.extend(new);
        self.0.truncate(MAX_LOGS);
        self
    }

    /// Reads the member `logs`; `None` if it has not its form.
    pub(super) fn from_wire(wire: Vec<WireLog>) -> Option<Self> {
        let mut logs = Self::default();
        for WireLog { vkey, url, policy: text } in wire {
            let (vkey, policy): (VerifierKey, Policy) = (vkey.parse().ok()?, text.parse().ok()?);
            logs.keep(KeptLog { vkey, url, policy, text }).ok()?;
        }
        Some(logs)
    }

    /// The member `logs`; `None` where there is none to write.
    pub(super) fn to_json(&self) -> Option<Value> {
        let log = |log: &KeptLog| json!({"vkey": log.vkey.to_string(), "url": log.url, "policy": log.text});
        (!self.0.is_empty()).then(|| self.0.iter().map(log).collect())
    }
}

/// A log in a key file.
#[derive(Deserialize)]
pub(super) struct WireLog {
    vkey: String,
    url: String,
    policy: String,
}

/// Hundreds of witnesses. A key file holds every policy whole.
const MAX_POLICY_BYTES: usize = 64 * 1024;

/// A DID has one home; each further log is one that its owner asked for.
const MAX_LOGS: usize = 16;

/// More than these logs take, with every character of a policy escaped.
pub(super) const MAX_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use tlog::key::{KeyName, KeyType, SignerKey};

    use super::*;

    fn key(name: &str, kind: KeyType, seed: u8) -> VerifierKey {
        SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[seed; 32]).verifier().clone()
    }

    fn log(seed: u8) -> VerifierKey {
        key("log.example.com", KeyType::Ed25519, seed)
    }

    fn kept(text: &str) -> KeptLog {
        let policy: Policy = text.parse().expect("a policy");
        KeptLog::new("log.example.com", "https://log.example.com", &policy, text).expect("the log")
    }

    #[test]
    fn another_key_and_a_weaker_policy_differ_and_nothing_else() {
        let witness = key("w.example", KeyType::Ed25519Cosignature, 9);
        let second = key("log.example.com", KeyType::MlDsa44Cosignature, 3);
        let one = format!("log {}\nwitness w {witness}\nquorum w\n", log(1));
        let other_name = key("other.example.com", KeyType::Ed25519, 2);
        let judged = |kept: &str, text: &str| self::kept(kept).differs(&text.parse().expect("a policy"));
        assert_eq!(judged(&one, &one), None);
        assert_eq!(
            judged(
                &one,
                &format!("# moved\nlog {} https://mirror.example\nwitness v {witness}\nquorum v\n", log(1))
            ),
            None
        );
        assert_eq!(judged(&one, &format!("log {other_name}\n{one}")), None, "a key of another log");
        assert_eq!(
            judged(&one, &one.replace(&log(1).to_string(), &log(2).to_string())),
            Some(Difference::OtherKey(Box::new(log(2))))
        );
        assert_eq!(
            judged(&one, &format!("log {}\n{one}", log(2))),
            Some(Difference::OtherKey(Box::new(log(2)))),
            "one too many"
        );
        let none = format!("log {}\nquorum none\n", log(1));
        assert!(matches!(judged(&one, &none), Some(Difference::Weaker(_))));
        assert_eq!(judged(&none, &one), None);
        let both = format!("log {second}\n{one}");
        assert_eq!(judged(&both, &one), None);
        assert_eq!(judged(&both, &format!("log {second}\nwitness w {witness}\nquorum w\n")), None);
        assert_eq!(judged(&one, &both), Some(Difference::OtherKey(Box::new(second))));
    }

    #[test]
    fn each_log_is_kept_once_and_reads_as_it_was_written() {
        let mut logs = KeptLogs::default();
        assert_eq!(logs.to_json(), None);
        let text = format!("log {}\nquorum none\n", log(1));
        logs.keep(kept(&text)).expect("kept");
        let newer = kept(&format!("# \"newer\"\n{text}"));
        logs.keep(newer.clone()).expect("kept");
        assert_eq!(logs.iter().collect::<Vec<_>>(), [&newer]);
        let json = logs.to_json().expect("one");
        let read = KeptLogs::from_wire(serde_json::from_value(json).expect("its form"));
        assert_eq!(read, Some(logs.clone()));
        let long = KeptLog { text: "#".repeat(MAX_POLICY_BYTES + 1), ..newer };
        assert!(logs.keep(long).is_err());
    }
}
