use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use attestation::Did;
use attestation::entry::{DsseEntry, Entry};
use attestation::receipt::{Receipt, Signers, Verdict, VerifyPolicy, is_named};
use serde_json::{Value, json};
use tlog::Hash;
use tlog::key::Ed25519PublicKey;

use crate::artifact::{self, Excludes, Hashed, Wanted};
use crate::clock;
use crate::contact::{Contact, Inquiry};
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::predicate;
use crate::receipt_file::{self, Place, Shelf};
use crate::report::{Console, Exit, Failure, Result};
use crate::submission;
use crate::target::Wish;

/// Get the receipts of artifacts from the log, by their digests
///
/// If there are several entries about one they are listed, and the exit code is 2, unless --signer leaves one
/// DID: then its newest is taken, of those that call the artifact as the file is called if there is one. What the log answers is verified before it is written; a receipt of another
/// entry that is there is kept beside it. Entries that were logged by hash have no receipt in the log: their
/// signers have it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The artifacts: files, folders, globs; sha256:HEX or `-` with --output
    #[arg(required = true, value_name = "ARTIFACT")]
    artifacts: Vec<OsString>,

    /// Whose entry is wanted (can be repeated)
    #[arg(long, visible_alias = "did", value_name = "DID")]
    signer: Vec<Did>,

    /// The kind of statement that is wanted: a URI, or a word such as cyclonedx
    #[arg(long, value_name = "TYPE", value_parser = predicate::resolve)]
    predicate_type: Option<String>,

    /// The log; else AIP_LOG_URL, the policy's, or the only one pinned
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Where to write the receipt of the only artifact; else beside it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How long to try; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    timeout: Option<Duration>,

    /// Print JSON: the receipt that was written, or the list of entries
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let excludes = Excludes::default();
    let (arguments, piped) = artifact::take_piped(&args.artifacts)?;
    let named = Wanted { arguments: &arguments, excludes: &excludes, receipts: None };
    let mut artifacts = artifact::to_judge(&named).all()?;
    for piped in piped {
        artifacts.push(piped.hash()?);
    }
    if args.output.is_some() && artifacts.len() != 1 {
        return Err(Failure::new(format!(
            "{} artifacts are named, and --output is for one",
            artifacts.len()
        ))
        .hint("without it each receipt is written beside its artifact"));
    }
    if artifacts.iter().any(|hashed| hashed.artifact.path().is_none()) && args.output.is_none() {
        return Err(Failure::new("a digest has no place for its receipt").hint("use --output FILE"));
    }
    let named = policy_file::named(args.policy.as_deref(), &pins, console)?;
    let deadline = super::deadline(args.timeout)?;
    let target = Wish::new(args.log.as_deref(), named, &pins)?.meet(&pins, deadline, console)?;
    let mut inquiry = Contact { target: &target, pins: &pins, deadline }.inquire(console);
    let is_only = artifacts.len() == 1;
    let mut fetched = Vec::new();
    for hashed in artifacts {
        let mut one = fetch_one(&hashed, &args, &mut inquiry);
        one.failure = one.failure.map(|failure| match is_only {
            true => failure,
            false => failure.because(format!("it is about `{}`", one.label)),
        });
        fetched.push(one);
    }
    report(&fetched, args.json, console);
    let receipts = fetched.iter().filter_map(|one| one.receipt.as_ref()).map(|(receipt, _)| receipt);
    submission::tell_of_bare(receipts, &target.origin, console);
    super::tell_each_once(fetched.iter().filter_map(|one| one.failure.as_ref()), "artifacts", console);
    let exit = |one: &Fetched| one.failure.as_ref().map_or(Exit::Yes, Failure::exit);
    Ok(fetched.iter().map(exit).fold(Exit::Yes, Exit::and))
}

/// What came of one artifact.
struct Fetched {
    label: String,
    sha256: Hash,
    /// The receipt, and where it lies.
    receipt: Option<(Receipt, PathBuf)>,
    /// The entry that was taken, or those among which none was chosen.
    entries: Vec<Found>,
    failure: Option<Failure>,
}

