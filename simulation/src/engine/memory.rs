//! An engine in memory, built as one on a database server will be: the order and the head are apart, so that an entry is
//! ordered before it is integrated; several processes call it at once; leases and epochs count.
//!
//! Changes are written to a log of changes. What was written and not synced may vanish in a [crash](Memory::crash). Each
//! call syncs before it returns, unless a [`Weakness`] says that it does not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::lists::Listed;
use log_core::StoreError;
use log_core::keys::List;
use log_core::port::{
    Call, Epoch, Facts, Failed, Head, Heads, Index, Integration, Kind, KnownEnvelope, Lead, Moved, Object,
    Objects, Order, OrderState, Page, Placed, PublishedNote, Publishing, Put, Reserved, Sequencing, Signing,
    Since, Slots, StoredEnvelope, Tombstone, Wants,
};
use tlog::tile::{TILE_WIDTH, Tile};
use tlog::{Hash, LeafIndex, TreeSize};

use super::tables::{Change, Ordered, Tables, paged};

/// A promise that the engine breaks. A simulation that does not notice is no simulation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Weakness {
    /// Calls return before what they wrote is durable.
    pub no_sync: bool,
    /// Calls of an older epoch move heads.
    pub no_fence: bool,
    /// Entries get the time of the call, also an earlier one than the last entry has.
    pub time_goes_back: bool,
    /// A claim that is known is ordered once more.
    pub forgets_claims: bool,
}

/// The engine. Clones are the same engine.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    weakness: Weakness,
}

#[derive(Default)]
struct State {
    tables: Tables,
    changes: Vec<Change>,
    /// So many of them survive a crash.
    synced: usize,
    closed: Option<String>,
}

