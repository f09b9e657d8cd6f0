//! A log whose files are damaged: a start changes nothing, everybody names the file that it is, and what can be read
//! is saved. Real program, real disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attestation::entry::Visibility::Public;
use serde_json::Value;
use testkit::log::{Log, ORIGIN};
use testkit::oracle::{check_log, mirror};
use testkit::program;
use testkit::signer::{Signed, Signer};

/// Logs entries about these contents, ten a round. Answers what was sent.
fn submit(log: &Log, contents: std::ops::Range<u64>) -> Vec<Signed> {
    let signer = Signer::new(1);
    let signed: Vec<Signed> =
        contents.map(|content| signer.sign(ORIGIN, &content.to_be_bytes(), Public, 300)).collect();
    for batch in signed.chunks(10) {
        let (status, answer) = log.submit(&Value::Array(batch.iter().map(Signed::published).collect()));
        assert_eq!(status, 200, "{answer}");
    }
    signed
}

/// A log of 360 entries, all of them in its write-ahead log, that was killed; and a mirror of it.
fn killed() -> (Log, Vec<Signed>, PathBuf) {
    let mut log = Log::start(&["--round-interval", "1ms"]);
    let signed = submit(&log, 0..360);
    let copy = log.folder().join("mirror");
    mirror(&log, &copy);
    log.kill();
    (log, signed, copy)
}

fn run(log: &Log, command: &str, args: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(program("log-server")).arg(command).arg("--dir").arg(log.dir()).args(args).output();
    words(&output.expect("log-server runs"))
}

fn words(output: &Output) -> (Option<i32>, String) {
    let words = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&words).into_owned())
}

/// Every file of a folder, by its name.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

/// The file in the database with this beginning or end that has the most bytes.
fn file_of(log: &Log, is_it: impl Fn(&str) -> bool) -> PathBuf {
    let all = files(&log.dir().join("db"));
    let named = |path: &Path| is_it(path.file_name().and_then(|name| name.to_str()).expect("a name"));
    all.into_iter().filter(|(path, _)| named(path)).max_by_key(|(_, bytes)| bytes.len()).expect("a file").0
}

