//! How far a pipeline is trusted: "AIP-Trust v1", the number that a consumer computes from logged vouches
//! (`specs/trust.md`).
//!
//! ```text
//! score     = social × behaviour                                      all in parts per million, integers only
//! social    = the best path  root → … → target:  root's weight × Π (level of the vouch × decay)
//! behaviour = floor + what active weeks and confirmations earn, × ¾ for each open failure report
//! ```
//! [`search`] finds paths. [`judge`] checks them, and says everything that a person needs to know. The judge asks a
//! [`Ledger`] for little more than the entries along the paths, so that the answers fit into a file that gives the same
//! verdict elsewhere.
//!
//! In scope: the score, which entries count ([`attestation::rules`]), a ledger in memory. Out of scope: where entries come from and
//! whether they are in the log (`evidence`, and readers of logs); clocks.

#![forbid(unsafe_code)]

pub mod graph;
mod judge;
mod ledger;
mod memory;
mod params;
mod path;
pub mod picture;
mod proven;
mod search;
#[cfg(test)]
mod tests;
mod verdict;
mod worth;

pub use judge::{ACTIVE_WEEKS, JudgeError, is_live_vouch, is_qualified, iso_week, judge};
pub use ledger::{Against, Confirmation, EdgeEvent, EdgeKind, Graph, Ledger, Logged, Negative, NegativeKind};
pub use memory::MemoryLedger;
pub use params::{
    MAX_HOPS, MAX_PATHS, MAX_ROOTS, Params, ParamsError, Ppm, PpmError, ScopeQuery, ScopeQueryError,
};
pub use path::Path;
pub use search::{Found, MAX_SEARCH_EDGES, search};
pub use verdict::{
    Advice, BrokenHop, CONFIRMER_WEEKS, Cause, Confirmer, FULL_WEEKS, History, Hop, JudgedPath, OpenFailure,
    Standing, Verdict,
};
pub use worth::weight;
