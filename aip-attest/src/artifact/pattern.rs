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
mod tests {
    use super::*;

    fn takes(pattern: &Pattern, path: &str, dots: Dots) -> bool {
        let step = |state: State, name: &str| pattern.step(&state, OsStr::new(name), dots);
        path.split('/').fold(pattern.start(), step).is_taken
    }

    #[test]
    fn a_pattern_matches_as_in_a_shell() {
        for (pattern, path, want) in [
            ("*", "a", true),
            ("*", "a/b", true),
            ("*", ".a", false),
            ("*", "a/.b", false),
            (".*", ".a", true),
            (".*", ".a/b", true),
            ("?", "ab", false),
            ("?", "é", true),
            ("é/?", "é/世", true),
            ("[[:alpha:]]*", "é", true),
            ("a{1..2}", "a1", false),
            ("a}*", "a}x", true),
            ("[ab]", "b", true),
            ("[!ab]", "c", true),
            ("[*]", "*", true),
            ("[*]", "a", false),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"[\]x", "a", false),
            ("**", "a/b/c", true),
            ("**", "a/.b/c", false),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "a/b/c/d", true),
            ("**/c", "a/.b/c", false),
            ("**/.b/c", "a/.b/c", true),
            ("*/**", "a", false),
            ("*/**", "a/b", true),
            ("*/", "a", false),
            ("*/", "a/b", true),
            ("*/**/b", "a/b", true),
            ("a**b", "axxb", true),
            ("a**b", "a/b", false),
            ("*//b", "a/b", true),
            ("*/./b", "a/b", true),
            ("{a,b/c}", "b/c", true),
            ("{a,b/c}", "b", false),
            ("{a,{b,c}d}", "cd", true),
            ("{.a,b}*", ".ax", true),
            ("{x/.a,b}", "x/.a", true),
            ("*{x,.a}", ".a", false),
            ("{a}", "a", true),
            ("{,a}b", "b", true),
            (r"{a\,b,c}", "a,b", true),
            (r"\{a,b}*", "{a,b}x", true),
            ("[{]a,b[}]", "{a,b}", true),
            // A part that is a name.
            ("[id]/*.js", "[id]/page.js", true),
            ("[id]/*.js", "d/page.js", true),
            ("{[slug],index}.js", "[slug].js", true),
        ] {
            let Ok(parsed) = Pattern::parse(pattern, Platform::Unix) else {
                assert!(!want, "{pattern} is no pattern");
                continue;
            };
            assert_eq!(takes(&parsed, path, Dots::Hidden), want, "{pattern} {path}");
            if !pattern.contains('\\') {
                let parsed = Pattern::parse(pattern, Platform::Windows).expect("a pattern there too");
                assert_eq!(takes(&parsed, path, Dots::Hidden), want, "{pattern} {path} on Windows");
            }
        }
    }

    /// Each was refused, or read as a plain character: a backslash parts folders there.
    #[test]
    fn a_pattern_is_written_with_backslashes_on_windows() {
        for (pattern, root, path, want) in [
            (r"dist\*", "dist", "a", true),
            (r"dist\*", "dist", "a/b", true),
            (r"dist\**\*.exe", "dist", "x/y/a.EXE", true),
            (r"dist\*.exe", "dist", "x/a.exe", false),
            (r".\dist/sub\*", r".\dist\sub", "a", true),
            (r"*\a", ".", "x/a", true),
            (r"*\", ".", "a", false),
            (r"*\", ".", "a/b", true),
            (r"{x,y\z}\*", ".", "y/z/a", true),
            (r"dist\[[]a]", "dist", "[a]", true),
            (r"[slug]\*", ".", "[slug]/a", true),
            // A bracket does not reach across folders.
            (r"[a\b]\*", ".", "b/c", false),
            (r"C:\*", r"C:\", "a", true),
            ("C:/*", r"C:\", "a", true),
            (r"C:\x\*", r"C:\x", "a", true),
            ("C:*.txt", "C:", "a.txt", true),
            (r"\*", r"\", "a", true),
            (r"\\host\share\*", r"\\host\share", "a", true),
            (r"\\?\C:\x\*", r"\\?\C:\x", "a", true),
            (r"\\?\C:\*", r"\\?\C:\", "a", true),
            (r"..\*", "..", "a", true),
        ] {
            assert!(Pattern::is_meant_by(pattern, Platform::Windows), "{pattern}");
            let parsed = match Pattern::parse(pattern, Platform::Windows) {
                Ok(parsed) => parsed,
                Err(_) if !want => continue,
                Err(why) => panic!("{pattern}: {why}"),
            };
            assert_eq!(parsed.root(), Path::new(root), "{pattern}");
            assert_eq!(takes(&parsed, path, Dots::Hidden), want, "{pattern} {path}");
        }
        for name in [r"\\?\C:\x", r"dist\a", "C:a"] {
            assert!(!Pattern::is_meant_by(name, Platform::Windows), "{name}");
        }
    }

    #[test]
    fn dots_that_are_shown_are_letters() {
        for path in [".a", "a/.b", ".a/.b"] {
            assert!(
                takes(&Pattern::parse("**", Platform::Unix).expect("a pattern"), path, Dots::Shown),
                "{path}"
            );
            let everything = path.split('/').fold(At::everything(), |at, name| at.step(OsStr::new(name)));
            assert!(everything.strict.is_taken, "{path}");
        }
        assert!(takes(
            &Pattern::anywhere("*.map", Platform::Unix).expect("a pattern"),
            "a/.b.map",
            Dots::Shown
        ));
    }

    #[test]
    fn the_fixed_part_is_a_folder() {
        for (pattern, want) in
            [("*", "."), ("a/b/*", "a/b"), ("/*", "/"), ("/a/*", "/a"), ("./*", "."), ("a//*", "a")]
        {
            let root = Pattern::parse(pattern, Platform::Unix).expect("a pattern").root().to_path_buf();
            assert_eq!(root, Path::new(want), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for text in ["[", "a[", "[a/b]", "{a", "{a,{b}", "[b-a]", "[[:x:]]", "a{1..2}", r"*\"] {
            assert!(Pattern::parse(text, Platform::Unix).is_err(), "{text}");
        }
        // Ten choices of ten: more than anybody means.
        let many = "{0,1,2,3,4,5,6,7,8,9}".repeat(10);
        assert!(Pattern::parse(&many, Platform::Unix).is_err_and(|why| why.contains("more than 1000")));
        assert!(
            Pattern::parse(&"{a}".repeat(100_000), Platform::Unix)
                .is_err_and(|why| why.contains("4096 bytes"))
        );
        assert!(Pattern::parse(&"{a}".repeat(1000), Platform::Unix).is_ok());
        assert!(Pattern::parse(&"{".repeat(4000), Platform::Unix).is_err());
    }
}
