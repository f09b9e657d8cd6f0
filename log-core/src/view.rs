//! What the public sees: the published tree, and proofs from it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use attestation::did::Did;
use attestation::entry::ClaimHash;
use attestation::event::PendingEvent;
use attestation::identity::Identity;
use attestation::lists::Listed;
use attestation::message::Recipient;
use tlog::checkpoint::Checkpoint;
use tlog::merkle::{self, HashReader, Node, consistency, inclusion};
use tlog::note::Note;
use tlog::proof::TlogProof;
use tlog::tile::{Edge, InTile, Tile, TileTree};
use tlog::{Hash, LeafIndex, TreeSize};

use crate::keys::List;
use crate::port::{Direction, Page, Reads, StoredEnvelope};
use crate::ticket::Committed;
use crate::{StoreError, registry};

/// A published checkpoint with everything that is needed to prove against it. Immutable.
#[derive(Clone, Debug)]
pub struct Published {
    /// What was published.
    pub checkpoint: Checkpoint,
    /// The checkpoint with its signatures.
    pub note: Note,
    /// The second note over the same tree, for stock cosign.
    pub sigstore_note: String,
    edge: Edge,
    /// The edge's tiles hashed through, by level, made when first asked for.
    edge_trees: Vec<OnceLock<Arc<TileTree>>>,
}

impl Published {
    /// A published tree. `edge` is the edge of the same tree.
    pub fn new(checkpoint: Checkpoint, note: Note, sigstore_note: String, edge: Edge) -> Self {
        assert_eq!(checkpoint.size, edge.size(), "the edge of the published tree");
        let edge_trees = (0..8).map(|_| OnceLock::new()).collect();
        Self { checkpoint, note, sigstore_note, edge, edge_trees }
    }

    /// What a log shows before it has published anything: an empty tree that nobody signed.
    pub fn nothing(origin: &str) -> Self {
        let checkpoint = Checkpoint::new(origin, TreeSize::EMPTY, merkle::empty_root());
        let note = Note::unsigned(checkpoint.to_string());
        Self::new(checkpoint, note, String::new(), Edge::new())
    }

    /// The same tree under a note with other cosignatures.
    #[must_use]
    pub fn with_note(&self, note: Note) -> Self {
        Self { note, ..self.clone() }
    }

    /// Whether the log has published anything.
    pub fn is_signed(&self) -> bool {
        !self.note.signatures().is_empty()
    }

    /// The number of published entries.
    pub fn size(&self) -> TreeSize {
        self.checkpoint.size
    }

    fn edge_tree(&self, level: u8) -> Arc<TileTree> {
        let tree = || Arc::new(TileTree::new(self.edge.level(level).to_vec()));
        self.edge_trees[usize::from(level)].get_or_init(tree).clone()
    }
}

/// The only door to what is published: tiles, entries, lookups and lists, each as of the published size. Cheap to clone.
#[derive(Clone)]
pub struct View {
    engine: Arc<dyn Reads>,
    cache: Arc<TileCache>,
    published: Arc<Published>,
}

impl View {
    /// A view of what is `published` in `engine`.
    pub fn new(engine: Arc<dyn Reads>, cache: Arc<TileCache>, published: Arc<Published>) -> Self {
        Self { engine, cache, published }
    }

    /// The same engine and cache, and another published tree.
    #[must_use]
    pub fn showing(&self, published: Arc<Published>) -> Self {
        Self { published, ..self.clone() }
    }

    /// What it shows.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// The number of published entries.
    pub fn size(&self) -> TreeSize {
        self.published.size()
    }

