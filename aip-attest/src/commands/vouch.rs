use std::time::Duration;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::event::{Level, MAX_DEPTH, MAX_VOUCH_MILLIS, Scope, StatementId, TrustEvent};
use attestation::identity::{Identity as State, Status};

use super::log_args::LogArgs;
use crate::clock;
use crate::events::Known;
use crate::keyfile;
use crate::report::{Console, Exit, Failure, Result};

/// Vouch for another pipeline, for a purpose and a time
///
/// Whoever trusts you then trusts it, a little less. A second vouch for the same DID and scope replaces the first;
/// `revoke` ends it, and it ends by itself. The key needs the capability `vouches`, which a pipeline's key does not
/// have unless it was asked for: a stolen one should vouch for nobody.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    about: AboutArgs,

    /// How much: ULTIMATE, STRONG, MODERATE, WEAK
    #[arg(long, default_value = "STRONG", value_parser = level)]
    level: Level,

    /// How many further hops may follow, 0 to 7: 0 trusts it, and nobody it vouches for
    #[arg(long, value_name = "HOPS", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(u8).range(..=i64::from(MAX_DEPTH)))]
    depth: u8,

    /// The same as --depth 0
    #[arg(long, conflicts_with = "depth")]
    no_delegate: bool,

    /// When it ends, from now; at most 365d
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = super::parse_duration)]
    expires: Duration,

    #[command(flatten)]
    log: LogArgs,
}

/// Of whom something is said, and for what.
#[derive(clap::Args)]
pub(super) struct AboutArgs {
    /// Whom
    #[arg(value_name = "DID")]
    pub(super) did: Did,

    /// For what: GENERAL, CODE_SIGNING, FINANCIAL, INFORMATION, IDENTITY
    #[arg(long, default_value = "CODE_SIGNING", value_parser = scope)]
    pub(super) scope: Scope,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let issued_at = clock::now_millis();
    let event = TrustEvent::Vouch {
        id: new_id()?,
        issued_at,
        scope: args.about.scope,
        level: args.level,
        depth: Some(if args.no_delegate { 0 } else { args.depth }),
        expires_at: after(issued_at, args.expires)?,
    };
    let session = args.log.open(console)?;
    let subject = session.known(args.about.did, console)?;
    let logged = session.say(&identity, args.about.did, event, console)?;
    args.log.print(&logged, console);
    if let Some(why) = worthless(&subject) {
        console.warn(why);
    }
    Ok(Exit::Yes)
}

/// Why a vouch gives its subject no score now.
fn worthless(subject: &Known) -> Option<String> {
    let (did, as_of) = (subject.did, subject.as_of());
    match subject.state.as_ref().map(State::status) {
        Some(Status::Active) => None,
        Some(Status::Compromised) => Some(format!(
            "{did} is reported as compromised, {as_of}: the vouch counts for nothing until it has recovered"
        )),
        Some(Status::Deactivated) => {
            Some(format!("{did} was deactivated, {as_of}: no vouch gives it a score"))
        }
        None => Some(format!(
            "{did} is not registered in the log `{}`, {as_of}: the vouch counts for nothing until it is",
            subject.origin
        )),
    }
}

/// The moment a vouch of this length ends.
fn after(issued_at: LogTime, length: Duration) -> Result<LogTime> {
    let wrong =
        || Failure::new("a vouch lasts 1 ms to 365 days").hint("such as `--expires 90d`; vouch again later");
    let millis = u64::try_from(length.as_millis()).map_err(|_| wrong())?;
    if !(1..=MAX_VOUCH_MILLIS).contains(&millis) {
        return Err(wrong());
    }
    LogTime::from_millis(issued_at.as_millis() + millis).ok_or_else(wrong)
}

/// What makes a statement unlike any other.
pub(super) fn new_id() -> Result<StatementId> {
    Ok(StatementId(*keyfile::random()?))
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| one_of(Scope::ALL.iter().map(|scope| scope.name())))
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "SUSPICIOUS" => Err("a warning is the command `distrust`".to_owned()),
        "UNKNOWN" => Err("that is no vouch".to_owned()),
        _ => Level::parse(text).ok_or_else(|| one_of(Level::ALL.iter().map(|level| level.name()))),
    }
}

pub(super) fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    format!("one of {}", names.collect::<Vec<_>>().join(", "))
}
