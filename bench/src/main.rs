//! `bench [--quick | --full] [--rounds N] [--entries N] [SECTION …]`: runs the benchmarks and prints their
//! tables. `bench/bench.sh` builds it, installs the peers, and names them in `BENCH_…` variables.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use bench::corpus::Corpus;
use bench::measure::{load_average, machine};
use bench::report::Budgets;
use bench::{
    Effort, add, attack, cold, cosigned, identities, latency, messages, profile, start, trees, trust,
    witnesses,
};

fn main() -> ExitCode {
    let mut effort = Effort::QUICK;
    let mut sections = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse().ok().filter(|number| *number > 0);
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--full" => effort = Effort::FULL,
            "--rounds" | "--entries" => match (argument.as_str(), number()) {
                ("--rounds", Some(rounds)) => effort.rounds = rounds,
                ("--entries", Some(entries)) => effort.entries = entries,
                _ => return usage(&argument),
            },
            section if SECTIONS.contains(&section) => sections.push(argument),
            _ => return usage(&argument),
        }
    }
    let wanted = |section: &str| sections.is_empty() || sections.iter().any(|wanted| wanted == section);
    let start = Instant::now();
    println!("{}\nload average at the start {}", machine(), load_average());
    println!(
        "Claims are ratios of one run: the median of {} rounds, turn about (smallest–largest).",
        effort.rounds
    );
    let mut budgets = Budgets::default();
    if wanted("trees") {
        trees::run(&effort);
    }
    let is_named = |section: &str| sections.iter().any(|named| named == section);
    if ["add", "identities", "latency", "large", "cold", "cosigned", "profile"].into_iter().any(wanted) {
        let signing = Instant::now();
        let corpus = Corpus::sign(effort.warm_up + effort.entries);
        println!(
            "\n({} statements signed beforehand, in {:.0} s)",
            corpus.len(),
            signing.elapsed().as_secs_f64()
        );
        if wanted("add") {
            add::run(&effort, &corpus, &mut budgets);
        }
        if wanted("identities") {
            identities::run(&effort, &corpus, &mut budgets);
        }
        if wanted("latency") {
            latency::run(&effort, &corpus, &mut budgets);
        }
        // Looking costs what it measures: by name only.
        if is_named("profile") {
            profile::run(&effort, &corpus);
        }
        if wanted("large") {
            start::run(&effort, &corpus, &mut budgets);
        }
        if wanted("cold") {
            cold::run(&effort, &corpus, &mut budgets);
        }
        if wanted("cosigned") {
            cosigned::run(&effort, &corpus, &mut budgets);
        }
    }
    if wanted("messages") {
        messages::run(&effort, &mut budgets);
    }
    if wanted("witness") {
        witnesses::run(&effort, &mut budgets);
    }
    if wanted("trust") {
        // Asked for by its name, it takes a minute and is what was promised.
        if !sections.is_empty() {
            effort.trust_dids = Effort::FULL.trust_dids;
        }
        trust::run(&effort, &mut budgets);
    }
    // Attackers are no part of what is measured for every change: by name only.
    if is_named("attack") {
        attack::run(&effort, &mut budgets);
    }
    budgets.print();
    println!("\n{:.0} s in all, load average at the end {}", start.elapsed().as_secs_f64(), load_average());
    ExitCode::SUCCESS
}

fn usage(argument: &str) -> ExitCode {
    let sections = SECTIONS.join(", ");
    eprintln!(
        "bench: `{argument}`? There are --quick, --full, --rounds N, --entries N, and the sections {sections}"
    );
    ExitCode::from(2)
}

const SECTIONS: [&str; 12] = [
    "trees",
    "add",
    "identities",
    "latency",
    "large",
    "cold",
    "cosigned",
    "messages",
    "witness",
    "trust",
    "attack",
    "profile",
];
