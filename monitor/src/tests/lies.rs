//! Every way a log can lie, and the finding it gives.

use attestation::entry::Visibility;
use attestation::event::{
    Capabilities, Commitment, Event, IdentityEvent, Link, PendingEvent, Scope, StatementId, TrustEvent,
};
use attestation::finding::Proof;

use super::*;

/// Two logs with one key whose trees part at entry `at`.
fn two_faces(at: u64, one: u64, other: u64) -> (FakeLog, FakeLog) {
    let logs = [(one, "a"), (other, "b")].map(|(size, tail)| {
        let log = FakeLog::start(1);
        log.grow_to(at.min(size));
        log.grow_to_as(size, tail);
        log.publish();
        log
    });
    logs.into()
}

fn witness_line(log: &FakeLog) -> String {
    format!("witness w {} {}\n", witness(1).verifier(), log.url())
}

/// S19: two logs with one key, each honest by itself, are shown to two clients: the monitor finds out in one look.
#[test]
fn s19_a_split_view_is_caught_in_one_look_100_of_100() {
    let (mut caught, mut tried) = (0, 0);
    for trial in 0..100u64 {
        // Sizes and the place where they part, spread over small trees and tile borders.
        let (at, one, other) = (trial * 7 % 300, 301 + trial * 13 % 400, 301 + trial * 29 % 400);
        let (mine, yours) = two_faces(at, one, other);
        let watch = Watch::new(&mine, "").with(&["--view", &yours.url()]);
        let round = watch.look();
        tried += 1;
        let findings = watch.findings();
        assert_eq!(classes(&round), ["fork"], "{at} {one} {other}: {:?}", round.unread);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].1.finders_word().is_empty(), "a fork needs nobody's word");
        caught += 1;
    }
    assert_eq!((caught, tried), (100, 100));
}

/// The same between a monitor and a witness, which has only the checkpoint.
#[test]
fn s19_what_a_witness_was_shown_is_compared_at_every_size() {
    let mut caught = 0;
    for (at, one, other) in (0..6)
        .flat_map(|at| (at + 1..8).flat_map(move |one| (at + 1..=one).map(move |other| (at, one, other))))
    {
        let (mine, yours) = two_faces(at, one, other);
        let watch = Watch::new(&mine, &witness_line(&mine));
        mine.publish_cosigned(&witness(1), NOW / 1_000);
        mine.put_witnessed(cosigned(&yours.note(), &witness(1), NOW / 1_000));
        let round = watch.look();
        // One that cosigned ours, and shows a smaller one, has forgotten besides.
        let want: &[&str] = if other < one { &["forgotten", "fork"] } else { &["fork"] };
        assert_eq!(classes(&round), want, "{at} {one} {other}");
        assert_eq!(watch.classes(), want);
        caught += 1;
    }
    assert_eq!(caught, 83);
}

/// A witness that was shown the beginning of our tree agrees with us, whatever its size.
#[test]
fn views_that_agree_are_no_finding() {
    let log = FakeLog::start(1);
    log.grow_to(700);
    log.publish();
    let watch = Watch::new(&log, &witness_line(&log)).with(&["--view", &log.url()]);
    let mut monitor = watch.open();
    // A witness that has cosigned nothing says nothing.
    assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
    for size in [0, 1, 255, 256, 257, 512, 699, 700] {
        log.put_witnessed(cosigned(&log.note_at(size), &witness(1), NOW / 1_000));
        assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
    }
}

