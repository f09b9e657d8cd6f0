use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::event::{Capabilities, Commitment, EventError, check_public_name};
use attestation::identity::Identity as State;
use serde_json::{Value, json};
use tlog::LeafIndex;

use crate::clock;
use crate::events::Session;
use crate::events::home::Meant;
use crate::keyfile::credentials::Profile;
use crate::keyfile::lock::Lock;
use crate::keyfile::logs::KeptLogs;
use crate::keyfile::next::{self, Next};
use crate::keyfile::stored_key::StoredKey;
use crate::keyfile::{self, OwnIdentity, recovery};
use crate::report::{Console, Exit, Failure, Result};

/// Make an identity: a key, the DID that is its hash, and the keys that come after it
///
/// Needs no log and no network. The key goes to ~/.aip/credentials.json, or where AIP_CREDENTIALS_PATH says, readable by
/// its owner only; the next key into a file of its own beside it. The recovery key is written once, to a file that you
/// move off the machine: it takes the DID back after a theft.
///
/// If there is an identity already it is kept, and its DID printed. --register logs the inception, which makes the DID
/// one that gates accept and that can rotate; the first `sign` or `submit` from here does the same, unless
/// only a checkout says which log it is.
///
/// An identity of Python aip is taken as it is: every command reads its credentials file, plain or encrypted, and the DID
/// stays. --from-aip makes the keys that come after it, which that file lacks.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the signer is at home, such as github; stays in the file
    #[arg(long = "platform", value_name = "PLATFORM")]
    platform: Option<String>,

    /// Its name there; stays in the file
    #[arg(long = "username", value_name = "NAME")]
    username: Option<String>,

    /// The same two without their flags: PLATFORM NAME
    #[arg(value_name = "PLATFORM NAME", num_args = 0..=2, conflicts_with_all = ["platform", "username"])]
    positional: Vec<String>,

    /// Encrypt the files with a passphrase: AIP_PASSPHRASE, else typed
    #[arg(long)]
    encrypt: bool,

    /// Take the identity of Python aip that is here: its credentials file is not written, and gets a next and a recovery key
    #[arg(long)]
    #[arg(conflicts_with_all = ["platform", "username", "positional", "encrypt", "force"])]
    from_aip: bool,

    /// Replace the identity that is there; the old file is kept under another name
    #[arg(long)]
    force: bool,

    /// Where the recovery key goes; else aip-recovery-….json in the home folder
    #[arg(long, value_name = "FILE")]
    recovery_out: Option<PathBuf>,

    /// What the key may do: messages, receipts, vouches; else messages,receipts. A key that a build can read should not
    /// vouch
    #[arg(long, value_name = "LIST", value_parser = capabilities)]
    capabilities: Option<Capabilities>,

    /// A name to log with the inception, for everybody and for ever. Nobody checks it
    #[arg(long, value_name = "NAME", value_parser = public_name)]
    public_name: Option<String>,

    /// Log the inception now
    #[arg(long)]
    register: bool,

    /// Log it also where it is not at home: two logs then have two states of the DID, and two lives. A rotation or a
    /// recovery in one leaves the other with the old key
    #[arg(long, requires = "register")]
    also_here: bool,

    /// Believe the log that is named or pinned, where its key is another one than the one that is kept with your key, or
    /// its policy weaker
    #[arg(long, requires = "register")]
    accept_log: bool,

    /// The log; else AIP_LOG_URL, the policy's, or the only one pinned
    #[arg(long, value_name = "URL", requires = "register")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE", requires = "register")]
    policy: Option<PathBuf>,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    timeout: Option<Duration>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it, for `--json`.
#[derive(Default)]
struct Done {
    did: Option<Did>,
    made: bool,
    recovery_key: Option<PathBuf>,
    /// Which log has the inception, and where.
    registered: Option<(String, LeafIndex)>,
}

impl Done {
    /// Tells the DID to people; programs are told all at the end.
    fn tell(&mut self, did: Did, args: &Args, console: &mut Console) {
        if !args.json && self.did.is_none() {
            console.line(format!("DID: {did}"));
        }
        self.did = Some(did);
    }

