use tlog::LeafIndex;
use tlog::key::Ed25519PrivateKey;

use super::*;
use crate::event::{Event, Level, Reference, Scope, StatementId};
use crate::logged::LogTime;

const ORIGIN: &str = "log.example.com/pipelines";

fn key(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn raw(seed: u8) -> RawKey {
    *key(seed).public_key().as_bytes()
}

fn did() -> Did {
    Did::of_raw(&raw(1))
}

fn to(seed: u8) -> Commitment {
    Commitment::to(&raw(seed))
}

fn at(index: u64) -> LeafIndex {
    LeafIndex::new(index)
}

fn since(index: u64) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index: at(index) }
}

fn sign(event: IdentityEvent, signers: &[u8]) -> PendingEvent {
    sign_for(did(), event, signers)
}

fn sign_for(did: Did, event: IdentityEvent, signers: &[u8]) -> PendingEvent {
    let keys: Vec<Ed25519PrivateKey> = signers.iter().map(|seed| key(*seed)).collect();
    let event = Event::about_itself(did, ORIGIN, event).expect("an event");
    PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("an event")
}

/// Keys: 1 current, 2 next, 3 recovery; after a rotation 2 and 4; after a recovery 5, 6 and 7.
fn inception() -> PendingEvent {
    sign(
        IdentityEvent::Inception {
            key: raw(1),
            next: to(2),
            recovery: to(3),
            capabilities: Capabilities::PIPELINE,
            public_name: None,
        },
        &[1],
    )
}

fn rotation(link: Link, signers: &[u8]) -> PendingEvent {
    let capabilities = Capabilities { vouches: true, ..Capabilities::PIPELINE };
    sign(IdentityEvent::Rotation { link, key: raw(2), next: to(4), capabilities }, signers)
}

fn recovery(link: Link, from: u64, signers: &[u8]) -> PendingEvent {
    let capabilities = Capabilities::PIPELINE;
    sign(
        IdentityEvent::Recovery {
            link,
            key: raw(5),
            next: to(6),
            recovery: to(7),
            capabilities,
            since: since(from),
        },
        signers,
    )
}

fn compromise(link: Link, from: u64, signers: &[u8]) -> PendingEvent {
    sign(IdentityEvent::Compromise { link, since: since(from) }, signers)
}

fn deactivation(link: Link, signers: &[u8]) -> PendingEvent {
    sign(IdentityEvent::Deactivation { link }, signers)
}

fn after(state: &Identity, event: &PendingEvent, index: u64) -> Identity {
    Identity::apply(Some(state), event, at(index)).expect("it follows")
}

fn active() -> Identity {
    Identity::apply(None, &inception(), at(10)).expect("an inception")
}

fn compromised() -> Identity {
    let state = active();
    after(&state, &compromise(state.link(), 15, &[3]), 20)
}

fn deactivated() -> Identity {
    let state = active();
    after(&state, &deactivation(state.link(), &[3]), 20)
}

/// Every state meets every event, each signed as its row says.
#[test]
fn every_event_in_every_state() {
    use StateError::{Compromised, Deactivated, NotRegistered, Registered};
    let states = [None, Some(active()), Some(compromised()), Some(deactivated())];
    let no_link = Link { sequence: 0, previous: inception().hash() };
    // Columns: the states above.
    let registered = [Ok(Status::Active), Err(Registered), Err(Registered), Err(Registered)];
    let by_recovery = |then| [Err(NotRegistered), Ok(then), Ok(then), Err(Deactivated)];
    let by_others = |then| [Err(NotRegistered), Ok(then), Err(Compromised), Err(Deactivated)];
    for (column, state) in states.iter().enumerate() {
        let link = state.as_ref().map_or(no_link, Identity::link);
        for (name, event, want) in [
            ("inception", inception(), &registered),
            ("rotation", rotation(link, &[1, 2]), &by_others(Status::Active)),
            ("recovery", recovery(link, 12, &[3, 5]), &by_recovery(Status::Active)),
            ("compromise by the recovery key", compromise(link, 12, &[3]), &by_recovery(Status::Compromised)),
            ("compromise by the next key", compromise(link, 12, &[2]), &by_others(Status::Compromised)),
            ("deactivation by the recovery key", deactivation(link, &[3]), &by_recovery(Status::Deactivated)),
            ("deactivation by the others", deactivation(link, &[1, 2]), &by_others(Status::Deactivated)),
        ] {
            let got = Identity::apply(state.as_ref(), &event, at(30)).map(|state| state.status());
            assert_eq!(got, want[column], "{name} in column {column}");
        }
    }
}

