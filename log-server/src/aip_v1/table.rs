//! Who registered by this interface: DID and genesis key. The DID is the key's hash, so that an entry needs no proof.
//!
//! At most 100,000, each gone once it signed nothing for 90 days. Only a signature by the key counts as use: a look-up by
//! others does not. When it is full, a newcomer takes the place of the one that is idle longest of those whose key never signed
//! anything; who uses a key is crowded out by nobody.
//!
//! On disk it is `D/aip-v1`, a database of its own: key `k` ‖ DID 16 → genesis key 32 ‖ registered u64 ‖ used u64 ‖ whether the key
//! signed anything. A crash before the write leaves the newcomer unknown, and unanswered. It is in no backup.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use attestation::did::Did;
use rocksdb::WriteBatch;
use tlog::key::Ed25519PublicKey;

use crate::relay::disk::Disk;
use crate::store::StoreError;

/// The table.
pub(super) struct Table {
    disk: Option<Disk>,
    rows: RwLock<Rows>,
    /// Held while a change is decided and written.
    writer: Mutex<()>,
}

#[derive(Default)]
struct Rows {
    by_did: HashMap<Did, Row>,
    /// Whose key never signed anything first; of those, who is idle longest.
    idle: BTreeSet<(bool, u64, Did)>,
}

/// One of them; times are Unix milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Row {
    pub(super) key: Ed25519PublicKey,
    pub(super) registered: u64,
    used: u64,
    has_signed: bool,
}

/// What came of a registration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Registered {
    Now,
    Before,
}

/// Why there was none.
#[derive(Debug)]
pub(super) enum NotRegistered {
    /// Every place is used by somebody whose key signed something.
    Full,
    /// The table cannot be used.
    Closed,
}

