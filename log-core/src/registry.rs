//! The registry: the state of each DID.
//!
//! The state of a DID is the fold of its identity events, and how messages reach it follows from its `message-keys` events
//! besides. Neither is on the disk; [`Registry`] caches some in memory, and answers at a size.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use attestation::did::Did;
use attestation::entry::{ClaimHash, Entry, PendingLeaf};
use attestation::event::{Body, EventEntry, PendingEvent};
use attestation::identity::{Identity, check_artifact_signer};
use attestation::lists::{ListKey, Listed, ListedKind};
use attestation::message::{LoggedKeys, Recipient};
use attestation::rules::{Artifact, CheckError, Prefix, RuleError, check_event};
use tlog::key::Ed25519PublicKey;
use tlog::{LeafIndex, TreeSize};

use crate::StoreError;
use crate::keys::List;
use crate::port::{Index as _, Objects as _, OrderState, Page, Reads, Versions, Wants};

/// States of DIDs; `None` of one that is not registered.
pub type States = HashMap<Did, Option<Arc<Identity>>>;

/// The state behind the first entries of a log, in which every entry keeps its rules.
///
/// All admitting threads share it. Who orders moves it on after each batch, and [follows](Self::follow) what others have
/// ordered. Every answer is the state at exactly `size()`. It caches the states of DIDs that were asked for, bare ones too.
pub struct Registry<R = Arc<dyn Reads>> {
    engine: R,
    known: RwLock<Known>,
}

struct Known {
    size: TreeSize,
    versions: Versions,
    states: States,
    recipients: HashMap<Did, Arc<Recipient>>,
}

impl<R: Deref<Target: Reads>> Registry<R> {
    /// The state behind the entries that are ordered at this moment.
    pub fn new(engine: R, at: &OrderState) -> Self {
        let (states, recipients) = (HashMap::new(), HashMap::new());
        Self {
            engine,
            known: RwLock::new(Known { size: at.next, versions: at.versions, states, recipients }),
        }
    }

    /// Whether `leaf`, whose signatures are checked elsewhere, may be the next entry, by all entries before it.
    pub fn check(&self, leaf: &PendingLeaf) -> Result<(), CheckError<StoreError>> {
        let state = |did| self.state(did);
        check(self, state, leaf, LeafIndex::new(self.size().get())).map(drop)
    }

    /// The same by what is in memory, without a look at the engine.
    pub fn check_known(&self, leaf: &PendingLeaf) -> Result<(), CheckError<Unknown>> {
        let state = |did| self.known_state(did).ok_or(Unknown);
        check(&InMemory(self), state, leaf, LeafIndex::new(self.size().get())).map(drop)
    }

    /// The number of entries that it stands behind.
    pub fn size(&self) -> TreeSize {
        self.read().size
    }

    /// Under which versions its states hold.
    pub fn versions(&self) -> Versions {
        self.read().versions
    }

    /// Which of these DIDs have a state in memory, and which.
    pub(crate) fn known_states(&self, dids: impl Iterator<Item = Did>) -> States {
        let known = self.read();
        dids.filter_map(|did| Some((did, known.states.get(&did)?.clone()))).collect()
    }

    /// As [`state`](Self::state), if memory tells.
    pub fn known_state(&self, did: Did) -> Option<Option<Arc<Identity>>> {
        self.read().states.get(&did).cloned()
    }

    /// Moves on: the entries up to `at` are ordered, and this came with those of a batch that was checked under
    /// `checked`. States that are not of the moment of the registry are not kept.
    pub(crate) fn commit(&self, checked: &Versions, at: &OrderState, news: News) {
        let mut known = self.write();
        if known.versions.identity != checked.identity {
            return;
        }
        for (did, state) in news.learned {
            known.remember(did, state);
        }
        (known.size, known.versions) = (at.next.max(known.size), at.versions);
        for state in news.states {
            known.recipients.remove(&state.did());
            known.remember(state.did(), Some(state));
        }
        for did in news.message_keys {
            known.recipients.remove(&did);
        }
    }

    /// Forgets what others have changed since, and stands behind everything that is ordered now.
    pub fn follow(&self) -> Result<(), StoreError> {
        let since = self.versions();
        let (at, events) = self.engine.identity_events_since(since.identity)?;
        let mut known = self.write();
        for (_, event) in events {
            let did = event.event().issuer();
            known.states.remove(&did);
            known.recipients.remove(&did);
        }
        if at.versions.events != since.events {
            known.recipients.clear();
        }
        (known.size, known.versions) = (at.next, at.versions);
        Ok(())
    }

