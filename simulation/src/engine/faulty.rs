//! An engine whose calls fail as told: lost, of unknown outcome, slow, paused; and whose reads fail, or are damaged.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::lists::Listed;
use log_core::StoreError;
use log_core::keys::List;
use log_core::port::{
    Call, Epoch, Facts, Failed, Head, Heads, Index, Integration, Kind, Lead, Moved, Object, Objects, Order,
    OrderState, Page, Publishing, Put, Reserved, Sequencing, Signing, Since, Slots, StoredEnvelope,
    Tombstone, Wants,
};
use tlog::tile::Tile;
use tlog::{Hash, LeafIndex, TreeSize};

/// What befalls a call that changes something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Nothing: the call is done.
    None,
    /// It is not done, and the caller is told so.
    Lost,
    /// It is done, and the caller does not learn that.
    UnknownDone,
    /// It is not done, and the caller does not learn that.
    UnknownNotDone,
    /// It is done when it was polled so many times in vain.
    Slow(u32),
    /// It is done when [`Faulty::resume`] is called.
    Paused,
}

/// An engine, and what befalls it. Without a fault it is the engine.
pub struct Faulty<E> {
    engine: E,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Fault>,
    calls: u64,
    reads_fail: bool,
    damaged: Option<LeafIndex>,
    is_paused: bool,
    paused: Vec<Waker>,
}

impl<E> Faulty<E> {
    /// Around an engine.
    pub fn new(engine: E) -> Self {
        Self { engine, state: Mutex::default() }
    }

    /// The engine.
    pub fn into_engine(self) -> E {
        self.engine
    }

    /// The engine, apart from what befalls it.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// These faults befall the next calls that change something, one each.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// How many calls that change something there were.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Lets the calls that are paused go on.
    pub fn resume(&self) {
        let mut state = self.lock();
        state.is_paused = false;
        std::mem::take(&mut state.paused).into_iter().for_each(Waker::wake);
    }

    /// Whether every read fails from now on.
    pub fn fail_reads(&self, fail: bool) {
        self.lock().reads_fail = fail;
    }

    /// The last bit of this leaf is read wrong from now on.
    pub fn damage(&self, leaf: Option<LeafIndex>) {
        self.lock().damaged = leaf;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reads(&self) -> Result<&E, StoreError> {
        match self.lock().reads_fail {
            true => Err(StoreError::new("read", "the fault that was planned")),
            false => Ok(&self.engine),
        }
    }

    async fn befall<T, F>(&self, call: impl FnOnce() -> F + Send) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>> + Send,
        T: Send,
    {
        let fault = {
            let mut state = self.lock();
            state.calls += 1;
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let planned = || StoreError::new("write", "the fault that was planned");
        match fault {
            Fault::None => call().await,
            Fault::Lost => Err(Failed::Lost(planned())),
            Fault::UnknownNotDone => Err(Failed::Unknown(planned())),
            Fault::UnknownDone => {
                call().await?;
                Err(Failed::Unknown(planned()))
            }
            Fault::Slow(polls) => {
                let mut left = polls;
                poll_fn(|context| {
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    context.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                call().await
            }
            Fault::Paused => {
                self.lock().is_paused = true;
                poll_fn(|context| {
                    let mut state = self.lock();
                    if !state.is_paused {
                        return Poll::Ready(());
                    }
                    state.paused.push(context.waker().clone());
                    Poll::Pending
                })
                .await;
                call().await
            }
        }
    }

    fn as_read(&self, index: LeafIndex, leaf: &mut [u8]) {
        if self.lock().damaged == Some(index)
            && let Some(last) = leaf.last_mut()
        {
            *last ^= 1;
        }
    }
}

impl<E: Order> Order for Faulty<E> {
    async fn sequence(&self, call: &Call<'_>) -> Result<Sequencing, Failed> {
        self.befall(|| self.engine.sequence(call)).await
    }
}

impl<E: Head> Head for Faulty<E> {
    async fn heads(&self) -> Result<Heads, StoreError> {
        self.reads()?.heads().await
    }

    async fn lead(&self, holder: &str, lease: Duration) -> Result<Lead, Failed> {
        self.befall(|| self.engine.lead(holder, lease)).await
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<Moved, Failed> {
        self.befall(|| self.engine.renew(epoch, lease)).await
    }

    async fn release(&self, epoch: Epoch) -> Result<Moved, Failed> {
        self.befall(|| self.engine.release(epoch)).await
    }

    async fn integrate(&self, epoch: Epoch, integration: Integration<'_>) -> Result<Moved, Failed> {
        self.befall(|| self.engine.integrate(epoch, integration)).await
    }

    async fn sign(&self, epoch: Epoch, signing: Signing<'_>) -> Result<Moved, Failed> {
        self.befall(|| self.engine.sign(epoch, signing)).await
    }

    async fn publish(&self, epoch: Epoch, publishing: Publishing<'_>) -> Result<Moved, Failed> {
        self.befall(|| self.engine.publish(epoch, publishing)).await
    }

    async fn saw(&self, epoch: Epoch, millis: u64) -> Result<Moved, Failed> {
        self.befall(|| self.engine.saw(epoch, millis)).await
    }
}

impl<E: Index> Index for Faulty<E> {
    fn facts(&self, wants: &Wants) -> Result<Facts, StoreError> {
        self.reads()?.facts(wants)
    }

    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
        self.reads()?.claim(claim)
    }

    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.reads()?.by_subject(subject, page)
    }

    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.reads()?.by_did(did, page)
    }

    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.reads()?.list(list, page)
    }

    fn identity_events_since(&self, since: TreeSize) -> Result<Since, StoreError> {
        self.reads()?.identity_events_since(since)
    }
}

impl<E: Objects> Objects for Faulty<E> {
    fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        self.reads()?.tile(tile)
    }

    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        let mut leaf = self.reads()?.leaf(index)?;
        leaf.iter_mut().for_each(|leaf| self.as_read(index, leaf));
        Ok(leaf)
    }

    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.reads()?.leaves(from, to, &mut |index, leaf| {
            let mut leaf = leaf.to_vec();
            self.as_read(LeafIndex::new(index), &mut leaf);
            visit(index, &leaf);
        })
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        self.reads()?.envelope(hash)
    }

    fn list_objects(&self, kind: Kind, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.reads()?.list_objects(kind, from, limit)
    }

    async fn put(&self, object: Object<'_>) -> Result<Put, Failed> {
        self.befall(|| self.engine.put(object)).await
    }

    async fn erase(&self, envelope: &Hash, tombstone: &Tombstone) -> Result<bool, Failed> {
        self.befall(|| self.engine.erase(envelope, tombstone)).await
    }
}

impl<E: Slots> Slots for Faulty<E> {
    async fn reserve(&self, at: &OrderState, time: LogTime) -> Result<Reserved, Failed> {
        self.befall(|| self.engine.reserve(at, time)).await
    }

    async fn fill(&self, epoch: Epoch, index: LeafIndex, leaf: &[u8]) -> Result<Put, Failed> {
        self.befall(|| self.engine.fill(epoch, index, leaf)).await
    }
}