    fn to_json(&self, did: Did, path: &Path, failure: Option<&Failure>) -> Value {
        json!({
            "schema": "aip.init.v1",
            "did": did.to_string(),
            "made": self.made,
            "credentials": path.display().to_string(),
            "recoveryKey": self.recovery_key.as_ref().map(|path| path.display().to_string()),
            "registered": self.registered.as_ref().map(|(origin, index)| json!({"origin": origin, "index": index.get()})),
            "error": failure.map(Failure::to_json),
        })
    }
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let mut done = Done::default();
    // By force also over a file that cannot be read.
    let path = match keyfile::place() {
        Err(_) if args.force => keyfile::destination()?,
        place => place?,
    };
    let ended = init(&args, &path, &mut done, console);
    // What was made is told, also where the log gave no answer.
    if let (true, Some(did)) = (args.json, done.did) {
        console.json(&done.to_json(did, &path, ended.as_ref().err()));
    }
    ended
}

fn init(args: &Args, path: &Path, done: &mut Done, console: &mut Console) -> Result<Exit> {
    if args.register && keyfile::is_in_environment()? {
        return Err(from_the_environment());
    }
    if args.from_aip {
        return from_aip(args, path, done, console);
    }
    let exists = || path.exists() && !args.force;
    if exists() && !args.register {
        return keep(args, path, done, console);
    }
    let deadline = super::deadline(args.timeout)?;
    let lock = Lock::take(path, "init", deadline, console)?;
    // Of several at once one makes the identity, and the others find it here.
    let exists = exists();
    if !exists {
        make(args, &lock, done, console)?;
    } else if !args.register {
        return keep(args, path, done, console);
    }
    if args.register {
        register(args, &lock, deadline, done, console)?;
    } else {
        console.note(
            "not registered: `aip-attest init --register`, or the first `sign` from here, logs the inception",
        );
    }
    Ok(Exit::Yes)
}

/// Takes over the identity of the Python client, whose file stays as it is.
fn from_aip(args: &Args, path: &Path, done: &mut Done, console: &mut Console) -> Result<Exit> {
    if keyfile::is_in_environment()? {
        return Err(from_the_environment());
    }
    if !path.exists() {
        return Err(Failure::new("there is no identity of Python aip here")
            .because(format!("there is no file `{}`", path.display()))
            .hint("AIP_CREDENTIALS_PATH names a file that lies elsewhere")
            .hint("`aip-attest init` makes a new identity"));
    }
    let deadline = super::deadline(args.timeout)?;
    let lock = Lock::take(path, "init", deadline, console)?;
    let identity = keyfile::from_files(console)?.ok_or_else(|| holds_none(path))?;
    identity.require_genesis()?;
    done.tell(identity.did, args, console);
    let next = match Next::read(path, identity.did, console)? {
        None => without_next(args, &identity, &lock, done, console)?,
        Some(next) => {
            console.note("its next and its recovery key were made before");
            with_flags(args, next, &lock)?
        }
    };
    keyfile::warn_of_place(path, console);
    if args.register {
        register(args, &lock, deadline, done, console)?;
    } else if next.registered.is_none() {
        console.note(
            "not registered: `aip-attest init --register`, or the first `sign` from here, logs the inception",
        );
    }
    Ok(Exit::Yes)
}

/// Says which identity is there.
fn keep(args: &Args, path: &Path, done: &mut Done, console: &mut Console) -> Result<Exit> {
    if args.capabilities.is_some() || args.public_name.is_some() {
        console.warn(
            "--capabilities and --public-name change nothing here: with --register, an inception takes them",
        );
    }
    let (_, stored) = keyfile::find(console)?.ok_or_else(|| holds_none(path))?;
    let did = stored.did().parse().map_err(|_| keyfile::no_did(&format!("`did` in `{}`", path.display())))?;
    done.tell(did, args, console);
    console.note(format!("there is an identity in `{}`; --force replaces it", path.display()));
    Ok(Exit::Yes)
}

fn holds_none(path: &Path) -> Failure {
    Failure::new(format!("`{}` exists and holds no identity", path.display()))
        .hint("move it away, or replace it with --force")
}

