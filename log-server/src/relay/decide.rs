//! What becomes of each change of a group. Pure but for the batch that it fills.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use attestation::did::Did;
use attestation::message::{EnvelopeId, FRAME_BYTES, MessageKeyId};
use rocksdb::WriteBatch;

use super::index::{Brief, Index, NoRoom};
use super::queue::NotSet;
use super::rows::{self, Head, Kind, Mail, Message, Place};
use super::settings::Dated;
use super::{Delivered, Delivery};

/// A group of changes on its way to the disk.
pub(super) struct Write {
    batch: WriteBatch,
    /// Where messages are, by their envelope ids: on the disk before, and as this group leaves it.
    places: HashMap<EnvelopeId, Place>,
    settings: HashMap<Did, Dated>,
    news: BTreeSet<Did>,
}

impl Write {
    /// An empty one; what the disk holds of all that it will be about.
    pub(super) fn new(places: HashMap<EnvelopeId, Place>, settings: HashMap<Did, Dated>) -> Self {
        Self { batch: WriteBatch::default(), places, settings, news: BTreeSet::new() }
    }

    /// Stores a message, unless it was stored before: idempotency comes before every budget.
    pub(super) fn deliver(
        &mut self,
        index: &mut Index,
        delivery: Delivery,
        now: u64,
    ) -> Result<Delivered, NoRoom> {
        let Delivery { id, recipient, sender, sender_is_bare, client, expires, mail } = delivery;
        if let Some(place) = self.places.get(&id) {
            let Place { received_at, expires, .. } = *place;
            return Ok(Delivered { received_at, expires, stored: false });
        }
        let head = Head { sender, sender_is_bare, received_at: now, expires, id };
        let brief = Brief { client, ..brief(&head, mail.kind(), &mail.to_bytes()) };
        index.take_room(recipient, &brief)?;
        let number = index.next();
        index.add(recipient, number, brief);
        let place = Place { recipient, number, received_at: now, expires, gone: false };
        self.batch.put(rows::message(recipient, number), Message { head, mail }.to_row());
        self.batch.put(rows::place(&id), place.to_row());
        self.batch.put(rows::expiry(expires, recipient, number), id.as_bytes());
        self.places.insert(id, place);
        self.news.insert(recipient);
        Ok(Delivered { received_at: now, expires, stored: true })
    }

    /// Deletes a message of a mailbox, and leaves its tombstone. Whether it was there.
    pub(super) fn acknowledge(&mut self, index: &mut Index, owner: Did, id: &EnvelopeId) -> bool {
        let Some(place) = self.live(owner, id) else { return false };
        index.remove(owner, place.number);
        self.batch.delete(rows::message(owner, place.number));
        if index.add_tombstone() {
            let place = Place { gone: true, ..place };
            self.batch.put(rows::place(id), place.to_row());
            self.places.insert(*id, place);
        } else {
            self.batch.delete(rows::place(id));
            self.batch.delete(rows::expiry(place.expires, owner, place.number));
            self.places.remove(id);
        }
        true
    }

    /// Where a message of a mailbox is.
    pub(super) fn live(&self, owner: Did, id: &EnvelopeId) -> Option<Place> {
        self.places.get(id).copied().filter(|place| place.recipient == owner && !place.gone)
    }

    /// Marks a legacy message, which is in the row `key`, as read, unless it was. Whether it is a legacy message.
    pub(super) fn mark_read(&mut self, key: &[u8], mut message: Message, at: u64) -> bool {
        let Mail::Legacy(legacy) = &mut message.mail else { return false };
        if legacy.read_at.is_none() {
            legacy.read_at = Some(at);
            self.batch.put(key, message.to_row());
        }
        true
    }

    /// Replaces the settings of a mailbox by later ones.
    pub(super) fn set(
        &mut self,
        index: &mut Index,
        owner: Did,
        settings: Dated,
        client: Option<IpAddr>,
    ) -> Result<(), NotSet> {
        let before = self.settings.get(&owner);
        if before.is_some_and(|before| before.issued_at >= settings.issued_at) {
            return Err(NotSet::Older);
        }
        let (old, new) = (before.map_or(0, |before| before.to_row().len()), settings.to_row());
        if !index.exchange(client, old as u64, new.len() as u64) {
            return Err(NotSet::Full);
        }
        self.batch.put(rows::settings(owner), new);
        self.settings.insert(owner, settings);
        Ok(())
    }

    /// The batch, and the mailboxes to which it adds something.
    pub(super) fn end(mut self, index: &Index) -> (WriteBatch, BTreeSet<Did>) {
        if !self.news.is_empty() {
            self.batch.put(rows::NEXT_NUMBER, index.upcoming().to_be_bytes());
        }
        (self.batch, self.news)
    }
}

/// What the index keeps of a message; by whom it came is not known. One of Python `aip` may be short: it counts as the
/// shortest of the others, so that the relay's bytes bound its messages too.
pub(super) fn brief(head: &Head, kind: Kind, bytes: &[u8]) -> Brief {
    let key = bytes.get(KEY_ID).filter(|_| kind == Kind::Sealed).and_then(|key| key.try_into().ok());
    let key = key.map(MessageKeyId::from_bytes);
    let Head { sender, sender_is_bare, expires, .. } = *head;
    let bytes = bytes.len().max(FRAME_BYTES[0]) as u32;
    Brief { sender, sender_is_bare, kind, key, bytes, expires, client: None }
}

/// Where a sealed message names the key that it is for (`specs/message.md`).
const KEY_ID: std::ops::Range<usize> = 22..38;
