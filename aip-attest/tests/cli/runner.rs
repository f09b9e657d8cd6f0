//! Executes `action.yml` the way the runner does: inputs become variables, steps run in bash, what they write
//! to the runner's files becomes outputs, and lines that begin with `::` are commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Map, Value};

use crate::world::{PROGRAM, World};

/// A run of the action.
#[derive(Debug)]
pub(crate) struct Run {
    /// Whether every step passed.
    pub(crate) passed: bool,
    pub(crate) outputs: BTreeMap<String, String>,
    /// The commands that the runner took, with what they say.
    pub(crate) commands: Vec<String>,
    pub(crate) summary: String,
    /// Everything that was printed, by all steps.
    pub(crate) printed: String,
    /// What the steps left for later ones of the job: `NAME=VALUE`.
    pub(crate) job: BTreeMap<String, String>,
    /// The folders that they put before PATH for later ones.
    pub(crate) path: Vec<String>,
    /// The runner's folder for this job, outside of the checkout.
    pub(crate) temp: tempfile::TempDir,
}

impl Run {
    pub(crate) fn expect(&self, passed: bool, parts: &[&str]) -> &Self {
        assert_eq!(self.passed, passed, "{self:#?}");
        let all = format!("{}\n{}", self.commands.join("\n"), self.printed);
        for part in parts {
            assert!(all.contains(part), "{part:?} is not in {self:#?}");
        }
        self
    }
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root")
}

/// `action.yml`.
pub(crate) fn action() -> Value {
    yaml(&fs::read_to_string(root().join("action.yml")).expect("action.yml"))
}

/// Runs the action in `world` with these inputs (`with:`) and variables of the job (`env:`).
pub(crate) fn run(world: &World, with: &[(&str, &str)], job: &[(&str, &str)]) -> Run {
    run_from(world, &root(), with, &[&[("AIP_ATTEST_BIN", PROGRAM)], job].concat())
}

/// As [`run`], from another checkout of the action, and without naming the program.
pub(crate) fn run_from(world: &World, action: &Path, with: &[(&str, &str)], job: &[(&str, &str)]) -> Run {
    let action_yml = self::action();
    let inputs = inputs(&action_yml, with);
    let job: BTreeMap<String, String> =
        job.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut steps: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut run = Run {
        passed: true,
        outputs: BTreeMap::new(),
        commands: Vec::new(),
        summary: String::new(),
        printed: String::new(),
        job: BTreeMap::new(),
        path: Vec::new(),
        temp: tempfile::tempdir().expect("a folder"),
    };
    for step in action_yml["runs"]["steps"].as_array().expect("steps") {
        let evaluate = |text: &str| evaluate(text, &inputs, &job, &steps);
        let file = |name: &str| world.file(&format!(".runner/{name}"), b"");
        let (output, path, summary, later) = (file("output"), file("path"), file("summary"), file("env"));
        let script = step["run"].as_str().expect("a script");
        assert!(!script.contains("${{"), "an input in a script: {script}");
        let mut command = world.command("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]);
        command.env("GITHUB_EVENT_NAME", "push").env("GITHUB_WORKSPACE", world.path("")).envs(&job);
        command.env("PATH", job.get("PATH").map_or("/usr/bin:/bin", String::as_str));
        command
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_ACTION_PATH", action)
            .env("RUNNER_TEMP", run.temp.path());
        command.env("GITHUB_OUTPUT", &output).env("GITHUB_PATH", &path).env("GITHUB_STEP_SUMMARY", &summary);
        command.env("GITHUB_ENV", &later);
        for (name, value) in step["env"].as_object().expect("an environment") {
            command.env(name, evaluate(value.as_str().expect("text")));
        }
        let done = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("bash runs");
        let stdout = String::from_utf8(done.stdout).expect("UTF-8");
        run.printed.push_str(&stdout);
        run.printed.push_str(&String::from_utf8_lossy(&done.stderr));
        run.commands.extend(commands(&stdout));
        run.commands.extend(commands(&String::from_utf8_lossy(&done.stderr)));
        run.summary.push_str(&fs::read_to_string(&summary).expect("a summary"));
        run.job.extend(outputs(&fs::read_to_string(&later).expect("variables")));
        run.path.extend(fs::read_to_string(&path).expect("folders").lines().map(str::to_owned));
        let id = step["id"].as_str().expect("an id").to_owned();
        steps.insert(id, outputs(&fs::read_to_string(&output).expect("outputs")));
        if !done.status.success() {
            run.passed = false;
            break;
        }
    }
    for (name, output) in action_yml["outputs"].as_object().expect("outputs") {
        run.outputs
            .insert(name.clone(), evaluate(output["value"].as_str().expect("text"), &inputs, &job, &steps));
    }
    run
}

/// A step of a workflow that is a script, and what came of it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) code: i32,
    /// The commands that the runner took, with what they say.
    pub(crate) commands: Vec<String>,
    pub(crate) printed: String,
    /// What it wrote to the runner's files: outputs, variables, folders, summary.
    pub(crate) wrote: String,
}

