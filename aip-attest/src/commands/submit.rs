use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::receipt::{Receipt, State};
use serde_json::json;

use crate::artifact::{self, receipts};
use crate::contact::Contact;
use crate::events;
use crate::keyfile::{self, OwnIdentity};
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::receipt_file::{self, Place};
use crate::report::{Console, Exit, Failure, Result};
use crate::submission::{self, Job, Outcome};
use crate::target::{Target, Wish};

/// Send receipts to their log: signed ones, pending ones, and logged ones to refresh their proof
///
/// A pending receipt is sent byte for byte as it is, and needs no key. A signed one has claimed no log yet:
/// the claim needs the key, and --private again if it is wanted. A logged one gets a proof to the log's
/// present tree, with the cosignatures of today.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Receipts, folders or globs of them, or artifacts: the receipt beside them, and others there that are not logged
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<OsString>,

    /// The log; else AIP_LOG_URL, the policy's, the pinned one, or the one where the DID is registered
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Log hashes only: for signed receipts; a pending one says already what the log learns
    #[arg(long)]
    private: bool,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    timeout: Option<Duration>,

    /// Print a JSON array, one element a receipt
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let instead = ["name a file: the logged receipt is written where the other one was read"];
    artifact::refuse_piped(&args.receipts, "submit", &instead)?;
    let pins = Pins::load()?;
    let deadline = super::deadline(args.timeout)?;
    let paths = receipts::select(&args.receipts)?;
    let mut outcomes: BTreeMap<PathBuf, Outcome> = BTreeMap::new();
    // A log for each origin; what has claimed none goes to the one that is named.
    let mut by_origin: BTreeMap<Option<String>, Vec<(InFile, Receipt)>> = BTreeMap::new();
    for path in &paths {
        match InFile::read(path) {
            Ok((file, receipt)) => by_origin.entry(origin(&receipt)).or_default().push((file, receipt)),
            Err(failure) => drop(outcomes.insert(path.clone(), Outcome::Left(failure))),
        }
    }
    for (origin, receipts) in by_origin {
        // What cannot be sent to one log keeps nothing from another.
        // Receipts of several signers in one place are for one log all the same.
        let did = receipts[0].1.did();
        match meet(&args, did, origin.as_deref(), &pins, deadline, console) {
            Ok(target) => {
                let contact = Contact { target: &target, pins: &pins, deadline };
                outcomes.extend(submit_to(contact, receipts, &args, console));
            }
            Err(failure) => {
                outcomes.extend(
                    receipts.into_iter().map(|(file, _)| (file.path, Outcome::Left(failure.clone()))),
                );
            }
        }
    }
    let done: Vec<(&Path, &Outcome)> = paths.iter().map(|path| (path.as_path(), &outcomes[path])).collect();
    report(&done, args.json, console);
    Ok(outcomes.values().map(Outcome::exit).fold(Exit::Yes, Exit::and))
}

/// Where a receipt was read, and where it goes.
struct InFile {
    path: PathBuf,
    place: Place,
}

impl InFile {
    fn read(path: &Path) -> Result<(Self, Receipt)> {
        let receipt = receipt_file::read(path)?;
        Ok((Self { path: path.to_path_buf(), place: Place::named(path)? }, receipt))
    }
}

/// The log that the receipt has claimed, if it has claimed one.
fn origin(receipt: &Receipt) -> Option<String> {
    receipt.pending_entry().map(|entry| entry.claim().origin().to_owned())
}

/// The log for receipts of `did` that have claimed the log `origin`, or none.
fn meet(
    args: &Args,
    did: Did,
    origin: Option<&str>,
    pins: &Pins,
    deadline: Instant,
    console: &mut Console,
) -> Result<Target> {
    let target = wish(args, did, origin, pins, console)?.meet_to_submit(pins, deadline, console)?;
    match origin {
        Some(origin) if origin != target.origin => {
            Err(Failure::new(format!("`{}` is the log `{}`", target.client.url(), target.origin))
                .because(format!("the receipt is for `{origin}`"))
                .hint("a claim is for one log: name that log, or sign again for this one"))
        }
        _ => Ok(target),
    }
}

/// The log that is named; for receipts that name one themselves, the one that is pinned for it; else the home of `did`.
fn wish(args: &Args, did: Did, origin: Option<&str>, pins: &Pins, console: &mut Console) -> Result<Wish> {
    let named = policy_file::named(args.policy.as_deref(), pins, console)?;
    let pinned = origin.and_then(|origin| pins.of_origin(origin).next());
    match (&named, pinned) {
        (None, Some(pin)) if args.log.is_none() => Wish::new(Some(&pin.url), None, pins),
        _ => events::home::wish_for(did, origin, args.log.as_deref(), named, pins, console),
    }
}