fn make(args: &Args, lock: &Lock, done: &mut Done, console: &mut Console) -> Result<()> {
    let path = lock.credentials();
    let mut positional = args.positional.iter().cloned();
    let profile = Profile {
        platform: args.platform.clone().or_else(|| positional.next()),
        username: args.username.clone().or_else(|| positional.next()),
        registered_at: Some(clock::now().as_secs()),
    };
    let key = keyfile::new_key()?;
    let did = Did::of(&key.public_key());
    let passphrase = if args.encrypt { Some(keyfile::new_passphrase()?) } else { None };
    let passphrase = passphrase.as_ref().map(|passphrase| passphrase.as_str());
    let file = keyfile::write_credentials(did, &key, &profile, passphrase)?;
    // The keys that come after are there before the key that they belong to: an identity never lacks them.
    let out = succession(args, did, lock, passphrase, console)?;
    let saved = match args.force {
        true => keyfile::replace(lock, file.as_bytes(), console),
        false => keyfile::save(lock, file.as_bytes()),
    };
    if let Err(failure) = saved {
        // Nobody ever heard of this DID.
        for of_nobody in [&out, &next::path(path, did)] {
            let _ = std::fs::remove_file(of_nobody);
        }
        return Err(failure);
    }
    done.tell(did, args, console);
    (done.made, done.recovery_key) = (true, Some(out.clone()));
    console.note(format!("the key is in `{}`: whoever has it signs in this name", path.display()));
    keyfile::warn_of_place(path, console);
    recovery::tell(&out, console);
    if keyfile::is_in_environment()? {
        console.warn("AIP_PRIVATE_KEY is set and comes before the file");
    }
    if args.capabilities.is_some_and(|may| may.vouches) {
        console.hint(keep_home("this key vouches"));
    } else {
        console
            .hint("in CI set AIP_DID and AIP_PRIVATE_KEY from secrets: see `aip-attest key export --help`");
    }
    Ok(())
}

/// What is said of a key that vouches instead of how it gets into CI.
pub(super) fn keep_home(fact: &str) -> String {
    format!(
        "{fact}: keep it where no build can read it, and make another identity for CI: `aip-attest --as ci init`"
    )
}

/// Makes next and recovery key, and answers where the latter is.
fn succession(
    args: &Args,
    did: Did,
    lock: &Lock,
    passphrase: Option<&str>,
    console: &mut Console,
) -> Result<PathBuf> {
    let (next, spare) = (keyfile::new_key()?, keyfile::new_key()?);
    let out = recovery::destination(did, args.recovery_out.as_deref(), console)?;
    recovery::write(&out, did, &spare, &KeptLogs::default())?;
    let next = Next {
        did,
        next: Commitment::to(next.public_key().as_bytes()),
        recovery: Commitment::to(spare.public_key().as_bytes()),
        capabilities: args.capabilities.unwrap_or(Capabilities::PIPELINE),
        public_name: args.public_name.clone(),
        registered: None,
        sent_to: None,
        logs: KeptLogs::default(),
        recovery_file: std::path::absolute(&out).ok().map(|out| out.to_string_lossy().into_owned()),
        key: StoredKey::new(&next, passphrase)?,
        under_way: None,
    };
    next.write(lock)?;
    Ok(out)
}

fn register(
    args: &Args,
    lock: &Lock,
    deadline: Instant,
    done: &mut Done,
    console: &mut Console,
) -> Result<()> {
    let identity = keyfile::load(console)?;
    if identity.file() != Some(lock.credentials()) {
        return Err(holds_none(lock.credentials()));
    }
    let next = Next::read(lock.credentials(), identity.did, console)?;
    let kept: Vec<&KeptLogs> = next.iter().map(|next| &next.logs).collect();
    let session = Session::open_at_home(
        &Meant {
            log: args.log.as_deref(),
            policy: args.policy.as_deref(),
            kept: &kept,
            home: next.as_ref().and_then(Next::home),
            accept: args.accept_log,
            may_be_of_checkout: true,
        },
        deadline,
        console,
    )?;
    let known = session.known(identity.did, console)?;
    if let Some(state) = &known.state {
        if let Some(next) = next {
            known.require_ours(&next, identity.is_genesis())?;
            note_registration(next, &session, lock, console)?;
        }
        refuse_other_flags(args, state)?;
        done.tell(identity.did, args, console);
        done.registered = Some((known.origin.clone(), state.since()));
        console.note(format!(
            "it is registered in `{}` since index {}, {}",
            known.origin,
            state.since(),
            known.as_of()
        ));
        return Ok(());
    }
    if let Some(there) =
        next.as_ref().and_then(|next| next.elsewhere(session.origin())).filter(|_| !args.also_here)
    {
        return Err(Failure::new(format!("{} is at home in the log `{there}`", identity.did))
            .because(format!(
                "`{}` would have a second state of it: a rotation or a recovery in one of the two leaves the other with \
                 the old key",
                session.origin()
            ))
            .hint("use that log, or make another identity for this one: AIP_CREDENTIALS_PATH names another file")
            .hint("--also-here registers it all the same, and each log has a life of its own for it"));
    }
    identity.require_genesis()?;
    let next = match next {
        Some(next) => with_flags(args, next, lock)?,
        None => without_next(args, &identity, lock, done, console)?,
    };
    done.tell(identity.did, args, console);
    let index = session.register(&identity, lock, next, console)?;
    done.registered = Some((session.origin().to_owned(), index));
    console.note(format!("registered in `{}` at index {index}", session.origin()));
    Ok(())
}

