//! One thread, one seed: tasks of processes that can be paused, killed and started again, in virtual time.
//!
//! Of the tasks that can go on, the seed says which one does, up to its next await. Time stands still while any can go
//! on, and then jumps to the next timer. Nothing here reads a clock, waits, or starts a thread.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::random::Random;
use crate::trace::Trace;

/// A process of the world.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Process(usize);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What tasks hold of the world. Cheap to clone.
#[derive(Clone)]
pub struct Sim(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Tasks that were woken. Apart from the state, since futures wake others while they hold it.
    woken: Mutex<Vec<u64>>,
}

struct State {
    now: Duration,
    random: Random,
    trace: Trace,
    timers: BinaryHeap<Timer>,
    next: u64,
    processes: Vec<Known>,
    /// Started since the last step.
    started: Vec<(u64, Process, Task)>,
    /// Killed since the last step: tasks with a number below the second are dropped.
    killed: Vec<(Process, u64)>,
}

struct Known {
    name: String,
    is_alive: bool,
    /// How often it was killed.
    deaths: u64,
    paused_until: Duration,
}

/// The earliest first; of two at one time, the one that was set first.
struct Timer {
    at: Duration,
    number: u64,
    waker: Waker,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timer {}

impl Sim {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the beginning.
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// The generator that says what happens next.
    pub fn random<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.state().random)
    }

    /// A new process, alive.
    pub fn process(&self, name: impl Into<String>) -> Process {
        let mut state = self.state();
        let name = name.into();
        state.processes.push(Known { name, is_alive: true, deaths: 0, paused_until: Duration::ZERO });
        Process(state.processes.len() - 1)
    }

    /// A process's name.
    pub fn name(&self, process: Process) -> String {
        self.state().processes[process.0].name.clone()
    }

    /// Adds a line to the trace.
    pub fn trace(&self, process: Process, what: impl fmt::Display) {
        let mut state = self.state();
        let State { now, trace, processes, .. } = &mut *state;
        trace.add(*now, &processes[process.0].name, what);
    }

    /// Keeps every line of the trace from now on.
    pub fn keep_trace(&self) {
        self.state().trace.keep_all();
    }

    /// Reads the trace.
    pub fn with_trace<T>(&self, read: impl FnOnce(&Trace) -> T) -> T {
        read(&self.state().trace)
    }

    /// Starts a task of a process. One of a process that is dead never runs.
    pub fn spawn(&self, process: Process, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        if state.processes[process.0].is_alive {
            state.started.push((number, process, Box::pin(task)));
        }
    }

    /// Ends every task of a process, wherever it stands, before the next one goes on.
    pub fn kill(&self, process: Process) {
        let mut state = self.state();
        let before = state.next;
        let known = &mut state.processes[process.0];
        known.is_alive = false;
        known.deaths += 1;
        state.killed.push((process, before));
    }

    /// Lets a process that was killed have tasks again. What it had in memory is gone.
    pub fn revive(&self, process: Process) {
        self.state().processes[process.0].is_alive = true;
    }

    /// How often a process was killed; `None` while it is dead. What was said to one life is not for the next one.
    pub fn life(&self, process: Process) -> Option<u64> {
        let state = self.state();
        let known = &state.processes[process.0];
        known.is_alive.then_some(known.deaths)
    }

    /// Stops a process for so long, in the middle of whatever it does.
    pub fn pause(&self, process: Process, time: Duration) {
        let mut state = self.state();
        let until = state.now + time;
        let known = &mut state.processes[process.0];
        known.paused_until = known.paused_until.max(until);
    }

    /// Waits until virtual time has passed.
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep { sim: self.clone(), until: self.now() + time, is_set: false }
    }

    /// Lets others go on first, if the seed says so.
    pub fn yield_now(&self) -> Sleep {
        self.sleep(Duration::ZERO)
    }

    /// What `future` answers within `patience`; `None` if it does not, and then it is dropped.
    pub async fn timeout<T>(&self, patience: Duration, future: impl Future<Output = T> + Send) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let mut sleep = self.sleep(patience);
        std::future::poll_fn(move |context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            Pin::new(&mut sleep).poll(context).map(|()| None)
        })
        .await
    }
}