/// I6: a witness that shows less than it cosigned, by its own word or by what the log shows, is a finding. It stays
/// one after a restart of the monitor, and while the witness grows again below that size.
#[test]
fn a_witness_that_has_forgotten_is_a_finding() {
    let log = FakeLog::start(1);
    log.grow_to(700);
    log.publish_cosigned(&witness(1), NOW / 1_000);
    let shows = |size, seconds| log.put_witnessed(cosigned(&log.note_at(size), &witness(1), seconds));
    let watch = Watch::new(&log, &witness_line(&log));
    shows(700, NOW / 1_000);
    assert_clean(&watch.look());
    for (size, seconds) in [(300, NOW / 1_000 - 60), (301, NOW / 1_000 + 60)] {
        shows(size, seconds);
        let round = watch.look();
        assert_eq!(classes(&round), ["forgotten"]);
        let detail = format!("has cosigned size 700, and shows size {size}");
        assert!(round.found[0].detail.contains(&detail), "{}", round.found[0].detail);
        assert!(round.unchecked.is_none() && round.unread.is_empty(), "the log is followed all the same");
    }
    let went_back = watch
        .findings()
        .iter()
        .any(|(_, confirmed)| confirmed.proven().iter().any(|sentence| sentence.ends_with(": it went back")));
    assert!(went_back, "by its own times");
    // It has the tree again.
    shows(700, NOW / 1_000 + 120);
    assert_clean(&watch.look());
    // It says that it has never cosigned anything.
    log.restore();
    log.publish_cosigned(&witness(1), NOW / 1_000);
    assert_eq!(classes(&watch.look()), ["forgotten"]);
    // What it does not sign itself accuses nobody.
    log.put_witnessed(log.note_at(300));
    let round = watch.look();
    assert!(round.found.is_empty() && round.unread.len() == 1, "{:?}", round.found);
    assert_eq!(watch.classes(), ["forgotten"; 3]);
}

/// The log itself shows another tree later: each size before and after, each place where they part.
#[test]
fn a_log_that_leaves_its_tree_is_caught_at_every_entry() {
    let mut caught = 0;
    for first in 1..=9 {
        for at in 0..first {
            for second in at + 1..=11 {
                let (log, other) = two_faces(at, first, second);
                let watch = Watch::new(&log, "");
                assert_clean(&watch.look());
                // The same place now serves the other tree.
                let moved = Watch { policy: watch.policy.replace(&log.url(), &other.url()), ..watch };
                let round = moved.look();
                // A smaller tree that is another one, too, is both; our own edge tells.
                let want: &[&str] = if second < first { &["shrink", "fork"] } else { &["fork"] };
                assert_eq!(classes(&round), want, "{first} {at} {second}");
                assert_eq!(moved.classes().len(), want.len());
                caught += 1;
            }
        }
    }
    let cases: u64 = (1..=9u64).map(|first| (0..first).map(|at| 11 - at).sum::<u64>()).sum();
    assert_eq!(caught, cases);
}

#[test]
fn a_shrink_is_found_and_growth_goes_on_after_it() {
    let log = FakeLog::start(1);
    log.grow_to(300);
    log.publish();
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look());
    log.put("checkpoint", log.note_at(299).into_bytes());
    assert_eq!(classes(&watch.look()), ["shrink"]);
    let (_, confirmed) = &watch.findings()[0];
    assert_eq!(confirmed.finders_word().len(), 1, "what was served when, is our word");
    log.restore();
    log.grow_to(301);
    log.publish();
    assert_clean(&watch.look());
}

