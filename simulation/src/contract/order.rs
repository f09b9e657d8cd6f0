//! Index and time, once for each claim, under the state that was checked.

use log_core::admit::Admitted;
use log_core::port::{Index, Objects, Order, Sequencing, Wants};
use tlog::{LeafIndex, TreeSize};

use super::{
    MAX_PENDING, Subject, at, block_on, call, call_under, heads, integrate_all, lead, order, state, with_call,
};
use crate::pipeline::{Pipeline, link};

fn artifacts(count: u32) -> Vec<Admitted> {
    let pipeline = Pipeline::new("contract");
    (0..count).map(|number| pipeline.artifact(&format!("order {number}"), number % 2 == 0)).collect()
}

/// The next indexes without a gap, one time for all of a call; the leaves are what the time makes of the entries.
pub fn an_entry_gets_the_next_index_and_its_batch_one_time<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let entries = artifacts(5);
    assert_eq!(state(&engine).next, TreeSize::EMPTY);
    for (batch, from) in [(&entries[..3], 0), (&entries[3..], 3)] {
        let (first, time) = order(&engine, batch, at(from));
        assert_eq!(first, LeafIndex::new(from));
        assert!(time >= at(from));
        assert_eq!(state(&engine).logged_at, time.as_millis());
        for (entry, index) in batch.iter().zip(from..) {
            let leaf = engine_leaf(&engine, index);
            assert_eq!(leaf, Some(entry.entry.to_leaf(time)), "leaf {index}");
        }
    }
    assert_eq!((state(&engine).next, engine_leaf(&engine, 5)), (TreeSize::new(5), None));
    let bytes: u64 = entries.iter().map(|entry| entry.bytes() as u64).sum();
    assert!(state(&engine).day_bytes >= bytes, "a leaf is longer than what is sent, by its time");
}

/// A call with a known claim writes nothing, and names each known claim with its index.
pub fn a_claim_gets_one_index_for_ever<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let entries = artifacts(5);
    order(&engine, &entries[..2], at(0));
    let before = state(&engine);
    let mixed = [entries[2].clone(), entries[1].clone(), entries[3].clone(), entries[0].clone()];
    let known = vec![(1, LeafIndex::new(1)), (3, LeafIndex::new(0))];
    assert_eq!(call(&engine, &mixed, at(9)), Sequencing::Known(known.clone()));
    assert_eq!(state(&engine), before, "nothing is written");
    let engine = subject.reopened(engine);
    assert_eq!(call(&engine, &mixed, at(9)), Sequencing::Known(known), "not forgotten");
    assert_eq!(order(&engine, &entries[2..3], at(9)).0, LeafIndex::new(2));
    for (entry, index) in entries.iter().take(3).zip(0..) {
        assert_eq!(engine_claim(&engine, entry), Some(LeafIndex::new(index)));
    }
    assert_eq!(engine_claim(&engine, &entries[4]), None);
}

/// Claims are looked up before any rule of state: a retry is answered whatever has changed since.
pub fn a_known_claim_is_known_whatever_the_state_is<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let pipeline = Pipeline::new("contract known");
    let (artifact, inception) = (pipeline.artifact("known", false), pipeline.inception());
    let early = state(&engine);
    order(&engine, &[artifact.clone(), inception], at(0));
    let known = Sequencing::Known(vec![(0, LeafIndex::new(0))]);
    assert_eq!(call_under(&engine, &[artifact], at(1), &early), known);
}

/// Artifacts are checked under the identity events, events under all of them.
pub fn what_was_checked_under_a_past_state_is_stale<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let pipeline = Pipeline::new("contract stale");
    let (a, b) = (Pipeline::new("contract a"), Pipeline::new("contract b"));
    order(&engine, &[a.inception()], at(0));
    let identity = state(&engine);
    // An event that is no identity event: artifacts go on, events do not.
    order(&engine, &[a.vouch(b.did(), 1, false)], at(1));
    let trust = state(&engine);
    let is_ordered = |outcome| matches!(outcome, Sequencing::Sequenced { .. });
    assert!(is_ordered(call_under(&engine, &[pipeline.artifact("1", false)], at(2), &identity)));
    let vouch = [a.vouch(b.did(), 2, true)];
    let Sequencing::Stale(now) = call_under(&engine, &vouch, at(2), &identity) else {
        panic!("an event was ordered meanwhile");
    };
    assert_eq!((now, engine_claim(&engine, &vouch[0])), (state(&engine), None));
    assert!(is_ordered(call_under(&engine, &vouch, at(2), &now)));
    let before = state(&engine);
    assert_eq!(before.versions.identity, trust.versions.identity, "no identity event came");
    // An identity event: nothing goes on that was checked before it.
    order(&engine, &[b.inception()], at(3));
    let next = state(&engine).next;
    for entry in [pipeline.artifact("2", false), a.vouch(b.did(), 3, false)] {
        let outcome = call_under(&engine, &[entry], at(4), &before);
        assert!(matches!(outcome, Sequencing::Stale(_)), "{outcome:?}");
    }
    assert_eq!(state(&engine).next, next, "nothing is written");
}

