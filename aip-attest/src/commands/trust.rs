mod asked;
mod graph;
mod json;
mod text;

use std::time::Duration;

use ::trust::{Params, Ppm, Verdict};
use attestation::Did;
use attestation::entry::LogTime;

use crate::clock;
use crate::contact::Contact;
use crate::durable::{self, Readers};
use crate::policy_file::trust::{Stated, Trust};
use crate::policy_file::{self, PolicyFile, PolicySource, pins::Pins};
use crate::report::{Console, Exit, Failure, Result};
use crate::scoring::age::{self, MaxAge};
use crate::scoring::{self, Basis, Flags, RootSource};
use crate::target::{self, Wish};
use crate::word::asserted::Asserted;
use crate::word::evidence::Claimed;
pub(super) use asked::{Asked, Workflow};
pub(super) use json::json_of;
pub(super) use text::{hint, print, words};

/// Explain how far a pipeline is trusted, and why
///
/// The score is the best path of vouches from your own roots to the DID, times what its history is worth. Each
/// step is an entry in the log; its index is printed. Whoever has the same roots and the same log computes the
/// same number.
///
/// With a threshold the answer decides something, and is held to what `gate` asks for: a policy that somebody other
/// than the log has named, and a checkpoint that is young enough, as --max-age and `max-checkpoint-age` in trust.toml
/// say. Without one, only an age that is named is asked for.
///
/// Exit codes: 0 there is an answer; 1 a threshold is named, and the DID does not pass it; 2 there is no answer, or
/// with a threshold none that may decide.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Whose score
    #[arg(value_name = "DID", required = true)]
    did: Option<Did>,

    /// The score that passes, else `threshold` in trust.toml: below it the exit code is 1
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    threshold: Option<Ppm>,

    #[command(flatten)]
    asked: Asked,

    /// How old the log's checkpoint may be, by the time that the quorum attests, or `none` for any age; with a
    /// threshold else 24h, where witnesses attest one
    #[arg(long, value_name = "DURATION", value_parser = MaxAge::parse)]
    max_age: Option<MaxAge>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    Graph(graph::Args),
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    if let Some(Command::Graph(args)) = args.command {
        return graph::run(args, console);
    }
    let did = args.did.ok_or_else(|| Failure::new("no DID is named"))?;
    let pins = Pins::load()?;
    let flags = Flags { threshold: args.threshold, ..args.asked.flags() };
    let judged = judge(did, &args.asked, &flags, &pins, console)?;
    if judged.has_threshold {
        judged.refuse_unfounded(args.max_age.unwrap_or_default())?;
    } else {
        judged.refuse_stale(args.max_age.unwrap_or(MaxAge::Any))?;
    }
    if args.json {
        console.json(&json_of(&judged));
    } else {
        print(&judged, console);
    }
    if let Some(hint) = hint(&judged) {
        console.hint(hint);
    }
    Ok(if judged.verdict.passes || !judged.has_threshold { Exit::Yes } else { Exit::False })
}

/// A verdict, and what it rests on.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) basis: Basis,
    pub(super) roots: RootSource,
    /// The policy that judged the log.
    pub(super) policy: PolicyFile,
    /// Whether anybody named a threshold.
    pub(super) has_threshold: bool,
    /// Whether the policy is anybody's but the log's own.
    is_believed: bool,
    /// Whether a workflow names the policy's fingerprint.
    is_fixed: bool,
    /// The greatest age of a checkpoint, by the settings.
    max_age: Option<Duration>,
    /// The settings that count, each with whose word it is.
    pub(super) settings: Vec<Stated>,
}

impl Judged {
    /// Which policy judged, and whose word that is.
    pub(super) fn policy_words(&self) -> String {
        match &self.policy.source {
            source @ PolicySource::Fixed(_) => source.to_string(),
            source if self.is_fixed => format!("{source}, pinned by policy-sha256"),
            source => source.to_string(),
        }
    }

    /// Refuses to decide anything by a log that nobody but itself has named, or by a checkpoint that is too old.
    /// What decides, asks here.
    pub(super) fn refuse_unfounded(&self, max_age: MaxAge) -> Result<()> {
        if !self.is_believed {
            return Err(Failure::new("nobody but the log itself says which log it is")
                .because("a decision by a log's own word is made by whoever serves one")
                .hint(target::PIN_ONCE)
                .hint(policy_file::IN_CI));
        }
        self.refuse_stale(max_age)
    }

    /// Refuses a checkpoint that is older than `max_age` or the settings allow. Both hold, so that no flag takes
    /// back what the settings demand.
    fn refuse_stale(&self, max_age: MaxAge) -> Result<()> {
        let Basis { checkpoint, attested, way, .. } = &self.basis;
        for limit in [Some(max_age), self.max_age.map(MaxAge::Setting)].into_iter().flatten() {
            age::refuse_stale(checkpoint.size, *attested, *way, limit, clock::now())?;
        }
        Ok(())
    }
}

