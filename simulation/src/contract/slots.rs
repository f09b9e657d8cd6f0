//! An index whose leaf comes later.

use attestation::entry::Entry;
use log_core::port::{Objects, Put, Reserved, Slots};
use tlog::LeafIndex;

use super::{Subject, at, block_on, integrate_all, lead, order, state};
use crate::pipeline::Pipeline;

/// A slot has an index as an entry has, stays empty until its leaf is put, and takes one leaf. Whoever makes the leaf makes
/// the same one: here the pure function is an entry of a pipeline.
pub fn a_slot_is_filled_once_or_refused<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    let pipeline = Pipeline::new("contract slots");
    order(&engine, &[pipeline.artifact("before", false)], at(0));
    let early = state(&engine);
    let (index, time) = match block_on(engine.reserve(&early, at(1))).expect("an outcome") {
        Reserved::At(index, time) => (index, time),
        Reserved::NotOffered(why) => {
            assert!(!why.is_empty(), "a refusal has a reason");
            assert_eq!(state(&engine), early, "nothing is written");
            return;
        }
        Reserved::Stale(now) => panic!("nobody ordered meanwhile: {now:?}"),
    };
    assert_eq!((index, time >= at(1)), (LeafIndex::new(1), true));
    let again = block_on(engine.reserve(&early, at(1))).expect("an outcome");
    assert_eq!(again, Reserved::Stale(state(&engine)), "the order has moved");
    let (behind, _) = order(&engine, &[pipeline.artifact("behind", false)], at(2));
    assert_eq!((behind, engine.leaf(index).expect("a read")), (LeafIndex::new(2), None));
    assert!(engine.leaves(0, 3, &mut |_, _| ()).is_err(), "what is behind an empty slot waits");
    let [leaf, other] =
        ["slot", "another"].map(|content| pipeline.artifact(content, false).entry.to_leaf(time));
    let fill = |epoch, leaf: &[u8]| block_on(engine.fill(epoch, index, leaf));
    assert!(fill(epoch + 1, &leaf).is_err(), "nobody has this epoch");
    assert_eq!(fill(epoch, &leaf).expect("an outcome"), Put::Stored);
    assert_eq!(fill(epoch, &leaf).expect("an outcome"), Put::Stored, "the same again");
    assert_eq!(fill(epoch, &other).expect("an outcome"), Put::Differs);
    assert!(block_on(engine.fill(epoch, LeafIndex::new(9), &leaf)).is_err(), "no slot is there");
    integrate_all(&engine, epoch);
    let engine = subject.reopened(engine);
    assert_eq!(engine.leaf(index).expect("a read").as_deref(), Some(leaf.as_slice()));
    assert!(Entry::parse(&leaf).is_ok());
}
