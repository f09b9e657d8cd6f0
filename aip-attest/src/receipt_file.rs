//! Receipts as files: what they are called, where they lie, how they are read and written.
//!
//! ```text
//! dist/app                                the artifact
//! dist/app.receipt.json                   its receipt
//! dist/app.cyclonedx.receipt.json         its receipt for another predicate than provenance
//! dist/app.<16 hex>.receipt.json          one that is kept beside another, by its claim's hash
//! r/dist/app.<16 hex>.receipt.json        the receipt with `--receipts r`, by its envelope's hash
//! ```
//! In a folder of receipts every receipt has a name of its own: folders of several jobs are put together.
//! Nothing that only one file holds is overwritten ([`write_all`]): a receipt of an entry that was logged by hash
//! is the only copy of its envelope.

mod by_digest;
mod listing;
mod placing;

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use attestation::receipt::Receipt;
use tlog::Hash;

use crate::bounded_file::read_found;
use crate::durable;
use crate::platform::{self, Platform};
use crate::predicate;
use crate::report::{Failure, Result};
pub(crate) use by_digest::{ByDigest, Named};
pub(crate) use listing::Listings;
pub(crate) use placing::{Written, write_all};

/// What the name of every receipt ends in.
pub(crate) const SUFFIX: &str = ".receipt.json";

/// The longest receipt that is read: a predicate of [`predicate::MAX_BYTES`] in base64, and a proof.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Where receipts lie: beside their artifacts, or in a folder of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    folder: Option<PathBuf>,
}

impl Shelf {
    /// Receipts lie in `folder`, by the paths of their artifacts, or beside them if there is none.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder: folder.as_deref().map(platform::native) }
    }

    /// The folder of receipts, if they do not lie beside their artifacts.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The place of the receipt of the artifact at `path`, which statements call `name`, for a predicate type.
    pub(crate) fn place(&self, path: &Path, name: &str, predicate_type: &str) -> Result<Place> {
        self.place_as(path, name, predicate_type, allowed)
    }

    fn place_as(
        &self,
        path: &Path,
        name: &str,
        predicate_type: &str,
        called: fn(&OsStr) -> OsString,
    ) -> Result<Place> {
        let names_none = || {
            Failure::new(format!("`{}` names no file, so no receipt can be named after it", path.display()))
        };
        let mut place = match &self.folder {
            None => {
                let file = path.file_name().ok_or_else(names_none)?;
                Place { base: path.with_file_name(called(file)), file: None, has_own_name: false }
            }
            Some(folder) => {
                let below = from_here(path)?.unwrap_or_else(|| PathBuf::from(name));
                let base = called_path(&below, called);
                base.file_name().ok_or_else(names_none)?;
                Place { base: folder.join(base), file: None, has_own_name: true }
            }
        };
        if predicate_type != predicate::PROVENANCE {
            place.base = with_end(&place.base, &format!(".{}", predicate::file_word(predicate_type)));
        }
        Ok(place)
    }

    /// The places to look at for an artifact, first those for `predicate_type` if one is asked for.
    pub(crate) fn candidates(
        &self,
        path: &Path,
        name: &str,
        predicate_type: Option<&str>,
    ) -> Result<Vec<Place>> {
        let mut places: Vec<Place> = Vec::new();
        // Receipts of before, and of others, are named as the artifact is, whatever characters that has. On Windows no
        // file has such a name: to look for `con.receipt.json` is to ask a device.
        let called: &[fn(&OsStr) -> OsString] = match Platform::HERE {
            Platform::Unix => &[allowed, OsStr::to_owned],
            Platform::Windows => &[allowed],
        };
        for kind in [predicate_type.unwrap_or(predicate::PROVENANCE), predicate::PROVENANCE] {
            for called in called {
                let place = self.place_as(path, name, kind, *called)?;
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        Ok(places)
    }
}

/// Where the receipts of one artifact and kind lie: one at the place itself, others beside it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// What all their names begin with.
    base: PathBuf,
    /// The file that somebody named for the one at the place, through every symlink; else it is named after `base`.
    file: Option<PathBuf>,
    /// Whether a receipt that is written here is named after its envelope too, so that it is in nobody's way.
    has_own_name: bool,
}

