//! What every mailbox holds, in memory, and who may add to it. Pure.
//!
//! It is rebuilt from the messages at start. A sender's room in a mailbox is counted when it is asked for: a mailbox holds a
//! thousand messages, and a sum that is not kept cannot go wrong. About 100 bytes a message.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

use attestation::did::Did;
use attestation::message::MessageKeyId;
use service::shares::{Bounds, Ledger, Refused, Standing};

use super::rows::Kind;

/// A number of messages, and their bytes together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Room {
    /// Messages.
    pub messages: usize,
    /// Bytes of what they bring.
    pub bytes: u64,
}

/// How much may wait in the relay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one sender in one mailbox.
    pub sender: Room,
    /// Of all senders in one mailbox that are not registered: their DIDs cost nothing, so each is not a limit.
    pub bare: Room,
    /// In one mailbox.
    pub mailbox: Room,
    /// In all mailboxes together, bytes.
    pub bytes: u64,
}

/// Which budget a message does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRoom {
    /// Its sender's, in that mailbox.
    #[error("as much of this sender waits in the mailbox as may")]
    SenderShare,
    /// That of senders that are not registered, in that mailbox.
    #[error("as much of senders that are not registered waits in the mailbox as may")]
    BareShare,
    /// The mailbox's.
    #[error("the mailbox is full")]
    MailboxFull,
    /// The client address's share of the relay.
    #[error("as much that this address sent waits in the relay as may of one address")]
    AddressShare,
    /// The relay's.
    #[error("the relay is full")]
    RelayFull,
}

/// What is known of a message without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Brief {
    pub(super) sender: Did,
    pub(super) sender_is_bare: bool,
    pub(super) kind: Kind,
    /// Which key a sealed message is for.
    pub(super) key: Option<MessageKeyId>,
    pub(super) bytes: u32,
    pub(super) expires: u64,
    /// Who brought it, if this process took it: the relay stores no addresses.
    pub(super) client: Option<IpAddr>,
}

/// The messages of each mailbox by their numbers.
pub(super) type Mailboxes = HashMap<Did, BTreeMap<u64, Brief>>;

/// What waits in all mailboxes.
#[derive(Debug)]
pub(super) struct Index {
    limits: Limits,
    mailboxes: Mailboxes,
    messages: u64,
    bytes: Ledger,
    /// Those of them that are settings.
    settings_bytes: u64,
    tombstones: u64,
    next: u64,
}

impl Index {
    /// What the disk holds: messages, bytes of settings, tombstones, and the number of the next message. By whom they came
    /// is not known any more, so they count for no address.
    pub(super) fn new(
        limits: Limits,
        mailboxes: Mailboxes,
        settings_bytes: u64,
        tombstones: u64,
        next: u64,
    ) -> Self {
        let all = || mailboxes.values().flat_map(BTreeMap::values);
        let bytes: u64 = all().map(|message| u64::from(message.bytes)).sum();
        let bytes = Ledger::with_taken(Bounds::of(limits.bytes), bytes + settings_bytes);
        Self { limits, messages: all().count() as u64, mailboxes, bytes, settings_bytes, tombstones, next }
    }

    /// Whether a message fits, as the rules are asked in their order. Takes its room in the relay if so.
    pub(super) fn take_room(&mut self, recipient: Did, message: &Brief) -> Result<(), NoRoom> {
        let (mut sender, mut bare, mut all) = (Room::default(), Room::default(), Room::default());
        for waiting in self.mailboxes.get(&recipient).into_iter().flat_map(BTreeMap::values) {
            all.add(waiting);
            if waiting.sender == message.sender {
                sender.add(waiting);
            }
            if waiting.sender_is_bare {
                bare.add(waiting);
            }
        }
        let Limits { sender: of_sender, bare: of_bare, mailbox, .. } = self.limits;
        if !sender.and(message).fits(of_sender) {
            return Err(NoRoom::SenderShare);
        }
        if message.sender_is_bare && !bare.and(message).fits(of_bare) {
            return Err(NoRoom::BareShare);
        }
        if !all.and(message).fits(mailbox) {
            return Err(NoRoom::MailboxFull);
        }
        self.bytes.take(message.client, message.bytes.into()).map_err(|refused| match refused {
            Refused::Share => NoRoom::AddressShare,
            Refused::Whole => NoRoom::RelayFull,
        })
    }

    /// Adds a message that has taken its room.
    pub(super) fn add(&mut self, recipient: Did, number: u64, message: Brief) {
        self.messages += 1;
        self.mailboxes.entry(recipient).or_default().insert(number, message);
    }

