//! How a program begins and ends.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use manual::Manual;
use tlog::key::signature_backend;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::durable;
use crate::failure::Failure;

/// Writes what the program says of itself to stderr; the variable says how much (`info`, `debug`, `info,hyper=warn`, …).
pub fn log_to_stderr(variable: &str) {
    let asked = std::env::var(variable).ok().filter(|text| !text.is_empty());
    let level = asked.and_then(|text| text.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let level = level.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    tracing_subscriber::registry().with(lines).with(level).init();
}

/// Answers `--version --verbose`, if that is what was typed.
pub fn told_version(version: &str) -> Option<ExitCode> {
    let facts = [("signatures", signature_backend())];
    let text = manual::version(std::env::args_os(), version, &facts)?;
    Some(end(print(&text).map(|()| ExitCode::SUCCESS)))
}

/// Print the manual page, or write the pages of all commands to a folder
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// The folder to write to, one page a command
    folder: Option<PathBuf>,
}

/// Prints the manual page of the program, or writes all pages.
pub fn man(args: &ManArgs, program: clap::Command, manual: &Manual) -> Result<(), Failure> {
    let cannot = |e: io::Error| Failure::new("cannot make the manual pages").caused_by(e);
    let Some(folder) = &args.folder else {
        let page = manual::page(program, manual).map_err(cannot)?;
        return print(&String::from_utf8_lossy(&page));
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    for (name, page) in manual::pages(program, manual).map_err(cannot)? {
        durable::replace(&folder.join(name), &page).map_err(cannot)?;
    }
    Ok(())
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
