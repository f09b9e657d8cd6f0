//! Receipts as files: what they are called, where they lie, how they are read and written.
//!
//! ```text
//! dist/app                                the artifact
//! dist/app.receipt.json                   its receipt
//! dist/app.cyclonedx.receipt.json         its receipt for another predicate than provenance
//! receipts/dist/app.receipt.json          the same with `--receipts receipts`
//! dist/app.<16 hex>.receipt.json          one that was in its place before, by its claim's hash
//! ```
//! Nothing that only one file holds is overwritten ([`write_all`]): a receipt of an entry that was logged by hash
//! is the only copy of its envelope.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};

use attestation::receipt::{Receipt, State};
use rayon::prelude::*;
use tlog::Hash;

use crate::durable::{self, Readers};
use crate::predicate;
use crate::report::{Console, Failure, Result};

/// What the name of every receipt ends in.
pub const SUFFIX: &str = ".receipt.json";

/// The longest receipt that is read: a predicate of [`predicate::MAX_BYTES`] in base64, and a proof.
pub const MAX_BYTES: u64 = 64 << 20;

/// How many receipts of one claim are kept beside each other. More than one needs a log that gave its entry twice.
const MAX_KEPT: usize = 9;

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

/// Writes receipts, durably: what is on disk before it is sent can be sent again. Many take the time of a few.
///
/// A receipt that is there and holds something that the new one does not is kept beside it, and the user told.
/// What is there and no receipt is somebody's, and an error. Answers what was in each place before.
pub fn write_all(receipts: &[(&Path, &Receipt)], console: &mut Console) -> Result<Vec<Former>> {
    let former = receipts.par_iter().map(|(path, receipt)| Former::before(receipt, path));
    let former: Vec<Former> = former.collect::<Result<_>>()?;
    let kept = |old: &Former| Some((old.kept.clone()?, old.bytes.clone()?));
    let kept: Vec<(PathBuf, Vec<u8>)> = former.iter().filter_map(kept).collect();
    let kept: Vec<(&Path, Vec<u8>)> =
        kept.iter().map(|(path, bytes)| (path.as_path(), bytes.clone())).collect();
    // Under its other name before its own is given away: a crash leaves it twice or once, and never not at all.
    durable::write_all(&kept, Readers::Everyone)?;
    for Former { path, kept, .. } in &former {
        if let Some(kept) = kept {
            let (path, kept) = (path.display(), kept.display());
            console.note(format!("the receipt that was in `{path}` is kept as `{kept}`"));
        }
    }
    let files: Vec<(&Path, Vec<u8>)> =
        receipts.iter().map(|(path, receipt)| (*path, receipt.to_json().into_bytes())).collect();
    durable::write_all(&files, Readers::Everyone)?;
    Ok(former)
}

/// What was in a receipt's place before another one was written there.
pub struct Former {
    path: PathBuf,
    /// The receipt; `None` if nothing was there.
    bytes: Option<Vec<u8>>,
    /// Where it was kept, if the new one does not hold all of it and nothing else did.
    kept: Option<PathBuf>,
}

impl Former {
    /// The place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes `refused` away, which is worth nothing, and puts back what was there before. Something else that lies
    /// there by now is left alone.
    pub fn put_back(&self, refused: &Receipt, console: &mut Console) -> Result<()> {
        let cannot =
            |source| Failure::new(format!("cannot remove `{}`", self.path.display())).caused_by(source);
        match read_found(&self.path, MAX_BYTES) {
            Ok(bytes) if bytes == refused.to_json().as_bytes() => {}
            _ => return Ok(()),
        }
        let Some(bytes) = &self.bytes else { return fs::remove_file(&self.path).map_err(cannot) };
        durable::write_all(&[(&self.path, bytes.clone())], Readers::Everyone)?;
        // In its place first: a crash before this line leaves it twice.
        if let Some(kept) = &self.kept {
            fs::remove_file(kept).map_err(cannot)?;
            console.note(format!("the receipt that was in `{}` is back there", self.path.display()));
        }
        Ok(())
    }

    /// What is at `path`, and where it is to be kept when `new` is written there.
    fn before(new: &Receipt, path: &Path) -> Result<Self> {
        let at = path.to_path_buf();
        let Some((old, bytes)) = read_if_there(path)? else {
            return Ok(Self { path: at, bytes: None, kept: None });
        };
        if holds_all_of(new, &old) {
            return Ok(Self { path: at, bytes: Some(bytes), kept: None });
        }
        for number in 1..=MAX_KEPT {
            let kept = kept_path(path, &old, number);
            let kept = match read_if_there(&kept)? {
                Some((there, _)) if holds_all_of(&there, &old) => None,
                Some((there, _)) if !holds_all_of(&old, &there) => continue,
                _ => Some(kept),
            };
            return Ok(Self { path: at, bytes: Some(bytes), kept });
        }
        Err(Failure::new(format!("there is no name left to keep the receipt `{}` under", path.display()))
            .hint("move it away"))
    }
}

