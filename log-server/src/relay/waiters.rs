//! Who waits for mail. A waiter holds its place until it is dropped, also because its client went away.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::did::Did;
use service::shares::{Bounds, Refused, Share, Shares, Standing};
use tokio::sync::Notify;

/// All who wait.
#[derive(Debug)]
pub(super) struct Waiters {
    places: Shares,
    of_one_mailbox: usize,
    by_mailbox: Mutex<HashMap<Did, Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    waiters: usize,
    news: Arc<Notify>,
}

/// A place among those who wait for a mailbox, until it is dropped.
#[derive(Debug)]
pub struct Waiter {
    of: Arc<Waiters>,
    owner: Did,
    news: Arc<Notify>,
    _share: Share,
}

/// Why nobody more may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoPlace {
    /// For this mailbox.
    #[error("as many requests wait for this mailbox as may")]
    Mailbox,
    /// From this address.
    #[error("as many requests of this address wait for mail as may of one address")]
    Share,
    /// At this relay.
    #[error("as many requests wait for mail as may")]
    Whole,
}

impl Waiters {
    /// So many at a time, and so many of them for one mailbox. One address has at most a quarter of what it leaves.
    pub(super) fn new(whole: usize, of_one_mailbox: usize) -> Arc<Self> {
        let places = Shares::new(Bounds::of(whole as u64));
        Arc::new(Self { places, of_one_mailbox, by_mailbox: Mutex::default() })
    }

    /// A place for a client that waits for a mailbox.
    pub(super) fn wait(self: &Arc<Self>, owner: Did, client: IpAddr) -> Result<Waiter, NoPlace> {
        let share = self.places.take(Some(client), 1).map_err(|refused| match refused {
            Refused::Share => NoPlace::Share,
            Refused::Whole => NoPlace::Whole,
        })?;
        let mut by_mailbox = self.lock();
        let waiting = by_mailbox.entry(owner).or_default();
        if waiting.waiters >= self.of_one_mailbox {
            return Err(NoPlace::Mailbox);
        }
        waiting.waiters += 1;
        Ok(Waiter { of: self.clone(), owner, news: waiting.news.clone(), _share: share })
    }

    /// Something has come for these mailboxes.
    pub(super) fn tell(&self, owners: impl IntoIterator<Item = Did>) {
        let by_mailbox = self.lock();
        for waiting in owners.into_iter().filter_map(|owner| by_mailbox.get(&owner)) {
            waiting.news.notify_waiters();
        }
    }

    /// Wakes everybody: the relay stops, or fails.
    pub(super) fn tell_all(&self) {
        self.lock().values().for_each(|waiting| waiting.news.notify_waiters());
    }

    /// How many wait, and who of them most.
    pub(super) fn standing(&self) -> Standing {
        self.places.standing()
    }

    /// Every method leaves the map whole, so a thread that panicked left no half of a change.
    fn lock(&self) -> MutexGuard<'_, HashMap<Did, Waiting>> {
        self.by_mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// What tells of news. Enable its `notified` before looking whether something is there, so that nothing is missed in
    /// between.
    pub fn news(&self) -> Arc<Notify> {
        self.news.clone()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut by_mailbox = self.of.lock();
        if let Some(waiting) = by_mailbox.get_mut(&self.owner) {
            waiting.waiters -= 1;
            if waiting.waiters == 0 {
                by_mailbox.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(number: u8) -> Did {
        Did::from_bytes([number; 16])
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn places_are_bounded_for_a_mailbox_an_address_and_all() {
        let waiters = Waiters::new(20, 2);
        let first = waiters.wait(did(1), address(1)).expect("a place");
        let second = waiters.wait(did(1), address(2)).expect("another device");
        assert_eq!(waiters.wait(did(1), address(3)).expect_err("a third"), NoPlace::Mailbox);
        drop(first);
        let third = waiters.wait(did(1), address(3)).expect("who went away left its place");
        let mut held = Vec::new();
        let refused = (2..).find_map(|owner| match waiters.wait(did(owner), address(9)) {
            Ok(waiter) => {
                held.push(waiter);
                None
            }
            Err(refused) => Some(refused),
        });
        assert_eq!((refused, held.len()), (Some(NoPlace::Share), 3), "a quarter of what it leaves");
        drop((second, third, held));
        assert_eq!(waiters.standing().taken, 0);
        assert!(waiters.lock().is_empty(), "no empty mailbox stays in memory");
    }

    #[tokio::test]
    async fn news_reach_those_who_wait_for_that_mailbox() {
        let waiters = Waiters::new(20, 2);
        let place = |owner| waiters.wait(did(owner), address(1)).expect("a place");
        let places = (place(1), place(2));
        let (to_me, to_other) = (places.0.news(), places.1.news());
        let (mut mine, mut other) = (Box::pin(to_me.notified()), Box::pin(to_other.notified()));
        assert!(!mine.as_mut().enable() && !other.as_mut().enable());
        waiters.tell([did(1), did(7)]);
        assert!(mine.as_mut().enable(), "told");
        assert!(!other.as_mut().enable(), "not told");
        waiters.tell_all();
        assert!(other.as_mut().enable());
    }
}
