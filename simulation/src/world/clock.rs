//! A process's clocks: they drift, and somebody sets one of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testkit::scene::START;

use crate::executor::Sim;

/// The clocks of a machine. They go on when a process on it is killed.
#[derive(Clone)]
pub(super) struct Clock(Arc<Mutex<Offsets>>);

struct Offsets {
    /// Millionths by which it is fast.
    drift: i64,
    /// Milliseconds by which the wall clock was set.
    set: i64,
}

impl Clock {
    pub(super) fn new(drift: i64) -> Self {
        Self(Arc::new(Mutex::new(Offsets { drift, set: 0 })))
    }

    /// Sets the wall clock to the right time, and so many milliseconds.
    pub(super) fn set(&self, millis: i64) {
        self.lock().set = millis;
    }

    /// The wall clock, Unix milliseconds.
    pub(super) fn wall(&self, sim: &Sim) -> u64 {
        let millis = self.mono(sim).as_millis() as i64;
        START.saturating_add_signed(millis + self.lock().set)
    }

    /// The clock that nobody sets.
    pub(super) fn mono(&self, sim: &Sim) -> Duration {
        let now = sim.now();
        let drift = now.as_micros() as i64 / 1_000_000 * self.lock().drift;
        Duration::from_micros((now.as_micros() as u64).saturating_add_signed(drift))
    }

    fn lock(&self) -> MutexGuard<'_, Offsets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