fn submit_to(
    contact: Contact<'_>,
    receipts: Vec<(InFile, Receipt)>,
    args: &Args,
    console: &mut Console,
) -> Vec<(PathBuf, Outcome)> {
    let target = contact.target;
    let dids: BTreeSet<Did> = receipts.iter().map(|(_, receipt)| receipt.did()).collect();
    dids.into_iter().for_each(|did| events::home::tell_of_other(did, target, console));
    let (signed, claimed): (Vec<_>, Vec<_>) =
        receipts.into_iter().partition(|(_, receipt)| matches!(receipt.state(), State::Signed));
    let claimed = claimed.into_iter().map(|(file, receipt)| (file, Ok(receipt)));
    let (mut jobs, mut sent, mut done) = (Vec::new(), Vec::new(), Vec::new());
    // Once for all: a passphrase takes its time, and its user's. What is pending needs no key.
    let identity = (!signed.is_empty()).then(|| signer(contact, console));
    let now_claimed =
        identity.as_ref().map_or(Vec::new(), |identity| claim_all(signed, target, args, identity, console));
    for (file, receipt) in claimed.chain(now_claimed) {
        match receipt {
            Ok(receipt) => {
                jobs.push(Job { receipt, places: vec![file.place] });
                sent.push(file.path);
            }
            Err(failure) => done.push((file.path, Outcome::Left(failure))),
        }
    }
    if let (Some(Ok(identity)), false) = (&identity, jobs.is_empty()) {
        events::register_on_the_way(identity, contact, console);
    }
    let outcomes = submission::submit(&jobs, contact, console);
    submission::tell_of_bare(outcomes.iter().filter_map(Outcome::receipt), &target.origin, console);
    done.extend(sent.into_iter().zip(outcomes));
    done
}

/// Who signs the claims.
fn signer(contact: Contact<'_>, console: &mut Console) -> Result<OwnIdentity> {
    let identity = keyfile::load(console)?;
    events::require_current(&identity, contact, console)?;
    Ok(identity)
}

/// Makes signed receipts pending ones, on disk, or says why not.
fn claim_all(
    receipts: Vec<(InFile, Receipt)>,
    target: &Target,
    args: &Args,
    identity: &Result<OwnIdentity>,
    console: &mut Console,
) -> Vec<(InFile, Result<Receipt>)> {
    let visibility = if args.private { Visibility::Private } else { Visibility::Public };
    let claimed = receipts.into_iter().map(|(file, receipt)| {
        let identity = identity.as_ref().map_err(Failure::clone);
        let receipt = identity.and_then(|identity| claim(receipt, identity, target, visibility));
        (file, receipt)
    });
    let mut claimed: Vec<(InFile, Result<Receipt>)> = claimed.collect();
    let files = claimed.iter().filter_map(|(file, receipt)| Some((&file.place, receipt.as_ref().ok()?)));
    if let Err(failure) = receipt_file::write_all(&files.collect::<Vec<_>>(), console) {
        let claimed = claimed.iter_mut().map(|(_, receipt)| receipt).filter(|receipt| receipt.is_ok());
        claimed.for_each(|receipt| *receipt = Err(failure.clone()));
    }
    claimed
}

/// A signed receipt with a claim for the log.
fn claim(
    receipt: Receipt,
    identity: &OwnIdentity,
    target: &Target,
    visibility: Visibility,
) -> Result<Receipt> {
    let key = identity.key.public_key();
    let cannot = || Failure::new("cannot claim the receipt");
    if identity.did != receipt.did() {
        return Err(cannot().because(format!(
            "it is by {}, the key here is {}'s",
            receipt.did(),
            identity.did
        )));
    }
    // Whoever signs the claim says that it signed the statement: so look whether it did.
    receipt.envelope().verify(&key).map_err(|error| cannot().caused_by(error))?;
    let claim =
        Claim::new(receipt.envelope(), receipt.statement(), identity.did, &key, &target.origin, visibility);
    let entry = claim.and_then(|claim| PendingEntry::sign(claim, &identity.key));
    Ok(receipt.pending(entry.map_err(|error| cannot().caused_by(error))?))
}

fn report(done: &[(&Path, &Outcome)], as_json: bool, console: &mut Console) {
    let index = |outcome: &Outcome| match outcome {
        Outcome::Logged(receipt, _) => receipt.log_answer().map(|logged| logged.proof.index.get()),
        Outcome::Left(_) | Outcome::Refused(_) => None,
    };
    if as_json {
        let element = |(path, outcome): &(&Path, &Outcome)| {
            let error = outcome.failure().map(Failure::to_json);
            json!({"receipt": path.to_string_lossy(), "index": index(outcome), "error": error})
        };
        console.json(&done.iter().map(element).collect::<Vec<_>>());
    } else {
        for (path, outcome) in done {
            let (word, index) = match index(outcome) {
                Some(index) => ("logged", format!("  index {index}")),
                None => ("left", String::new()),
            };
            console.line(format!("{word:<8} {}{index}", path.to_string_lossy()));
        }
    }
    super::tell_each_once(done.iter().filter_map(|(_, outcome)| outcome.failure()), "receipts", console);
}
