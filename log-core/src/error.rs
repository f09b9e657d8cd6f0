//! What goes wrong below a port.

/// The disk, or the database on it, failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store failed to {action}: {cause}")]
pub struct StoreError {
    /// What was being done.
    pub action: &'static str,
    /// What the database said.
    pub cause: String,
    /// Whether the disk may take it at the next try: it is full, read-only for now, or failed.
    pub may_pass: bool,
}

impl StoreError {
    /// An error while doing `action`.
    pub fn new(action: &'static str, cause: impl std::fmt::Display) -> Self {
        Self { action, cause: cause.to_string(), may_pass: false }
    }
}
