//! A message on its way: one statement, sealed once for each key of each recipient.
//!
//! All copies are tried, whatever becomes of the others. A copy that the relay has is durable there; that it was read is
//! nobody's to say.

use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::message::{
    KeyKind, Keys, MessageError, MessageId, MessageKey, MessageKeyId, Sealed, SignedMessage, Stored,
};
use getrandom::SysRng;
use rand_core::UnwrapErr;

use super::composing::Draft;
use super::relay::{Offered, Relay};
use crate::durable::{self, Readers};
use crate::keyfile::OwnIdentity;
use crate::report::{Console, Exit, Failure, Result};

/// Somebody to write to, and the keys that messages for it are sealed to, or why there are none.
pub(crate) struct Addressee {
    /// Who.
    pub did: Did,
    /// Its keys.
    pub keys: Result<Keys>,
}

/// A copy of a message, for one key; or for nobody, where no key was found.
pub(crate) struct Copy {
    /// For whom.
    pub recipient: Did,
    /// The key.
    pub key: Option<(MessageKeyId, KeyKind)>,
    /// What became of it.
    pub became: Result<Became>,
}

/// What becomes of a copy.
pub(crate) enum Became {
    /// The relay keeps it, or kept it before.
    Stored(Stored),
    /// It is in a file.
    Written(PathBuf),
}

/// A message that was sent, as far as that was possible.
pub(crate) struct Sent {
    /// Its id.
    pub id: MessageId,
    /// Its copies, by recipient.
    pub copies: Vec<Copy>,
}

impl Sent {
    /// 1 if a rule refused a copy, else 2 if one could not be sent.
    pub(crate) fn exit(&self) -> Exit {
        let exits =
            self.copies.iter().map(|copy| copy.became.as_ref().map_or_else(Failure::exit, |_| Exit::Yes));
        exits.fold(Exit::Yes, Exit::and)
    }
}

/// Seals `draft` for each key of `addressees`, who are sorted, each once, and has the relay keep it.
pub(crate) fn send(
    draft: &Draft,
    addressees: &[Addressee],
    identity: &OwnIdentity,
    origin: &str,
    relay: &mut Relay<'_>,
    console: &mut Console,
) -> Result<Sent> {
    let mut signed = sign(draft, addressees, identity, origin, relay.now())?;
    let mut copies = Vec::new();
    for (did, key, kind) in keys(addressees) {
        let became = loop {
            let sealed = seal(&signed, did, &key)?;
            match relay.send(&sealed, signed.message().expires, console) {
                Ok(Offered::Stored(stored)) => break Ok(Became::Stored(stored)),
                // It was dated by a wrong clock: it is written again, unless a copy of it is on its way.
                Ok(Offered::OtherClock) if copies.is_empty() => {
                    signed = sign(draft, addressees, identity, origin, relay.now())?;
                }
                Ok(Offered::OtherClock) => {}
                Err(failure) => break Err(failure),
            }
        };
        copies.push(Copy { recipient: did, key: Some((key.id(), kind)), became });
    }
    Ok(Sent { id: signed.message().id, copies: with_lost(copies, addressees) })
}

/// Seals `draft` for each key of the only one of `addressees`, into the file `out`; if there are several keys, into one named
/// after each.
pub(crate) fn write(
    draft: &Draft,
    addressees: &[Addressee],
    identity: &OwnIdentity,
    origin: &str,
    out: &Path,
) -> Result<Sent> {
    let signed = sign(draft, addressees, identity, origin, crate::clock::now_millis())?;
    let keys: Vec<_> = keys(addressees).collect();
    let mut copies = Vec::new();
    for (did, key, kind) in &keys {
        let path = match keys.len() {
            1 => out.to_path_buf(),
            _ => {
                let name = out.file_name().unwrap_or_default().to_string_lossy();
                out.with_file_name(format!("{name}.{}", key.id()))
            }
        };
        let sealed = seal(&signed, *did, key)?;
        let became =
            durable::write(&path, sealed.as_bytes(), Readers::Everyone).map(|()| Became::Written(path));
        copies.push(Copy { recipient: *did, key: Some((key.id(), *kind)), became });
    }
    Ok(Sent { id: signed.message().id, copies: with_lost(copies, addressees) })
}

fn sign(
    draft: &Draft,
    addressees: &[Addressee],
    identity: &OwnIdentity,
    origin: &str,
    now: attestation::entry::LogTime,
) -> Result<SignedMessage> {
    let recipients: Vec<Did> = addressees.iter().map(|addressee| addressee.did).collect();
    let message = draft.message(identity.did, &recipients, origin, now)?;
    SignedMessage::sign(message, &identity.key).map_err(refused)
}

fn refused(error: MessageError) -> Failure {
    let failure = Failure::new("this is no message").caused_by(&error);
    match error {
        MessageError::TooLong(_) | MessageError::AttachmentsTooLong(_) => {
            failure.hint("a message carries no large files: send a link and a digest")
        }
        _ => failure,
    }
}

fn seal(signed: &SignedMessage, did: Did, key: &MessageKey) -> Result<Sealed> {
    signed
        .seal(did, key, &mut UnwrapErr(SysRng))
        .map_err(|error| Failure::new(format!("the message cannot be sealed for {did}")).caused_by(error))
}

/// Every key of everybody, with its kind.
fn keys(addressees: &[Addressee]) -> impl Iterator<Item = (Did, MessageKey, KeyKind)> {
    addressees
        .iter()
        .filter_map(|Addressee { did, keys }| Some((*did, keys.as_ref().ok()?)))
        .flat_map(|(did, Keys { kind, keys })| keys.iter().map(move |key| (did, *key, *kind)))
}

/// With a line for each of those for whom there is no key.
fn with_lost(mut copies: Vec<Copy>, addressees: &[Addressee]) -> Vec<Copy> {
    copies.extend(addressees.iter().filter_map(|Addressee { did, keys }| {
        let failure = keys.as_ref().err()?.clone();
        Some(Copy { recipient: *did, key: None, became: Err(failure) })
    }));
    copies.sort_by_key(|copy| copy.recipient);
    copies
}
