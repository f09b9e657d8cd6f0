//! Durations as people write them in settings: `50ms`, `10s`, `1h 30m`. At most a year: every clock can add that.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration that may be zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span(pub Duration);

/// How long something may take, or how often it happens: longer than zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pause(Duration);

impl Pause {
    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

/// Why a duration is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpanError {
    /// No duration.
    #[error(transparent)]
    Form(#[from] humantime::DurationError),
    /// Longer than any setting is.
    #[error("it is longer than a year")]
    TooLong,
    /// Zero, where that makes no sense.
    #[error("must be longer than 0s")]
    Zero,
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let span = humantime::parse_duration(text)?;
        if span > LONGEST { Err(SpanError::TooLong) } else { Ok(Self(span)) }
    }
}

impl FromStr for Pause {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let Span(span) = text.parse()?;
        if span.is_zero() { Err(SpanError::Zero) } else { Ok(Self(span)) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl Serialize for Pause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Span(self.0).serialize(serializer)
    }
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_bounded() {
        for (text, span, pause) in [
            ("50ms", true, true),
            ("1h 30m", true, true),
            ("366days", true, true),
            ("0s", true, false),
            ("367days", false, false),
            ("999999years", false, false),
            ("ten", false, false),
            ("", false, false),
        ] {
            assert_eq!(text.parse::<Span>().is_ok(), span, "{text}");
            assert_eq!(text.parse::<Pause>().is_ok(), pause, "{text}");
        }
    }
}
