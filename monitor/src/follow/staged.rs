//! Leaves that are checked and not recorded yet, behind those that are: their signers' states, and what events say
//! about earlier leaves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use attestation::Did;
use attestation::entry::{ClaimHash, Entry};
use attestation::event::{Body, TrustEvent};
use attestation::identity::Identity;
use attestation::leaf::{BrokenRule, Leaf, Rule};
use attestation::rules::{Artifact, Prefix};
use tlog::LeafIndex;

use crate::Failure;
use crate::earlier::{Earlier, references};
use crate::identities::{Identities, LoggedEvent};

/// A leaf that breaks a rule, and what shows it.
pub(super) struct Bad<'a> {
    pub(super) index: LeafIndex,
    pub(super) bytes: &'a [u8],
    pub(super) broken: BrokenRule,
    pub(super) earlier: Option<LeafIndex>,
    pub(super) identity: Vec<LoggedEvent>,
    pub(super) references: Vec<LeafIndex>,
}

impl<'a> Bad<'a> {
    /// A leaf that nothing else is needed for.
    pub(super) fn alone(index: LeafIndex, bytes: &'a [u8], broken: BrokenRule) -> Self {
        Self { index, bytes, broken, earlier: None, identity: Vec::new(), references: Vec::new() }
    }
}

/// Identity events that are not recorded yet, and the states they lead to.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) events: Vec<LoggedEvent>,
    pub(super) states: BTreeMap<Did, Identity>,
}

impl Staged {
    /// Checks a leaf by those before it; it may change its signer's state. Answers what it breaks, and what shows
    /// that.
    pub(super) fn check<'a>(
        &mut self,
        recorded: &mut Identities,
        earlier: &Earlier,
        leaf: &Leaf,
        index: LeafIndex,
        bytes: &'a [u8],
    ) -> Result<Option<Bad<'a>>, Failure> {
        let Some((did, hash)) = leaf.did().zip(leaf.hash()) else { return Ok(None) };
        let first = earlier.first(hash, index)?;
        if let Err(broken) = leaf.check_new(first) {
            // Known before any rule of state: it counts where it came first.
            return Ok(Some(Bad { earlier: first, ..Bad::alone(index, bytes, broken) }));
        }
        earlier.take_place(index, leaf)?;
        let mut states = BTreeMap::new();
        let subject = subject(leaf).filter(|subject| *subject != did);
        for did in std::iter::once(did).chain(subject) {
            let state = match self.states.get(&did) {
                Some(state) => Some(state.clone()),
                None => recorded.state(did)?,
            };
            states.extend(state.map(|state| (did, state)));
        }
        let is_remembered = spoken_of(leaf).iter().all(|index| *index >= earlier.from())
            && (!is_message_keys(leaf) || earlier.knows_message_keys(did, index)?);
        let checked = if is_remembered {
            leaf.check_behind(index, &Before { states, earlier, index, withdraws: withdraws(leaf) })?
        } else {
            leaf.check_state(index, states.get(&did))
        };
        match checked {
            Ok(after) => {
                if let Some(after) = after {
                    self.states.insert(did, after);
                    self.events.push(LoggedEvent { did, index, leaf: bytes.to_vec() });
                }
                earlier.take(index, leaf)?;
                Ok(None)
            }
            Err(broken) => {
                let mut identity = self.events(recorded, did, index)?;
                if let Some(subject) = subject.filter(|_| broken.rule().is_about_earlier()) {
                    identity.extend(self.events(recorded, subject, index)?);
                    identity.sort_unstable_by_key(|event| event.index);
                }
                let references = shows(earlier, leaf, index, broken.rule())?;
                Ok(Some(Bad { identity, references, ..Bad::alone(index, bytes, broken) }))
            }
        }
    }

    /// The identity events of a DID before a leaf, in log order.
    fn events(&self, recorded: &Identities, did: Did, index: LeafIndex) -> Result<Vec<LoggedEvent>, Failure> {
        let mut events = recorded.events(did)?;
        events.extend(self.events.iter().filter(|event| event.did == did).cloned());
        events.retain(|event| event.index < index);
        Ok(events)
    }
}

fn spoken_of(leaf: &Leaf) -> Vec<LeafIndex> {
    match leaf.entry() {
        Entry::Event(event) => references(event.event()),
        Entry::Dsse(_) | Entry::NotUnderstood { .. } => Vec::new(),
    }
}

/// Whom an event is about.
fn subject(leaf: &Leaf) -> Option<Did> {
    match leaf.entry() {
        Entry::Event(event) => Some(event.event().subject()),
        Entry::Dsse(_) | Entry::NotUnderstood { .. } => None,
    }
}

/// The report that a leaf withdraws.
fn withdraws(leaf: &Leaf) -> Option<LeafIndex> {
    let Entry::Event(event) = leaf.entry() else { return None };
    match event.event().body() {
        Body::Trust(TrustEvent::Withdrawal { failure }) => Some(failure.index),
        Body::Trust(_) | Body::Identity(_) | Body::MessageKeys(_) => None,
    }
}

fn is_message_keys(leaf: &Leaf) -> bool {
    matches!(leaf.entry(), Entry::Event(event) if matches!(event.event().body(), Body::MessageKeys(_)))
}

/// The leaves that show that an event breaks a rule about earlier ones, in log order.
fn shows(earlier: &Earlier, leaf: &Leaf, index: LeafIndex, rule: Rule) -> Result<Vec<LeafIndex>, Failure> {
    let Entry::Event(event) = leaf.entry() else { return Ok(Vec::new()) };
    let (from, to) = (event.event().issuer(), event.event().subject());
    let mut shows: Vec<LeafIndex> = match rule {
        Rule::FailureOpen => earlier.open_failure(from, to, index)?.into_iter().collect(),
        Rule::Reference | Rule::FailureNotOpen => spoken_of(leaf),
        Rule::MessageKeysOrder => {
            earlier.message_keys(from, index)?.into_iter().map(|(last, _)| last).collect()
        }
        _ => Vec::new(),
    };
    if let Some(failure) = withdraws(leaf).filter(|_| rule == Rule::FailureNotOpen) {
        shows.extend(earlier.withdrawal(from, to, failure, index)?);
    }
    shows.retain(|shown| *shown < index);
    shows.sort_unstable();
    shows.dedup();
    Ok(shows)
}

/// What stands before a leaf.
struct Before<'a> {
    /// Of its signer, and of whom it is about.
    states: BTreeMap<Did, Identity>,
    earlier: &'a Earlier,
    index: LeafIndex,
    withdraws: Option<LeafIndex>,
}

impl Prefix for Before<'_> {
    type Error = Failure;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Failure> {
        Ok(self.states.get(&did).map(Cow::Borrowed))
    }

    /// Also one that breaks a rule of its signer's state: that is a finding of its own.
    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, Failure> {
        Ok(self.earlier.artifact(index)?.map(Cow::Owned))
    }

    /// What is withdrawn may be a report that breaks a rule, too.
    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, Failure> {
        let Some(failure) = self.withdraws else {
            return self.earlier.open_failure(from, to, self.index);
        };
        let is_report = failure < self.index && self.earlier.is_report(from, to, failure)?;
        let is_open = is_report && self.earlier.withdrawal(from, to, failure, self.index)?.is_none();
        Ok(is_open.then_some(failure))
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, Failure> {
        Ok(self.earlier.message_keys(did, self.index)?.map(|(_, hash)| hash))
    }
}