/// One bit in any object that a growth touches.
#[test]
fn a_flipped_bit_in_any_tile_or_bundle_is_found() {
    for (size, paths) in [
        (3, vec!["tile/0/000.p/3", "tile/entries/000.p/3"]),
        (256, vec!["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]),
        (
            700,
            vec![
                "tile/0/000",
                "tile/0/001",
                "tile/0/002.p/188",
                "tile/1/000.p/2",
                "tile/entries/000",
                "tile/entries/001",
                "tile/entries/002.p/188",
            ],
        ),
        (
            66_000,
            vec![
                "tile/0/000",
                "tile/0/255",
                "tile/0/257.p/208",
                "tile/1/000",
                "tile/1/001.p/1",
                "tile/2/000.p/1",
                "tile/entries/001",
                "tile/entries/257.p/208",
            ],
        ),
    ] {
        let log = FakeLog::start(1);
        log.grow_to(size);
        log.publish();
        for path in paths {
            let truth = log.truth(path);
            for at in [0, truth.len() / 2, truth.len() - 1] {
                let mut bytes = truth.clone();
                bytes[at] ^= 1;
                log.put(path, bytes);
                let watch = Watch::new(&log, "");
                let round = watch.look();
                assert_eq!(classes(&round), ["bad-tile"], "{path} at {at}: {:?}", round.unchecked);
                let findings = watch.findings();
                assert!(findings[0].0.to_json().contains(path), "{path} at {at}");
                // Once the truth is served, the log is followed from where it was.
                log.restore();
                assert_clean(&watch.look());
            }
        }
    }
}

#[test]
fn tiles_that_are_too_short_or_too_long_are_found() {
    let log = FakeLog::start(1);
    log.grow_to(300);
    log.publish();
    for path in
        ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"]
    {
        let truth = log.truth(path);
        for bytes in [Vec::new(), truth[..truth.len() - 1].to_vec(), [truth.as_slice(), &[0]].concat()] {
            log.put(path, bytes);
            let watch = Watch::new(&log, "");
            assert_eq!(classes(&watch.look()), ["bad-tile"], "{path}");
            assert_eq!(watch.classes(), ["bad-tile"]);
            log.restore();
        }
    }
}

/// A log that signs one tree and serves another.
#[test]
fn a_checkpoint_of_another_tree_than_is_served_is_found() {
    let (served, signed) = two_faces(3, 300, 300);
    served.put("checkpoint", signed.note().into_bytes());
    let watch = Watch::new(&served, "");
    assert_eq!(classes(&watch.look()), ["bad-tile"]);
    assert_eq!(watch.classes(), ["bad-tile"]);
}

/// The log's own key signs a tree with leaves that no admission would take.
#[test]
fn bad_leaves_are_found_by_the_rule_they_break() {
    let good = |about| leaf(1, about, 1_000 + about);
    let text = |leaf: Vec<u8>| String::from_utf8(leaf).expect("an entry is text");
    let forged = signed(2, did(1), 5, Visibility::Public).1.to_leaf(time(1_005));
    for (name, bad, want) in [
        ("no entry", b"hello".to_vec(), "leaf-form"),
        ("nothing", Vec::new(), "leaf-form"),
        ("white space", text(good(5)).replace(',', ", ").into_bytes(), "leaf-form"),
        ("another log's", text(good(5)).replace("log.example.com", "lag.example.com").into_bytes(), "origin"),
        ("in another's name", forged, "signer-key"),
        (
            "another statement",
            text(good(5)).replace("example.com/t", "example.com/u").into_bytes(),
            "claim-signature",
        ),
        ("before its time", leaf(1, 5, 1_003), "logged-at-order"),
    ] {
        // The bad leaf's place, at the start, in the middle and behind a tile's end.
        for before in [5, 258] {
            let log = FakeLog::start(1);
            (0..4).for_each(|about| log.push(good(about)));
            log.grow_to(before - 1);
            log.push(leaf(1, 4, 1_004));
            log.push(bad.clone());
            (6..9).for_each(|about| log.push(good(about)));
            log.publish();
            let watch = Watch::new(&log, "");
            let round = watch.look();
            assert_eq!(classes(&round), ["bad-entry"], "{name}: {:?} {:?}", round.found, round.unchecked);
            let findings = watch.findings();
            let Proof::BadEntry(proof) = findings[0].0.proof() else { panic!("{name}") };
            assert_eq!((proof.rule.name(), proof.leaf.index.get()), (want, before), "{name}");
            // That the DID has no events that nobody saw is the finder's word.
            assert_eq!(findings[0].1.finders_word().len(), usize::from(want == "signer-key"));
            // The tree is signed as it is: what comes after is checked all the same, and this is not told again.
            assert_clean(&watch.look());
        }
    }
}

/// A log that takes an entry of a retired key, or an event that does not follow, is convicted by the identity events.
/// A monitor that was started again in between finds it, too.
#[test]
fn entries_that_break_a_rule_of_state_are_found_with_the_events_that_show_it() {
    let raw = |seed| *pipeline(seed).public_key().as_bytes();
    let commitment = |seed| Commitment::to(&raw(seed));
    let sign = |event: IdentityEvent, keys: &[u8]| {
        let event = Event::about_itself(did(1), ORIGIN, event).expect("an event");
        let keys: Vec<_> = keys.iter().map(|seed| pipeline(*seed)).collect();
        PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("it fits")
    };
    let capabilities = Capabilities::PIPELINE;
    let inception = IdentityEvent::Inception {
        key: raw(1),
        next: commitment(11),
        recovery: commitment(19),
        capabilities,
        public_name: None,
    };
    let inception = sign(inception, &[1]);
    let link = Link { sequence: 1, previous: inception.hash() };
    let rotation = IdentityEvent::Rotation { link, key: raw(11), next: commitment(12), capabilities };
    let rotation = sign(rotation, &[1, 11]);
    let thief = IdentityEvent::Rotation { link, key: raw(12), next: commitment(13), capabilities };
    let thief = sign(thief, &[1, 12]);
    let end = Link { sequence: 2, previous: rotation.hash() };
    let end = sign(IdentityEvent::Deactivation { link: end }, &[19]);
    let vouch = Event::about(
        did(2),
        did(1),
        ORIGIN,
        TrustEvent::Revocation { id: StatementId([1; 16]), issued_at: time(1), scope: Scope::General },
    );
    let vouch = PendingEvent::sign(vouch.expect("an event"), &[&pipeline(11)]).expect("it fits");
    let by = |seed, about| signed(seed, did(1), about, Visibility::Public).1.to_leaf(time(1_000));
    let of = |event: &PendingEvent| event.to_leaf(time(1_000));
    let forged = String::from_utf8(of(&rotation)).expect("text");
    let at = forged.find(r#""sig":""#).expect("a signature") + 10;
    let other = if forged.as_bytes()[at] == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &forged[..at], &forged[at + 1..]).into_bytes();
    /// A name, a leaf, and the rule that it breaks, shown by so many events.
    type Step = (&'static str, Vec<u8>, Option<(&'static str, usize)>);
    let steps: Vec<Step> = vec![
        ("bare", by(1, 1), None),
        ("an event before the first", of(&rotation), Some(("event-state", 0))),
        ("the first event", of(&inception), None),
        ("its key", by(1, 2), None),
        ("a forged event", forged, Some(("event-signature", 0))),
        ("a key that is not yet its own", by(11, 3), Some(("retired-key", 1))),
        ("a rotation to a key of the thief", of(&thief), Some(("event-state", 1))),
        ("a rotation", of(&rotation), None),
        ("the next key", by(11, 4), None),
        ("the old key", by(1, 5), Some(("retired-key", 2))),
        ("the first event again", of(&inception), Some(("known", 0))),
        ("a vouch without the capability", of(&vouch), Some(("event-state", 2))),
        ("the end", of(&end), None),
        ("after the end", by(11, 6), Some(("retired-key", 3))),
        ("another", leaf(2, 1, 1_000), None),
    ];
    // All at once; and each by a monitor that knows the rest from its folder.
    for at_once in [true, false] {
        let log = FakeLog::start(1);
        log.grow_to(250);
        let watch = Watch::new(&log, "");
        let mut found = 0;
        for (name, leaf, want) in &steps {
            log.push(leaf.clone());
            found += usize::from(want.is_some());
            if !at_once {
                log.publish();
                let round = watch.look();
                let new = if want.is_some() { vec!["bad-entry"] } else { vec![] };
                assert_eq!(classes(&round), new, "{name}: {:?} {:?}", round.found, round.unchecked);
                assert_clean(&watch.look());
            }
        }
        if at_once {
            log.publish();
            assert_eq!(classes(&watch.look()).len(), found);
        }
        let findings = watch.findings();
        assert_eq!(findings.len(), found);
        for (index, (name, _, want)) in (250..).zip(&steps) {
            let at = findings.iter().find_map(|(finding, confirmed)| match finding.proof() {
                Proof::BadEntry(bad) if bad.leaf.index.get() == index => Some((bad, confirmed)),
                _ => None,
            });
            let got = at.map(|(bad, _)| (bad.rule.name(), bad.identity.len()));
            assert_eq!(got, *want, "{name}");
            if let Some((bad, confirmed)) = at {
                assert_eq!(confirmed.finders_word().len(), usize::from(bad.rule.is_of_state()), "{name}");
            }
        }
    }
}

/// The earlier leaf may be far back, and was checked by a process that is no more.
#[test]
fn a_time_that_goes_back_is_held_against_the_last_one() {
    let log = FakeLog::start(1);
    log.push(leaf(1, 1, 5_000));
    log.grow_to(600);
    log.publish();
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look());
    log.push(leaf(1, 2, 4_999));
    log.push(leaf(1, 3, 4_999));
    log.push(leaf(1, 4, 5_000));
    log.publish();
    assert_eq!(classes(&watch.look()), ["bad-entry", "bad-entry"]);
    for (finding, _) in watch.findings() {
        let Proof::BadEntry(proof) = finding.proof() else { panic!("a bad entry") };
        assert_eq!(proof.earlier.as_ref().map(|earlier| earlier.index.get()), Some(0));
    }
}

