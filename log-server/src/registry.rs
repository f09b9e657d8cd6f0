//! The registry: under which keys an entry is found, and the state of each DID.
//!
//! [`Keys`] is a pure function of a leaf, so that anyone can rebuild every lookup. The state of a DID is the fold
//! of its identity events, and how messages reach it follows from its `message-keys` events besides. Neither is on the disk;
//! [`Registry`] caches some in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use attestation::did::Did;
use attestation::entry::{ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body, EventEntry, PendingEvent, TrustEvent};
use attestation::identity::{Identity, check_artifact_signer};
use attestation::lists::{ListKey, Listed, ListedKind};
use attestation::message::{LoggedKeys, Recipient};
use attestation::rules::{Artifact, CheckError, Prefix, RuleError, check_event};
pub use log_core::keys::Keys;
use tlog::key::Ed25519PublicKey;
use tlog::{LeafIndex, TreeSize};

use crate::store::schema::{self, List, Read as _};
use crate::store::{Batch, Order, Store, StoreError};

/// Adds an entry to the lookups.
pub fn put_keys(writes: &mut Batch, keys: &Keys, index: LeafIndex) {
    if let Some(claim) = &keys.claim {
        schema::put_claim(writes, claim, index);
    }
    for subject in &keys.subjects {
        schema::put_subject(writes, subject, index);
    }
    if let Some((did, kind)) = &keys.did {
        schema::put_did(writes, did, index, *kind);
    }
    for (list, listed) in &keys.lists {
        schema::put_listed(writes, list, listed);
    }
}

/// The state behind the first entries of a log, in which every entry keeps its rules.
///
/// All admitting threads share it; the writer moves it on after each commit. Every answer is the state at exactly
/// `size()`. It caches the states of DIDs that were asked for, bare ones too.
pub struct Registry<S = Arc<dyn Store>> {
    store: S,
    known: RwLock<Known>,
}

struct Known {
    size: TreeSize,
    states: HashMap<Did, Option<Arc<Identity>>>,
    recipients: HashMap<Did, Arc<Recipient>>,
}

impl<S: Deref<Target: Store>> Registry<S> {
    /// The state behind the first `size` entries of `store`.
    pub fn new(store: S, size: TreeSize) -> Self {
        Self { store, known: RwLock::new(Known { size, states: HashMap::new(), recipients: HashMap::new() }) }
    }

    /// Whether `leaf`, whose signatures are checked elsewhere, may be the next entry.
    pub fn check(&self, leaf: &PendingLeaf) -> Result<(), CheckError<StoreError>> {
        let state = |did| self.state(did);
        check(self, state, leaf, LeafIndex::new(self.size().get())).map(drop)
    }

    /// The number of entries that it stands behind.
    pub fn size(&self) -> TreeSize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).size
    }

    /// Moves on: the first `size` entries are committed, and this came with the new ones.
    pub(crate) fn commit(&self, size: TreeSize, news: News) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.size = size;
        for state in news.states {
            known.recipients.remove(&state.did());
            known.remember(state.did(), Some(state));
        }
        for did in news.message_keys {
            known.recipients.remove(&did);
        }
    }

    /// As [`state`](Self::state), if memory tells.
    pub fn known_state(&self, did: Did) -> Option<Option<Arc<Identity>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).states.get(&did).cloned()
    }

    /// The state of a DID; `None` if it is not registered.
    pub fn state(&self, did: Did) -> Result<Option<Arc<Identity>>, StoreError> {
        let size = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(state) = known.states.get(&did) {
                return Ok(state.clone());
            }
            known.size
        };
        let state = identity_at(&*self.store, did, size)?.map(Arc::new);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // A state that was read while the writer moved on may be behind.
        if known.size == size {
            known.remember(did, state.clone());
        }
        Ok(state)
    }

    /// As [`recipient`](Self::recipient), if memory tells.
    pub fn known_recipient(&self, did: Did) -> Option<Arc<Recipient>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).recipients.get(&did).cloned()
    }

    /// How messages reach a DID; `None` if it is not registered and has logged no artifact.
    pub fn recipient(&self, did: Did) -> Result<Option<Arc<Recipient>>, StoreError> {
        let size = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(recipient) = known.recipients.get(&did) {
                return Ok(Some(recipient.clone()));
            }
            known.size
        };
        let recipient = recipient_at(&*self.store, did, size)?.map(Arc::new);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Read while the writer moved on, it may be behind. That there is none ends without news, and is not kept.
        if let (Some(recipient), true) = (&recipient, known.size == size) {
            if known.recipients.len() >= MAX_RECIPIENTS {
                known.recipients.clear();
            }
            known.recipients.insert(did, recipient.clone());
        }
        Ok(recipient)
    }
}

