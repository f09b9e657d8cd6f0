//! Whose key it is: the state of a DID, a pure function of its identity events in log order
//! (`specs/identity.md`).
//!
//! ```text
//!            inception            compromise
//!   (bare) ────────────► active ────────────► compromised
//!                         │  ▲ rotation, recovery  │  │
//!                         │  └──────── recovery ───┘  │
//!                         └──────► deactivated ◄──────┘
//! ```
//! In scope: which event follows which, and what a state allows. Out of scope: signatures, which are checked
//! before ([`PendingEvent::verify`]); what vouches are worth (`trust`).

use tlog::LeafIndex;

use crate::did::Did;
use crate::event::{Body, Capabilities, Commitment, IdentityEvent, Link, PendingEvent, RawKey, TrustEvent};
use crate::logged::ClaimHash;

/// The most identity events of a DID.
pub const MAX_EVENTS: u32 = 256;

/// The last of them take only events whose first signer is the recovery key, so that a thief of the other keys cannot use
/// up the events that take the DID back.
pub const RECOVERY_EVENTS: u32 = 8;

/// The 8 before those are closed to rotations.
pub const EMERGENCY_EVENTS: u32 = 8;

/// The state of a registered DID in one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    did: Did,
    status: Status,
    keys: Vec<KeyPeriod>,
    next: Commitment,
    recovery: Commitment,
    capabilities: Capabilities,
    public_name: Option<String>,
    events: u32,
    last: ClaimHash,
    windows: Vec<Window>,
    recovered: Option<LeafIndex>,
}

/// Where a registered DID stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Its current key counts.
    Active,
    /// Reported, not recovered: nothing counts.
    Compromised,
    /// It ended.
    Deactivated,
}

impl Status {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Compromised => "compromised",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A key, and the event after which it is current.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyPeriod {
    /// The key.
    pub key: RawKey,
    /// The event that made it current.
    pub from: LeafIndex,
}

/// What a DID logged from `since` to before `until` is void.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// The first index of it.
    pub since: LeafIndex,
    /// The recovery that ended it; `None`: it is open.
    pub until: Option<LeafIndex>,
}

impl Window {
    /// Whether the window covers the entry at `index`.
    pub fn covers(&self, index: LeafIndex) -> bool {
        self.since <= index && self.until.is_none_or(|until| index < until)
    }
}

impl Identity {
    /// The state after an identity event at `index`, whose signatures the caller has checked; `before` is the
    /// state of its DID, `None` if it has none.
    pub fn apply(before: Option<&Self>, event: &PendingEvent, index: LeafIndex) -> Result<Self, StateError> {
        let Body::Identity(body) = event.event().body() else {
            return Err(StateError::NotIdentity);
        };
        match (before, body.link()) {
            (None, None) => Self::incept(event, body, index),
            (None, Some(_)) => Err(StateError::NotRegistered),
            (Some(_), None) => Err(StateError::Registered),
            (Some(before), Some(link)) => before.step(event, body, link, index),
        }
    }

