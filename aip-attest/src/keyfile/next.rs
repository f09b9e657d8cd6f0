//! What comes after the current key: a file of its own beside the credentials, `next-<digits of the DID>.json`.
//!
//! ```text
//! {"format":"aip-next-v1","did":"did:aip:…",
//!  "nextKey":"<hex commitment>","recoveryKey":"<hex commitment>","capabilities":["messages","receipts"],
//!  "publicName":"…","registered":"<origin>","sentTo":"<origin>",           each may be absent
//!  "recoveryFile":"<path>","logs":[…],                                      as may these ([`logs`])
//!  "next":KEY,
//!  "underWay":{"event":"<base64 of the pending leaf>","key":KEY,"next":KEY,
//!              "recoveryFile":"<path>"}}                                       of a recovery
//!
//! KEY  {"private_key":"<base64 of the seed>"}; {"salt":"…","ciphertext":"…"} beside encrypted credentials
//! ```
//! The machine that signs does not need the file; whoever has it and the credentials can rotate.
//!
//! `underWay` is written before an event that changes keys is sent, and holds every key that it makes: a process
//! that dies at any point leaves what finishes the same change. It goes once the credentials have the new key.
//!
//! Only who holds the [`Lock`] of the folder writes it.

use std::fs;
use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::event::{Body, Capabilities, Commitment, IdentityEvent};
use serde::Deserialize;
use serde_json::{Map, Value};
use tlog::Hash;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use super::change::{UnderWay, WireUnderWay};
use super::lock::Lock;
use super::logs::{self, KeptLog, KeptLogs};
use super::stored_key::{StoredKey, WireKey};
use super::{names, recovery};
use crate::bounded_file::read_found;
use crate::durable::{self, Readers};
use crate::report::{Console, Failure, Result};

/// What a machine holds of a DID's future.
pub(crate) struct Next {
    /// The DID.
    pub did: Did,
    /// What the next key is committed to by.
    pub next: Commitment,
    /// What the recovery key is committed to by.
    pub recovery: Commitment,
    /// What the key may do: for an inception that is still to come.
    pub capabilities: Capabilities,
    /// The name to make public: for an inception that is still to come.
    pub public_name: Option<String>,
    /// The log that has the inception.
    pub registered: Option<String>,
    /// The log that an inception was sent to last: it may have it.
    pub sent_to: Option<String>,
    /// Which logs those two are.
    pub logs: KeptLogs,
    /// Where the recovery key was written.
    pub recovery_file: Option<String>,
    /// The next key, perhaps locked.
    pub key: StoredKey,
    /// A change of keys that was begun.
    pub under_way: Option<UnderWay>,
}

/// The file of a DID beside a credentials file.
pub(crate) fn path(credentials: &Path, did: Did) -> PathBuf {
    credentials.with_file_name(names::next(did))
}

fn copy_name(path: &Path, number: u32) -> PathBuf {
    path.with_file_name(format!("{}{number}{COPY_SUFFIX}", copy_prefix(path)))
}

