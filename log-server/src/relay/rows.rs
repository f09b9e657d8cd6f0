//! The rows of the mail database. Pure.
//!
//! | key | value |
//! |---|---|
//! | `m` ‖ DID 16 ‖ number u64 | a message: kind, whether its sender was bare, sender 16, receivedAt u64, expires u64, envelope id 32, its bytes |
//! | `h` ‖ envelope id 32 | where it is: DID 16, number u64, receivedAt u64, expires u64, and whether it was acknowledged (a tombstone) |
//! | `x` ‖ expires u64 ‖ DID 16 ‖ number u64 | the envelope id 32: what expires, in order |
//! | `s` ‖ DID 16 | the settings of a mailbox |
//! | `n` | the next number u64 |
//! | `c` | when the files were compacted last, u64 |
//!
//! Numbers and times are big-endian, so that keys sort by them; times are Unix milliseconds. A message keeps its number,
//! and no number is given twice, so that who has read up to a number misses nothing.

use std::borrow::Cow;

use attestation::did::Did;
use attestation::message::{EnvelopeId, LegacyContent};
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// What a message is, and so what its bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A sealed message (`specs/message.md`).
    Sealed,
    /// A message of Python `aip`, which came by its own interface.
    Legacy,
}

/// A message of Python `aip` as its sender sent it, and when it was read by that interface.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Legacy {
    /// What its sender sent.
    pub content: LegacyContent,
    /// When the recipient marked it as read, Unix milliseconds.
    pub read_at: Option<u64>,
}

/// What a message brings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mail {
    /// The bytes of a sealed message.
    Sealed(Vec<u8>),
    /// A message of Python `aip`.
    Legacy(Legacy),
}

impl Mail {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sealed(_) => Kind::Sealed,
            Self::Legacy(_) => Kind::Legacy,
        }
    }

    pub(super) fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Sealed(bytes) => Cow::Borrowed(bytes),
            Self::Legacy(legacy) => serde_json::to_vec(legacy).expect("text and numbers are JSON").into(),
        }
    }
}

/// What the relay knows of a message besides what it brings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Who sent it.
    pub sender: Did,
    /// Whether the sender was not registered then.
    pub sender_is_bare: bool,
    /// When the relay took it, Unix milliseconds.
    pub received_at: u64,
    /// From when on the relay has it no more, Unix milliseconds.
    pub expires: u64,
    /// SHA-256 of a sealed message; of a legacy one, of its signature's bytes.
    pub id: EnvelopeId,
}

/// A message as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// What the relay knows of it.
    pub head: Head,
    /// What it brings.
    pub mail: Mail,
}

impl Message {
    pub(super) fn to_row(&self) -> Vec<u8> {
        let kind = match self.mail.kind() {
            Kind::Sealed => SEALED,
            Kind::Legacy => LEGACY,
        };
        let Head { sender, sender_is_bare, received_at, expires, id } = &self.head;
        let mut row = vec![kind, u8::from(*sender_is_bare)];
        row.extend_from_slice(sender.as_bytes());
        row.extend_from_slice(&received_at.to_be_bytes());
        row.extend_from_slice(&expires.to_be_bytes());
        row.extend_from_slice(id.as_bytes());
        row.extend_from_slice(&self.mail.to_bytes());
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, StoreError> {
        let (head, kind, bytes) = Head::from_row(row)?;
        let mail = match kind {
            Kind::Sealed => Mail::Sealed(bytes.to_vec()),
            Kind::Legacy => Mail::Legacy(serde_json::from_slice(bytes).map_err(|_| damaged("a message"))?),
        };
        Ok(Self { head, mail })
    }
}

impl Head {
    /// The head of a message, which kind it is, and its bytes.
    pub(super) fn from_row(row: &[u8]) -> Result<(Self, Kind, &[u8]), StoreError> {
        let mut rest = Rest(row);
        let mut read = || {
            let [kind, bare] = rest.take::<2>()?;
            let kind = match kind {
                SEALED => Kind::Sealed,
                LEGACY => Kind::Legacy,
                _ => return None,
            };
            let head = Self {
                sender_is_bare: bare == 1,
                sender: Did::from_bytes(rest.take()?),
                received_at: rest.number()?,
                expires: rest.number()?,
                id: EnvelopeId::from_bytes(rest.take()?),
            };
            Some((head, kind))
        };
        let (head, kind) = read().ok_or_else(|| damaged("a message"))?;
        Ok((head, kind, rest.0))
    }
}

/// Where the message of an envelope id is, or was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) recipient: Did,
    pub(super) number: u64,
    pub(super) received_at: u64,
    pub(super) expires: u64,
    /// Acknowledged: the message is gone, and what is sent again until it expires is not stored again.
    pub(super) gone: bool,
}