#[test]
fn what_each_event_does() {
    let state = active();
    let rotated = after(&state, &rotation(state.link(), &[1, 2]), 20);
    assert_eq!((rotated.key(), rotated.next(), rotated.recovery()), (&raw(2), to(4), to(3)));
    assert!(rotated.capabilities().vouches);
    assert_eq!(rotated.link().sequence, 2);
    // The event at 20 is itself made under the old key.
    assert_eq!(rotated.key_at(at(20)), Some(&raw(1)));
    assert_eq!(rotated.key_at(at(21)), Some(&raw(2)));
    assert_eq!(rotated.key_at(at(10)), None);
    assert!(!rotated.is_void(at(15)));

    let stolen = after(&rotated, &compromise(rotated.link(), 30, &[4]), 40);
    assert_eq!(stolen.windows(), [Window { since: at(30), until: None }]);
    let again = after(&stolen, &compromise(stolen.link(), 25, &[3]), 41);
    let back = after(&again, &recovery(again.link(), 35, &[3, 5]), 50);
    assert_eq!(back.status(), Status::Active);
    assert_eq!((back.key(), back.next(), back.recovery()), (&raw(5), to(6), to(7)));
    assert_eq!(back.recovered(), Some(at(50)));
    let void: Vec<u64> = (0..60).filter(|index| back.is_void(at(*index))).collect();
    assert_eq!(void, (25..50).collect::<Vec<_>>());
}

/// Without the keys that the owner keeps apart, nothing of this can be done.
#[test]
fn s24_a_thief_of_the_current_key_signs_and_no_more() {
    let state = active();
    let link = state.link();
    let stolen = 1;
    for event in [
        rotation(link, &[stolen]),
        rotation(link, &[stolen, stolen]),
        rotation(link, &[stolen, 9]),
        rotation(link, &[2, stolen]),
        recovery(link, 12, &[stolen, 5]),
        recovery(link, 12, &[3]),
        recovery(link, 12, &[5, 3]),
        compromise(link, 12, &[stolen]),
        compromise(link, 12, &[stolen, 3]),
        deactivation(link, &[stolen]),
        deactivation(link, &[stolen, 9]),
        deactivation(link, &[2, stolen]),
    ] {
        let refused = Identity::apply(Some(&state), &event, at(30));
        assert_eq!(refused, Err(StateError::Signers(event.event().name())));
    }
    let uncommitted =
        IdentityEvent::Rotation { link, key: raw(9), next: to(4), capabilities: Capabilities::PIPELINE };
    let refused = Identity::apply(Some(&state), &sign(uncommitted, &[1, 9]), at(30));
    assert_eq!(refused, Err(StateError::NotNextKey));
}

#[test]
fn windows_begin_from_the_inception_to_the_event() {
    let state = active();
    for (from, good) in [(0, false), (9, false), (10, true), (30, true), (31, false), (u64::MAX >> 1, false)]
    {
        for event in [compromise(state.link(), from, &[3]), recovery(state.link(), from, &[3, 5])] {
            let got = Identity::apply(Some(&state), &event, at(30));
            assert_eq!(got.is_ok(), good, "since {from}: {got:?}");
        }
    }
}

#[test]
fn events_come_in_their_order() {
    let state = active();
    let rotate = rotation(state.link(), &[1, 2]);
    let rotated = after(&state, &rotate, 20);
    // A second rotation from the same state, and the same one again.
    let other = rotation(Link { sequence: 2, ..state.link() }, &[1, 2]);
    for event in [&rotate, &other] {
        assert!(matches!(
            Identity::apply(Some(&rotated), event, at(30)),
            Err(StateError::NotNext { want: 2, .. })
        ));
    }
    // No key comes back.
    let back = IdentityEvent::Recovery {
        link: rotated.link(),
        key: raw(1),
        next: to(6),
        recovery: to(7),
        capabilities: Capabilities::PIPELINE,
        since: since(20),
    };
    assert_eq!(Identity::apply(Some(&rotated), &sign(back, &[3, 1]), at(30)), Err(StateError::OldKey));
    // Nobody registers another's DID.
    let stranger = Did::of_raw(&raw(8));
    let theft = IdentityEvent::Inception {
        key: raw(1),
        next: to(2),
        recovery: to(3),
        capabilities: Capabilities::PIPELINE,
        public_name: None,
    };
    let refused = Identity::apply(None, &sign_for(stranger, theft, &[1]), at(0));
    assert!(matches!(refused, Err(StateError::NotGenesisKey { .. })));
}

