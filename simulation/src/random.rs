//! Numbers from a seed, as a world needs them.

use std::time::Duration;

use testkit::chance::Chance;

/// A generator. The same seed gives the same numbers on every machine.
pub struct Random(Chance);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Chance::new(seed))
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.below(end) }
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of several.
    ///
    /// # Panics
    /// If there is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        self.0.of(all)
    }

    /// A time from `least` up to `most`, in microseconds.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros() as u64;
        least + Duration::from_micros(self.below(span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_end() {
        let mut random = Random::new(7);
        assert!((0..10_000).all(|end| random.below(end + 1) <= end));
        assert_eq!((random.below(0), random.chance(0), random.chance(1_000)), (0, false, true));
        let times = (0..1_000).map(|_| random.between(Duration::from_millis(1), Duration::from_millis(3)));
        let (least, most) = times.fold((Duration::MAX, Duration::ZERO), |(a, b), t| (a.min(t), b.max(t)));
        assert!(least < Duration::from_micros(1_100) && most > Duration::from_micros(2_900));
    }
}
