//! The logs that are cosigned here: the operator's own, and those of lists. Lists only ever add logs.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tlog::Hash;
use tlog::key::{KeyName, VerifierKey};

use crate::log_list::Stanza;

/// A log.
#[derive(Debug)]
pub struct Log {
    /// Its unique name.
    pub origin: String,
    /// SHA-256 of the origin: what it is kept and served under.
    pub hash: Hash,
    /// Its keys. Any one suffices (WIT-15).
    pub keys: Vec<VerifierKey>,
    qpd: Option<u32>,
    budgets: Budgets,
}

/// How much of a log is still cosigned today. Growth and the same size again have budgets of their own: anybody can send
/// a published checkpoint, the same size as often as he likes, but growth only once.
#[derive(Debug)]
struct Budgets {
    growth: Option<DefaultDirectRateLimiter>,
    same_size: DefaultDirectRateLimiter,
}

impl Log {
    fn new(origin: &str, qpd: Option<u32>) -> Self {
        let budget = |qpd| RateLimiter::direct(quota(qpd));
        let budgets =
            Budgets { growth: qpd.map(budget), same_size: budget(qpd.unwrap_or(DEFAULT_SAME_SIZE_QPD)) };
        Self { origin: origin.to_owned(), hash: Hash::of(origin.as_bytes()), keys: Vec::new(), qpd, budgets }
    }

    /// Takes one cosignature from the log's budget for growth, or from that for the same size again, if any is left. Call
    /// it once the request is accepted, so that refused requests spend nothing.
    pub fn spend(&self, grows: bool) -> bool {
        let budget = if grows { self.budgets.growth.as_ref() } else { Some(&self.budgets.same_size) };
        budget.is_none_or(|budget| budget.check().is_ok())
    }
}

/// All logs, by origin. Replaced as a whole when a list changes.
#[derive(Debug, Default)]
pub struct Logs {
    by_origin: HashMap<String, Arc<Log>>,
    described: OnceLock<Bytes>,
}

impl Logs {
    /// The logs of the operator's `own` list, and those of `learned` that are not in it. Logs that are the same as in
    /// `before` keep the rest of their budgets.
    pub fn new(
        own: &[Stanza],
        learned: &[Stanza],
        witness: &[VerifierKey],
        before: &Self,
    ) -> Result<Self, LogsError> {
        let mut logs: HashMap<String, Log> = HashMap::new();
        for stanza in own {
            check(stanza, witness)?;
            let log =
                logs.entry(stanza.origin.clone()).or_insert_with(|| Log::new(&stanza.origin, stanza.qpd));
            let ambiguous =
                log.keys.iter().any(|key| key.name() == stanza.vkey.name() && key.id() == stanza.vkey.id());
            if ambiguous {
                return Err(LogsError::Ambiguous(stanza.vkey.name().clone()));
            }
            log.keys.push(stanza.vkey.clone());
        }
        for stanza in learned {
            if !logs.contains_key(&stanza.origin) && check(stanza, witness).is_ok() {
                let log = Log { keys: vec![stanza.vkey.clone()], ..Log::new(&stanza.origin, stanza.qpd) };
                logs.insert(stanza.origin.clone(), log);
            }
        }
        let kept = |log: Log| match before.by_origin.get(&log.origin) {
            Some(old) if old.keys == log.keys && old.qpd == log.qpd => old.clone(),
            _ => Arc::new(log),
        };
        let by_origin = logs.into_iter().map(|(origin, log)| (origin, kept(log))).collect();
        Ok(Self { by_origin, described: OnceLock::new() })
    }

    /// The description of these logs by `describe`, made once and shared: it has some 130 bytes a log, and many clients may
    /// ask for it at a time. Blocks while another thread makes it.
    pub fn described(&self, describe: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        self.described.get_or_init(|| describe(self).into()).clone()
    }

    /// The log of an origin.
    pub fn get(&self, origin: &str) -> Option<&Log> {
        self.by_origin.get(origin).map(|log| &**log)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_origin.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_origin.is_empty()
    }

    /// All of them, by origin.
    pub fn sorted(&self) -> Vec<&Log> {
        let mut logs: Vec<&Log> = self.by_origin.values().map(|log| &**log).collect();
        logs.sort_by(|a, b| a.origin.cmp(&b.origin));
        logs
    }
}

/// Adds the logs of a public list to those that were `learned` before, at most `most` over all time. Never changes or
/// removes a log: answers the stanzas that would, and those that cannot be cosigned here.
pub fn learn(
    learned: &mut Vec<Stanza>,
    own: &[Stanza],
    list: Vec<Stanza>,
    witness: &[VerifierKey],
    most: usize,
) -> Vec<LogsError> {
    let mut known: HashMap<&str, Vec<&VerifierKey>> = HashMap::new();
    for stanza in own.iter().chain(&*learned) {
        known.entry(&stanza.origin).or_default().push(&stanza.vkey);
    }
    let mut refused = Vec::new();
    let mut new = Vec::new();
    for stanza in list {
        match known.get(stanza.origin.as_str()) {
            Some(keys) if keys.contains(&&stanza.vkey) => {}
            Some(_) => refused.push(LogsError::OtherKey(stanza.origin)),
            None if learned.len() + new.len() >= most => {
                refused.push(LogsError::TooMany { origin: stanza.origin, most });
            }
            None => match check(&stanza, witness) {
                Ok(()) => new.push(stanza),
                Err(error) => refused.push(error),
            },
        }
    }
    learned.extend(new);
    refused
}

