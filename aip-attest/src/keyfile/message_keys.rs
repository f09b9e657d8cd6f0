//! The private keys that open messages: the file `message-keys.json` beside the credentials, and `AIP_MESSAGE_KEYS`.
//!
//! ```text
//! {"format":"aip-message-keys-v1","did":"did:aip:…","keys":[KEY,…]}
//! {"format":"aip-message-keys-v1","did":"did:aip:…","salt":"…","ciphertext":"…"}    a box of the array, beside encrypted credentials
//!
//! KEY  {"private_key":"<base64>","origin":"<log>","notAfter":<ms>[,"saidAt":<ms>][,"replacedAt":<ms>]}
//! ```
//! `saidAt` and `replacedAt` are times of the log: when it took the event that has the key, and the one that has it no more. A key
//! is written before its event is sent, so that no message is sealed to a key that nobody holds. It is destroyed 8 days after
//! it was replaced or ended, by the log's word: a clock here that is wrong destroys nothing.
//!
//! `AIP_MESSAGE_KEYS` holds one to eight keys in base64, separated by commas. It goes with an identity from the environment or
//! a file, and with none that is chosen by name. Only who holds the [`Lock`] of the folder writes the file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::entry::LogTime;
use attestation::event::{DatedKey, MAX_MESSAGE_KEYS};
use attestation::message::{MessageKey, MessagePrivateKey, REPLACED_MILLIS};
use serde::Deserialize;
use serde_json::json;
use tlog::encoding;
use zeroize::Zeroizing;

use super::credentials::Secret;
use super::lock::Lock;
use super::{FORGOTTEN, OwnIdentity, chosen, names, passphrase_box, passphrase_of, random};
use crate::bounded_file::read_found;
use crate::durable::{self, Readers};
use crate::environment;
use crate::report::{Console, Failure, Result};

/// The private keys of a DID, the oldest first.
pub(crate) struct Held {
    did: Did,
    keys: Vec<HeldKey>,
}

/// A private key, and what came of its public half.
#[derive(Clone)]
pub(crate) struct HeldKey {
    /// The key.
    pub key: MessagePrivateKey,
    /// The log in which it is said, or is to be.
    pub origin: String,
    /// Its end.
    pub not_after: LogTime,
    /// When the log took the event that has it; `None`: it may have none.
    pub said_at: Option<LogTime>,
    /// When the log took an event that has it no more.
    pub replaced_at: Option<LogTime>,
}

impl HeldKey {
    /// When nothing can come any more that it opens.
    pub(crate) fn ends_at(&self) -> LogTime {
        let last = self.replaced_at.map_or(self.not_after, |replaced| replaced.min(self.not_after));
        LogTime::from_millis(last.as_millis().saturating_add(REPLACED_MILLIS)).unwrap_or(LogTime::MAX)
    }
}

impl Held {
    /// Those in the file beside a credentials file; none if there is no file. One of another DID is none of ours.
    pub(crate) fn read(identity: &OwnIdentity, console: &mut Console) -> Result<Self> {
        let none = Self { did: identity.did, keys: Vec::new() };
        let Some(credentials) = identity.file() else { return Ok(none) };
        let path = path(credentials);
        super::warn_of_other_readers(&path, path.metadata(), console);
        let Some(file) = read(&path)? else { return Ok(none) };
        if file.did != identity.did {
            return Ok(none);
        }
        let keys = match file.keys {
            Kept::Plain(keys) => keys,
            Kept::Sealed { salt, ciphertext } => {
                let asked;
                let passphrase = match identity.passphrase() {
                    Some(passphrase) => passphrase,
                    None => {
                        asked = passphrase_of(&path)?;
                        asked.as_str()
                    }
                };
                open(&path, &salt, &ciphertext, passphrase)?
            }
        };
        Ok(Self { keys, ..none })
    }

    /// The keys, the oldest first.
    pub(crate) fn keys(&self) -> &[HeldKey] {
        &self.keys
    }

    /// The key whose public half this is.
    pub(crate) fn get(&self, key: &MessageKey) -> Option<&HeldKey> {
        self.keys.iter().find(|held| held.key.public_key() == key)
    }

    /// Adds a key that was just made.
    pub(crate) fn add(&mut self, key: HeldKey) {
        self.keys.push(key);
    }

