//! How messages reach a DID, by verified evidence (`specs/message.md`).

use tlog::key::Ed25519PublicKey;
use tlog::{LeafIndex, TreeSize};

use super::{EvidenceError, Proven};
use crate::did::Did;
use crate::identity::{StateError, check_message_keys_signer};
use crate::leaf::BrokenRule;
use crate::lists::ListKey;
use crate::message::{LoggedKeys, Recipient};

impl Proven {
    /// How messages reach a DID, at the checkpoint's size. Without an inception that is the key that hashes to it, if the caller
    /// has it; `None` if not.
    ///
    /// Needs what is sent when messages are asked for: the `id` list with its entries, and the `msg` list with its last one.
    pub fn recipient(
        &self,
        did: Did,
        genesis: Option<&Ed25519PublicKey>,
    ) -> Result<Option<Recipient>, EvidenceError> {
        let list = ListKey::Messages(did);
        let last = self.list(list)?.last().map(|listed| listed.index);
        let Some(state) = self.identity(did, self.checkpoint.size)? else {
            // The log lists what it could not take.
            let unregistered = |index| EvidenceError::State { index, error: StateError::NotRegistered };
            last.map_or(Ok(()), |index| Err(unregistered(index)))?;
            return Ok(genesis.filter(|key| Did::of(key) == did).copied().map(Recipient::Bare));
        };
        let said = last.map(|index| self.message_keys(list, index)).transpose()?;
        let key = |error| EvidenceError::Leaf { index: state.since(), error: BrokenRule::VerifierKey(error) };
        Recipient::registered(state.clone(), said.into_iter().collect()).map(Some).map_err(key)
    }

    /// The message keys that their issuer's key of that moment signed.
    fn message_keys(&self, list: ListKey, index: LeafIndex) -> Result<LoggedKeys, EvidenceError> {
        let entry = self.event(index)?;
        let keys = LoggedKeys::of(index, entry).ok_or(EvidenceError::Listed { list, index })?;
        let state = self.identity(entry.event().issuer(), TreeSize::new(index.get()))?;
        check_message_keys_signer(state.as_ref(), entry.pending())
            .map_err(|error| EvidenceError::State { index, error })?;
        Ok(keys)
    }
}
