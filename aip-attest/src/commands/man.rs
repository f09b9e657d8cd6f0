use std::path::PathBuf;

use crate::durable::{self, Readers};
use crate::report::{Console, Exit, Failure, Result};

/// Print the manual page, or write the pages of all commands to a folder
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder to write to, one page a command
    folder: Option<PathBuf>,
}

pub(crate) fn run(args: Args, name: &'static str, console: &mut Console) -> Result<Exit> {
    let mut command = super::cli(name);
    command.build();
    let Some(folder) = args.folder else {
        console.raw(&page(command)?);
        return Ok(Exit::Yes);
    };
    let mut commands = vec![(name.to_owned(), command)];
    while let Some((name, command)) = commands.pop() {
        for sub in command.get_subcommands() {
            let name = format!("{name}-{}", sub.get_name());
            commands.push((name.clone(), sub.clone().name(name)));
        }
        let path = folder.join(format!("{name}.1"));
        durable::write(&path, &page(command)?, Readers::Everyone)?;
        console.line(path.display());
    }
    Ok(Exit::Yes)
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new("cannot make the manual page").caused_by(error))?;
    Ok(page)
}
