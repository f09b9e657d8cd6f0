//! Where manifests of Python `aip` lie, and what of them is written here. What they say: [`attestation::manifest`].

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use attestation::Did;
use attestation::manifest::{FILE_NAME, Manifest, is_unseen_by_python};
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, UnixTime};

use crate::artifact::{Artifact, Hashed, Place};
use crate::bounded_file;
use crate::durable::{self, Readers};
use crate::report::{Console, Failure, Result, counted};

/// The folder whose manifest names an artifact: the one that was named, or that the named file lies in. `None` for what
/// has no place on the disk.
pub(crate) fn folder_of(artifact: &Artifact) -> Option<PathBuf> {
    let path = artifact.path()?;
    let levels = artifact.name.split('/').count();
    Some(plain(path.ancestors().nth(levels).unwrap_or(Path::new(""))))
}

/// The same folder in one spelling: without `.` in it.
pub(crate) fn plain(folder: &Path) -> PathBuf {
    folder.components().filter(|part| *part != Component::CurDir).collect()
}

/// Whether this file is the manifest of the folder that it is judged for.
pub(crate) fn is_manifest(artifact: &Artifact) -> bool {
    artifact.name == FILE_NAME
}

/// The manifest's bytes; `None` if the folder has none.
pub(crate) fn read(folder: &Path) -> Result<Option<Vec<u8>>> {
    let path = folder.join(FILE_NAME);
    match bounded_file::read_found(&path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(format!("cannot read `{}`", path.display())).caused_by(error)),
    }
}

/// A manifest that is to be written.
pub(crate) struct Written {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
}

/// The manifests of `artifacts`, one a folder, signed and not yet written.
pub(crate) fn sign(
    artifacts: &[Hashed],
    did: Did,
    key: &Ed25519PrivateKey,
    now: UnixTime,
    console: &mut Console,
) -> Result<Vec<Written>> {
    let mut folders: BTreeMap<PathBuf, BTreeMap<String, Hash>> = BTreeMap::new();
    for Hashed { artifact, sha256 } in artifacts {
        let (Place::File(_), Some(folder)) = (&artifact.place, folder_of(artifact)) else {
            return Err(Failure::new(format!("`{}` has no folder for a manifest", artifact.label()))
                .because("Python aip reads manifests beside the files that they name")
                .hint("leave it away, or sign it without --aip-manifest"));
        };
        folders.entry(folder).or_default().insert(artifact.name.clone(), *sha256);
    }
    let mut written = Vec::new();
    for (folder, mut files) in folders {
        // A file that is named alone is looked at by itself; of a folder the Python client leaves these out.
        if files.len() > 1 {
            let all = files.len();
            let unseen = files.keys().find(|name| is_unseen_by_python(name)).cloned();
            files.retain(|name, _| !is_unseen_by_python(name));
            if let Some(first) = unseen {
                console.note(format!(
                    "not in the manifest: {} that Python aip does not look at (`{first}`{})",
                    counted(all - files.len(), "file"),
                    if all - files.len() > 1 { ", …" } else { "" },
                ));
            }
        }
        if files.is_empty() {
            continue;
        }
        let path = folder.join(FILE_NAME);
        // Whoever brought the folder chose what lies there: behind a link lies somebody's file.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(Failure::new(format!("`{}` is a link, or no file", path.display()))
                .because("the manifest is written there")
                .hint("remove it"));
        }
        if let Some(left) = no_longer_named(&folder, &files)? {
            console.warn(format!(
                "`{}` names `{left}` no more: Python aip has one manifest a folder, so sign all files of a folder in one call",
                path.display(),
            ));
        }
        written.push(Written { path, manifest: Manifest::sign(did, key, now.as_secs(), files) });
    }
    Ok(written)
}

/// A file that the manifest there names, and the new one does not, though it is there.
fn no_longer_named(folder: &Path, files: &BTreeMap<String, Hash>) -> Result<Option<String>> {
    let Some(bytes) = read(folder)? else { return Ok(None) };
    let Ok(before) = Manifest::parse(&bytes) else { return Ok(None) };
    let left = before.claimed_names().find(|name| !files.contains_key(*name) && folder.join(name).is_file());
    Ok(left.map(str::to_owned))
}

impl Written {
    /// Whether it names this artifact.
    pub(crate) fn is_of(&self, artifact: &Artifact) -> bool {
        let is_here = folder_of(artifact).is_some_and(|folder| folder.join(FILE_NAME) == self.path);
        is_here && self.manifest.claimed_names().any(|name| name == artifact.name)
    }

    /// Puts it on the disk.
    pub(crate) fn write(&self) -> Result<()> {
        durable::write(&self.path, self.manifest.to_json().as_bytes(), Readers::Everyone)
    }
}

/// A hundred thousand files with long names take a tenth of that.
const MAX_BYTES: u64 = 64 << 20;
