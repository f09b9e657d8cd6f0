//! What a finding proves by itself, and what remains the finder's word.

use tlog::bundle;
use tlog::checkpoint::{Checkpoint, CheckpointError};
use tlog::fork::ForkError;
use tlog::key::{Ed25519PublicKey, VerifierKey};
use tlog::merkle::{ProofError, inclusion, leaf_hash, root_of, subtree};
use tlog::note::{Note, NoteError};
use tlog::policy::Policy;
use tlog::tile::{Edge, Resource, TILE_WIDTH, Tile, hashes_at, parse_hashes};
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use super::{
    BadTile, FalseAssertion, Finding, Forgotten, MAX_CLOCK_DIFFERENCE, Proof, ProvenLeaf, Served, Shrink,
    Stale, checkpoint_of, is_of, path,
};
use crate::evidence::asserted_tree;
use crate::leaf::{self, Rule};
use crate::lists::{ListKey, Listed, lists_of};
use crate::quote::quoted;

mod bad_entry;

/// A finding whose proof holds: [`Finding::confirm`] is the only way to get one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Confirmed {
    keys: Keys,
    proven: Vec<String>,
    finders_word: Vec<String>,
}

/// Where the log's keys came from that the proof was confirmed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keys {
    /// The confirmer's policy.
    Policy,
    /// The finding. Only the finder says that these are the log's keys.
    Finding,
}

impl Confirmed {
    /// Where the log's keys came from.
    pub fn keys(&self) -> Keys {
        self.keys
    }

    /// What follows from the signatures and hashes alone, a sentence each; never empty.
    pub fn proven(&self) -> &[String] {
        &self.proven
    }

    /// What nobody but the finder can know, a sentence each.
    pub fn finders_word(&self) -> &[String] {
        &self.finders_word
    }
}

impl Finding {
    /// Confirms the proof. Needs neither the log nor the finder nor a clock.
    ///
    /// With a `policy`, the log's keys are those that it has for the origin, and the times of the witnesses
    /// that it names count. Without one the keys are the finding's own, and cosignatures count for nothing.
    pub fn confirm(&self, policy: Option<&Policy>) -> Result<Confirmed, ConfirmError> {
        let with = match policy {
            None => Believed { origin: &self.origin, log: self.vkeys.clone(), witnesses: Vec::new() },
            Some(policy) => Believed::by(policy, &self.origin)?,
        };
        let mut said = Said::default();
        match &self.proof {
            Proof::Fork(fork) => {
                for note in [&fork.older, &fork.newer] {
                    checkpoint_of(note, &self.origin)?;
                }
                let fork = fork.confirm(&with.log)?;
                let (older, newer) = (fork.older(), fork.newer());
                said.proven(format!(
                    "one log signed two trees that cannot both be true: size {} with root {}, and size {} with root \
                     {}, whose first {} entries have root {}",
                    older.size, older.root, newer.size, newer.root, older.size, fork.prefix_root()
                ));
            }
            Proof::Shrink(shrink) => with.shrink(shrink, &mut said)?,
            Proof::BadTile(bad) => with.bad_tile(bad, &mut said)?,
            Proof::BadEntry(bad) => with.bad_entry(bad, &mut said)?,
            Proof::FalseAssertion(asserted) => with.false_assertion(asserted, &mut said)?,
            Proof::Stale(stale) => with.stale(stale, self.found_at.as_millis(), &mut said)?,
            Proof::Forgotten(forgotten) => {
                with.forgotten(forgotten, self.found_at.as_millis(), &mut said)?;
                if policy.is_some() && !with.witnesses.contains(&forgotten.witness) {
                    return Err(ConfirmError::UnknownWitness(forgotten.witness.name().to_string()));
                }
            }
        }
        let keys = if policy.is_some() { Keys::Policy } else { Keys::Finding };
        if keys == Keys::Finding {
            said.word(format!("that the keys in the finding are those of {}", quoted(&self.origin)));
        }
        Ok(Confirmed { keys, proven: said.proven, finders_word: said.finders_word })
    }
}

#[derive(Default)]
struct Said {
    proven: Vec<String>,
    finders_word: Vec<String>,
}

impl Said {
    fn proven(&mut self, sentence: String) {
        self.proven.push(sentence);
    }

    fn word(&mut self, sentence: String) {
        self.finders_word.push(sentence);
    }
}

/// The keys and witnesses that the confirmer believes.
struct Believed<'a> {
    origin: &'a str,
    log: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
}