/// What a commit changes.
pub(crate) struct News {
    /// States of DIDs.
    pub(crate) states: Vec<Arc<Identity>>,
    /// DIDs with other message keys than before.
    pub(crate) message_keys: Vec<Did>,
}

impl Known {
    /// Bounded; when full it starts anew, as the cache of keys does.
    fn remember(&mut self, did: Did, state: Option<Arc<Identity>>) {
        if self.states.len() >= MAX_STATES && !self.states.contains_key(&did) {
            self.states.clear();
        }
        self.states.insert(did, state);
    }
}

/// States kept in memory: about 1 KB each, 10 KB if a DID has had all the keys that it may have.
const MAX_STATES: usize = 16_384;

/// Recipients kept in memory: a state, and up to [`MAX_MESSAGE_KEYS_READ`] events of 600 bytes at most.
const MAX_RECIPIENTS: usize = 4_096;

/// The newest `message-keys` events of a DID that are looked at. Who says more within 8 days cuts his own overlap short.
const MAX_MESSAGE_KEYS_READ: usize = 32;

impl<S: Deref<Target: Store>> Prefix for Registry<S> {
    type Error = StoreError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, StoreError> {
        Ok(self.state(did)?.map(|state| Cow::Owned((*state).clone())))
    }

    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, StoreError> {
        if !self.size().contains(index) {
            return Ok(None);
        }
        let leaf = self.store.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
        match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
            Entry::Dsse(entry) => Ok(Some(Cow::Owned(Artifact::of(entry.claim())))),
            Entry::Event(_) | Entry::NotUnderstood { .. } => Ok(None),
        }
    }

    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, StoreError> {
        let Some(last) = self.size().get().checked_sub(1) else { return Ok(None) };
        let pair = List::Failures { subject: to, issuer: from };
        let last = self.store.list(&pair, last, Order::Descending, 1)?;
        Ok(last.first().filter(|listed| listed.kind == ListedKind::Failure).map(|listed| listed.index))
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, StoreError> {
        let last = message_keys_at(&*self.store, did, self.size(), 1)?.pop();
        Ok(last.map(|keys| keys.hash))
    }
}

/// Whether `leaf` may stand at `index` behind `before`; its signer's new state, if it gets one.
fn check<P: Prefix<Error = StoreError>>(
    before: &P,
    state: impl FnOnce(Did) -> Result<Option<Arc<Identity>>, StoreError>,
    leaf: &PendingLeaf,
    index: LeafIndex,
) -> Result<Option<Identity>, CheckError<StoreError>> {
    match leaf {
        // Most entries are of this kind: no state is copied for one.
        PendingLeaf::Dsse(entry) => {
            let claim = entry.claim();
            let state = state(claim.did()).map_err(CheckError::Prefix)?;
            check_artifact_signer(state.as_deref(), claim.did(), claim.verifier())?;
            Ok(None)
        }
        PendingLeaf::Event(event) => check_event(before, event, index),
    }
}

/// The state of a DID behind the first `size` entries.
pub fn identity_at<S: Store + ?Sized>(
    store: &S,
    did: Did,
    size: TreeSize,
) -> Result<Option<Identity>, StoreError> {
    let events = identity_events(store, did, size)?;
    Ok(Identity::fold(events.iter().map(|(index, event)| (*index, event))))
}

/// The identity events of a DID among the first `size` entries, in log order.
pub fn identity_events<S: Store + ?Sized>(
    store: &S,
    did: Did,
    size: TreeSize,
) -> Result<Vec<(LeafIndex, PendingEvent)>, StoreError> {
    let most = attestation::identity::MAX_EVENTS as usize;
    let mut listed = store.list(&List::Named(ListKey::Id(did)), 0, Order::Ascending, most)?;
    listed.retain(|listed| size.contains(listed.index));
    let event = |Listed { index, .. }| Ok((index, event_at(store, index)?.pending().clone()));
    listed.into_iter().map(event).collect()
}

/// How messages reach a DID behind the first `size` entries; `None` if it is not registered and has logged no artifact.
pub fn recipient_at<S: Store + ?Sized>(
    store: &S,
    did: Did,
    size: TreeSize,
) -> Result<Option<Recipient>, StoreError> {
    if let Some(state) = identity_at(store, did, size)? {
        let said = message_keys_at(store, did, size, MAX_MESSAGE_KEYS_READ)?;
        let bad_key = |error| damaged(state.since(), error);
        return Recipient::registered(state.clone(), said).map(Some).map_err(bad_key);
    }
    let first = store.list(&List::Named(ListKey::Receipts(did)), 0, Order::Ascending, 1)?;
    let Some(index) = first.first().map(|listed| listed.index).filter(|index| size.contains(*index)) else {
        return Ok(None);
    };
    let leaf = store.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
    match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
        // Without an inception there was never another key.
        Entry::Dsse(entry) => Ed25519PublicKey::from_bytes(entry.claim().verifier())
            .map(|key| Some(Recipient::Bare(key)))
            .map_err(|error| damaged(index, error)),
        Entry::Event(_) | Entry::NotUnderstood { .. } => Err(damaged(index, "it is no artifact entry")),
    }
}

