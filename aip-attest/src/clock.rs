//! The present, and times as people read and write them: the one place that reads the system's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attestation::entry::LogTime;
use tlog::UnixTime;

/// Seconds since the epoch; 0 on a machine whose clock stands before it.
pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The same in milliseconds.
pub(crate) fn now_millis() -> LogTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    LogTime::from_millis(milliseconds).unwrap_or(LogTime::MAX)
}

/// Milliseconds since the epoch as RFC 3339 in UTC, for people.
pub(crate) fn rfc3339_millis(milliseconds: u64) -> String {
    // Times come from outside; the formatter ends at the year 9999.
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds.min(253_402_300_799_999)));
    time.map_or_else(|| milliseconds.to_string(), |time| humantime::format_rfc3339_millis(time).to_string())
}

/// As [`rfc3339_millis`], of a time in seconds.
pub(crate) fn rfc3339(time: UnixTime) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs().min(253_402_300_799)));
    time.map_or_else(String::new, |time| humantime::format_rfc3339_seconds(time).to_string())
}

/// Reads a duration such as `60s` or `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a duration looks like `60s` or `7d`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_can_be_shown() {
        assert_eq!(rfc3339_millis(1_790_000_000_123), "2026-09-21T14:13:20.123Z");
        assert_eq!(rfc3339(UnixTime::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UnixTime::from_secs(u64::MAX)), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339_millis(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
