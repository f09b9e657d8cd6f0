//! What one DID says of another now: what there is to take back.
//!
//! By the log's lists (`specs/evidence.md`), which nothing proves: it only decides whether a revocation is worth an
//! entry that stays for ever.

use std::collections::BTreeMap;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::event::Scope;
use attestation::identity::Identity;
use attestation::lists::{ListKey, Listed, ListedKind};

/// The lists of what `from` said of `to`, one for each scope.
pub(crate) fn keys(from: Did, to: Did) -> Vec<ListKey> {
    Scope::ALL.iter().map(|scope| ListKey::Edge(from, to, *scope)).collect()
}

/// The last word in each scope.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said(BTreeMap<Scope, Last>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Last {
    /// It counts.
    Stands(ListedKind),
    /// It is a revocation, it ended, or it is void.
    Over(&'static str, Listed),
}

impl Said {
    /// From the lists of [`keys`], as of `now`.
    pub(crate) fn of(issuer: &Identity, lists: &BTreeMap<ListKey, Vec<Listed>>, now: LogTime) -> Self {
        let last = lists.iter().filter_map(|(key, list)| match key {
            ListKey::Edge(_, _, scope) => Some((*scope, Last::of(issuer, list.last()?, now))),
            _ => None,
        });
        Self(last.collect())
    }

    /// Whether there is anything to take back in a scope.
    pub(crate) fn stands(&self, scope: Scope) -> bool {
        matches!(self.0.get(&scope), Some(Last::Stands(_)))
    }

    /// What stands in other scopes than this one, in words, with the scope.
    pub(crate) fn elsewhere(&self, scope: Scope) -> impl Iterator<Item = (Scope, &'static str)> {
        self.0.iter().filter(move |(other, _)| **other != scope).filter_map(|(scope, last)| match last {
            Last::Stands(ListedKind::Distrust) => Some((*scope, "you warn of it")),
            Last::Stands(_) => Some((*scope, "you vouch for it")),
            Last::Over(..) => None,
        })
    }

    /// Why nothing stands in a scope where something was said.
    pub(crate) fn over(&self, scope: Scope) -> Option<String> {
        match self.0.get(&scope)? {
            Last::Over(why, listed) => Some(format!("{why} (entry {})", listed.index)),
            Last::Stands(_) => None,
        }
    }
}

impl Last {
    fn of(issuer: &Identity, listed: &Listed, now: LogTime) -> Self {
        // In the hour in which it ends, a vouch that has ended can still be taken back.
        let has_ended = listed.ends_by().is_some_and(|end| end <= now);
        match listed.kind {
            ListedKind::Revocation => Self::Over("it was taken back before", *listed),
            _ if issuer.is_void(listed.index) => Self::Over("it is void by a reported compromise", *listed),
            _ if has_ended => Self::Over("the vouch ended by itself", *listed),
            kind => Self::Stands(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    const HOUR_MILLIS: u64 = 60 * 60 * 1_000;

    use attestation::event::{
        Capabilities, Commitment, Event, IdentityEvent, Level, PendingEvent, StatementId, TrustEvent,
    };
    use attestation::lists::lists_of_event;
    use tlog::LeafIndex;
    use tlog::key::Ed25519PrivateKey;

    use super::*;

    fn time(millis: u64) -> LogTime {
        LogTime::from_millis(millis).expect("a time")
    }

    #[test]
    fn the_last_word_in_a_scope_stands_until_it_is_taken_back_or_ends() {
        let key = Ed25519PrivateKey::from_seed(&[7; 32]);
        let (from, to) = (Did::of(&key.public_key()), Did::of_raw(&[1; 32]));
        let inception = IdentityEvent::Inception {
            key: *key.public_key().as_bytes(),
            next: Commitment::to(&[2; 32]),
            recovery: Commitment::to(&[3; 32]),
            capabilities: Capabilities { vouches: true, ..Capabilities::PIPELINE },
            public_name: None,
        };
        let inception = Event::about_itself(from, "log.example.com", inception).expect("an event");
        let inception = PendingEvent::sign(inception, &[&key]).expect("it fits");
        let issuer = Identity::apply(None, &inception, LeafIndex::new(0)).expect("a state");
        let (id, issued_at) = (StatementId([0; 16]), time(HOUR_MILLIS));
        let vouch = |scope, hours| TrustEvent::Vouch {
            id,
            issued_at,
            scope,
            level: Level::Strong,
            depth: None,
            expires_at: time(hours * HOUR_MILLIS),
        };
        let log = [
            vouch(Scope::General, 30),
            vouch(Scope::CodeSigning, 30),
            TrustEvent::Revocation { id, issued_at, scope: Scope::CodeSigning },
            vouch(Scope::Identity, 9),
            TrustEvent::Distrust { id, issued_at, scope: Scope::Financial },
        ];
        let mut lists: BTreeMap<ListKey, Vec<Listed>> =
            keys(from, to).into_iter().map(|key| (key, Vec::new())).collect();
        for (index, event) in (1..).zip(log) {
            let event = Event::about(to, from, "log.example.com", event).expect("an event");
            for (key, listed) in lists_of_event(&event, LeafIndex::new(index)) {
                if let Some(list) = lists.get_mut(&key) {
                    list.push(listed);
                }
            }
        }
        let said = Said::of(&issuer, &lists, time(20 * HOUR_MILLIS));
        for (scope, stands, over) in [
            (Scope::General, true, None),
            (Scope::CodeSigning, false, Some("it was taken back before (entry 3)")),
            (Scope::Identity, false, Some("the vouch ended by itself (entry 4)")),
            (Scope::Financial, true, None),
            (Scope::Information, false, None),
        ] {
            assert_eq!((said.stands(scope), said.over(scope).as_deref()), (stands, over), "{scope}");
        }
        let elsewhere: Vec<_> = said.elsewhere(Scope::General).collect();
        assert_eq!(elsewhere, [(Scope::Financial, "you warn of it")]);
    }
}
