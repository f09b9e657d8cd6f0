//! A pattern for one name: `*`, `?`, `[…]`, and `\` before a plain character. On Windows a letter matches in either case.
//!
//! Characters are characters, not bytes: `?` matches `é`. What is not UTF-8 in a name counts as one character each.

use std::iter;

use crate::platform::{Platform, lower, upper};

/// A pattern for one name. It matches the name that it is itself, too: `[slug].js`.
#[derive(Clone, Debug)]
pub(super) struct NamePattern {
    text: String,
    tokens: Vec<Token>,
    platform: Platform,
}

#[derive(Clone, Debug)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Class(Class),
    Char(char),
}

/// `[…]`, one character of several.
#[derive(Clone, Debug)]
pub(super) struct Class {
    is_negated: bool,
    ranges: Vec<(char, char)>,
    /// `[:alpha:]` and others.
    kinds: Vec<Kind>,
}

impl NamePattern {
    /// Reads a pattern without `/` and without braces. Of a text that is none, answers why.
    pub(super) fn parse(text: &str, platform: Platform) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let mut length = c.len_utf8();
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '[' => {
                    let (class, bytes) = Class::parse(rest)?;
                    length = bytes;
                    Token::Class(class)
                }
                '\\' => {
                    let plain = rest[1..].chars().next().ok_or("nothing follows its last backslash")?;
                    length += plain.len_utf8();
                    Token::Char(plain)
                }
                c => Token::Char(c),
            });
            rest = &rest[length..];
        }
        Ok(Self { text: text.to_owned(), tokens, platform })
    }

    /// Whether it begins with a dot.
    pub(super) fn is_dotted(&self) -> bool {
        matches!(self.tokens.first(), Some(Token::Char('.')))
    }

    /// Whether the whole name matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        if self.platform.is_same_name(name, &self.text) {
            return true;
        }
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        // Where the last `*` stands, and how much of the name it takes: more, if what follows does not match.
        let mut star: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.tokens.get(token) {
                Some(Token::Any) => {
                    star = Some((token, at));
                    token += 1;
                }
                Some(one) if one.is(name[at], self.platform) => {
                    token += 1;
                    at += 1;
                }
                _ => match &mut star {
                    None => return false,
                    Some((from, taken)) => {
                        *taken += 1;
                        (token, at) = (*from + 1, *taken);
                    }
                },
            }
        }
        self.tokens[token..].iter().all(|token| matches!(token, Token::Any))
    }
}

impl Token {
    fn is(&self, c: char, platform: Platform) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Class(class) => class.has(c, platform),
            Self::Char(plain) => platform.is_same_char(*plain, c),
        }
    }
}

impl Class {
    /// The class that `text` begins with, and how long it is.
    pub(super) fn parse(text: &str) -> Result<(Self, usize), String> {
        let unclosed = || "unclosed character class".to_owned();
        let inside = text.strip_prefix('[').ok_or_else(unclosed)?;
        let is_negated = inside.starts_with(['!', '^']);
        let mut rest = &inside[usize::from(is_negated)..];
        let mut class = Self { is_negated, ranges: Vec::new(), kinds: Vec::new() };
        // A bracket that comes first is one of the class.
        for is_first in iter::once(true).chain(iter::repeat(false)) {
            if let Some(behind) = rest.strip_prefix(']').filter(|_| !is_first) {
                return Ok((class, text.len() - behind.len()));
            }
            if let Some(kind) = rest.strip_prefix("[:") {
                let (name, behind) = kind.split_once(":]").ok_or_else(unclosed)?;
                let kind = KINDS.iter().find(|(known, _)| *known == name);
                class.kinds.push(kind.ok_or_else(|| format!("there is no class [:{name}:]"))?.1);
                rest = behind;
                continue;
            }
            let first = character(&mut rest).ok_or_else(unclosed)?;
            let is_range = rest.starts_with('-') && !rest.starts_with("-]") && rest.len() > 1;
            let last = if is_range {
                rest = &rest[1..];
                character(&mut rest).ok_or_else(unclosed)?
            } else {
                first
            };
            if first > last {
                return Err(format!("the range {first}-{last} is empty"));
            }
            class.ranges.push((first, last));
        }
        Err(unclosed())
    }

