//! The identity events of signers in memory, as answers bring them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use attestation::Did;
use tlog::{LeafIndex, encoding};

use super::error::Problem;
use super::identity::identity_leaves;
use crate::view::View;

/// The leaves of a DID's identity events, in base64.
pub type Leaves = Arc<Vec<(LeafIndex, String)>>;

/// The events of the DIDs that logged last. A DID's events only grow in number, so that the number tells whether they
/// are all here.
#[derive(Debug, Default)]
pub struct Identities(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    events: HashMap<Did, Leaves>,
    bytes: usize,
}

impl Identities {
    /// The events of a DID that has so many, if they are here.
    pub fn get(&self, did: Did, events: u32) -> Option<Leaves> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.events.get(&did).filter(|leaves| leaves.len() == events as usize).cloned()
    }

    /// Reads the published events of a DID that has so many, and keeps them if they are all published.
    pub fn read(&self, view: &View, did: Did, events: u32) -> Result<Leaves, Problem> {
        let leaves = identity_leaves(view, did)?;
        let leaves: Vec<_> =
            leaves.into_iter().map(|(index, leaf)| (index, encoding::base64(&leaf))).collect();
        let leaves = Arc::new(leaves);
        if leaves.len() == events as usize {
            let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
            // Bounded; when full it starts anew, as the registry's states do.
            if kept.bytes > MAX_BYTES {
                *kept = Kept::default();
            }
            kept.bytes += leaves.iter().map(|(_, leaf)| leaf.len() + EACH).sum::<usize>();
            kept.events.insert(did, leaves.clone());
        }
        Ok(leaves)
    }
}

/// Memory for events, and what each takes besides its text. Events that were read twice count twice.
const MAX_BYTES: usize = 16 << 20;
const EACH: usize = 64;
