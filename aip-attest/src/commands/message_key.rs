use std::io::IsTerminal as _;
use std::time::Duration;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::event::{Body, DatedKey};
use attestation::message::{KeyKind, MessageKeyId, MessagePrivateKey};
use serde_json::{Value, json};

use super::log_args::{HomeArgs, LogArgs};
use crate::clock;
use crate::events::Logged;
use crate::events::message_keys::Reached;
use crate::keyfile::message_keys::{Held, HeldKey, encode, opening, path};
use crate::keyfile::{self, OwnIdentity};
use crate::report::{Console, Exit, Failure, Result, counted};

/// Keep the keys that messages to you are sealed to
///
/// Without one, messages are sealed to the identity key: a thief of that key reads what was sent before, too. A message key is
/// this machine's, is replaced every 30 days, and is destroyed 8 days later.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Rotate(RotateArgs),
    List(ListArgs),
    Export(ExportArgs),
}

/// Make a message key for this machine, in the place of the one before
///
/// Logs the new set: this machine's new key, and those of your other devices as they are. A key lasts 37 days: give the command
/// once in 30 days, such as by a timer, with --if-due. The key before stays in `message-keys.json` beside the credentials for
/// 8 days, until nothing can come any more that it opens; then it is destroyed, and with it whatever was not read. Where another
/// device changes the set at the same time, this one reads it again and goes on.
#[derive(clap::Args)]
struct RotateArgs {
    /// Do nothing while this machine's key is younger than 30 days
    #[arg(long)]
    if_due: bool,

    /// Take the key with this id out of the set: that of a device that is gone; may be given more than once
    #[arg(long, value_name = "KEY-ID")]
    drop: Vec<MessageKeyId>,

    #[command(flatten)]
    home: HomeArgs,
}

/// Show the keys that messages to a DID are sealed to
#[derive(clap::Args)]
struct ListArgs {
    /// Whose; else your own
    #[arg(value_name = "DID")]
    did: Option<Did>,

    #[command(flatten)]
    log: LogArgs,
}

/// Print the private message keys of this machine, for the secret store of a CI system
///
/// A job with AIP_DID, AIP_PRIVATE_KEY and AIP_MESSAGE_KEYS reads what was sealed to them. Export again after each
/// rotation. Pipe it, so that it stays out of files, histories and screens:
///
///   aip-attest message-key export | gh secret set AIP_MESSAGE_KEYS
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct ExportArgs {}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    match args.command {
        Command::Rotate(args) => rotate(&args, console),
        Command::List(args) => list(&args, console),
        Command::Export(ExportArgs {}) => export(console),
    }
}

fn rotate(args: &RotateArgs, console: &mut Console) -> Result<Exit> {
    let deadline = args.home.log.deadline()?;
    if keyfile::from_environment()?.is_some() {
        return Err(no_file());
    }
    let lock = keyfile::lock("message-key rotate", deadline, console)?;
    let identity = keyfile::load(console)?;
    let session = args.home.open_for(&identity, console)?;
    let mut held = Held::read(&identity, console)?;
    let reached = session.reached(identity.did, console)?;
    let begun = unsaid(&held, session.origin());
    held.follow(session.origin(), &reached.set(), reached.at);
    if begun.is_some() && unsaid(&held, session.origin()).is_none() && args.drop.is_empty() {
        held.write(&lock, identity.passphrase(), console)?;
        console.note("a rotation was begun, and the log has it: it is finished");
        return print_list(&identity, &held, &reached, args.home.log.json, console);
    }
    if args.if_due && args.drop.is_empty() && !is_due(&held, &reached) {
        held.destroy(earlier(reached.at));
        held.write(&lock, identity.passphrase(), console)?;
        console.note("the message key of this machine is younger than 30 days: nothing is due");
        return print_list(&identity, &held, &reached, args.home.log.json, console);
    }
    let key = match unsaid(&held, session.origin()) {
        Some(begun) => begun,
        None => {
            let key = MessagePrivateKey::from_bytes(&*keyfile::random()?);
            held.add(HeldKey {
                key: key.clone(),
                origin: session.origin().to_owned(),
                not_after: after(clock::now_millis(), LIFE),
                said_at: None,
                replaced_at: None,
            });
            key
        }
    };
    // On disk before a message can be sealed to it. A crash from here on leaves a key that the next run takes.
    held.write(&lock, identity.passphrase(), console)?;
    let make = |reached: &Reached| new_set(reached, &held, &key, &args.drop);
    let logged = session.say_message_keys(&identity, make, console)?;
    let Body::MessageKeys(said) = logged.event.body() else { unreachable!("it is what was sent") };
    held.follow(session.origin(), &said.keys, logged.logged_at);
    let destroyed = held.destroy(earlier(logged.logged_at));
    held.write(&lock, identity.passphrase(), console)?;
    print_logged(args, &logged, &held, console);
    let apart = Duration::from_millis(logged.logged_at.as_millis().abs_diff(said.issued_at.as_millis()));
    if apart > MAX_APART {
        console.warn(format!(
            "this machine's clock and the log's are {} s apart: keys of other devices that had ended by the clock here are \
             not in the set",
            apart.as_secs()
        ));
        console.hint("set the clock, and give the command again on each device");
    }
    if destroyed > 0 {
        console.note(format!(
            "{} destroyed: what was sealed to it opens no more",
            counted(destroyed, "old key")
        ));
    }
    console.note(format!("the private key is in `{}`", path(lock.credentials()).display()));
    console.hint("a CI job that reads messages needs it too: `aip-attest message-key export | gh secret set AIP_MESSAGE_KEYS`");
    Ok(Exit::Yes)
}