    /// Moves behind the entry at `index`, if it keeps its rules there: for whoever goes through a log from its beginning.
    pub fn take(&self, leaf: &PendingLeaf, index: LeafIndex) -> Result<Result<(), RuleError>, StoreError> {
        let mut news = News::default();
        match check(self, |did| self.state(did), leaf, index) {
            Err(CheckError::Rule(rule)) => return Ok(Err(rule)),
            Err(CheckError::Prefix(error)) => return Err(error),
            Ok(state) => news.states.extend(state.map(Arc::new)),
        }
        if let PendingLeaf::Event(event) = leaf
            && let Body::MessageKeys(_) = event.event().body()
        {
            news.message_keys.push(event.event().issuer());
        }
        self.skip_with(index, news);
        Ok(Ok(()))
    }

    /// Moves behind an entry that is not understood.
    pub fn skip(&self, index: LeafIndex) {
        self.skip_with(index, News::default());
    }

    fn skip_with(&self, index: LeafIndex, news: News) {
        let versions = self.versions();
        let next = TreeSize::new(index.get() + 1);
        self.commit(&versions, &OrderState { next, versions, ..OrderState::default() }, news);
    }

    /// The state of a DID; `None` if it is not registered.
    pub fn state(&self, did: Did) -> Result<Option<Arc<Identity>>, StoreError> {
        let (size, versions) = {
            let known = self.read();
            if let Some(state) = known.states.get(&did) {
                return Ok(state.clone());
            }
            (known.size, known.versions)
        };
        let state = identity_at(&*self.engine, did, size)?.map(Arc::new);
        let mut known = self.write();
        // A state that was read while others were ordered may be behind.
        if (known.size, known.versions) == (size, versions) {
            known.remember(did, state.clone());
        }
        Ok(state)
    }

    /// The state of a DID behind the first `size` entries, at most those that the registry stands behind.
    pub fn state_at(&self, did: Did, size: TreeSize) -> Result<Option<Arc<Identity>>, StoreError> {
        // From its version on nothing has changed.
        if size >= self.versions().identity {
            return self.state(did);
        }
        Ok(identity_at(&*self.engine, did, size)?.map(Arc::new))
    }

    /// As [`recipient`](Self::recipient), if memory tells.
    pub fn known_recipient(&self, did: Did) -> Option<Arc<Recipient>> {
        self.read().recipients.get(&did).cloned()
    }

    /// How messages reach a DID; `None` if it is not registered and has logged no artifact.
    pub fn recipient(&self, did: Did) -> Result<Option<Arc<Recipient>>, StoreError> {
        let (size, versions) = {
            let known = self.read();
            if let Some(recipient) = known.recipients.get(&did) {
                return Ok(Some(recipient.clone()));
            }
            (known.size, known.versions)
        };
        let recipient = recipient_at(&*self.engine, did, size)?.map(Arc::new);
        let mut known = self.write();
        // Read while others were ordered, it may be behind. That there is none ends without news, and is not kept.
        if let (Some(recipient), true) = (&recipient, (known.size, known.versions) == (size, versions)) {
            if known.recipients.len() >= MAX_RECIPIENTS {
                known.recipients.clear();
            }
            known.recipients.insert(did, recipient.clone());
        }
        Ok(recipient)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only the engine knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is not in memory")]
pub struct Unknown;

struct InMemory<'r, R>(&'r Registry<R>);

impl<R: Deref<Target: Reads>> Prefix for InMemory<'_, R> {
    type Error = Unknown;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Unknown> {
        let state = self.0.known_state(did).ok_or(Unknown)?;
        Ok(state.map(|state| Cow::Owned((*state).clone())))
    }

