//! Receipts as files: what they are called, where they lie, how they are read and written.
//!
//! ```text
//! dist/app                                the artifact
//! dist/app.receipt.json                   its receipt
//! dist/app.cyclonedx.receipt.json         its receipt for another predicate than provenance
//! receipts/dist/app.receipt.json          the same with `--receipts receipts`
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use attestation::receipt::Receipt;

use crate::durable::{self, Readers};
use crate::predicate;
use crate::report::{Failure, Result};

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

    /// The receipt of an artifact for a predicate type.
    pub fn path(&self, artifact: &Path, predicate_type: &str) -> Result<PathBuf> {
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
        name.push(SUFFIX);
        let beside = artifact.with_file_name(name);
        Ok(match &self.folder {
            None => beside,
            Some(folder) => folder.join(inside(&beside)?),
        })
    }

    /// The receipts to try for an artifact, first the one for `predicate_type` if one is asked for.
    pub fn candidates(&self, artifact: &Path, predicate_type: Option<&str>) -> Result<Vec<PathBuf>> {
        let mut paths = vec![self.path(artifact, predicate_type.unwrap_or(predicate::PROVENANCE))?];
        let default = self.path(artifact, predicate::PROVENANCE)?;
        if paths[0] != default {
            paths.push(default);
        }
        Ok(paths)
    }
}

/// Reads and parses a receipt that is expected to be there.
pub fn read(path: &Path) -> Result<Receipt> {
    let bytes = read_found(path, MAX_BYTES).map_err(|error| cannot_read(path).caused_by(error))?;
    Receipt::parse(&bytes).map_err(|error| cannot_read(path).caused_by(error))
}

/// Writes a receipt, durably: what is on disk before it is sent can be sent again.
pub fn write(path: &Path, receipt: &Receipt) -> Result<()> {
    durable::write(path, receipt.to_json().as_bytes(), Readers::Everyone)
}

/// Writes many receipts, as [`write()`] does, in the time of a few.
pub fn write_all(receipts: &[(&Path, &Receipt)]) -> Result<()> {
    let files: Vec<(&Path, Vec<u8>)> =
        receipts.iter().map(|(path, receipt)| (*path, receipt.to_json().into_bytes())).collect();
    durable::write_all(&files, Readers::Everyone)
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
            let path = |shelf: &Shelf| shelf.path(Path::new(artifact), kind).expect("a name");
            assert_eq!(path(&beside), Path::new(want_beside), "{artifact}");
            assert_eq!(path(&shelf), Path::new(want_shelf), "{artifact}");
        }
        assert!(beside.path(Path::new(".."), provenance).is_err());
    }

    #[test]
    fn a_folder_of_receipts_is_never_left() {
        let shelf = Shelf::new(Some("r".into()));
        for artifact in ["../app", "../../../../../../../../etc/app", "a/../../app", "/../etc/app"] {
            let path = shelf.path(Path::new(artifact), predicate::PROVENANCE).expect("a name");
            assert!(path.starts_with("r"), "{artifact}: {}", path.display());
            assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{artifact}");
        }
        // The same file by another name has the same receipt.
        let here = std::env::current_dir().expect("a folder");
        let absolute = shelf.path(&here.join("dist/app"), predicate::PROVENANCE).expect("a name");
        assert_eq!(absolute, shelf.path(Path::new("dist/app"), predicate::PROVENANCE).expect("a name"));
    }
}
