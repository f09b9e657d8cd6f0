//! Pins: what a user confirmed about a log once, and the largest tree that was seen of it.
//!
//! One file a log, `~/.aip/pins/<SHA-256 that names the log's key, hex>.json`:
//! ```text
//! {"version": 2, "url": "https://…", "vkey": "<origin>+<id>+<base64>", "policy": "<text>",
//!  "size": <tree size>, "root": "<base64>", "checkpoint": "<signed note>", "seenAt": <ms>}
//! ```
//! Version 1 has neither `checkpoint` nor `seenAt`, and is read: it judges as well, but what contradicts it is
//! only this user's word.
//!
//! They belong to this user and judge checkpoints that are taken as current. `verify` reads them, to refuse
//! another root at a pinned size, and never writes one.

mod wire;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use attestation::entry::LogTime;
use attestation::receipt;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::{Hash, TreeSize};

use super::trust::{self, Trust, TrustFile};
use super::{PolicyFile, PolicySource, difference};
use crate::durable::{self, Readers};
use crate::environment;
use crate::report::{Failure, Result};

/// A pinned log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pin {
    /// Where it is served.
    pub url: String,
    /// Its key; the key's name is the log's origin.
    pub vkey: VerifierKey,
    /// The policy that judges it.
    pub policy: Policy,
    /// The policy's text, as the log published it and the user confirmed it.
    pub text: String,
    /// The largest tree that was seen.
    pub size: TreeSize,
    /// Its root.
    pub root: Hash,
    /// What the log signed; absent in a pin of version 1.
    pub seen: Option<Seen>,
}

/// A checkpoint that a log showed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// The note.
    pub note: Note,
    /// When it was seen, by this machine's clock.
    pub at: LogTime,
}

impl Pin {
    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.vkey.name().as_str()
    }

    /// Whether two pins judge alike: everything but when and with which cosignatures the tree was seen.
    fn says_the_same(&self, other: &Self) -> bool {
        let judged = |pin: &Self| (pin.size, pin.root, pin.seen.is_some());
        judged(self) == judged(other)
            && (&self.url, &self.vkey, &self.text) == (&other.url, &other.vkey, &other.text)
    }

    /// The keys of the log, the pinned one first. A log that signs with two algorithms has two.
    pub(crate) fn log_keys(&self) -> Vec<VerifierKey> {
        let others = self.policy.logs().iter().map(|log| &log.vkey);
        let others = others.filter(|key| key.name() == self.vkey.name() && **key != self.vkey);
        std::iter::once(&self.vkey).chain(others).cloned().collect()
    }
}

/// All pins of this user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins {
    folder: Option<PathBuf>,
    pins: Vec<Pin>,
    /// What counts instead of `~/.aip/trust.toml`.
    settings: Option<Trust>,
}

impl Pins {
    /// Reads the pins of this user; none if there is no home.
    pub(crate) fn load() -> Result<Self> {
        environment::home().map_or_else(|| Ok(Self::default()), |home| Self::load_from(&home.join("pins")))
    }

    fn load_from(folder: &Path) -> Result<Self> {
        let mut pins = Vec::new();
        let cannot = || Failure::new(format!("cannot read the pins in `{}`", folder.display()));
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries.collect::<std::io::Result<Vec<_>>>(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let mut paths: Vec<PathBuf> = entries
            .map_err(|error| cannot().caused_by(error))?
            .into_iter()
            .map(|entry| entry.path())
            .collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        for path in paths {
            // A pin that cannot be read is not the same as none: it may be the one that says no.
            pins.push(wire::read(&path).map_err(|why| cannot_read(&path, why))?);
        }
        Ok(Self { folder: Some(folder.to_path_buf()), pins, settings: None })
    }

    /// The pins, by file name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter()
    }

