use attestation::Did;
use attestation::event::TrustEvent;

use super::confirm::reference;
use super::log_args::LogArgs;
use crate::keyfile;
use crate::report::{Console, Exit, Result};

/// Take back a failure that you reported
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whom the report is against
    #[arg(value_name = "DID")]
    did: Did,

    /// The index of the report, as `report-failure` printed it
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    failure: u64,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let session = args.log.open(console)?;
    let event = TrustEvent::Withdrawal { failure: reference(&session, args.failure) };
    let logged = session.say(&identity, args.did, event, console)?;
    args.log.print(&logged, console);
    Ok(Exit::Yes)
}
