//! Receipts: a statement, its entry in a log and the proof of it, in one file that is verified offline
//! (`specs/receipt.md`).
//!
//! ```text
//! {"mediaType": "application/vnd.aip.receipt.v1+json",
//!  "did": "did:aip:…", "publicKey": "<base64, raw>", "envelope": {…},     signed
//!  "leaf": "<base64 of the pending leaf>"                                 pending
//!  "leaf": "<base64 of the leaf>", "proof": "<tlog-proof>",               logged
//!          ["sigstoreNote": "<signed note>"], ["identity": [{"leaf": "<base64>", "proof": "<tlog-proof>"} …]]}
//! ```
//! In scope: reading, writing, and every check of `verify`. Out of scope: whether `sigstoreNote` is good
//! (the export to Sigstore judges it); what the log took after the receipt's checkpoint.

use serde::Serialize;
use tlog::checkpoint::{Checkpoint, CheckpointError};
use tlog::encoding;
use tlog::key::{Ed25519PublicKey, KeyError};
use tlog::proof::{TlogProof, TlogProofError};

use crate::did::{Did, DidError};
use crate::dsse::{Envelope, EnvelopeError};
use crate::entry::{DsseEntry, EntryError, PendingEntry};
use crate::json::{JsonError, MAX_DEPTH, Object};
use crate::quote::quoted;
use crate::statement::{Statement, StatementError};

mod demand;
mod history;
mod later;
mod naming;
mod report;
mod verify;

pub use demand::Demand;
pub(crate) use demand::{Facts, in_order};
pub use history::{History, HistoryError};
pub use later::SignerState;
pub use naming::is_named;
pub(crate) use report::Progress;
pub use report::{Check, Fault, Outcome, Report, Verdict};
pub use verify::{Pin, Signers, Verified, VerifyPolicy, verify};

/// The media type in a receipt's first member.
pub const MEDIA_TYPE: &str = "application/vnd.aip.receipt.v1+json";

/// A receipt that keeps the rules of its format. Nothing in it has been verified: [`Receipt::verify`].
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    did: Did,
    public_key: Ed25519PublicKey,
    envelope: Envelope,
    statement: Statement,
    state: State,
}

/// How far a receipt has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The statement is signed; no log has been asked.
    Signed,
    /// The claim is signed too, for one log. What was sent, to be sent again unchanged.
    Pending(Box<PendingEntry>),
    /// A log has answered.
    Logged(Box<Logged>),
}

/// What a log answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logged {
    /// The entry, with the log's time.
    pub entry: DsseEntry,
    /// Its proof, and the checkpoint with its cosignatures.
    pub proof: TlogProof,
    /// The checkpoint's text, read. Whether its log signed it is the check `log-signature`.
    checkpoint: Checkpoint,
    /// A second note over the same tree, for stock cosign. Not looked at.
    pub sigstore_note: Option<String>,
    /// The signer's identity events with proofs on the same checkpoint. What they say is the check
    /// `signer-state`.
    pub identity: Vec<IdentityEvent>,
}

/// An event of the signer and its proof.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityEvent {
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Its proof.
    pub proof: TlogProof,
}

impl Receipt {
    /// The receipt of a signed statement that no log has seen.
    pub fn signed(did: Did, public_key: Ed25519PublicKey, envelope: Envelope) -> Result<Self, ReceiptError> {
        let statement = Statement::parse(envelope.unverified_payload())?;
        Ok(Self { did, public_key, envelope, statement, state: State::Signed })
    }

    /// The receipt with the entry that is about to be sent.
    #[must_use]
    pub fn pending(self, entry: PendingEntry) -> Self {
        Self { state: State::Pending(Box::new(entry)), ..self }
    }

    /// The receipt with what a log answered, which the caller has still to verify.
    pub fn logged(
        self,
        entry: DsseEntry,
        proof: TlogProof,
        sigstore_note: Option<String>,
    ) -> Result<Self, ReceiptError> {
        let checkpoint = Checkpoint::parse(proof.checkpoint.text())?;
        let logged = Logged { entry, proof, checkpoint, sigstore_note, identity: Vec::new() };
        Ok(Self { state: State::Logged(Box::new(logged)), ..self })
    }

