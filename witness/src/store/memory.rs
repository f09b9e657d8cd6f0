//! A store in memory, for tests: keeps the contract but for durability.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Column, Store, StoreError, Visit};

type Values = BTreeMap<(Column, Vec<u8>), Vec<u8>>;

/// The columns, in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: RwLock<Values>,
}

impl Store for MemoryStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        Ok(values.get(&(column, key.to_vec())).cloned())
    }

    fn scan(&self, column: Column, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        let from = values.range((column, prefix.to_vec())..);
        let mut wanted = from.take_while(|((of, key), _)| *of == column && key.starts_with(prefix));
        wanted.try_for_each(|((_, key), value)| visit(key, value)).is_break();
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        for (column, key, value) in batch.puts() {
            values.insert((*column, key.clone()), value.clone());
        }
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
