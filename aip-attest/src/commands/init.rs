use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::Did;
use attestation::event::{Capabilities, Commitment};
use attestation::identity::Identity as State;

use crate::clock;
use crate::environment;
use crate::events::Session;
use crate::keyfile::credentials::Profile;
use crate::keyfile::lock::Lock;
use crate::keyfile::next::{self, Next, Stored};
use crate::keyfile::{self, Identity, recovery};
use crate::report::{Console, Exit, Failure, Result};

/// Make an identity: a key, the DID that is its hash, and the keys that come after it
///
/// Needs no log and no network. The key goes to ~/.aip/credentials.json, or where AIP_CREDENTIALS_PATH says, readable by
/// its owner only; the next key into a file of its own beside it. The recovery key is written once, to a file that you
/// move off the machine: it takes the DID back after a theft.
///
/// If there is an identity already it is kept, and its DID printed. --register logs the inception, which makes the DID
/// one that gates accept and that can rotate; the first `sign` or `submit` from here does the same.
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
    #[arg(long, value_name = "NAME")]
    public_name: Option<String>,

    /// Log the inception now
    #[arg(long)]
    register: bool,

    /// The log; else AIP_LOG_URL, the policy's, or the only one pinned
    #[arg(long, value_name = "URL", requires = "register")]
    log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE", requires = "register")]
    policy: Option<PathBuf>,

    /// How long to wait for the log
    #[arg(long, value_name = "DURATION", env = "AIP_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = super::parse_duration)]
    timeout: Duration,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    if args.register && environment::var("AIP_PRIVATE_KEY")?.is_some() {
        return Err(from_the_environment());
    }
    let path = keyfile::destination()?;
    let exists = || path.exists() && !args.force;
    if exists() && !args.register {
        return keep(&args, &path, console);
    }
    let lock = Lock::take(&path, "init", super::deadline(args.timeout)?, console)?;
    // Of several at once one makes the identity, and the others find it here.
    let exists = exists();
    if !exists {
        make(&args, &lock, console)?;
    } else if !args.register {
        return keep(&args, &path, console);
    }
    if args.register {
        register(&args, &lock, exists, console)?;
    } else {
        console.note(
            "not registered: `aip-attest init --register`, or the first `sign` from here, logs the inception",
        );
    }
    Ok(Exit::Yes)
}

/// Says which identity is there.
fn keep(args: &Args, path: &Path, console: &mut Console) -> Result<Exit> {
    if args.capabilities.is_some() || args.public_name.is_some() {
        console.warn(
            "--capabilities and --public-name change nothing here: with --register, an inception takes them",
        );
    }
    let (_, stored) = keyfile::find(console)?.ok_or_else(|| holds_none(path))?;
    let did = match stored {
        keyfile::Stored::Plain(credentials) => credentials.did,
        keyfile::Stored::Encrypted(encrypted) => encrypted.did,
    };
    console.line(format!("DID: {did}"));
    console.note(format!("there is an identity in `{}`; --force replaces it", path.display()));
    Ok(Exit::Yes)
}

fn holds_none(path: &Path) -> Failure {
    Failure::new(format!("`{}` exists and holds no identity", path.display()))
        .hint("move it away, or replace it with --force")
}

fn make(args: &Args, lock: &Lock, console: &mut Console) -> Result<()> {
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
    if args.force {
        keyfile::set_aside(lock, console)?;
    }
    if let Err(failure) = keyfile::save(lock, file.as_bytes()) {
        // Nobody ever heard of this DID.
        for of_nobody in [&out, &next::path(path, did)] {
            let _ = std::fs::remove_file(of_nobody);
        }
        return Err(failure);
    }
    console.line(format!("DID: {did}"));
    console.note(format!("the key is in `{}`: whoever has it signs in this name", path.display()));
    recovery::tell(&out, console);
    if environment::var("AIP_PRIVATE_KEY")?.is_some() {
        console.warn("AIP_PRIVATE_KEY is set and comes before the file");
    }
    console.hint("in CI set AIP_DID and AIP_PRIVATE_KEY from secrets: see `aip-attest key export --help`");
    Ok(())
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
    recovery::write(&out, did, &spare)?;
    let next = Next {
        did,
        next: Commitment::to(next.public_key().as_bytes()),
        recovery: Commitment::to(spare.public_key().as_bytes()),
        capabilities: args.capabilities.unwrap_or(Capabilities::PIPELINE),
        public_name: args.public_name.clone(),
        registered: None,
        key: Stored::new(&next, passphrase)?,
        under_way: None,
    };
    next.write(lock)?;
    Ok(out)
}

fn register(args: &Args, lock: &Lock, existed: bool, console: &mut Console) -> Result<()> {
    let identity = keyfile::load(console)?;
    if identity.file() != Some(lock.credentials()) {
        return Err(holds_none(lock.credentials()));
    }
    let deadline = super::deadline(args.timeout)?;
    let session = Session::open(args.log.as_deref(), args.policy.as_deref(), deadline, console)?;
    let known = session.known(identity.did, console)?;
    let next = Next::read(lock.credentials(), identity.did)?;
    if let Some(state) = &known.state {
        next.as_ref().map_or(Ok(()), |next| known.is_ours(next))?;
        refuse_other_flags(args, state)?;
        console.line(format!("DID: {}", identity.did));
        console.note(format!(
            "it is registered in `{}` since index {}, {}",
            known.origin,
            state.since(),
            known.as_of()
        ));
        return Ok(());
    }
    identity.require_genesis()?;
    let next = match next {
        Some(next) => with_flags(args, next, lock)?,
        None => without_next(args, &identity, lock, console)?,
    };
    if existed {
        console.line(format!("DID: {}", identity.did));
    }
    let index = session.register(&identity, lock, next, console)?;
    console.note(format!("registered in `{}` at index {index}", session.origin()));
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
fn without_next(args: &Args, identity: &Identity, lock: &Lock, console: &mut Console) -> Result<Next> {
    let out = succession(args, identity.did, lock, identity.passphrase(), console)?;
    recovery::tell(&out, console);
    Next::read(lock.credentials(), identity.did)?
        .ok_or_else(|| Failure::new("the next key's file is gone").hint("try again"))
}

fn from_the_environment() -> Failure {
    Failure::new("the identity is in the environment alone, and stays bare")
        .because("an inception names the next and the recovery key, and neither is there")
        .hint("register it on the machine where `aip-attest init` ran, with AIP_PRIVATE_KEY unset")
}

/// Reads a list such as `messages,receipts`.
pub(super) fn capabilities(text: &str) -> Result<Capabilities, String> {
    let mut names: Vec<&str> = text.split(',').map(str::trim).collect();
    names.sort_unstable();
    names.dedup();
    Capabilities::from_names(names).ok_or_else(|| "a list of messages, receipts, vouches".to_owned())
}