/// A key that was made and that the log has not, as far as is known.
fn unsaid(held: &Held, origin: &str) -> Option<MessagePrivateKey> {
    let begun = held.keys().iter().rfind(|held| held.origin == origin && held.said_at.is_none())?;
    Some(begun.key.clone())
}

/// Whether no key of this machine is in the set, or only one that is old.
fn is_due(held: &Held, reached: &Reached) -> bool {
    let set = reached.set();
    let said = set.iter().filter_map(|key| held.get(&key.key)?.said_at).max();
    said.is_none_or(|said| clock::now_millis().as_millis() >= after(said, DUE).as_millis())
}

/// The others' keys as they are, and the new one.
fn new_set(
    reached: &Reached,
    held: &Held,
    key: &MessagePrivateKey,
    drop: &[MessageKeyId],
) -> Result<Vec<DatedKey>> {
    let set = reached.set();
    if let Some(id) = drop.iter().find(|id| !set.iter().any(|key| key.key.id() == **id)) {
        return Err(Failure::new(format!("no message key of {} has the id {id}", reached.known.did))
            .hint("`aip-attest message-key list` shows those that count"));
    }
    let mut keys: Vec<DatedKey> =
        set.into_iter().filter(|key| held.get(&key.key).is_none() && !drop.contains(&key.key.id())).collect();
    keys.push(DatedKey { key: *key.public_key(), not_after: after(clock::now_millis(), LIFE) });
    Ok(keys)
}

fn list(args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let own = keyfile::own_did(console)?;
    let did = args.did.or(own).ok_or_else(|| {
        Failure::new("there is no identity here, and no DID was named")
            .hint("`aip-attest message-key list DID`")
    })?;
    let session = args.log.open(console)?;
    let reached = session.reached(did, console)?;
    // Others' keys are not here, and one's own may lie beside locked credentials.
    let identity = if own == Some(did) { Some(keyfile::load(console)?) } else { None };
    match identity {
        Some(identity) => {
            let held = Held::read(&identity, console)?;
            print_list(&identity, &held, &reached, args.log.json, console)
        }
        None => {
            print_keys(did, None, &[], &reached, args.log.json, console)?;
            Ok(Exit::Yes)
        }
    }
}

