//! S3: X25519 keys that share what everybody knows, and keys in a second spelling.

use attestation::message::{MessageKey, MessageKeyError};
use serde::Deserialize;

use super::Tried;
use crate::vectors;

/// Five coordinates of small order, the same with the top bit, which RFC 7748 masks, and numbers that are another spelling.
pub fn small_order() -> Tried {
    let of = |hex: &str| -> [u8; 32] { hex::decode(hex).expect("hex").try_into().expect("32 bytes") };
    let field = |last: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (last, 0x7f);
        bytes
    };
    let small = |first: u8| {
        let mut bytes = [0; 32];
        bytes[0] = first;
        bytes
    };
    let order_8 = [
        of("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        of("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ];
    let mut tried = Tried::default();
    let mut refuse = |bytes: [u8; 32], want: MessageKeyError| {
        let read = MessageKey::from_bytes(&bytes);
        tried.require(read.as_ref() == Err(&want), || format!("{}: not {want:?}", hex::encode(bytes)));
    };
    for bytes in [small(0), small(1), field(0xec), order_8[0], order_8[1]] {
        refuse(bytes, MessageKeyError::SmallOrder);
        let mut again = bytes;
        again[31] |= 0x80;
        refuse(again, MessageKeyError::NotCanonical);
    }
    for bytes in [field(0xed), field(0xee), field(0xff), [0xff; 32]] {
        refuse(bytes, MessageKeyError::NotCanonical);
    }
    for bytes in [small(2), small(9), field(0xeb)] {
        assert!(MessageKey::from_bytes(&bytes).is_ok(), "the control");
    }
    tried
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wycheproof {
    number_of_tests: u64,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    tc_id: u64,
    public: String,
    shared: String,
    flags: Vec<String>,
}

/// Wycheproof's `x25519_test.json`, for what is ours of X25519, the admission of keys: a key whose secret everybody knows is
/// refused, and every other one in its one spelling is admitted.
///
/// # Errors
/// Why the file is not there.
///
/// # Panics
/// If it is of another form.
pub fn wycheproof() -> Result<Tried, String> {
    let vectors: Wycheproof = vectors::read_others("x25519_test.json")?;
    let mut tried = Tried::default();
    for case in vectors.test_groups.iter().flat_map(|group| &group.tests) {
        let key: [u8; 32] = hex::decode(&case.public).expect("hex").try_into().expect("32 bytes");
        let is_shared_by_all = case.shared.bytes().all(|digit| digit == b'0');
        // p, and p with the top bit: what is not below p, or has the bit, is a second spelling.
        let is_second = key[31] & 0x80 != 0 || case.flags.iter().any(|flag| flag == "NonCanonicalPublic");
        let read = MessageKey::from_bytes(&key);
        tried.require(read.is_ok() != (is_shared_by_all || is_second), || {
            format!("case {}: {} {read:?} {:?}", case.tc_id, case.public, case.flags)
        });
    }
    if tried.count != vectors.number_of_tests {
        tried.violations.push(format!("{} cases of {}", tried.count, vectors.number_of_tests));
    }
    Ok(tried)
}
