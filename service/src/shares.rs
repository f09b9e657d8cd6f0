//! A bounded whole, and each client's share of it.
//!
//! With one bound on the whole, one client can keep all others out; with a fixed share of a quarter, four can. So a client
//! has a bound of its own, and holds at most a part of what it leaves. With a quarter, one client gets a fifth of the
//! whole, and each further one a fifth of what is left. Ten greedy clients leave a tenth free.
//!
//! A client is an IPv4 address or a /64 of IPv6, which is what one customer gets. All who share an address are one
//! client, attackers included.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::addresses::network;

/// How much there is of a thing.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What all clients together may hold.
    pub whole: u64,
    /// What one client may hold at most; `None`: as much as there is, and `part` does not count.
    pub each: Option<u64>,
    /// A client holds at most this part of what is left: 4 is a quarter.
    pub part: u64,
}

impl Bounds {
    /// A whole of which a client may hold a quarter of what it leaves.
    pub fn of(whole: u64) -> Self {
        Self { whole, each: Some(whole), part: QUARTER }
    }
}

/// Why a client gets nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// It holds its share.
    Share,
    /// All together hold so much that what this client asks for is not left.
    Whole,
}

/// What is taken of a whole, and by whom. Pure.
#[derive(Debug)]
pub struct Ledger {
    bounds: Bounds,
    taken: u64,
    by_client: HashMap<IpAddr, u64>,
    refused_share: u64,
    refused_whole: u64,
}

/// How a ledger stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// What all clients together may hold.
    pub whole: u64,
    /// What they hold.
    pub taken: u64,
    /// Who holds most, and how much.
    pub most: Option<(IpAddr, u64)>,
    /// How often a client was refused because it held its share.
    pub refused_share: u64,
    /// How often a client was refused because nothing was left.
    pub refused_whole: u64,
}

impl Ledger {
    /// A ledger of which nobody holds anything yet.
    pub fn new(bounds: Bounds) -> Self {
        Self::with_taken(bounds, 0)
    }

    /// A ledger of which `taken` is taken already, by unknown clients.
    pub fn with_taken(bounds: Bounds, taken: u64) -> Self {
        Self { bounds, taken, by_client: HashMap::new(), refused_share: 0, refused_whole: 0 }
    }

