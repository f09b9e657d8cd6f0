//! Facts of one moment, lookups and lists as of a size, identity events since a version.

use attestation::entry::ClaimHash;
use attestation::lists::{ListKey, ListedKind};
use log_core::keys::List;
use log_core::port::{Direction, Index, KnownEnvelope, Page, Wants};
use tlog::{Hash, LeafIndex, TreeSize};

use super::{Subject, at, integrate_all, lead, order, state};
use crate::pipeline::{Pipeline, link};

fn indexes(all: &[u64]) -> Vec<LeafIndex> {
    all.iter().map(|index| LeafIndex::new(*index)).collect()
}

/// Each list of answers has the order of its questions, and knows what is ordered and not integrated yet.
pub fn facts_answer_each_question_at_one_moment<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let (a, b) = (Pipeline::new("contract a"), Pipeline::new("contract b"));
    let (inception, artifact) = (a.inception(), a.artifact("facts", true));
    let (hash, _) = artifact.envelope.clone().expect("a published entry");
    order(&engine, &[artifact.clone(), inception.clone()], at(0));
    let (_, time) = order(&engine, &[a.failure(b.did(), 1)], at(1));
    let keys = a.message_keys(None, 1);
    order(&engine, std::slice::from_ref(&keys), at(2));
    let wants = Wants {
        claims: vec![Hash::of(b"never"), keys.claim.get(), artifact.claim.get()],
        envelopes: vec![hash, Hash::of(b"never")],
        identities: vec![b.did(), a.did()],
        failures: vec![(b.did(), a.did()), (a.did(), b.did())],
        message_keys: vec![a.did(), b.did()],
        artifacts: [1, 0, 9].map(LeafIndex::new).to_vec(),
    };
    let facts = engine.facts(&wants).expect("facts");
    assert_eq!(facts.at, state(&engine));
    assert_eq!(facts.at.next, TreeSize::new(4));
    let placed = facts.claims.iter().map(|placed| placed.as_ref().map(|placed| placed.index.get()));
    assert_eq!(placed.collect::<Vec<_>>(), [None, Some(3), Some(0)]);
    let leaf = &facts.claims[2].as_ref().expect("the artifact is known").leaf;
    assert_eq!(engine_leaf(&engine, 0).as_ref(), Some(leaf));
    assert_eq!(facts.envelopes, [Some(KnownEnvelope::Present), None]);
    let events: Vec<Vec<u64>> =
        facts.identities.iter().map(|of| of.iter().map(|(index, _)| index.get()).collect()).collect();
    assert_eq!(events, [vec![], vec![1]]);
    assert_eq!(facts.failures, [None, Some(LeafIndex::new(2))]);
    assert_eq!(facts.message_keys, [Some(keys.claim), None::<ClaimHash>]);
    let dids = facts.artifacts.iter().map(|artifact| artifact.as_ref().map(|artifact| artifact.did));
    assert_eq!(dids.collect::<Vec<_>>(), [None, Some(a.did()), None]);
    // A report that is withdrawn is open no more, and one behind it is.
    order(&engine, &[a.withdrawal(b.did(), LeafIndex::new(2))], time);
    let wants = Wants { failures: vec![(a.did(), b.did())], ..Wants::default() };
    assert_eq!(engine.facts(&wants).expect("facts").failures, [None]);
    order(&engine, &[a.failure(b.did(), 2)], time);
    assert_eq!(engine.facts(&wants).expect("facts").failures, [Some(LeafIndex::new(5))]);
}

