//! Events and entries under a state: who may log what, by the order of the log alone.

use super::Sequencer;
use attestation::did::Did;
use attestation::entry::{ClaimHash, Entry, LogTime};
use attestation::event::{
    Capabilities, Commitment, DatedKey, Event, FailureReason, IdentityEvent, Level, Link, MessageKeys,
    PendingEvent, Reference, Scope, StatementId, TrustEvent,
};
use attestation::identity::{Identity, Status};
use attestation::message::MessagePrivateKey;
use attestation::rules::CheckError;
use log_core::keys::Keys;
use log_core::port::Tombstone;
use log_rocksdb::ReadsOf;
use log_server::admit::Admitted;
use log_server::pool::{NotTaken, Sequenced};
use log_server::registry::identity_at;
use log_server::store::memory::MemoryStore;
use log_server::store::schema::{self, Read as _};
use log_server::store::{Batch, Column, Order, Store};
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, LeafIndex, TreeSize};

use super::{Bench, ORIGIN, START, artifact, index, round_of};

/// A pipeline with all its keys: the current one is `keys[at]`.
pub(super) struct Owner {
    pub(super) did: Did,
    keys: Vec<Ed25519PrivateKey>,
    recovery: Ed25519PrivateKey,
    pub(super) at: usize,
    link: Option<Link>,
}

impl Owner {
    pub(super) fn new(number: u8) -> Self {
        let key = |which: u8| {
            Ed25519PrivateKey::from_seed(&[[number; 16], [which; 16]].concat().try_into().expect("32"))
        };
        let keys: Vec<_> = (0..12).map(key).collect();
        Self { did: Did::of(&keys[0].public_key()), keys, recovery: key(99), at: 0, link: None }
    }

    fn raw(&self, at: usize) -> [u8; 32] {
        *self.keys[at].public_key().as_bytes()
    }

    fn commitment(&self, at: usize) -> Commitment {
        Commitment::to(&self.raw(at))
    }

    fn key(&self) -> &Ed25519PrivateKey {
        &self.keys[self.at]
    }

    fn sign(&self, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> PendingEvent {
        let event = Event::about_itself(self.did, ORIGIN, event).expect("an event");
        PendingEvent::sign(event, keys).expect("it fits")
    }

    fn link(&self) -> Link {
        self.link.expect("an inception came first")
    }

    /// What is signed now comes behind this event.
    fn follow(&mut self, event: &PendingEvent) {
        let sequence = self.link.map_or(1, |link| link.sequence + 1);
        self.link = Some(Link { sequence, previous: event.hash() });
    }

    pub(super) fn inception(&mut self, capabilities: Capabilities) -> PendingEvent {
        let event = IdentityEvent::Inception {
            key: self.raw(0),
            next: self.commitment(1),
            recovery: Commitment::to(self.recovery.public_key().as_bytes()),
            capabilities,
            public_name: None,
        };
        let event = self.sign(event, &[&self.keys[0]]);
        self.follow(&event);
        event
    }

    /// To the next key; `then` is the one after it.
    fn rotation_with(&self, then: Commitment) -> PendingEvent {
        let event = IdentityEvent::Rotation {
            link: self.link(),
            key: self.raw(self.at + 1),
            next: then,
            capabilities: Capabilities::PIPELINE,
        };
        self.sign(event, &[self.key(), &self.keys[self.at + 1]])
    }

    pub(super) fn rotation(&mut self) -> PendingEvent {
        let event = self.rotation_with(self.commitment(self.at + 2));
        self.follow(&event);
        self.at += 1;
        event
    }

    pub(super) fn compromise(&mut self, since: u64) -> PendingEvent {
        let event = IdentityEvent::Compromise { link: self.link(), since: reference(since) };
        let event = self.sign(event, &[&self.recovery]);
        self.follow(&event);
        event
    }

    /// Takes the DID back with the key after the next one.
    pub(super) fn recovery(&mut self, since: u64) -> PendingEvent {
        let event = IdentityEvent::Recovery {
            link: self.link(),
            key: self.raw(self.at + 2),
            next: self.commitment(self.at + 3),
            // The same recovery key once more: nothing forbids it.
            recovery: Commitment::to(self.recovery.public_key().as_bytes()),
            capabilities: Capabilities { vouches: true, ..Capabilities::PIPELINE },
            since: reference(since),
        };
        let event = self.sign(event, &[&self.recovery, &self.keys[self.at + 2]]);
        self.follow(&event);
        self.at += 2;
        event
    }

    pub(super) fn deactivation(&mut self) -> PendingEvent {
        let event = self.sign(IdentityEvent::Deactivation { link: self.link() }, &[&self.recovery]);
        self.follow(&event);
        event
    }

    pub(super) fn says(&self, about: Did, event: TrustEvent) -> Admitted {
        let event = Event::about(about, self.did, ORIGIN, event).expect("an event");
        admitted(PendingEvent::sign(event, &[self.key()]).expect("it fits"))
    }

    /// Its message keys from now on, behind the event with this hash.
    pub(super) fn message_keys(&self, previous: Option<ClaimHash>, keys: &[(u8, u64)]) -> PendingEvent {
        let key = |(seed, until): &(u8, u64)| DatedKey {
            key: *MessagePrivateKey::from_bytes(&[*seed; 32]).public_key(),
            not_after: LogTime::from_millis(*until).expect("a time"),
        };
        let mut keys: Vec<DatedKey> = keys.iter().map(key).collect();
        DatedKey::sort(&mut keys);
        let said = MessageKeys { issued_at: LogTime::from_millis(START).expect("a time"), keys, previous };
        let event = Event::message_keys(self.did, ORIGIN, said).expect("an event");
        PendingEvent::sign(event, &[self.key()]).expect("it fits")
    }

    pub(super) fn builds(&self, number: u64) -> Admitted {
        artifact(self.did, self.key(), number)
    }
}

pub(super) fn reference(index: u64) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(index) }
}

