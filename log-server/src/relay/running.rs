//! The relay's thread, and what it shares with those who ask.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use attestation::did::Did;
use service::clock;

use super::disk::Disk;
use super::index::Limits;
use super::mail::Mailroom;
use super::queue::{Queue, Turn};
use super::waiters::Waiters;
use super::{Clock, Unavailable};
use crate::metrics;
use crate::store::StoreError;

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) state: RwLock<State>,
    pub(super) queue: Queue,
    pub(super) waiters: Arc<Waiters>,
    /// Free disk space is below the relay's floor.
    pub(super) disk_low: AtomicBool,
}

/// How the relay stands.
pub(super) enum State {
    Opening,
    Open(Arc<Mailroom>),
    /// For this reason, which the operator reads.
    Failed(String),
    Stopping,
}

impl Shared {
    pub(super) fn open(&self) -> Result<Arc<Mailroom>, Unavailable> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(mail) => Ok(mail.clone()),
            State::Opening | State::Failed(_) => Err(Unavailable::Closed),
            State::Stopping => Err(Unavailable::Stopping),
        }
    }

    fn stand(&self, state: State) {
        metrics::relay_open(matches!(state, State::Open(_)));
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn fail(&self, reason: String) {
        self.stand(State::Failed(reason));
        self.waiters.tell_all();
    }

    /// The relay's thread: opens the mail, writes until that fails, and begins again from what is on the disk.
    pub(super) fn run(&self) {
        let mut was_open = false;
        // Once, and not when the mail is opened again: the wall clock may have jumped meanwhile.
        let started = ((self.clock.now)(), clock::steady());
        loop {
            let failed = match catch_unwind(AssertUnwindSafe(|| self.serve(&mut was_open, started))) {
                Ok(Ok(())) => return self.stand(State::Stopping),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the relay panicked".to_owned(),
            };
            tracing::error!(
                error = failed,
                folder = %self.path.display(),
                "the relay answers 503 until its mail can be used; the log goes on"
            );
            self.fail(failed);
            if self.queue.refuse_until(Instant::now() + BETWEEN_STARTS) {
                return self.stand(State::Stopping);
            }
        }
    }

    /// Opens the mail and writes until it is closed. `was_open`: the mail was there in this process, and is not made anew.
    fn serve(&self, was_open: &mut bool, started: (u64, Duration)) -> Result<(), StoreError> {
        if !*was_open && Disk::create_if_missing(&self.path)? {
            tracing::info!(folder = %self.path.display(), "the relay begins without mail");
        }
        let mail = Arc::new(Mailroom::open(Disk::open(&self.path)?, self.limits)?);
        *was_open = true;
        self.stand(State::Open(mail.clone()));
        let served = self.write(&mail, started);
        mail.close();
        served
    }

    fn write(&self, mail: &Arc<Mailroom>, started: (u64, Duration)) -> Result<(), StoreError> {
        let (mut earliest, mut tick) = (Instant::now(), Instant::now() + BETWEEN_TICKS);
        loop {
            match self.queue.next(earliest, tick) {
                Turn::Group(group) => {
                    let start = Instant::now();
                    earliest = start + BETWEEN_WRITES;
                    let news: BTreeSet<Did> = mail.commit(group, (self.clock.now)())?;
                    metrics::relay_committed(start.elapsed());
                    self.waiters.tell(news);
                }
                Turn::Tick => {
                    tick = Instant::now() + BETWEEN_TICKS;
                    if !(self.clock.doubted)() {
                        let expired = mail.expire(self.sure_time(started))?;
                        metrics::relay_expired(expired);
                    }
                    mail.compact_if_due((self.clock.now)())?;
                }
                Turn::Closed => return Ok(()),
            }
            // A reader found damage.
            if let State::Failed(reason) = &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
                return Err(StoreError::new("go on", reason));
            }
        }
    }

    /// The time by which mail expires: the wall clock's, but never further from the start than a clock that nobody sets
    /// has gone, so that a wall clock that jumps ahead deletes nothing.
    pub(super) fn sure_time(&self, (wall, steady): (u64, Duration)) -> u64 {
        let gone = clock::steady().saturating_sub(steady).as_millis() as u64;
        (self.clock.now)().min(wall.saturating_add(gone).saturating_add(SLACK_MILLIS))
    }
}

/// Writes begin so long after each other at least, so that a group is worth its sync, and the log has its part of the disk.
const BETWEEN_WRITES: Duration = Duration::from_millis(10);

/// How often what has expired is deleted.
const BETWEEN_TICKS: Duration = Duration::from_secs(2);

/// When mail that cannot be used is looked at again.
const BETWEEN_STARTS: Duration = Duration::from_secs(30);

/// The clocks of a machine may drift so far from each other.
pub(super) const SLACK_MILLIS: u64 = 5 * 60 * 1_000;
