//! What came of judging: of one receipt, and of an artifact by all of its receipts.

use std::path::PathBuf;

use attestation::Did;
use attestation::receipt::{Check, Fault, Report, Verdict};
use tlog::Hash;

use super::demands::{OTHER_NAME, other_kind};
use super::later::AsOf;
use crate::policy_file::PolicySource;
use crate::predicate;
use crate::report::{Exit, Failure, Result};

/// What was found out about an artifact.
pub(in super::super) struct Found {
    pub(super) label: String,
    pub(super) sha256: Option<Hash>,
    /// What the receipt says that verifies; if none does, the one that is worth most.
    pub(super) answer: Judged,
    /// What the others say that were looked at.
    pub(super) others: Vec<Judged>,
}

/// How a receipt was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FoundBy {
    /// It lies where the artifact's receipts lie, or was named.
    Place,
    /// By what it says of these bytes.
    Digest,
    /// By what it calls other bytes.
    Name,
}

/// What one receipt says, or why there is none.
pub(in super::super) struct Judged {
    pub(super) receipt: Option<PathBuf>,
    /// The policy that judged.
    pub(super) policy: Option<PolicySource>,
    /// As of when, once it is logged.
    pub(super) as_of: Option<AsOf>,
    /// How many members of the policy's quorum cosigned, and of how many; `None` if it asks for none.
    pub(super) quorum: Option<(usize, usize)>,
    /// The verdict, or why there is none.
    pub(super) verdict: Result<Report>,
    /// The signer, so that it can be named before anything is believed.
    pub(super) claimed_did: Option<Did>,
    /// Whether it says that it is logged.
    pub(super) is_logged: bool,
    /// What it calls the artifact, if it was found by the digest, or calls it otherwise than its file.
    pub(super) signed_as: Option<String>,
    /// How it was found.
    pub(super) found_by: FoundBy,
    /// The bytes that were signed, believed once they are verified.
    pub(super) payload: Vec<u8>,
}

impl Judged {
    pub(super) fn none(receipt: Option<PathBuf>, failure: Failure) -> Self {
        Self {
            receipt,
            policy: None,
            as_of: None,
            quorum: None,
            verdict: Err(failure),
            claimed_did: None,
            is_logged: false,
            signed_as: None,
            found_by: FoundBy::Place,
            payload: Vec::new(),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self.verdict.as_ref().map(Report::verdict) {
            Ok(Verdict::Verified) => Exit::Yes,
            Ok(Verdict::Failed) => Exit::False,
            Ok(Verdict::CouldNotCheck) => Exit::Unable,
            Err(failure) => failure.exit(),
        }
    }

    /// Why it does not verify.
    pub(super) fn why(&self) -> Option<String> {
        match &self.verdict {
            Err(failure) => Some(failure.one_line()),
            Ok(report) => report.fault().map(|(check, fault)| format!("{check}: {fault}")),
        }
    }

    /// Its file, as messages call it.
    pub(super) fn file(&self) -> String {
        self.receipt.as_ref().map_or(String::new(), |path| path.to_string_lossy().into_owned())
    }
}

impl Found {
    /// What there is to say of an argument that names nothing.
    pub(super) fn missing(label: String, failure: Failure) -> Self {
        Self { label, sha256: None, answer: Judged::none(None, failure), others: Vec::new() }
    }

    /// The artifact's name.
    pub(in super::super) fn label(&self) -> &str {
        &self.label
    }

    /// Its SHA-256.
    pub(in super::super) fn sha256(&self) -> Option<Hash> {
        self.sha256
    }

    /// The verdict in a word, the same for people and programs.
    pub(in super::super) fn word(&self) -> &'static str {
        word(self.exit())
    }

    /// Why it is not verified.
    pub(in super::super) fn why(&self) -> Option<String> {
        let why = self.answer.why()?;
        Some(match self.unchecked() {
            None => why,
            Some(other) => format!("{why}; and {other}"),
        })
    }

    /// One receipt that verifies is enough. If there is none, one that could not be checked might have been one.
    pub(in super::super) fn exit(&self) -> Exit {
        match (self.answer.exit(), self.unchecked()) {
            (Exit::False, Some(_)) => Exit::Unable,
            (exit, _) => exit,
        }
    }

    /// What to do about that, for who is stopped by a gate.
    pub(in super::super) fn hint(&self) -> Option<String> {
        match self.answer.verdict.as_ref().map(Report::fault) {
            Err(failure) => failure.first_hint(),
            Ok(Some((_, Fault::OtherName { .. }))) => Some(OTHER_NAME.to_owned()),
            Ok(Some((Check::PredicateType, Fault::Unwanted { got, want, .. })))
                if want == predicate::PROVENANCE =>
            {
                got.first().map(|kind| other_kind(kind))
            }
            Ok(_) => None,
        }
    }

    /// The receipt for which the answer is not "false", where it is the answer of another one.
    pub(super) fn unchecked(&self) -> Option<String> {
        let is_unable = |answer: &&Judged| answer.exit() == Exit::Unable;
        let other = self.others.iter().find(is_unable).filter(|_| self.answer.exit() == Exit::False)?;
        let why = other.why().unwrap_or_default();
        match other.receipt {
            Some(_) => Some(format!("`{}` could not be checked: {why}", other.file())),
            None => Some(why),
        }
    }
}

pub(super) fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::Yes => "verified",
        Exit::False => "failed",
        Exit::Unable => "could-not-check",
    }
}
