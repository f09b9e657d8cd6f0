//! What the caller wants left aside: `--exclude PATTERN`, and `!pattern` in the Action.
//!
//! A pattern without a `/` is held against each name of a path: `.git`, `*.map`. One with a `/` is held against the
//! path from the working folder, as the arguments are: `dist/vendor/**`. In both a folder that matches stands for
//! what is below it, and a wildcard matches a leading dot. What is no valid pattern is a name. On Windows `\` is a `/`
//! too.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::pattern::{Dots, Pattern};
use crate::platform::Platform;
use crate::report::{Failure, Result};

/// The patterns of what is left aside.
#[derive(Debug, Default)]
pub(crate) struct Excludes {
    excludes: Vec<Exclude>,
    here: PathBuf,
}

#[derive(Debug)]
struct Exclude {
    platform: Platform,
    /// `None` if the text is no valid pattern.
    pattern: Option<Pattern>,
    /// The names of the text itself, which is a path too.
    names: Vec<String>,
    /// Whether it has no `/`.
    is_anywhere: bool,
}

impl Excludes {
    /// Reads patterns. `here` is the working folder, to which paths are relative.
    pub(crate) fn parse<T: AsRef<str>>(patterns: &[T], here: &Path) -> Result<Self> {
        Self::parse_on(Platform::HERE, patterns, here)
    }

    fn parse_on<T: AsRef<str>>(platform: Platform, patterns: &[T], here: &Path) -> Result<Self> {
        let excludes = patterns.iter().map(|pattern| Exclude::parse(pattern.as_ref(), here, platform));
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
        let path = path.to_string_lossy();
        self.excludes.iter().any(|exclude| exclude.takes(&exclude.platform.names(&path)))
    }
}

impl Exclude {
    fn parse(text: &str, here: &Path, platform: Platform) -> Result<Self> {
        let path = from(here, Path::new(text));
        let path = path.to_string_lossy();
        let names = platform.names(&path);
        if names.is_empty() {
            return Err(Failure::new(format!("the pattern `{text}` excludes nothing"))
                .hint("name a file or a folder: --exclude .git, --exclude 'dist/*.map'"));
        }
        let is_anywhere = matches!(&names[..], [name] if !name.is_empty());
        let pattern = match is_anywhere {
            true => Pattern::anywhere(&path, platform),
            false => Pattern::whole(&path, platform),
        };
        Ok(Self { platform, pattern: pattern.ok(), names, is_anywhere })
    }

    /// Whether the path that consists of `names`, or a folder above it, is left aside.
    fn takes(&self, names: &[String]) -> bool {
        let is_same = |(a, b): (&String, &String)| self.platform.is_same_name(a, b);
        let is_named = match self.is_anywhere {
            true => names.iter().any(|name| is_same((name, &self.names[0]))),
            false => names.len() >= self.names.len() && std::iter::zip(names, &self.names).all(is_same),
        };
        is_named || self.pattern.as_ref().is_some_and(|pattern| is_matched(pattern, names))
    }
}

fn is_matched(pattern: &Pattern, names: &[String]) -> bool {
    let step = |state, name: &String| pattern.step(&state, OsStr::new(name), Dots::Shown);
    names.iter().fold(pattern.start(), step).is_taken
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
        for (pattern, path, want) in [
            (r"a\*.map", "a/x.map", true),
            (r"a\*.map", r".\a\x.MAP", true),
            (r"a\b", r"A\B\c", true),
            (r"a\b", r"a\bc", false),
            ("*.PDB", r"x\y.pdb", true),
            (".git", r"x\.GIT\config", true),
            (r".git\", r"a\.git\x", true),
            (r"C:\v\*.map", r"c:\V\x.map", true),
            ("C:/v", r"C:\v\x", true),
            (r"C:\v", r"v\x", false),
            (r"\\host\s\*", r"\\host\s\x", true),
            (r"\\host\s\*", r"host\s\x", false),
            (r"..\x\*", "../x/y", true),
            ("[slug].js", r"pages\[slug].js", true),
        ] {
            let excludes = Excludes::parse_on(Platform::Windows, &[pattern], here).expect("a pattern");
            assert_eq!(excludes.take(Path::new(path)), want, "{pattern} {path} on Windows");
        }
        for nothing in ["", ".", "./"] {
            assert!(Excludes::parse(&[nothing], here).is_err(), "{nothing:?}");
        }
    }
}
