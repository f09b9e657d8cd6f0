//! Which files are meant: from arguments, what lies on the disk, what the caller excludes and what it is for.
//!
//! An argument with pattern characters takes what the pattern matches **and** the file or folder of that very name:
//! whoever puts a file called `*` somewhere must not choose what is looked at. What is no valid pattern is a name.
//!
//! What is met and not taken is not forgotten: it is set aside with a reason, or it is odd and says why. A link to a
//! folder is not entered, since its files would stand under names that are not theirs: `links` judges it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::choice::{Choice, Item, Purpose, Reason};
use super::disk::{Disk, Kind, Seen};
use super::exclude::Excludes;
use super::links::{self, Link};
use super::pattern::{At, Pattern};
use super::{Artifact, parse_digest, parse_subject};
use crate::platform::Platform;
use crate::report::Failure;

/// Finds what `arguments` mean.
pub(super) fn choose<S: AsRef<OsStr>>(
    arguments: &[S],
    excludes: &Excludes,
    purpose: Purpose,
    disk: &impl Disk,
) -> Choice {
    let choice = Choice::default();
    let (taken, met, links) = (BTreeSet::new(), Vec::new(), links::Met::default());
    let mut choosing = Choosing { excludes, purpose, disk, choice, taken, met, links };
    for argument in arguments {
        choosing.argument(argument.as_ref());
    }
    let Choosing { mut choice, taken, links, .. } = choosing;
    // What another argument takes is not set aside.
    choice.aside.retain(|path, _| !taken.contains(&excludes.relative(path)));
    let is_aside = |path: &Path| excludes.take(path) || (purpose == Purpose::Sign && is_internal(path));
    links::follow(links, &mut choice, purpose, is_aside, disk);
    choice
}

struct Choosing<'a, D> {
    excludes: &'a Excludes,
    purpose: Purpose,
    disk: &'a D,
    choice: Choice,
    /// The files that are taken, by their paths from the working folder.
    taken: BTreeSet<PathBuf>,
    /// What the present argument led to, with the reason if it is set aside.
    met: Vec<(PathBuf, Option<Reason>)>,
    links: links::Met,
}

/// A place in a walk.
struct Place {
    path: PathBuf,
    /// The path below the root of the walk.
    name: PathBuf,
    at: At,
    /// Why nothing below it is taken, if that is so: what lies there is counted only.
    aside: Option<Reason>,
}

