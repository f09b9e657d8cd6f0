use serde_json::{Value, json};
use tlog::Hash;

use crate::clock;
use crate::policy_file::pins::{Pin, Pins};
use crate::report::{Console, Exit, Failure, Result, is_printable};

/// List the pinned logs, or print the policy of one
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the policy that is pinned for this log, as it was published
    origin: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let pinned: Vec<&Pin> = match &args.origin {
        None => pins.iter().collect(),
        Some(origin) => pins.of_origin(origin).collect(),
    };
    if let (Some(origin), true) = (&args.origin, pinned.is_empty()) {
        return Err(
            Failure::new(format!("no log `{origin}` is pinned")).hint("`aip-attest policy show` lists them")
        );
    }
    if args.json {
        let pins: Vec<Value> = pinned.iter().map(|pin| json_of(pin)).collect();
        console.json(&json!({"schema": "aip.policy.show.v1", "pins": pins}));
    } else if args.origin.is_some() {
        pinned.iter().for_each(|pin| print_text(pin, console));
    } else {
        pinned.iter().for_each(|pin| print(pin, console));
        if pinned.is_empty() {
            console.note("no log is pinned");
            console.hint("`aip-attest policy pin URL` pins one");
        }
    }
    Ok(Exit::Yes)
}

/// The text byte for byte, for a file; if it has what a terminal hides or obeys, every line escaped.
fn print_text(pin: &Pin, console: &mut Console) {
    if pin.text.lines().all(|line| line.split('\t').all(is_printable)) {
        return console.raw(pin.text.as_bytes());
    }
    pin.text.lines().for_each(|line| console.line(line));
    console.warn(format!(
        "the policy of `{}` has characters that a terminal hides or obeys: they are escaped here, so this is not its \
         text; --json has it",
        pin.origin()
    ));
}

fn print(pin: &Pin, console: &mut Console) {
    console.line(pin.origin());
    console.line(format!("  url      {}", pin.url));
    console.line(format!("  key      {}", pin.vkey));
    console.line(format!("  policy   sha256:{}", Hash::of(pin.text.as_bytes())));
    console.line(format!("  quorum   {}", quorum(pin)));
    console.line(format!("  seen     size {}, root {}", pin.size, pin.root.to_base64()));
}

fn quorum(pin: &Pin) -> String {
    match pin.policy.quorum_name() {
        None => "none: the log's own word is enough".to_owned(),
        Some(name) => {
            let (fewest, strength) = (pin.policy.weakest_quorum(), pin.policy.strength());
            let dishonest = strength.dishonest_to_fork;
            format!("{name} (at least {fewest} cosignatures; {dishonest} dishonest could fork it unseen)")
        }
    }
}

fn json_of(pin: &Pin) -> Value {
    json!({
        "origin": pin.origin(),
        "url": pin.url,
        "vkey": pin.vkey.to_string(),
        "policySha256": Hash::of(pin.text.as_bytes()).to_string(),
        "policy": pin.text,
        "quorum": pin.policy.quorum_name(),
        "weakestQuorum": pin.policy.weakest_quorum(),
        "dishonestToFork": pin.policy.strength().dishonest_to_fork,
        "failuresToHalt": pin.policy.strength().failures_to_halt,
        "size": pin.size.get(),
        "root": pin.root.to_string(),
        "seenAt": pin.seen.as_ref().map(|seen| clock::rfc3339_millis(seen.at.as_millis())),
    })
}
