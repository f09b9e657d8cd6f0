//! R16: kill -9 under load. No size goes back, no two trees are cosigned, no time goes back (WIT-6, I6).
//!
//! Each log is shown as two trees that part at entry 3. Whichever is cosigned beyond that first is the log's for
//! ever: a witness that had forgotten would cosign the other one, too.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::note::{Note, NoteSignature};

use crate::server::Server;
use crate::world::Log;

const LOGS: u64 = 8;
const SIZE: u64 = 20_000;
const FORK: u64 = 3;

/// What clients were told of one log, over all lives of the server.
#[derive(Default)]
struct Told {
    /// Size, root and time of each cosignature.
    cosigned: Vec<(u64, Hash, u64)>,
}

impl Told {
    fn size(&self) -> u64 {
        self.cosigned.iter().map(|(size, _, _)| *size).max().unwrap_or(0)
    }
}

/// Grows a log until the server dies, with a request for the other tree now and then.
fn load(server: &Server, trees: &[Log; 2], told: &Mutex<Told>, stop: &AtomicBool) {
    let mut known = told.lock().expect("no panic").size();
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let log = &trees[usize::from(round % 5 == 0)];
        let size = if round % 7 == 0 { known } else { (known + 1 + round % 3).min(SIZE) };
        let Some((status, text)) = server.try_add(log.request(known, size)) else { return };
        match status {
            200 => {
                let line = NoteSignature::parse(text.trim_end()).expect("one line");
                let mut note = log.note(size);
                note.add(line.clone());
                assert_eq!(note.verify(&server.vkeys()).expect("a good line").len(), 1);
                let time = u64::from_be_bytes(line.signature()[..8].try_into().expect("8 bytes"));
                told.lock().expect("no panic").cosigned.push((size, log.tree.root(size), time));
                known = size;
            }
            409 => known = text.trim().parse().expect("a size"),
            422 => {}
            other => panic!("{other}: {text}"),
        }
    }
}

#[test]
fn wit_6_killed_under_load_nothing_that_was_cosigned_is_forgotten() {
    let cycles: u64 =
        std::env::var("WITNESS_CRASH_CYCLES").map_or(50, |cycles| cycles.parse().expect("a number"));
    let logs: Vec<[Log; 2]> = (0..LOGS)
        .map(|number| {
            let log = Log::new(&format!("log.example/{number}"), SIZE);
            let other = log.forked(FORK, SIZE);
            [log, other]
        })
        .collect();
    let firsts: Vec<&Log> = logs.iter().map(|trees| &trees[0]).collect();
    let mut server = Server::init(&firsts, &["--key-type", "ed25519"]);
    let told: Vec<Mutex<Told>> = logs.iter().map(|_| Mutex::default()).collect();
    let mut restarts = Vec::new();
    for cycle in 0..=cycles {
        let start = Instant::now();
        server.serve(&[]);
        restarts.push(start.elapsed());
        for (trees, told) in logs.iter().zip(&told) {
            let told = told.lock().expect("no panic").size();
            let (status, note) = server.seen(&trees[0]);
            let seen = if status == 404 { 0 } else { size_of(&note) };
            assert!(seen >= told, "cycle {cycle}: {told} was cosigned, {seen} is kept");
        }
        if cycle == cycles {
            break;
        }
        let stop = AtomicBool::new(false);
        // From 5 to 500 ms of load, a different time each cycle, the same in every run.
        let life = Duration::from_millis(5 + cycle * 7_919 % 496);
        std::thread::scope(|scope| {
            for (trees, told) in logs.iter().zip(&told) {
                scope.spawn(|| load(&server, trees, told, &stop));
            }
            let killed_at = Instant::now() + life;
            while Instant::now() < killed_at {
                std::thread::park_timeout(killed_at - Instant::now());
            }
            server.signal("KILL");
            stop.store(true, Ordering::Relaxed);
        });
        server.kill();
    }
    assert_eq!(server.stop(), Some(0));
    let mut total = 0;
    for (trees, told) in logs.iter().zip(told) {
        let told = told.into_inner().expect("no panic");
        check(trees, &told);
        total += told.cosigned.len();
    }
    assert!(total as u64 > cycles, "only {total} cosignatures: there was no load");
    restarts.sort_unstable();
    println!("{cycles} kills, {total} cosignatures; restart p99 {:?}", restarts[restarts.len() * 99 / 100]);
}

fn size_of(note: &str) -> u64 {
    let note = Note::parse(note.as_bytes()).expect("a note");
    Checkpoint::parse(note.text()).expect("a checkpoint").size.get()
}

/// All cosignatures of a log, in the order in which one client got them: one tree, sizes and times that never go
/// back.
fn check(trees: &[Log; 2], told: &Told) {
    let mut branches = HashMap::new();
    for (size, root, _) in told.cosigned.iter().filter(|(size, _, _)| *size > FORK) {
        let branch = usize::from(*root != trees[0].tree.root(*size));
        assert_eq!(*root, trees[branch].tree.root(*size));
        branches.entry(branch).or_insert(*size);
    }
    assert!(branches.len() <= 1, "two trees of {} were cosigned: {branches:?}", trees[0].origin);
    for pair in told.cosigned.windows(2) {
        assert!(pair[0].0 <= pair[1].0, "{} after {}", pair[1].0, pair[0].0);
        assert!(pair[0].2 <= pair[1].2, "time {} after {}", pair[1].2, pair[0].2);
    }
}
