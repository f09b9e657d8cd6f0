use attestation::Did;

use super::{Asked, reach};
use crate::clock;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Exit, Result};

/// Draw who vouches for a pipeline, back to your roots
///
/// Boxes have public names and scores; lines are vouches that count, and distrusts. At most 200 DIDs and 1,000 lines are
/// drawn, and the picture says how many are left out. Reads the whole log, since a picture shows what evidence leaves out;
/// with --evidence FILE it shows what is in it, and says that.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Around whom
    #[arg(value_name = "DID")]
    did: Did,

    /// Write SVG (the default)
    #[arg(long, conflicts_with = "dot")]
    svg: bool,

    /// Write DOT, for Graphviz
    #[arg(long)]
    dot: bool,

    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(mut args: Args, console: &mut Console) -> Result<Exit> {
    args.asked.sync |= args.asked.evidence.is_none();
    let pins = Pins::load()?;
    let reached = reach(args.did, &args.asked, &args.asked.flags(), &pins, console)?;
    let picture = reached.basis.picture(&reached.params, args.did, clock::now_millis())?;
    let text = if args.dot { picture.to_dot() } else { picture.to_svg() };
    console.raw(text.as_bytes());
    Ok(Exit::Yes)
}