pub(super) fn admitted(event: PendingEvent) -> Admitted {
    Admitted::new(event, None)
}

fn failure(id: u8) -> TrustEvent {
    TrustEvent::Failure { id: StatementId([id; 16]), artifact: Hash::of(b"a"), reason: FailureReason::Digest }
}

fn vouch(id: u8) -> TrustEvent {
    let time = |milliseconds| LogTime::from_millis(milliseconds).expect("a time");
    TrustEvent::Vouch {
        id: StatementId([id; 16]),
        issued_at: time(START),
        scope: Scope::CodeSigning,
        level: Level::Strong,
        depth: Some(1),
        expires_at: time(START + 1_000),
    }
}

/// One round over one entry: its index, or the rule it breaks.
pub(super) fn log(sequencer: &mut Sequencer, entry: Admitted) -> Result<u64, &'static str> {
    let (outcome, told) = round_of(sequencer, [entry]);
    outcome.expect("a round");
    answer(&told[0])
}

pub(super) fn answer(told: &Option<Sequenced>) -> Result<u64, &'static str> {
    match told.as_ref().expect("an answer") {
        Ok(committed) => Ok(committed.index.get()),
        Err(NotTaken::Refused(rule)) => Err(rule.rule()),
        Err(NotTaken::Unavailable(why)) => panic!("{why}"),
    }
}

/// The rule that an entry breaks at admission.
pub(super) fn at_admission(sequencer: &Sequencer, entry: &Admitted) -> Result<(), &'static str> {
    sequencer.registry().check(&entry.entry).map_err(|error| match error {
        CheckError::Rule(rule) => rule.rule(),
        CheckError::Prefix(error) => panic!("{error}"),
    })
}

#[test]
fn of_ten_thousand_racing_rotations_exactly_one_wins() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut owner = Owner::new(1);
    assert_eq!(log(&mut sequencer, admitted(owner.inception(Capabilities::PIPELINE))), Ok(0));
    let race: Vec<Admitted> = (0..10_000u64)
        .map(|number| admitted(owner.rotation_with(Commitment::new(Hash::of(&number.to_be_bytes())))))
        .collect();
    for entry in &race {
        assert_eq!(at_admission(&sequencer, entry), Ok(()), "each may be the next one");
    }
    let mut won = Vec::new();
    // All admitted against one state; most of them meet in one round, the rest in later ones.
    for batch in [&race[..9_000], &race[9_000..9_999], &race[9_999..]] {
        let (outcome, told) = round_of(&mut sequencer, batch.iter().cloned());
        outcome.expect("a round");
        for told in &told {
            match answer(told) {
                Ok(index) => won.push(index),
                Err(rule) => assert_eq!(rule, "identity-order"),
            }
        }
    }
    assert_eq!(won, [1], "the one with the lowest index stands");
    assert_eq!(bench.check().get(), 2);
    let state =
        identity_at(&ReadsOf(&*bench.store), owner.did, TreeSize::new(2)).expect("a read").expect("a state");
    assert_eq!(state.link().sequence, 2);
    // The winner that comes again meets itself, not a rule.
    assert_eq!(log(&mut sequencer, race[0].clone()), Ok(1));
    assert_eq!(log(&mut bench.open().expect("the log again"), race[0].clone()), Ok(1));
}