impl Place {
    pub(super) fn to_row(self) -> Vec<u8> {
        let mut row = self.recipient.as_bytes().to_vec();
        for number in [self.number, self.received_at, self.expires] {
            row.extend_from_slice(&number.to_be_bytes());
        }
        row.push(u8::from(self.gone));
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, StoreError> {
        let mut rest = Rest(row);
        let mut read = || {
            Some(Self {
                recipient: Did::from_bytes(rest.take()?),
                number: rest.number()?,
                received_at: rest.number()?,
                expires: rest.number()?,
                gone: rest.take::<1>()? == [1],
            })
        };
        read().filter(|_| rest.0.is_empty()).ok_or_else(|| damaged("an envelope id"))
    }
}

/// The key of a message.
pub(super) fn message(recipient: Did, number: u64) -> Vec<u8> {
    [&[MESSAGES], &recipient.as_bytes()[..], &number.to_be_bytes()].concat()
}

/// Whose message a key names, and its number.
pub(super) fn parse_message(key: &[u8]) -> Option<(Did, u64)> {
    let mut rest = Rest(key.strip_prefix(&[MESSAGES])?);
    Some((Did::from_bytes(rest.take()?), rest.number()?)).filter(|_| rest.0.is_empty())
}

/// The key of an envelope id.
pub(super) fn place(id: &EnvelopeId) -> Vec<u8> {
    [&[PLACES], &id.as_bytes()[..]].concat()
}

/// How the key of an envelope id begins that begins so.
pub(super) fn place_beginning(id: &[u8]) -> Vec<u8> {
    [&[PLACES], id].concat()
}

/// The key of what expires.
pub(super) fn expiry(expires: u64, recipient: Did, number: u64) -> Vec<u8> {
    [&[EXPIRIES], &expires.to_be_bytes()[..], recipient.as_bytes(), &number.to_be_bytes()].concat()
}

/// When what a key names expires, whose it is, and its number.
pub(super) fn parse_expiry(key: &[u8]) -> Option<(u64, Did, u64)> {
    let mut rest = Rest(key.strip_prefix(&[EXPIRIES])?);
    let parts = (rest.number()?, Did::from_bytes(rest.take()?), rest.number()?);
    Some(parts).filter(|_| rest.0.is_empty())
}

/// The key of a mailbox's settings.
pub(super) fn settings(owner: Did) -> Vec<u8> {
    [&[SETTINGS], &owner.as_bytes()[..]].concat()
}

pub(super) const MESSAGES: u8 = b'm';
pub(super) const PLACES: u8 = b'h';
pub(super) const EXPIRIES: u8 = b'x';
pub(super) const SETTINGS: u8 = b's';
pub(super) const NEXT_NUMBER: &[u8] = b"n";
pub(super) const COMPACTED: &[u8] = b"c";

const SEALED: u8 = 1;
const LEGACY: u8 = 2;

/// A row is not what this module wrote, although its checksum holds.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::new("read", format!("a row of {what} is damaged"))
}

/// What is left of a row.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl Rest<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mail: Mail) -> Message {
        let sender = Did::from_bytes([3; 16]);
        let head =
            Head { sender, sender_is_bare: true, received_at: 5, expires: 7, id: EnvelopeId::of(b"id") };
        Message { head, mail }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let content = LegacyContent {
            encrypted_content: "Ym94".into(),
            signature: "c2ln".into(),
            timestamp: Some("2026-11-30T10:00:00Z".into()),
        };
        let legacy = Legacy { content, read_at: Some(9) };
        for mail in [Mail::Sealed(b"AIPM2".to_vec()), Mail::Sealed(vec![]), Mail::Legacy(legacy)] {
            let message = sample(mail);
            assert_eq!(Message::from_row(&message.to_row()).expect("a row"), message);
        }
        let did = Did::from_bytes([1; 16]);
        for gone in [false, true] {
            let place = Place { recipient: did, number: 1, received_at: 2, expires: 3, gone };
            assert_eq!(Place::from_row(&place.to_row()).expect("a row"), place);
        }
        assert_eq!(parse_message(&message(did, 4)), Some((did, 4)));
        assert_eq!(parse_expiry(&expiry(6, did, 4)), Some((6, did, 4)));
    }

    #[test]
    fn what_is_no_row_is_an_error() {
        let row = sample(Mail::Sealed(vec![1])).to_row();
        for end in 0..66 {
            assert!(Message::from_row(&row[..end]).is_err(), "{end} bytes");
        }
        assert!(Message::from_row(&[&[9], &row[1..]].concat()).is_err(), "another kind");
        assert!(Place::from_row(&[0; 40]).is_err());
        assert!(Place::from_row(&[0; 42]).is_err());
        let did = Did::from_bytes([1; 16]);
        assert_eq!(parse_message(&message(did, 4)[..24]), None);
        assert_eq!(parse_message(&expiry(6, did, 4)), None);
        assert_eq!(parse_expiry(&[expiry(6, did, 4), vec![0]].concat()), None);
    }
}
