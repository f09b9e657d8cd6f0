//! The runner: its workflow commands, its files, its event.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::environment;
use crate::receipt_file::read_bounded;
use crate::report::{Console, Failure, Result};

/// The step's output. Annotations are kept to the end, when nothing else is printed any more.
pub(super) struct Runner {
    console: Console,
    token: String,
    annotations: Vec<String>,
}

impl Runner {
    /// From here on the runner takes no line for a command: names of files come from whoever made them.
    pub(super) fn start() -> Result<Self> {
        // One stream, so that no line can overtake the one that stops or allows commands.
        let mut console = Console::new(Box::new(io::stdout()), Box::new(io::stdout()));
        let token = random_word()?;
        console.line(format!("::stop-commands::{token}"));
        Ok(Self { console, token, annotations: Vec::new() })
    }

    /// Where everything but annotations goes.
    pub(super) fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    /// An annotation that the step failed for.
    pub(super) fn error(&mut self, failure: &Failure) {
        self.console.failure(failure);
        self.annotate("error", failure);
    }

    /// An annotation that it did not fail for.
    pub(super) fn warning(&mut self, failure: &Failure) {
        self.console.warn(failure.one_line());
        self.annotate("warning", failure);
    }

    fn annotate(&mut self, level: &str, failure: &Failure) {
        let hint = failure.first_hint().map_or(String::new(), |hint| format!("\nhint: {hint}"));
        let message = escape(&format!("{}{hint}", failure.one_line()));
        self.annotations.push(format!("::{level} title=aip-attest::{message}"));
    }

    /// Allows commands again, and makes ours.
    pub(super) fn finish(mut self) -> Result<()> {
        self.console.line(format!("::{}::", self.token));
        for annotation in &self.annotations {
            self.console.line(annotation);
        }
        self.console.finish()
    }
}

/// Adds to one of the runner's files, named by a variable; there is none outside of a runner.
pub(super) fn append(variable: &str, text: &str) -> Result<()> {
    let Some(path) = environment::path(variable) else { return Ok(()) };
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        Failure::new(format!("cannot write {variable} (`{}`)", path.display())).caused_by(error)
    })
}

/// A folder for files that live as long as the job.
pub(super) fn temporary_folder() -> PathBuf {
    environment::path("RUNNER_TEMP").unwrap_or_else(env::temp_dir)
}

/// A word that nobody could have put into a value.
pub(super) fn random_word() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new("the system gives no random bytes").because(error))?;
    Ok(format!("aip-{}", hex::encode(bytes)))
}

/// Events in which a stranger chooses what is built while the secrets are there.
///
/// `pull_request_target` runs with secrets on the base, and is known for building the head. `workflow_run`
/// does the same for what another workflow left, which may be a fork's.
pub(super) fn refuse_untrusted_event(is_allowed: bool) -> Result<()> {
    let event = environment::var("GITHUB_EVENT_NAME")?.unwrap_or_default();
    let why = match event.as_str() {
        _ if is_allowed => return Ok(()),
        "pull_request_target" => "it runs with secrets, and what it builds may be a stranger's".to_owned(),
        "workflow_run" => match is_workflow_run_of_fork() {
            Ok(false) => return Ok(()),
            Ok(true) => "the run before it was of a fork, and what it left may be a stranger's".to_owned(),
            Err(why) => format!("whether the run before it was of a fork cannot be told: {why}"),
        },
        _ => return Ok(()),
    };
    Err(Failure::new(format!("nothing is signed in the event `{event}`"))
        .because(why)
        .hint("sign in `push` or `release`; if you know what this builds, `allow-untrusted-event: true`"))
}

fn is_workflow_run_of_fork() -> Result<bool, String> {
    let path = environment::path("GITHUB_EVENT_PATH").ok_or("GITHUB_EVENT_PATH is not set")?;
    let event = read_bounded(&path, MAX_EVENT_BYTES).map_err(|error| format!("the event: {error}"))?;
    let event: Value = serde_json::from_slice(&event).map_err(|error| format!("the event: {error}"))?;
    // Numbers, since names can be changed and taken by others.
    let id = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64);
    let head = id("/workflow_run/head_repository/id").ok_or("the event names no head repository")?;
    let here = id("/repository/id").ok_or("the event names no repository")?;
    Ok(head != here)
}

/// The data of a workflow command. What stands before the last `::` is ours.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

const MAX_EVENT_BYTES: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_command_stays_on_its_line() {
        assert_eq!(escape("100%\r\n::error::x"), "100%25%0D%0A::error::x");
    }
}
