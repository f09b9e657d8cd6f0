//! R16: many requests for one log at a time: the size that is kept never goes back, and no two trees are cosigned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use testkit::chance::Chance;
use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::note::Note;
use witness::store::memory::MemoryStore;
use witness::store::rocks::RocksStore;
use witness::store::{Batch, Column, Store, StoreError, Visit};

use crate::world::{Log, World, both_keys};

/// A store that remembers the checkpoints in the order in which they were written.
struct Recorded<S> {
    inner: S,
    written: Mutex<Vec<Checkpoint>>,
}

impl<S: Store> Store for Recorded<S> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.inner.write(batch)?;
        for (column, _, value) in batch.puts() {
            if *column == Column::Cosigned {
                let text = std::str::from_utf8(value).expect("UTF-8");
                let (_, note) = text.split_once('\n').expect("a head and a note");
                let note = Note::parse(note.as_bytes()).expect("a note");
                self.written
                    .lock()
                    .expect("no panic")
                    .push(Checkpoint::parse(note.text()).expect("a checkpoint"));
            }
        }
        Ok(())
    }
}

/// So many requests by so many clients, half of which show another tree from entry 100 on. Returns what was
/// answered with 200.
async fn race(world: Arc<World>, logs: [Arc<Log>; 2], requests: usize, clients: u64) -> Vec<(u64, Hash)> {
    let left = Arc::new(AtomicUsize::new(requests));
    let tasks = (1..=clients).map(|client| {
        let (world, log, left) = (world.clone(), logs[client as usize % 2].clone(), left.clone());
        tokio::spawn(async move {
            let (mut chance, mut known, mut given) = (Chance::new(client), 0, Vec::new());
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                // Up to three entries more; sometimes the same size, sometimes what is long over.
                let (old, size) = match chance.below(8) {
                    0 => (known, known),
                    1 => (known / 2, known / 2 + 1),
                    more => (known, (known + more % 3 + 1).min(30_000)),
                };
                let answer = world.add(log.request(old, size)).await;
                match answer.status {
                    200 => {
                        given.push((size, log.tree.root(size)));
                        known = size;
                    }
                    409 => known = answer.text.trim().parse().expect("a size"),
                    422 => {}
                    other => panic!("{other}: {}", answer.text),
                }
            }
            given
        })
    });
    let mut given = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        given.extend(task.await.expect("no panic"));
    }
    given
}

async fn check(store: impl Store, requests: usize) {
    let log = Arc::new(Log::new("log.example/raced", 30_001));
    let other = Arc::new(log.forked(100, 30_001));
    let store = Arc::new(Recorded { inner: store, written: Mutex::default() });
    // Ed25519 only: ten thousand times ML-DSA says nothing more about races.
    let world = Arc::new(World::with(store.clone(), vec![both_keys().remove(0)], &[&log]));
    let given = race(world, [log, other], requests, 32).await;
    let written = store.written.lock().expect("no panic");
    // The same size again, within seconds, is answered from what is stored.
    let grown: BTreeSet<u64> = given.iter().map(|(size, _)| *size).collect();
    assert!(written.len() >= grown.len() && grown.len() > requests / 100, "{} of {requests}", grown.len());
    for pair in written.windows(2) {
        assert!(pair[0].size <= pair[1].size, "{} after {}", pair[1].size, pair[0].size);
    }
    // One root for each size, and what was answered is what was written.
    let mut roots = BTreeMap::new();
    for checkpoint in &*written {
        let root = roots.entry(checkpoint.size.get()).or_insert(checkpoint.root);
        assert_eq!(*root, checkpoint.root, "two trees of {}", checkpoint.size);
    }
    for (size, root) in given {
        assert_eq!(roots.get(&size), Some(&root), "size {size}");
    }
    println!(
        "{requests} requests, {} cosigned, last size {}",
        written.len(),
        written[written.len() - 1].size
    );
}

/// WIT-5.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wit_5_ten_thousand_racing_requests_never_take_the_size_back() {
    check(MemoryStore::default(), 10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wit_5_nor_do_they_on_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check(RocksStore::create(&folder.path().join("db")).expect("a store"), 2_000).await;
}
