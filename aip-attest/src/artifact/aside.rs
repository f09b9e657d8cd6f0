//! What was met and is not taken, for people and programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::choice::Reason;
use super::choose::internal_name;
use super::ours::Claims;
use crate::report::{Console, counted};

/// What was met and is not taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    pub(super) paths: BTreeMap<PathBuf, Reason>,
    pub(super) links: Vec<PathBuf>,
    pub(super) ambiguous: Vec<String>,
    /// Receipts of something else, which are taken like any other file.
    pub(super) receipts: Vec<PathBuf>,
}

impl Aside {
    /// How many files are set aside, by their reasons, in one line: `not signed: …`. `None` if none is.
    pub(crate) fn text(&self, done: &str) -> Option<String> {
        let part = |(reason, words): (Reason, &str)| {
            let mut paths = self.of(reason);
            let first = paths.next()?;
            let (count, named) = (1 + paths.count(), first.display());
            let more = if count > 1 { ", …" } else { "" };
            Some(format!("{} {words} (`{named}`{more})", counted(count, "file")))
        };
        let parts: Vec<String> = WORDS.into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| format!("not {done}: {}", parts.join("; ")))
    }

    /// The same for programs: a number for each reason.
    pub(crate) fn to_json(&self) -> Value {
        let count = |reason| self.of(reason).count();
        json!({
            "passedOver": count(Reason::Ours),
            "excluded": count(Reason::Excluded),
            "hidden": count(Reason::Hidden),
            "internal": count(Reason::Internal),
        })
    }

    /// Tells what somebody who signs should know of.
    pub(crate) fn warn(&self, console: &mut Console) {
        for argument in &self.ambiguous {
            console.warn(format!(
                "`{argument}` is a pattern, and the name of a file or folder as well: both are taken"
            ));
        }
        for receipt in &self.receipts {
            console.warn(format!(
                "`{0}` is a receipt that names no file here by path and digest, and is signed like any other file; \
                 --exclude '{0}' leaves it out",
                receipt.display()
            ));
        }
        for link in &self.links {
            console.warn(format!(
                "`{}` is a link to a folder: what lies behind it is not signed; name the folder that it leads to as well",
                link.display()
            ));
        }
    }

    fn of(&self, reason: Reason) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(move |(_, other)| **other == reason).map(|(path, _)| path.as_path())
    }
}

/// What to do about a file without a receipt, if it is one that is seldom meant.
pub(crate) fn exclude_hint(path: &Path) -> Option<String> {
    if let Some(name) = path.iter().find_map(internal_name) {
        return Some(format!(
            "`{name}` is a folder like others, and its files need receipts: leave it out with --exclude {name}"
        ));
    }
    Claims::read(path)?;
    Some(format!(
        "it is itself a receipt, and names no file here by path and digest: move it away, or leave it out with --exclude '{}'",
        path.display()
    ))
}

const WORDS: [(Reason, &str); 4] = [
    (Reason::Ours, "passed over, as receipts of the others"),
    (Reason::Excluded, "excluded"),
    (Reason::Hidden, "hidden from a pattern by a leading dot"),
    (Reason::Internal, "in `.git` or `.aip`"),
];