    /// Takes a message out, and gives back its room. Whether it was there.
    pub(super) fn remove(&mut self, recipient: Did, number: u64) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(&recipient) else { return false };
        let Some(message) = mailbox.remove(&number) else { return false };
        if mailbox.is_empty() {
            self.mailboxes.remove(&recipient);
        }
        self.messages -= 1;
        self.bytes.give_back(message.client, message.bytes.into());
        true
    }

    /// Exchanges settings of so many bytes for others; whether there is room. All together have a part of the relay: they
    /// do not expire, and would crowd out the mail in the course of the years.
    pub(super) fn exchange(&mut self, client: Option<IpAddr>, before: u64, after: u64) -> bool {
        let then = (self.settings_bytes + after).saturating_sub(before);
        if after > before
            && (then > self.limits.bytes / PART_FOR_SETTINGS
                || self.bytes.take(client, after - before).is_err())
        {
            return false;
        }
        self.bytes.give_back(None, before.saturating_sub(after));
        self.settings_bytes = then;
        true
    }

    /// The messages of a mailbox behind a number, that have not expired.
    pub(super) fn after(&self, owner: Did, number: u64, now: u64) -> impl Iterator<Item = (u64, &Brief)> {
        let behind = (Bound::Excluded(number), Bound::Unbounded);
        let messages = self.mailboxes.get(&owner).into_iter().flat_map(move |mailbox| mailbox.range(behind));
        messages.filter(move |(_, message)| now < message.expires).map(|(number, message)| (*number, message))
    }

    /// The number of the next message.
    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The number that the next message gets.
    pub(super) fn upcoming(&self) -> u64 {
        self.next
    }

    /// Counts one more tombstone, if one more is kept. Without one, what is sent again is stored again.
    pub(super) fn add_tombstone(&mut self) -> bool {
        let keeps = self.tombstones < MAX_TOMBSTONES;
        self.tombstones += u64::from(keeps);
        keeps
    }

    pub(super) fn remove_tombstone(&mut self) {
        self.tombstones = self.tombstones.saturating_sub(1);
    }

    /// How many messages wait.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// The bytes that they have, of those that the relay may have.
    pub(super) fn standing(&self) -> Standing {
        self.bytes.standing()
    }
}

impl Room {
    fn add(&mut self, message: &Brief) {
        self.messages += 1;
        self.bytes += u64::from(message.bytes);
    }

    fn and(mut self, message: &Brief) -> Self {
        self.add(message);
        self
    }

    fn fits(self, within: Self) -> bool {
        self.messages <= within.messages && self.bytes <= within.bytes
    }
}

/// All settings have a quarter of the relay's bytes.
const PART_FOR_SETTINGS: u64 = 4;