    /// Notes which keys the log `origin` has said at `at`, and which it has no more.
    pub(crate) fn follow(&mut self, origin: &str, said: &[DatedKey], at: LogTime) {
        for held in self.keys.iter_mut().filter(|held| held.origin == origin) {
            match said.iter().find(|said| said.key == *held.key.public_key()) {
                Some(said) => {
                    held.said_at.get_or_insert(at);
                    (held.not_after, held.replaced_at) = (said.not_after, None);
                }
                None if held.said_at.is_some() => {
                    held.replaced_at.get_or_insert(at);
                }
                None => {}
            }
        }
    }

    /// Takes out what opens nothing any more by `now`, a time of the log; answers how many.
    pub(crate) fn destroy(&mut self, now: LogTime) -> usize {
        let before = self.keys.len();
        self.keys.retain(|held| now < held.ends_at());
        before - self.keys.len()
    }

    /// Writes the file, durably, 0600; encrypted if the credentials are. One of another DID is kept under another name.
    pub(crate) fn write(&self, lock: &Lock, passphrase: Option<&str>, console: &mut Console) -> Result<()> {
        let path = path(lock.credentials());
        let text = self.to_json(passphrase)?;
        if read(&path)?.is_none_or(|there| there.did == self.did) {
            return durable::write(&path, text.as_bytes(), Readers::Owner);
        }
        if let Some(kept) = durable::replace(&path, text.as_bytes(), Readers::Owner, super::old_names(&path))?
        {
            console.note(format!("the message keys of another DID are kept in `{}`", kept.display()));
        }
        Ok(())
    }

    fn to_json(&self, passphrase: Option<&str>) -> Result<Zeroizing<String>> {
        let keys = to_json(&self.keys);
        let did = self.did;
        let Some(passphrase) = passphrase else {
            // Its full length at once: a buffer that grows leaves copies of the keys behind.
            let mut text = Zeroizing::new(String::with_capacity(keys.len() + 256));
            let head = format!("{{\"format\":\"{FORMAT}\",\"did\":\"{did}\",\"keys\":");
            [&head, keys.as_str(), "}\n"].iter().for_each(|part| text.push_str(part));
            return Ok(text);
        };
        let salt = *random()?;
        let ciphertext = passphrase_box::seal(keys.as_bytes(), passphrase, &salt, &*random()?);
        let file = json!({"format": FORMAT, "did": did.to_string(), "salt": encoding::base64(&salt),
                          "ciphertext": encoding::base64(&ciphertext)});
        Ok(Zeroizing::new(format!("{file}\n")))
    }
}

/// The private keys that open what comes to an identity: those in the file, those in the environment, and the identity key in
/// its X25519 form, which is the last.
pub(crate) fn opening(identity: &OwnIdentity, console: &mut Console) -> Result<Vec<MessagePrivateKey>> {
    let mut keys: Vec<MessagePrivateKey> =
        Held::read(identity, console)?.keys.into_iter().rev().map(|held| held.key).collect();
    for key in in_environment()? {
        if !keys.iter().any(|known| known.public_key() == key.public_key()) {
            keys.push(key);
        }
    }
    keys.push(MessagePrivateKey::of_identity(&identity.key));
    Ok(keys)
}

/// The message keys in `AIP_MESSAGE_KEYS`.
fn in_environment() -> Result<Vec<MessagePrivateKey>> {
    if chosen::name()?.is_some() {
        return Ok(Vec::new());
    }
    let Some(text) = environment::var(VARIABLE)?.map(Zeroizing::new) else { return Ok(Vec::new()) };
    decode(&text).ok_or_else(|| {
        Failure::new(format!(
            "{VARIABLE} is not 1 to {MAX_MESSAGE_KEYS} private keys in base64, separated by commas"
        ))
        .hint("`aip-attest message-key export` prints it")
    })
}

/// Reads what [`encode`] writes.
fn decode(text: &str) -> Option<Vec<MessagePrivateKey>> {
    let key = |text: &str| {
        let bytes = Zeroizing::new(encoding::decode_base64_array::<32>(text.trim())?);
        Some(MessagePrivateKey::from_bytes(&bytes))
    };
    let keys: Vec<_> = text.split(',').map(key).collect::<Option<_>>()?;
    (keys.len() <= MAX_MESSAGE_KEYS).then_some(keys)
}

/// Private keys as `AIP_MESSAGE_KEYS` has them.
pub(crate) fn encode<'k>(keys: impl IntoIterator<Item = &'k MessagePrivateKey>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_MESSAGE_KEYS * 45));
    for key in keys {
        let key = Zeroizing::new(encoding::base64(&*key.to_bytes()));
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&key);
    }
    text
}