impl Memory {
    /// An empty engine whose own clock, Unix milliseconds, is this.
    pub fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::weak(clock, Weakness::default())
    }

    /// An engine that breaks promises.
    pub fn weak(clock: impl Fn() -> u64 + Send + Sync + 'static, weakness: Weakness) -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), clock: Box::new(clock), weakness }))
    }

    /// Orders nothing from now on, for this reason; `None`: orders again.
    pub fn close(&self, reason: Option<String>) {
        self.lock().closed = reason;
    }

    /// Loses what is not synced, but for some of it: `survives` is told how many changes are at stake, and says how many of
    /// them reached the disk all the same. Answers how many vanished.
    pub fn crash(&self, survives: impl FnOnce(usize) -> usize) -> usize {
        let mut state = self.lock();
        let at_stake = state.changes.len() - state.synced;
        let kept = state.synced + survives(at_stake).min(at_stake);
        let lost = state.changes.len() - kept;
        if lost > 0 {
            state.changes.truncate(kept);
            let mut tables = Tables::default();
            state.changes.iter().for_each(|change| tables.apply(change));
            state.tables = tables;
        }
        state.synced = kept;
        lost
    }

    /// Makes everything durable, as a disk does after a while.
    pub fn sync(&self) {
        let mut state = self.lock();
        state.synced = state.changes.len();
    }

    /// Writes entries where the caller says, over whatever is there. No engine does that: it is what an engine would do for
    /// a caller that keeps the order in its own memory.
    pub(crate) fn overwrite(&self, call: &Call<'_>, first: u64) -> Sequencing {
        let mut state = self.lock();
        let logged_at = call.time.as_millis().max(state.tables.order.logged_at);
        let Some(logged_at) = LogTime::from_millis(logged_at) else {
            return Sequencing::Closed("no time that a leaf can carry".into());
        };
        let entries = self.entries(call, logged_at);
        self.write(&mut state, Change::Ordered { first, logged_at: logged_at.as_millis(), entries });
        Sequencing::Sequenced { first: LeafIndex::new(first), logged_at }
    }

    fn entries(&self, call: &Call<'_>, logged_at: LogTime) -> Vec<Ordered> {
        let is_same_time = logged_at == call.time;
        let entries = call.entries.iter().map(|proposed| Ordered {
            claim: proposed.entry.claim,
            entry: proposed.entry.entry.clone(),
            leaf: match is_same_time {
                true => proposed.leaf.to_vec(),
                false => proposed.entry.entry.to_leaf(logged_at),
            },
            envelope: proposed.entry.envelope.clone().filter(|_| proposed.keeps_envelope),
        });
        entries.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State, change: Change) {
        state.tables.apply(&change);
        state.changes.push(change);
        if !self.0.weakness.no_sync {
            state.synced = state.changes.len();
        }
    }

    /// Writes `change` if `holds` under the epoch, or answers where the heads stand.
    fn compare_and_set(&self, epoch: Epoch, holds: impl FnOnce(&Tables) -> bool, change: Change) -> Moved {
        let mut state = self.lock();
        let is_leader = state.tables.epoch == epoch || self.0.weakness.no_fence;
        if !(is_leader && holds(&state.tables)) {
            return Moved::Another(Box::new(heads(&state.tables)));
        }
        self.write(&mut state, change);
        Moved::Moved
    }

    fn sequence_now(&self, call: &Call<'_>) -> Sequencing {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Sequencing::Closed(reason.clone());
        }
        let Weakness { forgets_claims, time_goes_back, .. } = self.0.weakness;
        if !forgets_claims {
            let claims =
                call.entries.iter().map(|proposed| state.tables.claims.get(&proposed.entry.claim.get()));
            let known: Vec<(usize, LeafIndex)> =
                claims.enumerate().filter_map(|(at, index)| Some((at, *index?))).collect();
            if !known.is_empty() {
                return Sequencing::Known(known);
            }
        }
        let order = state.tables.order;
        if !call.is_current(&order.versions) {
            return Sequencing::Stale(order);
        }
        let pending = order.next.get() - state.tables.integrated.edge().size().get();
        if pending + call.entries.len() as u64 > call.max_pending {
            return Sequencing::Full;
        }
        let own = (self.0.clock)();
        let millis = match time_goes_back {
            true => call.time.as_millis(),
            false => call.time.as_millis().max(order.logged_at).max(own),
        };
        let Some(logged_at) = LogTime::from_millis(millis) else {
            return Sequencing::Closed("the engine's clock is no time that a leaf can carry".into());
        };
        let entries = self.entries(call, logged_at);
        self.write(&mut state, Change::Ordered { first: order.next.get(), logged_at: millis, entries });
        Sequencing::Sequenced { first: LeafIndex::new(order.next.get()), logged_at }
    }

    fn put_now(&self, object: Object<'_>) -> Result<Put, Failed> {
        let mut state = self.lock();
        let (is_there, is_same, change) = match object {
            Object::Tile(tile, hashes) => {
                let there = state.tables.tiles.get(&(tile.level(), tile.index()));
                let is_same = there.is_some_and(|there| there == hashes);
                (there.is_some(), is_same, Change::Tile(tile, hashes.to_vec()))
            }
            Object::Bundle(number, leaves) => {
                let first = number.saturating_mul(TILE_WIDTH);
                for (leaf, index) in leaves.iter().zip(first..) {
                    match state.tables.leaf(LeafIndex::new(index)) {
                        Some(there) if there == leaf => (),
                        Some(_) => return Ok(Put::Differs),
                        None => {
                            let missing = format!("leaf {index} is not ordered");
                            return Err(Failed::Lost(StoreError::new("put a bundle", missing)));
                        }
                    }
                }
                let is_there = state.tables.bundles.contains(&number);
                (is_there, is_there, Change::Bundle(number))
            }
            Object::Envelope(hash, bytes) => {
                let new = StoredEnvelope::Present(bytes.to_vec());
                let there = state.tables.envelopes.get(&hash);
                let is_same = there.is_some_and(|there| *there == new);
                (there.is_some(), is_same, Change::Envelope(hash, new))
            }
        };
        match (is_there, is_same) {
            (true, true) => Ok(Put::Stored),
            (true, false) => Ok(Put::Differs),
            (false, _) => {
                self.write(&mut state, change);
                Ok(Put::Stored)
            }
        }
    }

    fn lease(&self, take: impl FnOnce(&Tables, u64) -> Option<(Epoch, u64)>) -> Result<Epoch, Box<Heads>> {
        let now = (self.0.clock)();
        let mut state = self.lock();
        match take(&state.tables, now) {
            Some((epoch, until)) => {
                self.write(&mut state, Change::Leased { epoch, until });
                Ok(epoch)
            }
            None => Err(Box::new(heads(&state.tables))),
        }
    }
}

