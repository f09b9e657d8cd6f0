use clap_complete::Shell;

use crate::report::{Console, Exit, Result};

/// Print a completion script for a shell
///
/// For example: aip-attest completions bash > /etc/bash_completion.d/aip-attest
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: Args, name: &'static str, console: &mut Console) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::cli(name), name, &mut script);
    console.raw(&script);
    Ok(Exit::Yes)
}
