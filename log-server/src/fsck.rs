//! `fsck`: rebuilds everything from the entries and names the first damaged object.

use std::ops::ControlFlow;
use std::path::PathBuf;

use attestation::dsse::Envelope;
use attestation::entry::{Entry, PendingLeaf};
use rayon::prelude::*;
use service::edited;
use tlog::key::{Ed25519PublicKey, VerifierKey};
use tlog::merkle::leaf_hash;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::reader::Want;
use tlog::tile::{Edge, TILE_WIDTH, Tile};
use tlog::{Hash, LeafIndex, TreeSize, bundle};

use log_core::keys::Keys;
use log_core::port::{Direction, OrderState, Page, StoredEnvelope};
use log_rocksdb::ReadsOf;

use crate::Failure;
use crate::directory::{Directory, EDITED};
use crate::policy::own_policy;
use crate::registry::Registry;
use crate::signed_record::SignedRecord;
use crate::source::open_checkpoint;
use crate::source::published::{MAX_TEXT_BYTES, Place};
use crate::store::schema::Read;
use crate::store::{Column, Order, Store};

/// Check a log: rebuild every tile, index and the root from its entries
///
/// Exit code 0: all is as it must be. 1: the first damaged object is named. 2: could not be checked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory of a log that is not running
    #[arg(
        long,
        env = "AIP_LOG_DIR",
        value_name = "DIR",
        required_unless_present = "url",
        conflicts_with = "url"
    )]
    pub dir: Option<PathBuf>,
    /// The URL of any log with C2SP tiles
    #[arg(long)]
    pub url: Option<String>,
    /// The log's vkey, with --url [default: what the log's own /policy says]
    #[arg(long, requires = "url")]
    pub vkey: Option<VerifierKey>,
}

/// Checks a log and prints what was checked.
pub fn run(args: &Args) -> Result<(), Failure> {
    let size = match (&args.dir, &args.url) {
        (Some(dir), _) => {
            let directory = Directory::lock(dir)?;
            let file = directory.settings()?;
            let identity = directory.identity(&file)?;
            let record_path = file.settings.signed_record_path(dir);
            let record = SignedRecord::open(&record_path).and_then(|record| record.read());
            let record = record.map_err(|e| {
                Failure::new(format!("cannot read the signed-checkpoint record `{}`", record_path.display()))
                    .caused_by(e)
            })?;
            own_policy(&directory.policy()?, identity.key.verifier(), &file.settings)?;
            let store = directory.store_to_check()?;
            let lines = Note::parse(record.as_bytes()).map_err(|e| e.to_string());
            lines
                .and_then(|note| identity.check_record(&note))
                .map_err(|e| damaged("the signed-checkpoint file", Some(e)))?;
            for file in edited::edited(dir, &EDITED).unwrap_or_default() {
                eprintln!(
                    "hint: `{file}` is another than when the log was started last: if nobody edited it, it is damaged"
                );
            }
            check_store(&*store, identity.key.verifier(), &record)?
        }
        (None, Some(url)) => check_url(url, args.vkey.clone())?,
        (None, None) => return Err(Failure::new("name a log: --dir or --url")),
    };
    println!("ok: {size} entries");
    Ok(())
}

/// Checks a store: leaves, tiles, lookups, envelopes, root, signed checkpoints. Answers its size.
pub fn check_store(store: &dyn Store, key: &VerifierKey, record: &str) -> Result<TreeSize, Failure> {
    check(store, key, Some(record), Depth::Signatures)
}

/// As [`check_store`], for a copy that has no record of what was signed beside it.
pub(crate) fn check_copy(store: &dyn Store, key: &VerifierKey) -> Result<TreeSize, Failure> {
    check(store, key, None, Depth::Signatures)
}

/// As [`check_copy`], without the signatures in leaves and envelopes: each was checked when its entry was
/// admitted, and the signed root covers what is hashed here.
pub(crate) fn check_hashes(store: &dyn Store, key: &VerifierKey) -> Result<TreeSize, Failure> {
    check(store, key, None, Depth::Hashes)
}

