//! The fault programme: the real programs on a real disk, killed, starved, damaged, cut off; `./run torture`.
//!
//! A [`Row`] is one trial of docs/dev/rules.md: a function that runs it so many times and says what it found. `./run torture`
//! runs them all and prints a line for each; the tests of the workspace call the same functions with small counts.
//!
//! | module | trial |
//! |---|---|
//! | [`kills`] | R1: kill -9 under load |
//! | [`calls`] | R2: every call of a round fails once |
//! | [`power`] | R3: the power fails under load, and the control of that |
//! | [`space`] | R5: the disk is full |
//! | [`syncs`] | R6: a sync fails |
//! | [`flips`] | R7: a bit flips |
//!
//! [`frame`] is what rows are made of. [`promised`] remembers what clients were told, [`strace`] and [`preload`] make calls
//! fail, [`disks`] makes disks.

#![forbid(unsafe_code)]

pub mod calls;
pub mod disks;
pub mod flips;
pub mod frame;
pub mod kills;
pub mod power;
pub mod preload;
pub mod promised;
pub mod space;
pub mod strace;
pub mod syncs;

pub use frame::{Findings, Outcome, Plan, Ran, Row};

/// Every row, in the order in which they run.
pub const ROWS: &[Row] = &[
    Row { id: "R1", trial: "kill -9 of the log under load", full: 1_000, ci: 50, run: kills::log },
    Row { id: "R2", trial: "every call of a round: SIGKILL, EIO, ENOSPC", full: 1, ci: 1, run: calls::fail },
    Row { id: "R2", trial: "every write of a round is short", full: 1, ci: 1, run: calls::shorten },
    Row { id: "R3", trial: "power loss under load, ext4", full: 500, ci: 20, run: power::ext4 },
    Row { id: "R3", trial: "power loss under load, XFS", full: 100, ci: 10, run: power::xfs },
    Row { id: "R3", trial: "control: no sync, which must lose", full: 20, ci: 3, run: power::without_sync },
    Row { id: "R5", trial: "disk full under load, tmpfs", full: 50, ci: 4, run: space::tmpfs },
    Row { id: "R5", trial: "disk full under load, ext4", full: 50, ci: 4, run: space::ext4 },
    Row { id: "R6", trial: "the n-th sync fails", full: 50, ci: 16, run: syncs::fail },
    Row { id: "R7", trial: "a bit of the log's files flips", full: 10_000, ci: 150, run: flips::log },
];
