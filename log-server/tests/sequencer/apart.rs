//! The same log on an engine that orders and integrates apart, as one on a database server does, and whose calls fail: lost,
//! or of unknown outcome. Whatever fails, every entry has one index, everybody gets the true answer, and all of it is
//! published.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use log_core::port::{Head as _, Index as _, Objects as _, ready};
use log_server::sequencer::{Accept, Clocks, FatalError, OpenError, Publication, Sequencer};
use simulation::engine::{Fault, Faulty, Memory};
use tlog::TreeSize;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::{leaf_hash, root_of};

use crate::suite::{Bench, START, entry, index, log_keys, round_on};

type Engine = Faulty<Memory>;

struct Apart {
    engine: Arc<Engine>,
    bench: Bench,
}

impl Apart {
    fn new() -> Self {
        Self { engine: Arc::new(Faulty::new(Memory::new(|| START))), bench: Bench::new() }
    }

    fn open(&self) -> Result<Sequencer<Engine>, OpenError> {
        let (keys, clocks) = (log_keys(), clocks_that_go());
        let alone = Publication::alone(&keys);
        Sequencer::open(self.engine.clone(), keys, self.bench.record(), clocks, Accept::default(), alone)
    }

    /// Everything that is ordered is published under a checkpoint of its leaves, and each claim leads to its leaf.
    fn check(&self, entries: u64) {
        self.engine.fail_reads(false);
        let heads = ready(self.engine.heads()).expect("heads");
        assert_eq!(heads.ordered.next, TreeSize::new(entries), "each claim has one index");
        let mut hashes = Vec::new();
        self.engine.leaves(0, entries, &mut |_, leaf| hashes.push(leaf_hash(leaf))).expect("leaves");
        assert_eq!(heads.integrated.edge().root(), root_of(&hashes));
        let record = self.bench.record().read().expect("the record");
        for note in [record, heads.signed.expect("a note"), heads.published.expect("a note").note] {
            let text = note.split("\n\n").next().map(|text| format!("{text}\n")).expect("a text");
            let checkpoint = Checkpoint::parse(&text).expect("a checkpoint");
            assert_eq!((checkpoint.size.get(), checkpoint.root), (entries, root_of(&hashes)));
        }
        for number in 0..entries {
            assert!(self.engine.claim(&entry(number).claim.get()).expect("a read").is_some(), "{number}");
        }
    }
}

#[test]
fn rounds_of_any_width_are_integrated_and_published() {
    let apart = Apart::new();
    let mut next = 0;
    for width in [1, 255, 1, 256, 300, 3] {
        let mut sequencer = apart.open().expect("a log");
        let numbers: Vec<u64> = (next..next + width).collect();
        let (outcome, told) = round_on(&mut sequencer, numbers.iter().map(|number| entry(*number)));
        outcome.expect("a round");
        assert!(told.iter().map(index).eq(numbers.iter().copied().map(Some)));
        next += width;
        assert_eq!(sequencer.published().borrow().size().get(), next);
        apart.check(next);
        // A lease of this process ends with it.
        let heads = ready(apart.engine.heads()).expect("heads");
        assert!(ready(apart.engine.release(heads.epoch)).is_ok());
    }
}

#[test]
fn whichever_call_fails_every_entry_is_logged_once_and_told_the_truth() {
    for fault in [Fault::Lost, Fault::UnknownDone, Fault::UnknownNotDone] {
        for at in 0..13 {
            let apart = Apart::new();
            let mut sequencer = apart.open().expect("a log");
            let before = apart.engine.calls();
            apart.engine.plan((0..at).map(|_| Fault::None).chain([fault]));
            let mut told = Vec::new();
            for first in [0, 200, 400] {
                let numbers: Vec<u64> = (first..first + 200).collect();
                let (outcome, answers) =
                    round_on(&mut sequencer, numbers.iter().map(|number| entry(*number)));
                outcome.expect("a failed call is no end of a log that can be read");
                told.extend(answers.iter().map(index));
            }
            assert!(told.into_iter().eq((0..600).map(Some)), "{fault:?} at call {at}");
            assert!(apart.engine.calls() > before + at, "the call that fails was made");
            settle(&mut sequencer).expect("the engine answers again");
            assert!(sequencer.is_settled(), "{fault:?} at call {at}");
            apart.check(600);
        }
    }
}

/// Turns until everything is published.
fn settle(sequencer: &mut Sequencer<Engine>) -> Result<(), FatalError> {
    for _ in 0..100 {
        if sequencer.is_settled() {
            break;
        }
        sequencer.tend()?;
    }
    Ok(())
}

/// An engine that cannot be read after a call of unknown outcome ends the log: nobody is told anything.
#[test]
fn an_unknown_outcome_that_cannot_be_read_ends_the_process() {
    let apart = Apart::new();
    let mut sequencer = apart.open().expect("a log");
    apart.engine.plan([Fault::UnknownDone]);
    apart.engine.fail_reads(true);
    let (outcome, told) = round_on(&mut sequencer, [entry(0)]);
    assert!(outcome.is_err());
    assert_eq!(told, [None]);
}

/// A clock that goes on by half a second whenever it is read.
fn clocks_that_go() -> Clocks {
    let reads = AtomicU64::new(0);
    Box::new(move || {
        let millis = 500 * reads.fetch_add(1, Ordering::Relaxed);
        (START + millis, Duration::from_millis(millis))
    })
}
