//! The program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use log_server::{Failure, backup, erase, fsck, init, mirror, policy, recover, restore, salvage, serve};
use service::program;

mod manual;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    Policy(policy::Args),
    Serve(serve::Args),
    Fsck(fsck::Args),
    Erase(erase::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Mirror(mirror::Args),
    Recover(recover::Args),
    Salvage(salvage::Args),
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
    let line = match command {
        Command::Init(args) => Some(init::run(&args)?),
        Command::Policy(args) => Some(policy::run(&args)?),
        Command::Serve(args) => serve::run(args).map(|()| None)?,
        Command::Fsck(args) => fsck::run(&args).map(|()| None)?,
        Command::Erase(args) => Some(erase::run(&args)?),
        Command::Backup(args) => Some(backup::run(&args)?),
        Command::Restore(args) => Some(restore::run(&args)?),
        Command::Mirror(args) => Some(mirror::run(&args)?),
        Command::Recover(args) => Some(recover::run(&args)?),
        Command::Salvage(args) => Some(salvage::run(&args)?),
        Command::Man(args) => program::man(&args, Cli::command(), &manual::MANUAL).map(|()| None)?,
    };
    line.map_or(Ok(()), |line| program::print(&format!("{line}\n")))?;
    Ok(ExitCode::SUCCESS)
}
