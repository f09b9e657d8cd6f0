//! The runner: its workflow commands, and its files.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::words::in_words;
use crate::environment;
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
        let mut console = Console::new(Box::new(io::stdout()), Box::new(io::stdout())).in_words(in_words);
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
        let failure = failure.clone().in_words(in_words);
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

/// The data of a workflow command. What stands before the last `::` is ours.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_command_stays_on_its_line() {
        assert_eq!(escape("100%\r\n::error::x"), "100%25%0D%0A::error::x");
    }
}
