//! The ports: what a log asks of an engine, in verbs of a log.
//!
//! | port | verbs |
//! |---|---|
//! | [`Order`] | fixes index and time of a batch, once for each claim, under the state it was checked against |
//! | [`Index`] | facts for a round in one call; lookups and lists as of a size; identity events since a version |
//! | [`Head`] | the lease; integrated, signed and published, each a compare-and-set under an epoch |
//! | [`Objects`] | full tiles, bundles, envelopes: put once, read, list, erase |
//! | [`Record`] | what was signed, kept outside of the engine |
//! | [`Slots`] | an index whose leaf is a pure function of the leaves before it |
//! | [`Assert`] | what only the holder of the key can say |
//!
//! [`tickets`](crate::ticket) are who waits for a claim.
//!
//! # Calls that may be lost
//!
//! A call that changes something may cross a machine. It is a future, and it ends in one of three ways: with an outcome;
//! [lost](Failed::Lost), so that nothing was written and nothing will be; or [unknown](Failed::Unknown). Nobody repeats a call
//! of unknown outcome blindly: the caller reads, and what it reads decides. An engine that cannot tell by reading what
//! became of a call fails every later call and read, until it is opened again.
//!
//! Dropping the future of a call does not stop the call: its outcome is then unknown.
//!
//! Reads are no futures and may block. Only threads that may wait call them. A read sees everything that was written by a
//! call that had returned before the read began.

mod assert;
mod head;
mod index;
mod objects;
mod order;
mod record;
mod slot;

pub use assert::{Assert, Asserted};
pub use head::{Epoch, Head, Heads, Integration, Lead, Moved, PublishedNote, Publishing, Signing};
pub use index::{Direction, Facts, Index, KnownEnvelope, Page, Placed, Since, Wants};
pub use objects::{Kind, Object, Objects, Put, StoredEnvelope, Tombstone};
pub use order::{Call, Order, OrderState, Proposed, Sequencing, Versions};
pub use record::Record;
pub use slot::{Fill, Reserved, Slots};

use std::task::{Context, Poll, Waker};

use crate::StoreError;

/// How a call ends that has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failed {
    /// Nothing was written, and nothing will be. The caller may send the call again.
    #[error("nothing was written: {0}")]
    Lost(StoreError),
    /// It may have been written, or may still be. The caller reads before it does anything else.
    #[error("it is not known whether it was written: {0}")]
    Unknown(StoreError),
}

impl Failed {
    /// What the engine said.
    pub fn into_error(self) -> StoreError {
        match self {
            Self::Lost(error) | Self::Unknown(error) => error,
        }
    }
}

/// What readers need: lookups and objects. Everything in it can be called through `dyn`.
pub trait Reads: Index + Objects {}

impl<E: Index + Objects> Reads for E {}

/// What a front needs of an engine.
pub trait FrontEngine: Order + Index + Objects {}

impl<E: Order + Index + Objects> FrontEngine for E {}

/// What an integrator needs of an engine.
pub trait IntegratorEngine: Head + Index + Objects {}

impl<E: Head + Index + Objects> IntegratorEngine for E {}

/// The outcome of a call that is ready at once, as those of an engine in the caller's own process are.
///
/// # Panics
/// If it is not.
pub fn ready<T>(call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a call to an engine of this process waits for something"),
    }
}