impl Table {
    pub(super) fn open(path: &Path) -> Self {
        let opened = read(path).inspect_err(|error| {
            tracing::error!(%error, folder = %path.display(), "the table of --aip-v1 cannot be used: nobody is known by it");
        });
        let (disk, rows) = opened.map_or_else(|_| (None, Rows::default()), |(disk, rows)| (Some(disk), rows));
        Self { disk, rows: RwLock::new(rows), writer: Mutex::new(()) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.disk.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.rows().by_did.len()
    }

    /// The entry of a DID that was used within 90 days.
    pub(super) fn get(&self, did: Did, now: u64) -> Option<Row> {
        self.rows().by_did.get(&did).copied().filter(|row| !row.is_over(now))
    }

    /// Takes a DID, which is the hash of `key`. Writes, and returns once that is durable.
    pub(super) fn register(&self, key: Ed25519PublicKey, now: u64) -> Result<Registered, NotRegistered> {
        let did = Did::of(&key);
        if self.get(did, now).is_some() {
            return Ok(Registered::Before);
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(did, now).is_some() {
            return Ok(Registered::Before);
        }
        let mut changes = vec![(did, Some(Row { key, registered: now, used: now, has_signed: false }))];
        {
            let rows = self.rows();
            if rows.by_did.len() >= MAX_ROWS && !rows.by_did.contains_key(&did) {
                match rows.idle.first() {
                    Some((false, _, idle)) => changes.push((*idle, None)),
                    _ => return Err(NotRegistered::Full),
                }
            }
        }
        self.change(changes).map(|()| Registered::Now).map_err(|_| NotRegistered::Closed)
    }

    /// Notes that the key of a DID signed something. Written once a day at most; if that fails, the entry is gone a day earlier.
    pub(super) fn note_signature(&self, did: Did, now: u64) {
        let is_due = |row: &Row| !row.has_signed || row.used.saturating_add(DAY_MILLIS) <= now;
        if !self.rows().by_did.get(&did).is_some_and(is_due) {
            return;
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = self.get(did, now) else { return };
        let _ = self.change(vec![(did, Some(Row { used: row.used.max(now), has_signed: true, ..row }))]);
    }

    /// Deletes who was idle for 90 days.
    pub(super) fn forget_idle(&self, now: u64) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self
            .rows()
            .by_did
            .iter()
            .filter(|(_, row)| row.is_over(now))
            .map(|(did, _)| (*did, None))
            .collect();
        let _ = self.change(over);
    }

    /// Writes changes, then shows them. The caller holds the writer's lock.
    fn change(&self, changes: Vec<(Did, Option<Row>)>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let Some(disk) = &self.disk else { return Err(StoreError::new("write", "the table is not open")) };
        let mut batch = WriteBatch::default();
        for (did, row) in &changes {
            match row {
                Some(row) => batch.put(key_of(*did), row.to_bytes()),
                None => batch.delete(key_of(*did)),
            }
        }
        disk.write(batch)
            .inspect_err(|error| tracing::error!(%error, "the table of --aip-v1 was not written"))?;
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (did, row) in changes {
            rows.set(did, row);
        }
        Ok(())
    }

    fn rows(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn set(&mut self, did: Did, row: Option<Row>) {
        let place = |row: Row| (row.has_signed, row.used, did);
        let before = match row {
            Some(row) => {
                self.idle.insert(place(row));
                self.by_did.insert(did, row)
            }
            None => self.by_did.remove(&did),
        };
        if let Some(before) = before.filter(|before| row.map(place) != Some(place(*before))) {
            self.idle.remove(&place(before));
        }
    }
}

impl Row {
    fn is_over(&self, now: u64) -> bool {
        self.used.saturating_add(IDLE_MILLIS) <= now
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.key.as_bytes().to_vec();
        bytes.extend_from_slice(&self.registered.to_be_bytes());
        bytes.extend_from_slice(&self.used.to_be_bytes());
        bytes.push(u8::from(self.has_signed));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (registered, rest) = rest.split_first_chunk()?;
        let (used, rest) = rest.split_first_chunk()?;
        Some(Self {
            key: Ed25519PublicKey::from_bytes(key).ok()?,
            registered: u64::from_be_bytes(*registered),
            used: u64::from_be_bytes(*used),
            has_signed: match rest {
                [0] => false,
                [1] => true,
                _ => return None,
            },
        })
    }
}

fn read(path: &Path) -> Result<(Disk, Rows), StoreError> {
    Disk::create_if_missing(path)?;
    let disk = Disk::open(path)?;
    let mut rows = Rows::default();
    disk.scan(ROWS, &[ROWS + 1], |key, value| {
        let did = key.strip_prefix(&[ROWS]).and_then(|did| did.try_into().ok()).map(Did::from_bytes);
        let row = Row::from_bytes(value).filter(|row| Some(Did::of(&row.key)) == did);
        match (did, row) {
            (Some(did), Some(row)) => {
                rows.set(did, Some(row));
                Ok(true)
            }
            _ => Err(StoreError::new("read", "a row of the table is damaged")),
        }
    })?;
    Ok((disk, rows))
}

fn key_of(did: Did) -> Vec<u8> {
    [&[ROWS], &did.as_bytes()[..]].concat()
}

const ROWS: u8 = b'k';

/// About 200 bytes each in memory.
const MAX_ROWS: usize = if cfg!(test) { 8 } else { 100_000 };

const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;

/// How long somebody may be idle.
const IDLE_MILLIS: u64 = 90 * DAY_MILLIS;

#[cfg(test)]
mod tests {
    use tlog::key::Ed25519PrivateKey;

    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn key(number: u8) -> Ed25519PublicKey {
        Ed25519PrivateKey::from_seed(&[number; 32]).public_key()
    }

    fn did(number: u8) -> Did {
        Did::of(&key(number))
    }

    fn register(table: &Table, number: u8, now: u64) -> Registered {
        table.register(key(number), now).expect("registered")
    }

    #[test]
    fn who_registered_is_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("aip-v1");
        let table = Table::open(&path);
        assert_eq!(
            (register(&table, 1, NOW), register(&table, 1, NOW + 1)),
            (Registered::Now, Registered::Before)
        );
        register(&table, 2, NOW);
        table.note_signature(did(2), NOW + 5);
        drop(table);
        let table = Table::open(&path);
        let row = table.get(did(1), NOW).expect("there");
        assert_eq!((row.key, row.registered, row.has_signed), (key(1), NOW, false));
        assert!(table.get(did(2), NOW).expect("there").has_signed);
        assert_eq!((table.len(), table.get(did(3), NOW)), (2, None));
    }

    #[test]
    fn a_signature_keeps_an_entry_and_a_look_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = Table::open(&folder.path().join("aip-v1"));
        register(&table, 1, NOW);
        register(&table, 2, NOW);
        let later = NOW + 89 * DAY_MILLIS;
        assert!(table.get(did(1), later).is_some());
        table.note_signature(did(2), later);
        let gone = NOW + IDLE_MILLIS;
        assert_eq!((table.get(did(1), gone), table.get(did(2), gone).is_some()), (None, true));
        // A clock that stands before everything deletes nothing.
        table.forget_idle(0);
        assert_eq!(table.len(), 2);
        table.forget_idle(gone);
        assert_eq!(table.len(), 1);
        assert_eq!(register(&table, 1, gone), Registered::Now);
    }

    #[test]
    fn a_full_table_crowds_out_nobody_whose_key_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = Table::open(&folder.path().join("aip-v1"));
        register(&table, 100, NOW);
        table.note_signature(did(100), NOW);
        for number in 0..100 {
            register(&table, number, NOW + 1 + u64::from(number));
            assert!(table.len() <= MAX_ROWS);
        }
        assert!(table.get(did(100), NOW).is_some(), "it is the oldest, and is used");
        assert!(table.get(did(99), NOW).is_some() && table.get(did(50), NOW).is_none());
        for number in 93..100 {
            table.note_signature(did(number), NOW + 200);
        }
        assert!(matches!(table.register(key(7), NOW + 300), Err(NotRegistered::Full)));
        assert_eq!(register(&table, 99, NOW + 300), Registered::Before);
    }

    #[test]
    fn a_table_that_cannot_be_opened_knows_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("aip-v1");
        std::fs::write(&path, b"in the way").expect("written");
        let table = Table::open(&path);
        assert!(!table.is_open() && matches!(table.register(key(1), NOW), Err(NotRegistered::Closed)));
        assert_eq!(table.get(did(1), NOW), None);
        table.forget_idle(NOW);
    }
}
