use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use attestation::Did;
use attestation::entry::{DsseEntry, Entry};
use attestation::receipt::{Receipt, Signers, Verdict, VerifyPolicy};
use serde_json::{Value, json};
use tlog::Hash;
use tlog::key::Ed25519PublicKey;

use crate::artifact::{self, Excludes, Hashed, Wanted};
use crate::clock;
use crate::patience::Patience;
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::predicate;
use crate::receipt_file::{self, Place, Shelf};
use crate::report::{Console, Exit, Failure, Result};
use crate::submission;
use crate::target::{Target, Wish};

/// Get the receipt of an artifact from the log, by its digest
///
/// If there are several entries about it they are listed, and the exit code is 2, unless --signer leaves one
/// DID: then its newest is taken. What the log answers is verified before it is written; a receipt of another
/// entry that is there is kept beside it. Entries that were logged by hash have no receipt in the log: their
/// signers have it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The artifact: a file, or sha256:HEX with --output
    #[arg(value_name = "ARTIFACT")]
    artifact: OsString,

    /// Whose entry is wanted (can be repeated)
    #[arg(long, value_name = "DID")]
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

    /// Where to write the receipt; else beside the artifact
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
    let named = Wanted { arguments: &[&args.artifact], excludes: &excludes, receipts: None };
    let hashed = one(artifact::to_judge(&named).all()?)?;
    if hashed.artifact.path().is_none() && args.output.is_none() {
        return Err(Failure::new("a digest has no place for its receipt").hint("use --output FILE"));
    }
    let named = policy_file::named(args.policy.as_deref(), &pins, console)?;
    let deadline = super::deadline(args.timeout)?;
    let target = Wish::new(args.log.as_deref(), named, &pins)?.meet(&pins, deadline, console)?;
    let mut patience = Patience::until(deadline);
    let found = list(&target, &hashed.sha256, &mut patience, console)?;
    let wanted = wanted(&args, &found);
    let Some(chosen) = choose(&args, &wanted) else {
        return report_choice(&found, &wanted, &hashed, &args, console);
    };
    let receipt = get(&target, &pins, chosen, &hashed.sha256, &mut patience, console)?;
    let place = match (&args.output, hashed.artifact.path()) {
        (Some(output), _) => Place::named(output)?,
        (None, Some(path)) => Shelf::default().place(path, receipt.statement().predicate_type())?,
        (None, None) => return Err(Failure::new("a digest has no place for its receipt")),
    };
    let written = receipt_file::write_all(&[(&place, &receipt)], console)?;
    let path = written[0].path();
    submission::tell_of_bare([&receipt].into_iter(), &target.origin, console);
    if args.json {
        let (path, entries) = (path.to_string_lossy(), [json_of(chosen)]);
        console.json(&json!({"schema": "aip.fetch.v1", "receipt": path, "entries": entries}));
    } else {
        console.line(format!("fetched  {}  index {}", path.to_string_lossy(), chosen.index));
    }
    Ok(Exit::Yes)
}

/// An entry whose key signed its claim. Whether the key is its DID's is for the receipt to prove.
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) entry: Box<DsseEntry>,
}

fn one(hashed: Vec<Hashed>) -> Result<Hashed> {
    match <[Hashed; 1]>::try_from(hashed) {
        Ok([hashed]) => Ok(hashed),
        Err(several) => {
            Err(Failure::new(format!("{} artifacts are named, and one is fetched at a time", several.len())))
        }
    }
}

/// All entries about a digest, newest first. What does not prove its signer is left out.
pub(super) fn list(
    target: &Target,
    digest: &Hash,
    patience: &mut Patience,
    console: &mut Console,
) -> Result<Vec<Found>> {
    let (mut found, mut next, mut junk) = (Vec::new(), None::<String>, 0);
    for _ in 0..MAX_PAGES {
        let page = patience.ask(console, || target.client.entries(digest, next.as_deref()))?;
        for listed in page.entries {
            match Entry::parse(&listed.leaf) {
                Ok(Entry::Dsse(entry)) if proves_itself(&entry, &target.origin, digest) => {
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
        console.warn(format!(
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

fn wanted<'f>(args: &Args, found: &'f [Found]) -> Vec<&'f Found> {
    let kind = args.predicate_type.as_ref();
    let is_wanted = |found: &&Found| {
        let claim = found.entry.claim();
        let listing = claim.listing();
        (args.signer.is_empty() || args.signer.contains(&claim.did()))
            && kind.is_none_or(|kind| listing.is_some_and(|listing| listing.predicate_type == *kind))
    };
    found.iter().filter(is_wanted).collect()
}

/// The only one, or the newest of the only DID if signers were named.
fn choose<'f>(args: &Args, wanted: &[&'f Found]) -> Option<&'f Found> {
    let dids: BTreeSet<Did> = wanted.iter().map(|found| found.entry.claim().did()).collect();
    let is_clear = wanted.len() == 1 || (!args.signer.is_empty() && dids.len() == 1);
    wanted.iter().copied().filter(|_| is_clear).max_by_key(|found| found.index)
}

fn report_choice(
    found: &[Found],
    wanted: &[&Found],
    hashed: &Hashed,
    args: &Args,
    console: &mut Console,
) -> Result<Exit> {
    if wanted.is_empty() {
        let failure = Failure::new(format!("the log lists no such entry about sha256:{}", hashed.sha256));
        return Err(match found.len() {
            0 => failure.hint("the signer may have logged it privately, or in another log, or not at all"),
            several => failure.because(format!("it lists {several}, by other signers or of other kinds")),
        });
    }
    if args.json {
        let entries: Vec<Value> = wanted.iter().map(|found| json_of(found)).collect();
        console.json(&json!({"schema": "aip.fetch.v1", "receipt": null, "entries": entries}));
    } else {
        for found in wanted {
            let claim = found.entry.claim();
            let kind = claim.listing().map_or("", |listing| &listing.predicate_type);
            let time = clock::rfc3339_millis(found.entry.logged_at().as_millis());
            console.line(format!("index {}  {}  {time}  {kind}", found.index, claim.did()));
        }
    }
    Err(Failure::new(format!("{} entries are about this artifact", wanted.len()))
        .hint("name the signer you trust with --signer DID: its newest is taken"))
}

/// The receipt of an entry, verified.
fn get(
    target: &Target,
    pins: &Pins,
    chosen: &Found,
    digest: &Hash,
    patience: &mut Patience,
    console: &mut Console,
) -> Result<Receipt> {
    let bytes = patience.ask(console, || target.client.receipt(chosen.index)).map_err(|failure| {
        failure.hint("its envelope never came to the log, or was erased: the signer has the receipt")
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

/// 10,000 entries about one artifact are more than anybody reads through.
const MAX_PAGES: usize = 100;
