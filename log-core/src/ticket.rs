//! Who waits for a claim.
//!
//! A claim has one ticket, however many wait for it. The ticket is there from the moment when the entry is taken until
//! its claim is resolved: who sends the same bytes meanwhile waits with the others. Those who wait for publication are woken
//! once, when their entry is published, and not when it is committed besides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::entry::ClaimHash;
use tlog::{LeafIndex, TreeSize};
use tokio::sync::oneshot;

use crate::admit::Refusal;

/// What a waiter learns: where its claim stands, durably; or why it was not taken.
pub type Sequenced = Result<Committed, NotTaken>;

/// Why an admitted entry was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// It breaks this rule, since another entry came before it. Sending it again does not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
    pub leaf: Arc<[u8]>,
    /// Whether it stood there before the entry came.
    pub was_known: bool,
}

/// Why nothing is taken now. The same bytes may be sent again later.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unavailable {
    /// The pool is full.
    #[error("more entries are waiting than the log takes at a time")]
    Full,
    /// The client's share of the pool is full.
    #[error("more entries of this address are waiting than the log takes of one at a time")]
    ShareFull,
    /// The log's clock cannot be right.
    #[error("sequencing has stopped: {0}")]
    Clock(String),
    /// The log must not sign any more.
    #[error("the log signs nothing any more: {0}")]
    Halted(String),
    /// Nothing is ordered now.
    #[error("the log takes nothing now: {0}")]
    Closed(String),
    /// The server stops.
    #[error("the log is stopping")]
    Stopping,
}

/// For what somebody waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// That the entry is durable.
    Committed,
    /// That it is published.
    Published,
}

/// Waits for a claim. Whoever holds it may go away.
#[derive(Debug)]
pub struct Ticket {
    claim: ClaimHash,
    waiter: oneshot::Receiver<Sequenced>,
}

impl Ticket {
    /// The claim.
    pub fn claim(&self) -> ClaimHash {
        self.claim
    }

    /// The outcome, once it is there. `None`: whoever orders went away without a word.
    pub async fn outcome(&mut self) -> Option<Sequenced> {
        (&mut self.waiter).await.ok()
    }

    /// The outcome, if it is there.
    pub fn try_outcome(&mut self) -> Option<Sequenced> {
        self.waiter.try_recv().ok()
    }
}

/// The tickets of this process.
#[derive(Debug, Default)]
pub struct Tickets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By claims that have no outcome yet.
    waiting: HashMap<ClaimHash, Vec<Waiter>>,
    /// Committed and not published.
    committed: HashMap<ClaimHash, Unpublished>,
}

type Waiter = (Until, oneshot::Sender<Sequenced>);

#[derive(Debug)]
struct Unpublished {
    committed: Committed,
    waiters: Vec<oneshot::Sender<Sequenced>>,
}

impl Tickets {
    /// A waiter for a claim that somebody waits for, if there is such a one.
    pub fn join(&self, claim: ClaimHash, until: Until) -> Option<Ticket> {
        let mut state = self.lock();
        state.join(claim, until)
    }

    /// A waiter for a claim, and whether it is the first: then its entry is to be ordered.
    pub fn register(&self, claim: ClaimHash, until: Until) -> (Ticket, bool) {
        let mut state = self.lock();
        if let Some(ticket) = state.join(claim, until) {
            return (ticket, false);
        }
        let (sender, waiter) = oneshot::channel();
        state.waiting.insert(claim, vec![(until, sender)]);
        (Ticket { claim, waiter }, true)
    }

    /// Tells the outcomes of claims. Whoever waits for publication goes on waiting if his entry is committed and not
    /// among the first `published` entries.
    pub fn resolve(&self, outcomes: impl IntoIterator<Item = (ClaimHash, Sequenced)>, published: TreeSize) {
        let mut told = Vec::new();
        {
            let mut state = self.lock();
            for (claim, outcome) in outcomes {
                let waiters = state.waiting.remove(&claim).unwrap_or_default();
                let unpublished =
                    outcome.as_ref().ok().filter(|committed| !published.contains(committed.index)).cloned();
                let Some(committed) = unpublished else {
                    told.extend(waiters.into_iter().map(|(_, sender)| (sender, outcome.clone())));
                    continue;
                };
                let (later, now): (Vec<_>, Vec<_>) =
                    waiters.into_iter().partition(|(until, _)| *until == Until::Published);
                told.extend(now.into_iter().map(|(_, sender)| (sender, outcome.clone())));
                let waiters = later.into_iter().map(|(_, sender)| sender).collect();
                state.committed.insert(claim, Unpublished { committed, waiters });
            }
        }
        tell(told);
    }

