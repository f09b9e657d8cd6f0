use std::cell::Cell;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use tlog::key::VerifierKey;
use tlog::merkle::empty_root;
use tlog::policy::{Log, Policy};
use tlog::{Hash, TreeSize};

use super::check;
use crate::artifact::parse_digest;
use crate::client::{Client, normal_url};
use crate::patience::{Asking, Patience};
use crate::policy_file::pins::{Pin, Pins};
use crate::policy_file::{self, PolicyFile, PolicySource, difference};
use crate::report::{Console, Exit, Failure, Result, printable};
use crate::word::current::{self, Shown};

/// Keep a log's policy and key, once you have compared its fingerprint
///
/// From then on `verify` works without naming a policy, and what the log shows is compared with what was seen
/// of it before: never smaller, never another root, and larger only with a proof. The fingerprint is of the whole
/// policy text; compare it with one that reached you on another way. Of each key its name, type and id are shown;
/// `policy show ORIGIN` prints the text with the whole keys.
///
/// Without a URL, `--policy FILE` pins a file and asks nobody: the log is where its `log` line says. What the log shows is
/// compared from the first `log sync` on.
///
/// Exit codes as of `log sync`: 1 the fingerprint is another one, the log contradicts what was seen of it, or its
/// checkpoint is not by a key of the policy; 2 out of reach or below the quorum, or nobody confirmed. Where
/// nobody answers at all, it tries for three seconds.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log
    #[arg(required_unless_present = "policy")]
    url: Option<String>,

    /// Pin this policy: for a log that publishes none, such as one of other software, or without asking the log
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Ask nobody, although a URL is given: for a policy that does not say where its log is
    #[arg(long, requires = "policy")]
    offline: bool,

    /// Pin what the log says, without asking you
    #[arg(long, conflicts_with = "expect")]
    yes: bool,

    /// Pin without asking you, if the policy has this fingerprint
    #[arg(long, value_name = "sha256:HEX")]
    expect: Option<String>,

    /// Accept a policy that is met by less than the one that is pinned
    #[arg(long)]
    accept_weaker: bool,

    /// Replace another key that is pinned for this log
    #[arg(long)]
    replace: bool,

    /// How long to try a log that answers, and not with what is asked; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::super::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let expect = args.expect.as_deref().map(|text| {
        parse_digest(text)
            .ok_or_else(|| Failure::new(format!("`{text}` is not sha256: with 64 lower-case hex digits")))
    });
    let expect = expect.transpose()?;
    let url = args.url.as_deref().map(normal_url).transpose()?;
    let pins = Pins::load()?;
    let brought =
        args.policy.as_deref().map(|path| policy_file::read(path, PolicySource::Flag)).transpose()?;
    let (offered, asked) = match (url, brought) {
        (Some(url), brought) if !args.offline => {
            let deadline = super::super::deadline(args.timeout)?;
            let client = Client::new(&url, deadline)?;
            let patience = Patience::until(deadline).only_with_who_answers();
            let mut asking = Asking { client: &client, patience, console };
            let text = match brought {
                Some(found) => found.text,
                None => published(&mut asking)?,
            };
            let offered = Offer::fetch(text, &mut asking);
            let offered = offered.map_err(|failure| match args.policy.is_some() && failure.is_for_now() {
                true => {
                    failure.hint("`policy pin --policy FILE` without the URL pins the file and asks nobody")
                }
                false => failure,
            })?;
            let patience = asking.patience;
            (offered, Some((client, patience)))
        }
        (url, Some(found)) => (Offer::brought(found, url, &pins)?, None),
        (_, None) => return Err(Failure::new("name the log, or a policy: --policy FILE")),
    };
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
    if let (Some(shown), Some((client, patience))) = (&offered.shown, asked) {
        if let Some(known) = known {
            // Before the quorum: a fork is one with or without cosignatures.
            current::require_extension(known, shown, &mut Asking { client: &client, patience, console })?;
        }
        current::require_quorum(&offered.policy, "the policy", shown)?;
    }
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
    pins.save(&offered.as_pin(known))?;
    for other in others {
        pins.remove(&other.vkey)?;
    }
    match &offered.shown {
        Some(shown) => {
            console.line(format!("pinned {} at size {}", offered.origin(), shown.checkpoint.size));
        }
        None => {
            console.line(format!("pinned {} at {}, which was not asked", offered.origin(), offered.url));
            console.hint("`aip-attest log sync` asks the log, and keeps what it shows");
        }
    }
    Ok(Exit::Yes)
}

