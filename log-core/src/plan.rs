//! A round: what it wants to know, and what follows from the answers. Pure.
//!
//! [`wants`] lists everything that the rules may ask about a batch. The engine answers in one call. [`plan`] folds: each entry
//! is known, breaks a rule, or is new, by those before it, also those of its own batch.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use attestation::did::Did;
use attestation::entry::{ClaimHash, LogTime, PendingLeaf};
use attestation::event::{Body, PendingEvent, TrustEvent};
use attestation::identity::Identity;
use attestation::rules::{Artifact, CheckError, Prefix};
use tlog::{Hash, LeafIndex};

use crate::StoreError;
use crate::admit::{Admitted, Refusal};
use crate::port::{Call, Facts, KnownEnvelope, Placed, Proposed, Versions, Wants};
use crate::registry::{News, States, check};

/// What the rules may ask about a batch beyond the states that are at hand.
pub fn wants(batch: &[&Admitted], states: &States) -> Wants {
    let mut wants = Wants::default();
    let (mut claims, mut envelopes, mut dids) = (HashSet::new(), HashSet::new(), HashSet::new());
    for admitted in batch {
        if !claims.insert(admitted.claim) {
            continue;
        }
        wants.claims.push(admitted.claim.get());
        if let Some((hash, _)) = &admitted.envelope
            && envelopes.insert(*hash)
        {
            wants.envelopes.push(*hash);
        }
        let mut state_of = |did: Did| {
            if !states.contains_key(&did) && dids.insert(did) {
                wants.identities.push(did);
            }
        };
        state_of(admitted.entry.did());
        let PendingLeaf::Event(event) = &admitted.entry else { continue };
        let (issuer, subject) = (event.event().issuer(), event.event().subject());
        match event.event().body() {
            Body::Identity(_) => (),
            Body::MessageKeys(_) => wants.message_keys.push(issuer),
            Body::Trust(TrustEvent::Failure { .. } | TrustEvent::Withdrawal { .. }) => {
                wants.failures.push((issuer, subject));
            }
            Body::Trust(TrustEvent::Confirmation { receipt, build, .. }) => {
                wants.artifacts.extend([receipt.index, build.index]);
            }
            Body::Trust(TrustEvent::Equivocation { receipts, .. }) => {
                state_of(subject);
                wants.artifacts.extend(receipts.iter().map(|reference| reference.index));
            }
            Body::Trust(
                TrustEvent::Vouch { .. } | TrustEvent::Revocation { .. } | TrustEvent::Distrust { .. },
            ) => (),
        }
    }
    wants.message_keys.sort_unstable();
    wants.message_keys.dedup();
    wants.failures.sort_unstable();
    wants.failures.dedup();
    wants.artifacts.sort_unstable();
    wants.artifacts.dedup();
    wants
}

/// The DIDs whose states [`wants`] looks for.
pub fn dids<'b>(batch: &'b [&Admitted]) -> impl Iterator<Item = Did> + 'b {
    batch.iter().flat_map(|admitted| {
        let accused = match &admitted.entry {
            PendingLeaf::Event(event) => match event.event().body() {
                Body::Trust(TrustEvent::Equivocation { .. }) => Some(event.event().subject()),
                _ => None,
            },
            PendingLeaf::Dsse(_) => None,
        };
        [Some(admitted.entry.did()), accused].into_iter().flatten()
    })
}

/// What becomes of a batch. Positions are those in the batch; a claim that comes twice has the first.
#[derive(Debug)]
pub struct Round {
    /// Entries that have their index.
    pub known: Vec<(usize, Placed)>,
    /// Entries that break a rule.
    pub refused: Vec<(usize, Refusal)>,
    /// Entries to be ordered, in their order.
    pub new: Vec<New>,
    /// The time of the leaves.
    pub time: LogTime,
    pub(crate) news: News,
}

/// An entry to be ordered.
#[derive(Debug)]
pub struct New {
    /// Where it is in the batch.
    pub at: usize,
    /// Its leaf at the time of the round.
    pub leaf: Vec<u8>,
    /// Whether its envelope comes along and is not there yet.
    pub keeps_envelope: bool,
}

impl Round {
    /// The entries to be ordered, as the port takes them.
    pub fn proposed<'a>(&'a self, batch: &[&'a Admitted]) -> Vec<Proposed<'a>> {
        let proposed = |new: &'a New| Proposed {
            entry: batch[new.at],
            leaf: &new.leaf,
            keeps_envelope: new.keeps_envelope,
        };
        self.new.iter().map(proposed).collect()
    }
}

/// The versions behind a call that was done, its first entry at `first`.
pub fn versions_behind(call: &Call<'_>, first: LeafIndex, before: Versions) -> Versions {
    let events = call.entries.iter().zip(first.get()..).filter_map(|(proposed, index)| {
        let PendingLeaf::Event(event) = &proposed.entry.entry else { return None };
        Some((LeafIndex::new(index), matches!(event.event().body(), Body::Identity(_))))
    });
    events.fold(before, |versions, (index, is_identity)| versions.behind(index, true, is_identity))
}

