//! What clients and monitors ask a front, and what they do with its answers.

use std::sync::Arc;

use tlog::TreeSize;

use crate::network::Service;

/// What a front is asked.
#[derive(Clone)]
pub(super) enum Asked {
    /// To log this submission.
    Submit(Arc<Vec<u8>>),
    /// What is published.
    Checkpoint,
    /// The published leaves from one index up to another.
    Leaves(TreeSize, TreeSize),
}

/// What it answers.
pub(super) enum Said {
    /// Leaf, and a proof that travels.
    Logged(Vec<u8>, String),
    /// The rule that the submission breaks.
    Refused(&'static str),
    /// The note, if anything is published.
    Checkpoint(Option<String>),
    /// The leaves, or fewer.
    Leaves(Vec<Vec<u8>>),
    /// Another time.
    NotNow,
}

pub(super) type Place = Service<Asked, Said>;
