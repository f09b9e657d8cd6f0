use std::path::PathBuf;

use attestation::bundle;

use crate::durable::{self, Readers};
use crate::policy_file::pins::{Pin, Pins};
use crate::policy_file::{self, PolicyFile};
use crate::report::{Console, Exit, Failure, Result};

/// Write a policy in a form that other programs read
///
/// --sigstore makes a trusted root of it, by which Sigstore's cosign knows the logs: `cosign … --trusted-root FILE`. It names
/// logs only. Sigstore's cosign does not count witnesses, and does not look at when a log's key ends.
///
/// The policy is --policy, else AIP_POLICY, .aip/policy, the pinned one of ORIGIN, or the only pinned one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log alone, by its origin; else every log of the policy
    origin: Option<String>,

    /// A trusted root, for Sigstore's cosign
    #[arg(long, required = true)]
    sigstore: bool,

    /// The policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// The file to write; else stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let policy = policy(&args, &pins, console)?;
    let root = bundle::trusted_root_of(&policy.policy, args.origin.as_deref()).ok_or_else(|| {
        let of = args.origin.as_ref().map_or(String::new(), |origin| format!(" `{origin}`"));
        Failure::new(format!("the policy {} names no log{of} with an Ed25519 key", policy.source))
            .hint("Sigstore knows no other kind of key that our logs have")
    })?;
    if policy.policy.quorum_name().is_some() {
        console.note(format!(
            "the quorum of the policy {} is not in it: Sigstore's cosign counts no witnesses",
            policy.source
        ));
    }
    match &args.out {
        Some(path) => durable::write(path, root.as_bytes(), Readers::Everyone)?,
        None => console.raw(root.as_bytes()),
    }
    Ok(Exit::Yes)
}

fn policy(args: &Args, pins: &Pins, console: &mut Console) -> Result<PolicyFile> {
    if let Some(named) = policy_file::named(args.policy.as_deref(), pins, console)? {
        return Ok(named);
    }
    if let Some(origin) = &args.origin {
        return policy_file::pinned(pins, origin);
    }
    match pins.iter().collect::<Vec<&Pin>>()[..] {
        [pin] => pins.policy_of(pin),
        [] => Err(Failure::new("no log is pinned")
            .hint("`aip-attest policy pin URL` pins one, or name a policy: --policy FILE")),
        ref several => Err(Failure::new(format!("{} logs are pinned", several.len()))
            .hint("name one by its origin: `aip-attest policy show` lists them")),
    }
}
