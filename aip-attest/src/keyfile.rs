//! Where a pipeline's key is kept: two environment variables, or a credentials file.
//!
//! The one that is [`chosen`] by name; else, in this order, the first that is there:
//! 1. `AIP_DID` and `AIP_PRIVATE_KEY`, both set: nothing of it is ever written to a file
//! 2. the file that `AIP_CREDENTIALS_PATH` names, and no other
//! 3. `~/.aip/credentials.json`
//! 4. `~/.openclaw/workspace/credentials/aip_credentials.json`
//!
//! A file counts when it has a DID and a private key, plain ([`credentials`]) or encrypted ([`encrypted`]).
//! A key that does not hash to its DID is one that took over by a rotation, or no key of the DID at all: only a
//! log's state tells ([`OwnIdentity::is_genesis`]). What comes after the key lies beside the file ([`next`]). Who changes
//! any of it holds the [`mod@lock`].

pub(crate) mod change;
pub(crate) mod chosen;
pub(crate) mod credentials;
pub(crate) mod encrypted;
mod leftovers;
pub(crate) mod lock;
pub(crate) mod logs;
pub(crate) mod message_keys;
mod names;
pub(crate) mod next;
mod passphrase;
mod passphrase_box;
mod readers;
pub(crate) mod recovery;
mod search;
pub(crate) mod stored_key;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::time::Instant;

use attestation::Did;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use crate::durable::{self, Readers};
use crate::environment;
use crate::report::{Console, Failure, Result};
use credentials::{Credentials, Profile};
use lock::Lock;
use next::Next;
use readers::warn_of_other_readers;
use search::{cannot_read, names_nothing, no_identity, search, search_if_any};

pub(crate) use readers::warn_of_place;
pub(crate) use search::{Stored, find};

/// A signer with its key.
pub(crate) struct OwnIdentity {
    /// The signer's name, by the word of where it was found: the hash of its first key.
    pub did: Did,
    /// The key.
    pub key: Ed25519PrivateKey,
    /// What the file says beside.
    pub profile: Profile,
    /// Where it was found.
    pub source: KeySource,
    /// What opened the file, and opens what lies beside it.
    pub passphrase: Option<Zeroizing<String>>,
}

impl OwnIdentity {
    /// Whether the key is the DID's first one, which the DID proves by itself.
    pub(crate) fn is_genesis(&self) -> bool {
        Did::of(&self.key.public_key()) == self.did
    }

    /// Refuses a key that the DID does not prove by itself, where no log's state is at hand.
    pub(crate) fn require_genesis(&self) -> Result<()> {
        if self.is_genesis() {
            return Ok(());
        }
        let place = match &self.source {
            KeySource::Environment => "AIP_DID".to_owned(),
            KeySource::File(path) => format!("`did` in `{}`", path.display()),
        };
        let own = Did::of(&self.key.public_key());
        Err(Failure::new(format!("{place} is not the DID of its key"))
            .because(format!("it says {}, the key's own is {own}", self.did))
            .hint(format!(
                "after a rotation only a log's state says whose key it is: `aip-attest log sync --did {}` keeps it, so \
                 that `sign` needs no log",
                self.did
            ))
            .hint("without a log: `sign --no-log --state FILE` takes what `aip-attest state export` wrote")
            .hint("without a rotation: copy DID and key from the same `aip-attest init`"))
    }

    /// The same, with what opens the keys of `next`. Where they are locked and the credentials are not, the new
    /// credentials are locked too: what lay encrypted is never written in the clear.
    pub(crate) fn opening(self, next: &Next) -> Result<Self> {
        match (&self.source, &self.passphrase) {
            (KeySource::File(path), None) if next.is_sealed() => {
                let passphrase = passphrase_of(&next::path(path, self.did))?;
                Ok(Self { passphrase: Some(passphrase), ..self })
            }
            _ => Ok(self),
        }
    }

    /// What opens what lies beside its file.
    pub(crate) fn passphrase(&self) -> Option<&str> {
        self.passphrase.as_ref().map(|passphrase| passphrase.as_str())
    }

    /// The credentials file it is from.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            KeySource::Environment => None,
            KeySource::File(path) => Some(path),
        }
    }

    /// Writes the credentials file anew, with another key.
    pub(crate) fn replace_key(&self, lock: &Lock, key: &Ed25519PrivateKey) -> Result<()> {
        let file = write_credentials(self.did, key, &self.profile, self.passphrase())?;
        durable::write(lock.credentials(), file.as_bytes(), Readers::Owner)
    }
}

