//! Names of messages, keys and envelopes: lower-case hex.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use tlog::Hash;

/// A name of fixed length in lower-case hex, in texts and in JSON.
macro_rules! hex_name {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Its length in bytes.
            pub const BYTES: usize = $bytes;

            /// The name of these bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = HexNameError;

            fn from_str(text: &str) -> Result<Self, HexNameError> {
                let bad = HexNameError { what: $what, digits: 2 * $bytes };
                let mut bytes = [0; $bytes];
                let is_lower_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                match is_lower_hex && hex::decode_to_slice(text, &mut bytes).is_ok() {
                    true => Ok(Self(bytes)),
                    false => Err(bad),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 2 * $bytes];
                hex::encode_to_slice(self.0, &mut digits).expect("two digits a byte");
                f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_name!(
    /// What a sender calls a message: 16 random bytes, the same in each of its copies.
    MessageId, 16, "a message id"
);
hex_name!(
    /// What names an X25519 key: the first 16 bytes of its SHA-256.
    MessageKeyId, 16, "a key id"
);
hex_name!(
    /// What names one sealed copy: its SHA-256.
    EnvelopeId, 32, "an envelope id"
);

impl EnvelopeId {
    /// The id of these bytes.
    pub fn of(sealed: &[u8]) -> Self {
        Self(*Hash::of(sealed).as_bytes())
    }
}

/// Why a text is no such name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what} is {digits} lower-case hex digits")]
pub struct HexNameError {
    what: &'static str,
    digits: usize,
}
