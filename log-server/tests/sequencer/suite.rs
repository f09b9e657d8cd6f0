//! The sequencer on a store of its crate's choice: what it writes, signs, publishes and answers, step by step.

mod cosigning;
mod evidence;
mod identities;
mod message_keys;
mod rounds;
mod witnesses;

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::did::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::statement::{Statement, Subject};
use log_core::log_keys::LogKeys;
use log_core::port::{FrontEngine, IntegratorEngine};
use log_rocksdb::Engine;
use log_server::admit::Admitted;
use log_server::day::Spent;
use log_server::fsck;
use log_server::pool::{Pool, PoolLimits, Sequenced, Ticket, Tickets, Turn, Until, Wish};
use log_server::sequencer::{Accept, Clocks, FatalError, OpenError, Publication};
use log_server::signed_record::SignedRecord;
use log_server::sigstore_note::SigstoreName;
use log_server::store::schema::{self, TreeState};
use log_server::store::{Batch, Store};
use tlog::checkpoint::Checkpoint;
use tlog::key::{Ed25519PrivateKey, KeyName, KeyType, SignerKey};
use tlog::{Hash, TreeSize};

/// The log on a store of any kind.
type Sequencer = log_server::sequencer::Sequencer<Engine<dyn Store>>;

const ORIGIN: &str = "example.com/log";
pub(crate) const START: u64 = 1_790_000_000_000;

/// A log in memory, with its record on disk.
pub(crate) struct Bench {
    store: Arc<dyn Store>,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = crate::store(folder.path());
        let mut batch = Batch::default();
        schema::put_tree_state(&mut batch, &TreeState::empty());
        store.write(&batch).expect("a write");
        let note =
            Checkpoint::new(ORIGIN, TreeSize::EMPTY, tlog::merkle::empty_root()).sign(&key()).to_string();
        SignedRecord::create(&folder.path().join("signed"), &note).expect("a new record");
        Self { store, folder }
    }

    /// To read from, beside whoever writes.
    fn engine(&self) -> Arc<Engine<dyn Store>> {
        Arc::new(Engine::open(self.store.clone()).expect("a sound tree"))
    }

    pub(crate) fn record(&self) -> SignedRecord {
        SignedRecord::open(&self.folder.path().join("signed")).expect("the record")
    }

    fn open(&self) -> Result<Sequencer, OpenError> {
        open(self.store.clone(), self.record(), clocks(START))
    }

    /// Everything in the store is as it must be, and both records are kept.
    fn check(&self) -> TreeSize {
        let record = self.record().read().expect("the record");
        fsck::check_store(&*self.store, key().verifier(), &record)
            .unwrap_or_else(|failure| panic!("{failure}"))
    }
}

fn open(store: Arc<dyn Store>, record: SignedRecord, clocks: Clocks) -> Result<Sequencer, OpenError> {
    open_accepting(store, record, clocks, Accept::default())
}

fn open_accepting(
    store: Arc<dyn Store>,
    record: SignedRecord,
    clocks: Clocks,
    accept: Accept,
) -> Result<Sequencer, OpenError> {
    let identity = log_keys();
    let alone = Publication::alone(&identity);
    let engine = Arc::new(Engine::open(store)?);
    Sequencer::open(engine, identity, record, clocks, accept, alone)
}

pub(crate) fn log_keys() -> LogKeys {
    let sigstore = SigstoreName { host: "example.com".into(), tree_id: 7 };
    LogKeys { key: key(), ml_dsa: None, sigstore }
}

fn key() -> SignerKey {
    SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[1; 32])
}

fn clocks(wall: u64) -> Clocks {
    Box::new(move || (wall, Duration::ZERO))
}

pub(crate) fn entry(number: u64) -> Admitted {
    let key = Ed25519PrivateKey::from_seed(&[2; 32]);
    artifact(Did::of(&key.public_key()), &key, number)
}

/// A published entry of `did` by `key` about the artifact of this number.
fn artifact(did: Did, key: &Ed25519PrivateKey, number: u64) -> Admitted {
    let subject = Subject::new("a", Hash::of(&number.to_be_bytes()));
    let statement =
        Statement::new(vec![subject], "https://example.com/p", serde_json::Map::new()).expect("a statement");
    let envelope = Envelope::sign(key, statement.to_payload());
    let claim = Claim::new(&envelope, &statement, did, &key.public_key(), ORIGIN, Visibility::Public)
        .expect("a claim");
    let entry = PendingEntry::sign(claim, key).expect("it fits");
    let envelope = (entry.claim().envelope_hash(), envelope.to_json().into_bytes());
    Admitted::new(entry, Some(envelope))
}

fn pool(tickets: Arc<Tickets>) -> Pool {
    let limits = PoolLimits {
        entries: 10_000,
        bytes: 100 << 20,
        round_entries: 10_000,
        round_early: 1,
        round_interval: Duration::ZERO,
    };
    Pool::new(limits, tickets)
}

/// One round over these entries; what each waiter was told, if anything.
fn round(sequencer: &mut Sequencer, numbers: &[u64]) -> (Result<(), FatalError>, Vec<Option<Sequenced>>) {
    round_of(sequencer, numbers.iter().map(|number| entry(*number)))
}

/// The same over any entries.
fn round_of(
    sequencer: &mut Sequencer,
    entries: impl IntoIterator<Item = Admitted>,
) -> (Result<(), FatalError>, Vec<Option<Sequenced>>) {
    round_on(sequencer, entries)
}

/// The same on any engine.
pub(crate) fn round_on<E: FrontEngine + IntegratorEngine>(
    sequencer: &mut log_server::sequencer::Sequencer<E>,
    entries: impl IntoIterator<Item = Admitted>,
) -> (Result<(), FatalError>, Vec<Option<Sequenced>>) {
    let pool = pool(sequencer.tickets());
    let push = |entry| pool.push(entry, None, Spent::nothing(), Until::Committed).expect("room");
    let waiters: Vec<Ticket> = entries.into_iter().map(push).collect();
    let wish = Wish { last_round: Instant::now(), takes_entries: true, until: None };
    let Turn::Round(batch) = pool.next(wish) else { panic!("entries wait") };
    let outcome = sequencer.round(batch);
    (outcome, waiters.into_iter().map(|mut waiter| waiter.try_outcome()).collect())
}

pub(crate) fn index(sequenced: &Option<Sequenced>) -> Option<u64> {
    sequenced.as_ref().and_then(|answer| answer.as_ref().ok()).map(|committed| committed.index.get())
}
