//! What the caller wants left aside: `--exclude PATTERN`, and `!pattern` in the Action.
//!
//! A pattern without a `/` is held against each name of a path: `.git`, `*.map`. One with a `/` is held against the
//! path from the working folder, as the arguments are: `dist/vendor/**`. In both a folder that matches stands for
//! what is below it, and a wildcard matches a leading dot. What is no valid pattern is a name.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::pattern::{Dots, Pattern};
use crate::report::{Failure, Result};

/// The patterns of what is left aside.
#[derive(Debug, Default)]
pub struct Excludes {
    excludes: Vec<Exclude>,
    here: PathBuf,
}

#[derive(Debug)]
struct Exclude {
    /// `None` if the text is no valid pattern.
    pattern: Option<Pattern>,
    /// The text itself, which is a name too.
    name: PathBuf,
    /// Whether it has no `/`.
    is_anywhere: bool,
}

impl Excludes {
    /// Reads patterns. `here` is the working folder, to which paths are relative.
    pub fn parse<T: AsRef<str>>(patterns: &[T], here: &Path) -> Result<Self> {
        let excludes = patterns.iter().map(|pattern| Exclude::parse(pattern.as_ref(), here));
        Ok(Self { excludes: excludes.collect::<Result<_>>()?, here: here.to_path_buf() })
    }

    /// `path` as it is told from the working folder.
    pub(super) fn relative(&self, path: &Path) -> PathBuf {
        from(&self.here, path)
    }

    /// Whether `path`, or a folder above it, is left aside.
    pub(super) fn take(&self, path: &Path) -> bool {
        if self.excludes.is_empty() {
            return false;
        }
        let path = from(&self.here, path);
        self.excludes.iter().any(|exclude| exclude.takes(&path))
    }
}

impl Exclude {
    fn parse(text: &str, here: &Path) -> Result<Self> {
        let name = from(here, Path::new(text));
        let (Some(name_text), false) = (name.to_str(), name.as_os_str().is_empty()) else {
            return Err(Failure::new(format!("the pattern `{text}` excludes nothing"))
                .hint("name a file or a folder: --exclude .git, --exclude 'dist/*.map'"));
        };
        let is_anywhere = name.components().count() == 1 && !name.is_absolute();
        let pattern = if is_anywhere { Pattern::anywhere(name_text) } else { Pattern::whole(name_text) };
        Ok(Self { pattern: pattern.ok(), name, is_anywhere })
    }

    fn takes(&self, path: &Path) -> bool {
        let is_named = match self.is_anywhere {
            true => path.components().any(|part| part.as_os_str() == self.name),
            false => path.starts_with(&self.name),
        };
        is_named || self.pattern.as_ref().is_some_and(|pattern| is_matched(pattern, path))
    }
}

fn is_matched(pattern: &Pattern, path: &Path) -> bool {
    let mut state = pattern.start();
    for part in path.components() {
        let name = if part == Component::RootDir { OsStr::new("") } else { part.as_os_str() };
        state = pattern.step(&state, name, Dots::Shown);
    }
    state.is_taken
}

/// `path` as it is told from `here`, without `.`: one spelling for what is named in several ways. `..` stays, since
/// links may stand before it.
fn from(here: &Path, path: &Path) -> PathBuf {
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    path.strip_prefix(here).map_or(path.clone(), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excluded() {
        let here = Path::new("/w");
        for (pattern, path, want) in [
            (".git", ".git/config", true),
            (".git", "a/.git", true),
            (".git", "a/.github/x", false),
            (".git/", "a/.git/x", true),
            ("*.map", "a/.x.map", true),
            ("*.map", "a.map/b", true),
            ("./*.map", "a/x.map", true),
            ("a/*.map", "a/x.map", true),
            ("./a/*.map", "./a/x.map", true),
            ("a/*.map", "/w/a/x.map", true),
            ("/w/a/*.map", "a/x.map", true),
            ("/w/a/*.map", "b/x.map", false),
            ("/v/*", "/v/x", true),
            ("/v/*", "v/x", false),
            ("/v", "/v/x", true),
            ("a/*.map", "b/a/x.map", false),
            ("a/b", "a/b/c/d", true),
            ("a/b", "a/bc", false),
            ("**/b/*", "a/b/c", true),
            ("../x/*", "../x/y", true),
            ("[slug].js", "pages/[slug].js", true),
            ("[slug].js", "pages/s.js", true),
            ("[s].js", "pages/s.js", true),
            ("[", "a/[/b", true),
            ("a/[", "a/[/b", true),
            ("!x", "!x", true),
        ] {
            let excludes = Excludes::parse(&[pattern], here).expect("a pattern");
            assert_eq!(excludes.take(Path::new(path)), want, "{pattern} {path}");
        }
        for nothing in ["", ".", "./"] {
            assert!(Excludes::parse(&[nothing], here).is_err(), "{nothing:?}");
        }
    }
}