impl Place {
    /// The file that somebody named. If it is a symlink it stays one, and what it names is written.
    pub(crate) fn named(file: &Path) -> Result<Self> {
        let cannot = |source| cannot_read(file).caused_by(source);
        let target = durable::named_by(file).map_err(cannot)?;
        let name = file.file_name().unwrap_or_default();
        let name = name.to_str().map_or(name.into(), |name| {
            let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
            // What is kept beside one that is kept itself is named after the artifact, as that is.
            OsString::from(listing::split_kept(stem.as_bytes()).map_or(stem, |(of, _)| &stem[..of.len()]))
        });
        Ok(Self { base: file.with_file_name(name), file: Some(target), has_own_name: false })
    }

    /// The same place, for a receipt that must not take it from others of the same call.
    #[must_use]
    pub(crate) fn with_own_name(self) -> Self {
        Self { has_own_name: true, ..self }
    }

    /// The file at the place, where receipts do not have names of their own.
    pub(crate) fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| with_end(&self.base, SUFFIX))
    }

    /// The file that `receipt` is written to, if nothing else is there.
    fn path_for(&self, receipt: &Receipt) -> PathBuf {
        if self.has_own_name { self.kept(&envelope_hash(receipt), 1) } else { self.path() }
    }

    /// The files of the receipts that are kept beside it.
    pub(crate) fn beside(&self, listings: &mut Listings) -> Result<Vec<PathBuf>> {
        listings.kept(&self.base)
    }

    /// The name under which `receipt` is kept beside the place: with the first 16 digits of its claim's hash, or of its
    /// envelope's if it claims no log. The number counts what has the same: the same claim, logged twice.
    fn kept_as(&self, receipt: &Receipt, number: usize) -> PathBuf {
        let hash = match receipt.pending_entry() {
            Some(entry) => entry.claim().hash().get(),
            None => envelope_hash(receipt),
        };
        self.kept(&hash, number)
    }

    fn kept(&self, hash: &Hash, number: usize) -> PathBuf {
        let id = &hash.to_string()[..16];
        let number = if number > 1 { format!("-{number}") } else { String::new() };
        with_end(&self.base, &format!(".{id}{number}{SUFFIX}"))
    }
}

/// The file at the place beside which the receipt `path` is kept, by its name.
pub(crate) fn place_of_kept(path: &Path) -> Option<PathBuf> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (of, _) = listing::split_kept(stem.as_bytes())?;
    Some(path.with_file_name(format!("{}{SUFFIX}", &stem[..of.len()])))
}

fn envelope_hash(receipt: &Receipt) -> Hash {
    Hash::of(receipt.envelope().to_json().as_bytes())
}

fn with_end(base: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(base);
    path.push(end);
    path.into()
}

/// Reads and parses a receipt that is expected to be there.
pub(crate) fn read(path: &Path) -> Result<Receipt> {
    let bytes = durable::while_moved(Platform::HERE, || read_found(path, MAX_BYTES));
    let bytes = bytes.map_err(|error| cannot_read(path).caused_by(error))?;
    Receipt::parse(&bytes).map_err(|error| cannot_read(path).caused_by(error))
}

/// The receipt at `path` and its bytes; `None` if nothing is there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<(Receipt, Vec<u8>)>> {
    let left_alone = |failure: Failure| failure.hint("what is there is left alone: move it away");
    let bytes = match read_found(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            return Err(left_alone(cannot_read(path).because("it is a link that leads nowhere")));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidFilename => {
            return Err(cannot_read(path)
                .caused_by(error)
                .hint("it is named after its artifact, and longer: give the artifact a shorter name"));
        }
        Err(error) => return Err(left_alone(cannot_read(path).caused_by(error))),
    };
    match Receipt::parse(&bytes) {
        Ok(receipt) => Ok(Some((receipt, bytes))),
        Err(error) => Err(left_alone(cannot_read(path).caused_by(error))),
    }
}

fn cannot_read(path: &Path) -> Failure {
    Failure::new(format!("cannot read the receipt `{}`", path.display()))
}

/// `path` from the working folder, if it lies below that.
fn from_here(path: &Path) -> Result<Option<PathBuf>> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new("cannot tell the working folder").caused_by(error))?;
    let mut whole = PathBuf::new();
    for part in here.join(path).components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    Ok(whole.strip_prefix(&here).ok().map(Path::to_path_buf))
}

/// A path whose every name is written so that all systems and tools can have it.
pub(crate) fn allowed_path(path: &Path) -> PathBuf {
    called_path(path, allowed)
}

fn called_path(path: &Path, called: fn(&OsStr) -> OsString) -> PathBuf {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    parts.map(|part| called(part.as_os_str())).collect()
}

