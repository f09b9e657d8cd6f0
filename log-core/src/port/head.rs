//! What is integrated, signed and published, and who may move it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tlog::TreeSize;

use super::{Failed, OrderState};
use crate::StoreError;
use crate::integrate::Tree;
use crate::keys::Keys;

/// The fence: a number that grows with every lease. A call under an older one moves nothing.
pub type Epoch = u64;

/// Everything that an integrator goes on from, of one moment.
#[derive(Clone, Debug)]
pub struct Heads {
    /// The epoch of the last lease.
    pub epoch: Epoch,
    /// How the order stands.
    pub ordered: OrderState,
    /// The integrated tree.
    pub integrated: Arc<Tree>,
    /// The note that was signed last.
    pub signed: Option<String>,
    /// What is published.
    pub published: Option<PublishedNote>,
    /// The last time, Unix milliseconds, at which the log is known to have run.
    pub seen: Option<u64>,
}

/// A published checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublishedNote {
    /// With all its signatures.
    pub note: String,
    /// The second note over the same tree, for stock cosign. An engine in the process that holds the key may leave it to
    /// that process, which makes the same bytes again.
    pub sigstore: Option<String>,
}

/// Who leads.
#[derive(Clone, Debug)]
pub enum Lead {
    /// The caller, under this epoch, until its lease ends.
    Mine(Epoch),
    /// Somebody else's lease has not ended.
    Another,
}

/// What became of a compare-and-set.
#[derive(Clone, Debug)]
pub enum Moved {
    /// It is durable.
    Moved,
    /// Nothing was written: the epoch is another's, or the head stands elsewhere. The caller drops the lead and reads again.
    Another(Box<Heads>),
}

/// What integration adds: rows and a tree. Its tiles and bundles were [put](super::Objects::put) before.
#[derive(Clone, Debug)]
pub struct Integration<'a> {
    /// The size that was integrated before.
    pub from: TreeSize,
    /// The tree behind it.
    pub tree: &'a Arc<Tree>,
    /// Under which keys each entry from `from` on is found.
    pub rows: &'a [Keys],
}

/// A signed checkpoint to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// Its size, not below the signed one.
    pub size: TreeSize,
    /// The note.
    pub note: &'a str,
}

/// A checkpoint to be published.
#[derive(Clone, Copy, Debug)]
pub struct Publishing<'a> {
    /// Its size, not below the published one and not above the signed one. The same size again has other cosignatures.
    pub size: TreeSize,
    /// The note.
    pub note: &'a str,
    /// The second note.
    pub sigstore: &'a str,
    /// The note to be recorded as signed by the same write, if it is not recorded yet or has other lines.
    pub signed: Option<&'a str>,
}

/// Head and lease. Each verb but [`heads`](Self::heads) is one compare-and-set, durable once it has returned.
///
/// Leases are counted by the engine's clock. An engine that one process has for itself may give a lease that never ends: what
/// keeps others out is the fence then.
pub trait Head: Send + Sync + 'static {
    /// Everything, of one moment.
    fn heads(&self) -> impl Future<Output = Result<Heads, StoreError>> + Send;

    /// Takes the lead for so long, if it is free.
    fn lead(&self, holder: &str, lease: Duration) -> impl Future<Output = Result<Lead, Failed>> + Send;

    /// Keeps the lead for so long from now.
    fn renew(&self, epoch: Epoch, lease: Duration) -> impl Future<Output = Result<Moved, Failed>> + Send;

    /// Gives the lead up.
    fn release(&self, epoch: Epoch) -> impl Future<Output = Result<Moved, Failed>> + Send;

    /// Integrated: from [`Integration::from`] to the new tree.
    fn integrate(
        &self,
        epoch: Epoch,
        integration: Integration<'_>,
    ) -> impl Future<Output = Result<Moved, Failed>> + Send;

    /// Signed.
    fn sign(&self, epoch: Epoch, signing: Signing<'_>) -> impl Future<Output = Result<Moved, Failed>> + Send;

    /// Published.
    fn publish(
        &self,
        epoch: Epoch,
        publishing: Publishing<'_>,
    ) -> impl Future<Output = Result<Moved, Failed>> + Send;

    /// The log ran at this time, Unix milliseconds.
    fn saw(&self, epoch: Epoch, millis: u64) -> impl Future<Output = Result<Moved, Failed>> + Send;
}
