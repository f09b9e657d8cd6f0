//! What the state promises, over each store.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::task::Poll;

use tlog::TreeSize;

use super::*;
use crate::store::faulty::FaultyStore;
use crate::store::memory::MemoryStore;
use crate::store::rocks::RocksStore;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn log(number: u64) -> String {
    format!("log.example/{number}")
}

fn seen(size: u64) -> Seen {
    let root = if size == 0 { tlog::merkle::empty_root() } else { Hash::of(&size.to_be_bytes()) };
    Seen { size: TreeSize::new(size), root }
}

fn update(origin: &str, expected: Option<Cosigned>, size: u64, time: u64) -> Update {
    let seen = seen(size);
    let note = format!("{origin}\n{size}\n{}\n\n— x AAAAAAA=\n", seen.root.to_base64());
    let note = Note::parse(note.as_bytes()).expect("a note");
    let time = UnixTime::from_secs(time);
    Update { log: Hash::of(origin.as_bytes()), expected, seen, time, log_note: note.clone(), note }
}

fn open(store: &Arc<dyn Store>) -> (State, thread::JoinHandle<()>) {
    State::open(store.clone(), |error| panic!("{error}")).expect("a state")
}

/// What every store must give: compare and set, each log by itself, durable before it is answered.
fn contract(store: Arc<dyn Store>, reopen: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) {
    let (state, writer) = open(&store);
    let origin = log(1);
    let hash = Hash::of(origin.as_bytes());
    assert_eq!((state.cosigned(&hash), state.note(&hash), state.latest()), (None, Ok(None), None));
    assert_eq!(run(state.replace(update(&origin, None, 5, 100))), Ok(true));
    let five = state.cosigned(&hash).expect("cosigned");
    assert_eq!((five.seen, five.time), (seen(5), UnixTime::from_secs(100)));
    // What no longer holds changes nothing: not the first contact again, not what another has replaced.
    assert_eq!(run(state.replace(update(&origin, None, 9, 101))), Ok(false));
    assert_eq!(run(state.replace(update(&origin, Some(five), 7, 101))), Ok(true));
    assert_eq!(run(state.replace(update(&origin, Some(five), 6, 102))), Ok(false));
    let seven = state.cosigned(&hash).expect("cosigned");
    assert_eq!(seven.seen, seen(7));
    // The same size again, later.
    assert_eq!(run(state.replace(update(&origin, Some(seven), 7, 103))), Ok(true));
    assert_eq!(run(state.replace(update(&log(2), None, 0, 50))), Ok(true));
    assert_eq!((state.logs(), state.latest()), (2, Some(UnixTime::from_secs(103))));
    assert_eq!(state.note(&hash), Ok(Some(update(&origin, None, 7, 0).note)));
    let sizes = |state: &State| {
        let history = state.history(&hash).expect("a history");
        let size = |note: &Note| Checkpoint::parse(note.text()).expect("a checkpoint").size.get();
        history.iter().map(size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&state), [5, 7]);
    let contradiction = Contradiction { log: hash, id: Hash::of(b"one"), kept: b"two notes".to_vec() };
    assert_eq!(run(state.keep(contradiction.clone())), Ok(true));
    assert_eq!(run(state.keep(contradiction)), Ok(false), "the same one is kept once");
    let last = state.cosigned(&hash);
    drop(state);
    writer.join().expect("the writer ends with the state");
    let store = reopen(store);
    let (state, _) = open(&store);
    assert_eq!(
        (state.cosigned(&hash), state.logs(), state.latest()),
        (last, 2, Some(UnixTime::from_secs(103)))
    );
    assert_eq!(read_contradictions(&*store, Some(&hash)), Ok(vec![b"two notes".to_vec()]));
    assert_eq!(read_contradictions(&*store, None).map(|all| all.len()), Ok(1));
    assert_eq!(read_contradictions(&*store, Some(&Hash::of(b"x"))), Ok(vec![]));
    let origins: BTreeSet<String> =
        read_all(&*store).expect("a state").into_iter().map(|log| log.origin).collect();
    assert_eq!(origins, BTreeSet::from([log(1), log(2)]));
    // The history is a ring: the last ones stay.
    for size in 8..8 + 2 * HISTORY as u64 {
        assert_eq!(run(state.replace(update(&origin, state.cosigned(&hash), size, 200))), Ok(true));
    }
    let mut kept = sizes(&state);
    kept.sort_unstable();
    assert_eq!(kept, (8 + HISTORY as u64..8 + 2 * HISTORY as u64).collect::<Vec<_>>());
}

