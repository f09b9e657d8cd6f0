//! Forks: two checkpoints that one log signed and that cannot both be true, with what proves it offline.
//!
//! ```text
//! older        signed note, size m, root A
//! newer        signed note, size n >= m
//! prefix root  P, the root of the first m entries of the newer tree
//! proof        RFC 6962 consistency proof from (m, P) to the newer root; empty when m = n
//! ```
//! Unless SHA-256 has a collision, the tree of a root has one prefix of each size. So if the proof holds and P is not A,
//! the newer tree does not begin with the older one, and no order of events makes both notes honest.
//!
//! In scope: making and confirming the proof. Out of scope: who was shown which note, and where a proof is
//! written down.

use crate::Hash;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding::quoted;
use crate::key::{KeyType, VerifierKey};
use crate::merkle::{self, HashReader, ProofError, consistency};
use crate::note::{Note, NoteError};

/// Two notes that contradict each other. Nothing in it has been checked: [`Fork::confirm`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fork {
    /// The note of the smaller tree, or either of two with one size.
    pub older: Note,
    /// The note of the larger tree.
    pub newer: Note,
    /// The root of the newer tree's first entries, as many as the older tree has.
    pub prefix_root: Hash,
    /// The consistency proof from `prefix_root` to the newer root, in RFC 6962 order.
    pub proof: Vec<Hash>,
}

/// A fork that was confirmed: [`Fork::confirm`] is the only way to get one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfirmedFork {
    older: Checkpoint,
    newer: Checkpoint,
    prefix_root: Hash,
}

impl ConfirmedFork {
    /// The checkpoint of the smaller tree, which the log signed.
    pub fn older(&self) -> &Checkpoint {
        &self.older
    }

    /// The checkpoint of the larger tree, which the log signed.
    pub fn newer(&self) -> &Checkpoint {
        &self.newer
    }

    /// The root that the newer tree has at the older size; the older checkpoint says another.
    pub fn prefix_root(&self) -> Hash {
        self.prefix_root
    }
}

impl Fork {
    /// The fork that two notes of one size are. Signatures are not looked at.
    pub fn of_one_size(one: Note, other: Note) -> Result<Self, ForkError> {
        let (_, newer) = checkpoints(&one, &other)?;
        Self { older: one, newer: other, prefix_root: newer.root, proof: Vec::new() }.checked()
    }

    /// The fork that a consistency proof shows if it leads to the newer root, and on the way to another root than the older
    /// note's. A witness has such a proof when it refuses a checkpoint.
    ///
    /// If the older size is a power of two, the proof leaves the older root out and can show nothing; a caller that has
    /// hashes of the newer tree uses [`Fork::find`] then. Signatures are not checked.
    pub fn from_proof(older: Note, newer: Note, proof: Vec<Hash>) -> Result<Self, ForkError> {
        let (old, new) = checkpoints(&older, &newer)?;
        let prefix_root = match consistency::verify(old.size, new.size, &proof, &old.root, &new.root) {
            Ok(()) => return Err(ForkError::Consistent),
            Err(ProofError::Root { .. }) if old.size == new.size => new.root,
            Err(ProofError::Root { got, .. }) => got,
            Err(error) => return Err(error.into()),
        };
        Self { older, newer, prefix_root, proof }.checked()
    }

    /// The fork between two notes, given in any order, by the hashes of the larger tree, which `reader` has.
    ///
    /// The reader need not be believed: hashes that do not lead to the newer root are [`ForkError::Proof`]. Signatures are
    /// not checked.
    pub fn find<R: HashReader>(one: Note, other: Note, reader: &R) -> Result<Self, FindError<R::Error>> {
        let (first, second) = checkpoints(&one, &other).map_err(FindError::Fork)?;
        let (older, old, newer, new) =
            if first.size <= second.size { (one, first, other, second) } else { (other, second, one, first) };
        if old.size == new.size {
            return Self::of_one_size(older, newer).map_err(FindError::Fork);
        }
        let prefix_root = merkle::root(reader, old.size).map_err(FindError::Read)?;
        let proof = consistency::prove(reader, old.size, new.size).map_err(FindError::Read)?;
        Self { older, newer, prefix_root, proof }.checked().map_err(FindError::Fork)
    }

