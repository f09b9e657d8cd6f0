mod sync;

use crate::report::{Console, Exit, Result};

/// Follow pinned logs
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Sync(sync::Args),
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    match args.command {
        Command::Sync(args) => sync::run(args, console),
    }
}