    fn artifact(&self, _: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, Unknown> {
        Err(Unknown)
    }

    fn open_failure(&self, _: Did, _: Did) -> Result<Option<LeafIndex>, Unknown> {
        Err(Unknown)
    }

    fn message_keys(&self, _: Did) -> Result<Option<ClaimHash>, Unknown> {
        Err(Unknown)
    }
}

/// What a batch changes, and what was learned on the way.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// States of DIDs behind the batch.
    pub(crate) states: Vec<Arc<Identity>>,
    /// DIDs with other message keys than before.
    pub(crate) message_keys: Vec<Did>,
    /// States before the batch that were not in memory.
    pub(crate) learned: States,
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

impl<R: Deref<Target: Reads>> Prefix for Registry<R> {
    type Error = StoreError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, StoreError> {
        Ok(self.state(did)?.map(|state| Cow::Owned((*state).clone())))
    }

    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, StoreError> {
        if !self.size().contains(index) {
            return Ok(None);
        }
        let leaf = self.engine.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
        match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
            Entry::Dsse(entry) => Ok(Some(Cow::Owned(Artifact::of(entry.claim())))),
            Entry::Event(_) | Entry::NotUnderstood { .. } => Ok(None),
        }
    }

    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, StoreError> {
        let pair = List::Failures { subject: to, issuer: from };
        let last = self.engine.list(&pair, Page::last(1, self.size()))?;
        Ok(last.first().filter(|listed| listed.kind == ListedKind::Failure).map(|listed| listed.index))
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, StoreError> {
        let last = message_keys_at(&*self.engine, did, self.size(), 1)?.pop();
        Ok(last.map(|keys| keys.hash))
    }
}

/// Whether `leaf` may stand at `index` behind `before`; its signer's new state, if it gets one.
pub(crate) fn check<P: Prefix>(
    before: &P,
    state: impl FnOnce(Did) -> Result<Option<Arc<Identity>>, P::Error>,
    leaf: &PendingLeaf,
    index: LeafIndex,
) -> Result<Option<Identity>, CheckError<P::Error>> {
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
pub fn identity_at<R: Reads + ?Sized>(
    engine: &R,
    did: Did,
    size: TreeSize,
) -> Result<Option<Identity>, StoreError> {
    let events = identity_events(engine, did, size)?;
    Ok(Identity::fold(events.iter().map(|(index, event)| (*index, event))))
}

/// The identity events of a DID among the first `size` entries, in log order.
pub fn identity_events<R: Reads + ?Sized>(
    engine: &R,
    did: Did,
    size: TreeSize,
) -> Result<Vec<(LeafIndex, PendingEvent)>, StoreError> {
    // Not by the list: an entry that is ordered may not be in it yet.
    let wants = Wants { identities: vec![did], ..Wants::default() };
    let mut facts = engine.facts(&wants)?;
    if facts.at.next < size {
        // A store into which leaves are replayed: its order is behind what it holds.
        return listed_identity_events(engine, did, size);
    }
    let events = facts.identities.pop().unwrap_or_default();
    Ok(events.into_iter().filter(|(index, _)| size.contains(*index)).collect())
}

/// The same by the DID's list, for an engine whose lists have everything that is ordered: its facts may stand on this.
pub fn listed_identity_events<R: Reads + ?Sized>(
    engine: &R,
    did: Did,
    size: TreeSize,
) -> Result<Vec<(LeafIndex, PendingEvent)>, StoreError> {
    let most = attestation::identity::MAX_EVENTS as usize;
    let listed = engine.list(&List::Named(ListKey::Id(did)), Page::first(most, size))?;
    let event = |Listed { index, .. }| Ok((index, event_at(engine, index)?.pending().clone()));
    listed.into_iter().map(event).collect()
}

/// How messages reach a DID behind the first `size` entries; `None` if it is not registered and has logged no artifact.
pub fn recipient_at<R: Reads + ?Sized>(
    engine: &R,
    did: Did,
    size: TreeSize,
) -> Result<Option<Recipient>, StoreError> {
    if let Some(state) = identity_at(engine, did, size)? {
        let said = message_keys_at(engine, did, size, MAX_MESSAGE_KEYS_READ)?;
        let bad_key = |error| damaged(state.since(), error);
        return Recipient::registered(state.clone(), said).map(Some).map_err(bad_key);
    }
    let first = engine.list(&List::Named(ListKey::Receipts(did)), Page::first(1, size))?;
    let Some(index) = first.first().map(|listed| listed.index) else { return Ok(None) };
    let leaf = engine.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
    match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
        // Without an inception there was never another key.
        Entry::Dsse(entry) => Ed25519PublicKey::from_bytes(entry.claim().verifier())
            .map(|key| Some(Recipient::Bare(key)))
            .map_err(|error| damaged(index, error)),
        Entry::Event(_) | Entry::NotUnderstood { .. } => Err(damaged(index, "it is no artifact entry")),
    }
}

/// The newest `message-keys` events of a DID among the first `size` entries, at most `most`, the newest first.
pub fn message_keys_at<R: Reads + ?Sized>(
    engine: &R,
    did: Did,
    size: TreeSize,
    most: usize,
) -> Result<Vec<LoggedKeys>, StoreError> {
    let listed = engine.list(&List::Named(ListKey::Messages(did)), Page::last(most, size))?;
    let keys = |Listed { index, .. }| {
        LoggedKeys::of(index, &event_at(engine, index)?)
            .ok_or_else(|| damaged(index, "it has no message keys"))
    };
    listed.into_iter().map(keys).collect()
}

pub(crate) fn event_at<R: Reads + ?Sized>(engine: &R, index: LeafIndex) -> Result<EventEntry, StoreError> {
    let leaf = engine.leaf(index)?.ok_or_else(|| damaged(index, "it is missing"))?;
    match Entry::parse(&leaf).map_err(|e| damaged(index, e))? {
        Entry::Event(event) => Ok(*event),
        Entry::Dsse(_) | Entry::NotUnderstood { .. } => Err(damaged(index, "it is no event")),
    }
}

fn damaged(index: LeafIndex, cause: impl std::fmt::Display) -> StoreError {
    StoreError::new("read", format!("leaf {index}: {cause}"))
}
