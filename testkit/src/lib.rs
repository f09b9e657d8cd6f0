//! What tests and benchmarks share: keys, signers and scenes; logs that run as programs, lie, or are far away; load and
//! attackers; and the oracle that reads a log as the public would and recomputes everything. It links no store: what tests
//! a crate from inside stands in that crate.
//!
//! | module | what |
//! |---|---|
//! | [`signer`], [`scene`] | pipelines that sign; a log in memory whose pipelines do what a test says |
//! | [`log`], [`witness`], [`someone`] | the programs: a log, a witness, somebody at a command line |
//! | [`oracle`] | reads a log as the public would, and recomputes everything |
//! | [`liar`], [`detour`], [`throttle`] | what stands between a client and a log: lies, lost answers, a slow line |
//! | [`load`], [`attack`], [`mail`], [`hostile_mail`] | honest load, attackers, messages, and hostile requests of a relay |
//! | [`flips`] | one flipped bit in one file, many times |

#![forbid(unsafe_code)]

pub mod attack;
pub mod detour;
pub mod flips;
pub mod hostile_mail;
pub mod liar;
pub mod load;
pub mod log;
pub mod mail;
pub mod oracle;
pub mod scene;
pub mod signer;
pub mod someone;
pub mod throttle;
pub mod witness;

use std::path::PathBuf;
use std::process::Command;

/// A program of this workspace, built beside the test that runs it. `BENCH_LOG_SERVER` names another build of the log, to
/// compare with.
///
/// # Panics
/// If it was not built: `./run test` builds the programs before the tests.
pub fn program(name: &str) -> PathBuf {
    if let Some(other) = std::env::var_os("BENCH_LOG_SERVER").filter(|_| name == "log-server") {
        return other.into();
    }
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().find(|folder| folder.join(name).is_file());
    let folder = folder.unwrap_or_else(|| panic!("`{name}` is not built: `cargo build --release` first"));
    folder.join(name)
}

/// Lets this process have so many files and sockets, as far as it is allowed to.
pub fn raise_descriptors(descriptors: u32) -> bool {
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={descriptors}:")]).output();
    raised.is_ok_and(|output| output.status.success())
}

/// The vectors of others, which are read in place: the folder in `AIP_VECTORS`. Says so when there is none.
pub fn third_party_vectors(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AIP_VECTORS").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("not run: {test}: AIP_VECTORS names no folder");
    }
    folder
}
