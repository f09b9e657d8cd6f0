//! A bar on stderr for what takes long, if stderr is a terminal: scripts and logs see nothing of it.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// How far something has come.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Reading so many bytes.
    pub(crate) fn over_bytes(bytes: u64) -> Self {
        // Less is over before a bar is seen.
        let is_worth_it = bytes >= BYTES_WORTH_A_BAR;
        Self::new(is_worth_it, bytes, "hashing {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}")
    }

    /// Waiting for a log to publish so many entries.
    pub(crate) fn over_entries(entries: usize) -> Self {
        Self::new(entries > 1, entries as u64, "logging {wide_bar} {pos}/{len}")
    }

    /// Reading so many entries of a log.
    pub(crate) fn over_leaves(leaves: u64) -> Self {
        Self::new(leaves >= LEAVES_WORTH_A_BAR, leaves, "reading the log {wide_bar} {pos}/{len}")
    }

    fn new(is_worth_it: bool, length: u64, template: &str) -> Self {
        if !is_worth_it || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Some more is done.
    pub(crate) fn add(&self, more: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(more);
        }
    }

    /// All is done: the bar goes away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A tenth of a second of hashing.
const BYTES_WORTH_A_BAR: u64 = 64 << 20;

/// A few bundles.
const LEAVES_WORTH_A_BAR: u64 = 2_000;
