//! What tests and benchmarks share: keys, signers and scenes; logs that run as programs, lie, or are far away; load and
//! attackers; and the oracle that reads a log as the public would and recomputes everything. It links no store: what tests
//! a crate from inside stands in that crate.
//!
//! The feature `programs`, on by default, has what runs programs and speaks over sockets; the pure crates test without it.
//!
//! | module | what |
//! |---|---|
//! | [`keys`], [`tree`], [`chance`] | keys, trees and chance that are the same in every run |
//! | [`signer`], [`scene`] | pipelines that sign; a log in memory whose pipelines do what a test says |
//! | [`trials`], [`vectors`] | trials by malicious input that need no program; vector files |
//! | [`evidence`] | evidence of whatever leaves a test has |
//! | [`log`], [`witness`], [`someone`] | the programs: a log, a witness, somebody at a command line |
//! | [`wire`], [`living`] | requests and answers as bytes; whether a log lives |
//! | [`oracle`] | reads a log as the public would, and recomputes everything |
//! | [`liar`], [`detour`], [`throttle`] | what stands between a client and a log: lies, lost answers, a slow line |
//! | [`load`], [`attack`], [`mail`], [`hostile_mail`] | honest load, attackers, messages, and hostile requests of a relay |
//! | [`flips`] | one flipped bit in one file, many times |

#![forbid(unsafe_code)]

#[cfg(feature = "programs")]
pub mod attack;
pub mod chance;
#[cfg(feature = "programs")]
pub mod detour;
pub mod evidence;
pub mod flips;
#[cfg(feature = "programs")]
pub mod hostile_mail;
pub mod keys;
#[cfg(feature = "programs")]
pub mod liar;
#[cfg(feature = "programs")]
pub mod living;
#[cfg(feature = "programs")]
pub mod load;
#[cfg(feature = "programs")]
pub mod log;
#[cfg(feature = "programs")]
pub mod mail;
#[cfg(feature = "programs")]
pub mod oracle;
pub mod scene;
pub mod signer;
#[cfg(feature = "programs")]
pub mod someone;
#[cfg(feature = "programs")]
pub mod throttle;
pub mod tree;
pub mod trials;
pub mod vectors;
#[cfg(feature = "programs")]
pub mod wire;
#[cfg(feature = "programs")]
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
