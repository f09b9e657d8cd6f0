//! What the end-to-end tests and the benchmarks share: a real log on loopback, real signers, and the
//! oracle that reads a log as the public would and recomputes everything.

#![forbid(unsafe_code)]

pub mod attack;
pub mod bench;
pub mod detour;
pub mod flips;
pub mod liar;
pub mod log;
pub mod oracle;
pub mod scene;
pub mod signer;
pub mod someone;
pub mod throttle;
pub mod witness;

use std::path::PathBuf;

/// A program of this workspace, built beside the test that runs it.
///
/// # Panics
/// If it was not built: `./run test` builds the programs before the tests.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().find(|folder| folder.join(name).is_file());
    let folder = folder.unwrap_or_else(|| panic!("`{name}` is not built: `cargo build --release` first"));
    folder.join(name)
}

/// The vectors of others, which are read in place: the folder in `AIP_VECTORS`. Says so when there is none.
pub fn third_party_vectors(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AIP_VECTORS").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("not run: {test}: AIP_VECTORS names no folder");
    }
    folder
}
