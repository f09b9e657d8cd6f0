//! States that are kept for `verify`: the identity events of a DID, as of the largest tree in which somebody here asked
//! for them.
//!
//! One file a log and DID, `~/.aip/states/<SHA-256 that names the log's key, hex>/<the DID's 32 hex digits>.json`:
//! evidence (`specs/evidence.md`), as `state export` writes it. `log sync --did` and `gate` keep them, `verify` reads them
//! and opens no socket for it; `sign` reads them where no log answers.
//!
//! A file is believed for what is in it and not for where it lies: each reader verifies it by its own policy. A state
//! gives way only to one of a larger tree that has the same events and perhaps more; the lock `states/.lock` is held
//! from reading the old one to writing the new one.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use attestation::Did;
use attestation::event::RawKey;
use attestation::evidence::{Evidence, MAX_BYTES, Proven};
use attestation::identity::{Identity, check_artifact_signer};
use attestation::receipt::SignerState;
use tlog::TreeSize;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use crate::durable::{self, Readers};
use crate::environment;
use crate::policy_file::pins::{Pin, Pins};
use crate::report::{Failure, Result};
use crate::word::evidence::{Claimed, refuse_fork};

/// The states of this user.
#[derive(Clone, Debug)]
pub(crate) struct States {
    folder: Option<PathBuf>,
}

/// A state that is kept, and verified.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Where it lies.
    pub file: PathBuf,
    /// What it says.
    pub state: SignerState,
}

impl States {
    /// Those in the user's own folder; none if there is no home.
    pub(crate) fn of_user() -> Self {
        Self { folder: environment::home().map(|home| home.join("states")) }
    }

    /// Whether there is a place for them.
    pub(crate) fn has_place(&self) -> bool {
        self.folder.is_some()
    }

