//! Who signs a report or a deactivation: the recovery key from its file, else the keys on this machine.

use std::path::PathBuf;
use std::time::Instant;

use attestation::Did;
use attestation::event::Commitment;
use attestation::identity::{Identity as State, Status};
use tlog::key::Ed25519PrivateKey;

use super::log_args::HomeArgs;
use crate::events::{Known, Session};
use crate::keyfile::lock::Lock;
use crate::keyfile::logs::{KeptLog, KeptLogs};
use crate::keyfile::next::Next;
use crate::keyfile::recovery::{self, Recovery};
use crate::keyfile::{self, OwnIdentity};
use crate::report::{Console, Failure, Result};

/// The keys in somebody's hands.
pub(super) enum Hands {
    Recovery(Recovery),
    Machine { identity: Box<OwnIdentity>, next: Box<Next>, keys: Vec<Ed25519PrivateKey>, lock: Lock },
}

impl Hands {
    /// For `command`. The keys on this machine stay as they are until the hands are dropped: another process that
    /// changes them is waited for until `deadline`.
    pub(super) fn find(
        recovery: Option<&PathBuf>,
        command: &str,
        deadline: Instant,
        console: &mut Console,
    ) -> Result<Self> {
        if let Some(path) = recovery {
            return recovery::read(path, console).map(Self::Recovery);
        }
        let (lock, identity, next) = keyfile::load_to_change(command, deadline, no_key, console)?;
        let mut keys = vec![next.key.open(identity.passphrase())?];
        if let Some(under_way) = &next.under_way {
            console.note(format!(
                "a {} was begun here and is not finished: {} finishes it",
                under_way.name(),
                under_way.command()
            ));
            // The next key, if the log has it.
            keys.push(under_way.next.open(identity.passphrase())?);
        }
        Ok(Self::Machine { identity: Box::new(identity), next: Box::new(next), keys, lock })
    }

    pub(super) fn did(&self) -> Did {
        match self {
            Self::Recovery(recovery) => recovery.did,
            Self::Machine { identity, .. } => identity.did,
        }
    }

    /// Meets the log that has the DID, by what is kept of it beside these keys; warns of another one that has it too.
    pub(super) fn open(&self, args: &HomeArgs, deadline: Instant, console: &mut Console) -> Result<Session> {
        let session = self.meet(args, deadline, console)?;
        let elsewhere = match self {
            Self::Recovery(recovery) => {
                recovery.logs.iter().map(KeptLog::origin).find(|origin| *origin != session.origin())
            }
            Self::Machine { next, .. } => next.elsewhere(session.origin()),
        };
        session.warn_of_other_home(elsewhere, "nothing changes by this", console);
        Ok(session)
    }

    fn meet(&self, args: &HomeArgs, deadline: Instant, console: &mut Console) -> Result<Session> {
        match self {
            Self::Recovery(recovery) => {
                // The recovery key is brought from elsewhere, and the machine may know the log.
                let place = keyfile::place().ok();
                let next = place.and_then(|place| Next::peek(&place, recovery.did).ok().flatten());
                open_for(args, recovery, next.as_ref(), deadline, console)
            }
            Self::Machine { next, .. } => args.open(&[&next.logs], next.home(), deadline, console),
        }
    }

    /// The key that the DID committed to: the recovery key, or the next one. Refuses others before the log has to.
    pub(super) fn committed(&self, known: &Known) -> Result<&Ed25519PrivateKey> {
        let state = known.registered()?;
        match self {
            Self::Recovery(recovery) => {
                refuse_other_key(recovery, state, known)?;
                Ok(&recovery.key)
            }
            Self::Machine { next, keys, lock, .. } => {
                let is_next =
                    |key: &&Ed25519PrivateKey| Commitment::to(key.public_key().as_bytes()) == state.next();
                keys.iter().find(is_next).ok_or_else(|| {
                    let failure = Failure::new("the next key here is not the one that the DID committed to")
                        .because(format!("so says the log `{}`, {}", known.origin, known.as_of()));
                    match known.given_up(lock, next) {
                        Some(_) => failure
                            .because("it has a rotation that it had refused, whose keys are kept here")
                            .hint("`aip-attest rotate-key` finishes that; then give this command again"),
                        None => failure.hint("use the recovery key: --recovery FILE"),
                    }
                })
            }
        }
    }
}

/// Meets the log that has the DID of a recovery key, by what is kept of it beside that key and beside the next one.
pub(super) fn open_for(
    args: &HomeArgs,
    recovery: &Recovery,
    next: Option<&Next>,
    deadline: Instant,
    console: &mut Console,
) -> Result<Session> {
    let kept: Vec<&KeptLogs> = [&recovery.logs].into_iter().chain(next.map(|next| &next.logs)).collect();
    let home = recovery.logs.iter().next().or_else(|| next.and_then(Next::home));
    args.open(&kept, home, deadline, console)
}

/// Refuses a recovery key that is not the one the DID committed to.
pub(super) fn refuse_other_key(recovery: &Recovery, state: &State, known: &Known) -> Result<()> {
    if state.status() == Status::Deactivated {
        return Err(Failure::new(format!("{} is deactivated, for ever", known.did))
            .hint("`aip-attest init` makes another"));
    }
    if Commitment::to(recovery.key.public_key().as_bytes()) == state.recovery() {
        return Ok(());
    }
    Err(Failure::new(format!("this is not the recovery key of {} any more, or never was", known.did))
        .because(format!("so says the log `{}`, {}", known.origin, known.as_of()))
        .hint("each recovery made another one: use the newest"))
}

pub(super) fn no_key() -> Failure {
    Failure::new("neither the next key nor the recovery key is here")
        .hint("name the recovery key with --recovery FILE, or run this where `aip-attest init` ran")
}