/// Folds a batch over what is before it: `states`, and the `facts` that answer `wants`.
pub fn plan(
    batch: &[&Admitted],
    wants: &Wants,
    facts: &Facts,
    states: &States,
    time: LogTime,
) -> Result<Round, StoreError> {
    let mut before = Before::new(wants, facts, states);
    let (mut known, mut refused, mut new) = (Vec::new(), Vec::new(), Vec::with_capacity(batch.len()));
    let mut claims = HashSet::with_capacity(batch.len());
    let mut placed = facts.claims.iter();
    for (at, admitted) in batch.iter().enumerate() {
        if !claims.insert(admitted.claim) {
            continue;
        }
        // Idempotency comes before every rule about state.
        if let Some(placed) = placed.next().ok_or_else(|| unasked("a claim"))? {
            known.push((at, placed.clone()));
            continue;
        }
        let index = LeafIndex::new(facts.at.next.get() + new.len() as u64);
        match before.take(admitted, index)? {
            Ok(keeps_envelope) => {
                let leaf = admitted.entry.to_leaf(time);
                new.push(New { at, leaf, keeps_envelope });
            }
            Err(refusal) => refused.push((at, refusal)),
        }
    }
    Ok(Round { known, refused, new, time, news: before.news() })
}

/// What is before an entry of the batch.
struct Before<'a> {
    states: &'a States,
    learned: States,
    changed: HashMap<Did, Arc<Identity>>,
    failures: HashMap<(Did, Did), Option<LeafIndex>>,
    message_keys: HashMap<Did, Option<ClaimHash>>,
    new_message_keys: Vec<Did>,
    artifacts: HashMap<LeafIndex, Option<&'a Artifact>>,
    envelopes: HashMap<Hash, Option<KnownEnvelope>>,
}

impl<'a> Before<'a> {
    fn new(wants: &Wants, facts: &'a Facts, states: &'a States) -> Self {
        let fold = |events: &Vec<(LeafIndex, PendingEvent)>| {
            Identity::fold(events.iter().map(|(index, event)| (*index, event))).map(Arc::new)
        };
        let learned = wants.identities.iter().zip(&facts.identities);
        Self {
            states,
            learned: learned.map(|(did, events)| (*did, fold(events))).collect(),
            changed: HashMap::new(),
            failures: wants.failures.iter().copied().zip(facts.failures.iter().copied()).collect(),
            message_keys: wants
                .message_keys
                .iter()
                .copied()
                .zip(facts.message_keys.iter().copied())
                .collect(),
            new_message_keys: Vec::new(),
            artifacts: wants
                .artifacts
                .iter()
                .copied()
                .zip(facts.artifacts.iter().map(Option::as_ref))
                .collect(),
            envelopes: wants.envelopes.iter().copied().zip(facts.envelopes.iter().copied()).collect(),
        }
    }

    /// Takes an entry at `index`, or says which rule it breaks; whether its envelope is new.
    fn take(&mut self, admitted: &Admitted, index: LeafIndex) -> Result<Result<bool, Refusal>, StoreError> {
        let state = match check(self, |did| self.state(did), &admitted.entry, index) {
            Ok(state) => state,
            Err(CheckError::Rule(rule)) => return Ok(Err(rule.into())),
            Err(CheckError::Prefix(error)) => return Err(error),
        };
        let keeps_envelope = match &admitted.envelope {
            None => false,
            Some((hash, _)) => {
                let known = self.envelopes.get_mut(hash).ok_or_else(|| unasked("an envelope"))?;
                match known {
                    None => {
                        *known = Some(KnownEnvelope::Present);
                        true
                    }
                    Some(KnownEnvelope::Present) => false,
                    Some(KnownEnvelope::Erased) => return Ok(Err(Refusal::EnvelopeErased(*hash))),
                }
            }
        };
        if let Some(state) = state {
            self.changed.insert(state.did(), Arc::new(state));
        }
        if let PendingLeaf::Event(event) = &admitted.entry {
            let pair = (event.event().issuer(), event.event().subject());
            match event.event().body() {
                Body::Trust(TrustEvent::Failure { .. }) => {
                    self.failures.insert(pair, Some(index));
                }
                Body::Trust(TrustEvent::Withdrawal { .. }) => {
                    self.failures.insert(pair, None);
                }
                Body::MessageKeys(_) => {
                    self.message_keys.insert(pair.0, Some(event.hash()));
                    self.new_message_keys.push(pair.0);
                }
                Body::Trust(_) | Body::Identity(_) => (),
            }
        }
        Ok(Ok(keeps_envelope))
    }

    fn state(&self, did: Did) -> Result<Option<Arc<Identity>>, StoreError> {
        if let Some(state) = self.changed.get(&did) {
            return Ok(Some(state.clone()));
        }
        let before = self.states.get(&did).or_else(|| self.learned.get(&did));
        before.cloned().ok_or_else(|| unasked("the state of a DID"))
    }

    fn news(self) -> News {
        News {
            states: self.changed.into_values().collect(),
            message_keys: self.new_message_keys,
            learned: self.learned,
        }
    }
}

impl Prefix for Before<'_> {
    type Error = StoreError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, StoreError> {
        Ok(self.state(did)?.map(|state| Cow::Owned((*state).clone())))
    }

    /// Ordered ones only: the index of another entry of the round is nobody's to know.
    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, StoreError> {
        let artifact = self.artifacts.get(&index).ok_or_else(|| unasked("an artifact"))?;
        Ok(artifact.map(Cow::Borrowed))
    }

    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, StoreError> {
        self.failures.get(&(from, to)).copied().ok_or_else(|| unasked("a failure report"))
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, StoreError> {
        self.message_keys.get(&did).copied().ok_or_else(|| unasked("message keys"))
    }
}

/// A rule read what [`wants`] did not ask for: a bug of ours, and no reason to refuse an entry.
fn unasked(what: &str) -> StoreError {
    StoreError::new("plan a round", format!("nobody asked for {what}"))
}
