//! Files that people edit, which have no checksum: a start says which of them are others than at the last one.
//!
//! A damaged bit in a setting or in a list may leave another valid one. `D/read` holds the SHA-256 of each file as it
//! was read last; whoever has not edited a file that is named has a damaged one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use tlog::Hash;

use crate::durable;

/// Says on stderr which of a directory's `files` are others than at the last start, or reload.
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

/// Those of a directory's `files` that are others than at the last start, or reload. Nothing is changed.
pub fn edited(dir: &Path, files: &[&'static str]) -> io::Result<Vec<&'static str>> {
    Ok(look(dir, files)?.edited)
}

struct Looked {
    edited: Vec<&'static str>,
    /// What is to be written, if it is another.
    text: Option<String>,
}

/// Notes the files as they are now. Answers those that are others than when this was called last.
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
}
