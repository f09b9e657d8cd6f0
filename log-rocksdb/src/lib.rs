//! The engine of a log on RocksDB.
//!
//! [`Engine`] implements the ports of `log_core`. It is *fused*: a call that orders entries integrates them too, and commits
//! leaves, claims, lookups, envelopes, tiles and the state of the tree by one synced write. So nothing is ever ordered and
//! not integrated. One process has the directory for itself, by a lock; that is the fence.
//!
//! [`store`] is the layer below: ordered bytes in columns, what they hold, and how damage to their files is found. Commands
//! that repair a directory use it directly.

#![forbid(unsafe_code)]

pub mod engine;
pub mod store;

pub use engine::{Engine, ReadsOf};
