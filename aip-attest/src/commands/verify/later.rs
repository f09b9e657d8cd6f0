//! What came after a receipt: by a state that is named, by one that is kept, and what neither knows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attestation::Did;
use attestation::receipt::SignerState;
use tlog::key::VerifierKey;
use tlog::policy::Policy;
use tlog::{Hash, TreeSize};

use crate::policy_file::pins::Pins;
use crate::report::Result;
use crate::states::{self, Kept, States};
use crate::word::evidence::Claimed;

/// Where a state of the signer comes from.
pub(in super::super) enum Later {
    /// The one that is kept for each receipt's log and signer, if one is.
    Kept(KeptStates),
    /// A file that `state export` wrote, to be read for the first receipt that needs it.
    File(PathBuf),
    /// What came of reading it.
    Read(Result<Claimed>),
    /// Somebody got it already.
    Known(Box<SignerState>),
}

impl Later {
    /// Those of this user.
    pub(super) fn kept() -> Self {
        Self::Kept(KeptStates { states: States::of_user(), known: BTreeMap::new() })
    }
}

/// The states that are kept, each read once.
pub(in super::super) struct KeptStates {
    states: States,
    /// By the log's key and the DID.
    known: BTreeMap<(Hash, Did), Result<Option<Kept>>>,
}

impl KeptStates {
    /// The newest for a receipt whose checkpoint `log` signed.
    pub(super) fn of(
        &mut self,
        log: &VerifierKey,
        did: Did,
        policy: &Policy,
        pins: &Pins,
    ) -> Result<Option<Kept>> {
        let known = self.known.entry((log.full_id(), did));
        known.or_insert_with(|| self.states.newest(log, did, policy, pins)).clone()
    }
}

/// As of when the signer of a receipt is judged.
pub(super) struct AsOf {
    /// The log.
    pub(super) origin: String,
    /// The tree: the receipt's, or that of a later state.
    pub(super) size: TreeSize,
    /// Its size as it was seen, where that is more, and nobody gave or got a state.
    pub(super) seen: Option<TreeSize>,
    /// Where the state was kept that is of this size.
    pub(super) kept: Option<PathBuf>,
}

impl AsOf {
    /// For a receipt of a tree of this size; `state` judges it too, and `kept` says where that lies, if it is kept.
    pub(super) fn new(
        origin: &str,
        size: TreeSize,
        state: Option<&SignerState>,
        kept: Option<PathBuf>,
        log: Option<&VerifierKey>,
        pins: &Pins,
    ) -> Self {
        let of_this_log = state.filter(|state| Some(&state.log) == log).map(|state| state.checkpoint.size);
        let size = of_this_log.map_or(size, |later| later.max(size));
        let is_named = state.is_some() && kept.is_none();
        let pin = log.and_then(|log| states::pin_of(pins, log)).filter(|_| !is_named);
        let seen = pin.map(|pin| pin.size).filter(|seen| *seen > size);
        Self { origin: origin.to_owned(), size, seen, kept }
    }
}