/// How much is checked of each entry.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Depth {
    Hashes,
    Signatures,
}

fn check(
    store: &dyn Store,
    key: &VerifierKey,
    record: Option<&str>,
    depth: Depth,
) -> Result<TreeSize, Failure> {
    let state =
        store.tree_state().map_err(unreadable)?.ok_or_else(|| damaged("state: there is no tree", None))?;
    let mut rebuild = Rebuild::default();
    let mut rows = Rows::default();
    let mut times = Times::default();
    // The rules that earlier entries decide.
    let reads = ReadsOf(store);
    let registry = Registry::new(&reads, &OrderState::default());
    for first in (0..state.size).step_by(TILE_WIDTH as usize) {
        let last = (first + TILE_WIDTH).min(state.size);
        let mut leaves = Vec::new();
        let read = store.leaves(first, last, &mut |index, leaf| leaves.push((index, leaf.to_vec())));
        // The store checks its blocks: what it cannot read is damage.
        read.map_err(|e| damaged(&format!("leaf {}", first + leaves.len() as u64), Some(e.to_string())))?;
        if depth == Depth::Signatures {
            check_leaves(&leaves, key.name().as_str())?;
        }
        for (index, leaf) in &leaves {
            let entry =
                Entry::parse(leaf).map_err(|e| damaged(&format!("leaf {index}"), Some(e.to_string())))?;
            rows.check(store, LeafIndex::new(*index), &entry, depth)?;
            check_rules(&registry, *index, &entry)?;
            times.check(*index, &entry)?;
        }
        rebuild.append(&leaves, |tile, hashes| match store.full_tile(tile) {
            Ok(Some(stored)) if stored == hashes => Ok(()),
            Ok(Some(_)) => Err(damaged(&tile.path(), Some("its hashes are not those of the entries".into()))),
            Ok(None) => Err(damaged(&tile.path(), Some("it is missing".into()))),
            Err(e) => Err(damaged(&tile.path(), Some(e.to_string()))),
        })?;
    }
    if store.leaf(LeafIndex::new(state.size)).map_err(unreadable)?.is_some() {
        return Err(damaged(&format!("leaf {}", state.size), Some("it is beyond the committed tree".into())));
    }
    rows.check_counts(store)?;
    rows.check_strays(store)?;
    if times.last > state.logged_at {
        let cause = format!("its time {} is before that of the last entry, {}", state.logged_at, times.last);
        return Err(damaged("state: the tree", Some(cause)));
    }
    let root = rebuild.edge.root();
    if root.to_string() != state.root {
        return Err(damaged(
            "state: the root",
            Some(format!("entries lead to {root}, the state says {}", state.root)),
        ));
    }
    // The first start signs the empty tree in the database; until then only `init`'s file does.
    let signed = match store.signed().map_err(unreadable)? {
        None if state.size == 0 => None,
        signed => Some(signed.unwrap_or_default()),
    };
    let published = store.published().map_err(unreadable)?;
    store.seen().map_err(unreadable)?;
    let notes = [
        ("state: the signed checkpoint", signed.as_deref()),
        ("state: the published checkpoint", published.as_deref()),
        ("the signed-checkpoint file", record),
    ];
    for (name, note) in notes.into_iter().filter_map(|(name, note)| Some((name, note?))) {
        let checkpoint = open_checkpoint(note.as_bytes(), key).map_err(|e| damaged(name, Some(e)))?;
        let at = rebuild.root_at(store, checkpoint.size).map_err(|e| damaged(name, Some(e)))?;
        if at != checkpoint.root {
            return Err(damaged(
                name,
                Some(format!("its root is {}, the entries lead to {at}", checkpoint.root)),
            ));
        }
    }
    Ok(rebuild.edge.size())
}

