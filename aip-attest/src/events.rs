//! Identity and trust events: the state that a log has, an event on its way, the check of the answer.
//!
//! As with receipts, nothing that a log answers is believed before it is verified: a state comes as evidence, an
//! event's answer with the proof that it is in the tree of a checkpoint that the policy believes.

mod change;
pub(crate) mod home;
mod known;
pub(crate) mod message_keys;
mod sending;

use std::path::Path;
use std::time::Instant;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::event::{Capabilities, Event, EventError, IdentityEvent, PendingEvent, TrustEvent};
use attestation::identity::{Status, check_trust_signer};
use tlog::key::Ed25519PrivateKey;
use tlog::{LeafIndex, TreeSize};

use crate::contact::Contact;
use crate::keyfile::OwnIdentity;
use crate::keyfile::logs::{KeptLog, KeptLogs};
use crate::policy_file::pins::Pins;
use crate::report::{Console, Failure, Result};
use crate::submission::refusal;
use crate::target::{Target, Wish};
use crate::word::said;
use crate::word::said::Said;
use crate::{clock, policy_file};

pub(crate) use change::register_on_the_way;
pub(crate) use known::{Known, known, require_current, require_current_by};
use sending::{Sent, send};

/// A log that events go to, for as long as somebody waits for it.
pub(crate) struct Session {
    /// The log.
    pub target: Target,
    pins: Pins,
    deadline: Instant,
    /// The log as its owner says that it is, where one does: what a key's file keeps of it.
    own: Option<KeptLog>,
}

/// An event that is logged, and proved to be.
pub(crate) struct Logged {
    /// The event.
    pub event: Event,
    /// Its place.
    pub index: LeafIndex,
    /// When the log took it.
    pub logged_at: LogTime,
    /// The size of a tree that holds it.
    pub size: TreeSize,
}

impl Session {
    /// Meets the log that is named: as `sign` finds it.
    pub(crate) fn open(
        log: Option<&str>,
        policy: Option<&Path>,
        deadline: Instant,
        console: &mut Console,
    ) -> Result<Self> {
        let pins = Pins::load()?;
        let named = policy_file::named(policy, &pins, console)?;
        let target = Wish::new(log, named, &pins)?.meet_to_submit(&pins, deadline, console)?;
        Ok(Self { target, pins, deadline, own: None })
    }

    /// The log, and what judges it.
    pub(crate) fn contact(&self) -> Contact<'_> {
        Contact { target: &self.target, pins: &self.pins, deadline: self.deadline }
    }

    /// What the log says of a DID now.
    pub(crate) fn known(&self, did: Did, console: &mut Console) -> Result<Known> {
        known(did, self.contact(), console)
    }

    /// Sends an event, and waits until it is proved to be logged.
    pub(crate) fn submit(&self, event: &PendingEvent, console: &mut Console) -> Result<Logged> {
        match send(event, self.contact(), console)? {
            Sent::Logged(logged) => Ok(*logged),
            Sent::Refused(problem) => Err(refusal(&problem)),
        }
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        &self.target.origin
    }

    /// Keeps the log among `logs`, if its owner says which it is.
    pub(crate) fn keep_in(&self, logs: &mut KeptLogs) -> Result<()> {
        self.own.clone().map_or(Ok(()), |log| logs.keep(log))
    }

    /// The same, at the address that is kept already: this one may be a way around for once.
    pub(crate) fn keep_policy_in(&self, logs: &mut KeptLogs) -> Result<()> {
        let Some(log) = self.own.clone() else { return Ok(()) };
        let url = logs.of(log.origin()).filter(|kept| kept.vkey == log.vkey).map(|kept| kept.url.clone());
        logs.keep(KeptLog { url: url.unwrap_or_else(|| log.url.clone()), ..log })
    }

    /// What a DID says of another one now, in each scope.
    pub(crate) fn said(&self, from: Did, to: Did, console: &mut Console) -> Result<Said> {
        let known = self.known(from, console)?;
        let issuer = known.registered()?;
        let mut inquiry = self.contact().inquire(console);
        let lists = inquiry.asking.ask(|client| client.lists(&said::keys(from, to)))?;
        Ok(Said::of(issuer, &lists, clock::now_millis()))
    }

    /// Says something about another DID, after a look whether this key may.
    pub(crate) fn say(
        &self,
        identity: &OwnIdentity,
        subject: Did,
        event: TrustEvent,
        console: &mut Console,
    ) -> Result<Logged> {
        let said = match event {
            TrustEvent::Failure { .. } => "failure report",
            _ => event.name(),
        };
        if subject == identity.did {
            return Err(Failure::new(format!("a {said} is about another DID, and {subject} is your own")));
        }
        let signed = Event::about(subject, identity.did, self.origin(), event.clone())
            .and_then(|event| PendingEvent::sign(event, &[&identity.key]))
            .map_err(|error| Failure::new(format!("cannot make this {said}")).caused_by(error))?;
        let known = self.known(identity.did, console)?;
        let state = known.registered()?;
        known.require_current(identity)?;
        check_trust_signer(Some(state), &signed, &event).map_err(|error| {
            let failure = Failure::new(format!("this key may not log a {said}")).caused_by(error);
            match state.status() {
                Status::Active => failure.hint(lacks(state.capabilities())),
                _ => failure,
            }
        })?;
        self.submit(&signed, console)
    }
}

/// Never more for the key that is here: a CI's key that vouches gives everybody who reaches the build a say in whom others
/// trust.
fn lacks(has: Capabilities) -> String {
    format!(
        "it has {has}. A CI key should not vouch: make another identity for that, on your own machine, \
         `aip-attest --as org init --capabilities messages,receipts,vouches --register`, and say it as that one: \
         `aip-attest --as org …`"
    )
}

/// Signs an identity event.
pub(crate) fn sign(
    did: Did,
    origin: &str,
    event: IdentityEvent,
    keys: &[&Ed25519PrivateKey],
) -> Result<PendingEvent> {
    let name = event.name();
    Event::about_itself(did, origin, event)
        .and_then(|event| PendingEvent::sign(event, keys))
        .map_err(|error| {
            let failure = Failure::new(format!("cannot make the {name}")).caused_by(&error);
            match error {
                EventError::PublicName(_) => failure
                    .hint("the next key's file has it: `aip-attest init --register --public-name NAME` gives another"),
                _ => failure,
            }
        })
}
