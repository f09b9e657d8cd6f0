//! A log's checkpoint that is taken as current, judged by the pin of the log, which it may only extend.
//!
//! Never a smaller tree, never another root of one size; a larger one only with a consistency proof. The proof is
//! made here from the log's tiles (c2sp.org/tlog-tiles), so that every such log can be followed, and what the
//! tiles say need not be believed: hashes either lead from the root that was seen to the one that is signed, or
//! do not. Where they lead from another root to the signed one, they are the proof of a fork.
//!
//! What contradicts a pin is kept as a finding (`specs/finding.md`).

use std::cell::RefCell;

use attestation::finding::{Finding, MAX_VKEYS, Proof, Shrink};
use tlog::checkpoint::{Checkpoint, is_origin};
use tlog::fork::Fork;
use tlog::key::{KeyType, VerifierKey};
use tlog::merkle::consistency;
use tlog::note::Note;
use tlog::policy::{Cosigned, Policy, PolicyError};
use tlog::tile::TileHashReader;

use crate::client::Client;
use crate::clock;
use crate::contact::Inquiry;
use crate::patience::Asking;
use crate::policy_file::findings;
use crate::policy_file::pins::{Pin, Seen};
use crate::report::{Failure, Result};

/// What a log shows as its newest checkpoint. Read, and not believed.
pub(crate) struct Shown {
    /// The note.
    pub seen: Seen,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// Asks a log for its checkpoint.
pub(crate) fn fetch(asking: &mut Asking<'_>) -> Result<Shown> {
    let bytes = asking.ask(Client::checkpoint)?;
    let none = || Failure::new(format!("`{}` serves no checkpoint", asking.client.url()));
    let note = Note::parse(&bytes).map_err(|error| none().caused_by(error))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| none().caused_by(error))?;
    Ok(Shown { seen: Seen { note, at: clock::now_millis() }, checkpoint })
}

/// Takes a checkpoint, which log and witnesses signed, as current: it must extend the pinned one of the log with
/// this key, and the pin moves to it. A log that is not pinned is followed by nobody.
pub(crate) fn follow(shown: &Shown, log: &VerifierKey, inquiry: &mut Inquiry<'_>) -> Result<()> {
    let Some(pin) = inquiry.pins.of_key(log) else { return Ok(()) };
    require_extension(pin, shown, &mut inquiry.asking)?;
    match inquiry.pins.save(&moved(pin, shown)) {
        // Another process follows it too: it took as good a checkpoint.
        Err(failure) if failure.is_for_now() => Ok(()),
        saved => saved,
    }
}

/// The pin at a checkpoint that extends it.
pub(crate) fn moved(pin: &Pin, shown: &Shown) -> Pin {
    Pin {
        size: shown.checkpoint.size,
        root: shown.checkpoint.root,
        seen: Some(shown.seen.clone()),
        ..pin.clone()
    }
}

/// Refuses a checkpoint, which a key of the log signed, that does not extend the pinned one.
pub(crate) fn require_extension(pin: &Pin, shown: &Shown, asking: &mut Asking<'_>) -> Result<()> {
    let client = asking.client;
    let (old, new) = (pin.size, shown.checkpoint.size);
    if new < old {
        return Err(contradiction(
            pin,
            shown,
            client,
            format!("its tree has size {new}, and had {old} before"),
        ));
    }
    let proof = if old == new {
        Vec::new()
    } else {
        let asking = RefCell::new(asking);
        let reader = TileHashReader::new(new, |tile| asking.borrow_mut().ask(|client| client.tile(tile)));
        consistency::prove(&reader, old, new)?
    };
    consistency::verify(old, new, &proof, &pin.root, &shown.checkpoint.root).map_err(|error| {
        let why = format!("size {old} is not the beginning of size {new}: {error}");
        contradiction(pin, shown, client, why)
    })
}

/// Why the log is not to be believed, and where the finding is.
fn contradiction(pin: &Pin, shown: &Shown, client: &Client, why: String) -> Failure {
    let failure =
        Failure::refuted(format!("the log `{}` contradicts what was seen of it", pin.origin())).because(&why);
    let Some(seen) = &pin.seen else {
        return failure.hint(
            "the pin was made offline, or by an earlier release, and has no signed checkpoint: there is no proof to keep",
        );
    };
    let Some(proof) = proof(pin, seen, shown, client) else {
        return failure.hint(
            "what the log served proves neither that it extends what was seen nor that it does not: try again",
        );
    };
    match finding(pin, &why, proof).and_then(|finding| findings::keep(&finding)) {
        Ok(path) => failure
            .hint(format!(
                "the finding is in `{}`: `aip-attest inspect --finding FILE` confirms it",
                path.display()
            ))
            .hint("do not rely on this log, and tell those who do"),
        Err(error) => failure.because(error.one_line()).hint("the finding could not be kept"),
    }
}

/// Two signed checkpoints of which one is false, else the smaller one that was shown after the larger.
fn proof(pin: &Pin, seen: &Seen, shown: &Shown, client: &Client) -> Option<Proof> {
    let larger = pin.size.max(shown.checkpoint.size);
    // The log is asked once for each: it may have no interest in being found out.
    let reader = TileHashReader::new(larger, |tile| client.tile(tile));
    match Fork::find(seen.note.clone(), shown.seen.note.clone(), &reader) {
        Ok(fork) => Some(Proof::Fork(fork)),
        Err(_) if shown.checkpoint.size < pin.size => Some(Proof::Shrink(Shrink {
            larger: seen.note.clone(),
            larger_seen_at: seen.at,
            smaller: shown.seen.note.clone(),
            smaller_seen_at: shown.seen.at,
        })),
        Err(_) => None,
    }
}

/// The finding, which confirms itself before anybody is told.
fn finding(pin: &Pin, why: &str, proof: Proof) -> Result<Finding> {
    if !is_origin(pin.origin()) {
        return Err(Failure::new("the log's name is too long for a finding"));
    }
    let mut keys = pin.log_keys();
    keys.retain(|key| key.key().key_type() != KeyType::Ed25519Cosignature);
    keys.truncate(MAX_VKEYS);
    let finding = Finding::new(pin.origin(), keys, clock::now_millis(), why, proof);
    match finding.confirm(Some(&pin.policy)) {
        Ok(_) => Ok(finding),
        Err(error) => Err(Failure::new("the finding does not hold").caused_by(error)),
    }
}

/// Refuses a note that is not by a log of this policy.
pub(crate) fn require_signed_by_log(
    policy: &Policy,
    whose: &str,
    shown: &Shown,
    client: &Client,
) -> Result<()> {
    policy.log_checkpoint(&shown.seen.note).map(|_| ()).map_err(|error| {
        Failure::refuted(format!("the checkpoint of `{}` is not by a log of {whose}", client.url()))
            .caused_by(error)
    })
}

/// The witnesses that make the quorum of this policy. Too few prove nothing against the log, and more may come:
/// exit 2. A bad line of one is false: exit 1.
pub(crate) fn require_quorum(policy: &Policy, whose: &str, shown: &Shown) -> Result<Vec<Cosigned>> {
    policy.quorum(&shown.seen.note).map_err(|error| {
        let origin = &shown.checkpoint.origin;
        let message = format!("the checkpoint of `{origin}` does not satisfy {whose}");
        match error {
            PolicyError::Quorum { .. } => Failure::new(message).for_now(),
            _ => Failure::refuted(message),
        }
        .caused_by(error)
    })
}
