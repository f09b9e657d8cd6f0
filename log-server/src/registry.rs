//! The registry: under which keys an entry is found, and the state of each DID.
//!
//! [`Keys`] is a pure function of a leaf, so that anyone can rebuild every lookup. The state of a DID is the fold
//! of its identity events. It is not on the disk; [`Registry`] caches some states in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use attestation::did::Did;
use attestation::entry::{Claim, ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body, Event, PendingEvent, TrustEvent};
use attestation::identity::{Identity, check_artifact_signer};
use attestation::lists::{ListKey, Listed, ListedKind, lists_of_event};
use attestation::trust::rules::{Artifact, CheckError, Prefix, RuleError, check_event};
use tlog::{Hash, LeafIndex, TreeSize};

use crate::store::schema::{self, List, Read as _};
use crate::store::{Batch, Order, Store, StoreError};

/// Under which keys an entry is found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keys {
    /// The idempotency key.
    pub claim: Option<Hash>,
    /// Digests of the artifacts it is about, each once, in the order of the leaf.
    pub subjects: Vec<Hash>,
    /// Who signed, and what.
    pub did: Option<(Did, ListedKind)>,
    /// The lists that it stands in, and how; `rcpt` is told by `did`.
    pub lists: Vec<(List, Listed)>,
    /// The envelope it names, published or not.
    pub envelope: Option<Hash>,
}

impl Keys {
    /// The keys of an entry. An entry of a kind that is not understood has none.
    pub fn of(entry: &Entry, index: LeafIndex) -> Self {
        match entry {
            Entry::Dsse(entry) => Self::of_claim(entry.claim(), entry.claim().hash()),
            Entry::Event(event) => Self::of_event(event.event(), event.pending().hash(), index),
            Entry::NotUnderstood { .. } => Self::default(),
        }
    }

    /// The keys of an entry that gets this index; `hash` is its idempotency key.
    pub fn of_pending(leaf: &PendingLeaf, hash: ClaimHash, index: LeafIndex) -> Self {
        match leaf {
            PendingLeaf::Dsse(entry) => Self::of_claim(entry.claim(), hash),
            PendingLeaf::Event(event) => Self::of_event(event.event(), hash, index),
        }
    }

    fn of_claim(claim: &Claim, hash: ClaimHash) -> Self {
        Self {
            claim: Some(hash.get()),
            subjects: claim.listing().map(|listing| listing.subjects.clone()).unwrap_or_default(),
            did: Some((claim.did(), ListedKind::Receipt)),
            lists: Vec::new(),
            envelope: Some(claim.envelope_hash()),
        }
    }

    fn of_event(event: &Event, hash: ClaimHash, index: LeafIndex) -> Self {
        let listed = lists_of_event(event, index);
        let mut lists: Vec<(List, Listed)> =
            listed.iter().map(|(key, listed)| (List::Named(*key), *listed)).collect();
        if let Body::Trust(TrustEvent::Failure { .. } | TrustEvent::Withdrawal { .. }) = event.body() {
            let pair = List::Failures { subject: event.subject(), issuer: event.issuer() };
            lists.extend(listed.iter().map(|(_, listed)| (pair, *listed)));
        }
        Self {
            claim: Some(hash.get()),
            did: Some((event.issuer(), ListedKind::of(event.body()))),
            lists,
            ..Self::default()
        }
    }

    /// Adds the entry to the lookups.
    pub fn put(&self, writes: &mut Batch, index: LeafIndex) {
        if let Some(claim) = &self.claim {
            schema::put_claim(writes, claim, index);
        }
        for subject in &self.subjects {
            schema::put_subject(writes, subject, index);
        }
        if let Some((did, kind)) = &self.did {
            schema::put_did(writes, did, index, *kind);
        }
        for (list, listed) in &self.lists {
            schema::put_listed(writes, list, listed);
        }
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
}

impl<S: Deref<Target: Store>> Registry<S> {
    /// The state behind the first `size` entries of `store`.
    pub fn new(store: S, size: TreeSize) -> Self {
        Self { store, known: RwLock::new(Known { size, states: HashMap::new() }) }
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

    /// Moves on: the first `size` entries are committed, and these states came with the new ones.
    pub(crate) fn commit(&self, size: TreeSize, states: impl IntoIterator<Item = Arc<Identity>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.size = size;
        for state in states {
            known.remember(state.did(), Some(state));
        }
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
    let event = |Listed { index, .. }| {
        let leaf = store.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
        match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
            Entry::Event(event) => Ok((index, event.pending().clone())),
            _ => Err(damaged(index, "it is no event")),
        }
    };
    listed.into_iter().map(event).collect()
}

fn damaged(index: LeafIndex, cause: impl std::fmt::Display) -> StoreError {
    StoreError::new("read", format!("leaf {index}: {cause}"))
}

/// A registry, and entries that are to be committed together behind it.
pub(crate) struct Staged<'r, S = Arc<dyn Store>> {
    registry: &'r Registry<S>,
    states: HashMap<Did, Arc<Identity>>,
    failures: HashMap<(Did, Did), Option<LeafIndex>>,
}

impl<'r, S: Deref<Target: Store>> Staged<'r, S> {
    pub(crate) fn new(registry: &'r Registry<S>) -> Self {
        Self { registry, states: HashMap::new(), failures: HashMap::new() }
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
                Body::Trust(TrustEvent::Failure { .. }) => self.failures.insert(pair, Some(index)),
                Body::Trust(TrustEvent::Withdrawal { .. }) => self.failures.insert(pair, None),
                _ => None,
            };
        }
        Ok(Ok(()))
    }

    /// The states that the registry learns once the entries are committed.
    pub(crate) fn into_states(self) -> Vec<Arc<Identity>> {
        self.states.into_values().collect()
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
}