fn print_list(
    identity: &OwnIdentity,
    held: &Held,
    reached: &Reached,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit> {
    let here: Vec<MessageKeyId> = opening(identity, console)?.iter().map(MessagePrivateKey::id).collect();
    print_keys(identity.did, Some(held), &here, reached, as_json, console)?;
    if is_due(held, reached) && !as_json {
        console.hint("`aip-attest message-key rotate` gives this machine a new one");
    }
    Ok(Exit::Yes)
}

fn print_keys(
    did: Did,
    held: Option<&Held>,
    here: &[MessageKeyId],
    reached: &Reached,
    as_json: bool,
    console: &mut Console,
) -> Result<()> {
    let keys = reached.keys()?;
    let set = reached.set();
    let is_here = |key: &DatedKey| here.contains(&key.key.id());
    let kept: Vec<&HeldKey> = held.map_or_else(Vec::new, |held| {
        held.keys().iter().filter(|held| !set.iter().any(|key| key.key == *held.key.public_key())).collect()
    });
    if as_json {
        let key = |key: &DatedKey| key_json(key, held.map(|_| is_here(key)));
        let old = |held: &&HeldKey| json!({"keyId": held.key.id(), "said": held.said_at.is_some(), "destroyedAfter": rfc3339(held.ends_at())});
        let identity = (keys.kind == KeyKind::Identity).then(|| keys.keys[0].id());
        console.json(&json!({
            "schema": "aip.message-keys.v1",
            "did": did.to_string(),
            "origin": reached.known.origin,
            "treeSize": reached.known.size.get(),
            "keyKind": keys.kind.name(),
            "identityKeyId": identity,
            "keys": set.iter().map(key).collect::<Vec<_>>(),
            "old": kept.iter().map(old).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    for key in &set {
        let place = match (held, is_here(key)) {
            (None, _) => "",
            (Some(_), true) => "  this machine",
            (Some(_), false) => "  another device",
        };
        console.line(format!("{}  until {}{place}", key.key.id(), rfc3339(key.not_after)));
    }
    if keys.kind == KeyKind::Identity {
        console.line(format!("{}  the identity key: there is no message key", keys.keys[0].id()));
    }
    for held in kept {
        let why = if held.said_at.is_some() { "old, opens what is on its way" } else { "made, not logged" };
        console.line(format!("{}  {why}, destroyed after {}", held.key.id(), rfc3339(held.ends_at())));
    }
    Ok(())
}

fn export(console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    if identity.file().is_none() {
        return Err(no_file());
    }
    let held = Held::read(&identity, console)?;
    // Those in force first; the newest of the old ones open what is on its way.
    let mut keys: Vec<&HeldKey> = held.keys().iter().filter(|held| held.said_at.is_some()).collect();
    keys.sort_by_key(|held| (held.replaced_at.is_some(), std::cmp::Reverse(held.said_at)));
    keys.truncate(attestation::event::MAX_MESSAGE_KEYS);
    if keys.is_empty() {
        return Err(Failure::new("there is no message key here").hint(
            "`aip-attest message-key rotate` makes one; without it, the identity key opens what comes",
        ));
    }
    console.secret(&encode(keys.iter().map(|held| &held.key)));
    if std::io::stdout().is_terminal() {
        console.warn("whoever sees these keys reads your messages");
        console.hint("pipe it instead: `aip-attest message-key export | gh secret set AIP_MESSAGE_KEYS`");
    }
    Ok(Exit::Yes)
}

fn print_logged(args: &RotateArgs, logged: &Logged, held: &Held, console: &mut Console) {
    let Body::MessageKeys(said) = logged.event.body() else { return };
    let key = |key: &DatedKey| key_json(key, Some(held.get(&key.key).is_some()));
    let keys: Vec<Value> = said.keys.iter().map(key).collect();
    args.home.log.print_with(logged, Some(("keys", keys.into())), console);
}

fn key_json(key: &DatedKey, is_here: Option<bool>) -> Value {
    let mut json = json!({
        "keyId": key.key.id(),
        "publicKeyMultibase": key.key.to_multibase(),
        "notAfter": rfc3339(key.not_after),
        "notAfterMillis": key.not_after.as_millis(),
    });
    if let Some(is_here) = is_here {
        json["here"] = is_here.into();
    }
    json
}

fn no_file() -> Failure {
    Failure::new("the identity is from the environment, and message keys lie beside a credentials file")
        .hint("unset AIP_PRIVATE_KEY, or rotate on the machine where the credentials are")
        .hint("a job gets them from there: `aip-attest message-key export | gh secret set AIP_MESSAGE_KEYS`")
}

/// The earlier of a log's time and the clock here: neither alone destroys a key.
fn earlier(log: LogTime) -> LogTime {
    log.min(clock::now_millis())
}

fn after(time: LogTime, span: Duration) -> LogTime {
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    LogTime::from_millis(time.as_millis().saturating_add(span)).unwrap_or(LogTime::MAX)
}

fn rfc3339(time: LogTime) -> String {
    clock::rfc3339_millis(time.as_millis())
}

/// Beyond this, a clock is wrong: an event is logged within a minute.
const MAX_APART: Duration = Duration::from_secs(5 * 60);

/// How long a key lasts, and after how long it is replaced.
const LIFE: Duration = Duration::from_secs(37 * 24 * 60 * 60);
const DUE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