#[test]
fn the_state_keeps_its_contract_in_memory() {
    contract(Arc::new(MemoryStore::default()), |store| store);
}

#[test]
fn the_state_keeps_its_contract_on_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("db");
    contract(Arc::new(RocksStore::create(&path).expect("a store")), |store| {
        drop(store);
        Arc::new(RocksStore::open(&path).expect("the store again"))
    });
}

/// A store whose first write waits until the test says so, and that counts.
#[derive(Default)]
struct SlowStore {
    inner: MemoryStore,
    open: Mutex<bool>,
    opened: Condvar,
    writes: AtomicU64,
}

impl Store for SlowStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: crate::store::Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        drop(self.opened.wait_while(self.open.lock().expect("no panic"), |open| !*open).expect("no panic"));
        self.inner.write(batch)
    }
}

#[test]
fn many_logs_share_a_write_and_nobody_is_answered_before_it() {
    let store = Arc::new(SlowStore::default());
    let (state, _writer) = open(&(store.clone() as Arc<dyn Store>));
    run(async {
        let updates = (0..100).map(|number| state.replace(update(&log(number), None, 1, 1)));
        let mut waiting: Vec<_> = updates.map(Box::pin).collect();
        // All have asked; none is answered, and nothing is known, while the disk is busy.
        for replace in &mut waiting {
            assert!(
                std::future::poll_fn(|context| Poll::Ready(replace.as_mut().poll(context).is_pending()))
                    .await
            );
        }
        assert_eq!((state.logs(), state.note(&Hash::of(log(0).as_bytes()))), (0, Ok(None)));
        *store.open.lock().expect("no panic") = true;
        store.opened.notify_all();
        for replace in waiting {
            assert_eq!(replace.await, Ok(true));
        }
    });
    assert_eq!(state.logs(), 100);
    // The first write held what had come by then, the second one all the others.
    let writes = store.writes.load(Ordering::SeqCst);
    assert!(writes <= 2, "{writes} writes");
}

#[test]
fn wit_7_after_a_failed_write_nobody_is_answered_and_the_disk_decides() {
    for persisted in [false, true] {
        let disk = Arc::new(MemoryStore::default());
        let store: Arc<dyn Store> = Arc::new(FaultyStore::new(disk.clone(), 1, persisted));
        let (failed, failures) = std::sync::mpsc::channel();
        let (state, writer) = State::open(store, move |error| drop(failed.send(error))).expect("a state");
        let (origin, hash) = (log(1), Hash::of(log(1).as_bytes()));
        assert_eq!(run(state.replace(update(&origin, None, 5, 1))), Ok(true));
        let five = state.cosigned(&hash);
        assert_eq!(run(state.replace(update(&origin, five, 7, 2))), Err(Stopped));
        writer.join().expect("the writer has ended");
        assert_eq!(failures.recv(), Ok(StoreError::new("write", "injected fault")));
        // Never again, and never blindly: not this one, and not another log.
        assert_eq!(run(state.replace(update(&origin, five, 7, 2))), Err(Stopped));
        assert_eq!(run(state.replace(update(&log(2), None, 1, 2))), Err(Stopped));
        assert_eq!(state.cosigned(&hash), five);
        let (state, _) = open(&(disk as Arc<dyn Store>));
        let size = state.cosigned(&hash).map(|log| log.seen.size.get());
        assert_eq!((size, state.logs()), (Some(if persisted { 7 } else { 5 }), 1));
    }
}

/// A store that confirms when the test says so, or fails then.
#[derive(Default)]
struct ConfirmingStore {
    inner: MemoryStore,
    /// How many confirmations are let through; one more fails.
    lets: Mutex<Option<u64>>,
    changed: Condvar,
    writes: AtomicU64,
}

impl ConfirmingStore {
    fn let_through(&self, confirmations: u64) {
        *self.lets.lock().expect("no panic") = Some(confirmations);
        self.changed.notify_all();
    }
}

