//! Some seeds, every control, and whether a seed runs the same way again. `./run simulate` runs more.

use simulation::checker::Counts;
use simulation::world::{Control, replay, run};

/// Every invariant holds, and a run in which nothing happens would prove nothing.
#[test]
fn every_invariant_holds_for_some_seeds() {
    let mut counts = Counts::default();
    for seed in 0..SEEDS {
        let report = run(seed, None);
        let violation = report.violation.unwrap_or_default();
        assert!(violation.is_empty(), "seed {seed}: {violation}\n{}", report.trace.join("\n"));
        counts.add(&report.counts);
    }
    for (what, count) in counts.named() {
        assert!(count > 0, "in {SEEDS} seeds there was no {what}: {counts:?}");
    }
}

/// A promise that is broken on purpose is found.
#[test]
fn every_control_is_found_within_100_seeds() {
    for control in Control::ALL {
        let found = (0..100).find(|seed| run(*seed, Some(control)).violation.is_some());
        assert!(found.is_some(), "control {}: {}: not found", control.name(), control.does());
    }
}

/// A seed that fails can be looked at again, line by line.
#[test]
fn a_seed_runs_the_same_way_again() {
    for seed in 0..10 {
        let (first, second) = (run(seed, None), replay(seed, None));
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        assert_eq!(second.trace.len() as u64, second.fingerprint.0, "a replay has every line");
    }
    let broken =
        (0..100).map(|seed| run(seed, Some(Control::Sync))).find(|report| report.violation.is_some());
    let broken = broken.expect("the control is found");
    let again = replay(broken.seed, Some(Control::Sync));
    assert_eq!((again.violation, again.fingerprint), (broken.violation, broken.fingerprint));
    assert!(again.trace.ends_with(&broken.trace), "the ring has the last lines");
}

const SEEDS: u64 = 60;
