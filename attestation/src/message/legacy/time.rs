//! Times of RFC 3339 in UTC, as Python's `isoformat` writes them, to the microsecond.

use crate::logged::LogTime;

/// Microseconds since the epoch. Takes `Z` or `+00:00`, at most six decimals, and years from 1970 to 9999; `None` otherwise.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (whole, fraction) = match text.split_at_checked(WHOLE.len())? {
        (whole, "") => (whole, "0"),
        (whole, fraction) => (whole, fraction.strip_prefix('.')?),
    };
    let same_shape =
        |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    if !whole.bytes().zip(WHOLE).all(same_shape) {
        return None;
    }
    let number = |from: usize, to: usize| whole[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if !(1..=6).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    let days = days_before(year) + (1..month).map(|month| days_in(year, month)).sum::<u64>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// As Python writes it: `2026-09-21T14:13:20.123000+00:00`. A time behind the year 9999 has no such text, and gets the last there is.
pub(super) fn format(time: LogTime) -> String {
    let millis = time.as_millis().min(LAST_MILLIS);
    let (mut days, rest) = (millis / DAY_MILLIS, millis % DAY_MILLIS);
    let year = (1970..).take_while(|year| days_before(*year) <= days).last().expect("1970 begins at day 0");
    days -= days_before(year);
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (seconds, millis) = (rest / 1_000, rest % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}000+00:00", days + 1)
}

/// Days from the epoch to the first of a year from 1970 on.
fn days_before(year: u64) -> u64 {
    let leaps = |years: u64| years / 4 - years / 100 + years / 400;
    365 * (year - 1970) + leaps(year - 1) - leaps(1969)
}

fn days_in(year: u64, month: u64) -> u64 {
    let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const WHOLE: &[u8] = b"0000-00-00T00:00:00";
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// The last millisecond of the year 9999.
const LAST_MILLIS: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> LogTime {
        LogTime::from_millis(micros / 1_000).expect("a time")
    }

    #[test]
    fn known_times_are_read() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000001+00:00", 1),
            ("1970-01-01T00:00:00.1Z", 100_000),
            ("2000-02-29T12:00:00Z", 951_825_600_000_000),
            ("2026-09-21T14:13:20.123456+00:00", 1_790_000_000_123_456),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
        }
    }

    #[test]
    fn other_times_are_refused() {
        for text in [
            "",
            "Z",
            "+00:00",
            "2026-09-21T14:13:20",
            "2026-09-21T14:13:20-00:00",
            "2026-09-21T14:13:20+01:00",
            "2026-09-21T14:13:20z",
            "2026-09-21t14:13:20Z",
            "2026-09-21 14:13:20Z",
            "2026-09-21T14:13:20.Z",
            "2026-09-21T14:13:20.1234567Z",
            "2026-09-21T14:13:20.12a4Z",
            "2026-09-21T14:13:20,5Z",
            "2026-09-21T14:13:20.5ZZ",
            "2026-09-21T14:13:60Z",
            "2026-09-21T14:60:20Z",
            "2026-09-21T24:13:20Z",
            "2026-09-31T14:13:20Z",
            "2026-00-21T14:13:20Z",
            "2026-13-21T14:13:20Z",
            "2026-09-00T14:13:20Z",
            "2023-02-29T14:13:20Z",
            "2100-02-29T14:13:20Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "+026-09-21T14:13:20Z",
            "2026-9-21T14:13:20Z",
            " 2026-09-21T14:13:20Z",
            "2026-09-21T14:13:2é.5Z",
            "٢٠٢٦-09-21T14:13:20Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    /// Day by day through two whole cycles of leap years.
    #[test]
    fn every_day_is_the_one_behind_the_day_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..2 * 146_097 {
            let text = format!("{year:04}-{month:02}-{day:02}T00:00:00.000000+00:00");
            assert_eq!(parse(&text), Some(days * DAY_MILLIS * 1_000), "{text}");
            assert_eq!(format(at(days * DAY_MILLIS * 1_000)), text);
            day += 1;
            let february = if year % 400 == 0 || (year % 4 == 0 && year % 100 != 0) { 29 } else { 28 };
            let last = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_time_without_a_text_gets_the_last_there_is() {
        assert_eq!(format(LogTime::MAX), "9999-12-31T23:59:59.999000+00:00");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0..=LAST_MILLIS) {
            prop_assert_eq!(parse(&format(at(millis * 1_000))), Some(millis * 1_000));
        }
    }
}