impl Store for ConfirmingStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: crate::store::Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.write(batch)
    }

    fn confirm(&self, _: &Batch) -> Result<(), StoreError> {
        let lets = self.lets.lock().expect("no panic");
        let mut lets = self.changed.wait_while(lets, |lets| lets.is_none()).expect("no panic");
        match lets.as_mut().and_then(|left| left.checked_sub(1)) {
            Some(left) => *lets = Some(left),
            None => return Err(StoreError::new("confirm", "injected fault")),
        }
        Ok(())
    }
}

/// WIT-7 for the second record: nobody is answered, and nothing is known, before it is written, too; and no more than
/// one round is written meanwhile, which is how far a crash leaves the database ahead.
#[test]
fn wit_7_nobody_is_answered_before_the_second_record() {
    let store = Arc::new(ConfirmingStore::default());
    let (failed, failures) = std::sync::mpsc::channel();
    let told = move |error| drop(failed.send(error));
    let (state, writer) = State::open(store.clone() as Arc<dyn Store>, told).expect("a state");
    run(async {
        let updates = (0..9).map(|number| state.replace(update(&log(number), None, 1, 1)));
        let mut waiting: Vec<_> = updates.map(Box::pin).collect();
        for (at, replace) in waiting.iter_mut().enumerate() {
            let poll =
                std::future::poll_fn(|context| Poll::Ready(replace.as_mut().poll(context).is_pending()));
            assert!(poll.await);
            // Each is a round of its own, as far as rounds are written.
            while at < 2 && store.writes.load(Ordering::SeqCst) <= at as u64 {
                std::thread::yield_now();
            }
        }
        assert_eq!((state.logs(), state.latest()), (0, None));
        assert!(store.writes.load(Ordering::SeqCst) <= crate::agreement::MOST_AHEAD);
        store.let_through(1);
        assert_eq!(waiting.remove(0).await, Ok(true));
        // The second one fails: the end, at once, for all.
        for replace in waiting {
            assert_eq!(replace.await, Err(Stopped));
        }
    });
    assert_eq!(failures.recv(), Ok(StoreError::new("confirm", "injected fault")));
    writer.join().expect("the writer has ended");
    assert_eq!(state.logs(), 1);
    assert!(store.writes.load(Ordering::SeqCst) <= 1 + crate::agreement::MOST_AHEAD);
}

/// WIT-16: what is kept is read without any key, and what is damaged is not believed.
#[test]
fn wit_16_a_value_needs_no_key_and_is_exact() {
    let hash = Hash::of(log(1).as_bytes());
    let cosigned = Cosigned { seen: seen(7), time: UnixTime::from_secs(9), growths: 3 };
    let note = update(&log(1), None, 7, 9).note;
    let value = encode(&cosigned, &note);
    assert_eq!(decode(&hash, value.as_bytes()), Ok((cosigned, note)));
    for bad in [
        String::new(),
        value.replacen("9 3", "9", 1),
        value.replacen("9 3", "09 3", 1),
        value.replacen("9 3", "9 +3", 1),
        value.replacen("log.example/1", "log.example/2", 1),
        value.trim_end().to_owned(),
    ] {
        assert_eq!(decode(&hash, bad.as_bytes()), Err(StateError::Damaged(hash)), "{bad}");
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut batch = Batch::default();
    batch.put(Column::Cosigned, *hash.as_bytes(), "damaged");
    store.write(&batch).expect("a write");
    assert_eq!(State::open(store, |_| ()).map(|_| ()), Err(StateError::Damaged(hash)));
}

#[test]
fn a_log_that_signs_contradictions_without_end_does_not_fill_the_disk() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    for _ in 0..2 {
        let (state, writer) = open(&store);
        let new = (0..MAX_CONTRADICTIONS as u64 + 20).filter(|number| {
            let id = Hash::of(&number.to_be_bytes());
            run(state.keep(Contradiction { log: Hash::of(b"log"), id, kept: vec![1] })).expect("kept")
        });
        assert!(new.count() <= MAX_CONTRADICTIONS);
        drop(state);
        writer.join().expect("the writer ends with the state");
        assert_eq!(read_contradictions(&*store, None).map(|all| all.len()), Ok(MAX_CONTRADICTIONS));
    }
}
