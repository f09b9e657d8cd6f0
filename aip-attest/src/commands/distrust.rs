use attestation::event::TrustEvent;

use super::log_args::HomeArgs;
use super::vouch::{AboutArgs, new_id};
use crate::clock;
use crate::keyfile;
use crate::report::{Console, Exit, Result};

/// Warn of a DID: whoever has you as a root gives it no score, in this scope
///
/// It takes the place of a vouch in the same scope, and stays until `revoke`. Of others than roots it changes nothing:
/// strangers cannot talk a score down.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    about: AboutArgs,

    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let event =
        TrustEvent::Distrust { id: new_id()?, issued_at: clock::now_millis(), scope: args.about.scope };
    let logged = args.home.open_for(&identity, console)?.say(&identity, args.about.did, event, console)?;
    args.home.log.print(&logged, console);
    Ok(Exit::Yes)
}
