//! A store in memory, for tests: keeps the contract but for durability.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use super::{Batch, Column, Order, Store, StoreError, Visit};

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// The columns, in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    columns: RwLock<HashMap<Column, Values>>,
}

impl Store for MemoryStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        Ok(columns.get(&column).and_then(|values| values.get(key)).cloned())
    }

    fn scan(&self, column: Column, from: &[u8], order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        let Some(values) = columns.get(&column) else { return Ok(()) };
        let mut pairs: Box<dyn Iterator<Item = _>> = match order {
            Order::Ascending => Box::new(values.range(from.to_vec()..)),
            Order::Descending => Box::new(values.range(..=from.to_vec()).rev()),
        };
        pairs.try_for_each(|(key, value)| visit(key, value)).is_break();
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut columns = self.columns.write().unwrap_or_else(PoisonError::into_inner);
        for (column, key, value) in batch.puts() {
            columns.entry(*column).or_default().insert(key.clone(), value.clone());
        }
        Ok(())
    }

    fn as_dyn(&self) -> &dyn Store {
        self
    }

    fn expunge(&self, _: Column, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_store_keeps_the_contract() {
        super::super::contract(&MemoryStore::default());
    }
}
