//! Following one log: each checkpoint against all before it, each entry against the tree and the rules, each
//! other view against ours.
//!
//! ```text
//! checkpoint ▶ signature ▶ not smaller ▶ right edge gives the root ▶ our tree is its beginning ▶ believed
//!   then, by 16 bundles: tile against the tree ▶ entries against the tile ▶ rules ▶ our tree against theirs
//!   ▶ findings written ▶ alerts appended ▶ state replaced, which makes both count
//! ```
//! Whoever is believed is so because of hashes: our own tree is built from the entries alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::{DsseEntry, Entry, LogTime};
use attestation::finding::{BadEntry, Finding, MAX_CLOCK_DIFFERENCE, Proof, ProvenLeaf, Shrink, Stale};
use attestation::leaf::{self, BrokenRule, Leaf};
use log_client::ReadError;
use rayon::prelude::*;
use tlog::checkpoint::Checkpoint;
use tlog::fork::{FindError, Fork, ForkError};
use tlog::key::{AdmittedKeys, VerifierKey};
use tlog::merkle::{self, inclusion, leaf_hash, root_of};
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::reader::Want;
use tlog::tile::{Resource, TILE_WIDTH, Tile};
use tlog::{LeafIndex, TreeSize, bundle};

use self::staged::{Bad, Staged};
use crate::Failure;
use crate::alert::{self, Alerts};
use crate::earlier::Earlier;
use crate::finding::{Findings, Kept};
use crate::identities::Identities;
use crate::metrics;
use crate::progress::Progress;
use crate::source::{Source, StoredEnvelope, in_parallel};
use crate::state::{Seen, State, StateFile};
use crate::tree::{SignedTree, TreeError, edge_proof};

mod staged;
mod views;

/// Which log, by whose word.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Its name.
    pub(crate) origin: String,
    /// Its keys.
    pub(crate) keys: Vec<VerifierKey>,
    /// The witnesses and the quorum.
    pub(crate) policy: Policy,
}

/// Somebody else's view of the log.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// A name for people: the witness's, or the URL.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) source: Source,
    /// Whether it serves the log, tiles and all, or only what a witness cosigned.
    pub(crate) is_log: bool,
    /// A witness's keys, which are those of the policy that have this URL.
    pub(crate) keys: Vec<VerifierKey>,
}

/// What is looked at, and how patiently.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How old the newest cosignature may be.
    pub(crate) stale_after: Duration,
    /// How long another view may be ahead.
    pub(crate) ahead_after: Duration,
    /// Whose entries are alerts.
    pub(crate) watch: BTreeSet<Did>,
    /// Whether envelopes are asked for.
    pub(crate) envelopes: bool,
}

/// A log that is followed.
pub(crate) struct Follower {
    log: Log,
    source: Source,
    views: Vec<View>,
    settings: Settings,
    file: StateFile,
    state: State,
    alerts: Alerts,
    identities: Identities,
    earlier: Earlier,
    findings: Findings,
    keys: AdmittedKeys,
    /// What each view showed last and was found to be of our tree.
    agreed: HashMap<String, String>,
}

/// What one look at the log and its views gave.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// What was found, again or for the first time.
    pub(crate) found: Vec<Found>,
    /// What could not be checked of the log itself.
    pub(crate) unchecked: Option<Failure>,
    /// Views that could not be read: the log was checked all the same.
    pub(crate) unread: Vec<Failure>,
}

/// A finding, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its class.
    pub(crate) class: &'static str,
    /// What it is, for people.
    pub(crate) detail: String,
    /// Its file; none if there are too many of its class.
    pub(crate) path: Option<PathBuf>,
    /// Whether it was not known before.
    pub(crate) is_new: bool,
}

/// Why a look at the log ended early.
enum Stop {
    /// Something could not be read: another time.
    Unchecked(Failure),
    /// A finding stands in the way.
    Found,
    /// Our own disk: the process ends, and begins again from what is there.
    Fatal(Failure),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Unchecked(cannot_read(error))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fatal(failure)
    }
}

