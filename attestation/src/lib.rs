//! What a pipeline says about an artifact, and how anyone checks it: names, signatures, statements,
//! log entries, receipts.
//!
//! Pure: no clock, file, socket, environment or thread. Time is an argument, a CI environment is a
//! function from names to values, bytes come in and bytes go out (`clippy.toml` bans the rest).
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`did`] | who signs: `did:aip`, `did:key`, PEM | `specs/identity.md` |
//! | [`json`] | JSON with one meaning: no duplicates, bounded depth | RFC 8259, stricter |
//! | [`dsse`] | a payload and one signature | DSSE v1, `specs/statement.md` |
//! | [`statement`] | what is claimed about which artifacts | in-toto Statement v1, `specs/statement.md` |
//! | [`provenance`] | the claim "this CI run built it" | SLSA provenance v1, `specs/statement.md` |
//! | [`entry`] | what is logged | `specs/entry.md` |
//! | [`event`] | what pipelines say about identities | `specs/event.md` |
//! | [`identity`] | whose key it is, by the events before | `specs/identity.md` |
//! | [`leaf`] | what a leaf must keep by itself | `specs/entry.md` |
//! | [`lists`] | what is found under which key | `specs/evidence.md` |
//! | [`evidence`] | what a judgement is made from, in one file | `specs/evidence.md` |
//! | [`finding`] | what a monitor reports, with its proof | `specs/finding.md` |
//! | [`manifest`] | the signatures of Python `aip` 0.5.x | `specs/identity.md` |
//! | [`message`] | what pipelines say to each other, sealed | `specs/message.md` |
//! | [`api`] | what a log and its clients say to each other over HTTP | `specs/http.md` |
//! | [`receipt`] | statement, entry and proof in one file, and its checks | `specs/receipt.md` |
//! | [`rules`] | whether an entry may stand at its index, by those before | `specs/event.md`, `specs/identity.md` |
//! | [`sigstore`] | the forms of Sigstore's bundles and trusted roots | `specs/sigstore.md` |
//! | [`bundle`] | the checks of a bundle, and receipts as bundles for stock cosign | `specs/sigstore.md` |
//!
//! # In scope
//! Every rule that the log server, the monitor and the verifier must agree about.
//!
//! # Out of scope
//! - Trees, notes, checkpoints, witness policies: crate `tlog`.
//! - What a log already holds (is this claim known? is this its signer's current key?): the log server.
//! - Reading files and environments, and printing: the command line.
//! - Carrying messages: the relay of the log server.
//!
//! # From a payload to a verdict
//! [`statement::Statement`] → [`dsse::Envelope::sign`] → [`entry::Claim`] → [`entry::PendingEntry::sign`]
//! → (the log) → [`entry::DsseEntry`] → [`receipt::Receipt`] → [`receipt::verify`] → [`receipt::Verified`].

//!
//! ```
//! use attestation::Did;
//! use attestation::dsse::Envelope;
//! use attestation::entry::{Claim, PendingEntry, Visibility};
//! use attestation::provenance::{PREDICATE_TYPE, Provenance};
//! use attestation::receipt::Receipt;
//! use attestation::statement::{Statement, Subject};
//! use tlog::Hash;
//! use tlog::key::Ed25519PrivateKey;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Ed25519PrivateKey::from_seed(&[7; 32]);
//! let (public, did) = (key.public_key(), Did::of(&key.public_key()));
//!
//! let subject = Subject::new("app.tar.gz", Hash::of(b"the artifact"));
//! let statement = Statement::new(vec![subject], PREDICATE_TYPE, Provenance::local().to_predicate())?;
//! let envelope = Envelope::sign(&key, statement.to_payload());
//!
//! let origin = "log.example.com/pipelines";
//! let claim = Claim::new(&envelope, &statement, did, &public, origin, Visibility::Public)?;
//! let entry = PendingEntry::sign(claim, &key)?;
//! let receipt = Receipt::signed(did, public, envelope)?.pending(entry);
//!
//! // What a log does with the pending leaf that is sent to it.
//! let sent = receipt.pending_entry().ok_or("a pending receipt")?.to_bytes();
//! let entry = PendingEntry::parse(&sent)?;
//! entry.claim().check_genesis_key(&public)?;
//! entry.verify_claim_signature(&public)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod api;
pub mod bundle;
pub mod did;
pub mod dsse;
pub mod entry;
pub mod event;
pub mod evidence;
pub mod finding;
mod hex_name;
pub mod identity;
pub mod json;
pub mod leaf;
pub mod lists;
mod logged;
pub mod manifest;
pub mod message;
mod message_key;
pub mod provenance;
pub mod quote;
pub mod receipt;
pub mod rules;
pub mod sigstore;
pub mod statement;

pub use did::Did;
