//! The holder of the log's key, as far as `http` needs it: it signs what the log says of its lists.

use std::sync::Arc;
use std::time::Duration;

use attestation::evidence::Evidence;
use log_core::log_keys::LogKeys;
use log_core::port::{Assert, Asserted};
use tlog::TreeSize;
use tokio::sync::watch;

use crate::evidence::{GatherError, Question, gather_within};
use crate::view::{Door, Published};

/// Gathers evidence itself, from what is published, and signs what it gathered: nobody gives it bytes to sign.
pub struct Asserter {
    keys: Arc<LogKeys>,
    door: Door,
    published: watch::Receiver<Arc<Published>>,
}

impl Asserter {
    /// With the log's keys, over what is published.
    pub fn new(keys: Arc<LogKeys>, door: Door, published: watch::Receiver<Arc<Published>>) -> Self {
        Self { keys, door, published }
    }
}

/// In this process it is ready at once, after it has blocked for as long as gathering takes.
impl Assert for Asserter {
    type Question = Question;
    type Answer = Evidence;
    type Refusal = GatherError;

    async fn assert(
        &self,
        question: Question,
        size: TreeSize,
        budget: Duration,
    ) -> Result<Asserted<Evidence>, GatherError> {
        let published = self.published.borrow().clone();
        if !published.is_signed() || published.size() < size {
            return Ok(Asserted::Behind);
        }
        match gather_within(&self.door.view(published), &self.keys.key, &question, budget) {
            Ok(evidence) => Ok(Asserted::Signed(evidence)),
            Err(GatherError::TooSlow) => Ok(Asserted::Busy),
            Err(error) => Err(error),
        }
    }
}
