use attestation::Did;
use attestation::did;
use attestation::identity::Identity as State;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

use crate::clock;
use crate::events::home::{self, Meant};
use crate::events::{Known, Session};
use crate::keyfile::credentials::Profile;
use crate::keyfile::next::Next;
use crate::keyfile::{self, KeySource, OwnIdentity, Stored};
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Exit, Failure, Result};
use crate::target::Wish;

/// Print the DID that signs here, where its key is, and what the log says of it
///
/// Needs no passphrase: the DID of an encrypted file is readable, though nothing proves it before the key is
/// opened. Asks the log that is named, pinned or kept with the key, if one is: without one it says what it does not know. What this machine
/// knows is printed in any case; exit code 2 if the log gives no answer that holds, or has another key for the DID.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log; else AIP_LOG_URL, the policy's, the only one pinned, or the DID's home
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Ask no log
    #[arg(long, conflicts_with_all = ["log", "policy"])]
    offline: bool,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    timeout: Option<Duration>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let who = Who::find(console)?;
    let known = ask(&args, &who, console);
    let current = match (&who.identity, &known) {
        (Some(identity), Ok(Some(known))) => known.require_current(identity),
        // With no log to ask, only the first key proves whose it is.
        (Some(identity), Ok(None)) => identity.require_genesis(),
        (Some(_), Err(_)) | (None, _) => Ok(()),
    };
    let ours = who.require_ours(&known);
    if args.json {
        console.json(&who.to_json(&known));
    } else {
        who.print(console);
        match &known {
            Ok(Some(known)) => {
                print_state(known, console);
                if who.identity.is_some() && known.state.is_some() {
                    let which = if current.is_ok() { "this one" } else { "another one" };
                    console.line(format!("Current key: {which}"));
                }
            }
            Ok(None) => {
                console.note(
                    "no log is asked: whether the DID is registered, and its key current, is not known",
                );
            }
            Err(_) => {}
        }
        if who.encrypted {
            console.note("the file is encrypted: the DID is what it says, unproven until the key is opened");
        }
        who.tell_of_keys(console);
    }
    ours?;
    known.map_err(unknown)?;
    current.map(|()| Exit::Yes)
}

/// Also a log that is caught in a lie leaves this question open: exit code 2.
fn unknown(failure: Failure) -> Failure {
    let unknown = Failure::new("what the log says of the DID is not known").because(failure.one_line());
    match failure.first_hint() {
        Some(hint) => unknown.hint(hint),
        None => unknown,
    }
}

/// What the log says; `None` if none is named, or none is to be asked.
fn ask(args: &Args, who: &Who, console: &mut Console) -> Result<Option<Known>> {
    if args.offline {
        return Ok(None);
    }
    let deadline = super::deadline(args.timeout)?;
    if names_a_log(args)? {
        let session = Session::open(args.log.as_deref(), args.policy.as_deref(), deadline, console)?;
        home::tell_of_other(who.did, &session.target, console);
        return session.known(who.did, console).map(Some);
    }
    let Ok(Some(next)) = &who.next else { return Ok(None) };
    let Some(home) = next.home() else { return Ok(None) };
    let (kept, home) = (&[&next.logs][..], Some(home));
    let meant = Meant { log: None, policy: None, kept, home, accept: false, may_be_of_checkout: false };
    let session = Session::open_at_home(&meant, deadline, console)?;
    session.known(who.did, console).map(Some)
}

fn names_a_log(args: &Args) -> Result<bool> {
    let pins = Pins::load()?;
    if args.log.is_some() || args.policy.is_some() {
        return Ok(true);
    }
    let named = policy_file::find(None, &pins)?;
    Ok(Wish::new(None, named, &pins).is_ok())
}

struct Who {
    did: Did,
    did_key: Option<String>,
    public_key: Option<String>,
    profile: Profile,
    source: KeySource,
    encrypted: bool,
    /// The key, where nobody has to open it.
    identity: Option<OwnIdentity>,
    /// What lies beside the file.
    next: Result<Option<Next>>,
}

impl Who {
    fn find(console: &mut Console) -> Result<Self> {
        let identity = match keyfile::from_environment()? {
            Some(identity) => identity,
            None => match keyfile::find(console)? {
                Some((path, Stored::Encrypted(encrypted))) => {
                    let place = format!("`did` in `{}`", path.display());
                    let did: Did = encrypted.did.parse().map_err(|_| keyfile::no_did(&place))?;
                    keyfile::check_against_environment(&did.to_string())?;
                    let next = Next::read(&path, did, console);
                    return Ok(Self {
                        did,
                        did_key: None,
                        public_key: None,
                        profile: Profile::default(),
                        source: KeySource::File(path),
                        encrypted: true,
                        identity: None,
                        next,
                    });
                }
                // Read again, and compared with the variable this time.
                _ => keyfile::load(console)?,
            },
        };
        let key = identity.key.public_key();
        Ok(Self {
            did: identity.did,
            did_key: Some(did::to_did_key(&key)),
            public_key: Some(tlog::encoding::base64(key.as_bytes())),
            profile: identity.profile.clone(),
            source: identity.source.clone(),
            encrypted: false,
            next: identity.file().map_or(Ok(None), |path| Next::read(path, identity.did, console)),
            identity: Some(identity),
        })
    }

