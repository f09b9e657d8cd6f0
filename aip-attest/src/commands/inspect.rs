mod describe;
mod tree;

use std::path::PathBuf;

use crate::receipt_file::{self, read_bounded};
use crate::report::{Console, Exit, Failure, Result};

/// Print what a file says, believing none of it
///
/// Knows receipts, envelopes, statements, entries (leaves), checkpoints and other signed notes, tlog-proofs,
/// policies, vkeys, pins and credentials files (never the key in them). Only the form is checked: `verify`
/// says what is true.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file; or a DID, did:key or vkey itself
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let described = match read_bounded(&args.file, receipt_file::MAX_BYTES) {
        Ok(bytes) => describe::file(&bytes)
            .map_err(|failure| failure.because(format!("read from `{}`", args.file.display()))),
        Err(error) => match args.file.to_str().and_then(describe::name) {
            Some(described) => Ok(described),
            None => Err(Failure::new(format!("cannot read `{}`", args.file.display())).caused_by(error)),
        },
    }?;
    if args.json {
        console.json(&described.to_json());
    } else {
        described.print(console);
    }
    Ok(Exit::Yes)
}