/// Ends when virtual time has come so far.
pub struct Sleep {
    sim: Sim,
    until: Duration,
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sim = self.sim.clone();
        let mut state = sim.state();
        if self.is_set && state.now >= self.until {
            return Poll::Ready(());
        }
        // A future that is polled for another reason meanwhile may be polled by another task: it is woken by each timer.
        let number = state.next;
        state.next += 1;
        state.timers.push(Timer { at: self.until, number, waker: context.waker().clone() });
        self.is_set = true;
        Poll::Pending
    }
}

struct TaskWaker {
    number: u64,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// What a step was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// A task went on.
    Ran,
    /// No task could: time went on to the next timer.
    Waited,
    /// No task will ever go on.
    Idle,
}

/// Owns the tasks.
pub struct Executor {
    sim: Sim,
    tasks: BTreeMap<u64, (Process, Arc<TaskWaker>, Task)>,
    /// In the order of their numbers: whoever wakes several at once may do so in any order.
    ready: BTreeSet<u64>,
}

impl Executor {
    /// A world without processes.
    pub fn new(seed: u64) -> Self {
        let state = State {
            now: Duration::ZERO,
            random: Random::new(seed),
            trace: Trace::new(KEPT_LINES),
            timers: BinaryHeap::new(),
            next: 0,
            processes: Vec::new(),
            started: Vec::new(),
            killed: Vec::new(),
        };
        let shared = Shared { state: Mutex::new(state), woken: Mutex::default() };
        Self { sim: Sim(Arc::new(shared)), tasks: BTreeMap::new(), ready: BTreeSet::new() }
    }

    /// What tasks hold of this world.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// Lets one task go on up to its next await, or time up to the next timer.
    pub fn step(&mut self) -> Step {
        self.settle();
        let woken = std::mem::take(&mut *self.sim.0.woken.lock().unwrap_or_else(PoisonError::into_inner));
        for number in woken {
            // A task that ended, or that is ready already, is woken in vain.
            if self.tasks.contains_key(&number) {
                self.ready.insert(number);
            }
        }
        let Some(number) = self.choose() else { return self.wait() };
        let Some((_, waker, task)) = self.tasks.get_mut(&number) else { return Step::Ran };
        let waker = Waker::from(waker.clone());
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&number);
        }
        self.settle();
        Step::Ran
    }

    /// Takes in what was started and killed.
    fn settle(&mut self) {
        let (started, killed) = {
            let mut state = self.sim.state();
            (std::mem::take(&mut state.started), std::mem::take(&mut state.killed))
        };
        for (number, process, task) in started {
            let waker = Arc::new(TaskWaker { number, shared: self.sim.0.clone() });
            self.tasks.insert(number, (process, waker, task));
            self.ready.insert(number);
        }
        for (process, before) in killed {
            // They are dropped without the lock: what they hold may wake others.
            self.tasks.retain(|number, (of, _, _)| *of != process || *number >= before);
        }
        let tasks = &self.tasks;
        self.ready.retain(|number| tasks.contains_key(number));
    }

    /// One of the tasks that are ready and whose process is not paused.
    fn choose(&mut self) -> Option<u64> {
        let mut state = self.sim.state();
        let can_run: Vec<u64> = self
            .ready
            .iter()
            .copied()
            .filter(|number| state.processes[self.tasks[number].0.0].paused_until <= state.now)
            .collect();
        if can_run.is_empty() {
            return None;
        }
        let number = *state.random.one_of(&can_run);
        drop(state);
        self.ready.remove(&number);
        Some(number)
    }

    fn wait(&mut self) -> Step {
        let mut state = self.sim.state();
        let now = state.now;
        let resumes = self.ready.iter().map(|number| state.processes[self.tasks[number].0.0].paused_until);
        let resumes = resumes.filter(|until| *until > now).min();
        let timer = state.timers.peek().map(|timer| timer.at);
        let Some(next) = resumes.into_iter().chain(timer).min() else { return Step::Idle };
        state.now = now.max(next);
        let now = state.now;
        let mut due = Vec::new();
        while state.timers.peek().is_some_and(|timer| timer.at <= now) {
            due.extend(state.timers.pop());
        }
        drop(state);
        due.into_iter().for_each(|timer| timer.waker.wake());
        Step::Waited
    }
}

