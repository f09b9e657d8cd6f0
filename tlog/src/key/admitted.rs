//! Verdicts on raw Ed25519 keys, each made once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::{Ed25519PublicKey, KeyError};

/// Remembers which raw keys [`Ed25519PublicKey::from_bytes`] admits: that check costs more than a signature's.
///
/// It holds at most [`AdmittedKeys::MAX`] verdicts, about 8 MB, and starts anew when it is full: keys cost nothing,
/// so no choice of victims would keep a stranger from filling it.
#[derive(Debug, Default)]
pub struct AdmittedKeys(RwLock<HashMap<[u8; Ed25519PublicKey::BYTES], Result<Ed25519PublicKey, KeyError>>>);

impl AdmittedKeys {
    /// How many verdicts are remembered at most.
    pub const MAX: usize = 32_768;

    /// The same as [`Ed25519PublicKey::from_bytes`].
    pub fn admit(&self, raw: &[u8; Ed25519PublicKey::BYTES]) -> Result<Ed25519PublicKey, KeyError> {
        // A panic in another thread cannot leave half a verdict: the map is whole whenever the lock is free.
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(raw) {
            return *known;
        }
        let verdict = Ed25519PublicKey::from_bytes(raw);
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= Self::MAX {
            keys.clear();
        }
        keys.insert(*raw, verdict);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Ed25519PrivateKey;

    #[test]
    fn verdicts_are_those_of_the_check_also_when_they_are_remembered_and_after_it_was_full() {
        let keys = AdmittedKeys::default();
        let good = *Ed25519PrivateKey::from_seed(&[7; 32]).public_key().as_bytes();
        // The neutral element: a canonical point of small order.
        let mut small = [0; 32];
        small[0] = 1;
        for _ in 0..2 {
            assert_eq!(keys.admit(&good), Ed25519PublicKey::from_bytes(&good));
            assert_eq!(keys.admit(&small), Err(KeyError::Torsion));
        }
        for number in 0..AdmittedKeys::MAX as u64 {
            let mut raw = [0xff; 32];
            raw[..8].copy_from_slice(&number.to_le_bytes());
            let _ = keys.admit(&raw);
            let held = keys.0.read().expect("no panic").len();
            assert!(held <= AdmittedKeys::MAX, "{held}");
        }
        assert_eq!(keys.admit(&good), Ed25519PublicKey::from_bytes(&good));
    }
}
