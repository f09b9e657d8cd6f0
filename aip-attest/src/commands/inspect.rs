mod describe;
mod finding;
mod tree;

use std::path::PathBuf;

use tlog::key::VerifierKey;

use crate::bounded_file::read_bounded;
use crate::receipt_file;
use crate::report::{Console, Exit, Failure, Result};

/// Print what a file says, believing none of it
///
/// Knows receipts, envelopes, statements, entries (leaves), checkpoints and other signed notes, cosignatures,
/// tlog-proofs, requests to witnesses, policies, findings, vkeys, pins and credentials files (never the key in
/// them). Only the form is checked: `verify` says what is true.
///
/// --finding confirms a finding offline: what its signatures and hashes prove, and what remains the finder's
/// word. The log's keys are those of --policy or --vkey, else of AIP_POLICY, .aip/policy or a pin of this log,
/// else the finding's own.
///
/// Exit codes with --finding: 0 confirmed; 1 its proof does not show what the finding says; 2 it could not
/// be checked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file; or a DID, did:key or vkey itself
    #[arg(value_name = "FILE", required_unless_present = "finding")]
    file: Option<PathBuf>,

    /// Confirm this finding, offline
    #[arg(long, alias = "evidence", value_name = "FILE", conflicts_with = "file")]
    finding: Option<PathBuf>,

    /// The policy that names the log's keys, and witnesses whose times count
    #[arg(long, value_name = "FILE", requires = "finding", conflicts_with = "file")]
    policy: Option<PathBuf>,

    /// The log's key (can be repeated)
    #[arg(long, value_name = "VKEY", requires = "finding", conflicts_with_all = ["policy", "file"])]
    vkey: Vec<VerifierKey>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    if let Some(finding) = &args.finding {
        return finding::confirm(finding, &args, console);
    }
    let file = args.file.unwrap_or_default();
    let described = match read_bounded(&file, receipt_file::MAX_BYTES) {
        Ok(bytes) => describe::file(&bytes)
            .map_err(|failure| failure.because(format!("read from `{}`", file.display()))),
        Err(error) => match file.to_str().and_then(describe::name) {
            Some(described) => Ok(described),
            None => Err(Failure::new(format!("cannot read `{}`", file.display())).caused_by(error)),
        },
    }?;
    if args.json {
        console.json(&described.to_json());
    } else {
        described.print(console);
    }
    Ok(Exit::Yes)
}
