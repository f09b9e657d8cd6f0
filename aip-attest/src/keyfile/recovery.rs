//! The recovery key: one file, written once, to be moved off the machine.
//!
//! ```text
//! {"format":"aip-recovery-v1","did":"did:aip:…","private_key":"<base64 of the seed>","logs":[…]}
//! ```
//! `logs` ([`KeptLogs`]) may be absent: it is added once the DID is registered, if the file still lies where it was written.
//! Whoever has it can take the DID from its owner. Nothing here reads it but the commands it is handed to.

use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::event::Commitment;
use serde::Deserialize;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use super::credentials::{self, Secret};
use super::logs::{self, KeptLogs};
use super::{leftovers, names, readers};
use crate::bounded_file::read_bounded;
use crate::durable::{self, Readers};
use crate::environment;
use crate::report::{Console, Failure, Result};

/// A recovery key and whose it is.
pub(crate) struct Recovery {
    /// The DID.
    pub did: Did,
    /// The key.
    pub key: Ed25519PrivateKey,
    /// The logs that have the DID, the home first.
    pub logs: KeptLogs,
}

/// Where the recovery key of a DID is written: where the user says, else into the home folder, in sight, under
/// a name that is free.
///
/// Never by accident into a git checkout: what lies there is committed one day.
pub(crate) fn destination(did: Did, flag: Option<&Path>, console: &mut Console) -> Result<PathBuf> {
    if let Some(path) = flag {
        if let Some(root) = checkout_around(path) {
            console.warn(format!(
                "`{}` is in the git checkout `{}`: never commit it",
                path.display(),
                root.display()
            ));
        }
        return Ok(path.to_path_buf());
    }
    let place = "name a place for the recovery key with --recovery-out FILE, best on a medium of its own";
    let no_home =
        || Failure::new(format!("there is no place for the recovery key: {}", environment::no_home()));
    let home = environment::home_of_user().ok_or_else(|| no_home().hint(place))?;
    let numbered = |number: u32| home.join(names::recovery(did, number));
    match checkout_around(&numbered(1)) {
        // Each recovery makes a new key, and the one before may lie there still.
        None => Ok((1..=MAX_NUMBER).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(1))),
        Some(root) => {
            Err(Failure::new(format!("the home folder is in the git checkout `{}`", root.display()))
                .because("a recovery key that is committed is anybody's")
                .hint(place))
        }
    }
}

/// The root of the git checkout that a file would lie in.
fn checkout_around(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let folder = absolute.parent()?;
    // The folder may not be there yet; those above it that are decide, behind their symbolic links.
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let real = there.canonicalize().ok()?;
    real.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_path_buf)
}

/// Removes what a process that was killed left of a recovery key of this DID: in the home folder, and beside `out`.
pub(crate) fn remove_leftovers(did: Did, out: Option<&Path>, console: &mut Console) {
    let places =
        environment::home_of_user().into_iter().chain(out.map(|out| durable::folder_of(out).to_path_buf()));
    places.for_each(|place| leftovers::remove_recoveries(&place, Some(did), console));
}

/// Writes a recovery key where nothing is, 0600.
pub(crate) fn write(path: &Path, did: Did, key: &Ed25519PrivateKey, logs: &KeptLogs) -> Result<()> {
    if durable::write_new(path, to_json(did, key, logs).as_bytes(), Readers::Owner)? {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` exists", path.display()))
        .because("a recovery key is never written over another file")
        .hint("name another place with --recovery-out FILE"))
}

/// Adds logs to the recovery key that was written to `path`; false if it is not there any more. A file that is another
/// one by now is left alone. The key stays as it is, there whole at any moment.
pub(crate) fn keep(
    path: &Path,
    did: Did,
    commitment: Commitment,
    logs: &KeptLogs,
    console: &mut Console,
) -> Result<bool> {
    let Ok(bytes) = read_bounded(path, MAX_BYTES).map(Zeroizing::new) else { return Ok(false) };
    let of_did = |found: &Recovery| {
        found.did == did && Commitment::to(found.key.public_key().as_bytes()) == commitment
    };
    let Some(found) = parse(&bytes).filter(of_did) else { return Ok(false) };
    let logs = logs.clone().with(&found.logs);
    if logs != found.logs {
        leftovers::remove_recoveries(durable::folder_of(path), Some(did), console);
        durable::write(path, to_json(did, &found.key, &logs).as_bytes(), Readers::Owner)?;
    }
    Ok(true)
}

fn to_json(did: Did, key: &Ed25519PrivateKey, logs: &KeptLogs) -> Zeroizing<String> {
    let key = credentials::encode_private_key(key);
    let logs = logs.to_json().map_or(String::new(), |logs| format!(",\n  \"logs\": {logs}"));
    let head = format!("{{\n  \"format\": \"{FORMAT}\",\n  \"did\": \"{did}\",\n  \"private_key\": \"");
    // Its full length at once: a buffer that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(head.len() + key.len() + logs.len() + 4));
    for part in [head.as_str(), key.as_str(), "\"", logs.as_str(), "\n}\n"] {
        text.push_str(part);
    }
    text
}

/// Says in plain words what to do with the file.
pub(crate) fn tell(path: &Path, console: &mut Console) {
    console.warn(format!(
        "the recovery key is in `{}`: move it off this machine now, to where no build can read it",
        path.display()
    ));
    readers::warn_of_place(path, console);
    console.hint(
        "it takes the DID back after a theft, and whoever has it can take the DID from you: keep it offline, \
         keep a copy; it is not written again",
    );
}

/// Reads a recovery key; warns of others who can read it.
pub(crate) fn read(path: &Path, console: &mut Console) -> Result<Recovery> {
    readers::warn_of_other_readers(path, path.metadata(), console);
    let cannot = || Failure::new(format!("cannot read the recovery key `{}`", path.display()));
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| cannot().caused_by(error))?;
    parse(&Zeroizing::new(bytes)).ok_or_else(|| {
        cannot().because("it is no recovery key").hint("`aip-attest init` writes one, `recover` the next one")
    })
}

fn parse(bytes: &[u8]) -> Option<Recovery> {
    let wire: Wire = serde_json::from_slice(bytes).ok()?;
    if wire.format != FORMAT {
        return None;
    }
    let key = credentials::decode_private_key(&wire.private_key.0).ok()?;
    Some(Recovery { did: wire.did.parse().ok()?, key, logs: KeptLogs::from_wire(wire.logs)? })
}

#[derive(Deserialize)]
struct Wire {
    format: String,
    did: String,
    private_key: Secret,
    #[serde(default)]
    logs: Vec<logs::WireLog>,
}

const FORMAT: &str = "aip-recovery-v1";
const MAX_BYTES: u64 = logs::MAX_BYTES + 64 * 1024;
const MAX_NUMBER: u32 = 100;
