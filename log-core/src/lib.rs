//! What a log does, apart from where it keeps things: entries are planned, ordered, integrated, signed and published over
//! the ports of [`port`], which any engine can carry.
//!
//! ```text
//! front:       admit ▶ wants ▶ facts ▶ plan ▶ Order::sequence ▶ tickets
//! integrator:  integrate ▶ sign ▶ record ▶ cosign ▶ publish
//! readers:     view, registry: each answer is as of one size of the tree
//! ```
//! Rules are pure functions: `admit`, `plan`, `integrate`, `clock`, and what `cosign` says of cosignature lines. Nothing
//! here reads a clock, opens a file or a socket, or starts a thread: the caller brings clocks and executes the futures.

#![forbid(unsafe_code)]

pub mod admit;
pub mod clock;
pub mod integrate;
pub mod keys;
pub mod log_keys;
pub mod port;
pub mod sigstore_note;

mod error;

pub use error::StoreError;