    /// The state of `did` as of the largest tree that `log`, the key of a receipt's checkpoint, signed; `policy` judges it.
    /// A file that is there and cannot be believed is an error: it may be the one that says no.
    pub(crate) fn newest(
        &self,
        log: &VerifierKey,
        did: Did,
        policy: &Policy,
        pins: &Pins,
    ) -> Result<Option<Kept>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let mut newest: Option<Kept> = None;
        // A log with two keys has its states under one of them, and a receipt may show the signature by the other.
        for key in policy.logs().iter().map(|log| &log.vkey).filter(|key| key.name() == log.name()) {
            let file = path_in(folder, key, did);
            let Some(claimed) = read(&file).map_err(|failure| unbelievable(failure, did))? else { continue };
            let state = believed(&claimed, key, did, policy).map_err(|failure| unbelievable(failure, did))?;
            if let Some(pin) = pin_of(pins, key) {
                refuse_fork(pin, &state.checkpoint)?;
            }
            let is_larger =
                newest.as_ref().is_none_or(|kept| kept.state.checkpoint.size < state.checkpoint.size);
            if is_larger && claimed.is_signed_by(log) {
                // What both keys signed is one tree.
                newest = Some(Kept { file, state: SignerState { log: log.clone(), ..state } });
            }
        }
        Ok(newest)
    }

    /// Whether a state that is kept here shows, by the policy of a pin, that `key` is the one with which `did` signs
    /// artifacts. What cannot be believed shows nothing.
    pub(crate) fn show_signer(&self, did: Did, key: &RawKey, pins: &Pins) -> bool {
        pins.iter().any(|pin| {
            let of_key = |log: &VerifierKey| self.newest(log, did, &pin.policy, pins).ok().flatten();
            let signs = |kept: Kept| {
                let state = Identity::fold(kept.state.events.iter().map(|(index, event)| (*index, event)));
                state.is_some() && check_artifact_signer(state.as_ref(), did, key).is_ok()
            };
            pin.log_keys().iter().filter_map(of_key).any(signs)
        })
    }

    /// Keeps the state of `did` that `evidence` shows, which `judge` found to be `proven`. Answers the file and the size
    /// of the state in it, which is larger if another process was faster.
    pub(crate) fn keep(
        &self,
        evidence: &Evidence,
        proven: &Proven,
        did: Did,
        judge: &Policy,
        pins: &Pins,
    ) -> Result<(PathBuf, TreeSize)> {
        let Some(folder) = &self.folder else {
            return Err(Failure::new("there is no place for states: HOME is not set"));
        };
        let file = path_in(folder, proven.log(), did);
        let new = SignerState::of(proven, did).map_err(|error| {
            cannot_keep(&file).because(format!("it does not show {did}")).caused_by(error)
        })?;
        if let Some(pin) = pin_of(pins, proven.log()) {
            refuse_fork(pin, proven.checkpoint())?;
            // A policy that somebody else brings must not take the place of what the pinned quorum attests.
            if pin.policy != *judge {
                evidence.verify(&pin.policy).map_err(|error| {
                    cannot_keep(&file).because("the pinned policy asks for more").caused_by(error)
                })?;
            }
        }
        let json = evidence.to_json();
        if json.len() > MAX_BYTES {
            return Err(cannot_keep(&file).because(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let _lock = lock(folder)?;
        if let Some(size) = stays(&file, &new, judge)? {
            return Ok((file, size));
        }
        durable::write(&file, json.as_bytes(), Readers::Owner)?;
        Ok((file, new.checkpoint.size))
    }
}

/// The size of the state in `file`, if that must not give way to `new`, of the same log and DID.
fn stays(file: &Path, new: &SignerState, judge: &Policy) -> Result<Option<TreeSize>> {
    let claimed = match read(file) {
        Ok(None) => return Ok(None),
        Ok(Some(claimed)) => claimed,
        // What is no evidence says nothing that could be lost. Where no file can be, the write says so.
        Err(_) => return Ok(None),
    };
    let size = claimed.size();
    let old = match believed(&claimed, &new.log, new.did, judge) {
        Ok(old) => old,
        Err(failure) if size.is_some_and(|size| size > new.checkpoint.size) => {
            return Err(failure
                .because(format!(
                    "it claims a larger tree than {}, which the log has now",
                    new.checkpoint.size
                ))
                .hint(format!("if you know why, remove `{}`", file.display())));
        }
        Err(_) => return Ok(None),
    };
    let (was, is) = (&old.checkpoint, &new.checkpoint);
    let (earlier, later) = if was.size <= is.size { (&old, new) } else { (new, &old) };
    if (was.size == is.size && was.root != is.root) || !later.events.starts_with(&earlier.events) {
        return Err(Failure::refuted(format!(
            "the log `{}` contradicts what it said of {}",
            is.origin, new.did
        ))
        .because(format!(
            "as of size {} it has other events than in `{}`, as of size {}",
            is.size,
            file.display(),
            was.size
        ))
        .hint("keep that file: the log signed both, and one is false")
        .hint("do not rely on this log, and tell those who do"));
    }
    Ok((was.size >= is.size).then_some(was.size))
}

/// What a file says of a DID, if it is of this log and holds by this policy.
fn believed(claimed: &Claimed, log: &VerifierKey, did: Did, policy: &Policy) -> Result<SignerState> {
    let refused = || Failure::new(format!("{claimed} does not hold"));
    let proven = claimed.prove(policy).map_err(|error| refused().caused_by(error))?;
    if proven.log() != log {
        return Err(
            refused().because(format!("it is of the log {}, and lies in the place of {log}", proven.log()))
        );
    }
    SignerState::of(&proven, did)
        .map_err(|error| refused().because(format!("it does not show {did}")).caused_by(error))
}

/// The file at its place, whatever it says; `None` if there is none.
fn read(file: &Path) -> Result<Option<Claimed>> {
    match file.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => Claimed::read_kept(file).map(Some),
    }
}

/// The pin of the log with this key.
pub(crate) fn pin_of<'p>(pins: &'p Pins, log: &VerifierKey) -> Option<&'p Pin> {
    pins.iter().find(|pin| pin.log_keys().contains(log))
}

