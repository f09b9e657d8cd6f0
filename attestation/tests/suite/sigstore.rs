//! The leaves and proofs of Sigstore bundles, which other verifiers accepted (`specs/vectors/sigstore`).

use attestation::dsse::Envelope;
use attestation::entry::Entry;
use serde_json::Value;
use tlog::checkpoint::Checkpoint;
use tlog::encoding::decode_base64;
use tlog::merkle::{inclusion, leaf_hash};
use tlog::note::Note;
use tlog::{Hash, LeafIndex, TreeSize};

const BUNDLES: [(&str, &str, &str); 3] = [
    ("hashedrekord", "0.0.2", include_str!("../../../specs/vectors/sigstore/A_ec_dsse_hr2pae.json")),
    ("dsse", "0.0.1", include_str!("../../../specs/vectors/sigstore/E_ed_dsse_v1dsse.json")),
    ("dsse", "0.0.1", include_str!("../../../specs/vectors/sigstore/entry_bundle.json")),
];

#[test]
fn the_leaf_of_every_bundle_is_in_the_tree_of_its_checkpoint() {
    for (kind, version, json) in BUNDLES {
        let bundle: Value = serde_json::from_str(json).expect("JSON");
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        assert_eq!(
            (&entry["kindVersion"]["kind"], &entry["kindVersion"]["version"]),
            (&kind.into(), &version.into())
        );
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let number = |value: &Value| text(value).parse::<u64>().expect("a number");
        let proof = &entry["inclusionProof"];
        let leaf = decode_base64(&text(&entry["canonicalizedBody"])).expect("base64");
        let hash = |value: &Value| Hash::from_base64(&text(value)).expect("a hash");
        let hashes: Vec<Hash> = proof["hashes"].as_array().expect("hashes").iter().map(hash).collect();
        let (index, size) =
            (LeafIndex::new(number(&proof["logIndex"])), TreeSize::new(number(&proof["treeSize"])));
        let root = hash(&proof["rootHash"]);
        assert_eq!(inclusion::verify(&leaf_hash(&leaf), index, size, &hashes, &root), Ok(()), "{kind}");
        let mut other = leaf.clone();
        other[0] ^= 1;
        assert!(inclusion::verify(&leaf_hash(&other), index, size, &hashes, &root).is_err(), "{kind}");
        let note = Note::parse(text(&proof["checkpoint"]["envelope"]).as_bytes()).expect("a note");
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!((checkpoint.size, checkpoint.root), (size, root), "{kind}");
    }
}

#[test]
fn our_leaf_names_the_envelope_of_its_bundle_and_others_are_not_taken_for_ours() {
    let leaf = |json: &str| {
        let bundle: Value = serde_json::from_str(json).expect("JSON");
        let body = &bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"];
        (decode_base64(body.as_str().expect("a text")).expect("base64"), bundle)
    };
    let (ours, bundle) = leaf(BUNDLES[2].2);
    let Ok(Entry::Dsse(entry)) = Entry::parse(&ours) else { panic!("our entry") };
    let envelope = Envelope::parse(bundle["dsseEnvelope"].to_string().as_bytes()).expect("an envelope");
    assert_eq!(entry.claim().envelope_hash(), envelope.hash());
    assert_eq!(entry.claim().payload_hash(), envelope.payload_hash());
    // Rekor's hashedrekord is a valid leaf of another kind; its `dsse` has no claim, so nobody signed it here.
    assert!(matches!(Entry::parse(&leaf(BUNDLES[0].2).0), Ok(Entry::NotUnderstood { .. })));
    assert!(Entry::parse(&leaf(BUNDLES[1].2).0).is_err());
}