fn fetch_one(hashed: &Hashed, args: &Args, inquiry: &mut Inquiry<'_>) -> Fetched {
    let (label, sha256) = (hashed.artifact.label(), hashed.sha256);
    let mut fetched = Fetched { label, sha256, receipt: None, entries: Vec::new(), failure: None };
    let got = list(&sha256, inquiry).and_then(|found| {
        let listed = found.len();
        let mut wanted = wanted(args, found);
        if !is_clear(args, &wanted) {
            let failure = no_choice(&sha256, listed, wanted.len());
            fetched.entries = wanted;
            return Err(failure);
        }
        wanted.sort_by_key(|found| Reverse(found.index));
        let artifact = &hashed.artifact;
        let get = |chosen: &Found| get(chosen, &sha256, inquiry);
        let (at, receipt) = newest_called(artifact.called().as_deref(), &wanted, get)?;
        let chosen = wanted.swap_remove(at);
        let place = match (&args.output, artifact.path()) {
            (Some(output), _) => Place::named(output)?,
            (None, Some(path)) => {
                Shelf::default().place(path, &artifact.name, receipt.statement().predicate_type())?
            }
            (None, None) => return Err(Failure::new("a digest has no place for its receipt")),
        };
        let written = receipt_file::write_all(&[(&place, &receipt)], inquiry.asking.console)?;
        fetched.entries = vec![chosen];
        Ok((receipt, written[0].path().to_path_buf()))
    });
    match got {
        Ok(receipt) => fetched.receipt = Some(receipt),
        Err(failure) => fetched.failure = Some(failure),
    }
    fetched
}

/// What there is to read for people and programs; of the only artifact as a list of its own too.
fn report(fetched: &[Fetched], as_json: bool, console: &mut Console) {
    if as_json {
        let result = |one: &Fetched| {
            json!({
                "artifact": one.label,
                "sha256": one.sha256.to_string(),
                "receipt": one.receipt.as_ref().map(|(_, path)| path.to_string_lossy()),
                "entries": one.entries.iter().map(json_of).collect::<Vec<Value>>(),
                "error": one.failure.as_ref().map(Failure::to_json),
            })
        };
        let results: Vec<Value> = fetched.iter().map(result).collect();
        let mut all = json!({"schema": "aip.fetch.v1"});
        if let [only] = &results[..] {
            all["receipt"] = only["receipt"].clone();
            all["entries"] = only["entries"].clone();
        }
        all["results"] = results.into();
        console.json(&all);
        return;
    }
    for one in fetched {
        let about = if fetched.len() > 1 { format!("  {}", one.label) } else { String::new() };
        match &one.receipt {
            Some((_, path)) => {
                let (path, index) = (path.to_string_lossy(), one.entries[0].index);
                console.line(format!("fetched  {path}  index {index}"));
            }
            None => {
                for found in &one.entries {
                    let claim = found.entry.claim();
                    let kind = claim.listing().map_or("", |listing| &listing.predicate_type);
                    let time = clock::rfc3339_millis(found.entry.logged_at().as_millis());
                    console.line(format!("index {}  {}  {time}  {kind}{about}", found.index, claim.did()));
                }
            }
        }
    }
}

/// Why there is none, or which is not told.
fn no_choice(sha256: &Hash, listed: usize, wanted: usize) -> Failure {
    if wanted > 0 {
        return Failure::new(format!("{wanted} entries are about this artifact"))
            .hint("name the signer you trust with --signer DID: its newest is taken");
    }
    let failure = Failure::new(format!("the log lists no such entry about sha256:{sha256}"));
    match listed {
        0 => failure.hint("the signer may have logged it privately, or in another log, or not at all"),
        several => failure.because(format!("it lists {several}, by other signers or of other kinds")),
    }
}

/// An entry whose key signed its claim. Whether the key is its DID's is for the receipt to prove.
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) entry: Box<DsseEntry>,
}