    /// The hashes of a tile; `None` if the published tree does not imply it.
    pub fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        if !tile.is_in(self.published.size()) {
            return Ok(None);
        }
        let tree = self.tile_tree(tile)?;
        Ok(Some(tree.hashes()[..usize::from(tile.width())].to_vec()))
    }

    /// The hashes of a tile at the right edge of the published tree, which is in memory; `None` if it is not there.
    pub fn edge_tile(&self, tile: Tile) -> Option<Vec<Hash>> {
        let size = self.published.size();
        let hashes = self.published.edge.level(tile.level());
        (tile.is_in(size) && !tile.full().is_in(size)).then(|| hashes[..usize::from(tile.width())].to_vec())
    }

    /// The entry bundle under a level-0 tile; `None` if the published tree does not imply it.
    pub fn bundle(&self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        if !tile.is_in(self.published.size()) {
            return Ok(None);
        }
        let first = tile.index() * tlog::tile::TILE_WIDTH;
        let mut bundle = Vec::new();
        let mut push = |_, leaf: &[u8]| tlog::bundle::push(&mut bundle, leaf);
        self.engine.leaves(first, first + u64::from(tile.width()), &mut push)?;
        Ok(Some(bundle))
    }

    /// A published leaf.
    pub fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.published.size().contains(index) {
            return Ok(None);
        }
        self.engine.leaf(index)
    }

    /// Where a claim is published.
    pub fn claim(&self, claim: ClaimHash) -> Result<Option<LeafIndex>, StoreError> {
        Ok(self.engine.claim(&claim.get())?.filter(|index| self.published.size().contains(*index)))
    }

    /// Up to `limit` indexes of published entries about an artifact, from `from` on.
    pub fn by_subject(
        &self,
        subject: &Hash,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<LeafIndex>, StoreError> {
        self.engine.by_subject(subject, self.page(from, direction, limit))
    }

    /// Up to `limit` indexes of published entries by a DID, from `from` on.
    pub fn by_did(
        &self,
        did: &Did,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<LeafIndex>, StoreError> {
        self.engine.by_did(did, self.page(from, direction, limit))
    }

    /// Up to `limit` published entries of a list, from `from` on.
    pub fn list(
        &self,
        list: &List,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.engine.list(list, self.page(from, direction, limit))
    }

    /// An envelope, or its tombstone. Only the published leaf that names it tells whether it is public.
    pub fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        self.engine.envelope(hash)
    }

    /// The published state of a DID; `None` if it is not registered.
    pub fn identity(&self, did: Did) -> Result<Option<Identity>, StoreError> {
        registry::identity_at(&*self.engine, did, self.size())
    }

    /// The published identity events of a DID, in log order.
    pub fn identity_events(&self, did: Did) -> Result<Vec<(LeafIndex, PendingEvent)>, StoreError> {
        registry::identity_events(&*self.engine, did, self.size())
    }

    /// How messages reach a DID by what is published; `None` if it is not registered and has logged no artifact.
    pub fn recipient(&self, did: Did) -> Result<Option<Recipient>, StoreError> {
        registry::recipient_at(&*self.engine, did, self.size())
    }

    fn page(&self, from: u64, direction: Direction, limit: usize) -> Page {
        Page { from, direction, limit, size: self.size() }
    }

    /// The root of the first `size` entries, at most the published ones.
    pub fn root(&self, size: TreeSize) -> Result<Hash, StoreError> {
        merkle::root(self, size)
    }

    /// The inclusion proof of a published entry in the tree of `size`.
    pub fn inclusion(&self, index: LeafIndex, size: TreeSize) -> Result<Vec<Hash>, StoreError> {
        inclusion::prove(self, index, size)
    }

    /// As [`inclusion`](Self::inclusion), if every tile that it takes is in memory.
    pub fn inclusion_in_memory(&self, index: LeafIndex, size: TreeSize) -> Option<Vec<Hash>> {
        inclusion::prove(&InMemory(self), index, size).ok()
    }

    /// The consistency proof between two published sizes.
    pub fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, StoreError> {
        consistency::prove(self, old, new)
    }

    /// The proof that travels: inclusion with the published checkpoint.
    pub fn tlog_proof(&self, index: LeafIndex) -> Result<TlogProof, StoreError> {
        let hashes = self.inclusion(index, self.published.size())?;
        Ok(TlogProof { extra: None, index, hashes, checkpoint: self.published.note.clone() })
    }

    /// The widest tile of the published tree at this place.
    fn tile_tree(&self, tile: Tile) -> Result<Arc<TileTree>, StoreError> {
        if tile.full().is_in(self.published.size()) {
            self.cache.get(&*self.engine, tile.full())
        } else {
            Ok(self.published.edge_tree(tile.level()))
        }
    }
}

/// Nodes of any tree up to the published one: complete subtrees are the same in all of them.
impl HashReader for View {
    type Error = StoreError;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, StoreError> {
        let narrow = |tile: Tile| StoreError::new("read", format!("{} is too narrow", tile.path()));
        read_hashes(nodes, self.published.size(), |tile| self.tile_tree(tile), narrow)
    }
}

