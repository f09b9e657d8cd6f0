//! Receipts as files: what they are called, where they lie, how they are read and written.
//!
//! ```text
//! dist/app                                the artifact
//! dist/app.receipt.json                   its receipt
//! dist/app.cyclonedx.receipt.json         its receipt for another predicate than provenance
//! receipts/dist/app.receipt.json          the same with `--receipts receipts`
//! dist/app.<16 hex>.receipt.json          one that is kept beside another, by its claim's hash
//! ```
//! Nothing that only one file holds is overwritten ([`write_all`]): a receipt of an entry that was logged by hash
//! is the only copy of its envelope.

mod listing;
mod placing;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};

use attestation::receipt::Receipt;
use tlog::Hash;

use crate::durable;
use crate::predicate;
use crate::report::{Failure, Result};
pub use listing::Listings;
pub use placing::{Written, write_all};

/// What the name of every receipt ends in.
pub const SUFFIX: &str = ".receipt.json";

/// The longest receipt that is read: a predicate of [`predicate::MAX_BYTES`] in base64, and a proof.
pub const MAX_BYTES: u64 = 64 << 20;

/// Where receipts lie: beside their artifacts, or in a folder of their own.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    folder: Option<PathBuf>,
}

impl Shelf {
    /// Receipts lie in `folder`, by the paths of their artifacts, or beside them if there is none.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The folder of receipts, if they do not lie beside their artifacts.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The place of an artifact's receipt for a predicate type.
    pub fn place(&self, artifact: &Path, predicate_type: &str) -> Result<Place> {
        let mut name = artifact.file_name().map(OsString::from).ok_or_else(|| {
            Failure::new(format!(
                "`{}` names no file, so no receipt can be named after it",
                artifact.display()
            ))
        })?;
        if predicate_type != predicate::PROVENANCE {
            name.push(".");
            name.push(predicate::file_word(predicate_type));
        }
        let beside = artifact.with_file_name(name);
        let base = match &self.folder {
            None => beside,
            Some(folder) => folder.join(inside(&beside)?),
        };
        Ok(Place { base, file: None })
    }

    /// The places to look at for an artifact, first the one for `predicate_type` if one is asked for.
    pub fn candidates(&self, artifact: &Path, predicate_type: Option<&str>) -> Result<Vec<Place>> {
        let mut places = vec![self.place(artifact, predicate_type.unwrap_or(predicate::PROVENANCE))?];
        let default = self.place(artifact, predicate::PROVENANCE)?;
        if places[0] != default {
            places.push(default);
        }
        Ok(places)
    }
}

/// Where the receipts of one artifact and kind lie: one at the place itself, others beside it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// What all their names begin with.
    base: PathBuf,
    /// The file that somebody named for the one at the place, through every symlink; else it is named after `base`.
    file: Option<PathBuf>,
}

impl Place {
    /// The file that somebody named. If it is a symlink it stays one, and what it names is written.
    pub fn named(file: &Path) -> Result<Self> {
        let cannot = |source| cannot_read(file).caused_by(source);
        let target = durable::named_by(file).map_err(cannot)?;
        let name = file.file_name().unwrap_or_default();
        let name = name.to_str().map_or(name.into(), |name| {
            let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
            // What is kept beside one that is kept itself is named after the artifact, as that is.
            OsString::from(listing::split_kept(stem.as_bytes()).map_or(stem, |(of, _)| &stem[..of.len()]))
        });
        Ok(Self { base: file.with_file_name(name), file: Some(target) })
    }

    /// The file of the receipt at the place.
    pub fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| with_end(&self.base, SUFFIX))
    }

    /// The files of the receipts that are kept beside it.
    pub fn beside(&self, listings: &mut Listings) -> Result<Vec<PathBuf>> {
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
pub fn place_of_kept(path: &Path) -> Option<PathBuf> {
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
pub fn read(path: &Path) -> Result<Receipt> {
    let bytes = read_found(path, MAX_BYTES).map_err(|error| cannot_read(path).caused_by(error))?;
    Receipt::parse(&bytes).map_err(|error| cannot_read(path).caused_by(error))
}

/// The receipt at `path` and its bytes; `None` if nothing is there.
pub fn read_if_there(path: &Path) -> Result<Option<(Receipt, Vec<u8>)>> {
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

/// Reads a file that must not be longer than `limit`.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A folder opens like a file.
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// As [`read_bounded`], of a file that was found and not named: a pipe that somebody put there would be waited
/// for, for ever.
pub fn read_found(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    match path.metadata()?.is_file() {
        true => read_bounded(path, limit),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

fn cannot_read(path: &Path) -> Failure {
    Failure::new(format!("cannot read the receipt `{}`", path.display()))
}

/// `path` as a path that stays below wherever it is joined to: relative to the working folder if it lies
/// there, else from the root, without the root.
fn inside(path: &Path) -> Result<PathBuf> {
    let leads_out = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
    if !path.components().any(leads_out) {
        return Ok(path.components().filter(|part| *part != Component::CurDir).collect());
    }
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
    let whole = whole.strip_prefix(&here).unwrap_or(&whole);
    Ok(whole.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_named_after_its_artifact() {
        let beside = Shelf::default();
        let shelf = Shelf::new(Some("r".into()));
        let provenance = predicate::PROVENANCE;
        for (artifact, kind, want_beside, want_shelf) in [
            ("app", provenance, "app.receipt.json", "r/app.receipt.json"),
            ("dist/a b.whl", provenance, "dist/a b.whl.receipt.json", "r/dist/a b.whl.receipt.json"),
            ("./dist/./app", provenance, "./dist/app.receipt.json", "r/dist/app.receipt.json"),
            ("a", "https://cyclonedx.org/bom", "a.cyclonedx.receipt.json", "r/a.cyclonedx.receipt.json"),
            ("/x/app", provenance, "/x/app.receipt.json", "r/x/app.receipt.json"),
        ] {
            let path = |shelf: &Shelf| shelf.place(Path::new(artifact), kind).expect("a name").path();
            assert_eq!(path(&beside), Path::new(want_beside), "{artifact}");
            assert_eq!(path(&shelf), Path::new(want_shelf), "{artifact}");
        }
        assert!(beside.place(Path::new(".."), provenance).is_err());
    }

    #[test]
    fn a_folder_of_receipts_is_never_left() {
        let shelf = Shelf::new(Some("r".into()));
        let path = |artifact: &Path| shelf.place(artifact, predicate::PROVENANCE).expect("a name").path();
        for artifact in ["../app", "../../../../../../../../etc/app", "a/../../app", "/../etc/app"] {
            let path = path(Path::new(artifact));
            assert!(path.starts_with("r"), "{artifact}: {}", path.display());
            assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{artifact}");
        }
        // The same file by another name has the same receipt.
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(path(&here.join("dist/app")), path(Path::new("dist/app")));
    }
}