#[test]
fn what_does_not_follow_changes_nothing() {
    let state = active();
    let rotate = rotation(state.link(), &[1, 2]);
    let (first, thief) = (inception(), rotation(state.link(), &[1]));
    let events = [(at(1), &rotate), (at(10), &first), (at(11), &thief), (at(12), &first), (at(20), &rotate)];
    let folded = Identity::fold(events).expect("registered");
    assert_eq!(folded, after(&state, &rotate, 20));
}

#[test]
fn a_number_of_events_is_kept_for_need_and_some_for_the_recovery_key() {
    let mut state = active();
    let link = state.link();
    let rotate = (rotation as fn(Link, &[u8]) -> PendingEvent, &[1, 2][..], "a rotation");
    let others = "an event that the recovery key does not sign";
    let report = (|link, by: &[u8]| compromise(link, 12, by)) as fn(Link, &[u8]) -> PendingEvent;
    let end = deactivation as fn(Link, &[u8]) -> PendingEvent;
    let recover = (|link, by: &[u8]| recovery(link, 12, by)) as fn(Link, &[u8]) -> PendingEvent;
    for (most, (make, signers, kind)) in [
        (240, rotate),
        (248, (report, &[2][..], others)),
        (248, (end, &[1, 2], others)),
        (256, (report, &[3], "an event")),
        (256, (end, &[3], "an event")),
        (256, (recover, &[3, 5], "an event")),
    ] {
        for events in [1, 239, 240, 241, 247, 248, 249, 255, 256, 257] {
            state.events = events;
            let event = make(Link { sequence: events, ..link }, signers);
            let got = Identity::apply(Some(&state), &event, at(30)).map(drop);
            let want =
                if events < most { Ok(()) } else { Err(StateError::TooManyEvents { kind, most, events }) };
            assert_eq!(got, want, "{} by {signers:?} behind {events}", event.event().name());
        }
    }
    // A signature of another key is no way into what is kept.
    state.events = 250;
    let link = Link { sequence: 250, ..link };
    for signers in [&[9][..], &[9, 3], &[2, 3]] {
        let got = Identity::apply(Some(&state), &compromise(link, 12, signers), at(30));
        assert_eq!(got, Err(StateError::TooManyEvents { kind: others, most: 248, events: 250 }));
    }
}

/// A DID of which a thief has every key but the recovery key.
struct Stolen {
    log: Vec<(LeafIndex, PendingEvent)>,
    state: Identity,
    /// The number of the current key; the next one is one more.
    current: u32,
}

