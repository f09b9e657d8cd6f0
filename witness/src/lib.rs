//! A witness of transparency logs (c2sp.org/tlog-witness): remembers the last checkpoint of each log, and cosigns
//! only what extends it. Reads no entries.
//!
//! ```text
//! http ──▶ cosigner: read ▶ decide ▶ sign ▶ persist ▶ answer
//!              │                             │
//!            logs ◀── lists         state ◀──┘   one writer: check, set, one synced write for all who wait
//! ```
//! The order of its checks, its state, time, keys and contradictions: `specs/witness.md`, which `cosigner` has as its text.
//! The crate `monitor` reads the entries that a witness does not; [`beside`] starts its program.
//!
//! `decide`, `log_list` and `clock` are rules: pure functions. `state` is the only one that writes. `http`, `lists`
//! and `store` are shells. Mathematics and formats live in `tlog`.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod beside;
pub mod clock;
pub mod config;
pub mod cosigner;
pub mod decide;
pub mod findings;
pub mod fsck;
pub mod http;
pub mod init;
pub mod keys;
pub mod lists;
pub mod log_list;
pub mod logs;
pub mod metrics;
pub mod opening;
pub mod record;
pub mod recorded;
pub mod serve;
pub mod state;
pub mod status;
pub mod store;

mod directory;
mod salvage;

pub use service::Failure;
