//! What a row is, what it finds, and how it is told.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A trial, and how often it runs.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its identifier in docs/dev/rules.md. Several rows may be parts of one trial.
    pub id: &'static str,
    /// What is done to what, in a few words.
    pub trial: &'static str,
    /// How often in a full run. What is counted is the row's to say.
    pub full: u64,
    /// How often in CI.
    pub ci: u64,
    /// Runs it. A panic is a violation.
    pub run: fn(&Plan) -> Outcome,
}

/// What one run of a row is to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often: kills, flips, entries, as the row counts.
    pub count: u64,
    /// Whence chance comes: the same seed makes the same choices.
    pub seed: u64,
}

impl Plan {
    /// So many times, with the seed that tests use.
    pub fn of(count: u64) -> Self {
        Self { count, seed: 11 }
    }
}

/// What became of a row.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ran.
    Ran(Ran),
    /// It could not run here. That is never counted as passed.
    NotRun {
        /// What is missing.
        why: String,
        /// What would let it run.
        hint: String,
    },
}

/// A row that ran.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// How many, of what, and what was measured on the way: `50 kills, 9,107 receipts; restart p99 41 ms`.
    pub tried: String,
    /// One sentence for each violation.
    pub violations: Vec<String>,
}

impl Outcome {
    /// A row that could not run, and what would let it.
    pub fn not_run(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::NotRun { why: why.into(), hint: hint.into() }
    }

    /// For a test that is this row with a small count: says on stderr what was done, or that it was `not run`.
    ///
    /// # Panics
    /// If there is a violation.
    pub fn assert_clean(&self, test: &str) {
        match self {
            Self::Ran(ran) => {
                eprintln!("{test}: {}", ran.tried);
                assert!(ran.violations.is_empty(), "{:#?}", ran.violations);
            }
            Self::NotRun { why, .. } => eprintln!("not run: {test}: {why}"),
        }
    }
}

/// Collects what a row finds, also from many threads.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Vec<String>>);

impl Findings {
    /// A violation, unless this holds. Answers whether it holds.
    pub fn require(&self, holds: bool, otherwise: impl FnOnce() -> String) -> bool {
        if !holds {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(otherwise());
        }
        holds
    }

    /// The outcome: what was tried, with what was found.
    pub fn into_outcome(self, tried: String) -> Outcome {
        Outcome::Ran(Ran { tried, violations: self.0.into_inner().unwrap_or_else(PoisonError::into_inner) })
    }
}

/// A row that is over.
#[derive(Clone, Debug)]
pub struct Told {
    row: Row,
    outcome: Outcome,
    took: Duration,
}

impl Row {
    /// Runs it. What panics is a violation, named by the panic's message, which is on stderr, too.
    pub fn run(self, plan: &Plan) -> Told {
        let start = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(plan)));
        let outcome = ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Outcome::Ran(Ran { tried: "it broke off".to_owned(), violations: vec![text.to_owned()] })
        });
        Told { row: self, outcome, took: start.elapsed() }
    }
}

impl Told {
    /// Violations; `None` if it did not run.
    pub fn violations(&self) -> Option<usize> {
        match &self.outcome {
            Outcome::Ran(ran) => Some(ran.violations.len()),
            Outcome::NotRun { .. } => None,
        }
    }
}

/// One line, and one for each of the first violations.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { id, trial, .. } = self.row;
        match &self.outcome {
            Outcome::NotRun { why, hint } => write!(f, "{id:<4} {trial:<44} not run: {why}; {hint}"),
            Outcome::Ran(Ran { tried, violations }) => {
                let (count, seconds) = (violations.len(), self.took.as_secs_f64());
                write!(f, "{id:<4} {trial:<44} {tried}; {count} violations; {seconds:.1} s")?;
                for violation in violations.iter().take(SHOWN) {
                    write!(f, "\n     violation: {}", violation.replace('\n', "\n     "))?;
                }
                if count > SHOWN {
                    write!(f, "\n     and {} more", count - SHOWN)?;
                }
                Ok(())
            }
        }
    }
}

/// Violations that are told in words.
const SHOWN: usize = 10;

/// The 99th percentile.
///
/// # Panics
/// If there is nothing.
pub fn p99(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations[(durations.len() * 99 / 100).min(durations.len() - 1)]
}

/// Thousands apart: `12,345`.
pub fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = (first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]).collect();
    if first > 0 {
        groups.insert(0, &digits[..first]);
    }
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(run: fn(&Plan) -> Outcome) -> Row {
        Row { id: "R1", trial: "a trial", full: 2, ci: 1, run }
    }

    #[test]
    fn a_row_says_what_it_found_and_a_panic_is_a_violation() {
        let clean = row(|plan| Findings::default().into_outcome(format!("{} tries", plan.count)));
        let told = clean.run(&Plan::of(7));
        assert_eq!(told.violations(), Some(0));
        assert!(told.to_string().contains("7 tries; 0 violations; "), "{told}");
        let found = row(|_| {
            let findings = Findings::default();
            for number in 0..12 {
                findings.require(number < 1, || format!("number {number}"));
            }
            findings.into_outcome("12 tries".into())
        });
        let told = found.run(&Plan::of(1));
        assert_eq!(told.violations(), Some(11));
        assert!(told.to_string().contains("violation: number 1\n"), "{told}");
        assert!(told.to_string().ends_with("and 1 more"), "{told}");
        let told = row(|_| panic!("no {}", "way")).run(&Plan::of(1));
        assert_eq!(told.violations(), Some(1));
        assert!(told.to_string().contains("violation: no way"), "{told}");
        let told = row(|_| Outcome::not_run("no root", "run it as root")).run(&Plan::of(1));
        assert_eq!(told.violations(), None);
        assert!(told.to_string().ends_with("not run: no root; run it as root"), "{told}");
    }

    #[test]
    fn numbers_are_read_by_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
