//! The pool: admitted entries that wait for the sequencer.
//!
//! Bounded in entries and bytes: what does not fit is refused at once, never queued. Owns each entry
//! until the sequencer takes it; each waiter holds the other end of a channel and may go away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use attestation::entry::ClaimHash;
use attestation::trust::rules::RuleError;
use tlog::LeafIndex;
use tokio::sync::oneshot;

use crate::admit::Admitted;

/// What a waiter learns: where its claim stands, durably; or why it was not taken.
pub type Sequenced = Result<Committed, NotTaken>;

/// Why an admitted entry was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// Another entry came before, and with it there it breaks this rule. Sending it again does not help.
    #[error(transparent)]
    Refused(#[from] RuleError),
    /// Not now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A claim that is durable in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// Where it stands.
    pub index: LeafIndex,
    /// The leaf, with its `loggedAt`.
    pub leaf: Vec<u8>,
}

/// Why nothing is taken now. The same bytes may be sent again later.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unavailable {
    /// The pool is full.
    #[error("more entries are waiting than the log takes at a time")]
    Full,
    /// The log's clock cannot be right.
    #[error("sequencing has stopped: {0}")]
    Clock(String),
    /// The log must not sign any more.
    #[error("the log signs nothing any more: {0}")]
    Halted(String),
    /// The server stops.
    #[error("the log is stopping")]
    Stopping,
}

/// How much waits, and how a round is filled.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// The most entries that wait.
    pub entries: usize,
    /// The most bytes that wait.
    pub bytes: usize,
    /// The most entries of one round.
    pub round_entries: usize,
    /// A round starts early when so many entries wait.
    pub round_early: usize,
    /// How long a round waits for more entries after the last one ended.
    pub round_interval: Duration,
}

/// What the sequencer waits for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// When the last round ended: the next one waits the round interval from there.
    pub last_round: Instant,
    /// Whether it takes entries now.
    pub takes_entries: bool,
    /// When it has something to do at the latest.
    pub until: Option<Instant>,
}

/// What the sequencer does next.
#[derive(Debug)]
pub enum Turn {
    /// These entries.
    Round(Vec<Pending>),
    /// Look after publication.
    Tend,
    /// Stop: the pool is closed, and what still waits cannot be taken.
    Closed,
}

/// One entry and whoever waits for it.
#[derive(Debug)]
pub struct Pending {
    /// The entry.
    pub admitted: Admitted,
    bytes: usize,
    waiters: Vec<oneshot::Sender<Sequenced>>,
    not_taken: Arc<AtomicU64>,
}

impl Pending {
    /// Tells all who wait.
    pub fn answer(self, sequenced: &Sequenced) {
        if sequenced.is_err() {
            self.not_taken.fetch_add(self.bytes as u64, Ordering::Relaxed);
        }
        for waiter in self.waiters {
            // A waiter whose deadline passed has gone; the entry stands all the same.
            let _ = waiter.send(sequenced.clone());
        }
    }
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    state: Mutex<State>,
    changed: Condvar,
    not_taken: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Pending>,
    by_claim: HashMap<ClaimHash, usize>,
    bytes: usize,
    woken: bool,
    closed: bool,
}

impl State {
    fn join(&mut self, claim: &ClaimHash) -> Option<oneshot::Receiver<Sequenced>> {
        let at = *self.by_claim.get(claim)?;
        let (sender, receiver) = oneshot::channel();
        self.waiting[at].waiters.push(sender);
        Some(receiver)
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        Self { limits, state: Mutex::default(), changed: Condvar::new(), not_taken: Arc::default() }
    }

    /// Adds a waiter to a claim that is already here, if it is.
    pub fn join(&self, claim: &ClaimHash) -> Option<oneshot::Receiver<Sequenced>> {
        self.lock().join(claim)
    }