/// The same, of tiles in memory.
struct InMemory<'v>(&'v View);

struct NotInMemory;

impl HashReader for InMemory<'_> {
    type Error = NotInMemory;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, NotInMemory> {
        let View { cache, published, .. } = self.0;
        let tree = |tile: Tile| match tile.full().is_in(published.size()) {
            true => cache.kept(tile.full()).ok_or(NotInMemory),
            false => Ok(published.edge_tree(tile.level())),
        };
        read_hashes(nodes, published.size(), tree, |_| NotInMemory)
    }
}

/// Takes nodes out of the tiles that hold them. `narrow` is the error for a tile without a node that it must hold.
fn read_hashes<E>(
    nodes: &[Node],
    size: TreeSize,
    tree: impl Fn(Tile) -> Result<Arc<TileTree>, E>,
    narrow: impl Fn(Tile) -> E,
) -> Result<Vec<Hash>, E> {
    let mut last: Option<(Tile, Arc<TileTree>)> = None;
    let mut hashes = Vec::with_capacity(nodes.len());
    for node in nodes {
        let InTile { tile, height, index } = InTile::of(*node, size);
        let held = match last.take().filter(|(read, _)| *read == tile) {
            Some((_, held)) => held,
            None => tree(tile)?,
        };
        hashes.push(held.get(height, index).ok_or_else(|| narrow(tile))?);
        last = Some((tile, held));
    }
    Ok(hashes)
}

/// Everything that those who answer clients may read of an engine: what is published, and where a claim stands that is not
/// published yet.
#[derive(Clone)]
pub struct Door {
    engine: Arc<dyn Reads>,
    cache: Arc<TileCache>,
}

impl Door {
    /// To this engine; full tiles are kept in `cache`.
    pub fn new(engine: Arc<dyn Reads>, cache: Arc<TileCache>) -> Self {
        Self { engine, cache }
    }

    /// What is published.
    pub fn view(&self, published: Arc<Published>) -> View {
        View::new(self.engine.clone(), self.cache.clone(), published)
    }

    /// Where a claim stands, published or not.
    pub fn claim(&self, claim: ClaimHash) -> Result<Option<Committed>, StoreError> {
        let Some(index) = self.engine.claim(&claim.get())? else { return Ok(None) };
        let leaf = self.engine.leaf(index)?;
        let leaf = leaf.ok_or_else(|| StoreError::new("read", format!("leaf {index} is missing")))?;
        Ok(Some(Committed { index, leaf: leaf.into(), was_known: true }))
    }
}

type Slot = Option<(Tile, Arc<TileTree>)>;

/// Full tiles, hashed through, as many as fit. They never change, so nothing is ever stale.
#[derive(Debug)]
pub struct TileCache {
    slots: Vec<Mutex<Slot>>,
}

impl TileCache {
    /// An empty cache: 512 tiles of about 16 KiB.
    pub fn new() -> Self {
        Self { slots: (0..512).map(|_| Mutex::default()).collect() }
    }

    /// Keeps a tile that has just become full: the proofs of its entries are asked for next.
    pub fn keep(&self, tile: Tile, hashes: Vec<Hash>) -> Arc<TileTree> {
        let tree = Arc::new(TileTree::new(hashes));
        *self.slot(tile) = Some((tile, tree.clone()));
        tree
    }

    fn get(&self, engine: &dyn Reads, tile: Tile) -> Result<Arc<TileTree>, StoreError> {
        if let Some(tree) = self.kept(tile) {
            return Ok(tree);
        }
        let hashes = engine.tile(tile)?;
        let hashes = hashes.ok_or_else(|| StoreError::new("read", format!("{} is missing", tile.path())))?;
        Ok(self.keep(tile, hashes))
    }

    fn kept(&self, tile: Tile) -> Option<Arc<TileTree>> {
        self.slot(tile).as_ref().filter(|(cached, _)| *cached == tile).map(|(_, tree)| tree.clone())
    }

    /// Locked for a moment only: who finds a tile here never waits for the store.
    fn slot(&self, tile: Tile) -> MutexGuard<'_, Slot> {
        // Neighbouring tiles get neighbouring slots; levels are spread.
        let at = tile.index().wrapping_add(u64::from(tile.level()) * 157) % self.slots.len() as u64;
        self.slots[at as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TileCache {
    fn default() -> Self {
        Self::new()
    }
}
