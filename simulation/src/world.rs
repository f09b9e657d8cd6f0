//! R17: a world: two fronts and two integrators over one engine, three witnesses, two monitors, four clients; a network,
//! clocks, and somebody who breaks all of it. Everything in it follows from one seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::entry::LogTime;
use log_core::log_keys::LogKeys;
use log_core::port::{Call, Head as _, Index as _, Order as _, OrderState, Proposed, Sequencing, Wants};
use log_core::sigstore_note::SigstoreName;
use testkit::scene::{ORIGIN, START};
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::merkle::empty_root;
use tlog::policy::Policy;
use tlog::{TreeSize, UnixTime};
use witness::log_list::Stanza;

use crate::checker::{Checker, Counts};
use crate::contract::block_on;
use crate::engine::{Memory, Weakness};
use crate::executor::{Executor, Process, Sim, Step};
use crate::network::{Network, Service};
use crate::pipeline::Pipeline;
use crate::random::Random;
use clock::Clock;
use record::SharedRecord;
use remote::Remote;

mod client;
mod clock;
mod cosigners;
mod front;
mod monitor;
mod record;
mod remote;
mod roles;
mod storm;
mod witness_process;

/// A promise that is broken on purpose, to see whether the simulation finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// Past epochs move heads, and each front keeps the order in its own memory.
    Fence,
    /// Calls return before they are durable.
    Sync,
    /// Entries get the time of the call, even if it is earlier than the last one's.
    Time,
    /// A claim that is known is ordered once more.
    Claims,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fence, Self::Sync, Self::Time, Self::Claims];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Sync => "sync",
            Self::Time => "time",
            Self::Claims => "claims",
        }
    }

    /// What it does, in words.
    pub fn does(self) -> &'static str {
        match self {
            Self::Fence => "the fence is removed, and each front keeps the order in memory",
            Self::Sync => "calls return before what they wrote is durable",
            Self::Time => "time may go back",
            Self::Claims => "no claim is looked up when entries are ordered",
        }
    }

    fn weakness(self) -> Weakness {
        let sound = Weakness::default();
        match self {
            Self::Fence => Weakness { no_fence: true, ..sound },
            Self::Sync => Weakness { no_sync: true, ..sound },
            Self::Time => Weakness { time_goes_back: true, ..sound },
            Self::Claims => Weakness { forgets_claims: true, ..sound },
        }
    }
}

/// How a seed ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Which invariant was broken first, and how; `None` if all held.
    pub violation: Option<String>,
    /// The last lines of the trace, the oldest first.
    pub trace: Vec<String>,
    /// How many lines there were, and their hash.
    pub fingerprint: (u64, u64),
    /// What happened.
    pub counts: Counts,
    /// How much virtual time passed.
    pub time: Duration,
}

/// Runs a seed to its end, or to the first violation.
pub fn run(seed: u64, control: Option<Control>) -> Report {
    let report = run_in(Executor::new(seed), seed, control);
    let trace = if report.violation.is_some() { report.trace } else { Vec::new() };
    Report { trace, ..report }
}

/// Runs a seed as [`run`] does, with every line of its trace.
pub fn replay(seed: u64, control: Option<Control>) -> Report {
    let executor = Executor::new(seed);
    executor.sim().keep_trace();
    run_in(executor, seed, control)
}

fn run_in(mut executor: Executor, seed: u64, control: Option<Control>) -> Report {
    let world = World::new(executor.sim().clone(), seed, control);
    let mut steps = 0;
    let violation = loop {
        let step = executor.step();
        steps += 1;
        if let Some(violation) = world.checker.violation() {
            break Some(violation);
        }
        if world.is_over() {
            break world.final_violation();
        }
        if step == Step::Idle || world.sim.now() > MOST_TIME || steps > MOST_STEPS {
            break Some(
                "the world does not settle: a client still waits, or something ordered is not published"
                    .into(),
            );
        }
    };
    let sim = &world.sim;
    let trace = sim.with_trace(|trace| trace.lines().map(str::to_owned).collect());
    let mut counts = world.checker.counts();
    counts.steps = steps;
    let fingerprint = sim.with_trace(crate::trace::Trace::fingerprint);
    Report { seed, violation, trace, fingerprint, counts, time: sim.now() }
}

struct World {
    sim: Sim,
    network: Network,
    memory: Memory,
    checker: Checker,
    policy: Arc<Policy>,
    control: Option<Control>,
    keys: Arc<LogKeys>,
    record: SharedRecord,
    engine: remote::Place,
    engine_clock: Clock,
    /// Starts again what was killed.
    operator: Process,
    fronts: Vec<Machine<front::Place>>,
    integrators: Vec<Machine<()>>,
    witnesses: Vec<witness_process::Witness>,
    /// Clients that still have something to do, and the storm.
    busy: Arc<AtomicU64>,
    random: Arc<Mutex<Random>>,
}

