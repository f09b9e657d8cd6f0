use std::path::PathBuf;
use std::time::Duration;

use attestation::Did;
use attestation::api::EvidenceQuery;

use crate::contact::Contact;
use crate::durable::{self, Readers};
use crate::policy_file::{self, pins::Pins};
use crate::report::{Console, Exit, Result};
use crate::target::Wish;
use crate::word::evidence;
use crate::word::fresh_evidence;

/// Write the state of a DID as of today: its identity events with proofs, on a checkpoint that witnesses cosigned
///
/// `verify --state FILE` judges receipts by it: what was rotated, reported or ended since they were made. That
/// the DID has no other events is the log's signed word.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whose state
    #[arg(long, visible_alias = "signer", value_name = "DID")]
    did: Did,

    /// The file to write; else stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The log; else AIP_LOG_URL, the policy's, or the pinned one
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::super::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let deadline = super::super::deadline(args.timeout)?;
    let named = policy_file::named(args.policy.as_deref(), &pins, console)?;
    let target = Wish::new(args.log.as_deref(), named, &pins)?.meet(&pins, deadline, console)?;
    let contact = Contact { target: &target, pins: &pins, deadline };
    let query = EvidenceQuery::state(args.did);
    let (found, proven) = fresh_evidence::fetch(&query, &mut contact.inquire(console))?;
    let size = proven.checkpoint().size;
    let state = evidence::state(&proven, args.did)?;
    let word = state.map_or("not registered", |state| state.status().name());
    console.note(format!("{} is {word} as of size {size} of {}", args.did, proven.checkpoint().origin));
    match &args.out {
        Some(path) => durable::write(path, found.to_json().as_bytes(), Readers::Everyone)?,
        None => console.raw(found.to_json().as_bytes()),
    }
    Ok(Exit::Yes)
}
