//! The log's own roles, `log_core::orderer` and `log_core::integrator`, in processes of the world: what a server does
//! around them, without HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log_core::admit::{self, Admitted, EntryLimits};
use log_core::integrator::{Accept, Candidacy, Integrator, OpenError, Parts, Publication, Rhythm};
use log_core::log::Log;
use log_core::log_keys::LogKeys;
use log_core::orderer::Orderer;
use log_core::port::{Head as _, Reads};
use log_core::registry::Registry;
use log_core::stored;
use log_core::ticket::{NotTaken, Sequenced, Tickets, Until};
use log_core::view::{Published, TileCache, View};
use testkit::scene::ORIGIN;
use tlog::TreeSize;
use tlog::bundle;
use tlog::key::AdmittedKeys;
use tlog::policy::Policy;
use tlog::tile::{TILE_WIDTH, Tile};

use super::clock::Clock;
use super::cosigners::Asking;
use super::record::SharedRecord;
use super::remote::Remote;
use super::{front, witness_process};

/// A front in one life of its process.
#[derive(Clone)]
struct Front {
    remote: Arc<Remote>,
    clock: Clock,
    tickets: Arc<Tickets>,
    queue: Arc<Mutex<Vec<Admitted>>>,
    published: Arc<Mutex<Arc<Published>>>,
    cache: Arc<TileCache>,
    keys: Arc<AdmittedKeys>,
}

/// Starts a front. `stop` ends the process, and lets it start again later.
pub(super) fn start_front(
    place: front::Place,
    remote: Remote,
    clock: Clock,
    stop: impl Fn(&str) + Send + Sync + Clone + 'static,
) {
    let sim = remote.sim.clone();
    let front = Front::new(remote, clock);
    sim.spawn(place.process(), async move {
        let heads = match front.remote.heads().await {
            Ok(heads) => heads,
            Err(error) => return stop(&error.to_string()),
        };
        let orderer = Orderer::new(front.remote.clone(), &heads.ordered, MAX_PENDING);
        front.serve(&place, stop.clone());
        front.order(orderer, stop).await;
    });
}

/// Starts a process that is both.
pub(super) fn start_both(
    place: front::Place,
    leader: Leader,
    stop: impl Fn(&str) + Send + Sync + Clone + 'static,
) {
    let sim = leader.remote.sim.clone();
    let front = Front::new(leader.remote.clone(), leader.clock.clone());
    sim.spawn(place.process(), async move {
        let mut log = match Log::open(leader.parts()).await {
            Ok(log) => log,
            Err(error) => return leader.not_opened(&error, stop),
        };
        front.serve(&place, stop.clone());
        loop {
            if let Some(halted) = &log.cosigning().borrow().halted {
                leader.remote.checker.require(false, || format!("a sound log halts: {halted}"));
            }
            if let Err(error) = log.tend().await {
                return stop(&error.to_string());
            }
            let batch = if log.takes_entries() { front.batch().await } else { Vec::new() };
            if batch.is_empty() {
                leader.remote.sim.sleep(Duration::from_millis(10)).await;
                continue;
            }
            match log.order(&batch).await {
                Ok(outcomes) => front.tell(&batch, outcomes, &log.registry()),
                Err(error) => return stop(&error.to_string()),
            }
        }
    });
}

impl Front {
    fn new(remote: Remote, clock: Clock) -> Self {
        Self {
            remote: Arc::new(remote),
            clock,
            tickets: Arc::default(),
            queue: Arc::default(),
            published: Arc::new(Mutex::new(Arc::new(Published::nothing(ORIGIN)))),
            cache: Arc::default(),
            keys: Arc::default(),
        }
    }

    /// Answers requests from now on.
    fn serve(&self, place: &front::Place, stop: impl Fn(&str) + Send + 'static) {
        let sim = self.remote.sim.clone();
        let (following, serving) = (self.clone(), self.clone());
        sim.spawn(place.process(), async move { following.follow(stop).await });
        place.serve(&sim, move |asked| {
            let front = serving.clone();
            Box::pin(async move { front.answer(asked).await })
        });
    }