    /// Wakes those who wait for the publication of the first `size` entries.
    pub fn published(&self, size: TreeSize) {
        let mut told = Vec::new();
        {
            let mut state = self.lock();
            state.committed.retain(|_, unpublished| {
                let is_published = size.contains(unpublished.committed.index);
                if is_published {
                    let outcome = Ok(unpublished.committed.clone());
                    told.extend(unpublished.waiters.drain(..).map(|sender| (sender, outcome.clone())));
                }
                !is_published
            });
        }
        tell(told);
    }

    /// How a claim stands that is committed and not published.
    pub fn committed(&self, claim: &ClaimHash) -> Option<Committed> {
        Some(self.lock().committed.get(claim)?.committed.clone())
    }

    /// Tells everybody who waits for an outcome that there will be none.
    pub fn refuse(&self, reason: &Unavailable) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        let waiters = waiting.into_values().flatten();
        tell(waiters.map(|(_, sender)| (sender, Err(reason.clone().into()))).collect());
    }

    /// How many claims have no outcome yet.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether every claim has its outcome.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state is consistent after every statement, so a thread that panicked left no half of one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn join(&mut self, claim: ClaimHash, until: Until) -> Option<Ticket> {
        let (sender, waiter) = oneshot::channel();
        if let Some(waiters) = self.waiting.get_mut(&claim) {
            waiters.push((until, sender));
            return Some(Ticket { claim, waiter });
        }
        let unpublished = self.committed.get_mut(&claim)?;
        match until {
            Until::Published => unpublished.waiters.push(sender),
            Until::Committed => {
                let known = Committed { was_known: true, ..unpublished.committed.clone() };
                let _ = sender.send(Ok(known));
            }
        }
        Some(Ticket { claim, waiter })
    }
}

/// A waiter whose deadline passed has gone; the entry stands all the same.
fn tell(told: Vec<(oneshot::Sender<Sequenced>, Sequenced)>) {
    for (sender, outcome) in told {
        let _ = sender.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use tlog::Hash;

    use super::*;

    #[test]
    fn a_claim_has_one_ticket_and_everybody_hears_what_he_waits_for() {
        let tickets = Tickets::default();
        let claim = ClaimHash::new(Hash::of(b"a"));
        let (mut first, is_first) = tickets.register(claim, Until::Published);
        let (mut second, is_second) = tickets.register(claim, Until::Committed);
        assert!(is_first && !is_second);
        assert!(tickets.join(ClaimHash::new(Hash::of(b"b")), Until::Committed).is_none());
        let committed = Committed { index: LeafIndex::new(7), leaf: (*b"leaf").into(), was_known: false };
        tickets.resolve([(claim, Ok(committed.clone()))], TreeSize::new(7));
        assert_eq!(second.try_outcome(), Some(Ok(committed.clone())));
        assert_eq!(first.try_outcome(), None, "it is not published");
        // Who comes now finds it, and orders nothing.
        let (mut third, is_first) = tickets.register(claim, Until::Committed);
        assert!(!is_first);
        assert!(third.try_outcome().is_some_and(|outcome| outcome.is_ok_and(|known| known.was_known)));
        assert_eq!(tickets.committed(&claim), Some(committed.clone()));
        tickets.published(TreeSize::new(7));
        assert_eq!(first.try_outcome(), None);
        tickets.published(TreeSize::new(8));
        assert_eq!(first.try_outcome(), Some(Ok(committed)));
        assert!(tickets.join(claim, Until::Committed).is_none(), "the log knows it from now on");
        let (mut refused, _) = tickets.register(claim, Until::Published);
        tickets.refuse(&Unavailable::Stopping);
        assert_eq!(refused.try_outcome(), Some(Err(Unavailable::Stopping.into())));
        assert!(tickets.is_empty());
    }
}
