//! Message keys on their way: what a log has of a DID's, and a new set behind it.

use attestation::Did;
use attestation::api::EvidenceQuery;
use attestation::entry::LogTime;
use attestation::event::{DatedKey, Event, MAX_MESSAGE_KEYS, MessageKeys, PendingEvent};
use attestation::identity::check_message_keys_signer;
use attestation::message::{Keys, LoggedKeys, Recipient};

use super::{Known, Logged, Sent, Session, send};
use crate::clock;
use crate::keyfile::OwnIdentity;
use crate::patience::Patience;
use crate::report::{Console, Failure, Result};
use crate::submission::refusal;
use crate::word::fresh_evidence;

/// How messages reach a DID, by what its log says now, verified.
pub(crate) struct Reached {
    /// Its state.
    pub known: Known,
    recipient: Recipient,
    /// A time that is not behind the log's.
    pub at: LogTime,
}

impl Reached {
    /// The keys to which a message is sealed at this moment.
    pub(crate) fn keys(&self) -> Result<Keys> {
        self.recipient.keys(clock::now_millis()).map_err(|error| {
            Failure::new(format!("no message reaches {}", self.known.did)).caused_by(error).because(format!(
                "so says the log `{}`, {}",
                self.known.origin,
                self.known.as_of()
            ))
        })
    }

    /// The keys that count and have not ended, with their ends; none if it is the identity key.
    pub(crate) fn set(&self) -> Vec<DatedKey> {
        let now = clock::now_millis();
        let counting = self.recipient.last();
        counting.map_or_else(Vec::new, |last| {
            last.event.keys.iter().filter(|key| key.is_live(now)).copied().collect()
        })
    }

    /// The last event, void or not.
    fn last(&self) -> Option<&LoggedKeys> {
        match &self.recipient {
            Recipient::Bare(_) => None,
            Recipient::Registered { said, .. } => said.first(),
        }
    }
}

impl Session {
    /// How messages reach a registered DID.
    pub(crate) fn reached(&self, did: Did, console: &mut Console) -> Result<Reached> {
        let query = EvidenceQuery::messages(did);
        let (_, proven) = fresh_evidence::fetch(&query, &mut self.contact().inquire(console))?;
        let known = Known::of(did, &proven)?;
        known.registered()?;
        let lacking =
            |error| Failure::refuted(format!("the evidence gives no message keys of {did}")).caused_by(error);
        let recipient = proven.recipient(did, None).map_err(lacking)?.expect("it is registered");
        let attested =
            proven.attested().and_then(|time| LogTime::from_millis(time.as_secs().saturating_mul(1_000)));
        let at = proven.newest().max(attested).unwrap_or(LogTime::from_millis(0).expect("a time"));
        Ok(Reached { known, recipient, at })
    }

    /// Says the DID's message keys: `make` gets the set that counts now and answers the one that comes. Where another device
    /// was first, it is made again behind that one, until the time is up.
    pub(crate) fn say_message_keys(
        &self,
        identity: &OwnIdentity,
        mut make: impl FnMut(&Reached) -> Result<Vec<DatedKey>>,
        console: &mut Console,
    ) -> Result<Logged> {
        let mut patience = Patience::until(self.deadline);
        loop {
            let reached = self.reached(identity.did, console)?;
            let keys = ordered(make(&reached)?)?;
            let event = self.message_keys_event(identity, &reached, keys)?;
            let problem = match send(&event, self.contact(), console)? {
                Sent::Logged(logged) => return Ok(*logged),
                Sent::Refused(problem) if problem.rule == ORDER => problem,
                Sent::Refused(problem) => return Err(refusal(&problem)),
            };
            // What came first may be committed and not published yet.
            if !patience.pause(None, console, "another device changed the message keys at the same time") {
                return Err(refusal(&problem).for_now());
            }
        }
    }

    fn message_keys_event(
        &self,
        identity: &OwnIdentity,
        reached: &Reached,
        keys: Vec<DatedKey>,
    ) -> Result<PendingEvent> {
        let cannot = || Failure::new("cannot make the message keys");
        let said = MessageKeys {
            issued_at: clock::now_millis(),
            keys,
            previous: reached.last().map(|last| last.hash),
        };
        let event = Event::message_keys(identity.did, self.origin(), said)
            .and_then(|event| PendingEvent::sign(event, &[&identity.key]))
            .map_err(|error| cannot().caused_by(error))?;
        reached.known.require_current(identity)?;
        check_message_keys_signer(reached.known.state.as_ref(), &event).map_err(|error| {
            Failure::new("this key may not log message keys").caused_by(error).because(format!(
                "so says the log `{}`, {}",
                self.origin(),
                reached.known.as_of()
            ))
        })?;
        Ok(event)
    }
}

/// The set in the order of the format.
fn ordered(mut keys: Vec<DatedKey>) -> Result<Vec<DatedKey>> {
    DatedKey::sort(&mut keys);
    if keys.len() <= MAX_MESSAGE_KEYS {
        return Ok(keys);
    }
    let all: Vec<String> = keys.iter().map(|key| key.key.id().to_string()).collect();
    Err(Failure::new(format!("a DID has at most {MAX_MESSAGE_KEYS} message keys, one for each device"))
        .because(format!("with this one it would have {}: {}", keys.len(), all.join(", ")))
        .hint("take out a device that is gone: `aip-attest message-key rotate --drop KEY-ID`"))
}

/// By this rule a log refuses the second of two devices.
const ORDER: &str = "message-keys-order";
