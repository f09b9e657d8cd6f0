use attestation::event::TrustEvent;

use super::log_args::HomeArgs;
use super::vouch::{AboutArgs, new_id};
use crate::clock;
use crate::keyfile;
use crate::report::{Console, Exit, Failure, Result};
use crate::word::said::Said;

/// Take back what you said about a DID: a vouch or a warning, in one scope
///
/// It counts from the entry on, wherever a score is computed from a tree that has it. Where nothing stands in the scope,
/// nothing is logged, and the exit code is 2; what stands in other scopes is named.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    about: AboutArgs,

    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let session = args.home.open_for(&identity, console)?;
    let said = session.said(identity.did, args.about.did, console)?;
    if !said.stands(args.about.scope) {
        return Err(nothing(&args, &said, session.origin()));
    }
    let event =
        TrustEvent::Revocation { id: new_id()?, issued_at: clock::now_millis(), scope: args.about.scope };
    let logged = session.say(&identity, args.about.did, event, console)?;
    args.home.log.print(&logged, console);
    for (scope, word) in said.elsewhere(args.about.scope) {
        console.warn(format!("{word} in {scope} as before: `--scope {scope}` takes that back"));
    }
    Ok(Exit::Yes)
}

/// Why there is nothing to take back.
fn nothing(args: &Args, said: &Said, origin: &str) -> Failure {
    let (did, scope) = (args.about.did, args.about.scope);
    let failure = Failure::new(format!("nothing that you said of {did} stands in {scope}"))
        .because(format!("so says the log `{origin}`"));
    let failure = match said.over(scope) {
        Some(why) => failure.because(why),
        None => failure,
    };
    said.elsewhere(scope)
        .fold(failure, |failure, (scope, word)| failure.hint(format!("{word} in {scope}: --scope {scope}")))
}