/// Notes that the log has the DID, which an earlier try may not have heard of, and which log that is.
fn note_registration(next: Next, session: &Session, lock: &Lock, console: &mut Console) -> Result<()> {
    let registered = next.registered.clone().or_else(|| Some(session.origin().to_owned()));
    let mut logs = next.logs.clone();
    session.keep_in(&mut logs)?;
    let is_noted = (&next.registered, &next.logs) == (&registered, &logs);
    let next = Next { registered, logs, ..next };
    if !is_noted {
        next.write(lock)?;
    }
    next.tell_recovery(console);
    Ok(())
}

/// What an inception still to come says, as asked for now.
fn with_flags(args: &Args, next: Next, lock: &Lock) -> Result<Next> {
    if args.capabilities.is_none() && args.public_name.is_none() {
        return Ok(next);
    }
    let asked = Next {
        capabilities: args.capabilities.unwrap_or(next.capabilities),
        public_name: args.public_name.clone().or(next.public_name),
        ..next
    };
    // On disk before it is sent: another try makes the same inception.
    asked.write(lock)?;
    Ok(asked)
}

/// Refuses flags that the inception in the log did not take.
fn refuse_other_flags(args: &Args, state: &State) -> Result<()> {
    if args.public_name.as_deref().is_some_and(|name| state.public_name() != Some(name)) {
        return Err(Failure::new("the DID is registered already, without this public name")
            .hint("only the inception takes one; `aip-attest init --force` makes another identity"));
    }
    if args.capabilities.is_some_and(|asked| asked != state.capabilities()) {
        return Err(Failure::new(format!("the DID is registered already, with {}", state.capabilities()))
            .hint("`aip-attest rotate-key --capabilities LIST` changes what its key may do"));
    }
    Ok(())
}

/// An identity of an earlier release has nothing that comes after it.
fn without_next(
    args: &Args,
    identity: &OwnIdentity,
    lock: &Lock,
    done: &mut Done,
    console: &mut Console,
) -> Result<Next> {
    recovery::remove_leftovers(identity.did, args.recovery_out.as_deref(), console);
    let out = succession(args, identity.did, lock, identity.passphrase(), console)?;
    recovery::tell(&out, console);
    done.recovery_key = Some(out);
    Next::read(lock.credentials(), identity.did, console)?
        .ok_or_else(|| Failure::new("the next key's file is gone").hint("try again"))
}

fn from_the_environment() -> Failure {
    Failure::new("the identity is in the environment alone, and stays bare")
        .because("an inception names the next and the recovery key, and neither is there")
        .hint("unset AIP_PRIVATE_KEY, on the machine where `aip-attest init` ran")
}

/// Reads a name that an inception takes, before any key is made for it.
fn public_name(text: &str) -> Result<String, EventError> {
    check_public_name(text).map(|()| text.to_owned())
}

/// Reads a list such as `messages,receipts`.
pub(super) fn capabilities(text: &str) -> Result<Capabilities, String> {
    let mut names: Vec<&str> = text.split(',').map(str::trim).collect();
    names.sort_unstable();
    names.dedup();
    Capabilities::from_names(names).ok_or_else(|| "a list of messages, receipts, vouches".to_owned())
}