fn alter(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    how(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Whatever would write to the directory refuses, names the file, and leaves everything as it is.
fn assert_refused(log: &Log, file: &Path, said: &str) {
    let before = files(&log.dir().join("db"));
    let refused = words(&log.serve_refused(&[]));
    let fsck = run(log, "fsck", &[]);
    let backup = run(log, "backup", &["--to", "/nowhere/backup"]);
    let erase = run(log, "erase", &[&"0".repeat(64), "--reason", "x"]);
    let recover = run(log, "recover", &["--from", "/nowhere"]);
    for (what, (code, words), want) in [
        ("serve", refused, 2),
        ("fsck", fsck, 1),
        ("backup", backup, 2),
        ("erase", erase, 2),
        ("recover", recover, 2),
    ] {
        assert_eq!(code, Some(want), "{what}: {words}");
        assert!(words.contains(&name(file)), "{what} names the file: {words}");
        assert!(words.contains(said), "{what}: {words}");
        assert!(words.contains("log-server salvage"), "{what} says what to do: {words}");
    }
    assert!(files(&log.dir().join("db")) == before, "a refusal changes nothing");
}

/// The log is served, whole, with every entry and every envelope.
fn assert_whole(log: &mut Log, signed: &[Signed]) {
    let (code, words) = run(log, "fsck", &[]);
    assert_eq!(code, Some(0), "{words}");
    log.serve(&[]);
    assert_eq!(check_log(log).leaves.len(), signed.len());
    for signed in signed {
        assert_eq!(log.json(&format!("/api/v1/claims/{}", signed.claim())).0, 200);
        assert_eq!(log.get(&format!("/api/v1/envelopes/{}", signed.envelope.hash())).status().as_u16(), 200);
    }
    submit(log, 9_000..9_001);
    log.kill();
}

/// I1: one bit flips at 30 % of the write-ahead log. The refused start leaves the 360 entries where they are, and all
/// of them come back without anybody's help.
#[test]
fn a_flipped_bit_in_the_write_ahead_log_costs_no_entry() {
    let (mut log, signed, _) = killed();
    let file = file_of(&log, |name| name.ends_with(".log"));
    alter(&file, |bytes| {
        let at = bytes.len() * 3 / 10;
        bytes[at] ^= 1;
    });
    assert_refused(&log, &file, "all 360 entries can be read");
    let (code, said) = run(&log, "salvage", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok: 360 entries") && said.contains(" 0 of them and 0 envelopes from elsewhere"),
        "{said}"
    );
    let kept = log.dir().join("db.damaged");
    assert!(said.contains(&kept.display().to_string()) && kept.join(name(&file)).is_file(), "{said}");
    assert_whole(&mut log, &signed);
}

/// A hole costs what was in it, which a mirror has, and nothing behind it. Without a mirror nothing is changed.
#[test]
fn a_hole_in_the_write_ahead_log_is_filled_from_a_mirror() {
    for what in ["zeros", "noise"] {
        let (mut log, signed, mirror) = killed();
        let file = file_of(&log, |name| name.ends_with(".log"));
        alter(&file, |bytes| {
            let at = bytes.len() * 3 / 10;
            for (number, byte) in bytes[at..at + 3_000].iter_mut().enumerate() {
                *byte = if what == "zeros" { 0 } else { ((number * number) >> 3) as u8 };
            }
        });
        assert_refused(&log, &file, "of 360 entries can be read");
        let before = files(&log.dir().join("db"));
        let (code, said) = run(&log, "salvage", &[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("entries were signed and cannot be read: 1") && said.contains("--from"),
            "{said}"
        );
        assert!(files(&log.dir().join("db")) == before, "a refusal changes nothing");
        // One that ends before the hole does.
        let (code, said) = run(&log, "salvage", &["--from", "/nowhere"]);
        assert_eq!(code, Some(2), "{said}");
        let (code, said) = run(&log, "salvage", &["--from", mirror.to_str().expect("a path")]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("ok: 360 entries"), "{said}");
        let lost = said.split(", ").find_map(|part| part.split(" of them and ").next()?.parse::<u64>().ok());
        let lost = lost.expect("how many came from elsewhere") as usize;
        assert!((1..=40).contains(&lost), "a hole of 3,000 bytes costs its rounds: {said}");
        // A mirror of tiles has no envelopes: those of the hole are told to be missing.
        assert!(said.contains(&format!("hint: {lost} published envelopes are not here")), "{said}");
        log.serve(&[]);
        assert_eq!(check_log(&log).leaves.len(), 360);
        let here = |signed: &&Signed| {
            log.get(&format!("/api/v1/envelopes/{}", signed.envelope.hash())).status().as_u16() == 200
        };
        assert_eq!(signed.iter().filter(here).count(), 360 - lost);
    }
}

/// The manifest and the file that names it: one flipped bit is put right.
#[test]
fn a_flipped_bit_in_the_manifest_costs_no_entry() {
    let (mut log, signed, _) = killed();
    // Into sorted files, which only the manifest knows.
    log.serve(&[]);
    assert_eq!(log.stop(), Some(0));
    for (file, at) in [("MANIFEST", 3), ("MANIFEST", 2), ("CURRENT", 2)] {
        let file = file_of(&log, |name| name.starts_with(file));
        alter(&file, |bytes| {
            let at = bytes.len() / at;
            bytes[at] ^= 2;
        });
        assert_refused(&log, &file, "all 360 entries can be read");
        let (code, said) = run(&log, "salvage", &[]);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_whole(&mut log, &signed);
}

/// A record type that is flipped to one of recycled files makes RocksDB loop for ever: whoever opens a database, a
/// backup's too, reads its record files first.
#[test]
fn nobody_hangs_on_a_flipped_record_type() {
    let (mut log, signed, _) = killed();
    let [backup, again] = ["backup", "again"].map(|name| log.folder().join(name));
    let key = log.dir().join("log.skey");
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    assert_eq!(run(&log, "backup", &["--to", &path(&backup)]).0, Some(0));
    for start in ["0", "MANIFEST"] {
        let file = file_of(&log, |name| name.starts_with(start) && !name.ends_with(".sst"));
        alter(&file, |bytes| flip_second_type(bytes));
        for (command, want) in [("serve", 2), ("fsck", 1)] {
            let (code, words) = in_time(&[command, "--dir", &path(&log.dir())]);
            assert_eq!(code, Some(want), "{command}: {words}");
            assert!(words.contains(&name(&file)) && words.contains("log-server salvage"), "{words}");
        }
        assert_eq!(run(&log, "salvage", &[]).0, Some(0));
    }
    let file =
        fs::read_dir(backup.join("db")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let file = file.filter(|path| name(path).starts_with("MANIFEST")).max().expect("a manifest");
    alter(&file, |bytes| flip_second_type(bytes));
    let restore = ["restore", "--from", &path(&backup), "--dir", &path(&again), "--key", &path(&key)];
    let (code, words) = in_time(&restore);
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("damaged: the backup") && words.contains(&name(&file)), "{words}");
    assert!(!again.exists(), "nothing is made of it");
    assert_whole(&mut log, &signed);
}

fn flip_second_type(bytes: &mut [u8]) {
    let first = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    bytes[7 + first + 6] ^= 4;
}

/// Runs `log-server`, which has to end by itself.
fn in_time(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("timeout");
    words(&command.arg("60").arg(program("log-server")).args(args).output().expect("log-server runs"))
}

/// A damaged sorted file is found by whoever reads it; what is in it comes from a mirror.
#[test]
fn damage_in_a_sorted_file_is_named_and_filled_from_a_mirror() {
    let (mut log, signed, mirror) = killed();
    log.serve(&[]);
    assert_eq!(log.stop(), Some(0));
    let file = file_of(&log, |name| name.ends_with(".sst"));
    alter(&file, |bytes| {
        let at = bytes.len() / 3;
        bytes[at..at + 200].fill(0x5a);
    });
    let (code, said) = run(&log, "fsck", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("damaged: ") && said.contains(&name(&file)), "{said}");
    let (code, said) = run(&log, "salvage", &[]);
    let is_of_leaves = said.contains("cannot be read");
    if is_of_leaves {
        assert_eq!(code, Some(2), "{said}");
        let (code, said) = run(&log, "salvage", &["--from", mirror.to_str().expect("a path")]);
        assert_eq!(code, Some(0), "{said}");
    } else {
        // Of envelopes: each that is lost is told.
        assert!(code == Some(0) && said.contains("published envelopes are not here"), "{said}");
    }
    let (code, said) = run(&log, "fsck", &[]);
    assert_eq!((code, said.as_str()), (Some(0), "ok: 360 entries\n"));
    log.serve(&[]);
    assert_eq!(check_log(&log).leaves.len(), signed.len());
}

/// A write that a crash cut short is no damage: nobody was told that it is there.
#[test]
fn a_torn_write_is_no_damage() {
    let (mut log, signed, _) = killed();
    let file = file_of(&log, |name| name.ends_with(".log"));
    alter(&file, |bytes| {
        // The head of a record, and half of it. What does not fit in its block is written as two.
        let room = 32_768 - bytes.len() % 32_768;
        let length = room.saturating_sub(7).min(100) as u16;
        bytes.extend([0x5a; 4]);
        bytes.extend(length.to_le_bytes());
        bytes.push(1);
        bytes.extend(vec![7; usize::from(length / 2)]);
    });
    assert_whole(&mut log, &signed);
}

/// Whatever ends a salvage between its last steps, the next one ends it.
#[test]
fn a_salvage_that_broke_off_is_finished_by_the_next() {
    let (mut log, signed, _) = killed();
    let db = log.dir().join("db");
    fs::rename(&db, log.dir().join("db.salvaged")).expect("renamed");
    let refused = words(&log.serve_refused(&[]));
    assert!(refused.1.contains("log-server salvage"), "{}", refused.1);
    let (code, said) = run(&log, "salvage", &[]);
    assert_eq!(code, Some(0), "{said}");
    fs::create_dir(log.dir().join("db.salvaged.partial")).expect("a folder");
    fs::write(log.dir().join("db.salvaged.partial/000004.log"), "half").expect("written");
    let (code, said) = run(&log, "salvage", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_whole(&mut log, &signed);
}

/// A copy of the directory that is damaged is a source all the same.
#[test]
fn a_damaged_copy_is_a_source_for_recovery() {
    let (mut log, signed, _) = killed();
    let copy = log.folder().join("copy");
    testkit::log::copy_folder(&log.dir(), &copy);
    let key = log.folder().join("key");
    fs::copy(log.dir().join("log.skey"), &key).expect("a copy");
    fs::remove_dir_all(log.dir()).expect("removed");
    let damaged =
        fs::read_dir(copy.join("db")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let damaged = damaged.filter(|path| path.extension().is_some_and(|end| end == "log"));
    let damaged = damaged.max_by_key(|path| fs::metadata(path).expect("a file").len()).expect("a log");
    alter(&damaged, |bytes| {
        let at = bytes.len() * 3 / 10;
        bytes[at] ^= 64;
    });
    let args = ["--from", copy.to_str().expect("a path"), "--key", key.to_str().expect("a path")];
    let (code, said) = run(&log, "recover", &args);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok: 360 entries") && said.contains("the source is damaged"), "{said}");
    assert_whole(&mut log, &signed);
}
