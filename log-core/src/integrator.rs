//! The integrator's role: what is ordered becomes a tree, a signed checkpoint and a published one. It holds the key.
//!
//! An entry's way through a log, and what a crash after each step means:
//!
//! | step | a crash after it |
//! |---|---|
//! | entries are admitted, facts are read, the round is planned | nothing happened |
//! | **commit**: [`Order::sequence`](crate::port::Order::sequence) has returned | the entries are in the log: the next start integrates and signs them |
//! | integrated: tiles are put, the tree has moved | the next start signs it |
//! | the checkpoint is signed and recorded, outside and in the engine | the next start publishes it |
//! | the cosigned note is recorded | the next start shows it |
//! | **publish**: readers see it, waiters are answered | – |
//!
//! An engine may do several of these by one write. RocksDB's commits and integrates by one, and publishes by another; without
//! witnesses the latter records the signature, too.
//!
//! A call of the port [`Head`](crate::port::Head) that was lost is made again; one whose outcome is unknown is followed by a look at the
//! heads. An error here means that nobody can tell what is written: the process must stop, and the next start learns it
//! (I5). A start takes the same path as every other turn: [`Integrator::open`] ends in the same `publish`.
//!
//! # The lead
//!
//! One integrator leads, under an epoch. Each of its calls names the epoch, and an engine refuses those of an older one. So
//! an integrator that was paused past its lease changes nothing when it wakes. It may still sign: a size that it had
//! integrated as the leader, whose root is everybody's.

use std::sync::Arc;
use std::time::Duration;

use tlog::TreeSize;
use tlog::note::Note;
use tlog::tile::{TILE_WIDTH, Tile};
use tokio::sync::watch;

use crate::StoreError;
use crate::clock::{ClockGuard, ClockJump};
use crate::cosign::{Ask, Cosigning, Gathering, Outcome};
use crate::integrate::Tree;
use crate::log_keys::LogKeys;
use crate::metrics;
use crate::port::{Epoch, Failed, Heads, IntegratorEngine, Lead, Moved, OrderState, Reads, Record};
use crate::stored::published;
use crate::view::{Published, TileCache, View};

pub mod opening;

mod integration;
mod publication;

use opening::{SignedBefore, SignedNote};
use publication::Candidate;

pub use opening::OpenError;
pub use publication::{Publication, Rhythm, has_room};

/// What the operator vouches for and a log cannot know by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accept {
    /// The wall clock is right, although the last entry or the witnesses contradict it.
    pub clock: bool,
    /// The directory is the newest copy, although the file that records what was signed is older than it.
    pub older_record: bool,
}

/// Reads the wall clock (Unix milliseconds) and the monotonic clock.
pub type Clocks = Box<dyn Fn() -> (u64, Duration) + Send + Sync>;

/// Who asks for the lead, and for how long.
#[derive(Clone, Debug)]
pub struct Candidacy {
    /// For people who look at the lease.
    pub holder: String,
    /// How long a lease is; it is renewed after a third. `None`: the engine is this process's own, and the lead ends with
    /// the process.
    pub lease: Option<Duration>,
}

impl Candidacy {
    /// Of the only process that has the engine.
    pub fn alone() -> Self {
        Self { holder: "alone".into(), lease: None }
    }
}