#[test]
fn leaves_that_are_not_understood_are_valid() {
    let log = FakeLog::start(1);
    for kind in ["aip-index", "aip-log", "hashedrekord", "future"] {
        log.push(format!(r#"{{"apiVersion":"1","kind":"{kind}","spec":{{}}}}"#).into_bytes());
    }
    log.push(leaf(1, 1, 1_000));
    log.publish();
    let watch = Watch::new(&log, "");
    let mut monitor = watch.open();
    assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
    let leaves = monitor.follower.leaves();
    assert_eq!(
        leaves.keys().map(String::as_str).collect::<Vec<_>>(),
        ["aip-index", "aip-log", "dsse", "hashedrekord", "other"]
    );
}

#[test]
fn a_checkpoint_that_nobody_cosigned_lately_is_stale() {
    const HOUR: u64 = 60 * 60 * 1_000;
    let log = FakeLog::start(1);
    log.grow_to(5);
    log.publish_cosigned(&witness(1), NOW / 1_000);
    let line = format!("witness w {}\n", witness(1).verifier());
    let watch = Watch::new(&log, &line);
    assert_clean(&watch.look_at(NOW + HOUR - 1));
    assert_eq!(classes(&watch.look_at(NOW + HOUR)), ["stale"]);
    let (_, confirmed) = &watch.findings()[0];
    assert_eq!(confirmed.proven().len(), 2, "the cosignature's time is proven");
    // Cosigned again, same tree: fresh.
    log.publish_cosigned(&witness(1), (NOW + HOUR) / 1_000);
    assert_clean(&watch.look_at(NOW + HOUR));
    // One of the future says nothing.
    log.publish_cosigned(&witness(1), (NOW + HOUR * 1_000) / 1_000);
    assert_clean(&watch.look_at(NOW + 2 * HOUR - 1));
    assert_eq!(classes(&watch.look_at(NOW + 2 * HOUR)), ["stale"]);
    // A cosignature by a stranger is none; then the text's age counts, as we saw it.
    let log = FakeLog::start(1);
    log.grow_to(5);
    log.publish_cosigned(&witness(2), NOW / 1_000);
    let watch = Watch::new(&log, &line);
    assert_clean(&watch.look_at(NOW));
    assert_clean(&watch.look_at(NOW + HOUR - 1));
    assert_eq!(classes(&watch.look_at(NOW + HOUR)), ["stale"]);
    assert_eq!(watch.classes(), ["stale"]);
    // Nor does it help to show another tree every time.
    let log = FakeLog::start(1);
    let watch = Watch::new(&log, &line);
    for (size, minutes) in [(1, 0), (2, 30), (3, 59), (4, 60)] {
        log.grow_to(size);
        log.publish();
        let want: &[&str] = if minutes < 60 { &[] } else { &["stale"] };
        assert_eq!(classes(&watch.look_at(NOW + minutes * 60_000)), want);
    }
    // Without witnesses an idle log is an idle log.
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look_at(NOW));
    assert_clean(&watch.look_at(NOW + 100 * HOUR));
}

/// A witness may be ahead of what is published, for a while.
#[test]
fn a_witness_ahead_is_a_finding_only_after_a_time() {
    const MINUTE: u64 = 60_000;
    let log = FakeLog::start(1);
    log.grow_to(20);
    let ahead = cosigned(&log.note_at(20), &witness(1), NOW / 1_000);
    let watch = Watch::new(&log, &witness_line(&log));
    log.put("checkpoint", cosigned(&log.note_at(10), &witness(1), NOW / 1_000).into_bytes());
    log.put_witnessed(ahead.clone());
    assert_clean(&watch.look_at(NOW));
    assert_clean(&watch.look_at(NOW + 10 * MINUTE - 1));
    assert_eq!(classes(&watch.look_at(NOW + 10 * MINUTE)), ["stale"]);
    assert_eq!(watch.classes(), ["stale"]);
    // It is published at last: nothing is wrong any more.
    log.restore();
    log.publish_cosigned(&witness(1), NOW / 1_000 + 600);
    log.put_witnessed(ahead);
    assert_clean(&watch.look_at(NOW + 11 * MINUTE));
}

/// What a witness was shown ahead of us is held against our tree once that is as large, though the witness
/// shows something else by then.
#[test]
fn a_fork_ahead_is_found_when_our_tree_gets_there() {
    let (mine, yours) = two_faces(10, 10, 20);
    let watch = Watch::new(&mine, &witness_line(&mine));
    mine.publish_cosigned(&witness(1), NOW / 1_000);
    mine.put_witnessed(cosigned(&yours.note_at(15), &witness(1), NOW / 1_000));
    assert_clean(&watch.look());
    mine.put_witnessed(cosigned(&yours.note_at(20), &witness(1), NOW / 1_000));
    assert_clean(&watch.look());
    mine.grow_to_as(15, "a");
    mine.publish_cosigned(&witness(1), NOW / 1_000);
    assert_eq!(classes(&watch.look()), ["fork"]);
    let findings = watch.findings();
    let Proof::Fork(fork) = findings[0].0.proof() else { panic!("a fork") };
    let sizes =
        [&fork.older, &fork.newer].map(|note| Checkpoint::parse(note.text()).expect("one").size.get());
    assert_eq!(sizes, [15, 15]);
}

/// Witnesses that cannot be read, or show what the log did not sign, accuse nobody.
#[test]
fn a_witness_cannot_accuse_a_log() {
    let log = FakeLog::start(1);
    log.grow_to(5);
    log.publish_cosigned(&witness(1), NOW / 1_000);
    let stranger = FakeLog::start(2);
    stranger.grow_to_as(5, "x");
    let watch = Watch::new(&log, &witness_line(&log));
    for note in [cosigned(&stranger.note_at(5), &witness(1), NOW / 1_000), "rubbish".to_owned()] {
        log.put_witnessed(note);
        let round = watch.look();
        assert!(round.found.is_empty() && round.unchecked.is_none());
        assert_eq!(round.unread.len(), 1);
    }
}

#[test]
fn envelopes_are_counted_and_checked_only_when_asked_for() {
    let log = FakeLog::start(1);
    let entries: Vec<_> = (0..4).map(|about| signed(1, did(1), about, Visibility::Public)).collect();
    for ((envelope, entry), about) in entries.iter().zip(0..) {
        log.push(entry.to_leaf(time(1_000 + about)));
        log.put_envelope(envelope.hash(), Some(envelope.to_json()));
    }
    log.push(signed(1, did(1), 9, Visibility::Private).1.to_leaf(time(2_000)));
    log.publish();
    let hash = |at: usize| entries[at].0.hash();
    log.put_envelope(hash(1), None);
    log.put_envelope(hash(3), Some(entries[0].0.to_json()));
    log.forget(&format!("api/v1/envelopes/{}", hash(2)));
    assert_clean(&Watch::new(&log, "").look());
    assert!(log.hits().iter().all(|path| !path.contains("envelopes")));
    // Present, erased, withheld, another's: none is a finding, each is counted.
    let watch = Watch::new(&log, "").with(&["--envelopes"]);
    let mut monitor = watch.open();
    assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
    assert_eq!(
        log.hits().iter().filter(|path| path.contains("envelopes")).count(),
        4,
        "a private one has none"
    );
    let envelopes = monitor.follower.envelopes();
    let envelopes: Vec<_> = envelopes.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    assert_eq!(envelopes, [("erased", 1), ("present", 1), ("withheld", 1), ("wrong", 1)]);
}

/// A log that takes longer envelopes than anybody reads is followed all the same.
#[test]
fn an_envelope_that_is_too_long_stops_no_monitor() {
    let log = FakeLog::start(1);
    for about in 0..2 {
        let (envelope, entry) = signed(1, did(1), about, Visibility::Public);
        log.push(entry.to_leaf(time(1_000 + about)));
        let json = envelope.to_json();
        let room = if about == 0 { log_client::MAX_ENVELOPE_BYTES + 1 } else { 5 << 20 };
        log.put_envelope(envelope.hash(), Some(format!("{json}{}", " ".repeat(room - json.len()))));
    }
    log.publish();
    let watch = Watch::new(&log, "").with(&["--envelopes"]);
    let mut monitor = watch.open();
    assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
    let envelopes: Vec<_> = monitor.follower.envelopes().keys().cloned().collect();
    assert_eq!(
        (monitor.follower.size().get(), &envelopes[..]),
        (2, &["present".to_owned(), "too-long".to_owned()][..])
    );
}
