//! What is printed: tables, and where we stand against the budgets.

use tlog::key::signature_backend;

use super::measure::{Spread, load_average, verification_micros};

/// A table: names on the left, figures on the right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|column| (*column).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints it.
    pub fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}

/// Begins a benchmark.
pub fn section(title: &str) {
    let verification = verification_micros();
    println!(
        "\n{title}\n  (load average {}; one Ed25519 verification costs {verification:.0} µs of CPU now)",
        load_average()
    );
}

/// Says that something was not measured: never as if it had been.
pub fn not_run(what: &str, why: &str) {
    println!("  not run: {what}: {why}");
}

/// A ratio with its spread over the rounds.
pub fn ratio(spread: Spread) -> String {
    format!("{} ({}–{})", times(spread.median), times(spread.min), times(spread.max))
}

fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 100.0 => format!("{ratio:.0}×"),
        ratio if ratio >= 10.0 => format!("{ratio:.1}×"),
        ratio => format!("{ratio:.2}×"),
    }
}

/// A large number, with separators.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How the measured figures compare with the budgets (docs/dev/architecture.md, "Budgets").
///
/// They hold where AVX-512 IFMA checks signatures. Elsewhere figures are printed, and none is judged.
#[derive(Debug, Default)]
pub struct Budgets {
    lines: Vec<(Option<bool>, String)>,
}

impl Budgets {
    /// Something that must not be less.
    pub fn at_least(&mut self, what: &str, figure: f64, budget: f64, unit: &str) {
        self.add(figure >= budget, format!("{what}: {} {unit}, budget ≥ {}", short(figure), short(budget)));
    }

    /// Something that must not be more.
    pub fn at_most(&mut self, what: &str, figure: f64, budget: f64, unit: &str) {
        self.add(figure <= budget, format!("{what}: {} {unit}, budget ≤ {}", short(figure), short(budget)));
    }

    /// Something that was not measured.
    pub fn not_run(&mut self, what: &str, why: &str) {
        self.lines.push((None, format!("{what}: {why}")));
    }

    fn add(&mut self, met: bool, line: String) {
        self.lines.push((Some(met), line));
    }

    /// Prints them all.
    pub fn print(&self) {
        section("Budgets (medians of this run; other work on the machine counts against us)");
        let backend = signature_backend();
        let are_judged = backend == "AVX-512 IFMA";
        if !are_judged {
            println!(
                "  signatures are checked by the {backend} backend: the budgets are for AVX-512 IFMA, and none is judged"
            );
        }
        for (met, line) in &self.lines {
            let met = match met {
                Some(_) if !are_judged => "       ",
                Some(true) => "met    ",
                Some(false) => "NOT MET",
                None => "not run",
            };
            println!("  {met}  {line}");
        }
    }
}

fn short(figure: f64) -> String {
    match figure {
        figure if figure >= 1_000.0 => count(figure),
        figure if figure.fract() == 0.0 => format!("{figure:.0}"),
        figure => format!("{figure:.2}"),
    }
}
