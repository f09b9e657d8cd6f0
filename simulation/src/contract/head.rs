//! Leases, the fence, and heads that never go back.

use std::sync::Arc;

use log_core::port::{Head, Integration, Lead, Moved, Publishing, Signing};
use tlog::TreeSize;

use super::{LEASE, Subject, at, block_on, heads, integrate_all, lead, note_of, order};
use crate::pipeline::Pipeline;

fn is_moved(moved: &Moved) -> bool {
    matches!(moved, Moved::Moved)
}

/// Who leads keeps others out until it gives the lead up; each lease has a larger epoch than the one before.
pub fn one_leads_at_a_time_and_epochs_grow<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let first = lead(&engine);
    assert_eq!(heads(&engine).epoch, first);
    let other = || block_on(engine.lead("other", LEASE)).expect("an outcome");
    assert!(matches!(other(), Lead::Another), "the lease has not ended");
    assert!(is_moved(&block_on(engine.renew(first, LEASE)).expect("an outcome")));
    assert!(is_moved(&block_on(engine.release(first)).expect("an outcome")));
    let Lead::Mine(second) = other() else { panic!("the lead was given up") };
    assert!(second > first);
    for stale in [block_on(engine.renew(first, LEASE)), block_on(engine.release(first))] {
        let Moved::Another(heads) = stale.expect("an outcome") else { panic!("the epoch is past") };
        assert_eq!(heads.epoch, second);
    }
    assert!(is_moved(&block_on(engine.renew(second, LEASE)).expect("an outcome")), "it leads as before");
    let engine = subject.reopened(engine);
    assert!(heads(&engine).epoch >= second, "an epoch never comes again");
}

/// What a leader does that was paused past its lease changes nothing.
pub fn an_epoch_that_is_past_moves_nothing<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let past = lead(&engine);
    order(&engine, &[Pipeline::new("contract").artifact("fence", false)], at(0));
    assert!(is_moved(&block_on(engine.release(past)).expect("an outcome")));
    let epoch = lead(&engine);
    let before = heads(&engine);
    let grown = before.integrated.integrate(&[tlog::Hash::of(b"another tree")]);
    let (tree, rows) = (Arc::new(grown.tree), [log_core::keys::Keys::default()]);
    let integration = Integration { from: before.integrated.edge().size(), tree: &tree, rows: &rows };
    let (size, note) = note_of(&before);
    let signing = Signing { size, note: &note };
    let publishing = Publishing { size, note: &note, sigstore: "", signed: Some(&note) };
    for outcome in [
        block_on(engine.integrate(past, integration)),
        block_on(engine.sign(past, signing)),
        block_on(engine.publish(past, publishing)),
        block_on(engine.saw(past, at(0).as_millis())),
    ] {
        let Moved::Another(now) = outcome.expect("an outcome") else { panic!("the fence holds") };
        assert_eq!(now.epoch, epoch);
    }
    let after = heads(&engine);
    assert_eq!(after.integrated.edge(), before.integrated.edge());
    assert_eq!((after.signed, after.published, after.seen), (before.signed, before.published, before.seen));
}

/// Integration begins where the tree ends, and ends where the order ends at the latest.
pub fn the_tree_grows_from_where_it_stands<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    let pipeline = Pipeline::new("contract");
    let entries: Vec<_> = (0..3).map(|number| pipeline.artifact(&format!("grow {number}"), false)).collect();
    order(&engine, &entries, at(0));
    integrate_all(&engine, epoch);
    let stands = heads(&engine);
    assert_eq!(stands.integrated.edge().size(), TreeSize::new(3));
    let beyond = Arc::new(stands.integrated.integrate(&[tlog::Hash::of(b"not ordered")]).tree);
    let again = Arc::new(log_core::integrate::Tree::default());
    let row = [log_core::keys::Keys::default()];
    for (from, tree, rows) in [(3, &beyond, &row[..]), (0, &again, &[][..])] {
        let integration = Integration { from: TreeSize::new(from), tree, rows };
        let moved = block_on(engine.integrate(epoch, integration)).expect("an outcome");
        assert!(!is_moved(&moved), "from {from}");
    }
    assert_eq!(heads(&engine).integrated.edge(), stands.integrated.edge());
}

/// A smaller checkpoint takes the place of no larger one, and none is published before it is signed.
pub fn signed_and_published_never_go_back<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    let pipeline = Pipeline::new("contract");
    let mut notes = Vec::new();
    for number in 0..3 {
        order(&engine, &[pipeline.artifact(&format!("head {number}"), false)], at(number));
        integrate_all(&engine, epoch);
        notes.push(note_of(&heads(&engine)));
    }
    let sign = |(size, note): &(TreeSize, String)| {
        block_on(engine.sign(epoch, Signing { size: *size, note })).expect("an outcome")
    };
    let publish = |(size, note): &(TreeSize, String), signs: bool| {
        let signed = signs.then_some(note.as_str());
        let publishing = Publishing { size: *size, note, sigstore: "second", signed };
        block_on(engine.publish(epoch, publishing)).expect("an outcome")
    };
    assert!(is_moved(&sign(&notes[1])));
    assert!(!is_moved(&sign(&notes[0])), "signed: 2");
    assert!(!is_moved(&publish(&notes[2], false)), "signed: 2");
    assert!(is_moved(&publish(&notes[1], false)));
    assert!(!is_moved(&publish(&notes[0], false)), "published: 2");
    assert!(is_moved(&publish(&notes[2], true)), "one write signs and publishes");
    let now = heads(&engine);
    assert_eq!(now.signed.as_deref(), Some(notes[2].1.as_str()));
    assert_eq!(now.published.map(|published| published.note), Some(notes[2].1.clone()));
    // The same size with another cosignature.
    let again = (notes[2].0, format!("{}— witness.example AAAA\n", notes[2].1));
    assert!(is_moved(&publish(&again, false)));
    assert_eq!(heads(&engine).published.map(|published| published.note), Some(again.1));
}

/// Heads survive a power cut.
pub fn heads_are_durable<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    order(&engine, &[Pipeline::new("contract").artifact("durable head", false)], at(0));
    integrate_all(&engine, epoch);
    let (size, note) = note_of(&heads(&engine));
    let publishing = Publishing { size, note: &note, sigstore: "second", signed: Some(&note) };
    assert!(is_moved(&block_on(engine.publish(epoch, publishing)).expect("an outcome")));
    assert!(is_moved(&block_on(engine.saw(epoch, at(7).as_millis())).expect("an outcome")));
    let before = heads(&engine);
    let after = heads(&subject.reopened(engine));
    assert_eq!(after.integrated, before.integrated);
    assert_eq!((after.signed, after.seen), (before.signed, Some(at(7).as_millis())));
    assert_eq!(after.published.map(|published| published.note), Some(note));
}
