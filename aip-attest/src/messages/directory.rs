//! Who somebody is that one writes to or hears from: by evidence from the log as of now, which may decide as it does for a
//! gate (`scoring::age`, decision 0009).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::api::EvidenceQuery;
use attestation::evidence::Proven;
use attestation::identity::Identity as State;
use attestation::message::{Keys, Recipient};
use attestation::receipt::SignerState;
use tlog::UnixTime;
use tlog::checkpoint::Checkpoint;
use tlog::key::Ed25519PublicKey;

use crate::clock;
use crate::contact::Contact;
use crate::patience::Patience;
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicySource};
use crate::report::{Console, Failure, Result};
use crate::scoring::age::{self, MaxAge, Way};
use crate::target::{self, Target};
use crate::word::evidence;
use crate::word::fresh_evidence;

/// What a log says of DIDs, as far as it was asked.
pub(crate) struct Directory<'a> {
    target: &'a Target,
    pins: &'a Pins,
    max_age: MaxAge,
    timeout: Duration,
    deadline: Instant,
    senders: BTreeMap<Did, Result<Sender>>,
    as_of: Option<AsOf>,
}

/// Somebody who sent a message.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// Its state; `None`: it is not registered.
    pub state: Option<State>,
    /// The same, to judge receipts by.
    pub signer: SignerState,
}

/// The tree that judged.
#[derive(Clone, Debug)]
pub(crate) struct AsOf {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The latest time that the quorum attests; `None` without witnesses.
    pub attested: Option<UnixTime>,
}

impl<'a> Directory<'a> {
    /// The directory of a log whose checkpoint may have `max_age`. Each question has `timeout`, and none lasts beyond
    /// `deadline`.
    pub(crate) fn new(
        target: &'a Target,
        pins: &'a Pins,
        max_age: MaxAge,
        timeout: Duration,
        deadline: Instant,
    ) -> Self {
        Self { target, pins, max_age, timeout, deadline, senders: BTreeMap::new(), as_of: None }
    }

    /// Refuses to decide anything about what comes by a log that nobody but itself has named.
    pub(crate) fn refuse_unfounded(&self) -> Result<()> {
        if !matches!(self.target.judge.source, PolicySource::Log(_)) {
            return Ok(());
        }
        Err(Failure::new("nobody but the log itself says which log it is")
            .because("by a log's own word everybody is who whoever serves one says")
            .hint(target::PIN_ONCE)
            .hint(policy_file::IN_CI))
    }

    /// The keys to which a message for `did` is sealed. That none may be, or nothing is known of it, is false.
    pub(crate) fn keys(&self, did: Did, console: &mut Console) -> Result<Keys> {
        let proven = self.ask(&EvidenceQuery::messages(did), console)?;
        let cannot = |error| {
            Failure::refuted(format!("the evidence does not show how messages reach {did}")).caused_by(error)
        };
        let recipient = match proven.recipient(did, None).map_err(cannot)? {
            Some(recipient) => recipient,
            None => self.bare(did, console)?,
        };
        recipient.keys(clock::now_millis()).map_err(|error| {
            Failure::refuted(format!("recipient-state: no message may go to {did}")).caused_by(&error)
        })
    }

    /// A DID that the log knows without an inception: by the key that hashes to it.
    fn bare(&self, did: Did, console: &mut Console) -> Result<Recipient> {
        let key = self.patience().ask(console, || self.target.client.genesis_key(did))?;
        key.map(Recipient::Bare).ok_or_else(|| {
            Failure::refuted(format!("no-did: the log `{}` knows nothing of {did}", self.target.origin))
                .because("a log knows a DID by its inception, or by an artifact that it logged")
                .hint("its owner makes it known with `aip-attest init --register`")
                .hint("somebody who reads with Python aip gets it as its mail: --legacy")
                .hint(
                    "or write the message to a file: --recipient-key did:key:… --out FILE, with the key that its owner gives you",
                )
        })
    }