fn path_in(folder: &Path, log: &VerifierKey, did: Did) -> PathBuf {
    folder.join(log.full_id().to_string()).join(format!("{}.json", hex::encode(did.as_bytes())))
}

/// Held while a state is compared and written.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let cannot = |error| Failure::new(format!("cannot lock `{}`", path.display())).caused_by(error);
    durable::create_folder(folder, Readers::Owner)?;
    let file = durable::lock_file(&path).map_err(cannot)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
    }
    Err(cannot(io::Error::other("another process holds it")).for_now())
}

fn cannot_keep(file: &Path) -> Failure {
    Failure::new(format!("the state cannot be kept in `{}`", file.display()))
}

/// For whoever reads: nothing was found false of the receipt.
fn unbelievable(failure: Failure, did: Did) -> Failure {
    failure
        .hint(format!("`aip-attest log sync --did {did}` gets the state of today in its place"))
        .hint("or remove the file: without it, what came after the receipt is not known")
}

/// Longer than anybody writes a few kilobytes.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use attestation::entry::LogTime;
    use attestation::event::{Capabilities, Commitment, Event, IdentityEvent, PendingEvent};
    use attestation::evidence::{Element, Lists, assert_lists};
    use attestation::lists::{ListKey, Listed, ListedKind};
    use tlog::checkpoint::Checkpoint;
    use tlog::key::{Ed25519PrivateKey, KeyName, KeyType, SignerKey};
    use tlog::merkle::{leaf_hash, node_hash};
    use tlog::{Hash, LeafIndex};

    use super::*;

    const ORIGIN: &str = "log.example.com/pipelines";

    fn log(seed: u8) -> SignerKey {
        SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[seed; 32])
    }

    fn policy(seed: u8) -> Policy {
        format!("log {}\nquorum none\n", log(seed).verifier()).parse().expect("a policy")
    }

    fn key() -> Ed25519PrivateKey {
        Ed25519PrivateKey::from_seed(&[7; 32])
    }

    fn did() -> Did {
        Did::of(&key().public_key())
    }

    fn evidence(
        log: &SignerKey,
        size: u64,
        root: Hash,
        list: Vec<Listed>,
        elements: Vec<Element>,
    ) -> Evidence {
        let checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(size), root);
        let lists: Lists = BTreeMap::from([(ListKey::Id(did()), list)]);
        let assertion = assert_lists(log, &checkpoint, &lists);
        Evidence { checkpoint: checkpoint.sign(log), assertion, lists, elements }
    }

    /// The DID is not registered in a tree of this size.
    fn none(size: u64) -> Evidence {
        evidence(&log(1), size, Hash::of(&size.to_be_bytes()), Vec::new(), Vec::new())
    }

    /// It was registered by the first entry.
    fn registered() -> Evidence {
        let raw = *key().public_key().as_bytes();
        let inception = IdentityEvent::Inception {
            key: raw,
            next: Commitment::to(&[1; 32]),
            recovery: Commitment::to(&[2; 32]),
            capabilities: Capabilities { messages: false, receipts: true, vouches: false },
            public_name: None,
        };
        let event = Event::about_itself(did(), ORIGIN, inception).expect("an event");
        let event = PendingEvent::sign(event, &[&key()]).expect("signed");
        let leaf = event.to_leaf(LogTime::from_millis(1_790_000_000_000).expect("a time"));
        let other = leaf_hash(b"other");
        let root = node_hash(&leaf_hash(&leaf), &other);
        let listed = Listed {
            index: LeafIndex::new(0),
            peer: did(),
            kind: ListedKind::Inception,
            scope: None,
            level: None,
            depth: None,
            expiry_hours: 0,
        };
        let element = Element { index: LeafIndex::new(0), leaf, hashes: vec![other] };
        evidence(&log(1), 2, root, vec![listed], vec![element])
    }

    fn keep(states: &States, evidence: &Evidence) -> Result<u64> {
        let proven = evidence.verify(&policy(1)).expect("it holds");
        states.keep(evidence, &proven, did(), &policy(1), &Pins::default()).map(|(_, size)| size.get())
    }

    fn size(states: &States) -> Option<u64> {
        let kept = states.newest(log(1).verifier(), did(), &policy(1), &Pins::default()).expect("it holds");
        kept.map(|kept| kept.state.checkpoint.size.get())
    }

    fn in_folder() -> (tempfile::TempDir, States) {
        let dir = tempfile::tempdir().expect("a folder");
        let states = States { folder: Some(dir.path().join("states")) };
        (dir, states)
    }

    #[test]
    fn a_state_gives_way_only_to_a_larger_tree() {
        let (_dir, states) = in_folder();
        assert_eq!(size(&states), None);
        for (offered, stays) in [(5, 5), (3, 5), (5, 5), (9, 9), (1, 9)] {
            assert_eq!(keep(&states, &none(offered)).expect("kept"), stays);
            assert_eq!(size(&states), Some(stays));
        }
        let nowhere = States { folder: None };
        assert!(keep(&nowhere, &none(1)).is_err() && size(&nowhere).is_none());
    }

    /// A log that forgets an event of a DID, or has two trees of one size, is found out, and the first word stays.
    #[test]
    fn a_log_that_takes_back_what_it_said_of_a_did_replaces_nothing() {
        let (_dir, states) = in_folder();
        assert_eq!(keep(&states, &registered()).expect("kept"), 2);
        let failure = keep(&states, &none(9)).expect_err("the inception is gone");
        assert_eq!(failure.exit(), crate::report::Exit::False, "{failure}");
        assert_eq!(size(&states), Some(2));
        let (_dir, states) = in_folder();
        assert_eq!(keep(&states, &none(5)).expect("kept"), 5);
        let other_root = evidence(&log(1), 5, Hash::of(b"other"), Vec::new(), Vec::new());
        keep(&states, &other_root).expect_err("two roots");
        // What is shown late is compared too.
        keep(&states, &registered()).expect_err("it was not registered in a larger tree");
        assert_eq!(size(&states), Some(5));
    }

    #[test]
    fn what_lies_there_and_says_nothing_is_written_anew_and_a_larger_claim_is_left() {
        let (_dir, states) = in_folder();
        keep(&states, &none(5)).expect("kept");
        let folder = states.folder.clone().expect("one");
        let file = path_in(&folder, log(1).verifier(), did());
        for damage in [&b""[..], b"{}", &[b'x'; 100]] {
            std::fs::write(&file, damage).expect("written");
            let newest = states.newest(log(1).verifier(), did(), &policy(1), &Pins::default());
            assert_eq!(newest.expect_err("no state").exit(), crate::report::Exit::Unable);
            assert_eq!(keep(&states, &none(3)).expect("kept"), 3);
        }
        // By another key: whoever wrote it, it is not believed, and what it claims may be why it lies there.
        let stranger = |size| evidence(&log(2), size, Hash::of(b"x"), Vec::new(), Vec::new()).to_json();
        std::fs::write(&file, stranger(2)).expect("written");
        assert_eq!(keep(&states, &none(3)).expect("kept"), 3);
        std::fs::write(&file, stranger(99)).expect("written");
        assert!(keep(&states, &none(4)).expect_err("left").to_string().contains("remove"));
        assert_eq!(std::fs::read_to_string(&file).expect("there"), stranger(99));
    }

    /// Two processes at once: whoever comes last, the largest tree stays.
    #[test]
    fn of_many_at_once_the_largest_stays() {
        let (_dir, states) = in_folder();
        std::thread::scope(|scope| {
            for start in 0..8 {
                let states = &states;
                scope.spawn(move || {
                    // Each in an order of its own.
                    (0..8).map(|step| 1 + (start + step * 3) % 8).for_each(|size| {
                        assert!(keep(states, &none(size)).expect("kept") >= size);
                    });
                });
            }
        });
        assert_eq!(size(&states), Some(8));
    }
}
