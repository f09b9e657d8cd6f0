use std::time::Instant;

use attestation::event::{Body, Capabilities, Commitment, IdentityEvent};
use attestation::identity::Status;
use attestation::message::MessagePrivateKey;

use super::init::capabilities;
use super::log_args::HomeArgs;
use crate::events::{self, Known, Logged, Session};
use crate::keyfile::change::{Standing, UnderWay};
use crate::keyfile::next::Next;
use crate::keyfile::{self, OwnIdentity};
use crate::messages::relay::Relay;
use crate::report::{Console, Exit, Failure, Result, counted};

/// Replace the current key by the next one, and make another next one
///
/// The old key counts for nothing from then on; what it signed before stays valid, and so do vouches and history.
/// Needs the credentials file and the next key's file beside it. A rotation that breaks off, at any point, is finished
/// by the same command; one that the log refuses changes nothing here.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the new key may do, instead of what the old one could: messages, receipts, vouches
    #[arg(long, value_name = "LIST", value_parser = capabilities)]
    capabilities: Option<Capabilities>,

    /// Go on while messages wait that only the old key opens, and lose them
    #[arg(long)]
    leave_messages: bool,

    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let deadline = args.home.log.deadline()?;
    let (lock, identity, mut next) = keyfile::load_to_change("rotate-key", deadline, no_next_key, console)?;
    let session = args.home.open(&[&next.logs], next.home(), deadline, console)?;
    session.keep_policy_in(&mut next.logs)?;
    let known = session.known(identity.did, console)?;
    let state = known.registered()?;
    session.warn_of_other_home(next.elsewhere(session.origin()), OLD_KEY_STAYS, console);
    let next = match next
        .under_way
        .as_ref()
        .map(|under_way| (under_way.standing(state, &known.origin), under_way))
    {
        Some((Standing::Logged, under_way)) => {
            console.note(format!("a {} was begun, and the log has it: finishing it", under_way.name()));
            next
        }
        Some((Standing::Open, under_way)) if under_way.is_recovery() => {
            return Err(Failure::new("a recovery was begun here, and the log does not have it")
                .hint(format!("{} finishes it, or makes it anew", under_way.command())));
        }
        Some((Standing::Open, _)) => {
            console.note("a rotation was begun: finishing it");
            next
        }
        Some((Standing::Later, under_way)) => return Err(known.is_behind(under_way)),
        Some((Standing::Passed, _)) | None => match known.given_up(&lock, &next) {
            Some(kept) if !known.matches(&identity) => {
                console.note("the log has a change of keys that it had refused: finishing it");
                next.keep_copy(&lock, console)?;
                kept
            }
            _ => {
                let change = begin(&args, &identity, &next, &known)?;
                if !args.leave_messages && known.registered()?.capabilities().messages {
                    refuse_unread(&session, &identity, deadline, console)?;
                }
                if next.under_way.is_some() {
                    // Another event came first, so that what was begun can never be logged. Its keys are kept all the same.
                    next.keep_copy(&lock, console)?;
                }
                next.begin(&lock, change)?
            }
        },
    };
    let logged = session.finish_change(&identity, &lock, next, &known, console)?;
    args.home.log.print(&logged, console);
    let was_recovery = logged.event.name() == "recovery";
    console.note("the old key counts for nothing from here on");
    if capabilities_of(&logged).is_some_and(|may| may.vouches) {
        console.hint(super::init::keep_home("the new key vouches"));
    } else {
        console.hint("AIP_DID stays; the new key into the CI secret: `aip-attest key export | gh secret set AIP_PRIVATE_KEY`");
    }
    if was_recovery {
        console.note("no rotation was made: give the command again for one");
    }
    as_asked(args.capabilities, &logged)?;
    Ok(Exit::Yes)
}

/// What a change of keys in one log leaves in another one.
pub(super) const OLD_KEY_STAYS: &str = "its key stays the old one, which signs no more here";

/// Refuses to call a change done that was begun before, and gives the new key something else than was asked for now.
pub(super) fn as_asked(asked: Option<Capabilities>, logged: &Logged) -> Result<()> {
    match (asked, capabilities_of(logged)) {
        (Some(asked), Some(capabilities)) if asked != capabilities => {
            let name = logged.event.name();
            Err(Failure::new(format!(
                "the {name} is done as it was begun: the key may {capabilities}, not {asked}"
            ))
            .hint(format!("`aip-attest rotate-key --capabilities {asked}` changes that now")))
        }
        _ => Ok(()),
    }
}

/// What the key may do that a change brought.
pub(super) fn capabilities_of(logged: &Logged) -> Option<Capabilities> {
    match logged.event.body() {
        Body::Identity(
            IdentityEvent::Rotation { capabilities, .. } | IdentityEvent::Recovery { capabilities, .. },
        ) => Some(*capabilities),
        _ => None,
    }
}

/// Refuses while messages wait that only the current key opens: the relay keeps them for at most a week, and nobody
/// would read them.
fn refuse_unread(
    session: &Session,
    identity: &OwnIdentity,
    deadline: Instant,
    console: &mut Console,
) -> Result<()> {
    let key = MessagePrivateKey::of_identity(&identity.key).id();
    let mut relay = Relay::new(&session.target, identity, deadline);
    let go_on = "--leave-messages rotates without a look, and loses them";
    let waiting = relay.waiting_for(key, console).map_err(|failure| {
        failure.because("whether messages wait that only the old key opens is not known").hint(go_on)
    })?;
    match waiting {
        None | Some((0, false)) => Ok(()),
        Some((count, more)) => {
            let (least, wait) =
                if more { ("at least ", "wait") } else { ("", if count == 1 { "waits" } else { "wait" }) };
            Err(Failure::new(format!("{least}{} {wait} that only the old key opens", counted(count, "message")))
                .because("they are sealed to the identity key, which is about to change")
                .hint("read them first: `aip-attest inbox --ack --refused` deletes what it showed or refused; then rotate")
                .hint("`aip-attest message-key rotate` gives those who write to you another key, which no rotation changes")
                .hint(go_on))
        }
    }
}

fn begin(args: &Args, identity: &OwnIdentity, next: &Next, known: &Known) -> Result<UnderWay> {
    let state = known.registered()?;
    let passphrase = identity.passphrase();
    let key = next.key.open(passphrase)?;
    let after = keyfile::new_key()?;
    let rotation = IdentityEvent::Rotation {
        link: state.link(),
        key: *key.public_key().as_bytes(),
        next: Commitment::to(after.public_key().as_bytes()),
        capabilities: args.capabilities.unwrap_or_else(|| state.capabilities()),
    };
    let event = events::sign(identity.did, &known.origin, rotation, &[&identity.key, &key])?;
    // Nothing is written that could not be logged.
    if state.status() == Status::Active {
        known.require_current(identity)?;
        if Commitment::to(key.public_key().as_bytes()) != state.next() {
            return Err(Failure::new("the next key here is not the one that the DID committed to")
                .because(format!("so says the log `{}`, {}", known.origin, known.as_of()))
                .hint(
                    "use the machine that made the last rotation, or `aip-attest recover --recovery FILE`",
                ));
        }
    }
    known.takes(&event)?;
    UnderWay::new(event, &key, &after, None, passphrase)
}

fn no_next_key() -> Failure {
    Failure::new("there is no next key here: a rotation needs it beside the credentials file")
        .hint("rotate on the machine where `aip-attest init` ran; the environment alone cannot")
        .hint("an identity that was made without one gets it by `aip-attest init --register`")
}
