//! Identity and trust events: the state that a log has, an event on its way, the check of the answer.
//!
//! As with receipts, nothing that a log answers is believed before it is verified: a state comes as evidence, an
//! event's answer with the proof that it is in the tree of a checkpoint that the policy believes.

mod change;
pub(crate) mod home;
pub(crate) mod message_keys;

use std::path::Path;
use std::time::Instant;

use attestation::Did;
use attestation::api::{EvidenceQuery, Submission};
use attestation::entry::LogTime;
use attestation::event::{
    Body, Capabilities, Commitment, Event, EventEntry, EventError, IdentityEvent, PendingEvent, TrustEvent,
};
use attestation::evidence::Proven;
use attestation::identity::{Identity as State, StateError, Status, check_trust_signer};
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;
use tlog::merkle::leaf_hash;
use tlog::policy::PolicyError;
use tlog::proof::TlogProof;
use tlog::{LeafIndex, TreeSize, UnixTime};

use crate::client::{Answer, ClientError, LoggedAnswer, Problem};
use crate::clock;
use crate::contact::Contact;
use crate::keyfile::OwnIdentity;
use crate::keyfile::logs::{KeptLog, KeptLogs};
use crate::keyfile::next::Next;
use crate::patience::Patience;
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Failure, Result};
use crate::submission::refusal;
use crate::target::{Target, Wish};
use crate::word::evidence::{self, Claimed};
use crate::word::fresh_evidence;
use crate::word::said::{self, Said};

pub(crate) use change::register_on_the_way;

/// A log that events go to, for as long as somebody waits for it.
pub(crate) struct Session {
    /// The log.
    pub target: Target,
    pins: Pins,
    deadline: Instant,
    /// The log as its owner says that it is, where one does: what a key's file keeps of it.
    own: Option<KeptLog>,
}

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

    fn logged(&self, event: &KnownEvent) -> Logged {
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

/// What became of an event that was sent, where there is no doubt about it.
enum Sent {
    Logged(Box<Logged>),
    /// By a rule of the log. Nothing proves it: it is its word.
    Refused(Box<Problem>),
}

/// Sends an event until the log has it, refuses it, or the time is up. Where it may be logged all the same, or be taken
/// later as it is, that is a failure.
fn send(event: &PendingEvent, contact: Contact<'_>, console: &mut Console) -> Result<Sent> {
    let Contact { target, pins, deadline } = contact;
    let mut patience = Patience::until(deadline);
    let submission = Submission { leaf: encoding::base64(&event.to_bytes()).into(), envelope: None };
    let body = serde_json::to_string(&[submission]).expect("a text is JSON");
    let mut committed = false;
    loop {
        let answer = match committed {
            true => target.client.claim(&event.hash().get()),
            false => target.client.submit(body.clone(), 1).map(|mut answers| answers.remove(0)),
        };
        let (at_least, why) = match answer {
            Ok(Answer::Logged(answer)) => match accept(event, &answer, target, pins)? {
                Accepted::Logged(logged) => return Ok(Sent::Logged(logged)),
                Accepted::BelowQuorum(why) => {
                    committed = true;
                    (None, why)
                }
            },
            Ok(Answer::Committed { problem, retry_after }) => {
                committed = true;
                let why = "the log has committed to the event and not yet published it";
                (retry_after, problem.map_or(why.to_owned(), |problem| format!("{why}: {problem}")))
            }
            Ok(Answer::Unavailable { problem, retry_after }) => {
                (retry_after, format!("the log answers {problem}"))
            }
            Ok(Answer::Refused(problem)) if !committed => return refused(problem),
            // It took the event before, so that what it says now takes nothing back.
            Ok(Answer::Refused(problem)) => return Err(refusal(&problem)),
            Err(error) => match (error.retry(), &error) {
                (Some(retry_after), _) => (retry_after, error.one_line()),
                // Of the request as a whole, such as for its token: no rule was asked about the event.
                (None, ClientError::Refused { problem, .. }) => return Err(refusal(problem)),
                (None, _) => return Err(error.into()),
            },
        };
        if !patience.pause(at_least, console, &why) {
            return Err(Failure::new("the log has not logged the event in time")
                .because(why)
                .hint("it may log the event all the same: try again, or look with `aip-attest whoami`")
                .for_now());
        }
    }
}

/// A refusal by a rule is one; the words of whoever else answers, such as a proxy, are none.
fn refused(problem: Problem) -> Result<Sent> {
    match (400..500).contains(&problem.status) && !problem.rule.is_empty() {
        true => Ok(Sent::Refused(Box::new(problem))),
        false => Err(refusal(&problem)),
    }
}

enum Accepted {
    Logged(Box<Logged>),
    BelowQuorum(String),
}

/// Verifies an answer as anybody would.
fn accept(sent: &PendingEvent, answer: &LoggedAnswer, target: &Target, pins: &Pins) -> Result<Accepted> {
    let broken = |why: String| {
        Failure::refuted(format!("the answer of `{}` does not verify", target.client.url()))
            .because(why)
            .hint("ask whoever runs the log")
    };
    let entry = EventEntry::parse(&answer.leaf).map_err(|error| broken(error.to_string()))?;
    if entry.pending() != sent {
        return Err(broken("the leaf is not the event that was sent".to_owned()));
    }
    let proof = TlogProof::parse(&answer.proof).map_err(|error| broken(error.to_string()))?;
    let policy = &target.judge.policy;
    let (checkpoint, log) =
        policy.log_checkpoint(&proof.checkpoint).map_err(|error| broken(error.to_string()))?;
    if checkpoint.origin != target.origin {
        return Err(broken(format!("the proof is of the log `{}`", checkpoint.origin)));
    }
    let seen = pins.roots().into_iter().find(|pin| pin.log == log.vkey && pin.size == checkpoint.size);
    if seen.is_some_and(|pin| pin.root != checkpoint.root) {
        return Err(broken(format!("another root was seen at size {}", checkpoint.size)));
    }
    match policy.quorum(&proof.checkpoint) {
        Ok(_) => {}
        Err(error @ PolicyError::Quorum { .. }) => {
            let source = &target.judge.source;
            return Ok(Accepted::BelowQuorum(format!(
                "the log answers below the quorum of the policy {source}: {error}"
            )));
        }
        Err(error) => return Err(broken(error.to_string())),
    }
    proof
        .verify_inclusion(&leaf_hash(&answer.leaf), &checkpoint)
        .map_err(|error| broken(error.to_string()))?;
    Ok(Accepted::Logged(Box::new(Logged {
        event: sent.event().clone(),
        index: proof.index,
        logged_at: entry.logged_at(),
        size: checkpoint.size,
    })))
}