/// What a log says of itself, or a file of it.
struct Offer {
    url: String,
    text: String,
    policy: Policy,
    vkey: VerifierKey,
    /// By a key that the policy names, and no more. None where nobody was asked.
    shown: Option<Shown>,
}

impl Offer {
    /// The policy in `text`, and the log's checkpoint.
    fn fetch(text: String, asking: &mut Asking<'_>) -> Result<Self> {
        let client = asking.client;
        let policy: Policy = text.parse().map_err(|error: tlog::policy::PolicyParseError| {
            Failure::new(format!("`{}/policy` is no policy", client.url())).caused_by(error)
        })?;
        let shown = current::fetch(asking)?;
        let (_, log) = policy.log_checkpoint(&shown.seen.note).map_err(|error| {
            Failure::refuted("the log's checkpoint does not satisfy the policy").caused_by(error)
        })?;
        let vkey = log.vkey.clone();
        Ok(Self { url: client.url().to_owned(), text, policy, vkey, shown: Some(shown) })
    }

    /// The log of a file. Where it is says the user, else the file, else an earlier pin.
    fn brought(found: PolicyFile, url: Option<String>, pins: &Pins) -> Result<Self> {
        let log = only_log(&found.policy, url.as_deref())?;
        let vkey = log.vkey.clone();
        let of_file = log.url.as_deref().map(normal_url).transpose()?;
        let of_pin = || pins.of_key(&vkey).map(|pin| pin.url.clone());
        let url = url.or(of_file).or_else(of_pin).ok_or_else(|| {
            let origin = printable(vkey.name().as_str()).into_owned();
            Failure::new(format!("the policy does not say where the log `{origin}` is"))
                .hint("say it: `aip-attest policy pin URL --policy FILE --offline`")
        })?;
        Ok(Self { url, text: found.text, policy: found.policy, vkey, shown: None })
    }

    fn origin(&self) -> &str {
        self.vkey.name().as_str()
    }

    /// SHA-256 of the whole text: what people compare.
    fn fingerprint(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }

    /// With the tree that was shown; else the one that `known` keeps, and at first the empty one, which every tree extends.
    fn as_pin(&self, known: Option<&Pin>) -> Pin {
        let (size, root, seen) = match (&self.shown, known) {
            (Some(shown), _) => (shown.checkpoint.size, shown.checkpoint.root, Some(shown.seen.clone())),
            (None, Some(known)) => (known.size, known.root, known.seen.clone()),
            (None, None) => (TreeSize::EMPTY, empty_root(), None),
        };
        let (url, text, policy) = (self.url.clone(), self.text.clone(), self.policy.clone());
        Pin { url, vkey: self.vkey.clone(), policy, text, size, root, seen }
    }
}

/// The log that is meant: the one at `url`, else the only one. One that signs with two algorithms has two lines.
fn only_log<'p>(policy: &'p Policy, url: Option<&str>) -> Result<&'p Log> {
    let is_at = |log: &&Log| {
        let at = log.url.as_deref().and_then(|url| normal_url(url).ok());
        at.as_deref().is_some_and(|at| Some(at) == url)
    };
    let Some(first) = policy.logs().iter().find(is_at).or(policy.logs().first()) else {
        return Err(Failure::new("the policy names no log"));
    };
    let is_other = |log: &Log| log.vkey.name() != first.vkey.name();
    if !is_at(&first) && policy.logs().iter().any(is_other) {
        return Err(Failure::new("the policy names several logs")
            .hint("name the URL of one: `aip-attest policy pin URL --policy FILE --offline`"));
    }
    Ok(first)
}

/// The policy that the log publishes.
fn published(asking: &mut Asking<'_>) -> Result<String> {
    let has_none = Cell::new(false);
    let asked =
        asking.ask(|client| client.policy().inspect_err(|error| has_none.set(error.status() == Some(404))));
    asked.map_err(|failure| match has_none.get() {
        true => failure.hint("a log of other software publishes no policy: bring one with --policy FILE"),
        false => failure,
    })
}

/// The fingerprint first and last: the first line is what is compared, the last what is still on the screen.
fn show(offered: &Offer, before: Option<&Pin>, console: &mut Console) {
    let fingerprint = format!("fingerprint sha256:{}", offered.fingerprint());
    console.line(&fingerprint);
    match before {
        None => check::print(&offered.policy, console),
        Some(before) => difference::lines(&before.text, &offered.text)
            .iter()
            .for_each(|line| console.line(check::with_short_keys(line))),
    }
    console.line(&fingerprint);
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
