//! Which entries are found under which key: the lists that an entry stands in (`specs/evidence.md`).
//!
//! Lists are a pure function of the leaves in log order, so that anyone can rebuild them. A list holds 32 bytes for each
//! entry, enough to judge most of it without the leaf:
//!
//! ```text
//! index u64 | peer DID 16 | kind u8 | scope u8 | level u8 | depth u8 | expiry u32        big-endian
//! ```
//! In scope: keys, entries, their order, the root over them. Out of scope: whether an entry is valid (only
//! valid ones stand in lists), and where lists are kept.

use std::fmt;
use std::str::FromStr;

use tlog::merkle::{leaf_hash, root_of};
use tlog::{Hash, LeafIndex};

use crate::did::Did;
use crate::entry::{Entry, LogTime};
use crate::event::{Body, Event, IdentityEvent, Level, Scope, TrustEvent};

/// The name of a list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ListKey {
    /// `id:<did>`: the identity events of a DID.
    Id(Did),
    /// `out:<did>`: its vouches, revocations and distrusts.
    Out(Did),
    /// `in:<did>`: those about it.
    In(Did),
    /// `edge:<from>:<to>:<scope>`: those by one about another in a scope.
    Edge(Did, Did, Scope),
    /// `neg:<did>`: failures, withdrawals and equivocations about it.
    Neg(Did),
    /// `pos:<did>`: confirmations about it.
    Pos(Did),
    /// `rcpt:<did>`: its artifact entries.
    Receipts(Did),
    /// `msg:<did>`: its message keys.
    Messages(Did),
}

impl ListKey {
    /// Whether evidence holds a choice of its entries: they can only raise a score.
    pub fn is_chosen(&self) -> bool {
        matches!(self, Self::Pos(_) | Self::Receipts(_))
    }
}

impl fmt::Display for ListKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(did) => write!(f, "id:{did}"),
            Self::Out(did) => write!(f, "out:{did}"),
            Self::In(did) => write!(f, "in:{did}"),
            Self::Edge(from, to, scope) => write!(f, "edge:{from}:{to}:{scope}"),
            Self::Neg(did) => write!(f, "neg:{did}"),
            Self::Pos(did) => write!(f, "pos:{did}"),
            Self::Receipts(did) => write!(f, "rcpt:{did}"),
            Self::Messages(did) => write!(f, "msg:{did}"),
        }
    }
}

/// No list has this name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no list has this name")]
pub struct ListKeyError;

impl FromStr for ListKey {
    type Err = ListKeyError;

    fn from_str(text: &str) -> Result<Self, ListKeyError> {
        let (kind, rest) = text.split_once(':').ok_or(ListKeyError)?;
        let did = |text: &str| text.parse::<Did>().map_err(|_| ListKeyError);
        match kind {
            "id" => did(rest).map(Self::Id),
            "out" => did(rest).map(Self::Out),
            "in" => did(rest).map(Self::In),
            "neg" => did(rest).map(Self::Neg),
            "pos" => did(rest).map(Self::Pos),
            "rcpt" => did(rest).map(Self::Receipts),
            "msg" => did(rest).map(Self::Messages),
            "edge" => {
                let (from, rest) = rest.split_at_checked(DID_CHARS).ok_or(ListKeyError)?;
                let rest = rest.strip_prefix(':').ok_or(ListKeyError)?;
                let (to, scope) = rest.split_at_checked(DID_CHARS).ok_or(ListKeyError)?;
                let scope = scope.strip_prefix(':').and_then(Scope::parse).ok_or(ListKeyError)?;
                Ok(Self::Edge(did(from)?, did(to)?, scope))
            }
            _ => Err(ListKeyError),
        }
    }
}

/// `did:aip:` and 32 digits.
const DID_CHARS: usize = 40;

/// What an entry is, in a list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
#[expect(missing_docs, reason = "the events of these names, and `dsse` entries")]
pub enum ListedKind {
    Receipt = 0,
    Inception = 1,
    Rotation = 2,
    Recovery = 3,
    Compromise = 4,
    Deactivation = 5,
    Vouch = 16,
    Revocation = 17,
    Distrust = 18,
    Confirmation = 32,
    Failure = 33,
    Withdrawal = 34,
    Equivocation = 35,
    MessageKeys = 48,
}

impl ListedKind {
    const ALL: [Self; 14] = [
        Self::Receipt,
        Self::Inception,
        Self::Rotation,
        Self::Recovery,
        Self::Compromise,
        Self::Deactivation,
        Self::Vouch,
        Self::Revocation,
        Self::Distrust,
        Self::Confirmation,
        Self::Failure,
        Self::Withdrawal,
        Self::Equivocation,
        Self::MessageKeys,
    ];