/// The text of a credentials file, encrypted if there is a passphrase.
pub(crate) fn write_credentials(
    did: Did,
    key: &Ed25519PrivateKey,
    profile: &Profile,
    passphrase: Option<&str>,
) -> Result<Zeroizing<String>> {
    Ok(match passphrase {
        None => credentials::to_plain(did, key, profile),
        Some(passphrase) => {
            Zeroizing::new(encrypted::encrypt(did, key, profile, passphrase, *random()?, *random()?))
        }
    })
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut())
        .map_err(|error| Failure::new("the system gives no random bytes").because(error))?;
    Ok(bytes)
}

/// A new key.
pub(crate) fn new_key() -> Result<Ed25519PrivateKey> {
    Ok(Ed25519PrivateKey::from_seed(&*random()?))
}

/// Where an identity was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeySource {
    /// `AIP_DID` and `AIP_PRIVATE_KEY`.
    Environment,
    /// A credentials file.
    File(PathBuf),
}

impl Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment (AIP_DID, AIP_PRIVATE_KEY)"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The identity to act as; asks for a passphrase if the file is encrypted.
pub(crate) fn load(console: &mut Console) -> Result<OwnIdentity> {
    if let Some(identity) = from_environment()? {
        return Ok(identity);
    }
    let identity = from_files(console)?.ok_or_else(no_identity)?;
    check_against_environment(&identity.did.to_string())?;
    Ok(identity)
}

/// The lock on the keys beside the credentials file that is here, or would be made; for `command`, until `deadline`.
/// What was read before it is held may have changed.
pub(crate) fn lock(command: &str, deadline: Instant, console: &mut Console) -> Result<Lock> {
    loop {
        let path = place()?;
        let lock = Lock::take(&path, command, deadline, console)?;
        // While it was waited for, a file may have come that is looked for before this one.
        if place()? == path {
            return Ok(lock);
        }
    }
}

/// The credentials file that is here, else the one that would be made.
pub(crate) fn place() -> Result<PathBuf> {
    match chosen::credentials()? {
        Some(path) => Ok(path),
        None => search(&mut |_, _| {})?.map_or_else(destination, |(path, _)| Ok(path)),
    }
}

/// The identity whose keys are to change and what lies beside it, read under the lock. `nothing_beside` is the failure
/// where nothing does: beside one from the environment, unless the variable only hides a file.
pub(crate) fn load_to_change(
    command: &str,
    deadline: Instant,
    nothing_beside: fn() -> Failure,
    console: &mut Console,
) -> Result<(Lock, OwnIdentity, Next)> {
    if from_environment()?.is_some() {
        let hidden = search(&mut |_, _| {}).ok().flatten();
        return Err(hidden.map_or_else(nothing_beside, |(path, _)| {
            Failure::new("the key is from the environment, and what comes after a key lies beside a file")
                .because(format!("AIP_PRIVATE_KEY comes before `{}`", path.display()))
                .hint("unset AIP_PRIVATE_KEY")
        }));
    }
    if chosen::credentials()?.is_none_or(|path| !path.exists()) {
        search(&mut |_, _| {})?.ok_or_else(no_identity)?;
    }
    let lock = lock(command, deadline, console)?;
    let identity = load(console)?;
    let next = Next::read(lock.credentials(), identity.did, console)?.ok_or_else(nothing_beside)?;
    let identity = identity.opening(&next)?;
    Ok((lock, identity, next))
}

/// The identity whose key is exported. Fails if environment and file disagree, or while a key change is under way: the
/// exported key would soon be useless.
pub(crate) fn load_to_export(console: &mut Console) -> Result<OwnIdentity> {
    let beside = search_if_any(&mut |_, _| {})?;
    let beside = beside.and_then(|(path, stored)| Some((path, stored.did().parse::<Did>().ok()?)));
    // Check before reading the key: a rotation that starts later cannot make us export an older key than this check saw.
    let under_way = match &beside {
        Some((path, did)) => Next::peek(path, *did)?.and_then(|next| next.under_way),
        None => None,
    };
    let identity = load(console)?;
    let beside = beside.filter(|(_, did)| *did == identity.did);
    if let (Some(under_way), Some(_)) = (under_way, &beside) {
        return Err(Failure::new(format!("a {} was begun here and is not finished", under_way.name()))
            .because("which key is the DID's is not known before")
            .hint(format!("{} finishes it; then export the key", under_way.command())));
    }
    if identity.file().is_some() {
        // It has what the last change wrote.
        return Ok(identity);
    }
    let Some((path, _)) = beside else {
        // Nobody knows of a later key what it is before a log is asked.
        return identity.require_genesis().map(|()| identity);
    };
    let in_file = from_files(console)?;
    if in_file.is_none_or(|file| file.key.public_key() != identity.key.public_key()) {
        return Err(Failure::new("AIP_PRIVATE_KEY is not the key in the credentials file")
            .because(format!(
                "both are of {}; `{}` has what was last made here",
                identity.did,
                path.display()
            ))
            .hint("unset AIP_PRIVATE_KEY"));
    }
    Ok(identity)
}

