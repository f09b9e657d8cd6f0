//! Files that people edit have no checksum, so a start says which of them have changed since the last one.
//!
//! A flipped bit in a setting may leave another valid setting. `D/read` holds the SHA-256 of each file as it was last
//! read. If a file is named and nobody edited it, it is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use tlog::Hash;

use crate::durable;

/// Says on stderr which of a directory's `files` have changed since the last start or reload.
pub fn say(dir: &Path, files: &[&'static str]) {
    match note(dir, files) {
        Ok(edited) => {
            for file in edited {
                tracing::warn!(
                    file,
                    "this file is another than when it was read last: if nobody edited it, it is damaged"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "cannot tell which files were edited"),
    }
}

/// Those of a directory's `files` that have changed since the last start or reload. Writes nothing.
pub fn edited(dir: &Path, files: &[&'static str]) -> io::Result<Vec<&'static str>> {
    Ok(look(dir, files)?.edited)
}

/// Notes that a program of ours has just written `bytes` to `file`, so that the next start does not call it damaged.
///
/// # Errors
/// The note cannot be read or written. The file stands all the same, and the next start names it.
pub fn wrote(dir: &Path, file: &str, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join("read");
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let ending = format!(" {file}\n");
    let line = |old: &str| {
        if old.ends_with(&ending) { format!("{}{ending}", Hash::of(bytes)) } else { old.to_owned() }
    };
    let text: String = before.split_inclusive('\n').map(line).collect();
    durable::replace(&path, text.as_bytes())
}

struct Looked {
    edited: Vec<&'static str>,
    /// What is to be written, if it is another.
    text: Option<String>,
}

/// Notes the files as they are now. Answers those that have changed since the last call.
fn note(dir: &Path, files: &[&'static str]) -> io::Result<Vec<&'static str>> {
    let Looked { edited, text } = look(dir, files)?;
    if let Some(text) = text {
        durable::replace(&dir.join("read"), text.as_bytes())?;
    }
    Ok(edited)
}

fn look(dir: &Path, files: &[&'static str]) -> io::Result<Looked> {
    let path = dir.join("read");
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        // Not text: it is damaged, and every file is told.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Some(String::new()),
        Err(e) => return Err(e),
    };
    let mut now = BTreeMap::new();
    for name in files {
        match fs::read(dir.join(name)) {
            Ok(bytes) => drop(now.insert(*name, Hash::of(&bytes).to_string())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (),
            Err(e) => return Err(e),
        }
    }
    let line = |name: &str| now.get(name).map(|hash| format!("{hash} {name}\n")).unwrap_or_default();
    let text: String = files.iter().map(|name| line(name)).collect();
    if before.as_ref() == Some(&text) {
        return Ok(Looked { edited: Vec::new(), text: None });
    }
    let Some(before) = before else { return Ok(Looked { edited: Vec::new(), text: Some(text) }) };
    let is_same = |name: &&str| {
        let old = before.split_inclusive('\n').find(|old| old.trim_end().ends_with(&format!(" {name}")));
        old.unwrap_or_default() == line(name)
    };
    let edited = files.iter().copied().filter(|name| !is_same(name)).collect();
    Ok(Looked { edited, text: Some(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_another_is_told_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path();
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("a file");
        write("witness.toml", "url = \"https://w.example\"\n");
        write("logs", "logs/v0\n");
        let files = ["witness.toml", "logs", "logs.learned"];
        let note = || note(dir, &files).expect("readable files");
        assert!(note().is_empty(), "the first time");
        assert!(note().is_empty());
        write("witness.toml", "url = \"https://v.example\"\n");
        assert_eq!(note(), ["witness.toml"]);
        assert!(note().is_empty(), "once");
        write("logs.learned", "logs/v0\n");
        fs::remove_file(dir.join("logs")).expect("a file");
        assert_eq!(note(), ["logs", "logs.learned"]);
        fs::write(dir.join("read"), [0xff]).expect("a file");
        assert_eq!(note(), ["witness.toml", "logs.learned"], "a note that is damaged is none");
    }

    #[test]
    fn what_a_program_of_ours_wrote_is_not_told_and_everything_else_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path();
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("a file");
        let files = ["log.toml", "policy"];
        wrote(dir, "policy", b"one").expect("nothing was read yet");
        assert!(!dir.join("read").exists(), "a note that nobody began");
        write("log.toml", "a");
        write("policy", "one");
        assert!(note(dir, &files).expect("readable").is_empty());
        write("policy", "two");
        wrote(dir, "policy", b"two").expect("noted");
        assert!(edited(dir, &files).expect("readable").is_empty(), "by our own hand");
        write("policy", "tvo");
        assert_eq!(edited(dir, &files).expect("readable"), ["policy"], "a bit flipped since");
        write("policy", "two");
        write("log.toml", "b");
        assert_eq!(edited(dir, &files).expect("readable"), ["log.toml"]);
    }
}