#[test]
fn within_a_round_the_order_decides() {
    for (name, order, want) in [
        ("the old key before", [0, 1, 2], [Ok(1), Ok(2), Ok(3)]),
        ("the old key after", [1, 0, 2], [Ok(1), Err("retired-key"), Ok(2)]),
        ("the new key before", [2, 1, 0], [Err("retired-key"), Ok(1), Err("retired-key")]),
    ] {
        let bench = Bench::new();
        let mut sequencer = bench.open().expect("a log");
        let mut owner = Owner::new(1);
        assert_eq!(log(&mut sequencer, admitted(owner.inception(Capabilities::PIPELINE))), Ok(0));
        let old = owner.builds(1);
        let rotation = admitted(owner.rotation());
        let entries = [old, rotation, owner.builds(2)];
        let (outcome, told) = round_of(&mut sequencer, order.map(|at| entries[at].clone()));
        outcome.expect("a round");
        assert_eq!(told.iter().map(answer).collect::<Vec<_>>(), want, "{name}");
        bench.check();
    }
    // Racing inceptions, and a failure of which two are reported.
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut owner = Owner::new(1);
    let first = admitted(owner.inception(Capabilities::PIPELINE));
    let second = admitted(owner.inception(Capabilities { vouches: true, ..Capabilities::PIPELINE }));
    let about = Owner::new(2).did;
    let entries = [
        first,
        second,
        owner.says(about, failure(1)),
        owner.says(about, failure(2)),
        owner.says(about, vouch(3)),
    ];
    let (outcome, told) = round_of(&mut sequencer, entries);
    outcome.expect("a round");
    let want = [Ok(0), Err("registered"), Ok(1), Err("failure-open"), Err("capability")];
    assert_eq!(told.iter().map(answer).collect::<Vec<_>>(), want);
    assert_eq!(bench.check().get(), 2);
}

/// Whoever holds the current and the next key of a DID fills it up; its owner takes it back all the same.
#[test]
fn s24_a_thief_who_fills_a_did_does_not_keep_its_owner_out() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut stolen = Owner::new(1);
    let more = |number: u8| {
        Ed25519PrivateKey::from_seed(&[[0xaa; 16], [number; 16]].concat().try_into().expect("32"))
    };
    stolen.keys.extend((0..=250).map(more));
    let mut attack = vec![admitted(stolen.inception(Capabilities::PIPELINE))];
    attack.extend((1..240).map(|_| admitted(stolen.rotation())));
    attack.push(admitted(stolen.rotation_with(stolen.commitment(stolen.at + 2))));
    let report = |stolen: &Owner, since| {
        let event = IdentityEvent::Compromise { link: stolen.link(), since: reference(since) };
        stolen.sign(event, &[&stolen.keys[stolen.at + 1]])
    };
    let event = report(&stolen, 200);
    stolen.follow(&event);
    attack.extend([event, report(&stolen, 100)].map(admitted));
    let (outcome, told) = round_of(&mut sequencer, attack);
    outcome.expect("a round");
    let want = (0..240).map(Ok).chain([Err("identity-count"), Ok(240), Err("compromised")]);
    assert!(told.iter().map(answer).eq(want), "{:?}", told.iter().map(answer).collect::<Vec<_>>());
    let again = report(&stolen, 100);
    let recovery = IdentityEvent::Recovery {
        link: stolen.link(),
        key: *more(251).public_key().as_bytes(),
        next: Commitment::new(Hash::of(b"next")),
        recovery: Commitment::new(Hash::of(b"recovery")),
        capabilities: Capabilities::PIPELINE,
        since: reference(1),
    };
    let recovery = admitted(stolen.sign(recovery, &[&stolen.recovery, &more(251)]));
    assert_eq!(at_admission(&sequencer, &recovery), Ok(()));
    // The thief is there first, as often as he likes.
    let (outcome, told) = round_of(&mut sequencer, [admitted(again), recovery]);
    outcome.expect("a round");
    assert_eq!(told.iter().map(answer).collect::<Vec<_>>(), [Err("compromised"), Ok(241)]);
    // The registry of a log that opens again knows the same.
    let state = bench.open().expect("the log again").registry().state(stolen.did).expect("a read");
    let state = state.expect("registered");
    assert_eq!((state.status(), state.key()), (Status::Active, more(251).public_key().as_bytes()));
    assert_eq!((state.link().sequence, state.is_void(LeafIndex::new(240))), (242, true));
    bench.check();
}