    /// The state after all of `events`, which are of one DID and in log order. An event that does not follow is skipped: a
    /// log that takes it breaks a rule, and changes nothing by that.
    pub fn fold<'e>(events: impl IntoIterator<Item = (LeafIndex, &'e PendingEvent)>) -> Option<Self> {
        let step = |state: Option<Self>, (index, event)| match Self::apply(state.as_ref(), event, index) {
            Ok(after) => Some(after),
            Err(_) => state,
        };
        events.into_iter().fold(None, step)
    }

    fn incept(event: &PendingEvent, body: &IdentityEvent, index: LeafIndex) -> Result<Self, StateError> {
        let IdentityEvent::Inception { key, next, recovery, capabilities, public_name } = body else {
            return Err(StateError::NotRegistered);
        };
        let did = event.event().issuer();
        if Did::of_raw(key) != did {
            return Err(StateError::NotGenesisKey { did, key_did: Did::of_raw(key) });
        }
        signed_by(event, &[Signer::Key(key)])?;
        Ok(Self {
            did,
            status: Status::Active,
            keys: vec![KeyPeriod { key: *key, from: index }],
            next: *next,
            recovery: *recovery,
            capabilities: *capabilities,
            public_name: public_name.clone(),
            events: 1,
            last: event.hash(),
            windows: Vec::new(),
            recovered: None,
        })
    }

    fn step(
        &self,
        event: &PendingEvent,
        body: &IdentityEvent,
        link: Link,
        index: LeafIndex,
    ) -> Result<Self, StateError> {
        self.check_place(event, body, link)?;
        let mut after = self.clone();
        after.events += 1;
        after.last = event.hash();
        let (current, next, recovery) =
            (Signer::Key(self.key()), Signer::Committed(self.next), Signer::Committed(self.recovery));
        match body {
            IdentityEvent::Inception { .. } => return Err(StateError::Registered),
            IdentityEvent::Rotation { key, next: then, capabilities, .. } => {
                if Commitment::to(key) != self.next {
                    return Err(StateError::NotNextKey);
                }
                signed_by(event, &[current, Signer::Key(key)])?;
                after.take_key(key, *then, self.recovery, index)?;
                after.capabilities = *capabilities;
            }
            IdentityEvent::Recovery { key, next: then, recovery: later, capabilities, since, .. } => {
                signed_by(event, &[recovery, Signer::Key(key)])?;
                self.check_since(since.index, index)?;
                after.take_key(key, *then, *later, index)?;
                after.capabilities = *capabilities;
                after.status = Status::Active;
                after.windows.iter_mut().for_each(|window| {
                    window.until.get_or_insert(index);
                });
                after.windows.push(Window { since: since.index, until: Some(index) });
                after.recovered = Some(index);
            }
            IdentityEvent::Compromise { since, .. } => {
                signed_by(event, &[recovery]).or_else(|_| signed_by(event, &[next]))?;
                self.check_since(since.index, index)?;
                after.status = Status::Compromised;
                after.windows.push(Window { since: since.index, until: None });
            }
            IdentityEvent::Deactivation { .. } => {
                signed_by(event, &[recovery]).or_else(|_| signed_by(event, &[current, next]))?;
                after.status = Status::Deactivated;
            }
        }
        Ok(after)
    }

    /// Whether an event may come here at all.
    fn check_place(&self, event: &PendingEvent, body: &IdentityEvent, link: Link) -> Result<(), StateError> {
        if event.event().issuer() != self.did {
            return Err(StateError::OtherDid);
        }
        let rotation = matches!(body, IdentityEvent::Rotation { .. });
        let by_recovery = event.keys().next().is_some_and(|key| Commitment::to(key) == self.recovery);
        match self.status {
            Status::Deactivated => return Err(StateError::Deactivated),
            // Each event moves the link. So a thief of the other keys can report once, and then is in nobody's way.
            Status::Compromised if rotation || !by_recovery => return Err(StateError::Compromised),
            Status::Compromised | Status::Active => (),
        }
        if link != self.link() {
            return Err(StateError::NotNext { want: self.events, got: link.sequence });
        }
        let (kind, most) = if rotation {
            ("a rotation", MAX_EVENTS - RECOVERY_EVENTS - EMERGENCY_EVENTS)
        } else if by_recovery {
            ("an event", MAX_EVENTS)
        } else {
            ("an event that the recovery key does not sign", MAX_EVENTS - RECOVERY_EVENTS)
        };
        let events = self.events;
        if events < most { Ok(()) } else { Err(StateError::TooManyEvents { kind, most, events }) }
    }

    fn check_since(&self, since: LeafIndex, index: LeafIndex) -> Result<(), StateError> {
        let inception = self.keys[0].from;
        if (inception..=index).contains(&since) {
            Ok(())
        } else {
            Err(StateError::Since { since, inception, index })
        }
    }

    fn take_key(
        &mut self,
        key: &RawKey,
        next: Commitment,
        recovery: Commitment,
        index: LeafIndex,
    ) -> Result<(), StateError> {
        if self.keys.iter().any(|period| period.key == *key) {
            return Err(StateError::OldKey);
        }
        let committed = Commitment::to(key);
        if committed == next || committed == recovery || next == recovery {
            return Err(StateError::SameKey);
        }
        self.keys.push(KeyPeriod { key: *key, from: index });
        (self.next, self.recovery) = (next, recovery);
        Ok(())
    }

    /// The DID.
    pub fn did(&self) -> Did {
        self.did
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Its current key, the last one if it is deactivated.
    pub fn key(&self) -> &RawKey {
        &self.keys[self.keys.len() - 1].key
    }

    /// Its keys, the genesis key first; never empty.
    pub fn keys(&self) -> &[KeyPeriod] {
        &self.keys
    }

    /// The key that comes next.
    pub fn next(&self) -> Commitment {
        self.next
    }

    /// The key that undoes a theft.
    pub fn recovery(&self) -> Commitment {
        self.recovery
    }

    /// What its key may do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The name that its owner made public. Nobody checks it.
    pub fn public_name(&self) -> Option<&str> {
        self.public_name.as_deref()
    }

    /// What the next identity event carries.
    pub fn link(&self) -> Link {
        Link { sequence: self.events, previous: self.last }
    }

    /// What is void.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The inception.
    pub fn since(&self) -> LeafIndex {
        self.keys[0].from
    }

    /// The last recovery: history counts from there.
    pub fn recovered(&self) -> Option<LeafIndex> {
        self.recovered
    }

    /// Whether what the DID logged at `index` is void.
    pub fn is_void(&self, index: LeafIndex) -> bool {
        self.windows.iter().any(|window| window.covers(index))
    }

    /// The key that was current for an entry at `index`; `None` before the inception.
    pub fn key_at(&self, index: LeafIndex) -> Option<&RawKey> {
        self.keys.iter().rev().find(|period| period.from < index).map(|period| &period.key)
    }
}

