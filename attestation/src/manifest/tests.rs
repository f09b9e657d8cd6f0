use super::*;

const SEED: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
    29, 30, 31,
];

fn key() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&SEED)
}

fn sample() -> Manifest {
    let names = ["a.txt", "é/\"q\\u.txt", "\u{ffee}", "😀\u{7f}"];
    let files = names.iter().map(|name| ((*name).to_owned(), Hash::of(name.as_bytes()))).collect();
    Manifest::sign(Did::of(&key().public_key()), &key(), 1_760_000_000, files)
}

#[test]
fn what_is_written_is_read_and_verified() {
    let manifest = sample();
    let read = Manifest::parse(manifest.to_json().as_bytes()).expect("a manifest");
    assert_eq!(read, manifest);
    let signed = read.verify(&[]).expect("verified");
    assert_eq!((signed.did, signed.claimed_time, signed.by_log), (manifest.did, 1_760_000_000, false));
    assert_eq!(signed.files, manifest.files);
    // Code points are the order, not UTF-16: U+FFEE stands before U+1F600.
    assert!(
        manifest.payload.contains(r#"\uffee":"#)
            && manifest.payload.find("uffee") < manifest.payload.find("ud83d")
    );
    assert!(
        manifest.payload.contains(r#""\u00e9/\"q\\u.txt":"#) && manifest.payload.contains(r"\ude00\u007f")
    );
}

#[test]
fn with_one_signers_key_and_anothers_did_it_is_refused() {
    // The Python client says "Signature valid! Signer: Bob" here.
    let bob = Did::of(&Ed25519PrivateKey::from_seed(&[9; 32]).public_key());
    let manifest = Manifest::sign(bob, &key(), 1, sample().files);
    let read = Manifest::parse(manifest.to_json().as_bytes()).expect("a manifest");
    let error = read.verify(&[]).expect_err("the key is not Bob's");
    assert_eq!(error.check(), Check::Key);
    assert!(error.to_string().contains(&bob.to_string()), "{error}");
}

#[test]
fn every_bit_of_a_manifest_counts() {
    let json = sample().to_json().into_bytes();
    let value = |bytes: &[u8]| {
        let mut value: Value = serde_json::from_slice(bytes).expect("JSON");
        value["signature"] = value["signature"].as_str().expect("digits").to_lowercase().into();
        value
    };
    for at in 0..json.len() {
        for bit in 0..8 {
            let mut flipped = json.clone();
            flipped[at] ^= 1 << bit;
            let Ok(read) = Manifest::parse(&flipped) else { continue };
            if read == sample() {
                // White space between members, the case of hex digits.
                assert_eq!(value(&flipped), value(&json), "byte {at} bit {bit}");
                continue;
            }
            assert_eq!(read.verify(&[]), Err(ManifestError::Signature), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn what_two_readers_may_read_in_two_ways_is_refused() {
    let json = sample().to_json();
    for (from, to) in [
        ("\"timestamp\": 1760000000", "\"timestamp\": 1760000000.0"),
        ("\"timestamp\": 1760000000", "\"timestamp\": 1.76e9"),
        ("\"timestamp\": 1760000000", "\"timestamp\": -1"),
        ("\"timestamp\": 1760000000", "\"timestamp\": 1760000000, \"x\": 0.5"),
        ("\"timestamp\": 1760000000", "\"timestamp\": 1760000000, \"x\": 18446744073709551616"),
        ("\"timestamp\": 1760000000", "\"timestamp\": 1760000000, \"x\": -0"),
        ("\"timestamp\": 1760000000", "\"timestamp\": 1760000000, \"timestamp\": 1760000000"),
        ("\"version\": \"1.0\"", "\"version\": \"1.1\""),
        ("\"version\": \"1.0\",", ""),
        ("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", ""),
        // A second spelling of the same key: its last bits are no zeros.
        ("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbh="),
        ("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "AAAAAAA="),
        ("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("did:aip:56475aa7", "did:aip:56475AA7"),
        ("\"a.txt\": \"", "\"a.txt\": \"0"),
        ("\"a.txt\"", "\"../a.txt\""),
        ("\"a.txt\"", "\"/a.txt\""),
        ("\"a.txt\": ", "\"bad\\udcff.txt\": "),
    ] {
        let altered = json.replacen(from, to, 1);
        assert_ne!(altered, json, "{from}");
        let error = Manifest::parse(altered.as_bytes()).expect_err(to);
        assert_eq!(error.check(), Check::Form, "{to}: {error}");
    }
}

#[test]
fn what_python_does_not_see_is_known() {
    for (name, unseen) in [
        ("a/b.txt", false),
        (".envrc", false),
        ("x.pyc.txt", false),
        ("a/.env", true),
        ("node_modules/x/y", true),
        ("sub/.aip-signature.json", true),
        ("x.pyc", true),
        ("a.pyo/b", true),
    ] {
        assert_eq!(is_unseen_by_python(name), unseen, "{name}");
    }
}
