//! Keys of logs and witnesses: the same one for the same seed.

use tlog::key::{KeyName, KeyType, SignerKey, VerifierKey};

/// A key of a log or a witness.
///
/// # Panics
/// If the name is none that a key may have.
pub fn signer(name: &str, kind: KeyType, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).expect("a key name"), kind, &[seed; 32])
}

/// The text of a policy that believes this log, and this witness alone.
pub fn policy_of(log: &SignerKey, witness: &SignerKey) -> String {
    format!("log {}\nwitness w {}\nquorum w\n", log.verifier(), witness.verifier())
}

/// The key of a vkey.
///
/// # Panics
/// If it is none.
pub fn vkey(text: &str) -> VerifierKey {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}
