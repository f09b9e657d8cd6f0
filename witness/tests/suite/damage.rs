//! A directory that is not what the witness wrote: it is found, nothing is cosigned that contradicts what was, and the
//! operator gets out of it by the higher of the two records, never the lower.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::server::Server;
use crate::world::Log;

const SIZES: [u64; 5] = [1, 5, 100, 200, 300];

/// A witness that cosigned two logs up to size 300, and was killed: all of it is in the write-ahead log.
fn killed() -> (Server, [Log; 2]) {
    let logs = [Log::new("log.example/a", 400), Log::new("log.example/b", 400)];
    let mut server = Server::init(&[&logs[0], &logs[1]], &["--key-type", "ed25519"]);
    server.serve(&[]);
    let mut known = 0;
    for size in SIZES {
        for log in &logs {
            assert_eq!(server.add(log.request(known, size)).0, 200);
        }
        known = size;
    }
    server.kill();
    (server, logs)
}

/// The write-ahead log with something in it.
fn wal(server: &Server) -> PathBuf {
    let files =
        fs::read_dir(server.dir().join("db")).expect("a folder").map(|file| file.expect("a file").path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max_by_key(|path| fs::metadata(path).expect("a file").len()).expect("a write-ahead log")
}

/// How much of a record is written; the rest is room.
fn written(record: &[u8]) -> usize {
    record.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("a file");
}

/// Whether the witness, if it runs, can be made to cosign another tree than it did: from each size that it may have
/// fallen back to.
fn cosigns_a_fork(server: &Server, log: &Log) -> bool {
    let other = log.forked(0, 400);
    let sizes = [0].into_iter().chain(SIZES);
    sizes
        .into_iter()
        .any(|old| [300, 350].into_iter().any(|new| server.add(other.request(old, new)).0 == 200))
}

/// I6: the witness cosigns sizes 1, 5, 100, 200 and 300 and stops; then one bit flips at 30 % of its write-ahead log.
#[test]
fn one_flipped_bit_makes_no_witness_cosign_a_fork() {
    let (mut server, logs) = killed();
    edit(&wal(&server), |bytes| {
        let at = bytes.len() * 3 / 10;
        bytes[at] ^= 1;
    });
    if server.start(&[], &[]).is_ok() {
        let (status, size) = server.add(logs[0].request(300, 310));
        assert!(status != 409, "it has fallen back to size {size}");
        assert!(!cosigns_a_fork(&server, &logs[0]), "a fork is cosigned");
    }
}

/// What it is, and how it is done.
type Damage = (&'static str, fn(&Server));

/// What may become of one of the two places.
fn damages() -> Vec<Damage> {
    vec![
        ("a bit of the write-ahead log", |server| edit(&wal(server), |bytes| bytes[2_000] ^= 8)),
        ("the length of its first record", |server| edit(&wal(server), |bytes| bytes[4] ^= 64)),
        ("half of the write-ahead log", |server| edit(&wal(server), |bytes| bytes.truncate(bytes.len() / 2))),
        ("its last byte", |server| edit(&wal(server), |bytes| bytes.truncate(bytes.len() - 1))),
        ("the write-ahead log", |server| fs::remove_file(wal(server)).expect("a file")),
        ("zeros in it", |server| edit(&wal(server), |bytes| bytes[1_000..].fill(0))),
        ("zeros in its middle", |server| edit(&wal(server), |bytes| bytes[1_000..2_000].fill(0))),
        ("nothing but zeros", |server| edit(&wal(server), |bytes| bytes.fill(0))),
        ("the record", |server| fs::remove_file(server.record()).expect("a file")),
        ("half of the record", |server| edit(&server.record(), |bytes| bytes.truncate(written(bytes) / 2))),
        ("a bit of the record", |server| edit(&server.record(), |bytes| bytes[300] ^= 1)),
        ("zeros in the record", |server| edit(&server.record(), |bytes| bytes[300..].fill(0))),
        ("an empty record", |server| edit(&server.record(), Vec::clear)),
    ]
}

/// Nothing is served or signed, nothing is touched, what is wrong is said, and `fsck` gets out of it.
#[test]
fn damage_to_either_record_is_found_and_the_higher_one_counts() {
    for (what, damage) in damages() {
        let (mut server, logs) = killed();
        damage(&server);
        let before = contents(&server);
        let (code, said) = server.start(&[], &[]).expect_err(what);
        assert!(
            code == Some(2) && said.contains("hint: nothing was changed; `witness fsck`"),
            "{what}: {said}"
        );
        assert_eq!(contents(&server), before, "{what}: a refused start changes nothing");
        let fsck = server.run("fsck", &[]);
        let said = String::from_utf8_lossy(&fsck.stdout).into_owned();
        assert_eq!(fsck.status.code(), Some(1), "{what}: {said}");
        assert!(said.starts_with("damaged: "), "{what}: {said}");
        assert_eq!(contents(&server), before, "{what}: a look changes nothing");
        // One log is accepted, whichever record has it; where the other is held, it waits for its own word.
        let fsck = server.run("fsck", &["--salvage"]);
        let salvaged = String::from_utf8_lossy(&fsck.stdout).into_owned();
        assert!(fsck.status.code() < Some(2), "{what}: {salvaged}");
        let is_held = |log: &Log| salvaged.contains(&format!("held: `{}`", log.origin));
        for log in logs.iter().filter(|log| is_held(log)) {
            server.serve(&[]);
            assert_eq!(server.add(log.request(300, 310)).0, 503, "{what}");
            assert_eq!(server.seen(log).0, 503, "{what}: what may be too low is not shown");
            assert!(!cosigns_a_fork(&server, log), "{what}");
            assert_eq!(server.get("/readyz").0, 503, "{what}");
            let metrics = server.get("/metrics").1;
            assert!(
                !metrics.contains("witness_logs_held 0") && metrics.contains("witness_logs_held "),
                "{what}"
            );
            assert_eq!(server.stop(), Some(0));
            let fsck = server.run("fsck", &["--accept-higher", &log.origin]);
            let said = String::from_utf8_lossy(&fsck.stdout).into_owned();
            assert!(said.contains("accepted: ") && said.contains(" size 300 "), "{what}: {said}");
        }
        let fsck = server.run("fsck", &[]);
        assert_eq!(
            fsck.status.code(),
            Some(0),
            "{what}: {salvaged}{}",
            String::from_utf8_lossy(&fsck.stdout)
        );
        server.serve(&[]);
        for log in &logs {
            assert!(!cosigns_a_fork(&server, log), "{what}");
            assert_eq!(server.add(log.request(1, 310)), (409, "300\n".into()), "{what}");
            assert_eq!(server.add(log.request(300, 310)).0, 200, "{what}");
        }
        assert_eq!(server.stop(), Some(0));
        server.serve(&[]);
        assert_eq!(server.add(logs[0].request(310, 320)).0, 200, "{what}");
    }
}

/// Every file that may hold what was cosigned, but for RocksDB's own diary.
fn contents(server: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    let db =
        fs::read_dir(server.dir().join("db")).expect("a folder").map(|file| file.expect("a file").path());
    let kept =
        db.filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LOG")));
    let mut files: Vec<_> = kept.chain([server.record()]).collect();
    files.sort();
    files.into_iter().filter_map(|path| fs::read(&path).ok().map(|bytes| (path, bytes))).collect()
}

/// An older copy of the database, or of the record, is found. Of both together nobody here can know.
#[test]
fn an_older_copy_of_one_of_the_two_is_found() {
    let (mut server, logs) = killed();
    let older = TempDir::new().expect("a temporary folder");
    copy(&server.dir().join("db"), &older.path().join("db"));
    fs::copy(server.record(), older.path().join("record")).expect("a copy");
    server.serve(&[]);
    for size in [310, 320] {
        assert_eq!(server.add(logs[0].request(size - 10, size)).0, 200);
    }
    assert_eq!(server.stop(), Some(0));
    let newer = TempDir::new().expect("a temporary folder");
    copy(&server.dir().join("db"), &newer.path().join("db"));
    fs::remove_dir_all(server.dir().join("db")).expect("a folder");
    copy(&older.path().join("db"), &server.dir().join("db"));
    let (_, said) = server.start(&[], &[]).expect_err("an older database");
    assert!(said.contains("the database has lost what was cosigned last"), "{said}");
    let fsck = server.run("fsck", &["--accept-higher", &logs[0].origin]);
    let said = String::from_utf8_lossy(&fsck.stdout).into_owned();
    assert!(fsck.status.code() == Some(0) && said.contains("size 320"), "{said}");
    server.serve(&[]);
    // The record has no signatures: there is nothing to show until the log asks again.
    assert_eq!(server.seen(&logs[0]).0, 503);
    assert_eq!(server.add(logs[0].request(320, 320)).0, 200);
    assert_eq!(server.seen(&logs[0]).0, 200);
    assert!(!cosigns_a_fork(&server, &logs[0]));
    assert_eq!(server.stop(), Some(0));
    fs::copy(older.path().join("record"), server.record()).expect("a copy");
    let (_, said) = server.start(&[], &[]).expect_err("an older record");
    assert!(said.contains("the record has lost what was cosigned last"), "{said}");
    // Both at once: two damaged places are never guessed at.
    edit(&server.record(), |bytes| bytes[40] ^= 1);
    fs::remove_file(server.dir().join("db/CURRENT")).expect("a file");
    let over = server.run("fsck", &["--accept-higher", &logs[0].origin]);
    assert_eq!(over.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&over.stderr).contains("it is over"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

/// A directory of a release without a record gets one, once, at a start after a clean stop.
#[test]
fn a_directory_of_an_earlier_release_gets_a_record_and_then_needs_it() {
    let (mut server, logs) = killed();
    // As an earlier release leaves it: no round, no record.
    let store = witness::store::rocks::RocksStore::open(&server.dir().join("db")).expect("a store");
    store.flush().expect("a flush");
    drop(store);
    forget_rounds(&server.dir().join("db"));
    fs::remove_file(server.record()).expect("the record");
    assert_eq!(server.run("fsck", &[]).status.code(), Some(0));
    let said = server.start(&[], &[]).expect("a start");
    assert!(said.contains("it has a second record"), "{said}");
    assert_eq!(server.add(logs[0].request(300, 310)).0, 200);
    assert_eq!(server.stop(), Some(0));
    let said = server.start(&[], &[]).expect("a start");
    assert!(!said.contains("it has a second record"), "once: {said}");
    assert_eq!(server.stop(), Some(0));
    fs::remove_file(server.record()).expect("the record");
    let (_, said) = server.start(&[], &[]).expect_err("a record that is gone");
    assert!(said.contains("the record is missing"), "{said}");
    // Beside another directory of that name nothing is made.
    assert_eq!(fs::read_dir(server.dir().parent().expect("a folder")).expect("a folder").count(), 1);
}

/// Takes the column away that counts rounds.
fn forget_rounds(db: &Path) {
    let columns = ["default", "cosigned", "history", "evidence", "round"];
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), db, columns).expect("a store");
    db.drop_cf("round").expect("a column");
}

/// I6: a witness whose files are removed while it runs can remember nothing more, so it ends.
#[test]
fn a_running_witness_whose_files_are_removed_ends() {
    for remove in ["directory", "record"] {
        let log = Log::new("log.example/a", 9);
        let mut server = Server::init(&[&log], &["--key-type", "ed25519"]);
        server.serve(&[]);
        assert_eq!(server.add(log.request(0, 5)).0, 200);
        match remove {
            "directory" => fs::remove_dir_all(server.dir()).expect("a folder"),
            _ => {
                fs::remove_file(server.record()).expect("a file");
                let answer = server.try_add(log.request(5, 9));
                assert!(answer.is_none_or(|(status, text)| status == 503 && !text.contains('—')), "{remove}");
            }
        }
        assert_eq!(server.wait(), Some(70), "{remove}");
    }
}

/// A record type that is flipped to one of recycled files makes RocksDB loop for ever (`ReadPhysicalRecord` of 11.8
/// drops nothing then): whoever opens a database reads its files first.
#[test]
fn no_command_hangs_on_a_flipped_record_type() {
    for (prefix, suffix) in [("", ".log"), ("MANIFEST-", "")] {
        let (server, _) = killed();
        let db = server.dir().join("db");
        let is_it = |path: &PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            name.starts_with(prefix) && name.ends_with(suffix)
        };
        let files = fs::read_dir(&db).expect("a folder").map(|file| file.expect("a file").path());
        let largest = |path: &PathBuf| fs::metadata(path).expect("a file").len();
        let path = files.filter(is_it).max_by_key(largest).expect("a file");
        edit(&path, |bytes| {
            let first = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
            // The type of the second record.
            bytes[7 + first + 6] ^= 4;
        });
        for (command, want) in [("fsck", 1), ("status", 2), ("findings", 2), ("serve", 2)] {
            let args: &[&str] = if command == "serve" { &["--listen", "127.0.0.1:0"] } else { &[] };
            let mut child = server
                .command(command, args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it runs");
            let mut code = None;
            let start = Instant::now();
            while code.is_none() && start.elapsed() < Duration::from_secs(60) {
                code = child.try_wait().expect("a process of ours");
                std::thread::park_timeout(Duration::from_millis(10));
            }
            let _ = child.kill();
            child.wait().expect("a process of ours");
            assert_eq!(code.and_then(|code| code.code()), Some(want), "{command} on {}", path.display());
        }
        assert_eq!(server.run("fsck", &["--salvage"]).status.code(), Some(0), "one flipped bit is put right");
    }
}

/// A second witness at the path of an earlier one would meet the earlier one's record.
#[test]
fn init_refuses_a_record_that_is_there() {
    let server = Server::init(&[], &[]);
    fs::remove_dir_all(server.dir()).expect("a folder");
    let again = server.run("init", &["--name", "witness.example/w2"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("has signed before"));
    assert!(!server.dir().exists());
}

/// A lock file that is there and cannot be opened, on a read-only disk or as another user, is no reason to make a
/// witness.
#[test]
fn what_cannot_be_opened_is_not_taken_for_missing() {
    let log = Log::new("log.example/a", 9);
    let server = Server::init(&[&log], &["--key-type", "ed25519"]);
    let lock = server.dir().join("lock");
    fs::remove_file(&lock).expect("a file");
    // `ELOOP`: it is there, and cannot be opened by root either.
    std::os::unix::fs::symlink(&lock, &lock).expect("a link");
    let refused = server.run("fsck", &[]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    assert!(words.contains("cannot open") && !words.contains("witness init"), "{words}");
}

/// The state of one witness under the keys of another: database and record agree, and yet this witness has cosigned
/// another tree. The record says whose it is.
#[test]
fn the_state_of_another_witness_is_refused() {
    let log = Log::new("log.example/a", 400);
    let witness = |name: &str, sizes: &[u64]| {
        let mut server = Server::init_as(name, &[&log], &["--key-type", "ed25519"]);
        server.serve(&[]);
        let mut old = 0;
        for size in sizes {
            assert_eq!(server.add(log.request(old, *size)).0, 200);
            old = *size;
        }
        assert_eq!(server.stop(), Some(0));
        server
    };
    let (mut server, other) =
        (witness("witness.example/a", &[5, 100, 300]), witness("witness.example/b", &[1, 3, 5]));
    fs::remove_dir_all(server.dir().join("db")).expect("a folder");
    copy(&other.dir().join("db"), &server.dir().join("db"));
    fs::copy(other.record(), server.record()).expect("a copy");
    let (_, said) = server.start(&[], &[]).expect_err("the state of another witness");
    assert!(said.contains("is of the witness `witness.example/b`"), "{said}");
    for (flags, want) in [(&[][..], 1), (&["--salvage"], 2), (&["--accept-higher", &log.origin], 2)] {
        let fsck = server.run("fsck", flags);
        let said = [fsck.stdout, fsck.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(fsck.status.code() == Some(want) && said.contains("witness.example/b"), "{flags:?} {said}");
    }
}
