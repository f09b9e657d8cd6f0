use std::path::PathBuf;

use attestation::event::IdentityEvent;
use attestation::identity::Status;

use super::emergency::Hands;
use super::log_args::HomeArgs;
use crate::events;
use crate::report::{Console, Exit, Failure, Result};

/// End an identity, for ever
///
/// What it signed stays valid; it signs no more, its vouches end, and no gate lets it pass. Nothing takes this back, a
/// recovery neither. Signed by the current and the next key on this machine together, or by the recovery key alone: whoever
/// has them can do it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// You mean it
    #[arg(long)]
    yes: bool,

    /// The recovery key's file, instead of the keys on this machine
    #[arg(long, value_name = "FILE")]
    recovery: Option<PathBuf>,

    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let deadline = args.home.log.deadline()?;
    let hands = Hands::find(args.recovery.as_ref(), "deactivate", deadline, console)?;
    if !args.yes {
        return Err(Failure::new(format!(
            "this ends {} for ever, and was not asked for with --yes",
            hands.did()
        ))
        .hint("a stolen or lost key is no reason: `recover` and `rotate-key` keep the identity")
        .hint("read the messages that wait before: an identity that has ended has no mailbox"));
    }
    let session = hands.open(&args.home, deadline, console)?;
    let known = session.known(hands.did(), console)?;
    if known.state.as_ref().is_some_and(|state| state.status() == Status::Deactivated) {
        console.note(format!("it is deactivated already, {}", known.as_of()));
        if let Some(logged) = known.last("deactivation") {
            args.home.log.print(&logged, console);
        }
        return Ok(Exit::Yes);
    }
    let key = hands.committed(&known)?;
    let said = IdentityEvent::Deactivation { link: known.registered()?.link() };
    let event = match &hands {
        Hands::Recovery(recovery) => events::sign(recovery.did, session.origin(), said, &[key]),
        Hands::Machine { identity, .. } => {
            known.require_current(identity)?;
            events::sign(identity.did, session.origin(), said, &[&identity.key, key])
        }
    }?;
    known.takes(&event)?;
    let logged = session.submit(&event, console)?;
    args.home.log.print(&logged, console);
    Ok(Exit::Yes)
}
