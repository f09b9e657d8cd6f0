//! The bytes of a day: how many may be logged, by all together and by each client.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service::shares::{Bounds, Ledger, Refused, Standing};

/// The budget of a day (UTC). A restart keeps the total of the day, but not the sum of each address.
#[derive(Clone, Debug)]
pub struct DayBytes {
    bounds: Option<Bounds>,
    today: Arc<Mutex<Today>>,
}

#[derive(Debug)]
struct Today {
    /// Days since 1970-01-01.
    number: u64,
    ledger: Ledger,
}

/// Why nothing more is taken today.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DaySpent {
    /// Whose budget is spent.
    pub refused: Refused,
    /// Seconds until the next day.
    pub seconds: u32,
}

impl DayBytes {
    /// A budget within these bounds, of which `taken` bytes were logged on the day `number`. `None`: no limit.
    pub fn new(bounds: Option<Bounds>, number: u64, taken: u64) -> Self {
        let ledger = Ledger::with_taken(bounds.unwrap_or(Bounds::of(u64::MAX)), taken);
        Self { bounds, today: Arc::new(Mutex::new(Today { number, ledger })) }
    }

    /// Takes bytes from what a client may log on the day of `now` (Unix milliseconds).
    pub fn spend(&self, client: IpAddr, bytes: u64, now: u64) -> Result<Spent, DaySpent> {
        if self.bounds.is_none() {
            return Ok(Spent::nothing());
        }
        let mut today = self.on(now);
        let seconds = ((DAY_MILLIS - now % DAY_MILLIS) / 1_000) as u32 + 1;
        today.ledger.take(Some(client), bytes).map_err(|refused| DaySpent { refused, seconds })?;
        let number = today.number;
        Ok(Spent(Some(Taken { of: self.today.clone(), number, client, bytes })))
    }

    /// How the day of `now` stands; `None` without a limit.
    pub fn standing(&self, now: u64) -> Option<Standing> {
        self.bounds.map(|_| self.on(now).ledger.standing())
    }

    /// Whether a client that has logged nothing on the day of `now` may log so many bytes, or its share if that is less.
    pub fn has_left(&self, bytes: u64, now: u64) -> bool {
        let Some(bounds) = self.bounds else { return true };
        self.on(now).ledger.has_left(bytes.min(bounds.each.unwrap_or(bounds.whole)))
    }

    fn on(&self, now: u64) -> MutexGuard<'_, Today> {
        let mut today = lock(&self.today);
        let number = now / DAY_MILLIS;
        if let Some(bounds) = self.bounds.filter(|_| today.number != number) {
            *today = Today { number, ledger: Ledger::new(bounds) };
        }
        today
    }
}

fn lock(today: &Mutex<Today>) -> MutexGuard<'_, Today> {
    today.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that a client took of a day: given back when this is dropped, unless they were [logged](Self::logged).
#[derive(Debug)]
pub struct Spent(Option<Taken>);

#[derive(Debug)]
struct Taken {
    of: Arc<Mutex<Today>>,
    number: u64,
    client: IpAddr,
    bytes: u64,
}

impl Spent {
    /// Of no day.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// The entry is in the log: its bytes are spent.
    pub fn logged(mut self) {
        self.0 = None;
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        let Some(taken) = self.0.take() else { return };
        let mut today = lock(&taken.of);
        if today.number == taken.number {
            today.ledger.give_back(Some(taken.client), taken.bytes);
        }
    }
}

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use service::shares::QUARTER;

    use super::*;

    const NOW: u64 = 20_000 * DAY_MILLIS + 1_000;

    #[test]
    fn one_client_spends_its_share_and_others_go_on() {
        let day = DayBytes::new(Some(Bounds { whole: 800, each: Some(100), part: QUARTER }), 20_000, 0);
        let client = |last: u8| IpAddr::from([192, 0, 2, last]);
        day.spend(client(1), 100, NOW).expect("its share").logged();
        let spent = day.spend(client(1), 1, NOW).expect_err("no more");
        assert_eq!(spent, DaySpent { refused: Refused::Share, seconds: 86_400 });
        drop(day.spend(client(2), 100, NOW).expect("another's share"));
        day.spend(client(2), 100, NOW).expect("what was not logged came back").logged();
        for last in 3..20 {
            while let Ok(spent) = day.spend(client(last), 10, NOW) {
                spent.logged();
            }
        }
        assert!(day.has_left(1, NOW), "{day:?}");
        assert!(!day.has_left(100, NOW));
        // What is given back behind midnight was yesterday's.
        let late = day.spend(client(50), 1, NOW).expect("a byte");
        day.spend(client(1), 100, NOW + DAY_MILLIS).expect("a new day").logged();
        drop(late);
        assert_eq!(day.standing(NOW + DAY_MILLIS).expect("a limit").taken, 100);
    }

    #[test]
    fn what_was_logged_before_a_restart_counts_for_all() {
        let day = DayBytes::new(Some(Bounds { whole: 800, each: Some(100), part: QUARTER }), 20_000, 750);
        let client = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(day.spend(client, 26, NOW).expect_err("too much").refused, Refused::Whole);
        assert!(day.spend(client, 25, NOW).is_ok());
        assert!(DayBytes::new(None, 0, 0).spend(client, u64::MAX, NOW).is_ok(), "no limit");
    }
}
