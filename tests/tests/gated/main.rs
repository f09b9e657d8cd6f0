//! The workflows that were announced, by `action.yml` as a runner executes it, against a real log: green where
//! they should be, and red where they must.

mod announced;
mod asked;
mod jobs;
mod notify;
mod pending;
#[path = "../../../aip-attest/tests/cli/runner.rs"]
#[expect(dead_code, reason = "the command line's own tests use the rest")]
mod runner;
mod world;