/// Judges a DID, as of now.
pub(super) fn judge(
    did: Did,
    asked: &Asked,
    flags: &Flags,
    pins: &Pins,
    console: &mut Console,
) -> Result<Judged> {
    let Reached { basis, policy, params, roots } = reach(did, asked, flags, pins, console)?;
    scoring::refuse_too_few_roots(&params, roots)?;
    policy.trust.refuse_small(&basis.checkpoint.origin, basis.checkpoint.size)?;
    if let (Some(path), Some(evidence)) = (&asked.evidence_out, &basis.evidence) {
        durable::write(path, evidence.to_json().as_bytes(), Readers::Everyone)?;
    }
    let (verdict, is_whole_search) = basis.judge(&params, did, now(&basis)?)?;
    if !is_whole_search {
        console
            .warn(format!("more vouches lead to {did} than one search looks at: there may be a better path"));
    }
    let has_threshold = flags.threshold.or(policy.trust.scoring.threshold).is_some();
    let is_believed = !matches!(policy.source, PolicySource::Log(_));
    let is_fixed = asked.fingerprint.is_some();
    let max_age = policy.trust.max_checkpoint_age();
    let settings = settings_that_count(&policy.trust, flags, roots);
    Ok(Judged { verdict, basis, roots, policy, has_threshold, is_believed, is_fixed, max_age, settings })
}

/// The settings in whose place nothing else was named.
fn settings_that_count(trust: &Trust, flags: &Flags, roots: RootSource) -> Vec<Stated> {
    let counts = |stated: &&Stated| match stated.name.as_str() {
        "trust.threshold" => flags.threshold.is_none(),
        "trust.scope" => flags.scope.is_none(),
        "trust.min-paths" => flags.min_paths.is_none(),
        "trust.roots" => roots == RootSource::Settings,
        _ => true,
    };
    trust.stated().iter().filter(counts).cloned().collect()
}

/// What a judgement is made from, and by.
struct Reached {
    basis: Basis,
    policy: PolicyFile,
    params: Params,
    roots: RootSource,
}

/// Gets the entries from where they are, and the parameters.
fn reach(did: Did, asked: &Asked, flags: &Flags, pins: &Pins, console: &mut Console) -> Result<Reached> {
    match &asked.evidence {
        Some(_) if asked.log.is_some() && !asked.sync => {
            Err(Failure::new("--evidence asks no log, and --log names one")
                .hint("with --sync, the log is read and the evidence held against it"))
        }
        Some(path) if !asked.sync => {
            let claimed = Claimed::read(path)?;
            let policy = policy_for(&claimed, asked, pins, console)?;
            let (params, roots) = scoring::params(flags, &policy.trust.scoring, console)?;
            let basis = Basis::of_file(claimed, &policy.policy, pins)?;
            Ok(Reached { basis, policy, params, roots })
        }
        evidence => {
            let deadline = super::deadline(asked.timeout)?;
            let named = asked.named(pins, console)?;
            let wish = Wish::new(asked.log.as_deref(), named, pins)
                .map_err(|failure| failure.hint("or judge by evidence in a file: --evidence FILE"))?
                .with_fingerprint(asked.fingerprint);
            let target = wish.meet(pins, deadline, console)?;
            let (params, roots) = scoring::params(flags, &target.judge.trust.scoring, console)?;
            let mut inquiry = Contact { target: &target, pins, deadline }.inquire(console);
            let basis = if asked.sync {
                let asserted = evidence.as_ref().map(|path| Asserted::read(path, &target.judge.policy));
                Basis::of_whole_log(did, asserted.transpose()?, &mut inquiry)?
            } else {
                Basis::of_log(did, &params, &mut inquiry)?
            };
            Ok(Reached { basis, policy: target.judge, params, roots })
        }
    }
}

/// The policy that judges evidence from a file.
fn policy_for(claimed: &Claimed, asked: &Asked, pins: &Pins, console: &mut Console) -> Result<PolicyFile> {
    match asked.named(pins, console)? {
        Some(named) => Ok(named),
        None => policy_file::pinned(pins, claimed.origin()),
    }
}

/// The moment of the judgement: this machine's, unless the witnesses know that it is later.
fn now(basis: &Basis) -> Result<LogTime> {
    let now = clock::now_millis();
    if now.as_millis() + MAX_BEHIND_SECONDS * 1000 < basis.newest.map_or(0, LogTime::as_millis) {
        return Err(Failure::new("this machine's clock is behind the log's")
            .because("an entry was logged later than it is here")
            .hint("set the clock: a vouch that has ended would count"));
    }
    let Some(attested) = basis.attested else { return Ok(now) };
    if now.as_millis() / 1000 + MAX_BEHIND_SECONDS < attested.as_secs() {
        return Err(Failure::new("this machine's clock is behind what the witnesses attest")
            .because(format!("they cosigned at {}", clock::rfc3339(attested)))
            .hint("set the clock: a vouch that has ended would count"));
    }
    Ok(now)
}

const MAX_BEHIND_SECONDS: u64 = 300;
