use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::did::from_did_key;
use attestation::message::{KeyKind, MAX_RECIPIENTS, MessageId};
use serde_json::{Value, json};
use tlog::key::Ed25519PublicKey;

use super::log_args::LogArgs;
use crate::clock;
use crate::keyfile::{self, OwnIdentity};
use crate::messages::composing::{self, Draft, parse_content_type, parse_life};
use crate::messages::directory::{Directory, given_key};
use crate::messages::legacy;
use crate::messages::relay::Relay;
use crate::messages::sending::{self, Addressee, Became, Copy, Sent};
use crate::policy_file::pins::Pins;
use crate::report::{Console, Exit, Failure, Result};
use crate::scoring::age::MaxAge;
use crate::target::Target;

/// Send a message that only its recipients can read
///
/// The message is signed by your key, sealed to each message key of each recipient, and kept by the log's relay until it is
/// acknowledged, or for 7 days. The relay learns who writes to whom, and when, and cannot read it. A recipient without
/// message keys gets it sealed to its identity key, which is noted.
///
/// Where a variable such as $PARTNER_DID is empty, the text stands in the recipient's place: that is refused, and standard
/// input is not read.
///
/// Which keys a recipient has is judged by evidence, as `gate` judges: by the policy, and no older than 24h where witnesses
/// attest an age.
///
/// Exit codes: 0 the relay keeps every copy; 1 a rule refused one: the recipient is unknown, deactivated or takes nothing from
/// you; 2 one could not be sent. All copies are tried and listed. That a copy is kept does not mean that it was read.
#[derive(clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    /// The recipient, unless --to names some
    #[arg(value_name = "DID")]
    did: Option<String>,

    /// The text, or `-` to read it from standard input
    #[arg(required = true, value_name = "TEXT|-")]
    text: String,

    /// A recipient (can be repeated: a group, every member of which sees all of them)
    #[arg(long, value_name = "DID")]
    to: Vec<Did>,

    /// Send a file along, together at most 64 KiB (can be repeated)
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,

    /// Say which artifact it is about, and where its receipt is logged: by the receipt (can be repeated)
    #[arg(long, value_name = "FILE")]
    receipt: Vec<PathBuf>,

    /// What the text is, if it is not text/plain
    #[arg(long, value_name = "TYPE", value_parser = parse_content_type)]
    content_type: Option<String>,

    /// How long the relay keeps it at most, and the recipient accepts it
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_life)]
    expires: Duration,

    /// The message that this one answers; `reply` finds it by itself
    #[arg(long, value_name = "ID", value_parser = MessageId::from_str)]
    in_reply_to: Option<MessageId>,

    /// The key of a recipient that the log does not know: its owner gives it to you, and it must hash to the DID
    #[arg(long, value_name = "did:key:…", requires = "out", value_parser = from_did_key)]
    recipient_key: Option<Ed25519PublicKey>,

    /// Send to somebody who reads with Python aip: one recipient, and text alone. The log must serve it, `--aip-v1`; its
    /// recipient cannot tell whether you know what it says
    #[arg(long, conflicts_with_all = ["attach", "receipt", "content_type", "expires", "in_reply_to", "recipient_key"])]
    #[arg(conflicts_with = "out")]
    legacy: bool,

    /// Write the sealed message to a file, and send nothing; `inbox --open` reads it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let recipients = recipients(&args)?;
    if args.recipient_key.is_some() && recipients.len() != 1 {
        return Err(Failure::new(format!(
            "--recipient-key is the key of one recipient, and {} are named",
            recipients.len()
        )));
    }
    if args.out.is_some() && recipients.len() != 1 {
        return Err(Failure::new(format!(
            "a file holds a message for one recipient, and {} are named",
            recipients.len()
        ))
        .hint("write one file a recipient"));
    }
    let identity = keyfile::load(console)?;
    if args.legacy {
        return send_legacy(&args, &recipients, &identity, console);
    }
    let mut draft = Draft {
        body: composing::text(&args.text)?,
        content_type: args.content_type.unwrap_or_else(|| attestation::message::TEXT.to_owned()),
        life: args.expires,
        in_reply_to: args.in_reply_to,
        attachments: args.attach.iter().map(|path| composing::attachment(path)).collect::<Result<_>>()?,
        artifacts: Vec::new(),
    };
    for receipt in &args.receipt {
        draft.artifacts.extend(composing::artifacts(receipt, identity.did, console)?);
    }
    let deadline = args.log.deadline()?;
    let pins = Pins::load()?;
    let target = args.log.meet(&pins, deadline, args.out.is_none(), console)?;
    let post = Post { identity: &identity, target: &target, pins: &pins, deadline };
    let sent = match (&args.out, &args.recipient_key) {
        (Some(out), given) => {
            let did = recipients[0];
            let keys = match given {
                Some(key) => given_key(did, key),
                None => post.directory().keys(did, console),
            };
            sending::write(&draft, &[Addressee { did, keys }], &identity, &target.origin, out)?
        }
        (None, _) => post.send(&draft, &recipients, console)?,
    };
    report(&sent, args.log.json, console);
    Ok(sent.exit())
}

/// Sends as Python `aip` does.
fn send_legacy(
    args: &Args,
    recipients: &[Did],
    identity: &OwnIdentity,
    console: &mut Console,
) -> Result<Exit> {
    let [recipient] = recipients[..] else {
        return Err(Failure::new("--legacy writes to one recipient").hint("write to each by itself"));
    };
    let text = composing::text(&args.text)?;
    let deadline = args.log.deadline()?;
    let pins = Pins::load()?;
    let target = args.log.meet(&pins, deadline, true, console)?;
    let post = Post { identity, target: &target, pins: &pins, deadline };
    let mut directory = post.directory();
    let (id, key) = legacy::send(&text, recipient, identity, &mut directory, console)?;
    if args.log.json {
        let sent = json!([{"recipient": recipient, "keyId": key, "keyKind": KeyKind::Identity.name(), "status": "stored"}]);
        console.json(&json!({"schema": "aip.message.v1", "id": id, "legacy": true, "sent": sent}));
    } else {
        console.line(format!("{:<8} {id}  to {recipient}  as mail of Python aip", "stored"));
    }
    Ok(Exit::Yes)
}

