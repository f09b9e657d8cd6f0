//! The program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use monitor::{Args, Failure};
use service::program::{self, ManArgs};

mod manual;

fn main() -> ExitCode {
    if let Some(code) = program::told_version(env!("CARGO_PKG_VERSION")) {
        return code;
    }
    let called = command().get_matches();
    program::log_to_stderr("AIP_LOG_LEVEL");
    program::end(run(&called))
}

/// What may be typed: the flags that follow a log, or `man`.
fn command() -> Command {
    Args::augment_args(Command::new("monitor").version(env!("CARGO_PKG_VERSION")))
        .subcommand(ManArgs::augment_args(Command::new("man")))
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
}

fn run(called: &ArgMatches) -> Result<ExitCode, Failure> {
    match called.subcommand_matches("man") {
        Some(man) => {
            let args = ManArgs::from_arg_matches(man).unwrap_or_else(|error| error.exit());
            program::man(&args, command(), &manual::MANUAL).map(|()| ExitCode::SUCCESS)
        }
        None => {
            let args = Args::from_arg_matches(called).unwrap_or_else(|error| error.exit());
            monitor::run(&args).map(ExitCode::from)
        }
    }
}
