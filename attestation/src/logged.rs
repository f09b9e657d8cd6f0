//! What a log gives an entry of any kind: its time, and the hash that it knows it by; and how long an entry may be so that both
//! have room.

use serde::{Deserialize, Serialize};
use tlog::Hash;

/// The longest leaf: an entry bundle gives its length as a `u16` (c2sp.org/tlog-tiles).
pub const MAX_LEAF_BYTES: usize = u16::MAX as usize;

/// The longest pending leaf. It leaves room for the longest `"loggedAt":<16 digits>,`, so that every admitted entry can be
/// logged.
pub const MAX_PENDING_LEAF_BYTES: usize = MAX_LEAF_BYTES - 28;

/// SHA-256 of a claim: the same claim is logged once, however often it is sent.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClaimHash(Hash);

impl ClaimHash {
    /// The claim hash with this value, as an index may store it.
    pub const fn new(hash: Hash) -> Self {
        Self(hash)
    }

    /// The value.
    pub const fn get(self) -> Hash {
        self.0
    }
}

/// A time in a log: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// At most 2^53 - 1, the largest integer that JCS prints as an integer everywhere.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "u64")]
pub struct LogTime(u64);

impl TryFrom<u64> for LogTime {
    type Error = &'static str;

    fn try_from(milliseconds: u64) -> Result<Self, Self::Error> {
        Self::from_millis(milliseconds).ok_or("a time is at most 2^53 - 1 ms")
    }
}

impl LogTime {
    /// The last time there is.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// A time `milliseconds` after the epoch, unless it is later than [`LogTime::MAX`].
    pub const fn from_millis(milliseconds: u64) -> Option<Self> {
        if milliseconds <= Self::MAX.0 { Some(Self(milliseconds)) } else { None }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}