fn heads(tables: &Tables) -> Heads {
    Heads {
        epoch: tables.epoch,
        ordered: tables.order,
        integrated: tables.integrated.clone(),
        signed: tables.signed.as_ref().map(|(_, note)| note.clone()),
        published: tables.published.as_ref().map(|(_, note)| note.clone()),
        seen: tables.seen,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn moved(lease: Result<Epoch, Box<Heads>>) -> Result<Moved, Failed> {
    Ok(lease.map_or_else(Moved::Another, |_| Moved::Moved))
}

impl Order for Memory {
    async fn sequence(&self, call: &Call<'_>) -> Result<Sequencing, Failed> {
        Ok(self.sequence_now(call))
    }
}

impl Head for Memory {
    async fn heads(&self) -> Result<Heads, StoreError> {
        Ok(heads(&self.lock().tables))
    }

    async fn lead(&self, _: &str, lease: Duration) -> Result<Lead, Failed> {
        let taken = self.lease(|tables, now| {
            (tables.until <= now).then_some((tables.epoch + 1, now.saturating_add(millis(lease))))
        });
        Ok(taken.map_or(Lead::Another, Lead::Mine))
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<Moved, Failed> {
        moved(self.lease(|tables, now| {
            (tables.epoch == epoch).then_some((epoch, now.saturating_add(millis(lease))))
        }))
    }

    async fn release(&self, epoch: Epoch) -> Result<Moved, Failed> {
        moved(self.lease(|tables, _| (tables.epoch == epoch).then_some((epoch, 0))))
    }

    async fn integrate(&self, epoch: Epoch, integration: Integration<'_>) -> Result<Moved, Failed> {
        let Integration { from, tree, rows } = integration;
        let size = tree.edge().size();
        let is_whole = size.get().checked_sub(from.get()) == Some(rows.len() as u64);
        let change = Change::Integrated { tree: tree.clone(), rows: rows.to_vec(), from: from.get() };
        let holds = |tables: &Tables| {
            is_whole && tables.integrated.edge().size() == from && size <= tables.order.next
        };
        Ok(self.compare_and_set(epoch, holds, change))
    }

    async fn sign(&self, epoch: Epoch, signing: Signing<'_>) -> Result<Moved, Failed> {
        let Signing { size, note } = signing;
        let holds = |tables: &Tables| {
            tables.signed.as_ref().is_none_or(|(signed, _)| *signed <= size)
                && size <= tables.integrated.edge().size()
        };
        Ok(self.compare_and_set(epoch, holds, Change::Signed { size, note: note.to_owned() }))
    }

    async fn publish(&self, epoch: Epoch, publishing: Publishing<'_>) -> Result<Moved, Failed> {
        let Publishing { size, note, sigstore, signed } = publishing;
        let note = PublishedNote { note: note.to_owned(), sigstore: Some(sigstore.to_owned()) };
        let change = Change::Published { size, note, signed: signed.map(str::to_owned) };
        let signs = signed.is_some();
        let holds = |tables: &Tables| {
            let before = tables.signed.as_ref().map(|(size, _)| *size);
            let is_signed = match signs {
                true => before.is_none_or(|before| before <= size),
                false => before.is_some_and(|before| size <= before),
            };
            is_signed
                && tables.published.as_ref().is_none_or(|(published, _)| *published <= size)
                && size <= tables.integrated.edge().size()
        };
        Ok(self.compare_and_set(epoch, holds, change))
    }

    async fn saw(&self, epoch: Epoch, millis: u64) -> Result<Moved, Failed> {
        Ok(self.compare_and_set(epoch, |_| true, Change::Saw(millis)))
    }
}

impl Index for Memory {
    fn facts(&self, wants: &Wants) -> Result<Facts, StoreError> {
        let state = self.lock();
        let tables = &state.tables;
        let placed = |claim: &Hash| {
            let index = *tables.claims.get(claim)?;
            Some(Placed { index, leaf: tables.leaf(index)?.clone() })
        };
        let known = |hash: &Hash| {
            Some(match tables.envelopes.get(hash)? {
                StoredEnvelope::Present(_) => KnownEnvelope::Present,
                StoredEnvelope::Erased(_) => KnownEnvelope::Erased,
            })
        };
        Ok(Facts {
            at: tables.order,
            claims: wants.claims.iter().map(placed).collect(),
            envelopes: wants.envelopes.iter().map(known).collect(),
            identities: wants
                .identities
                .iter()
                .map(|did| tables.identities.get(did).cloned().unwrap_or_default())
                .collect(),
            failures: wants.failures.iter().map(|pair| tables.failures.get(pair).copied()).collect(),
            message_keys: wants
                .message_keys
                .iter()
                .map(|did| tables.message_keys.get(did).copied())
                .collect(),
            artifacts: wants.artifacts.iter().map(|index| tables.artifact(*index)).collect(),
        })
    }

    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
        Ok(self.lock().tables.claims.get(claim).copied())
    }

    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        let state = self.lock();
        let all = state.tables.subjects.get(subject).map_or(&[][..], Vec::as_slice);
        Ok(paged(all, page, |index| *index))
    }

    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        let state = self.lock();
        let all = state.tables.dids.get(did).map_or(&[][..], Vec::as_slice);
        Ok(paged(all, page, |(index, _)| *index).into_iter().map(|(index, _)| index).collect())
    }

    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError> {
        Ok(self.lock().tables.list(list, page))
    }

    fn identity_events_since(&self, since: TreeSize) -> Result<Since, StoreError> {
        let state = self.lock();
        Ok((state.tables.order, state.tables.identity_events_since(since)))
    }
}

