//! R4: rounds against a disk that fails: {which write} × {persisted all the same or not}. After each the same
//! question: does the log hold everything it answered (I1, I4), and did it sign nothing else (I2)?

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestation::entry::LogTime;
use log_core::keys::Keys;
use log_server::fsck;
use log_server::integrate::Tree;
use log_server::pool::{Committed, NotTaken, Sequenced, Unavailable};
use log_server::sequencer::{Accept, Clocks, OpenError};
use log_server::store::Batch;
use log_server::store::faulty::FaultyStore;
use log_server::store::schema::{self, Read as _, TreeState};
use tlog::checkpoint::Checkpoint;
use tlog::merkle::leaf_hash;
use tlog::{LeafIndex, TreeSize};

use super::{Bench, ORIGIN, START, clocks, entry, index, key, open, open_accepting, round};

#[test]
fn rounds_of_any_width_make_a_log_that_checks() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut next = 0;
    for width in [1, 255, 1, 256, 300, 3] {
        let numbers: Vec<u64> = (next..next + width).collect();
        let (outcome, told) = round(&mut sequencer, &numbers);
        outcome.expect("a round");
        assert_eq!(
            told.iter().map(index).collect::<Vec<_>>(),
            numbers.iter().copied().map(Some).collect::<Vec<_>>()
        );
        next += width;
        assert_eq!(sequencer.published().borrow().size().get(), next);
        assert_eq!(bench.check().get(), next);
        sequencer = bench.open().expect("the log again");
    }
}

#[test]
fn a_claim_is_sequenced_once_whatever_round_it_comes_in() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let (_, first) = round(&mut sequencer, &[1, 2, 1]);
    assert_eq!(first.iter().map(index).collect::<Vec<_>>(), [Some(0), Some(1), Some(0)]);
    let (_, again) = round(&mut sequencer, &[2, 3, 1]);
    assert_eq!(again.iter().map(index).collect::<Vec<_>>(), [Some(1), Some(2), Some(0)]);
    let leaf =
        |told: &Option<Sequenced>| told.clone().and_then(Result::ok).map(|Committed { leaf, .. }| leaf);
    assert_eq!(leaf(&first[1]), leaf(&again[0]), "the answer is the first entry");
    let mut sequencer = bench.open().expect("the log again");
    assert_eq!(round(&mut sequencer, &[3]).1.iter().map(index).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(bench.check().get(), 3);
}

#[test]
fn after_any_failed_write_the_log_opens_with_everything_it_answered() {
    // A round writes twice: commit, and signed with published. Opening a new log writes the second.
    for writes in 1..=9 {
        for persisted in [false, true] {
            let bench = Bench::new();
            let faulty = Arc::new(FaultyStore::new(bench.store.clone(), writes, persisted));
            let mut answered = Vec::new();
            let mut failed = false;
            if let Ok(mut sequencer) = open(faulty, bench.record(), clocks(START)) {
                for first in 0..4 {
                    let numbers: Vec<u64> = (first * 200..first * 200 + 150).collect();
                    let (outcome, told) = round(&mut sequencer, &numbers);
                    answered.extend(
                        numbers.iter().zip(&told).filter_map(|(number, told)| Some((*number, index(told)?))),
                    );
                    if outcome.is_err() {
                        failed = true;
                        break;
                    }
                }
            } else {
                failed = true;
            }
            assert!(failed, "write {writes} did not fail");
            let sequencer =
                bench.open().unwrap_or_else(|e| panic!("write {writes}, persisted {persisted}: {e}"));
            assert_eq!(
                bench.check(),
                sequencer.published().borrow().size(),
                "what is committed is published"
            );
            for (number, index) in answered {
                let at = bench.store.claim(&entry(number).claim.get()).expect("a read");
                assert_eq!(
                    at,
                    Some(LeafIndex::new(index)),
                    "write {writes}, persisted {persisted}: entry {number}"
                );
            }
        }
    }
}

#[test]
fn a_store_behind_either_record_is_refused() {
    let bench = Bench::new();
    round(&mut bench.open().expect("a log"), &[1, 2, 3]).0.expect("a round");
    let older = Bench::new();
    round(&mut older.open().expect("a log"), &[1, 2]).0.expect("a round");
    // The file says 3, the store holds 2.
    let rolled_back = open(older.store.clone(), bench.record(), clocks(START));
    assert!(matches!(rolled_back, Err(OpenError::RolledBack { size: 2, signed: 3 })));
    // As many entries, but others.
    let other = Bench::new();
    round(&mut other.open().expect("a log"), &[1, 2, 4]).0.expect("a round");
    let forked = open(other.store.clone(), bench.record(), clocks(START));
    assert!(matches!(forked, Err(OpenError::Contradiction { size: 3, .. })));
    // The database says 3, the file 2 of another tree: the smaller record tells of a fork as well.
    let smaller = Bench::new();
    round(&mut smaller.open().expect("a log"), &[1, 5]).0.expect("a round");
    let forked = open(bench.store.clone(), smaller.record(), clocks(START));
    assert!(matches!(forked, Err(OpenError::Contradiction { size: 2, .. })));
    // The database says 3, the file 2 of the same tree: the file is written first, so it was put back.
    let behind = open(bench.store.clone(), older.record(), clocks(START));
    assert!(matches!(behind, Err(OpenError::RecordBehind { file: 2, database: 3 })));
    // The operator's word is needed once: the file is written anew at once, and not with the next entry.
    let accept = Accept { older_record: true, ..Accept::default() };
    open_accepting(bench.store.clone(), older.record(), clocks(START), accept).expect("the operator said so");
    open(bench.store.clone(), older.record(), clocks(START)).expect("the record is in order");
    // Another log's record, and a record nobody signed.
    for note in ["", "no note", "example.com/log\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"] {
        write_record(bench.folder.path(), note);
        assert!(matches!(bench.open(), Err(OpenError::BadRecord { .. })), "{note:?}");
    }
}