    /// The pins for this origin. More than one only after a key was replaced by hand.
    pub(crate) fn of_origin(&self, origin: &str) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(move |pin| pin.origin() == origin)
    }

    /// The pin for this key.
    pub(crate) fn of_key(&self, vkey: &VerifierKey) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.vkey == *vkey)
    }

    /// The pins for this address, in the spelling of [`crate::client::normal_url`].
    pub(crate) fn of_url(&self, url: &str) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(move |pin| pin.url == url)
    }

    /// The roots that were seen: a receipt with another root at one of these sizes shows a fork.
    pub(crate) fn roots(&self) -> Vec<receipt::Pin> {
        let by_key = |pin: &Pin, log| receipt::Pin { log, size: pin.size, root: pin.root };
        let roots = |pin: &Pin| pin.log_keys().into_iter().map(|log| by_key(pin, log)).collect::<Vec<_>>();
        self.pins.iter().flat_map(roots).collect()
    }

    /// The policy that is pinned for a log.
    pub(crate) fn policy_for(&self, origin: &str) -> Result<Option<PolicyFile>> {
        let mut pinned = self.of_origin(origin);
        match (pinned.next(), pinned.next()) {
            (None, _) => Ok(None),
            (Some(pin), None) => self.policy_of(pin).map(Some),
            (Some(_), Some(_)) => Err(Failure::new(format!("two keys are pinned for the log `{origin}`"))
                .hint("`aip-attest policy show` lists them; name the policy to use with --policy")),
        }
    }

    /// The same pins with these settings in the place of the user's own, which are not read: on a runner they may be
    /// another job's.
    #[must_use]
    pub(crate) fn with_settings(self, settings: Trust) -> Self {
        Self { settings: Some(settings), ..self }
    }

    /// The user's own settings, for policies that are in no folder: `~/.aip/trust.toml`.
    pub(crate) fn settings(&self) -> Result<Trust> {
        match &self.settings {
            Some(settings) => Ok(settings.clone()),
            None => self.own_settings()?.map_or_else(|| Ok(Trust::default()), |own| own.read(trust::OWN)),
        }
    }

    /// The user's own `trust.toml`.
    pub(super) fn own_settings(&self) -> Result<Option<TrustFile>> {
        self.folder.as_deref().map_or(Ok(None), TrustFile::beside)
    }

    /// The policy of a pin, with the user's own settings.
    pub(crate) fn policy_of(&self, pin: &Pin) -> Result<PolicyFile> {
        let trust = self.settings()?;
        let (policy, text) = (pin.policy.clone(), pin.text.clone());
        Ok(PolicyFile { policy, text, trust, source: PolicySource::Pinned(pin.origin().to_owned()) })
    }

    /// Refuses a policy of the working tree that has another key for a pinned log.
    pub(super) fn refuse_contradiction(&self, found: &PolicyFile) -> Result<()> {
        for pin in &self.pins {
            let mut same_origin = found.policy.logs().iter().filter(|log| log.vkey.name() == pin.vkey.name());
            if same_origin.any(|log| self.of_key(&log.vkey).is_none()) {
                return Err(Failure::new(format!("the policy {} contradicts a pin", found.source))
                    .because(format!(
                        "it has another key for the log `{}` than the pinned {}",
                        pin.origin(),
                        pin.vkey
                    ))
                    .hint(
                        "if the log changed its key, pin it again: `aip-attest policy pin URL --replace`",
                    ));
            }
        }
        Ok(())
    }

    /// Why a policy of the working tree asks for less than a pinned one, if it does.
    pub(super) fn is_weaker(&self, found: &PolicyFile) -> Option<String> {
        let PolicySource::WorkingTree(_) = &found.source else { return None };
        let is_same = |pin: &&Pin| found.policy.logs().iter().any(|log| log.vkey == pin.vkey);
        let weaker = |pin: &Pin| {
            let why = difference::weaker(&pin.policy, &found.policy)?;
            Some(format!(
                "the policy {} is weaker than the one pinned for `{}`: {why}",
                found.source,
                pin.origin()
            ))
        };
        self.pins.iter().filter(is_same).find_map(weaker)
    }

    /// Keeps a pin in the place of the one for the same key that these pins have, or of none. Refuses if that
    /// has changed since they were read: two processes at once must not move a pin back. Of two that saw the same,
    /// the first has said it.
    pub(crate) fn save(&self, pin: &Pin) -> Result<()> {
        let path = self.path_of(&pin.vkey)?;
        let _lock = self.lock()?;
        let now = match path.exists() {
            true => Some(wire::read(&path).map_err(|why| cannot_read(&path, why))?),
            false => None,
        };
        if now.as_ref() != self.of_key(&pin.vkey) {
            if now.as_ref().is_some_and(|now| now.says_the_same(pin)) {
                return Ok(());
            }
            return Err(Failure::new(format!(
                "the pin for `{}` was changed by another process",
                pin.origin()
            ))
            .hint("the same command again starts from there")
            .for_now());
        }
        durable::write(&path, wire::write(pin).as_bytes(), Readers::Owner)
    }

    /// Held while a pin is compared and written.
    fn lock(&self) -> Result<File> {
        let path = self.folder()?.join(".lock");
        durable::create_folder(self.folder()?, Readers::Owner)?;
        let lock = durable::lock_file(&path).and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| Failure::new(format!("cannot lock `{}`", path.display())).caused_by(error))
    }

    /// Forgets the pin for a key.
    pub(crate) fn remove(&self, vkey: &VerifierKey) -> Result<()> {
        let path = self.path_of(vkey)?;
        fs::remove_file(&path)
            .map_err(|error| Failure::new(format!("cannot remove `{}`", path.display())).caused_by(error))
    }

    fn path_of(&self, vkey: &VerifierKey) -> Result<PathBuf> {
        Ok(self.folder()?.join(format!("{}.json", vkey.full_id())))
    }

    fn folder(&self) -> Result<&Path> {
        self.folder.as_deref().ok_or_else(|| {
            Failure::new(format!("there is no place for pins: {}", environment::no_home()))
                .hint("name the policy with --policy")
        })
    }
}

