//! The work of `action.yml`, which maps the action's inputs into the environment and does nothing else.
//!
//! Everything is written to stdout, with the runner's workflow commands stopped but for our own: a file name
//! cannot become one.

mod checkout;
mod event;
mod gate;
mod inputs;
mod lines;
mod outputs;
mod runner;
mod words;

use attestation::entry::Visibility;

use super::sign::{self, Named};
use crate::client::Token;
use crate::environment;
use crate::keyfile;
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicyFile};
use crate::receipt_file::Shelf;
use crate::report::{Console, Exit, Failure, Result};
use crate::signing::{self, KeyOf, Report, Request, Says};
use crate::target::Wish;
use checkout::Rules;
use event::Event;
use inputs::{IfNoKey, Inputs, OnLogFailure};
use outputs::{Outputs, assign};
use runner::Runner;

/// Do the work of the GitHub Action
///
/// For action.yml: reads its inputs from AIP_INPUT_* and the identity from AIP_DID and AIP_PRIVATE_KEY, and
/// writes GITHUB_OUTPUT, GITHUB_STEP_SUMMARY and annotations.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(Args {}: Args, _: &mut Console) -> Result<Exit> {
    let mut runner = Runner::start()?;
    let exit = match gate::begin().and_then(|()| act(&mut runner)) {
        Ok(exit) => exit,
        Err(failure) => {
            runner.error(&failure);
            failure.exit()
        }
    };
    runner.finish()?;
    Ok(exit)
}

fn act(runner: &mut Runner) -> Result<Exit> {
    let no_answer = |failure: Failure| match gate::could_not_tell(&failure) {
        Ok(()) => failure,
        Err(unwritten) => unwritten,
    };
    let inputs = Inputs::read().map_err(no_answer)?;
    // Only the environment: a credentials file of the machine is not this workflow's identity.
    let has_key = environment::var("AIP_PRIVATE_KEY").map_err(no_answer)?.is_some();
    // First of all: nothing is read of what a stranger may have chosen.
    let event = Event::read().map_err(no_answer)?;
    event.refuse_untrusted(inputs.allow_untrusted_event, has_key).map_err(no_answer)?;
    if let Some(url) = &inputs.log_url {
        assign("GITHUB_ENV", &[("AIP_LOG_URL", url.clone())])?;
    }
    // A fork's pull request that may pass unsigned needs no policy.
    if inputs.gate.is_none() && !has_key {
        return no_key(&inputs, runner);
    }
    let pins = checkout::pins().map_err(no_answer)?;
    let rules = Rules::read(&inputs, &event, &pins, runner).map_err(no_answer)?;
    // Before anything is signed: what a stopped job made is nobody's release.
    if let Some(wanted) = &inputs.gate {
        let exit = gate::pass(wanted, &inputs, &rules, runner).map_err(no_answer)?;
        if exit != Exit::Yes || !inputs.signs() {
            return Ok(exit);
        }
    }
    let Some(identity) = has_key.then(keyfile::from_environment).transpose()?.flatten() else {
        return no_key(&inputs, runner);
    };
    let pins = pins.with_settings(rules.trust);
    let log = log(&inputs, rules.policy, &pins, runner)?;
    let knows_log = log.is_some();
    let says = sign::says(inputs.predicate_type.as_deref(), inputs.predicate.as_deref(), runner.console())?;
    let says = match says {
        Says::Built(provenance) if inputs.reproducible => Says::Built(provenance.reproducible()),
        says => says,
    };
    let shelf = Shelf::new(Some(inputs.receipts_dir.clone()));
    let named = Named {
        files: &inputs.sign_paths.take,
        exclude: &inputs.sign_paths.exclude,
        checksums: &inputs.checksums,
        subjects: &inputs.subjects,
        receipt: None,
    };
    let (artifacts, aside) = sign::artifacts(&named, &shelf, &says, runner.console())
        .map_err(|failure| lines::explain("sign-paths", &inputs.sign_paths.take, failure))
        .map_err(|failure| lines::explain("subjects", &inputs.subjects, failure))?;
    let request = Request {
        artifacts,
        says,
        together: inputs.together,
        visibility: if inputs.private { Visibility::Private } else { Visibility::Public },
        shelf,
        receipt: None,
        log,
        key: whose_key(&inputs, knows_log),
        deadline: super::deadline(None)?,
    };
    let report = signing::sign(request, &identity, &pins, runner.console())?;
    if report.is_key_open {
        runner.warning(&key_is_open());
    }
    Outputs::of(&identity.did, &report, &aside, &inputs.receipts_dir).write(runner)?;
    Ok(verdict(&report, knows_log, &inputs, runner))
}