    fn has(&self, c: char, platform: Platform) -> bool {
        let names = |c: char| {
            self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&c))
                || self.kinds.iter().any(|kind| kind(c))
        };
        let is_in = match platform {
            Platform::Unix => names(c),
            Platform::Windows => [c, lower(c), upper(c)].into_iter().any(names),
        };
        is_in != self.is_negated
    }
}

/// The next character, a plain one if a backslash stands before it.
fn character(rest: &mut &str) -> Option<char> {
    let text = rest.strip_prefix('\\').unwrap_or(rest);
    let c = text.chars().next()?;
    *rest = &text[c.len_utf8()..];
    Some(c)
}

type Kind = fn(char) -> bool;

/// The classes of POSIX.
const KINDS: [(&str, Kind); 8] = [
    ("alnum", char::is_alphanumeric),
    ("alpha", char::is_alphabetic),
    ("digit", |c| c.is_ascii_digit()),
    ("lower", char::is_lowercase),
    ("punct", |c| c.is_ascii_punctuation()),
    ("space", char::is_whitespace),
    ("upper", char::is_uppercase),
    ("xdigit", |c| c.is_ascii_hexdigit()),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_as_in_a_shell() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*", "é", true),
            ("?", "é", true),
            ("?", "世", true),
            ("?", "ab", false),
            ("??", "é", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*a", "aaa", true),
            ("**", "abc", true),
            ("[é-ü]", "ö", true),
            ("[é]", "é", true),
            ("[!a]", "é", true),
            ("[^a]", "a", false),
            ("[]a]", "]", true),
            ("[!]a]", "]", false),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            (r"[\]x]", "]", true),
            (r"[a\-z]", "-", true),
            (r"[a\-z]", "b", false),
            ("[[:alnum:]_]x", "éx", true),
            ("[[:digit:]]", "a", false),
            ("[![:digit:]]", "a", true),
            (r"\[a]", "[a]", true),
            (r"\é", "é", true),
            ("a}", "a}", true),
            ("[slug].js", "[slug].js", true),
            ("[!a]", "[!a]", true),
            (r"a\b", r"a\b", true),
            ("!(a)", "!(a)", true),
        ] {
            let parsed =
                NamePattern::parse(pattern, Platform::Unix).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            assert_eq!(parsed.matches(name), want, "{pattern} {name}");
        }
        for text in ["[", "[a", "[]", "[!]", "[a-", "[z-a]", "[[:alpha:]", "[[:nothing:]]", r"a\", r"[a\"] {
            assert!(NamePattern::parse(text, Platform::Unix).is_err(), "{text}");
        }
    }

    #[test]
    fn a_letter_matches_in_either_case_on_windows_only() {
        for (pattern, name) in [
            ("*.EXE", "app.exe"),
            ("a?c", "ABC"),
            ("[a-c]", "B"),
            ("[[:upper:]]", "b"),
            ("É", "é"),
            ("[Slug].js", "[slug].JS"),
        ] {
            let matches = |platform| NamePattern::parse(pattern, platform).expect(pattern).matches(name);
            assert_eq!(
                (matches(Platform::Windows), matches(Platform::Unix)),
                (true, false),
                "{pattern} {name}"
            );
        }
        assert!(!NamePattern::parse("[!a]", Platform::Windows).expect("a pattern").matches("A"));
    }

    /// As many stars as there are characters: still done at once.
    #[test]
    fn no_pattern_takes_long() {
        let parse = |text: &str| NamePattern::parse(text, Platform::Unix).expect("a pattern");
        let pattern = parse(&"*a".repeat(2000));
        assert!(!pattern.matches(&"a".repeat(255)));
        assert!(parse(&"a*".repeat(100)).matches(&"a".repeat(255)));
    }
}
