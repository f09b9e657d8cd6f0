//! What the columns hold, typed: the only place that knows how keys are spelled.
//!
//! ```text
//! leaf      u64 BE index                  leaf bytes
//! tile      u8 level || u64 BE index      256 × 32 bytes
//! claim     32-byte claim hash            u64 BE index
//! subject   32-byte digest || u64 BE index   (empty)
//! did       16 bytes of the DID || u64 BE index   (empty), or u8 kind of an event
//! list      u8 which || DIDs and scope || u64 BE index   bytes 8 to 32 of the list's entry
//! envelope  32-byte envelope hash         0x01 || envelope bytes   or   0x00 || tombstone (JSON)
//! state     "tree"                        TreeState (JSON)
//!           "signed", "published"         the signed note
//!           "seen"                        u64 BE Unix milliseconds: a time at which the log ran
//! ```
//! Lists (`attestation::lists`) begin with one of `i` id, `o` out, `n` in, `e` edge, `f` neg, `p` pos, `m` msg, and
//! go on with the bytes of their DIDs and the scope; `r` is the part of `neg` that one issuer said about one
//! subject, without equivocations: subject, issuer. `rcpt` is the rows of column `did` with an empty value.
//!
//! Keys sort by index, so that lookups page. Every index is a pure function of a leaf: `registry`.

use std::ops::ControlFlow;

use attestation::did::Did;
use attestation::lists::{ListKey, Listed, ListedKind};
use log_core::keys::{Keys, List};
use log_core::port::{Direction, OrderState, Page, Versions};
pub use log_core::port::{StoredEnvelope, Tombstone};
use serde::{Deserialize, Serialize};
use tlog::tile::{Tile, parse_hashes};
use tlog::{Hash, LeafIndex, TreeSize};

use super::{Batch, Column, Order, Store, StoreError};

/// The tree as committed: what the next round starts from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TreeState {
    /// Committed entries.
    pub size: u64,
    /// The root over them, hex.
    pub root: String,
    /// The last `loggedAt`, Unix milliseconds: time never goes back.
    pub logged_at: u64,
    /// The day (days since 1970-01-01 UTC) that `day_bytes` counts.
    pub day: u64,
    /// Bytes of leaves and envelopes admitted on `day`.
    pub day_bytes: u64,
}

/// Adds a leaf.
pub fn put_leaf(batch: &mut Batch, index: LeafIndex, leaf: &[u8]) {
    batch.put(Column::Leaf, index.get().to_be_bytes(), leaf);
}

/// Adds a full tile.
pub fn put_tile(batch: &mut Batch, tile: Tile, hashes: &[Hash]) {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    batch.put(Column::Tile, tile_key(tile), bytes);
}

/// Adds the index of a claim.
pub fn put_claim(batch: &mut Batch, claim: &Hash, index: LeafIndex) {
    batch.put(Column::Claim, *claim.as_bytes(), index.get().to_be_bytes());
}

/// Adds an artifact to the lookup by digest.
pub fn put_subject(batch: &mut Batch, subject: &Hash, index: LeafIndex) {
    batch.put(Column::Subject, lookup_key(subject.as_bytes(), index.get()), []);
}

/// Adds an entry to the lookup by DID; `kind` is what it is in a list.
pub fn put_did(batch: &mut Batch, did: &Did, index: LeafIndex, kind: ListedKind) {
    batch.put(Column::Did, lookup_key(did.as_bytes(), index.get()), did_value(kind));
}

/// Adds an entry to a list.
pub fn put_listed(batch: &mut Batch, list: &List, entry: &Listed) {
    batch.put(Column::List, lookup_key(&prefix(list), entry.index.get()), &entry.to_bytes()[8..]);
}

fn prefix(list: &List) -> Vec<u8> {
    let of = |which: u8, dids: &[&Did]| {
        let mut prefix = vec![which];
        dids.iter().for_each(|did| prefix.extend(did.as_bytes()));
        prefix
    };
    match list {
        List::Named(ListKey::Id(did)) => of(b'i', &[did]),
        List::Named(ListKey::Out(did)) => of(b'o', &[did]),
        List::Named(ListKey::In(did)) => of(b'n', &[did]),
        List::Named(ListKey::Neg(did)) => of(b'f', &[did]),
        List::Named(ListKey::Pos(did)) => of(b'p', &[did]),
        List::Named(ListKey::Messages(did)) => of(b'm', &[did]),
        List::Named(ListKey::Receipts(did)) => did.as_bytes().to_vec(),
        List::Named(ListKey::Edge(from, to, scope)) => {
            let mut prefix = of(b'e', &[from, to]);
            prefix.push(*scope as u8);
            prefix
        }
        List::Failures { subject, issuer } => of(b'r', &[subject, issuer]),
    }
}

/// Adds an envelope.
pub fn put_envelope(batch: &mut Batch, hash: &Hash, envelope: &[u8]) {
    batch.put(Column::Envelope, *hash.as_bytes(), [&[PRESENT], envelope].concat());
}

