//! What a log says of a DID, verified: its state, and whether our keys are its.

use std::path::Path;

use attestation::Did;
use attestation::api::EvidenceQuery;
use attestation::entry::LogTime;
use attestation::event::{Body, Commitment, Event, IdentityEvent, PendingEvent};
use attestation::evidence::Proven;
use attestation::identity::{Identity as State, StateError};
use tlog::{LeafIndex, TreeSize, UnixTime};

use super::Logged;
use crate::contact::Contact;
use crate::keyfile::OwnIdentity;
use crate::keyfile::next::Next;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Failure, Result};
use crate::word::evidence::Claimed;
use crate::word::{evidence, fresh_evidence};
use crate::{clock, policy_file};

/// What a log says of a DID, verified.
pub(crate) struct Known {
    /// The DID.
    pub did: Did,
    /// Its state; `None`: it is bare.
    pub state: Option<State>,
    /// What its inception commits to: the next and the recovery key.
    pub committed: Option<(Commitment, Commitment)>,
    /// Its identity events.
    pub events: Vec<KnownEvent>,
    /// The log.
    pub origin: String,
    /// As of this size.
    pub size: TreeSize,
    /// As of this time: of the newest cosignature that counts.
    pub time: Option<UnixTime>,
}

/// An identity event in a log.
pub(crate) struct KnownEvent {
    /// Its place.
    pub index: LeafIndex,
    /// The event.
    pub event: Event,
    /// When the log took it.
    pub logged_at: LogTime,
}

impl Known {
    /// What evidence says of a DID.
    pub(crate) fn of(did: Did, proven: &Proven) -> Result<Self> {
        let checkpoint = proven.checkpoint();
        let lacking =
            |error| Failure::refuted(format!("the evidence gives no state of {did}")).caused_by(error);
        let (mut events, mut committed) = (Vec::new(), None);
        for (index, event) in proven.identity_events(did, checkpoint.size).map_err(lacking)? {
            if let Body::Identity(IdentityEvent::Inception { next, recovery, .. }) = event.event().body() {
                committed.get_or_insert((*next, *recovery));
            }
            let logged_at = proven.event(index).map_err(lacking)?.logged_at();
            events.push(KnownEvent { index, event: event.event().clone(), logged_at });
        }
        Ok(Self {
            did,
            state: evidence::state(proven, did)?,
            committed,
            events,
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            time: proven.attested(),
        })
    }

    /// The state of a registered DID.
    pub(crate) fn registered(&self) -> Result<&State> {
        self.state.as_ref().ok_or_else(|| {
            Failure::new(format!("{} is not registered in the log `{}`", self.did, self.origin))
                .because(format!("it has no inception there, {}", self.as_of()))
                .hint("`aip-attest init --register` logs it, on the machine that holds its next key")
        })
    }

    /// Refuses if this DID's inception commits to keys that we do not hold, and we made no inception in this log: someone
    /// with our first key registered it, and holds the keys after it. After a rotation (`is_genesis` is false) we hold none
    /// of the keys that an inception commits to, so nothing is refused then.
    pub(crate) fn require_ours(&self, next: &Next, is_genesis: bool) -> Result<()> {
        let is_home = next.registered.as_ref() == Some(&self.origin);
        let theirs = self.committed.filter(|theirs| *theirs != (next.next, next.recovery));
        if is_home || !is_genesis || theirs.is_none() {
            return Ok(());
        }
        let failure =
            Failure::new(format!("somebody else registered {} with your key", self.did)).because(format!(
                "its inception in the log `{}` commits to a next and a recovery key that are not yours, {}; \
                 your recovery key is worth nothing there",
                self.origin,
                self.as_of()
            ));
        Err(match &next.registered {
            None => failure.hint("stop using this DID, and make another identity: `aip-attest init --force`"),
            Some(home) => failure
                .hint(format!(
                    "somebody has your key: end it in `{home}`, where you can, with `aip-attest rotate-key`"
                ))
                .hint("trust what is in that log alone, and tell whoever gates by this one"),
        })
    }

