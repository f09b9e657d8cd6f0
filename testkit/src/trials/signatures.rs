//! Ed25519 vectors of others: Wycheproof (S1) and the edge cases of C2SP/CCTV (S2).

use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use tlog::key::Ed25519PublicKey;

use super::Tried;
use crate::vectors;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wycheproof {
    number_of_tests: u64,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    public_key: Key,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Key {
    pk: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    tc_id: u64,
    msg: String,
    sig: String,
    result: String,
}

/// S1: Wycheproof's `ed25519_test.json`: the verdict is Wycheproof's in every case.
///
/// # Errors
/// Why the file is not there.
///
/// # Panics
/// If it is of another form.
pub fn wycheproof() -> Result<Tried, String> {
    let vectors: Wycheproof = vectors::read_others("ed25519_test.json")?;
    let mut tried = Tried::default();
    for group in &vectors.test_groups {
        let key: [u8; 32] = hex::decode(&group.public_key.pk).expect("hex").try_into().expect("32 bytes");
        for case in &group.tests {
            let message = hex::decode(&case.msg).expect("hex");
            let signature = <[u8; 64]>::try_from(hex::decode(&case.sig).expect("hex"));
            let holds = signature.is_ok_and(|signature| accepts(&key, &message, &signature));
            tried.require(holds == (case.result == "valid"), || format!("case {}: {holds}", case.tc_id));
        }
    }
    if tried.count != vectors.number_of_tests {
        tried.violations.push(format!("{} cases of {}", tried.count, vectors.number_of_tests));
    }
    Ok(tried)
}

fn accepts(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    Ed25519PublicKey::from_bytes(key).is_ok_and(|key| key.verify(message, signature))
}

#[derive(Deserialize)]
struct EdgeCases {
    cases: Vec<EdgeCase>,
}

#[derive(Deserialize)]
struct EdgeCase {
    key: String,
    sig: String,
    msg: String,
    flags: Option<Vec<String>>,
}

/// S2: of the 914 CCTV cases strict verification accepts 43; with keys of prime order only, the one without a flag, an honest
/// signature.
///
/// # Errors
/// Why the file is not there.
///
/// # Panics
/// If it is of another form.
pub fn edge_cases() -> Result<Tried, String> {
    let vectors: EdgeCases = vectors::read_others("ed25519_edge_cases.json")?;
    let (mut tried, mut strict) = (Tried::default(), 0);
    for case in &vectors.cases {
        let key: [u8; 32] = hex::decode(&case.key).expect("hex").try_into().expect("32 bytes");
        let signature: [u8; 64] = hex::decode(&case.sig).expect("hex").try_into().expect("64 bytes");
        let message = case.msg.as_bytes();
        if let Ok(key) = VerifyingKey::from_bytes(&key) {
            strict += usize::from(key.verify_strict(message, &Signature::from_bytes(&signature)).is_ok());
        }
        let flags = case.flags.as_deref().unwrap_or_default();
        let holds = accepts(&key, message, &signature);
        tried.require(holds == flags.is_empty(), || format!("key {} with {flags:?}: {holds}", case.key));
    }
    if (vectors.cases.len(), strict) != (914, 43) {
        tried.violations.push(format!("strict verification accepts {strict} of {}", vectors.cases.len()));
    }
    Ok(tried)
}
