//! What a later state of the signer says about a receipt: rotations, reports and ends that came after its
//! checkpoint, or in another log (`specs/receipt.md`, check `later-state`).

use tlog::LeafIndex;
use tlog::key::VerifierKey;

use super::Fault;
use crate::did::Did;
use crate::event::RawKey;
use crate::evidence::Proven;
use crate::identity::{Identity, Status, check_artifact_signer};

/// The entry that is judged.
pub(super) struct Judged<'a> {
    pub(super) did: Did,
    pub(super) key: &'a RawKey,
    pub(super) log: &'a VerifierKey,
    pub(super) index: LeafIndex,
}

impl Judged<'_> {
    /// Whether the entry still stands, by the state in evidence.
    pub(super) fn by(&self, evidence: &Proven) -> Result<String, Fault> {
        let size = evidence.checkpoint().size;
        let origin = &evidence.checkpoint().origin;
        let events = evidence.identity_events(self.did, size).map_err(Fault::LaterState)?;
        let state = evidence.identity(self.did, size).map_err(Fault::LaterState)?;
        let word = if evidence.log() == self.log {
            let met = Identity::fold(events.into_iter().filter(|(index, _)| *index < self.index));
            check_artifact_signer(met.as_ref(), self.did, self.key)
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
        let Some(state) = state else { return Ok("not registered") };
        let origin = || origin.to_owned();
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