/// Checks each leaf by itself: its form, its origin, its signature.
fn check_leaves(leaves: &[(u64, Vec<u8>)], origin: &str) -> Result<(), Failure> {
    let check = |(index, leaf): &(u64, Vec<u8>)| {
        let bad = |cause: String| damaged(&format!("leaf {index}"), Some(cause));
        let (of, signed) = match Entry::parse(leaf).map_err(|e| bad(e.to_string()))? {
            Entry::NotUnderstood { .. } => return Ok(()),
            Entry::Event(event) => (
                event.event().origin().to_owned(),
                event.pending().verify(Ed25519PublicKey::from_bytes).map_err(|e| e.to_string()),
            ),
            Entry::Dsse(entry) => {
                let key = Ed25519PublicKey::from_bytes(entry.claim().verifier());
                let key = key.map_err(|e| bad(e.to_string()))?;
                let signed = entry.pending().verify_claim_signature(&key);
                (entry.claim().origin().to_owned(), signed.map_err(|e| e.to_string()))
            }
        };
        if of != origin {
            return Err(bad(format!("it is for the log `{of}`")));
        }
        signed.map_err(bad)
    };
    // All cores look; the first damaged leaf is the one that is named.
    leaves.par_iter().map(check).find_first(Result::is_err).unwrap_or(Ok(()))
}

/// Checks a leaf against those before it, and takes it into the registry.
fn check_rules(registry: &Registry<&ReadsOf<'_>>, index: u64, entry: &Entry) -> Result<(), Failure> {
    let leaf = match entry {
        Entry::Dsse(entry) => PendingLeaf::from(entry.pending().clone()),
        Entry::Event(event) => PendingLeaf::from(event.pending().clone()),
        Entry::NotUnderstood { .. } => {
            registry.skip(LeafIndex::new(index));
            return Ok(());
        }
    };
    let taken = registry.take(&leaf, LeafIndex::new(index)).map_err(unreadable)?;
    taken.map_err(|rule| damaged(&format!("leaf {index}"), Some(rule.to_string())))
}

/// The entries of a log, hashed into a tree again.
#[derive(Default)]
struct Rebuild {
    edge: Edge,
}