    /// Adds an entry, or a waiter to the same claim that is already here.
    pub fn push(&self, admitted: Admitted) -> Result<oneshot::Receiver<Sequenced>, Unavailable> {
        let bytes = admitted.bytes();
        let mut state = self.lock();
        if state.closed {
            return Err(Unavailable::Stopping);
        }
        if let Some(receiver) = state.join(&admitted.claim) {
            self.not_taken.fetch_add(bytes as u64, Ordering::Relaxed);
            return Ok(receiver);
        }
        if state.waiting.len() >= self.limits.entries || state.bytes + bytes > self.limits.bytes {
            return Err(Unavailable::Full);
        }
        let (sender, receiver) = oneshot::channel();
        let at = state.waiting.len();
        state.by_claim.insert(admitted.claim, at);
        state.bytes += bytes;
        let not_taken = self.not_taken.clone();
        state.waiting.push(Pending { admitted, bytes, waiters: vec![sender], not_taken });
        if at == 0 || at + 1 == self.limits.round_early {
            self.changed.notify_all();
        }
        Ok(receiver)
    }

    /// Waits for what the sequencer is to do next: a round of entries, oldest first, if it takes any; else, or
    /// when `until` comes or somebody [wakes](Self::wake) it, to look after what is not published yet.
    pub fn next(&self, wish: Wish) -> Turn {
        let mut state = self.lock();
        loop {
            let mut pause = wish.until.map_or(Duration::MAX, remaining);
            if wish.takes_entries && !state.waiting.is_empty() {
                let left = self.limits.round_interval.saturating_sub(wish.last_round.elapsed());
                if left.is_zero() || state.closed || state.waiting.len() >= self.limits.round_early {
                    return Turn::Round(self.fill_round(&mut state));
                }
                pause = pause.min(left);
            } else if state.closed {
                return Turn::Closed;
            }
            // Before each wait: whoever woke the sequencer while it worked did not find it waiting.
            if std::mem::take(&mut state.woken) || wish.until.is_some_and(|until| remaining(until).is_zero())
            {
                return Turn::Tend;
            }
            state = self.wait(state, pause);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        // Not for ever: the platform's clocks cannot add `Duration::MAX`.
        let time = time.min(Duration::from_secs(3_600));
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    fn fill_round(&self, state: &mut State) -> Vec<Pending> {
        let count = state.waiting.len().min(self.limits.round_entries);
        let rest = state.waiting.split_off(count);
        let round = std::mem::replace(&mut state.waiting, rest);
        state.bytes -= round.iter().map(|pending| pending.bytes).sum::<usize>();
        state.by_claim = state.waiting.iter().map(|pending| pending.admitted.claim).zip(0..).collect();
        round
    }

    /// Ends the sequencer's wait: there is news for it.
    pub fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_all();
    }

    /// Refuses everything that waits, for this reason.
    pub fn refuse(&self, reason: &Unavailable) {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.by_claim.clear();
        state.bytes = 0;
        drop(state);
        waiting.into_iter().for_each(|pending| pending.answer(&Err(reason.clone().into())));
    }

    /// Takes nothing more; what waits is still sequenced.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The bytes of entries that were pushed and not taken after all, since this was asked last.
    pub fn take_not_taken(&self) -> u64 {
        self.not_taken.swap(0, Ordering::Relaxed)
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state is consistent after every statement, so a thread that panicked left no half of one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wakes_the_sequencer_while_it_works_is_heard() {
        let pool = Pool::new(PoolLimits {
            entries: 1,
            bytes: 1,
            round_entries: 1,
            round_early: 1,
            round_interval: Duration::ZERO,
        });
        let start = Instant::now();
        let late = start + Duration::from_secs(60);
        let wish = Wish { last_round: start, takes_entries: true, until: Some(late) };
        pool.wake();
        assert!(matches!(pool.next(wish), Turn::Tend));
        assert!(start.elapsed() < Duration::from_secs(30), "not before its time was up");
    }
}