    /// What an event with this body is.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Identity(IdentityEvent::Inception { .. }) => Self::Inception,
            Body::Identity(IdentityEvent::Rotation { .. }) => Self::Rotation,
            Body::Identity(IdentityEvent::Recovery { .. }) => Self::Recovery,
            Body::Identity(IdentityEvent::Compromise { .. }) => Self::Compromise,
            Body::Identity(IdentityEvent::Deactivation { .. }) => Self::Deactivation,
            Body::MessageKeys(_) => Self::MessageKeys,
            Body::Trust(trust) => Self::of_trust(trust),
        }
    }

    /// What a trust event is.
    pub fn of_trust(trust: &TrustEvent) -> Self {
        match trust {
            TrustEvent::Vouch { .. } => Self::Vouch,
            TrustEvent::Revocation { .. } => Self::Revocation,
            TrustEvent::Distrust { .. } => Self::Distrust,
            TrustEvent::Confirmation { .. } => Self::Confirmation,
            TrustEvent::Failure { .. } => Self::Failure,
            TrustEvent::Withdrawal { .. } => Self::Withdrawal,
            TrustEvent::Equivocation { .. } => Self::Equivocation,
        }
    }
}

/// An entry as a list holds it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Listed {
    /// Where it stands in the log.
    pub index: LeafIndex,
    /// The other DID: the subject in a list of its issuer, else the issuer.
    pub peer: Did,
    /// What it is.
    pub kind: ListedKind,
    /// Of a vouch, revocation or distrust.
    pub scope: Option<Scope>,
    /// Of a vouch.
    pub level: Option<Level>,
    /// Of a vouch that states one.
    pub depth: Option<u8>,
    /// Hours since 1970 at which a vouch has certainly ended; 0 if nothing ends.
    pub expiry_hours: u32,
}

impl Listed {
    /// When a vouch has certainly ended; `None` if nothing ends. A line has whole hours, rounded up.
    pub fn ends_by(&self) -> Option<LogTime> {
        let millis = u64::from(self.expiry_hours) * HOUR_MILLIS;
        (millis > 0).then(|| LogTime::from_millis(millis).unwrap_or(LogTime::MAX))
    }

    /// Whether `now` lies in the hour in which a vouch ends: only its leaf tells whether it has.
    pub fn ends_in_the_hour_of(&self, now: LogTime) -> bool {
        self.ends_by().is_some_and(|end| now < end && now.as_millis() + HOUR_MILLIS > end.as_millis())
    }

    /// Its length in bytes.
    pub const BYTES: usize = 32;

    /// The artifact entry of `did` at `index`, as `rcpt:` lists it.
    pub fn receipt(index: LeafIndex, did: Did) -> Self {
        plain(index, did, ListedKind::Receipt)
    }

    /// Whether another line may be of the same event, logged once more.
    pub fn could_be(&self, other: &Self) -> bool {
        Self { index: other.index, ..*self } == *other
    }

    /// The bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.index.get().to_be_bytes());
        bytes[8..24].copy_from_slice(self.peer.as_bytes());
        bytes[24] = self.kind as u8;
        bytes[25] = self.scope.map_or(0, |scope| 1 + scope as u8);
        bytes[26] = self.level.map_or(0, |level| 1 + level as u8);
        bytes[27] = self.depth.unwrap_or(NO_DEPTH);
        bytes[28..].copy_from_slice(&self.expiry_hours.to_be_bytes());
        bytes
    }

    /// The entry with these bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let index = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let peer = Did::from_bytes(bytes[8..24].try_into().ok()?);
        let kind = ListedKind::ALL.into_iter().find(|kind| *kind as u8 == bytes[24])?;
        let nth = |all_len: usize, byte: u8| match usize::from(byte) {
            0 => Some(None),
            at if at <= all_len => Some(Some(at - 1)),
            _ => None,
        };
        let scope = nth(Scope::ALL.len(), bytes[25])?.map(|at| Scope::ALL[at]);
        let level = nth(Level::ALL.len(), bytes[26])?.map(|at| Level::ALL[at]);
        let depth = (bytes[27] != NO_DEPTH).then_some(bytes[27]);
        let expiry_hours = u32::from_be_bytes(bytes[28..].try_into().ok()?);
        Some(Self { index: LeafIndex::new(index), peer, kind, scope, level, depth, expiry_hours })
    }
}

const NO_DEPTH: u8 = 255;
const HOUR_MILLIS: u64 = 60 * 60 * 1_000;

