//! What came, to a verdict: accepted, refused by a rule, or not to be judged now.
//!
//! The text of a message is in [`Letter`], and only what was accepted has one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::{
    Accepted, Artifact, Attachment, Circumstances, Content, EnvelopeId, KeyKind, Mailbox, Message, MessageId,
    Refusal, Sealed, Waiting,
};
use tlog::Hash;

use super::artifacts::{self, Unproven};
use super::directory::Directory;
use super::keys::Held;
use super::seen::{Name, Seen};
use crate::clock;
use crate::report::{Console, Failure, Result};

/// What is asked of what comes.
pub(crate) struct MailJudge<'a> {
    /// Whose mailbox it is.
    pub did: Did,
    /// The keys that are here.
    pub held: Held,
    /// Who is who.
    pub directory: Directory<'a>,
    /// What was shown before, if that is kept.
    pub seen: Option<Seen>,
    /// What becomes of a message that was shown before.
    pub again: Again,
    /// Only these senders; all if it is empty.
    pub from: Vec<Did>,
    /// Only answers to this message.
    pub in_reply_to: Option<MessageId>,
    /// Whether only registered senders are wanted.
    pub registered_only: bool,
    /// The files that a message must prove, each.
    pub artifacts: Vec<Hash>,
    /// Until when another process is waited for.
    pub deadline: Instant,
}

/// What becomes of a message that was shown before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Again {
    /// It is shown again, and called so: it still waits in the mailbox.
    Shown,
    /// It is passed over.
    PassedOver,
    /// It is refused: somebody waits for a new one.
    Refused,
}

/// What came, and on which way.
pub(crate) struct Arrived {
    /// What it is.
    pub content: Content,
    /// Its envelope id: by the relay's word, of a file its own.
    pub envelope: EnvelopeId,
    /// Whom the relay names as its sender; nobody of a file.
    pub sender: Option<Did>,
    /// When it came to the relay.
    pub received_at: Option<LogTime>,
}

impl From<Waiting> for Arrived {
    fn from(waiting: Waiting) -> Self {
        let Waiting { content, id, received_at, sender, .. } = waiting;
        Self { content, envelope: id, sender: Some(sender), received_at: Some(received_at) }
    }
}

impl Arrived {
    /// A sealed message from a file.
    pub(crate) fn file(sealed: &Sealed) -> Self {
        let content = Content::Sealed(sealed.to_base64());
        Self { content, envelope: sealed.id(), sender: None, received_at: None }
    }
}

/// What came of it.
pub(crate) struct Judged {
    /// The copy that was judged.
    pub envelope: EnvelopeId,
    /// Further copies of the same message, for other keys that are here.
    pub copies: Vec<EnvelopeId>,
    /// The message's id, once it was opened; before that what the header says.
    pub id: Option<MessageId>,
    /// Who sent it: by the relay's word, until it is accepted.
    pub sender: Option<Did>,
    /// When it was written, by its sender.
    pub created: Option<LogTime>,
    /// When it ends, by its sender.
    pub expires: Option<LogTime>,
    /// When it came to the relay.
    pub received_at: Option<LogTime>,
    /// Which key opened it.
    pub key_kind: Option<KeyKind>,
    /// Whether it was shown before.
    pub replay: Replay,
    /// Whether it is mail of Python `aip`.
    pub is_legacy: bool,
    /// The verdict.
    pub verdict: Verdict,
}

/// Whether a message was shown before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Replay {
    /// It was not.
    New,
    /// It was.
    Seen,
    /// Nobody knows: nothing is kept here, or it was not asked.
    NotChecked,
}

impl Replay {
    /// The word for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Seen => "seen",
            Self::NotChecked => "not-checked",
        }
    }
}

/// What is to be believed.
pub(crate) enum Verdict {
    /// All that its sender says.
    Accepted(Box<Letter>),
    /// Nothing: a rule does not hold.
    Refused {
        /// Its identifier.
        rule: String,
        /// Why.
        why: String,
    },
    /// Nothing yet: it could not be judged.
    Unable(Failure),
}