impl Rebuild {
    /// Appends leaves. `check_tile` sees each tile that became full.
    fn append(
        &mut self,
        leaves: &[(u64, Vec<u8>)],
        mut check_tile: impl FnMut(Tile, &[Hash]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for (_, leaf) in leaves {
            self.edge.append(leaf_hash(leaf), |tile, hashes| {
                if outcome.is_ok() {
                    outcome = check_tile(tile, hashes);
                }
            });
        }
        outcome
    }

    /// The root at an earlier size, from tiles that were checked.
    fn root_at(&self, store: &dyn Store, size: TreeSize) -> Result<Hash, String> {
        if size > self.edge.size() {
            return Err(format!("it is of {size} entries, and there are {}", self.edge.size()));
        }
        let reader = tlog::tile::TileHashReader::new(self.edge.size(), |tile: Tile| {
            if tile.is_full() {
                store
                    .full_tile(tile)
                    .map_err(|e| e.to_string())?
                    .ok_or_else(|| format!("{} is missing", tile.path()))
            } else {
                Ok(self.edge.level(tile.level()).to_vec())
            }
        });
        tlog::merkle::root(&reader, size)
    }
}

/// Log time never goes back.
#[derive(Default)]
struct Times {
    last: u64,
}

impl Times {
    fn check(&mut self, index: u64, entry: &Entry) -> Result<(), Failure> {
        let time = match entry {
            Entry::Dsse(entry) => entry.logged_at(),
            Entry::Event(event) => event.logged_at(),
            Entry::NotUnderstood { .. } => return Ok(()),
        };
        let time = time.as_millis();
        if time < self.last {
            let cause = format!("its `loggedAt` {time} is before that of an earlier entry, {}", self.last);
            return Err(damaged(&format!("leaf {index}"), Some(cause)));
        }
        self.last = time;
        Ok(())
    }
}

/// How many rows the lookups must have.
#[derive(Default)]
struct Rows {
    claims: u64,
    subjects: u64,
    dids: u64,
    lists: u64,
    /// The first 8 bytes of the hash of each envelope that is here and was published by an entry: enough to
    /// tell them apart, and 8 bytes an entry.
    envelopes: Vec<u64>,
}

impl Rows {
    /// Checks that an entry is found under each of its keys, and that its envelope is what it names.
    fn check(
        &mut self,
        store: &dyn Store,
        index: LeafIndex,
        entry: &Entry,
        depth: Depth,
    ) -> Result<(), Failure> {
        let keys = Keys::of(entry, index);
        let size = TreeSize::new(index.get() + 1);
        let at = Page { from: index.get(), direction: Direction::Ascending, limit: 1, size };
        let lost = |what: String| {
            damaged(&format!("lookup of {what}"), Some(format!("it does not lead to leaf {index}")))
        };
        if let Some(claim) = &keys.claim {
            if store.claim(claim).map_err(unreadable)? != Some(index) {
                return Err(lost(format!("claim {claim}")));
            }
            self.claims += 1;
        }
        for subject in &keys.subjects {
            if store.by_subject(subject, at).map_err(unreadable)? != [index] {
                return Err(lost(format!("artifact {subject}")));
            }
            self.subjects += 1;
        }
        if let Some((did, kind)) = &keys.did {
            if !store.is_by_did(did, index, *kind).map_err(unreadable)? {
                return Err(lost(did.to_string()));
            }
            self.dids += 1;
        }
        for (list, listed) in &keys.lists {
            if store.list(list, at).map_err(unreadable)? != [*listed] {
                return Err(lost(format!("{list:?}")));
            }
            self.lists += 1;
        }
        let (Some(hash), Entry::Dsse(entry)) = (&keys.envelope, entry) else { return Ok(()) };
        let bad = |cause: String| damaged(&format!("envelope {hash}"), Some(cause));
        let stored = store.envelope(hash).map_err(|e| bad(e.to_string()))?;
        if stored.is_some() && entry.claim().listing().is_some() {
            self.envelopes.push(beginning(hash.as_bytes()));
        }
        if let Some(StoredEnvelope::Present(bytes)) = stored {
            let envelope = Envelope::parse(&bytes).map_err(|e| bad(e.to_string()))?;
            if envelope.hash() != *hash || envelope.to_json().as_bytes() != bytes {
                return Err(bad("its bytes are not those of its hash".into()));
            }
            if depth == Depth::Signatures && entry.claim().listing().is_some() {
                let key =
                    Ed25519PublicKey::from_bytes(entry.claim().verifier()).map_err(|e| bad(e.to_string()))?;
                entry.pending().check_published(&envelope, &key).map_err(|e| bad(e.to_string()))?;
            }
        }
        Ok(())
    }

    /// Every entry was found under its keys; as many rows as keys means that nothing else is found.
    fn check_counts(&self, store: &dyn Store) -> Result<(), Failure> {
        for (column, want) in [
            (Column::Claim, self.claims),
            (Column::Subject, self.subjects),
            (Column::Did, self.dids),
            (Column::List, self.lists),
        ] {
            let mut got = 0u64;
            let mut count = |_: &[u8], _: &[u8]| {
                got += 1;
                ControlFlow::Continue(())
            };
            store.scan(column, &[], Order::Ascending, &mut count).map_err(unreadable)?;
            if got != want {
                let cause = format!("it has {got} rows, the entries give {want}");
                return Err(damaged(&format!("lookup `{}`", column.name()), Some(cause)));
            }
        }
        Ok(())
    }

