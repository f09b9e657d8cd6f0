use std::ffi::OsString;

use attestation::Did;
use attestation::event::{FailureReason, TrustEvent};

use super::confirm::digest;
use super::log_args::LogArgs;
use super::vouch::{new_id, one_of};
use crate::keyfile;
use crate::report::{Console, Exit, Result};

/// Report that something of another pipeline's did not verify
///
/// It counts against the other for 180 days, if whoever asks qualified you, or until `withdraw`. One open report by
/// you against one DID: the log refuses a second.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The artifact: a file, or sha256:HEX
    #[arg(value_name = "ARTIFACT")]
    artifact: OsString,

    /// Whose it is
    #[arg(long, visible_alias = "signer", value_name = "DID")]
    did: Did,

    /// What did not verify: digest, receipt, reproduction, signature
    #[arg(long, value_parser = reason)]
    reason: FailureReason,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let (artifact, _) = digest(&args.artifact, &[])?;
    let event = TrustEvent::Failure { id: new_id()?, artifact, reason: args.reason };
    let logged = args.log.open(console)?.say(&identity, args.did, event, console)?;
    args.log.print(&logged, console);
    console.hint(format!("`aip-attest withdraw {} --failure {}` takes it back", args.did, logged.index));
    Ok(Exit::Yes)
}

fn reason(text: &str) -> Result<FailureReason, String> {
    FailureReason::parse(text).ok_or_else(|| one_of(FailureReason::ALL.iter().map(|reason| reason.name())))
}
