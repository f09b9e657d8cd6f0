//! What events say about earlier leaves, and leaves that come again.

use attestation::entry::Visibility;
use attestation::event::{
    Capabilities, Commitment, DatedKey, Event, EventEntry, FailureReason, IdentityEvent, Level, MessageKeys,
    PendingEvent, Reference, Scope, StatementId, TrustEvent,
};
use attestation::finding::{BadEntry, Proof};
use attestation::message::MessageKey;
use tlog::LeafIndex;

use super::*;

/// Where the story begins.
const FIRST: u64 = 250;

fn inception(number: u8) -> Vec<u8> {
    let raw = |number| *pipeline(number).public_key().as_bytes();
    let event = IdentityEvent::Inception {
        key: raw(number),
        next: Commitment::to(&raw(number + 10)),
        recovery: Commitment::to(&raw(number + 20)),
        capabilities: Capabilities { messages: true, receipts: true, vouches: true },
        public_name: None,
    };
    let event = Event::about_itself(did(number), ORIGIN, event).expect("an event");
    PendingEvent::sign(event, &[&pipeline(number)]).expect("it fits").to_leaf(time(1_000))
}

/// What pipeline 1 says about pipeline 2.
fn says(event: TrustEvent) -> Vec<u8> {
    let event = Event::about(did(2), did(1), ORIGIN, event).expect("an event");
    PendingEvent::sign(event, &[&pipeline(1)]).expect("it fits").to_leaf(time(1_000))
}

/// The leaf of this place in the story.
fn at(place: u64) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(FIRST + place) }
}

/// Both built this.
fn artifact(about: u64) -> Hash {
    Hash::of(&about.to_be_bytes())
}

fn confirms(about: u64, receipt: u64, build: u64) -> Vec<u8> {
    says(TrustEvent::Confirmation { artifact: artifact(about), receipt: at(receipt), build: at(build) })
}

fn fails(id: u8) -> Vec<u8> {
    let reason = FailureReason::Digest;
    says(TrustEvent::Failure { id: StatementId([id; 16]), artifact: artifact(7), reason })
}

fn withdraws(failure: u64) -> Vec<u8> {
    says(TrustEvent::Withdrawal { failure: at(failure) })
}

fn builds(number: u8, logged_at: u64) -> Vec<u8> {
    signed(number, did(number), 7, Visibility::Public).1.to_leaf(time(logged_at))
}

fn vouch() -> Vec<u8> {
    let (id, scope, level) = (StatementId([9; 16]), Scope::CodeSigning, Level::Strong);
    let (issued_at, expires_at) = (time(1), time(1_000_000));
    says(TrustEvent::Vouch { id, issued_at, scope, level, depth: None, expires_at })
}

fn revocation() -> Vec<u8> {
    let (id, scope) = (StatementId([8; 16]), Scope::CodeSigning);
    says(TrustEvent::Revocation { id, issued_at: time(1), scope })
}

/// The message keys of a pipeline, behind those of another leaf.
fn message_keys(number: u8, behind: Option<&[u8]>, key: u8) -> Vec<u8> {
    let key = MessageKey::of_identity(&pipeline(key).public_key());
    let previous = behind.map(|leaf| EventEntry::parse(leaf).expect("an event").pending().hash());
    let keys = vec![DatedKey { key, not_after: time(2_000) }];
    let event = MessageKeys { issued_at: time(1_000), keys, previous };
    let event = Event::message_keys(did(number), ORIGIN, event).expect("an event");
    PendingEvent::sign(event, &[&pipeline(number)]).expect("it fits").to_leaf(time(1_000))
}

