use std::io::IsTerminal as _;

use crate::keyfile::next::Next;
use crate::keyfile::{self, credentials};
use crate::report::{Console, Exit, Result};

/// Take the key elsewhere
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(ExportArgs),
}

/// Print the private key, for the secret store of a CI system
///
/// The only command that prints a key: the current one, and none while a rotation or a recovery is not finished. Pipe it,
/// so that it stays out of files, histories and screens:
///
///   aip-attest key export | gh secret set AIP_PRIVATE_KEY
///   aip-attest whoami --json | jq -r .did | gh secret set AIP_DID
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct ExportArgs {}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let Command::Export(ExportArgs {}) = args.command;
    let identity = keyfile::load_to_export(console)?;
    let next = identity.file().map_or(Ok(None), |path| Next::peek(path, identity.did))?;
    if next.is_some_and(|next| next.capabilities.vouches) {
        console.warn(super::init::keep_home("this key vouches"));
    }
    console.secret(&credentials::encode_private_key(&identity.key));
    if std::io::stdout().is_terminal() {
        console.warn("whoever sees this key signs in your name");
        console.hint("pipe it instead: `aip-attest key export | gh secret set AIP_PRIVATE_KEY`");
    }
    Ok(Exit::Yes)
}