impl<'a> Believed<'a> {
    fn by(policy: &Policy, origin: &'a str) -> Result<Self, ConfirmError> {
        let log: Vec<VerifierKey> =
            policy.logs().iter().map(|log| &log.vkey).filter(|key| is_of(key, origin)).cloned().collect();
        if log.is_empty() {
            return Err(ConfirmError::UnknownLog(origin.to_owned()));
        }
        let witnesses = policy.witnesses().iter().map(|witness| witness.vkey.clone()).collect();
        Ok(Self { origin, log, witnesses })
    }

    /// The checkpoint of a note that the log signed.
    fn signed(&self, note: &Note) -> Result<Checkpoint, ConfirmError> {
        let checkpoint = checkpoint_of(note, self.origin)?;
        if note.verify(&self.log)?.is_empty() {
            return Err(ConfirmError::NotSigned(self.origin.to_owned()));
        }
        Ok(checkpoint)
    }

    /// When the witnesses that count cosigned a note. A bad line counts for nothing, and does not spoil the others: a log
    /// could add one to what it serves.
    fn times(&self, note: &Note) -> Vec<UnixTime> {
        let time = |key: &VerifierKey| note.verify(std::slice::from_ref(key)).ok()?.first()?.time;
        self.witnesses.iter().filter_map(time).collect()
    }

    fn shrink(&self, shrink: &Shrink, said: &mut Said) -> Result<(), ConfirmError> {
        let (larger, smaller) = (self.signed(&shrink.larger)?, self.signed(&shrink.smaller)?);
        if smaller.size >= larger.size {
            return Err(ConfirmError::NotSmaller { first: larger.size, second: smaller.size });
        }
        said.proven(format!("the log signed trees of size {} and {}", larger.size, smaller.size));
        let (first, second) = (self.times(&shrink.larger), self.times(&shrink.smaller));
        match (first.iter().min(), second.iter().max()) {
            (Some(first), Some(second)) if second > first => said.proven(format!(
                "the smaller was cosigned at {second} (Unix time), after the larger, at {first}"
            )),
            _ => (),
        }
        said.word(format!(
            "that the log served size {} at {} ms, and size {} later, at {} ms",
            larger.size,
            shrink.larger_seen_at.as_millis(),
            smaller.size,
            shrink.smaller_seen_at.as_millis()
        ));
        Ok(())
    }

    fn bad_tile(&self, bad: &BadTile, said: &mut Said) -> Result<(), ConfirmError> {
        let checkpoint = self.signed(&bad.checkpoint)?;
        let size = checkpoint.size;
        match &bad.served {
            Served::One { tile, resource, bytes, root, proof } => {
                let (start, end) = leaves_under(*tile).ok_or(ConfirmError::NoTile(size))?;
                subtree::verify_consistency(start, end, size, proof, root, &checkpoint.root)?;
                let path = path(*tile, *resource);
                if root_of_served(*tile, *resource, bytes) == Some(*root) {
                    return Err(ConfirmError::GoodTile(path));
                }
                said.proven(format!(
                    "these bytes are not `{path}` of the tree of size {size} that the log signed"
                ));
                said.word(format!("that the log served them as `{path}`"));
            }
            Served::Edge(tiles) => {
                let levels = edge_levels(size, tiles).ok_or(ConfirmError::NoEdge(size))?;
                // A tile of the wrong length gives no root at all.
                let root = levels.and_then(|levels| Edge::from_levels(size, levels)).map(|edge| edge.root());
                if root == Some(checkpoint.root) {
                    return Err(ConfirmError::GoodTile("the right edge".into()));
                }
                let gives = root.map_or("no root".to_owned(), |root| format!("root {root}"));
                said.proven(format!(
                    "these tiles are not the right edge of the tree of size {size} that the log signed: they give \
                     {gives}, not {}",
                    checkpoint.root
                ));
                let paths: Vec<String> = tiles.iter().map(|(tile, _)| format!("`{}`", tile.path())).collect();
                said.word(format!("that the log served them, as {}", paths.join(", ")));
            }
        }
        Ok(())
    }

