use std::path::PathBuf;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::api::EvidenceQuery;
use serde_json::{Value, json};
use tlog::TreeSize;
use tlog::policy::Cosigned;

use crate::client::{Client, normal_url};
use crate::clock;
use crate::contact::Contact;
use crate::patience::Asking;
use crate::policy_file::pins::{Pin, Pins};
use crate::report::{Console, Exit, Failure, Result};
use crate::states::States;
use crate::target::Target;
use crate::word::current::{self, Shown};
use crate::word::evidence;
use crate::word::fresh_evidence;

/// Look at pinned logs, and move their pins forward
///
/// Fetches a log's checkpoint; checks that the log signed it, that its tree extends the one that was seen, by a
/// proof made from the log's tiles, and that the quorum of the pinned policy cosigned it. Then the pin is moved
/// to it. `verify` never does.
///
/// With --did the state of that DID is kept as well, in ~/.aip/states: its identity events with proofs, as of the tree
/// that the log has now. `verify` reads it, and refuses what the signer took back since its receipt was made. That
/// the DID has no other events is the log's signed word. A state gives way only to one of a larger tree.
///
/// A log that shows less, or something else, is exit 1, and the pin stays. The two signed checkpoints are kept
/// as a finding in ~/.aip/findings, which `inspect --finding` confirms. One that is out of reach or below the
/// quorum is exit 2: nothing is proved against it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log: its origin or its URL; not needed if only one is pinned
    #[arg(value_name = "ORIGIN|URL")]
    log: Option<String>,

    /// Look at every log that is pinned
    #[arg(long, conflicts_with = "log")]
    all: bool,

    /// Keep the state of this DID for `verify` (can be repeated)
    #[arg(long, visible_alias = "signer", value_name = "DID")]
    did: Vec<Did>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// How long to try, each log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::super::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let mut exit = Exit::Yes;
    let mut logs: Vec<Value> = Vec::new();
    for pin in chosen(&args, &pins)? {
        let deadline = super::super::deadline(args.timeout)?;
        let result = sync(pin, &pins, deadline, console);
        let mut states: Vec<(Did, Result<Stated>)> = Vec::new();
        if result.is_ok() {
            // The pin has moved: what is answered now must extend it.
            let pins = Pins::load()?;
            states.extend(args.did.iter().map(|did| (*did, keep(*did, pin, &pins, deadline, console))));
        }
        let failures = result
            .as_ref()
            .err()
            .into_iter()
            .chain(states.iter().filter_map(|(_, kept)| kept.as_ref().err()));
        exit = failures.clone().map(Failure::exit).fold(exit, Exit::and);
        if args.json {
            logs.push(json_of(pin, &result, &states));
            continue;
        }
        if let Ok(synced) = &result {
            console.line(line(pin, synced));
        }
        for (did, stated) in &states {
            if let Ok(Stated { status, size, file }) = stated {
                console.line(format!("{did}  {status} as of size {size}  kept in `{}`", file.display()));
            }
        }
        failures.for_each(|failure| console.failure(failure));
    }
    if args.json {
        console.json(&json!({"schema": "aip.log.sync.v1", "logs": logs}));
    }
    Ok(exit)
}

/// The pins that are asked for, at least one.
fn chosen<'p>(args: &Args, pins: &'p Pins) -> Result<Vec<&'p Pin>> {
    let chosen: Vec<&Pin> = match &args.log {
        None => pins.iter().collect(),
        Some(url) if url.contains("://") => pins.of_url(&normal_url(url)?).collect(),
        Some(origin) => pins.of_origin(origin).collect(),
    };
    match (&args.log, chosen.len()) {
        (None, 0) => Err(Failure::new("no log is pinned").hint("`aip-attest policy pin URL` pins one")),
        (Some(log), 0) => Err(Failure::new(format!("no log `{log}` is pinned"))
            .hint("`aip-attest policy show` lists those that are")),
        (None, several @ 2..) if !args.all => {
            Err(Failure::new(format!("{several} logs are pinned")).hint("name one, or look at --all"))
        }
        _ => Ok(chosen),
    }
}