/// After a rotation or a recovery only the log tells that the key is the DID's. A step that passes without the log leaves
/// that to whoever submits the receipts, unless the workflow insists on a log.
fn whose_key(inputs: &Inputs, knows_log: bool) -> KeyOf {
    let may_be_open = !knows_log || inputs.on_log_failure == OnLogFailure::Defer;
    if may_be_open && !inputs.require_log { KeyOf::LogOrSubmit } else { KeyOf::Log }
}

fn key_is_open() -> Failure {
    Failure::new("the log will judge whether this key is the DID's: the DID is not the hash of the key, and no log has said yet whose it is")
        .hint("after a rotation or a recovery that is so, and `aip-attest submit RECEIPT` gets the log's judgement")
        .hint("without one: set AIP_DID and AIP_PRIVATE_KEY to what the same `aip-attest init` made")
}

fn no_key(inputs: &Inputs, runner: &mut Runner) -> Result<Exit> {
    let failure = Failure::new("there is no private key: the input `private-key` is empty");
    match inputs.if_no_key {
        IfNoKey::Fail => Err(failure
            .hint("pull requests from forks have no secrets: set `if-no-key: skip` to let them pass unsigned")
            .hint("set the secrets AIP_DID and AIP_PRIVATE_KEY: see `aip-attest key export --help`")),
        IfNoKey::Skip => {
            runner.warning(&failure.hint("nothing was signed, as `if-no-key: skip` wants it"));
            Outputs::nothing(&inputs.receipts_dir).write(runner)?;
            Ok(Exit::Yes)
        }
    }
}

/// The log to submit to; `None` if no input, variable or policy names one.
fn log(inputs: &Inputs, named: Option<PolicyFile>, pins: &Pins, runner: &mut Runner) -> Result<Option<Wish>> {
    let is_named = inputs.log_url.is_some()
        || environment::var("AIP_LOG_URL")?.is_some()
        || named.is_some()
        || pins.iter().next().is_some();
    if !is_named && inputs.policy_sha256.is_some() {
        // Whoever names a policy's fingerprint relies on that policy: nothing is signed for later without it.
        return Err(Failure::new(
            "the input `policy-sha256` is set, and there is no policy that could have it",
        )
        .because("no log is known")
        .hint(policy_file::IN_CI)
        .hint("or leave `policy-sha256` empty, and the receipts are signed and not logged"));
    }
    if !is_named {
        let failure =
            Failure::new("no log is known: the receipts are signed, and not logged").hint(policy_file::IN_CI);
        match inputs.require_log {
            true => runner.error(&failure),
            false => runner.warning(&failure),
        }
        return Ok(None);
    }
    let wish = Wish::new(inputs.log_url.as_deref(), named, pins)?.with_fingerprint(inputs.policy_sha256);
    if !wish.takes_token() && Token::of_environment()?.is_some() {
        return Err(Failure::new("AIP_LOG_TOKEN is set, and only a policy file says which log it is for")
            .because("whoever changes the file would choose who gets the token")
            .hint("name the log: `log-url`; or fix the policy: `policy-sha256`"));
    }
    Ok(Some(wish))
}

/// What did not work, as annotations, and whether the step fails for it.
fn verdict(report: &Report, knows_log: bool, inputs: &Inputs, runner: &mut Runner) -> Exit {
    if !knows_log && inputs.require_log {
        return Exit::Unable;
    }
    let mut exit = Exit::Yes;
    let mut told: Vec<String> = Vec::new();
    let failures = report.signed.iter().filter_map(|signed| signed.failure.as_ref());
    for failure in failures.chain(&report.log_failure) {
        // Only what may be gone later can be deferred: a log that lies or refuses will do so again.
        let is_deferred = failure.is_for_now() && inputs.on_log_failure == OnLogFailure::Defer;
        if !is_deferred {
            exit = exit.and(failure.exit());
        }
        // A thousand artifacts that fail for one reason are one annotation.
        if told.contains(&failure.one_line()) {
            continue;
        }
        told.push(failure.one_line());
        match is_deferred {
            true => runner.warning(failure),
            false => runner.error(failure),
        }
    }
    exit
}
