//! Which artifacts a command is about, and their digests.
//!
//! An argument is any of these, and all that it is:
//! - a file or folder of that name: the file, or every file below the folder; on Windows `\` parts folders as `/` does
//! - a pattern: `*`, `?`, `[…]` and `{…}` stay within a folder, `**` crosses folders; a folder that matches
//!   stands for the files below it; as in a shell a leading dot is matched by a dot only
//! - `sha256:<hex>`: a digest, where the command can do without the file; `NAME@sha256:<hex>`, where it judges
//!
//! Nothing is left out for its name, but for what the caller excludes, and for `.git` and `.aip` where it is signed.
//! A file that is a receipt of another one that is named is passed over. What is not taken is counted by its reason.
//!
//! | module | what |
//! |---|---|
//! | `name`, `pattern`, `exclude` | how names are matched |
//! | `choose`, `links` | which files are meant, by the arguments and what lies on the disk |
//! | `ours` | what of them is a receipt of another one |
//! | `select` | these on the real disk, with digests |

mod aside;
pub(crate) mod checksums;
mod choice;
mod choose;
mod disk;
mod exclude;
mod hashing;
mod links;
mod name;
mod ours;
mod pattern;
mod piped;
pub(crate) mod receipts;
mod select;

use std::path::{Component, Path, PathBuf};

use tlog::Hash;

use crate::platform::{self, Platform};
use crate::receipt_file;
use crate::report::{Failure, Result};
pub(crate) use aside::{Aside, exclude_hint};
pub(crate) use exclude::Excludes;
pub(crate) use ours::is_named;
pub(crate) use piped::{Piped, refuse_piped, take_piped};
pub(crate) use select::{Selection, Unusable, Wanted, to_judge, to_sign};

/// An artifact that was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Artifact {
    /// Where it is, or would be: what messages call it, and where its receipt is looked for.
    pub place: Place,
    /// What a statement calls it: its path below the folder, or below the fixed part of the glob, that was
    /// asked for; its file name if it was asked for itself.
    pub name: String,
}

/// Where an artifact is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// A file to read.
    File(PathBuf),
    /// Not here: somebody else computed its digest. The path is where the file would be, if it has one.
    Elsewhere {
        /// The digest.
        sha256: Hash,
        /// The path its receipt is named after.
        path: Option<PathBuf>,
    },
}

/// An artifact with its digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hashed {
    /// The artifact.
    pub artifact: Artifact,
    /// Its SHA-256.
    pub sha256: Hash,
}

impl Artifact {
    /// The path that receipts are named after.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Elsewhere { path, .. } => path.as_deref(),
        }
    }

    /// What its file is called, in the form in which a statement names a subject. A digest has no name.
    pub(crate) fn called(&self) -> Option<String> {
        match &self.place {
            Place::File(path) => Some(called_on(Platform::HERE, &path.to_string_lossy())),
            Place::Elsewhere { path, .. } => path.is_some().then(|| self.name.clone()),
        }
    }

    /// What to call it in messages.
    pub(crate) fn label(&self) -> String {
        match self.path() {
            // Not as the folder of its receipt is called, but as it was named.
            Some(path) if path != place_below(Platform::HERE, &self.name) => {
                path.to_string_lossy().into_owned()
            }
            _ => self.name.clone(),
        }
    }
}

/// What a file at `path` is called: the parts of the path, with `/` between them.
fn called_on(platform: Platform, path: &str) -> String {
    let path = platform.with_slashes(path);
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// Whether `text` has characters of a pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    pattern::Pattern::is_meant_by(text, Platform::HERE)
}

/// Reads `sha256:<64 lower-case hex digits>`.
pub(crate) fn parse_digest(text: &str) -> Option<Hash> {
    Hash::from_hex(text.strip_prefix("sha256:")?)
}

