//! Which receipts an argument names: the opposite of what folders and globs of artifacts take.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::select::{Expanded, FoundFile, expand};
use crate::predicate;
use crate::receipt_file::{SUFFIX, Shelf};
use crate::report::{Failure, Result};

/// The receipts that `arguments` name, each once: receipts, folders and globs of them, and artifacts, which
/// stand for the receipt beside them.
pub fn select<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Vec<PathBuf>> {
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        let found = match expand(argument, |name| name.ends_with(SUFFIX))? {
            Expanded::Named(path) if is_receipt(&path) => vec![path],
            Expanded::Named(path) => vec![beside(&path)?],
            Expanded::Found(files) => {
                let path = |file: Result<FoundFile, _>| file.map(|file| file.path).map_err(|(_, why)| why);
                files.into_iter().map(path).collect::<Result<_>>()?
            }
            // The artifact may be elsewhere, its receipt here.
            Expanded::Missing => vec![beside(Path::new(argument))?],
        };
        if found.is_empty() {
            return Err(Failure::new(format!("there is no receipt in `{}`", argument.to_string_lossy())));
        }
        paths.extend(found.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(paths)
}

fn beside(artifact: &Path) -> Result<PathBuf> {
    let receipt = Shelf::default().path(artifact, predicate::PROVENANCE)?;
    if receipt.exists() {
        return Ok(receipt);
    }
    Err(Failure::new(format!("there is no receipt `{}`", receipt.display()))
        .hint("name receipts, a folder of them, or artifacts whose receipt lies beside them"))
}

fn is_receipt(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX))
}
