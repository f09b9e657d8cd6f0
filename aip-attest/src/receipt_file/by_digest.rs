//! Receipts of a folder by what they name, wherever they lie in it: a file that was moved still has its receipt, and one
//! that was altered is told from one that was never signed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use attestation::receipt::Receipt;
use attestation::statement::Subject;
use rayon::prelude::*;
use tlog::Hash;

use super::MAX_BYTES;
use crate::artifact;
use crate::bounded_file::read_found;
use crate::report::{Failure, Result};

/// What the receipts of a folder name.
#[derive(Debug, Default)]
pub(crate) struct ByDigest {
    named: BTreeMap<Hash, Vec<Named>>,
    /// Names of other bytes, by their last part.
    others: BTreeMap<String, Vec<Named>>,
}

/// A name that a receipt gives to what has the digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    /// The receipt.
    pub path: PathBuf,
    /// The name.
    pub name: String,
}

impl ByDigest {
    /// Reads the receipts of this kind in `folder`: what they say of `digests`, and what they call other bytes. Links are not
    /// followed.
    pub(crate) fn read(folder: &Path, digests: &BTreeSet<Hash>, predicate_type: &str) -> Result<Self> {
        let files = files_below(folder)?;
        let named = |path: &PathBuf| {
            let receipt =
                read_if_receipt(path).filter(|it| it.statement().predicate_type() == predicate_type)?;
            let subjects = receipt.statement().subjects().iter();
            let named = |Subject { name, sha256, .. }: &Subject| {
                (*sha256, Named { path: path.clone(), name: name.clone() })
            };
            Some(subjects.map(named).collect::<Vec<_>>())
        };
        let found: Vec<(Hash, Named)> = files.par_iter().filter_map(named).flatten_iter().collect();
        let mut all = Self::default();
        for (digest, named) in found {
            match digests.contains(&digest) {
                true => all.named.entry(digest).or_default().push(named),
                false => all.others.entry(last_part(&named.name).to_owned()).or_default().push(named),
            }
        }
        Ok(all)
    }

    /// Every name of this digest, by the paths of the receipts.
    pub(crate) fn names(&self, digest: &Hash) -> &[Named] {
        self.named.get(digest).map_or(&[], Vec::as_slice)
    }

    /// The receipts that call other bytes as `file` is called, those by the longest name first.
    pub(crate) fn of_other_bytes(&self, file: &Path) -> Vec<PathBuf> {
        let last = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let called = self.others.get(last).into_iter().flatten();
        let mut called: Vec<&Named> = called.filter(|named| artifact::is_named(&named.name, file)).collect();
        called.sort_by_key(|named| Reverse(named.name.len()));
        called.into_iter().map(|named| named.path.clone()).collect()
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// All files below `folder`, sorted by path within each folder.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(below) = folders.pop() {
        let cannot = |source| {
            Failure::new(format!("cannot look for receipts in the folder `{}`", below.display()))
                .caused_by(source)
        };
        let entries = match fs::read_dir(&below) {
            // No folder holds no receipts.
            Err(error) if error.kind() == ErrorKind::NotFound && below == folder => break,
            entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
        };
        let mut entries = entries.map_err(cannot)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(cannot)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
            if files.len() + folders.len() > MAX_FILES {
                return Err(Failure::new(format!(
                    "`{}` holds more than {MAX_FILES} files",
                    folder.display()
                ))
                .because("so many are read to find a receipt by its digest")
                .hint("name a folder that holds receipts only")
                .hint("or name the receipt: --receipt FILE"));
            }
        }
    }
    Ok(files)
}

/// What is no receipt is somebody's, and of no concern.
fn read_if_receipt(path: &Path) -> Option<Receipt> {
    let mut start = [0; 64];
    let read = File::open(path).ok()?.read(&mut start).ok()?;
    if start[..read].trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    Receipt::parse(&read_found(path, MAX_BYTES).ok()?).ok()
}

/// As many files are read for it.
const MAX_FILES: usize = 10_000;
