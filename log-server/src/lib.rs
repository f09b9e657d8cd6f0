//! An append-only Merkle log of signed entries, on RocksDB, over HTTP.
//!
//! ```text
//! http ──admit──▶ pool ──▶ sequencer: sequence ▶ integrate ▶ commit ▶ sign ▶ record ▶ cosign ▶ publish
//!   ▲                          │                                                │ ▲              │
//!   └───────── view ◀──────── store ◀─────────────────────────── witnesses ◀────┘ └──────────────┘
//! ```
//! Rules are pure functions: `admit`, `integrate`, `clock`, and what `cosign` says of cosignature lines. Lookups answer
//! from the store, each as of one size of the tree: `registry`, `view`, `evidence`. `sequencer` is the only writer.
//! `pool` and `day` bound what waits and what is logged, for all and for each client. Shells: `http` for clients,
//! `cosign::witnesses` for witnesses, `store` for the disk. Mathematics and formats live in `tlog` and `attestation`.

#![forbid(unsafe_code)]

pub mod aip_v1;
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
pub mod registry;
pub mod relay;
pub mod restore;
pub mod salvage;
pub mod sequencer;
pub mod serve;
pub mod signed_record;
pub mod store;
pub mod view;

mod directory;
mod replay;
mod snapshot;
mod source;
mod url;

pub use log_core::{admit, clock, integrate, sigstore_note};
pub use service::Failure;
