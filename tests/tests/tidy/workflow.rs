//! CI runs what `.ci/run` runs, by commands that a contributor has, with actions that nobody can exchange.

use std::collections::BTreeSet;

use super::{names, root};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The commands of `./run`: the labels of its last `case`.
fn commands() -> BTreeSet<String> {
    let run = read("run");
    let (_, case) = run.rsplit_once("\ncase $command in\n").expect("the commands");
    let labels = case.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(')'));
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    labels.map(|(label, _)| label.to_owned()).filter(|label| is_label(label)).collect()
}

/// The values of a key in a workflow, without quotes and comments.
fn values(workflow: &str, key: &str) -> Vec<String> {
    let value = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        let value = line.strip_prefix(key)?.strip_prefix(": ")?;
        Some(value.split(" #").next()?.trim().to_owned())
    };
    workflow.lines().filter_map(value).collect()
}

#[test]
fn ci_runs_what_a_contributor_runs() {
    let commands = commands();
    assert!(commands.len() >= 6, "{commands:?}");
    let workflow = read(".github/workflows/ci.yml");
    let (linux, others) = workflow.split_once("\n  command-line:").expect("two jobs");
    let own = read(".ci/run");
    let own: Vec<&str> = own.lines().filter(|line| line.starts_with("./run ")).collect();
    assert_eq!(values(linux, "run"), own, "ci.yml and .ci/run");
    assert_eq!(values(others, "run"), ["./run cli"]);
    for run in [values(linux, "run"), values(others, "run")].concat() {
        let command = run.strip_prefix("./run ").and_then(|rest| rest.split(' ').next()).expect("./run");
        assert!(commands.contains(command), "`{run}`: {commands:?}");
    }
}

/// The commands of `./run` that a page names are there, and CONTRIBUTING.md names them all.
#[test]
fn the_commands_that_pages_name_are_there() {
    let commands = commands();
    let contributing = read("CONTRIBUTING.md");
    for command in &commands {
        assert!(
            contributing.contains(&format!("| `./run {command}` | ")),
            "CONTRIBUTING.md: `./run {command}`"
        );
    }
    for name in names().iter().filter(|name| name.ends_with(".md") && *name != "CHANGELOG.md") {
        // Code only: `./run test`, and lines of a console.
        let page = read(name).replace("$ ./run ", "`./run ");
        for rest in page.split("`./run ").skip(1) {
            let command: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            assert!(
                command.is_empty() || commands.contains(&command),
                "{name}: `./run {command}`: {commands:?}"
            );
        }
    }
}

/// A tag can be moved by whoever owns an action, a commit cannot. Jobs may read the repository and no more.
#[test]
fn actions_are_named_by_their_commits_and_may_only_read() {
    let workflow = read(".github/workflows/ci.yml");
    let uses = values(&workflow, "uses");
    assert!(!uses.is_empty());
    for action in uses {
        let commit = action.split_once('@').map(|(_, commit)| commit).unwrap_or_default();
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_commit, "`{action}` is not named by a commit");
    }
    assert!(workflow.contains("\npermissions:\n  contents: read\n\n"), "permissions of all jobs");
    assert_eq!(workflow.matches("permissions:").count(), 1, "no job has more");
    assert_eq!(
        workflow.matches("actions/checkout@").count(),
        workflow.matches("persist-credentials: false").count()
    );
    assert!(!workflow.contains('\t') && !workflow.contains("secrets."), "plain YAML, and no secret");
}