/// Every list that a valid entry stands in, and how. `index` is the entry's.
pub fn lists_of(entry: &Entry, index: LeafIndex) -> Vec<(ListKey, Listed)> {
    match entry {
        Entry::Dsse(entry) => {
            let did = entry.claim().did();
            vec![(ListKey::Receipts(did), Listed::receipt(index, did))]
        }
        Entry::Event(event) => lists_of_event(event.event(), index),
        Entry::NotUnderstood { .. } => Vec::new(),
    }
}

/// Every list that a valid event stands in, and how. `index` is its entry's.
pub fn lists_of_event(event: &Event, index: LeafIndex) -> Vec<(ListKey, Listed)> {
    let (issuer, subject) = (event.issuer(), event.subject());
    let kind = ListedKind::of(event.body());
    let by_issuer = plain(index, issuer, kind);
    let trust = match event.body() {
        Body::Identity(_) => return vec![(ListKey::Id(issuer), by_issuer)],
        Body::MessageKeys(_) => return vec![(ListKey::Messages(issuer), by_issuer)],
        Body::Trust(trust) => trust,
    };
    match trust {
        TrustEvent::Confirmation { .. } => vec![(ListKey::Pos(subject), by_issuer)],
        TrustEvent::Failure { .. } | TrustEvent::Withdrawal { .. } | TrustEvent::Equivocation { .. } => {
            vec![(ListKey::Neg(subject), by_issuer)]
        }
        TrustEvent::Vouch { scope, .. }
        | TrustEvent::Revocation { scope, .. }
        | TrustEvent::Distrust { scope, .. } => {
            let mut listed = Listed { scope: Some(*scope), ..by_issuer };
            if let TrustEvent::Vouch { level, depth, expires_at, .. } = trust {
                let hours = expires_at.as_millis().div_ceil(HOUR_MILLIS);
                listed.level = Some(*level);
                listed.depth = *depth;
                listed.expiry_hours = u32::try_from(hours).unwrap_or(u32::MAX);
            }
            let to_subject = Listed { peer: subject, ..listed };
            vec![
                (ListKey::Out(issuer), to_subject),
                (ListKey::In(subject), listed),
                (ListKey::Edge(issuer, subject, *scope), to_subject),
            ]
        }
    }
}

fn plain(index: LeafIndex, peer: Did, kind: ListedKind) -> Listed {
    Listed { index, peer, kind, scope: None, level: None, depth: None, expiry_hours: 0 }
}

/// The RFC 6962 root over a list's entries in log order: what a log says of a list in one value.
pub fn list_root(entries: &[Listed]) -> Hash {
    root_of(&entries.iter().map(|entry| leaf_hash(&entry.to_bytes())).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(byte: u8) -> Did {
        Did::from_bytes([byte; 16])
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let (a, b) = (did(1), did(2));
        let edge = ListKey::Edge(a, b, Scope::CodeSigning);
        for key in [
            ListKey::Id(a),
            ListKey::Out(a),
            ListKey::In(a),
            edge,
            ListKey::Neg(a),
            ListKey::Pos(a),
            ListKey::Receipts(a),
            ListKey::Messages(a),
        ] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for bad in ["", "id", "id:", "ID:did:aip:00", "edge:a:b:c", "id:did:aip:0G", "idé:x"] {
            assert_eq!(bad.parse::<ListKey>(), Err(ListKeyError), "{bad}");
        }
        let bad = edge.to_string().replace("CODE", "code");
        assert_eq!(bad.parse::<ListKey>(), Err(ListKeyError));
    }

    #[test]
    fn an_entry_is_32_bytes() {
        let listed = Listed {
            index: LeafIndex::new(0x0102_0304_0506_0708),
            peer: did(9),
            kind: ListedKind::Vouch,
            scope: Some(Scope::CodeSigning),
            level: Some(Level::Strong),
            depth: Some(1),
            expiry_hours: 0x0A0B_0C0D,
        };
        let bytes = listed.to_bytes();
        let want = format!("0102030405060708{}10020301{}", "09".repeat(16), "0a0b0c0d");
        assert_eq!(hex::encode(bytes), want);
        assert_eq!(Listed::from_bytes(&bytes), Some(listed));
        let none = Listed { scope: None, level: None, depth: None, ..listed };
        assert_eq!(Listed::from_bytes(&none.to_bytes()), Some(none));
        for (at, byte) in [(24, 99), (25, 6), (26, 5)] {
            let mut bad = bytes;
            bad[at] = byte;
            assert_eq!(Listed::from_bytes(&bad), None, "byte {at}");
        }
    }
}