/// What an accepted message says.
pub(crate) struct Letter {
    /// Whether the log registered its sender.
    pub is_registered: bool,
    /// The text.
    pub body: String,
    /// What it is.
    pub content_type: String,
    /// Files that came with it.
    pub attachments: Vec<Attachment>,
    /// Where they were saved.
    pub saved: Vec<PathBuf>,
    /// Artifacts that it is about.
    pub artifacts: Vec<Artifact>,
    /// The message that it answers.
    pub in_reply_to: Option<MessageId>,
    /// The whole group.
    pub recipients: Vec<Did>,
}

impl From<&Accepted> for Letter {
    fn from(accepted: &Accepted) -> Self {
        let Message { artifacts, attachments, body, content_type, in_reply_to, recipients, .. } =
            accepted.message().clone();
        let (is_registered, saved) = (accepted.is_registered(), Vec::new());
        Self { is_registered, body, content_type, attachments, saved, artifacts, in_reply_to, recipients }
    }
}

impl Judged {
    /// Its text, if it was accepted.
    pub(crate) fn letter(&self) -> Option<&Letter> {
        match &self.verdict {
            Verdict::Accepted(letter) => Some(letter),
            Verdict::Refused { .. } | Verdict::Unable(_) => None,
        }
    }

    /// Who sent it and what its sender calls it, if it was accepted.
    fn accepted_as(&self) -> Option<Name> {
        self.letter().and(self.sender.zip(self.id))
    }

    /// What is acknowledged with it.
    pub(crate) fn envelopes(&self) -> impl Iterator<Item = EnvelopeId> {
        std::iter::once(self.envelope).chain(self.copies.iter().copied())
    }

    pub(super) fn of(arrived: &Arrived, sealed: Option<&Sealed>, verdict: Verdict) -> Self {
        Self {
            envelope: arrived.envelope,
            copies: Vec::new(),
            id: sealed.map(Sealed::message_id),
            sender: arrived.sender,
            created: None,
            expires: None,
            received_at: arrived.received_at,
            key_kind: None,
            replay: Replay::NotChecked,
            is_legacy: matches!(arrived.content, Content::Legacy(_)),
            verdict,
        }
    }

    fn is_for_another_key(&self) -> bool {
        matches!(&self.verdict, Verdict::Refused { rule, .. } if rule == "recipient-key")
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.verdict = refused(refusal);
        if matches!(refusal, Refusal::Replay) {
            self.replay = Replay::Seen;
        }
    }
}

fn refused(refusal: &Refusal) -> Verdict {
    Verdict::Refused { rule: refusal.rule().to_owned(), why: refusal.to_string() }
}

