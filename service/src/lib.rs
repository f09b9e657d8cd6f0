//! What a server of ours is around its work, the same for the log and the witness.
//!
//! ```text
//! connections ──▶ routes of the program ──▶ bodies ──▶ its work
//!      └── addresses: whom a request counts for, and how much it may ask
//! ```
//! In scope: sockets, bounds, settings, files, and the words of a failure. Out of scope: routes, rules, formats, and
//! how an error looks on the wire, which each protocol says for itself.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod bodies;
pub mod clock;
pub mod connections;
pub mod disk;
pub mod durable;
pub mod key_file;
pub mod program;
pub mod span;
pub mod wal;

mod failure;

pub use failure::Failure;