/// A call with an earlier time gets the last one.
pub fn time_never_goes_back<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let entries = artifacts(3);
    let times: Vec<_> = [5_000, 1_000, 5_001]
        .into_iter()
        .zip(&entries)
        .map(|(millis, entry)| order(&engine, std::slice::from_ref(entry), at(millis)).1)
        .collect();
    assert!(times.is_sorted() && times[0] >= at(5_000) && times[2] >= at(5_001), "{times:?}");
    let engine = subject.reopened(engine);
    assert_eq!(state(&engine).logged_at, times[2].as_millis());
}

/// What would wait for integration beyond the limit is refused, all of it, and goes on once there is room.
pub fn what_may_not_wait_is_refused_whole<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let entries = artifacts(8);
    order(&engine, &entries[..4], at(0));
    let ordered = state(&engine);
    let waiting = heads(&engine).ordered.next.get() - heads(&engine).integrated.edge().size().get();
    let call = |max_pending| {
        with_call(&entries[4..], at(1), &ordered, max_pending, |call| block_on(engine.sequence(&call)))
    };
    if waiting > 0 {
        // An engine that integrates what it orders in the same write has nothing that waits.
        assert_eq!(call(waiting + 3).expect("an outcome"), Sequencing::Full);
        assert_eq!(state(&engine), ordered, "nothing is written");
        let epoch = lead(&engine);
        integrate_all(&engine, epoch);
        assert_eq!(heads(&engine).integrated.edge().size(), TreeSize::new(4));
    }
    assert!(matches!(call(MAX_PENDING).expect("an outcome"), Sequencing::Sequenced { .. }));
}

/// What a call has answered is there after a power cut.
pub fn what_is_ordered_is_durable<S: Subject>(subject: &S) {
    let mut engine = subject.fresh();
    let pipeline = Pipeline::new("contract durable");
    let inception = pipeline.inception();
    let rotation = pipeline.rotation(link(1, &inception), 2);
    for (entry, index) in [pipeline.artifact("1", true), inception, rotation].into_iter().zip(0..) {
        let (first, time) = order(&engine, std::slice::from_ref(&entry), at(index));
        let before = state(&engine);
        engine = subject.reopened(engine);
        let now = state(&engine);
        // Versions are promised to be no smaller than the smallest that are true.
        assert_eq!(
            (now.next, now.logged_at, now.day_bytes),
            (before.next, before.logged_at, before.day_bytes)
        );
        assert!(
            now.versions.identity >= before.versions.identity
                && now.versions.events >= before.versions.events
        );
        assert_eq!((first, engine_claim(&engine, &entry)), (LeafIndex::new(index), Some(first)));
        assert_eq!(engine_leaf(&engine, index), Some(entry.entry.to_leaf(time)));
    }
    let wants = Wants { identities: vec![pipeline.did()], ..Wants::default() };
    let facts = engine.facts(&wants).expect("facts");
    let events: Vec<u64> = facts.identities[0].iter().map(|(index, _)| index.get()).collect();
    assert_eq!(events, [1, 2]);
}

/// Two calls with one claim in them, under way at once: the claim has one index.
pub fn calls_that_come_at_once_are_done_one_after_the_other<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let entries = artifacts(3);
    let checked = state(&engine);
    let pairs = [[entries[0].clone(), entries[1].clone()], [entries[1].clone(), entries[2].clone()]];
    let [first, second] = with_call(&pairs[0], at(0), &checked, MAX_PENDING, |one| {
        with_call(&pairs[1], at(0), &checked, MAX_PENDING, |two| {
            let (one, two) = (engine.sequence(&one), engine.sequence(&two));
            // The one that was made first is not the one that is polled first.
            let two = block_on(two).expect("an outcome");
            [block_on(one).expect("an outcome"), two]
        })
    });
    assert!(matches!(second, Sequencing::Sequenced { .. }), "{second:?}");
    assert_eq!(first, Sequencing::Known(vec![(1, LeafIndex::new(0))]));
    assert_eq!(state(&engine).next, TreeSize::new(2));
}

fn engine_leaf(engine: &impl Objects, index: u64) -> Option<Vec<u8>> {
    engine.leaf(LeafIndex::new(index)).expect("a read")
}

fn engine_claim(engine: &impl Index, entry: &Admitted) -> Option<LeafIndex> {
    engine.claim(&entry.claim.get()).expect("a read")
}