#[test]
fn every_rule_of_state_holds_at_admission_and_at_sequencing() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let (mut owner, mut voucher, mut ended, bare) =
        (Owner::new(1), Owner::new(2), Owner::new(3), Owner::new(4));
    let all = Capabilities { vouches: true, ..Capabilities::PIPELINE };
    let quiet = Capabilities { messages: true, receipts: false, vouches: false };
    let about = owner.did;
    let steps = |entries: Vec<Admitted>, sequencer: &mut Sequencer| {
        for entry in entries {
            log(sequencer, entry).expect("it keeps the rules");
        }
    };
    // Index 0 to 4: artifacts 1 and 2 of the bare one and of the voucher.
    steps(
        vec![
            bare.builds(1),
            admitted(voucher.inception(all)),
            voucher.builds(1),
            voucher.builds(2),
            admitted(owner.inception(Capabilities::PIPELINE)),
        ],
        &mut sequencer,
    );
    let confirmation = |artifact: u64, receipt, build| TrustEvent::Confirmation {
        artifact: Hash::of(&artifact.to_be_bytes()),
        receipt: reference(receipt),
        build: reference(build),
    };
    let old_key = owner.builds(7);
    let stale_rotation = admitted(owner.rotation_with(Commitment::new(Hash::of(b"x"))));
    steps(vec![admitted(owner.rotation()), voucher.says(about, failure(9))], &mut sequencer);
    let mut silent = Owner::new(5);
    steps(vec![admitted(ended.inception(all)), admitted(silent.inception(quiet))], &mut sequencer);
    steps(vec![admitted(ended.deactivation())], &mut sequencer);
    let mut stolen = Owner::new(6);
    steps(vec![admitted(stolen.inception(all)), admitted(stolen.compromise(10))], &mut sequencer);
    let of_another = artifact(owner.did, bare.key(), 8);
    let mut unregistered = Owner::new(7);
    unregistered.inception(all);
    let skipped = {
        let mut voucher = Owner { link: voucher.link, ..Owner::new(2) };
        voucher.link = voucher.link.map(|link| Link { sequence: link.sequence + 1, ..link });
        admitted(voucher.rotation())
    };
    let late = voucher.sign(
        IdentityEvent::Compromise { link: voucher.link(), since: reference(1_000_000) },
        &[&voucher.recovery],
    );
    let table: Vec<(&str, Admitted, &str)> = vec![
        ("an artifact by a retired key", old_key, "retired-key"),
        ("an artifact by a stranger", of_another, "retired-key"),
        ("a bare DID by another key", artifact(bare.did, owner.key(), 9), "signer-key"),
        ("a rotation that lost", stale_rotation, "identity-order"),
        ("an event that skips one", skipped, "identity-order"),
        ("a window in the future", admitted(late), "identity-since"),
        ("a second inception", admitted(Owner::new(1).inception(all)), "registered"),
        ("a rotation of nobody", admitted(unregistered.rotation()), "not-registered"),
        ("an artifact after the end", ended.builds(1), "deactivated"),
        ("a vouch after the end", ended.says(about, vouch(1)), "deactivated"),
        ("a rotation after the end", admitted(ended.rotation()), "deactivated"),
        ("an artifact by a stolen key", stolen.builds(1), "compromised"),
        ("a vouch by a stolen key", stolen.says(about, vouch(2)), "compromised"),
        ("a rotation by a thief", admitted(stolen.rotation()), "compromised"),
        ("an artifact without the capability", silent.builds(1), "capability"),
        ("a vouch without the capability", owner.says(voucher.did, vouch(3)), "capability"),
        ("a failure without the capability", silent.says(about, failure(4)), "capability"),
        ("a vouch by a bare key", bare.says(about, vouch(5)), "not-registered"),
        ("a second open failure", voucher.says(about, failure(6)), "failure-open"),
        (
            "a withdrawal of nothing",
            voucher.says(about, TrustEvent::Withdrawal { failure: reference(3) }),
            "failure-not-open",
        ),
        (
            "another's withdrawal",
            owner.says(bare.did, TrustEvent::Withdrawal { failure: reference(6) }),
            "failure-not-open",
        ),
        ("a confirmation of what will come", voucher.says(bare.did, confirmation(1, 500, 2)), "reference"),
        ("a confirmation of an event", voucher.says(owner.did, confirmation(1, 4, 2)), "reference"),
        ("a confirmation of another's", voucher.says(bare.did, confirmation(1, 3, 2)), "reference"),
        ("a confirmation of another artifact", voucher.says(bare.did, confirmation(1, 0, 3)), "reference"),
    ];
    let size = sequencer.registry().size();
    for (name, entry, want) in &table {
        assert_eq!(at_admission(&sequencer, entry), Err(*want), "{name}");
        assert_eq!(log(&mut sequencer, entry.clone()), Err(*want), "{name}");
    }
    assert_eq!(sequencer.registry().size(), size, "nothing was logged");
    let good = [
        voucher.says(bare.did, confirmation(1, 0, 2)),
        voucher.says(about, TrustEvent::Withdrawal { failure: reference(6) }),
        voucher.says(about, failure(7)),
        voucher.says(about, vouch(8)),
        owner.builds(10),
    ];
    for entry in good {
        assert_eq!(at_admission(&sequencer, &entry), Ok(()));
        log(&mut sequencer, entry).expect("it keeps the rules");
    }
    // A registry that remembers nothing says the same.
    let sequencer = bench.open().expect("the log again");
    for (name, entry, want) in &table {
        assert_eq!(at_admission(&sequencer, entry), Err(*want), "{name}, after a restart");
    }
    bench.check();
}