fn copy_prefix(path: &Path) -> String {
    format!("{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// The numbers of the copies that are there, in their order. Whoever removed one left a gap.
fn copy_numbers(path: &Path) -> Vec<u32> {
    let prefix = copy_prefix(path);
    let number = |name: &str| {
        let number: u32 = name.strip_prefix(&prefix)?.strip_suffix(COPY_SUFFIX)?.parse().ok()?;
        Some(number).filter(|_| path.with_file_name(name) == copy_name(path, number))
    };
    let entries = fs::read_dir(durable::folder_of(path)).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str().and_then(number)).collect();
    numbers.sort_unstable();
    numbers
}

const COPY_SUFFIX: &str = ".old";

impl Next {
    /// As [`peek`](Self::peek), and warns of others who can read it.
    pub(crate) fn read(credentials: &Path, did: Did, console: &mut Console) -> Result<Option<Self>> {
        let path = path(credentials, did);
        super::warn_of_other_readers(&path, path.metadata(), console);
        Self::peek(credentials, did)
    }

    /// Reads the file of a DID beside a credentials file; `None` if there is none.
    pub(crate) fn peek(credentials: &Path, did: Did) -> Result<Option<Self>> {
        let path = path(credentials, did);
        let cannot = || Failure::new(format!("cannot read the next key's file `{}`", path.display()));
        let bytes = match read_found(&path, MAX_BYTES) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot().caused_by(error)),
        };
        let next = Self::parse(&bytes).ok_or_else(|| cannot().because("it has not the form of one"))?;
        if next.did == did { Ok(Some(next)) } else { Err(cannot().because(format!("it is of {}", next.did))) }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        // No message of the library goes on: it could repeat a key.
        Self::from_wire(serde_json::from_slice(bytes).ok()?)
    }

    fn from_wire(wire: Wire) -> Option<Self> {
        if wire.format != FORMAT {
            return None;
        }
        let under_way = match wire.under_way {
            None => None,
            Some(under_way) => Some(UnderWay::from_wire(under_way)?),
        };
        Some(Self {
            did: wire.did.parse().ok()?,
            next: commitment(&wire.next_key)?,
            recovery: commitment(&wire.recovery_key)?,
            capabilities: Capabilities::from_names(wire.capabilities.iter().map(String::as_str))?,
            public_name: wire.public_name,
            registered: wire.registered,
            sent_to: wire.sent_to,
            logs: KeptLogs::from_wire(wire.logs)?,
            recovery_file: wire.recovery_file,
            key: StoredKey::from_wire(wire.next)?,
            under_way,
        })
    }

    /// Writes the file, durably, 0600.
    pub(crate) fn write(&self, lock: &Lock) -> Result<()> {
        durable::write(&path(lock.credentials(), self.did), self.to_json().as_bytes(), Readers::Owner)
    }

    fn to_json(&self) -> Zeroizing<String> {
        let mut members = Map::new();
        members.insert("format".to_owned(), FORMAT.into());
        members.insert("did".to_owned(), self.did.to_string().into());
        members.insert("nextKey".to_owned(), self.next.get().to_string().into());
        members.insert("recoveryKey".to_owned(), self.recovery.get().to_string().into());
        members.insert("capabilities".to_owned(), self.capabilities.names().collect::<Vec<_>>().into());
        let optional = [
            ("publicName", &self.public_name),
            ("registered", &self.registered),
            ("sentTo", &self.sent_to),
            ("recoveryFile", &self.recovery_file),
        ];
        for (name, value) in optional {
            members.extend(value.as_ref().map(|value| (name.to_owned(), value.as_str().into())));
        }
        members.extend(self.logs.to_json().map(|logs| ("logs".to_owned(), logs)));
        let head = Value::Object(members).to_string();
        let under_way = self.under_way.as_ref().map(UnderWay::to_json);
        let key = self.key.to_json();
        // Its full length at once: a buffer that grows leaves copies of the keys behind.
        let length = head.len() + key.len() + under_way.as_ref().map_or(0, |text| text.len()) + 64;
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(head.strip_suffix('}').expect("an object ends so"));
        for part in [",\"next\":", &key] {
            text.push_str(part);
        }
        if let Some(under_way) = &under_way {
            for part in [",\"underWay\":", under_way] {
                text.push_str(part);
            }
        }
        text.push_str("}\n");
        text
    }

    /// Keeps a copy under another name beside it: what holds keys is never thrown away, and is never missing in between.
    pub(crate) fn keep_copy(&self, lock: &Lock, console: &mut Console) -> Result<()> {
        let path = path(lock.credentials(), self.did);
        let text = self.to_json();
        // Behind the newest, so that their numbers are their order.
        let newest = copy_numbers(&path).last().copied().unwrap_or(0);
        let numbers = (newest..=u32::MAX).skip(1).chain(1..=newest).take(super::MAX_OLD_FILES as usize);
        for number in numbers {
            let kept = copy_name(&path, number);
            if durable::write_new(&kept, text.as_bytes(), Readers::Owner)? {
                console.note(format!("the keys before these are kept in `{}`", kept.display()));
                return Ok(());
            }
        }
        Err(Failure::new(format!("there is no name left for a copy of `{}`", path.display())))
    }

    /// The copies that were kept, the oldest first. One that cannot be read is passed over.
    pub(crate) fn kept(lock: &Lock, did: Did) -> impl Iterator<Item = Self> {
        let path = path(lock.credentials(), did);
        let copies: Vec<PathBuf> =
            copy_numbers(&path).into_iter().map(|number| copy_name(&path, number)).collect();
        copies.into_iter().filter_map(|path| Self::parse(&Zeroizing::new(read_found(&path, MAX_BYTES).ok()?)))
    }

    /// Whether a key in it is locked with a passphrase.
    pub(crate) fn is_sealed(&self) -> bool {
        let of_change = self.under_way.iter().flat_map(|under_way| [&under_way.key, &under_way.next]);
        of_change.chain([&self.key]).any(|key| matches!(key, StoredKey::Sealed { .. }))
    }

    /// The same, with the next key locked, if there is a passphrase.
    pub(crate) fn sealed(self, passphrase: Option<&str>) -> Result<Self> {
        match (&self.key, passphrase) {
            (StoredKey::Plain(key), Some(_)) => Ok(Self { key: StoredKey::new(key, passphrase)?, ..self }),
            _ => Ok(self),
        }
    }

    /// Begins a change of keys: on disk before the event is sent.
    pub(crate) fn begin(self, lock: &Lock, change: UnderWay) -> Result<Self> {
        let begun = Self { under_way: Some(change), ..self };
        begun.write(lock)?;
        Ok(begun)
    }

    /// What the file holds once the change that is under way is logged and the credentials have its key.
    pub(crate) fn ended(self, origin: &str) -> Self {
        let Some(UnderWay { event, next: key, recovery_file, .. }) = self.under_way else { return self };
        let (next, recovery, capabilities) = match event.event().body() {
            Body::Identity(IdentityEvent::Rotation { next, capabilities, .. }) => {
                (*next, self.recovery, *capabilities)
            }
            Body::Identity(IdentityEvent::Recovery { next, recovery, capabilities, .. }) => {
                (*next, *recovery, *capabilities)
            }
            _ => (self.next, self.recovery, self.capabilities),
        };
        let registered = Some(origin.to_owned());
        let recovery_file = recovery_file.or(self.recovery_file);
        Self { next, recovery, capabilities, registered, recovery_file, key, under_way: None, ..self }
    }

    /// The log that has the DID, or may have it, if it is another one than `origin`. One that was its home before keys
    /// changed in a second log is kept still.
    pub(crate) fn elsewhere(&self, origin: &str) -> Option<&str> {
        let noted = [&self.registered, &self.sent_to].into_iter().flatten().map(String::as_str);
        noted.chain(self.logs.iter().map(KeptLog::origin)).find(|there| *there != origin)
    }

    /// The log that has the DID, or may have it, as it is kept here.
    pub(crate) fn home(&self) -> Option<&KeptLog> {
        [&self.registered, &self.sent_to].into_iter().flatten().find_map(|origin| self.logs.of(origin))
    }

    /// Adds the logs to the recovery key's file, where that still lies where it was written. The home is the first.
    pub(crate) fn tell_recovery(&self, console: &mut Console) {
        let (Some(path), Some(home)) = (&self.recovery_file, self.home()) else { return };
        let (path, logs) = (Path::new(path), self.logs.clone().headed_by(home.origin()));
        match recovery::keep(path, self.did, self.recovery, &logs, console) {
            Ok(true) => {}
            Ok(false) => console.note(format!(
                "the recovery key is not in `{}` any more, so that its file does not say which log this is: where there is \
                 no pin, `recover` takes it from --log URL",
                path.display()
            )),
            Err(failure) => console.warn(format!(
                "the recovery key's file does not say which log this is: {}",
                failure.one_line()
            )),
        }
    }

    /// The inception of the DID that these keys are for.
    pub(crate) fn inception(&self, genesis: &Ed25519PrivateKey) -> IdentityEvent {
        IdentityEvent::Inception {
            key: *genesis.public_key().as_bytes(),
            next: self.next,
            recovery: self.recovery,
            capabilities: self.capabilities,
            public_name: self.public_name.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    format: String,
    did: String,
    next_key: String,
    recovery_key: String,
    capabilities: Vec<String>,
    public_name: Option<String>,
    registered: Option<String>,
    sent_to: Option<String>,
    recovery_file: Option<String>,
    #[serde(default)]
    logs: Vec<logs::WireLog>,
    next: WireKey,
    under_way: Option<WireUnderWay>,
}

fn commitment(hex: &str) -> Option<Commitment> {
    let bytes: [u8; Hash::BYTES] = hex::decode(hex).ok()?.try_into().ok()?;
    Some(Commitment::new(Hash::new(bytes)))
}

const FORMAT: &str = "aip-next-v1";

/// A few hundred bytes, an event, and the logs.
const MAX_BYTES: u64 = logs::MAX_BYTES + 256 * 1024;

#[cfg(test)]
mod tests {
    use attestation::event::PendingEvent;
    use attestation::event::{Event, Link};

    use super::*;

    fn key(seed: u8) -> Ed25519PrivateKey {
        Ed25519PrivateKey::from_seed(&[seed; 32])
    }

    fn to(seed: u8) -> Commitment {
        Commitment::to(key(seed).public_key().as_bytes())
    }

    #[test]
    fn the_file_reads_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let credentials = dir.path().join("credentials.json");
        let mut console = Console::new(Box::new(std::io::sink()), Box::new(std::io::sink()));
        let lock = Lock::take(&credentials, "test", std::time::Instant::now(), &mut console).expect("free");
        let did = Did::of(&key(1).public_key());
        assert!(Next::peek(&credentials, did).expect("nothing there").is_none());
        let capabilities = Capabilities::PIPELINE;
        let link = Link { sequence: 1, previous: attestation::entry::ClaimHash::new(Hash::of(b"x")) };
        let rotation =
            IdentityEvent::Rotation { link, key: *key(2).public_key().as_bytes(), next: to(4), capabilities };
        let event = Event::about_itself(did, "log.example.com", rotation).expect("an event");
        let event = PendingEvent::sign(event, &[&key(1), &key(2)]).expect("an event");
        for passphrase in [None, Some("correct horse")] {
            let under_way = UnderWay {
                event: event.clone(),
                key: StoredKey::new(&key(2), passphrase).expect("stored"),
                next: StoredKey::new(&key(4), passphrase).expect("stored"),
                recovery_file: Some("a \"place\"".to_owned()),
            };
            let next = Next {
                did,
                next: to(2),
                recovery: to(3),
                capabilities,
                public_name: Some("a \"name\"".to_owned()),
                registered: Some("log.example.com".to_owned()),
                sent_to: Some("log.example.org".to_owned()),
                logs: KeptLogs::default(),
                recovery_file: Some("where \"it\" was".to_owned()),
                key: StoredKey::new(&key(2), passphrase).expect("stored"),
                under_way: Some(under_way),
            };
            next.write(&lock).expect("written");
            let read = Next::peek(&credentials, did).expect("read").expect("there");
            assert_eq!((read.next, read.recovery), (next.next, next.recovery));
            assert_eq!((&read.public_name, &read.registered), (&next.public_name, &next.registered));
            assert_eq!((&read.sent_to, &read.recovery_file), (&next.sent_to, &next.recovery_file));
            let open = |stored: &StoredKey| *stored.open(passphrase).expect("opened").public_key().as_bytes();
            assert_eq!(open(&read.key), *key(2).public_key().as_bytes());
            let under_way = read.under_way.expect("under way");
            assert_eq!(under_way.event, event);
            assert_eq!(under_way.recovery_file.as_deref(), Some("a \"place\""));
            assert_eq!(open(&under_way.next), *key(4).public_key().as_bytes());
            if passphrase.is_some() {
                assert!(read.key.open(None).is_err() && read.key.open(Some("wrong")).is_err());
            }
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = std::fs::metadata(path(&credentials, did)).expect("there").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
    }

    #[test]
    fn what_is_no_such_file_repeats_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let credentials = dir.path().join("credentials.json");
        let did = Did::of(&key(1).public_key());
        for bad in
            ["", "{}", "{\"format\":\"aip-next-v1\",\"privateKey\":\"s3cret\"}", "\"s3cret\"", "s3cret"]
        {
            std::fs::write(path(&credentials, did), bad).expect("written");
            let failure = Next::peek(&credentials, did).err().expect("refused");
            assert!(!failure.to_string().contains("s3cret"), "{failure}");
        }
    }
}
