//! Which log a statement goes to, and which policy judges its answer.

use std::time::Instant;

use tlog::Hash;
use tlog::note::Note;

use crate::client::{Client, Token, normal_url};
use crate::environment;
use crate::patience::Asking;
use crate::policy_file::pins::{Pin, Pins};
use crate::policy_file::{self, PolicyFile, PolicySource};
use crate::report::{Console, Failure, Result, printable};

/// A log to submit to.
pub(crate) struct Target {
    /// The way there.
    pub client: Client,
    /// Its name, which every claim for it carries.
    pub origin: String,
    /// What judges its answers.
    pub judge: PolicyFile,
    /// Whether the user says that the log is at this URL, and not only a file that somebody else may have written.
    pub is_named: bool,
}

/// What is known of the log before it is asked anything.
pub(crate) struct Wish {
    url: String,
    /// The policy that is named or pinned, if one is.
    policy: Option<PolicyFile>,
    /// The log's name, where the policy leaves no doubt.
    origin: Option<String>,
    /// The fingerprint that the policy must have, wherever it comes from.
    fingerprint: Option<Hash>,
    /// Whether the user says that the log is at this URL, and not only a file that somebody else may have written.
    is_named: bool,
}

impl Wish {
    /// The log that is wished for: `url` (`--log`), else `AIP_LOG_URL`, else the policy's, else the only
    /// pinned one.
    pub(crate) fn new(url: Option<&str>, named: Option<PolicyFile>, pins: &Pins) -> Result<Self> {
        let environment = environment::var("AIP_LOG_URL")?;
        let url = url.or(environment.as_deref()).map(normal_url).transpose()?;
        match (url, named) {
            (Some(url), Some(policy)) => Ok(Self::judged(url, policy, true)),
            (Some(url), None) => {
                let pinned: Vec<&Pin> = pins.of_url(&url).collect();
                match pinned[..] {
                    [pin] => Self::pinned(pin, pins),
                    _ => Ok(Self { url, policy: None, origin: None, fingerprint: None, is_named: true }),
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
                let url = normal_url(url)?;
                let is_named = pins.of_url(&url).next().is_some();
                Ok(Self::judged(url, policy, is_named))
            }
            (None, None) => match pins.iter().collect::<Vec<_>>()[..] {
                [pin] => Self::pinned(pin, pins),
                _ => Err(no_log(pins)),
            },
        }
    }

    fn judged(url: String, policy: PolicyFile, is_named: bool) -> Self {
        let origin = origin_at(&policy, &url);
        Self { url, policy: Some(policy), origin, fingerprint: None, is_named }
    }

    fn pinned(pin: &Pin, pins: &Pins) -> Result<Self> {
        let (url, origin) = (pin.url.clone(), Some(pin.origin().to_owned()));
        Ok(Self { url, policy: Some(pins.policy_of(pin)?), origin, fingerprint: None, is_named: true })
    }

    /// The log of this name at `url`, where both are the user's own word.
    pub(crate) fn known(url: &str, policy: PolicyFile, origin: &str) -> Result<Self> {
        Ok(Self {
            url: normal_url(url)?,
            policy: Some(policy),
            origin: Some(origin.to_owned()),
            fingerprint: None,
            is_named: true,
        })
    }

    /// Demands that the policy has this fingerprint, the SHA-256 of its whole text.
    pub(crate) fn with_fingerprint(self, fingerprint: Option<Hash>) -> Self {
        Self { fingerprint, ..self }
    }

    /// Whether the user ties `AIP_LOG_TOKEN` to this log: by its URL, a pin, or the fingerprint of the policy that names
    /// it. A file that comes with a checkout does not choose who gets a secret.
    pub(crate) fn takes_token(&self) -> bool {
        self.is_named || self.fingerprint.is_some()
    }

    /// As [`meet`](Self::meet), to submit: the token goes along, if it is tied to this log.
    pub(crate) fn meet_to_submit(
        self,
        pins: &Pins,
        deadline: Instant,
        console: &mut Console,
    ) -> Result<Target> {
        let token = Token::of_environment()?;
        let is_tied = self.takes_token();
        if token.is_some() && !is_tied {
            console.warn(format!(
                "AIP_LOG_TOKEN is not sent: only a policy file says that the log is `{}`; name it with --log or \
                 AIP_LOG_URL, or pin it: `aip-attest policy pin {0}`",
                self.url
            ));
        }
        let client = Client::new(&self.url, deadline)?;
        // Before anything is asked: a token that cannot be sent ends the command.
        let client = match token.filter(|_| is_tied) {
            Some(token) => client.with_token(&token)?,
            None => client,
        };
        self.meet_at(client, pins, deadline, console)
    }

    /// Asks the log what is not known of it yet: its name, and its policy if none is named or pinned.
    /// Tries until `deadline`.
    pub(crate) fn meet(self, pins: &Pins, deadline: Instant, console: &mut Console) -> Result<Target> {
        let client = Client::new(&self.url, deadline)?;
        self.meet_at(client, pins, deadline, console)
    }

    fn meet_at(
        self,
        client: Client,
        pins: &Pins,
        deadline: Instant,
        console: &mut Console,
    ) -> Result<Target> {
        if let Some(policy) = &self.policy {
            refuse_other_fingerprint(self.fingerprint, policy)?;
        }
        let is_named = self.takes_token();
        if let (Some(origin), Some(judge)) = (&self.origin, &self.policy) {
            return Ok(Target { client, origin: origin.clone(), judge: judge.clone(), is_named });
        }
        let mut asking = Asking::new(&client, deadline, console);
        let note = asking.ask(Client::checkpoint)?;
        let note = Note::parse(&note)
            .map_err(|error| Failure::new(format!("`{}` serves no checkpoint", self.url)).caused_by(error))?;
        let judge = match self.policy {
            Some(policy) => policy,
            None => believed_policy(&note, pins, &mut asking)?,
        };
        refuse_other_fingerprint(self.fingerprint, &judge)?;
        let judge = match (judge.source, self.fingerprint) {
            (PolicySource::Log(url), Some(_)) => PolicyFile { source: PolicySource::Fixed(url), ..judge },
            (source, _) => PolicyFile { source, ..judge },
        };
        let (checkpoint, _) = judge.policy.log_checkpoint(&note).map_err(|error| {
            Failure::refuted(format!(
                "the checkpoint of `{}` is not by a log of the policy {}",
                self.url, judge.source
            ))
            .caused_by(error)
        })?;
        if matches!(judge.source, PolicySource::Log(_)) {
            console.warn(format!(
                "`{}` is not pinned: its own word is taken for origin `{}` and policy; \
                 `aip-attest policy pin {}`, or the action's input `policy-sha256`, makes it certain",
                self.url,
                printable(&checkpoint.origin),
                self.url
            ));
        }
        Ok(Target { client, origin: checkpoint.origin, judge, is_named })
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
fn believed_policy(note: &Note, pins: &Pins, asking: &mut Asking<'_>) -> Result<PolicyFile> {
    let origin = note.text().lines().next().unwrap_or_default();
    // Who is pinned under another address stays judged by the pin.
    if let Some(pinned) = pins.policy_for(origin)? {
        return Ok(pinned);
    }
    let url = asking.client.url().to_owned();
    let text = asking.ask(Client::policy)?;
    let policy = text.parse().map_err(|error: tlog::policy::PolicyParseError| {
        Failure::new(format!("`{url}/policy` is no policy")).caused_by(error)
    })?;
    // What the user asks for holds for every log.
    let trust = pins.settings()?;
    Ok(PolicyFile { policy, text, trust, source: PolicySource::Log(url) })
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

/// How a log is named on a machine that keeps what it pins.
pub(crate) const NAME_LOG: &str =
    "name one with --log URL or AIP_LOG_URL, or pin one: `aip-attest policy pin URL`";

/// How it is pinned there.
pub(crate) const PIN_ONCE: &str =
    "`aip-attest policy pin URL` once, or name the policy: --policy, AIP_POLICY, .aip/policy";

fn no_log(pins: &Pins) -> Failure {
    let pinned: Vec<String> = pins.iter().map(|pin| format!("{} ({})", pin.url, pin.origin())).collect();
    if pinned.is_empty() {
        return Failure::new("no log is named").hint(NAME_LOG).hint(policy_file::IN_CI);
    }
    Failure::new(format!("no log is named, and {} are pinned", pinned.len()))
        .because(format!("the pinned ones are {}", pinned.join(", ")))
        .hint("name one of them with --log URL or AIP_LOG_URL")
}
