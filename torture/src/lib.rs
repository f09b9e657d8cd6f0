//! The fault programme: the real programs on a real disk, killed, starved, damaged, cut off; `./run torture`.
//!
//! A [`Row`] is one trial of docs/dev/rules.md: a function that runs it so many times and says what it found. `./run torture`
//! runs them all and prints a line for each; the tests of the workspace call the same functions with small counts.
//!
//! | module | trial |
//! |---|---|
//! | [`kills`] | R1: kill -9 under load |
//! | [`calls`] | R2: every call of a round fails once |
//!
//! [`frame`] is what rows are made of. [`promised`] remembers what clients were told, [`strace`] makes calls fail.

#![forbid(unsafe_code)]

pub mod calls;
pub mod frame;
pub mod kills;
pub mod preload;
pub mod promised;
pub mod strace;

pub use frame::{Findings, Outcome, Plan, Ran, Row};

/// Every row, in the order in which they run.
pub const ROWS: &[Row] = &[
    Row { id: "R1", trial: "kill -9 of the log under load", full: 1_000, ci: 50, run: kills::log },
    Row { id: "R2", trial: "every call of a round: SIGKILL, EIO, ENOSPC", full: 1, ci: 1, run: calls::fail },
    Row { id: "R2", trial: "every write of a round is short", full: 1, ci: 1, run: calls::shorten },
];
