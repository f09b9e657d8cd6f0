//! `simulate`: runs worlds, and prints the seed and the last lines of one that breaks an invariant.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use simulation::checker::Counts;
use simulation::world::{self, Control, Report};

/// Run logs, witnesses, monitors and clients in one thread, from one seed
///
/// The exit code is 0 if every invariant held, and 1 if one was broken. With --control it is 0 if the control was found.
#[derive(Parser)]
#[command(name = "simulate")]
struct Args {
    /// Run this seed, and print its trace
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run so many seeds
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Break this promise on purpose, and say which seed finds it: fence, sync, time, claims, or all of them one after the
    /// other
    #[arg(long, value_name = "NAME")]
    control: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let controls: Vec<Control> = match args.control.as_deref() {
        None => Vec::new(),
        Some("all") => Control::ALL.to_vec(),
        Some(name) => match Control::ALL.into_iter().find(|control| control.name() == name) {
            Some(control) => vec![control],
            None => {
                eprintln!("error: no control is called `{name}`");
                eprintln!("hint: fence, sync, time, claims, or all");
                return ExitCode::from(2);
            }
        },
    };
    if let Some(seed) = args.seed {
        let report = world::replay(seed, controls.first().copied());
        print(&report);
        return ExitCode::from(u8::from(report.violation.is_some()));
    }
    let seeds = args.from..args.from.saturating_add(args.seeds);
    if controls.is_empty() {
        let (counts, failed) = run_all(seeds.clone(), None);
        println!("{}", summary(seeds.end - seeds.start, &counts, failed.is_some()));
        if let Some(report) = &failed {
            print(report);
        }
        return ExitCode::from(u8::from(failed.is_some()));
    }
    let mut all_found = true;
    for control in controls {
        let (_, found) = run_all(seeds.clone(), Some(control));
        match found {
            Some(report) => println!(
                "control {}: {}: found by seed {}: {}",
                control.name(),
                control.does(),
                report.seed,
                report.violation.unwrap_or_default()
            ),
            None => {
                all_found = false;
                println!("control {}: {}: NOT FOUND", control.name(), control.does());
            }
        }
    }
    ExitCode::from(u8::from(!all_found))
}

/// Runs seeds on all processors, each in one thread. Answers what happened, and the smallest seed that failed.
fn run_all(seeds: std::ops::Range<u64>, control: Option<Control>) -> (Counts, Option<Report>) {
    let next = AtomicU64::new(seeds.start);
    let worst: Mutex<(Counts, Option<Report>)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = world::run(seed, control);
                    let mut worst = worst.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    worst.0.add(&report.counts);
                    if report.violation.is_some() {
                        // Those above it need not be run.
                        next.store(seeds.end, Ordering::Relaxed);
                        if worst.1.as_ref().is_none_or(|before| report.seed < before.seed) {
                            worst.1 = Some(report);
                        }
                    }
                }
            });
        }
    });
    worst.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn summary(seeds: u64, counts: &Counts, failed: bool) -> String {
    let counted: Vec<String> = counts.named().iter().map(|(what, count)| format!("{count} {what}")).collect();
    format!("simulation: {seeds} seeds: {}; violations: {}", counted.join(", "), u8::from(failed))
}

fn print(report: &Report) {
    for line in &report.trace {
        println!("{line}");
    }
    let Report { seed, violation, fingerprint: (lines, hash), time, .. } = report;
    match violation {
        Some(violation) => {
            println!("seed {seed}: {violation}");
            println!("again: simulate --seed {seed}");
        }
        None => println!("seed {seed}: every invariant held"),
    }
    println!("{lines} lines, hash {hash:016x}, {:.3} s of virtual time", time.as_secs_f64());
}
