//! Trials by malicious input that need no program: the tests of a crate run them with small counts, `./run torture` with
//! large ones. Each is a row of docs/dev/rules.md.

pub mod confusions;
pub mod message_keys;
pub mod names;
pub mod notes;
pub mod probes;
pub mod proofs;
pub mod signatures;
pub mod urls;

/// What a trial came to.
#[derive(Debug, Default)]
pub struct Tried {
    /// How many attempts.
    pub count: u64,
    /// One sentence for each that went wrong.
    pub violations: Vec<String>,
}

impl Tried {
    /// One attempt more: a violation unless this holds.
    pub fn require(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.count += 1;
        if !holds {
            self.violations.push(otherwise());
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.count += other.count;
        self.violations.extend(other.violations);
        self
    }

    /// For a test: there were this many attempts, or more, and none went wrong.
    ///
    /// # Panics
    /// If that is not so.
    pub fn assert_clean(&self, at_least: u64) {
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
        assert!(self.count >= at_least, "{} attempts", self.count);
    }
}
