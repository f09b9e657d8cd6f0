//! A bar on stderr for a first catch-up, if stderr is a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a log was checked.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Checking the entries from `done` to `size`.
    pub(crate) fn over_entries(done: u64, size: u64) -> Self {
        if size - done < ENTRIES_WORTH_A_BAR || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(size).with_position(done);
        if let Ok(style) = ProgressStyle::with_template("checking {wide_bar} {pos}/{len} {per_sec} {eta}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// So many entries are checked.
    pub(crate) fn reach(&self, entries: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(entries);
        }
    }

    /// All is done: the bar goes away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// About a second of checking.
const ENTRIES_WORTH_A_BAR: u64 = 20_000;
