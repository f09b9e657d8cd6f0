//! S14: other spellings of DIDs, and keys that nobody owns.

use attestation::did::{Did, DidError};
use tlog::key::{Ed25519PublicKey, KeyError};

use super::Tried;

const DID: &str = "did:aip:56475aa75463474c0285df5dbf2bcab7";

/// A DID has one spelling: every other is refused, and the refusal says which part is wrong.
pub fn dids() -> Tried {
    let mut tried = Tried::default();
    let digits = [
        &DID.replace('a', "A").replacen("did:Aip", "did:aip", 1),
        "did:aip:56475AA75463474C0285DF5DBF2BCAB7",
        &DID[..39],
        &format!("{DID}0"),
        &format!("{DID} "),
        &format!("{DID}\n"),
        "did:aip:",
        "did:aip:56475aa75463474c0285df5dbf2bca\u{ff17}",
        "did:aip:56475aa75463474c0285df5dbf2bcab٣",
        "did:aip:56475aa75463474c0285df5dbf2bcabg",
        "did:aip:56475aa75463474c0285df5dbf2bca\0b",
    ];
    let method = [
        "",
        &format!(" {DID}"),
        &DID.replace("did:aip", "DID:AIP"),
        &DID.replace("aip:", "aip"),
        &DID.replace("aip", "key"),
        &DID["did:aip:".len()..],
    ];
    assert!(DID.parse::<Did>().is_ok(), "the control");
    for text in digits {
        let is_named = matches!(text.parse::<Did>(), Err(DidError::Digits(_)));
        tried.require(is_named, || format!("{text:?}: {:?}", text.parse::<Did>()));
    }
    for text in method {
        let is_named = matches!(text.parse::<Did>(), Err(DidError::Method(_)));
        tried.require(is_named, || format!("{text:?}: {:?}", text.parse::<Did>()));
    }
    tried
}

/// Ed25519 keys of small and of mixed order, in a second spelling, and no point at all.
pub fn keys() -> Tried {
    let of = |hex: &str| -> [u8; 32] { hex::decode(hex).expect("hex").try_into().expect("32 bytes") };
    let of_first_and_last = |first: u8, between: u8, last: u8| {
        let mut bytes = [between; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let order_8 = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut tried = Tried::default();
    let mixed = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    for (key, want) in [
        (of_first_and_last(0, 0, 0), KeyError::Torsion),
        (of_first_and_last(1, 0, 0), KeyError::Torsion),
        (of_first_and_last(0xec, 0xff, 0x7f), KeyError::Torsion),
        (of(order_8[0]), KeyError::Torsion),
        (of(order_8[1]), KeyError::Torsion),
        (of(mixed), KeyError::Torsion),
        (of_first_and_last(0xed, 0xff, 0x7f), KeyError::NotCanonical),
        (of_first_and_last(0xee, 0xff, 0x7f), KeyError::NotCanonical),
        (of_first_and_last(2, 0, 0), KeyError::NotAPoint),
    ] {
        let read = Ed25519PublicKey::from_bytes(&key);
        tried.require(read == Err(want), || format!("{}: not {want:?}: {read:?}", hex::encode(key)));
    }
    tried
}