/// Leads, or waits for the lead. Owns the tree; everybody else sees what it publishes.
pub struct Integrator<E, R> {
    engine: Arc<E>,
    reads: Arc<dyn Reads>,
    keys: Arc<LogKeys>,
    record: R,
    clocks: Clocks,
    guard: ClockGuard,
    accept: Accept,
    candidacy: Candidacy,
    /// `None`: another leads.
    epoch: Option<Epoch>,
    /// When, on the monotonic clock, the lease was taken or renewed, or asked for in vain.
    leased_at: Duration,
    /// Nothing is tried before this moment on the monotonic clock: a call has failed.
    again_at: Option<Duration>,
    /// When the log ran, as it is written.
    seen: Option<u64>,
    ordered: OrderState,
    tree: Arc<Tree>,
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

/// What an integrator is made of.
pub struct Parts<E, R> {
    /// The engine.
    pub engine: Arc<E>,
    /// The log's name and keys.
    pub keys: Arc<LogKeys>,
    /// What was signed, kept outside.
    pub record: R,
    /// Both clocks.
    pub clocks: Clocks,
    /// What the operator vouches for.
    pub accept: Accept,
    /// Who cosigns, and when.
    pub publication: Publication,
    /// Who asks for the lead.
    pub candidacy: Candidacy,
}

impl<E: IntegratorEngine, R: Record> Integrator<E, R> {
    /// Takes the lead if it is free, and finishes what a crash interrupted. Refuses an engine that is behind a checkpoint
    /// that the log signed, by either record or by what a witness shows.
    pub async fn open(parts: Parts<E, R>) -> Result<Self, OpenError> {
        let Parts { engine, keys, record, clocks, accept, publication, candidacy } = parts;
        let heads = engine.heads().await?;
        let (wall, mono) = clocks();
        let nothing = Published::nothing(keys.origin());
        let mut integrator = Self {
            reads: engine.clone(),
            engine,
            record,
            guard: ClockGuard::new(wall, mono, ran_last(&heads), accept.clock),
            clocks,
            accept,
            candidacy,
            epoch: None,
            leased_at: mono,
            again_at: None,
            seen: heads.seen,
            ordered: heads.ordered,
            tree: heads.integrated.clone(),
            tiles: Arc::default(),
            cosigning: watch::Sender::new(Cosigning::new(&publication.policy)),
            publication,
            candidate: None,
            shown: None,
            signed_at: mono,
            asked_at: mono,
            published: watch::Sender::new(Arc::new(nothing)),
            clock_stopped: watch::Sender::new(None),
            keys,
        };
        integrator.stand(&heads).await?;
        integrator.tend().await?;
        Ok(integrator)
    }

    /// Asks for the lead. Who gets it checks everything as at a start, who does not shows what the leader publishes.
    async fn stand(&mut self, heads: &Heads) -> Result<(), OpenError> {
        let lease = self.candidacy.lease.unwrap_or(Duration::MAX);
        self.leased_at = self.mono();
        match self.engine.lead(&self.candidacy.holder, lease).await {
            Ok(Lead::Mine(epoch)) => match self.begin(epoch).await {
                Err(OpenError::Store(error)) => Err(error.into()),
                // What was signed since by another that leads now is no contradiction.
                Err(_) if !self.still_leads(epoch).await? => Ok(()),
                begun => begun,
            },
            Ok(Lead::Another) => Ok(self.follow(heads)?),
            // Whether this one leads is seen from the heads, later. Nothing is done before that.
            Err(Failed::Lost(_)) => Ok(self.follow(heads)?),
            Err(Failed::Unknown(_)) => Ok(self.follow(&self.engine.heads().await?)?),
        }
    }

    /// Begins to lead: what is there is compared with everything that was ever signed.
    async fn begin(&mut self, epoch: Epoch) -> Result<(), OpenError> {
        let heads = self.engine.heads().await?;
        let signed = opening::signed_before(&heads, &self.record, &self.keys).await?;
        signed.check(&*self.engine, &heads.integrated, self.accept)?;
        signed.renew(&self.record).await?;
        let published = opening::published_before(&*self.engine, &heads, &self.keys)?;
        metrics::opened(heads.integrated.edge().size().get(), published.size().get());
        (self.ordered, self.tree, self.seen) = (heads.ordered, heads.integrated.clone(), ran_last(&heads));
        self.candidate = None;
        self.shown = None;
        self.published.send_replace(Arc::new(published));
        self.epoch = Some(epoch);
        self.take_up(signed).await
    }

