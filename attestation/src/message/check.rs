//! What a recipient checks. The order is the order of the rules; the first that does not hold is the reason.
//!
//! ```text
//! text or bytes ─ Sealed::from_… ─▶ Sealed ─ open ─▶ Opened ─ accept ─▶ Accepted
//!                 form, suite                recipient …      the sender's state,
//!                                            signature        clock, replay
//! ```
//! Only [`Accepted`] gives out the text. A caller without evidence of the sender's state stops at [`Opened`]: what could not
//! be checked is neither accepted nor refused.

use std::fmt;

use super::statement::{Message, MessageError, SignedMessage};
use super::{EnvelopeId, MessageId, MessageKeyId, MessagePrivateKey, Sealed, SealedError};
use crate::did::Did;
use crate::identity::{Identity, StateError, check_message_signer};
use crate::logged::LogTime;
use crate::quote::quoted;

/// How far ahead of the reader's clock a sender's may be.
pub const MAX_AHEAD_MILLIS: u64 = 5 * 60 * 1_000;

/// Who reads a message, and what is known of its way.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox<'a> {
    /// Whose mailbox it is.
    pub did: Did,
    /// The keys that the reader holds: message keys, and the X25519 form of its identity key.
    pub keys: &'a [MessagePrivateKey],
    /// The log whose relay it came from, or whose state will judge the sender of a file.
    pub origin: &'a str,
    /// Whom the relay names as its sender; `None` for a file.
    pub relay_sender: Option<Did>,
}

impl Mailbox<'_> {
    /// Opens a sealed message: all checks that need keys and nothing else, from `recipient` to `signature`.
    pub fn open(&self, sealed: &Sealed) -> Result<Opened, Refusal> {
        if sealed.recipient() != self.did {
            return Err(Refusal::Recipient(sealed.recipient()));
        }
        let key_id = sealed.key_id();
        let key = self.keys.iter().find(|key| key.id() == key_id).ok_or(Refusal::RecipientKey(key_id))?;
        let signed = sealed.decrypt(key)?;
        let message = signed.message();
        if message.id != sealed.message_id() {
            return Err(Refusal::MessageId);
        }
        if !message.recipients.contains(&self.did) {
            return Err(Refusal::Addressee);
        }
        if let Some(relay) = self.relay_sender.filter(|relay| *relay != message.sender) {
            return Err(Refusal::SenderDiffers { relay, statement: message.sender });
        }
        if message.origin != self.origin {
            return Err(Refusal::Origin(quoted(&message.origin)));
        }
        if !signed.verifies() {
            return Err(Refusal::Signature);
        }
        Ok(Opened { signed, envelope: sealed.id(), key_id })
    }
}

/// A message that its key opened and its sender's key signed. Whether that key is the sender's is not known yet, so the text
/// is not to be had.
#[derive(Clone)]
pub struct Opened {
    signed: SignedMessage,
    envelope: EnvelopeId,
    key_id: MessageKeyId,
}

/// What decides about an opened message.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The sender's state, by evidence as of a checkpoint that the reader's policy accepts; `None`: not registered there.
    pub sender: Option<&'a Identity>,
    /// The reader's clock.
    pub now: LogTime,
    /// Whether sender and id were accepted before: [`Opened::sender`], [`Opened::id`].
    pub seen: bool,
    /// Whether only registered senders are wanted.
    pub registered_only: bool,
}

impl Opened {
    /// Judges the sender, the time and the repetition.
    pub fn accept(self, circumstances: &Circumstances<'_>) -> Result<Accepted, Refusal> {
        let Circumstances { sender, now, seen, registered_only } = *circumstances;
        let Message { created, expires, .. } = *self.signed.message();
        check_message_signer(sender, self.sender(), self.signed.key().as_bytes())?;
        if created.as_millis() > now.as_millis().saturating_add(MAX_AHEAD_MILLIS) {
            return Err(Refusal::Created { created, now });
        }
        if now >= expires {
            return Err(Refusal::Expired { expires, now });
        }
        if seen {
            return Err(Refusal::Replay);
        }
        if registered_only && sender.is_none() {
            return Err(Refusal::NotRegistered);
        }
        Ok(Accepted { opened: self, is_registered: sender.is_some() })
    }

    /// Who says that it sent this: whose state must be looked up.
    pub fn sender(&self) -> Did {
        self.signed.message().sender
    }

    /// The message's id: with the sender, what a replay store remembers until [`Opened::expires`].
    pub fn id(&self) -> MessageId {
        self.signed.message().id
    }

