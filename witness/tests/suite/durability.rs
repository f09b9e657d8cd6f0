//! No signature leaves before the state it speaks for is durable (WIT-7). Faults are injected into the store; a
//! store that lies must be found out by the same check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tlog::Hash;
use witness::state::State;
use witness::store::faulty::FaultyStore;
use witness::store::memory::MemoryStore;
use witness::store::{Batch, Column, Store, StoreError, Visit};

use crate::world::{Log, World, both_keys};

/// Says that it has written, and has not, from the given write on.
struct LyingStore {
    inner: Arc<MemoryStore>,
    honest_writes: AtomicU64,
}

impl Store for LyingStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(column, prefix, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let honest =
            self.honest_writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if honest.is_ok() { self.inner.write(batch) } else { Ok(()) }
    }
}

/// Grows two logs through `store` until it fails, then reads `disk` as the next start would: every size that was
/// answered must be there. Answers how many were.
async fn grow(store: Arc<dyn Store>, disk: Arc<MemoryStore>) -> Result<usize, String> {
    let logs = [Log::new("log.example/a", 20), Log::new("log.example/b", 20)];
    let world = World::with(store, vec![both_keys().remove(0)], &[&logs[0], &logs[1]]);
    let mut given = Vec::new();
    let mut failed = false;
    for size in 1..20 {
        for log in &logs {
            let answer = world.add(log.request(size - 1, size)).await;
            if answer.status == 200 {
                if failed {
                    return Err(format!("{} was cosigned after a failed write", log.origin));
                }
                given.push((Hash::of(log.origin.as_bytes()), size));
            } else {
                failed = true;
                if answer.text.contains('—') {
                    return Err(format!("a signature in the answer {}", answer.status));
                }
                // Monitors are shown what is durable, or nothing.
                let seen = world.seen(log).await;
                if seen.text.contains(&format!("\n{size}\n")) && disk_size(&disk, log) < Some(size) {
                    return Err("a monitor sees what is not durable".into());
                }
            }
        }
    }
    let (state, _) = State::open(disk, |_| ()).map_err(|e| e.to_string())?;
    for (log, size) in &given {
        let kept = state.cosigned(log).map(|kept| kept.seen.size.get());
        if kept < Some(*size) {
            return Err(format!("size {size} was cosigned, and {kept:?} is kept"));
        }
    }
    Ok(given.len())
}

fn disk_size(disk: &Arc<MemoryStore>, log: &Log) -> Option<u64> {
    let (state, _) = State::open(disk.clone(), |_| ()).ok()?;
    state.cosigned(&Hash::of(log.origin.as_bytes())).map(|kept| kept.seen.size.get())
}

#[tokio::test]
async fn wit_7_a_failed_write_lets_no_signature_out() {
    for writes in 0..30 {
        for persisted in [false, true] {
            let disk = Arc::new(MemoryStore::default());
            let store = Arc::new(FaultyStore::new(disk.clone(), writes, persisted));
            assert_eq!(grow(store, disk).await, Ok(writes as usize), "fault after {writes}, {persisted}");
        }
    }
}

/// The control: the check above finds a store that answers before it has written.
#[tokio::test]
async fn the_check_finds_a_store_that_does_not_write() {
    for honest in [0, 7, 29] {
        let disk = Arc::new(MemoryStore::default());
        let store = Arc::new(LyingStore { inner: disk.clone(), honest_writes: AtomicU64::new(honest) });
        let found = grow(store, disk).await;
        assert!(found.is_err(), "{honest}: {found:?}");
    }
}
