//! `./run torture`: runs the fault programme, prints a line for each row.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use torture::{Plan, ROWS, Row};

/// Runs the fault programme on this disk with the programs that were built, and prints a line for each row.
///
/// Exit code: 0 no violation, 1 a violation, 2 nothing could run. A row that cannot run says so, and is not counted as passed.
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Args {
    /// Rows by their identifier (default: all), such as `R6`
    rows: Vec<String>,
    /// Fewer runs of each, for CI
    #[arg(long)]
    ci: bool,
    /// So many runs of each row, whatever a row counts
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// The choices of chance
    #[arg(long, value_name = "N", default_value_t = 11)]
    seed: u64,
    /// List the rows and how often each runs, and run none
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(unknown) = args.rows.iter().find(|id| !ROWS.iter().any(|row| is(row, id))) {
        eprintln!("error: there is no row `{unknown}`\nhint: `./run torture --list` lists them");
        return ExitCode::from(2);
    }
    let asked = |row: &&Row| args.rows.is_empty() || args.rows.iter().any(|id| is(row, id));
    let rows: Vec<&Row> = ROWS.iter().filter(asked).collect();
    if args.list {
        for row in rows {
            println!("{:<4} {:<44} {} times, {} in CI", row.id, row.trial, row.full, row.ci);
        }
        return ExitCode::SUCCESS;
    }
    let (mut violations, mut ran) = (0, 0);
    for row in &rows {
        let count = args.count.unwrap_or(if args.ci { row.ci } else { row.full });
        let told = row.run(&Plan { count, seed: args.seed });
        println!("{told}");
        let _ = std::io::stdout().flush();
        violations += told.violations().unwrap_or(0);
        ran += usize::from(told.violations().is_some());
    }
    println!("{ran} of {} rows ran, {violations} violations", rows.len());
    match (violations, ran) {
        (0, 0) => ExitCode::from(2),
        (0, _) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn is(row: &Row, id: &str) -> bool {
    row.id.eq_ignore_ascii_case(id)
}