/// Lines that a failure prints.
const KEPT_LINES: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn run(executor: &mut Executor) {
        while executor.step() != Step::Idle {}
    }

    fn racing(seed: u64) -> (u64, u64) {
        let mut executor = Executor::new(seed);
        let sim = executor.sim().clone();
        for name in ["a", "b", "c"] {
            let (sim, process) = (sim.clone(), sim.process(name));
            sim.clone().spawn(process, async move {
                for round in 0..20 {
                    sim.trace(process, round);
                    let pause = sim.random(|random| random.below(3));
                    sim.sleep(Duration::from_millis(pause)).await;
                }
            });
        }
        run(&mut executor);
        sim.with_trace(Trace::fingerprint)
    }

    #[test]
    fn a_seed_runs_the_same_way_again() {
        assert_eq!(racing(1), racing(1));
        let all: std::collections::BTreeSet<_> = (0..50).map(racing).collect();
        assert_eq!(all.len(), 50, "other seeds run in another order");
    }

    #[test]
    fn virtual_time_passes_only_when_nobody_can_go_on() {
        let mut executor = Executor::new(3);
        let sim = executor.sim().clone();
        let process = sim.process("p");
        let seen = Arc::new(Mutex::new(Vec::new()));
        for hours in [30, 10, 20] {
            let (sim, seen) = (sim.clone(), seen.clone());
            sim.clone().spawn(process, async move {
                sim.sleep(Duration::from_secs(hours * 3_600)).await;
                seen.lock().expect("nobody panicked").push((hours, sim.now().as_secs() / 3_600));
            });
        }
        run(&mut executor);
        assert_eq!(*seen.lock().expect("nobody panicked"), [(10, 10), (20, 20), (30, 30)]);
        assert_eq!(executor.step(), Step::Idle);
    }

    #[test]
    fn a_process_is_paused_killed_and_started_again() {
        let mut executor = Executor::new(9);
        let sim = executor.sim().clone();
        let (process, other) = (sim.process("p"), sim.process("q"));
        let counts = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        let count = |of: Process, to: &Arc<AtomicU32>| {
            let (task, to) = (sim.clone(), to.clone());
            sim.spawn(of, async move {
                for _ in 0..10 {
                    task.sleep(Duration::from_secs(1)).await;
                    to.fetch_add(1, Ordering::Relaxed);
                }
            });
        };
        count(process, &counts[0]);
        count(other, &counts[1]);
        let at = |executor: &mut Executor, seconds| {
            while executor.sim().now() <= Duration::from_secs(seconds) {
                executor.step();
            }
            [0, 1].map(|of| counts[of].load(Ordering::Relaxed))
        };
        assert_eq!(at(&mut executor, 3), [3, 3]);
        sim.pause(process, Duration::from_secs(4));
        assert_eq!(at(&mut executor, 6), [3, 6]);
        sim.kill(process);
        count(process, &counts[0]);
        run(&mut executor);
        assert_eq!([0, 1].map(|of| counts[of].load(Ordering::Relaxed)), [3, 10], "the dead do nothing");
        sim.revive(process);
        count(process, &counts[0]);
        run(&mut executor);
        assert_eq!(counts[0].load(Ordering::Relaxed), 13);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_none() {
        let mut executor = Executor::new(5);
        let sim = executor.sim().clone();
        let process = sim.process("p");
        let got = Arc::new(Mutex::new(Vec::new()));
        for (patience, work) in [(2, 1), (1, 2)] {
            let (sim, got) = (sim.clone(), got.clone());
            sim.clone().spawn(process, async move {
                let work = async {
                    sim.sleep(Duration::from_secs(work)).await;
                    work
                };
                let answer = sim.timeout(Duration::from_secs(patience), work).await;
                got.lock().expect("nobody panicked").push(answer);
            });
        }
        run(&mut executor);
        let mut got = got.lock().expect("nobody panicked").clone();
        got.sort();
        assert_eq!(got, [None, Some(1)]);
    }
}
