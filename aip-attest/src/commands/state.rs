mod export;

use crate::report::{Console, Exit, Result};

/// Carry the state of a DID to machines without a network
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(export::Args),
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    match args.command {
        Command::Export(args) => export::run(args, console),
    }
}
