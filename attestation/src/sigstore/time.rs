//! The times of a trusted root: RFC 3339 in UTC, as protobuf's JSON writes a `Timestamp`.

use tlog::UnixTime;

/// Reads `2025-01-01T00:00:00Z`, with up to nine decimals of a second, which are cut off. No other zone is read, and no
/// time before 1970.
pub(crate) fn parse(text: &str) -> Option<UnixTime> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let bytes = whole.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() != 19 || separators.iter().any(|(at, separator)| bytes[*at] != *separator) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &bytes[from..to];
        digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let is_day = month
        .checked_sub(1)
        .and_then(|month| LENGTHS.get(usize::try_from(month).ok()?))
        .is_some_and(|length| (1..=*length + u64::from(month == 2 && is_leap)).contains(&day));
    if year < 1970 || !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let before: u64 = LENGTHS.iter().zip(1..month).map(|(length, _)| length).sum();
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
        + before
        + u64::from(is_leap && month > 2)
        + day
        - 1;
    Some(UnixTime::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// Of the months of a year that is no leap year.
const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds are those of GNU date.
    #[test]
    fn times_are_read_in_one_spelling() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2025-01-01T00:00:00Z", Some(1_735_689_600)),
            ("2024-12-31T23:59:59.999999999Z", Some(1_735_689_599)),
            ("2021-01-12T11:53:27.000Z", Some(1_610_452_407)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799)),
            ("2100-02-29T00:00:00Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2023-00-01T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-01-00T00:00:00Z", None),
            ("2023-04-31T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:60:00Z", None),
            ("2023-01-01T00:00:60Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-01T00:00:00+00:00", None),
            ("2023-01-01t00:00:00z", None),
            ("2023-01-01 00:00:00Z", None),
            ("2023-01-01T00:00:00.Z", None),
            ("2023-01-01T00:00:00.0000000000Z", None),
            ("2023-01-01T00:00:00.-1Z", None),
            ("+023-01-01T00:00:00Z", None),
            ("2023-1-01T00:00:000Z", None),
            ("２０２３-01-01T00:00:00Z", None),
            ("", None),
            ("Z", None),
        ] {
            assert_eq!(parse(text).map(UnixTime::as_secs), want, "{text}");
        }
    }
}