/// Runs the step `- run: …` of a workflow behind the action's `run`, with variables of the job and values of expressions such as
/// `github.sha`. Without a `shell:` that is `bash -e`.
pub(crate) fn script(
    world: &World,
    step: &Value,
    run: &Run,
    job: &[(&str, &str)],
    values: &[(&str, &str)],
) -> Script {
    let evaluate = |text: &str| {
        let mut text = text.to_owned();
        for (name, value) in values {
            text = text.replace(&format!("${{{{ {name} }}}}"), value);
        }
        assert!(!text.contains("${{"), "{text}");
        text
    };
    let mut command = world.command("bash");
    command.args(["-e", "-c", &evaluate(step["run"].as_str().expect("a script"))]);
    command.env("GITHUB_ACTIONS", "true").envs(&run.job).envs(job.iter().copied());
    command.env("PATH", [run.path.join(":").as_str(), "/usr/bin:/bin"].join(":"));
    for (name, value) in step["env"].as_object().into_iter().flatten() {
        command.env(name, evaluate(value.as_str().expect("text")));
    }
    let files = ["GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE"];
    let files = files.map(|name| (name, world.file(&format!(".runner/{name}"), b"")));
    let done = command.envs(files.iter().map(|(name, path)| (name, path))).output().expect("bash runs");
    let printed = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    Script {
        code: done.status.code().expect("an exit code"),
        commands: commands(&printed),
        printed,
        wrote: files.iter().map(|(_, path)| fs::read_to_string(path).expect("a file")).collect(),
    }
}

/// The values of all inputs. One that the action does not have is a mistake in the test.
fn inputs(action: &Value, with: &[(&str, &str)]) -> BTreeMap<String, String> {
    let known = action["inputs"].as_object().expect("inputs");
    let default = |(name, input): (&String, &Value)| {
        (name.clone(), input["default"].as_str().expect("a default").to_owned())
    };
    let mut inputs: BTreeMap<String, String> = known.iter().map(default).collect();
    for (name, value) in with {
        assert!(inputs.insert((*name).to_owned(), (*value).to_owned()).is_some(), "no input {name}");
    }
    inputs
}

/// `${{ a || b }}` of inputs, variables and outputs of steps; anything else is text.
fn evaluate(
    text: &str,
    inputs: &BTreeMap<String, String>,
    job: &BTreeMap<String, String>,
    steps: &BTreeMap<String, BTreeMap<String, String>>,
) -> String {
    let Some(expression) = text.strip_prefix("${{ ").and_then(|text| text.strip_suffix(" }}")) else {
        assert!(!text.contains("${{"), "{text}");
        return text.to_owned();
    };
    let value = |term: &str| -> String {
        let parts: Vec<&str> = term.split('.').collect();
        match parts[..] {
            ["inputs", name] => inputs.get(name).unwrap_or_else(|| panic!("{term}")).clone(),
            ["env", name] => job.get(name).cloned().unwrap_or_default(),
            ["steps", id, "outputs", name] => {
                steps.get(id).and_then(|step| step.get(name)).cloned().unwrap_or_default()
            }
            _ => panic!("{term}"),
        }
    };
    expression.split(" || ").map(value).find(|value| !value.is_empty()).unwrap_or_default()
}