impl Follower {
    /// Goes on where the state stopped.
    pub(crate) fn new(
        log: Log,
        source: Source,
        views: Vec<View>,
        settings: Settings,
        folder: &std::path::Path,
        findings: Findings,
    ) -> Result<Self, Failure> {
        let (file, state) = StateFile::open(folder, &log.origin)?;
        let alerts = Alerts::open(folder, state.alerts_bytes)?;
        let identities = Identities::open(folder, state.identities_bytes)?;
        let earlier = Earlier::open(folder, state.size())?;
        let (keys, agreed) = (AdmittedKeys::default(), HashMap::new());
        Ok(Self {
            log,
            source,
            views,
            settings,
            file,
            state,
            alerts,
            identities,
            earlier,
            findings,
            keys,
            agreed,
        })
    }

    /// How many entries were checked.
    pub(crate) fn size(&self) -> TreeSize {
        self.state.size()
    }

    /// Leaves by kind, over all time.
    pub(crate) fn leaves(&self) -> &BTreeMap<String, u64> {
        &self.state.leaves
    }

    /// Envelopes by what the log had of them when they were asked for, over all time.
    pub(crate) fn envelopes(&self) -> &BTreeMap<String, u64> {
        &self.state.envelopes
    }

    /// The record of alerts.
    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Looks at the log and at its other views once. An error is of our own disk: the caller ends.
    pub(crate) fn poll(&mut self, now: LogTime) -> Result<Round, Failure> {
        let mut round = Round::default();
        match self.follow(now, &mut round) {
            Ok(()) | Err(Stop::Found) => (),
            Err(Stop::Unchecked(failure)) => round.unchecked = Some(failure),
            Err(Stop::Fatal(failure)) => return Err(failure),
        }
        match self.compare_views(now, &mut round) {
            Ok(()) | Err(Stop::Found) => (),
            Err(Stop::Unchecked(failure)) => round.unread.push(failure),
            Err(Stop::Fatal(failure)) => return Err(failure),
        }
        metrics::polled(round.unchecked.is_none());
        Ok(round)
    }

    /// The log's own view.
    fn follow(&mut self, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let shown = self.read_note(&self.source.checkpoint()?, self.source.url(), now)?;
        metrics::published(shown.checkpoint.size);
        self.look_at_cosignatures(&shown, now, round)?;
        let Some(known) = self.state.known.clone() else {
            return self.grow(shown, now, round);
        };
        if shown.checkpoint.size < known.checkpoint.size {
            return self.shrunk(known, shown, now, round);
        }
        if shown.checkpoint.size > known.checkpoint.size {
            return self.grow(shown, now, round);
        }
        if shown.checkpoint.root != known.checkpoint.root {
            let fork = Fork::of_one_size(known.note, shown.note).map_err(not_a_fork)?;
            return self.forked(fork, "the log shows two trees of one size", now, round);
        }
        // Cosignatures may have come; when the text was first seen does not change.
        let at = if shown.note.text() == known.note.text() { known.at } else { now };
        let changed = shown.note != known.note;
        self.state.known = Some(Seen { at, ..shown });
        if changed {
            self.file.write(&self.state)?;
        }
        self.catch_up(now, round)
    }

