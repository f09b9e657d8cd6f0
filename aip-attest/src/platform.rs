//! How names are written where this program runs: on Windows otherwise than elsewhere.
//!
//! ```text
//!                         Windows                          elsewhere
//! folders are parted by   `\` and `/`                      `/`
//! letters of a name       in either case the same name     `A` is not `a`
//! a plain `[` in a        `[[]`                            `\[`, or `[[]`
//! pattern
//! the home is             %USERPROFILE%, else %HOME%       $HOME, else $USERPROFILE
//! ```
//! Each rule is a function of a text and a platform, so that each is tested everywhere.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Whose rules for names hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Platform {
    /// Linux, macOS and others.
    Unix,
    /// Windows.
    Windows,
}

impl Platform {
    /// The one that this program is built for.
    pub(crate) const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Unix };

    /// What parts the folders of a path that is shown.
    pub(crate) fn separator(self) -> &'static str {
        match self {
            Self::Unix => "/",
            Self::Windows => r"\",
        }
    }

    /// `text`, a path or a pattern, with folders parted by `/` only.
    pub(crate) fn with_slashes(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Windows if text.contains('\\') => Cow::Owned(text.replace('\\', "/")),
            _ => Cow::Borrowed(text),
        }
    }

    /// What of `text` cannot be a pattern, and the rest: `C:`, `\\?\`, `\\?\C:`, `\\.\`. On other systems nothing.
    pub(crate) fn split_prefix(self, text: &str) -> (&str, &str) {
        if self == Self::Unix {
            return ("", text);
        }
        let is_separator = |byte: u8| matches!(byte, b'\\' | b'/');
        let device = match text.as_bytes() {
            [a, b, b'?' | b'.', c, ..] if [*a, *b, *c].into_iter().all(is_separator) => 4,
            _ => 0,
        };
        let drive = match &text.as_bytes()[device..] {
            [letter, b':', ..] if letter.is_ascii_alphabetic() => 2,
            _ => 0,
        };
        text.split_at(device + drive)
    }

    /// The names that a path consists of, without `.`. The first is empty if the path begins at a root.
    pub(crate) fn names(self, path: &str) -> Vec<String> {
        let path = self.with_slashes(path);
        let is_root = |at| at == 0 && path.starts_with('/');
        let is_name = |(at, name): &(usize, &str)| !matches!(*name, "" | ".") || is_root(*at);
        path.split('/').enumerate().filter(is_name).map(|(_, name)| name.to_owned()).collect()
    }

    /// Whether two characters are the same in a name.
    pub(crate) fn is_same_char(self, a: char, b: char) -> bool {
        a == b || (self == Self::Windows && lower(a) == lower(b))
    }

    /// Whether two names are one.
    pub(crate) fn is_same_name(self, a: &str, b: &str) -> bool {
        match self {
            Self::Unix => a == b,
            Self::Windows => a.chars().map(lower).eq(b.chars().map(lower)),
        }
    }

    /// The user's home, by the variables HOME and USERPROFILE. On Windows shells set HOME that are not the system's: a
    /// key that one of them makes is found by all.
    pub(crate) fn home<T>(self, home: Option<T>, user_profile: Option<T>) -> Option<T> {
        match self {
            Self::Unix => home.or(user_profile),
            Self::Windows => user_profile.or(home),
        }
    }

    /// The variable that names the home.
    pub(crate) fn home_variable(self) -> &'static str {
        match self {
            Self::Unix => "HOME",
            Self::Windows => "USERPROFILE",
        }
    }
}

/// `path` in one spelling where a system knows two for one path: `C:/keys\next.json` is `C:\keys\next.json`.
pub(crate) fn native(path: &Path) -> PathBuf {
    match Platform::HERE {
        Platform::Unix => path.to_path_buf(),
        Platform::Windows => path.components().collect(),
    }
}

/// In lower case, if that is one character.
pub(crate) fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => c,
    }
}

/// In upper case, if that is one character.
pub(crate) fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::Platform::{Unix, Windows};

    #[test]
    fn a_path_is_parted_as_its_system_does() {
        for (path, unix, windows) in [
            ("a/b", vec!["a", "b"], vec!["a", "b"]),
            (r"a\b", vec![r"a\b"], vec!["a", "b"]),
            (r".\a//b\.\c/", vec![r".\a", r"b\.\c"], vec!["a", "b", "c"]),
            ("/a", vec!["", "a"], vec!["", "a"]),
            (r"C:\a", vec![r"C:\a"], vec!["C:", "a"]),
            (r"\\host\share\a", vec![r"\\host\share\a"], vec!["", "host", "share", "a"]),
            (".", vec![], vec![]),
            ("", vec![], vec![]),
        ] {
            assert_eq!((Unix.names(path), Windows.names(path)), (owned(&unix), owned(&windows)), "{path}");
        }
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_no_pattern_on_windows() {
        for (text, want) in [
            (r"C:\*", "C:"),
            ("c:*.txt", "c:"),
            (r"\\?\C:\*", r"\\?\C:"),
            (r"\\?\UNC\host\share\*", r"\\?\"),
            (r"\\.\pipe\x", r"\\.\"),
            ("//?/C:/*", "//?/C:"),
            (r"\\host\*", ""),
            ("é:/*", ""),
            ("*:", ""),
            ("", ""),
        ] {
            assert_eq!(Windows.split_prefix(text), (want, &text[want.len()..]), "{text}");
            assert_eq!(Unix.split_prefix(text), ("", text));
        }
    }

    #[test]
    fn letters_of_either_case_are_one_name_on_windows() {
        for (a, b, same) in
            [("App.EXE", "app.exe", true), ("É", "é", true), ("ẞ", "ss", false), ("a", "b", false)]
        {
            assert_eq!((Windows.is_same_name(a, b), Unix.is_same_name(a, b)), (same, false), "{a} {b}");
        }
    }

    #[test]
    fn the_home_is_the_one_that_every_shell_of_the_system_knows() {
        let (home, profile) = (Some("/h"), Some(r"C:\Users\me"));
        assert_eq!((Unix.home(home, profile), Windows.home(home, profile)), (home, profile));
        assert_eq!((Unix.home(None, profile), Windows.home(home, None)), (profile, home));
    }
}
