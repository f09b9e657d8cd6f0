use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::event::{Body, Capabilities, Commitment, IdentityEvent, Reference};
use attestation::identity::Identity as State;
use tlog::{LeafIndex, TreeSize};

use super::emergency::{open_for, refuse_other_key};
use super::init::capabilities;
use super::log_args::HomeArgs;
use super::rotate_key::{OLD_KEY_STAYS, as_asked, capabilities_of};
use crate::clock;
use crate::events::{self, Known};
use crate::keyfile::change::{Standing, UnderWay};
use crate::keyfile::credentials::Profile;
use crate::keyfile::lock::Lock;
use crate::keyfile::logs::KeptLogs;
use crate::keyfile::message_keys;
use crate::keyfile::next::Next;
use crate::keyfile::recovery::{self, Recovery};
use crate::keyfile::stored_key::StoredKey;
use crate::keyfile::{self, KeySource, OwnIdentity};
use crate::report::{Console, Exit, Failure, Result};

/// Take an identity back after a theft: new keys, and what the thief logged is void
///
/// Needs the recovery key. Makes a new current, next and recovery key; the credentials go where `init` puts them.
/// Everything the DID logged from --since on until the recovery is void: gates and `verify` refuse it. What came before
/// stays valid. A recovery that breaks off is finished by the same command; one that was begun wrongly, or that the log
/// refused, is made anew by it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The recovery key's file
    #[arg(long, value_name = "FILE")]
    recovery: PathBuf,

    /// The first index that is not yours; else where the earliest open report begins
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    since: Option<u64>,

    /// Where the new recovery key goes; else aip-recovery-….json in the home folder
    #[arg(long, value_name = "FILE")]
    recovery_out: Option<PathBuf>,

    /// What the new key may do, instead of what the old one could: messages, receipts, vouches
    #[arg(long, value_name = "LIST", value_parser = capabilities)]
    capabilities: Option<Capabilities>,

    /// Encrypt the credentials, also those that are there in the clear, with a passphrase: AIP_PASSPHRASE, else typed
    #[arg(long)]
    encrypt: bool,

    /// Make new keys though what lies here cannot be opened, such as for a passphrase that is forgotten: credentials, next
    /// key and what was begun are kept under other names
    #[arg(long)]
    set_aside: bool,

    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let recovery = recovery::read(&args.recovery, console)?;
    let deadline = args.home.log.deadline()?;
    let lock = keyfile::lock("recover", deadline, console)?;
    recovery::remove_leftovers(recovery.did, args.recovery_out.as_deref(), console);
    let next = Next::read(lock.credentials(), recovery.did, console)?;
    let mut identity = place(&args, &recovery, next.as_ref(), &lock, console)?;
    identity.source = KeySource::File(lock.credentials().to_path_buf());
    let session = open_for(&args.home, &recovery, next.as_ref(), deadline, console)?;
    let mut logs = next.as_ref().map(|next| next.logs.clone()).unwrap_or_default().with(&recovery.logs);
    session.keep_policy_in(&mut logs)?;
    let known = session.known(recovery.did, console)?;
    let state = known.registered()?;
    let recovering = Recovering {
        args: &args,
        recovery: &recovery,
        identity: &identity,
        lock: &lock,
        known: &known,
        logs: logs.headed_by(&known.origin),
    };
    if let Some(next) = &next {
        session.warn_of_other_home(next.elsewhere(session.origin()), OLD_KEY_STAYS, console);
    }
    let begun = next.as_ref().and_then(|next| next.under_way.as_ref());
    let next = match (begun.map(|begun| (begun.standing(state, &known.origin), begun.is_recovery())), next) {
        (Some((Standing::Later, _)), Some(Next { under_way: Some(under_way), .. })) => {
            return Err(known.is_behind(&under_way));
        }
        (_, next) if args.set_aside => recovering.begin(next, console)?,
        (Some((Standing::Logged, true)), Some(next)) => {
            console.note("a recovery was begun, and the log has it: finishing it");
            tell_of_other_start(&args, state, console);
            next
        }
        (Some((Standing::Open | Standing::Passed, true)), Some(next)) => {
            console.note("a recovery was begun: finishing it");
            recovering.again(next, console)?
        }
        (Some((Standing::Logged, false)), Some(next)) => {
            console.note("a rotation was begun, and the log has it: finishing it first");
            recovering.begin(Some(session.follow(&identity, &lock, next)?), console)?
        }
        (_, next) => recovering.begin(next, console)?,
    };
    let logged = session.finish_change(&identity, &lock, next, &known, console)?;
    args.home.log.print(&logged, console);
    console.note(format!(
        "the new key is in `{}`; the old recovery key counts for nothing",
        lock.credentials().display()
    ));
    if keyfile::is_in_environment()? {
        console.warn("AIP_PRIVATE_KEY is set and comes before the file: unset AIP_PRIVATE_KEY");
    }
    if capabilities_of(&logged).is_some_and(|may| may.vouches) {
        console.hint(super::init::keep_home("the new key vouches"));
    } else {
        console.hint("AIP_DID stays; the new key into the CI secret: `aip-attest key export | gh secret set AIP_PRIVATE_KEY`");
    }
    if message_keys::path(lock.credentials()).exists() {
        console.hint(
            "no message key from before the recovery counts: `aip-attest message-key rotate` makes one",
        );
    }
    as_asked(args.capabilities, &logged)?;
    Ok(Exit::Yes)
}

