//! How files with keys are called.

use attestation::Did;

/// The message keys, beside the credentials.
pub(super) const MESSAGE_KEYS: &str = "message-keys.json";

/// What the names of all recovery keys begin with.
pub(super) const RECOVERY: &str = "aip-recovery-";

/// What the names of all files of what comes after a key begin with.
pub(super) const NEXT: &str = "next-";

/// The DID's recovery key of this number, from 1.
pub(super) fn recovery(did: Did, number: u32) -> String {
    let digits = hex::encode(did.as_bytes());
    match number {
        1 => format!("{RECOVERY}{digits}.json"),
        _ => format!("{RECOVERY}{digits}-{number}.json"),
    }
}

/// What comes after the DID's key, beside the credentials.
pub(super) fn next(did: Did) -> String {
    format!("{NEXT}{}.json", hex::encode(did.as_bytes()))
}
