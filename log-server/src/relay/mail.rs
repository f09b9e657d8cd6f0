//! The mail that is open. One thread writes: it takes all changes that wait, decides them in their order, writes them in
//! one synced batch, and then answers. The log's writer knows nothing of it.
//!
//! | a crash | what is there at the next start |
//! |---|---|
//! | before the write | nothing of the group; nobody was answered |
//! | after the write, before the answer | all of the group; who sends again is answered `stored: false`, who acknowledges again 0 |
//! | after the answer | all of the group |
//!
//! The index in memory runs ahead of the disk by one group. So a failed write ends the index with the database: both are
//! read again from the disk.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::did::Did;
use attestation::message::{EnvelopeId, MessageKeyId, Settings};
use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use super::Mailed;
use super::decide::{Write, brief};
use super::disk::Disk;
use super::index::{Index, Limits, Mailboxes};
use super::queue::Change;
use super::rows::{self, Head, Kind, Message, Place};
use super::settings::{self, Dated};
use crate::store::{StoreError, of_disk};

/// The database, and what it holds.
pub(super) struct Mailroom {
    disk: Disk,
    index: Mutex<Index>,
    compaction: Mutex<Compaction>,
}

/// How the daily compaction stands; times are Unix milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Compaction {
    /// The last one began then, as the disk says too.
    Recorded(u64),
    Running,
    /// The last one began then, which the disk does not say yet.
    Done(u64),
}

impl Mailroom {
    /// Reads every message once: damage shows now and not when somebody asks for it.
    pub(super) fn open(disk: Disk, limits: Limits) -> Result<Self, StoreError> {
        let (mut mailboxes, mut next) = (Mailboxes::new(), 1);
        disk.scan(rows::MESSAGES, &[rows::MESSAGES + 1], |key, row| {
            let (owner, number) = rows::parse_message(key).ok_or_else(|| rows::damaged("a message"))?;
            let (head, kind, bytes) = Head::from_row(row)?;
            mailboxes.entry(owner).or_default().insert(number, brief(&head, kind, bytes));
            next = next.max(number.saturating_add(1));
            Ok(true)
        })?;
        let mut tombstones = 0;
        disk.scan(rows::PLACES, &[rows::PLACES + 1], |_, row| {
            tombstones += u64::from(Place::from_row(row)?.gone);
            Ok(true)
        })?;
        let mut settings_bytes = 0;
        disk.scan(rows::SETTINGS, &[rows::SETTINGS + 1], |_, row| {
            Dated::from_row(row)?;
            settings_bytes += row.len() as u64;
            Ok(true)
        })?;
        let number = |key| Ok::<_, StoreError>(disk.get(key)?.and_then(|row| rows::Rest(&row).number()));
        let next = number(rows::NEXT_NUMBER)?.unwrap_or(1).max(next);
        let compacted = number(rows::COMPACTED)?.unwrap_or(0);
        let index = Index::new(limits, mailboxes, settings_bytes, tombstones, next);
        Ok(Self { disk, index: Mutex::new(index), compaction: Mutex::new(Compaction::Recorded(compacted)) })
    }

    /// Decides a group of changes, writes them, and answers. Answers the mailboxes to which something was added.
    pub(super) fn commit(&self, group: Vec<Change>, now: u64) -> Result<BTreeSet<Did>, StoreError> {
        let (places, settings) = self.before(&group)?;
        let mut write = Write::new(places, settings);
        let mut answers: Vec<Box<dyn FnOnce()>> = Vec::with_capacity(group.len());
        let mut index = self.lock();
        for change in group {
            answers.push(match change {
                Change::Deliver(delivery, done) => {
                    let delivered = write.deliver(&mut index, *delivery, now);
                    answer(done, delivered)
                }
                Change::Acknowledge { owner, ids, done } => {
                    let acknowledged =
                        ids.iter().filter(|id| write.acknowledge(&mut index, owner, id)).count() as u64;
                    answer(done, acknowledged)
                }
                Change::MarkRead { owner, id, at, done } => {
                    let marked = self.mark_read(&mut write, owner, &id, at)?;
                    answer(done, marked)
                }
                Change::Set { owner, settings, client, done } => {
                    let set = write.set(&mut index, owner, settings, client);
                    answer(done, set)
                }
            });
        }
        let (batch, news) = write.end(&index);
        drop(index);
        if !batch.is_empty() {
            self.disk.write(batch)?;
        }
        answers.into_iter().for_each(|answer| answer());
        Ok(news)
    }

