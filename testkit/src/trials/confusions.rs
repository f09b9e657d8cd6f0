//! S13: a signature over one kind of thing, shown as one over another.

use attestation::dsse::{PAYLOAD_TYPE, pae};
use attestation::entry::CLAIM_TYPE;
use attestation::message::{MESSAGE_TYPE, REQUEST_TYPE};
use tlog::key::Ed25519PrivateKey;

use super::Tried;

/// Each of twelve payload types, ours and their neighbours, signed and read as each of the others: 132 confusions. A type read as
/// itself is the control. Behind them those that would need a length to be read in two ways.
pub fn payload_types() -> Tried {
    let types = [
        PAYLOAD_TYPE,
        CLAIM_TYPE,
        MESSAGE_TYPE,
        REQUEST_TYPE,
        "application/vnd.aip.receipt.v1+json",
        "application/vnd.in-toto+json ",
        "application/vnd.in-toto+jso",
        "Application/vnd.in-toto+json",
        "application/vnd.in-toto+json 2 {}",
        "application/json",
        "n",
        "",
    ];
    let key = Ed25519PrivateKey::from_seed(&[13; 32]);
    let public = key.public_key();
    let mut tried = Tried::default();
    for signed_as in types {
        let signature = key.sign(&pae(signed_as, b"{}"));
        for read_as in types {
            let holds = public.verify(&pae(read_as, b"{}"), &signature);
            if signed_as == read_as {
                assert!(holds, "the control: {signed_as:?} read as itself");
                continue;
            }
            tried.require(!holds, || format!("{signed_as:?} is read as {read_as:?}"));
        }
    }
    // The boundary between type and payload is fixed by the lengths.
    for (one, other) in [(("a", &b"b c"[..]), ("a b", &b"c"[..])), (("a", b"1 b"), ("a 1", b"b"))] {
        assert_ne!(pae(one.0, one.1), pae(other.0, other.1), "a boundary moves");
    }
    tried
}
