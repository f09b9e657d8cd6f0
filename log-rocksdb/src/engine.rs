//! The ports of a log over a [`Store`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::did::Did;
use attestation::entry::{LogTime, PendingLeaf};
use attestation::event::Body;
use attestation::lists::Listed;
use log_core::StoreError;
use log_core::integrate::Tree;
use log_core::integrator::{DAY_MILLIS, OpenError};
use log_core::keys::{Keys, List};
use log_core::port::{
    Call, Facts, Failed, Index, Order, OrderState, Page, PublishedNote, Sequencing, Since, Versions, Wants,
};
use log_core::stored::load_tree;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::leaf_hash;
use tlog::note::Note;
use tlog::{Hash, LeafIndex, TreeSize};

use crate::store::schema::{self, Read as _, TreeState};
use crate::store::{Batch, Store};

mod head;
mod objects;
mod reads;

pub use reads::ReadsOf;

/// A log's engine on one store, which nobody else writes.
///
/// After a failed write nobody knows what is on the disk: the memory of the database may already show what a power cut
/// takes back. So every call fails from then on, and only a new start reads.
pub struct Engine<S: ?Sized> {
    store: Arc<S>,
    state: Mutex<State>,
}

struct State {
    tree: Arc<Tree>,
    written: TreeState,
    versions: Versions,
    signed: Option<(TreeSize, String)>,
    published: Option<(TreeSize, PublishedNote)>,
    seen: Option<u64>,
    epoch: u64,
    is_led: bool,
    /// Claims and envelopes that facts have not found since the last change: what is asked for is looked up once.
    absent: HashSet<Hash>,
    failed: Option<StoreError>,
}

impl<S: Store + ?Sized> Engine<S> {
    /// The engine on a store that `init` has made. Reads the right side of the tree in two shapes, and refuses one that does
    /// not lead to its root.
    pub fn open(store: Arc<S>) -> Result<Self, OpenError> {
        let written = store.tree_state()?.ok_or(OpenError::NoTree)?;
        let size = written.tree_size();
        let tree = load_tree(&ReadsOf(store.as_dyn()), size, &written.root)?;
        let published = store.published()?;
        let published = published.map(|note| (size_of(&note), PublishedNote { note, sigstore: None }));
        let state = State {
            tree: Arc::new(tree),
            // Which events came last is not written: behind the whole tree stands none.
            versions: Versions { identity: size, events: size },
            signed: store.signed()?.map(|note| (size_of(&note), note)),
            published,
            seen: store.seen()?,
            // Nothing is written for a lease. So that no epoch comes again, each opening counts from its moment.
            epoch: service::clock::wall().as_nanos() as u64,
            is_led: false,
            absent: HashSet::new(),
            failed: None,
            written,
        };
        Ok(Self { store, state: Mutex::new(state) })
    }

    /// The store below.
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    fn reads(&self) -> ReadsOf<'_> {
        ReadsOf(self.store.as_dyn())
    }

    /// Whether the engine is as it was after its last call.
    fn sound(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }

    /// Writes, or is broken for good.
    fn write(&self, state: &mut State, batch: &Batch) -> Result<(), Failed> {
        self.store.write(batch).map_err(|error| {
            state.failed = Some(error.clone());
            Failed::Unknown(error)
        })
    }
}

impl State {
    fn order(&self) -> OrderState {
        self.written.order(self.versions)
    }
}

/// The size in a checkpoint that this log has signed; 0 of one that cannot be read, which a start refuses.
fn size_of(note: &str) -> TreeSize {
    let note = Note::parse(note.as_bytes()).ok();
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
    checkpoint.map_or(TreeSize::EMPTY, |checkpoint| checkpoint.size)
}

