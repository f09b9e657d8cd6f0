//! A log, its witnesses, its readers and its writers in one thread, from one seed; and what an engine must pass.
//!
//! | module | what |
//! |---|---|
//! | [`contract`](mod@contract) | the promises of an engine, as public tests; [`engine`]: one in memory, and one that fails as told |
//! | [`executor`], [`network`], [`random`], [`trace`] | tasks, virtual time, processes that are killed and paused; messages that are lost |
//! | [`world`] | the roles of a log, witnesses, monitors, clients, and a storm; [`checker`]: the invariants |
//! | [`pipeline`] | what is logged |
//!
//! `docs/dev/engines.md` says what it proves, and what it does not have.

#![forbid(unsafe_code)]

pub mod checker;
pub mod contract;
pub mod engine;
pub mod executor;
pub mod network;
pub mod pipeline;
pub mod random;
pub mod trace;
pub mod world;
