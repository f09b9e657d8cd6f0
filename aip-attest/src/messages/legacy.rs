//! Mail of Python `aip` 0.5, both ways (`attestation::message`, `LegacyMail`). A log takes and gives it by `--aip-v1` alone.
//!
//! It is sent only where somebody asks for it: nothing falls back to it, so that nobody can make us send what is not signed.
//! Its signature covers the box and not the text. So what comes is shown as what it is, and counts for nothing that
//! something is decided by: no `--artifact`, no `--registered-only`, no `--in-reply-to`.

use std::collections::BTreeSet;

use attestation::Did;
use attestation::api::python;
use attestation::entry::LogTime;
use attestation::identity::check_may_message;
use attestation::message::{
    KeyKind, LegacyCircumstances, LegacyContent, LegacyMail, LegacyRefusal, MAX_AHEAD_MILLIS,
    MAX_LIFE_MILLIS, MessageId, MessageKey, MessageKeyId, TEXT,
};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tlog::key::Ed25519PublicKey;

use super::directory::Directory;
use super::judging::{Again, Arrived, Judged, Letter, MailJudge, Replay, Verdict};
use super::seen::Name;
use crate::client::ClientError;
use crate::clock;
use crate::keyfile::OwnIdentity;
use crate::report::{Console, Failure, Result};

/// Sends a text to somebody who reads with Python `aip`. Answers the name that the message has here, and the key that opens it.
pub(crate) fn send(
    text: &str,
    recipient: Did,
    identity: &OwnIdentity,
    directory: &mut Directory<'_>,
    console: &mut Console,
) -> Result<(MessageId, MessageKeyId)> {
    let to = match identity_key(recipient, directory, console)? {
        Known::Key { key, .. } => key,
        Known::Refused { rule, why } => {
            return Err(Failure::refuted(format!("{rule}: no message may go to {recipient}")).because(why));
        }
        Known::Nobody => {
            let origin = &directory.target().origin;
            return Err(Failure::refuted(format!("no-did: the log `{origin}` knows nothing of {recipient}"))
                .hint("its owner makes it known there: `aip register`, or any other command of Python aip that registers"));
        }
    };
    let (did, now) = (identity.did, clock::now_millis());
    let mail = LegacyMail::seal(text, did, &identity.key, recipient, &to, now, &mut UnwrapErr(SysRng));
    let mail = mail.map_err(|error| Failure::new("the text cannot be sent so").caused_by(error))?;
    let (client, message) = (&directory.target().client, python::Message::from(&mail));
    // The same bytes again are no second message.
    let sent = directory.patience().ask(console, || match client.python_message(&message) {
        Err(error) if error.status() == Some(409) => Ok(Ok(())),
        Err(error) if error.retry().is_none() && matches!(error.status(), Some(400..500)) => Ok(Err(error)),
        sent => sent.map(Ok),
    });
    sent?.map(|()| (name_of(&mail), MessageKey::of_identity(&to).id())).map_err(not_taken)
}

fn not_taken(error: ClientError) -> Failure {
    let failure = Failure::refuted("the log does not take the message").because(error.one_line());
    match error.status() {
        Some(404 | 405) => {
            failure.hint("it takes no mail of Python aip: its operator turns that on, `--aip-v1`")
        }
        _ => failure,
    }
}

