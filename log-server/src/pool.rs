//! The pool: admitted entries that wait for the sequencer.
//!
//! It is bounded in entries and bytes, for all together and for each client. An entry that does not fit is refused at once,
//! never queued. The pool owns each entry until the sequencer takes it. Who waits for its claim holds a ticket.

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use attestation::entry::ClaimHash;
pub use log_core::ticket::{Committed, NotTaken, Sequenced, Ticket, Tickets, Unavailable, Until};
use service::shares::{Bounds, Ledger, Refused, Standing};
use tlog::TreeSize;

use crate::admit::Admitted;
use crate::day::Spent;

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

/// One entry, and what it holds of its client's shares.
#[derive(Debug)]
pub struct Pending {
    /// The entry.
    pub admitted: Admitted,
    client: Option<IpAddr>,
    spent: Spent,
}

impl Pending {
    /// The entry, and what it took of the day.
    pub fn into_parts(self) -> (Admitted, Spent) {
        (self.admitted, self.spent)
    }
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    tickets: Arc<Tickets>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Vec<Pending>,
    entries: Ledger,
    bytes: Ledger,
    woken: bool,
    closed: bool,
}

impl State {
    fn take_room(&mut self, client: Option<IpAddr>, bytes: u64) -> Result<(), Refused> {
        self.entries.take(client, 1)?;
        self.bytes.take(client, bytes).inspect_err(|_| self.entries.give_back(client, 1))
    }

    fn give_room(&mut self, pending: &[Pending]) {
        for Pending { admitted, client, .. } in pending {
            self.entries.give_back(*client, 1);
            self.bytes.give_back(*client, admitted.bytes() as u64);
        }
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: PoolLimits, tickets: Arc<Tickets>) -> Self {
        // What waits is gone in a moment: a client may have the half.
        let half = |whole: usize| Bounds { whole: whole as u64, each: Some(whole as u64), part: 1 };
        let state = State {
            waiting: Vec::new(),
            entries: Ledger::new(half(limits.entries)),
            bytes: Ledger::new(half(limits.bytes)),
            woken: false,
            closed: false,
        };
        Self { limits, tickets, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A ticket for a claim that somebody waits for, if there is such a one.
    pub fn join(&self, claim: ClaimHash, until: Until) -> Option<Ticket> {
        self.tickets.join(claim, until)
    }

    /// How a claim stands that is committed and not published.
    pub fn committed(&self, claim: &ClaimHash) -> Option<Committed> {
        self.tickets.committed(claim)
    }

    /// Adds a client's entry, unless somebody waits for the same claim already; a ticket for it in either case. `spent` is
    /// what the entry took of the day.
    pub fn push(
        &self,
        admitted: Admitted,
        client: Option<IpAddr>,
        spent: Spent,
        until: Until,
    ) -> Result<Ticket, Unavailable> {
        let claim = admitted.claim;
        let (ticket, is_first) = self.tickets.register(claim, until);
        if !is_first {
            return Ok(ticket);
        }
        self.add(Pending { admitted, client, spent }).map(|()| ticket).inspect_err(|reason| {
            // Also whoever has joined meanwhile.
            self.tickets.resolve([(claim, Err(reason.clone().into()))], TreeSize::EMPTY);
        })
    }

    fn add(&self, pending: Pending) -> Result<(), Unavailable> {
        let mut state = self.lock();
        if state.closed {
            return Err(Unavailable::Stopping);
        }
        let bytes = pending.admitted.bytes() as u64;
        state.take_room(pending.client, bytes).map_err(|refused| match refused {
            Refused::Share => Unavailable::ShareFull,
            Refused::Whole => Unavailable::Full,
        })?;
        let at = state.waiting.len();
        state.waiting.push(pending);
        if at == 0 || at + 1 == self.limits.round_early {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits for the sequencer's next turn: a round of entries, oldest first, if it takes entries now. Otherwise, or when
    /// `until` comes or somebody [wakes](Self::wake) it, the turn is to look after publication.
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
            // Check before each wait: a wake-up that came while the sequencer worked found nobody waiting.
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
        state.give_room(&round);
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
        state.give_room(&waiting);
        drop(state);
        self.tickets.refuse(reason);
    }

    /// Takes nothing more; what waits is still sequenced.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// How the room for entries stands, and that for their bytes.
    pub fn standing(&self) -> (Standing, Standing) {
        let state = self.lock();
        (state.entries.standing(), state.bytes.standing())
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
        let limits = PoolLimits {
            entries: 1,
            bytes: 1,
            round_entries: 1,
            round_early: 1,
            round_interval: Duration::ZERO,
        };
        let pool = Pool::new(limits, Arc::default());
        let start = Instant::now();
        let late = start + Duration::from_secs(60);
        let wish = Wish { last_round: start, takes_entries: true, until: Some(late) };
        pool.wake();
        assert!(matches!(pool.next(wish), Turn::Tend));
        assert!(start.elapsed() < Duration::from_secs(30), "not before its time was up");
    }
}
