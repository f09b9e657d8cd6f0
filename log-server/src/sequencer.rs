//! The one writer of a log: index and time, tiles, commit, checkpoint, publication.
//!
//! A round, and what a crash after each step means:
//!
//! | step | a crash after it |
//! |---|---|
//! | entries get index and time; tree, tiles, root are computed | nothing happened |
//! | **commit**: one synced write of entries, tiles, indexes and state | the entries are in the log: the next start signs them |
//! | the checkpoint is signed and recorded, in the file and in the database | the next start publishes it |
//! | the cosigned note is recorded | the next start shows it |
//! | **publish**: readers see it, waiters are answered | – |
//!
//! After any failed write the process stops, and the next start learns from the disk what happened (I5). A start takes
//! the same path as a round: [`Sequencer::open`] ends in the same `publish`.

use std::sync::Arc;
use std::time::Duration;

use attestation::entry::LogTime;
use log_core::log_keys::LogKeys;
use tlog::LeafIndex;
use tlog::merkle::leaf_hash;
use tokio::sync::watch;

use crate::clock::{ClockGuard, ClockJump};
use crate::cosign::{Ask, Cosigning, Gathering, Outcome};
use crate::integrate::{Integrated, Tree};
use crate::metrics;
use crate::pool::{Committed, NotTaken, Pending, Unavailable};
use crate::registry::{Keys, News, Registry, Staged, put_keys};
use crate::signed_record::SignedRecord;
use crate::store::schema::{self, Read as _, TreeState};
use crate::store::{Batch, Store, StoreError};
use crate::view::{Published, TileCache, View};

pub(crate) mod opening;
mod publication;

use opening::{SignedBefore, SignedNote};
use publication::Candidate;

pub use opening::OpenError;
pub use publication::{Publication, Rhythm};

/// What the operator vouches for and a log cannot know by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accept {
    /// The wall clock is right, although the last entry or the witnesses contradict it.
    pub clock: bool,
    /// The directory is the newest copy, although the file that records what was signed is older than it.
    pub older_record: bool,
}

/// Reads the wall clock (Unix milliseconds) and the monotonic clock.
pub type Clocks = Box<dyn Fn() -> (u64, Duration) + Send>;

/// The writer. Owns the tree; everybody else sees what it publishes.
pub struct Sequencer {
    store: Arc<dyn Store>,
    identity: Arc<LogKeys>,
    record: SignedRecord,
    clocks: Clocks,
    guard: ClockGuard,
    /// When the log ran, as it is written.
    seen: Option<u64>,
    state: TreeState,
    tree: Tree,
    registry: Arc<Registry>,
    tiles: Arc<TileCache>,
    publication: Publication,
    /// Signed, and waiting for its quorum.
    candidate: Option<Candidate>,
    /// The cosignatures on what is published.
    shown: Option<Gathering>,
    /// When, on the monotonic clock, a checkpoint was signed last, and witnesses were asked last.
    signed_at: Duration,
    asked_at: Duration,
    published: watch::Sender<Arc<Published>>,
    cosigning: watch::Sender<Cosigning>,
    clock_stopped: watch::Sender<Option<String>>,
}

impl Sequencer {
    /// Opens the log and finishes what a crash interrupted. Refuses a store that is behind a checkpoint that the log
    /// signed, by its own records or by what a witness shows.
    pub fn open(
        store: Arc<dyn Store>,
        identity: impl Into<Arc<LogKeys>>,
        record: SignedRecord,
        clocks: Clocks,
        accept: Accept,
        publication: Publication,
    ) -> Result<Self, OpenError> {
        let identity = identity.into();
        let state = store.tree_state()?.ok_or(OpenError::NoTree)?;
        let tree = opening::load_tree(&*store, &state)?;
        let signed = opening::signed_before(&*store, &record, &identity)?;
        signed.check(&*store, &state, &tree, accept)?;
        signed.renew(&record)?;
        let published = opening::published_before(&*store, &state, &tree, &identity)?;
        metrics::opened(state.size, published.size().get());
        let (wall, mono) = clocks();
        // A log of an earlier release knows only its last entry.
        let seen = store.seen()?.max((state.size > 0).then_some(state.logged_at));
        let cosigning = Cosigning::new(&publication.policy);
        let registry = Arc::new(Registry::new(store.clone(), state.tree_size()));
        let mut sequencer = Self {
            store,
            identity,
            record,
            clocks,
            guard: ClockGuard::new(wall, mono, seen, accept.clock),
            seen,
            state,
            tree,
            registry,
            tiles: Arc::default(),
            publication,
            candidate: None,
            shown: None,
            signed_at: mono,
            asked_at: mono,
            published: watch::Sender::new(Arc::new(published)),
            cosigning: watch::Sender::new(cosigning),
            clock_stopped: watch::Sender::new(None),
        };
        sequencer.take_up(signed)?;
        sequencer.tend()?;
        Ok(sequencer)
    }