    /// Orders what waits.
    async fn order(self, orderer: Orderer<Remote>, stop: impl Fn(&str)) {
        let sim = &self.remote.sim;
        loop {
            let batch = self.batch().await;
            if batch.is_empty() {
                continue;
            }
            match orderer.order(&batch, self.clock.wall(sim)).await {
                Ok(outcomes) => self.tell(&batch, outcomes, orderer.registry()),
                Err(error) => return stop(&error.to_string()),
            }
        }
    }

    /// What waits after a little while.
    async fn batch(&self) -> Vec<Admitted> {
        let sim = &self.remote.sim;
        let pause = sim.random(|random| random.between(Duration::from_millis(1), Duration::from_millis(30)));
        sim.sleep(pause).await;
        std::mem::take(&mut *lock(&self.queue))
    }

    /// Tells those who wait, and holds what the registry says of one DID against the leaves.
    fn tell(&self, batch: &[Admitted], outcomes: Vec<Sequenced>, registry: &Registry) {
        let Remote { sim, checker, .. } = &*self.remote;
        for committed in outcomes.iter().flatten() {
            checker.told(committed.index, &committed.leaf);
        }
        let did = sim.random(|random| random.one_of(batch).entry.did());
        let size = registry.size();
        if let Ok(state) = registry.state(did) {
            checker.state_of(did, size, state.as_deref());
        }
        let published = lock(&self.published).size();
        let claims = batch.iter().map(|admitted| admitted.claim);
        self.tickets.resolve(claims.zip(outcomes), published);
    }

    /// Shows what the leader publishes.
    async fn follow(self, stop: impl Fn(&str)) {
        let reads: Arc<dyn Reads> = self.remote.clone();
        loop {
            self.remote.sim.sleep(Duration::from_millis(50)).await;
            // Who does not answer now answers the next time.
            let Ok(heads) = self.remote.heads().await else { continue };
            let Some(note) = &heads.published else { continue };
            if lock(&self.published).note.to_string() == note.note {
                continue;
            }
            match stored::published(&*reads, note) {
                Ok(published) if published.size() >= lock(&self.published).size() => {
                    let size = published.size();
                    *lock(&self.published) = Arc::new(published);
                    self.tickets.published(size);
                }
                // An answer that was overtaken by a later one.
                Ok(_) => (),
                Err(error) => return stop(&error.to_string()),
            }
        }
    }

    async fn answer(&self, asked: front::Asked) -> front::Said {
        match asked {
            front::Asked::Submit(bytes) => self.submit(&bytes).await,
            // Read through, so that no reader sees an older one than before.
            front::Asked::Checkpoint => match self.remote.heads().await {
                Ok(heads) => front::Said::Checkpoint(heads.published.map(|published| published.note)),
                Err(_) => front::Said::NotNow,
            },
            front::Asked::Leaves(from, to) => self.leaves(from, to).unwrap_or(front::Said::NotNow),
        }
    }

    async fn submit(&self, bytes: &[u8]) -> front::Said {
        let candidate = match admit::read(bytes, &LIMITS, ORIGIN) {
            Ok(candidate) => candidate,
            Err(refusal) => return front::Said::Refused(refusal.rule()),
        };
        let admitted = match candidate.admit(|raw| self.keys.admit(raw)) {
            Ok(admitted) => admitted,
            Err(refusal) => return front::Said::Refused(refusal.rule()),
        };
        let (mut ticket, is_first) = self.tickets.register(admitted.claim, Until::Published);
        if is_first {
            lock(&self.queue).push(admitted);
        }
        let outcome = self.remote.sim.timeout(PATIENCE, ticket.outcome()).await;
        match outcome.flatten() {
            Some(Ok(committed)) => match self.view().tlog_proof(committed.index) {
                Ok(proof) => front::Said::Logged(committed.leaf.to_vec(), proof.to_string()),
                Err(_) => front::Said::NotNow,
            },
            Some(Err(NotTaken::Refused(refusal))) => front::Said::Refused(refusal.rule()),
            Some(Err(NotTaken::Unavailable(_))) | None => front::Said::NotNow,
        }
    }

