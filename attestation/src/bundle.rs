//! Bundles and receipts: every check of a bundle, and the bundle of a receipt (`specs/sigstore.md`). The forms are in
//! [`sigstore`](crate::sigstore).

mod export;
mod verify;

pub use export::{ExportError, Exported, export, trusted_root_of};
pub use verify::{Signer, Verified, VerifyPolicy, Witnesses, verify};