    /// Asks the witnesses again about a checkpoint that was signed and not published. Every witness that can be reached
    /// is heard before anything new is signed.
    fn take_up(&mut self, signed: SignedBefore) -> Result<(), OpenError> {
        let published = self.published.borrow().clone();
        if published.is_signed() {
            let shown = self.gathering(&published.note);
            self.say_if_shown_below_quorum(&published.checkpoint, &shown);
            // What the witnesses cosigned, by their own lines. A witness may have forgotten it meanwhile.
            self.cosigning.send_modify(|cosigning| {
                for (name, time) in shown.times() {
                    let health = cosigning.witnesses.iter_mut().find(|health| health.name == name);
                    health.into_iter().for_each(|health| health.cosigned = Some((published.size(), time)));
                }
            });
            self.shown = Some(shown);
        }
        let mut last = signed.last();
        if published.is_signed() && published.size() > last.checkpoint.size {
            // `recover` brought back what was published after either record: that is what was signed last.
            let note = self.gathering(&published.note).own().clone();
            let written = self.record.write(&note.to_string());
            written.map_err(|e| StoreError::new("write the signed record", e))?;
            last = SignedNote { checkpoint: published.checkpoint.clone(), note };
        }
        let gathering = self.gathering(&last.note);
        let own = gathering.own().clone();
        let shown = opening::show(&*self.store, &self.tree, &self.identity, last.checkpoint, last.note)?;
        let view = View::new(self.store.clone(), self.tiles.clone(), Arc::new(shown.clone()));
        if !published.is_signed() || shown.size() > published.size() {
            self.candidate = Some(Candidate::new(shown, gathering, (self.clocks)().1));
        }
        for answer in self.publication.cosigners.survey(Ask { note: own, view }) {
            if let Outcome::Objects { shown: Some(shown), .. } = &answer.outcome
                && let Some(cause) = self.judge(shown)?
            {
                self.keep_shown(shown)?;
                return Err(OpenError::WitnessKnowsMore { witness: answer.witness, cause });
            }
            self.take(answer)?;
        }
        Ok(())
    }

    /// What is published, now and later.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// How publication stands.
    pub fn cosigning(&self) -> watch::Receiver<Cosigning> {
        self.cosigning.subscribe()
    }

    /// The states of DIDs as committed, to be shared with admission.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Full tiles in memory, to be shared with readers.
    pub fn tiles(&self) -> Arc<TileCache> {
        self.tiles.clone()
    }

    /// Why sequencing stands still because of the clock, if it does.
    pub fn clock_stopped(&self) -> watch::Receiver<Option<String>> {
        self.clock_stopped.subscribe()
    }

    /// One round. When it returns `Ok`, all of `batch` is answered, and published unless the witnesses are still asked.
    /// After an error the process must stop.
    pub fn round(&mut self, batch: Vec<Pending>) -> Result<(), FatalError> {
        let time = match self.log_time() {
            Ok(time) => time,
            Err(jump) => {
                let refusal = Err(Unavailable::Clock(jump.to_string()).into());
                batch.into_iter().for_each(|pending| pending.answer(&refusal));
                return Ok(());
            }
        };
        let round = self.sequence(batch, time)?;
        if !round.new.is_empty() {
            // The point of no return (docs/dev/architecture.md, "The life of an entry"). A crash before this line
            // loses nothing that was promised; after it, `open` finishes the round.
            self.store.write(&round.writes)?;
            metrics::committed(round.new.len(), self.state.size + round.new.len() as u64);
            for (tile, hashes) in round.integrated.tiles {
                self.tiles.keep(tile, hashes);
            }
            self.state = round.state;
            self.tree = round.integrated.tree;
            self.registry.commit(self.state.tree_size(), round.news);
        }
        for (pending, committed) in round.known.into_iter().chain(round.new) {
            pending.answer(&Ok(committed));
        }
        for (pending, refused) in round.refused {
            pending.answer(&Err(refused));
        }
        self.tend()
    }

