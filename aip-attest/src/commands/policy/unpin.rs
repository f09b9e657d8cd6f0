use crate::policy_file::pins::{Pin, Pins};
use crate::report::{Console, Exit, Failure, Result};

/// Forget a pinned log
///
/// With its policy goes what was seen of its tree: a log that is pinned again could show an older or another one, and nobody
/// here would notice. Identities that were registered in that log stay.
///
/// Exit codes: 0 it is forgotten; 2 it is not pinned.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log, by its origin as `policy show` lists it
    origin: String,

    /// You mean it
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let pins = Pins::load()?;
    let pinned: Vec<&Pin> = pins.of_origin(&args.origin).collect();
    if pinned.is_empty() {
        return Err(Failure::new(format!("no log `{}` is pinned", args.origin))
            .hint("`aip-attest policy show` lists them"));
    }
    if !args.yes {
        return Err(Failure::new(format!(
            "this forgets what was seen of `{}`, and was not asked for with --yes",
            args.origin
        ))
        .hint("if only its policy changed: `aip-attest policy pin URL` again"));
    }
    for pin in pinned {
        pins.remove(&pin.vkey)?;
        console.line(format!("forgotten  {}  {}", pin.origin(), pin.vkey));
    }
    Ok(Exit::Yes)
}