/// Why a log cannot be cosigned here.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LogsError {
    /// Two keys of one log share name and id.
    #[error("two keys of one log are both `{0}` with the same key id")]
    Ambiguous(KeyName),
    /// A list gives a log another key than it has here.
    #[error("the log {} has another key here than the list says", tlog::encoding::quoted(.0))]
    OtherKey(String),
    /// The log is called like this witness.
    #[error("the origin {} is this witness's own name", tlog::encoding::quoted(.0))]
    OwnName(String),
    /// Lists have brought too many.
    #[error("the log {} would be one of more than {most} that lists have brought", tlog::encoding::quoted(.origin))]
    TooMany {
        /// The log.
        origin: String,
        /// How many there may be.
        most: usize,
    },
    /// The log's key is this witness's.
    #[error("the key of the log {} is this witness's own", tlog::encoding::quoted(.0))]
    OwnKey(String),
}

/// WIT-17: a line by the log must never pass for one by the witness, or the other way round.
fn check(stanza: &Stanza, witness: &[VerifierKey]) -> Result<(), LogsError> {
    let own_name =
        |key: &VerifierKey| key.name().as_str() == stanza.origin || key.name() == stanza.vkey.name();
    if witness.iter().any(own_name) {
        return Err(LogsError::OwnName(stanza.origin.clone()));
    }
    if witness.iter().any(|key| key.key().raw() == stanza.vkey.key().raw()) {
        return Err(LogsError::OwnKey(stanza.origin.clone()));
    }
    Ok(())
}

/// A day's requests, of which an hour's, and never fewer than 60, may come at once: a log that was away catches up.
fn quota(qpd: u32) -> Quota {
    let per_day = NonZeroU32::new(qpd).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new((qpd / 24).max(60)).unwrap_or(NonZeroU32::MIN);
    let period = (DAY / per_day.get()).max(Duration::from_nanos(1));
    Quota::with_period(period).unwrap_or_else(|| Quota::per_second(per_day)).allow_burst(burst)
}

/// The budget for the same size where none was agreed on: one each ten seconds, which is how long the last lines are
/// given out again anyhow. Growth has no such bound, since only the log can sign it.
const DEFAULT_SAME_SIZE_QPD: u32 = 8_640;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use tlog::key::{KeyType, SignerKey};

    use super::*;

    fn key(name: &str, kind: KeyType, seed: u8) -> VerifierKey {
        SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[seed; 32]).verifier().clone()
    }

    fn stanza(origin: &str, seed: u8) -> Stanza {
        Stanza { vkey: key(origin, KeyType::Ed25519, seed), origin: origin.into(), qpd: None, contact: None }
    }

    #[test]
    fn wit_17_a_log_that_is_called_or_keyed_like_the_witness_is_refused() {
        let witness = [key("w.example", KeyType::Ed25519Cosignature, 9)];
        let other_origin = Stanza { origin: "log.example".into(), ..stanza("w.example", 1) };
        for (stanza, want) in [
            (stanza("w.example", 1), LogsError::OwnName("w.example".into())),
            (other_origin, LogsError::OwnName("log.example".into())),
            (stanza("log.example", 9), LogsError::OwnKey("log.example".into())),
        ] {
            let own = Logs::new(std::slice::from_ref(&stanza), &[], &witness, &Logs::default());
            assert_eq!(own.expect_err("refused"), want);
            let mut learned = Vec::new();
            assert_eq!(learn(&mut learned, &[], vec![stanza], &witness, 9), [want]);
            assert!(learned.is_empty());
        }
    }

    #[test]
    fn a_list_adds_logs_and_never_changes_one() {
        let own = [stanza("own", 1)];
        let mut learned = Vec::new();
        let list = vec![stanza("own", 2), stanza("a", 3), stanza("own", 1)];
        assert_eq!(learn(&mut learned, &own, list, &[], 9), [LogsError::OtherKey("own".into())]);
        let other = vec![stanza("a", 4)];
        assert_eq!(learn(&mut learned, &own, other, &[], 9), [LogsError::OtherKey("a".into())]);
        assert!(learn(&mut learned, &own, Vec::new(), &[], 9).is_empty(), "what a list leaves out stays");
        let many = vec![stanza("a", 3), stanza("b", 5)];
        assert_eq!(
            learn(&mut learned, &own, many, &[], 1),
            [LogsError::TooMany { origin: "b".into(), most: 1 }]
        );
        assert_eq!(learned, [stanza("a", 3)]);
        let logs = Logs::new(&own, &learned, &[], &Logs::default()).expect("two logs");
        assert_eq!(logs.len(), 2);
        assert_eq!(logs.get("own").expect("own").keys, [own[0].vkey.clone()]);
    }

    #[test]
    fn wit_15_a_log_has_several_keys_and_its_budget_survives_a_reload() {
        let ml_dsa = Stanza { vkey: key("a", KeyType::MlDsa44Cosignature, 1), ..stanza("a", 1) };
        let own = [Stanza { qpd: Some(24), ..stanza("a", 1) }, ml_dsa];
        let logs = Logs::new(&own, &[], &[], &Logs::default()).expect("a log");
        let log = logs.get("a").expect("a");
        assert_eq!(log.keys.len(), 2);
        assert!((0..60).all(|_| log.spend(true)) && !log.spend(true));
        assert!(
            (0..60).all(|_| log.spend(false)) && !log.spend(false),
            "one budget takes nothing from the other"
        );
        let again = Logs::new(&own, &[], &[], &logs).expect("a log");
        assert!(!again.get("a").expect("a").spend(true), "a reload gives nothing back");
        let more = [Stanza { qpd: Some(48), ..stanza("a", 1) }];
        let changed = Logs::new(&more, &[], &[], &again).expect("a log");
        assert!(changed.get("a").expect("a").spend(true));
    }
}