/// A recovery that is logged cannot be corrected, only followed by another.
fn tell_of_other_start(args: &Args, state: &State, console: &mut Console) {
    let Some(logged) = state.windows().last().map(|window| window.since) else { return };
    if args.since.is_some_and(|asked| asked != logged.get()) {
        console.warn(format!(
            "it is logged with --since {logged}: another start needs another recovery, with the recovery key of this one"
        ));
    }
}

/// The credentials that the new key goes into: those of the DID that are here, else new ones.
fn place(
    args: &Args,
    recovery: &Recovery,
    next: Option<&Next>,
    lock: &Lock,
    console: &mut Console,
) -> Result<OwnIdentity> {
    let path = lock.credentials();
    let stand_in = |passphrase| OwnIdentity {
        did: recovery.did,
        // Stands for the key that is not here; what is written is the new one.
        key: recovery.key.clone(),
        profile: Profile { registered_at: Some(clock::now().as_secs()), ..Profile::default() },
        source: KeySource::File(path.to_path_buf()),
        passphrase,
    };
    if args.set_aside {
        refuse_other_identity(keyfile::did_in_files(console)?, recovery, path)?;
        let passphrase = if args.encrypt { Some(keyfile::new_passphrase()?) } else { None };
        return Ok(stand_in(passphrase));
    }
    let found = keyfile::from_files_if_any(console)?;
    refuse_other_identity(found.as_ref().map(|identity| identity.did), recovery, path)?;
    let identity = found.unwrap_or_else(|| stand_in(None));
    // What was begun with a passphrase goes on with it, whether or not that is said again.
    let identity = match next {
        Some(next) => identity.opening(next)?,
        None => identity,
    };
    match &identity.passphrase {
        None if args.encrypt => Ok(OwnIdentity { passphrase: Some(keyfile::new_passphrase()?), ..identity }),
        _ => Ok(identity),
    }
}

fn refuse_other_identity(found: Option<Did>, recovery: &Recovery, path: &Path) -> Result<()> {
    match found {
        Some(did) if did != recovery.did => {
            Err(Failure::new(format!("`{}` holds another identity", path.display()))
                .because(format!("it is of {did}, the recovery key of {}", recovery.did))
                .hint("set AIP_CREDENTIALS_PATH to the file to write"))
        }
        _ => Ok(()),
    }
}

/// What a recovery is made from.
struct Recovering<'a> {
    args: &'a Args,
    recovery: &'a Recovery,
    identity: &'a OwnIdentity,
    lock: &'a Lock,
    known: &'a Known,
    /// The logs that the new files keep.
    logs: KeptLogs,
}

