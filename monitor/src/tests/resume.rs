//! What is left when a monitor ends in the middle, and what the next one makes of it.

use super::*;

/// The record of alerts.
fn alerts(watch: &Watch) -> Vec<u64> {
    let record = std::fs::read_to_string(watch.dir().join("state/alerts.jsonl")).expect("a record");
    let index = |line: &str| {
        let alert: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(alert["did"], did(1).to_string());
        alert["index"].as_u64().expect("an index")
    };
    record.lines().map(index).collect()
}

/// A log of two signers' entries in turn, `size` of them.
fn two_signers(size: u64) -> FakeLog {
    let log = FakeLog::start(1);
    grow(&log, size);
    log.publish();
    log
}

fn grow(log: &FakeLog, size: u64) {
    (log.size()..size).for_each(|i| log.push(leaf(1 + (i % 2) as u8, i, 1_000 + i)));
}

#[test]
fn entries_of_a_watched_did_are_told() {
    let log = two_signers(10);
    let watch = Watch::new(&log, "").with(&["--watch-did", &did(1).to_string()]);
    assert_clean(&watch.look());
    assert_eq!(alerts(&watch), [0, 2, 4, 6, 8]);
    grow(&log, 12);
    log.publish();
    assert_clean(&watch.look());
    assert_eq!(alerts(&watch), [0, 2, 4, 6, 8, 10]);
    assert!(alerts_of(&watch, did(2)).is_empty());
}

fn alerts_of(watch: &Watch, did: Did) -> Vec<String> {
    let record = std::fs::read_to_string(watch.dir().join("state/alerts.jsonl")).expect("a record");
    record.lines().filter(|line| line.contains(&did.to_string())).map(str::to_owned).collect()
}

/// Every file of the state as it may be when a process dies: each write in turn made, the ones after it not.
/// Whatever is left, every alert is in the record once, and the log is checked to its end.
#[test]
fn r18_no_alert_is_missed_or_doubled_wherever_it_stops() {
    let log = two_signers(600);
    let did = did(1).to_string();
    let watch = Watch::new(&log, "").with(&["--watch-did", &did]);
    assert_clean(&watch.look());
    let state = watch.dir().join("state");
    let read = |name: &str| std::fs::read(state.join(name)).ok();
    let before = [read("state.json"), read("alerts.jsonl")];
    grow(&log, 9_000);
    log.publish();
    assert_clean(&watch.look());
    let after = [read("state.json"), read("alerts.jsonl")];
    let want: Vec<u64> = (0..9_000).step_by(2).collect();
    assert_eq!(alerts(&watch), want);
    let record = after[1].clone().expect("a record");
    let old = before[1].as_ref().expect("a record").len();
    // Appended in part or in whole, and the state not yet replaced.
    for length in [old, old + 1, old + 700, (old + record.len()) / 2, record.len() - 1, record.len()] {
        std::fs::write(state.join("alerts.jsonl"), &record[..length]).expect("written");
        std::fs::write(state.join("state.json"), before[0].as_ref().expect("a state")).expect("written");
        // What a cut-off replacement leaves behind.
        std::fs::write(state.join("state.tmp"), &after[0].as_ref().expect("a state")[..50]).expect("written");
        assert_clean(&watch.look());
        assert_eq!(alerts(&watch), want, "{length}");
        assert_eq!(read("alerts.jsonl"), after[1], "{length}");
    }
}

/// A log that goes away in the middle of a catch-up: what was checked stays checked.
#[test]
fn a_catch_up_goes_on_where_it_stopped() {
    let log = two_signers(10_000);
    let watch = Watch::new(&log, "").with(&["--watch-did", &did(1).to_string()]);
    log.forget("tile/entries/020");
    let round = watch.look();
    assert!(round.unchecked.is_some() && round.found.is_empty());
    let told = alerts(&watch);
    assert_eq!(told, (0..16 * 256).step_by(2).collect::<Vec<u64>>(), "whole groups of bundles");
    // It has grown in the meantime, and the tree still begins with what was believed.
    log.restore();
    grow(&log, 10_100);
    log.publish();
    log.hits();
    assert_clean(&watch.look());
    assert_eq!(alerts(&watch), (0..10_100).step_by(2).collect::<Vec<u64>>());
    let again = log.hits().into_iter().filter(|path| path == "tile/entries/015").count();
    assert_eq!(again, 0, "no entry is read twice");
    // And where it has not grown.
    log.forget("tile/entries/042.p/11");
    let other = Watch::new(&log, "").with(&["--watch-did", &did(1).to_string()]);
    log.forget("tile/entries/039.p/116");
    log.forget("tile/entries/039");
    assert!(other.look().unchecked.is_some());
    log.restore();
    assert_clean(&other.look());
    assert_eq!(alerts(&other), (0..10_100).step_by(2).collect::<Vec<u64>>());
}

/// A checkpoint that was believed binds the log though its entries never came.
#[test]
fn what_was_believed_before_a_crash_still_binds() {
    let log = two_signers(300);
    log.forget("tile/entries/000");
    let watch = Watch::new(&log, "");
    assert!(watch.look().unchecked.is_some());
    let other = FakeLog::start(1);
    grow(&other, 299);
    other.push(leaf(1, 9_999, 2_000));
    grow(&other, 310);
    other.publish();
    let moved = Watch { policy: watch.policy.replace(&log.url(), &other.url()), ..watch };
    assert_eq!(classes(&moved.look()), ["fork"]);
}

#[test]
fn a_state_that_is_not_of_this_tree_is_no_accusation() {
    let log = two_signers(300);
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look());
    let other = FakeLog::start(1);
    other.grow_to(300);
    other.publish();
    let foreign = Watch::new(&other, "");
    assert_clean(&foreign.look());
    // The state of one tree with the checkpoint of another.
    let path = watch.dir().join("state/state.json");
    let read = |watch: &Watch| -> serde_json::Value {
        let text = std::fs::read_to_string(watch.dir().join("state/state.json")).expect("a state");
        serde_json::from_str(&text).expect("JSON")
    };
    let mut mixed = read(&watch);
    mixed["edge"] = read(&foreign)["edge"].clone();
    std::fs::write(&path, mixed.to_string()).expect("written");
    let refused =
        state::StateFile::open(&watch.dir().join("state"), ORIGIN).expect_err("two trees").to_string();
    assert!(refused.contains("is no state of a monitor"), "{refused}");
    // Of a larger tree nobody can tell before it is read.
    grow(&log, 600);
    log.publish();
    mixed["known"]["note"] = log.note().into();
    std::fs::write(&path, mixed.to_string()).expect("written");
    let mut monitor = watch.open();
    let failure = monitor.follower.poll(time(NOW)).expect_err("it cannot go on").to_string();
    assert!(failure.contains("the state's tree of size 300 is not the one"), "{failure}");
    drop(monitor);
    assert!(watch.classes().is_empty());
}
