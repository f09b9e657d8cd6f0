//! Changes of keys: what lies on disk of one, what the log has of it, and how the two come together.
//!
//! ```text
//! begin     the file of the next key holds the event and the keys after it        a crash from here on is finished
//! send      the log has the event, or has refused it                              by the same command
//! follow    the credentials have the new key, then the file is of what comes next
//! ```
//! Whoever does any of it holds the [`Lock`].

use std::time::{Duration, Instant};

use attestation::event::{Event, PendingEvent};
use tlog::LeafIndex;

use super::sending::{Sent, send};
use super::{Known, Logged, Session, home, known};
use crate::contact::Contact;
use crate::keyfile::OwnIdentity;
use crate::keyfile::change::{Standing, UnderWay};
use crate::keyfile::lock::Lock;
use crate::keyfile::logs::KeptLog;
use crate::keyfile::next::Next;
use crate::report::{Console, Failure, Result, printable};
use crate::submission::refusal;

impl Session {
    /// Logs the inception of the DID that these keys are for, unless the log has it.
    pub(crate) fn register(
        &self,
        identity: &OwnIdentity,
        lock: &Lock,
        next: Next,
        console: &mut Console,
    ) -> Result<LeafIndex> {
        register(identity, lock, next, self.contact(), self.own.as_ref(), console)
    }

    /// Brings the change of keys that lies on disk to its end: sends it, unless the log has it by `known`, then lets the
    /// credentials follow.
    ///
    /// A rotation that the log refuses is taken off the disk: the next one is made anew, by what the log says then. Its
    /// keys are kept in a copy, and [`Known::given_up`] finds them, should the log have lied.
    pub(crate) fn finish_change(
        &self,
        identity: &OwnIdentity,
        lock: &Lock,
        next: Next,
        known: &Known,
        console: &mut Console,
    ) -> Result<Logged> {
        let under_way = next.under_way.as_ref().expect("the caller began a change");
        // Whoever cannot open the key must not make it the DID's.
        under_way.key.open(identity.passphrase())?;
        let logged = match known.change(under_way) {
            Some(logged) => logged,
            None => match send(&under_way.event, self.contact(), console) {
                // In the tree is not in force: the keys follow what the log's state says.
                Ok(Sent::Logged(_)) => {
                    match self.known(identity.did, console).map(|now| now.change(under_way)) {
                        Ok(Some(logged)) => logged,
                        Ok(None) => {
                            return Err(unfinished(
                                Failure::new(format!(
                                    "the {} is logged, and the log's state does not have its keys",
                                    under_way.name()
                                )),
                                under_way,
                            ));
                        }
                        Err(failure) => return Err(unfinished(failure, under_way)),
                    }
                }
                Ok(Sent::Refused(problem)) => {
                    // It may have been logged before, by these or by other bytes with the same keys.
                    match self.known(identity.did, console)?.change(under_way) {
                        Some(logged) => logged,
                        None => return Err(give_up(next, lock, refusal(&problem), console)),
                    }
                }
                Err(failure) => return Err(unfinished(failure, under_way)),
            },
        };
        let out = under_way.recovery_file.clone();
        self.follow(identity, lock, next)?;
        if let Some(out) = out {
            console.note(format!(
                "the recovery key that counts now was written to `{out}`, and no other counts"
            ));
        }
        Ok(logged)
    }

    /// Warns of an event in one of two logs: the other one goes on without it, and `there` says how.
    pub(crate) fn warn_of_other_home(&self, elsewhere: Option<&str>, there: &str, console: &mut Console) {
        if let Some(other) = elsewhere {
            console.warn(format!("the DID is registered in `{other}` too: there {there}"));
        }
    }

    /// The credentials follow a change that the log has. Answers what comes next now.
    pub(crate) fn follow(&self, identity: &OwnIdentity, lock: &Lock, next: Next) -> Result<Next> {
        let under_way = next.under_way.as_ref().expect("the caller began a change");
        // From here on the old key counts for nothing. A crash before the next line leaves credentials with it, and
        // the file of the change beside them.
        identity.replace_key(lock, &under_way.key.open(identity.passphrase())?)?;
        let next = next.ended(self.origin()).sealed(identity.passphrase())?;
        next.write(lock)?;
        Ok(next)
    }
}

fn unfinished(failure: Failure, under_way: &UnderWay) -> Failure {
    failure.hint(format!("what was begun is on disk, and may be logged: {} finishes it", under_way.command()))
}

/// A change that the log refused. A recovery stays: the same command makes its event anew, with the keys that it made.
fn give_up(next: Next, lock: &Lock, failure: Failure, console: &mut Console) -> Failure {
    match &next.under_way {
        Some(under_way) if under_way.is_recovery() => {
            return failure
                .hint(format!("{} makes it anew, with the keys that are on disk", under_way.command()));
        }
        _ => {}
    }
    let taken_back =
        next.keep_copy(lock, console).and_then(|()| Next { under_way: None, ..next }.write(lock));
    match taken_back {
        Ok(()) => failure.hint("the keys here are as they were before"),
        Err(error) => failure.because(error.one_line()),
    }
}

