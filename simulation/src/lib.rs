//! A log, its witnesses, its readers and its writers in one thread, from one seed.

pub mod executor;
pub mod network;
pub mod random;
pub mod trace;