/// All entries about a digest, newest first. What does not prove its signer is left out.
pub(super) fn list(digest: &Hash, inquiry: &mut Inquiry<'_>) -> Result<Vec<Found>> {
    let (mut found, mut next, mut junk) = (Vec::new(), None::<String>, 0);
    for _ in 0..MAX_PAGES {
        let page = inquiry.asking.ask(|client| client.entries(digest, next.as_deref()))?;
        for listed in page.entries {
            match Entry::parse(&listed.leaf) {
                Ok(Entry::Dsse(entry)) if proves_itself(&entry, &inquiry.target.origin, digest) => {
                    found.push(Found { index: listed.index, entry });
                }
                _ => junk += 1,
            }
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if junk > 0 {
        inquiry.asking.console.warn(format!(
            "{junk} entries in the log's list prove no signer of this artifact, and are left out"
        ));
    }
    if next.is_some() {
        return Err(Failure::new(format!(
            "the log lists more than {} entries about this artifact",
            MAX_PAGES * 100
        )));
    }
    Ok(found)
}

fn proves_itself(entry: &DsseEntry, origin: &str, digest: &Hash) -> bool {
    let claim = entry.claim();
    let Ok(key) = Ed25519PublicKey::from_bytes(claim.verifier()) else { return false };
    claim.origin() == origin
        && claim.listing().is_some_and(|listing| listing.subjects.contains(digest))
        && entry.pending().verify_claim_signature(&key).is_ok()
}

fn wanted(args: &Args, found: Vec<Found>) -> Vec<Found> {
    let kind = args.predicate_type.as_ref();
    let is_wanted = |found: &Found| {
        let claim = found.entry.claim();
        let listing = claim.listing();
        (args.signer.is_empty() || args.signer.contains(&claim.did()))
            && kind.is_none_or(|kind| listing.is_some_and(|listing| listing.predicate_type == *kind))
    };
    found.into_iter().filter(is_wanted).collect()
}

/// Whether one may be taken: the only one, or the newest of the only DID if signers were named.
fn is_clear(args: &Args, wanted: &[Found]) -> bool {
    let dids: BTreeSet<Did> = wanted.iter().map(|found| found.entry.claim().did()).collect();
    wanted.len() == 1 || (!args.signer.is_empty() && dids.len() == 1)
}

/// The newest receipt that calls the artifact as its file is called, with its position: the same bytes may be signed under
/// several names, and entries list digests only. If none does, the newest.
fn newest_called(
    file: Option<&str>,
    newest_first: &[Found],
    mut get: impl FnMut(&Found) -> Result<Receipt>,
) -> Result<(usize, Receipt)> {
    let newest = get(&newest_first[0])?;
    let is_called = |receipt: &Receipt| {
        let mut names = receipt.statement().subjects().iter().map(|subject| subject.name.as_str());
        file.is_none_or(|file| names.any(|name| is_named(name, file)))
    };
    if is_called(&newest) {
        return Ok((0, newest));
    }
    // One that cannot be had is none that fits better.
    let others = newest_first.iter().enumerate().skip(1).take(MAX_TRIED);
    let mut others = others.filter_map(|(at, found)| get(found).ok().map(|receipt| (at, receipt)));
    Ok(others.find(|(_, receipt)| is_called(receipt)).unwrap_or((0, newest)))
}

/// The receipt of an entry, verified.
fn get(chosen: &Found, digest: &Hash, inquiry: &mut Inquiry<'_>) -> Result<Receipt> {
    let (target, pins) = (inquiry.target, inquiry.pins);
    let bytes = inquiry.asking.ask(|client| client.receipt(chosen.index)).map_err(|failure| {
        failure.hint("its envelope never came to the log, was lost in a recovery or was erased: the signer has the receipt")
    })?;
    let broken = |why: String| {
        Failure::refuted(format!("the receipt that `{}` gives does not verify", target.client.url()))
            .because(why)
    };
    let receipt = Receipt::parse(&bytes).map_err(|error| broken(error.to_string()))?;
    if receipt.log_answer().map(|logged| &logged.entry) != Some(&*chosen.entry) {
        return Err(broken("it is of another entry".to_owned()));
    }
    let signers = Signers::OneOf(vec![chosen.entry.claim().did()]);
    let demands = VerifyPolicy { pins: pins.roots(), ..VerifyPolicy::new(&target.judge.policy, signers) };
    let report = receipt.verify(&demands, digest, None);
    match report.fault() {
        None if report.verdict() == Verdict::Verified => Ok(receipt),
        fault => Err(broken(fault.map_or(String::new(), |(check, fault)| format!("{check}: {fault}")))),
    }
}

fn json_of(found: &Found) -> Value {
    let claim = found.entry.claim();
    json!({
        "index": found.index,
        "did": claim.did().to_string(),
        "predicateType": claim.listing().map(|listing| &listing.predicate_type),
        "loggedAt": clock::rfc3339_millis(found.entry.logged_at().as_millis()),
    })
}

/// How many older receipts are asked for to find one that fits the file's name.
const MAX_TRIED: usize = 16;

/// 10,000 entries about one artifact are more than anybody reads through.
const MAX_PAGES: usize = 100;