    /// Each envelope, or its tombstone, was published by an entry. A private entry's is its signer's.
    fn check_strays(&mut self, store: &dyn Store) -> Result<(), Failure> {
        self.envelopes.sort_unstable();
        let mut stray = None;
        let mut look = |key: &[u8], _: &[u8]| {
            if self.envelopes.binary_search(&beginning(key)).is_ok() {
                return ControlFlow::Continue(());
            }
            stray = Some(
                Hash::from_slice(key)
                    .map_or_else(|| "of a name that is no hash".into(), |hash| hash.to_string()),
            );
            ControlFlow::Break(())
        };
        store.scan(Column::Envelope, &[], Order::Ascending, &mut look).map_err(unreadable)?;
        match stray {
            Some(stray) => Err(damaged(&format!("envelope {stray}"), Some("no entry published it".into()))),
            None => Ok(()),
        }
    }
}

/// The first 8 bytes of a hash.
fn beginning(hash: &[u8]) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Checks a log over HTTP: every bundle, every tile, the root. Answers its size.
fn check_url(url: &str, vkey: Option<VerifierKey>) -> Result<TreeSize, Failure> {
    let log = Place::url(url)?;
    let vkey = match vkey {
        Some(vkey) => vkey,
        None => {
            let policy = log.read("policy", MAX_TEXT_BYTES)?;
            let policy: Result<Policy, _> = String::from_utf8_lossy(&policy).parse();
            let policy = policy.map_err(|e| {
                Failure::new("the log's policy is malformed").caused_by(e).hint("name its key with --vkey")
            })?;
            let named = policy.logs().first().ok_or_else(|| {
                Failure::new("the log's policy names no log").hint("name its key with --vkey")
            })?;
            eprintln!(
                "hint: {} is the log's own word for its key; --vkey says whose key it must be",
                named.vkey.id()
            );
            named.vkey.clone()
        }
    };
    let checkpoint = open_checkpoint(&log.read("checkpoint", MAX_TEXT_BYTES)?, &vkey)
        .map_err(|e| damaged("checkpoint", Some(e)))?;
    let size = checkpoint.size;
    let mut rebuild = Rebuild::default();
    for tile in Tile::touched(TreeSize::EMPTY, size).take_while(|tile| tile.level() == 0) {
        let bytes = log.fetch(Want::entries(tile))?;
        let bad = |cause: String| damaged(&tile.entries_path(), Some(cause));
        let leaves = bundle::parse(&bytes).map_err(|e| bad(e.to_string()))?;
        if leaves.len() != usize::from(tile.width()) {
            return Err(bad(format!("it has {} entries, not {}", leaves.len(), tile.width())));
        }
        let leaves: Vec<_> =
            (tile.index() * TILE_WIDTH..).zip(leaves.into_iter().map(<[u8]>::to_vec)).collect();
        rebuild.append(&leaves, |tile, hashes| check_tile(&log, tile, hashes))?;
    }
    for tile in Tile::touched(TreeSize::EMPTY, size).filter(|tile| !tile.is_full()) {
        check_tile(&log, tile, rebuild.edge.level(tile.level()))?;
    }
    let root = rebuild.edge.root();
    if root != checkpoint.root {
        return Err(damaged(
            "checkpoint",
            Some(format!("its root is {}, the entries lead to {root}", checkpoint.root)),
        ));
    }
    Ok(size)
}

fn check_tile(log: &Place, tile: Tile, hashes: &[Hash]) -> Result<(), Failure> {
    let bytes = log.fetch(Want::hashes(tile))?;
    let want: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    if bytes == want {
        Ok(())
    } else {
        Err(damaged(&tile.path(), Some("its hashes are not those of the entries".into())))
    }
}

fn damaged(object: &str, cause: Option<String>) -> Failure {
    Failure::no(match cause {
        Some(cause) => format!("damaged: {object}: {cause}"),
        None => format!("damaged: {object}"),
    })
}

fn unreadable(error: crate::store::StoreError) -> Failure {
    Failure::no("damaged: the database").caused_by(error)
}