    /// When it was written, by its sender's word.
    pub fn created(&self) -> LogTime {
        self.signed.message().created
    }

    /// When it ends.
    pub fn expires(&self) -> LogTime {
        self.signed.message().expires
    }

    /// What names this copy: what is acknowledged.
    pub fn envelope(&self) -> EnvelopeId {
        self.envelope
    }

    /// The key that opened it.
    pub fn key_id(&self) -> MessageKeyId {
        self.key_id
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} of {})", self.id(), self.sender())
    }
}

/// A message that passed every check.
#[derive(Clone, Debug)]
pub struct Accepted {
    opened: Opened,
    is_registered: bool,
}

impl Accepted {
    /// What its sender says.
    pub fn message(&self) -> &Message {
        self.opened.signed.message()
    }

    /// With its key, payload and signature.
    pub fn signed(&self) -> &SignedMessage {
        &self.opened.signed
    }

    /// Whether the log registered its sender.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// What names this copy: what is acknowledged.
    pub fn envelope(&self) -> EnvelopeId {
        self.opened.envelope
    }

    /// The key that opened it.
    pub fn key_id(&self) -> MessageKeyId {
        self.opened.key_id
    }
}

/// Why a message is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The reader is not in the group: somebody passed on what was not for the reader.
    #[error("its sender did not write it to this mailbox: somebody else passed it on")]
    Addressee,
    /// Written later than now.
    #[error("it was written {} s ahead of this clock", seconds_between(*now, *created))]
    Created {
        /// When, by the sender.
        created: LogTime,
        /// The reader's clock.
        now: LogTime,
    },
    /// The key does not open it.
    #[error("the key does not open it: it was altered, or sealed to another key under this key's name")]
    Decryption,
    /// It ended.
    #[error("it expired {} s ago", seconds_between(*expires, *now))]
    Expired {
        /// When.
        expires: LogTime,
        /// The reader's clock.
        now: LogTime,
    },
    /// Not a sealed message that this release knows.
    #[error(transparent)]
    Form(#[from] SealedError),
    /// Header and statement are of two messages.
    #[error("its header names another message than its statement")]
    MessageId,
    /// Only registered senders are wanted.
    #[error("its sender is not registered in the log")]
    NotRegistered,
    /// For another log.
    #[error("it is for the log {0}")]
    Origin(String),
    /// Not the one frame of its payload.
    #[error("it is not padded with zeros to the smallest size")]
    Padding,
    /// The statement breaks a rule.
    #[error("its statement: {0}")]
    Payload(MessageError),
    /// For another mailbox.
    #[error("it is sealed for {0}")]
    Recipient(Did),
    /// For a key that the reader does not hold.
    #[error(
        "it is sealed to the key {0}, which is not here: another device has it, or it was destroyed after its rotation"
    )]
    RecipientKey(MessageKeyId),
    /// Accepted before.
    #[error("it was accepted before")]
    Replay,
    /// The relay names somebody else.
    #[error("the relay names {relay} as its sender, and the statement {statement}")]
    SenderDiffers {
        /// Whom the relay names.
        relay: Did,
        /// Whom the statement names.
        statement: Did,
    },
    /// Not signed by the key that it names.
    #[error("its signature is not by the key that it names")]
    Signature,
    /// The sender's state forbids it.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Refusal {
    /// Every rule, in the order in which the checks are made.
    pub const RULES: [&str; 21] = [
        "form",
        "suite",
        "recipient",
        "recipient-key",
        "decryption",
        "padding",
        "payload",
        "message-id",
        "addressee",
        "sender-differs",
        "origin",
        "signature",
        "deactivated",
        "compromised",
        "retired-key",
        "signer-key",
        "capability",
        "created",
        "expired",
        "replay",
        "not-registered",
    ];

    /// The fixed identifier of the rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Addressee => "addressee",
            Self::Created { .. } => "created",
            Self::Decryption => "decryption",
            Self::Expired { .. } => "expired",
            Self::Form(error) => error.rule(),
            Self::MessageId => "message-id",
            Self::NotRegistered => "not-registered",
            Self::Origin(_) => "origin",
            Self::Padding => "padding",
            Self::Payload(_) => "payload",
            Self::Recipient(_) => "recipient",
            Self::RecipientKey(_) => "recipient-key",
            Self::Replay => "replay",
            Self::SenderDiffers { .. } => "sender-differs",
            Self::Signature => "signature",
            Self::State(error) => error.rule(),
        }
    }
}

fn seconds_between(earlier: LogTime, later: LogTime) -> u64 {
    later.as_millis().saturating_sub(earlier.as_millis()) / 1_000
}