/// A process that is killed and started again, and its clock.
#[derive(Clone)]
struct Machine<P> {
    process: Process,
    clock: Clock,
    place: P,
}

impl World {
    fn new(sim: Sim, seed: u64, control: Option<Control>) -> Arc<Self> {
        // The world's own numbers, apart from those that order its steps.
        let mut random = Random::new(!seed);
        let network = Network::new(&sim);
        let log_key = key(ORIGIN, KeyType::Ed25519, 1);
        let sigstore = SigstoreName::of(ORIGIN, log_key.verifier().key());
        let keys = Arc::new(LogKeys { key: log_key, ml_dsa: None, sigstore });
        let log_key = &keys.key;
        let clock = |random: &mut Random| Clock::new(random.below(401) as i64 - 200);
        let stanza =
            Stanza { vkey: log_key.verifier().clone(), origin: ORIGIN.to_owned(), qpd: None, contact: None };
        let witnesses: Vec<_> = (1..=3u8)
            .map(|number| {
                let name = format!("witness-{number}");
                let key = key(&name, KeyType::Ed25519Cosignature, 10 + number);
                witness_process::Witness::new(&sim, &name, key, stanza.clone(), clock(&mut random))
            })
            .collect();
        let policy = Arc::new(policy(log_key, &witnesses));
        let engine_clock = clock(&mut random);
        let (task, own) = (sim.clone(), engine_clock.clone());
        let weakness = control.map(Control::weakness).unwrap_or_default();
        let memory = Memory::weak(move || own.wall(&task), weakness);
        let checker = Checker::new(memory.clone(), policy.clone());
        let first = Checkpoint::new(ORIGIN, TreeSize::EMPTY, empty_root());
        let first = keys.sign(&first, UnixTime::from_secs(START / 1_000)).to_string();
        let record = SharedRecord::new(sim.clone(), sim.process("record"), checker.clone(), first);
        let fronts = (1..=2).map(|number| {
            let process = sim.process(format!("front-{number}"));
            Machine { process, clock: clock(&mut random), place: Service::new(process) }
        });
        let fronts: Vec<_> = fronts.collect();
        // One process may have both roles.
        let apart = if random.chance(333) { 0 } else { 2 };
        let integrators = (1..=apart).map(|number| Machine {
            process: sim.process(format!("integrator-{number}")),
            clock: clock(&mut random),
            place: (),
        });
        let integrators: Vec<_> = integrators.collect();
        let engine = Service::new(sim.process("engine"));
        let world = Arc::new(Self {
            network,
            memory,
            checker,
            policy,
            control,
            keys,
            record,
            engine,
            engine_clock,
            operator: sim.process("operator"),
            fronts,
            integrators,
            witnesses,
            busy: Arc::new(AtomicU64::new(1)),
            random: Arc::new(Mutex::new(random)),
            sim,
        });
        if world.random(|random| random.chance(100)) {
            // So many that the first tile fills up meanwhile.
            world.fill(240);
        }
        world.begin();
        world
    }

    /// Orders entries before the world begins.
    fn fill(&self, count: u32) {
        let entries = crate::pipeline::many(count);
        let time = LogTime::from_millis(START).expect("a time of this century");
        let leaves: Vec<Vec<u8>> = entries.iter().map(|entry| entry.entry.to_leaf(time)).collect();
        let proposed: Vec<Proposed<'_>> = entries
            .iter()
            .zip(&leaves)
            .map(|(entry, leaf)| Proposed { entry, leaf, keeps_envelope: false })
            .collect();
        let checked = OrderState::default();
        let call = Call { entries: &proposed, checked: &checked, time, max_pending: u64::MAX };
        let ordered = block_on(self.memory.sequence(&call));
        assert!(matches!(ordered, Ok(Sequencing::Sequenced { .. })), "an empty log takes them: {ordered:?}");
        self.memory.sync();
    }

    fn begin(self: &Arc<Self>) {
        remote::serve(&self.sim, &self.engine, &self.memory, &self.checker);
        (0..self.fronts.len()).for_each(|at| self.start_front(at));
        (0..self.integrators.len()).for_each(|at| self.start_integrator(at));
        self.witnesses.iter().for_each(|witness| witness.serve(&self.sim, &self.checker));
        let places: Vec<_> = self.fronts.iter().map(|front| front.place.clone()).collect();
        for number in 1..=2 {
            let process = self.sim.process(format!("monitor-{number}"));
            let monitor = monitor::Monitor {
                sim: self.sim.clone(),
                network: self.network.clone(),
                process,
                checker: self.checker.clone(),
                policy: self.policy.clone(),
                fronts: places.clone(),
                witnesses: self.witnesses.iter().map(|witness| witness.place.clone()).collect(),
            };
            self.sim.spawn(process, monitor.run());
        }
        let names = |client: u32| (1..=2).map(move |number| Pipeline::new(format!("sim {client}.{number}")));
        let everybody: Vec<_> = (1..=4).flat_map(names).map(|pipeline| pipeline.did()).collect();
        for number in 1..=4 {
            let process = self.sim.process(format!("client-{number}"));
            let client = client::Client::new(
                self.sim.clone(),
                self.network.clone(),
                process,
                self.checker.clone(),
                self.policy.clone(),
                places.clone(),
                everybody.clone(),
                names(number).collect(),
            );
            self.busy.fetch_add(1, Ordering::Relaxed);
            let busy = self.busy.clone();
            let things = self.random(|random| 5 + random.below(16)) as u32;
            let run = client.run(things, move || {
                busy.fetch_sub(1, Ordering::Relaxed);
            });
            self.sim.spawn(process, run);
        }
        if self.control == Some(Control::Sync) {
            // As a disk does after a while, when nobody asks for it.
            let (sim, memory, wire) = (self.sim.clone(), self.memory.clone(), self.sim.process("disk"));
            self.sim.spawn(wire, async move {
                loop {
                    sim.sleep(Duration::from_millis(300)).await;
                    memory.sync();
                }
            });
        }
        storm::begin(self);
    }

