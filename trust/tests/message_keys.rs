//! To which keys a message is sealed: what a ledger of the whole log says, and evidence of it says the same.

use attestation::Did;
use attestation::entry::{ClaimHash, Entry, LogTime};
use attestation::event::{
    Body, Capabilities, Commitment, DatedKey, Event, EventEntry, IdentityEvent, Link, MessageKeys,
    PendingEvent, Reference,
};
use attestation::evidence::{Element, Evidence, EvidenceError, Lists, assert_lists};
use attestation::identity::{Identity, StateError};
use attestation::lists::{ListKey, lists_of};
use attestation::message::{KeyKind, LoggedKeys, MessageKey, REPLACED_MILLIS, Recipient};
use attestation::rules::{CheckError, RuleError, check_event};
use testkit::keys::signer;
use testkit::scene::ORIGIN;
use testkit::tree::Tree;
use tlog::key::{Ed25519PrivateKey, KeyType, SignerKey};
use tlog::policy::Policy;
use tlog::{LeafIndex, encoding};
use trust::MemoryLedger;

fn key_of(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn committed(seed: u8) -> Commitment {
    Commitment::to(key_of(seed).public_key().as_bytes())
}

const DAY: u64 = 24 * 60 * 60 * 1_000;
const START: u64 = 1_790_000_000_000;

fn time(days: u64) -> LogTime {
    LogTime::from_millis(START + days * DAY).expect("a time")
}

/// An admitted X25519 key.
fn message_key(byte: u8) -> MessageKey {
    MessageKey::of_identity(&key_of(byte).public_key())
}

/// The log's key.
fn log() -> SignerKey {
    signer(ORIGIN, KeyType::Ed25519, 0x11)
}

fn policy() -> Policy {
    format!("log {}\nquorum none\n", log().verifier()).parse().expect("a policy")
}

/// A log of one DID: what it said, in order.
struct World {
    did: Did,
    current: u8,
    state: Option<Identity>,
    leaves: Vec<Vec<u8>>,
    last: Option<ClaimHash>,
    ledger: MemoryLedger,
}

impl World {
    fn new() -> Self {
        let did = Did::of(&key_of(1).public_key());
        let mut world = Self {
            did,
            current: 1,
            state: None,
            leaves: Vec::new(),
            last: None,
            ledger: MemoryLedger::new(ORIGIN),
        };
        let inception = IdentityEvent::Inception {
            key: *key_of(1).public_key().as_bytes(),
            next: committed(2),
            recovery: committed(50),
            capabilities: Capabilities::PIPELINE,
            public_name: None,
        };
        world.identity(inception, &[1]).expect("registered");
        world
    }

    fn link(&self) -> Link {
        self.state.as_ref().expect("registered").link()
    }

    fn push(&mut self, event: Event, signers: &[u8], at: LogTime) -> Result<(), RuleError> {
        let keys: Vec<Ed25519PrivateKey> = signers.iter().map(|seed| key_of(*seed)).collect();
        let pending = PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("an event");
        let index = LeafIndex::new(self.leaves.len() as u64);
        match check_event(&self.ledger, &pending, index) {
            Ok(_) => {}
            Err(CheckError::Rule(rule)) => return Err(rule),
            Err(CheckError::Prefix(never)) => match never {},
        }
        let leaf = pending.to_leaf(at);
        self.ledger.push(index, &Entry::parse(&leaf).expect("an entry"))?;
        if let Body::MessageKeys(_) = pending.event().body() {
            self.last = Some(pending.hash());
        } else {
            self.state = Some(Identity::apply(self.state.as_ref(), &pending, index).expect("it follows"));
        }
        self.leaves.push(leaf);
        Ok(())
    }

    fn identity(&mut self, event: IdentityEvent, signers: &[u8]) -> Result<(), RuleError> {
        let event = Event::about_itself(self.did, ORIGIN, event).expect("an event");
        self.push(event, signers, time(0))
    }

    /// The DID says, on this day, that these are its keys until then.
    fn say(&mut self, day: u64, keys: &[(u8, u64)]) -> Result<(), RuleError> {
        self.say_behind(self.last, day, keys)
    }

    fn say_behind(
        &mut self,
        previous: Option<ClaimHash>,
        day: u64,
        keys: &[(u8, u64)],
    ) -> Result<(), RuleError> {
        let mut keys: Vec<DatedKey> = keys
            .iter()
            .map(|(key, until)| DatedKey { key: message_key(*key), not_after: time(*until) })
            .collect();
        DatedKey::sort(&mut keys);
        let said = MessageKeys { issued_at: time(day), keys, previous };
        let event = Event::message_keys(self.did, ORIGIN, said).expect("an event");
        self.push(event, &[self.current], time(day))
    }

    fn compromise(&mut self, since: u64) {
        let since = Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(since) };
        self.identity(IdentityEvent::Compromise { link: self.link(), since }, &[50]).expect("reported");
    }

    fn recover(&mut self, since: u64) {
        let recovery = IdentityEvent::Recovery {
            link: self.link(),
            key: *key_of(60).public_key().as_bytes(),
            next: committed(61),
            recovery: committed(62),
            capabilities: Capabilities::PIPELINE,
            since: Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(since) },
        };
        self.identity(recovery, &[50, 60]).expect("recovered");
        self.current = 60;
    }

    /// As the log shows it to who asks for messages: `hide` of the newest events are not told.
    fn evidence(&self, hide: usize) -> Evidence {
        let tree = Tree::of(&self.leaves);
        let checkpoint = tree.checkpoint(ORIGIN, tree.size());
        let mut lists = Lists::from([(ListKey::Id(self.did), vec![]), (ListKey::Messages(self.did), vec![])]);
        for (leaf, index) in self.leaves.iter().zip(0..) {
            for (key, listed) in lists_of(&Entry::parse(leaf).expect("an entry"), LeafIndex::new(index)) {
                lists.get_mut(&key).expect("one of the two").push(listed);
            }
        }
        let said = lists.get_mut(&ListKey::Messages(self.did)).expect("it is there");
        said.truncate(said.len() - hide);
        let mut shown: Vec<LeafIndex> = said.last().map(|listed| listed.index).into_iter().collect();
        shown.extend(lists[&ListKey::Id(self.did)].iter().map(|listed| listed.index));
        shown.sort_unstable();
        let element = |index: LeafIndex| {
            let hashes = tree.inclusion(index.get(), tree.size());
            Element { index, leaf: self.leaves[index.get() as usize].clone(), hashes }
        };
        let elements = shown.into_iter().map(element).collect();
        let assertion = assert_lists(&log(), &checkpoint, &lists);
        Evidence { checkpoint: checkpoint.sign(&log()), assertion, lists, elements }
    }

    /// By evidence; the whole log says the same.
    fn recipient(&self) -> Recipient {
        let proven = self.evidence(0).verify(&policy()).expect("evidence that holds");
        let recipient = proven.recipient(self.did, None).expect("enough").expect("registered");
        assert_eq!(self.ledger.recipient(self.did, None).as_ref(), Some(&recipient));
        recipient
    }

    fn keys(&self, day: u64) -> Result<(KeyKind, Vec<MessageKey>), StateError> {
        self.recipient().keys(time(day)).map(|keys| (keys.kind, keys.keys))
    }

    /// With all events, as a relay has them.
    fn relay(&self) -> Recipient {
        let said = self.leaves.iter().enumerate().rev();
        let said = said.filter_map(|(index, leaf)| {
            LoggedKeys::of(LeafIndex::new(index as u64), &EventEntry::parse(leaf).expect("an event"))
        });
        Recipient::registered(self.state.clone().expect("registered"), said.collect()).expect("a key")
    }

    fn accepts(&self, key: u8, millis: u64) -> bool {
        let now = LogTime::from_millis(START + millis).expect("a time");
        self.relay().accepts(&message_key(key).id(), now).expect("active")
    }
}