impl Stolen {
    fn key(number: u32) -> Ed25519PrivateKey {
        let mut seed = [0xee; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        Ed25519PrivateKey::from_seed(&seed)
    }

    fn raw(number: u32) -> RawKey {
        *Self::key(number).public_key().as_bytes()
    }

    fn recovery_key(number: u32) -> Ed25519PrivateKey {
        Self::key(1_000_000 + number)
    }

    fn to_recovery(number: u32) -> Commitment {
        Commitment::to(Self::recovery_key(number).public_key().as_bytes())
    }

    fn new() -> Self {
        let event = IdentityEvent::Inception {
            key: Self::raw(0),
            next: Commitment::to(&Self::raw(1)),
            recovery: Self::to_recovery(0),
            capabilities: Capabilities::PIPELINE,
            public_name: None,
        };
        let event = Event::about_itself(Did::of_raw(&Self::raw(0)), ORIGIN, event).expect("an event");
        let event = PendingEvent::sign(event, &[&Self::key(0)]).expect("an event");
        let state = Identity::apply(None, &event, at(0)).expect("an inception");
        Self { log: vec![(at(0), event)], state, current: 0 }
    }

    fn sign(&self, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> PendingEvent {
        let event = Event::about_itself(self.state.did(), ORIGIN, event).expect("an event");
        PendingEvent::sign(event, keys).expect("an event")
    }

    /// The log takes it, or refuses it.
    fn log(&mut self, event: PendingEvent) -> Result<(), StateError> {
        let index = at(self.log.len() as u64);
        self.state = Identity::apply(Some(&self.state), &event, index)?;
        self.log.push((index, event));
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), StateError> {
        let (link, next, then) =
            (self.state.link(), Self::raw(self.current + 1), Self::raw(self.current + 2));
        let capabilities = Capabilities::PIPELINE;
        let event = IdentityEvent::Rotation { link, key: next, next: Commitment::to(&then), capabilities };
        let event = self.sign(event, &[&Self::key(self.current), &Self::key(self.current + 1)]);
        self.log(event)?;
        self.current += 1;
        Ok(())
    }

    fn report(&mut self) -> Result<(), StateError> {
        // Each one says something else than the one before.
        let since = since(self.log.len() as u64 / 2);
        let event = IdentityEvent::Compromise { link: self.state.link(), since };
        let event = self.sign(event, &[&Self::key(self.current + 1)]);
        self.log(event)
    }

    /// What the owner makes of the state that he knows.
    fn recovery(&self, number: u32) -> PendingEvent {
        let new = Self::key(2_000_000 + 2 * number);
        let event = IdentityEvent::Recovery {
            link: self.state.link(),
            key: *new.public_key().as_bytes(),
            next: Commitment::to(&Self::raw(2_000_001 + 2 * number)),
            recovery: Self::to_recovery(number + 1),
            capabilities: Capabilities::PIPELINE,
            since: since(1),
        };
        self.sign(event, &[&Self::recovery_key(number), &new])
    }
}

/// Whoever holds all keys but one uses up the room of a DID: its owner takes it back all the same, and more than once.
#[test]
fn s24_a_thief_of_current_and_next_key_cannot_use_up_what_recovers() {
    let mut stolen = Stolen::new();
    while stolen.rotate().is_ok() {}
    assert_eq!(stolen.log.len(), 240);
    stolen.report().expect("one report");
    assert_eq!(stolen.report(), Err(StateError::Compromised));
    assert_eq!(stolen.rotate(), Err(StateError::Compromised));
    let taken = stolen.log.len();
    for number in 0..256 - taken as u32 {
        assert_eq!(stolen.state.link().sequence, 241 + number);
        let event = stolen.recovery(number);
        stolen.log(event).expect("the owner takes it back");
        assert!(stolen.rotate().is_err() && stolen.report().is_err(), "the thief's keys are over");
        assert_eq!((stolen.state.status(), stolen.state.is_void(at(240))), (Status::Active, true));
    }
    let events = stolen.log.iter().map(|(index, event)| (*index, event));
    assert_eq!(Identity::fold(events), Some(stolen.state.clone()));
    assert_eq!(stolen.log.len(), MAX_EVENTS as usize);
}

/// Each event moves the link that a recovery names. Whoever has the next key does that once.
#[test]
fn s24_a_thief_of_the_next_key_is_in_the_way_of_one_recovery_at_most() {
    let mut stolen = Stolen::new();
    let before = stolen.recovery(0);
    stolen.report().expect("one report");
    assert_eq!(stolen.log(before), Err(StateError::NotNext { want: 2, got: 1 }));
    let after = stolen.recovery(0);
    assert_eq!(stolen.report(), Err(StateError::Compromised));
    stolen.log(after).expect("it follows");
}

#[test]
fn what_a_state_allows() {
    let vouch = TrustEvent::Vouch {
        id: StatementId([1; 16]),
        issued_at: LogTime::from_millis(1).expect("a time"),
        scope: Scope::General,
        level: Level::Strong,
        depth: None,
        expires_at: LogTime::from_millis(2).expect("a time"),
    };
    let confirm =
        TrustEvent::Confirmation { artifact: tlog::Hash::of(b"a"), receipt: since(1), build: since(2) };
    let subject = Did::of_raw(&raw(8));
    let by = |trust: &TrustEvent, seed: u8| {
        let event = Event::about(subject, did(), ORIGIN, trust.clone()).expect("an event");
        PendingEvent::sign(event, &[&key(seed)]).expect("an event")
    };
    let state = active();
    let rotated = after(&state, &rotation(state.link(), &[1, 2]), 20);
    for (name, state, seed, artifact, vouching, confirming) in [
        ("bare", None, 1, "", "not-registered", "not-registered"),
        ("bare, another key", None, 2, "signer-key", "not-registered", "not-registered"),
        ("active", Some(&state), 1, "", "capability", ""),
        ("active, the next key", Some(&state), 2, "retired-key", "retired-key", "retired-key"),
        ("rotated", Some(&rotated), 2, "", "", ""),
        ("rotated, the old key", Some(&rotated), 1, "retired-key", "retired-key", "retired-key"),
        ("compromised", Some(&compromised()), 1, "compromised", "compromised", "compromised"),
        ("deactivated", Some(&deactivated()), 1, "deactivated", "deactivated", "deactivated"),
    ] {
        let rule = |result: Result<(), StateError>| result.err().map_or("", |error| error.rule());
        assert_eq!(rule(check_artifact_signer(state, did(), &raw(seed))), artifact, "{name}");
        assert_eq!(rule(check_trust_signer(state, &by(&vouch, seed), &vouch)), vouching, "{name}");
        assert_eq!(rule(check_trust_signer(state, &by(&confirm, seed), &confirm)), confirming, "{name}");
    }
}
