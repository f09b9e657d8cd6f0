//! Somebody who breaks everything for a while, and then leaves the world in peace.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::World;
use crate::executor::Process;
use crate::network::Weather;
use crate::random::Random;

/// Which troubles a world has. Few of them at a time find more than all together.
struct Troubles {
    kills: bool,
    pauses: bool,
    crashes: bool,
    weather: bool,
    clocks: bool,
    closed: bool,
}

pub(super) fn begin(world: &Arc<World>) {
    let process = world.sim.process("storm");
    let (world, task) = (world.clone(), world.sim.clone());
    task.spawn(process, async move { storm(world, process).await });
}

async fn storm(world: Arc<World>, process: Process) {
    let (troubles, until) = world.random(|random| {
        let mut some = |per_mille| random.chance(per_mille);
        let troubles = Troubles {
            kills: some(600),
            pauses: some(600),
            crashes: some(500),
            weather: some(700),
            clocks: some(500),
            closed: some(100),
        };
        (troubles, random.between(Duration::from_secs(3), Duration::from_secs(25)))
    });
    let sim = &world.sim;
    while sim.now() < until {
        let (pause, what) = world.random(|random| {
            (random.between(Duration::from_millis(50), Duration::from_secs(2)), random.below(6))
        });
        sim.sleep(pause).await;
        match what {
            0 if troubles.kills => kill(&world, process),
            1 if troubles.pauses => {
                let (victim, time) = world.random(|random| {
                    let time = random.between(Duration::from_millis(50), Duration::from_secs(8));
                    (victim(&world, random), time)
                });
                sim.trace(
                    process,
                    format_args!("pauses {} for {:.3} s", sim.name(victim), time.as_secs_f64()),
                );
                world.checker.count(|counts| &mut counts.pauses);
                sim.pause(victim, time);
            }
            2 if troubles.crashes => crash(&world, process),
            3 if troubles.weather => {
                let weather = world.random(weather);
                sim.trace(process, format_args!("{weather:?}"));
                world.network.set_weather(weather);
            }
            4 if troubles.clocks => set_clock(&world, process),
            5 if troubles.closed => {
                sim.trace(process, "closes the order");
                world.memory.close(Some("by the storm".into()));
                sim.sleep(Duration::from_secs(1)).await;
                world.memory.close(None);
            }
            _ => (),
        }
    }
    world.network.set_weather(Weather::calm());
    world.clocks().for_each(|clock| clock.set(0));
    world.record.mend();
    sim.trace(process, "is over");
    // Whoever is dead or paused comes back by itself.
    sim.sleep(LONGEST).await;
    world.busy.fetch_sub(1, Ordering::Relaxed);
}

fn victim(world: &World, random: &mut Random) -> Process {
    let fronts = world.fronts.iter().map(|front| front.process);
    let integrators = world.integrators.iter().map(|integrator| integrator.process);
    let witnesses = world.witnesses.iter().map(|witness| witness.process);
    let all: Vec<Process> = fronts.chain(integrators).chain(witnesses).collect();
    *random.one_of(&all)
}

/// Kills a process, and starts it again after a while.
fn kill(world: &Arc<World>, storm: Process) {
    let (victim, time) = world.random(|random| {
        (victim(world, random), random.between(Duration::from_millis(10), Duration::from_secs(5)))
    });
    let Some(life) = world.sim.life(victim) else { return };
    world.sim.trace(storm, format_args!("kills {} in its life {life}", world.sim.name(victim)));
    world.checker.count(|counts| &mut counts.kills);
    world.sim.kill(victim);
    world.start_later(victim, time);
}

/// Crashes the engine: what it has not synced may be gone.
fn crash(world: &Arc<World>, storm: Process) {
    let engine = world.engine.process();
    if world.sim.life(engine).is_none() {
        return;
    }
    let time = world.random(|random| random.between(Duration::from_millis(10), Duration::from_secs(2)));
    world.sim.kill(engine);
    let lost =
        world.random(|random| world.memory.crash(|at_stake| random.below(at_stake as u64 + 1) as usize));
    world.checker.count(|counts| &mut counts.kills);
    world.sim.trace(storm, format_args!("crashes the engine: {lost} changes are gone"));
    world.checker.recovered();
    world.start_later(engine, time);
}

fn weather(random: &mut Random) -> Weather {
    match random.below(4) {
        0 => Weather::calm(),
        1 => Weather { lost: 20, doubled: 50, ..Weather::calm() },
        2 => Weather { slow: 100, slow_delay: Duration::from_secs(4), ..Weather::calm() },
        _ => Weather {
            lost: 150,
            doubled: 100,
            slow: 50,
            slow_delay: Duration::from_secs(2),
            ..Weather::calm()
        },
    }
}

fn set_clock(world: &World, storm: Process) {
    let (at, millis) = world.random(|random| {
        let at = random.below(world.clocks().count() as u64) as usize;
        // The engine's clock counts the leases: what it is set forward is how long nobody may lead. And a process with both
        // roles that starts by a clock an hour ahead logs by it, and then waits for an hour when the clock is right again.
        let is_near = at + 1 == world.clocks().count() || world.integrators.is_empty();
        let far = *random.one_of(if is_near { &[1_000, 60_000] } else { &[60_000, 3_600_000] });
        (at, far * (1 - 2 * random.below(2) as i64))
    });
    world.checker.count(|counts| &mut counts.jumps);
    world.sim.trace(storm, format_args!("sets clock {at} by {millis} ms"));
    world.clocks().nth(at).expect("a clock").set(millis);
}

impl World {
    fn clocks(&self) -> impl Iterator<Item = &super::Clock> {
        let fronts = self.fronts.iter().map(|front| &front.clock);
        let integrators = self.integrators.iter().map(|integrator| &integrator.clock);
        let witnesses = self.witnesses.iter().map(|witness| &witness.clock);
        fronts.chain(integrators).chain(witnesses).chain([&self.engine_clock])
    }
}

/// Nothing that the storm does lasts longer.
const LONGEST: Duration = Duration::from_secs(10);
