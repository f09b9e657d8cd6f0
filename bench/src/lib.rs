//! The benchmarks: what `./run bench` prints. Figures of a shared machine are worth little, ratios of one
//! run are worth more: every peer runs beside us, turn about, and what is claimed is the median of the
//! rounds' ratios.
//!
//! | module | benchmark |
//! |---|---|
//! | [`trees`] | integrate and proof verification, against `rs_merkle` |
//! | [`add`] | durable, signature-checked adds, beside Tessera's POSIX log |
//! | [`rekor`] | the same beside rekor-tiles' POSIX log, which checks a signature of each |
//! | [`identities`] | the same by bare signers and by registered ones |
//! | [`latency`] | one add at a quiet time, beside Tessera |
//! | [`profile`] | where the server's time goes |
//! | [`syncs`] | what a round syncs, counted by `strace` |
//! | [`tiles`] | reads of tiles and bundles, against nginx |
//! | [`start`] | start, memory and publication of a log with many entries |
//! | [`cold`] | one verification by a process that just started, against cosign |
//! | [`cosigned`] | a log with three witnesses beside the same log with none, and with one that hangs |
//! | [`witnesses`] | add-checkpoint, against litewitness |
//! | [`trust`] | trust scores in a large graph |
//! | [`messages`] | messages a second beside adds by hash, and what entries notice of a relay |
//! | [`attack`] | what honest clients notice of attackers |
//!
//! [`load`](testkit::load) makes the load, [`corpus`] what it sends, [`peers`] runs the others, [`measure`] reads clocks
//! and counters, [`report`] prints.

#![forbid(unsafe_code)]

pub mod add;
pub mod attack;
pub mod cold;
pub mod corpus;
pub mod cosigned;
pub mod identities;
pub mod latency;
pub mod measure;
pub mod messages;
pub mod peers;
pub mod profile;
pub mod rekor;
pub mod report;
pub mod start;
pub mod syncs;
pub mod tiles;
pub mod trees;
pub mod trust;
pub mod witnesses;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of each comparison.
    pub rounds: usize,
    /// Entries of one round of adds, after [`Effort::warm_up`].
    pub entries: usize,
    /// Entries sent before a round of adds is measured: each signer's key is admitted once.
    pub warm_up: usize,
    /// Leaves of the trees in memory.
    pub leaves: usize,
    /// Seconds of one round of reads.
    pub read_seconds: u64,
    /// Entries of the logs of growing sizes.
    pub sizes: &'static [u64],
    /// Cold starts of one verification.
    pub cold_runs: usize,
    /// Seconds of one round of add-checkpoint requests.
    pub witness_seconds: u64,
    /// Updates of each of 50 logs that are signed beforehand: as many as a witness could take in that time.
    pub updates: usize,
    /// DIDs of the graph in which trust is scored; ten vouches each.
    pub trust_dids: usize,
}

impl Effort {
    /// Minutes: for every change.
    pub const QUICK: Self = Self {
        rounds: 3,
        entries: 40_000,
        warm_up: 4_000,
        leaves: 1 << 20,
        read_seconds: 2,
        sizes: &[100_000, 1_000_000],
        cold_runs: 15,
        witness_seconds: 2,
        updates: 800,
        trust_dids: 100_000,
    };

    /// As long as it takes: for figures that are published.
    pub const FULL: Self = Self {
        rounds: 7,
        entries: 200_000,
        warm_up: 4_000,
        leaves: 1 << 20,
        read_seconds: 5,
        sizes: &[100_000, 1_000_000, 10_000_000],
        cold_runs: 41,
        witness_seconds: 10,
        updates: 4_000,
        trust_dids: 1_000_000,
    };
}

/// Connections of the load generator that each send one entry at a time.
pub const SINGLE_CONNECTIONS: usize = 512;

/// Connections of the load generator that each send [`BATCH`] entries at a time.
pub const BATCH_CONNECTIONS: usize = 16;

/// Entries of one batch request.
pub const BATCH: usize = 100;

/// Connections of the load generator that read.
pub const READ_CONNECTIONS: usize = 64;