    /// What the disk holds of the envelope ids and the settings that a group is about.
    #[allow(clippy::type_complexity, reason = "two maps of what is known before")]
    fn before(
        &self,
        group: &[Change],
    ) -> Result<(HashMap<EnvelopeId, Place>, HashMap<Did, Dated>), StoreError> {
        let (mut places, mut settings) = (HashMap::new(), HashMap::new());
        let mut place = |id: &EnvelopeId| {
            if let Some(row) = self.disk.get(&rows::place(id))? {
                places.insert(*id, Place::from_row(&row)?);
            }
            Ok::<_, StoreError>(())
        };
        for change in group {
            match change {
                Change::Deliver(delivery, _) => place(&delivery.id)?,
                Change::Acknowledge { ids, .. } => ids.iter().try_for_each(&mut place)?,
                Change::MarkRead { id, .. } => place(id)?,
                Change::Set { owner, .. } => {
                    if let Some(row) = self.disk.get(&rows::settings(*owner))? {
                        settings.insert(*owner, Dated::from_row(&row)?);
                    }
                }
            }
        }
        Ok((places, settings))
    }

    /// Marks a legacy message as read, unless it was; whether there is such a message in the mailbox.
    fn mark_read(&self, write: &mut Write, owner: Did, id: &EnvelopeId, at: u64) -> Result<bool, StoreError> {
        let Some(place) = write.live(owner, id) else { return Ok(false) };
        let key = rows::message(owner, place.number);
        let Some(row) = self.disk.get(&key)? else { return Ok(false) };
        Ok(write.mark_read(&key, Message::from_row(&row)?, at))
    }

    /// Deletes what has expired, tombstones too; how many messages that were. Of very much the rest is left to the next call:
    /// who sends waits meanwhile.
    pub(super) fn expire(&self, now: u64) -> Result<usize, StoreError> {
        let mut expired = 0;
        for _ in 0..EXPIRY_WRITES {
            let mut due = Vec::new();
            let end = rows::expiry(now.saturating_add(1), Did::from_bytes([0; Did::BYTES]), 0);
            self.disk.scan(rows::EXPIRIES, &end, |key, row| {
                let parts = rows::parse_expiry(key).ok_or_else(|| rows::damaged("an expiry"))?;
                let id = row
                    .try_into()
                    .ok()
                    .map(EnvelopeId::from_bytes)
                    .ok_or_else(|| rows::damaged("an expiry"))?;
                due.push((parts, id));
                Ok(due.len() < EXPIRED_AT_ONCE)
            })?;
            if due.is_empty() {
                break;
            }
            let mut batch = WriteBatch::default();
            let mut index = self.lock();
            for ((expires, owner, number), id) in due {
                batch.delete(rows::expiry(expires, owner, number));
                batch.delete(rows::place(&id));
                batch.delete(rows::message(owner, number));
                if index.remove(owner, number) {
                    expired += 1;
                } else {
                    index.remove_tombstone();
                }
            }
            drop(index);
            self.disk.write(batch)?;
        }
        Ok(expired)
    }

    /// Whether an envelope id waits, or was acknowledged.
    pub(super) fn knows(&self, id: &EnvelopeId) -> Result<bool, StoreError> {
        Ok(self.disk.get(&rows::place(id))?.is_some())
    }