/// What a log showed that is believed now.
struct Synced {
    shown: Shown,
    cosigned: Vec<Cosigned>,
}

impl Synced {
    fn size(&self) -> TreeSize {
        self.shown.checkpoint.size
    }
}

fn sync(pin: &Pin, pins: &Pins, deadline: Instant, console: &mut Console) -> Result<Synced> {
    let client = Client::new(&pin.url, deadline)?;
    let mut asking = Asking::new(&client, deadline, console);
    let shown = current::fetch(&mut asking)?;
    current::require_signed_by_log(&pin.policy, "the pinned policy", &shown, &client)?;
    if shown.checkpoint.origin != pin.origin() {
        return Err(Failure::refuted(format!("`{}` is another log now", pin.url)).because(format!(
            "pinned is `{}`, it shows `{}`",
            pin.origin(),
            shown.checkpoint.origin
        )));
    }
    // Before the quorum: a fork is one with or without cosignatures.
    current::require_extension(pin, &shown, &mut asking)?;
    let cosigned = current::require_quorum(&pin.policy, "the pinned policy", &shown)
        .map_err(|failure| failure.hint("the pin stays where it was"))?;
    pins.save(&current::moved(pin, &shown))?;
    Ok(Synced { shown, cosigned })
}

/// The state of a DID that is kept now.
struct Stated {
    status: &'static str,
    size: TreeSize,
    file: PathBuf,
}

/// Gets the state of a DID from a pinned log and keeps it.
fn keep(did: Did, pin: &Pin, pins: &Pins, deadline: Instant, console: &mut Console) -> Result<Stated> {
    let cannot = |failure: Failure| failure.because(format!("the state of {did} is not kept"));
    let client = Client::new(&pin.url, deadline)?;
    let (origin, judge) = (pin.origin().to_owned(), pins.policy_of(pin)?);
    let target = Target { client, origin, judge, is_named: true };
    let contact = Contact { target: &target, pins, deadline };
    let query = EvidenceQuery::state(did);
    let (evidence, proven) = fresh_evidence::fetch(&query, &mut contact.inquire(console)).map_err(cannot)?;
    let status = evidence::state(&proven, did)?.map_or("not registered", |state| state.status().name());
    let (file, size) = States::of_user().keep(&evidence, &proven, did, &pin.policy, pins)?;
    Ok(Stated { status, size, file })
}

fn line(pin: &Pin, synced: &Synced) -> String {
    let was = if synced.size() == pin.size { String::new() } else { format!(", was {}", pin.size) };
    let witnesses: Vec<String> =
        synced.cosigned.iter().map(|by| format!("{} {}", by.witness, clock::rfc3339(by.time))).collect();
    let witnesses = if witnesses.is_empty() { "no witness".to_owned() } else { witnesses.join(", ") };
    format!("{}  size {}{was}  {witnesses}", pin.origin(), synced.size())
}

fn json_of(pin: &Pin, result: &Result<Synced>, states: &[(Did, Result<Stated>)]) -> Value {
    let mut json = json!({
        "origin": pin.origin(),
        "url": pin.url,
        "before": {"size": pin.size.get(), "root": pin.root.to_string()},
    });
    match result {
        Ok(Synced { shown, cosigned }) => {
            let checkpoint = &shown.checkpoint;
            let cosigned =
                cosigned.iter().map(|by| json!({"witness": by.witness, "time": clock::rfc3339(by.time)}));
            json["now"] = json!({"size": checkpoint.size.get(), "root": checkpoint.root.to_string()});
            json["cosigned"] = cosigned.collect();
        }
        Err(failure) => json["error"] = failure.to_json(),
    }
    let state = |(did, stated): &(Did, Result<Stated>)| match stated {
        Ok(Stated { status, size, file }) => json!({
            "did": did,
            "status": status,
            "treeSize": size.get(),
            "file": file.to_string_lossy(),
        }),
        Err(failure) => json!({"did": did, "error": failure.to_json()}),
    };
    json["states"] = states.iter().map(state).collect();
    json
}