impl Recovering<'_> {
    /// Makes the keys and the event, and puts them on disk. What the next key's file held is kept beside it.
    fn begin(&self, before: Option<Next>, console: &mut Console) -> Result<Next> {
        let state = self.known.registered()?;
        refuse_other_key(self.recovery, state, self.known).map_err(|failure| {
            let begun = before.as_ref().and_then(|before| before.under_way.as_ref()?.recovery_file.as_ref());
            begun.into_iter().fold(failure, |failure, file| {
                failure.hint(format!("the recovery that was begun here wrote one to `{file}`"))
            })
        })?;
        let did = self.recovery.did;
        // Refused before anything is written, and before the recovery key signs it.
        let since = since(self.args, None, state, self.known.size)?;
        let (key, after, spare) = (keyfile::new_key()?, keyfile::new_key()?, keyfile::new_key()?);
        let capabilities = self.args.capabilities.unwrap_or_else(|| state.capabilities());
        let origin = self.known.origin.as_str();
        let said = IdentityEvent::Recovery {
            link: state.link(),
            key: *key.public_key().as_bytes(),
            next: Commitment::to(after.public_key().as_bytes()),
            recovery: Commitment::to(spare.public_key().as_bytes()),
            capabilities,
            since: Reference { origin: origin.to_owned(), index: since },
        };
        let event = events::sign(did, origin, said, &[&self.recovery.key, &key])?;
        self.known.takes(&event)?;
        // The next recovery key is durable before anything depends on it.
        let out = recovery::destination(did, self.args.recovery_out.as_deref(), console)?;
        recovery::write(&out, did, &spare, &self.logs)?;
        recovery::tell(&out, console);
        if let Some(before) = &before {
            before.keep_copy(self.lock, console)?;
        }
        if self.args.set_aside {
            keyfile::set_aside(self.lock, console)?;
        }
        let passphrase = self.identity.passphrase();
        let sent_to = before.as_ref().and_then(|before| before.sent_to.clone());
        // The old next key can report a compromise until the recovery is logged.
        let recovery_file = before.as_ref().and_then(|before| before.recovery_file.clone());
        let is_of_use = |before: &Next| before.next == state.next() && !self.args.set_aside;
        let old_next = before.filter(is_of_use).map(|before| before.key);
        let fresh = Next {
            did,
            next: state.next(),
            recovery: state.recovery(),
            capabilities,
            public_name: None,
            registered: Some(origin.to_owned()),
            sent_to,
            logs: self.logs.clone(),
            recovery_file,
            key: old_next.map_or_else(|| StoredKey::new(&after, passphrase), Ok)?,
            under_way: None,
        };
        let out = std::path::absolute(&out).unwrap_or(out).to_string_lossy().into_owned();
        fresh.begin(self.lock, UnderWay::new(event, &key, &after, Some(out), passphrase)?)
    }

    /// Makes the event of a recovery that is not logged anew, from the arguments and the state of today and the keys on
    /// disk: one that the log refused is corrected so. The same arguments and state make the same bytes.
    fn again(&self, mut next: Next, console: &mut Console) -> Result<Next> {
        let state = self.known.registered()?;
        let Some(begun) = next.under_way.take() else { return Ok(next) };
        let Body::Identity(IdentityEvent::Recovery {
            key: new,
            next: after,
            recovery: spare,
            capabilities,
            since: start,
            ..
        }) = begun.event.event().body()
        else {
            return Ok(Next { under_way: Some(begun), ..next });
        };
        refuse_other_key(self.recovery, state, self.known)?;
        let key = begun.key.open(self.identity.passphrase())?;
        let origin = self.known.origin.as_str();
        let said = IdentityEvent::Recovery {
            link: state.link(),
            key: *new,
            next: *after,
            recovery: *spare,
            capabilities: self.args.capabilities.unwrap_or(*capabilities),
            since: Reference {
                origin: origin.to_owned(),
                index: since(self.args, Some(start.index), state, self.known.size)?,
            },
        };
        let event = events::sign(next.did, origin, said, &[&self.recovery.key, &key])?;
        self.known.takes(&event)?;
        if self.args.recovery_out.is_some() {
            console.warn("--recovery-out changes nothing: the recovery key was written when this was begun");
        }
        next.logs = self.logs.clone();
        next.begin(self.lock, UnderWay { event, ..begun })
    }
}

/// From where on what was logged is void: as said now, as said when the recovery was begun, as reported.
fn since(args: &Args, begun: Option<LeafIndex>, state: &State, size: TreeSize) -> Result<LeafIndex> {
    let open =
        state.windows().iter().filter(|window| window.until.is_none()).map(|window| window.since).min();
    let since = args.since.map(LeafIndex::new).or(begun).or(open).ok_or_else(|| {
        Failure::new("say from which entry on nothing counts: --since INDEX")
            .hint("the first one that is not yours: a monitor's finding names it, `aip-attest whoami` the inception")
    })?;
    let inception = state.since();
    if since < inception || since.get() > size.get() {
        return Err(Failure::new(format!("--since {since} is not an index of this DID's time"))
            .because(format!("it was registered at index {inception}, and the log has {size} entries"))
            .hint("name the first entry that is not yours; nothing was changed"));
    }
    Ok(since)
}