impl Objects for Memory {
    fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        Ok(self.lock().tables.tiles.get(&(tile.level(), tile.index())).cloned())
    }

    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().tables.leaf(index).cloned())
    }

    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        let state = self.lock();
        for index in from..to {
            let leaf = state.tables.leaf(LeafIndex::new(index));
            let leaf = leaf.ok_or_else(|| StoreError::new("read", format!("leaf {index} is missing")))?;
            visit(index, leaf);
        }
        Ok(())
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        Ok(self.lock().tables.envelopes.get(hash).cloned())
    }

    fn list_objects(&self, kind: Kind, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let state = self.lock();
        Ok(match kind {
            Kind::Tiles(level) => {
                let tiles = state.tables.tiles.range((level, from)..=(level, u64::MAX));
                tiles.map(|((_, number), _)| *number).take(limit).collect()
            }
            Kind::Bundles => state.tables.bundles.range(from..).take(limit).copied().collect(),
        })
    }

    async fn put(&self, object: Object<'_>) -> Result<Put, Failed> {
        self.put_now(object)
    }

    async fn erase(&self, envelope: &Hash, tombstone: &Tombstone) -> Result<bool, Failed> {
        let mut state = self.lock();
        let is_there = matches!(state.tables.envelopes.get(envelope), Some(StoredEnvelope::Present(_)));
        if is_there {
            self.write(&mut state, Change::Envelope(*envelope, StoredEnvelope::Erased(tombstone.clone())));
            // What was replaced stays in no log of changes either.
            for change in &mut state.changes {
                match change {
                    Change::Envelope(hash, stored) if hash == envelope => {
                        *stored = StoredEnvelope::Erased(tombstone.clone());
                    }
                    Change::Ordered { entries, .. } => {
                        entries.iter_mut().for_each(|ordered| {
                            ordered.envelope.take_if(|(hash, _)| hash == envelope);
                        });
                    }
                    _ => (),
                }
            }
        }
        Ok(is_there)
    }
}

impl Slots for Memory {
    async fn reserve(&self, at: &OrderState, time: LogTime) -> Result<Reserved, Failed> {
        let mut state = self.lock();
        let order = state.tables.order;
        let logged_at = time.as_millis().max(order.logged_at).max((self.0.clock)());
        let reserved = match LogTime::from_millis(logged_at) {
            Some(time) if order.next == at.next => {
                let index = order.next.get();
                self.write(&mut state, Change::Reserved { index, logged_at });
                Reserved::At(LeafIndex::new(index), time)
            }
            _ => Reserved::Stale(order),
        };
        Ok(reserved)
    }

    async fn fill(&self, epoch: Epoch, index: LeafIndex, leaf: &[u8]) -> Result<Put, Failed> {
        let mut state = self.lock();
        let refused = |why: String| Err(Failed::Lost(StoreError::new("fill a slot", why)));
        if state.tables.epoch != epoch {
            return refused(format!("epoch {epoch} is past: it is {}", state.tables.epoch));
        }
        if !state.tables.order.next.contains(index) {
            return refused(format!("index {index} is not reserved"));
        }
        match state.tables.leaf(index) {
            Some(there) if there == leaf => Ok(Put::Stored),
            Some(_) => Ok(Put::Differs),
            None => {
                self.write(&mut state, Change::Filled { index: index.get(), leaf: leaf.to_vec() });
                Ok(Put::Stored)
            }
        }
    }
}
