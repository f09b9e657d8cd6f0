//! Drills: backup, restore, recover (R19). Real program, real disk. What is rolled back (R9): `witnessed`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use log_server::signed_record::SignedRecord;
use log_server::store::rocks::RocksStore;
use log_server::store::schema::{Read as _, StoredEnvelope, TreeState};
use serde_json::Value;
use testkit::log::{Log, ORIGIN, copy_folder};
use testkit::oracle::{check_log, checkpoint, mirror};
use testkit::program;
use testkit::signer::{Signed, Signer};
use testkit::witness::Witness;
use tlog::TreeSize;
use tlog::encoding::base64;

/// How often each drill is done.
const DRILLS: u64 = 20;

const UNLIMITED: &[&str] =
    &["--round-interval", "2ms", "--did-entries-per-minute", "0", "--address-entries-per-minute", "0"];

/// `log-server` with these arguments, ready to run.
fn log_server(command: &str, args: &[(&str, &Path)]) -> Command {
    let mut run = Command::new(program("log-server"));
    run.arg(command).env("NO_PROXY", "*").stdin(Stdio::null());
    for (flag, value) in args {
        run.arg(flag).arg(value);
    }
    run
}

/// What a command said: its exit code, stdout, stderr.
fn said(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("log-server runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Runs a command, which must succeed. Answers its line.
fn done(command: Command) -> String {
    let (code, stdout, stderr) = said(command);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    stdout
}

fn backup(log: &Log, to: &Path) -> String {
    done(log_server("backup", &[("--dir", &log.dir()), ("--to", to)]))
}

/// The number before a word in a command's line.
fn number(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split([' ', ',', '\n']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|at| *at == word).unwrap_or_else(|| panic!("no `{word}` in {line}"));
    words[at - 1].parse().unwrap_or_else(|_| panic!("no number before `{word}` in {line}"))
}

/// Submits published entries about these contents. Answers them.
fn submit(log: &Log, signer: &Signer, contents: std::ops::Range<u64>) -> Vec<Signed> {
    let signed: Vec<Signed> =
        contents.map(|content| signer.sign(ORIGIN, &content.to_be_bytes(), Public, 0)).collect();
    for batch in signed.chunks(500) {
        let (status, answer) = log.submit(&Value::Array(batch.iter().map(Signed::published).collect()));
        assert_eq!(status, 200, "{answer}");
    }
    signed
}

fn tree_state(dir: &Path) -> TreeState {
    let store = RocksStore::open_read_only(&dir.join("db")).expect("the store");
    store.tree_state().expect("a read").expect("a tree")
}

/// What is outside the directory and survives it: a copy of the key.
fn key_copy(log: &Log) -> PathBuf {
    let key = log.folder().join("key-copy");
    if !key.exists() {
        fs::copy(log.dir().join("log.skey"), &key).expect("a copy");
    }
    key
}

/// Loses the directory, and makes it again from a backup.
fn lose_and_restore(log: &Log, from: &Path) -> (String, String) {
    let key = key_copy(log);
    fs::remove_dir_all(log.dir()).expect("removed");
    let args: [(&str, &Path); 3] = [("--from", from), ("--dir", &log.dir()), ("--key", &key)];
    let (code, stdout, stderr) = said(log_server("restore", &args));
    assert_eq!(code, Some(0), "{stderr}");
    (stdout, stderr)
}

fn recover(log: &Log, from: &str) -> Command {
    let mut recover = log_server("recover", &[("--dir", &log.dir())]);
    recover.args(["--from", from]);
    recover
}

/// The log's directory and record at one moment, beside the log: a second log under the same key.
fn twin(log: &Log) -> Log {
    let mut twin = Log::init();
    fs::remove_dir_all(twin.dir()).expect("removed");
    copy_folder(&log.dir(), &twin.dir());
    fs::copy(log.folder().join("log.signed"), twin.folder().join("log.signed")).expect("a copy");
    twin.vkey = log.vkey.clone();
    twin
}

fn assert_whole(log: &Log) {
    let fsck = log.fsck();
    assert_eq!(fsck.status.code(), Some(0), "{}", String::from_utf8_lossy(&fsck.stderr));
}

/// R19: 20 backups of a log under load, each restored. Each holds everything that was acknowledged before it
/// began, envelopes too, and is a tree that the log had.
#[test]
fn backups_taken_under_load_restore_to_the_same_tree() {
    let log = Log::start(UNLIMITED);
    let acknowledged = Mutex::new(Vec::<(u64, Signed)>::new());
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let mut backups = Vec::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (log, acknowledged, next, stop) = (&log, &acknowledged, &next, &stop);
            scope.spawn(move || {
                let signer = Signer::new(number);
                while !stop.load(Ordering::Relaxed) {
                    let content = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                    let signed = signer.sign(ORIGIN, &content, Public, 600);
                    let (status, answer) = log.submit(&signed.published());
                    assert_eq!(status, 200, "{answer}");
                    let index = answer["index"].as_u64().expect("an index");
                    acknowledged.lock().expect("no panic").push((index, signed));
                }
            });
        }
        for drill in 0..DRILLS {
            // Some load before each: what is acknowledged grows.
            let before = acknowledged.lock().expect("no panic").len();
            while acknowledged.lock().expect("no panic").len() < before + 50 {
                std::thread::yield_now();
            }
            let to = log.folder().join(format!("backup-{drill}"));
            let promised = acknowledged.lock().expect("no panic").clone();
            let line = backup(&log, &to);
            backups.push((to, line, promised));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let seen = check_log(&log);
    let key = key_copy(&log);
    let record = log.folder().join("log.signed");
    for (drill, (from, line, promised)) in backups.iter().enumerate() {
        let size = number(line, "entries");
        let root = seen.root(TreeSize::new(size)).to_string();
        assert!(line.contains(&root), "{line}");
        for name in ["log.skey", "log.signed", "lock"] {
            assert!(!from.join(name).exists(), "`{name}` in a backup");
        }
        let dir = log.folder().join(format!("restored-{drill}"));
        let args: [(&str, &Path); 4] =
            [("--from", from), ("--dir", &dir), ("--key", &key), ("--signed-record", &record)];
        let (code, stdout, stderr) = said(log_server("restore", &args));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains(&root) && number(&stdout, "entries") == size, "{stdout}");
        let store = RocksStore::open_read_only(&dir.join("db")).expect("the store");
        for (index, signed) in promised {
            let at = store.claim(&signed.claim()).expect("a read").expect("a claim that was acknowledged");
            assert_eq!(at.get(), *index);
            let envelope = store.envelope(&signed.envelope.hash()).expect("a read");
            assert_eq!(envelope, Some(StoredEnvelope::Present(signed.envelope.to_json().into_bytes())));
        }
        fs::remove_dir_all(&dir).expect("removed");
    }
    let largest = backups.last().map(|(_, line, _)| line.trim().to_owned()).unwrap_or_default();
    eprintln!(
        "R19: {DRILLS} backups under load, of {} entries in all; the last: {largest}",
        seen.leaves.len()
    );
    assert!(!log.dir().join("snapshot").exists(), "a snapshot is left over");
}

/// R19: the directory is lost after further entries were signed. An older backup is not served; a mirror, a newer
/// backup, a log of the same entries and another copy of the directory bring back what is missing.
#[test]
fn a_lost_directory_comes_back_from_an_older_backup_and_a_mirror() {
    let mut log = Log::start(UNLIMITED);
    let signer = Signer::new(1);
    let mut promised = submit(&log, &signer, 0..300);
    let mut next = 300;
    for drill in 0..DRILLS {
        let old = log.folder().join(format!("old-{drill}"));
        backup(&log, &old);
        promised.extend(submit(&log, &signer, next..next + 100 + 60 * drill));
        next += 100 + 60 * drill;
        let newer = log.folder().join(format!("newer-{drill}"));
        let (folder, mut served) = (log.folder().join(format!("mirror-{drill}")), None);
        let kind = ["a mirror", "a newer backup", "a log", "a copy"][drill as usize % 4];
        match kind {
            "a mirror" => mirror(&log, &folder),
            "a newer backup" => drop(backup(&log, &newer)),
            _ => {}
        }
        let before = checkpoint(&log);
        assert_eq!(log.stop(), Some(0));
        let state = tree_state(&log.dir());
        let from = match kind {
            "a mirror" => folder.display().to_string(),
            "a newer backup" => newer.display().to_string(),
            "a log" => {
                let mut twin = twin(&log);
                twin.serve(UNLIMITED);
                served.insert(twin).url()
            }
            _ => served.insert(twin(&log)).dir().display().to_string(),
        };
        let (_, hint) = lose_and_restore(&log, &old);
        assert!(hint.contains("log-server recover"), "{hint}");
        let words = String::from_utf8_lossy(&log.serve_refused(&[]).stderr).into_owned();
        assert!(words.contains("older copy"), "{words}");
        let line = done(recover(&log, &from));
        assert!(line.contains(&before.root.to_string()), "{kind}: {line}");
        let envelopes = if kind == "a mirror" { 0 } else { 100 + 60 * drill };
        assert!(line.contains(&format!(" {envelopes} envelopes")), "{kind}: {line}");
        let recovered = tree_state(&log.dir());
        assert_eq!((recovered.size, recovered.logged_at), (state.size, state.logged_at), "{kind}");
        if kind != "a mirror" {
            assert_eq!(recovered, state, "{kind}: as the sequencer had left it");
        }
        // Once more, there is nothing left to do.
        assert_eq!(number(&done(recover(&log, &from)), "of"), 0);
        drop(served);
        log.serve(UNLIMITED);
        assert_eq!(checkpoint(&log), before, "{kind}");
    }
    let seen = check_log(&log);
    for signed in &promised {
        let (status, answer) = log.json(&format!("/api/v1/claims/{}", signed.claim()));
        assert_eq!(status, 200, "{answer}");
        let index = answer["index"].as_u64().expect("an index") as usize;
        assert_eq!(base64(&seen.leaves[index]), answer["leaf"].as_str().expect("a leaf"));
    }
    assert_eq!(seen.leaves.len(), promised.len());
    assert_eq!(log.stop(), Some(0));
    assert_whole(&log);
    eprintln!("R19: {DRILLS} directories lost and recovered, {} entries, 0 lost", promised.len());
}

/// A recovery that is killed in the middle, while it reads or while it writes, goes on where it stopped.
#[test]
fn a_recovery_that_was_killed_goes_on() {
    let mut log = Log::start(UNLIMITED);
    let signer = Signer::new(1);
    submit(&log, &signer, 0..100);
    let old = log.folder().join("old");
    backup(&log, &old);
    let entries: Vec<Value> = (100..9_000u64)
        .map(|number| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 0).by_hash())
        .collect();
    for batch in entries.chunks(1_000) {
        assert_eq!(log.submit(&Value::Array(batch.to_vec())).0, 200);
    }
    let folder = log.folder().join("mirror");
    mirror(&log, &folder);
    let before = checkpoint(&log);
    assert_eq!(log.stop(), Some(0));
    let strace = Command::new("strace").arg("-V").output().is_ok();
    if !strace {
        eprintln!("not run: killed while it writes: strace is not installed");
    }
    let mut went_on = 0;
    for drill in 0..DRILLS {
        lose_and_restore(&log, &old);
        if strace && drill % 2 == 1 {
            // At the n-th sync of the database, before it is done.
            let inject = format!("inject=fdatasync:signal=SIGKILL:when={}", drill.div_ceil(4) + 1);
            let mut traced = Command::new("strace");
            traced.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject]);
            let recover = recover(&log, &folder.display().to_string());
            traced.arg(recover.get_program()).args(recover.get_args()).stdin(Stdio::null());
            let (code, stdout, stderr) = said(traced);
            assert_ne!(code, Some(0), "it was not killed: {stdout}{stderr}");
        } else {
            let (stalling, reached) = Stalling::serve(&folder, 2 + drill as usize * 36 / DRILLS as usize);
            let mut child =
                recover(&log, &stalling.url).stderr(Stdio::null()).spawn().expect("log-server runs");
            reached.recv().expect("it asks for that bundle");
            child.kill().expect("our child");
            child.wait().expect("a process that was killed ends");
        }
        let written = tree_state(&log.dir());
        assert!((100..=9_000).contains(&written.size), "{}", written.size);
        let line = done(recover(&log, &folder.display().to_string()));
        assert_eq!(number(&line, "of"), 9_000 - written.size, "{line}");
        assert!(line.contains(&before.root.to_string()), "{line}");
        went_on += u64::from(written.size > 100);
    }
    assert!(went_on > DRILLS / 3, "only {went_on} were killed in the middle");
    assert_whole(&log);
    log.serve(&[]);
    assert_eq!(checkpoint(&log), before);
    eprintln!("R19: {DRILLS} recoveries killed, {went_on} of them in the middle, all finished by the next");
}