    fn start_front(self: &Arc<Self>, at: usize) {
        let Machine { process, clock, place } = self.fronts[at].clone();
        let mut remote = self.remote(process);
        if self.control == Some(Control::Fence) {
            let next = self.memory.facts(&Wants::default()).map_or(0, |facts| facts.at.next.get());
            remote.held = Some(Arc::new(AtomicU64::new(next)));
        }
        let stop = self.stop(process);
        match self.integrators.is_empty() {
            true => roles::start_both(place, self.leader(remote, clock), stop),
            false => roles::start_front(place, remote, clock, stop),
        }
    }

    fn start_integrator(self: &Arc<Self>, at: usize) {
        let Machine { process, clock, .. } = self.integrators[at].clone();
        let leader = self.leader(self.remote(process), clock);
        self.sim.spawn(process, leader.run(self.stop(process)));
    }

    fn leader(&self, remote: Remote, clock: Clock) -> roles::Leader {
        roles::Leader {
            keys: self.keys.clone(),
            policy: self.policy.clone(),
            witnesses: self.witnesses.clone(),
            record: self.record.of(remote.caller),
            remote,
            clock,
        }
    }

    /// Ends a process that must stop, as it says, and starts it again a little later.
    fn stop(self: &Arc<Self>, process: Process) -> impl Fn(&str) + Send + Sync + Clone + use<> {
        let world = self.clone();
        move |why: &str| {
            world.sim.trace(process, format_args!("stops: {why}"));
            world.checker.count(|counts| &mut counts.stops);
            world.sim.kill(process);
            world.start_later(process, Duration::from_millis(500));
        }
    }

    /// Starts a process again that was killed.
    fn start_later(self: &Arc<Self>, process: Process, after: Duration) {
        let world = self.clone();
        self.sim.clone().spawn(self.operator, async move {
            world.sim.sleep(after).await;
            world.sim.revive(process);
            world.sim.trace(process, "starts");
            if let Some(at) = world.fronts.iter().position(|front| front.process == process) {
                world.start_front(at);
            }
            if let Some(at) = world.integrators.iter().position(|integrator| integrator.process == process) {
                world.start_integrator(at);
            }
            for witness in world.witnesses.iter().filter(|witness| witness.process == process) {
                witness.serve(&world.sim, &world.checker);
            }
            if world.engine.process() == process {
                remote::serve(&world.sim, &world.engine, &world.memory, &world.checker);
            }
        });
    }

    fn remote(&self, caller: Process) -> Remote {
        Remote {
            sim: self.sim.clone(),
            network: self.network.clone(),
            caller,
            place: self.engine.clone(),
            memory: self.memory.clone(),
            checker: self.checker.clone(),
            held: None,
        }
    }

    /// The storm is over, every client has its answers, and what is ordered is published.
    fn is_over(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0 && {
            let Ok(heads) = block_on(self.memory.heads()) else { return false };
            let published = heads.published.as_ref().map_or(0, |published| size_of(&published.note));
            published == heads.ordered.next.get()
        }
    }

    fn final_violation(&self) -> Option<String> {
        self.checker.recovered();
        self.checker.lookups();
        self.checker.violation()
    }

    fn random<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn size_of(note: &str) -> u64 {
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0)
}

fn key(name: &str, kind: KeyType, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[seed; 32])
}

/// Two of three witnesses.
fn policy(log: &SignerKey, witnesses: &[witness_process::Witness]) -> Policy {
    let mut text = format!("log {}\n", log.verifier());
    for witness in witnesses {
        text += &format!(
            "witness {} {} https://{}.example\n",
            witness.name,
            witness.key.verifier(),
            witness.name
        );
    }
    text += "group two 2 witness-1 witness-2 witness-3\nquorum two\n";
    text.parse().expect("a policy of this form")
}

/// More virtual time than any world needs.
const MOST_TIME: Duration = Duration::from_secs(1_800);

const MOST_STEPS: u64 = 5_000_000;
