//! What was cosigned, log by log: compare-and-set, durable before it is told to anybody.
//!
//! ```text
//! column    key                              value
//! cosigned  SHA-256(origin)                  <time> <growths>\n<the cosigned note>
//! history   SHA-256(origin), slot u8         a checkpoint from before, with the log's signatures
//! evidence  SHA-256(origin), SHA-256 of what contradicts      as `crate::findings` has it
//! round     `round`                          the number of synced batches, which `crate::record` counts too
//! ```
//! One thread writes. It takes all updates that wait, compares each with the state, and writes those that fit in one synced
//! batch. So many logs share a sync, and check and set are one step (c2sp.org/tlog-witness describes the race that this
//! excludes). A second thread records the batch in the second record and then answers, in the order of the batches, while
//! the next one is written. After a failed write nobody knows the state on disk: both threads end, and every later update
//! fails.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use tlog::checkpoint::Checkpoint;
use tlog::encoding::parse_decimal;
use tlog::note::Note;
use tlog::{Hash, UnixTime};
use tokio::sync::{mpsc, oneshot};

use crate::agreement::{Disagreement, Held, Stored};
use crate::decide::Seen;
use crate::metrics;
use crate::record::{Row, Rows};
use crate::store::{Batch, Column, ROUND_KEY, Store, StoreError};

/// What was cosigned last of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cosigned {
    /// The tree.
    pub seen: Seen,
    /// When.
    pub time: UnixTime,
    /// How often the tree has grown here: chooses the slot of the history.
    growths: u64,
}

/// A new state of a log, in the place of an old one.
#[derive(Clone, Debug)]
pub struct Update {
    /// SHA-256 of the log's origin.
    pub log: Hash,
    /// The state that the decision was made from. If the state is another by now, nothing is changed.
    pub expected: Option<Cosigned>,
    /// The tree that is cosigned.
    pub seen: Seen,
    /// When. Not before `expected`'s.
    pub time: UnixTime,
    /// The checkpoint with the log's verified signatures and the cosignatures that are given out.
    pub note: Note,
    /// The checkpoint with the log's verified signatures.
    pub log_note: Note,
}

/// Two checkpoints that contradict each other, to be kept.
#[derive(Clone, Debug)]
pub struct Contradiction {
    /// SHA-256 of the log's origin.
    pub log: Hash,
    /// Names the contradiction: the same one is kept once.
    pub id: Hash,
    /// The bytes to keep.
    pub kept: Vec<u8>,
}

/// The state of a witness, while it is served.
#[derive(Debug)]
pub struct State {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Request>,
    held: Held,
}

struct Shared {
    store: Arc<dyn Store>,
    known: RwLock<HashMap<Hash, Cosigned>>,
    latest: AtomicU64,
    contradictions: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Shared {
    /// Records a round, and answers its waiters.
    fn confirm(&self, round: Round) -> Result<(), StoreError> {
        let Round { batch, changed, kept, waiting } = round;
        if !batch.puts().is_empty() {
            self.store.confirm(&batch)?;
        }
        // From here on the batch is durable in both records. After a crash before this line the batch may be lost, and nobody
        // was told of it. After a crash behind it the next start finds the new state.
        let latest = changed.values().map(|log: &Cosigned| log.time.as_secs()).max().unwrap_or(0);
        self.latest.fetch_max(latest, Ordering::AcqRel);
        self.contradictions.fetch_add(kept as u64, Ordering::AcqRel);
        self.known.write().unwrap_or_else(PoisonError::into_inner).extend(changed);
        for (request, verdict) in waiting {
            let (Request::Replace(_, answer) | Request::Keep(_, answer)) = request;
            // A client that has gone away does not undo what is written.
            let _ = answer.send(verdict);
        }
        Ok(())
    }
}

enum Request {
    Replace(Box<Update>, oneshot::Sender<bool>),
    Keep(Contradiction, oneshot::Sender<bool>),
}

impl State {
    /// Reads what `store` has, and starts the writer. When a write fails, `failed` is called, and no waiter gets an answer.
    /// The writer ends when the state is dropped.
    pub fn open(
        store: Arc<dyn Store>,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Result<(Self, thread::JoinHandle<()>), StateError> {
        let mut known = HashMap::new();
        for log in read_all(&*store)? {
            known.insert(log.hash, log.cosigned);
        }
        let latest = known.values().map(|log| log.time.as_secs()).max().unwrap_or(0);
        let contradictions = count_contradictions(&*store)? as u64;
        let shared = Arc::new(Shared {
            store,
            known: RwLock::new(known),
            latest: AtomicU64::new(latest),
            contradictions: AtomicU64::new(contradictions),
        });
        let (queue, requests) = mpsc::channel(MAX_WAITING);
        let written = shared.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let writer = Writer { shared: shared.clone(), written, contradictions: HashMap::new() };
        let run = move || writer.run(requests, failed);
        let writer = thread::Builder::new().name("state".into()).spawn(run);
        let writer = writer.map_err(|e| StoreError::new("start its writer", e))?;
        Ok((Self { shared, queue, held: Held::new() }, writer))
    }

    /// The same state, in which nothing is signed or shown of these logs.
    #[must_use]
    pub fn holding(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// Why nothing is signed or shown of a log, if that is so.
    pub fn held(&self, log: &Hash) -> Option<&Disagreement> {
        self.held.get(log)
    }

    /// Of how many logs nothing is signed or shown.
    pub fn logs_held(&self) -> usize {
        self.held.len()
    }

    /// What was cosigned last of a log. Durable.
    pub fn cosigned(&self, log: &Hash) -> Option<Cosigned> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner).get(log).copied()
    }