impl<D: Disk> Choosing<'_, D> {
    fn argument(&mut self, argument: &OsStr) {
        self.met.clear();
        let (path, text) = (Path::new(argument), argument.to_string_lossy());
        let pattern = argument.to_str().filter(|text| Pattern::is_meant_by(text, HERE));
        let pattern = pattern.map(|text| Pattern::parse(text, HERE));
        let why = match pattern {
            Some(Ok(pattern)) => {
                self.matches(pattern);
                None
            }
            Some(Err(why)) => Some(why),
            None => None,
        };
        let matched = self.met.len();
        let is_there = self.named(path);
        let is_other = |(other, _): &(PathBuf, _)| !self.key(other).starts_with(self.key(path));
        if is_there && self.met[..matched].iter().any(is_other) {
            self.choice.ambiguous.push(text.clone().into_owned());
        }
        if let Some(elsewhere) = self.elsewhere(&text) {
            // A file of this name must not stand in for what has the digest.
            if !is_there || self.purpose == Purpose::Judge {
                self.choice.items.push(Item::Elsewhere(elsewhere));
            }
        } else if !is_there && self.met.iter().all(|(_, reason)| *reason == Some(Reason::Hidden)) {
            self.odd(path, nothing(&text, why.as_deref(), !self.met.is_empty(), self.purpose, HERE));
        }
    }

    /// What has the digest that the argument is or, to be judged, ends in.
    fn elsewhere(&self, text: &str) -> Option<Artifact> {
        let Some(sha256) = parse_digest(text) else {
            let is_judged = self.purpose == Purpose::Judge;
            return parse_subject(text).ok().filter(|_| is_judged).map(|subject| subject.artifact);
        };
        let place = super::Place::Elsewhere { sha256, path: None };
        Some(Artifact { place, name: format!("sha256:{sha256}") })
    }

    /// Takes what has this very name. Answers whether there is anything.
    fn named(&mut self, path: &Path) -> bool {
        let seen = self.disk.look(path);
        let is_excluded = self.excludes.take(path);
        match seen {
            Seen::Nothing => return false,
            Seen::Folder => {
                let at = At::everything();
                let aside = is_excluded.then_some(Reason::Excluded);
                let (root, before) = (without_dot(path), self.met.len());
                self.walk(&Place { path: root, name: PathBuf::new(), at, aside });
                if self.met.len() == before {
                    self.odd(
                        path,
                        Failure::new(format!("there is no file in the folder `{}`", path.display())),
                    );
                }
            }
            _ if is_excluded => self.set_aside(path, Reason::Excluded),
            Seen::File => {
                let path = self.disk.as_listed(path);
                let name = PathBuf::from(path.file_name().unwrap_or_default());
                self.take(path, name);
            }
            odd => self.odd(path, cannot_take(path, odd)),
        }
        true
    }

    /// Takes what a pattern matches.
    fn matches(&mut self, pattern: Pattern) {
        let root = pattern.root().to_path_buf();
        match self.disk.look(&root) {
            Seen::Folder => {
                let (path, name, at) = (without_dot(&root), PathBuf::new(), At::start(pattern));
                self.walk(&Place { path, name, at, aside: None });
            }
            Seen::Nothing | Seen::File | Seen::Special => {}
            odd => self.odd(&root, cannot_take(&root, odd)),
        }
    }

    fn walk(&mut self, place: &Place) {
        if place.aside.is_none() && place.at.takes_all() {
            self.links.whole.push((place.path.clone(), place.at.hides_dots()));
        }
        let folder = links::here(&place.path);
        let entries = match self.disk.list(folder) {
            Ok(entries) => entries,
            // What is not taken anyway need not be readable.
            Err(_) if place.aside.is_some() => return,
            Err(error) => {
                let failure = Failure::new(format!("cannot read the folder `{}`", folder.display()));
                return self.odd(folder, failure.caused_by(error));
            }
        };
        for (entry, kind) in entries {
            let at = place.at.step(&entry);
            if !at.loose.is_alive() {
                continue;
            }
            let (path, name) = (place.path.join(&entry), place.name.join(&entry));
            let is_hidden = !at.strict.is_alive();
            let aside = place.aside.or_else(|| self.reason(&path)).or(is_hidden.then_some(Reason::Hidden));
            match (kind, aside) {
                (Kind::Folder, _) => self.walk(&Place { path, name, at, aside }),
                (_, Some(reason)) if at.loose.is_taken => self.set_aside(&path, reason),
                (_, Some(_)) => {}
                (_, None) => self.entry(path, name, at, kind),
            }
        }
    }

    /// Takes an entry of a folder that is no folder, if the pattern does.
    fn entry(&mut self, path: PathBuf, name: PathBuf, at: At, kind: Kind) {
        if kind == Kind::Other && !at.strict.is_taken {
            // Only a link can lead to something below it.
            if at.loose.is_taken {
                self.set_aside(&path, Reason::Hidden);
            }
            return;
        }
        match self.disk.look(&path) {
            Seen::Folder => {
                self.met.push((path.clone(), None));
                self.links.links.push(Link { path, at, place: self.choice.items.len() });
            }
            Seen::File if at.strict.is_taken => self.take(path, name),
            // Nothing that is asked for can lie below it.
            Seen::File | Seen::Special | Seen::BrokenLink if !at.strict.is_taken => {}
            // It was listed a moment ago: one that is not there is not the same as none.
            odd => self.odd(&path, cannot_take(&path, odd)),
        }
    }

    fn take(&mut self, path: PathBuf, name: PathBuf) {
        self.met.push((path.clone(), None));
        if self.taken.insert(self.key(&path)) {
            self.choice.items.push(Item::File { path, name });
        }
    }

    fn odd(&mut self, path: &Path, failure: Failure) {
        self.met.push((path.to_path_buf(), None));
        if self.taken.insert(self.key(path)) {
            self.choice.items.push(Item::Odd { path: path.to_path_buf(), failure });
        }
    }

    fn set_aside(&mut self, path: &Path, reason: Reason) {
        self.met.push((path.to_path_buf(), Some(reason)));
        self.choice.aside.entry(path.to_path_buf()).or_insert(reason);
    }

    /// Why an entry of a folder is not taken, if it is not.
    fn reason(&self, path: &Path) -> Option<Reason> {
        match () {
            () if self.excludes.take(path) => Some(Reason::Excluded),
            () if is_internal(path) && self.purpose == Purpose::Sign => Some(Reason::Internal),
            () => None,
        }
    }

    fn key(&self, path: &Path) -> PathBuf {
        self.excludes.relative(path)
    }
}

