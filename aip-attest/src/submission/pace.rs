//! How much goes into one request, so that it arrives in the time that is left.

use std::time::Duration;

use log_client::LEAST_BYTES_PER_SECOND;

/// What the way to the log is known to carry: at first what it has to carry at least.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes_per_second: LEAST_BYTES_PER_SECOND }
    }
}

impl Pace {
    /// What arrives in half of the time that is left. The other half is for the answer, and for a way that got slower.
    pub(super) fn bytes_in(&self, left: Duration) -> usize {
        let bytes = u128::from(self.bytes_per_second) * left.as_millis() / 2_000;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// A request with so many bytes was answered in this time. The log's own time is in it: the way carries more.
    pub(super) fn took(&mut self, bytes: usize, time: Duration) {
        let bytes_per_second = bytes as u128 * 1_000 / time.as_millis().max(1);
        self.bytes_per_second =
            self.bytes_per_second.max(u64::try_from(bytes_per_second).unwrap_or(u64::MAX));
    }

    /// A request did not get through: what was known of the way holds no more.
    pub(super) fn was_cut(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_way_gets_little_at_a_time_and_a_fast_one_all() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        let mut pace = Pace::default();
        assert_eq!(pace.bytes_in(minute), 30 * (16 << 10));
        // 120 kB/s.
        pace.took(480_000, 4 * second);
        assert_eq!(pace.bytes_in(minute), 3_600_000);
        // One that waited for its answer says nothing against the way.
        pace.took(1_000, 25 * second);
        assert_eq!(pace.bytes_in(minute), 3_600_000);
        pace.took(480_000, Duration::ZERO);
        assert!(pace.bytes_in(minute) > 16 << 20);
        pace.was_cut();
        assert_eq!(pace.bytes_in(minute), 30 * (16 << 10));
        assert_eq!(pace.bytes_in(Duration::ZERO), 0);
    }
}
