//! Sees everything that leaves a process of the log, and holds it against what was seen before: the invariants.
//!
//! | | is checked |
//! |---|---|
//! | I1 | whoever has a receipt finds its entry in every checkpoint that is signed later |
//! | I2 | every note that the log ever signs, anywhere, is of one growing tree; what is published never goes back |
//! | I3 | an index that somebody was told, or that is signed, keeps its leaf, through every crash |
//! | I4 | nothing is published without its quorum; a receipt verifies by the policy |
//! | I5 | whoever failed to write the record signs nothing more before it has started again |
//! | I6 | a witness never goes back |
//! | I7 | each entry keeps every rule at its index, by a replay of the leaves; each state that a front answers, and in the end each lookup and list, is what the leaves say |
//!
//! Further: times never go back, a claim has one leaf, what was refused for ever is never logged, and what a reader sees
//! is of that tree. The invariants are those of `docs/dev/invariants.md`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::did::Did;
use attestation::entry::{ClaimHash, Entry, LogTime};
use attestation::event::Body;
use attestation::identity::Identity;
use attestation::leaf;
use log_core::keys::Keys;
use log_core::port::{Index as _, Objects as _, Page};
use testkit::scene::ORIGIN;
use tlog::checkpoint::Checkpoint;
use tlog::key::AdmittedKeys;
use tlog::merkle::leaf_hash;
use tlog::merkle::range::CompactRange;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::{Hash, LeafIndex, TreeSize};
use trust::MemoryLedger;

use crate::engine::Memory;

/// What happened in a world, in numbers: a run in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Receipts that clients verified.
    pub receipts: u64,
    /// Submissions that were refused by a rule.
    pub refused: u64,
    /// Entries under a signed checkpoint.
    pub entries: u64,
    /// Identity events among them.
    pub identity_events: u64,
    /// Notes that were signed.
    pub signed: u64,
    /// Notes that were published.
    pub published: u64,
    /// Calls that a fence stopped.
    pub fenced: u64,
    /// Calls that were stale.
    pub stale: u64,
    /// Calls with a known claim.
    pub known: u64,
    /// Calls of unknown outcome.
    pub unknown: u64,
    /// Calls that were lost.
    pub lost: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Processes that stopped by themselves, to read what is there.
    pub stops: u64,
    /// Processes that were paused.
    pub pauses: u64,
    /// Clocks that jumped.
    pub jumps: u64,
    /// Looks of monitors.
    pub looks: u64,
    /// States of DIDs that fronts answered.
    pub states: u64,
    /// Steps of the executor.
    pub steps: u64,
}

impl Counts {
    /// Each of them, with its name.
    pub fn named(&self) -> [(&'static str, u64); 18] {
        [
            ("receipts", self.receipts),
            ("refusals", self.refused),
            ("entries", self.entries),
            ("identity events", self.identity_events),
            ("notes signed", self.signed),
            ("notes published", self.published),
            ("calls fenced", self.fenced),
            ("calls stale", self.stale),
            ("calls with known claims", self.known),
            ("calls of unknown outcome", self.unknown),
            ("calls lost", self.lost),
            ("kills", self.kills),
            ("stops", self.stops),
            ("pauses", self.pauses),
            ("clock jumps", self.jumps),
            ("looks of monitors", self.looks),
            ("states of DIDs", self.states),
            ("steps", self.steps),
        ]
    }

    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        let mine = [
            &mut self.receipts,
            &mut self.refused,
            &mut self.entries,
            &mut self.identity_events,
            &mut self.signed,
            &mut self.published,
            &mut self.fenced,
            &mut self.stale,
            &mut self.known,
            &mut self.unknown,
            &mut self.lost,
            &mut self.kills,
            &mut self.stops,
            &mut self.pauses,
            &mut self.jumps,
            &mut self.looks,
            &mut self.states,
            &mut self.steps,
        ];
        for (mine, (_, theirs)) in mine.into_iter().zip(other.named()) {
            *mine += theirs;
        }
    }
}

/// The one that sees everything. Cheap to clone.
#[derive(Clone)]
pub struct Checker(Arc<Mutex<State>>);

struct State {
    memory: Memory,
    policy: Arc<Policy>,
    /// The leaves under the largest signed checkpoint, as they were when it was signed.
    leaves: Vec<Hash>,
    range: CompactRange,
    /// The root at each size up to there.
    roots: Vec<Hash>,
    ledger: MemoryLedger,
    last_time: Option<LogTime>,
    keys: AdmittedKeys,
    /// Leaf hashes that somebody was told, by index.
    told: HashMap<u64, Hash>,
    /// Where receipts say that claims are.
    claims: HashMap<ClaimHash, LeafIndex>,
    refused_for_ever: HashSet<ClaimHash>,
    published: TreeSize,
    witnesses: HashMap<String, TreeSize>,
    violation: Option<String>,
    counts: Counts,
}