/// Reads `NAME@sha256:HEX`, a subject whose file is elsewhere.
pub(crate) fn parse_subject(text: &str) -> Result<Hashed> {
    let malformed = || {
        Failure::new(format!("`{text}` is not NAME@sha256:HEX with 64 lower-case hex digits"))
            .hint("`sha256sum FILE` prints the digits")
    };
    let (name, digest) = text.rsplit_once('@').ok_or_else(malformed)?;
    let sha256 = parse_digest(digest).ok_or_else(malformed)?;
    elsewhere(&Platform::HERE.with_slashes(name), sha256, Path::new(""))
}

/// A subject of which only name and digest are known; its receipt is named after `name` below `folder`.
fn elsewhere(name: &str, sha256: Hash, folder: &Path) -> Result<Hashed> {
    // `find . -exec sha256sum` and `sha256sum ./app` name it so; the file is called what it is called without.
    let name = name.trim_start_matches("./");
    if name.is_empty() || name.contains(char::is_control) {
        return Err(Failure::new(format!(
            "a subject's name is not empty and has no control characters: `{name}`"
        )));
    }
    // The name comes from another job: it must not choose where a file is written.
    let inside =
        Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let is_drive = matches!(name.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic());
    if !inside || is_drive || name.contains('\\') {
        return Err(Failure::new(format!("the subject's name `{name}` leads out of its folder"))
            .because("receipts are named after their subjects")
            .hint("use a relative name without `..` and `\\`"));
    }
    let path = platform::native(&folder.join(place_below(Platform::HERE, name)));
    let place = Place::Elsewhere { sha256, path: Some(path) };
    Ok(Hashed { artifact: Artifact { place, name: name.to_owned() }, sha256 })
}

/// The path that the receipt of the subject `name` is named after. On Windows no folder has a name such as
/// `localhost:5000`, and the receipt lies in one that is called as receipts are.
fn place_below(platform: Platform, name: &str) -> PathBuf {
    match (platform, Path::new(name).file_name()) {
        (Platform::Windows, Some(file)) => receipt_file::allowed_path(Path::new(name)).with_file_name(file),
        _ => PathBuf::from(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_lies_in_no_folder_that_windows_cannot_make() {
        for (name, want) in [
            ("localhost:5000/o/app:1", "localhost%3A5000/o/app:1"),
            ("com1.tar/lib./x", "%63om1.tar/lib%2E/x"),
            ("app:1", "app:1"),
        ] {
            assert_eq!(place_below(Platform::Windows, name), Path::new(want));
            assert_eq!(place_below(Platform::Unix, name), Path::new(name));
        }
    }

    #[test]
    fn a_file_is_called_by_the_parts_of_its_path() {
        for (path, want) in [
            ("app", "app"),
            ("./app", "app"),
            ("dist//app", "dist/app"),
            ("dist/./app", "dist/app"),
            ("../dist/app", "../dist/app"),
            ("/w/dist/app", "w/dist/app"),
            ("dist/", "dist"),
        ] {
            for platform in [Platform::Unix, Platform::Windows] {
                assert_eq!(called_on(platform, path), want, "{path}");
            }
        }
    }

    const HEX: &str = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";

    #[test]
    fn a_subject_is_a_name_and_a_digest() {
        let subject = parse_subject(&format!("ghcr.io/org/app@1@sha256:{HEX}")).expect("a subject");
        assert_eq!(
            (subject.artifact.name.as_str(), subject.sha256.to_string()),
            ("ghcr.io/org/app@1", HEX.into())
        );
        for bad in [
            "app",
            "app@sha256:",
            &format!("app@sha256:{}", HEX.to_uppercase()),
            &format!("app@sha512:{HEX}"),
            &format!("@sha256:{HEX}"),
            &format!("../app@sha256:{HEX}"),
            &format!("a/../../app@sha256:{HEX}"),
            &format!("/etc/app@sha256:{HEX}"),
            &format!(".//etc/app@sha256:{HEX}"),
            &format!("./@sha256:{HEX}"),
            &format!("..\\app@sha256:{HEX}"),
            &format!("C:\\app@sha256:{HEX}"),
            &format!("\\\\host\\share\\app@sha256:{HEX}"),
            &format!("a\nb@sha256:{HEX}"),
        ] {
            assert!(parse_subject(bad).is_err(), "{bad}");
        }
    }
}