/// The file beside a credentials file.
pub(crate) fn path(credentials: &Path) -> PathBuf {
    credentials.with_file_name(names::MESSAGE_KEYS)
}

const VARIABLE: &str = "AIP_MESSAGE_KEYS";
const FORMAT: &str = "aip-message-keys-v1";

/// A file as it was found.
struct File {
    did: Did,
    keys: Kept,
}

enum Kept {
    Plain(Vec<HeldKey>),
    Sealed { salt: [u8; passphrase_box::SALT_BYTES], ciphertext: Vec<u8> },
}

fn read(path: &Path) -> Result<Option<File>> {
    let bytes = match read_found(path, MAX_BYTES) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_read(path).caused_by(error)),
    };
    // No message of the library goes on: it could repeat a key.
    let file = serde_json::from_slice(&bytes).ok().and_then(from_wire);
    file.map(Some).ok_or_else(|| cannot_read(path).because("it has not the form of one"))
}

fn open(
    path: &Path,
    salt: &[u8; passphrase_box::SALT_BYTES],
    sealed: &[u8],
    passphrase: &str,
) -> Result<Vec<HeldKey>> {
    let malformed = || cannot_read(path).because("what is in its box are no message keys");
    let (nonce, sealed) = sealed.split_first_chunk().ok_or_else(malformed)?;
    let opened = passphrase_box::open(salt, nonce, sealed, passphrase);
    let opened = opened.map_err(|error| cannot_read(path).caused_by(error).hint(FORGOTTEN))?;
    let keys: Option<Vec<WireKey>> = serde_json::from_slice(&opened).ok();
    keys.and_then(keys_from_wire).ok_or_else(malformed)
}

fn cannot_read(path: &Path) -> Failure {
    Failure::new(format!("cannot read the message keys in `{}`", path.display())).hint(
        "put a copy of the file back; or move it away, and `aip-attest message-key rotate` makes a new key: what was sealed to \
         those in the file opens no more",
    )
}

#[derive(Deserialize)]
struct Wire {
    format: String,
    did: String,
    keys: Option<Vec<WireKey>>,
    salt: Option<String>,
    ciphertext: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    private_key: Secret,
    origin: String,
    #[serde(rename = "notAfter")]
    not_after: u64,
    #[serde(rename = "saidAt")]
    said_at: Option<u64>,
    #[serde(rename = "replacedAt")]
    replaced_at: Option<u64>,
}

fn from_wire(wire: Wire) -> Option<File> {
    if wire.format != FORMAT {
        return None;
    }
    let keys = match (wire.keys, wire.salt, wire.ciphertext) {
        (Some(keys), None, None) => Kept::Plain(keys_from_wire(keys)?),
        (None, Some(salt), Some(ciphertext)) => Kept::Sealed {
            salt: encoding::decode_base64_array(&salt)?,
            ciphertext: encoding::decode_base64(&ciphertext)?,
        },
        _ => return None,
    };
    Some(File { did: wire.did.parse().ok()?, keys })
}

fn keys_from_wire(keys: Vec<WireKey>) -> Option<Vec<HeldKey>> {
    let time =
        |millis: Option<u64>| millis.map_or(Some(None), |millis| LogTime::from_millis(millis).map(Some));
    let key = |wire: WireKey| {
        let bytes = Zeroizing::new(encoding::decode_base64_array::<32>(&wire.private_key.0)?);
        Some(HeldKey {
            key: MessagePrivateKey::from_bytes(&bytes),
            origin: wire.origin,
            not_after: LogTime::from_millis(wire.not_after)?,
            said_at: time(wire.said_at)?,
            replaced_at: time(wire.replaced_at)?,
        })
    };
    keys.into_iter().map(key).collect()
}

fn to_json(keys: &[HeldKey]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 640 + 16));
    text.push('[');
    for (at, held) in keys.iter().enumerate() {
        let private = Zeroizing::new(encoding::base64(&*held.key.to_bytes()));
        text.push_str(if at == 0 { "" } else { "," });
        for part in ["{\"private_key\":\"", &private, "\",\"origin\":"] {
            text.push_str(part);
        }
        text.push_str(&json!(held.origin).to_string());
        let times =
            [("notAfter", Some(held.not_after)), ("saidAt", held.said_at), ("replacedAt", held.replaced_at)];
        for (name, time) in times {
            if let Some(time) = time {
                write!(text, ",\"{name}\":{}", time.as_millis()).expect("a string takes all");
            }
        }
        text.push('}');
    }
    text.push(']');
    text
}

