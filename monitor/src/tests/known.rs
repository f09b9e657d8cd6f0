//! One's own entries and foreign ones: what a receipt proves is one's own, and nothing else is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use attestation::entry::{DsseEntry, Visibility};
use attestation::receipt::Receipt;
use tlog::LeafIndex;
use tlog::note::Note;
use tlog::proof::TlogProof;

use super::*;

/// An entry of the pipeline of this number, which the log takes.
fn push(log: &FakeLog, number: u8, about: u64, visibility: Visibility, logged_at: u64) -> u64 {
    let (_, entry) = signed(number, did(number), about, visibility);
    log.push(entry.to_leaf(time(logged_at)));
    log.size() - 1
}

fn pending(number: u8, about: u64) -> Receipt {
    let (envelope, entry) = signed(number, did(number), about, Visibility::Public);
    let receipt = Receipt::signed(did(number), pipeline(number).public_key(), envelope);
    receipt.expect("a receipt").pending(entry)
}

/// The receipt of a public entry of the pipeline of this number.
fn receipt(log: &FakeLog, index: u64, number: u8, about: u64, logged_at: u64) -> String {
    let (_, entry) = signed(number, did(number), about, Visibility::Public);
    let checkpoint = Note::parse(log.note_at(log.size()).as_bytes()).expect("a note");
    let index = LeafIndex::new(index);
    let proof = TlogProof { extra: None, index, hashes: log.proof(index), checkpoint };
    let entry = DsseEntry::new(entry, time(logged_at));
    pending(number, about).logged(entry, proof, None).expect("a receipt").to_json()
}

/// A monitor of the DID of number 1, with a folder of receipts.
fn watch(log: &FakeLog, flags: &[&str]) -> (Watch, PathBuf) {
    let watch = Watch::new(log, "");
    let folder = watch.dir().join("receipts");
    fs::create_dir(&folder).expect("a folder");
    let known = folder.display().to_string();
    let did = did(1).to_string();
    (watch.with(&[&["--watch-did", &did, "--known", &known], flags].concat()), folder)
}

#[test]
fn an_entry_with_a_receipt_is_ones_own_and_the_same_artifact_signed_again_is_foreign() {
    let log = FakeLog::start(1);
    let own = push(&log, 1, 7, Visibility::Public, 1_000);
    // By somebody who has the key: about the same artifact, even with the same envelope.
    push(&log, 1, 7, Visibility::Private, 1_001);
    push(&log, 2, 8, Visibility::Public, 1_002);
    log.publish();
    let (watch, folder) = watch(&log, &[]);
    // As a job's artifacts are downloaded: a folder a run.
    fs::create_dir_all(folder.join("run-1/dist")).expect("a folder");
    fs::write(folder.join("run-1/dist/app.receipt.json"), receipt(&log, own, 1, 7, 1_000)).expect("written");
    let mut monitor = watch.open();
    assert_clean(&monitor.look(time(NOW)).expect("a disk"));
    assert_eq!(monitor.unproven.entries, 1);
    let text = monitor.summary_line();
    assert_eq!(text, format!("checked: 3 entries of {ORIGIN}; 1 foreign entry, 0 events"));
    // Told once.
    drop(monitor);
    let mut again = watch.open();
    assert_clean(&again.look(time(NOW)).expect("a disk"));
    assert_eq!(again.unproven.entries, 0);
}

#[test]
fn what_does_not_prove_the_entry_makes_nothing_known() {
    let log = FakeLog::start(1);
    let own = push(&log, 1, 7, Visibility::Public, 1_000);
    push(&log, 2, 8, Visibility::Public, 1_001);
    log.publish();
    let good = receipt(&log, own, 1, 7, 1_000);
    // The same leaf in a log of another key, and under another time in this one.
    let other = FakeLog::start(2);
    push(&other, 1, 7, Visibility::Public, 1_000);
    let (watch, folder) = watch(&log, &[]);
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("written");
    write("pending.receipt.json", pending(1, 7).to_json());
    write("another-log.receipt.json", receipt(&other, 0, 1, 7, 1_000));
    write("another-time.receipt.json", receipt(&log, own, 1, 7, 1_001));
    write("another-place.receipt.json", receipt(&log, 1, 1, 7, 1_000));
    write("another-did.receipt.json", receipt(&log, 1, 2, 8, 1_001));
    write("half.receipt.json", good[..good.len() / 2].to_owned());
    write("empty.receipt.json", String::new());
    write("no-receipt.json", good.clone());
    let large = fs::File::create(folder.join("large.receipt.json")).expect("a file");
    large.set_len(100 << 20).expect("a length");
    symlink("/dev/zero", folder.join("endless.receipt.json")).expect("a link");
    symlink("/nowhere", folder.join("nowhere.receipt.json")).expect("a link");
    symlink(&folder, folder.join("again")).expect("a link");
    fs::create_dir(folder.join("folder.receipt.json")).expect("a folder");
    let mut monitor = watch.open();
    assert_clean(&monitor.look(time(NOW)).expect("a disk"));
    assert_eq!(monitor.unproven.entries, 1);
    // The check itself works: with the one that was cut whole, the entry is known.
    write("half.receipt.json", good);
    let state = watch.dir().join("state");
    drop(monitor);
    fs::write(state.join("printed"), "0").expect("written");
    let mut monitor = watch.open();
    assert_clean(&monitor.look(time(NOW)).expect("a disk"));
    assert_eq!(monitor.unproven.entries, 0);
}