    /// Reads a note that the log must have signed.
    fn read_note(&self, bytes: &[u8], of: &str, now: LogTime) -> Result<Seen, Stop> {
        let cannot = |e: &dyn std::error::Error| {
            Stop::Unchecked(Failure::new(format!("the checkpoint at {of} cannot be believed: {e}")))
        };
        let note = Note::parse(bytes).map_err(|e| cannot(&e))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|e| cannot(&e))?;
        let signed = note.verify(&self.log.keys).map_err(|e| cannot(&e))?;
        if checkpoint.origin != self.log.origin || signed.is_empty() {
            let fact = format!("the checkpoint at {of} is not signed by {}", self.log.origin);
            return Err(Stop::Unchecked(Failure::new(fact).hint("is this the log that the policy names?")));
        }
        Ok(Seen::new(note, checkpoint, now))
    }

    /// Quorum and age of what the log shows.
    fn look_at_cosignatures(&mut self, shown: &Seen, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        metrics::quorum(self.log.policy.quorum(&shown.note).is_ok());
        if self.log.policy.witnesses().is_empty() {
            // An idle log that nobody cosigns looks like one that hides something: nothing tells them apart.
            return Ok(());
        }
        let times = self.log.policy.witnesses().iter().filter_map(|witness| {
            let key = std::slice::from_ref(&witness.vkey);
            let time = shown.note.verify(key).ok()?.first()?.time?;
            metrics::cosigned(&witness.name, time);
            // One of the future would keep the log fresh until then.
            let millis = time.as_secs().saturating_mul(1_000);
            (millis <= now.as_millis().saturating_add(MAX_CLOCK_DIFFERENCE)).then_some(millis)
        });
        let newest = times.max();
        // A log that shows new trees and no cosignature is as old as the last one that had one.
        let fresh = newest.and_then(LogTime::from_millis).max(self.state.fresh).unwrap_or(now);
        self.state.fresh = Some(fresh);
        let since = newest.unwrap_or(fresh.as_millis());
        let limit = self.settings.stale_after.as_millis() as u64;
        if now.as_millis().saturating_sub(since) < limit || limit == 0 {
            return Ok(());
        }
        let detail = match newest {
            Some(_) => format!("the newest cosignature on size {} is of {since} ms", shown.checkpoint.size),
            None => {
                format!(
                    "no known witness has cosigned size {}, or anything since {since} ms",
                    shown.checkpoint.size
                )
            }
        };
        let stale = Stale { checkpoint: shown.note.clone(), stale_after: limit, ahead: None };
        self.report(Proof::Stale(stale), &detail, now, round)
    }

    fn shrunk(&mut self, known: Seen, shown: Seen, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let detail = format!("size {} is shown after size {}", shown.checkpoint.size, known.checkpoint.size);
        let shrink = Shrink {
            larger: known.note,
            larger_seen_at: known.at,
            smaller: shown.note.clone(),
            smaller_seen_at: now,
        };
        self.report(Proof::Shrink(shrink), &detail, now, round)?;
        self.judge_past(&shown, "the log", now, round)
    }

    /// A larger checkpoint than any before.
    fn grow(&mut self, shown: Seen, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let source = self.source.clone();
        let tree = match SignedTree::open(&source, &shown.checkpoint) {
            Ok(tree) => tree,
            Err(TreeError::Edge(tiles)) => {
                let detail = format!(
                    "the tiles at the right edge of size {} do not give its root",
                    shown.checkpoint.size
                );
                self.report(edge_proof(&shown.note, tiles), &detail, now, round)?;
                return Err(Stop::Found);
            }
            Err(TreeError::Fetch(error)) => return Err(error.into()),
            Err(error @ TreeError::Tile { .. }) => unreachable!("only partial tiles were read: {error}"),
        };
        if let Some(known) = &self.state.known {
            let prefix =
                self.read_tree(&tree, &shown.note, merkle::root(&tree, known.checkpoint.size), now, round)?;
            if prefix != known.checkpoint.root {
                let fork = Fork::find(known.note.clone(), shown.note.clone(), &tree);
                let fork = self.found_fork(fork, &tree, &shown.note, now, round)?;
                return self.forked(fork, "a larger tree does not begin with the one before", now, round);
            }
        }
        // From here on this is the largest checkpoint that was believed: its own entries are still to come.
        self.state.known = Some(shown.clone());
        self.file.write(&self.state)?;
        self.catch_up_in(&tree, now, round)
    }

    /// What a killed process left to do, if anything.
    fn catch_up(&mut self, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let Some(known) = self.state.known.clone().filter(|known| known.checkpoint.size > self.state.size())
        else {
            metrics::followed(self.state.size());
            return Ok(());
        };
        let source = self.source.clone();
        match SignedTree::open(&source, &known.checkpoint) {
            Ok(tree) => self.catch_up_in(&tree, now, round),
            Err(TreeError::Edge(tiles)) => {
                let detail = format!(
                    "the tiles at the right edge of size {} do not give its root",
                    known.checkpoint.size
                );
                self.report(edge_proof(&known.note, tiles), &detail, now, round)
            }
            Err(TreeError::Fetch(error)) => Err(error.into()),
            Err(error @ TreeError::Tile { .. }) => unreachable!("only partial tiles were read: {error}"),
        }
    }

    /// Checks the entries up to the size of `tree`, which is that of the known checkpoint.
    fn catch_up_in(&mut self, tree: &SignedTree<'_>, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let known = self.state.known.clone().expect("a checkpoint was believed");
        let size = known.checkpoint.size.get();
        let progress = Progress::over_entries(self.state.size().get(), size);
        while self.state.size().get() < size {
            let first = self.state.size().get() / TILE_WIDTH;
            let chunk = if self.settings.envelopes { 1 } else { CHUNK_TILES };
            let last = (first + chunk).min(size.div_ceil(TILE_WIDTH));
            let tiles: Vec<Tile> = (first..last).map(|index| tree.tile_at(0, index)).collect();
            let leaves = self.read_leaves(tree, &known.note, &tiles, now, round)?;
            self.take(tree, &known, leaves, now, round)?;
            progress.reach(self.state.size().get());
            metrics::followed(self.state.size());
        }
        progress.finish();
        metrics::followed(self.state.size());
        Ok(())
    }

    /// The entries under some tiles, from the first that was not checked on. Tiles are held against the tree,
    /// entries against the tiles.
    fn read_leaves(
        &self,
        tree: &SignedTree<'_>,
        note: &Note,
        tiles: &[Tile],
        now: LogTime,
        round: &mut Round,
    ) -> Result<Vec<(LeafIndex, Vec<u8>)>, Stop> {
        let full = tiles.iter().filter(|tile| tile.is_full()).map(|tile| Want::hashes(*tile));
        let wants: Vec<_> = tiles.iter().map(|tile| Want::entries(*tile)).chain(full).collect();
        let mut fetched = tree.source().all(&wants);
        let hash_tiles = fetched.split_off(tiles.len());
        for (want, bytes) in wants[tiles.len()..].iter().zip(hash_tiles) {
            tree.keep(want.tile, bytes?);
        }
        let mut leaves = Vec::new();
        for (tile, bytes) in tiles.iter().zip(fetched) {
            let bytes = bytes?;
            let hashes = self.read_tree(tree, note, tree.tile(*tile), now, round)?;
            let entries = bundle::parse(&bytes).unwrap_or_default();
            if !entries.iter().map(|entry| leaf_hash(entry)).eq(hashes.iter().copied()) {
                let detail =
                    format!("`{}` does not hold the entries of the signed tree", tile.entries_path());
                let proof = tree.proof(note, *tile, Resource::Entries, bytes, root_of(&hashes));
                let proof = self.read_tree(tree, note, proof, now, round)?;
                self.report(proof, &detail, now, round)?;
                return Err(Stop::Found);
            }
            let places = (tile.index() * TILE_WIDTH..).map(LeafIndex::new);
            let is_new = |(index, _): &(LeafIndex, &[u8])| index.get() >= self.state.size().get();
            leaves.extend(places.zip(entries).filter(is_new).map(|(index, entry)| (index, entry.to_vec())));
        }
        Ok(leaves)
    }

    /// Checks entries of the tree by the rules, and makes them part of ours.
    fn take(
        &mut self,
        tree: &SignedTree<'_>,
        known: &Seen,
        leaves: Vec<(LeafIndex, Vec<u8>)>,
        now: LogTime,
        round: &mut Round,
    ) -> Result<(), Stop> {
        let (origin, keys) = (self.log.origin.as_str(), &self.keys);
        let checked: Vec<Result<Leaf, BrokenRule>> =
            leaves.par_iter().map(|(_, leaf)| leaf::check(origin, leaf, |raw| keys.admit(raw))).collect();
        let mut next = self.state.clone();
        let mut lines = Vec::new();
        let mut staged = Staged::default();
        for ((index, bytes), checked) in leaves.iter().zip(&checked) {
            let in_order = |leaf: &Leaf| leaf.check_order(next.last.map(|(_, at)| at));
            let behind = match checked {
                Ok(leaf) => staged.check(&mut self.identities, &self.earlier, leaf, *index, bytes)?,
                Err(_) => None,
            };
            let broken = checked.as_ref().map_err(Clone::clone).and_then(in_order).err();
            if let Some(broken) = broken {
                let is_order = matches!(broken, BrokenRule::LoggedAtOrder { .. });
                let earlier = next.last.filter(|_| is_order).map(|(index, _)| index);
                let bad = Bad { earlier, ..Bad::alone(*index, bytes, broken) };
                self.bad_entry(tree, known, bad, now, round)?;
            }
            if let Some(bad) = behind {
                self.bad_entry(tree, known, bad, now, round)?;
            }
            if let Ok(leaf) = checked {
                // A time that went back does not lower the bar for those behind it.
                let at = leaf.logged_at().filter(|at| next.last.is_none_or(|(_, last)| *at >= last));
                next.last = at.map(|at| (*index, at)).or(next.last);
                if let Some(did) = leaf.did().filter(|did| self.settings.watch.contains(did)) {
                    lines.extend(alert::line(&self.log.origin, *index, did, bytes, leaf.entry(), now));
                }
            }
            *next.leaves.entry(kind_of(checked).to_owned()).or_default() += 1;
            next.edge.append(leaf_hash(bytes), |_, _| ());
        }
        let envelopes = if self.settings.envelopes { self.look_at_envelopes(&checked)? } else { Vec::new() };
        envelopes.iter().for_each(|state| *next.envelopes.entry((*state).to_owned()).or_default() += 1);
        let theirs = self.read_tree(tree, &known.note, merkle::root(tree, next.size()), now, round)?;
        if theirs != next.edge.root() {
            // Every hash was held against the tree that begins with ours: only a wrong state is left.
            let fact = format!(
                "the state's tree of size {} is not the one that was checked before",
                self.state.size()
            );
            return Err(Failure::new(fact)
                .hint("remove the folder --dir to check the log from its first entry")
                .into());
        }
        // Findings are on the disk; the alerts count, and the entries are done with, once the state is.
        next.alerts_bytes = self.alerts.append(&lines)?;
        next.identities_bytes = self.identities.append(&staged.events, staged.states.into_values())?;
        self.earlier.sync()?;
        self.file.write(&next)?;
        for checked in &checked {
            metrics::leaf(kind_of(checked));
        }
        envelopes.iter().for_each(|state| metrics::envelope(state));
        self.state = next;
        Ok(())
    }

    fn bad_entry(
        &self,
        tree: &SignedTree<'_>,
        known: &Seen,
        bad: Bad<'_>,
        now: LogTime,
        round: &mut Round,
    ) -> Result<(), Stop> {
        let size = known.checkpoint.size;
        let mut prove = |index, bytes| {
            let proof = inclusion::prove(tree, index, size);
            let proof = self.read_tree(tree, &known.note, proof, now, round)?;
            Ok::<_, Stop>(ProvenLeaf { index, bytes, proof })
        };
        let leaf = prove(bad.index, bad.bytes.to_vec())?;
        let earlier = match bad.earlier {
            None => None,
            Some(index) => Some(prove(index, self.read_entry(tree, index)?)?),
        };
        let identity = bad.identity.into_iter().map(|event| prove(event.index, event.leaf));
        let identity = identity.collect::<Result<_, _>>()?;
        let references = bad.references.into_iter().map(|index| prove(index, self.read_entry(tree, index)?));
        let references = references.collect::<Result<_, _>>()?;
        let detail = format!("leaf {}: {}", bad.index, bad.broken);
        let rule = bad.broken.rule();
        let bad = BadEntry { checkpoint: known.note.clone(), leaf, rule, earlier, identity, references };
        self.report(Proof::BadEntry(bad), &detail, now, round)
    }

    /// An entry that was checked before.
    fn read_entry(&self, tree: &SignedTree<'_>, index: LeafIndex) -> Result<Vec<u8>, Stop> {
        let tile = tree.tile_at(0, index.get() / TILE_WIDTH);
        let bytes = tree.source().fetch(Want::entries(tile))?;
        let at = (index.get() % TILE_WIDTH) as usize;
        let entry = bundle::parse(&bytes).ok().and_then(|entries| Some(entries.get(at)?.to_vec()));
        let gone = || Stop::Unchecked(Failure::new(format!("the log no longer serves the entry {index}")));
        entry.ok_or_else(gone)
    }

    /// Envelopes that the log has not, or has no more, are counted; what it has must be what was signed.
    fn look_at_envelopes(&self, leaves: &[Result<Leaf, BrokenRule>]) -> Result<Vec<&'static str>, Stop> {
        fn public(leaf: &Result<Leaf, BrokenRule>) -> Option<&DsseEntry> {
            match leaf.as_ref().map(Leaf::entry) {
                Ok(Entry::Dsse(entry)) if entry.claim().listing().is_some() => Some(entry),
                _ => None,
            }
        }
        let entries: Vec<&DsseEntry> = leaves.iter().filter_map(public).collect();
        let (source, keys) = (&self.source, &self.keys);
        let state = |entry: &&DsseEntry| {
            let hash = entry.claim().envelope_hash();
            // Checked as it comes: all envelopes of these leaves would be gigabytes.
            let state = match source.envelope(&hash)? {
                StoredEnvelope::Withheld => "withheld",
                StoredEnvelope::Erased => "erased",
                StoredEnvelope::TooLong => "too-long",
                StoredEnvelope::Present(bytes) => match check_envelope(keys, entry, &bytes) {
                    Ok(()) => "present",
                    Err(what) => {
                        // Nothing that the log signed says what it serves here, so there is no proof to keep.
                        tracing::warn!(envelope = %hash, what, "the log serves another envelope than was signed");
                        "wrong"
                    }
                },
            };
            Ok::<_, ReadError>(state)
        };
        in_parallel(&entries, state).into_iter().map(|state| Ok(state?)).collect()
    }

    /// What was read of a tree; a tile that is not the tree's is a finding.
    fn read_tree<T>(
        &self,
        tree: &SignedTree<'_>,
        note: &Note,
        read: Result<T, TreeError>,
        now: LogTime,
        round: &mut Round,
    ) -> Result<T, Stop> {
        match read {
            Ok(read) => Ok(read),
            Err(TreeError::Fetch(error)) => Err(error.into()),
            Err(error) => {
                let detail = error.to_string();
                let proof = tree.proof_of(note, error)?;
                self.report(proof, &detail, now, round)?;
                Err(Stop::Found)
            }
        }
    }

    fn found_fork(
        &self,
        fork: Result<Fork, FindError<TreeError>>,
        tree: &SignedTree<'_>,
        note: &Note,
        now: LogTime,
        round: &mut Round,
    ) -> Result<Fork, Stop> {
        match fork {
            Ok(fork) => Ok(fork),
            Err(FindError::Read(error)) => self.read_tree(tree, note, Err(error), now, round),
            Err(FindError::Fork(error)) => Err(not_a_fork(error)),
        }
    }

    fn forked(&self, fork: Fork, detail: &str, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        self.report(Proof::Fork(fork), detail, now, round)?;
        Err(Stop::Found)
    }

    /// Keeps a finding, durably, and tells of it.
    fn report(&self, proof: Proof, detail: &str, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let class = proof.class();
        let finding = Finding::new(&self.log.origin, self.log.keys.clone(), now, detail, proof);
        let (path, is_new) = match self.findings.keep(&finding)? {
            Kept::New(path) => (Some(path), true),
            Kept::Known(path) => (Some(path), false),
            Kept::Full => (None, true),
        };
        if is_new {
            metrics::found(class);
        }
        // What is not kept is told once a look: a log can break a rule with every leaf.
        if path.is_none() && round.found.iter().any(|found| found.class == class && found.path.is_none()) {
            return Ok(());
        }
        round.found.push(Found { class, detail: finding.detail().to_owned(), path, is_new });
        Ok(())
    }
}