fn sorted(keys: &[u8]) -> Vec<MessageKey> {
    let mut keys: Vec<MessageKey> = keys.iter().map(|key| message_key(*key)).collect();
    keys.sort_by_key(|key| encoding::base64(key.as_bytes()));
    keys
}

#[test]
fn without_message_keys_it_is_the_identity_key() {
    let mut world = World::new();
    assert_eq!(world.keys(0), Ok((KeyKind::Identity, sorted(&[1]))));
    world.say(0, &[(11, 37), (12, 5)]).expect("said");
    assert_eq!(world.keys(4), Ok((KeyKind::Message, sorted(&[11, 12]))));
    assert_eq!(world.keys(5), Ok((KeyKind::Message, sorted(&[11]))), "a key ends at its very moment");
    assert_eq!(world.keys(37), Ok((KeyKind::Identity, sorted(&[1]))), "all have ended");
    world.say(6, &[]).expect("said");
    assert_eq!(world.keys(6), Ok((KeyKind::Identity, sorted(&[1]))), "it took all back");
    // A DID without an inception: the key that hashes to it, if somebody has it.
    let (key, other) = (key_of(9).public_key(), key_of(8).public_key());
    let ledger = MemoryLedger::new(ORIGIN);
    assert_eq!(ledger.recipient(Did::of(&key), Some(&key)), Some(Recipient::Bare(key)));
    assert_eq!(ledger.recipient(Did::of(&key), Some(&other)), None, "another key names nobody");
    assert_eq!(ledger.recipient(Did::of(&key), None), None);
    let bare = Recipient::Bare(key).keys(time(0)).expect("it may");
    assert_eq!((bare.kind, bare.keys), (KeyKind::Identity, sorted(&[9])));
}

