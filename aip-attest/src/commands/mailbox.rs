use attestation::Did;
use attestation::message::{Accept, Settings};
use serde_json::json;

use super::log_args::LogArgs;
use crate::keyfile;
use crate::messages::relay::Relay;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Exit, Result};

/// Say from whom your mailbox takes messages
///
/// The settings are the whole of it from then on: who is not named again is named no more. The relay refuses what they do not
/// admit (`sender-refused`); what waits already stays. A block goes before everything.
///
/// Exit codes: 0 the relay keeps the settings; 2 it does not.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// From whom: everybody, DIDs that the log registered, or those of --allow alone
    #[arg(long, value_name = "WHOM")]
    accept: Whom,

    /// Take messages of this DID in any case (can be repeated)
    #[arg(long, value_name = "DID")]
    allow: Vec<Did>,

    /// Take no message of this DID (can be repeated)
    #[arg(long, value_name = "DID")]
    block: Vec<Did>,

    #[command(flatten)]
    log: LogArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Whom {
    Anyone,
    Registered,
    Listed,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let each_once = |mut dids: Vec<Did>| {
        dids.sort_unstable();
        dids.dedup();
        dids
    };
    let accept = match args.accept {
        Whom::Anyone => Accept::Anyone,
        Whom::Registered => Accept::Registered,
        Whom::Listed => Accept::Listed,
    };
    let settings = Settings { accept, blocked: each_once(args.block), listed: each_once(args.allow) };
    let identity = keyfile::load(console)?;
    let deadline = args.log.deadline()?;
    let pins = Pins::load()?;
    let target = args.log.meet(&pins, deadline, false, console)?;
    Relay::new(&target, &identity, deadline).settings(&settings, console)?;
    let Settings { accept, blocked, listed } = settings;
    if args.log.json {
        console.json(&json!({
            "schema": "aip.mailbox.v1",
            "did": identity.did,
            "accept": accept.name(),
            "listed": listed,
            "blocked": blocked,
        }));
        return Ok(Exit::Yes);
    }
    console.line(format!("{} takes messages of: {}", identity.did, accept.name()));
    listed.iter().for_each(|did| console.line(format!("listed    {did}")));
    blocked.iter().for_each(|did| console.line(format!("blocked   {did}")));
    Ok(Exit::Yes)
}