/// Serves a folder over HTTP, and says nothing more when bundle `stall_at` is asked for.
struct Stalling {
    url: String,
    stop: Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

impl Stalling {
    fn serve(folder: &Path, stall_at: usize) -> (Self, mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (reached, reaches) = mpsc::channel();
        let (folder, stopping) = (folder.to_owned(), stop.clone());
        let stalled = format!("/tile/entries/{stall_at:03}");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (mut stream, folder, reached, stalled) =
                    (stream.expect("a connection"), folder.clone(), reached.clone(), stalled.clone());
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
                    while let Some(Ok(request)) = lines.next() {
                        let path = request.split(' ').nth(1).expect("a path").to_owned();
                        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                        if path.starts_with(&stalled) {
                            let _ = reached.send(());
                            // Until the other side is gone.
                            return drop(lines.next());
                        }
                        let (status, body) = match fs::read(folder.join(&path[1..])) {
                            Ok(body) => ("200 OK", body),
                            Err(_) => ("404 Not Found", Vec::new()),
                        };
                        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                        if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (Self { url: format!("http://{address}"), stop, address }, reaches)
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// A fork, a damaged mirror, a source that ends too early: nothing of them is written that was not signed.
#[test]
fn what_cannot_be_proven_is_not_recovered() {
    let mut log = Log::start(UNLIMITED);
    let signer = Signer::new(1);
    submit(&log, &signer, 0..300);
    let old = log.folder().join("old");
    backup(&log, &old);
    let short = log.folder().join("short");
    submit(&log, &signer, 300..350);
    backup(&log, &short);
    assert_eq!(log.stop(), Some(0));
    let mut fork = twin(&log);
    log.serve(UNLIMITED);
    submit(&log, &signer, 350..700);
    let good = log.folder().join("mirror");
    mirror(&log, &good);
    let before = checkpoint(&log);
    assert_eq!(log.stop(), Some(0));
    fork.serve(UNLIMITED);
    submit(&fork, &signer, 1_350..1_900);
    lose_and_restore(&log, &old);
    let state = tree_state(&log.dir());
    // Signed by the same key, but another tree.
    let (code, _, words) = said(recover(&log, &fork.url()));
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("not of one tree") && words.contains("successor"), "{words}");
    assert_eq!(tree_state(&log.dir()), state, "nothing was written");
    // Each file of the mirror with one bit flipped.
    for path in [
        "checkpoint",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/001",
        "tile/entries/002.p/188",
    ] {
        let bytes = fs::read(good.join(path)).expect("a file");
        let mut bad = bytes.clone();
        // The base64 of the root, in the middle of a hash, in the middle of a leaf.
        let at = bad.len() * 2 / 5;
        bad[at] ^= 1;
        fs::write(good.join(path), &bad).expect("written");
        let (code, _, words) = said(recover(&log, &good.display().to_string()));
        assert_eq!(code, Some(1), "{path}: {words}");
        assert!(words.contains("error: "), "{path}: {words}");
        assert_eq!(tree_state(&log.dir()), state, "{path}: nothing was written");
        fs::write(good.join(path), bytes).expect("written");
    }
    fs::rename(good.join("tile/entries/001"), good.join("away")).expect("moved");
    let (code, _, words) = said(recover(&log, &good.display().to_string()));
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("tile/entries/001"), "{words}");
    fs::rename(good.join("away"), good.join("tile/entries/001")).expect("moved");
    // A source that ends before what was signed: what it has is taken, and said to be too little.
    let (code, stdout, words) = said(recover(&log, &short.display().to_string()));
    assert_eq!(code, Some(2), "{stdout}{words}");
    for needed in ["checkpoint of 700", "now has 350", "350 are still missing", "origin is over", "init"] {
        assert!(words.contains(needed), "`{needed}` in {words}");
    }
    log.serve_refused(&[]);
    let (code, _, words) = said(recover(&log, "http://127.0.0.1:9"));
    assert_eq!(code, Some(2), "{words}");
    let (code, _, words) = said(recover(&log, &log.folder().display().to_string()));
    assert_eq!(code, Some(2), "{words}");
    // The mirror as it is has the rest.
    let line = done(recover(&log, &good.display().to_string()));
    assert_eq!((number(&line, "entries"), number(&line, "of")), (700, 350), "{line}");
    log.serve(UNLIMITED);
    assert_eq!(checkpoint(&log), before);
}

/// R9 and R19: directory and record are both older copies, and a witness has kept what was signed. The log is
/// refused, then recovered from a mirror, and shows at once what it had shown, with the witness's cosignature.
#[test]
fn a_log_whose_witness_remembers_is_refused_and_then_recovered() {
    let mut log = Log::init();
    let mut witness = Witness::start("w1", &["ed25519"], &log.vkey);
    let policy = log.ask(&witness.policy, "w1");
    let record = log.folder().join("log.signed");
    let signer = Signer::new(1);
    let flags = [UNLIMITED, &["--publish-interval", "0s"]].concat();
    log.serve(&flags);
    for drill in 0..DRILLS {
        let old = log.folder().join(format!("old-{drill}"));
        submit(&log, &signer, drill * 10..drill * 10 + 5);
        assert_eq!(log.stop(), Some(0));
        copy_folder(&log.dir(), &old);
        let old_record = fs::read(&record).expect("the record");
        log.serve(&flags);
        submit(&log, &signer, drill * 10 + 5..drill * 10 + 10);
        let folder = log.folder().join(format!("mirror-{drill}"));
        mirror(&log, &folder);
        let shown = checkpoint(&log);
        assert_eq!(log.stop(), Some(0));
        fs::remove_dir_all(log.dir()).expect("removed");
        copy_folder(&old, &log.dir());
        fs::write(&record, &old_record).expect("written");
        let words = String::from_utf8_lossy(&log.serve_refused(&[]).stderr).into_owned();
        assert!(words.contains("shows a checkpoint that this log signed"), "{words}");
        let line = done(recover(&log, &folder.display().to_string()));
        assert_eq!((number(&line, "entries"), number(&line, "of")), (drill * 10 + 10, 5), "{line}");
        // Nobody can cosign anew yet: what is shown was kept.
        witness.stop();
        log.serve(&flags);
        assert_eq!(checkpoint(&log), shown);
        let note = tlog::note::Note::parse(&log.bytes("/checkpoint")).expect("a note");
        policy.quorum(&note).expect("the quorum");
        witness.serve();
        assert_eq!(log.stop(), Some(0));
        assert_whole(&log);
        log.serve(&flags);
    }
    check_log(&log);
    eprintln!(
        "R9: {DRILLS} logs rolled back with their records, {DRILLS} refused by the witness and recovered"
    );
}

/// No backup, no directory: key, record and a mirror are enough.
#[test]
fn a_log_comes_back_from_a_mirror_alone() {
    let mut log = Log::start(UNLIMITED);
    submit(&log, &Signer::new(1), 0..700);
    let folder = log.folder().join("mirror");
    mirror(&log, &folder);
    let before = checkpoint(&log);
    assert_eq!(log.stop(), Some(0));
    let key = key_copy(&log);
    let anew = |log: &Log| {
        let mut anew = recover(log, &folder.display().to_string());
        anew.arg("--key").arg(&key);
        said(anew)
    };
    let (code, _, words) = anew(&log);
    assert_eq!(code, Some(2), "a directory is there: {words}");
    fs::remove_dir_all(log.dir()).expect("removed");
    let record = log.folder().join("log.signed");
    let away = log.folder().join("away");
    fs::rename(&record, &away).expect("moved");
    let (code, _, words) = anew(&log);
    assert!(code == Some(2) && !log.dir().exists(), "without the record: {words}");
    fs::write(&record, "another log's\n").expect("written");
    let (code, _, words) = anew(&log);
    assert!(code == Some(2) && !log.dir().exists(), "with another record: {words}");
    fs::rename(&away, &record).expect("moved");
    let (code, line, words) = anew(&log);
    assert_eq!(code, Some(0), "{words}");
    assert!(number(&line, "of") == 700 && words.contains("policy and settings"), "{line}{words}");
    log.serve(UNLIMITED);
    assert_eq!(checkpoint(&log), before);
    check_log(&log);
}

/// What `backup` and `restore` refuse, and what of the secrets is in a backup.
#[test]
fn a_backup_overwrites_nothing_and_has_keys_only_when_asked_for() {
    let mut log = Log::start(UNLIMITED);
    let signer = Signer::new(1);
    submit(&log, &signer, 0..10);
    let to = log.folder().join("backup");
    backup(&log, &to);
    let (code, _, words) = said(log_server("backup", &[("--dir", &log.dir()), ("--to", &to)]));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("never overwritten"), "{words}");
    assert!(!log.folder().join("backup.partial").exists());
    let dir = log.folder().join("restored");
    let restore = |from: &Path, dir: &Path, key: Option<&Path>| {
        let mut args = vec![("--from", from), ("--dir", dir)];
        args.extend(key.map(|key| ("--key", key)));
        said(log_server("restore", &args))
    };
    let (code, _, words) = restore(&to, &dir, None);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("--with-keys"), "{words}");
    let other = Log::init();
    let (code, _, words) = restore(&to, &dir, Some(&other.dir().join("log.skey")));
    assert_eq!(code, Some(1), "another log's key under the same name: {words}");
    let (code, _, words) = restore(&to, &log.dir(), Some(&key_copy(&log)));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("not empty"), "{words}");
    assert!(!dir.exists() && !log.folder().join("restored.partial").exists());
    // Another log's record says nothing about this one.
    let foreign = other.folder().join("log.signed");
    let args: [(&str, &Path); 4] =
        [("--from", &to), ("--dir", &dir), ("--key", &key_copy(&log)), ("--signed-record", &foreign)];
    let (code, _, words) = said(log_server("restore", &args));
    assert_eq!(code, Some(2), "{words}");
    assert!(!dir.exists());
    // Without a record it is said that there is none; an empty folder may be there already.
    fs::create_dir(&dir).expect("a folder");
    let (code, _, words) = restore(&to, &dir, Some(&key_copy(&log)));
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("no record"), "{words}");
    assert!(!log.folder().join("restored.signed").exists(), "a restore makes no record");
    // A bit that flipped in the backup.
    let files = fs::read_dir(to.join("db")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let data = files.filter(|path| path.extension().is_some_and(|end| end == "log" || end == "sst"));
    let largest = data.max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len())).expect("files");
    let mut bytes = fs::read(&largest).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).expect("written");
    let (code, _, words) = restore(&to, &log.folder().join("bad"), Some(&key_copy(&log)));
    assert!(matches!(code, Some(1 | 2)), "{words}");
    assert!(words.contains("error: ") && !log.folder().join("bad").exists(), "{words}");
    // With keys, of a log that does not run.
    assert_eq!(log.stop(), Some(0));
    let with_keys = log.folder().join("with-keys");
    let mut command = log_server("backup", &[("--dir", &log.dir()), ("--to", &with_keys)]);
    command.arg("--with-keys");
    done(command);
    let mode = fs::metadata(with_keys.join("log.skey"))
        .map(|file| std::os::unix::fs::PermissionsExt::mode(&file.permissions()));
    assert_eq!(mode.expect("the key") & 0o777, 0o600);
    assert!(!with_keys.join("log.signed").exists());
    fs::remove_dir_all(log.dir()).expect("removed");
    let (code, _, words) = restore(&with_keys, &log.dir(), None);
    assert_eq!((code, words.as_str()), (Some(0), ""));
    log.serve(&[]);
    assert_eq!(checkpoint(&log).size.get(), 10);
}

