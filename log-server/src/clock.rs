//! Log time: given once a batch, never going back, and not to be poisoned.
//!
//! `loggedAt` stays in the log for ever. A clock that jumps would write a wrong time into every entry
//! from then on, so the guard compares the wall clock with the monotonic one and with the last entry,
//! and sequencing stops until an operator has looked.

use std::collections::BTreeMap;
use std::time::Duration;

use tlog::UnixTime;

/// How far the wall clock may move against the monotonic clock, or lie behind the last entry.
pub const MAX_JUMP: Duration = Duration::from_secs(5 * 60);

/// The latest time a leaf can carry: JSON numbers are exact up to 2^53 - 1.
pub const MAX_MILLIS: u64 = (1 << 53) - 1;

/// Watches the wall clock. Pure: the caller reads both clocks.
#[derive(Clone, Debug)]
pub struct ClockGuard {
    wall_at_start: u64,
    mono_at_start: Duration,
    accept: bool,
    /// By how many milliseconds the wall clock was ahead of each witness when it cosigned.
    ahead_of: BTreeMap<String, i64>,
}

impl ClockGuard {
    /// Starts at a wall time (Unix milliseconds) and a monotonic time. `accept` is the operator's word that the
    /// wall clock is right although the last entry or the witnesses say otherwise: log time then stands still
    /// until it is reached.
    pub fn new(wall: u64, mono: Duration, accept: bool) -> Self {
        Self { wall_at_start: wall, mono_at_start: mono, accept, ahead_of: BTreeMap::new() }
    }

    /// Notes that a witness said `time` just now.
    pub fn hear_witness(&mut self, witness: &str, wall: u64, time: UnixTime) {
        let theirs = i64::try_from(time.as_secs().saturating_mul(1_000)).unwrap_or(i64::MAX);
        let ahead = i64::try_from(wall).unwrap_or(i64::MAX).saturating_sub(theirs);
        self.ahead_of.insert(witness.to_owned(), ahead);
    }

    /// What the witnesses say is the time while the wall clock says `wall`: the median, which one among several
    /// cannot move. Of an even number the middle one that is nearer to the wall clock.
    fn witnesses_say(&self, wall: u64) -> Option<u64> {
        let mut ahead: Vec<i64> = self.ahead_of.values().copied().collect();
        ahead.sort_unstable();
        let middle = [ahead.len().checked_sub(1)? / 2, ahead.len() / 2].map(|at| ahead[at]);
        let median = middle.into_iter().min_by_key(|ahead| ahead.unsigned_abs())?;
        Some(wall.saturating_add_signed(median.saturating_neg()))
    }

    /// The time for a batch after an entry logged at `last`: the wall clock, not before `last`.
    pub fn log_time(&self, wall: u64, mono: Duration, last: u64) -> Result<u64, ClockJump> {
        let elapsed = mono.saturating_sub(self.mono_at_start).as_millis() as u64;
        let expected = self.wall_at_start.saturating_add(elapsed);
        let max_jump = MAX_JUMP.as_millis() as u64;
        if wall.abs_diff(expected) > max_jump {
            return Err(ClockJump { wall, reference: expected, against: "the monotonic clock" });
        }
        if last.saturating_sub(wall) > max_jump && !self.accept {
            return Err(ClockJump { wall, reference: last, against: "the last logged entry" });
        }
        if let Some(reference) = self.witnesses_say(wall).filter(|said| said.abs_diff(wall) > max_jump)
            && !self.accept
        {
            return Err(ClockJump { wall, reference, against: "the median of the witnesses" });
        }
        if wall > MAX_MILLIS {
            return Err(ClockJump {
                wall,
                reference: MAX_MILLIS,
                against: "the largest time an entry can carry",
            });
        }
        Ok(wall.max(last))
    }
}

/// The wall clock cannot be right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the clock reads {wall} ms but {against} says {reference} ms: more than 5 minutes apart")]
pub struct ClockJump {
    /// What the wall clock read.
    pub wall: u64,
    /// What it was compared with.
    pub reference: u64,
    /// What that is.
    pub against: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_monotone_and_a_jump_stops_it() {
        const START: u64 = 1_790_000_000_000;
        let minute = 60_000;
        let guard = ClockGuard::new(START, Duration::from_secs(100), false);
        let jump = |wall, reference, against| Err(ClockJump { wall, reference, against });
        for (wall, seconds, last, want) in [
            (START, 0, 0, Ok(START)),
            (START + 1_000, 1, START, Ok(START + 1_000)),
            // Backwards by less than the limit: the time stands still.
            (START - 1_000, 1, START, Ok(START)),
            (START + 4 * minute, 1, START, Ok(START + 4 * minute)),
            (START + 6 * minute, 1, START, jump(START + 6 * minute, START + 1_000, "the monotonic clock")),
            (START - 6 * minute, 0, START, jump(START - 6 * minute, START, "the monotonic clock")),
            // Started with a clock behind the log.
            (START, 0, START + 6 * minute, jump(START, START + 6 * minute, "the last logged entry")),
            (START, 0, START + 4 * minute, Ok(START + 4 * minute)),
            (u64::MAX, 0, 0, jump(u64::MAX, START, "the monotonic clock")),
        ] {
            assert_eq!(
                guard.log_time(wall, Duration::from_secs(100 + seconds), last),
                want,
                "{wall} {seconds} {last}"
            );
        }
        let mut heard = guard;
        let seconds = START / 1_000;
        heard.hear_witness("a", START, UnixTime::from_secs(seconds - 400));
        let apart = jump(START, START - 400_000, "the median of the witnesses");
        assert_eq!(heard.log_time(START, Duration::from_secs(100), START), apart);
        // One that lies is outvoted, also one of two.
        heard.hear_witness("b", START, UnixTime::from_secs(seconds + 1));
        for lie in [0, seconds - 400, seconds + 400, u64::MAX] {
            heard.hear_witness("a", START, UnixTime::from_secs(lie));
            assert_eq!(heard.log_time(START, Duration::from_secs(100), START), Ok(START), "{lie}");
        }
        heard.hear_witness("c", START, UnixTime::from_secs(seconds - 1));
        assert_eq!(heard.log_time(START, Duration::from_secs(100), START), Ok(START));
        let mut told = ClockGuard::new(START, Duration::ZERO, true);
        told.hear_witness("a", START, UnixTime::from_secs(0));
        assert_eq!(told.log_time(START, Duration::ZERO, START + 6 * minute), Ok(START + 6 * minute));
    }
}
