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
pub mod cosign;
pub mod integrate;
pub mod integrator;
pub mod keys;
pub mod log;
pub mod log_keys;
pub mod metrics;
pub mod orderer;
pub mod plan;
pub mod port;
pub mod registry;
pub mod sigstore_note;
pub mod stored;
pub mod ticket;
pub mod view;

mod error;

pub use error::StoreError;