/// `name=value` and `name<<END … END`.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let heredoc = line.split_once("<<").filter(|(name, _)| !name.contains('='));
        if let Some((name, end)) = heredoc {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.insert(name.to_owned(), value.join("\n"));
        } else {
            let (name, value) = line.split_once('=').expect("an output");
            outputs.insert(name.to_owned(), value.to_owned());
        }
    }
    outputs
}

/// The workflow commands among lines, as the runner finds them: also behind spaces, and in the older form
/// anywhere in a line.
fn commands(text: &str) -> Vec<String> {
    let (mut commands, mut stopped) = (Vec::new(), None::<String>);
    for line in text.lines() {
        let command = line.trim_start().starts_with("::").then(|| line.trim_start().to_owned());
        let command = command.or_else(|| line.find("##[").map(|at| line[at..].to_owned()));
        match (command, &stopped) {
            (Some(command), Some(token)) if command == format!("::{token}::") => stopped = None,
            (Some(command), None) => match command.strip_prefix("::stop-commands::") {
                Some(token) => stopped = Some(token.to_owned()),
                None => commands.push(command),
            },
            _ => {}
        }
    }
    commands
}

/// YAML as far as `action.yml` and workflows use it: maps and lists of maps by indentation, scalars in three quotings,
/// texts behind `|`, lists in brackets, comments.
pub(crate) fn yaml(text: &str) -> Value {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .collect();
    let (value, rest) = block(&lines);
    assert!(rest.is_empty(), "{rest:?}");
    value
}

fn block<'a, 'l>(lines: &'a [(usize, &'l str)]) -> (Value, &'a [(usize, &'l str)]) {
    let (indent, first) = lines[0];
    let (mut map, mut list, mut rest) = (Map::new(), Vec::new(), lines);
    while let Some((at, line)) = rest.first().copied().filter(|(at, _)| *at >= indent) {
        assert_eq!(at, indent, "{line}");
        if let Some(item) = line.strip_prefix("- ") {
            // The item is a map of which the first line stands behind the dash.
            let end = rest[1..].iter().position(|(at, _)| *at <= indent).map_or(rest.len(), |end| end + 1);
            let item: Vec<(usize, &str)> =
                [(indent + 2, item)].into_iter().chain(rest[1..end].iter().copied()).collect();
            list.push(block(&item).0);
            rest = &rest[end..];
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        rest = &rest[1..];
        match value.trim() {
            "" => {
                let (inner, after) = block(rest);
                map.insert(name.to_owned(), inner);
                rest = after;
            }
            "|" => {
                let end = rest.iter().position(|(at, _)| *at <= indent).unwrap_or(rest.len());
                let lines: Vec<&str> = rest[..end].iter().map(|(_, line)| *line).collect();
                map.insert(name.to_owned(), lines.join("\n").into());
                rest = &rest[end..];
            }
            value => drop(map.insert(name.to_owned(), flow(value))),
        }
    }
    (if first.starts_with("- ") { list.into() } else { map.into() }, rest)
}

/// A scalar, or scalars in brackets.
fn flow(text: &str) -> Value {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inside) => inside.split(", ").map(scalar).collect(),
        None => scalar(text).into(),
    }
}

fn scalar(text: &str) -> String {
    let inside = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    match (inside('\''), inside('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (_, Some(text)) => text.to_owned(),
        _ => {
            let text = text.split_once(" #").map_or(text, |(text, _)| text.trim_end());
            assert!(!text.contains(": ") && !text.starts_with(['\'', '"']), "no plain scalar: {text}");
            text.to_owned()
        }
    }
}