/// An erased envelope is in no backup that is made later, and its tombstone is.
#[test]
fn an_erased_envelope_stays_erased_through_backup_and_recovery() {
    let mut log = Log::start(UNLIMITED);
    let signer = Signer::new(1);
    let early = log.folder().join("early");
    backup(&log, &early);
    let signed = submit(&log, &signer, 0..20);
    assert_eq!(log.stop(), Some(0));
    let hash = signed[7].envelope.hash();
    let mut erase = log_server("erase", &[("--dir", &log.dir())]);
    erase.args([&hash.to_string(), "--reason", "it named a person"]);
    done(erase);
    let later = log.folder().join("later");
    backup(&log, &later);
    let twin = {
        let mut twin = twin(&log);
        twin.serve(UNLIMITED);
        twin
    };
    for from in [later.display().to_string(), twin.url()] {
        lose_and_restore(&log, &early);
        let line = done(recover(&log, &from));
        assert_eq!(number(&line, "envelopes"), 20, "19 and a tombstone: {line}");
        assert_whole(&log);
        let store = RocksStore::open_read_only(&log.dir().join("db")).expect("the store");
        let Some(StoredEnvelope::Erased(tombstone)) = store.envelope(&hash).expect("a read") else {
            panic!("the envelope is back from {from}");
        };
        assert_eq!(tombstone.reason, "it named a person");
    }
}