fn write_record(folder: &Path, note: &str) {
    std::fs::write(folder.join("signed"), note).expect("a write");
}

#[test]
fn a_damaged_right_side_is_not_signed() {
    let bench = Bench::new();
    round(&mut bench.open().expect("a log"), &(0..300).collect::<Vec<_>>()).0.expect("a round");
    let leaf = bench.store.leaf(LeafIndex::new(299)).expect("a read").expect("a leaf");
    let mut damage = Batch::default();
    schema::put_leaf(&mut damage, LeafIndex::new(299), &[&leaf[..leaf.len() - 1], b"?"].concat());
    bench.store.write(&damage).expect("a write");
    assert!(matches!(bench.open(), Err(OpenError::Damaged { .. })));
}

/// R11, for the log.
#[test]
fn a_jumping_clock_stops_sequencing_and_time_never_goes_back() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    round(&mut sequencer, &[1]).0.expect("a round");
    // Started again with a clock ten minutes behind the last entry.
    let mut behind = open(bench.store.clone(), bench.record(), clocks(START - 600_000)).expect("a log");
    let (outcome, told) = round(&mut behind, &[2]);
    outcome.expect("nothing failed");
    assert!(matches!(told[..], [Some(Err(NotTaken::Unavailable(Unavailable::Clock(_))))]));
    assert!(behind.clock_stopped().borrow().is_some());
    // An hour ahead of the monotonic clock.
    let jumped = std::sync::atomic::AtomicBool::new(false);
    let clock: Clocks = Box::new(move || {
        let wall =
            if jumped.swap(true, std::sync::atomic::Ordering::Relaxed) { START + 3_600_000 } else { START };
        (wall, Duration::ZERO)
    });
    let mut ahead = open(bench.store.clone(), bench.record(), clock).expect("a log");
    assert!(matches!(
        round(&mut ahead, &[2]).1[..],
        [Some(Err(NotTaken::Unavailable(Unavailable::Clock(_))))]
    ));
    assert_eq!(bench.check(), TreeSize::new(1));
    // A second behind: it goes on, and the time stands still.
    let mut nearly = open(bench.store.clone(), bench.record(), clocks(START - 1_000)).expect("a log");
    assert_eq!(round(&mut nearly, &[2]).1.iter().map(index).collect::<Vec<_>>(), [Some(1)]);
    assert_eq!(bench.store.tree_state().expect("a read").map(|state| state.logged_at), Some(START));
}

/// fsck: log time never goes back, and the state knows the last of it.
#[test]
fn a_time_that_goes_back_is_named() {
    let log = |times: [u64; 3], state: u64| {
        let bench = Bench::new();
        let mut writes = Batch::default();
        let mut hashes = Vec::new();
        for (index, time) in (0..).zip(times) {
            let admitted = entry(index);
            let leaf = admitted.entry.to_leaf(LogTime::from_millis(time).expect("a time"));
            hashes.push(leaf_hash(&leaf));
            schema::put_leaf(&mut writes, LeafIndex::new(index), &leaf);
            let index = LeafIndex::new(index);
            schema::put_keys(&mut writes, &Keys::of_pending(&admitted.entry, admitted.claim, index), index);
        }
        let root = Tree::default().integrate(&hashes).root;
        let state = TreeState { size: 3, root: root.to_string(), logged_at: state, ..TreeState::empty() };
        schema::put_tree_state(&mut writes, &state);
        let note = Checkpoint::new(ORIGIN, TreeSize::new(3), root).sign(&key()).to_string();
        schema::put_signed(&mut writes, &note);
        bench.store.write(&writes).expect("a write");
        fsck::check_store(&*bench.store, key().verifier(), &note).map_err(|failure| failure.to_string())
    };
    assert_eq!(log([5, 5, 7], 7), Ok(TreeSize::new(3)));
    for (times, state, want) in [([5, 7, 6], 7, "damaged: leaf 2: "), ([5, 6, 7], 6, "damaged: state: ")] {
        let words = log(times, state).expect_err("time went back");
        assert!(words.contains(want), "{words}");
    }
}
