//! Put once, read, list, erase.

use log_core::admit::Admitted;
use log_core::port::{Kind, KnownEnvelope, Object, Objects, Put, StoredEnvelope, Tombstone, Wants};
use tlog::tile::Tile;
use tlog::{Hash, LeafIndex};

use super::{Subject, at, block_on, integrate_all, lead, order};
use crate::pipeline::Pipeline;

fn artifacts(count: u32) -> Vec<Admitted> {
    let pipeline = Pipeline::new("contract");
    (0..count).map(|number| pipeline.artifact(&format!("object {number}"), false)).collect()
}

/// The same bytes again are stored; others stay outside.
pub fn an_object_is_written_once<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let hashes: Vec<Hash> = (0..256u32).map(|number| Hash::of(&number.to_be_bytes())).collect();
    let mut others = hashes.clone();
    others[255] = Hash::of(b"another");
    let tile = |index| Tile::new(1, index, 256).expect("a tile");
    let put = |object| block_on(engine.put(object)).expect("an outcome");
    for index in [3, 1] {
        assert_eq!(put(Object::Tile(tile(index), &hashes)), Put::Stored);
    }
    assert_eq!(put(Object::Tile(tile(3), &hashes)), Put::Stored, "the same again");
    assert_eq!(put(Object::Tile(tile(3), &others)), Put::Differs);
    assert_eq!(engine.list_objects(Kind::Tiles(1), 0, 9).expect("a list"), [1, 3]);
    assert_eq!(engine.list_objects(Kind::Tiles(1), 2, 9).expect("a list"), [3]);
    assert_eq!(engine.list_objects(Kind::Tiles(1), 0, 1).expect("a list"), [1]);
    let (json, hash) = (b"{}", Hash::of(b"{}"));
    assert_eq!(put(Object::Envelope(hash, json)), Put::Stored);
    assert_eq!(put(Object::Envelope(hash, json)), Put::Stored, "the same again");
    assert_eq!(put(Object::Envelope(hash, b"[]")), Put::Differs);
    let engine = subject.reopened(engine);
    assert_eq!(engine.tile(tile(3)).expect("a read"), Some(hashes), "the first bytes stay");
    assert_eq!(engine.tile(tile(2)).expect("a read"), None);
    assert_eq!(engine.envelope(&hash).expect("a read"), Some(StoredEnvelope::Present(json.to_vec())));
}

/// A full bundle is put once, and is what is ordered.
pub fn a_bundle_is_the_leaves_that_are_ordered<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    order(&engine, &artifacts(257), at(0));
    integrate_all(&engine, epoch);
    assert_eq!(engine.list_objects(Kind::Bundles, 0, 9).expect("a list"), [0]);
    assert_eq!(engine.list_objects(Kind::Tiles(0), 0, 9).expect("a list"), [0]);
    let mut bundle = Vec::new();
    engine.leaves(0, 256, &mut |_, leaf| bundle.push(leaf.to_vec())).expect("leaves");
    assert_eq!(block_on(engine.put(Object::Bundle(0, &bundle))).expect("an outcome"), Put::Stored);
    bundle[200].push(0);
    assert_eq!(block_on(engine.put(Object::Bundle(0, &bundle))).expect("an outcome"), Put::Differs);
}

/// An erased envelope leaves a tombstone, and is not taken again.
pub fn an_erased_envelope_is_gone_for_ever<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let pipeline = Pipeline::new("contract erased");
    let entry = pipeline.artifact("erased", true);
    let (hash, json) = entry.envelope.clone().expect("a published entry");
    order(&engine, &[entry], at(0));
    assert_eq!(engine.envelope(&hash).expect("a read"), Some(StoredEnvelope::Present(json.clone())));
    let tombstone = Tombstone { reason: "a name was in it".into(), erased_at: 7 };
    assert!(block_on(engine.erase(&hash, &tombstone)).expect("an outcome"), "there was one");
    assert!(!block_on(engine.erase(&Hash::of(b"never"), &tombstone)).expect("an outcome"), "there was none");
    assert_eq!(block_on(engine.put(Object::Envelope(hash, &json))).expect("an outcome"), Put::Differs);
    // The same envelope under another claim: it has none of its own, so the same pipeline's next entry brings it along.
    let mut other = pipeline.artifact("erased, again", true);
    other.envelope = Some((hash, json));
    order(&engine, &[other], at(1));
    let wants = Wants { envelopes: vec![hash, Hash::of(b"never")], ..Wants::default() };
    let engine = subject.reopened(engine);
    assert_eq!(engine.envelope(&hash).expect("a read"), Some(StoredEnvelope::Erased(tombstone)));
    let facts = log_core::port::Index::facts(&engine, &wants).expect("facts");
    assert_eq!(facts.envelopes, [Some(KnownEnvelope::Erased), None]);
}

/// Leaves come in order, each once, and not beyond what is ordered.
pub fn leaves_are_read_in_order_and_a_missing_one_is_damage<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let entries = artifacts(6);
    let (_, time) = order(&engine, &entries, at(0));
    let mut seen = Vec::new();
    engine.leaves(1, 5, &mut |index, leaf| seen.push((index, leaf.to_vec()))).expect("leaves");
    let want: Vec<(u64, Vec<u8>)> = (1..5).map(|at| (at, entries[at as usize].entry.to_leaf(time))).collect();
    assert_eq!(seen, want);
    assert!(engine.leaves(3, 3, &mut |_, _| panic!("an empty range has no leaf")).is_ok());
    assert!(engine.leaves(5, 7, &mut |_, _| ()).is_err(), "leaf 6 is missing");
    assert_eq!(engine.leaf(LeafIndex::new(u64::MAX)).expect("a read"), None);
}