/// Two backups at a time take turns; one that is killed leaves nothing behind in the log.
#[test]
fn backups_take_turns_and_leave_nothing_behind() {
    let log = Log::start(UNLIMITED);
    submit(&log, &Signer::new(1), 0..500);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let log = &log;
            scope.spawn(move || backup(log, &log.folder().join(format!("backup-{number}"))));
        }
    });
    // One that holds its snapshot and never reads it.
    let socket = log.dir().join("snapshot.sock");
    let mut held = std::os::unix::net::UnixStream::connect(&socket).expect("the log answers");
    let mut answer = [0; 3];
    std::io::Read::read_exact(&mut held, &mut answer).expect("an answer");
    assert_eq!(&answer, b"ok\n");
    assert!(log.dir().join("snapshot").is_dir());
    drop(held);
    // The next one is answered after the snapshot of the one before is gone.
    backup(&log, &log.folder().join("backup-4"));
    assert!(!log.dir().join("snapshot").join("x").exists());
    let mut log = log;
    log.kill();
    log.serve(UNLIMITED);
    assert!(!log.dir().join("snapshot").exists(), "left over from before");
    backup(&log, &log.folder().join("backup-5"));
    assert_eq!(log.stop(), Some(0));
    assert!(!socket.exists(), "nobody answers any more");
    backup(&log, &log.folder().join("backup-6"));
}