/// Whether nothing is lost when `old` goes and `new` stays: the same statement, at least as far. A fresh proof
/// of the same entry is as good as an older one.
fn holds_all_of(new: &Receipt, old: &Receipt) -> bool {
    let is_same_statement =
        new.envelope() == old.envelope() && new.did() == old.did() && new.public_key() == old.public_key();
    is_same_statement
        && match (old.state(), new.state()) {
            (State::Signed, _) => true,
            (State::Pending(entry), _) => new.pending_entry() == Some(entry),
            (State::Logged(old), State::Logged(new)) => {
                old.entry == new.entry
                    && (old.sigstore_note.is_none() || new.sigstore_note.is_some())
                    && (old.identity.is_empty() || !new.identity.is_empty())
            }
            (State::Logged(_), _) => false,
        }
}

/// The name under which `receipt`, which lies at `path`, is kept: with the first 16 digits of its claim's hash,
/// or of its envelope's if it claims no log. The number counts what has the same: the same claim, logged twice.
fn kept_path(path: &Path, receipt: &Receipt, number: usize) -> PathBuf {
    let hash = match receipt.pending_entry() {
        Some(entry) => entry.claim().hash().get(),
        None => Hash::of(receipt.envelope().to_json().as_bytes()),
    };
    let name = path.file_name().unwrap_or_default();
    let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
    let mut kept = stem.map_or_else(|| name.to_owned(), OsString::from);
    kept.push(format!(".{}", &hash.to_string()[..16]));
    if number > 1 {
        kept.push(format!("-{number}"));
    }
    kept.push(SUFFIX);
    path.with_file_name(kept)
}

/// The receipt at `path` and its bytes; `None` if nothing is there.
fn read_if_there(path: &Path) -> Result<Option<(Receipt, Vec<u8>)>> {
    let left_alone = |failure: Failure| failure.hint("what is there is left alone: move it away");
    let bytes = match read_found(path, MAX_BYTES) {
        Ok(bytes) => bytes,
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
    use attestation::Did;
    use attestation::dsse::Envelope;
    use attestation::statement::{Statement, Subject};
    use tlog::key::Ed25519PrivateKey;

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

    fn signed(payload_of: &str) -> Receipt {
        let key = Ed25519PrivateKey::from_seed(&[7; 32]);
        let subjects = vec![Subject::new(payload_of, Hash::of(payload_of.as_bytes()))];
        let statement = Statement::new(subjects, "urn:x", serde_json::Map::new()).expect("a statement");
        let envelope = Envelope::sign(&key, statement.to_payload());
        Receipt::signed(Did::of(&key.public_key()), key.public_key(), envelope).expect("a receipt")
    }

    #[test]
    fn a_kept_receipt_has_a_name_of_its_own() {
        let receipt = signed("x");
        let id = &Hash::of(receipt.envelope().to_json().as_bytes()).to_string()[..16];
        for (path, number, want) in [
            ("d/app.receipt.json", 1, format!("d/app.{id}.receipt.json")),
            ("app.vsa.receipt.json", 2, format!("app.vsa.{id}-2.receipt.json")),
            ("newest.json", 1, format!("newest.json.{id}.receipt.json")),
        ] {
            assert_eq!(kept_path(Path::new(path), &receipt, number), Path::new(&want));
        }
        assert_ne!(kept_path(Path::new("a"), &receipt, 1), kept_path(Path::new("a"), &signed("y"), 1));
    }

    /// A kept receipt that was overwritten by hand with another one does not cost the next.
    #[test]
    fn a_name_that_is_taken_is_not_taken_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("app.receipt.json");
        let mut console = Console::new(Box::new(io::sink()), Box::new(io::sink()));
        let mut put = |path: &Path, receipt: &Receipt| write_all(&[(path, receipt)], &mut console).map(drop);
        let (old, new, other) = (signed("old"), signed("new"), signed("other"));
        put(&path, &old).expect("written");
        put(&kept_path(&path, &old, 1), &other).expect("written");
        put(&path, &new).expect("written");
        for (path, want) in
            [(path.clone(), &new), (kept_path(&path, &old, 1), &other), (kept_path(&path, &old, 2), &old)]
        {
            assert_eq!(read(&path).expect("a receipt"), *want, "{}", path.display());
        }
    }

    #[test]
    fn what_a_refused_receipt_displaced_is_put_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("app.receipt.json");
        let mut console = Console::new(Box::new(io::sink()), Box::new(io::sink()));
        let (old, refused, other) = (signed("old"), signed("refused"), signed("other"));
        let count = || fs::read_dir(dir.path()).expect("a folder").count();
        let displace = |console: &mut Console| {
            write_all(&[(&path, &refused)], console).expect("written").pop().expect("a place")
        };
        displace(&mut console).put_back(&refused, &mut console).expect("removed");
        assert_eq!(count(), 0);
        write_all(&[(&path, &old)], &mut console).expect("written");
        displace(&mut console).put_back(&refused, &mut console).expect("back");
        assert_eq!((read(&path).expect("a receipt"), count()), (old.clone(), 1));
        // Somebody else came between.
        let former = displace(&mut console);
        write_all(&[(&path, &other)], &mut console).expect("written");
        former.put_back(&refused, &mut console).expect("left alone");
        assert_eq!(read(&path).expect("a receipt"), other);
        assert_eq!(read(&kept_path(&path, &old, 1)).expect("a receipt"), old);
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
