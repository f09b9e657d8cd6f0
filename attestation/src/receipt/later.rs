//! What a later state of the signer says about a receipt: rotations, reports and ends that came after its
//! checkpoint, or in another log (`specs/receipt.md`, check `later-state`).

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::{LeafIndex, TreeSize, UnixTime};

use super::Fault;
use crate::did::Did;
use crate::event::{PendingEvent, RawKey};
use crate::evidence::{EvidenceError, Proven};
use crate::identity::{Identity, Status, check_artifact_signer};

/// The state of a DID in a log, as of a checkpoint that the caller believes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignerState {
    /// Whose.
    pub did: Did,
    /// The log's key.
    pub log: VerifierKey,
    /// The tree.
    pub checkpoint: Checkpoint,
    /// The latest time that the quorum attests; `None` without witnesses.
    pub attested: Option<UnixTime>,
    /// Its identity events in that tree, in log order. An event that does not follow is skipped.
    pub events: Vec<(LeafIndex, PendingEvent)>,
}

impl SignerState {
    /// What evidence shows of a DID.
    pub fn of(evidence: &Proven, did: Did) -> Result<Self, EvidenceError> {
        let size = evidence.checkpoint().size;
        // Each event of the list must follow; what is answered is the same state.
        evidence.identity(did, size)?;
        let events = evidence.identity_events(did, size)?;
        Ok(Self {
            did,
            log: evidence.log().clone(),
            checkpoint: evidence.checkpoint().clone(),
            attested: evidence.attested(),
            events: events.into_iter().map(|(index, event)| (index, event.clone())).collect(),
        })
    }

    /// The state that the entry at an index met; with `None`, the state after all.
    fn at(&self, index: Option<LeafIndex>) -> Option<Identity> {
        let before = self.events.iter().filter(|(at, _)| index.is_none_or(|index| *at < index));
        Identity::fold(before.map(|(at, event)| (*at, event)))
    }
}

/// The entry that is judged.
pub(super) struct Judged<'a> {
    pub(super) did: Did,
    pub(super) key: &'a RawKey,
    pub(super) log: &'a VerifierKey,
    pub(super) index: LeafIndex,
    /// The size of the tree that the receipt is as of.
    pub(super) size: TreeSize,
}

impl Judged<'_> {
    /// Whether the entry still stands, by this state.
    pub(super) fn by(&self, later: &SignerState) -> Result<String, Fault> {
        let (size, origin) = (later.checkpoint.size, &later.checkpoint.origin);
        if later.did != self.did {
            return Err(Fault::OtherState { did: later.did });
        }
        let state = later.at(None);
        let word = if later.log == *self.log {
            if size < self.size {
                return Err(Fault::OlderState { got: size, want: self.size });
            }
            check_artifact_signer(later.at(Some(self.index)).as_ref(), self.did, self.key)
                .map_err(|error| Fault::SignerState { index: self.index, error })?;
            self.same_log(state.as_ref())?
        } else {
            self.other_log(state.as_ref(), origin)?
        };
        Ok(format!("{word} as of size {size} of {origin}"))
    }

    fn same_log(&self, state: Option<&Identity>) -> Result<&'static str, Fault> {
        let Some(state) = state else { return Ok("not registered") };
        match state.windows().iter().find(|window| window.covers(self.index)) {
            Some(window) => Err(Fault::Void { index: self.index, window: *window }),
            None => Ok(state.status().name()),
        }
    }

    /// Between two logs there is no order: only the key that is current now is beyond doubt.
    fn other_log(&self, state: Option<&Identity>, origin: &str) -> Result<&'static str, Fault> {
        let origin = || origin.to_owned();
        let state = state.ok_or_else(|| Fault::NotAtHome { origin: origin() })?;
        if !state.keys().iter().any(|period| period.key == *self.key) {
            return Err(Fault::NeverItsKey { origin: origin() });
        }
        match state.status() {
            Status::Compromised => Err(Fault::CompromisedElsewhere { origin: origin() }),
            Status::Active if state.key() == self.key => Ok("current key"),
            Status::Active | Status::Deactivated => Err(Fault::RetiredElsewhere { origin: origin() }),
        }
    }
}
