use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::receipt::{Receipt, State};
use serde_json::{Value, json};

use crate::artifact::receipts;
use crate::keyfile;
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::receipt_file;
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
    /// Receipts, folders or globs of them, or artifacts whose receipt lies beside them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<OsString>,

    /// The log; else AIP_LOG_URL, the policy's, or the pinned one
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Log hashes only: for signed receipts; a pending one says already what the log learns
    #[arg(long)]
    private: bool,

    /// How long to wait for the log
    #[arg(long, value_name = "DURATION", env = "AIP_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = super::parse_duration)]
    timeout: Duration,

    /// Print a JSON array, one element a receipt
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let deadline = super::deadline(args.timeout)?;
    let mut receipts = Vec::new();
    for path in receipts::select(&args.receipts)? {
        receipts.push((receipt_file::read(&path)?, path));
    }
    // A log for each origin; what has claimed none goes to the one that is named.
    let mut by_origin: BTreeMap<Option<String>, Vec<(Receipt, PathBuf)>> = BTreeMap::new();
    for (receipt, path) in receipts {
        let origin = receipt.pending_entry().map(|entry| entry.claim().origin().to_owned());
        by_origin.entry(origin).or_default().push((receipt, path));
    }
    let mut done = Vec::new();
    for (origin, receipts) in by_origin {
        let target = wish(&args, origin.as_deref(), &pins)?.meet(&pins, deadline, console)?;
        done.extend(submit_to(&target, origin.as_deref(), receipts, &args, &pins, deadline, console)?);
    }
    report(&done, args.json, console);
    Ok(done.iter().map(|(_, outcome)| outcome.exit()).fold(Exit::Yes, Exit::and))
}

/// The log that is named; for receipts that name one themselves, the one that is pinned for it.
fn wish(args: &Args, origin: Option<&str>, pins: &Pins) -> Result<Wish> {
    let named = policy_file::named(args.policy.as_deref(), pins)?;
    let pinned = origin.and_then(|origin| pins.of_origin(origin).next());
    match (&named, pinned) {
        (None, Some(pin)) if args.log.is_none() => Wish::new(Some(&pin.url), None, pins),
        _ => Wish::new(args.log.as_deref(), named, pins),
    }
}

fn submit_to(
    target: &Target,
    origin: Option<&str>,
    receipts: Vec<(Receipt, PathBuf)>,
    args: &Args,
    pins: &Pins,
    deadline: Instant,
    console: &mut Console,
) -> Result<Vec<(PathBuf, Outcome)>> {
    if let Some(origin) = origin.filter(|origin| *origin != target.origin) {
        return Err(Failure::new(format!("`{}` is the log `{}`", target.client.url(), target.origin))
            .because(format!("{} receipts are for `{origin}`", receipts.len()))
            .hint("a claim is for one log: name that log, or sign again for this one"));
    }
    let mut jobs = Vec::new();
    for (receipt, path) in receipts {
        let receipt = match receipt.state() {
            State::Signed => claim(receipt, &path, target, args, console)?,
            State::Pending(_) | State::Logged(_) => receipt,
        };
        jobs.push(Job { receipt, paths: vec![path] });
    }
    let outcomes = submission::submit(&jobs, target, pins, deadline, console);
    Ok(jobs.into_iter().flat_map(|job| job.paths).zip(outcomes).collect())
}

/// Makes a signed receipt a pending one, on disk.
fn claim(
    receipt: Receipt,
    path: &Path,
    target: &Target,
    args: &Args,
    console: &mut Console,
) -> Result<Receipt> {
    let identity = keyfile::load(console)?;
    let key = identity.key.public_key();
    let cannot = || Failure::new(format!("cannot claim the receipt `{}`", path.display()));
    if identity.did != receipt.did() {
        return Err(cannot().because(format!(
            "it is by {}, the key here is {}'s",
            receipt.did(),
            identity.did
        )));
    }
    // Whoever signs the claim says that it signed the statement: so look whether it did.
    receipt.envelope().verify(&key).map_err(|error| cannot().caused_by(error))?;
    let visibility = if args.private { Visibility::Private } else { Visibility::Public };
    let claim =
        Claim::new(receipt.envelope(), receipt.statement(), identity.did, &key, &target.origin, visibility);
    let entry = claim.and_then(|claim| PendingEntry::sign(claim, &identity.key));
    let receipt = receipt.pending(entry.map_err(|error| cannot().caused_by(error))?);
    receipt_file::write(path, &receipt)?;
    Ok(receipt)
}

fn report(done: &[(PathBuf, Outcome)], as_json: bool, console: &mut Console) {
    let index = |outcome: &Outcome| match outcome {
        Outcome::Logged(receipt) => receipt.log_answer().map(|logged| logged.proof.index.get()),
        Outcome::Left(_) => None,
    };
    if as_json {
        let element = |(path, outcome): &(PathBuf, Outcome)| {
            let error = match outcome {
                Outcome::Logged(_) => Value::Null,
                Outcome::Left(failure) => failure.to_json(),
            };
            json!({"receipt": path.to_string_lossy(), "index": index(outcome), "error": error})
        };
        console.json(&done.iter().map(element).collect::<Vec<_>>());
    }
    for (path, outcome) in done {
        match (outcome, index(outcome)) {
            (Outcome::Left(failure), _) => console.failure(failure),
            (Outcome::Logged(_), Some(index)) if !as_json => {
                console.line(format!("logged   {}  index {index}", path.to_string_lossy()));
            }
            (Outcome::Logged(_), _) => {}
        }
    }
}