    fn false_assertion(&self, asserted: &FalseAssertion, said: &mut Said) -> Result<(), ConfirmError> {
        let FalseAssertion { assertion, list, entries, leaf: ProvenLeaf { index, bytes, proof } } = asserted;
        let tree = asserted_tree(assertion.text(), list, entries).ok_or(ConfirmError::NotAsserted(*list))?;
        if tree.origin != self.origin {
            return Err(ConfirmError::Origin(tree.origin));
        }
        if assertion.verify(&self.log)?.is_empty() {
            return Err(ConfirmError::NotSigned(self.origin.to_owned()));
        }
        inclusion::verify(&leaf_hash(bytes), *index, tree.size, proof, &tree.root)?;
        // What breaks a rule by itself stands in no list.
        let leaf = leaf::check(self.origin, bytes, Ed25519PublicKey::from_bytes).ok();
        let lists = leaf.map(|leaf| lists_of(leaf.entry(), *index)).unwrap_or_default();
        let stands: Vec<&Listed> =
            lists.iter().filter(|(key, _)| key == list).map(|(_, listed)| listed).collect();
        let there: Vec<&Listed> = entries.iter().filter(|listed| listed.index == *index).collect();
        if stands == there || (there.is_empty() && list.is_chosen()) {
            return Err(ConfirmError::TrueAssertion { list: *list, index: *index });
        }
        let size = tree.size;
        if !there.is_empty() {
            said.proven(format!(
                "the log signed that `{list}` of its tree of size {size} has leaf {index} as what it is not"
            ));
            return Ok(());
        }
        said.proven(format!(
            "the log signed that `{list}` of its tree of size {size} has {} entries, and leaf {index} of that tree, \
             which stands in that list, is none of them",
            entries.len()
        ));
        said.word(format!(
            "that leaf {index} keeps the rules of state and about earlier leaves; one that does not stands in no list, \
             and the log had to refuse it"
        ));
        Ok(())
    }

    fn forgotten(&self, forgotten: &Forgotten, found_at: u64, said: &mut Said) -> Result<(), ConfirmError> {
        let witness = &forgotten.witness;
        let name = quoted(witness.name().as_str());
        let cosigned = |note: &Note| {
            let checkpoint = self.signed(note)?;
            let signed = note.verify(std::slice::from_ref(witness))?;
            let time = signed.first().and_then(|signed| signed.time);
            let time = time.ok_or_else(|| ConfirmError::NotSigned(witness.name().to_string()))?;
            Ok::<_, ConfirmError>((checkpoint.size, time))
        };
        let (larger, larger_at) = cosigned(&forgotten.larger)?;
        let Some(smaller) = &forgotten.smaller else {
            said.proven(format!("the witness {name} cosigned size {larger} at {larger_at} (Unix time)"));
            said.word(format!("that it said at {found_at} ms that it had cosigned nothing of the log"));
            return Ok(());
        };
        let (smaller, smaller_at) = cosigned(smaller)?;
        if smaller >= larger {
            return Err(ConfirmError::NotSmaller { first: larger, second: smaller });
        }
        said.proven(format!(
            "the witness {name} cosigned size {larger} at {larger_at}, and size {smaller} at {smaller_at} (Unix time){}",
            if smaller_at > larger_at { ": it went back" } else { "" }
        ));
        said.word(format!("that it showed size {smaller} at {found_at} ms as the last that it had cosigned"));
        Ok(())
    }

    fn stale(&self, stale: &Stale, found_at: u64, said: &mut Said) -> Result<(), ConfirmError> {
        let served = self.signed(&stale.checkpoint)?;
        let served_as = format!("that the log served size {} at {found_at} ms", served.size);
        if let Some(ahead) = &stale.ahead {
            let larger = self.signed(ahead)?;
            if larger.size <= served.size {
                return Err(ConfirmError::NotSmaller { first: larger.size, second: served.size });
            }
            said.proven(format!("the log signed size {}, which is more than {}", larger.size, served.size));
            said.word(format!("{served_as}, {} ms or more after the larger one was seen", stale.stale_after));
            return Ok(());
        }
        said.proven(format!("the log signed a tree of size {}", served.size));
        // A time ahead of the finder's clock would stay fresh for ever.
        let latest = found_at.saturating_add(MAX_CLOCK_DIFFERENCE);
        let is_past = |time: &UnixTime| time.as_secs().saturating_mul(1_000) <= latest;
        match self.times(&stale.checkpoint).into_iter().filter(is_past).max() {
            Some(newest) => {
                let too_old_from = newest.as_secs().saturating_mul(1_000).saturating_add(stale.stale_after);
                if found_at < too_old_from {
                    return Err(ConfirmError::Fresh { newest });
                }
                said.proven(format!("the newest cosignature on it is of {newest} (Unix time)"));
                said.word(served_as);
            }
            None => said.word(format!("{served_as}, without a cosignature that was newer")),
        }
        Ok(())
    }
}

/// The leaves that a tile stands for, `[start, end)`; `None` beyond any tree.
fn leaves_under(tile: Tile) -> Option<(u64, u64)> {
    let leaves_a_hash = 256u64.checked_pow(u32::from(tile.level()))?;
    let start = tile.index().checked_mul(TILE_WIDTH)?.checked_mul(leaves_a_hash)?;
    let end = u64::from(tile.width()).checked_mul(leaves_a_hash)?.checked_add(start)?;
    Some((start, end))
}

