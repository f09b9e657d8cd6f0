//! Numbers that every reader reads as they are written.
//!
//! Most readers, and our own writer, keep a number in an IEEE double. They read `9007199254740993` as `…992`, and keep 17
//! digits of `0.12345678901234567890`. A signer must not sign what it did not write, so such numbers are refused before.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::JsonError;

/// Refuses the first number in `text`, a JSON text of bounded depth, that differs from the [`written`] form of its nearest
/// double. Integers up to [`MAX_INTEGER`] never do.
pub(super) fn check(text: &str) -> Result<(), JsonError> {
    match numbers(text).all(is_exact) {
        true => Ok(()),
        // Look for its place only now: that takes as much memory as the text.
        false => check_at(text.trim_ascii(), &mut String::new()),
    }
}

/// The numbers in a JSON text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if let Some(string) = rest.strip_prefix('"') {
                rest = &string[string_bytes(string)..];
                continue;
            }
            let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            let (number, behind) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
            rest = behind;
            return Some(number);
        }
    })
}

/// How long a string is behind its opening quote, with the closing one.
fn string_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    let closing = text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    });
    closing.map_or(text.len(), |at| at + 1)
}

/// `text` begins and ends with the value at `pointer`.
fn check_at(text: &str, pointer: &mut String) -> Result<(), JsonError> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            members.iter().try_for_each(|(name, value)| check_inside(name, value, pointer))
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            let mut values = values.iter().enumerate();
            values.try_for_each(|(at, value)| check_inside(&at.to_string(), value, pointer))
        }
        Some(b'-' | b'0'..=b'9') if !is_exact(text) => {
            Err(JsonError::Number { number: shown(text), pointer: crate::quote::printable(pointer) })
        }
        _ => Ok(()),
    }
}

fn check_inside(name: &str, value: &RawValue, pointer: &mut String) -> Result<(), JsonError> {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    check_at(value.get(), pointer)?;
    pointer.truncate(length);
    Ok(())
}

fn is_exact(number: &str) -> bool {
    let is_integer = !number.contains(['.', 'e', 'E']);
    if is_integer && number.trim_start_matches('-').parse().is_ok_and(|integer: u64| integer <= MAX_INTEGER) {
        return true;
    }
    // JavaScript writes large doubles as integers too.
    let Ok(double) = number.parse::<f64>() else { return false };
    Decimal::parse(number).is_some_and(|decimal| Some(decimal) == Decimal::parse(&written(double)))
}

/// The text that will be signed for this double, by the writer itself: of two shortest texts that are equally near, such as
/// `1424953923781206.2` and `….3`, RFC 8785 takes the even one, and Rust's own formatter the upper one. Empty for what
/// JSON cannot write.
fn written(double: f64) -> String {
    serde_json::Number::from_f64(double).map_or(String::new(), |number| number.to_string())
}

/// A decimal number in its one form: 0.`digits` · 10^`exponent`, the digits without zeros at either end.
#[derive(Eq, PartialEq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` if the exponent is beyond any double's.
    fn parse(number: &str) -> Option<Self> {
        let (is_negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - digits.len()).ok()?;
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { is_negative, digits: String::new(), exponent: 0 });
        }
        let point = i64::try_from(whole.len()).ok()? - leading;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(point)?;
        Some(Self { is_negative, digits: digits.to_owned(), exponent })
    }
}

/// The first digits of a number, of which there may be millions.
fn shown(number: &str) -> String {
    match number.get(..MAX_SHOWN) {
        Some(start) => format!("{start}…"),
        None => number.to_owned(),
    }
}

/// 2^53 - 1: up to here every integer is a double of its own (RFC 8259 section 6).
const MAX_INTEGER: u64 = (1 << 53) - 1;

const MAX_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_readers_round_are_told_from_others() {
        for exact in [
            "0",
            "-0",
            "9007199254740991",
            "-9007199254740991",
            "9.8",
            "9.80",
            "0.1",
            "-0.10e1",
            "1e5",
            "1E+5",
            "1e20",
            "1.5e300",
            "0e999999999999999999999",
            "0.000",
            "-0.0",
            "5e-324",
            "1.7976931348623157e308",
            "0.30000000000000004",
            "100.000000000000000000000",
            "9007199254740992",
            "-9007199254740994",
            "123456789012345680000",
            // RFC 8785 appendix B: halfway between two shortest texts, the even one.
            "1424953923781206.2",
        ] {
            assert!(is_exact(exact), "{exact}");
        }
        for other in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "123456789012345678901234567890",
            "0.1000000000000000055511151231257827",
            "3.14159265358979323846",
            "0.12345678901234567890",
            "9007199254740993.0",
            "1e-400",
            "4e-324",
            "1e-99999999999999999999",
            "1e400",
            "1.00000000000000000001",
            "1424953923781206.3",
            "1424953923781206.25",
        ] {
            assert!(!is_exact(other), "{other}");
        }
    }

    #[test]
    fn what_is_written_of_a_double_is_taken_and_comes_back_the_same_text() {
        let mut bits = 0_u64;
        for round in 0..1_000_000_u64 {
            // Weyl's sequence, mixed: every exponent and both signs. Every fourth is a tie: only odd multiples of
            // 1/4 from 2^50 to 2^51 lie halfway between two texts of 17 digits, the fewest that tell them apart.
            bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let tie = ((1 << 52) + (mixed >> 12)) | 1;
            let double = if round % 4 == 0 { tie as f64 / 4.0 } else { f64::from_bits(mixed) };
            if !double.is_finite() {
                continue;
            }
            let text = written(double);
            assert!(is_exact(&text), "{text}");
            let back: f64 = serde_json::from_str(&text).expect("JSON");
            assert_eq!(written(back), text);
        }
    }

    #[test]
    fn every_number_is_found_and_nothing_in_a_string_is() {
        let text = r#"{"a1":[1, -2.5e+3,"\\\"4\\","5é"],"\\":6e1,"":7} "#;
        assert_eq!(numbers(text).collect::<Vec<_>>(), ["1", "-2.5e+3", "6e1", "7"]);
        assert_eq!(numbers("8").collect::<Vec<_>>(), ["8"]);
        assert_eq!(numbers(r#""9"#).count(), 0);
    }

    #[test]
    fn the_number_is_named_with_its_place() {
        for (text, place) in [
            (r#" {"a":[0,{"b/c~d":9007199254740993}]} "#, "/a/1/b~1c~0d"),
            (r#"{"z":1e-400,"\u0061\n":[1.5,1e-400]}"#, r"/a\n/1"),
            ("9007199254740993", ""),
        ] {
            let Err(JsonError::Number { pointer, .. }) = check(text) else { panic!("{text}") };
            assert_eq!(pointer, place, "{text}");
        }
        let long = format!("[{}]", "9".repeat(1000));
        let Err(JsonError::Number { number, .. }) = check(&long) else { panic!("refused") };
        assert_eq!(number, format!("{}…", "9".repeat(40)));
        // What looks like a number and is a text is the remedy.
        assert_eq!(check(r#"{"a":["9007199254740993",true,null,1.5,{},[]]}"#), Ok(()));
    }
}