/// Whether an envelope is the one that an entry is about.
fn check_envelope(keys: &AdmittedKeys, entry: &DsseEntry, bytes: &[u8]) -> Result<(), String> {
    let envelope = Envelope::parse(bytes).map_err(|e| e.to_string())?;
    if envelope.hash() != entry.claim().envelope_hash() {
        return Err("its hash is another".to_owned());
    }
    let key = keys.admit(entry.claim().verifier()).map_err(|e| e.to_string())?;
    entry.pending().check_published(&envelope, &key).map(|_| ()).map_err(|e| e.to_string())
}

/// A kind for counting: those of our own formats by name, the rest as one.
fn kind_of(leaf: &Result<Leaf, BrokenRule>) -> &'static str {
    match leaf.as_ref().map(Leaf::entry) {
        Err(_) => "bad",
        Ok(Entry::Dsse(_)) => "dsse",
        Ok(Entry::Event(_)) => "aip-event",
        Ok(Entry::NotUnderstood { kind, .. }) => {
            let known = ["dsse", "hashedrekord", "aip-event", "aip-index", "aip-log"];
            known.into_iter().find(|known| known == kind).unwrap_or("other")
        }
    }
}

fn cannot_read(error: ReadError) -> Failure {
    let failure = Failure::new(error.to_string());
    match std::error::Error::source(&error) {
        None => failure,
        Some(_) => Failure::new("cannot read the log").caused_by(error),
    }
}

fn cannot_use(view: &str, error: &TreeError) -> Stop {
    Stop::Unchecked(Failure::new(format!("{view}: {error}")))
}

/// Roots that differ are a fork unless the hashes that were read are wrong; those were checked.
fn not_a_fork(error: ForkError) -> Stop {
    Stop::Unchecked(Failure::new("two roots differ and no fork is shown").caused_by(error))
}

/// Bundles that are checked between two writes of the state; of 16 MiB at most, and usually a hundredth. With envelopes
/// it is one: a run that has only so much time keeps what it checked.
const CHUNK_TILES: u64 = 16;