    /// The receipt with the signer's identity events, in log order, as the log gave them. A receipt that is
    /// not logged has none.
    pub fn with_identity(mut self, identity: Vec<IdentityEvent>) -> Result<Self, ReceiptError> {
        let State::Logged(logged) = &mut self.state else {
            return Err(ReceiptError::NeedsProof { member: "identity" });
        };
        for (event, at) in identity.iter().zip(0..) {
            event.check_checkpoint(at, &logged.checkpoint)?;
        }
        logged.identity = identity;
        Ok(self)
    }

    /// Reads a receipt. How long one may be is the caller's limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let mut receipt = Object::parse(bytes, MAX_DEPTH)?;
        let media_type = receipt.string("mediaType")?;
        if media_type != MEDIA_TYPE {
            return Err(ReceiptError::MediaType(quoted(&media_type)));
        }
        let did = receipt.string("did")?.parse()?;
        let public_key = encoding::decode_base64_array(&receipt.string("publicKey")?);
        let public_key = public_key.ok_or(ReceiptError::PublicKey)?;
        let envelope = Envelope::from_json(receipt.object("envelope")?)?;
        let state = State::from_json(&mut receipt)?;
        receipt.finish()?;
        let statement = Statement::parse(envelope.unverified_payload())?;
        // Last, since it costs more than all the rest.
        let public_key = Ed25519PublicKey::from_bytes(&public_key)?;
        Ok(Self { did, public_key, envelope, statement, state })
    }

    /// The receipt as it is written to a file: members in the order of the format, indented by two spaces,
    /// newline at the end. The same receipt always gives the same text.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            media_type: &'static str,
            did: Did,
            public_key: String,
            envelope: &'a Envelope,
            #[serde(skip_serializing_if = "Option::is_none")]
            leaf: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            proof: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sigstore_note: Option<&'a str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            identity: Vec<Event>,
        }
        #[derive(Serialize)]
        struct Event {
            leaf: String,
            proof: String,
        }
        let leaf = match &self.state {
            State::Signed => None,
            State::Pending(entry) => Some(entry.to_bytes()),
            State::Logged(logged) => Some(logged.entry.to_bytes()),
        };
        let logged = self.log_answer();
        let event = |event: &IdentityEvent| Event {
            leaf: encoding::base64(&event.leaf),
            proof: event.proof.to_string(),
        };
        let wire = Wire {
            media_type: MEDIA_TYPE,
            did: self.did,
            public_key: encoding::base64(self.public_key.as_bytes()),
            envelope: &self.envelope,
            leaf: leaf.map(|leaf| encoding::base64(&leaf)),
            proof: logged.map(|logged| logged.proof.to_string()),
            sigstore_note: logged.and_then(|logged| logged.sigstore_note.as_deref()),
            identity: logged.map_or(Vec::new(), |logged| logged.identity.iter().map(event).collect()),
        };
        // The envelope is what may be long. A text that grows by doubling takes twice its length.
        let beside: usize = [&wire.leaf, &wire.proof].into_iter().flatten().map(String::len).sum();
        let mut json = Vec::with_capacity(self.envelope.json_bytes() + 2 * beside + 4096);
        serde_json::to_writer_pretty(&mut json, &wire).expect("text in, JSON out");
        json.push(b'\n');
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Who signed, by its own word.
    pub fn did(&self) -> Did {
        self.did
    }

    /// The key that signed, by its own word.
    pub fn public_key(&self) -> &Ed25519PublicKey {
        &self.public_key
    }

    /// The envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What the envelope says. Not to be believed before [`Receipt::verify`].
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// How far the receipt has come.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is sent to a log, again if it was sent before.
    pub fn pending_entry(&self) -> Option<&PendingEntry> {
        match &self.state {
            State::Signed => None,
            State::Pending(entry) => Some(entry),
            State::Logged(logged) => Some(logged.entry.pending()),
        }
    }

    /// What a log answered.
    pub fn log_answer(&self) -> Option<&Logged> {
        match &self.state {
            State::Signed | State::Pending(_) => None,
            State::Logged(logged) => Some(logged),
        }
    }
}

