//! From arguments to artifacts with their digests: the choice of files, read from the disk.

use std::ffi::OsStr;
use std::iter;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::aside::Aside;
use super::choice::{Choice, Item, Purpose, Reason};
use super::choose;
use super::disk::FileSystem;
use super::exclude::Excludes;
use super::ours::{self, Candidate, Claims, Places};
use super::{Artifact, Hashed, Place, hashing};
use crate::report::{Failure, Result, counted};

/// What is asked for.
pub(crate) struct Wanted<'a, S> {
    /// Files, folders, patterns, digests.
    pub arguments: &'a [S],
    /// What of it is left aside.
    pub excludes: &'a Excludes,
    /// The folder of receipts, if they do not lie beside their artifacts.
    pub receipts: Option<&'a Path>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// What is meant, in the order of the arguments, each file once; of folders and patterns sorted by path. Of what
    /// cannot be taken or read, why: an argument that names nothing, a pipe, a link that leads nowhere.
    pub artifacts: Vec<Result<Hashed, Unusable>>,
    /// What was met and is not taken.
    pub aside: Aside,
}

/// Something that was asked for and is no artifact.
#[derive(Clone, Debug)]
pub(crate) struct Unusable {
    /// What to call it in messages.
    pub label: String,
    /// Why.
    pub failure: Failure,
}

impl Selection {
    /// The artifacts, for who needs all of them: one failure names every one that cannot be used.
    pub(crate) fn all(self) -> Result<Vec<Hashed>> {
        let (mut all, mut bad) = (Vec::new(), Vec::new());
        for artifact in self.artifacts {
            match artifact {
                Ok(artifact) => all.push(artifact),
                Err(unusable) => bad.push(unusable.failure),
            }
        }
        match <[Failure; 1]>::try_from(bad) {
            Ok([one]) => Err(one),
            Err(none) if none.is_empty() => Ok(all),
            Err(several) => {
                let failure = Failure::new(format!("{} of what is named cannot be used", several.len()));
                let more = several.len().saturating_sub(MAX_NAMED);
                let failure =
                    several.iter().take(MAX_NAMED).map(Failure::one_line).fold(failure, Failure::because);
                let failure = if more > 0 { failure.because(format!("and {more} more")) } else { failure };
                Err(failure.hint("leave what is not meant out: --exclude PATTERN"))
            }
        }
    }
}

/// What is to be judged. What matches and cannot be judged is in the answer.
pub(crate) fn to_judge<S: AsRef<OsStr>>(wanted: &Wanted<'_, S>) -> Selection {
    select(wanted, Purpose::Judge, &|_| None)
}

/// What is to be signed. `receipt_of` tells where the receipt of a file is about to be written: one that lies there is
/// replaced, and not signed.
pub(crate) fn to_sign<S: AsRef<OsStr>>(
    wanted: &Wanted<'_, S>,
    receipt_of: &dyn Fn(&Path) -> Option<PathBuf>,
) -> Selection {
    select(wanted, Purpose::Sign, receipt_of)
}

fn select<S: AsRef<OsStr>>(
    wanted: &Wanted<'_, S>,
    purpose: Purpose,
    receipt_of: &dyn Fn(&Path) -> Option<PathBuf>,
) -> Selection {
    let choice = choose::choose(wanted.arguments, wanted.excludes, purpose, &FileSystem);
    let Choice { items, aside: paths, links, ambiguous } = choice;
    let mut aside = Aside { paths, links, ambiguous, receipts: Vec::new() };
    let artifacts: Vec<Result<Artifact, Unusable>> =
        items.into_iter().map(|item| artifact(item, purpose)).collect();
    let mut digests = hashing::hash_all(artifacts.iter().flatten()).into_iter();
    let hashed = |artifact: Result<Artifact, Unusable>| {
        let artifact = artifact?;
        let digest = digests.next().expect("a digest for each artifact");
        digest
            .map_err(|failure| Unusable { label: artifact.label(), failure })
            .map(|sha256| Hashed { artifact, sha256 })
    };
    let hashed: Vec<Result<Hashed, Unusable>> = artifacts.into_iter().map(hashed).collect();
    let relative = &|path: &Path| wanted.excludes.relative(path);
    let mut passed = passed_over(&hashed, wanted.receipts, receipt_of, relative).into_iter();
    let mut artifacts = Vec::new();
    for hashed in hashed {
        match hashed.as_ref().ok().and_then(file_of) {
            Some(path) => match passed.next() {
                Some(Verdict::Ours) => drop(aside.paths.insert(path.to_path_buf(), Reason::Ours)),
                verdict => {
                    if verdict == Some(Verdict::OfOthers) {
                        aside.receipts.push(path.to_path_buf());
                    }
                    artifacts.push(hashed);
                }
            },
            None => artifacts.push(hashed),
        }
    }
    if artifacts.is_empty() && !wanted.arguments.is_empty() {
        artifacts.push(Err(nothing_left(wanted.arguments, &aside)));
    }
    Selection { artifacts, aside }
}

