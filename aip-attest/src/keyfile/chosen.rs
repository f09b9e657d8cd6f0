//! Several identities of one user: `--as NAME`, else `AIP_AS`, takes the one in `~/.aip/identities/NAME`.
//!
//! Everything that lies beside its credentials lies there: the next key, the lock, what is kept of former keys. The name
//! is this machine's alone; nothing signed or logged says it. `--as` comes before `AIP_DID`, `AIP_PRIVATE_KEY` and
//! `AIP_CREDENTIALS_PATH`, as a flag comes before variables. `AIP_AS` beside one of them names two identities, and is
//! refused: which of the two was meant, nobody can tell.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::environment;
use crate::report::{Failure, Result};

/// What this user calls an identity on this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Name(String);

impl Name {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a name that is one folder on every system: lower case, since some take `Org` and `org` for one; neither a path
/// nor hidden; and no name that Windows keeps for a device.
impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let is_device = |name: &str| {
            let numbered = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt"));
            matches!(name, "con" | "prn" | "aux" | "nul") || numbered.is_some_and(|rest| rest.len() == 1)
        };
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        match begins && text.chars().all(is_plain) && text.len() <= MAX_NAME_BYTES && !is_device(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(
                "the name of an identity has 1 to 32 lower-case letters, digits, `-` and `_`, begins with a letter or a \
                 digit, and is no device of Windows such as `con`",
            ),
        }
    }
}

/// Acts as the identity of this name from now on, as `--as` asks. Once a process, before an identity is looked for.
pub(crate) fn choose(name: Name) {
    let _ = BY_FLAG.set(name);
}

/// The name that `--as` gave.
pub(crate) fn by_flag() -> Option<&'static Name> {
    BY_FLAG.get()
}

/// The name that counts.
pub(super) fn name() -> Result<Option<Name>> {
    if let Some(name) = by_flag() {
        return Ok(Some(name.clone()));
    }
    let Some(text) = environment::var(VARIABLE)? else { return Ok(None) };
    let name: Name =
        text.parse().map_err(|why: &str| Failure::new(format!("{VARIABLE} is `{text}`")).because(why))?;
    for other in ["AIP_PRIVATE_KEY", "AIP_DID", "AIP_CREDENTIALS_PATH"] {
        if environment::path(other).is_some() {
            return Err(Failure::new(format!("{VARIABLE} and {other} name two identities"))
                .hint(format!("unset one of them, or name the identity: --as {}", name.as_str())));
        }
    }
    Ok(Some(name))
}

/// The credentials file that is named, by `--as`, `AIP_AS` or `AIP_CREDENTIALS_PATH`: it and no other counts then.
pub(super) fn credentials() -> Result<Option<PathBuf>> {
    match name()? {
        None => Ok(environment::path("AIP_CREDENTIALS_PATH")),
        Some(name) => {
            let folder = folder().ok_or_else(|| {
                let fact = format!("there is no place for the identity `{}`", name.as_str());
                Failure::new(format!("{fact}: {}", environment::no_home()))
            })?;
            Ok(Some(folder.join(name.as_str()).join("credentials.json")))
        }
    }
}

/// The names of the identities that are here.
pub(crate) fn names() -> Vec<Name> {
    let entries = folder().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let has_key = |entry: &fs::DirEntry| entry.path().join("credentials.json").is_file();
    let names = entries.filter(has_key).filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut names: Vec<Name> = names.collect();
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    names
}

fn folder() -> Option<PathBuf> {
    environment::home().map(|home| home.join("identities"))
}

static BY_FLAG: OnceLock<Name> = OnceLock::new();

/// The variable that says what `--as` says.
pub(crate) const VARIABLE: &str = "AIP_AS";

const MAX_NAME_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_folder_on_every_system() {
        for good in ["org", "a", "0", "release-2026_q4", "com", "com10", &"n".repeat(32)] {
            assert_eq!(good.parse().as_ref().map(Name::as_str), Ok(good));
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a\\b",
            "../org",
            "Org",
            "o rg",
            "org.",
            "a.b",
            ".org",
            "-org",
            "_org",
            "con",
            "nul",
            "aux",
            "prn",
            "com1",
            "lpt9",
            "c:",
            "\u{f6}rg",
            "o\u{301}",
            "a\nb",
            "a\0b",
            "~",
            "*",
            &"n".repeat(33),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
