//! Patterns as a shell reads them.
//!
//! `*`, `?` and `[…]` match within a name, `**` any folders, `{a,b}` one of several; `\` makes the next character
//! a plain one. On Windows `\` parts folders as `/` does, and `[[]` is a plain bracket. Each part matches the name that it is itself too. A leading dot is matched by a dot only. A folder that
//! matches stands for what is below it.
//!
//! A pattern is followed name by name, as a walk meets them ([`Pattern::step`]), so that a walk knows which folders
//! it can leave aside.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::name::{Class, NamePattern};
use crate::platform::Platform;

/// A pattern: the folder that its fixed part names, and what matches below it.
#[derive(Debug)]
pub(super) struct Pattern {
    root: PathBuf,
    /// Without braces: what matches one of them matches.
    alternatives: Vec<Vec<Part>>,
}

#[derive(Clone, Debug)]
enum Part {
    /// `**`: any number of folders; at the end, at least one name.
    Folders,
    Name(NamePattern),
}

/// How far a path has come through a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct State {
    /// Alternative and part that come next.
    at: BTreeSet<(usize, usize)>,
    /// Whether the path, or a folder above it, matches.
    pub(super) is_taken: bool,
}

/// Whether a wildcard matches a leading dot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dots {
    /// A name that begins with a dot is matched by a dot only.
    Hidden,
    /// It is a name like others.
    Shown,
}

impl Pattern {
    /// Whether `text` has characters of a pattern.
    pub(super) fn is_meant_by(text: &str, platform: Platform) -> bool {
        platform.split_prefix(text).1.contains(CHARACTERS)
    }

    /// Reads a pattern. Of a text that is none, answers why.
    pub(super) fn parse(text: &str, platform: Platform) -> Result<Self, String> {
        let (prefix, text) = platform.split_prefix(text);
        let (prefix, text) = (prefix.replace('/', platform.separator()), platform.with_slashes(text));
        let parts: Vec<&str> = text.split('/').collect();
        let fixed = parts.iter().take_while(|part| !part.contains(CHARACTERS)).count();
        let separator = platform.separator();
        let root = match prefix.clone() + &parts[..fixed].join(separator) {
            // `/*`, `C:\*`: the separator behind the last part is what makes it the root.
            root if root == prefix && fixed > 0 => root + separator,
            root if root.is_empty() => ".".to_owned(),
            root => root,
        };
        Ok(Self { root: root.into(), alternatives: compile(&parts[fixed..].join("/"), platform)? })
    }

    /// As [`Pattern::parse`], of a pattern that may begin at any folder.
    pub(super) fn anywhere(text: &str, platform: Platform) -> Result<Self, String> {
        let mut alternatives = compile(&platform.with_slashes(text), platform)?;
        alternatives.iter_mut().for_each(|parts| parts.insert(0, Part::Folders));
        Ok(Self { root: PathBuf::new(), alternatives })
    }

    /// As [`Pattern::parse`], of a pattern whose fixed part is matched as the rest is. A leading `/` is an empty name.
    pub(super) fn whole(text: &str, platform: Platform) -> Result<Self, String> {
        Ok(Self { root: PathBuf::new(), alternatives: compile(&platform.with_slashes(text), platform)? })
    }

    /// The folder that the fixed part names.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The state at the root.
    pub(super) fn start(&self) -> State {
        State { at: (0..self.alternatives.len()).map(|at| (at, 0)).collect(), is_taken: false }
    }

    /// The state one name further down.
    pub(super) fn step(&self, from: &State, name: &OsStr, dots: Dots) -> State {
        let text = name.to_string_lossy();
        let is_hidden = dots == Dots::Hidden && text.starts_with('.');
        let mut next = State { at: BTreeSet::new(), is_taken: from.is_taken && !is_hidden };
        for (alternative, part) in self.positions(from) {
            let parts = &self.alternatives[alternative];
            let is_last = part + 1 == parts.len();
            match &parts[part] {
                Part::Folders if !is_hidden => {
                    next.at.insert((alternative, part));
                    next.is_taken |= is_last;
                }
                Part::Name(one) if (!is_hidden || one.is_dotted()) && one.matches(&text) => {
                    if is_last {
                        next.is_taken = true;
                    } else {
                        next.at.insert((alternative, part + 1));
                    }
                }
                Part::Folders | Part::Name(_) => {}
            }
        }
        next
    }

    /// The parts that may match the next name: `**` may stand for no folder at all.
    fn positions(&self, state: &State) -> BTreeSet<(usize, usize)> {
        let mut positions = state.at.clone();
        for (alternative, part) in &state.at {
            let parts = &self.alternatives[*alternative];
            if matches!(parts[*part], Part::Folders) && part + 1 < parts.len() {
                positions.insert((*alternative, part + 1));
            }
        }
        positions
    }
}

impl State {
    /// Whether it, or something below it, can be taken.
    pub(super) fn is_alive(&self) -> bool {
        self.is_taken || !self.at.is_empty()
    }
}

