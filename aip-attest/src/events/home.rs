//! Which log is meant by a command that changes what a key counts for.
//!
//! Its owner destroys keys on the word "done", so that the log has to be the one that has the DID. Known by its key, in
//! this order: what the key's file keeps ([`KeptLogs`]); a pin; `--policy`; `--log` and `AIP_LOG_URL`. A policy of the
//! checkout judges only where it agrees with one of them: the same key, and no weaker. Alone it says nothing.

use std::path::Path;
use std::time::Instant;

use attestation::Did;

use super::Session;
use crate::environment;
use crate::keyfile;
use crate::keyfile::logs::{self, Difference, KeptLog, KeptLogs};
use crate::keyfile::next::Next;
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicyFile, PolicySource};
use crate::report::{Console, Failure, Result};
use crate::target::{Target, Wish};

/// What a command says about the log that it means, and what is known of it.
pub(crate) struct Meant<'a> {
    /// `--log`.
    pub log: Option<&'a str>,
    /// `--policy`.
    pub policy: Option<&'a Path>,
    /// What each key file at hand keeps.
    pub kept: &'a [&'a KeptLogs],
    /// The DID's home, where nothing else is named.
    pub home: Option<&'a KeptLog>,
    /// Whether what the user names comes before what is kept: `--accept-log`.
    pub accept: bool,
    /// Whether a checkout alone will do: for an inception, which takes nothing from anybody. It is never kept.
    pub may_be_of_checkout: bool,
}

impl Session {
    /// Meets the log that is meant, refuses another one, and says which it is.
    pub(crate) fn open_at_home(meant: &Meant<'_>, deadline: Instant, console: &mut Console) -> Result<Self> {
        let pins = Pins::load()?;
        let named = policy_file::named(meant.policy, &pins, console)?;
        let is_named = meant.log.is_some() || environment::var("AIP_LOG_URL")?.is_some();
        let wish = match meant.home {
            Some(home) if !is_named && named.as_ref().is_none_or(is_of_checkout) => {
                wish_home(home, named, &pins)?
            }
            _ => Wish::new(meant.log, named, &pins)?,
        };
        let target = wish.meet_to_submit(&pins, deadline, console)?;
        let known = known(meant, &target, &pins, is_named)?;
        refuse_other(meant, &known, &target, is_named, console)?;
        let keys: Vec<String> =
            logs::keys(&target.judge.policy, &target.origin).map(ToString::to_string).collect();
        let (url, source) = (target.client.url(), &target.judge.source);
        console.note(format!("the log is {} at {url}, judged by the policy {source}", keys.join(", ")));
        let own = own_word(&target, known.into_iter().next());
        Ok(Self { target, pins, deadline, own })
    }
}

/// The log as its owner says that it is: by the policy that judges it, or, where that is the checkout's, as it is `known`.
pub(super) fn own_word(target: &Target, known: Option<KeptLog>) -> Option<KeptLog> {
    match is_of_checkout(&target.judge) {
        false => KeptLog::new(&target.origin, target.client.url(), &target.judge.policy, &target.judge.text),
        true => known,
    }
}

/// Whether a log of a name that is kept has another key than that one.
pub(super) fn is_other(next: &Next, target: &Target) -> bool {
    let difference = next.logs.of(&target.origin).and_then(|kept| kept.differs(&target.judge.policy));
    matches!(difference, Some(Difference::OtherKey(_)))
}

/// Says where something of a DID goes to another log than its home, if that is known here. Nothing forbids it.
pub(crate) fn tell_of_other(did: Did, target: &Target, console: &mut Console) {
    // What cannot be read says so where it is needed.
    let next = keyfile::place().ok().and_then(|place| Next::peek(&place, did).ok().flatten());
    let Some(next) = next else { return };
    let (origin, url) = (&target.origin, target.client.url());
    if is_other(&next, target) {
        console.warn(format!(
            "`{url}` is not the log `{origin}` that {did} is at home in: the policy {} has another key for it than the one \
             that is kept with the key",
            target.judge.source
        ));
    } else if let Some(home) = next.elsewhere(origin) {
        console.note(format!("{did} is at home in `{home}`, and this is the log `{origin}` at {url}"));
    }
}

/// The log for what `did` signed: the one that is named or pinned, else its home, which the next key's file keeps by the
/// owner's own word. A policy of a checkout names a log, so that the home is not taken then. `claimed`: what was signed is
/// for this log, and goes to no other.
pub(crate) fn wish_for(
    did: Did,
    claimed: Option<&str>,
    log: Option<&str>,
    named: Option<PolicyFile>,
    pins: &Pins,
    console: &mut Console,
) -> Result<Wish> {
    let is_named = log.is_some() || environment::var("AIP_LOG_URL")?.is_some() || named.is_some();
    if is_named || pins.iter().count() == 1 {
        return Wish::new(log, named, pins);
    }
    let next = Next::peek(&keyfile::place()?, did)?;
    let is_meant = |home: &&KeptLog| claimed.is_none_or(|origin| origin == home.origin());
    let Some(home) = next.as_ref().and_then(Next::home).filter(is_meant) else {
        return Wish::new(log, named, pins);
    };
    console.note(format!("the log is `{}` at {}, where the DID is registered", home.origin(), home.url));
    wish_home(home, None, pins)
}

