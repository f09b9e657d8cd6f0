//! WIT-21: a log that contradicts itself is caught, remembered and convicted; nothing else changes.

use std::sync::Arc;

use attestation::finding::{Finding, Proof};
use serde_json::Value;
use tlog::Hash;
use witness::findings::KeptFork;
use witness::state::{MAX_CONTRADICTIONS, read_contradictions};
use witness::store::memory::MemoryStore;

use crate::world::{Log, World, body, both_keys};

const ORIGIN: &str = "log.example/a";

/// Everything that is kept, as findings; each confirms offline.
fn findings(store: &MemoryStore) -> Vec<Finding> {
    let kept = read_contradictions(store, None).expect("a store");
    kept.iter()
        .map(|value| {
            let kept: KeptFork = serde_json::from_slice(value).expect("what we wrote");
            let finding = kept.finding().expect("a log that is named like its key");
            finding.confirm(None).expect("the proof convicts the log");
            let again = Finding::parse(finding.to_json().as_bytes()).expect("a finding");
            assert_eq!(again, finding);
            finding
        })
        .collect()
}

fn sizes(finding: &Finding) -> (u64, u64) {
    let Proof::Fork(fork) = finding.proof() else { panic!("a fork") };
    let fork = fork.confirm(finding.vkeys()).expect("confirmed");
    (fork.older().size.get(), fork.newer().size.get())
}

#[tokio::test]
async fn wit_21_a_fork_is_caught_in_every_form_and_kept_once() {
    // what the witness has cosigned in turn; the other tree begins at 3; its request; the answer; what it proves
    for (cosigned, old, size, status, want) in [
        // The same size with another root: as a refresh, and late.
        (&[0, 9][..], 9, 9, 422, Some((9, 9))),
        (&[0, 9], 0, 9, 409, Some((9, 9))),
        // A proof from another tree of the size that was cosigned.
        (&[0, 9], 9, 15, 422, Some((9, 15))),
        // Sizes that were cosigned before the last one.
        (&[0, 5, 9], 0, 5, 409, Some((5, 5))),
        (&[0, 5, 9], 5, 8, 409, Some((5, 8))),
        (&[0, 5, 9], 5, 15, 409, Some((5, 15))),
        // Nothing that was signed contradicts these.
        (&[0, 9], 0, 15, 409, None),
        (&[0, 9], 4, 7, 409, None),
        (&[0, 2], 2, 9, 200, None),
        // From a power of two a proof leaves the old root out.
        (&[0, 8], 8, 15, 422, None),
    ] {
        let log = Log::new(ORIGIN, 20);
        let other = log.forked(3, 20);
        let store = Arc::new(MemoryStore::default());
        let world = World::with(store.clone(), both_keys(), &[&log]);
        for pair in cosigned.windows(2) {
            assert_eq!(world.add(log.request(pair[0], pair[1])).await.status, 200);
        }
        let before = world.seen(&log).await.text;
        for _ in 0..2 {
            let answer = world.add(other.request(old, size)).await;
            assert_eq!(answer.status, status, "{old} {size}: {}", answer.text);
            let found: Vec<(u64, u64)> = findings(&store).iter().map(sizes).collect();
            assert_eq!(found, want.into_iter().collect::<Vec<_>>(), "{cosigned:?} {old} {size}");
            if status == 200 {
                break;
            }
            assert_eq!(world.seen(&log).await.text, before, "nothing else changes");
        }
        let status: Value = serde_json::from_str(&world.get("/status").await.text).expect("JSON");
        assert_eq!(status["evidence"], u64::from(want.is_some()));
        if want.is_some() {
            // Refused for that request only; and remembered by the next start.
            let last = cosigned[cosigned.len() - 1];
            assert_eq!(world.add(log.request(last, 20)).await.status, 200);
            drop(world);
            let again = World::with(store.clone(), both_keys(), &[&log]);
            assert_eq!(again.app.cosigner.state.contradictions(), 1);
            assert_eq!(findings(&store).len(), 1);
        }
    }
}

/// What others send proves nothing against a log: no signature of its, no contradiction.
#[tokio::test]
async fn wit_21_nobody_else_makes_a_contradiction() {
    let log = Log::new(ORIGIN, 20);
    let store = Arc::new(MemoryStore::default());
    let world = World::with(store.clone(), both_keys(), &[&log]);
    assert_eq!(world.add(log.request(0, 9)).await.status, 200);
    let junk = vec![Hash::of(b"junk"); 4];
    for (old, size, proof) in [
        (9, 15, log.tree.consistency(4, 15)),
        (9, 15, junk.clone()),
        (9, 15, vec![]),
        (5, 15, log.tree.consistency(5, 15)),
        (9, 9, junk),
        (0, 5, vec![]),
    ] {
        let answer = world.add(body(old, proof, log.note(size))).await;
        assert!(matches!(answer.status, 409 | 422), "{}", answer.text);
    }
    let mut other = log.forked(3, 20);
    other.keys = Log::new("stranger.example", 1).keys;
    assert_eq!(world.add(other.request(9, 9)).await.status, 403);
    assert!(findings(&store).is_empty());
}

/// One hundred forks, each at another place: each is caught by the first request that shows it.
#[tokio::test]
async fn wit_21_one_hundred_of_one_hundred() {
    for at in 0..100 {
        let log = Log::new(&format!("log.example/{at}"), 120);
        let other = log.forked(at, 120);
        let store = Arc::new(MemoryStore::default());
        let world = World::with(store.clone(), vec![both_keys().remove(0)], &[&log]);
        assert_eq!(world.add(log.request(0, 101)).await.status, 200);
        assert_eq!(world.add(other.request(101, 110 + at % 10)).await.status, 422);
        assert_eq!(findings(&store).iter().map(sizes).collect::<Vec<_>>(), [(101, 110 + at % 10)], "{at}");
    }
}

#[tokio::test]
async fn a_log_that_forks_without_end_is_convicted_and_bounded() {
    let log = Log::new(ORIGIN, 9);
    let store = Arc::new(MemoryStore::default());
    let world = World::with(store.clone(), vec![both_keys().remove(0)], &[&log]);
    assert_eq!(world.add(log.request(0, 9)).await.status, 200);
    for number in 0..MAX_CONTRADICTIONS as u64 + 10 {
        let mut checkpoint = log.checkpoint(9);
        checkpoint.root = Hash::of(&number.to_be_bytes());
        assert_eq!(world.add(body(9, Vec::new(), log.sign(&checkpoint))).await.status, 422);
    }
    assert_eq!(findings(&store).len(), MAX_CONTRADICTIONS);
}