/// What served bytes hash to; `None` if they are no tile or bundle of this width.
fn root_of_served(tile: Tile, resource: Resource, bytes: &[u8]) -> Option<Hash> {
    let hashes = match resource {
        Resource::Hashes => parse_hashes(tile, bytes)?,
        Resource::Entries => bundle::parse(bytes).ok()?.into_iter().map(leaf_hash).collect(),
    };
    (hashes.len() == usize::from(tile.width())).then(|| root_of(&hashes))
}

/// The hashes of the right edge by level, from the tiles that are partial at `size`. `None` unless these are exactly the
/// tiles; `Some(None)` if one has the wrong length.
fn edge_levels(size: TreeSize, tiles: &[(Tile, Vec<u8>)]) -> Option<Option<Vec<Vec<Hash>>>> {
    let height = (0..8).take_while(|level| hashes_at(*level, size) > 0).count() as u8;
    let partial = |level| {
        let hashes = hashes_at(level, size);
        Tile::new(level, hashes / TILE_WIDTH, (hashes % TILE_WIDTH) as u16)
    };
    let partial: Vec<Tile> = (0..height).filter_map(partial).collect();
    if partial.is_empty() || !partial.iter().eq(tiles.iter().map(|(tile, _)| tile)) {
        return None;
    }
    let mut levels = vec![Vec::new(); usize::from(height)];
    for (tile, bytes) in tiles {
        let Some(hashes) = parse_hashes(*tile, bytes) else { return Some(None) };
        levels[usize::from(tile.level())] = hashes;
    }
    Some(Some(levels))
}

/// Why a finding is not confirmed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfirmError {
    /// A note whose text is no checkpoint.
    #[error("malformed checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The two notes are no fork.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// A cosignature is newer than the finding says.
    #[error("the checkpoint was cosigned at {newest} (Unix time): it was not stale when it was found")]
    Fresh {
        /// The newest cosignature.
        newest: UnixTime,
    },
    /// The leaf keeps the rules.
    #[error("the leaf breaks no rule")]
    GoodEntry,
    /// The bytes are those of the tree.
    #[error("{0}: the served bytes are those of the signed tree")]
    GoodTile(String),
    /// The tiles are not the partial ones at that size.
    #[error("the tiles are not the right edge of a tree of size {0}")]
    NoEdge(TreeSize),
    /// A bad line of a known key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A policy that does not name the witness.
    #[error("the policy names no witness {}", quoted(.0))]
    UnknownWitness(String),
    /// A tile beyond any tree.
    #[error("a tree of size {0} has no such tile")]
    NoTile(TreeSize),
    /// Two rules need an earlier leaf, the others none.
    #[error("`earlier` is a leaf before this one, for the rules `logged-at-order` and `known` and no others")]
    NotEarlier,
    /// Something else than the identity events of the leaf's signer before it.
    #[error(
        "`identity` is the signer's identity events before the leaf that keep the rules, in order, for a rule of state; \
         for one about earlier leaves the subject's, too"
    )]
    NotIdentity,
    /// Something else than the leaves that the event speaks of.
    #[error("`references` is leaves before this one, in order, for a rule of what an event says about them")]
    NotReferences,
    /// A leaf that the event speaks of.
    #[error("the finding does not show leaf {0}, of which the event speaks")]
    NotShown(LeafIndex),
    /// The note is no assertion, or says something else of the list.
    #[error("the assertion does not say that the list {0} has these entries")]
    NotAsserted(ListKey),
    /// No key of the log signed a checkpoint.
    #[error("a checkpoint or an assertion is not signed by a key of {}", quoted(.0))]
    NotSigned(String),
    /// The sizes do not show what the finding says.
    #[error("size {second} is not smaller than size {first}")]
    NotSmaller {
        /// The size that should be larger.
        first: TreeSize,
        /// The size that should be smaller.
        second: TreeSize,
    },
    /// A checkpoint of another log.
    #[error("a checkpoint or an assertion is of another log: {}", quoted(.0))]
    Origin(String),
    /// The leaf breaks another rule.
    #[error("the leaf breaks the rule `{got}`, not `{want}`")]
    OtherRule {
        /// The rule that the finding names.
        want: Rule,
        /// The rule that is broken.
        got: Rule,
    },
    /// A proof does not lead to the checkpoint's root.
    #[error("proof: {0}")]
    Proof(#[from] ProofError),
    /// The list has the leaf as it must, or not, as it may.
    #[error("the list {list} is right about leaf {index}")]
    TrueAssertion {
        /// The list.
        list: ListKey,
        /// The leaf.
        index: LeafIndex,
    },
    /// The policy has no key for this origin.
    #[error("the policy names no log with the origin {}", quoted(.0))]
    UnknownLog(String),
}
