//! Message keys: who is first, and what a relay is told of a DID.

use super::Sequencer;
use attestation::entry::LogTime;
use attestation::event::Capabilities;
use attestation::identity::StateError;
use attestation::message::{MessageKeyId, MessagePrivateKey};
use tlog::key::Ed25519PrivateKey;

use super::identities::{Owner, admitted, answer, at_admission, log};
use super::{Bench, START, artifact, round_of};

const LATER: u64 = START + 1_000_000;

fn id(seed: u8) -> MessageKeyId {
    MessagePrivateKey::from_bytes(&[seed; 32]).id()
}

/// Whether a relay takes what is sealed to a key of this DID.
fn accepts(sequencer: &Sequencer, owner: &Owner, key: &MessageKeyId) -> Result<bool, StateError> {
    let recipient = sequencer.registry().recipient(owner.did).expect("a read").expect("known");
    recipient.accepts(key, LogTime::from_millis(START).expect("a time"))
}

/// Of a hundred devices at once one is first, also where they meet in one round; each of the others has to go behind it.
#[test]
fn s24_of_many_devices_at_once_one_is_first() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut owner = Owner::new(1);
    assert_eq!(log(&mut sequencer, admitted(owner.inception(Capabilities::PIPELINE))), Ok(0));
    let race: Vec<_> = (0..100).map(|key| owner.message_keys(None, &[(key, LATER)])).collect();
    for event in &race {
        assert_eq!(at_admission(&sequencer, &admitted(event.clone())), Ok(()), "each may be the next one");
    }
    // The last of the round goes behind the first of it.
    let behind = owner.message_keys(Some(race[0].hash()), &[(0, LATER), (101, LATER)]);
    let round = race[..90].iter().chain([&behind]).cloned().map(admitted);
    let (outcome, told) = round_of(&mut sequencer, round);
    outcome.expect("a round");
    let want = [Ok(1)].into_iter().chain((1..90).map(|_| Err("message-keys-order"))).chain([Ok(2)]);
    assert!(told.iter().map(answer).eq(want), "{:?}", told.iter().map(answer).collect::<Vec<_>>());
    for event in &race[90..] {
        assert_eq!(log(&mut sequencer, admitted(event.clone())), Err("message-keys-order"));
    }
    assert_eq!(bench.check().get(), 3);
    // The winner that comes again meets itself. A log that opens again knows the same.
    let mut sequencer = bench.open().expect("the log again");
    assert_eq!(log(&mut sequencer, admitted(race[0].clone())), Ok(1));
    assert_eq!(log(&mut sequencer, admitted(race[1].clone())), Err("message-keys-order"));
    let next = owner.message_keys(Some(behind.hash()), &[]);
    assert_eq!(log(&mut sequencer, admitted(next)), Ok(3));
}

/// The rules of state, in their order; and what the registry says of a DID follows each round.
#[test]
fn what_a_relay_is_told_follows_the_log() {
    let bench = Bench::new();
    let mut sequencer = bench.open().expect("a log");
    let mut owner = Owner::new(1);
    let unregistered = admitted(owner.message_keys(None, &[(1, LATER)]));
    assert_eq!(at_admission(&sequencer, &unregistered), Err("not-registered"));
    assert!(sequencer.registry().recipient(owner.did).expect("a read").is_none(), "nobody knows it");
    // An artifact makes it known, by its genesis key.
    log(&mut sequencer, owner.builds(1)).expect("by the genesis key");
    let identity_key =
        sequencer.registry().recipient(owner.did).expect("a read").expect("known").identity_key();
    assert_eq!(accepts(&sequencer, &owner, &identity_key.id()), Ok(true));
    assert_eq!(accepts(&sequencer, &owner, &id(1)), Ok(false));
    log(&mut sequencer, admitted(owner.inception(Capabilities::PIPELINE))).expect("registered");
    let first = owner.message_keys(None, &[(1, LATER)]);
    log(&mut sequencer, admitted(first.clone())).expect("said");
    assert_eq!(accepts(&sequencer, &owner, &id(1)), Ok(true));
    let second = owner.message_keys(Some(first.hash()), &[(2, LATER)]);
    log(&mut sequencer, admitted(second.clone())).expect("said");
    for (key, want) in [(1, true), (2, true), (3, false)] {
        assert_eq!(
            accepts(&sequencer, &owner, &id(key)),
            Ok(want),
            "key {key}: replaced just now, said, or neither"
        );
    }
    let of_stranger = {
        let stranger = Ed25519PrivateKey::from_seed(&[77; 32]);
        artifact(owner.did, &stranger, 9)
    };
    assert_eq!(at_admission(&sequencer, &of_stranger), Err("retired-key"), "as ever, of artifacts");
    let late = admitted(owner.message_keys(Some(second.hash()), &[(3, LATER)]));
    log(&mut sequencer, admitted(owner.rotation())).expect("rotated");
    assert_eq!(at_admission(&sequencer, &late), Err("retired-key"));
    assert_eq!(accepts(&sequencer, &owner, &id(2)), Ok(true), "message keys outlive a rotation");
    assert_eq!(accepts(&sequencer, &owner, &identity_key.id()), Ok(false), "the identity key does not");
    log(&mut sequencer, admitted(owner.compromise(2))).expect("reported");
    assert_eq!(accepts(&sequencer, &owner, &id(2)), Err(StateError::Compromised));
    log(&mut sequencer, admitted(owner.recovery(2))).expect("recovered");
    assert_eq!(accepts(&sequencer, &owner, &id(2)), Ok(false), "void");
    let third = owner.message_keys(Some(second.hash()), &[(4, LATER)]);
    log(&mut sequencer, admitted(third)).expect("behind the void one");
    assert_eq!(accepts(&sequencer, &owner, &id(4)), Ok(true));
    // A registry that remembers nothing says the same.
    let sequencer = bench.open().expect("the log again");
    for (key, want) in [(1, false), (2, false), (4, true)] {
        assert_eq!(accepts(&sequencer, &owner, &id(key)), Ok(want), "key {key}, after a restart");
    }
    bench.check();
}