/// A name, a leaf, and the rule that it breaks with the places of the leaves that show it.
type Step = (&'static str, Vec<u8>, Option<(&'static str, &'static [u64])>);

fn story() -> Vec<Step> {
    let first = message_keys(1, None, 1);
    let second = message_keys(1, Some(&first), 2);
    let order = |shown: &'static [u64]| Some(("message-keys-order", shown));
    vec![
        /*  0 */ ("one", inception(1), None),
        /*  1 */ ("two", inception(2), None),
        /*  2 */ ("a build of two", builds(2, 1_000), None),
        /*  3 */ ("the same by one", builds(1, 1_000), None),
        /*  4 */ ("a confirmation", confirms(7, 2, 3), None),
        /*  5 */ ("the same again", confirms(7, 2, 3), Some(("known", &[4]))),
        /*  6 */ ("of its own build", confirms(7, 3, 3), Some(("reference", &[3]))),
        /*  7 */ ("of another artifact", confirms(8, 2, 3), Some(("reference", &[2, 3]))),
        /*  8 */ ("of what comes later", confirms(7, 100, 3), Some(("reference", &[3]))),
        /*  9 */ ("of an event", confirms(7, 1, 3), Some(("reference", &[1, 3]))),
        /* 10 */ ("a report", fails(1), None),
        /* 11 */ ("one more while it is open", fails(2), Some(("failure-open", &[10]))),
        /* 12 */ ("a withdrawal of no report", withdraws(2), Some(("failure-not-open", &[2]))),
        /* 13 */ ("of one that is a finding itself", withdraws(11), None),
        /* 14 */ ("of the report", withdraws(10), None),
        /* 15 */ ("the same withdrawal", withdraws(10), Some(("known", &[14]))),
        /* 16 */ ("the report that was refused", fails(2), None),
        /* 17 */ ("a vouch", vouch(), None),
        /* 18 */ ("taken back", revocation(), None),
        /* 19 */ ("and replayed", vouch(), Some(("known", &[17]))),
        /* 20 */ ("an inception again", inception(2), Some(("known", &[1]))),
        /* 21 */ ("message keys", first.clone(), None),
        /* 22 */ ("of another device, as the first", message_keys(1, None, 3), order(&[21])),
        /* 23 */ ("behind the first", second, None),
        /* 24 */ ("of a device that was late", message_keys(1, Some(&first), 4), order(&[23])),
        /* 25 */ ("behind another's", message_keys(2, Some(&first), 5), order(&[])),
        /* 26 */ ("by nobody who is registered", message_keys(3, None, 6), Some(("event-state", &[]))),
        /* 27 */ ("an old build in a later week", builds(2, 2_000), Some(("known", &[2]))),
    ]
}

fn shown(bad: &BadEntry) -> Vec<u64> {
    let leaves = bad.earlier.iter().chain(&bad.references);
    leaves.map(|leaf| leaf.index.get() - FIRST).collect()
}

#[track_caller]
fn assert_found(watch: &Watch, steps: &[Step]) {
    let findings = watch.findings();
    for (index, (name, _, want)) in (FIRST..).zip(steps) {
        let bad = findings.iter().find_map(|(finding, _)| match finding.proof() {
            Proof::BadEntry(bad) if bad.leaf.index.get() == index => Some(bad),
            _ => None,
        });
        let got = bad.map(|bad| (bad.rule.name(), shown(bad)));
        assert_eq!(got, want.map(|(rule, places)| (rule, places.to_vec())), "{name}");
    }
    assert_eq!(findings.len(), steps.iter().filter(|(_, _, want)| want.is_some()).count());
}

/// Whatever a log refuses at sequencing is found in one that took it, with the leaves that show it: by a monitor that
/// sees it all at once, and by one that is started again behind each leaf.
#[test]
fn what_a_log_must_refuse_is_found_in_one_that_took_it() {
    for at_once in [true, false] {
        let log = FakeLog::start(1);
        log.grow_to(FIRST);
        let watch = Watch::new(&log, "");
        for (name, leaf, want) in story() {
            log.push(leaf);
            if !at_once {
                log.publish();
                let round = watch.look();
                let new = if want.is_some() { vec!["bad-entry"] } else { vec![] };
                assert_eq!(classes(&round), new, "{name}: {:?} {:?}", round.found, round.unchecked);
                assert_clean(&watch.look());
            }
        }
        log.publish();
        watch.look();
        assert_found(&watch, &story());
    }
}

/// A process that dies between its memory and its state leaves a memory that is ahead: nothing is found that is not so.
#[test]
fn a_memory_that_is_ahead_of_the_state_accuses_nobody() {
    let log = FakeLog::start(1);
    log.grow_to(FIRST);
    let watch = Watch::new(&log, "");
    let state = watch.dir().join("state/state.json");
    for (_, leaf, _) in story() {
        log.push(leaf);
        log.publish();
        let before = std::fs::read(&state).ok();
        watch.look();
        match before {
            Some(before) => std::fs::write(&state, before).expect("written"),
            None => std::fs::remove_file(&state).expect("removed"),
        }
        watch.look();
    }
    assert_found(&watch, &story());
}

/// A folder of a release that remembered nothing: what was logged by then is not held against anybody.
#[test]
fn what_a_monitor_does_not_remember_it_does_not_judge() {
    let log = FakeLog::start(1);
    log.grow_to(FIRST);
    let watch = Watch::new(&log, "");
    let steps = story();
    // Up to the report, before it is withdrawn.
    steps[..12].iter().for_each(|(_, leaf, _)| log.push(leaf.clone()));
    let first = message_keys(1, None, 1);
    log.push(first.clone());
    log.publish();
    watch.look();
    let before = watch.findings().len();
    std::fs::remove_dir_all(watch.dir().join("state/earlier")).expect("removed");
    for (name, leaf) in [
        ("a withdrawal of a report from before", withdraws(10)),
        ("a confirmation of a build from before", confirms(9, 2, 3)),
        ("a build from before", builds(2, 1_000)),
        ("a report", fails(5)),
        ("message keys behind those from before", message_keys(1, Some(&first), 2)),
    ] {
        log.push(leaf);
        log.publish();
        let round = watch.look();
        assert_clean(&round);
        assert_eq!(watch.findings().len(), before, "{name}");
    }
    // What it has seen since, it judges.
    log.push(fails(6));
    log.push(builds(2, 1_000));
    log.push(message_keys(1, Some(&first), 3));
    log.publish();
    assert_eq!(classes(&watch.look()), ["bad-entry", "bad-entry", "bad-entry"]);
    let mut rules: Vec<_> = watch.findings().iter().map(rule).collect();
    rules.sort_unstable();
    let all = ["failure-open", "failure-open", "known", "known"];
    assert_eq!(rules.iter().filter(|rule| all.contains(rule)).count(), 4, "{rules:?}");
    assert_eq!(rules.iter().filter(|rule| **rule == "message-keys-order").count(), 1, "{rules:?}");
}

fn rule((finding, _): &(Finding, Confirmed)) -> &'static str {
    match finding.proof() {
        Proof::BadEntry(bad) => bad.rule.name(),
        _ => finding.class(),
    }
}

/// Who watches a DID is told of its message keys: a thief of its key may have said them.
#[test]
fn message_keys_of_a_watched_did_are_told() {
    let log = FakeLog::start(1);
    let first = message_keys(1, None, 1);
    for leaf in [inception(1), inception(2), first.clone(), message_keys(2, None, 2)] {
        log.push(leaf);
    }
    log.publish();
    let watch = Watch::new(&log, "").with(&["--watch-did", &did(1).to_string()]);
    assert_clean(&watch.look());
    let record = std::fs::read_to_string(watch.dir().join("state/alerts.jsonl")).expect("a record");
    let alerts: Vec<serde_json::Value> =
        record.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = alerts.iter().map(|alert| (&alert["index"], &alert["predicateType"])).collect();
    let (inception, keys) = ("https://aip.dev/event/inception/v1", "https://aip.dev/event/message-keys/v1");
    let want = [(0, inception), (2, keys)].map(|(index, kind)| (index.into(), kind.into()));
    assert_eq!(
        told,
        want.each_ref().map(|(index, kind): &(serde_json::Value, serde_json::Value)| (index, kind))
    );
}
