//! Which log a statement goes to, and which policy judges its answer.

use std::time::Instant;

use tlog::Hash;
use tlog::note::Note;

use crate::client::{Client, normal_url};
use crate::environment;
use crate::patience::Patience;
use crate::policy_file::pins::{Pin, Pins};
use crate::policy_file::{PolicyFile, Source};
use crate::report::{Console, Failure, Result, printable};

/// A log to submit to.
pub struct Target {
    /// The way there.
    pub client: Client,
    /// Its name, which every claim for it carries.
    pub origin: String,
    /// What judges its answers.
    pub judge: PolicyFile,
}

/// What is known of the log before it is asked anything.
pub struct Wish {
    url: String,
    /// The policy that is named or pinned, if one is.
    policy: Option<PolicyFile>,
    /// The log's name, where the policy leaves no doubt.
    origin: Option<String>,
    /// The fingerprint that the policy must have, wherever it comes from.
    fingerprint: Option<Hash>,
}

impl Wish {
    /// The log that is wished for: `url` (`--log`), else `AIP_LOG_URL`, else the policy's, else the only
    /// pinned one.
    pub fn new(url: Option<&str>, named: Option<PolicyFile>, pins: &Pins) -> Result<Self> {
        let environment = environment::var("AIP_LOG_URL")?;
        let url = url.or(environment.as_deref()).map(normal_url).transpose()?;
        match (url, named) {
            (Some(url), Some(policy)) => Ok(Self::judged(url, policy)),
            (Some(url), None) => {
                let pinned: Vec<&Pin> = pins.of_url(&url).collect();
                match pinned[..] {
                    [pin] => Self::pinned(pin, pins),
                    _ => Ok(Self { url, policy: None, origin: None, fingerprint: None }),
                }
            }
            (None, Some(policy)) => {
                let urls: Vec<&str> =
                    policy.policy.logs().iter().filter_map(|log| log.url.as_deref()).collect();
                let [url] = urls[..] else {
                    let message =
                        format!("the policy {} names {} logs with a URL", policy.source, urls.len());
                    return Err(Failure::new(message).hint("name one with --log URL"));
                };
                Ok(Self::judged(normal_url(url)?, policy))
            }
            (None, None) => match pins.iter().collect::<Vec<_>>()[..] {
                [pin] => Self::pinned(pin, pins),
                _ => Err(no_log(pins)),
            },
        }
    }

    fn judged(url: String, policy: PolicyFile) -> Self {
        let origin = origin_at(&policy, &url);
        Self { url, policy: Some(policy), origin, fingerprint: None }
    }

    fn pinned(pin: &Pin, pins: &Pins) -> Result<Self> {
        let (url, origin) = (pin.url.clone(), Some(pin.origin().to_owned()));
        Ok(Self { url, policy: Some(pins.policy_of(pin)?), origin, fingerprint: None })
    }

    /// Demands that the policy has this fingerprint, the SHA-256 of its whole text.
    pub fn with_fingerprint(self, fingerprint: Option<Hash>) -> Self {
        Self { fingerprint, ..self }
    }

    /// Asks the log what is not known of it yet: its name, and its policy if none is named or pinned.
    /// Tries until `deadline`.
    pub fn meet(self, pins: &Pins, deadline: Instant, console: &mut Console) -> Result<Target> {
        let client = Client::new(&self.url, deadline)?;
        if let Some(policy) = &self.policy {
            refuse_other_fingerprint(self.fingerprint, policy)?;
        }
        if let (Some(origin), Some(judge)) = (&self.origin, &self.policy) {
            return Ok(Target { client, origin: origin.clone(), judge: judge.clone() });
        }
        let mut patience = Patience::until(deadline);
        let note = patience.ask(console, || client.checkpoint())?;
        let note = Note::parse(&note)
            .map_err(|error| Failure::new(format!("`{}` serves no checkpoint", self.url)).caused_by(error))?;
        let judge = match self.policy {
            Some(policy) => policy,
            None => believed_policy(&client, &note, pins, &mut patience, console)?,
        };
        refuse_other_fingerprint(self.fingerprint, &judge)?;
        let (checkpoint, _) = judge.policy.log_checkpoint(&note).map_err(|error| {
            Failure::refuted(format!(
                "the checkpoint of `{}` is not by a log of the policy {}",
                self.url, judge.source
            ))
            .caused_by(error)
        })?;
        if matches!(judge.source, Source::Log(_)) && self.fingerprint.is_none() {
            console.warn(format!(
                "`{}` is not pinned: its own word is taken for origin `{}` and policy; \
                 `aip-attest policy pin {}` makes it certain",
                self.url,
                printable(&checkpoint.origin),
                self.url
            ));
        }
        Ok(Target { client, origin: checkpoint.origin, judge })
    }
}

fn refuse_other_fingerprint(want: Option<Hash>, policy: &PolicyFile) -> Result<()> {
    let got = Hash::of(policy.text.as_bytes());
    match want {
        Some(want) if want != got => {
            Err(Failure::refuted(format!("the policy {} has another fingerprint", policy.source))
                .because(format!("expected sha256:{want}, got sha256:{got}"))
                .hint("find out why before you accept the other one"))
        }
        _ => Ok(()),
    }
}

/// The pinned policy of the log that this note is by, else the one that the log publishes.
fn believed_policy(
    client: &Client,
    note: &Note,
    pins: &Pins,
    patience: &mut Patience,
    console: &mut Console,
) -> Result<PolicyFile> {
    let origin = note.text().lines().next().unwrap_or_default();
    // Who is pinned under another address stays judged by the pin.
    if let Some(pinned) = pins.policy_for(origin)? {
        return Ok(pinned);
    }
    let url = client.url().to_owned();
    let text = patience.ask(console, || client.policy())?;
    let policy = text.parse().map_err(|error: tlog::policy::PolicyParseError| {
        Failure::new(format!("`{url}/policy` is no policy")).caused_by(error)
    })?;
    // What the user asks for holds for every log.
    let trust = pins.settings()?;
    Ok(PolicyFile { policy, text, trust, source: Source::Log(url) })
}

/// The name of the log at `url`, if the policy says which it is: the one with that address, or the only one.
fn origin_at(policy: &PolicyFile, url: &str) -> Option<String> {
    let logs = policy.policy.logs();
    let mut here = logs
        .iter()
        .filter(|log| log.url.as_deref().and_then(|url| normal_url(url).ok()).as_deref() == Some(url));
    let log = match (here.next(), here.next(), logs) {
        (Some(log), None, _) => log,
        (None, None, [only]) => only,
        _ => return None,
    };
    Some(log.vkey.name().as_str().to_owned())
}

fn no_log(pins: &Pins) -> Failure {
    let pinned: Vec<String> = pins.iter().map(|pin| format!("{} ({})", pin.url, pin.origin())).collect();
    if pinned.is_empty() {
        return Failure::new("no log is named")
            .hint("name one with --log URL or AIP_LOG_URL, or pin one: `aip-attest policy pin URL`");
    }
    Failure::new(format!("no log is named, and {} are pinned", pinned.len()))
        .because(format!("the pinned ones are {}", pinned.join(", ")))
        .hint("name one of them with --log URL or AIP_LOG_URL")
}