/// Whose signature an event needs.
#[derive(Clone, Copy)]
enum Signer<'a> {
    Key(&'a RawKey),
    Committed(Commitment),
}

/// Whether an event is signed by these, in this order.
fn signed_by(event: &PendingEvent, signers: &[Signer<'_>]) -> Result<(), StateError> {
    let is = |key: &RawKey, signer: &Signer<'_>| match signer {
        Signer::Key(wanted) => key == *wanted,
        Signer::Committed(commitment) => Commitment::to(key) == *commitment,
    };
    let keys = event.keys();
    if keys.len() == signers.len() && keys.zip(signers).all(|(key, signer)| is(key, signer)) {
        Ok(())
    } else {
        Err(StateError::Signers(event.event().name()))
    }
}

/// Whether `key` may log an artifact in the name of `did`, whose state is `state`.
pub fn check_artifact_signer(state: Option<&Identity>, did: Did, key: &RawKey) -> Result<(), StateError> {
    let Some(state) = state else {
        let key_did = Did::of_raw(key);
        return if key_did == did { Ok(()) } else { Err(StateError::NotGenesisKey { did, key_did }) };
    };
    state.check_current(key)?;
    if state.capabilities.receipts { Ok(()) } else { Err(StateError::Capability("receipts")) }
}

/// Whether `key` may say `event` in the name of a DID with this state.
pub fn check_trust_signer(
    state: Option<&Identity>,
    event: &PendingEvent,
    trust: &TrustEvent,
) -> Result<(), StateError> {
    let state = state.ok_or(StateError::NotRegistered)?;
    let mut keys = event.keys();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(StateError::Signers(trust.name()));
    };
    state.check_current(key)?;
    match (trust.scope().is_some(), state.capabilities) {
        (true, Capabilities { vouches: false, .. }) => Err(StateError::Capability("vouches")),
        (false, Capabilities { receipts: false, .. }) => Err(StateError::Capability("receipts")),
        _ => Ok(()),
    }
}

/// Whether `key` may send messages, use the mailbox and answer for both in the name of `did`, whose state is `state`.
pub fn check_message_signer(state: Option<&Identity>, did: Did, key: &RawKey) -> Result<(), StateError> {
    let Some(state) = state else {
        let key_did = Did::of_raw(key);
        return if key_did == did { Ok(()) } else { Err(StateError::NotGenesisKey { did, key_did }) };
    };
    match state.check_current(key) {
        Err(StateError::RetiredKey) if !state.keys.iter().any(|period| period.key == *key) => {
            Err(StateError::OthersKey)
        }
        checked => checked.and_then(|()| check_may_message(state)),
    }
}