/// The identity in a credentials file, if there is one.
pub(crate) fn from_files(console: &mut Console) -> Result<Option<OwnIdentity>> {
    let Some((path, stored)) = find(console)? else { return Ok(None) };
    let (credentials, passphrase) = match stored {
        Stored::Plain(credentials) => (*credentials, None),
        Stored::Encrypted(encrypted) => {
            let passphrase = passphrase::ask_for(&path)?;
            let cannot = |error| cannot_read(&path).caused_by(error).hint(FORGOTTEN);
            let opened = encrypted.decrypt(&passphrase).map_err(cannot)?;
            (opened, Some(passphrase))
        }
    };
    Ok(Some(OwnIdentity { passphrase, ..identify(credentials, KeySource::File(path))? }))
}

/// The same, also where the file that is named is not there yet.
pub(crate) fn from_files_if_any(console: &mut Console) -> Result<Option<OwnIdentity>> {
    match names_nothing()? {
        true => Ok(None),
        false => from_files(console),
    }
}

/// The DID of the credentials file, if there is one, by its word: nothing is opened.
pub(crate) fn did_in_files(console: &mut Console) -> Result<Option<Did>> {
    let found = search_if_any(&mut |path, file| warn_of_other_readers(path, file.metadata(), console))?;
    found.map(|(_, stored)| own(stored.did())).transpose()
}

/// The identity in the environment, if it is there and none is chosen by name.
pub(crate) fn from_environment() -> Result<Option<OwnIdentity>> {
    if chosen::name()?.is_some() {
        return Ok(None);
    }
    let did = did_in_environment()?;
    let key = environment::var("AIP_PRIVATE_KEY")?.map(Zeroizing::new);
    let (did, key) = match (did, key) {
        (Some(did), Some(key)) => (did, key),
        (None, Some(key)) => {
            let failure = Failure::new("AIP_PRIVATE_KEY is set without AIP_DID");
            return Err(match credentials::decode_private_key(&key) {
                Ok(key) => {
                    failure.hint(format!(
                        "set AIP_DID too, to what `aip-attest whoami` prints where the identity was made; {} is it only if its \
                         key was never rotated",
                        Did::of(&key.public_key())
                    ))
                }
                Err(error) => failure.caused_by(error),
            });
        }
        (_, None) => return Ok(None),
    };
    let key = credentials::decode_private_key(&key)
        .map_err(|error| Failure::new("AIP_PRIVATE_KEY is no private key").caused_by(error))?;
    let credentials = Credentials { did, key, profile: Profile::default() };
    identify(credentials, KeySource::Environment).map(Some)
}

/// Whether a key of the environment comes before every file.
pub(crate) fn is_in_environment() -> Result<bool> {
    Ok(chosen::name()?.is_none() && environment::var("AIP_PRIVATE_KEY")?.is_some())
}

/// One's own DID, which needs no key: `AIP_DID`, else what the credentials file says; `None` if there is neither.
pub(crate) fn own_did(console: &mut Console) -> Result<Option<Did>> {
    if let Some(did) = did_of_environment()? {
        return Ok(Some(did));
    }
    find(console)?.map(|(_, stored)| own(stored.did())).transpose()
}

/// One's own DID, and nothing but `AIP_DID`.
pub(crate) fn did_of_environment() -> Result<Option<Did>> {
    did_in_environment()?.map(|said| own(&said)).transpose()
}

fn own(said: &str) -> Result<Did> {
    said.parse().map_err(|_| no_did("your own DID"))
}

/// What stands where a DID should is not repeated: it may be a key that got into the wrong place.
pub(crate) fn no_did(place: &str) -> Failure {
    Failure::new(format!("{place} is no DID")).because(
        "a DID is `did:aip:` and 32 lower-case hex digits; what is there is not shown, it could be a key",
    )
}

