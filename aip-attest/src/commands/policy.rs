mod check;
mod export;
mod pin;
mod show;
mod unpin;

use crate::report::{Console, Exit, Result};

/// Pin, show, check, export and unpin policies: which logs and witnesses to believe
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Pin(pin::Args),
    Show(show::Args),
    Check(check::Args),
    Export(export::Args),
    Unpin(unpin::Args),
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    match args.command {
        Command::Pin(args) => pin::run(args, console),
        Command::Show(args) => show::run(args, console),
        Command::Check(args) => check::run(args, console),
        Command::Export(args) => export::run(args, console),
        Command::Unpin(args) => unpin::run(args, console),
    }
}
