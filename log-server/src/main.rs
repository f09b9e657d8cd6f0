//! The program.

#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use log_server::{backup, erase, fsck, init, recover, restore, serve};

/// An append-only Merkle log of signed entries
#[derive(Parser)]
#[command(name = "log-server", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "parsed once a process")]
enum Command {
    Init(init::Args),
    Serve(serve::Args),
    Fsck(fsck::Args),
    Erase(erase::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Recover(recover::Args),
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
        Command::Init(args) => init::run(&args).map(|vkey| println!("{vkey}")),
        Command::Serve(args) => serve::run(args),
        Command::Fsck(args) => fsck::run(&args),
        Command::Erase(args) => erase::run(&args).map(|line| println!("{line}")),
        Command::Backup(args) => backup::run(&args).map(|line| println!("{line}")),
        Command::Restore(args) => restore::run(&args).map(|line| println!("{line}")),
        Command::Recover(args) => recover::run(&args).map(|line| println!("{line}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