impl Checker {
    /// Sees what becomes of the log in `memory`.
    pub fn new(memory: Memory, policy: Arc<Policy>) -> Self {
        let range = CompactRange::new();
        let roots = vec![range.root()];
        Self(Arc::new(Mutex::new(State {
            memory,
            policy,
            leaves: Vec::new(),
            range,
            roots,
            ledger: MemoryLedger::new(ORIGIN),
            last_time: None,
            keys: AdmittedKeys::default(),
            told: HashMap::new(),
            claims: HashMap::new(),
            refused_for_ever: HashSet::new(),
            published: TreeSize::EMPTY,
            witnesses: HashMap::new(),
            violation: None,
            counts: Counts::default(),
        })))
    }

    /// The invariant that was broken first, and how.
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Counts something.
    pub fn count(&self, what: impl FnOnce(&mut Counts) -> &mut u64) {
        *what(&mut self.lock().counts) += 1;
    }

    /// Breaks an invariant, unless it holds.
    pub fn require(&self, holds: bool, violation: impl FnOnce() -> String) {
        self.lock().require(holds, violation);
    }

    /// The log signed this, and somebody may see it from now on.
    pub fn signed(&self, note: &str) {
        self.lock().signed(note);
    }

    /// The engine shows this.
    pub fn published(&self, note: &str) {
        let mut state = self.lock();
        state.signed(note);
        state.counts.published += 1;
        let Some((note, checkpoint)) = state.read(note) else { return };
        let quorum = state.policy.quorum(&note);
        state.require(quorum.is_ok(), || format!("I4: {} is published without its quorum", checkpoint.size));
        let before = state.published;
        state.require(checkpoint.size >= before, || {
            format!("I2: {} entries are published, and before it were {before}", checkpoint.size)
        });
        state.published = before.max(checkpoint.size);
    }

    /// Somebody was told that this leaf stands at an index.
    pub fn told(&self, index: LeafIndex, leaf: &[u8]) {
        self.lock().told(index, leaf);
    }

    /// A client has a receipt: leaf, index and a checkpoint that it verified.
    pub fn receipt(&self, claim: ClaimHash, index: LeafIndex, leaf: &[u8], checkpoint: &Checkpoint) {
        let mut state = self.lock();
        state.counts.receipts += 1;
        let before = *state.claims.entry(claim).or_insert(index);
        state.require(before == index, || format!("one claim is at {before} and at {index}"));
        state.told(index, leaf);
        state.of_the_tree("I1: a receipt's checkpoint", checkpoint.size, &checkpoint.root);
        let there = state.leaves.get(index.get() as usize) == Some(&leaf_hash(leaf));
        state.require(there, || format!("I1: the entry of a receipt is not at {index}"));
    }

    /// A front refused this claim for a reason that does not pass.
    pub fn refused_for_ever(&self, claim: ClaimHash) {
        let mut state = self.lock();
        let known = state.ledger_has(claim);
        state.require(!known, || format!("the claim {} is in the log, and was refused", claim.get()));
        state.refused_for_ever.insert(claim);
    }

    /// A witness has persisted this tree.
    pub fn witnessed(&self, witness: &str, size: TreeSize, root: &Hash) {
        let mut state = self.lock();
        state.of_the_tree("a witness's tree", size, root);
        let before = state.witnesses.insert(witness.to_owned(), size).unwrap_or(TreeSize::EMPTY);
        state.require(size >= before, || format!("I6: {witness} goes back from {before} to {size}"));
    }

    /// Somebody reads this tree.
    pub fn seen(&self, who: &str, size: TreeSize, root: &Hash) {
        self.lock().of_the_tree(who, size, root);
    }

    /// A front says that this is the state of a DID behind the first `size` entries.
    pub fn state_of(&self, did: Did, size: TreeSize, said: Option<&Identity>) {
        let mut state = self.lock();
        let memory = state.memory.clone();
        let mut events = Vec::new();
        let read = memory.leaves(0, size.get(), &mut |index, leaf| {
            if let Ok(Entry::Event(event)) = Entry::parse(leaf)
                && event.event().issuer() == did
                && matches!(event.event().body(), Body::Identity(_))
            {
                events.push((LeafIndex::new(index), *event));
            }
        });
        let replayed = Identity::fold(events.iter().map(|(index, event)| (*index, event.pending())));
        let same = read.is_ok() && replayed.as_ref() == said;
        state.counts.states += 1;
        let [said, replayed] = [said, replayed.as_ref()].map(|state| state.map(Identity::link));
        state.require(same, || {
            format!("I7: the state of {did} at {size} is {said:?}, and by its events {replayed:?}")
        });
    }

