//! What arguments mean: files that are taken, what is left aside, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Artifact;
use crate::report::Failure;

/// What is chosen for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// Nothing that is met may stay unseen: what cannot be judged is odd.
    Judge,
    /// A repository's own folder and ours are left out, and a link to a folder is no fault.
    Sign,
}

/// Why something that was met is not taken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Reason {
    /// The caller excludes it.
    Excluded,
    /// A name begins with a dot, which the pattern does not match.
    Hidden,
    /// It is in `.git` or `.aip`.
    Internal,
    /// It is a receipt or a manifest of what is taken.
    Ours,
}

/// What the arguments mean.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// In the order of the arguments; of folders and patterns sorted by path. Each file once.
    pub(super) items: Vec<Item>,
    /// What was met and is not taken.
    pub(super) aside: BTreeMap<PathBuf, Reason>,
    /// Links to folders that are not covered, where that is no fault.
    pub(super) links: Vec<PathBuf>,
    /// Arguments that are a pattern and the name of something else.
    pub(super) ambiguous: Vec<String>,
}

/// Something that an argument means.
#[derive(Debug)]
pub(super) enum Item {
    /// A file, and its path below the folder or the fixed part of the pattern.
    File { path: PathBuf, name: PathBuf },
    /// Something that is known by its digest only.
    Elsewhere(Artifact),
    /// What cannot be taken, and why.
    Odd { path: PathBuf, failure: Failure },
}
