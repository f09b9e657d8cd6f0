//! The RocksDB engine keeps the contract of every engine, bare and behind faults.

use std::sync::{Arc, Mutex, PoisonError};

use log_rocksdb::Engine;
use log_rocksdb::store::rocks::RocksStore;
use log_rocksdb::store::schema::{self, TreeState};
use log_rocksdb::store::{Batch, Store as _};
use simulation::contract::Subject;
use simulation::engine::Faulty;
use tempfile::TempDir;

/// Directories, which are removed with it.
#[derive(Default)]
struct OnDisk(Mutex<Vec<TempDir>>);

impl Subject for OnDisk {
    type Engine = Engine<RocksStore>;

    fn fresh(&self) -> Engine<RocksStore> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = RocksStore::create(&folder.path().join("db")).expect("a new store");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        let mut batch = Batch::default();
        schema::put_tree_state(&mut batch, &TreeState::empty());
        store.write(&batch).expect("a write");
        Engine::open(Arc::new(store)).expect("an empty log")
    }

    /// Nothing is flushed: what the write-ahead log does not hold is gone.
    fn reopened(&self, engine: Engine<RocksStore>) -> Engine<RocksStore> {
        let path = engine.store().path().to_owned();
        drop(engine);
        Engine::open(Arc::new(RocksStore::open(&path).expect("the store again"))).expect("the log again")
    }
}

/// A faulty engine that no fault befalls is the engine.
#[derive(Default)]
struct WithoutFault(OnDisk);

impl Subject for WithoutFault {
    type Engine = Faulty<Engine<RocksStore>>;

    fn fresh(&self) -> Self::Engine {
        Faulty::new(self.0.fresh())
    }

    fn reopened(&self, engine: Self::Engine) -> Self::Engine {
        Faulty::new(self.0.reopened(engine.into_engine()))
    }
}

simulation::contract!(rocksdb = OnDisk::default(), faulty = WithoutFault::default());
