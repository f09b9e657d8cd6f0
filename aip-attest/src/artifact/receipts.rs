//! Which receipts an argument names: the opposite of what folders and globs of artifacts take.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::choice::{Item, Purpose};
use super::choose;
use super::disk::{Disk as _, FileSystem, Seen};
use super::exclude::Excludes;
use super::pattern::Pattern;
use crate::platform::Platform;
use crate::predicate;
use crate::receipt_file::{self, Listings, SUFFIX, Shelf};
use crate::report::{Failure, Result};

/// The receipts that `arguments` name, each once: receipts, folders and patterns of them, and artifacts, which
/// stand for the receipt beside them, and for others there that are not logged yet. Of a folder or a pattern what has
/// the name of a receipt is taken.
pub(crate) fn select<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Vec<PathBuf>> {
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        let found = match argument.to_str() {
            Some(text) if Pattern::is_meant_by(text, Platform::HERE) => below(argument)?,
            _ if matches!(FileSystem.look(Path::new(argument)), Seen::Folder) => below(argument)?,
            // The artifact may be elsewhere, its receipt here.
            _ if is_receipt(Path::new(argument)) => vec![PathBuf::from(argument)],
            _ => of_artifact(Path::new(argument))?,
        };
        if found.is_empty() {
            return Err(Failure::new(format!("there is no receipt in `{}`", argument.to_string_lossy())));
        }
        paths.extend(found.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(paths)
}

/// What has the name of a receipt, in a folder or where a pattern matches. What else is odd there is no concern.
fn below(argument: &OsStr) -> Result<Vec<PathBuf>> {
    let choice = choose::choose(&[argument], &Excludes::default(), Purpose::Sign, &FileSystem);
    let receipt = |item| match item {
        Item::File { path, .. } => is_receipt(&path).then_some(Ok(path)),
        Item::Odd { path, failure } => (is_receipt(&path) || path.is_dir()).then_some(Err(failure)),
        Item::Elsewhere(_) => None,
    };
    choice.items.into_iter().filter_map(receipt).collect()
}

/// The receipt at an artifact's place, and those beside it that are not logged.
fn of_artifact(artifact: &Path) -> Result<Vec<PathBuf>> {
    let place = Shelf::default().place(artifact, "", predicate::PROVENANCE)?;
    let is_to_log =
        |path: &PathBuf| receipt_file::read(path).is_ok_and(|receipt| receipt.log_answer().is_none());
    let mut paths: Vec<PathBuf> = [place.path()].into_iter().filter(|path| path.exists()).collect();
    paths.extend(place.beside(&mut Listings::default())?.into_iter().filter(is_to_log));
    if paths.is_empty() {
        return Err(Failure::new(format!("there is no receipt `{}`", place.path().display()))
            .hint("name receipts, a folder of them, or artifacts whose receipt lies beside them"));
    }
    Ok(paths)
}

fn is_receipt(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX))
}
