//! The holder of the log's key, as far as `http` needs it: it signs what the log says of its lists.

use std::sync::Arc;

use attestation::evidence::Evidence;
use log_core::log_keys::LogKeys;

use crate::evidence::{GatherError, Question, gather};
use crate::view::View;

/// Gathers evidence itself, from what is published, and signs what it gathered: nobody gives it bytes to sign.
pub struct Asserter {
    keys: Arc<LogKeys>,
}

impl Asserter {
    /// With the log's keys.
    pub fn new(keys: Arc<LogKeys>) -> Self {
        Self { keys }
    }

    /// Evidence as of what `view` shows. It blocks, for as long as gathering may take.
    pub fn gather(&self, view: &View, question: &Question) -> Result<Evidence, GatherError> {
        gather(view, &self.keys.key, question)
    }
}
