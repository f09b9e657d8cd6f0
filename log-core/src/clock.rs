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

/// The longest pause after which a start believes the clock of a log that has no witness to tell the time.
pub const MAX_ABSENCE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The latest time a leaf can carry: JSON numbers are exact up to 2^53 - 1.
pub const MAX_MILLIS: u64 = (1 << 53) - 1;

/// Watches the wall clock. Pure: the caller reads both clocks.
#[derive(Clone, Debug)]
pub struct ClockGuard {
    wall_at_start: u64,
    mono_at_start: Duration,
    /// When the log ran last before this start, if that is known.
    seen: Option<u64>,
    accept: bool,
    /// By how many milliseconds each witness's time is ahead of the monotonic clock. So the wall clock of the moment when a
    /// witness was heard does not matter.
    said: BTreeMap<String, i64>,
}

impl ClockGuard {
    /// Starts at a wall time (Unix milliseconds) and a monotonic time; `seen` is when the log ran last. With `accept` the
    /// operator says that the wall clock is right although the last entry, the last run or the witnesses contradict it.
    /// Log time then stands still until the wall clock has caught up.
    pub fn new(wall: u64, mono: Duration, seen: Option<u64>, accept: bool) -> Self {
        Self { wall_at_start: wall, mono_at_start: mono, seen, accept, said: BTreeMap::new() }
    }

    /// Notes that a witness said `time` just now.
    pub fn hear_witness(&mut self, witness: &str, mono: Duration, time: UnixTime) {
        let theirs = i64::try_from(time.as_secs().saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.said.insert(witness.to_owned(), theirs.saturating_sub(millis(mono)));
    }

    /// Forgets the times of witnesses that are no longer asked.
    pub fn keep_witnesses(&mut self, is_asked: impl Fn(&str) -> bool) {
        self.said.retain(|witness, _| is_asked(witness));
    }

    /// The time by the witnesses: the median, which one of several cannot move. Of an even number the middle one that is
    /// nearer to `wall`, the wall clock.
    fn witnesses_say(&self, wall: u64, mono: Duration) -> Option<u64> {
        let mut said: Vec<u64> =
            self.said.values().map(|said| said.saturating_add(millis(mono)).max(0) as u64).collect();
        said.sort_unstable();
        let middle = [said.len().checked_sub(1)? / 2, said.len() / 2].map(|at| said[at]);
        middle.into_iter().min_by_key(|said| said.abs_diff(wall))
    }

    /// The time for a batch after an entry logged at `last`: the wall clock, not before `last`.
    pub fn log_time(&self, wall: u64, mono: Duration, last: u64) -> Result<u64, ClockJump> {
        let elapsed = mono.saturating_sub(self.mono_at_start).as_millis() as u64;
        let expected = self.wall_at_start.saturating_add(elapsed);
        let max_jump = MAX_JUMP.as_millis() as u64;
        let jump = |reference, against| Err(ClockJump { wall, reference, against });
        if wall.abs_diff(expected) > max_jump {
            return jump(expected, "the monotonic clock");
        }
        if wall > MAX_MILLIS {
            return jump(MAX_MILLIS, "the largest time an entry can carry");
        }
        if self.accept {
            return Ok(wall.max(last));
        }
        if last.saturating_sub(wall) > max_jump {
            return jump(last, "the last logged entry");
        }
        match (self.witnesses_say(wall, mono), self.seen) {
            (Some(said), _) if said.abs_diff(wall) > max_jump => jump(said, "the median of the witnesses"),
            (None, Some(seen))
                if self.wall_at_start.saturating_sub(seen) > MAX_ABSENCE.as_millis() as u64 =>
            {
                jump(seen, "the last time this log ran")
            }
            _ => Ok(wall.max(last)),
        }
    }
}

/// A duration as the clocks count, milliseconds.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The wall clock cannot be right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the clock reads {wall} ms, {against} says {reference} ms")]
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
        let guard = ClockGuard::new(START, Duration::from_secs(100), None, false);
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
        let at = Duration::from_secs(100);
        let seconds = START / 1_000;
        heard.hear_witness("a", at, UnixTime::from_secs(seconds - 400));
        let apart = jump(START, START - 400_000, "the median of the witnesses");
        assert_eq!(heard.log_time(START, Duration::from_secs(100), START), apart);
        // One that lies is outvoted, also one of two.
        heard.hear_witness("b", at, UnixTime::from_secs(seconds + 1));
        for lie in [0, seconds - 400, seconds + 400, u64::MAX] {
            heard.hear_witness("a", at, UnixTime::from_secs(lie));
            assert_eq!(heard.log_time(START, Duration::from_secs(100), START), Ok(START), "{lie}");
        }
        heard.hear_witness("c", at, UnixTime::from_secs(seconds - 1));
        assert_eq!(heard.log_time(START, Duration::from_secs(100), START), Ok(START));
        // The wall clock jumps and is set right again: what was heard before tells the same of both.
        heard.hear_witness("a", at, UnixTime::from_secs(seconds));
        let later = Duration::from_secs(160);
        let right = START + minute;
        assert!(heard.log_time(right + 60 * minute, later, START).is_err());
        assert_eq!(heard.log_time(right, later, START), Ok(right));
        let mut told = ClockGuard::new(START, Duration::ZERO, None, true);
        told.hear_witness("a", Duration::ZERO, UnixTime::from_secs(0));
        assert_eq!(told.log_time(START, Duration::ZERO, START + 6 * minute), Ok(START + 6 * minute));
    }

    /// Nobody but the log itself tells how long it was away: a year is no pause that goes unsaid.
    #[test]
    fn a_start_long_after_the_last_run_is_not_believed_without_a_witness() {
        const NOW: u64 = 1_790_000_000_000;
        let day = 24 * 60 * 60 * 1_000;
        let time = |seen: Option<u64>, accept, witness: Option<u64>| {
            let mut guard = ClockGuard::new(NOW, Duration::ZERO, seen, accept);
            if let Some(said) = witness {
                guard.hear_witness("a", Duration::ZERO, UnixTime::from_secs(said / 1_000));
            }
            guard.log_time(NOW, Duration::ZERO, 0)
        };
        let jump = |reference, against| Err(ClockJump { wall: NOW, reference, against });
        let year = NOW - 365 * day;
        assert_eq!(time(Some(year), false, None), jump(year, "the last time this log ran"));
        assert_eq!(time(Some(year), true, None), Ok(NOW));
        assert_eq!(time(Some(year), false, Some(NOW)), Ok(NOW), "a witness says the same");
        assert_eq!(time(Some(year), false, Some(year)), jump(year, "the median of the witnesses"));
        assert_eq!(time(Some(NOW - 29 * day), false, None), Ok(NOW));
        assert_eq!(time(None, false, None), Ok(NOW), "nothing is known");
        assert_eq!(
            time(Some(NOW + day), false, None),
            Ok(NOW),
            "the last entry tells that the clock is behind"
        );
    }
}
