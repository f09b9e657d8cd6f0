//! What the memory engine holds: tables that are a pure function of the changes written to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use attestation::did::Did;
use attestation::entry::{ClaimHash, Entry, LogTime, PendingLeaf};
use attestation::event::{Body, EventEntry, PendingEvent, TrustEvent};
use attestation::lists::{ListKey, Listed, ListedKind};
use attestation::rules::Artifact;
use log_core::integrate::Tree;
use log_core::keys::{Keys, List};
use log_core::port::{Direction, Epoch, OrderState, Page, PublishedNote, StoredEnvelope};
use tlog::tile::Tile;
use tlog::{Hash, LeafIndex, TreeSize};

/// One change: what a database would write to its log, and replay after a crash.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Entries got their indexes.
    Ordered { first: u64, logged_at: u64, entries: Vec<Ordered> },
    /// A slot got its index.
    Reserved { index: u64, logged_at: u64 },
    /// A slot got its leaf.
    Filled { index: u64, leaf: Vec<u8> },
    /// A lease was given, kept or ended.
    Leased { epoch: Epoch, until: u64 },
    /// The tree has grown.
    Integrated { tree: Arc<Tree>, rows: Vec<Keys>, from: u64 },
    /// A checkpoint was signed.
    Signed { size: TreeSize, note: String },
    /// A checkpoint was published.
    Published { size: TreeSize, note: PublishedNote, signed: Option<String> },
    /// The log ran.
    Saw(u64),
    /// A full tile.
    Tile(Tile, Vec<Hash>),
    /// A full bundle, whose leaves are there.
    Bundle(u64),
    /// An envelope, or its tombstone.
    Envelope(Hash, StoredEnvelope),
}

/// An entry with what an ordering call writes of it.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    pub(super) claim: ClaimHash,
    pub(super) entry: PendingLeaf,
    pub(super) leaf: Vec<u8>,
    pub(super) envelope: Option<(Hash, Vec<u8>)>,
}

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) order: OrderState,
    /// By index; `None` is a slot without its leaf.
    pub(super) leaves: Vec<Option<Vec<u8>>>,
    pub(super) claims: HashMap<Hash, LeafIndex>,
    pub(super) envelopes: HashMap<Hash, StoredEnvelope>,
    pub(super) identities: HashMap<Did, Vec<(LeafIndex, PendingEvent)>>,
    pub(super) identity_log: BTreeMap<LeafIndex, LogTime>,
    pub(super) failures: HashMap<(Did, Did), LeafIndex>,
    pub(super) message_keys: HashMap<Did, ClaimHash>,
    pub(super) subjects: HashMap<Hash, Vec<LeafIndex>>,
    pub(super) dids: HashMap<Did, Vec<(LeafIndex, ListedKind)>>,
    pub(super) lists: HashMap<List, Vec<Listed>>,
    pub(super) tiles: BTreeMap<(u8, u64), Vec<Hash>>,
    pub(super) bundles: BTreeSet<u64>,
    pub(super) epoch: Epoch,
    pub(super) until: u64,
    pub(super) integrated: Arc<Tree>,
    pub(super) signed: Option<(TreeSize, String)>,
    pub(super) published: Option<(TreeSize, PublishedNote)>,
    pub(super) seen: Option<u64>,
}

