//! The same tests on RocksDB.

#[path = "suite.rs"]
mod suite;

use std::path::Path;
use std::sync::Arc;

use log_server::store::Store;
use log_server::store::rocks::RocksStore;

fn store(folder: &Path) -> Arc<dyn Store> {
    Arc::new(RocksStore::create(&folder.join("db")).expect("a new store"))
}