    /// Published leaves, by bundles, as readers get them.
    fn leaves(&self, from: TreeSize, to: TreeSize) -> Option<front::Said> {
        let view = self.view();
        let to = to.get().min(view.size().get());
        let mut leaves = Vec::new();
        let mut next = from.get();
        while next < to {
            let number = next / TILE_WIDTH;
            let width = (view.size().get() - number * TILE_WIDTH).min(TILE_WIDTH) as u16;
            let bytes = view.bundle(Tile::new(0, number, width)?).ok()??;
            let entries = bundle::parse(&bytes).ok()?;
            let first = number * TILE_WIDTH;
            let end = to.min(first + TILE_WIDTH);
            leaves.extend((next..end).map(|index| entries[(index - first) as usize].to_vec()));
            next = end;
        }
        Some(front::Said::Leaves(leaves))
    }

    fn view(&self) -> View {
        View::new(self.remote.clone(), self.cache.clone(), lock(&self.published).clone())
    }
}

/// What an integrator is made of, in every life of its process.
#[derive(Clone)]
pub(super) struct Leader {
    pub(super) remote: Remote,
    pub(super) keys: Arc<LogKeys>,
    pub(super) policy: Arc<Policy>,
    pub(super) witnesses: Vec<witness_process::Witness>,
    pub(super) record: SharedRecord,
    pub(super) clock: Clock,
}

impl Leader {
    fn parts(&self) -> Parts<Remote, SharedRecord> {
        let (sim, clock) = (self.remote.sim.clone(), self.clock.clone());
        let rhythm = Rhythm {
            publish_interval: Duration::from_millis(200),
            quorum_timeout: Duration::from_secs(2),
            recosign_interval: Duration::from_secs(10),
            fail_open: false,
        };
        let cosigners = Box::new(Asking::new(self.remote.clone(), self.witnesses.clone()));
        Parts {
            engine: Arc::new(self.remote.clone()),
            keys: self.keys.clone(),
            record: self.record.clone(),
            candidacy: Candidacy { holder: sim.name(self.remote.caller), lease: Some(LEASE) },
            clocks: Box::new(move || (clock.wall(&sim), clock.mono(&sim))),
            accept: Accept::default(),
            publication: Publication { policy: self.policy.clone(), cosigners, rhythm },
        }
    }

    /// Leads or waits for the lead, and ends when the process must stop.
    pub(super) async fn run(self, stop: impl Fn(&str)) {
        let Remote { sim, checker, caller, .. } = self.remote.clone();
        let mut integrator = match Integrator::open(self.parts()).await {
            Ok(integrator) => integrator,
            Err(error) => return self.not_opened(&error, stop),
        };
        let mut led = false;
        loop {
            if let Some(halted) = &integrator.cosigning().borrow().halted {
                checker.require(false, || format!("a sound log halts: {halted}"));
            }
            if led != integrator.leads() {
                led = integrator.leads();
                sim.trace(caller, if led { "leads" } else { "leads no more" });
            }
            // What is ordered by others wakes nobody here: it is looked for.
            let next = integrator.next_tend().unwrap_or(LOOK).clamp(Duration::from_millis(5), LOOK);
            sim.sleep(next).await;
            if let Err(error) = integrator.tend().await {
                return stop(&error.to_string());
            }
        }
    }

    /// A log that is sound is not opened only because something cannot be read now.
    fn not_opened(&self, error: &OpenError, stop: impl Fn(&str)) {
        let may_pass =
            matches!(error, OpenError::Store(_) | OpenError::Publish(_) | OpenError::BadRecord { .. });
        self.remote.checker.require(may_pass, || format!("a sound log is not opened: {error}"));
        stop(&error.to_string());
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a front keeps a client waiting.
const PATIENCE: Duration = Duration::from_millis(2_500);

const LEASE: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_millis(60);

const MAX_PENDING: u64 = 32;

const LIMITS: EntryLimits = EntryLimits { leaf_bytes: 8_192, envelope_bytes: 65_536 };