    /// The time for a round, if the clock can be right. Changes of that are sent to `clock_stopped`.
    fn log_time(&mut self) -> Result<u64, ClockJump> {
        let (wall, mono) = (self.clocks)();
        let verdict = self.guard.log_time(wall, mono, self.state.logged_at);
        let stopped = verdict.err().map(|jump| jump.to_string());
        self.clock_stopped.send_if_modified(|before| {
            if before.is_some() != stopped.is_some() {
                metrics::clock_stopped(stopped.is_some());
                match &stopped {
                    Some(jump) => tracing::error!(
                        jump,
                        "nothing is logged until the clock is right; if it is, start again with --accept-clock"
                    ),
                    None => tracing::warn!("the clock is right again: logging goes on"),
                }
            }
            let is_new = *before != stopped;
            *before = stopped;
            is_new
        });
        verdict
    }

    /// Looks whether a clock that was wrong is right again, and notes now and then that the log runs.
    fn tend_clock(&mut self) -> Result<(), FatalError> {
        let Ok(time) = self.log_time() else { return Ok(()) };
        if self.seen.is_none_or(|seen| time.saturating_sub(seen) > DAY_MILLIS) {
            let mut batch = Batch::default();
            schema::put_seen(&mut batch, time);
            self.store.write(&batch)?;
            self.seen = Some(time);
        }
        Ok(())
    }

    /// Gives index and time, and computes everything the round writes. Nothing is written here.
    fn sequence(&self, batch: Vec<Pending>, time: u64) -> Result<Round, FatalError> {
        let logged_at =
            LogTime::from_millis(time).expect("the clock guard refuses times a leaf cannot carry");
        let mut writes = Batch::default();
        let (mut known, mut new, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut staged = Staged::new(&self.registry);
        let mut hashes = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for pending in batch {
            let claim = pending.admitted.claim.get();
            // Look it up again: the claim may have been committed after it was admitted.
            if let Some(index) = self.store.claim(&claim)? {
                let leaf = self.store.leaf(index)?.ok_or_else(|| missing(index))?;
                known.push((pending, Committed { index, leaf }));
                continue;
            }
            let index = LeafIndex::new(self.state.size + new.len() as u64);
            // Judge it again: another entry may have come before it, even in this round.
            if let Err(rule) = staged.take(&pending.admitted.entry, index)? {
                refused.push((pending, rule.into()));
                continue;
            }
            let leaf = pending.admitted.entry.to_leaf(logged_at);
            hashes.push(leaf_hash(&leaf));
            schema::put_leaf(&mut writes, index, &leaf);
            let keys = Keys::of_pending(&pending.admitted.entry, pending.admitted.claim, index);
            put_keys(&mut writes, &keys, index);
            if let Some((hash, envelope)) = &pending.admitted.envelope {
                // An erased envelope stays erased, even if it is sent again.
                if self.store.envelope(hash)?.is_none() {
                    schema::put_envelope(&mut writes, hash, envelope);
                }
                bytes += envelope.len() as u64;
            }
            bytes += leaf.len() as u64;
            new.push((pending, Committed { index, leaf }));
        }
        let integrated = self.tree.integrate(&hashes);
        for (tile, hashes) in &integrated.tiles {
            schema::put_tile(&mut writes, *tile, hashes);
        }
        let day = time / DAY_MILLIS;
        let spent = if day == self.state.day { self.state.day_bytes } else { 0 };
        let state = TreeState {
            size: integrated.tree.edge().size().get(),
            root: integrated.root.to_string(),
            logged_at: time,
            day,
            day_bytes: spent + bytes,
        };
        schema::put_tree_state(&mut writes, &state);
        Ok(Round { writes, known, new, refused, news: staged.into_news(), integrated, state })
    }
}

/// What one round does.
struct Round {
    writes: Batch,
    known: Vec<(Pending, Committed)>,
    new: Vec<(Pending, Committed)>,
    refused: Vec<(Pending, NotTaken)>,
    news: News,
    integrated: Integrated,
    state: TreeState,
}

/// A write failed: the process must stop.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FatalError(#[from] pub StoreError);

fn missing(index: LeafIndex) -> StoreError {
    StoreError::new("read", format!("leaf {index} is missing"))
}

/// A day of the budget of bytes.
pub(crate) const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;