impl MailJudge<'_> {
    /// Judges mail of Python `aip`; `None`: nobody asked for it.
    pub(super) fn judge_legacy(
        &mut self,
        arrived: &Arrived,
        content: &LegacyContent,
        seen: &BTreeSet<Name>,
        console: &mut Console,
    ) -> Option<Judged> {
        // It says no message that it answers.
        if self.in_reply_to.is_some() {
            return None;
        }
        let mut judged = Judged::of(arrived, None, Verdict::Unable(Failure::new("nothing was looked at")));
        let (Some(sender), Some(received_at)) = (arrived.sender, arrived.received_at) else {
            judged.verdict = Verdict::Unable(Failure::new("mail of Python aip comes by a relay alone"));
            return Some(judged);
        };
        let mail = match LegacyMail::parse(sender, self.did, content.clone()) {
            Ok(mail) => mail,
            Err(refusal) => {
                judged.verdict = refused(&refusal);
                return Some(judged);
            }
        };
        let id = name_of(&mail);
        let is_seen = seen.contains(&(sender, id));
        if is_seen && self.again == Again::PassedOver {
            return None;
        }
        judged.id = Some(id);
        judged.expires = LogTime::from_millis(received_at.as_millis().saturating_add(MAX_LIFE_MILLIS));
        judged.key_kind = Some(KeyKind::Identity);
        judged.verdict = match identity_key(sender, &mut self.directory, console) {
            Err(failure) => Verdict::Unable(failure),
            Ok(Known::Nobody) => {
                Verdict::Unable(Failure::new(format!("nobody here knows the key of {sender}")))
            }
            Ok(Known::Refused { rule, why }) => Verdict::Refused { rule, why },
            Ok(Known::Key { key, is_registered }) => {
                self.open_legacy(&mail, received_at, &key, is_registered, is_seen, &mut judged)
            }
        };
        Some(judged)
    }

    fn open_legacy(
        &self,
        mail: &LegacyMail,
        received_at: LogTime,
        sender_key: &Ed25519PublicKey,
        is_registered: bool,
        is_seen: bool,
        judged: &mut Judged,
    ) -> Verdict {
        // The time that was signed is near its arrival, which the relay says: so that is near its own time too, or the relay shows
        // again what it had to delete.
        let (now, arrived) = (clock::now_millis().as_millis(), received_at.as_millis());
        if arrived > now.saturating_add(MAX_AHEAD_MILLIS) || now >= arrived.saturating_add(MAX_LIFE_MILLIS) {
            let why = "it came to the relay in the future, or more than 7 days ago".to_owned();
            return Verdict::Refused { rule: LegacyRefusal::Time.rule().to_owned(), why };
        }
        let circumstances = LegacyCircumstances {
            did: self.did,
            key: self.held.identity(),
            received_at,
            sender_key,
            seen: is_seen && self.again == Again::Refused,
        };
        let body = match mail.open(&circumstances) {
            Ok(body) => body,
            Err(refusal) => {
                if refusal == LegacyRefusal::Replay {
                    judged.replay = Replay::Seen;
                }
                return refused(&refusal);
            }
        };
        let counts_for_nothing = |rule: &str, what: &str| Verdict::Refused {
            rule: rule.to_owned(),
            why: format!("mail of Python aip {what}: its sender is not proven to know the text"),
        };
        if self.registered_only {
            return counts_for_nothing("not-registered", "does not count as a registered sender's");
        }
        if !self.artifacts.is_empty() {
            return counts_for_nothing("artifact-listed", "names no artifact");
        }
        Verdict::Accepted(Box::new(Letter {
            is_registered,
            body,
            content_type: TEXT.to_owned(),
            attachments: Vec::new(),
            saved: Vec::new(),
            artifacts: Vec::new(),
            in_reply_to: None,
            recipients: vec![self.did],
        }))
    }
}

fn refused(refusal: &LegacyRefusal) -> Verdict {
    Verdict::Refused { rule: refusal.rule().to_owned(), why: refusal.to_string() }
}

/// The name that mail of Python `aip` has here: the beginning of SHA-256 of its signature, which is the relay's id for it too.
pub(crate) fn name_of(mail: &LegacyMail) -> MessageId {
    let hash = mail.replay_key();
    MessageId::from_bytes(*hash.as_bytes().first_chunk().expect("a digest is longer than 16 bytes"))
}

/// Whose mail it is that one writes or reads.
enum Known {
    /// Its current key, and whether the log registered it.
    Key { key: Ed25519PublicKey, is_registered: bool },
    /// A rule of its state keeps it from messages.
    Refused { rule: String, why: String },
    /// The log knows no key of it.
    Nobody,
}

fn identity_key(did: Did, directory: &mut Directory<'_>, console: &mut Console) -> Result<Known> {
    let Some(state) = directory.sender(did, console)?.state else {
        let key = directory.bare_key(did, console)?;
        return Ok(key.map_or(Known::Nobody, |key| Known::Key { key, is_registered: false }));
    };
    if let Err(error) = check_may_message(&state) {
        return Ok(Known::Refused { rule: error.rule().to_owned(), why: error.to_string() });
    }
    let key = Ed25519PublicKey::from_bytes(state.key())
        .map_err(|error| Failure::new(format!("the current key of {did} is none")).caused_by(error))?;
    Ok(Known::Key { key, is_registered: true })
}
