//! Times of RFC 3339 in UTC, as Python's `isoformat` writes them, to the microsecond.

use crate::entry::LogTime;

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