    /// The first messages of a mailbox behind a number, of those that `wanted` takes. At most `limit`, and at most
    /// `most_bytes` unless the first one alone is longer.
    pub(super) fn page(
        &self,
        owner: Did,
        after: u64,
        now: u64,
        limits: (usize, usize),
        wanted: impl Fn(Kind, Option<&MessageKeyId>) -> bool,
    ) -> Result<Mailed, StoreError> {
        let (limit, most_bytes) = limits;
        let mut numbers = Vec::new();
        let mut more = false;
        let mut bytes = 0;
        for (number, brief) in self.lock().after(owner, after, now) {
            if !wanted(brief.kind, brief.key.as_ref()) {
                continue;
            }
            bytes += brief.bytes as usize * 4 / 3 + AROUND_A_MESSAGE_BYTES;
            if numbers.len() >= limit || bytes > most_bytes && !numbers.is_empty() {
                more = true;
                break;
            }
            numbers.push(number);
        }
        // The index is ahead of the disk by the group that is being written. At one moment of the disk that group is there
        // or is not: no message is passed over whose number is below that of one that is shown.
        let moment = self.disk.moment();
        let mut messages = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(row) = moment.get(&rows::message(owner, number))? {
                messages.push((number, Message::from_row(&row)?));
            }
        }
        Ok(Mailed { messages, more })
    }

    /// The legacy message of a mailbox whose envelope id begins so.
    pub(super) fn legacy_id(&self, owner: Did, beginning: &[u8]) -> Result<Option<EnvelopeId>, StoreError> {
        let Some(row) = self.disk.first(&rows::place_beginning(beginning))? else { return Ok(None) };
        let place = Place::from_row(&row)?;
        if place.recipient != owner || place.gone {
            return Ok(None);
        }
        let Some(row) = self.disk.get(&rows::message(owner, place.number))? else { return Ok(None) };
        let (head, kind, _) = Head::from_row(&row)?;
        Ok((kind == Kind::Legacy).then_some(head.id))
    }

    /// The settings of a mailbox.
    pub(super) fn settings(&self, owner: Did) -> Result<Settings, StoreError> {
        let row = self.disk.get(&rows::settings(owner))?;
        row.map_or(Ok(settings::default()), |row| Ok(Dated::from_row(&row)?.settings))
    }

    /// What waits, by mailbox.
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was deleted off the disk if that was not done for a day: in a thread of its own, while reads and writes go
    /// on. What was done is recorded at a later call.
    pub(super) fn compact_if_due(self: &Arc<Self>, now: u64) -> Result<(), StoreError> {
        let mut compaction = self.compaction();
        match *compaction {
            Compaction::Running => Ok(()),
            Compaction::Done(at) => {
                let mut batch = WriteBatch::default();
                batch.put(rows::COMPACTED, at.to_be_bytes());
                self.disk.write(batch)?;
                *compaction = Compaction::Recorded(at);
                Ok(())
            }
            Compaction::Recorded(at) if now.abs_diff(at) < BETWEEN_COMPACTIONS_MILLIS => Ok(()),
            Compaction::Recorded(_) => {
                *compaction = Compaction::Running;
                let mail = self.clone();
                let compact = move || {
                    let compacted = mail.disk.compact();
                    *mail.compaction() = match compacted {
                        Ok(()) => Compaction::Done(now),
                        Err(error) => {
                            tracing::warn!(%error, "mail that was deleted is still on the disk");
                            Compaction::Recorded(
                                (now + AGAIN_MILLIS).saturating_sub(BETWEEN_COMPACTIONS_MILLIS),
                            )
                        }
                    };
                };
                let thread = std::thread::Builder::new().name("mail-compaction".into()).spawn(compact);
                thread.map(drop).map_err(|e| of_disk("start a compaction", &e))
            }
        }
    }

    /// Breaks off a compaction that is under way: the process ends.
    pub(super) fn close(&self) {
        self.disk.close();
    }

    /// When the last compaction began, as the disk says too; `None` while one runs or is not recorded.
    #[cfg(test)]
    pub(super) fn compacted(&self) -> Option<u64> {
        match *self.compaction() {
            Compaction::Recorded(at) => Some(at),
            Compaction::Running | Compaction::Done(_) => None,
        }
    }

    fn compaction(&self) -> MutexGuard<'_, Compaction> {
        self.compaction.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to who waits for a change, given once it is on the disk.
fn answer<T: 'static>(done: oneshot::Sender<T>, answer: T) -> Box<dyn FnOnce()> {
    // Who no longer waits sends again, and learns what is true then.
    Box::new(move || {
        let _ = done.send(answer);
    })
}

/// Rows that one write deletes because they have expired.
const EXPIRED_AT_ONCE: usize = 1_000;

/// Writes of one call that delete what has expired.
const EXPIRY_WRITES: usize = 10;

/// What a message has in an answer besides its bytes, at most.
const AROUND_A_MESSAGE_BYTES: usize = 320;

/// A compaction begins so long after the last one began, and ends within an hour: what was deleted is off the disk within a
/// day.
const BETWEEN_COMPACTIONS_MILLIS: u64 = 23 * 3_600 * 1_000;

/// When a compaction that failed is tried again.
const AGAIN_MILLIS: u64 = 600 * 1_000;