    /// Asks the witnesses again about a checkpoint that was signed and not published. Every witness that can be reached
    /// is heard before anything new is signed.
    async fn take_up(&mut self, signed: SignedBefore) -> Result<(), OpenError> {
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
            self.record.write(&note.to_string()).await?;
            last = SignedNote { checkpoint: published.checkpoint.clone(), note };
        }
        let gathering = self.gathering(&last.note);
        let own = gathering.own().clone();
        let shown = opening::show(&*self.engine, &self.tree, &self.keys, last.checkpoint, last.note)?;
        let view = View::new(self.reads.clone(), self.tiles.clone(), Arc::new(shown.clone()));
        if !published.is_signed() || shown.size() > published.size() {
            self.candidate = Some(Candidate::new(shown, gathering, self.mono()));
        }
        for answer in self.publication.cosigners.survey(Ask { note: own, view }).await {
            if let Outcome::Objects { shown: Some(shown), .. } = &answer.outcome
                && let Some(cause) = self.judge(shown)?
                && let Some(epoch) = self.epoch
                && self.still_leads(epoch).await?
            {
                self.keep_shown(shown).await?;
                return Err(OpenError::WitnessKnowsMore { witness: answer.witness, cause });
            }
            if self.epoch.is_none() {
                return Ok(());
            }
            self.take(answer).await?;
        }
        Ok(())
    }

    /// Shows what the leader has published.
    fn follow(&mut self, heads: &Heads) -> Result<(), StoreError> {
        (self.epoch, self.candidate, self.shown) = (None, None, None);
        (self.ordered, self.tree) = (heads.ordered, heads.integrated.clone());
        let Some(note) = &heads.published else { return Ok(()) };
        let is_new = self.published.borrow().note.to_string() != note.note;
        if is_new {
            let published = published(&*self.engine, note)?;
            if published.size() >= self.published.borrow().size() {
                self.published.send_replace(Arc::new(published));
            }
        }
        Ok(())
    }

    /// Looks where the heads are, and keeps the lead or asks for it; whether this one leads.
    async fn look(&mut self) -> Result<bool, FatalError> {
        let heads = self.engine.heads().await?;
        let now = self.mono();
        if self.epoch == Some(heads.epoch) {
            self.keep_tiles(self.tree.edge().size(), heads.integrated.edge().size())?;
            (self.ordered, self.tree) = (heads.ordered, heads.integrated);
            if let Some(lease) = self.candidacy.lease
                && now >= self.leased_at + lease / 3
            {
                match self.engine.renew(heads.epoch, lease).await {
                    Ok(Moved::Moved) => self.leased_at = now,
                    Ok(Moved::Another(heads)) => self.follow(&heads)?,
                    Err(failed) => self.failed(failed).await?,
                }
            }
            return Ok(self.epoch.is_some());
        }
        if self.epoch.is_some() {
            tracing::warn!("another integrator leads now");
        }
        self.follow(&heads)?;
        let pause = self.candidacy.lease.unwrap_or_default() / 3;
        if self.cosigning.borrow().halted.is_some() || now < self.leased_at + pause {
            return Ok(false);
        }
        match self.stand(&heads).await {
            Ok(()) => Ok(self.epoch.is_some()),
            Err(OpenError::Store(error)) => Err(error.into()),
            Err(OpenError::Publish(error)) => Err(error),
            Err(refused) => {
                self.halt(refused.to_string());
                Ok(false)
            }
        }
    }

    /// Keeps in memory the tiles that have just become full: the proofs of their entries are asked for next.
    fn keep_tiles(&self, from: TreeSize, to: TreeSize) -> Result<(), StoreError> {
        let to = to.get() / TILE_WIDTH;
        for number in (from.get() / TILE_WIDTH).max(to.saturating_sub(MAX_KEPT))..to {
            let tile = Tile::new(0, number, TILE_WIDTH as u16).expect("a level of every tree");
            if let Some(hashes) = self.engine.tile(tile)? {
                self.tiles.keep(tile, hashes);
            }
        }
        Ok(())
    }

