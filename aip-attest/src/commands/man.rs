mod manual;

use std::path::PathBuf;

use self::manual::MANUAL;
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
    let cannot = |error| Failure::new("cannot make the manual pages").caused_by(error);
    let Some(folder) = args.folder else {
        console.raw(&::manual::page(command, &MANUAL).map_err(cannot)?);
        return Ok(Exit::Yes);
    };
    durable::create_folder(&folder, Readers::Everyone)?;
    for (name, page) in ::manual::pages(command, &MANUAL).map_err(cannot)? {
        durable::write(&folder.join(name), &page, Readers::Everyone)?;
    }
    console.note(format!("the manual pages are in `{}`", folder.display()));
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use super::super::{LONG_NAME, cli};
    use super::*;

    #[test]
    fn every_command_has_examples_and_every_example_parses() {
        assert_eq!(MANUAL.unfit(&cli(LONG_NAME)), [""; 0]);
    }
}
