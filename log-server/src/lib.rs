//! An append-only Merkle log of signed entries, on RocksDB, over HTTP.
//!
//! ```text
//! http ──admit──▶ pool ──▶ sequencer: order ▶ integrate ▶ sign ▶ record ▶ cosign ▶ publish
//!   ▲                │                                             │ ▲              │
//!   │             tickets ◀── outcomes                 witnesses ◀─┘ └──────────────┤
//!   └──────── view ◀────────────────── engine ◀─────────────────────────────────────┘
//! ```
//! What a log does is `log_core`'s, over the ports of an engine; the engine is `log_rocksdb`'s. This crate is what is around
//! them: `http` for clients, `cosign::witnesses` for witnesses, `pool` and `day`, which bound what waits and what is logged,
//! for all and for each client, and the commands that look after a directory.

#![forbid(unsafe_code)]

pub mod aip_v1;
pub mod asserter;
pub mod backup;
pub mod config;
pub mod cosign;
pub mod day;
pub mod erase;
pub mod evidence;
pub mod fsck;
pub mod http;
pub mod init;
pub mod metrics;
pub mod mirror;
pub mod policy;
pub mod pool;
pub mod recover;
pub mod relay;
pub mod restore;
pub mod salvage;
pub mod sequencer;
pub mod serve;
pub mod signed_record;

mod directory;
mod replay;
mod snapshot;
mod source;
mod url;

pub use log_core::{admit, clock, integrate, registry, sigstore_note, view};
pub use log_rocksdb::store;
pub use service::Failure;