impl MailJudge<'_> {
    /// Judges what came, in its order, behind what came before. What nobody asked for is left out. Those that are accepted
    /// are marked as shown, durably, before they are answered.
    pub(crate) fn judge(
        &mut self,
        arrived: Vec<Arrived>,
        judged: &mut Vec<Judged>,
        console: &mut Console,
    ) -> Result<()> {
        let before = judged.len();
        // By sender and id: of several copies the first is shown, on whatever page the others come.
        let mut first: BTreeMap<Name, usize> =
            judged.iter().enumerate().filter_map(|(at, one)| Some((one.accepted_as()?, at))).collect();
        let mut seen = self.seen.as_ref().map_or(Ok(BTreeSet::new()), Seen::all)?;
        seen.retain(|name| !first.contains_key(name));
        for arrived in arrived {
            if !self.wants_from(arrived.sender) {
                continue;
            }
            let Some(one) = self.judge_one(&arrived, &seen, console) else { continue };
            let name = one.accepted_as();
            match name.and_then(|name| first.get(&name).copied()) {
                Some(at) => judged[at].copies.push(one.envelope),
                None => {
                    first.extend(name.map(|name| (name, judged.len())));
                    judged.push(one);
                }
            }
        }
        // A copy for another device of a message that was opened here is nothing to tell.
        let opened: BTreeSet<MessageId> =
            judged.iter().filter(|one| one.letter().is_some()).filter_map(|one| one.id).collect();
        let mut new = judged.split_off(before);
        new.retain(|one| !(one.is_for_another_key() && one.id.is_some_and(|id| opened.contains(&id))));
        self.mark(&mut new)?;
        if self.again == Again::PassedOver {
            // Another process showed it meanwhile.
            new.retain(|one| one.letter().is_none() || one.replay != Replay::Seen);
        }
        judged.append(&mut new);
        Ok(())
    }

    fn wants_from(&self, sender: Option<Did>) -> bool {
        self.from.is_empty() || sender.is_none_or(|sender| self.from.contains(&sender))
    }

    /// `None`: nobody asked for it.
    fn judge_one(
        &mut self,
        arrived: &Arrived,
        seen: &BTreeSet<Name>,
        console: &mut Console,
    ) -> Option<Judged> {
        let text = match &arrived.content {
            Content::Sealed(text) => text,
            Content::Legacy(mail) => return self.judge_legacy(arrived, mail, seen, console),
        };
        let sealed = match Sealed::from_base64(text) {
            Ok(sealed) => sealed,
            Err(error) => return Some(Judged::of(arrived, None, refused(&error.into()))),
        };
        let mailbox = Mailbox {
            did: self.did,
            keys: self.held.keys(),
            origin: &self.directory.target().origin,
            relay_sender: arrived.sender,
        };
        let opened = match mailbox.open(&sealed) {
            Ok(opened) => opened,
            Err(refusal) => return Some(Judged::of(arrived, Some(&sealed), refused(&refusal))),
        };
        if !self.wants_from(Some(opened.sender())) {
            return None;
        }
        let is_seen = seen.contains(&(opened.sender(), opened.id()));
        if is_seen && self.again == Again::PassedOver {
            return None;
        }
        let nothing = Verdict::Unable(Failure::new("nothing was looked at"));
        let mut judged = Judged {
            // Its own, whatever the relay calls it.
            envelope: opened.envelope(),
            id: Some(opened.id()),
            sender: Some(opened.sender()),
            created: Some(opened.created()),
            expires: Some(opened.expires()),
            key_kind: Some(self.held.kind(opened.key_id())),
            ..Judged::of(arrived, Some(&sealed), nothing)
        };
        let sender = match self.directory.sender(opened.sender(), console) {
            Ok(sender) => sender,
            Err(failure) => {
                judged.verdict = Verdict::Unable(failure);
                return Some(judged);
            }
        };
        let circumstances = Circumstances {
            sender: sender.state.as_ref(),
            now: clock::now_millis(),
            seen: is_seen && self.again == Again::Refused,
            registered_only: self.registered_only,
        };
        let accepted = match opened.accept(&circumstances) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                judged.refuse(&refusal);
                return Some(judged);
            }
        };
        if self.in_reply_to.is_some() && accepted.message().in_reply_to != self.in_reply_to {
            return None;
        }
        judged.verdict = Verdict::Accepted(Box::new(Letter::from(&accepted)));
        for sha256 in &self.artifacts {
            match artifacts::check(accepted.message(), sha256, &mut self.directory, console) {
                Ok(()) => {}
                Err(Unproven::False(check, why)) => {
                    judged.verdict = Verdict::Refused { rule: check.to_owned(), why };
                    break;
                }
                Err(Unproven::Unable(failure)) => {
                    judged.verdict = Verdict::Unable(failure);
                    break;
                }
            }
        }
        Some(judged)
    }

    /// Marks the accepted ones as shown. Another process may have shown one meanwhile.
    fn mark(&self, judged: &mut [Judged]) -> Result<()> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let name = |one: &Judged| {
            one.letter()?;
            Some(((one.sender?, one.id?), one.expires?))
        };
        let named = judged.iter_mut().filter_map(|one| Some((name(one)?, one)));
        let (names, accepted): (Vec<(Name, LogTime)>, Vec<&mut Judged>) = named.unzip();
        let is_new = seen.mark(&names, clock::now_millis(), self.deadline)?;
        for (one, is_new) in accepted.into_iter().zip(is_new) {
            one.replay = if is_new { Replay::New } else { Replay::Seen };
            if !is_new && self.again == Again::Refused {
                one.refuse(&Refusal::Replay);
            }
        }
        Ok(())
    }
}