fn is_internal(path: &Path) -> bool {
    path.file_name().and_then(internal_name).is_some()
}

/// The folder of a repository's own, or of ours, that `name` is.
pub(super) fn internal_name(name: &OsStr) -> Option<&'static str> {
    let name = name.to_str()?;
    INTERNAL.into_iter().find(|internal| HERE.is_same_name(name, internal))
}

/// What there is to say of an argument that means nothing.
fn nothing(
    text: &str,
    no_pattern: Option<&str>,
    is_hidden: bool,
    purpose: Purpose,
    platform: Platform,
) -> Failure {
    if text.is_empty() {
        return Failure::new("a file's name is empty");
    }
    if let Some(hint) = quotes_hint(text, platform) {
        return Failure::new(format!("there is no file `{text}`")).hint(hint);
    }
    if let Some(why) = no_pattern {
        return Failure::new(format!("there is no file `{text}`"))
            .because(format!("it is no pattern: {why}"));
    }
    if Pattern::is_meant_by(text, platform) {
        let failure = Failure::new(format!("nothing matches `{text}`"));
        return match text.contains('\\') && platform == Platform::Unix {
            _ if is_hidden => failure
                .because("what it would match begins with a dot, or lies in a folder that does")
                .hint("write the dot: `.*`, `dist/.well-known/*`"),
            true => {
                failure.hint("folders are written with `/`: a backslash makes the next character a plain one")
            }
            false => failure.hint("`*` stays within a folder, `**` crosses folders"),
        };
    }
    let failure = Failure::new(format!("there is no file `{text}`"));
    match (text.starts_with("sha256:") || text.contains("@sha256:"), purpose) {
        (true, Purpose::Sign) => failure.hint("what is not here is signed with --subject NAME@sha256:HEX"),
        (true, Purpose::Judge) => failure.hint("a digest is sha256: and 64 lower-case hex digits"),
        (false, _) => failure.hint("a folder, a glob such as 'dist/*', or several names work too"),
    }
}

/// What to do about quotes that the Windows shell `cmd` hands on instead of taking them for quotes. No name has a `"`
/// there.
fn quotes_hint(text: &str, platform: Platform) -> Option<&'static str> {
    match platform {
        Platform::Windows if text.contains('"') => {
            Some("a backslash before a `\"` makes that a part of the name: write \"dist\" and not \"dist\\\"")
        }
        Platform::Windows if text.len() > 1 && text.starts_with('\'') && text.ends_with('\'') => {
            Some("the quotes are part of the name here: in cmd write \"dist/*\", or no quotes at all")
        }
        _ => None,
    }
}

fn cannot_take(path: &Path, seen: Seen) -> Failure {
    match seen {
        Seen::Special => Failure::new(format!("`{}` is not a regular file", path.display())),
        Seen::BrokenLink => Failure::new(format!("`{}` is a link that leads nowhere", path.display())),
        Seen::Unreadable(error) => Failure::new(format!("cannot read `{}`", path.display())).caused_by(error),
        Seen::File | Seen::Folder | Seen::Nothing => {
            Failure::new(format!("`{}` cannot be looked at", path.display()))
                .because("it changed at this moment, or its path is longer than the system takes")
                .hint("name a folder nearer to it from within that, or leave it out: --exclude PATTERN")
        }
    }
}

fn without_dot(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// A repository's own folder, and ours.
const INTERNAL: [&str; 2] = [".git", ".aip"];

/// Programs of Windows get patterns as they are written, and match them themselves.
const HERE: Platform = Platform::HERE;

#[cfg(test)]
mod tests;
