//! Pins: what a user confirmed about a log once, and the largest tree that was seen of it.
//!
//! One file a log, `~/.aip/pins/<SHA-256 that names the log's key, hex>.json`:
//! ```text
//! {"version": 1, "url": "https://…", "vkey": "<origin>+<id>+<base64>", "policy": "<text>",
//!  "size": <tree size>, "root": "<base64>"}
//! ```
//! They belong to this user and judge checkpoints that are taken as current. `verify` reads them, to refuse
//! another root at a pinned size, and never writes one.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use attestation::receipt;
use serde::{Deserialize, Serialize};
use tlog::key::VerifierKey;
use tlog::policy::Policy;
use tlog::{Hash, TreeSize};

use super::{PolicyFile, Source, difference, trust};
use crate::durable::{self, Readers};
use crate::environment;
use crate::receipt_file::read_bounded;
use crate::report::{Failure, Result};

/// A pinned log.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
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
}

impl Pin {
    /// The log's name.
    pub fn origin(&self) -> &str {
        self.vkey.name().as_str()
    }
}

/// All pins of this user.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    folder: Option<PathBuf>,
    pins: Vec<Pin>,
}

impl Pins {
    /// Reads the pins of this user; none if there is no home.
    pub fn load() -> Result<Self> {
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
            let pin = read(&path).map_err(|why| {
                Failure::new(format!("cannot read the pin `{}`", path.display()))
                    .because(why)
                    .hint("remove the file, then `aip-attest policy pin URL` again")
            })?;
            pins.push(pin);
        }
        Ok(Self { folder: Some(folder.to_path_buf()), pins })
    }

    /// The pins, by file name.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter()
    }

    /// The pins for this origin. More than one only after a key was replaced by hand.
    pub fn of_origin(&self, origin: &str) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(move |pin| pin.origin() == origin)
    }

    /// The pin for this key.
    pub fn of_key(&self, vkey: &VerifierKey) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.vkey == *vkey)
    }

    /// The pins for this address, in the spelling of [`crate::client::normal_url`].
    pub fn of_url(&self, url: &str) -> impl Iterator<Item = &Pin> {
        self.pins.iter().filter(move |pin| pin.url == url)
    }

    /// The roots that were seen: a receipt with another root at one of these sizes shows a fork.
    pub fn roots(&self) -> Vec<receipt::Pin> {
        let pin = |pin: &Pin| receipt::Pin { log: pin.vkey.clone(), size: pin.size, root: pin.root };
        self.pins.iter().map(pin).collect()
    }

    /// The policy that is pinned for a log.
    pub fn policy_for(&self, origin: &str) -> Result<Option<PolicyFile>> {
        let mut pinned = self.of_origin(origin);
        match (pinned.next(), pinned.next()) {
            (None, _) => Ok(None),
            (Some(pin), None) => self.policy_of(pin).map(Some),
            (Some(_), Some(_)) => Err(Failure::new(format!("two keys are pinned for the log `{origin}`"))
                .hint("`aip-attest policy show` lists them; name the policy to use with --policy")),
        }
    }

    /// The policy of a pin, with the user's own settings.
    pub fn policy_of(&self, pin: &Pin) -> Result<PolicyFile> {
        let trust = self.folder.as_deref().map(trust::beside).transpose()?.unwrap_or_default();
        let (policy, text) = (pin.policy.clone(), pin.text.clone());
        Ok(PolicyFile { policy, text, trust, source: Source::Pinned(pin.origin().to_owned()) })
    }

    /// Refuses a policy of the working tree that has another key for a pinned log: a checkout is somebody
    /// else's word, the pin is the user's own.
    pub fn refuse_contradiction(&self, found: &PolicyFile) -> Result<()> {
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

    /// Why a policy of the working tree is worth less than a pinned one, if it is: worth a warning, since a
    /// checkout is somebody else's word.
    pub fn is_weaker(&self, found: &PolicyFile) -> Option<String> {
        let Source::WorkingTree(_) = &found.source else { return None };
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

    /// Keeps a pin, in the place of an older one for the same key.
    pub fn save(&self, pin: &Pin) -> Result<()> {
        let path = self.path_of(&pin.vkey)?;
        durable::write(&path, write(pin).as_bytes(), Readers::Owner)
    }

    /// Forgets the pin for a key.
    pub fn remove(&self, vkey: &VerifierKey) -> Result<()> {
        let path = self.path_of(vkey)?;
        fs::remove_file(&path)
            .map_err(|error| Failure::new(format!("cannot remove `{}`", path.display())).caused_by(error))
    }

    fn path_of(&self, vkey: &VerifierKey) -> Result<PathBuf> {
        let folder = self.folder.as_ref().ok_or_else(|| {
            Failure::new("there is no place for pins: HOME is not set").hint("name the policy with --policy")
        })?;
        Ok(folder.join(format!("{}.json", vkey.full_id())))
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    url: String,
    vkey: String,
    policy: String,
    size: u64,
    root: String,
}

fn read(path: &Path) -> Result<Pin, String> {
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| error.to_string())?;
    let wire: Wire = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if wire.version != 1 {
        return Err(format!("its version is {}, this program knows 1", wire.version));
    }
    let vkey: VerifierKey = wire.vkey.parse().map_err(|error| format!("`vkey`: {error}"))?;
    let policy: Policy = wire.policy.parse().map_err(|error| format!("`policy`: {error}"))?;
    if !policy.logs().iter().any(|log| log.vkey == vkey) {
        return Err("its policy does not name its key".to_owned());
    }
    let root = Hash::from_base64(&wire.root).ok_or("`root` is not 32 bytes in base64")?;
    Ok(Pin { url: wire.url, vkey, policy, text: wire.policy, size: TreeSize::new(wire.size), root })
}

fn write(pin: &Pin) -> String {
    let wire = Wire {
        version: 1,
        url: pin.url.clone(),
        vkey: pin.vkey.to_string(),
        policy: pin.text.clone(),
        size: pin.size.get(),
        root: pin.root.to_base64(),
    };
    let mut json = serde_json::to_string_pretty(&wire).expect("text and numbers in, JSON out");
    json.push('\n');
    json
}

/// A policy in a string, and a little more.
const MAX_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "log.example.com/pipelines+1d6673ac+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3";

    fn pin() -> Pin {
        let text = format!("log {LOG} https://log.example.com\nquorum none\n");
        Pin {
            url: "https://log.example.com".into(),
            vkey: LOG.parse().expect("a vkey"),
            policy: text.parse().expect("a policy"),
            text,
            size: TreeSize::new(4),
            root: Hash::of(b"root"),
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

    #[test]
    fn a_pin_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let good = write(&pin());
        for bad in [
            String::new(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replace("quorum none", "quorum some"),
            good.replace("+1d6673ac+", "+1d6673ad+"),
            good.replace("\"size\"", "\"sizes\""),
        ] {
            assert_ne!(bad, good);
            fs::write(dir.path().join("x.json"), &bad).expect("written");
            assert!(Pins::load_from(dir.path()).is_err(), "{bad}");
        }
    }
}