    /// The key that a DID hashes to, if the log knows it without an inception: by an artifact, or by the interface of
    /// Python `aip`.
    pub(crate) fn bare_key(&self, did: Did, console: &mut Console) -> Result<Option<Ed25519PublicKey>> {
        let client = &self.target.client;
        match self.patience().ask(console, || client.genesis_key(did))? {
            None => self.patience().ask(console, || client.python_key(did)),
            known => Ok(known),
        }
    }

    /// The state of somebody who sent a message.
    pub(crate) fn sender(&mut self, did: Did, console: &mut Console) -> Result<Sender> {
        if let Some(known) = self.senders.get(&did) {
            return known.clone();
        }
        let sender = self.ask_for_sender(did, console);
        self.senders.insert(did, sender.clone());
        sender
    }

    /// Forgets what was learnt: what is judged from here on is judged by what the log says then.
    pub(crate) fn forget(&mut self) {
        self.senders.clear();
    }

    /// The tree by which somebody was judged last.
    pub(crate) fn as_of(&self) -> Option<&AsOf> {
        self.as_of.as_ref()
    }

    /// The log.
    pub(crate) fn target(&self) -> &Target {
        self.target
    }

    /// The roots of logs that were seen.
    pub(crate) fn pins(&self) -> &Pins {
        self.pins
    }

    /// The patience for the next question.
    pub(crate) fn patience(&self) -> Patience {
        Patience::until(self.until())
    }

    fn until(&self) -> Instant {
        (Instant::now() + self.timeout).min(self.deadline)
    }

    fn ask_for_sender(&mut self, did: Did, console: &mut Console) -> Result<Sender> {
        let proven = self.ask(&EvidenceQuery::state(did), console)?;
        let cannot =
            |error| Failure::new(format!("the evidence does not show the state of {did}")).caused_by(error);
        self.as_of = Some(AsOf { checkpoint: proven.checkpoint().clone(), attested: proven.attested() });
        Ok(Sender {
            state: evidence::state(&proven, did)?,
            signer: SignerState::of(&proven, did).map_err(cannot)?,
        })
    }

    /// Evidence that may decide. What the log lacks for a moment, such as its witnesses' cosignatures, is waited for.
    fn ask(&self, query: &EvidenceQuery, console: &mut Console) -> Result<Proven> {
        let contact = Contact { target: self.target, pins: self.pins, deadline: self.until() };
        let mut inquiry = contact.inquire(console);
        loop {
            let failure = match fresh_evidence::fetch(query, &mut inquiry) {
                Ok((_, proven)) => return self.founded(proven),
                Err(failure) => failure,
            };
            if !failure.is_for_now() || !inquiry.asking.pause(None, &failure.one_line()) {
                return Err(failure);
            }
        }
    }

    fn founded(&self, proven: Proven) -> Result<Proven> {
        let (Checkpoint { origin, size, .. }, trust) = (proven.checkpoint(), &self.target.judge.trust);
        trust.refuse_small(origin, *size)?;
        let way = Way::to(&self.target.client);
        for limit in
            [Some(self.max_age), trust.max_checkpoint_age().map(MaxAge::Setting)].into_iter().flatten()
        {
            age::refuse_stale(*size, proven.attested(), way, limit, clock::now())?;
        }
        Ok(proven)
    }
}

/// The key of a DID that somebody gave by another way than the log's: it must hash to the DID.
pub(crate) fn given_key(did: Did, key: &Ed25519PublicKey) -> Result<Keys> {
    if Did::of(key) != did {
        return Err(Failure::refuted("the recipient's key is not the DID's")
            .because(format!("it hashes to {}, and the message is for {did}", Did::of(key)))
            .hint("a key that took over by a rotation hashes to another DID: only the log's state says whose it is"));
    }
    Recipient::Bare(*key)
        .keys(clock::now_millis())
        .map_err(|error| Failure::new("no message can be sealed to this key").caused_by(error))
}