/// A key has about 500 bytes at most, and each rotation leaves one for a week.
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn time(millis: u64) -> LogTime {
        LogTime::from_millis(millis).expect("a time")
    }

    fn held(seed: u8, origin: &str) -> HeldKey {
        let key = MessagePrivateKey::from_bytes(&[seed; 32]);
        HeldKey { key, origin: origin.into(), not_after: time(1_000_000), said_at: None, replaced_at: None }
    }

    fn ids(held: &Held) -> Vec<MessageKey> {
        held.keys().iter().map(|held| *held.key.public_key()).collect()
    }

    fn all(did: Did) -> Held {
        let said = HeldKey { said_at: Some(time(5)), ..held(1, "log.example.com/a") };
        let replaced = HeldKey { replaced_at: Some(time(7)), ..said.clone() };
        Held { did, keys: vec![replaced, held(2, "log.example.com/\"b\""), said] }
    }

    #[test]
    fn a_file_is_read_as_it_was_written_in_the_clear_and_encrypted() {
        let did = Did::from_bytes([7; 16]);
        let all = all(did);
        let plain = all.to_json(None).expect("text");
        let File { did: read, keys: Kept::Plain(keys) } =
            serde_json::from_slice(plain.as_bytes()).ok().and_then(from_wire).expect("a file")
        else {
            panic!("in the clear")
        };
        assert_eq!((read, *to_json(&keys) == *to_json(&all.keys)), (did, true));
        let sealed = all.to_json(Some("secret")).expect("text");
        assert!(!sealed.contains("private_key"));
        let File { keys: Kept::Sealed { salt, ciphertext }, .. } =
            serde_json::from_slice(sealed.as_bytes()).ok().and_then(from_wire).expect("a file")
        else {
            panic!("encrypted")
        };
        let path = Path::new("x");
        let keys = open(path, &salt, &ciphertext, "secret").expect("opened");
        assert_eq!(*to_json(&keys), *to_json(&all.keys));
        assert!(open(path, &salt, &ciphertext, "secreT").is_err());
    }

    /// Said, replaced, and destroyed 8 days behind: each by the word of its own log.
    #[test]
    fn a_key_outlives_its_replacement_by_eight_days() {
        let mut keys =
            Held { did: Did::from_bytes([7; 16]), keys: vec![held(1, "a"), held(2, "a"), held(3, "b")] };
        let all = ids(&keys);
        let said: Vec<DatedKey> =
            all.iter().map(|key| DatedKey { key: *key, not_after: time(900_000) }).collect();
        keys.follow("a", &said[..1], time(10));
        let times = |keys: &Held| -> Vec<_> {
            keys.keys().iter().map(|held| (held.said_at, held.replaced_at)).collect()
        };
        // The second was made, and the log may not have it yet: it is not replaced.
        assert_eq!(times(&keys), [(Some(time(10)), None), (None, None), (None, None)]);
        keys.follow("a", &said[1..2], time(20));
        assert_eq!(times(&keys)[..2], [(Some(time(10)), Some(time(20))), (Some(time(20)), None)]);
        assert_eq!(keys.destroy(time(20 + REPLACED_MILLIS - 1)), 0);
        assert_eq!((keys.destroy(time(20 + REPLACED_MILLIS)), ids(&keys)), (1, all[1..].to_vec()));
        // Those that were never replaced go 8 days behind their end.
        assert_eq!(keys.destroy(time(900_000 + REPLACED_MILLIS - 1)), 0);
        assert_eq!(keys.destroy(time(900_000 + REPLACED_MILLIS)), 1);
        assert_eq!(keys.destroy(time(1_000_000 + REPLACED_MILLIS)), 1);
    }

    #[test]
    fn the_variable_has_one_to_eight_keys() {
        let keys: Vec<MessagePrivateKey> =
            (1..=9).map(|seed| MessagePrivateKey::from_bytes(&[seed; 32])).collect();
        let ids = |keys: &[MessagePrivateKey]| -> Vec<MessageKey> {
            keys.iter().map(|key| *key.public_key()).collect()
        };
        for count in 1..=8 {
            let text = encode(&keys[..count]);
            assert_eq!(ids(&decode(&text).expect("keys")), ids(&keys[..count]));
            assert_eq!(ids(&decode(&text.replace(',', " ,\n")).expect("keys")), ids(&keys[..count]));
        }
        let one = encode(&keys[..1]);
        for bad in ["", ",", &format!("{},", *one), &one[1..], &encode(&keys), "AAAA"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }
}