    /// The lookups and lists of the engine, all of whose entries are integrated, are those of its leaves.
    pub fn lookups(&self) {
        let mut state = self.lock();
        let memory = state.memory.clone();
        let (mut dids, mut subjects, mut lists) = (HashMap::new(), HashMap::new(), HashMap::new());
        let size = TreeSize::new(state.leaves.len() as u64);
        let read = memory.leaves(0, size.get(), &mut |index, leaf| {
            let index = LeafIndex::new(index);
            let Ok(entry) = Entry::parse(leaf) else { return };
            let keys = Keys::of(&entry, index);
            keys.did.iter().for_each(|(did, _)| dids.entry(*did).or_insert_with(Vec::new).push(index));
            for subject in keys.subjects {
                subjects.entry(subject).or_insert_with(Vec::new).push(index);
            }
            for (list, listed) in keys.lists {
                lists.entry(list).or_insert_with(Vec::new).push(listed);
            }
        });
        let page = Page::first(usize::MAX, size);
        let same = read.is_ok()
            && dids.iter().all(|(did, want)| memory.by_did(did, page).is_ok_and(|got| got == *want))
            && subjects
                .iter()
                .all(|(digest, want)| memory.by_subject(digest, page).is_ok_and(|got| got == *want))
            && lists.iter().all(|(list, want)| memory.list(list, page).is_ok_and(|got| got == *want));
        state.require(same, || "I7: a lookup or a list is not what the leaves say".into());
    }

    /// The engine is there again after a crash.
    pub fn recovered(&self) {
        let mut state = self.lock();
        let memory = state.memory.clone();
        for at in 0..state.leaves.len() {
            let leaf = memory.leaf(LeafIndex::new(at as u64)).ok().flatten().map(|leaf| leaf_hash(&leaf));
            let same = leaf == Some(state.leaves[at]);
            state.require(same, || format!("I3: leaf {at}, which is signed, is not there after a crash"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn require(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(violation());
        }
    }

    fn read(&mut self, note: &str) -> Option<(Note, Checkpoint)> {
        let note = Note::parse(note.as_bytes()).ok();
        let read = note.and_then(|note| {
            let (checkpoint, _) = self.policy.log_checkpoint(&note).ok()?;
            Some((note, checkpoint))
        });
        self.require(read.is_some(), || "a note of the log is none that the log signed".into());
        read
    }

    fn signed(&mut self, note: &str) {
        self.counts.signed += 1;
        let Some((_, checkpoint)) = self.read(note) else { return };
        self.extend(checkpoint.size);
        self.of_the_tree("I2: a signed checkpoint", checkpoint.size, &checkpoint.root);
    }

    fn of_the_tree(&mut self, what: &str, size: TreeSize, root: &Hash) {
        let same = self.roots.get(size.get() as usize) == Some(root);
        let all = self.leaves.len();
        self.require(same, || format!("{what} of size {size} is not of the tree of {all} that was signed"));
    }

    fn told(&mut self, index: LeafIndex, leaf: &[u8]) {
        let hash = leaf_hash(leaf);
        let before = *self.told.entry(index.get()).or_insert(hash);
        let signed = self.leaves.get(index.get() as usize).copied();
        let same = before == hash && signed.is_none_or(|signed| signed == hash);
        self.require(same, || format!("I3: index {index} has two leaves"));
    }

    /// Takes in the leaves up to `size` as the engine has them now.
    fn extend(&mut self, size: TreeSize) {
        let memory = self.memory.clone();
        for index in self.leaves.len() as u64..size.get() {
            let at = LeafIndex::new(index);
            let Some(leaf) = memory.leaf(at).ok().flatten() else {
                return self.require(false, || {
                    format!("I2: a checkpoint of {size} is signed, and leaf {index} is nowhere")
                });
            };
            self.told(at, &leaf);
            self.judge(at, &leaf);
            let hash = leaf_hash(&leaf);
            self.leaves.push(hash);
            self.range.append(hash);
            self.roots.push(self.range.root());
            self.counts.entries += 1;
        }
    }

    fn judge(&mut self, index: LeafIndex, bytes: &[u8]) {
        let keys = &self.keys;
        let leaf = match leaf::check(ORIGIN, bytes, |raw| keys.admit(raw)) {
            Ok(leaf) => leaf,
            Err(broken) => return self.require(false, || format!("I7: leaf {index}: {broken}")),
        };
        let order = leaf.check_order(self.last_time);
        self.require(order.is_ok(), || format!("time goes back at {index}: {}", said(order.err())));
        self.last_time = leaf.logged_at().or(self.last_time);
        let ruled = self.ledger.push(index, leaf.entry());
        self.require(ruled.is_ok(), || format!("I7: leaf {index} breaks a rule: {}", said(ruled.err())));
        let refused = leaf.hash().filter(|claim| self.refused_for_ever.contains(claim));
        self.require(refused.is_none(), || format!("leaf {index} was refused for ever"));
        if let Entry::Event(event) = leaf.entry()
            && matches!(event.event().body(), Body::Identity(_))
        {
            self.counts.identity_events += 1;
        }
    }

    fn ledger_has(&self, claim: ClaimHash) -> bool {
        let index = self.memory.claim(&claim.get()).ok().flatten();
        index.is_some_and(|index| index.get() < self.leaves.len() as u64)
    }
}

fn said(error: Option<impl fmt::Display>) -> String {
    error.map(|error| error.to_string()).unwrap_or_default()
}
