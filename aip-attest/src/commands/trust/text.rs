//! A judgement for people.

use ::trust::{Advice, Cause, JudgedPath, Ppm};
use attestation::Did;
use tlog::checkpoint::Checkpoint;

use super::Judged;
use crate::clock;
use crate::policy_file::trust::Stated;
use crate::report::{Console, counted};
use crate::scoring::RootSource;

/// The explanation for people.
pub(in super::super) fn print(judged: &Judged, console: &mut Console) {
    let Judged { verdict, basis, .. } = judged;
    console.line(format!("{}  {}", verdict.target, verdict.standing.name()));
    console.line(format!("score     {} for {}", verdict.score, verdict.params.scope()));
    let roots: Vec<String> = verdict.params.roots().map(root_words).collect();
    console.line(format!("roots     {} ({})", roots.join(", "), judged.roots));
    for (at, path) in verdict.paths.iter().enumerate() {
        let name = if verdict.best == Some(at) { "path" } else { "other" };
        print_path(name, path, console);
    }
    let history = &verdict.history;
    if verdict.best.is_some() {
        console.line(format!(
            "history   {} of 26, {} by {}, {}: worth {}",
            counted(history.weeks, "active week"),
            counted(history.confirmed, "confirmed week"),
            counted(history.confirmers.len(), "other"),
            counted(history.failures.len(), "open failure"),
            history.behaviour,
        ));
    }
    for cause in &verdict.causes {
        console.line(format!("because   {}", words(judged, *cause)));
    }
    let is_distrusted = !verdict.distrusted.is_empty();
    for advice in &verdict.advice {
        let once = match advice {
            Advice::DirectVouch { .. } if is_distrusted => "and then ",
            _ => "",
        };
        console.line(format!("raises    {once}{}", advice_words(advice)));
    }
    let Checkpoint { origin, size, root, .. } = &basis.checkpoint;
    console.line(match basis.is_complete() {
        true => format!("proven    all entries up to size {size} were read, and have the root {root}"),
        false => {
            format!("proven    each entry that is named is in the tree of size {size} with the root {root}")
        }
    });
    let time = basis.attested.map_or("age not attested".to_owned(), clock::rfc3339);
    let complete = if basis.is_complete() { "the whole log was read" } else { "log-asserted" };
    console.line(format!("as of     size {size} of {origin}, {time}; {complete}"));
    console.line(format!("policy    {}", judged.policy_words()));
    for Stated { name, value, from } in &judged.settings {
        console.line(format!("setting   {name} {value}: {from}"));
    }
}

fn root_words((did, weight): (Did, u16)) -> String {
    if weight == 1000 { did.to_string() } else { format!("{did}={}.{:03}", weight / 1000, weight % 1000) }
}

fn print_path(name: &str, path: &JudgedPath, console: &mut Console) {
    console.line(format!("{name:<9} {}", path.path.root));
    for hop in &path.hops {
        let depth =
            hop.depth.map_or(String::new(), |depth| format!(", {}", counted(usize::from(depth), "more hop")));
        console.line(format!(
            "          {} {} {} until {}{depth}, entry {}: {}",
            hop.to,
            hop.scope,
            hop.level,
            clock::rfc3339_millis(hop.expires.as_millis()),
            hop.logged.index,
            hop.product,
        ));
    }
    if let Some((hop, why)) = &path.broken {
        console.line(format!("          broken at hop {hop}: {why}"));
    }
}

/// What to do for want of a path from the only root there is.
pub(in super::super) fn hint(judged: &Judged) -> Option<&'static str> {
    let is_lost = judged.verdict.causes.contains(&Cause::NoPath);
    (is_lost && judged.roots == RootSource::OwnDid).then_some(
        "your own DID is the only root: name the DIDs that you trust with --root, AIP_TRUST_ROOTS, \
         `[trust.roots]` in .aip/trust.toml, or the action's input `trust-roots`",
    )
}

/// A cause in words.
pub(in super::super) fn words(judged: &Judged, cause: Cause) -> String {
    let Judged { verdict, basis, .. } = judged;
    match cause {
        Cause::Unregistered => {
            format!("it is not registered: the log `{}` has no inception of it", basis.checkpoint.origin)
        }
        Cause::Deactivated => "it was deactivated".into(),
        Cause::Compromised => "it is reported as compromised, and has not recovered".into(),
        Cause::Distrusted { by, index } => format!("the root {by} distrusts it (entry {index})"),
        Cause::NoPath => "no path of vouches leads to it from your roots".into(),
        Cause::Equivocation { by, index } => {
            format!("it signed two results of one reproducible build (shown by {by}, entry {index})")
        }
        Cause::Failure { by, index } => format!("{by} reports a failed verification (entry {index})"),
        Cause::History => format!("its history is worth {}", verdict.history.positive),
        Cause::BelowThreshold => {
            let (score, threshold) = unequal(verdict.score, verdict.params.threshold());
            format!("the score {score} is below {threshold}")
        }
        Cause::Paths { found, needed } => {
            format!("{needed} paths that reach the threshold and share nothing are asked for, found: {found}")
        }
    }
}

/// Two scores as people read them, with as many decimals as tell them apart.
fn unequal(a: Ppm, b: Ppm) -> (String, String) {
    let (short, long) = (
        |ppm: Ppm| ppm.to_string(),
        |ppm: Ppm| format!("{}.{:06}", ppm.get() / 1_000_000, ppm.get() % 1_000_000),
    );
    if short(a) == short(b) { (long(a), long(b)) } else { (short(a), short(b)) }
}

fn advice_words(advice: &Advice) -> String {
    match advice {
        Advice::Register => {
            "an inception in this log: `aip-attest init --register`, by its owner; of a DID of another log: --log"
                .into()
        }
        Advice::Recover => "a recovery: `aip-attest recover`".into(),
        Advice::LiftDistrust { by, index } => format!("{by} taking back its distrust (entry {index})"),
        Advice::DirectVouch { by, score } => format!("a STRONG vouch by the root {by}: {score}"),
        Advice::StrongerVouch { hop, by, score } => format!("a STRONG vouch by {by} at hop {hop}: {score}"),
        Advice::Activity { weeks, score } => format!("{weeks} more weeks with receipts: {score}"),
        Advice::Confirmations { weeks, score } => format!("{weeks} more weeks confirmed by others: {score}"),
        Advice::Withdrawals { score } => format!("the failure reports withdrawn: {score}"),
    }
}