#[test]
fn a_retried_event_meets_its_first_entry_whatever_happened_since() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut owner = Owner::new(1);
    let inception = admitted(owner.inception(Capabilities::PIPELINE));
    let build = owner.builds(1);
    let rotation = admitted(owner.rotation());
    let end = admitted(owner.deactivation());
    let entries = [inception, build, rotation, end];
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(log(&mut sequencer, entry.clone()), Ok(at as u64));
    }
    let again = |sequencer: &mut Sequencer| {
        let (outcome, told) = round_of(sequencer, entries.iter().cloned());
        outcome.expect("a round");
        assert_eq!(told.iter().map(index).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), Some(3)]);
    };
    again(&mut sequencer);
    again(&mut bench.open().expect("the log again"));
    assert_eq!(bench.check().get(), 4);
}

/// I7: the registry is a function of the leaves, also when every envelope is erased.
#[test]
fn the_registry_rebuilt_from_the_leaves_is_identical() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let all = Capabilities { vouches: true, ..Capabilities::PIPELINE };
    let mut owners: Vec<Owner> = (0..20).map(Owner::new).collect();
    for turn in 0..4u8 {
        let mut entries = Vec::new();
        for at in 0..owners.len() {
            let about = owners[(at + 1) % owners.len()].did;
            let owner = &mut owners[at];
            if owner.link.is_none() {
                entries.push(admitted(owner.inception(all)));
                continue;
            }
            entries.push(owner.builds(u64::from(turn)));
            match turn {
                1 => entries.extend([owner.says(about, vouch(turn)), owner.says(about, failure(turn))]),
                2 => entries.push(admitted(owner.rotation())),
                _ if at % 2 == 0 => entries.push(admitted(owner.compromise(20))),
                _ => entries.push(admitted(owner.deactivation())),
            }
        }
        let (outcome, told) = round_of(&mut sequencer, entries);
        outcome.expect("a round");
        assert!(told.iter().all(|told| answer(told).is_ok()), "{told:?}");
        sequencer = bench.open().expect("the log again");
    }
    erase_all(&*bench.store);
    let size = bench.check();
    let rebuilt = MemoryStore::default();
    bench
        .store
        .leaves(0, size.get(), &mut |at, leaf| {
            let index = LeafIndex::new(at);
            let mut writes = Batch::default();
            schema::put_leaf(&mut writes, index, leaf);
            schema::put_keys(&mut writes, &Keys::of(&Entry::parse(leaf).expect("a leaf"), index), index);
            rebuilt.write(&writes).expect("a write");
        })
        .expect("the leaves");
    for column in [Column::Claim, Column::Subject, Column::Did, Column::List] {
        assert_eq!(rows(&*bench.store, column), rows(&rebuilt, column), "{}", column.name());
        assert!(!rows(&rebuilt, column).is_empty(), "{}", column.name());
    }
    let sequencer = bench.open().expect("the log again");
    for owner in &owners {
        let state = |store: &dyn Store| -> Option<Identity> {
            identity_at(&ReadsOf(store), owner.did, size).expect("a read")
        };
        assert_eq!(state(&*bench.store), state(&rebuilt));
        assert_eq!(state(&rebuilt).map(|state| state.link().sequence), Some(3));
        assert!(at_admission(&sequencer, &owner.builds(50)).is_err(), "none of them is active");
    }
}