/// Whether a registered DID exchanges messages.
pub fn check_may_message(state: &Identity) -> Result<(), StateError> {
    match state.status {
        Status::Deactivated => Err(StateError::Deactivated),
        Status::Compromised => Err(StateError::Compromised),
        Status::Active if !state.capabilities.messages => Err(StateError::Capability("messages")),
        Status::Active => Ok(()),
    }
}

/// Whether a DID with this state may say `event`, its message keys.
pub fn check_message_keys_signer(state: Option<&Identity>, event: &PendingEvent) -> Result<(), StateError> {
    let state = state.ok_or(StateError::NotRegistered)?;
    let mut keys = event.keys();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(StateError::Signers(event.event().name()));
    };
    check_message_signer(Some(state), event.event().issuer(), key)
}

impl Identity {
    fn check_current(&self, key: &RawKey) -> Result<(), StateError> {
        match self.status {
            Status::Deactivated => Err(StateError::Deactivated),
            Status::Compromised => Err(StateError::Compromised),
            Status::Active if self.key() != key => Err(StateError::RetiredKey),
            Status::Active => Ok(()),
        }
    }
}

/// The rule of state that an entry breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StateError {
    /// The key may not do this.
    #[error("the DID's key lacks the capability `{0}`")]
    Capability(&'static str),
    /// Reported and not recovered.
    #[error("the DID is reported as compromised: only its recovery key speaks for it, until it is recovered")]
    Compromised,
    /// It ended.
    #[error("the DID is deactivated, for ever")]
    Deactivated,
    /// The first key is not the DID's.
    #[error("the key hashes to {key_did}, not to {did}")]
    NotGenesisKey {
        /// The DID.
        did: Did,
        /// The DID of the key.
        key_did: Did,
    },
    /// A trust event.
    #[error("it is no identity event")]
    NotIdentity,
    /// Another event came in between.
    #[error("it is made as the DID's event {got}, or behind another event; the next one is {want}")]
    NotNext {
        /// The number of the next event.
        want: u32,
        /// The number it has.
        got: u32,
    },
    /// The key was not committed to.
    #[error("the new key is not the one that the DID committed to")]
    NotNextKey,
    /// No inception.
    #[error("the DID is not registered in this log")]
    NotRegistered,
    /// A key of the DID's past.
    #[error("the new key was the DID's before")]
    OldKey,
    /// Another DID's event.
    #[error("it is an event of another DID")]
    OtherDid,
    /// A key that the DID never had.
    #[error("the key is not the DID's, and never was")]
    OthersKey,
    /// A second inception.
    #[error("the DID is registered already")]
    Registered,
    /// A key that is not current.
    #[error("the key is not the DID's current one")]
    RetiredKey,
    /// Keys that must differ do not.
    #[error("the current, the next and the recovery key are not different keys")]
    SameKey,
    /// The signers are not those of the event's row.
    #[error("`{0}` is not signed by the keys that it needs, in their order")]
    Signers(&'static str),
    /// A window that begins where it cannot.
    #[error("`since` is {since}, not from the inception ({inception}) to the event itself ({index})")]
    Since {
        /// Where it begins.
        since: LeafIndex,
        /// The inception.
        inception: LeafIndex,
        /// The event.
        index: LeafIndex,
    },
    /// The DID has had its share.
    #[error("{kind} is one of the first {most} identity events of a DID, and this one has {events}")]
    TooManyEvents {
        /// Of what kind the event is.
        kind: &'static str,
        /// How many may there be with it.
        most: u32,
        /// How many there are.
        events: u32,
    },
}

impl StateError {
    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Capability(_) => "capability",
            Self::Compromised => "compromised",
            Self::Deactivated => "deactivated",
            Self::NotGenesisKey { .. } | Self::OthersKey => "signer-key",
            Self::NotRegistered => "not-registered",
            Self::Registered => "registered",
            Self::RetiredKey => "retired-key",
            Self::NotNext { .. } => "identity-order",
            Self::NotNextKey | Self::OldKey | Self::SameKey | Self::Signers(_) => "identity-keys",
            Self::Since { .. } => "identity-since",
            Self::TooManyEvents { .. } => "identity-count",
            Self::NotIdentity | Self::OtherDid => "identity-event",
        }
    }
}

#[cfg(test)]
mod tests;