/// The name of a file or folder with what upload-artifact, zip files and other systems refuse written as in a URI:
/// `app:1.2` is `app%3A1.2`. On Windows `con.exe` is a device in every folder, and `lib.` is `lib`: a receipt that is
/// made elsewhere is unpacked there too.
fn allowed(name: &OsStr) -> OsString {
    let Some(text) = name.to_str() else { return name.to_owned() };
    let last = text.chars().count().saturating_sub(1);
    let is_refused = |at: usize, c: char| {
        REFUSED.contains(&c) || (at == 0 && is_device(text)) || (at == last && matches!(c, '.' | ' '))
    };
    let part = |(at, c): (usize, char)| match is_refused(at, c) {
        true => format!("%{:02X}", u32::from(c)),
        false => c.to_string(),
    };
    text.chars().enumerate().map(part).collect::<String>().into()
}

/// Whether a name is a device of Windows, whatever stands behind its first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let is_numbered = |word: &str| {
        let number = stem.strip_prefix(word).unwrap_or_default();
        matches!(number, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].contains(&stem.as_str())
        || is_numbered("com")
        || is_numbered("lpt")
}

/// What the names of files in an artifact of GitHub must not have.
const REFUSED: [char; 10] = ['"', ':', '<', '>', '|', '*', '?', '\r', '\n', '\\'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_named_after_its_artifact() {
        let beside = Shelf::default();
        let shelf = Shelf::new(Some("r".into()));
        let provenance = predicate::PROVENANCE;
        for (artifact, kind, want_beside, want_shelf) in [
            ("app", provenance, "app.receipt.json", "r/app"),
            ("dist/a b.whl", provenance, "dist/a b.whl.receipt.json", "r/dist/a b.whl"),
            ("./dist/./app", provenance, "./dist/app.receipt.json", "r/dist/app"),
            ("a", "https://cyclonedx.org/bom", "a.cyclonedx.receipt.json", "r/a.cyclonedx"),
            (
                "ghcr.io:5000/o/app:1",
                provenance,
                "ghcr.io:5000/o/app%3A1.receipt.json",
                "r/ghcr.io%3A5000/o/app%3A1",
            ),
            (r#"a"<|*?>"#, provenance, "a%22%3C%7C%2A%3F%3E.receipt.json", "r/a%22%3C%7C%2A%3F%3E"),
            // A device on Windows, and a name that loses its end there.
            ("src/aux.js", provenance, "src/%61ux.js.receipt.json", "r/src/%61ux.js"),
            ("NUL", provenance, "%4EUL.receipt.json", "r/%4EUL"),
            ("com1.tar/lpt¹ .x", provenance, "com1.tar/%6Cpt¹ .x.receipt.json", "r/%63om1.tar/%6Cpt¹ .x"),
            ("a. /b.", provenance, "a. /b%2E.receipt.json", "r/a.%20/b%2E"),
            (
                "console/com10/auxiliary",
                provenance,
                "console/com10/auxiliary.receipt.json",
                "r/console/com10/auxiliary",
            ),
            // What lies elsewhere is called as its statement calls it: no path of this machine is written.
            ("/x/lib/app", provenance, "/x/lib/app.receipt.json", "r/name/of it"),
            ("../x/app", provenance, "../x/app.receipt.json", "r/name/of it"),
        ] {
            let place = |shelf: &Shelf| shelf.place(Path::new(artifact), "name/of it", kind).expect("a name");
            assert_eq!(place(&beside).path(), Path::new(want_beside), "{artifact}");
            assert_eq!(place(&shelf).base, Path::new(want_shelf), "{artifact}");
        }
        assert_eq!(allowed(OsStr::new(r"a\")), OsStr::new("a%5C"));
        assert!(beside.place(Path::new(".."), "", provenance).is_err());
        assert!(shelf.place(Path::new(".."), "", provenance).is_err());
    }

    #[test]
    fn a_folder_of_receipts_is_never_left() {
        let shelf = Shelf::new(Some("r".into()));
        let base =
            |artifact: &Path| shelf.place(artifact, "../../a", predicate::PROVENANCE).expect("a name").base;
        for artifact in ["../app", "../../../../../../../../etc/app", "a/../../app", "/../etc/app"] {
            assert_eq!(base(Path::new(artifact)), Path::new("r/a"), "{artifact}");
        }
        // The same file by another name has the same receipt.
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(base(&here.join("dist/app")), base(Path::new("dist/app")));
        assert_eq!(base(Path::new("x/../dist/app")), base(Path::new("dist/app")));
    }
}
