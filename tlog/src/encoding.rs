//! The one spelling of numbers and bytes in every text format here.

use std::fmt::Display;

use base64::Engine as _;
use base64::alphabet;
use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Standard base64 (RFC 4648 §4) with padding.
pub fn base64(bytes: &[u8]) -> String {
    STRICT.encode(bytes)
}

/// As [`base64()`], behind what is there.
pub fn push_base64(bytes: &[u8], out: &mut String) {
    STRICT.encode_string(bytes, out);
}

/// As [`base64()`], written piece by piece: for bytes of which there are many.
pub fn base64_display(bytes: &[u8]) -> impl Display {
    Base64Display::new(bytes, &STRICT)
}

/// Decodes standard base64: padding required, unused bits zero, no white space. `None` otherwise,
/// so every byte string has exactly one spelling.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STRICT.decode(text).ok()
}

/// Decodes strict base64 of exactly `N` bytes.
pub fn decode_base64_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode_base64(text)?.try_into().ok()
}

/// Quotes a text of unknown origin for an error message: control and direction characters escaped, cut
/// after 100 characters.
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(100).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' { c.to_string() } else { c.escape_unicode().to_string() }
    };
    format!("`{}{more}`", cut.chars().map(plain).collect::<String>())
}

/// Reads an ASCII decimal: no sign, no leading zero, no space, at most `u64::MAX`.
///
/// `u64::from_str` accepts `+1` and `007`; a signed text must have one spelling only.
pub fn parse_decimal(text: &str) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// The `base64` crate's standard engine with its two laxities named and refused.
const STRICT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireCanonical),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_one_spelling() {
        for (text, want) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("00", None),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("-0", None),
            (" 1", None),
            ("1 ", None),
            ("1e3", None),
            ("0x1", None),
            ("１", None),
            ("", None),
        ] {
            assert_eq!(parse_decimal(text), want, "{text:?}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(decode_base64("AA=="), Some(vec![0]));
        for bad in ["AA", "AB==", "AA=", "A===", "AA==\n", " AA==", "-_==", "AA==AA=="] {
            assert_eq!(decode_base64(bad), None, "{bad:?}");
        }
    }
}