    /// Confirms that the log with these keys signed both notes and that they contradict each other.
    ///
    /// The caller must know that these are the log's keys. A key counts if it is named like the origin and has a type that
    /// logs have (0x01, 0x06). Notes of one size and root that differ in extension lines or cosignatures are no fork.
    pub fn confirm(&self, log_keys: &[VerifierKey]) -> Result<ConfirmedFork, ForkError> {
        let (older, newer) = self.check()?;
        for note in [&self.older, &self.newer] {
            if signers(note, &older.origin, log_keys)? == 0 {
                return Err(ForkError::NotSigned(older.origin));
            }
        }
        Ok(ConfirmedFork { older, newer, prefix_root: self.prefix_root })
    }

    fn checked(self) -> Result<Self, ForkError> {
        self.check().map(|_| self)
    }

    /// Everything but the signatures.
    fn check(&self) -> Result<(Checkpoint, Checkpoint), ForkError> {
        let (older, newer) = checkpoints(&self.older, &self.newer)?;
        consistency::verify(older.size, newer.size, &self.proof, &self.prefix_root, &newer.root)?;
        if self.prefix_root == older.root {
            return Err(ForkError::Consistent);
        }
        Ok((older, newer))
    }
}

/// How many of a log's keys signed a note. A bad line of one fails the note (NOTE-8).
fn signers(note: &Note, origin: &str, log_keys: &[VerifierKey]) -> Result<usize, NoteError> {
    let of_log = |key: &&VerifierKey| {
        key.name().as_str() == origin && key.key().key_type() != KeyType::Ed25519Cosignature
    };
    let keys: Vec<VerifierKey> = log_keys.iter().filter(of_log).cloned().collect();
    Ok(note.verify(&keys)?.len())
}

/// The checkpoints of two notes of one log.
fn checkpoints(one: &Note, other: &Note) -> Result<(Checkpoint, Checkpoint), ForkError> {
    let (one, other) = (Checkpoint::parse(one.text())?, Checkpoint::parse(other.text())?);
    if one.origin != other.origin {
        return Err(ForkError::Origins(one.origin, other.origin));
    }
    Ok((one, other))
}

/// Why two notes are no fork, or are not shown to be one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ForkError {
    /// A note whose text is no checkpoint.
    #[error("malformed checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The newer tree begins with the older.
    #[error("the newer checkpoint extends the older: no fork")]
    Consistent,
    /// A bad line of a key of the log.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// No key of the log signed one of the notes.
    #[error("a checkpoint is not signed by a key of {}", quoted(.0))]
    NotSigned(String),
    /// Checkpoints of two logs.
    #[error("the checkpoints are of two logs, {} and {}", quoted(.0), quoted(.1))]
    Origins(String, String),
    /// The proof does not lead from the prefix to the newer root.
    #[error("the newer tree is not shown to have this prefix: {0}")]
    Proof(#[from] ProofError),
}