/// Of two devices at once the second names what is not the last one any more.
#[test]
fn an_event_follows_the_last_one_void_or_not() {
    let mut world = World::new();
    world.say(0, &[(11, 37)]).expect("the first");
    let first = world.last;
    world.say(1, &[(11, 37), (12, 37)]).expect("the second");
    let second = world.last;
    for behind in [None, first] {
        let late = world.say_behind(behind, 1, &[(11, 37), (13, 37)]);
        assert_eq!(late, Err(RuleError::MessageKeysOrder(second)));
    }
    world.recover(1);
    assert!(world.say_behind(None, 2, &[(14, 37)]).is_err(), "a void one is the last one all the same");
    world.say_behind(second, 2, &[(14, 37)]).expect("behind the void one");
    assert_eq!(world.keys(3), Ok((KeyKind::Message, sorted(&[14]))));
}

#[test]
fn s24_a_thief_receives_nothing_behind_a_recovery() {
    let mut world = World::new();
    world.say(0, &[(11, 37)]).expect("the owner's");
    world.say(1, &[(66, 37)]).expect("the thief's, by the stolen key");
    assert_eq!(world.keys(2), Ok((KeyKind::Message, sorted(&[66]))));
    world.compromise(2);
    assert_eq!(world.keys(2), Err(StateError::Compromised));
    assert_eq!(world.relay().accepts(&message_key(11).id(), time(2)), Err(StateError::Compromised));
    assert_eq!(world.say(2, &[(67, 37)]), Err(RuleError::State(StateError::Compromised)));
    world.recover(2);
    // What the owner said before the theft is behind the recovery, too: history counts from there.
    assert_eq!(world.keys(2), Ok((KeyKind::Identity, sorted(&[60]))));
    assert!(!world.accepts(66, 2 * DAY) && !world.accepts(11, 2 * DAY) && world.accepts(60, 2 * DAY));
    world.say(3, &[(12, 37)]).expect("the owner's again");
    assert_eq!(world.keys(3), Ok((KeyKind::Message, sorted(&[12]))));
    assert!(!world.accepts(66, 3 * DAY), "no void key has an overlap");
    let end = IdentityEvent::Deactivation { link: world.link() };
    world.identity(end, &[62]).expect("ended");
    assert_eq!(world.keys(4), Err(StateError::Deactivated));
}