/// The newest `message-keys` events of a DID among the first `size` entries, at most `most`, the newest first.
fn message_keys_at<S: Store + ?Sized>(
    store: &S,
    did: Did,
    size: TreeSize,
    most: usize,
) -> Result<Vec<LoggedKeys>, StoreError> {
    let Some(last) = size.get().checked_sub(1) else { return Ok(Vec::new()) };
    let listed = store.list(&List::Named(ListKey::Messages(did)), last, Order::Descending, most)?;
    let keys = |Listed { index, .. }| {
        LoggedKeys::of(index, &event_at(store, index)?)
            .ok_or_else(|| damaged(index, "it has no message keys"))
    };
    listed.into_iter().map(keys).collect()
}

fn event_at<S: Store + ?Sized>(store: &S, index: LeafIndex) -> Result<EventEntry, StoreError> {
    let leaf = store.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
    match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
        Entry::Event(event) => Ok(*event),
        Entry::Dsse(_) | Entry::NotUnderstood { .. } => Err(damaged(index, "it is no event")),
    }
}

fn damaged(index: LeafIndex, cause: impl std::fmt::Display) -> StoreError {
    StoreError::new("read", format!("leaf {index}: {cause}"))
}

/// A registry, and entries that are to be committed together behind it.
pub(crate) struct Staged<'r, S = Arc<dyn Store>> {
    registry: &'r Registry<S>,
    states: HashMap<Did, Arc<Identity>>,
    failures: HashMap<(Did, Did), Option<LeafIndex>>,
    message_keys: HashMap<Did, ClaimHash>,
}

impl<'r, S: Deref<Target: Store>> Staged<'r, S> {
    pub(crate) fn new(registry: &'r Registry<S>) -> Self {
        Self { registry, states: HashMap::new(), failures: HashMap::new(), message_keys: HashMap::new() }
    }

    /// Takes `leaf` as the entry at `index`, or says which rule it breaks.
    pub(crate) fn take(
        &mut self,
        leaf: &PendingLeaf,
        index: LeafIndex,
    ) -> Result<Result<(), RuleError>, StoreError> {
        match check(self, |did| self.state(did), leaf, index) {
            Err(CheckError::Rule(rule)) => return Ok(Err(rule)),
            Err(CheckError::Prefix(error)) => return Err(error),
            Ok(None) => {}
            Ok(Some(state)) => {
                self.states.insert(state.did(), Arc::new(state));
            }
        }
        if let PendingLeaf::Event(event) = leaf {
            let pair = (event.event().issuer(), event.event().subject());
            match event.event().body() {
                Body::Trust(TrustEvent::Failure { .. }) => {
                    self.failures.insert(pair, Some(index));
                }
                Body::Trust(TrustEvent::Withdrawal { .. }) => {
                    self.failures.insert(pair, None);
                }
                Body::MessageKeys(_) => {
                    self.message_keys.insert(pair.0, event.hash());
                }
                Body::Trust(_) | Body::Identity(_) => (),
            }
        }
        Ok(Ok(()))
    }

    /// What the registry learns once the entries are committed.
    pub(crate) fn into_news(self) -> News {
        News {
            states: self.states.into_values().collect(),
            message_keys: self.message_keys.into_keys().collect(),
        }
    }

    fn state(&self, did: Did) -> Result<Option<Arc<Identity>>, StoreError> {
        match self.states.get(&did) {
            Some(state) => Ok(Some(state.clone())),
            None => self.registry.state(did),
        }
    }
}

impl<S: Deref<Target: Store>> Prefix for Staged<'_, S> {
    type Error = StoreError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, StoreError> {
        Ok(self.state(did)?.map(|state| Cow::Owned((*state).clone())))
    }

    /// Committed ones only: the index of another entry of the round is nobody's to know.
    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, StoreError> {
        self.registry.artifact(index)
    }

    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, StoreError> {
        match self.failures.get(&(from, to)) {
            Some(open) => Ok(*open),
            None => self.registry.open_failure(from, to),
        }
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, StoreError> {
        match self.message_keys.get(&did) {
            Some(hash) => Ok(Some(*hash)),
            None => self.registry.message_keys(did),
        }
    }
}