impl Known {
    /// The change, if the log has it: its current and its next key are those of the change, whichever event made them so
    /// and whatever came behind.
    pub(crate) fn change(&self, under_way: &UnderWay) -> Option<Logged> {
        let state = self.state.as_ref()?;
        if under_way.standing(state, &self.origin) != Standing::Logged {
            return None;
        }
        let index = state.keys().last()?.from;
        self.events.iter().find(|event| event.index == index).map(|event| self.logged(event))
    }

    /// Of the changes that were given up here, the one that the log has all the same. It begins with the keys at hand:
    /// one that was followed before is no news, whatever old state the log shows.
    pub(crate) fn given_up(&self, lock: &Lock, at_hand: &Next) -> Option<Next> {
        Next::kept(lock, self.did)
            .filter(|kept| kept.next == at_hand.next)
            .find(|kept| kept.under_way.as_ref().is_some_and(|under_way| self.change(under_way).is_some()))
    }

    /// The log shows an older state than a change that was begun here was made on.
    pub(crate) fn is_behind(&self, under_way: &UnderWay) -> Failure {
        Failure::new(format!(
            "the log `{}` shows an older state of {} than it did before",
            self.origin, self.did
        ))
        .because(format!(
            "a {} was begun here on a later one; this is its state {}",
            under_way.name(),
            self.as_of()
        ))
        .hint(
            "try again: nothing was changed. `aip-attest policy pin URL` refuses what is older than was seen",
        )
    }
}

/// Logs the inception, unless the log has one; notes in the next key's file which log it was, and the log as its owner
/// says that it is: `own`.
fn register(
    identity: &OwnIdentity,
    lock: &Lock,
    next: Next,
    contact: Contact<'_>,
    own: Option<&KeptLog>,
    console: &mut Console,
) -> Result<LeafIndex> {
    let target = contact.target;
    let event = Event::about_itself(identity.did, target.origin.as_str(), next.inception(&identity.key))
        .and_then(|event| PendingEvent::sign(event, &[&identity.key]))
        .map_err(|error| Failure::new("cannot make the inception").caused_by(error))?;
    // On disk before it is sent: nothing registers the DID elsewhere by itself from here on, come what may. That the log
    // refuses it is its word, and takes nothing back.
    let sent_to = Some(target.origin.clone());
    let mut logs = next.logs.clone();
    own.cloned().map_or(Ok(()), |log| logs.keep(log))?;
    let is_noted = (&next.sent_to, &next.logs) == (&sent_to, &logs);
    let next = Next { sent_to, logs, ..next };
    if !is_noted {
        next.write(lock)?;
    }
    // The same keys always make the same inception: a second try meets the first.
    let failure = match send(&event, contact, console) {
        Ok(Sent::Logged(logged)) => {
            // A DID that has a home keeps it.
            let registered = next.registered.clone().or_else(|| Some(target.origin.clone()));
            let next = Next { registered, ..next };
            next.write(lock)?;
            next.tell_recovery(console);
            return Ok(logged.index);
        }
        Ok(Sent::Refused(problem)) => refusal(&problem),
        Err(failure) => failure,
    };
    // Refused because another inception is there: whose it is matters more.
    known(identity.did, contact, console)
        .map_or(Ok(()), |known| known.require_ours(&next, identity.is_genesis()))?;
    Err(failure)
}

/// Registers on the way, where the first submission comes from the machine that holds the next key, and more than a
/// checkout says which log that is. What does not come off leaves the DID bare for now, and that is said.
pub(crate) fn register_on_the_way(identity: &OwnIdentity, contact: Contact<'_>, console: &mut Console) {
    let Contact { target, pins, deadline } = contact;
    let Some(credentials) = identity.file().filter(|_| identity.is_genesis()) else { return };
    let own = home::own_word(target, pins.of_origin(&target.origin).map(KeptLog::of_pin).next());
    // Never in a second log: its state there would be another one, and only its owner can want that.
    let waits = |next: &Next| {
        let is_elsewhere = next.elsewhere(&target.origin).is_some() || home::is_other(next, target);
        next.registered.is_none() && next.under_way.is_none() && !is_elsewhere
    };
    let mut register = || {
        if !Next::peek(credentials, identity.did)?.is_some_and(|next| waits(&next)) {
            return Ok(None);
        }
        if own.is_none() && !target.is_named {
            // A checkout that lies would make a log of its own the DID's home: no other one gets the inception then.
            console.note(format!(
                "only the policy {} says which log `{}` is, so that the DID is not registered by this signature; once \
                 `aip-attest policy pin URL` keeps the log, the next one does it",
                target.judge.source,
                printable(&target.origin)
            ));
            return Ok(None);
        }
        // Who has the lock is registering it, most likely: the signature that waits behind this one needs the time left.
        let patience = deadline.min(Instant::now() + LOCK_PATIENCE);
        let lock = Lock::take(credentials, "registration", patience, console)?;
        let Some(next) = Next::read(credentials, identity.did, console)?.filter(waits) else {
            return Ok(None);
        };
        register(identity, &lock, next, contact, own.as_ref(), console).map(Some)
    };
    match register() {
        Ok(None) => {}
        Ok(Some(index)) => console
            .note(format!("{} is registered in `{}` now, at index {index}", identity.did, target.origin)),
        Err(failure) => {
            console.warn(format!(
                "the DID is not registered as yours, no gate should let it pass: {}",
                failure.one_line()
            ));
        }
    }
}

/// How long a signature waits for another process that changes keys.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
