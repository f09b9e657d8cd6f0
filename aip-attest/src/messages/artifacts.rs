//! Whether a message proves a file: its sender names the entry, and the entry's receipt is the sender's.
//!
//! The message alone proves nothing of a file. It says where the receipt is, and the receipt is judged as `verify` judges it.

use attestation::message::{EntryReference, Message};
use attestation::receipt::{Check, Demand, Fault, Receipt, Report, Signers, VerifyPolicy};
use tlog::Hash;

use super::directory::{Directory, Sender};
use crate::clock;
use crate::report::{Console, Failure, Result};

/// What keeps a message from proving a file.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// A check that is false, by its identifier, and why.
    False(&'static str, String),
    /// It could not be told.
    Unable(Failure),
}

/// Whether `message`, which was accepted as its sender's, proves the file with this digest.
pub(crate) fn check(
    message: &Message,
    sha256: &Hash,
    directory: &mut Directory<'_>,
    console: &mut Console,
) -> Result<(), Unproven> {
    let origin = directory.target().origin.clone();
    let named: Vec<Option<&EntryReference>> = message
        .artifacts
        .iter()
        .filter(|artifact| artifact.sha256 == *sha256)
        .map(|it| it.entry.as_ref())
        .collect();
    if named.is_empty() {
        return Err(Unproven::False("artifact-listed", format!("the message does not name sha256:{sha256}")));
    }
    let entries: Vec<&EntryReference> =
        named.into_iter().flatten().filter(|entry| entry.origin == origin).collect();
    let mut last = Unproven::False(
        "artifact-entry",
        format!("the message names no entry of the log `{origin}` for sha256:{sha256}"),
    );
    for entry in entries {
        let attached =
            message.attachments.iter().filter_map(|attachment| Receipt::parse(&attachment.content).ok());
        for receipt in attached.filter(|receipt| is_of(receipt, entry)) {
            match judge(&receipt, entry, message, sha256, directory, console) {
                Ok(()) => return Ok(()),
                Err(unproven) => last = unproven,
            }
        }
        let fetched = fetch(entry, directory, console)
            .and_then(|receipt| judge(&receipt, entry, message, sha256, directory, console));
        match fetched {
            Ok(()) => return Ok(()),
            // What an attached receipt lacks says more than that the log has none.
            Err(Unproven::Unable(_)) if matches!(last, Unproven::False(check, _) if check != "artifact-entry") =>
                {}
            Err(unproven) => last = unproven,
        }
    }
    Err(last)
}

fn is_of(receipt: &Receipt, entry: &EntryReference) -> bool {
    receipt
        .log_answer()
        .is_some_and(|logged| logged.proof.index == entry.index && logged.checkpoint().origin == entry.origin)
}

fn fetch(
    entry: &EntryReference,
    directory: &Directory<'_>,
    console: &mut Console,
) -> Result<Receipt, Unproven> {
    let client = &directory.target().client;
    let bytes = directory.patience().ask(console, || client.receipt(entry.index.get())).map_err(|failure| {
        Unproven::Unable(failure.hint(
            "an entry that was logged by hash has no receipt in the log: its sender attaches it, `aip-attest message --attach \
             RECEIPT`",
        ))
    })?;
    Receipt::parse(&bytes).map_err(|error| Unproven::False(Check::Format.id(), error.to_string()))
}

fn judge(
    receipt: &Receipt,
    entry: &EntryReference,
    message: &Message,
    sha256: &Hash,
    directory: &mut Directory<'_>,
    console: &mut Console,
) -> Result<(), Unproven> {
    if !is_of(receipt, entry) {
        return Err(Unproven::False(
            "artifact-entry",
            format!("the receipt is of another entry than {}", entry.index),
        ));
    }
    let mut report = verify(receipt, message, sha256, directory, console).map_err(Unproven::Unable)?;
    // The log grew between the two answers: the sender's state is asked for again, as of a tree that holds the receipt's.
    if matches!(report.fault(), Some((_, Fault::OlderState { .. }))) {
        directory.forget();
        report = verify(receipt, message, sha256, directory, console).map_err(Unproven::Unable)?;
    }
    match report.fault() {
        None => Ok(()),
        Some((check, fault)) if fault.could_not_check() => {
            Err(Unproven::Unable(Failure::new(format!("the receipt could not be checked: {check}: {fault}"))))
        }
        Some((check, fault)) => Err(Unproven::False(check.id(), fault.to_string())),
    }
}

fn verify(
    receipt: &Receipt,
    message: &Message,
    sha256: &Hash,
    directory: &mut Directory<'_>,
    console: &mut Console,
) -> Result<Report> {
    let Sender { signer, .. } = directory.sender(message.sender, console)?;
    let judge = &directory.target().judge;
    let mut demands = judge.trust.demands(&judge.policy);
    let now = demands
        .iter()
        .any(|demand| matches!(demand, Demand::MaxAge(_) | Demand::CheckpointFreshness(_)))
        .then(clock::now);
    demands.push(Demand::State { state: Box::new(signer), max_age: None });
    let signers = Signers::OneOf(vec![message.sender]);
    let pins = directory.pins().roots();
    let demands = VerifyPolicy { pins, demands, ..VerifyPolicy::new(&judge.policy, signers) };
    Ok(receipt.verify(&demands, sha256, now))
}
