//! Cosignature time: never going back for a log, and not to be poisoned.
//!
//! A cosignature says "at this time I had seen nothing larger". A clock that jumps would make that a lie, and a time in
//! the future would stay. So the guard compares the wall clock with a clock that nobody sets and with the last
//! cosignature. While they disagree nothing is signed, until the clock is right or the operator accepts it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tlog::UnixTime;

use crate::metrics;

/// How far the wall clock may move against the steady one, or lie behind the last cosignature.
pub const MAX_JUMP: Duration = Duration::from_secs(5 * 60);

/// The longest pause since the last cosignature after which a start believes the clock.
pub const MAX_ABSENCE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the two clocks read at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The wall clock.
    pub wall: UnixTime,
    /// A clock that nobody sets, since some moment.
    pub steady: Duration,
}

/// Watches the wall clock. Pure: the caller reads both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ClockGuard {
    start: Reading,
    accept: bool,
}

impl ClockGuard {
    /// Starts at a reading. With `accept` the operator says that it is right, even if it lies behind the last cosignature or
    /// long after it. If it lies behind, the time of each log stands still until the clock has passed its last one.
    pub fn new(start: Reading, accept: bool) -> Self {
        Self { start, accept }
    }

    /// The time for a cosignature: the wall clock's, unless it cannot be right. `last` is the latest time of all
    /// cosignatures so far.
    pub fn check(&self, now: Reading, last: Option<UnixTime>) -> Result<UnixTime, ClockJump> {
        let (wall, max_jump) = (now.wall.as_secs(), MAX_JUMP.as_secs());
        let jump = |reference, against| ClockJump { wall, reference, against };
        let elapsed = now.steady.saturating_sub(self.start.steady).as_secs();
        let expected = self.start.wall.as_secs().saturating_add(elapsed);
        if wall.abs_diff(expected) > max_jump {
            return Err(jump(expected, "the steady clock"));
        }
        let last = last.map_or(0, UnixTime::as_secs);
        if last.saturating_sub(wall) > max_jump && !self.accept {
            return Err(jump(last, "the last cosignature"));
        }
        let absence = self.start.wall.as_secs().saturating_sub(last);
        if last > 0 && absence > MAX_ABSENCE.as_secs() && !self.accept {
            return Err(jump(last, "the last cosignature"));
        }
        if wall == 0 || wall > tlog::cosignature::MAX_TIME {
            return Err(jump(tlog::cosignature::MAX_TIME, "the range of cosignature times"));
        }
        Ok(now.wall)
    }
}

/// The guard with its clocks, for everybody who signs.
pub struct Clock {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    guard: Mutex<ClockGuard>,
    stopped: Mutex<Option<ClockJump>>,
}

impl Clock {
    /// Starts at what `read` reads now; `accept` as for [`ClockGuard::new`].
    pub fn new(read: Box<dyn Fn() -> Reading + Send + Sync>, accept: bool) -> Self {
        let guard = Mutex::new(ClockGuard::new(read(), accept));
        Self { read, guard, stopped: Mutex::new(None) }
    }

    /// The time for a cosignature, if the clock can be right.
    pub fn now(&self, last: Option<UnixTime>) -> Result<UnixTime, ClockJump> {
        let verdict = self.guard.lock().unwrap_or_else(PoisonError::into_inner).check((self.read)(), last);
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let new = verdict.err();
        if new.is_some() != stopped.is_some() {
            metrics::clock_stopped(new.is_some());
            match new {
                Some(jump) => {
                    tracing::error!(%jump, "nothing is cosigned until the clock is right or accepted")
                }
                None => tracing::warn!("the clock is right again: cosigning goes on"),
            }
        }
        *stopped = new;
        verdict
    }

    /// What the wall clock reads, right or wrong.
    pub fn wall(&self) -> UnixTime {
        (self.read)().wall
    }

    /// The operator says that the clock is right as it is.
    pub fn accept(&self) {
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = ClockGuard::new((self.read)(), true);
    }

    /// Why nothing is signed, if so.
    pub fn stopped(&self) -> Option<ClockJump> {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("stopped", &self.stopped()).finish_non_exhaustive()
    }
}

/// The wall clock cannot be right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the wall clock reads {wall} s but {against} says {reference} s: more than 5 minutes apart")]
pub struct ClockJump {
    /// What the wall clock read, Unix seconds.
    pub wall: u64,
    /// What it was compared with, Unix seconds.
    pub reference: u64,
    /// What that is.
    pub against: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_stops_it_and_the_operator_goes_on() {
        const START: u64 = 1_790_000_000;
        let (minute, day) = (60, 24 * 60 * 60);
        let reading = |wall, seconds| Reading {
            wall: UnixTime::from_secs(wall),
            steady: Duration::from_secs(100 + seconds),
        };
        let guard = ClockGuard::new(reading(START, 0), false);
        let jump = |wall, reference, against| Err(ClockJump { wall, reference, against });
        let (steady, last) = ("the steady clock", "the last cosignature");
        // wall, seconds since the start, last cosignature, want
        for (wall, seconds, behind, want) in [
            (START, 0, None, Ok(START)),
            (START + 1, 1, Some(START), Ok(START + 1)),
            (START - 1, 1, Some(START), Ok(START - 1)),
            (START + 4 * minute, 1, None, Ok(START + 4 * minute)),
            (START + 6 * minute, 1, None, jump(START + 6 * minute, START + 1, steady)),
            (START + 6 * minute, 6 * minute, None, Ok(START + 6 * minute)),
            (START - 6 * minute, 0, None, jump(START - 6 * minute, START, steady)),
            (START, 6 * minute, None, jump(START, START + 6 * minute, steady)),
            (START, 0, Some(START + 6 * minute), jump(START, START + 6 * minute, last)),
            (START, 0, Some(START + 4 * minute), Ok(START)),
            // A clock that is a year ahead at a start: what was cosigned then would look fresh for a year.
            (START, 0, Some(START - 29 * day), Ok(START)),
            (START, 0, Some(START - 31 * day), jump(START, START - 31 * day, last)),
            (u64::MAX, 0, None, jump(u64::MAX, START, steady)),
        ] {
            let got = guard.check(reading(wall, seconds), behind.map(UnixTime::from_secs));
            assert_eq!(got.map(UnixTime::as_secs), want, "{wall} {seconds} {behind:?}");
        }
        // The operator's word: from that moment on the clock is right, and may lie behind.
        let told = ClockGuard::new(reading(START + 6 * minute, 1), true);
        let after = UnixTime::from_secs(START + 20 * minute);
        assert_eq!(
            told.check(reading(START + 6 * minute, 2), Some(after)).map(UnixTime::as_secs),
            Ok(START + 6 * minute)
        );
        let told = told.check(reading(START + 6 * minute, 2), Some(UnixTime::from_secs(START - 31 * day)));
        assert_eq!(told.map(UnixTime::as_secs), Ok(START + 6 * minute));
        let zero = ClockGuard::new(reading(0, 0), false);
        assert!(zero.check(reading(0, 0), None).is_err(), "a cosignature must not say 0");
    }
}