    /// Gives a client `amount`. `None` stands for many clients at once, such as a trusted proxy, and has no share.
    pub fn take(&mut self, client: Option<IpAddr>, amount: u64) -> Result<(), Refused> {
        let refused = self.refuses(client, amount);
        match refused {
            Some(Refused::Share) => self.refused_share += 1,
            Some(Refused::Whole) => self.refused_whole += 1,
            None => {
                self.taken += amount;
                if let Some(client) = client {
                    self.forget_small();
                    *self.by_client.entry(network(client)).or_insert(0) += amount;
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn refuses(&self, client: Option<IpAddr>, amount: u64) -> Option<Refused> {
        let left = self.bounds.whole.saturating_sub(self.taken);
        let (Some(client), Some(each)) = (client, self.bounds.each) else {
            return (amount > left).then_some(Refused::Whole);
        };
        match self.by_client.get(&network(client)) {
            // A client that holds nothing may take one thing that is larger than a share, up to half of what is left.
            None if amount > left.div_ceil(2) => Some(Refused::Whole),
            None => (amount > each).then_some(Refused::Share),
            Some(held) => {
                let wanted = held.saturating_add(amount);
                (wanted > each || wanted > left / self.bounds.part).then_some(Refused::Share)
            }
        }
    }

    /// Takes back what a client was given.
    pub fn give_back(&mut self, client: Option<IpAddr>, amount: u64) {
        self.taken = self.taken.saturating_sub(amount);
        let Some(client) = client.map(network) else { return };
        if let Some(held) = self.by_client.get_mut(&client) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.by_client.remove(&client);
            }
        }
    }

    /// Whether so much is left for a client that holds nothing.
    pub fn has_left(&self, amount: u64) -> bool {
        amount <= self.bounds.whole.saturating_sub(self.taken).div_ceil(2)
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let most = self.by_client.iter().max_by_key(|(_, held)| **held);
        Standing {
            whole: self.bounds.whole,
            taken: self.taken,
            most: most.map(|(client, held)| (*client, *held)),
            refused_share: self.refused_share,
            refused_whole: self.refused_whole,
        }
    }

    /// Bounds memory: with too many clients, those that hold least are no longer told apart.
    fn forget_small(&mut self) {
        if self.by_client.len() >= MAX_CLIENTS {
            let small = self.bounds.whole / MAX_CLIENTS as u64;
            let small = self.bounds.each.map_or(small, |each| small.min(each / 2));
            self.by_client.retain(|_, held| *held > small);
        }
    }
}

/// A ledger that many threads use. What a client took comes back when its [`Share`] is dropped.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Mutex<Ledger>>);

impl Shares {
    /// Shares of a whole that nobody holds yet.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Ledger::new(bounds))))
    }

    /// Gives a client so much, until the share is dropped.
    pub fn take(&self, client: Option<IpAddr>, amount: u64) -> Result<Share, Refused> {
        self.lock().take(client, amount)?;
        Ok(Share { of: self.clone(), client, amount })
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.lock().standing()
    }

    /// Every method leaves the ledger whole, so a thread that panicked left no half of a change.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client holds of a whole, until this is dropped.
#[derive(Debug)]
pub struct Share {
    of: Shares,
    client: Option<IpAddr>,
    amount: u64,
}

impl Share {
    /// How much it is.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Takes more.
    pub fn grow(&mut self, more: u64) -> Result<(), Refused> {
        self.of.lock().take(self.client, more)?;
        self.amount += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.lock().give_back(self.client, self.amount);
    }
}

/// Says on stderr that a bound refuses clients: once a minute at most, with who holds most of it.
#[derive(Debug, Default)]
pub struct Warnings {
    told: HashMap<&'static str, (u64, Instant)>,
}

impl Warnings {
    /// Looks at how `what` stands.
    pub fn look(&mut self, what: &'static str, standing: &Standing) {
        let refused = standing.refused_share + standing.refused_whole;
        let (told, at) = self.told.get(what).copied().map_or((0, None), |(told, at)| (told, Some(at)));
        if refused == told || at.is_some_and(|at| at.elapsed() < BETWEEN_WARNINGS) {
            return;
        }
        self.told.insert(what, (refused, Instant::now()));
        let Standing { whole, taken, most, .. } = *standing;
        let (most, holds) = most.map_or((None, 0), |(most, holds)| (Some(most), holds));
        let most = most.map_or_else(|| "nobody".to_owned(), |most| most.to_string());
        tracing::warn!(what, refused = refused - told, taken, whole, %most, holds, "clients were refused: a bound is reached");
    }
}

const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// The part of what is left that one client may hold.
pub const QUARTER: u64 = 4;

/// Clients that a ledger tells apart.
const MAX_CLIENTS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    /// Takes one at a time until nothing more is given.
    fn greedy(ledger: &mut Ledger, client: Option<IpAddr>) -> u64 {
        (0..).take_while(|_| ledger.take(client, 1).is_ok()).count() as u64
    }

    #[test]
    fn however_many_take_what_they_can_a_part_is_left() {
        for clients in [1, 2, 5, 10] {
            let mut ledger = Ledger::new(Bounds { whole: 4_096, each: Some(1_024), part: QUARTER });
            let held: Vec<u64> = (0..clients).map(|client| greedy(&mut ledger, address(client))).collect();
            assert!(held.iter().all(|held| *held <= 4_096 / 5 + 1), "{held:?}");
            assert!(ledger.has_left(4_096 / 20), "{held:?}");
        }
        // All of them at once, turn about.
        let mut ledger = Ledger::new(Bounds::of(4_096));
        for _ in 0..4_096 {
            for client in 0..10 {
                let _ = ledger.take(address(client), 1);
            }
        }
        assert!(ledger.has_left(4_096 / 20), "{ledger:?}");
    }

    #[test]
    fn a_share_is_of_a_network_and_comes_back() {
        let shares = Shares::new(Bounds { whole: 10, each: Some(3), part: QUARTER });
        let of = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let mut first = shares.take(of("2001:db8::1"), 1).expect("a share");
        first.grow(1).expect("more of it");
        assert_eq!(shares.take(of("2001:db8::2:3"), 2).expect_err("the same network"), Refused::Share);
        let other = shares.take(of("2001:db8:0:1::1"), 3).expect("another network");
        let proxy = shares.take(None, 5).expect("a proxy has no share");
        assert_eq!(shares.take(of("192.0.2.1"), 1).expect_err("nothing left"), Refused::Whole);
        assert_eq!(first.grow(1), Err(Refused::Share));
        let standing = shares.standing();
        assert_eq!((standing.taken, standing.refused_share, standing.refused_whole), (10, 2, 1));
        drop((first, other, proxy));
        let standing = shares.standing();
        assert_eq!((standing.taken, standing.most), (0, None), "nothing is kept of who has left");
    }

    #[test]
    fn one_thing_larger_than_a_share_is_given_to_who_holds_nothing() {
        let mut ledger = Ledger::new(Bounds::of(10));
        assert_eq!(ledger.take(address(1), 6), Err(Refused::Whole));
        assert_eq!(ledger.take(address(1), 5), Ok(()));
        assert_eq!(ledger.take(address(1), 1), Err(Refused::Share));
        assert_eq!(Ledger::new(Bounds::of(1)).take(address(1), 1), Ok(()), "the only one");
        let mut unlimited = Ledger::new(Bounds { whole: 10, each: None, part: QUARTER });
        assert_eq!(greedy(&mut unlimited, address(1)), 10);
    }

    #[test]
    fn a_ledger_of_many_small_clients_is_bounded() {
        let mut ledger = Ledger::new(Bounds { whole: 1 << 40, each: Some(1 << 37), part: QUARTER });
        ledger.take(address(0), 1 << 30).expect("a share");
        for client in 1..200_000 {
            ledger.take(address(client), 1_000).expect("a share");
        }
        assert!(ledger.by_client.len() <= MAX_CLIENTS);
        assert_eq!(ledger.standing().most, Some((IpAddr::from([0; 4]), 1 << 30)), "who holds much is known");
    }
}
