//! Who signs a report or a deactivation: the recovery key from its file, else the keys on this machine.

use std::path::PathBuf;
use std::time::Instant;

use attestation::Did;
use attestation::event::Commitment;
use tlog::key::Ed25519PrivateKey;

use super::recover::refuse_other_key;
use crate::events::Known;
use crate::keyfile::lock::Lock;
use crate::keyfile::next::Next;
use crate::keyfile::recovery::{self, Recovery};
use crate::keyfile::{self, Identity};
use crate::report::{Console, Failure, Result};

/// The keys in somebody's hands.
pub(super) enum Hands {
    Recovery(Recovery),
    Machine { identity: Box<Identity>, next: Ed25519PrivateKey, _lock: Lock },
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
            return recovery::read(path).map(Self::Recovery);
        }
        let (lock, identity) = keyfile::load_to_change(command, deadline, console)?.ok_or_else(no_key)?;
        let next = Next::read(lock.credentials(), identity.did)?.ok_or_else(no_key)?;
        if next.under_way.is_some() {
            console.note(
                "a change of keys was begun here and is not finished: `aip-attest rotate-key` finishes it",
            );
        }
        let next = next.key.open(identity.passphrase())?;
        Ok(Self::Machine { identity: Box::new(identity), next, _lock: lock })
    }

    pub(super) fn did(&self) -> Did {
        match self {
            Self::Recovery(recovery) => recovery.did,
            Self::Machine { identity, .. } => identity.did,
        }
    }

    /// Refuses keys that are not the DID's, before the log has to.
    pub(super) fn check(&self, known: &Known) -> Result<()> {
        let state = known.registered()?;
        match self {
            Self::Recovery(recovery) => refuse_other_key(recovery, state, known),
            Self::Machine { next, .. } if Commitment::to(next.public_key().as_bytes()) == state.next() => {
                Ok(())
            }
            Self::Machine { .. } => {
                Err(Failure::new("the next key here is not the one that the DID committed to")
                    .because(format!("so says the log `{}`, {}", known.origin, known.as_of()))
                    .hint("use the recovery key: --recovery FILE"))
            }
        }
    }
}

pub(super) fn no_key() -> Failure {
    Failure::new("neither the next key nor the recovery key is here")
        .hint("name the recovery key with --recovery FILE, or run this where `aip-attest init` ran")
}