/// A job's receipt comes after its entry.
#[test]
fn an_entry_waits_for_its_receipt_as_long_as_it_may() {
    let log = FakeLog::start(1);
    let (watch, folder) = watch(&log, &["--known-within", "1m"]);
    let mut monitor = watch.open();
    let own = push(&log, 1, 7, Visibility::Public, NOW);
    log.publish();
    monitor.look(time(NOW)).expect("a disk");
    // Read while it was being written, and again when it was whole.
    let whole = receipt(&log, own, 1, 7, NOW);
    fs::write(folder.join("app.receipt.json"), &whole[..100]).expect("written");
    monitor.look(time(NOW + 1_000)).expect("a disk");
    fs::write(folder.join("app.receipt.json"), whole).expect("written");
    monitor.look(time(NOW + 2_000)).expect("a disk");
    // Nobody has a receipt of this one; the log's clock does not decide how long that stays untold.
    push(&log, 1, 8, Visibility::Public, NOW + 1_000_000_000);
    log.publish();
    monitor.look(time(NOW + 10_000)).expect("a disk");
    assert_eq!(monitor.unproven.entries, 0, "the first is known, the second may be");
    let text = monitor.summary_line();
    assert!(text.ends_with("; others wait for receipts, up to --known-within"), "{text}");
    monitor.look(time(NOW + 69_999)).expect("a disk");
    assert_eq!(monitor.unproven.entries, 0);
    monitor.look(time(NOW + 70_000)).expect("a disk");
    assert_eq!(monitor.unproven.entries, 1);
    assert!(monitor.summary_line().ends_with("1 foreign entry, 0 events"), "nothing waits any more");
    // Known is what is there: who takes a receipt away takes back that it was one's own.
    fs::remove_file(folder.join("app.receipt.json")).expect("removed");
    drop(monitor);
    fs::write(watch.dir().join("state/printed"), "0").expect("written");
    let mut monitor = watch.open();
    monitor.look(time(NOW + 80_000)).expect("a disk");
    assert_eq!(monitor.unproven.entries, 2);
}

/// No receipt will say that a rotation is one's own: it is told at once.
#[test]
fn an_event_waits_for_no_receipt() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = "quorum none\n".parse().expect("a policy");
    let within = Duration::from_secs(60);
    let known = Known::open(folder.path(), within, ORIGIN, &policy, vec![did(1)]).expect("a folder");
    let told = |more: &str| Told::parse(format!(r#"{{"loggedAt":{NOW},"seenAt":{NOW}{more}}}"#).as_bytes());
    assert_eq!(known.whose(&told(""), time(NOW)), Whose::NotKnownYet);
    assert_eq!(known.whose(&told(r#","subject":"did:aip:00""#), time(NOW)), Whose::Foreign);
}

#[test]
fn a_folder_that_cannot_be_read_silences_nobody() {
    let log = FakeLog::start(1);
    push(&log, 1, 7, Visibility::Public, 1_000);
    log.publish();
    let (once, folder) = watch(&log, &["--once"]);
    let mut monitor = once.open();
    fs::remove_dir(&folder).expect("removed");
    let failure = monitor.look(time(NOW)).expect_err("a single run cannot tell").to_string();
    assert!(failure.contains("cannot read the receipts in"), "{failure}");
    let (on, folder) = watch(&log, &[]);
    let mut monitor = on.open();
    fs::remove_dir(&folder).expect("removed");
    monitor.look(time(NOW)).expect("it goes on");
    assert_eq!(monitor.unproven.entries, 1, "an alarm too many is better than none");
}