/// Replaces an envelope by its tombstone.
pub fn put_tombstone(batch: &mut Batch, hash: &Hash, tombstone: &Tombstone) {
    let json = serde_json::to_vec(tombstone).expect("strings and numbers are JSON");
    batch.put(Column::Envelope, *hash.as_bytes(), [&[ERASED], &json[..]].concat());
}

/// Sets the tree state.
pub fn put_tree_state(batch: &mut Batch, state: &TreeState) {
    batch.put(Column::State, *b"tree", serde_json::to_vec(state).expect("strings and numbers are JSON"));
}

/// Sets the last signed checkpoint.
pub fn put_signed(batch: &mut Batch, note: &str) {
    batch.put(Column::State, *b"signed", note);
}

/// Sets the published checkpoint.
pub fn put_published(batch: &mut Batch, note: &str) {
    batch.put(Column::State, *b"published", note);
}

/// Sets a time at which the log ran, Unix milliseconds.
pub fn put_seen(batch: &mut Batch, millis: u64) {
    batch.put(Column::State, *b"seen", millis.to_be_bytes());
}

/// Adds an entry to the lookups.
pub fn put_keys(batch: &mut Batch, keys: &Keys, index: LeafIndex) {
    if let Some(claim) = &keys.claim {
        put_claim(batch, claim, index);
    }
    for subject in &keys.subjects {
        put_subject(batch, subject, index);
    }
    if let Some((did, kind)) = &keys.did {
        put_did(batch, did, index, *kind);
    }
    for (list, listed) in &keys.lists {
        put_listed(batch, list, listed);
    }
}

/// The index in the row of a claim.
pub(crate) fn claim_index(row: Option<Vec<u8>>, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
    let Some(index) = row else { return Ok(None) };
    let index: [u8; 8] =
        index.try_into().map_err(|_| StoreError::new("read", format!("claim {claim} has no index")))?;
    Ok(Some(LeafIndex::new(u64::from_be_bytes(index))))
}

/// What the row of an envelope holds.
pub(crate) fn stored_envelope(row: &[u8], hash: &Hash) -> Result<StoredEnvelope, StoreError> {
    let damaged = || StoreError::new("read", format!("envelope {hash} is damaged"));
    match row.split_first() {
        Some((&PRESENT, envelope)) => Ok(StoredEnvelope::Present(envelope.to_vec())),
        Some((&ERASED, json)) => {
            serde_json::from_slice(json).map(StoredEnvelope::Erased).map_err(|_| damaged())
        }
        _ => Err(damaged()),
    }
}

/// Where a scan for a page begins, and which way it goes; `None` if nothing can be in it.
fn begin(page: &Page) -> Option<(u64, Order)> {
    let last = page.size.get().checked_sub(1)?;
    match page.direction {
        Direction::Ascending => (page.from <= last).then_some((page.from, Order::Ascending)),
        Direction::Descending => Some((page.from.min(last), Order::Descending)),
    }
}