fn artifact(item: Item, purpose: Purpose) -> Result<Artifact, Unusable> {
    let (path, failure) = match item {
        Item::Elsewhere(artifact) => return Ok(artifact),
        Item::File { path, name } => match statement_name(&path, &name, purpose) {
            Ok(name) => return Ok(Artifact { place: Place::File(path), name }),
            Err(failure) => (path, failure),
        },
        Item::Odd { path, failure } => (path, failure),
    };
    Err(Unusable { label: path.to_string_lossy().into_owned(), failure })
}

/// What a statement calls a file.
fn statement_name(path: &Path, name: &Path, purpose: Purpose) -> Result<String> {
    let refused = |why: &str| {
        Failure::new(format!("`{}` cannot be named in a statement", path.display()))
            .because(why)
            .hint("rename the file, use --subject NAME@sha256:HEX, or leave it out: --exclude PATTERN")
    };
    let parts = name.components().map(|part| part.as_os_str().to_str());
    let name =
        parts.collect::<Option<Vec<&str>>>().ok_or_else(|| refused("its name is not UTF-8"))?.join("/");
    if purpose == Purpose::Sign && name.contains(char::is_control) {
        return Err(refused("its name has control characters"));
    }
    Ok(name)
}

fn file_of(hashed: &Hashed) -> Option<&Path> {
    match &hashed.artifact.place {
        Place::File(path) => Some(path),
        Place::Elsewhere { .. } => None,
    }
}

/// What a file says of others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// Nothing.
    Plain,
    /// It is a receipt of one that is selected.
    Ours,
    /// It is a receipt, and of none that is selected.
    OfOthers,
}

/// Of each file that was read, in their order, what it says of the others.
fn passed_over(
    hashed: &[Result<Hashed, Unusable>],
    folder: Option<&Path>,
    receipt_of: &dyn Fn(&Path) -> Option<PathBuf>,
    relative: &dyn Fn(&Path) -> PathBuf,
) -> Vec<Verdict> {
    let files = hashed.iter().flatten().filter_map(|hashed| Some((file_of(hashed)?, hashed.sha256)));
    let files: Vec<(&Path, tlog::Hash)> = files.collect();
    // One file needs no threads, and starting them takes longer than reading it.
    let claims: Vec<Option<Claims>> = match &files[..] {
        [(path, _)] if folder.is_some() => vec![Claims::read(path)],
        // It could name only itself.
        [_] | [] => vec![None; files.len()],
        files => files.par_iter().map(|(path, _)| Claims::read(path)).collect(),
    };
    let candidate = |((path, sha256), claims)| Candidate { path, sha256, claims };
    let candidates: Vec<Candidate<'_>> = iter::zip(files, claims).map(candidate).collect();
    let passed = ours::passed_over(&candidates, &Places { folder, replaced: receipt_of, relative });
    let verdict = |(candidate, is_passed): (&Candidate<'_>, bool)| match (is_passed, &candidate.claims) {
        (true, _) => Verdict::Ours,
        (false, Some(_)) => Verdict::OfOthers,
        (false, None) => Verdict::Plain,
    };
    iter::zip(&candidates, passed).map(verdict).collect()
}

/// All that was named is set aside: nothing would be checked, and the answer must not be yes.
fn nothing_left<S: AsRef<OsStr>>(arguments: &[S], aside: &Aside) -> Unusable {
    let label =
        arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
    let failure = Failure::new(format!("nothing is left of `{label}`"));
    let failure = match aside.text("taken") {
        Some(text) => failure.because(text),
        None => failure.because(counted(aside.links.len(), "link") + " to folders were met"),
    };
    Unusable { label, failure }
}

/// As many things that cannot be used are named one by one.
const MAX_NAMED: usize = 100;
