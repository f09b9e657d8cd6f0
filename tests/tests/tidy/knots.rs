//! Modules of a crate stand above each other: none needs one that needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who needs whom among a crate's modules, and the files that say so.
type Needs = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The crates whose modules make no circle.
const CRATES: [&str; 7] = ["attestation", "log-client", "manual", "monitor", "service", "tlog", "trust"];

#[test]
fn no_module_needs_one_that_needs_it() {
    let mut read = 0;
    for package in CRATES {
        let needs = needs(&super::root().join(package).join("src"));
        for (module, needed) in &needs {
            read += needed.len();
            for (other, files) in needed {
                assert!(
                    !reaches(&needs, other, module),
                    "{package}: `{module}` needs `{other}` in {files:?}, which needs `{module}`"
                );
            }
        }
    }
    assert!(read > 100, "{read}: the modules were read");
}

#[test]
fn a_knot_is_seen_however_it_is_spelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    };
    write(
        "lib.rs",
        "mod a;\npub mod b;\npub(crate) mod c;\nmod d;\n\npub use b::{Bread, Butter};\npub use c::Cheese;\n",
    );
    write("a.rs", "use crate::{\n    d,\n    Butter,\n};\n");
    write("b.rs", "/// Not [`crate::a`].\nmod inner;\n#[cfg(test)]\nmod tests {\n    use crate::d;\n}\n");
    write("b/inner.rs", "use super::super::Cheese;\nuse super::a;\n");
    write("b/tests.rs", "use crate::a;\n");
    write("c.rs", "fn f() -> super::d::D {}\n");
    write("d.rs", "// crate::a\n");
    let needs = needs(folder.path());
    let list =
        |module: &str| needs.get(module).map(|needed| needed.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(list("a"), Some(vec!["b", "d"]));
    assert_eq!(list("b"), Some(vec!["c"]));
    assert_eq!(list("c"), Some(vec!["d"]));
    assert_eq!(list("d"), None);
    assert!(reaches(&needs, "a", "d") && !reaches(&needs, "d", "a"));
}

/// Whether a module needs another one, by however many between.
fn reaches(needs: &Needs, from: &str, to: &str) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            left.extend(needs.get(module).into_iter().flatten().map(|(needed, _)| needed.as_str()));
        }
    }
    false
}

/// What the modules at the top of a crate need of each other. Tests are left out, they may use anything; so is what the crate's
/// root defines itself.
fn needs(src: &Path) -> Needs {
    let root = code(&src.join("lib.rs"));
    let modules: BTreeSet<&str> = root
        .lines()
        .filter_map(|line| {
            line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        })
        .filter_map(|(_, name)| name.strip_suffix(';'))
        .collect();
    // What the root offers of a module, by its name.
    let offers: BTreeMap<&str, &str> = root
        .split(';')
        .filter_map(|statement| statement.trim().strip_prefix("pub use ")?.split_once("::"))
        .filter(|(module, _)| modules.contains(module))
        .flat_map(|(module, names)| words(names).map(move |name| (name, module)))
        .collect();
    let mut needs = Needs::new();
    for module in &modules {
        let mut files = vec![(src.join(format!("{module}.rs")), 1)];
        add_files(&src.join(module), 2, &mut files);
        for (file, depth) in
            files.into_iter().filter(|(file, _)| file.is_file() && !file.ends_with("tests.rs"))
        {
            let code = code(&file);
            let from_root = [format!("{}::", vec!["super"; depth].join("::")), "crate::".to_owned()];
            let paths = from_root.iter().flat_map(|start| paths(&code, start));
            for name in paths.flat_map(words) {
                let needed = modules.get(name).or_else(|| offers.get(name)).copied();
                if let Some(needed) = needed.filter(|needed| needed != module) {
                    let files =
                        needs.entry((*module).to_owned()).or_default().entry(needed.to_owned()).or_default();
                    files.insert(file.strip_prefix(src).expect("below it").display().to_string());
                }
            }
        }
    }
    needs
}

/// The files of a module's folder, with how often `super` leads from each to the crate's root.
fn add_files(folder: &Path, depth: usize, files: &mut Vec<(PathBuf, usize)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            add_files(&path, depth + 1, files);
        } else {
            files.push((path, depth));
        }
    }
}

/// A file without comments, and without the tests at its end.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("text");
    let code = text.split("#[cfg(test)]\nmod tests {").next().expect("a beginning");
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// What stands behind `start` wherever that begins a path: one name, or the names in braces.
fn paths<'a>(code: &'a str, start: &str) -> Vec<&'a str> {
    let begins = |at: &usize| !code[..*at].ends_with(|c: char| c == ':' || c == '_' || c.is_alphanumeric());
    let ends = |text: &'a str| match text.strip_prefix('{') {
        Some(names) => names.split(';').next().unwrap_or_default(),
        None => words(text).next().unwrap_or_default(),
    };
    code.match_indices(start)
        .filter(|(at, _)| begins(at))
        .map(|(at, _)| ends(&code[at + start.len()..]))
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty())
}
