//! The credentials file that counts, and what it is.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::chosen;
use super::credentials::{self, Credentials, CredentialsError, File};
use super::encrypted::Encrypted;
use super::readers::warn_of_other_readers;
use crate::report::{Console, Failure, Result};
use crate::{environment, platform};

/// A credentials file as it was found: its key may still be locked.
pub(crate) enum Stored {
    /// Everything is readable.
    Plain(Box<Credentials>),
    /// The DID is readable, the key needs a passphrase.
    Encrypted(Encrypted),
}

impl Stored {
    /// Reads a credentials file, plain or encrypted; `None` if it has no DID or no key.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, CredentialsError> {
        let file = File::read(bytes)?;
        match file.format.as_deref() {
            Some(credentials::ENCRYPTED) => {
                Encrypted::from_file(file).map(|file| Some(Self::Encrypted(file)))
            }
            _ => Ok(file.plain()?.map(|credentials| Self::Plain(Box::new(credentials)))),
        }
    }

    /// The DID, by the word of the file.
    pub(crate) fn did(&self) -> &str {
        match self {
            Self::Plain(credentials) => &credentials.did,
            Self::Encrypted(encrypted) => &encrypted.did,
        }
    }
}

/// The credentials file, by the search order of files; `None` if there is none.
pub(crate) fn find(console: &mut Console) -> Result<Option<(PathBuf, Stored)>> {
    search(&mut |path, file| warn_of_other_readers(path, file.metadata(), console))
}

/// The same; each file that is read is shown to `look` first.
pub(super) fn search(look: &mut impl FnMut(&Path, &fs::File)) -> Result<Option<(PathBuf, Stored)>> {
    let (paths, only) = candidates()?;
    // A name is one of a folder, in which the file is found.
    let is_found = !only || chosen::name()?.is_some();
    for path in paths {
        // A pipe that is named is read; one that is only found would be waited for, for ever.
        if is_found && path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(cannot_read(&path).because("it is not a regular file"));
        }
        let Some(bytes) = read(&path, look)? else { continue };
        match Stored::parse(&bytes) {
            Ok(Some(stored)) => return Ok(Some((path, stored))),
            // No DID or no key: the file does not count.
            Ok(None) => {}
            Err(error) => return Err(cannot_read(&path).caused_by(error)),
        }
        if only {
            return Err(cannot_read(&path).because("it has no `did` or no `private_key`"));
        }
    }
    if only {
        return Err(no_identity());
    }
    Ok(None)
}

pub(super) fn names_nothing() -> Result<bool> {
    Ok(chosen::credentials()?.is_some_and(|path| !path.exists()))
}

pub(super) fn search_if_any(look: &mut impl FnMut(&Path, &fs::File)) -> Result<Option<(PathBuf, Stored)>> {
    match names_nothing()? {
        true => Ok(None),
        false => search(look),
    }
}

/// The files to look for, and whether nothing else counts.
fn candidates() -> Result<(Vec<PathBuf>, bool)> {
    if let Some(path) = chosen::credentials()? {
        return Ok((vec![path], true));
    }
    let home = environment::home_of_user();
    let names = [".aip/credentials.json", ".openclaw/workspace/credentials/aip_credentials.json"];
    let below = |home: &PathBuf| names.map(|name| platform::native(&home.join(name)));
    Ok((home.iter().flat_map(below).collect(), false))
}

fn read(path: &Path, look: &mut impl FnMut(&Path, &fs::File)) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_read(path).caused_by(error)),
    };
    look(path, &file);
    // Room for everything at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 1));
    let read = file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| cannot_read(path).caused_by(error))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(cannot_read(path).because(format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(Some(bytes))
}

pub(super) fn no_identity() -> Failure {
    if let Ok(Some(name)) = chosen::name() {
        let failure = Failure::new(format!("there is no identity `{}` here", name.as_str()))
            .hint(format!("`aip-attest --as {} init` makes it", name.as_str()));
        let there: Vec<String> = chosen::names().iter().map(|name| format!("`{}`", name.as_str())).collect();
        return match there[..] {
            [] => failure,
            _ => failure.hint(format!("those that are here: {}", there.join(", "))),
        };
    }
    let has_did = environment::var("AIP_DID").is_ok_and(|did| did.is_some());
    let missing = match environment::path("AIP_CREDENTIALS_PATH") {
        Some(path) => format!("there is no identity: `{}` does not exist", path.display()),
        None if has_did => {
            "there is no identity: AIP_DID is set without AIP_PRIVATE_KEY, and there is no credentials file"
                .to_owned()
        }
        None => "there is no identity: neither AIP_DID and AIP_PRIVATE_KEY nor a credentials file".to_owned(),
    };
    Failure::new(missing).hint("`aip-attest init` makes one; in CI set both variables from secrets")
}

pub(super) fn cannot_read(path: &Path) -> Failure {
    Failure::new(format!("cannot read the credentials file `{}`", path.display()))
}

/// A credentials file is a few hundred bytes; this is room for whatever other tools add.
const MAX_FILE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_do_not_count_or_are_refused_without_repeating_them() {
        for (file, want) in [
            ("{}", Ok(())),
            (r#"{"did":"x"}"#, Ok(())),
            (r#"{"private_key":"x"}"#, Ok(())),
            ("", Err(CredentialsError::Json { line: 1, column: 0 })),
            (r#"{"private_key":5}"#, Err(CredentialsError::Json { line: 1, column: 17 })),
            (r#"{"did":"x","private_key":"#, Err(CredentialsError::Json { line: 1, column: 25 })),
            (r#"{"did":"x","private_key":"s3cret"}"#, Err(CredentialsError::PrivateKeyEncoding)),
            (r#"{"format":"v9"}"#, Err(CredentialsError::Format("v9".into()))),
            (r#"{"format":"aip-encrypted-v1","did":"x"}"#, Err(CredentialsError::Member("salt"))),
        ] {
            let got = Stored::parse(file.as_bytes());
            assert_eq!(got.map(|found| assert!(found.is_none())), want, "{file}");
        }
    }
}
