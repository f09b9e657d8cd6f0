//! The repository's own rules, as a test.

mod knots;
mod links;
mod rules;
mod workflow;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The names of the crates that a crate needs, by `cargo tree`.
fn needs(package: &str, depth: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{lib}"])
        .args(["--depth", depth, "--package", package])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Every file that git keeps, by its path below the root, with `/`.
fn names() -> BTreeSet<String> {
    files()
        .iter()
        .map(|path| path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/"))
        .collect()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|own| extensions.contains(&own))
}

/// Every file that git keeps.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().expect("git runs");
    let names = String::from_utf8(output.stdout).expect("names in UTF-8");
    names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| root().join(name))
        .filter(|path| path.is_file())
        .collect()
}

/// A stranger finds each crate's room on one page.
#[test]
fn the_map_names_every_crate() {
    let read = |name| std::fs::read_to_string(root().join(name)).expect("text");
    let workspace: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    assert!(members.len() > 5, "{members:?}");
    let map = read("docs/dev/architecture.md");
    for member in members {
        let member = member.as_str().expect("a folder");
        assert!(
            map.contains(&format!("| [`{member}/`](")),
            "docs/dev/architecture.md has no row for `{member}/`"
        );
    }
}

/// tlog ← attestation ← trust ← {log-server, aip-attest}; attestation ← {witness, monitor}; tlog ← log-client ← {log-server, monitor, aip-attest};
/// tlog ← service ← {log-server, witness, monitor}; manual ← {service, log-server, witness, monitor, aip-attest};
/// trust ← testkit ← {bench, torture, tests}; log-server ← bench ← torture ← tests.
#[test]
fn the_arrows_point_one_way() {
    let ours = [
        "tlog",
        "attestation",
        "trust",
        "manual",
        "service",
        "log_client",
        "log_core",
        "log_rocksdb",
        "log_server",
        "witness",
        "monitor",
        "aip_attest",
        "testkit",
        "simulation",
        "bench",
        "tests",
        "torture",
    ];
    for (package, may_need) in [
        ("tlog", &[][..]),
        ("attestation", &["tlog"]),
        ("trust", &["attestation", "tlog"]),
        ("manual", &[]),
        ("service", &["manual", "tlog"]),
        ("log-client", &["tlog"]),
        ("log-core", &["attestation", "tlog"]),
        ("log-rocksdb", &["attestation", "log_core", "manual", "service", "tlog"]),
        (
            "log-server",
            &["attestation", "log_client", "log_core", "log_rocksdb", "manual", "service", "tlog", "trust"],
        ),
        ("witness", &["attestation", "manual", "service", "tlog"]),
        ("monitor", &["attestation", "log_client", "manual", "service", "tlog"]),
        ("aip-attest", &["attestation", "log_client", "manual", "tlog", "trust"]),
        ("testkit", &["attestation", "tlog", "trust"]),
        (
            "simulation",
            &["attestation", "log_core", "manual", "service", "testkit", "tlog", "trust", "witness"],
        ),
        (
            "bench",
            &[
                "attestation",
                "log_client",
                "log_core",
                "log_rocksdb",
                "log_server",
                "manual",
                "service",
                "testkit",
                "tlog",
                "trust",
            ],
        ),
    ] {
        let needs = needs(package, "99");
        let library = package.replace('-', "_");
        for other in ours.iter().filter(|other| **other != library && needs.iter().any(|need| need == *other))
        {
            assert!(may_need.contains(other), "{package} must not depend on {other}");
        }
    }
}

#[test]
fn the_command_line_builds_without_rocksdb_and_the_core_without_a_runtime() {
    let has = |package: &str, library: &str| needs(package, "99").iter().any(|need| need == library);
    assert!(has("log-server", "rocksdb"), "the check itself works");
    for library in ["rocksdb", "librocksdb_sys", "axum", "utoipa"] {
        assert!(!has("aip-attest", library), "the command line keeps no log and serves nobody: no {library}");
    }
    assert!(!has("log-client", "rocksdb") && !has("log-client", "axum"), "a client serves and keeps nothing");
    assert!(has("witness", "rocksdb"));
    assert!(
        !has("testkit", "rocksdb") && !has("testkit", "librocksdb_sys"),
        "what tests share links no store"
    );
    for library in ["log_client", "rayon", "indicatif", "trust"] {
        assert!(has("monitor", library) || library == "trust");
        assert!(!has("witness", library), "a witness reads no log: no {library}");
    }
    for library in ["mio", "reqwest", "hyper", "axum", "rocksdb", "getrandom", "trust"] {
        assert!(!has("log-core", library), "log-core reaches the world through its ports: no {library}");
    }
    for library in ["tokio", "reqwest", "hyper", "axum", "utoipa", "rocksdb", "getrandom"] {
        assert!(!has("tlog", library), "tlog is pure: no {library}");
        assert!(!has("attestation", library), "attestation is pure: no {library}");
        assert!(!has("trust", library), "trust is pure: no {library}");
    }
}

/// Dependencies stand once, in the workspace, with a reason.
#[test]
fn crates_name_no_versions() {
    for path in files().iter().filter(|path| {
        path.ends_with("Cargo.toml")
            && ["tests/interop", "tests/fuzz"].iter().all(|own| !path.starts_with(root().join(own)))
    }) {
        let text = std::fs::read_to_string(path).expect("a manifest");
        let table: toml::Table = text.parse().expect("TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, dependency) in
                table.get(section).and_then(|section| section.as_table()).into_iter().flatten()
            {
                let inherits = dependency.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherits, "{}: `{name}` must say `workspace = true`", path.display());
            }
        }
    }
}

#[test]
fn nothing_is_left_undone_and_no_file_is_a_bag() {
    // Written in two parts, so that this file keeps its own rule.
    let undone = [["to", "do!("], ["unimpl", "emented!("], ["FIX", "ME"], ["X", "XX"], ["#[ign", "ore"]]
        .map(|parts| parts.concat());
    for path in files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(path).expect("UTF-8");
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        for word in &undone {
            assert!(!text.contains(word.as_str()), "{name}: `{word}`");
        }
        let lines = text.lines().count();
        assert!(lines <= 1_000, "{name} has {lines} lines: it is more than one thing");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(
            !["utils", "util", "helpers", "misc", "manager"].contains(&stem),
            "{name}: a name says what is in it"
        );
    }
}
