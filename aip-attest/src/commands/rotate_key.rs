use attestation::event::{Capabilities, Commitment, IdentityEvent};

use super::init::capabilities;
use super::log_args::LogArgs;
use crate::events::{self, Known, Session};
use crate::keyfile::lock::Lock;
use crate::keyfile::next::Next;
use crate::keyfile::{self, Identity};
use crate::report::{Console, Exit, Failure, Result};

/// Replace the current key by the next one, and make another next one
///
/// The old key counts for nothing from then on; what it signed before stays valid, and so do vouches and history.
/// Needs the credentials file and the next key's file beside it. A rotation that breaks off, at any point, is finished
/// by the same command.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the new key may do, instead of what the old one could: messages, receipts, vouches
    #[arg(long, value_name = "LIST", value_parser = capabilities)]
    capabilities: Option<Capabilities>,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let (lock, identity) =
        keyfile::load_to_change("rotate-key", args.log.deadline()?, console)?.ok_or_else(no_next_key)?;
    let next = Next::read(lock.credentials(), identity.did)?.ok_or_else(no_next_key)?;
    let session = args.log.open(console)?;
    let known = session.known(identity.did, console)?;
    let next = match is_under_way(&next, &known)? {
        true => {
            console.note("a rotation was begun: finishing it");
            next
        }
        false => begin(&args, &identity, &lock, next, &known, &session, console)?,
    };
    let logged = session.finish_change(&identity, &lock, next, console)?;
    args.log.print(&logged, console);
    console.note("the old key counts for nothing from here on");
    console.hint("AIP_DID stays; the new key into the CI secret: `aip-attest key export | gh secret set AIP_PRIVATE_KEY`");
    Ok(Exit::Yes)
}

/// Whether a change of keys lies here that the log has, or can still take.
pub(super) fn is_under_way(next: &Next, known: &Known) -> Result<bool> {
    let Some(under_way) = &next.under_way else { return Ok(false) };
    let link = known.registered()?.link();
    let attestation::event::Body::Identity(event) = under_way.event.event().body() else { return Ok(false) };
    Ok(link.previous == under_way.event.hash() || event.link() == Some(link))
}

fn begin(
    args: &Args,
    identity: &Identity,
    lock: &Lock,
    next: Next,
    known: &Known,
    session: &Session,
    console: &mut Console,
) -> Result<Next> {
    let state = known.registered()?;
    known.is_current(identity)?;
    let passphrase = identity.passphrase();
    let key = next.key.open(passphrase)?;
    if Commitment::to(key.public_key().as_bytes()) != state.next() {
        return Err(Failure::new("the next key here is not the one that the DID committed to")
            .because(format!("so says the log `{}`, {}", known.origin, known.as_of()))
            .hint("use the machine that made the last rotation, or `aip-attest recover --recovery FILE`"));
    }
    let after = keyfile::new_key()?;
    let rotation = IdentityEvent::Rotation {
        link: state.link(),
        key: *key.public_key().as_bytes(),
        next: Commitment::to(after.public_key().as_bytes()),
        capabilities: args.capabilities.unwrap_or_else(|| state.capabilities()),
    };
    let event = events::sign(identity.did, session.origin(), rotation, &[&identity.key, &key])?;
    if next.under_way.is_some() {
        // Another event came first, so that what was begun can never be logged. Its keys are kept all the same.
        next.keep_copy(lock, console)?;
    }
    next.begin(lock, event, &key, &after, passphrase)
}

fn no_next_key() -> Failure {
    Failure::new("there is no next key here: a rotation needs it beside the credentials file")
        .hint("rotate on the machine where `aip-attest init` ran; the environment alone cannot")
        .hint("an identity that was made without one gets it by `aip-attest init --register`")
}
