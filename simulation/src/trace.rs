//! What happened: the last lines of it, and a hash of all, by which two runs are compared.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

/// The lines of a run.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    kept: usize,
    count: u64,
    hash: u64,
}

impl Trace {
    /// Keeps so many lines.
    pub fn new(kept: usize) -> Self {
        // The offset basis of 64-bit FNV-1a.
        Self { lines: VecDeque::new(), kept, count: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// Keeps every line from now on.
    pub fn keep_all(&mut self) {
        self.kept = usize::MAX;
    }

    /// Adds a line.
    pub fn add(&mut self, now: Duration, who: &str, what: impl std::fmt::Display) {
        // A line that falls out of the ring gives its memory to the next one.
        let mut line = match self.lines.len() < self.kept {
            true => String::new(),
            false => self.lines.pop_front().unwrap_or_default(),
        };
        line.clear();
        let _ = write!(line, "{:>12.6} {who:<11} {what}", now.as_secs_f64());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.count += 1;
        self.lines.push_back(line);
    }

    /// The last lines, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// How many lines there were, and the hash of all: equal for two runs of one seed.
    pub fn fingerprint(&self) -> (u64, u64) {
        (self.count, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_the_last_lines_and_the_hash_of_all() {
        let run = |what: &[&str]| {
            let mut trace = Trace::new(2);
            what.iter().for_each(|what| trace.add(Duration::from_millis(1), "log", what));
            trace
        };
        let trace = run(&["a", "b", "c"]);
        let lines: Vec<_> = trace.lines().collect();
        assert_eq!(lines, ["    0.001000 log         b", "    0.001000 log         c"]);
        assert_eq!(trace.fingerprint(), run(&["a", "b", "c"]).fingerprint());
        assert_ne!(trace.fingerprint(), run(&["x", "b", "c"]).fingerprint());
    }
}