impl<S: Store + ?Sized> Order for Engine<S> {
    async fn sequence(&self, call: &Call<'_>) -> Result<Sequencing, Failed> {
        let mut state = self.sound().map_err(Failed::Unknown)?;
        let claims = call.entries.iter().map(|proposed| proposed.entry.claim.get());
        let asked: Vec<(usize, Hash)> =
            claims.enumerate().filter(|(_, claim)| !state.absent.contains(claim)).collect();
        if !asked.is_empty() {
            let claims: Vec<Hash> = asked.iter().map(|(_, claim)| *claim).collect();
            let known = self.reads().indexes(&claims).map_err(Failed::Lost)?;
            let known = asked.iter().zip(known).filter_map(|((at, _), index)| Some((*at, index?)));
            let known: Vec<(usize, LeafIndex)> = known.collect();
            if !known.is_empty() {
                return Ok(Sequencing::Known(known));
            }
        }
        if !call.is_current(&state.versions) {
            return Ok(Sequencing::Stale(state.order()));
        }
        let millis = call.time.as_millis().max(state.written.logged_at);
        let Some(logged_at) = LogTime::from_millis(millis) else {
            return Ok(Sequencing::Closed("the last entry's time is later than a leaf can carry".into()));
        };
        let first = LeafIndex::new(state.written.size);
        let mut versions = state.versions;
        let mut batch = Batch::default();
        let mut hashes = Vec::with_capacity(call.entries.len());
        let mut bytes = 0;
        for (proposed, index) in call.entries.iter().zip(first.get()..) {
            let index = LeafIndex::new(index);
            let entry = proposed.entry;
            let rendered;
            let leaf = if logged_at == call.time {
                proposed.leaf
            } else {
                rendered = entry.entry.to_leaf(logged_at);
                &rendered
            };
            hashes.push(leaf_hash(leaf));
            schema::put_leaf(&mut batch, index, leaf);
            schema::put_keys(&mut batch, &Keys::of_pending(&entry.entry, entry.claim, index), index);
            if let Some((hash, envelope)) = &entry.envelope {
                let is_new = || match state.absent.contains(hash) {
                    true => Ok(true),
                    false => self.store.envelope(hash).map(|there| there.is_none()).map_err(Failed::Lost),
                };
                let keeps = proposed.keeps_envelope && is_new()?;
                if keeps {
                    schema::put_envelope(&mut batch, hash, envelope);
                }
                bytes += envelope.len() as u64;
            }
            if let PendingLeaf::Event(event) = &entry.entry {
                let is_identity = matches!(event.event().body(), Body::Identity(_));
                versions = versions.behind(index, true, is_identity);
            }
            bytes += leaf.len() as u64;
        }
        let integrated = state.tree.integrate(&hashes);
        for (tile, hashes) in &integrated.tiles {
            schema::put_tile(&mut batch, *tile, hashes);
        }
        let day = millis / DAY_MILLIS;
        let spent = if day == state.written.day { state.written.day_bytes } else { 0 };
        let written = TreeState {
            size: integrated.tree.edge().size().get(),
            root: integrated.root.to_string(),
            logged_at: millis,
            day,
            day_bytes: spent + bytes,
        };
        schema::put_tree_state(&mut batch, &written);
        // The point of no return (docs/dev/architecture.md, "The life of an entry"). A crash before this line loses nothing
        // that was promised; after it, the next start finishes the round.
        self.write(&mut state, &batch)?;
        state.absent.clear();
        (state.written, state.versions, state.tree) = (written, versions, Arc::new(integrated.tree));
        Ok(Sequencing::Sequenced { first, logged_at })
    }
}

/// Everything but the moment is read below.
impl<S: Store + ?Sized> Index for Engine<S> {
    fn facts(&self, wants: &Wants) -> Result<Facts, StoreError> {
        // Held, so that nothing is ordered meanwhile: all facts are of one moment.
        let mut state = self.sound()?;
        let facts = self.reads().facts_at(wants, state.order())?;
        let claims = wants.claims.iter().zip(facts.claims.iter().map(Option::is_none));
        let envelopes = wants.envelopes.iter().zip(facts.envelopes.iter().map(Option::is_none));
        if state.absent.len() > MAX_ABSENT {
            state.absent.clear();
        }
        state.absent.extend(claims.chain(envelopes).filter(|(_, absent)| *absent).map(|(hash, _)| *hash));
        Ok(facts)
    }

    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
        self.store.claim(claim)
    }

    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.store.by_subject(subject, page)
    }

    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.store.by_did(did, page)
    }

    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.store.list(list, page)
    }

    fn identity_events_since(&self, since: TreeSize) -> Result<Since, StoreError> {
        let at = self.sound()?.order();
        Ok((at, self.reads().identity_events(since, at.next)?))
    }
}

/// What facts that lead to no call may leave behind.
const MAX_ABSENT: usize = 1 << 16;
