//! Findings: what a monitor, a witness or a client saw a log do, with a proof that anyone confirms offline
//! (`specs/finding.md`).
//!
//! ```text
//! {"mediaType": "application/vnd.aip.finding.v1+json",
//!  "class": "fork" | "shrink" | "bad-tile" | "bad-entry" | "false-assertion" | "stale" | "forgotten",
//!  "origin": "example.com/log",
//!  "vkeys": ["<vkey>", …], "foundAt": <ms>, "detail": "<for people>", "evidence": {…}}   the members of its class
//! ```
//! [`Finding::confirm`] tells what a finding proves, and what remains the finder's word. A finding cannot prove whose keys
//! it names: the confirmer knows the log's keys, or takes the finder's word for them.
//!
//! In scope: reading, writing, confirming. Out of scope: finding, and telling people.

use tlog::checkpoint::{Checkpoint, is_origin};
use tlog::fork::Fork;
use tlog::key::{KeyType, VerifierKey};
use tlog::note::Note;
use tlog::tile::{Resource, Tile};
use tlog::{Hash, LeafIndex};

use crate::entry::LogTime;
use crate::leaf::Rule;
use crate::lists::{ListKey, Listed};

mod confirm;
mod wire;

pub use confirm::{ConfirmError, Confirmed, Keys};
pub use wire::FindingError;

/// The media type in a finding's first member.
pub const MEDIA_TYPE: &str = "application/vnd.aip.finding.v1+json";

/// The longest finding: a full entry bundle (16 MiB) in base64, two notes, and what stands around them.
pub const MAX_FINDING_BYTES: usize = 32 << 20;

/// The longest `detail`.
pub const MAX_DETAIL_BYTES: usize = 1_000;

/// The most keys that a log has in a finding.
pub const MAX_VKEYS: usize = 16;

/// A finding that keeps the rules of its format. Nothing in it has been confirmed: [`Finding::confirm`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    origin: String,
    vkeys: Vec<VerifierKey>,
    found_at: LogTime,
    detail: String,
    proof: Proof,
}

/// The proof of a finding, by its class. In the file it is the member `evidence`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proof {
    /// `fork`: two signed checkpoints that cannot both be true.
    Fork(Fork),
    /// `shrink`: a smaller checkpoint after a larger.
    Shrink(Shrink),
    /// `bad-tile`: served hashes or entries that are not of the signed tree.
    BadTile(BadTile),
    /// `bad-entry`: a leaf of the signed tree that breaks a rule.
    BadEntry(BadEntry),
    /// `false-assertion`: a list that the log asserted, and an entry that contradicts it.
    FalseAssertion(FalseAssertion),
    /// `stale`: a checkpoint that is too old, or behind what a witness saw.
    Stale(Stale),
    /// `forgotten`: a witness that shows less of the log than it cosigned. It is no fault of the log.
    Forgotten(Forgotten),
}

/// The log showed a smaller tree after a larger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shrink {
    /// The note of the larger tree.
    pub larger: Note,
    /// When the finder saw it.
    pub larger_seen_at: LogTime,
    /// The note of the smaller tree.
    pub smaller: Note,
    /// When the finder saw it, later.
    pub smaller_seen_at: LogTime,
}

/// Served bytes that are not of the tree that the log signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadTile {
    /// The note of the tree.
    pub checkpoint: Note,
    /// What was served.
    pub served: Served,
}

/// What was served instead of a part of the tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Served {
    /// One tile or entry bundle.
    One {
        /// The tile.
        tile: Tile,
        /// Its hashes, or the entries under it.
        resource: Resource,
        /// The bytes.
        bytes: Vec<u8>,
        /// The root of the subtree that the tile stands for.
        root: Hash,
        /// The subtree consistency proof from that root to the checkpoint's.
        proof: Vec<Hash>,
    },
    /// All tiles that are partial at the checkpoint's size, lowest first. Together they should give its root and do not, so
    /// at least one is wrong. Nothing signed tells which one.
    Edge(Vec<(Tile, Vec<u8>)>),
}

/// A leaf that breaks a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadEntry {
    /// The note of a tree with the leaf.
    pub checkpoint: Note,
    /// The leaf.
    pub leaf: ProvenLeaf,
    /// The rule.
    pub rule: Rule,
    /// For `logged-at-order`: a leaf before it with a later time. For `known`: one that is the same claim or event.
    pub earlier: Option<ProvenLeaf>,
    /// For rules of state: the signer's identity events before it that keep the rules, in log order. For rules about
    /// earlier leaves also those of the DID that the event is about.
    pub identity: Vec<ProvenLeaf>,
    /// For rules about earlier leaves: the earlier leaves that the event refers to, in log order.
    pub references: Vec<ProvenLeaf>,
}

/// A leaf with the proof of its place, unchecked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProvenLeaf {
    /// Its place.
    pub index: LeafIndex,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The inclusion proof to the tree of the finding's checkpoint, or assertion.
    pub proof: Vec<Hash>,
}

/// The log said that these are all the entries of a list, and an entry of the same tree says otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FalseAssertion {
    /// What the log signed of the list, and of the tree (`specs/evidence.md`).
    pub assertion: Note,
    /// The list.
    pub list: ListKey,
    /// Its entries, as they were asserted.
    pub entries: Vec<Listed>,
    /// The entry of the log that is missing there, or stands there as what it is not.
    pub leaf: ProvenLeaf,
}

/// How far two honest clocks differ at most, in milliseconds.
pub const MAX_CLOCK_DIFFERENCE: u64 = 5 * 60 * 1_000;

