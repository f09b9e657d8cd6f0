use std::cell::Cell;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use tlog::Hash;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use super::check;
use crate::artifact::parse_digest;
use crate::client::{Client, normal_url};
use crate::current::{self, Shown};
use crate::patience::Patience;
use crate::policy_file::pins::{Pin, Pins};
use crate::policy_file::{self, Source, difference};
use crate::report::{Console, Exit, Failure, Result};

/// Keep a log's policy and key, once you have compared its fingerprint
///
/// From then on `verify` works without naming a policy, and what the log shows is compared with what was seen
/// of it before: never smaller, never another root, and larger only with a proof. The fingerprint is of the whole
/// policy text; compare it with one that reached you on another way.
///
/// Exit codes as of `log sync`: 1 the fingerprint is another one, the log contradicts what was seen of it, or its
/// checkpoint is not by a key of the policy; 2 out of reach or below the quorum, or nobody confirmed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log
    url: String,

    /// Pin this policy: for a log that publishes none, such as one of other software
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Pin what the log says, without asking
    #[arg(long, conflicts_with = "expect")]
    yes: bool,

    /// Pin without asking, if the policy has this fingerprint
    #[arg(long, value_name = "sha256:HEX")]
    expect: Option<String>,

    /// Accept a policy that is met by less than the one that is pinned
    #[arg(long)]
    accept_weaker: bool,

    /// Replace another key that is pinned for this log
    #[arg(long)]
    replace: bool,

    /// How long to try; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::super::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let expect = args.expect.as_deref().map(|text| {
        parse_digest(text)
            .ok_or_else(|| Failure::new(format!("`{text}` is not sha256: with 64 lower-case hex digits")))
    });
    let expect = expect.transpose()?;
    let url = normal_url(&args.url)?;
    let pins = Pins::load()?;
    let deadline = super::super::deadline(args.timeout)?;
    let client = Client::new(&url, deadline)?;
    let mut patience = Patience::until(deadline);
    let text = match &args.policy {
        Some(path) => policy_file::read(path, Source::Flag)?.text,
        None => published(&client, &mut patience, console)?,
    };
    let offered = Offer::fetch(text, &client, &mut patience, console)?;
    if let Some(expect) = expect.filter(|expect| *expect != offered.fingerprint()) {
        return Err(Failure::refuted("the log's policy has another fingerprint")
            .because(format!("expected sha256:{expect}, got sha256:{}", offered.fingerprint()))
            .hint("do not pin it before you know why"));
    }
    let others: Vec<&Pin> = pins.of_origin(offered.origin()).filter(|pin| pin.vkey != offered.vkey).collect();
    if let (Some(other), false) = (others.first(), args.replace) {
        return Err(Failure::new(format!("another key is pinned for the log `{}`", offered.origin()))
            .because(format!("pinned is {}, offered is {}", other.vkey, offered.vkey))
            .hint("a log announces a change of its key; if it did, --replace"));
    }
    let known = pins.of_key(&offered.vkey);
    if let Some(known) = known {
        // Before the quorum: a fork is one with or without cosignatures.
        current::extends(known, &offered.shown, &client, &mut patience, console)?;
    }
    current::satisfies(&offered.policy, "the policy", &offered.shown)?;
    let before = known.or(others.first().copied());
    if before.is_none_or(|before| before.text != offered.text || before.vkey != offered.vkey) {
        show(&offered, before, console);
        if let Some(why) = before.and_then(|before| difference::weaker(&before.policy, &offered.policy))
            && !args.accept_weaker
        {
            return Err(Failure::new("the offered policy is weaker than the pinned one")
                .because(why)
                .hint("if you know why, --accept-weaker"));
        }
        if !args.yes && expect.is_none() && args.policy.is_none() {
            confirm(&offered, console)?;
        }
    }
    pins.save(&offered.as_pin(url))?;
    for other in others {
        pins.remove(&other.vkey)?;
    }
    console.line(format!("pinned {} at size {}", offered.origin(), offered.shown.checkpoint.size));
    Ok(Exit::Yes)
}

/// What a log says of itself; its checkpoint is by a key that it names itself, and no more.
struct Offer {
    text: String,
    policy: Policy,
    vkey: VerifierKey,
    shown: Shown,
}

impl Offer {
    /// The policy in `text`, and the log's checkpoint.
    fn fetch(text: String, client: &Client, patience: &mut Patience, console: &mut Console) -> Result<Self> {
        let policy: Policy = text.parse().map_err(|error: tlog::policy::PolicyParseError| {
            Failure::new(format!("`{}/policy` is no policy", client.url())).caused_by(error)
        })?;
        let shown = current::fetch(client, patience, console)?;
        let (_, log) = policy.log_checkpoint(&shown.seen.note).map_err(|error| {
            Failure::refuted("the log's checkpoint does not satisfy the policy").caused_by(error)
        })?;
        let vkey = log.vkey.clone();
        Ok(Self { text, policy, vkey, shown })
    }

    fn origin(&self) -> &str {
        &self.shown.checkpoint.origin
    }

    /// SHA-256 of the whole text: what people compare.
    fn fingerprint(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }

    fn as_pin(&self, url: String) -> Pin {
        Pin {
            url,
            vkey: self.vkey.clone(),
            policy: self.policy.clone(),
            text: self.text.clone(),
            size: self.shown.checkpoint.size,
            root: self.shown.checkpoint.root,
            seen: Some(self.shown.seen.clone()),
        }
    }
}

/// The policy that the log publishes.
fn published(client: &Client, patience: &mut Patience, console: &mut Console) -> Result<String> {
    let has_none = Cell::new(false);
    let asked = patience
        .ask(console, || client.policy().inspect_err(|error| has_none.set(error.status() == Some(404))));
    asked.map_err(|failure| match has_none.get() {
        true => failure.hint("a log of other software publishes no policy: bring one with --policy FILE"),
        false => failure,
    })
}

fn show(offered: &Offer, before: Option<&Pin>, console: &mut Console) {
    match before {
        None => check::print(&offered.policy, console),
        Some(before) => {
            difference::lines(&before.text, &offered.text).iter().for_each(|line| console.line(line))
        }
    }
    console.line(format!("fingerprint sha256:{}", offered.fingerprint()));
    check::warn(&offered.policy, console);
}

fn confirm(offered: &Offer, console: &mut Console) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nobody is there to confirm the policy")
            .hint(format!("compare the fingerprint, then --expect sha256:{}", offered.fingerprint())));
    }
    console.prompt("pin this policy? [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new("cannot read the answer").caused_by(error))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("not pinned"))
}