#[test]
fn a_relay_takes_a_replaced_key_for_eight_days() {
    let mut world = World::new();
    world.say(0, &[(11, 37), (12, 3)]).expect("said");
    world.say(30, &[(13, 67)]).expect("replaced");
    let replaced = 30 * DAY;
    assert!(world.accepts(13, replaced) && world.accepts(1, replaced) && !world.accepts(14, replaced));
    assert!(world.accepts(11, replaced + REPLACED_MILLIS - 1));
    assert!(!world.accepts(11, replaced + REPLACED_MILLIS));
    assert!(!world.accepts(13, 67 * DAY), "its end has come, and nothing replaced it");
    // Two replacements within the time.
    world.say(31, &[(15, 68)]).expect("replaced");
    assert!(
        world.accepts(11, replaced + REPLACED_MILLIS - 1) && !world.accepts(11, replaced + REPLACED_MILLIS)
    );
    assert!(world.accepts(13, 39 * DAY - 1) && !world.accepts(13, 39 * DAY) && world.accepts(15, 39 * DAY));
    let no_longer = IdentityEvent::Rotation {
        link: world.link(),
        key: *key_of(2).public_key().as_bytes(),
        next: committed(3),
        capabilities: Capabilities { messages: false, receipts: true, vouches: false },
    };
    world.identity(no_longer, &[1, 2]).expect("rotated");
    assert_eq!(world.keys(31), Err(StateError::Capability("messages")));
    world.current = 2;
    assert_eq!(world.say(32, &[]), Err(RuleError::State(StateError::Capability("messages"))));
}

#[test]
fn who_signs_them_is_told_from_who_did_once() {
    let mut world = World::new();
    let rotation = IdentityEvent::Rotation {
        link: world.link(),
        key: *key_of(2).public_key().as_bytes(),
        next: committed(3),
        capabilities: Capabilities::PIPELINE,
    };
    world.identity(rotation, &[1, 2]).expect("rotated");
    assert_eq!(world.say(1, &[(11, 37)]), Err(RuleError::State(StateError::RetiredKey)));
    world.current = 99;
    assert_eq!(world.say(1, &[(11, 37)]), Err(RuleError::State(StateError::OthersKey)));
    assert_eq!((StateError::RetiredKey.rule(), StateError::OthersKey.rule()), ("retired-key", "signer-key"));
    world.current = 2;
    world.say(1, &[(11, 37)]).expect("the current key's");
    assert_eq!(world.keys(1), Ok((KeyKind::Message, sorted(&[11]))));
}

/// A log that lists less convicts itself; one that lists what it could not take proves nothing.
#[test]
fn evidence_says_what_it_lacks() {
    let mut world = World::new();
    world.say(0, &[(11, 37)]).expect("said");
    world.say(1, &[(12, 38)]).expect("said");
    let hidden = world.evidence(1).verify(&policy()).expect("by itself it holds");
    let old = hidden.recipient(world.did, None).expect("enough").expect("registered");
    assert_eq!(old.keys(time(1)).expect("active").keys, sorted(&[11]));
    // Without the list, or without its last entry, nobody knows.
    let mut unasked = world.evidence(0);
    unasked.lists.remove(&ListKey::Messages(world.did));
    let missing = |evidence: Evidence| {
        let mut evidence = evidence;
        let checkpoint = policy().log_checkpoint(&evidence.checkpoint).expect("signed").0;
        evidence.assertion = assert_lists(&log(), &checkpoint, &evidence.lists);
        let proven = evidence.verify(&policy()).expect("by itself it holds");
        proven.recipient(world.did, None).expect_err("it lacks something")
    };
    assert_eq!(missing(unasked), EvidenceError::MissingList(ListKey::Messages(world.did)));
    let mut entryless = world.evidence(0);
    entryless.elements.retain(|element| element.index != LeafIndex::new(2));
    assert_eq!(missing(entryless), EvidenceError::MissingEntry(LeafIndex::new(2)));
    // Keys that a retired key signed: no honest log lists them.
    let mut lying = World::new();
    let stolen = MessageKeys { issued_at: time(0), keys: Vec::new(), previous: None };
    let stolen = Event::message_keys(lying.did, ORIGIN, stolen).expect("an event");
    let stolen = PendingEvent::sign(stolen, &[&key_of(7)]).expect("signed");
    lying.leaves.push(stolen.to_leaf(time(0)));
    let proven = lying.evidence(0).verify(&policy()).expect("by itself it holds");
    let error = proven.recipient(lying.did, None).expect_err("by a key that is not the DID's");
    assert_eq!(error, EvidenceError::State { index: LeafIndex::new(1), error: StateError::OthersKey });
}
