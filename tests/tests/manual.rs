//! The manual pages of the programs say of every command what to type, what comes of it, and what else it reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::program;

/// The pages that `PROGRAM man FOLDER` writes, by their names.
fn pages(name: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let man =
        Command::new(program(name)).arg("man").arg(folder.path().join("man1")).output().expect("it runs");
    assert!(man.status.success(), "{}", String::from_utf8_lossy(&man.stderr));
    let entries =
        fs::read_dir(folder.path().join("man1")).expect("a folder").map(|entry| entry.expect("an entry"));
    let read = |path: PathBuf| fs::read_to_string(path).expect("a page");
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(entry.path()))).collect()
}

/// The variables of ours that the sources below a folder name, tests left out.
fn variables(crates: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| root.join(name).join("src")).collect();
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(path).expect("text");
            let code = text.split("#[cfg(test)]\nmod tests").next().expect("code");
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let is_ours = |word: &&str| word.starts_with("AIP_") && word.len() > 4;
            let in_line = |line: &'_ str| -> Vec<String> {
                let words = line.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
                words.filter(is_ours).map(str::to_owned).collect()
            };
            names.extend(lines.flat_map(in_line));
        }
    }
    names
}

#[test]
fn every_page_has_examples_exit_status_environment_and_files() {
    for (name, at_least) in
        [("aip", 30), ("aip-attest", 30), ("log-server", 10), ("witness", 7), ("monitor", 2)]
    {
        let pages = pages(name);
        assert!(pages.len() >= at_least, "{name}: {} pages", pages.len());
        for (page, text) in &pages {
            assert!(page.starts_with(name) && page.ends_with(".1"), "{page}");
            for section in ["EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
                let heads = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
                let behind =
                    heads.iter().find_map(|head| text.split_once(head.as_str())).map(|(_, behind)| behind);
                assert!(
                    behind.is_some_and(|behind| behind.starts_with(".TP")),
                    "{page} has no {section}\n{text}"
                );
            }
        }
    }
}

/// A variable that is read and not written down is one that surprises.
#[test]
fn every_variable_that_is_read_stands_in_a_manual() {
    for (name, crates) in [
        ("aip", &["aip-attest", "log-client"][..]),
        ("log-server", &["log-server", "service"]),
        ("witness", &["witness", "service"]),
        ("monitor", &["monitor", "log-client", "service"]),
    ] {
        let pages: String = pages(name).into_iter().map(|(_, text)| text.replace("\\_", "_")).collect();
        let read = variables(crates);
        assert!(read.len() > 1, "the check itself works: {read:?}");
        // What another program reads, and this one speaks of.
        let spoken_of: &[&str] = match name {
            "log-server" => &["AIP_WITNESS_DIR"],
            _ => &[],
        };
        for variable in read.iter().filter(|variable| !spoken_of.contains(&variable.as_str())) {
            let stem = if variable.starts_with("AIP_INPUT_") { "AIP_INPUT_" } else { variable };
            assert!(pages.contains(stem), "{name} reads {variable}, and no page of it says so");
        }
    }
}
