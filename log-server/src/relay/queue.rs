//! What waits for the relay's writer. It is bounded: what does not fit is refused at once, never queued.

use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use attestation::did::Did;
use attestation::message::EnvelopeId;
use tokio::sync::oneshot;

use super::index::NoRoom;
use super::settings::Dated;
use super::{Delivered, Delivery, Unavailable};

/// A change that somebody waits for. Who waits learns of it once it is on the disk; a sender that is dropped instead means
/// that nobody knows.
pub(super) enum Change {
    Deliver(Box<Delivery>, oneshot::Sender<Result<Delivered, NoRoom>>),
    Acknowledge { owner: Did, ids: Vec<EnvelopeId>, done: oneshot::Sender<u64> },
    MarkRead { owner: Did, id: EnvelopeId, at: u64, done: oneshot::Sender<bool> },
    Set { owner: Did, settings: Dated, client: Option<IpAddr>, done: oneshot::Sender<Result<(), NotSet>> },
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Deliver(delivery, _) => delivery.mail.to_bytes().len(),
            Self::Acknowledge { .. } | Self::MarkRead { .. } | Self::Set { .. } => 0,
        }
    }
}

/// Why settings are not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotSet {
    /// Newer ones were taken before.
    #[error("the mailbox has settings that were asked for later, or at the same time")]
    Older,
    /// The relay is full.
    #[error("the relay is full")]
    Full,
}

/// What the writer does next.
pub(super) enum Turn {
    /// These changes, in one write.
    Group(Vec<Change>),
    /// What happens from time to time.
    Tick,
    /// Stop: nothing waits, and nothing more comes.
    Closed,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Change>,
    bytes: usize,
    closed: bool,
}

impl State {
    fn take(&mut self) -> Vec<Change> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }
}

impl Queue {
    pub(super) fn push(&self, change: Change) -> Result<(), Unavailable> {
        let mut state = self.lock();
        if state.closed {
            return Err(Unavailable::Stopping);
        }
        let bytes = state.bytes + change.bytes();
        if state.waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            return Err(Unavailable::Busy);
        }
        state.bytes = bytes;
        state.waiting.push(change);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for changes, at least until `earliest`, so that a group is worth its sync; for a tick until `tick`.
    pub(super) fn next(&self, earliest: Instant, tick: Instant) -> Turn {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if !state.waiting.is_empty() && (now >= earliest || state.closed) {
                return Turn::Group(state.take());
            }
            if state.closed {
                return Turn::Closed;
            }
            if now >= tick {
                return Turn::Tick;
            }
            let until = if state.waiting.is_empty() { tick } else { tick.min(earliest) };
            state = self.wait(state, until);
        }
    }

    /// Waits until `until` or until the queue is closed; whether it is. What waits meanwhile is dropped.
    pub(super) fn refuse_until(&self, until: Instant) -> bool {
        let mut state = self.lock();
        loop {
            drop(state.take());
            if state.closed || Instant::now() >= until {
                return state.closed;
            }
            state = self.wait(state, until);
        }
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, until: Instant) -> MutexGuard<'s, State> {
        let pause = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Every method leaves the state whole, so a thread that panicked left no half of a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes that wait: a group of so many takes a few milliseconds beside its sync.
const MAX_WAITING: usize = 1_024;

/// The bytes of messages that wait to be written.
const MAX_WAITING_BYTES: usize = 32 << 20;