/// A walk's place in a pattern, with and without the rule about leading dots: what only the second takes is hidden.
#[derive(Clone)]
pub(super) struct At {
    pattern: Rc<Pattern>,
    dots: Dots,
    pub(super) strict: State,
    pub(super) loose: State,
}

impl At {
    /// The root of a pattern.
    pub(super) fn start(pattern: Pattern) -> Self {
        let start = pattern.start();
        Self { pattern: Rc::new(pattern), dots: Dots::Hidden, strict: start.clone(), loose: start }
    }

    /// A folder of which everything is taken, whatever its name begins with.
    pub(super) fn everything() -> Self {
        let pattern = Pattern { root: PathBuf::new(), alternatives: vec![vec![Part::Folders]] };
        Self { dots: Dots::Shown, ..Self::start(pattern) }
    }

    /// Whether all that lies below is taken, but for what is hidden.
    pub(super) fn takes_all(&self) -> bool {
        let is_all = |(alternative, part): &(usize, usize)| {
            let parts = &self.pattern.alternatives[*alternative];
            part + 1 == parts.len() && matches!(parts[*part], Part::Folders)
        };
        self.strict.is_taken || self.strict.at.iter().any(is_all)
    }

    /// Whether a leading dot hides a name.
    pub(super) fn hides_dots(&self) -> bool {
        self.dots == Dots::Hidden
    }

    /// The place one name further down.
    pub(super) fn step(&self, name: &OsStr) -> Self {
        Self {
            pattern: Rc::clone(&self.pattern),
            dots: self.dots,
            strict: self.pattern.step(&self.strict, name, self.dots),
            loose: self.pattern.step(&self.loose, name, Dots::Shown),
        }
    }
}

fn compile(text: &str, platform: Platform) -> Result<Vec<Vec<Part>>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("a pattern is no longer than {MAX_BYTES} bytes"));
    }
    let alternatives = without_braces(text).ok_or_else(|| {
        format!("its braces do not close, count, or stand for more than {MAX_ALTERNATIVES} names")
    })?;
    alternatives.iter().map(|text| parts_of(text, platform)).collect()
}

fn parts_of(text: &str, platform: Platform) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for (at, part) in text.split('/').enumerate() {
        let is_root = at == 0 && part.is_empty() && text.starts_with('/');
        match part {
            // `a//b` and `a/./b` are `a/b`.
            "" | "." if !is_root => {}
            "**" if matches!(parts.last(), Some(Part::Folders)) => {}
            "**" => parts.push(Part::Folders),
            part => parts.push(Part::Name(NamePattern::parse(part, platform)?)),
        }
    }
    // `a/` is the folder, which stands for what is below it, and no file `a`.
    if text.ends_with('/') && !matches!(parts.last(), Some(Part::Folders)) {
        parts.push(Part::Folders);
    }
    match parts.is_empty() {
        true => Err("it matches nothing".to_owned()),
        false => Ok(parts),
    }
}

/// The texts that a text with braces stands for. `None` if they are too many, or do not close.
fn without_braces(text: &str) -> Option<Vec<String>> {
    let Some(braces) = Braces::first(text)? else { return Some(vec![text.to_owned()]) };
    let mut texts = Vec::new();
    for option in braces.options {
        for rest in without_braces(&format!("{option}{}", &text[braces.end..]))? {
            texts.push(format!("{}{rest}", &text[..braces.start]));
            if texts.len() > MAX_ALTERNATIVES {
                return None;
            }
        }
    }
    Some(texts)
}

/// A pair of braces: where it stands, and the texts between its commas.
struct Braces<'t> {
    start: usize,
    end: usize,
    options: Vec<&'t str>,
}

impl<'t> Braces<'t> {
    /// The first pair in `text`; `None` if one does not close.
    fn first(text: &'t str) -> Option<Option<Self>> {
        let (mut depth, mut start, mut option, mut options) = (0, 0, 0, Vec::new());
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            match c {
                '\\' => at += text[at + 1..].chars().next().map_or(0, char::len_utf8),
                // One that does not close is found out later.
                '[' => at += Class::parse(&text[at..]).map_or(0, |(_, bytes)| bytes - 1),
                '{' => {
                    depth += 1;
                    if depth == 1 {
                        (start, option) = (at, at + 1);
                    }
                }
                ',' if depth == 1 => {
                    options.push(&text[option..at]);
                    option = at + 1;
                }
                '}' if depth == 1 => {
                    // A shell counts from one to the other.
                    if options.is_empty() && text[option..at].contains("..") {
                        return None;
                    }
                    options.push(&text[option..at]);
                    return Some(Some(Self { start, end: at + 1, options }));
                }
                '}' if depth > 1 => depth -= 1,
                _ => {}
            }
            at += c.len_utf8();
        }
        (depth == 0).then_some(None)
    }
}

const CHARACTERS: [char; 4] = ['*', '?', '[', '{'];

/// As long as a path may be.
const MAX_BYTES: usize = 4096;

/// More names than anybody writes between braces.
const MAX_ALTERNATIVES: usize = 1000;

#[cfg(test)]
mod tests;
