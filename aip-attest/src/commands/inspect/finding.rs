//! Confirms a finding: what follows from signatures and hashes, and what remains somebody's word.

use std::path::Path;

use attestation::finding::{ConfirmError, Confirmed, Finding, Keys, MAX_FINDING_BYTES};
use serde_json::{Value, json};
use tlog::policy::{Policy, PolicyParseError};

use super::Args;
use crate::bounded_file::read_bounded;
use crate::clock;
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicyFile, PolicySource};
use crate::report::{Console, Exit, Failure, Result};

pub(super) fn confirm(path: &Path, args: &Args, console: &mut Console) -> Result<Exit> {
    let cannot = || Failure::new(format!("cannot read the finding `{}`", path.display()));
    let bytes = read_bounded(path, MAX_FINDING_BYTES as u64).map_err(|error| cannot().caused_by(error))?;
    let finding = Finding::parse(&bytes).map_err(|error| cannot().caused_by(error))?;
    let keys = keys(args, &finding, console)?;
    let result = finding.confirm(keys.as_ref().map(|keys| &keys.policy));
    let exit = match &result {
        Ok(_) => Exit::Yes,
        // Nothing was found false: somebody else's policy was named.
        Err(ConfirmError::UnknownLog(_)) => Exit::Unable,
        Err(_) => Exit::False,
    };
    if args.json {
        console.json(&json_of(&finding, keys.as_ref(), &result, exit));
    } else {
        print(&finding, keys.as_ref(), &result, console);
    }
    Ok(exit)
}

/// The log's keys by whoever confirms, with where they come from.
struct LogKeys {
    policy: Policy,
    whose: String,
}

/// Flags, else the policy that is named elsewhere, or pinned, for this log; none if there is none.
fn keys(args: &Args, finding: &Finding, console: &mut Console) -> Result<Option<LogKeys>> {
    if !args.vkey.is_empty() {
        let logs: String = args.vkey.iter().map(|vkey| format!("log {vkey}\n")).collect();
        let policy = (logs + "quorum none\n").parse().map_err(|error: PolicyParseError| {
            Failure::new("--vkey names no log's keys").because(error.rule)
        })?;
        return Ok(Some(LogKeys { policy, whose: "--vkey".to_owned() }));
    }
    let pins = Pins::load()?;
    let names_log = |found: &PolicyFile| {
        let mut logs = found.policy.logs().iter();
        args.policy.is_some() || logs.any(|log| log.vkey.name().as_str() == finding.origin())
    };
    let found = match policy_file::named(args.policy.as_deref(), &pins, console)?.filter(names_log) {
        Some(named) => Some(named),
        None => pins.policy_for(finding.origin())?,
    };
    let whose = |source: &PolicySource| format!("the policy {source}");
    Ok(found.map(|found| LogKeys { whose: whose(&found.source), policy: found.policy }))
}

fn print(
    finding: &Finding,
    keys: Option<&LogKeys>,
    result: &Result<Confirmed, ConfirmError>,
    console: &mut Console,
) {
    let found_at = clock::rfc3339_millis(finding.found_at().as_millis());
    console.line(format!("{} by the log `{}`, found {found_at}", finding.class(), finding.origin()));
    console.line(format!("  {}", finding.detail()));
    match result {
        Ok(confirmed) => {
            for sentence in confirmed.proven() {
                console.line(format!("proven         {sentence}"));
            }
            for sentence in confirmed.finders_word() {
                console.line(format!("finder's word  {sentence}"));
            }
            let whose = keys.map_or("the finding", |keys| keys.whose.as_str());
            console.line(format!("confirmed, with the log's keys of {whose}"));
            if confirmed.keys() == Keys::Finding {
                console.hint("--policy FILE or --vkey VKEY says whose keys they are");
            }
        }
        Err(error @ ConfirmError::UnknownLog(_)) => {
            console.line(format!("could not check: {error}"));
            console.hint("name a policy of this log with --policy, or its key with --vkey");
        }
        Err(error) => console.line(format!("NOT CONFIRMED: {error}")),
    }
}

fn json_of(
    finding: &Finding,
    keys: Option<&LogKeys>,
    result: &Result<Confirmed, ConfirmError>,
    exit: Exit,
) -> Value {
    let confirmed = result.as_ref().ok();
    json!({
        "schema": "aip.inspect.evidence.v1",
        "verdict": match exit {
            Exit::Yes => "confirmed",
            Exit::False => "not-confirmed",
            Exit::Unable => "could-not-check",
        },
        "class": finding.class(),
        "origin": finding.origin(),
        "foundAt": clock::rfc3339_millis(finding.found_at().as_millis()),
        "detail": finding.detail(),
        "keys": keys.map_or("the finding", |keys| keys.whose.as_str()),
        "proven": confirmed.map_or(&[][..], Confirmed::proven),
        "findersWord": confirmed.map_or(&[][..], Confirmed::finders_word),
        "error": result.as_ref().err().map(ToString::to_string),
    })
}
