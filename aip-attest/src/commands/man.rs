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
    let command = super::cli(name);
    let Some(folder) = args.folder else {
        console.raw(&page(command)?);
        return Ok(Exit::Yes);
    };
    durable::create_folder(&folder, Readers::Everyone)?;
    clap_mangen::generate_to(command, &folder)
        .map_err(|error| Failure::new(format!("cannot write to `{}`", folder.display())).caused_by(error))?;
    console.note(format!("the manual pages are in `{}`", folder.display()));
    Ok(Exit::Yes)
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new("cannot make the manual page").caused_by(error))?;
    Ok(page)
}