fn cannot_read(path: &Path, why: String) -> Failure {
    Failure::new(format!("cannot read the pin `{}`", path.display()))
        .because(why)
        .hint("remove the file, then `aip-attest policy pin URL` again")
}

#[cfg(test)]
mod tests {
    use tlog::checkpoint::Checkpoint;
    use tlog::key::{KeyName, KeyType, SignerKey};

    use super::*;

    fn key() -> SignerKey {
        let name = KeyName::new("log.example.com/pipelines").expect("a name");
        SignerKey::from_seed(name, KeyType::Ed25519, &[0x11; 32])
    }

    pub(super) fn pin() -> Pin {
        let vkey = key().verifier().clone();
        let text = format!("log {vkey} https://log.example.com\nquorum none\n");
        let (size, root) = (TreeSize::new(4), Hash::of(b"root"));
        let note = Checkpoint::new(vkey.name().as_str(), size, root).sign(&key());
        let at = LogTime::from_millis(1_790_000_000_000).expect("a time");
        let policy = text.parse().expect("a policy");
        Pin {
            url: "https://log.example.com".into(),
            vkey,
            policy,
            text,
            size,
            root,
            seen: Some(Seen { note, at }),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("pins");
        Pins::load_from(&folder).expect("none").save(&pin()).expect("saved");
        let pins = Pins::load_from(&folder).expect("loaded");
        assert_eq!(pins.iter().collect::<Vec<_>>(), [&pin()]);
        assert_eq!(pins.roots()[0].root, pin().root);
        assert!(pins.policy_for("log.example.com/pipelines").expect("read").is_some());
        assert!(pins.policy_for("other").expect("read").is_none());
        pins.remove(&pin().vkey).expect("removed");
        assert_eq!(Pins::load_from(&folder).expect("loaded").iter().count(), 0);
    }

    /// Of two that start from one pin, the second to write does not undo what the first did.
    #[test]
    fn a_pin_that_another_process_changed_is_left() {
        let dir = tempfile::tempdir().expect("a folder");
        let load = || Pins::load_from(dir.path()).expect("pins");
        let (none, also_none) = (load(), load());
        none.save(&pin()).expect("saved");
        also_none.save(&pin()).expect("the other one said the same");
        let other = Pin { text: format!("{}# another policy\n", pin().text), ..pin() };
        assert!(also_none.save(&other).expect_err("there is one now").is_for_now());
        let (first, second) = (load(), load());
        let later = Pin { size: TreeSize::new(9), seen: None, ..pin() };
        first.save(&later).expect("saved");
        assert!(second.save(&Pin { size: TreeSize::new(5), seen: None, ..pin() }).is_err());
        assert_eq!(load().of_key(&pin().vkey), Some(&later));
    }

    /// A log that signs with two algorithms is one log: a receipt by either key meets the pin.
    #[test]
    fn a_pin_judges_every_key_of_its_log() {
        let (ed25519, name) = (key().verifier().clone(), key().verifier().name().clone());
        let ml_dsa = SignerKey::from_seed(name, KeyType::MlDsa44Cosignature, &[0x12; 32]).verifier().clone();
        let text = format!("log {ml_dsa}\nlog {ed25519}\nquorum none\n");
        let pin = Pin { policy: text.parse().expect("a policy"), text, ..pin() };
        assert_eq!(pin.log_keys(), [ed25519, ml_dsa]);
        let pins = Pins { folder: None, pins: vec![pin.clone()], settings: None };
        let keys: Vec<VerifierKey> = pins.roots().into_iter().map(|root| root.log).collect();
        assert_eq!(keys, pin.log_keys());
    }
}