    /// Whether this one, which has begun to lead under `epoch`, leads at this moment. If another does, this one follows.
    pub(crate) async fn still_leads(&mut self, epoch: Epoch) -> Result<bool, StoreError> {
        let heads = self.engine.heads().await?;
        let leads = epoch == heads.epoch;
        if !leads {
            self.follow(&heads)?;
        }
        Ok(leads)
    }

    /// A call has failed. If it is not known what became of it, the heads are looked at, and the next turn goes on from
    /// there. An engine that cannot tell ends the process.
    async fn failed(&mut self, failed: Failed) -> Result<(), FatalError> {
        self.again_at = Some(self.mono() + PAUSE);
        match failed {
            Failed::Lost(error) => tracing::warn!(%error, "a call to the engine was lost, and is made again"),
            Failed::Unknown(error) => {
                tracing::warn!(%error, "what became of a call to the engine is not known: looking");
                let heads = self.engine.heads().await?;
                if self.epoch == Some(heads.epoch) {
                    (self.ordered, self.tree) = (heads.ordered, heads.integrated);
                } else {
                    self.follow(&heads)?;
                }
            }
        }
        Ok(())
    }

    /// Gives up the lead: another may have it at once.
    pub async fn release(&mut self) -> Result<(), FatalError> {
        let Some(epoch) = self.epoch.take() else { return Ok(()) };
        match self.engine.release(epoch).await {
            Ok(_) => Ok(()),
            Err(failed) => self.failed(failed).await,
        }
    }

    /// Whether this one leads.
    pub fn leads(&self) -> bool {
        self.epoch.is_some()
    }

    /// What is published, now and later.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// How publication stands.
    pub fn cosigning(&self) -> watch::Receiver<Cosigning> {
        self.cosigning.subscribe()
    }

    /// Full tiles in memory, to be shared with readers.
    pub fn tiles(&self) -> Arc<TileCache> {
        self.tiles.clone()
    }

    /// Why sequencing stands still because of the clock, if it does.
    pub fn clock_stopped(&self) -> watch::Receiver<Option<String>> {
        self.clock_stopped.subscribe()
    }

    /// The time for a round, if the clock can be right. Changes of that are sent to `clock_stopped`.
    pub(crate) fn log_time(&mut self) -> Result<u64, ClockJump> {
        let (wall, mono) = (self.clocks)();
        let verdict = self.guard.log_time(wall, mono, self.ordered.logged_at);
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
    async fn tend_clock(&mut self, epoch: Epoch) -> Result<(), FatalError> {
        let Ok(time) = self.log_time() else { return Ok(()) };
        if self.seen.is_none_or(|seen| time.saturating_sub(seen) > DAY_MILLIS) {
            match self.engine.saw(epoch, time).await {
                Ok(Moved::Moved) => self.seen = Some(time),
                Ok(Moved::Another(heads)) => self.follow(&heads)?,
                Err(failed) => self.failed(failed).await?,
            }
        }
        Ok(())
    }

    pub(crate) fn gathering(&self, note: &Note) -> Gathering {
        Gathering::new(self.publication.policy.clone(), &self.keys.keys(), note)
    }

    fn mono(&self) -> Duration {
        (self.clocks)().1
    }
}

/// When the log ran last. A log of an earlier release knows only its last entry.
fn ran_last(heads: &Heads) -> Option<u64> {
    let last_entry = (heads.ordered.next > TreeSize::EMPTY).then_some(heads.ordered.logged_at);
    heads.seen.max(last_entry)
}

/// Nobody can tell what is written: the process must stop.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FatalError(#[from] pub StoreError);

/// How long nothing is tried after a call that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// A day of the budget of bytes.
pub const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// The most tiles that are kept in memory at a turn.
const MAX_KEPT: u64 = 64;