impl Logged {
    /// The checkpoint that the proof leads to. Not to be believed before [`Receipt::verify`].
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl State {
    fn from_json(receipt: &mut Object) -> Result<Self, ReceiptError> {
        let leaf = receipt.optional_string("leaf")?;
        let proof = receipt.optional_string("proof")?;
        let sigstore_note = receipt.optional_string("sigstoreNote")?;
        let identity = receipt.optional_objects("identity")?;
        let leaf = leaf.map(|leaf| encoding::decode_base64(&leaf).ok_or(ReceiptError::LeafEncoding));
        let Some(proof) = proof else {
            let proved = [("sigstoreNote", sigstore_note.is_some()), ("identity", identity.is_some())];
            if let Some((member, _)) = proved.into_iter().find(|(_, there)| *there) {
                return Err(ReceiptError::NeedsProof { member });
            }
            return Ok(match leaf.transpose()? {
                None => Self::Signed,
                Some(leaf) => Self::Pending(Box::new(PendingEntry::parse(&leaf)?)),
            });
        };
        let entry = DsseEntry::parse(&leaf.ok_or(ReceiptError::ProofWithoutLeaf)??)?;
        let proof = TlogProof::parse(&proof)?;
        let checkpoint = Checkpoint::parse(proof.checkpoint.text())?;
        let identity = match identity {
            None => Vec::new(),
            Some(events) if events.is_empty() => return Err(ReceiptError::IdentityEmpty),
            Some(events) => {
                let event = |(event, at)| IdentityEvent::from_json(event, at, &checkpoint);
                events.into_iter().zip(0..).map(event).collect::<Result<_, _>>()?
            }
        };
        Ok(Self::Logged(Box::new(Logged { entry, proof, checkpoint, sigstore_note, identity })))
    }
}

impl IdentityEvent {
    fn from_json(mut event: Object, at: usize, checkpoint: &Checkpoint) -> Result<Self, ReceiptError> {
        let leaf = event.string("leaf")?;
        let proof = event.string("proof")?;
        event.finish()?;
        let leaf = encoding::decode_base64(&leaf).ok_or(ReceiptError::IdentityLeaf { at })?;
        let proof = TlogProof::parse(&proof).map_err(|cause| ReceiptError::IdentityProof { at, cause })?;
        let event = Self { leaf, proof };
        event.check_checkpoint(at, checkpoint)?;
        Ok(event)
    }

    fn check_checkpoint(&self, at: usize, checkpoint: &Checkpoint) -> Result<(), ReceiptError> {
        if self.proof.checkpoint.text() == checkpoint.to_string() {
            Ok(())
        } else {
            Err(ReceiptError::IdentityCheckpoint { at })
        }
    }
}

/// Why a text is no receipt.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReceiptError {
    /// The proof's note is no checkpoint.
    #[error("malformed checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// `did` is no `did:aip`.
    #[error(transparent)]
    Did(#[from] DidError),
    /// The leaf is no `dsse` entry, or has a `loggedAt` without a proof, or a proof without one.
    #[error("leaf: {0}")]
    Entry(#[from] EntryError),
    /// The envelope is malformed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The proof of an event leads to another checkpoint than the receipt's.
    #[error("the proof of `identity[{at}]` leads to another checkpoint than the receipt's")]
    IdentityCheckpoint {
        /// Its position, from 0.
        at: usize,
    },
    /// `identity` without an event.
    #[error("`identity` is empty: it holds events or is absent")]
    IdentityEmpty,
    /// An event's leaf is not strict base64.
    #[error("`identity[{at}].leaf` is not canonical base64")]
    IdentityLeaf {
        /// Its position, from 0.
        at: usize,
    },
    /// An event's proof is malformed.
    #[error("`identity[{at}].proof`: {cause}")]
    IdentityProof {
        /// Its position, from 0.
        at: usize,
        /// What is wrong with it.
        cause: TlogProofError,
    },
    /// Not JSON, or not with these members.
    #[error("receipt: {0}")]
    Json(#[from] JsonError),
    /// `publicKey` is no key that can be believed in.
    #[error("`publicKey`: {0}")]
    Key(#[from] KeyError),
    /// `leaf` is not strict base64.
    #[error("`leaf` is not canonical base64")]
    LeafEncoding,
    /// Another media type.
    #[error("`mediaType` is {0}, not {MEDIA_TYPE:?}")]
    MediaType(String),
    /// A member that only a logged receipt has.
    #[error("`{member}` needs a `proof`")]
    NeedsProof {
        /// The member.
        member: &'static str,
    },
    /// The proof is malformed.
    #[error("proof: {0}")]
    Proof(#[from] TlogProofError),
    /// A proof of nothing.
    #[error("a `proof` needs the `leaf` that it is for")]
    ProofWithoutLeaf,
    /// `publicKey` is not 32 bytes in strict base64.
    #[error("`publicKey` is not 32 bytes in canonical base64")]
    PublicKey,
    /// The payload is no statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
}