    /// The last event of this name, such as `deactivation`.
    pub(crate) fn last(&self, name: &str) -> Option<Logged> {
        self.events.iter().rfind(|event| event.event.name() == name).map(|event| self.logged(event))
    }

    pub(super) fn logged(&self, event: &KnownEvent) -> Logged {
        let KnownEvent { index, event, logged_at } = event;
        Logged { event: event.clone(), index: *index, logged_at: *logged_at, size: self.size }
    }

    /// Refuses an identity event that the log would refuse now, before anything is written or sent.
    pub(crate) fn takes(&self, event: &PendingEvent) -> Result<()> {
        let at = LeafIndex::new(self.size.get());
        let Err(error) = State::apply(self.state.as_ref(), event, at) else { return Ok(()) };
        let failure =
            Failure::new(format!("the log `{}` would refuse this {}", self.origin, event.event().name()))
                .caused_by(&error)
                .because(format!("so says its state, {}", self.as_of()));
        Err(match error {
            StateError::Compromised => failure
                .hint("`aip-attest recover --recovery FILE` makes new keys; until then: --recovery FILE"),
            StateError::Deactivated => failure.hint("`aip-attest init --force` makes another identity"),
            StateError::TooManyEvents { .. } => {
                failure.hint("make another identity, and have it vouched for: `aip-attest init --force`")
            }
            _ => failure.hint("`aip-attest whoami` shows its state; nothing was changed"),
        })
    }

    /// `as of size N, <time>`.
    pub(crate) fn as_of(&self) -> String {
        let time = self.time.map_or(String::new(), |time| format!(", {}", clock::rfc3339(time)));
        format!("as of size {}{time}", self.size)
    }

    /// Whether the identity's key is the one that the log has for its DID now.
    pub(crate) fn matches(&self, identity: &OwnIdentity) -> bool {
        match &self.state {
            Some(state) => state.key() == identity.key.public_key().as_bytes(),
            None => identity.is_genesis(),
        }
    }

    /// Refuses a key that is not the DID's now.
    pub(crate) fn require_current(&self, identity: &OwnIdentity) -> Result<()> {
        if self.matches(identity) {
            return Ok(());
        }
        let failure = Failure::new(format!("the key here is not the current key of {}", self.did))
            .because(format!("so says the log `{}`, {}", self.origin, self.as_of()));
        Err(match self.state {
            Some(_) => failure
                .hint("it was rotated: use the new key; `aip-attest key export` on the machine that rotated gives it")
                .hint("a rotation that broke off is finished by `aip-attest rotate-key` there"),
            None => failure.hint("copy DID and key from the same `aip-attest init`"),
        })
    }
}

/// Asks a log for the state of a DID.
pub(crate) fn known(did: Did, contact: Contact<'_>, console: &mut Console) -> Result<Known> {
    let query = EvidenceQuery::state(did);
    let (_, proven) = fresh_evidence::fetch(&query, &mut contact.inquire(console))?;
    Known::of(did, &proven)
}

/// Refuses a key that is not the DID's by the state in a file, as `state export` writes it.
pub(crate) fn require_current_by(
    identity: &OwnIdentity,
    state: &Path,
    policy: Option<&Path>,
    pins: &Pins,
    console: &mut Console,
) -> Result<()> {
    let state = Claimed::read(state)?;
    let policy = match policy_file::named(policy, pins, console)? {
        Some(named) => named,
        None => policy_file::pinned(pins, state.origin())?,
    };
    let proven = state.verify(&policy.policy, pins)?;
    Known::of(identity.did, &proven)?.require_current(identity)
}

/// Refuses to sign with a key that is not the DID's: the first key by itself, a later one by the log's state.
pub(crate) fn require_current(
    identity: &OwnIdentity,
    contact: Contact<'_>,
    console: &mut Console,
) -> Result<()> {
    // A retired first key is refused by the log, with the reason: nobody is asked twice.
    if identity.is_genesis() {
        return Ok(());
    }
    known(identity.did, contact, console)?.require_current(identity)
}