/// Only the first entries count, from where the page begins, in its direction, at most so many.
pub fn lookups_count_the_entries_of_a_size<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    let (a, b) = (Pipeline::new("contract a"), Pipeline::new("contract b"));
    // Four builds of one artifact, two of them by another pipeline.
    for (pipeline, millis) in [(&a, 0), (&b, 1), (&a, 2), (&b, 3)] {
        let mut entry = pipeline.artifact("shared", false);
        if millis > 1 {
            let rerun = Pipeline { key: 1, ..pipeline.clone() };
            entry = rerun.artifact("shared", false);
        }
        order(&engine, &[entry], at(millis));
    }
    integrate_all(&engine, epoch);
    let digest = Hash::of(b"shared");
    let size = TreeSize::new;
    let page = |from, direction, limit, size| Page { from, direction, limit, size };
    for (page, want) in [
        (Page::first(9, size(4)), &[0, 1, 2, 3][..]),
        (Page::first(9, size(2)), &[0, 1]),
        (Page::first(2, size(4)), &[0, 1]),
        (Page::last(9, size(4)), &[3, 2, 1, 0]),
        (Page::last(2, size(3)), &[2, 1]),
        (page(1, Direction::Ascending, 9, size(3)), &[1, 2]),
        (page(2, Direction::Descending, 9, size(4)), &[2, 1, 0]),
        (Page::first(0, size(4)), &[]),
        (Page::last(9, size(0)), &[]),
    ] {
        assert_eq!(engine.by_subject(&digest, page).expect("a lookup"), indexes(want), "{page:?}");
    }
    assert!(engine.by_subject(&Hash::of(b"never"), Page::first(9, size(4))).expect("a lookup").is_empty());
    assert_eq!(engine.by_did(&b.did(), Page::first(9, size(4))).expect("a lookup"), indexes(&[1, 3]));
    assert_eq!(engine.by_did(&b.did(), Page::last(9, size(3))).expect("a lookup"), indexes(&[1]));
}

/// Lists have what their entries say of themselves.
pub fn lists_are_read_both_ways<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let epoch = lead(&engine);
    let (a, b) = (Pipeline::new("contract a"), Pipeline::new("contract b"));
    order(&engine, &[a.inception(), a.artifact("list", false)], at(0));
    order(&engine, &[a.vouch(b.did(), 1, false)], at(1));
    order(&engine, &[a.failure(b.did(), 2), a.vouch(b.did(), 3, true)], at(2));
    integrate_all(&engine, epoch);
    let size = TreeSize::new;
    let kinds = |list: List, page| {
        let listed = engine.list(&list, page).expect("a list");
        listed.iter().map(|listed| (listed.index.get(), listed.kind)).collect::<Vec<_>>()
    };
    let (vouch, revocation) = ((2, ListedKind::Vouch), (4, ListedKind::Revocation));
    let out = List::Named(ListKey::Out(a.did()));
    assert_eq!(kinds(out, Page::first(9, size(5))), [vouch, revocation]);
    assert_eq!(kinds(out, Page::last(1, size(5))), [revocation]);
    assert_eq!(kinds(out, Page::last(9, size(4))), [vouch]);
    assert_eq!(kinds(List::Named(ListKey::In(b.did())), Page::first(9, size(5))), [vouch, revocation]);
    let pair = List::Failures { subject: b.did(), issuer: a.did() };
    assert_eq!(kinds(pair, Page::last(1, size(5))), [(3, ListedKind::Failure)]);
    let receipts = List::Named(ListKey::Receipts(a.did()));
    assert_eq!(kinds(receipts, Page::first(9, size(5))), [(1, ListedKind::Receipt)]);
    let id = List::Named(ListKey::Id(a.did()));
    assert_eq!(kinds(id, Page::first(9, size(5))), [(0, ListedKind::Inception)]);
    assert!(kinds(List::Named(ListKey::Id(b.did())), Page::first(9, size(5))).is_empty());
}

/// Whoever knows the states at a version learns of everything that came behind it.
pub fn identity_events_are_told_since_a_version<S: Subject>(subject: &S) {
    let engine = subject.fresh();
    let (a, b) = (Pipeline::new("contract a"), Pipeline::new("contract b"));
    let inception = a.inception();
    let since = |size| {
        let (moment, events) = engine.identity_events_since(TreeSize::new(size)).expect("events");
        assert_eq!(moment, state(&engine));
        events.iter().map(|(index, event)| (index.get(), event.pending().hash())).collect::<Vec<_>>()
    };
    assert!(since(0).is_empty());
    let rotation = a.rotation(link(1, &inception), 2);
    order(&engine, &[inception.clone(), a.artifact("events", false)], at(0));
    let other = b.inception();
    order(&engine, std::slice::from_ref(&other), at(1));
    order(&engine, std::slice::from_ref(&rotation), at(2));
    let all = [(0, inception.claim), (2, other.claim), (3, rotation.claim)];
    for (from, want) in [(0, &all[..]), (1, &all[1..]), (2, &all[1..]), (3, &all[2..]), (4, &[]), (99, &[])] {
        assert_eq!(since(from), want, "since {from}");
    }
    assert_eq!(state(&engine).versions.identity, TreeSize::new(4));
}

fn engine_leaf(engine: &impl log_core::port::Objects, index: u64) -> Option<Vec<u8>> {
    engine.leaf(LeafIndex::new(index)).expect("a read")
}
