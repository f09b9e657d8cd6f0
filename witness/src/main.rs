//! The program.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use witness::{Failure, evidence, init, monitor, serve, status};

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
    Evidence(evidence::Args),
    Monitor(monitor::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = tracing_subscriber::EnvFilter::try_from_env("AIP_LOG_LEVEL");
    tracing_subscriber::fmt()
        .with_env_filter(level.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let outcome = match cli.command {
        Command::Init(args) => init::run(&args).and_then(|policy| print(&policy)),
        Command::Serve(args) => serve::run(args),
        Command::Status(args) => status::run(&args).and_then(|status| print(&status)),
        Command::Evidence(args) => evidence::run(&args).and_then(|evidence| print(&evidence)),
        Command::Monitor(args) => match monitor::run(&args) {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => Err(failure),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::new("cannot write to standard output").caused_by(e))
}