/// Whom the message is for, sorted, each once. Nothing is read before that is clear.
fn recipients(args: &Args) -> Result<Vec<Did>> {
    let mut recipients = args.to.clone();
    match (&args.did, recipients.is_empty()) {
        // What stands there is not repeated: it may be a key that got into the wrong place.
        (Some(did), _) => {
            recipients.push(did.parse().map_err(|_| no_recipient(keyfile::no_did("the recipient")))?)
        }
        (None, true) if args.text.parse::<Did>().is_ok() => {
            return Err(Failure::new("there is no text: only a recipient is named")
                .hint("`aip-attest message DID TEXT`; `-` reads the text from standard input"));
        }
        (None, true) => {
            return Err(no_recipient(
                Failure::new("no recipient is named").because("there is a text, and no DID before it"),
            ));
        }
        (None, false) => {}
    }
    recipients.sort_unstable();
    recipients.dedup();
    match recipients.len() {
        1..=MAX_RECIPIENTS => Ok(recipients),
        several => Err(Failure::new(format!(
            "{several} recipients are named, and a message has at most {MAX_RECIPIENTS}"
        ))),
    }
}

fn no_recipient(failure: Failure) -> Failure {
    failure
        .hint("`aip-attest message DID TEXT`: is the variable that names the DID, such as PARTNER_DID, set in this step?")
        .hint("--to DID names a recipient too")
}

/// Somebody who sends.
pub(super) struct Post<'a> {
    pub(super) identity: &'a OwnIdentity,
    pub(super) target: &'a Target,
    pub(super) pins: &'a Pins,
    pub(super) deadline: Instant,
}

impl Post<'_> {
    pub(super) fn directory(&self) -> Directory<'_> {
        let timeout = self.deadline.saturating_duration_since(Instant::now());
        Directory::new(self.target, self.pins, MaxAge::Usual, timeout, self.deadline)
    }

    /// Sends a draft to these recipients, sorted, each once.
    pub(super) fn send(&self, draft: &Draft, recipients: &[Did], console: &mut Console) -> Result<Sent> {
        let directory = self.directory();
        let addressees: Vec<Addressee> = recipients
            .iter()
            .map(|did| Addressee { did: *did, keys: directory.keys(*did, console) })
            .collect();
        let mut relay = Relay::new(self.target, self.identity, self.deadline);
        sending::send(draft, &addressees, self.identity, &self.target.origin, &mut relay, console)
    }
}

/// Prints every copy with what became of it.
///
/// ```text
/// {"schema": "aip.message.v1", "id": "…",
///  "sent": [{"recipient", "keyId", "keyKind": "identity | message", "status", "error"?, "file"?}]}
/// ```
/// `status` is `stored`, `known` (the relay had it, or it was acknowledged before), `written`, `refused` (a rule) or `failed`
/// (it could not be done). `keyId` and `keyKind` are null where no key was found.
pub(super) fn report(sent: &Sent, as_json: bool, console: &mut Console) {
    if as_json {
        let sent_json = sent.copies.iter().map(json_of).collect::<Vec<Value>>();
        console.json(&json!({"schema": "aip.message.v1", "id": sent.id, "sent": sent_json}));
    } else {
        for copy in &sent.copies {
            console.line(line(sent.id, copy));
        }
    }
    let by_identity = sent.copies.iter().filter(|copy| matches!(copy.key, Some((_, KeyKind::Identity))));
    for copy in by_identity.filter(|copy| copy.became.is_ok()) {
        console.note(format!(
            "{} has no message key: the message is sealed to its identity key, and a later thief of that key can read it",
            copy.recipient
        ));
    }
    let failures = sent.copies.iter().filter_map(|copy| copy.became.as_ref().err());
    super::tell_each_once(failures, "copies", console);
}

fn status(copy: &Copy) -> &'static str {
    match &copy.became {
        Ok(Became::Stored(stored)) if stored.stored => "stored",
        Ok(Became::Stored(_)) => "known",
        Ok(Became::Written(_)) => "written",
        Err(failure) if failure.exit() == Exit::False => "refused",
        Err(_) => "failed",
    }
}

fn line(id: MessageId, copy: &Copy) -> String {
    let key = copy.key.map_or(String::new(), |(key, kind)| format!("  {} key {key}", kind.name()));
    let more = match &copy.became {
        Ok(Became::Stored(stored)) => {
            format!("  until {}", clock::rfc3339_millis(stored.expires.as_millis()))
        }
        Ok(Became::Written(file)) => format!("  `{}`", file.display()),
        Err(_) => String::new(),
    };
    format!("{:<8} {id}  to {}{key}{more}", status(copy), copy.recipient)
}

fn json_of(copy: &Copy) -> Value {
    let mut json = json!({
        "recipient": copy.recipient,
        "keyId": copy.key.map(|(id, _)| id),
        "keyKind": copy.key.map(|(_, kind)| kind.name()),
        "status": status(copy),
    });
    match &copy.became {
        Ok(Became::Written(file)) => json["file"] = file.to_string_lossy().into(),
        Ok(Became::Stored(_)) => {}
        Err(failure) => json["error"] = failure.to_json(),
    }
    json
}
