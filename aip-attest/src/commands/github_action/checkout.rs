//! What of the checkout's files counts. Who changes a branch changes them: a policy that is only proposed, and settings in
//! any event, judge nothing that the workflow does not fix by their digest.

use std::path::Path;

use tlog::Hash;

use super::event::Event;
use super::inputs::Inputs;
use super::runner::Runner;
use crate::environment;
use crate::policy_file::pins::Pins;
use crate::policy_file::trust::{Trust, TrustFile};
use crate::policy_file::{self, PolicyFile, PolicySource};
use crate::report::{Failure, Result};

/// What judges in this step, as far as it is known before a log is asked.
pub(super) struct Rules {
    /// The policy that is named, with the settings.
    pub(super) policy: Option<PolicyFile>,
    /// The settings, of the inputs and of a file that they fix. On a runner the user's own are nobody's.
    pub(super) trust: Trust,
}

/// The pins of the machine. In a home that lies in the checkout they are the word of whoever changes the branch.
pub(super) fn pins() -> Result<Pins> {
    let pins = Pins::load()?;
    match environment::home() {
        Some(home) if pins.iter().next().is_some() && is_in_checkout(&home) => {
            Err(Failure::new(format!("the pins in `{}` are from the checkout", home.display()))
                .because("HOME lies in the checkout, and whoever changes the branch would choose which log is believed")
                .hint("set HOME to a folder outside of the checkout, or remove the pins and use `log-url` and `policy-sha256`"))
        }
        _ => Ok(pins),
    }
}

impl Rules {
    pub(super) fn read(inputs: &Inputs, event: &Event, pins: &Pins, runner: &mut Runner) -> Result<Self> {
        let policy = policy_file::named_alone(inputs.policy.as_deref(), pins, runner.console())?;
        if let Some(policy) = policy.as_ref().filter(|policy| is_of_checkout(&policy.source)) {
            admit_policy(policy, inputs, event, runner)?;
        }
        let trust = settings(policy.as_ref(), inputs)?.overridden_by(inputs.settings.clone());
        Ok(Self { policy: policy.map(|policy| PolicyFile { trust: trust.clone(), ..policy }), trust })
    }
}

/// Whoever proposes a change does not choose what judges it.
fn admit_policy(policy: &PolicyFile, inputs: &Inputs, event: &Event, runner: &mut Runner) -> Result<()> {
    // Another digest is refused where the policy is used.
    if inputs.policy_sha256.is_some() {
        return Ok(());
    }
    // Quoted: there are digits that YAML takes for a number.
    let line = format!("policy-sha256: '{}'", Hash::of(policy.text.as_bytes()));
    if event.is_proposal() {
        return Err(Failure::new(format!("the policy {} is from the checkout", policy.source))
            .because(format!(
                "in the event `{}` the checkout is what somebody proposes, and nothing fixes the policy in it",
                event.name()
            ))
            .hint(format!("compare it with the one on your own branch, then add the line `{line}` to the step's inputs")));
    }
    runner.console().note(format!(
        "the policy {} is from the checkout: whoever changes the branch changes it; the line `{line}` fixes it",
        policy.source
    ));
    Ok(())
}

/// The settings that a file brings. One that is there is never passed over: it may ask for more than the inputs do.
fn settings(policy: Option<&PolicyFile>, inputs: &Inputs) -> Result<Trust> {
    // What only signs reads none.
    if inputs.gate.is_none() && inputs.trust_sha256.is_none() {
        return Ok(Trust::default());
    }
    let found = policy_file::settings_of_checkout(policy)?;
    match (found, inputs.trust_sha256) {
        (None, None) => Ok(Trust::default()),
        (None, Some(_)) => Err(Failure::new(
            "the input `trust-sha256` is set, and there is no trust.toml that could have it",
        )
        .hint("put trust.toml beside the policy, or leave `trust-sha256` empty")),
        (Some(found), None) => Err(Failure::new(format!("nothing fixes the settings `{}`", found.path.display()))
            .because("whoever changes the branch changes them, and to pass over them may be to ask for less")
            .hint(format!(
                "read the file, then add the line `trust-sha256: '{}'` to the step's inputs; or remove it, and use the inputs",
                found.sha256()
            ))),
        (Some(found), Some(want)) => fixed(&found, want),
    }
}

fn fixed(found: &TrustFile, want: Hash) -> Result<Trust> {
    let got = found.sha256();
    if got != want {
        return Err(Failure::refuted(format!(
            "the settings `{}` have another fingerprint",
            found.path.display()
        ))
        .because(format!("expected sha256:{want}, got sha256:{got}"))
        .hint("find out why before you accept the other one"));
    }
    found.read("fixed by `trust-sha256`")
}

/// Whether whoever changes the checkout changes this policy, by whatever name and links it was found.
fn is_of_checkout(source: &PolicySource) -> bool {
    let path = match source {
        PolicySource::Pinned(_) | PolicySource::Kept(_) | PolicySource::Fixed(_) | PolicySource::Log(_) => {
            return false;
        }
        PolicySource::WorkingTree(_) => return true,
        PolicySource::Flag(path) | PolicySource::Environment(path) => path,
    };
    is_in_checkout(path)
}

/// Whether whoever changes the checkout changes what lies at `path`. Where that cannot be told, it may be so.
fn is_in_checkout(path: &Path) -> bool {
    let checkout = environment::path("GITHUB_WORKSPACE").or_else(|| std::env::current_dir().ok());
    let (Some(checkout), Ok(named)) = (checkout, std::path::absolute(path)) else { return true };
    let (Ok(real), Ok(real_checkout)) = (path.canonicalize(), checkout.canonicalize()) else { return true };
    let is_inside = |path: &Path| path.starts_with(&checkout) || path.starts_with(&real_checkout);
    let folder = named.parent().and_then(|folder| folder.canonicalize().ok());
    is_inside(&named) || is_inside(&real) || folder.is_none_or(|folder| is_inside(&folder))
}
