//! The program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use service::program;
use witness::{Failure, beside, findings, fsck, init, serve, status};

mod manual;

/// A witness of transparency logs
#[derive(Parser)]
#[command(name = "witness", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "parsed once a process")]
enum Command {
    Init(init::Args),
    Serve(serve::Args),
    Status(status::Args),
    #[command(alias = "evidence")]
    Findings(findings::Args),
    Fsck(fsck::Args),
    Monitor(beside::Args),
    Man(program::ManArgs),
}

fn main() -> ExitCode {
    if let Some(code) = program::told_version(env!("CARGO_PKG_VERSION")) {
        return code;
    }
    let cli = Cli::parse();
    program::log_to_stderr("AIP_LOG_LEVEL");
    program::end(run(cli.command))
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let text = match command {
        Command::Init(args) => init::run(&args)?,
        Command::Serve(args) => serve::run(args).map(|()| String::new())?,
        Command::Status(args) => status::run(&args)?,
        Command::Findings(args) => findings::run(&args)?,
        Command::Fsck(args) => {
            let (text, code) = fsck::run(&args)?;
            program::print(&text)?;
            return Ok(code);
        }
        Command::Man(args) => program::man(&args, Cli::command(), &manual::MANUAL).map(|()| String::new())?,
        // What clap read is not what was typed: it takes a `--` away.
        Command::Monitor(_) => return Err(beside::become_monitor(std::env::args_os().skip(2))),
    };
    program::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
