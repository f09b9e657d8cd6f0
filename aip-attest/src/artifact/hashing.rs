//! Digests of files: streamed, on all processors, with a progress bar where somebody is looking.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rayon::prelude::*;
use sha2::Digest as _;
use tlog::Hash;

use super::{Artifact, Place};
use crate::progress::Progress;
use crate::report::{Failure, Result};

/// Computes the digests of `artifacts`, in their order. A file is read in pieces: a large one takes no more
/// memory than a small one.
pub(super) fn hash_all<'a>(artifacts: impl Iterator<Item = &'a Artifact>) -> Vec<Result<Hash>> {
    let artifacts: Vec<&Artifact> = artifacts.collect();
    let progress = Progress::over_bytes(bytes_of(&artifacts));
    let hash = |artifact: &Artifact| digest(artifact, &progress);
    // One file needs no threads, and starting them takes longer than hashing it.
    let digests = match artifacts[..] {
        [] => Vec::new(),
        [artifact] => vec![hash(artifact)],
        _ => artifacts.par_iter().map(|artifact| hash(artifact)).collect(),
    };
    progress.finish();
    digests
}

fn digest(artifact: &Artifact, progress: &Progress) -> Result<Hash> {
    match &artifact.place {
        Place::Elsewhere { sha256, .. } => Ok(*sha256),
        Place::File(path) => digest_of_file(path, progress)
            .map_err(|source| Failure::new(format!("cannot read `{}`", path.display())).caused_by(source)),
    }
}

/// Of what changes while it is read, no digest is the file's; what grows as fast as it is read has no end.
fn digest_of_file(path: &Path, progress: &Progress) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut length = 0;
    while length <= before.len() {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                sha256.update(&buffer[..read]);
                length += read as u64;
                progress.add(read as u64);
            }
        }
    }
    if length != before.len() || before.modified().ok() != file.metadata()?.modified().ok() {
        return Err(io::Error::other("it changed while it was read"));
    }
    Ok(Hash::new(sha256.finalize().into()))
}

fn bytes_of(artifacts: &[&Artifact]) -> u64 {
    let length = |artifact: &&Artifact| match &artifact.place {
        Place::File(path) => path.metadata().map_or(0, |metadata| metadata.len()),
        Place::Elsewhere { .. } => 0,
    };
    artifacts.iter().map(length).sum()
}

/// Large enough that system calls cost nothing, small enough for the processor's cache.
const BUFFER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_in_the_order_of_the_artifacts() {
        let dir = tempfile::tempdir().expect("a folder");
        let artifact = |name: &str| {
            let path = dir.path().join(name);
            if !name.contains("missing") {
                std::fs::write(&path, name.repeat(100_000)).expect("written");
            }
            Artifact { place: Place::File(path), name: name.to_owned() }
        };
        let digests = hash_all(["a", "missing", "b"].map(artifact).iter());
        let digest = |at: usize| *digests[at].as_ref().expect("hashed");
        assert_eq!(digest(0), Hash::of("a".repeat(100_000).as_bytes()));
        assert_eq!(digest(2), Hash::of("b".repeat(100_000).as_bytes()));
        let failure = digests[1].as_ref().expect_err("not there");
        assert!(failure.one_line().contains("cannot read"));
    }

    /// The kernel's own files say that they are empty, and are not.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_it_was_has_no_digest() {
        let digest = digest_of_file(Path::new("/proc/self/stat"), &Progress::over_bytes(0));
        assert_eq!(digest.expect_err("refused").to_string(), "it changed while it was read");
    }
}
