//! What the layout of the crate promises: who may open a socket, read the clock, the environment, or print.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each source file by its path below `src`, without comments and tests.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            let code = text.split("#[cfg(test)]\nmod tests").next().expect("code");
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let name = path.strip_prefix(&root).expect("inside").to_string_lossy();
            let name = name.replace(std::path::MAIN_SEPARATOR, "/");
            files.insert(name, lines.collect::<Vec<_>>().join("\n"));
        }
    }
    files
}

#[test]
fn what_touches_the_world_is_in_one_place_each() {
    for (what, allowed) in [
        ("reqwest", &["client"][..]),
        ("TcpStream", &[]),
        ("SystemTime::now", &["clock.rs"]),
        ("env::var", &["environment.rs", "ci_env.rs"]),
        ("println!", &[]),
        ("eprint", &[]),
        (
            "io::stdout",
            &["report.rs", "commands/key.rs", "commands/message_key.rs", "commands/github_action/runner.rs"],
        ),
        ("process::exit", &[]),
        ("unsafe {", &[]),
    ] {
        for (file, code) in sources() {
            assert!(
                !code.contains(what) || allowed.iter().any(|allowed| file.starts_with(allowed)),
                "{what} in {file}"
            );
        }
    }
}

/// The module that a file is of. Those in `word` are told apart: `verify` stands on one of them alone.
fn module(file: &str) -> String {
    let mut names = file.split(['/', '.']);
    match (names.next().expect("a name"), names.next()) {
        ("word", Some(inside)) if inside != "rs" => format!("word::{inside}"),
        (name, _) => name.to_owned(),
    }
}

/// `verify` opens no socket: nothing that it stands on, directly or not, is the client or uses it.
#[test]
fn verify_stands_on_nothing_that_opens_a_socket() {
    let sources = sources();
    let uses = |code: &str| -> BTreeSet<String> {
        let paths = code.split("crate::").skip(1);
        paths
            .map(|rest| {
                let mut names = rest.split("::").map(|rest| {
                    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().expect("a name")
                });
                match (names.next().expect("a name"), names.next()) {
                    ("word", Some(inside)) => format!("word::{inside}"),
                    (name, _) => name.to_owned(),
                }
            })
            .collect()
    };
    let verify = sources.iter().filter(|(file, _)| file.starts_with("commands/verify"));
    let mut reached: BTreeSet<String> = verify.flat_map(|(_, code)| uses(code)).collect();
    loop {
        let modules = sources
            .iter()
            .filter(|(file, _)| reached.contains(&module(file)) && !file.starts_with("commands"));
        let more: BTreeSet<String> = modules.flat_map(|(_, code)| uses(code)).collect();
        if more.is_subset(&reached) {
            break;
        }
        reached.extend(more);
    }
    let [verify, _] = map();
    assert_eq!(reached, verify, "what `verify` reaches, and what the map at the head of lib.rs says");
}

/// The map at the head of `lib.rs` has every module, once.
#[test]
fn the_map_of_the_crate_is_whole() {
    let there: BTreeSet<String> = sources().keys().map(|file| module(file)).collect();
    let programs = ["aip", "commands", "lib", "main", "word"].map(str::to_owned);
    let [verify, others] = map();
    assert!(verify.is_disjoint(&others), "{verify:?} {others:?}");
    let mapped: BTreeSet<String> = verify.into_iter().chain(others).chain(programs).collect();
    assert_eq!(mapped, there);
}

/// The modules in the map at the head of `lib.rs`: those that `verify` stands on, and the others.
fn map() -> [BTreeSet<String>; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(path).expect("text");
    let map = text.split("```").nth(1).expect("a map");
    let groups: Vec<BTreeSet<String>> = map
        .split("\n//!\n")
        .skip(1)
        .map(|group| group.lines().filter_map(|line| line.strip_prefix("//!   ")?.split(' ').next()))
        .map(|names| names.map(str::to_owned).collect())
        .collect();
    groups.try_into().expect("two groups")
}