/// The home, where nobody names a log: at the address that is known, judged by the checkout's policy if it is of this
/// log, else by the pin, else by what is kept.
fn wish_home(home: &KeptLog, named: Option<PolicyFile>, pins: &Pins) -> Result<Wish> {
    let origin = home.origin();
    let pin = pins.of_origin(origin).next();
    let named = named.filter(|named| logs::keys(&named.policy, origin).next().is_some());
    let judge = match (named, pin) {
        (Some(named), _) => named,
        (None, Some(pin)) => pins.policy_of(pin)?,
        (None, None) => PolicyFile {
            policy: home.policy.clone(),
            text: home.text.clone(),
            trust: pins.settings()?,
            source: PolicySource::Kept(origin.to_owned()),
        },
    };
    Wish::known(pin.map_or(&home.url, |pin| &pin.url), judge, origin)
}

fn is_of_checkout(policy: &PolicyFile) -> bool {
    matches!(policy.source, PolicySource::WorkingTree(_))
}

/// What the policy that judges is held against: what the key's files keep of a log of this name, else its pins, else what
/// the log says at an address that the owner names.
fn known(meant: &Meant<'_>, target: &Target, pins: &Pins, is_named: bool) -> Result<Vec<KeptLog>> {
    let origin = target.origin.as_str();
    let kept: Vec<KeptLog> = meant.kept.iter().filter_map(|kept| kept.of(origin)).cloned().collect();
    if !kept.is_empty() {
        return Ok(kept);
    }
    let pinned: Vec<KeptLog> = pins.of_origin(origin).map(KeptLog::of_pin).collect();
    if !pinned.is_empty() || !is_named || !is_of_checkout(&target.judge) {
        return Ok(pinned);
    }
    Ok(published(target)?.into_iter().collect())
}

/// What the log itself says; `None` if it publishes no policy, as a log of other software may. A policy that is not to be
/// had now, or is of another log, leaves nothing but the checkout's word.
fn published(target: &Target) -> Result<Option<KeptLog>> {
    let (origin, url) = (&target.origin, target.client.url());
    let text = match target.client.policy() {
        Ok(text) => text,
        Err(error) if matches!(error.status(), Some(404 | 405 | 410)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let policy = text.parse().ok();
    policy.and_then(|policy| KeptLog::new(origin, url, &policy, &text)).map(Some).ok_or_else(|| {
        Failure::new(format!("the log at `{url}` does not say that it is `{origin}`"))
            .because(format!("only the policy {} does", target.judge.source))
            .because("nothing was changed")
            .hint("`aip-attest policy pin URL` keeps the log, once you have compared its fingerprint")
    })
}

fn refuse_other(
    meant: &Meant<'_>,
    known: &[KeptLog],
    target: &Target,
    is_named: bool,
    console: &mut Console,
) -> Result<()> {
    let is_of_checkout = is_of_checkout(&target.judge);
    if meant.accept && !is_of_checkout {
        return Ok(());
    }
    for log in known {
        if let Some(difference) = log.differs(&target.judge.policy) {
            return Err(other(log, &difference, target));
        }
    }
    if !is_of_checkout || is_named || !known.is_empty() {
        return Ok(());
    }
    let source = &target.judge.source;
    if meant.may_be_of_checkout {
        console.warn(format!(
            "only the policy {source} says which log this is, so nothing keeps that: `aip-attest policy pin URL` before \
             keys change"
        ));
        return Ok(());
    }
    Err(Failure::new(format!("only a checkout says which log `{}` is", target.origin))
        .because(format!("it is the policy {source}, which anybody who changes the checkout writes"))
        .hint("`aip-attest policy pin URL` keeps the log, once you have compared its fingerprint: the URL that you know, not the checkout's")
        .hint("or name it here: --log URL, AIP_LOG_URL or --policy FILE"))
}

/// Why a policy is not believed.
fn other(known: &KeptLog, difference: &Difference, target: &Target) -> Failure {
    let (origin, source) = (known.origin(), &target.judge.source);
    let failure = match difference {
        Difference::OtherKey(key) => {
            Failure::new(format!("the policy {source} has another key for the log `{origin}`"))
                .because(format!("it has {key}; known is {}, at {}", known.vkey, known.url))
        }
        Difference::Weaker(why) => Failure::new(format!(
            "the policy {source} is weaker than the one that is known of the log `{origin}`"
        ))
        .because(why),
    };
    let failure = failure.because("nothing was changed");
    match target.judge.source {
        PolicySource::WorkingTree(_) => failure
            .hint("the checkout is somebody else's word: give the command outside of it, or name a policy with --policy"),
        _ => failure,
    }
    .hint("if the log did change, and you know why: pin it anew (`aip-attest policy pin URL`), then --accept-log")
}
