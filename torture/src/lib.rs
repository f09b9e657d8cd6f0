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
//! | [`rollback`] | R9: directories that are rolled back; R10: one directory, record or key for two servers |
//! | [`clocks`] | R11: clocks that jump |
//! | [`bytes`] | S9, S11, S15: numbers, JSON and paths of a request; R12: one statement, again and again |
//! | [`overload`] | R13: five times the load that fits |
//! | [`size`] | R15: a log of many entries |
//! | [`simulated`] | R17: a simulated world, from seeds |
//! | [`pure`] | S1 to S9 and S12 to S14 by vectors and mutants, without a program |
//! | [`clients`] | S16: slow clients, and what is no request |
//! | [`shown`] | S19: forks; S20: trees that go back |
//! | [`elsewhere`] | S4, S10, S18: what runs elsewhere, and where |
//!
//! [`frame`] is what rows are made of. [`promised`] remembers what clients were told, [`strace`] and [`preload`] make calls
//! fail, [`disks`] makes disks.

#![forbid(unsafe_code)]

pub mod bytes;
pub mod calls;
pub mod clients;
pub mod clocks;
pub mod disks;
pub mod elsewhere;
pub mod flips;
pub mod frame;
pub mod kills;
pub mod overload;
pub mod power;
pub mod preload;
pub mod promised;
pub mod pure;
pub mod rollback;
pub mod shown;
pub mod simulated;
pub mod size;
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
    Row { id: "R9", trial: "a directory, a record, both rolled back", full: 100, ci: 2, run: rollback::log },
    Row {
        id: "R10",
        trial: "two servers: a directory, a record, a key",
        full: 100,
        ci: 2,
        run: rollback::twice,
    },
    Row { id: "R11", trial: "clocks that jump", full: 200, ci: 20, run: clocks::jump },
    Row {
        id: "R12",
        trial: "one statement again and again",
        full: 10_000,
        ci: 2_000,
        run: bytes::repetition,
    },
    Row { id: "R13", trial: "five times the load that fits, seconds", full: 600, ci: 5, run: overload::log },
    Row { id: "R15", trial: "a log of many entries", full: 10_000_000, ci: 100_000, run: size::log },
    Row { id: "R17", trial: "a simulated world", full: 10_000, ci: 100, run: simulated::world },
    Row { id: "S1", trial: "Ed25519: Wycheproof", full: 1, ci: 1, run: pure::wycheproof },
    Row { id: "S2", trial: "Ed25519: edge cases", full: 1, ci: 1, run: pure::edge_cases },
    Row { id: "S3", trial: "X25519: keys that everybody knows", full: 1, ci: 1, run: pure::message_keys },
    Row { id: "S4", trial: "known answers of HPKE", full: 1, ci: 1, run: elsewhere::known_answers },
    Row { id: "S5", trial: "Merkle probes", full: 1, ci: 1, run: pure::probes },
    Row { id: "S6", trial: "notes of golang.org/x/mod and C2SP", full: 1, ci: 1, run: pure::notes_of_others },
    Row { id: "S7", trial: "mutated proofs", full: 1_000_000, ci: 50_000, run: pure::mutants },
    Row { id: "S8", trial: "second preimages", full: 10_000, ci: 10_000, run: pure::second_preimages },
    Row { id: "S9", trial: "proofs at every size", full: 1, ci: 1, run: pure::sizes },
    Row { id: "S9", trial: "numbers in every route of a log", full: 1, ci: 1, run: bytes::numbers },
    Row { id: "S10", trial: "random bytes in every parser", full: 60, ci: 0, run: elsewhere::fuzz },
    Row { id: "S11", trial: "JSON with more than one meaning", full: 1, ci: 1, run: bytes::json },
    Row { id: "S12", trial: "notes with what no note may hold", full: 1, ci: 1, run: pure::notes },
    Row {
        id: "S13",
        trial: "a signature over one thing, for another",
        full: 1,
        ci: 1,
        run: pure::confusions,
    },
    Row { id: "S14", trial: "DIDs and keys that nobody owns", full: 1, ci: 1, run: pure::names },
    Row { id: "S15", trial: "paths that lead elsewhere", full: 1, ci: 1, run: bytes::paths },
    Row { id: "S16", trial: "clients that never finish", full: 1_000, ci: 1_000, run: clients::slow },
    Row { id: "S16", trial: "what is no request", full: 1, ci: 1, run: clients::no_requests },
    Row { id: "S18", trial: "URLs into a private network", full: 1, ci: 1, run: elsewhere::private_urls },
    Row { id: "S19", trial: "forks, shown to a client and a monitor", full: 100, ci: 5, run: shown::forks },
    Row { id: "S20", trial: "trees that go back", full: 100, ci: 5, run: shown::back },
];
