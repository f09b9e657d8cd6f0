//! A log, its witnesses, its readers and its writers in one thread, from one seed.

#![forbid(unsafe_code)]

pub mod contract;
pub mod engine;
pub mod executor;
pub mod network;
pub mod pipeline;
pub mod random;
pub mod trace;
