//! Calls that fail: what a caller may conclude, on every engine behind a [`Faulty`].

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use log_core::port::{Failed, Head, Index, Objects, Order, Sequencing, Signing};
use tlog::{LeafIndex, TreeSize};

use super::{
    MAX_PENDING, Subject, at, block_on, heads, integrate_all, lead, note_of, order, state, with_call,
};
use crate::engine::{Fault, Faulty};
use crate::pipeline::Pipeline;

fn faulty<S: Subject>(subject: &S) -> Faulty<S::Engine> {
    Faulty::new(subject.fresh())
}

/// A call that is lost may be sent again.
pub fn a_lost_call_has_written_nothing<S: Subject>(subject: &S) {
    let engine = faulty(subject);
    let entries = [Pipeline::new("contract").artifact("lost", false)];
    let before = state(&engine);
    engine.plan([Fault::Lost]);
    let lost = with_call(&entries, at(0), &before, MAX_PENDING, |call| block_on(engine.sequence(&call)));
    assert!(matches!(lost, Err(Failed::Lost(_))), "{lost:?}");
    assert_eq!((state(&engine), engine.calls()), (before, 1));
    let engine = subject.reopened(engine.into_engine());
    assert_eq!(order(&engine, &entries, at(0)).0, LeafIndex::new(0));
}

/// After an unknown outcome the claims decide: the entry is there once, or can be ordered once.
pub fn reads_tell_what_became_of_an_unknown_call<S: Subject>(subject: &S) {
    for (fault, is_done) in [(Fault::UnknownDone, true), (Fault::UnknownNotDone, false)] {
        let engine = faulty(subject);
        let entries = [Pipeline::new("contract").artifact("unknown", false)];
        let before = state(&engine);
        engine.plan([fault]);
        let call =
            || with_call(&entries, at(0), &before, MAX_PENDING, |call| block_on(engine.sequence(&call)));
        let unknown = call();
        assert!(matches!(unknown, Err(Failed::Unknown(_))), "{unknown:?}");
        let claim = engine.claim(&entries[0].claim.get()).expect("a read");
        assert_eq!(claim, is_done.then_some(LeafIndex::new(0)));
        // Also where somebody sends it again without reading, it gets one index.
        match call().expect("an outcome") {
            Sequencing::Known(known) => assert_eq!((is_done, known), (true, vec![(0, LeafIndex::new(0))])),
            Sequencing::Sequenced { first, .. } => assert_eq!((is_done, first), (false, LeafIndex::new(0))),
            other => panic!("{other:?}"),
        }
        assert_eq!(state(&engine).next, TreeSize::new(1));
        let epoch = lead(&engine);
        integrate_all(&engine, epoch);
        let (size, note) = note_of(&heads(&engine));
        engine.plan([fault]);
        let unknown = block_on(engine.sign(epoch, Signing { size, note: &note }));
        assert!(matches!(unknown, Err(Failed::Unknown(_))), "{unknown:?}");
        assert_eq!(heads(&engine).signed.is_some_and(|signed| signed == note), is_done, "the heads tell");
    }
}

/// However long it took.
pub fn a_slow_or_paused_call_is_done_when_it_returns<S: Subject>(subject: &S) {
    let engine = faulty(subject);
    let pipeline = Pipeline::new("contract");
    let [slow, paused] = ["slow", "paused"].map(|content| [pipeline.artifact(content, false)]);
    engine.plan([Fault::Slow(3)]);
    assert_eq!(order(&engine, &slow, at(0)).0, LeafIndex::new(0));
    engine.plan([Fault::Paused]);
    let before = state(&engine);
    with_call(&paused, at(1), &before, MAX_PENDING, |call| {
        let mut future = pin!(engine.sequence(&call));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(state(&engine), before, "nothing is done yet, and others may read");
        engine.resume();
        let Poll::Ready(Ok(Sequencing::Sequenced { first, .. })) = future.as_mut().poll(&mut context) else {
            panic!("it goes on");
        };
        assert_eq!(first, LeafIndex::new(1));
    });
}

/// A caller that goes away leaves a call behind that is done or not, and the reads tell which.
pub fn a_dropped_call_is_all_or_nothing<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let pipeline = Pipeline::new("contract");
    let entries: Vec<_> =
        (0..3).map(|number| pipeline.artifact(&format!("dropped {number}"), false)).collect();
    let before = state(&engine);
    for polls in 0..2 {
        with_call(&entries, at(0), &before, MAX_PENDING, |call| {
            let mut future = pin!(engine.sequence(&call));
            for _ in 0..polls {
                let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        });
        let known =
            entries.iter().filter(|entry| engine.claim(&entry.claim.get()).expect("a read").is_some());
        let known = known.count() as u64;
        assert!(known == 0 || known == 3, "{known} of 3");
        assert_eq!(state(&engine).next.get(), known);
    }
}

/// No answer is made up.
pub fn a_read_that_fails_answers_nothing<S: Subject>(subject: &S) {
    let engine = faulty(subject);
    let entries = [Pipeline::new("contract").artifact("read", false)];
    let (_, time) = order(&engine, &entries, at(0));
    engine.fail_reads(true);
    assert!(engine.claim(&entries[0].claim.get()).is_err());
    assert!(engine.leaf(LeafIndex::new(0)).is_err());
    assert!(block_on(engine.heads()).is_err());
    engine.fail_reads(false);
    let leaf = entries[0].entry.to_leaf(time);
    assert_eq!(engine.leaf(LeafIndex::new(0)).expect("a read"), Some(leaf.clone()));
    engine.damage(Some(LeafIndex::new(0)));
    assert_ne!(engine.leaf(LeafIndex::new(0)).expect("a read"), Some(leaf), "the fault itself works");
}