/// fsck: a list that is not what the leaves give, and an entry that breaks a rule of state, are named.
#[test]
fn a_registry_that_is_not_of_the_leaves_is_named() {
    let damage = |hurt: &dyn Fn(&Bench, &Owner)| {
        let bench = Bench::new();
        let mut sequencer = bench.open().expect("a log");
        let mut owner = Owner::new(1);
        log(&mut sequencer, admitted(owner.inception(Capabilities::PIPELINE))).expect("an index");
        log(&mut sequencer, owner.says(Owner::new(2).did, failure(1))).expect("an index");
        hurt(&bench, &owner);
        let record = bench.record().read().expect("the record");
        let checked = log_server::fsck::check_store(&*bench.store, super::key().verifier(), &record);
        checked.map_err(|failure| failure.to_string()).map(TreeSize::get)
    };
    assert_eq!(damage(&|_, _| {}), Ok(2));
    let put = |bench: &Bench, keys: &Keys, index: u64| {
        let mut writes = Batch::default();
        schema::put_keys(&mut writes, keys, LeafIndex::new(index));
        bench.store.write(&writes).expect("a write");
    };
    let words = damage(&|bench, owner| {
        // A row more than the leaves give.
        let mut owner = Owner { link: owner.link, ..Owner::new(1) };
        let rotation = admitted(owner.rotation());
        let mut keys = Keys::of_pending(&rotation.entry, rotation.claim, LeafIndex::new(7));
        (keys.claim, keys.did) = (None, None);
        put(bench, &keys, 7);
    });
    assert!(words.clone().is_err_and(|words| words.contains("lookup `list`")), "{words:?}");
    let words = damage(&|bench, owner| {
        // A row that says otherwise.
        let event = owner.says(Owner::new(3).did, failure(1));
        let keys = Keys::of_pending(&event.entry, event.claim, LeafIndex::new(1));
        let mut moved = Keys::default();
        let own = owner.says(Owner::new(2).did, failure(1));
        let own = Keys::of_pending(&own.entry, own.claim, LeafIndex::new(1));
        moved.lists = own.lists.iter().map(|(list, _)| (*list, keys.lists[0].1)).collect();
        moved.lists.iter_mut().for_each(|(_, listed)| listed.peer = Owner::new(9).did);
        put(bench, &moved, 1);
    });
    assert!(words.clone().is_err_and(|words| words.contains("does not lead to leaf 1")), "{words:?}");
}

fn erase_all(store: &dyn Store) {
    let tombstone = Tombstone { reason: "all".into(), erased_at: START };
    let mut writes = Batch::default();
    for (hash, _) in rows(store, Column::Envelope) {
        schema::put_tombstone(&mut writes, &Hash::from_slice(&hash).expect("a hash"), &tombstone);
    }
    store.write(&writes).expect("a write");
}

fn rows(store: &dyn Store, column: Column) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut take = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    store.scan(column, &[], Order::Ascending, &mut take).expect("a scan");
    rows
}