/// A checkpoint that the log served when there was a newer one, or should have been.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stale {
    /// What the log served at the finding's `foundAt`.
    pub checkpoint: Note,
    /// The age that is too old, in milliseconds: of the newest cosignature that is not ahead of `foundAt` by more than
    /// [`MAX_CLOCK_DIFFERENCE`], or of what `ahead` shows.
    pub stale_after: u64,
    /// A larger checkpoint that the log had signed for somebody else.
    pub ahead: Option<Note>,
}

/// A witness showed less of a log than it had cosigned: it would cosign a fork of what lies between.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forgotten {
    /// The witness's key.
    pub witness: VerifierKey,
    /// The note of a tree that it cosigned.
    pub larger: Note,
    /// The smaller one that it shows as the last that it cosigned; `None`: it says that it has cosigned nothing.
    pub smaller: Option<Note>,
}

impl Finding {
    /// The finding of `proof` against the log `origin` with these keys.
    ///
    /// `detail` is one line for people, cut at [`MAX_DETAIL_BYTES`]; control characters become spaces.
    ///
    /// # Panics
    /// If the origin names no log, or there is no key of it: the finder follows a log by both.
    pub fn new(origin: &str, vkeys: Vec<VerifierKey>, found_at: LogTime, detail: &str, proof: Proof) -> Self {
        let known =
            !vkeys.is_empty() && vkeys.len() <= MAX_VKEYS && vkeys.iter().all(|key| is_of(key, origin));
        assert!(is_origin(origin) && known, "a log is followed by its origin and keys");
        let mut detail: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        Self { origin: origin.to_owned(), vkeys, found_at, detail, proof }
    }

    /// The log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log's keys, by the finder's word.
    pub fn vkeys(&self) -> &[VerifierKey] {
        &self.vkeys
    }

    /// When it was found, by the finder's clock.
    pub fn found_at(&self) -> LogTime {
        self.found_at
    }

    /// What was found, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The proof: the member `evidence`.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The class, as it is written.
    pub fn class(&self) -> &'static str {
        self.proof.class()
    }

    /// The same for two findings of one thing, so that nobody reports it twice. It does not depend on the time of the finding
    /// or on cosignatures, which come and go. Forks from one older checkpoint have one id, however far the other side has
    /// grown.
    pub fn id(&self) -> Hash {
        let mut parts: Vec<Vec<u8>> = vec![self.class().into(), self.origin.clone().into()];
        match &self.proof {
            Proof::Fork(fork) => parts.push(fork.older.text().into()),
            Proof::Shrink(shrink) => {
                parts.extend([shrink.larger.text().into(), shrink.smaller.text().into()]);
            }
            Proof::BadTile(bad) => match &bad.served {
                Served::One { tile, resource, bytes, root, .. } => {
                    parts.extend([path(*tile, *resource).into(), bytes.clone(), root.as_bytes().into()]);
                }
                Served::Edge(tiles) => {
                    parts.push(bad.checkpoint.text().into());
                    parts.extend(tiles.iter().map(|(_, bytes)| bytes.clone()));
                }
            },
            Proof::BadEntry(bad) => {
                let index = bad.leaf.index.to_string().into_bytes();
                parts.extend([index, bad.leaf.bytes.clone(), bad.rule.name().into()]);
            }
            Proof::FalseAssertion(said) => {
                let index = said.leaf.index.to_string().into_bytes();
                parts.extend([said.list.to_string().into(), index]);
            }
            Proof::Stale(stale) => {
                parts.push(stale.checkpoint.text().into());
                parts.extend(stale.ahead.iter().map(|ahead| ahead.text().into()));
            }
            // Without the larger note, which grows meanwhile.
            Proof::Forgotten(forgotten) => {
                parts.push(forgotten.witness.to_string().into());
                parts.extend(forgotten.smaller.iter().map(|smaller| smaller.text().into()));
            }
        }
        // Each part by its hash, so that none can run into the next.
        let hashes: Vec<Hash> = parts.iter().map(|part| Hash::of(part)).collect();
        Hash::of_parts(&hashes.iter().map(|hash| hash.as_bytes().as_slice()).collect::<Vec<_>>())
    }

    /// The name of the file that a finding is kept in: `<class>-<origin>-<finding>.json`, the latter two the
    /// first 16 hex digits of the origin's SHA-256 and of [`Finding::id`].
    pub fn file_name(&self) -> String {
        let digits = |hash: Hash| hash.to_string()[..16].to_owned();
        format!("{}-{}-{}.json", self.class(), digits(Hash::of(self.origin.as_bytes())), digits(self.id()))
    }
}

impl Proof {
    /// The class, as it is written.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Fork(_) => "fork",
            Self::Shrink(_) => "shrink",
            Self::BadTile(_) => "bad-tile",
            Self::BadEntry(_) => "bad-entry",
            Self::FalseAssertion(_) => "false-assertion",
            Self::Stale(_) => "stale",
            Self::Forgotten(_) => "forgotten",
        }
    }
}

/// The path of a tile or of the bundle under it.
fn path(tile: Tile, resource: Resource) -> String {
    match resource {
        Resource::Hashes => tile.path(),
        Resource::Entries => tile.entries_path(),
    }
}

/// Whether `key` can be a key of the log `origin`: called like it, and of a type that logs have.
fn is_of(key: &VerifierKey, origin: &str) -> bool {
    key.name().as_str() == origin && key.key().key_type() != KeyType::Ed25519Cosignature
}

/// The checkpoint of a note, which must name the log `origin`. Signatures are not checked here.
fn checkpoint_of(note: &Note, origin: &str) -> Result<Checkpoint, ConfirmError> {
    let checkpoint = Checkpoint::parse(note.text())?;
    if checkpoint.origin == origin { Ok(checkpoint) } else { Err(ConfirmError::Origin(checkpoint.origin)) }
}

#[cfg(test)]
mod tests;
