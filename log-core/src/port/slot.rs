//! Indexes whose leaves are computed. Nothing uses them yet: the shape is kept free for them.
//!
//! The rule: the leaf of a slot is a pure function of its index, its time and all leaves before it. So whoever integrates makes
//! the same bytes, and needs no key and no message from anybody else. An engine gives a slot its index and time as it does
//! for an entry, and the leaf is put once: the same bytes again are fine, others are an alarm. No entry behind an empty
//! slot is integrated.

use std::future::Future;

use attestation::entry::LogTime;
use tlog::LeafIndex;

use super::{Epoch, Failed, Objects, OrderState, Put};
use crate::StoreError;

/// What became of the wish for a slot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reserved {
    /// The slot is there, durably, and empty.
    At(LeafIndex, LogTime),
    /// The order has moved: decide again whether a slot is wanted.
    Stale(OrderState),
    /// This engine has none, for this reason.
    NotOffered(&'static str),
}

/// Makes the leaf of a slot.
pub trait Fill {
    /// The leaf at `index`, of the leaves before it in `before`.
    fn leaf(&self, index: LeafIndex, time: LogTime, before: &dyn Objects) -> Result<Vec<u8>, StoreError>;
}

/// Gives slots, and fills them.
pub trait Slots: Send + Sync + 'static {
    /// Reserves the next index, if the order stands at `at`.
    fn reserve(
        &self,
        at: &OrderState,
        time: LogTime,
    ) -> impl Future<Output = Result<Reserved, Failed>> + Send;

    /// Puts the leaf of a slot.
    fn fill(
        &self,
        epoch: Epoch,
        index: LeafIndex,
        leaf: &[u8],
    ) -> impl Future<Output = Result<Put, Failed>> + Send;
}