/// Typed reads, on every store.
pub trait Read: Store {
    /// A leaf.
    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Column::Leaf, &index.get().to_be_bytes())
    }

    /// Shows `visit` the leaves `from..to` in order. A missing one is damage.
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        let mut next = from;
        let mut each = |key: &[u8], leaf: &[u8]| {
            if next >= to || key != next.to_be_bytes() {
                return ControlFlow::Break(());
            }
            visit(next, leaf);
            next += 1;
            if next == to { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if from < to {
            self.scan(Column::Leaf, &from.to_be_bytes(), Order::Ascending, &mut each)?;
        }
        if next < to {
            return Err(StoreError::new("read", format!("leaf {next} is missing")));
        }
        Ok(())
    }

    /// A full tile.
    fn full_tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        let Some(bytes) = self.get(Column::Tile, &tile_key(tile))? else { return Ok(None) };
        let hashes = parse_hashes(tile.full(), &bytes);
        hashes
            .map(Some)
            .ok_or_else(|| StoreError::new("read", format!("{} has the wrong length", tile.full().path())))
    }

    /// Where a claim was logged.
    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
        claim_index(self.get(Column::Claim, claim.as_bytes())?, claim)
    }

    /// Indexes of entries about an artifact.
    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        lookup(self, Column::Subject, subject.as_bytes(), page)
    }

    /// Indexes of entries by a DID.
    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        lookup(self, Column::Did, did.as_bytes(), page)
    }

    /// Entries of a list.
    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError> {
        let Some((from, order)) = begin(&page) else { return Ok(Vec::new()) };
        let prefix = prefix(list);
        let receipts = match list {
            List::Named(ListKey::Receipts(did)) => Some(*did),
            _ => None,
        };
        let counts = |index: &[u8; 8]| page.size.contains(LeafIndex::new(u64::from_be_bytes(*index)));
        let column = if receipts.is_some() { Column::Did } else { Column::List };
        let mut found = Vec::new();
        let mut damaged = false;
        let mut each = |key: &[u8], value: &[u8]| {
            let index = key.strip_prefix(&prefix[..]).and_then(|index| <[u8; 8]>::try_from(index).ok());
            let Some(index) = index.filter(|index| found.len() < page.limit && counts(index)) else {
                return ControlFlow::Break(());
            };
            let listed = match receipts {
                Some(_) if !value.is_empty() => return ControlFlow::Continue(()),
                Some(did) => Some(Listed::receipt(LeafIndex::new(u64::from_be_bytes(index)), did)),
                None => <[u8; Listed::BYTES]>::try_from([&index, value].concat())
                    .ok()
                    .and_then(|bytes| Listed::from_bytes(&bytes)),
            };
            damaged |= listed.is_none();
            found.extend(listed);
            if damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.scan(column, &lookup_key(&prefix, from), order, &mut each)?;
        if damaged { Err(StoreError::new("read", "a list is damaged")) } else { Ok(found) }
    }

    /// Whether an entry is found by its DID as what it is.
    fn is_by_did(&self, did: &Did, index: LeafIndex, kind: ListedKind) -> Result<bool, StoreError> {
        let value = self.get(Column::Did, &lookup_key(did.as_bytes(), index.get()))?;
        Ok(value.is_some_and(|value| value == did_value(kind)))
    }

    /// An envelope, or its tombstone.
    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        let row = self.get(Column::Envelope, hash.as_bytes())?;
        row.map(|row| stored_envelope(&row, hash)).transpose()
    }

    /// The committed tree; none before `init`.
    fn tree_state(&self) -> Result<Option<TreeState>, StoreError> {
        let Some(bytes) = self.get(Column::State, b"tree")? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| StoreError::new("read the tree state", e))
    }

    /// The last time, Unix milliseconds, at which the log is known to have run; a log of an earlier release has none.
    fn seen(&self) -> Result<Option<u64>, StoreError> {
        let Some(millis) = self.get(Column::State, b"seen")? else { return Ok(None) };
        let millis: [u8; 8] =
            millis.try_into().map_err(|_| StoreError::new("read", "the time that was seen is damaged"))?;
        Ok(Some(u64::from_be_bytes(millis)))
    }

    /// The last signed checkpoint.
    fn signed(&self) -> Result<Option<String>, StoreError> {
        note(self.get(Column::State, b"signed")?)
    }

    /// The published checkpoint.
    fn published(&self) -> Result<Option<String>, StoreError> {
        note(self.get(Column::State, b"published")?)
    }
}

impl<S: Store + ?Sized> Read for S {}

impl TreeState {
    /// The tree before the first entry.
    pub fn empty() -> Self {
        Self { size: 0, root: tlog::merkle::empty_root().to_string(), logged_at: 0, day: 0, day_bytes: 0 }
    }

    /// How the order stands: everything that is ordered is in the tree.
    pub fn order(&self, versions: Versions) -> OrderState {
        let Self { logged_at, day, day_bytes, .. } = *self;
        OrderState { next: self.tree_size(), logged_at, day, day_bytes, versions }
    }

    /// The number of entries.
    pub fn tree_size(&self) -> TreeSize {
        TreeSize::new(self.size)
    }
}

fn lookup<S: Store + ?Sized>(
    store: &S,
    column: Column,
    prefix: &[u8],
    page: Page,
) -> Result<Vec<LeafIndex>, StoreError> {
    let mut found = Vec::new();
    let Some((from, order)) = begin(&page) else { return Ok(found) };
    let mut each = |key: &[u8], _: &[u8]| {
        let index = key.strip_prefix(prefix).and_then(|index| <[u8; 8]>::try_from(index).ok());
        let index = index.map(|index| LeafIndex::new(u64::from_be_bytes(index)));
        let Some(index) = index.filter(|index| found.len() < page.limit && page.size.contains(*index)) else {
            return ControlFlow::Break(());
        };
        found.push(index);
        ControlFlow::Continue(())
    };
    store.scan(column, &lookup_key(prefix, from), order, &mut each)?;
    Ok(found)
}

fn did_value(kind: ListedKind) -> Vec<u8> {
    if kind == ListedKind::Receipt { Vec::new() } else { vec![kind as u8] }
}

fn lookup_key(prefix: &[u8], index: u64) -> Vec<u8> {
    [prefix, &index.to_be_bytes()].concat()
}

fn tile_key(tile: Tile) -> [u8; 9] {
    let mut key = [tile.level(); 9];
    key[1..].copy_from_slice(&tile.index().to_be_bytes());
    key
}

fn note(bytes: Option<Vec<u8>>) -> Result<Option<String>, StoreError> {
    bytes.map(String::from_utf8).transpose().map_err(|e| StoreError::new("read a checkpoint", e))
}

const ERASED: u8 = 0;
const PRESENT: u8 = 1;
