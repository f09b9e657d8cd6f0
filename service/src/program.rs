//! How a program begins and ends.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::failure::Failure;

/// Writes what the program says of itself to stderr; the variable says how much (`info`, `debug`, …).
pub fn log_to_stderr(variable: &str) {
    let level = tracing_subscriber::EnvFilter::try_from_env(variable);
    tracing_subscriber::fmt()
        .with_env_filter(level.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Writes data to stdout. One that is full or closed is a failure, not a panic.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::new("cannot write to standard output").caused_by(e))
}

/// The exit code, and on stderr why.
pub fn end(outcome: Result<ExitCode, Failure>) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::from(failure.exit_code())
    })
}