    /// Whether the log's inception is the one of the keys here.
    fn require_ours(&self, known: &Result<Option<Known>>) -> Result<()> {
        match (&self.next, known) {
            (Ok(Some(next)), Ok(Some(known))) => {
                // A key that was never registered is the first one, also where it stays locked.
                let is_genesis =
                    self.identity.as_ref().map_or(next.registered.is_none(), OwnIdentity::is_genesis);
                known.require_ours(next, is_genesis)
            }
            // Told with the keys, or with the log.
            _ => Ok(()),
        }
    }

    fn print(&self, console: &mut Console) {
        console.line(format!("DID: {}", self.did));
        if let (Some(did_key), Some(public_key)) = (&self.did_key, &self.public_key) {
            console.line(format!("DID (key): {did_key}"));
            console.line(format!("Public key: {public_key}"));
        }
        if let Profile { platform: Some(platform), username, .. } = &self.profile {
            let username = username.as_deref().unwrap_or("?");
            console.line(format!("Platform: {platform}/{username}"));
        }
        console.line(format!("Source: {}", self.source));
    }

    /// What of the DID's future is here.
    fn tell_of_keys(&self, console: &mut Console) {
        if self.source == KeySource::Environment {
            console.note("from the environment: the next key is elsewhere, so that nothing here can rotate or register");
            return;
        }
        match &self.next {
            Ok(Some(Next { under_way: Some(under_way), .. })) => console.warn(format!(
                "a {} was begun and is not finished: {} finishes it",
                under_way.name(),
                under_way.command()
            )),
            Ok(Some(_)) => {}
            Ok(None) => {
                console.note("the next key is not here: `rotate-key` needs it beside the credentials")
            }
            Err(failure) => console.warn(failure.one_line()),
        }
    }

    /// Whether the key here is the DID's by the log; `None` if one of the two is not known.
    fn key_is_current(&self, known: &Result<Option<Known>>) -> Option<bool> {
        let known = known.as_ref().ok()?.as_ref()?;
        Some(known.matches(self.identity.as_ref()?))
    }

    fn to_json(&self, known: &Result<Option<Known>>) -> Value {
        json!({
            "schema": "aip.whoami.v1",
            "did": self.did.to_string(),
            "didKey": self.did_key,
            "publicKey": self.public_key,
            "platform": self.profile.platform,
            "username": self.profile.username,
            "encrypted": self.encrypted,
            "source": self.source.to_string(),
            "keyIsCurrent": self.key_is_current(known),
            "underWay": self.next.as_ref().ok().and_then(Option::as_ref).and_then(|next| Some(next.under_way.as_ref()?.name())),
            "state": known.as_ref().ok().and_then(Option::as_ref).map(state_json),
            "log": match known {
                Ok(None) => Value::Null,
                Ok(Some(known)) => json!({"origin": known.origin, "error": null}),
                Err(failure) => json!({"origin": null, "error": failure.to_json()}),
            },
        })
    }
}

fn print_state(known: &Known, console: &mut Console) {
    let Some(state) = &known.state else {
        console.line(format!("Registered: no, in {} {}", known.origin, known.as_of()));
        console.hint("`aip-attest init --register` logs the inception: gates let no bare DID pass");
        return;
    };
    console.line(format!("Registered: at index {} of {}", state.since(), known.origin));
    console.line(format!("Status: {}, {}", state.status().name(), known.as_of()));
    console.line(format!("Capabilities: {}", state.capabilities()));
    if let Some(name) = state.public_name() {
        console.line(format!("Public name: {name}"));
    }
    for event in &known.events {
        let time = clock::rfc3339_millis(event.logged_at.as_millis());
        console.line(format!("  index {}  {}  {time}", event.index, event.event.name()));
    }
    for (at, window) in state.windows().iter().enumerate() {
        // A report and a recovery may say the same.
        if state.windows()[..at].contains(window) {
            continue;
        }
        let until = window
            .until
            .map_or("not yet recovered".to_owned(), |until| format!("to the recovery at {until}"));
        console.line(format!("Void: from index {}, {until}", window.since));
    }
}

fn state_json(known: &Known) -> Value {
    let events = known.events.iter().map(|event| {
        json!({
            "index": event.index.get(),
            "event": event.event.name(),
            "loggedAt": clock::rfc3339_millis(event.logged_at.as_millis()),
        })
    });
    let windows = |state: &State| -> Vec<Value> {
        let window = |window: &attestation::identity::Window| json!({"since": window.since.get(), "until": window.until.map(tlog::LeafIndex::get)});
        state.windows().iter().map(window).collect()
    };
    let state = known.state.as_ref();
    json!({
        "origin": known.origin,
        "treeSize": known.size.get(),
        "time": known.time.map(clock::rfc3339),
        "registered": state.map(|state| state.since().get()),
        "status": state.map_or("bare", |state| state.status().name()),
        "capabilities": state.map(|state| state.capabilities().names().collect::<Vec<_>>()),
        "publicName": state.and_then(State::public_name),
        "events": events.collect::<Vec<_>>(),
        "windows": state.map(windows),
    })
}
