//! The two clocks of the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock, since 1970; 0 if it stands before that.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A clock that nobody sets. Uses BOOTTIME: resuming from suspend must not look like a clock jump.
#[cfg(target_os = "linux")]
pub fn steady() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// A clock that nobody sets.
#[cfg(not(target_os = "linux"))]
pub fn steady() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
