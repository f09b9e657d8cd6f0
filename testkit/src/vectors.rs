//! Vector files: those of this project, and those of others, which are read in place.

use std::io::Write as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use tlog::Hash;

/// A file of `specs/vectors`.
///
/// # Panics
/// If there is no such file, or it is of another form.
pub fn ours<T: DeserializeOwned>(name: &str) -> T {
    parse(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../specs/vectors")).join(name))
}

/// A file of somebody else, read where `AIP_VECTORS` says; `None`, and a line on stderr, when it is not there. Printed past
/// the test harness, which would keep the line of a test that passes.
///
/// # Panics
/// If the file is of another form.
pub fn of_others<T: DeserializeOwned>(name: &str) -> Option<T> {
    let read = read_others(name);
    read.inspect_err(|why| not_run(name, why)).ok()
}

/// As [`of_others`].
///
/// # Errors
/// Why the file is not there.
///
/// # Panics
/// If it is of another form.
pub fn read_others<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    let folder = std::env::var_os("AIP_VECTORS").filter(|folder| !folder.is_empty());
    let path = Path::new(&folder.ok_or("AIP_VECTORS names no folder")?).join(name);
    if path.exists() { Ok(parse(&path)) } else { Err(format!("no `{}`", path.display())) }
}

/// Says on stderr that something was not run, and why.
pub fn not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "not run: {what}: {why}");
}

fn parse<T: DeserializeOwned>(path: &Path) -> T {
    let json = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A hash in base64.
///
/// # Panics
/// If it is none.
pub fn hash(base64: &str) -> Hash {
    Hash::from_base64(base64).unwrap_or_else(|| panic!("no hash: {base64}"))
}

/// Hashes in base64.
///
/// # Panics
/// If one of them is none.
pub fn hashes(base64: &[String]) -> Vec<Hash> {
    base64.iter().map(|text| hash(text)).collect()
}
