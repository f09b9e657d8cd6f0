use std::path::PathBuf;

use attestation::event::{IdentityEvent, Reference};
use attestation::identity::Status;
use tlog::LeafIndex;

use super::emergency::Hands;
use super::log_args::HomeArgs;
use crate::events;
use crate::report::{Console, Exit, Result};

/// Report that the current key is somebody else's too: nothing it logs counts any more
///
/// Signed by the next key on this machine, or by the recovery key: a thief of the current key cannot take it back.
/// From --since on everything the DID logged is void, up to the recovery and for ever: from the inception on, that is its
/// whole past. The DID stays unusable until `recover`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first index that is not yours
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    since: u64,

    /// The recovery key's file, instead of the next key on this machine
    #[arg(long, value_name = "FILE")]
    recovery: Option<PathBuf>,

    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let deadline = args.home.log.deadline()?;
    let hands = Hands::find(args.recovery.as_ref(), "report-compromise", deadline, console)?;
    let session = hands.open(&args.home, deadline, console)?;
    let known = session.known(hands.did(), console)?;
    let key = hands.committed(&known)?;
    let state = known.registered()?;
    let since = LeafIndex::new(args.since);
    let is_known = state.windows().iter().any(|window| window.until.is_none() && window.since <= since);
    if state.status() == Status::Compromised && is_known {
        console.note(format!("that is reported already, {}", known.as_of()));
        if let Some(logged) = known.last("compromise") {
            args.home.log.print(&logged, console);
        }
        return Ok(Exit::Yes);
    }
    let said = IdentityEvent::Compromise {
        link: state.link(),
        since: Reference { origin: session.origin().to_owned(), index: since },
    };
    let event = events::sign(hands.did(), session.origin(), said, &[key])?;
    known.takes(&event)?;
    let logged = session.submit(&event, console)?;
    args.home.log.print(&logged, console);
    console.hint("`aip-attest recover --recovery FILE` makes new keys; until then the DID signs nothing");
    Ok(Exit::Yes)
}