/// fsck names an envelope that no entry published.
#[test]
fn a_stray_envelope_is_named() {
    let mut log = Log::start(UNLIMITED);
    submit(&log, &Signer::new(1), 0..3);
    assert_eq!(log.stop(), Some(0));
    assert_whole(&log);
    let stray = Signer::new(1).sign(ORIGIN, b"stray", Public, 0).envelope;
    let store = RocksStore::open(&log.dir().join("db")).expect("the store");
    let mut batch = log_server::store::Batch::default();
    log_server::store::schema::put_envelope(&mut batch, &stray.hash(), stray.to_json().as_bytes());
    log_server::store::Store::write(&store, &batch).expect("written");
    drop(store);
    let fsck = log.fsck();
    let words = String::from_utf8_lossy(&fsck.stderr).into_owned();
    assert_eq!(fsck.status.code(), Some(1), "{words}");
    assert!(words.contains(&format!("envelope {}: no entry published it", stray.hash())), "{words}");
}

/// A log that is still stopping writes to the paths that it has open: nothing takes its place before it has closed them.
#[test]
fn a_directory_is_made_only_when_nobody_writes_to_its_place() {
    let mut log = Log::start(UNLIMITED);
    submit(&log, &Signer::new(1), 0..10);
    let to = log.folder().join("backup");
    backup(&log, &to);
    let record = log.folder().join("log.signed");
    let key = key_copy(&log);
    let restored = log.folder().join("log.moved");
    log.signal("TERM");
    let until = Instant::now() + Duration::from_secs(60);
    let held = loop {
        match SignedRecord::take(&record) {
            Ok(record) => break record,
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}"),
        }
        assert!(Instant::now() < until, "the record is free once the log has stopped");
    };
    drop(RocksStore::open(&log.dir().join("db")).expect("whoever has the record finds the store closed"));
    log.stop();
    // Now this process is the one that is still stopping.
    fs::rename(log.dir(), &restored).expect("moved");
    let restore: [(&str, &Path); 3] = [("--from", &to), ("--dir", &log.dir()), ("--key", &key)];
    let mut recover = log_server("recover", &[("--dir", &log.dir()), ("--key", &key)]);
    recover.arg("--from").arg(&to);
    for command in [log_server("restore", &restore), recover] {
        let (code, _, words) = said(command);
        assert_eq!(code, Some(2), "{words}");
        assert!(words.contains("another process signs with the record"), "{words}");
        assert!(!log.dir().exists() && !log.folder().join("log.partial").exists(), "nothing was made");
    }
    drop(held);
    done(log_server("restore", &restore));
    log.serve(UNLIMITED);
    assert_eq!(log.stop(), Some(0));
    assert_whole(&log);
}