/// Who acknowledges all day must not fill the disk with tombstones: about 200 bytes each.
const MAX_TOMBSTONES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    fn limits() -> Limits {
        let room = |messages, bytes| Room { messages, bytes };
        Limits {
            sender: room(100, 400 * KIB),
            bare: room(10, 200 * KIB),
            mailbox: room(1_000, 3_200 * KIB),
            bytes: 4_000 * KIB,
        }
    }

    fn empty(limits: Limits) -> Index {
        Index::new(limits, Mailboxes::new(), 0, 0, 1)
    }

    fn did(number: u8) -> Did {
        Did::from_bytes([number; 16])
    }

    fn brief(sender: u8, bytes: u64) -> Brief {
        Brief {
            sender: did(sender),
            sender_is_bare: sender < 10,
            kind: Kind::Sealed,
            key: Some(MessageKeyId::from_bytes([sender; 16])),
            bytes: bytes as u32,
            expires: 100,
            client: None,
        }
    }

    fn send(index: &mut Index, to: u8, message: Brief) -> Result<u64, NoRoom> {
        index.take_room(did(to), &message)?;
        let number = index.next();
        index.add(did(to), number, message);
        Ok(number)
    }

    /// Sends until a budget refuses it; how many were taken, and which budget it was.
    fn fill(index: &mut Index, to: u8, message: Brief) -> (usize, NoRoom) {
        let mut taken = 0;
        loop {
            match send(index, to, message) {
                Ok(_) => taken += 1,
                Err(refused) => return (taken, refused),
            }
        }
    }

    #[test]
    fn each_budget_refuses_the_next_message_and_no_other_mailbox() {
        let mut index = empty(limits());
        assert_eq!(fill(&mut index, 1, brief(20, KIB)), (100, NoRoom::SenderShare));
        assert_eq!(fill(&mut index, 1, brief(21, 100 * KIB)), (4, NoRoom::SenderShare), "by bytes");
        // Bare DIDs are as many as somebody likes, and share ten messages.
        let bare: Vec<_> = (0..10).map(|sender| send(&mut index, 1, brief(sender, KIB)).is_ok()).collect();
        assert_eq!(bare, [true; 10]);
        assert_eq!(fill(&mut index, 1, brief(9, KIB)), (0, NoRoom::BareShare));
        assert_eq!(fill(&mut index, 2, brief(9, 100 * KIB)), (2, NoRoom::BareShare), "by bytes");
        for sender in 22..30 {
            fill(&mut index, 1, brief(sender, KIB));
        }
        assert_eq!(fill(&mut index, 1, brief(30, KIB)), (86, NoRoom::MailboxFull), "the 1,001st");
        assert_eq!(send(&mut index, 3, brief(30, KIB)), Ok(1_003), "another mailbox");
    }

    #[test]
    fn what_leaves_gives_back_its_room() {
        let mut index = empty(Limits { bytes: 10 * KIB, ..limits() });
        assert_eq!(fill(&mut index, 1, brief(20, KIB)), (10, NoRoom::RelayFull));
        assert_eq!(fill(&mut index, 2, brief(21, KIB)), (0, NoRoom::RelayFull));
        index.remove(did(1), 3);
        index.remove(did(1), 3);
        assert_eq!(index.messages(), 9);
        assert_eq!(fill(&mut index, 2, brief(21, KIB)), (1, NoRoom::RelayFull));
        for number in 1..=11 {
            index.remove(did(1), number);
            index.remove(did(2), number);
        }
        assert_eq!((index.messages(), index.standing().taken), (0, 0));
        assert!(index.mailboxes.is_empty(), "no empty mailbox stays in memory");
    }

    #[test]
    fn an_address_has_a_share_of_the_relay_and_what_was_there_before_counts() {
        let before = Mailboxes::from([(did(9), BTreeMap::from([(7, brief(20, 1_000 * KIB))]))]);
        let mut index = Index::new(limits(), before, 0, 0, 8);
        let from = |last: u8| Brief { client: Some(IpAddr::from([192, 0, 2, last])), ..brief(20, 50 * KIB) };
        let mut taken = 0;
        let refused = (1..200).find_map(|to| match fill(&mut index, to, from(1)) {
            (more, NoRoom::SenderShare) => {
                taken += more;
                None
            }
            (more, refused) => {
                taken += more;
                Some(refused)
            }
        });
        assert_eq!(refused, Some(NoRoom::AddressShare));
        assert!((10..=12).contains(&taken), "a fifth of what was left: {taken}");
        assert!(send(&mut index, 250, from(2)).is_ok(), "another address has its share");
    }

    #[test]
    fn settings_have_a_part_of_the_relay_and_crowd_out_no_mail() {
        let mut index = empty(Limits { bytes: 100 * KIB, ..limits() });
        assert!((0..3).all(|_| index.exchange(None, 0, 8 * KIB)));
        assert!(!index.exchange(None, 0, 2 * KIB) && index.exchange(None, 0, KIB), "a quarter");
        assert!(index.exchange(None, 8 * KIB, KIB) && index.exchange(None, KIB, 8 * KIB), "it is given back");
        assert_eq!(fill(&mut index, 1, brief(20, KIB)), (75, NoRoom::RelayFull));
        // What was set before counts.
        let mut index = Index::new(limits(), Mailboxes::new(), 1_000 * KIB, 0, 1);
        assert!(!index.exchange(None, 0, 1) && index.exchange(None, 1, 1));
    }

    #[test]
    fn a_list_begins_behind_a_number_and_leaves_out_what_has_expired() {
        let mut index = empty(limits());
        for expires in [100, 5, 100, 100] {
            send(&mut index, 1, Brief { expires, ..brief(20, KIB) }).expect("room");
        }
        let after =
            |number, now| index.after(did(1), number, now).map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(after(0, 4), [1, 2, 3, 4]);
        assert_eq!(after(0, 5), [1, 3, 4]);
        assert_eq!(after(3, 5), [4]);
        assert_eq!(after(u64::MAX, 5), [] as [u64; 0]);
        assert_eq!(index.after(did(2), 0, 0).count(), 0);
    }
}
