//! The sequencer's tests on a store in memory; and on an engine that orders and integrates apart.

mod apart;
#[path = "suite.rs"]
mod suite;

use std::path::Path;
use std::sync::Arc;

use log_server::store::Store;
use log_server::store::memory::MemoryStore;

fn store(_: &Path) -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}