impl Tables {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Ordered { first, logged_at, entries } => self.order(*first, *logged_at, entries),
            Change::Reserved { index, logged_at } => {
                self.set_leaf(*index, None);
                self.order.next = TreeSize::new(index + 1);
                self.order.logged_at = *logged_at;
            }
            Change::Filled { index, leaf } => self.set_leaf(*index, Some(leaf.clone())),
            Change::Leased { epoch, until } => (self.epoch, self.until) = (*epoch, *until),
            Change::Integrated { tree, rows, from } => {
                self.integrated = tree.clone();
                rows.iter().zip(*from..).for_each(|(keys, index)| self.find_by(keys, LeafIndex::new(index)));
            }
            Change::Signed { size, note } => self.signed = Some((*size, note.clone())),
            Change::Published { size, note, signed } => {
                self.published = Some((*size, note.clone()));
                if let Some(signed) = signed {
                    self.signed = Some((*size, signed.clone()));
                }
            }
            Change::Saw(millis) => self.seen = Some(*millis),
            Change::Tile(tile, hashes) => {
                self.tiles.insert((tile.level(), tile.index()), hashes.clone());
            }
            Change::Bundle(number) => {
                self.bundles.insert(*number);
            }
            Change::Envelope(hash, stored) => {
                self.envelopes.insert(*hash, stored.clone());
            }
        }
    }

    fn set_leaf(&mut self, index: u64, leaf: Option<Vec<u8>>) {
        let at = usize::try_from(index).expect("fewer leaves than memory has bytes");
        if self.leaves.len() <= at {
            self.leaves.resize(at + 1, None);
        }
        self.leaves[at] = leaf;
    }

    fn order(&mut self, first: u64, logged_at: u64, entries: &[Ordered]) {
        let day = logged_at / DAY_MILLIS;
        let mut bytes = if day == self.order.day { self.order.day_bytes } else { 0 };
        for (ordered, index) in entries.iter().zip(first..) {
            let Ordered { claim, entry, leaf, envelope } = ordered;
            bytes += (leaf.len() + envelope.as_ref().map_or(0, |(_, envelope)| envelope.len())) as u64;
            self.set_leaf(index, Some(leaf.clone()));
            let index = LeafIndex::new(index);
            // The first index stays.
            self.claims.entry(claim.get()).or_insert(index);
            if let Some((hash, envelope)) = envelope {
                let stored = StoredEnvelope::Present(envelope.clone());
                self.envelopes.entry(*hash).or_insert(stored);
            }
            if let PendingLeaf::Event(event) = entry {
                self.event(event, index, logged_at);
            }
        }
        self.order.next = TreeSize::new(first + entries.len() as u64);
        self.order.logged_at = logged_at;
        (self.order.day, self.order.day_bytes) = (day, bytes);
    }

    fn event(&mut self, event: &PendingEvent, index: LeafIndex, logged_at: u64) {
        let body = event.event().body();
        let is_identity = matches!(body, Body::Identity(_));
        self.order.versions = self.order.versions.behind(index, true, is_identity);
        let (issuer, subject) = (event.event().issuer(), event.event().subject());
        match body {
            Body::Identity(_) => {
                self.identities.entry(issuer).or_default().push((index, event.clone()));
                let time = LogTime::from_millis(logged_at).expect("a time that was in a leaf");
                self.identity_log.insert(index, time);
            }
            Body::MessageKeys(_) => {
                self.message_keys.insert(issuer, event.hash());
            }
            Body::Trust(TrustEvent::Failure { .. }) => {
                self.failures.insert((issuer, subject), index);
            }
            Body::Trust(TrustEvent::Withdrawal { .. }) => {
                self.failures.remove(&(issuer, subject));
            }
            Body::Trust(_) => (),
        }
    }

    fn find_by(&mut self, keys: &Keys, index: LeafIndex) {
        for subject in &keys.subjects {
            self.subjects.entry(*subject).or_default().push(index);
        }
        if let Some((did, kind)) = keys.did {
            self.dids.entry(did).or_default().push((index, kind));
        }
        for (list, listed) in &keys.lists {
            self.lists.entry(*list).or_default().push(*listed);
        }
    }

    pub(super) fn leaf(&self, index: LeafIndex) -> Option<&Vec<u8>> {
        self.leaves.get(usize::try_from(index.get()).ok()?)?.as_ref()
    }

    pub(super) fn artifact(&self, index: LeafIndex) -> Option<Artifact> {
        match Entry::parse(self.leaf(index)?) {
            Ok(Entry::Dsse(entry)) => Some(Artifact::of(entry.claim())),
            _ => None,
        }
    }

    pub(super) fn identity_events_since(&self, since: TreeSize) -> Vec<(LeafIndex, EventEntry)> {
        let from = LeafIndex::new(since.get());
        let events = self.identity_log.range(from..);
        events
            .filter_map(|(index, _)| match Entry::parse(self.leaf(*index)?) {
                Ok(Entry::Event(event)) => Some((*index, *event)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn list(&self, list: &List, page: Page) -> Vec<Listed> {
        if let List::Named(ListKey::Receipts(did)) = list {
            let by_did = self.dids.get(did).map_or(&[][..], Vec::as_slice);
            let receipts = by_did.iter().filter(|(_, kind)| *kind == ListedKind::Receipt);
            let receipts: Vec<Listed> = receipts.map(|(index, _)| Listed::receipt(*index, *did)).collect();
            return paged(&receipts, page, |listed| listed.index);
        }
        paged(self.lists.get(list).map_or(&[][..], Vec::as_slice), page, |listed| listed.index)
    }
}

/// A page of what stands in the order of its indexes.
pub(super) fn paged<T: Copy>(all: &[T], page: Page, index: impl Fn(&T) -> LeafIndex) -> Vec<T> {
    let counts = all.iter().filter(|of| page.size.contains(index(of)));
    match page.direction {
        Direction::Ascending => {
            counts.filter(|of| index(of).get() >= page.from).take(page.limit).copied().collect()
        }
        Direction::Descending => {
            counts.rev().filter(|of| index(of).get() <= page.from).take(page.limit).copied().collect()
        }
    }
}

pub(super) const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;
