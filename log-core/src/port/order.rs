//! The order of a log.

use std::future::Future;

use attestation::entry::LogTime;
use tlog::{LeafIndex, TreeSize};

use super::Failed;
use crate::admit::Admitted;

/// How the order stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OrderState {
    /// The number of entries that have an index: the next entry gets this one.
    pub next: TreeSize,
    /// The time of the last entry, Unix milliseconds; 0 before the first. Time never goes back.
    pub logged_at: u64,
    /// The day (days since 1970-01-01 UTC) that `day_bytes` counts.
    pub day: u64,
    /// Bytes of leaves and envelopes that were ordered on `day`.
    pub day_bytes: u64,
    /// Under what entries are checked.
    pub versions: Versions,
}

/// Versions of the state that rules of state read. A version is a size of the log, and the state at that size is the state
/// at `next`: no such event stands at or behind it. An engine may answer a larger version than the smallest that is true. It
/// never answers a smaller one than before, and it keeps a version while no such event is ordered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Versions {
    /// No identity event stands at or behind this size.
    pub identity: TreeSize,
    /// No event of any kind stands at or behind this size.
    pub events: TreeSize,
}

impl Versions {
    /// The versions behind an entry at `index`.
    #[must_use]
    pub fn behind(self, index: LeafIndex, is_event: bool, is_identity: bool) -> Self {
        let size = TreeSize::new(index.get() + 1);
        Self {
            identity: if is_identity { size } else { self.identity },
            events: if is_event { size } else { self.events },
        }
    }
}

/// Entries to be ordered together, all or none of them.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// In their order. No two have one claim.
    pub entries: &'a [Proposed<'a>],
    /// The order that [facts](super::Index::facts) named, under which the entries were checked.
    pub checked: &'a OrderState,
    /// The caller's time, Unix milliseconds.
    pub time: LogTime,
    /// The most entries that may be ordered and not integrated once this call is done.
    pub max_pending: u64,
}

/// An entry to be ordered.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a> {
    /// The entry, with its claim.
    pub entry: &'a Admitted,
    /// Its leaf, if it is logged at the call's time.
    pub leaf: &'a [u8],
    /// Whether its envelope comes along. It is kept unless the log has, or had, one of this hash.
    pub keeps_envelope: bool,
}

impl Call<'_> {
    /// Whether an event is among the entries: then all events matter, and else identity events only.
    pub fn has_event(&self) -> bool {
        self.entries.iter().any(|proposed| proposed.entry.is_event())
    }

    /// Whether the entries were checked under the state that is in force.
    pub fn is_current(&self, now: &Versions) -> bool {
        let checked = &self.checked.versions;
        checked.identity == now.identity && (!self.has_event() || checked.events == now.events)
    }
}

/// What became of a call. Only [`Sequencing::Sequenced`] has written anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sequencing {
    /// Every entry is durable: the first at `first`, the others behind it, all at this time.
    Sequenced {
        /// The index of the first.
        first: LeafIndex,
        /// The time in each leaf: the largest of the call's time, the last entry's, and what the engine's own clock says
        /// if it has one.
        logged_at: LogTime,
    },
    /// Claims that have an index: where they are in the call, and where in the log. The caller answers those, and calls
    /// again with the others.
    Known(Vec<(usize, LeafIndex)>),
    /// The entries were checked under a state that is past: reads facts and checks again.
    Stale(OrderState),
    /// More would wait for integration than may.
    Full,
    /// Nothing is ordered now, for this reason.
    Closed(String),
}

/// Gives entries their index and time.
///
/// [`sequence`](Self::sequence) is atomic, and durable once it has returned. It looks at, in this order: whether the order is
/// closed; whether a claim is known, before any rule of state; whether the versions are those of the call; whether there is
/// room. Calls that come at once are done one after the other. A claim gets one index for ever, whoever sends it, and however
/// often. An engine that has answered [facts](super::Index::facts) and has ordered nothing since need not look twice.
pub trait Order: Send + Sync + 'static {
    /// Orders entries.
    fn sequence(&self, call: &Call<'_>) -> impl Future<Output = Result<Sequencing, Failed>> + Send;
}