/// Why no fork was found.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FindError<E> {
    /// There is none, or the hashes that were read do not show it.
    #[error(transparent)]
    Fork(ForkError),
    /// The hashes could not be read.
    #[error("the hashes of the newer tree cannot be read: {0}")]
    Read(E),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TreeSize;
    use crate::UnixTime;
    use crate::cosignature::cosign;
    use crate::key::{KeyName, SignerKey};
    use crate::merkle::range::CompactRange;
    use crate::merkle::tests::Leaves;

    const ORIGIN: &str = "example.com/log";

    fn key(name: &str, kind: KeyType) -> SignerKey {
        SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[7; 32])
    }

    fn log() -> SignerKey {
        key(ORIGIN, KeyType::Ed25519)
    }

    fn keys() -> Vec<VerifierKey> {
        vec![log().verifier().clone()]
    }

    fn signed(size: u64, root: Hash) -> Note {
        Checkpoint::new(ORIGIN, TreeSize::new(size), root).sign(&log())
    }

    /// A tree that leaves `leaves` at entry `at`, which is another from there on.
    fn forked(leaves: &Leaves, at: usize) -> Leaves {
        let other = |hash: &Hash| Hash::of(hash.as_bytes());
        let own = leaves.0[at..].iter().map(other);
        Leaves(leaves.0[..at].iter().copied().chain(own).collect())
    }

    /// Every pair of sizes, every place of the fork: found if and only if the fork lies in the older tree.
    #[test]
    fn forks_at_every_entry_are_found_and_confirmed() {
        const SIZE: usize = 17;
        let tree = Leaves::new(SIZE as u64);
        let mut confirmed = 0;
        for at in 0..SIZE {
            let other = forked(&tree, at);
            for old in 0..=SIZE {
                for new in old..=SIZE {
                    let older = signed(old as u64, tree.mth(0, old));
                    let newer = signed(new as u64, other.mth(0, new));
                    let found = Fork::find(older.clone(), newer.clone(), &other);
                    if old < new {
                        assert_eq!(found, Fork::find(newer.clone(), older.clone(), &other), "in any order");
                    }
                    if old <= at {
                        assert_eq!(found, Err(FindError::Fork(ForkError::Consistent)), "{at} {old} {new}");
                        continue;
                    }
                    let fork = found.expect("a fork");
                    let proof = fork.confirm(&keys()).expect("it is confirmed");
                    assert_eq!(
                        (proof.older().size.get(), proof.newer().size.get()),
                        (old as u64, new as u64)
                    );
                    assert_eq!(proof.prefix_root(), other.mth(0, old));
                    confirmed += 1;
                    // A proof alone shows it where it does not leave the older root out.
                    let by_proof =
                        Fork::from_proof(fork.older.clone(), fork.newer.clone(), fork.proof.clone());
                    if old == new || !old.is_power_of_two() {
                        assert_eq!(by_proof, Ok(fork), "{at} {old} {new}");
                    } else {
                        assert!(matches!(by_proof, Err(ForkError::Proof(_))), "{at} {old} {new}");
                    }
                }
            }
        }
        assert_eq!(confirmed, (1..=SIZE).map(|old| old * (SIZE + 1 - old)).sum::<usize>());
    }

    #[test]
    fn one_tree_is_no_fork_whatever_else_the_notes_say() {
        let tree = Leaves::new(9);
        let mut extended = Checkpoint::new(ORIGIN, TreeSize::new(9), tree.mth(0, 9));
        extended.extensions.push("another line".into());
        let notes = [signed(5, tree.mth(0, 5)), signed(9, tree.mth(0, 9)), extended.sign(&log())];
        for (one, other) in [(0, 0), (0, 1), (0, 2), (1, 2), (2, 1), (1, 1)] {
            let found = Fork::find(notes[one].clone(), notes[other].clone(), &tree);
            assert_eq!(found, Err(FindError::Fork(ForkError::Consistent)), "{one} {other}");
        }
        assert_eq!(Fork::of_one_size(notes[1].clone(), notes[2].clone()), Err(ForkError::Consistent));
        let proof = consistency::prove(&tree, TreeSize::new(5), TreeSize::new(9)).expect("a proof");
        assert_eq!(Fork::from_proof(notes[0].clone(), notes[1].clone(), proof), Err(ForkError::Consistent));
        assert!(matches!(
            Fork::of_one_size(notes[0].clone(), notes[1].clone()),
            Err(ForkError::Proof(ProofError::Length { .. }))
        ));
    }

    /// Hashes that are not those of the newer tree show nothing.
    #[test]
    fn a_reader_that_lies_finds_no_fork() {
        let tree = Leaves::new(9);
        let lies = forked(&tree, 2);
        let found = Fork::find(signed(5, tree.mth(0, 5)), signed(9, tree.mth(0, 9)), &lies);
        assert!(matches!(found, Err(FindError::Fork(ForkError::Proof(ProofError::Root { .. })))));
    }

    fn fork() -> Fork {
        let tree = Leaves::new(13);
        let other = forked(&tree, 3);
        let (older, newer) = (signed(6, tree.mth(0, 6)), signed(13, other.mth(0, 13)));
        Fork::find(older, newer, &other).expect("a fork")
    }

    #[test]
    fn every_altered_byte_is_refused() {
        let fork = fork();
        assert!(fork.confirm(&keys()).is_ok());
        let flipped = |hash: &Hash, bit: usize| {
            let mut bytes = *hash.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Hash::new(bytes)
        };
        for bit in 0..256 {
            let prefix_root = flipped(&fork.prefix_root, bit);
            assert!(Fork { prefix_root, ..fork.clone() }.confirm(&keys()).is_err());
            for at in 0..fork.proof.len() {
                let mut bad = fork.clone();
                bad.proof[at] = flipped(&bad.proof[at], bit);
                assert!(bad.confirm(&keys()).is_err());
            }
        }
        for at in 0..=fork.proof.len() {
            let mut bad = fork.clone();
            bad.proof.insert(at, fork.prefix_root);
            assert!(bad.confirm(&keys()).is_err());
        }
        for at in 0..fork.proof.len() {
            let mut bad = fork.clone();
            bad.proof.remove(at);
            assert!(bad.confirm(&keys()).is_err());
        }
        for which in 0..2 {
            let text = [&fork.older, &fork.newer][which].to_string();
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let Ok(note) = Note::parse(&bytes) else { continue };
                let mut bad = fork.clone();
                *[&mut bad.older, &mut bad.newer][which] = note;
                assert!(bad.confirm(&keys()).is_err(), "byte {at} of note {which}");
            }
        }
    }

    #[test]
    fn swapped_unsigned_and_foreign_notes_are_refused_by_rule() {
        let fork = fork();
        let swapped = Fork { older: fork.newer.clone(), newer: fork.older.clone(), ..fork.clone() };
        assert!(matches!(
            swapped.confirm(&keys()),
            Err(ForkError::Proof(ProofError::SizesReversed { old: 13, new: 6 }))
        ));
        let not_signed = Err(ForkError::NotSigned(ORIGIN.into()));
        let unsigned = Fork { newer: Note::unsigned(fork.newer.text().to_owned()), ..fork.clone() };
        assert_eq!(unsigned.confirm(&keys()), not_signed);
        assert_eq!(fork.confirm(&[]), not_signed);
        // The same key under another name is another log's.
        assert_eq!(
            fork.confirm(&[key("example.com/other", KeyType::Ed25519).verifier().clone()]),
            not_signed
        );
        let other = Checkpoint::new("example.com/other", TreeSize::new(13), fork.prefix_root);
        let foreign = Fork { newer: other.sign(&log()), ..fork.clone() };
        assert!(matches!(foreign.confirm(&keys()), Err(ForkError::Origins(..))));
    }

    /// A log's ML-DSA key counts; a witness's cosignature never does, not even under the log's name.
    #[test]
    fn only_types_that_logs_have_count() {
        let fork = fork();
        for (kind, counts) in [(KeyType::MlDsa44Cosignature, true), (KeyType::Ed25519Cosignature, false)] {
            let signer = key(ORIGIN, kind);
            let by = |note: &Note| {
                let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
                let mut note = Note::unsigned(note.text().to_owned());
                note.add(cosign(&signer, &checkpoint, UnixTime::from_secs(1)).expect("a cosignature"));
                note
            };
            let signed = Fork { older: by(&fork.older), newer: by(&fork.newer), ..fork.clone() };
            assert_eq!(signed.confirm(&[signer.verifier().clone()]).is_ok(), counts, "{kind:?}");
        }
    }

    /// A monitor keeps a compact range of its own tree, no leaf: enough to say which root it stood for.
    #[test]
    fn the_prefix_root_is_that_of_the_other_trees_entries() {
        let tree = forked(&Leaves::new(13), 3);
        let mut range = CompactRange::new();
        tree.0[..6].iter().for_each(|leaf| range.append(*leaf));
        assert_eq!(fork().prefix_root, range.root());
    }
}
