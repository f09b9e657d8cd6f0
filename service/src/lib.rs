//! What log and witness share around their work.
//!
//! ```text
//! connections ──▶ routes of the program ──▶ bodies ──▶ turns at its work
//!      └── addresses: which client it is ──▶ shares: how much of everything a client may hold
//! operator: a port of its own for health and metrics
//! ```
//! In scope: sockets, bounds, settings, files, and the words of a failure. Out of scope: routes, rules, formats, and
//! how an error looks on the wire, which each protocol says for itself.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod bodies;
pub mod bounded;
pub mod clock;
pub mod connections;
pub mod disk;
pub mod durable;
pub mod edited;
pub mod key_file;
pub mod operator;
pub mod program;
pub mod shares;
pub mod span;
pub mod turns;
pub mod wal;

mod failure;

pub use failure::Failure;
