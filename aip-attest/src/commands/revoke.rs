use attestation::Did;
use attestation::event::{Scope, TrustEvent};

use super::log_args::LogArgs;
use super::vouch::{new_id, scope};
use crate::clock;
use crate::keyfile;
use crate::report::{Console, Exit, Result};

/// Take back what you said about a DID: a vouch or a warning, in one scope
///
/// It counts from the entry on, wherever a score is computed from a tree that has it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whom
    #[arg(value_name = "DID")]
    did: Did,

    /// For what: GENERAL, CODE_SIGNING, FINANCIAL, INFORMATION, IDENTITY
    #[arg(long, default_value = "CODE_SIGNING", value_parser = scope)]
    scope: Scope,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let event = TrustEvent::Revocation { id: new_id()?, issued_at: clock::now_millis(), scope: args.scope };
    let logged = args.log.open(console)?.say(&identity, args.did, event, console)?;
    args.log.print(&logged, console);
    Ok(Exit::Yes)
}
