//! What was signed, kept outside of the engine.

use std::future::Future;

use crate::StoreError;

/// The second record of what was signed. An engine that was put back to an older state does not know that the log has signed
/// more; this record does. It is written before anybody sees a signature.
///
/// After a failed write nobody knows which note it holds: the caller signs nothing more before it has read it.
pub trait Record: Send + Sync + 'static {
    /// The note that was signed last. A missing one is an error: nobody knows what was signed.
    fn read(&self) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Replaces the note; durable once this returns.
    fn write(&self, note: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The note that a witness showed, that this log signed and does not have; none if there was never one.
    fn shown(&self) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Keeps a note that a witness showed; durable once this returns.
    fn write_shown(&self, note: &str) -> impl Future<Output = Result<(), StoreError>> + Send;
}
