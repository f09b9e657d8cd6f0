//! Head, lease and slots.

use std::time::Duration;

use attestation::entry::LogTime;
use log_core::StoreError;
use log_core::port::{
    Epoch, Failed, Head, Heads, Integration, Lead, Moved, OrderState, PublishedNote, Publishing, Put,
    Reserved, Signing, Slots,
};
use tlog::{LeafIndex, TreeSize};

use super::{Engine, State};
use crate::store::{Batch, Store, schema};

impl<S: Store + ?Sized> Engine<S> {
    /// Writes `batch` and changes the state if the epoch is in force and `holds`.
    fn compare_and_set(
        &self,
        epoch: Epoch,
        holds: impl FnOnce(&State) -> bool,
        batch: &Batch,
        change: impl FnOnce(&mut State),
    ) -> Result<Moved, Failed> {
        let mut state = self.sound().map_err(Failed::Unknown)?;
        if !(state.is_led && state.epoch == epoch && holds(&state)) {
            return Ok(Moved::Another(Box::new(state.heads())));
        }
        if !batch.puts().is_empty() {
            self.write(&mut state, batch)?;
        }
        change(&mut state);
        Ok(Moved::Moved)
    }
}

impl State {
    fn heads(&self) -> Heads {
        Heads {
            epoch: self.epoch,
            ordered: self.order(),
            integrated: self.tree.clone(),
            signed: self.signed.as_ref().map(|(_, note)| note.clone()),
            published: self.published.as_ref().map(|(_, note)| note.clone()),
            seen: self.seen,
        }
    }

    fn signed_size(&self) -> TreeSize {
        self.signed.as_ref().map_or(TreeSize::EMPTY, |(size, _)| *size)
    }

    fn published_size(&self) -> TreeSize {
        self.published.as_ref().map_or(TreeSize::EMPTY, |(size, _)| *size)
    }
}

/// The epoch counts the leases of one opening, and a lease ends with the process or when it is released: the lock of the
/// directory keeps other processes out.
impl<S: Store + ?Sized> Head for Engine<S> {
    async fn heads(&self) -> Result<Heads, StoreError> {
        Ok(self.sound()?.heads())
    }

    async fn lead(&self, _: &str, _: Duration) -> Result<Lead, Failed> {
        let mut state = self.sound().map_err(Failed::Unknown)?;
        if state.is_led {
            return Ok(Lead::Another);
        }
        (state.is_led, state.epoch) = (true, state.epoch + 1);
        Ok(Lead::Mine(state.epoch))
    }

    async fn renew(&self, epoch: Epoch, _: Duration) -> Result<Moved, Failed> {
        self.compare_and_set(epoch, |_| true, &Batch::default(), |_| ())
    }

    async fn release(&self, epoch: Epoch) -> Result<Moved, Failed> {
        self.compare_and_set(epoch, |_| true, &Batch::default(), |state| state.is_led = false)
    }

    /// Everything is integrated as it is ordered.
    async fn integrate(&self, epoch: Epoch, integration: Integration<'_>) -> Result<Moved, Failed> {
        let is_there = |state: &State| {
            let size = state.tree.edge().size();
            integration.from == size && integration.tree.edge().size() == size
        };
        self.compare_and_set(epoch, is_there, &Batch::default(), |_| ())
    }

    async fn sign(&self, epoch: Epoch, signing: Signing<'_>) -> Result<Moved, Failed> {
        let mut batch = Batch::default();
        schema::put_signed(&mut batch, signing.note);
        let holds =
            |state: &State| state.signed_size() <= signing.size && signing.size <= state.tree.edge().size();
        let note = (signing.size, signing.note.to_owned());
        self.compare_and_set(epoch, holds, &batch, |state| state.signed = Some(note))
    }

    async fn publish(&self, epoch: Epoch, publishing: Publishing<'_>) -> Result<Moved, Failed> {
        let Publishing { size, note, sigstore, signed } = publishing;
        let mut batch = Batch::default();
        if let Some(signed) = signed {
            schema::put_signed(&mut batch, signed);
        }
        schema::put_published(&mut batch, note);
        let holds = |state: &State| {
            let is_signed = match signed {
                Some(_) => state.signed_size() <= size && size <= state.tree.edge().size(),
                None => size <= state.signed_size(),
            };
            is_signed && state.published_size() <= size
        };
        self.compare_and_set(epoch, holds, &batch, |state| {
            if let Some(signed) = signed {
                state.signed = Some((size, signed.to_owned()));
            }
            let sigstore = Some(sigstore.to_owned());
            state.published = Some((size, PublishedNote { note: note.to_owned(), sigstore }));
        })
    }

    async fn saw(&self, epoch: Epoch, millis: u64) -> Result<Moved, Failed> {
        let mut batch = Batch::default();
        schema::put_seen(&mut batch, millis);
        self.compare_and_set(epoch, |_| true, &batch, |state| state.seen = Some(millis))
    }
}

const NO_SLOTS: &str = "the RocksDB engine has no slots";

impl<S: Store + ?Sized> Slots for Engine<S> {
    async fn reserve(&self, _: &OrderState, _: LogTime) -> Result<Reserved, Failed> {
        Ok(Reserved::NotOffered(NO_SLOTS))
    }

    async fn fill(&self, _: Epoch, _: LeafIndex, _: &[u8]) -> Result<Put, Failed> {
        Err(Failed::Lost(StoreError::new("fill a slot", NO_SLOTS)))
    }
}
