//! What the pages say stands in the code too: flags, checks, the workflow that is quoted; and every page is found from the README.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use attestation::manifest;
use attestation::message::{LegacyRefusal, Refusal};
use attestation::receipt::Check;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// README and every page of `docs/`.
fn pages() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs");
    let names = docs.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

/// The help of a command and of all below it.
fn help(program: &Path, path: &[&str], into: &mut String) {
    let output = Command::new(program).args(path).arg("--help").output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // A command's line begins with two spaces, its name and two more.
    let names = text.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  "));
    let names: Vec<&str> =
        names.map(|(name, _)| name).filter(|name| !name.is_empty() && *name != "help").collect();
    for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
    {
        if !name.starts_with('-') {
            help(program, &[path, &[name]].concat(), into);
        }
    }
    into.push_str(&text);
}

/// The flags that a text names: `--` and what follows, where a word begins.
fn flags(text: &str) -> BTreeSet<String> {
    let starts = text
        .match_indices("--")
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c == '-' || c.is_alphanumeric()));
    let words = starts.map(|(at, _)| {
        let word = &text[at + 2..];
        word.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .next()
            .unwrap_or("")
            .trim_end_matches('-')
    });
    words
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(|word| format!("--{word}"))
        .collect()
}

#[test]
fn every_flag_that_a_page_names_exists() {
    // Of Sigstore's cosign, gh, git, cargo, sha256sum, systemd, nginx and apt.
    let others = [
        "--certificate-github-workflow-repository",
        "--certificate-identity",
        "--certificate-oidc-issuer",
        "--check",
        "--insecure-ignore-tlog",
        "--locked",
        "--new-bundle-format",
        "--offline",
        "--path",
        "--predicate",
        "--sha",
        "--type",
        "--body",
        "--full",
        "--quick",
    ];
    let mut known = String::new();
    for program in ["aip-attest", "log-server", "witness", "monitor"] {
        help(&testkit::program(program), &[], &mut known);
    }
    let known = flags(&known);
    assert!(known.len() > 100, "the helps were read: {known:?}");
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page).replace("<!--", "").replace("-->", "");
        let named = flags(&text);
        wrong.extend(
            named
                .into_iter()
                .filter(|flag| !known.contains(flag) && !others.contains(&flag.as_str()))
                .map(|flag| format!("{page}: {flag}")),
        );
    }
    assert!(wrong.is_empty(), "no program has:\n{}", wrong.join("\n"));
}

#[test]
fn every_check_has_its_line() {
    let page = read("docs/checks.md");
    let rows: Vec<&str> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| ")?.split_once(" | ")?.0)).collect();
    let of_manifests = manifest::Check::ALL.map(|check| check.id().to_owned());
    let of_messages = Refusal::RULES.into_iter().chain(LegacyRefusal::RULES).map(str::to_owned);
    for check in Check::ALL.map(|check| check.to_string()).into_iter().chain(of_manifests).chain(of_messages)
    {
        assert!(
            rows.iter().any(|row| row.split(", ").any(|id| id == format!("`{check}`"))),
            "docs/checks.md does not explain `{check}`"
        );
    }
}

#[test]
fn the_workflow_is_quoted_word_for_word() {
    let workflow = format!("```yaml\n{}\n```", read("docs/examples/github.yml").trim_end());
    for page in ["README.md", "docs/github.md"] {
        assert!(read(page).contains(&workflow), "{page} does not quote docs/examples/github.yml");
    }
}

#[test]
fn every_page_is_found_from_the_readme() {
    let readme = read("README.md");
    for page in pages().iter().filter(|page| *page != "README.md") {
        assert!(readme.contains(&format!("({page})")), "README.md does not lead to {page}");
    }
}
