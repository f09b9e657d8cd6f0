//! Findings as files: each distinct one once, there whole or not at all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use attestation::finding::Finding;
use service::durable::replace;

use crate::Failure;

/// The most findings of one class that are kept for one log: a log that lies without end fills no disk.
pub(crate) const MAX_OF_A_CLASS: usize = 1_000;

/// The folder of findings.
#[derive(Debug)]
pub(crate) struct Findings {
    folder: PathBuf,
    /// How many there are, by the start of their names: class and log.
    kept: RefCell<HashMap<String, usize>>,
}

/// What became of a finding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// It is new, and is kept here.
    New(PathBuf),
    /// It was found before.
    Known(PathBuf),
    /// There are too many of its class.
    Full,
}

impl Findings {
    /// The folder, which is made if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let cannot = |e: io::Error| {
            Failure::new(format!("cannot use the folder of findings `{}`", folder.display())).caused_by(e)
        };
        fs::create_dir_all(folder).map_err(cannot)?;
        let mut kept = HashMap::new();
        for entry in fs::read_dir(folder).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            *kept.entry(kind(&name.to_string_lossy()).to_owned()).or_default() += 1;
        }
        Ok(Self { folder: folder.to_owned(), kept: RefCell::new(kept) })
    }

    /// Keeps a finding, durably, unless it is there already.
    pub(crate) fn keep(&self, finding: &Finding) -> Result<Kept, Failure> {
        let name = finding.file_name();
        let path = self.folder.join(&name);
        let cannot = |e: io::Error| Failure::new(format!("cannot write `{}`", path.display())).caused_by(e);
        if path.try_exists().map_err(cannot)? {
            return Ok(Kept::Known(path));
        }
        let mut kept = self.kept.borrow_mut();
        let kept = kept.entry(kind(&name).to_owned()).or_default();
        if *kept >= MAX_OF_A_CLASS {
            return Ok(Kept::Full);
        }
        replace(&path, finding.to_json().as_bytes()).map_err(cannot)?;
        *kept += 1;
        Ok(Kept::New(path))
    }
}

/// Class and log in the name of a finding's file.
fn kind(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(kind, _)| kind)
}