/// Where a new identity is written, where none is.
pub(crate) fn destination() -> Result<PathBuf> {
    let path =
        chosen::credentials()?.or_else(|| environment::home().map(|folder| folder.join("credentials.json")));
    path.ok_or_else(|| {
        Failure::new(format!("there is no place for a credentials file: {}", environment::no_home()))
            .hint("set AIP_CREDENTIALS_PATH to the file to write")
    })
}

/// Writes a credentials file where none is: 0600 in a folder of 0700, whole or not at all. Another program may have
/// written one, and knows of no lock: the key of that one counts.
pub(crate) fn save(lock: &Lock, file: &[u8]) -> Result<()> {
    match durable::write_new(lock.credentials(), file, Readers::Owner)? {
        true => Ok(()),
        false => Err(Failure::new("another program made an identity at the same time")
            .because(format!("there is one in `{}` now", lock.credentials().display()))
            .hint("`aip-attest whoami` prints it; it is as good as the one that was not made")),
    }
}

/// Writes a credentials file in the place of the one that is there, which stays until the new one is on the disk and is
/// kept under another name beside it, since a key that is gone is gone for ever.
pub(crate) fn replace(lock: &Lock, file: &[u8], console: &mut Console) -> Result<()> {
    let path = lock.credentials();
    let kept = durable::replace(path, file, Readers::Owner, old_names(path))?;
    tell_kept(kept, console);
    Ok(())
}

/// Moves the credentials file that is there to another name beside it.
pub(crate) fn set_aside(lock: &Lock, console: &mut Console) -> Result<()> {
    let path = lock.credentials();
    let kept = durable::set_aside(path, old_names(path))?;
    tell_kept(kept, console);
    Ok(())
}

fn old_names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (1..=MAX_OLD_FILES).map(move |number| path.with_file_name(format!("{name}.{number}.old")))
}

fn tell_kept(kept: Option<PathBuf>, console: &mut Console) {
    if let Some(kept) = kept {
        console.note(format!("the identity before this one is kept in `{}`", kept.display()));
    }
}

/// A passphrase for a new encrypted file: `AIP_PASSPHRASE`, else typed twice.
pub(crate) fn new_passphrase() -> Result<Zeroizing<String>> {
    passphrase::choose()
}

/// The passphrase that opens a file: `AIP_PASSPHRASE`, else typed.
pub(crate) fn passphrase_of(path: &Path) -> Result<Zeroizing<String>> {
    passphrase::ask_for(path)
}

/// Takes a key and the DID it is said to have for an identity.
fn identify(credentials: Credentials, source: KeySource) -> Result<OwnIdentity> {
    let Credentials { did, key, profile } = credentials;
    let did = did.parse().map_err(|_| {
        let place = match &source {
            KeySource::Environment => "AIP_DID".to_owned(),
            KeySource::File(path) => format!("`did` in `{}`", path.display()),
        };
        no_did(&place).hint(format!("this key's own is {}", Did::of(&key.public_key())))
    })?;
    Ok(OwnIdentity { did, key, profile, source, passphrase: None })
}

/// Another identity than the one that `AIP_DID` alone asks for would sign in the wrong name.
pub(crate) fn check_against_environment(did: &str) -> Result<()> {
    match did_in_environment()? {
        Some(said) if said != did => {
            let said: Did = said.parse().map_err(|_| no_did("AIP_DID"))?;
            Err(Failure::new("AIP_DID is not the DID of the key in the credentials file")
                .because(format!("it says {said}, the file's is {did}"))
                .hint("set AIP_PRIVATE_KEY too, or unset AIP_DID"))
        }
        _ => Ok(()),
    }
}

/// `AIP_DID`, where no identity is chosen by name; without the spaces and line ends that stores of secrets keep around it, as with a key.
fn did_in_environment() -> Result<Option<String>> {
    if chosen::name()?.is_some() {
        return Ok(None);
    }
    let did = environment::var("AIP_DID")?.map(|did| did.trim().to_owned());
    Ok(did.filter(|did| !did.is_empty()))
}

/// What to do without a passphrase.
const FORGOTTEN: &str =
    "if the passphrase is forgotten: `aip-attest recover --recovery FILE --set-aside` makes new keys";

/// Nobody makes more identities in one place.
const MAX_OLD_FILES: u32 = 10_000;
