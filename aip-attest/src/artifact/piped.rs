//! What is read once and has no name: standard input, and what a shell's `<(…)` gives.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::Digest as _;
use tlog::Hash;

use super::{Artifact, Hashed, Place, elsewhere};
use crate::report::{Failure, Result};

/// An argument that is read once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Piped(OsString);

/// Takes what is read once out of `arguments`, each once. A pipe that has a name of its own is a file among others, and
/// nothing waits for whoever may write to it.
///
/// Refuses `-` where a file has that name: a shell's `*` gives it, and standard input must not stand in for that file.
pub(crate) fn take_piped(arguments: &[OsString]) -> Result<(Vec<OsString>, Vec<Piped>)> {
    if arguments.iter().any(|argument| argument == "-") && Path::new("-").symlink_metadata().is_ok() {
        return Err(Failure::new("`-` is standard input, and there is a file of that name").hint(
            match cfg!(windows) {
                true => "write `./-` for the file, or move it away",
                false => "write `./-` for the file, or `/dev/stdin` for standard input",
            },
        ));
    }
    let (piped, others): (Vec<OsString>, Vec<OsString>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument == "-" || Piped::is_open(Path::new(argument)));
    let mut once: Vec<Piped> = Vec::new();
    for argument in piped {
        let piped = Piped(argument);
        if !once.contains(&piped) {
            once.push(piped);
        }
    }
    Ok((others, once))
}

/// Refuses what is read once, for a command that does not read it; `instead` says what to do.
pub(crate) fn refuse_piped(arguments: &[OsString], command: &str, instead: &[&str]) -> Result<()> {
    match take_piped(arguments)?.1.first() {
        None => Ok(()),
        Some(piped) => {
            let failure = Failure::new(format!("`{command}` does not read `{}`", piped.label()));
            Err(instead.iter().fold(failure, Failure::hint))
        }
    }
}

impl Piped {
    /// Whether the path is that of an open pipe, and not of a file that was opened.
    pub(super) fn is_open(path: &Path) -> bool {
        let is_open = path == Path::new("/dev/stdin")
            || ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)));
        is_open && path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir())
    }

    /// What to call it in messages.
    pub(crate) fn label(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// Reads it to its end; it has no place where a receipt would lie.
    pub(crate) fn hash(&self) -> Result<Hashed> {
        let sha256 = self.digest()?;
        let place = Place::Elsewhere { sha256, path: None };
        Ok(Hashed { artifact: Artifact { place, name: self.label() }, sha256 })
    }

    /// Reads it to its end, as the artifact of this name.
    pub(crate) fn hash_as(&self, name: &str) -> Result<Hashed> {
        elsewhere(name, self.digest()?, Path::new(""))
    }

    fn digest(&self) -> Result<Hash> {
        let digest = match self.0 == *"-" {
            true => digest(&mut io::stdin().lock()),
            false => File::open(&self.0).and_then(|mut file| digest(&mut file)),
        };
        digest.map_err(|source| Failure::new(format!("cannot read `{}`", self.label())).caused_by(source))
    }
}

fn digest(reader: &mut impl Read) -> io::Result<Hash> {
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Hash::new(sha256.finalize().into())),
            Ok(read) => sha256.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