    /// How many logs were ever cosigned.
    pub fn logs(&self) -> usize {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many contradictions are kept.
    pub fn contradictions(&self) -> u64 {
        self.shared.contradictions.load(Ordering::Acquire)
    }

    /// The latest time of any cosignature.
    pub fn latest(&self) -> Option<UnixTime> {
        let latest = self.shared.latest.load(Ordering::Acquire);
        (latest > 0).then_some(UnixTime::from_secs(latest))
    }

    /// The last cosigned note of a log, with our cosignatures. `None` also where the operator accepted the record's row,
    /// which has no signatures.
    pub fn note(&self, log: &Hash) -> Result<Option<Note>, StateError> {
        let value = self.shared.store.get(Column::Cosigned, log.as_bytes())?;
        let note = value.map(|value| decode(log, &value).map(|(_, note)| note)).transpose()?;
        Ok(note.filter(|note| !note.signatures().is_empty()))
    }

    /// Checkpoints that were cosigned of a log, the last included, with the log's signatures.
    pub fn history(&self, log: &Hash) -> Result<Vec<Note>, StateError> {
        let mut notes = Vec::new();
        self.shared.store.scan(Column::History, log.as_bytes(), &mut |_, note| {
            notes.push(Note::parse(note).map_err(|_| StateError::Damaged(*log)));
            ControlFlow::Continue(())
        })?;
        notes.into_iter().collect()
    }

    /// Replaces the state of a log if it is what the update expects. Answers whether it was; if so, the update is durable.
    pub async fn replace(&self, update: Update) -> Result<bool, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Request::Replace(Box::new(update), answer)).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Keeps a contradiction, durably. Answers whether it is new.
    pub async fn keep(&self, contradiction: Contradiction) -> Result<bool, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Request::Keep(contradiction, answer)).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

/// The only one that writes.
struct Writer {
    shared: Arc<Shared>,
    /// The last write of each log. Other threads see a write only once it is in the second record, too.
    written: HashMap<Hash, Cosigned>,
    /// How many contradictions there are of a log, once asked.
    contradictions: HashMap<Hash, usize>,
}

/// What was written, and who waits for it.
struct Round {
    batch: Batch,
    changed: HashMap<Hash, Cosigned>,
    /// How many contradictions are new.
    kept: usize,
    waiting: Vec<(Request, bool)>,
}

impl Writer {
    /// Writes until nobody can ask any more, or until a write of either thread fails: then `failed` is called at once.
    fn run(mut self, mut requests: mpsc::Receiver<Request>, failed: impl FnOnce(StoreError) + Send) {
        let shared = self.shared.clone();
        let failed = Mutex::new(Some(failed));
        let fail = |error| {
            // No waiter is answered: their senders and the queue are dropped.
            if let Some(failed) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                failed(error);
            }
        };
        // The channel has no room: one round is recorded while one is written, and there is no third.
        let (rounds, to_confirm) = std::sync::mpsc::sync_channel::<Round>(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut rounds = to_confirm.into_iter();
                rounds.try_for_each(|round| shared.confirm(round)).unwrap_or_else(&fail);
            });
            self.write_all(&mut requests, rounds).unwrap_or_else(&fail);
        });
    }

    fn write_all(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        rounds: std::sync::mpsc::SyncSender<Round>,
    ) -> Result<(), StoreError> {
        while let Some(first) = requests.blocking_recv() {
            let mut waiting = vec![first];
            while waiting.len() < MAX_BATCH
                && let Ok(next) = requests.try_recv()
            {
                waiting.push(next);
            }
            if rounds.send(self.write(waiting)?).is_err() {
                // The other thread has failed, and has said why.
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, waiting: Vec<Request>) -> Result<Round, StoreError> {
        let mut batch = Batch::default();
        let mut changed = HashMap::new();
        let mut kept = Vec::new();
        let mut judged = Vec::with_capacity(waiting.len());
        for request in waiting {
            let verdict = match &request {
                Request::Replace(update, _) => self.replace(update, &mut changed, &mut batch),
                Request::Keep(contradiction, _) => self.keep(contradiction, &mut kept, &mut batch)?,
            };
            judged.push((request, verdict));
        }
        if !batch.puts().is_empty() {
            self.shared.store.write(&batch)?;
            metrics::written(changed.len());
        }
        self.written.extend(changed.iter().map(|(log, cosigned)| (*log, *cosigned)));
        Ok(Round { batch, changed, kept: kept.len(), waiting: judged })
    }

    fn replace(&self, update: &Update, changed: &mut HashMap<Hash, Cosigned>, batch: &mut Batch) -> bool {
        let there = changed.get(&update.log).or_else(|| self.written.get(&update.log)).copied();
        if there != update.expected {
            return false;
        }
        let grown = there.is_none_or(|there| there.seen != update.seen);
        let growths = there.map_or(0, |there| there.growths + u64::from(grown));
        let new = Cosigned { seen: update.seen, time: update.time, growths };
        assert!(
            there.is_none_or(|there| there.seen.size <= new.seen.size && there.time <= new.time),
            "a witness never moves backwards"
        );
        batch.put(Column::Cosigned, *update.log.as_bytes(), encode(&new, &update.note));
        if grown {
            let slot = (growths % HISTORY as u64) as u8;
            let key = [update.log.as_bytes().as_slice(), &[slot]].concat();
            batch.put(Column::History, key, update.log_note.to_string());
        }
        changed.insert(update.log, new);
        true
    }

    fn keep(
        &mut self,
        new: &Contradiction,
        kept: &mut Vec<Vec<u8>>,
        batch: &mut Batch,
    ) -> Result<bool, StoreError> {
        let key = [new.log.as_bytes().as_slice(), new.id.as_bytes()].concat();
        let store = &self.shared.store;
        if kept.contains(&key) || store.get(Column::Contradiction, &key)?.is_some() {
            return Ok(false);
        }
        let there = match self.contradictions.get(&new.log) {
            Some(there) => *there,
            None => count(&**store, new.log.as_bytes())?,
        };
        if there >= MAX_CONTRADICTIONS {
            return Ok(false);
        }
        self.contradictions.insert(new.log, there + 1);
        batch.put(Column::Contradiction, key.clone(), new.kept.clone());
        kept.push(key);
        Ok(true)
    }
}

/// Everything that is kept of one log.
#[derive(Clone, Debug)]
pub struct Kept {
    /// SHA-256 of the origin.
    pub hash: Hash,
    /// What was cosigned last.
    pub cosigned: Cosigned,
    /// The origin.
    pub origin: String,
}

impl Kept {
    fn row(&self) -> Row {
        Row { origin: self.origin.clone(), seen: self.cosigned.seen, time: self.cosigned.time }
    }
}

/// Reads every log's state, in the order of the hashes of the origins.
pub fn read_all(store: &dyn Store) -> Result<Vec<Kept>, StateError> {
    let mut logs = Vec::new();
    store.scan(Column::Cosigned, &[], &mut |key, value| {
        logs.push(keep(key, value));
        ControlFlow::Continue(())
    })?;
    logs.into_iter().collect()
}

/// What a value of [`Column::Cosigned`] says was cosigned.
pub fn row_of_value(key: &[u8], value: &[u8]) -> Result<Row, StateError> {
    keep(key, value).map(|kept| kept.row())
}

/// One log's state.
fn keep(key: &[u8], value: &[u8]) -> Result<Kept, StateError> {
    let hash = Hash::from_slice(key).ok_or(StateError::Damaged(Hash::of(key)))?;
    let (cosigned, note) = decode(&hash, value)?;
    let origin = note.text().split('\n').next().unwrap_or_default().to_owned();
    Ok(Kept { hash, cosigned, origin })
}

/// What a store says of itself, to be held against the record.
pub fn read_stored(store: &dyn Store) -> Result<Stored, StateError> {
    let rows = read_all(store)?.iter().map(Kept::row).map(|row| (row.origin.clone(), row)).collect();
    Ok(Stored { round: read_round(store)?, rows })
}

/// The number of the last batch; `None` in a store of a release that did not count them.
pub fn read_round(store: &dyn Store) -> Result<Option<u64>, StateError> {
    let Some(value) = store.get(Column::Round, ROUND_KEY)? else { return Ok(None) };
    let round = std::str::from_utf8(&value).ok().and_then(parse_decimal);
    round.map(Some).ok_or(StateError::Damaged(Hash::of(ROUND_KEY)))
}

/// What a batch says was cosigned, the last of each log.
pub fn rows_of(batch: &Batch) -> Result<Vec<Row>, StateError> {
    let mut rows = Rows::new();
    for (_, key, value) in batch.puts().iter().filter(|(column, ..)| *column == Column::Cosigned) {
        let row = row_of_value(key, value)?;
        rows.insert(row.origin.clone(), row);
    }
    Ok(rows.into_values().collect())
}

/// A batch that sets the store to a row. If it is the store's own row, it keeps its signatures; the record's has none.
pub fn accept(store: &dyn Store, row: &Row) -> Result<Batch, StateError> {
    let hash = Hash::of(row.origin.as_bytes());
    let mut batch = Batch::default();
    let there = store.get(Column::Cosigned, hash.as_bytes())?;
    let kept = there.as_ref().and_then(|value| keep(hash.as_bytes(), value).ok());
    match (there, &kept) {
        (Some(value), Some(kept)) if kept.row() == *row => {
            batch.put(Column::Cosigned, *hash.as_bytes(), value);
        }
        _ => {
            let growths = kept.map_or(0, |kept| kept.cosigned.growths + 1);
            let checkpoint = Checkpoint::new(&row.origin, row.seen.size, row.seen.root);
            // As a note without signatures is printed.
            let value = format!("{} {growths}\n{checkpoint}\n", row.time);
            decode(&hash, value.as_bytes())?;
            batch.put(Column::Cosigned, *hash.as_bytes(), value);
        }
    }
    Ok(batch)
}

/// All contradictions of a log, or of all logs.
pub fn read_contradictions(store: &dyn Store, log: Option<&Hash>) -> Result<Vec<Vec<u8>>, StateError> {
    let mut found = Vec::new();
    let prefix = log.map_or(&[][..], |log| log.as_bytes());
    store.scan(Column::Contradiction, prefix, &mut |_, value| {
        found.push(value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// How many contradictions there are of all logs.
pub(crate) fn count_contradictions(store: &dyn Store) -> Result<usize, StoreError> {
    count(store, &[])
}

fn count(store: &dyn Store, prefix: &[u8]) -> Result<usize, StoreError> {
    let mut count = 0;
    store.scan(Column::Contradiction, prefix, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

fn encode(cosigned: &Cosigned, note: &Note) -> String {
    format!("{} {}\n{note}", cosigned.time, cosigned.growths)
}

/// Reads a value. It needs no key, so it stays readable after the keys of witness and log have changed (WIT-16).
fn decode(log: &Hash, value: &[u8]) -> Result<(Cosigned, Note), StateError> {
    let parts = || {
        let (head, note) = std::str::from_utf8(value).ok()?.split_once('\n')?;
        let (time, growths) = head.split_once(' ')?;
        // A row that was accepted from the record has no signature.
        let unsigned = || {
            let text = note.strip_suffix('\n')?;
            Checkpoint::parse(text).ok().map(|_| Note::unsigned(text.to_owned()))
        };
        let note = Note::parse(note.as_bytes()).ok().or_else(unsigned)?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        let seen = Seen { size: checkpoint.size, root: checkpoint.root };
        let time = UnixTime::from_secs(parse_decimal(time)?);
        let cosigned = Cosigned { seen, time, growths: parse_decimal(growths)? };
        (Hash::of(checkpoint.origin.as_bytes()) == *log).then_some((cosigned, note))
    };
    parts().ok_or(StateError::Damaged(*log))
}

/// The writer has ended: the state takes no more updates.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the witness is stopping")]
pub struct Stopped;

/// Why the state cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StateError {
    /// What is kept of a log cannot be understood.
    #[error("what is kept of the log with the origin hash {0} is damaged")]
    Damaged(Hash),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many checkpoints of each log are remembered, to recognise a fork that begins below the last one.
pub const HISTORY: usize = 16;

/// The most contradictions that are kept of one log. One convicts it, and it could sign any number.
pub const MAX_CONTRADICTIONS: usize = 100;

/// The most updates that share a write.
const MAX_BATCH: usize = 1_024;

/// The most updates that wait; further requests wait to wait.
const MAX_WAITING: usize = 4_096;

#[cfg(test)]
mod tests;
