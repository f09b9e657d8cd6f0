//! What the program promises its operator: one process, reload, signals, slow clients, fsync before the answer.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tlog::checkpoint::Checkpoint;
use tlog::key::KeyType;
use tlog::note::Note;
use tlog::{Hash, UnixTime};
use witness::decide::Seen;
use witness::state::{State, Update};
use witness::store::rocks::RocksStore;

use crate::server::{Server, eventually, program};
use crate::world::{Log, NAME, signer};

#[test]
fn init_makes_a_witness_once() {
    let log = Log::new("log.example/a", 9);
    let server = Server::init(&[&log], &["--url", "https://witness.example"]);
    let dir = server.dir();
    let mode = |name: &str| fs::metadata(dir.join(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("ed25519.skey"), mode("ml-dsa-44.skey")), (0o700, 0o600, 0o600));
    let lines: Vec<&str> = server.policy.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], format!("group {NAME} any {NAME}-ed {NAME}-mldsa"));
    let vkeys = server.vkeys();
    assert_eq!(
        vkeys.iter().map(|key| key.key().key_type()).collect::<Vec<_>>(),
        [KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature]
    );
    let secret = fs::read_to_string(dir.join("ed25519.skey")).expect("a key");
    let again = server.run("init", &["--name", NAME]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(fs::read_to_string(dir.join("ed25519.skey")).expect("a key"), secret);
    for output in [&again.stdout, &again.stderr] {
        assert!(!String::from_utf8_lossy(output).contains(secret.trim()));
    }
    let single = Server::init(&[], &["--key-type", "ml-dsa-44"]);
    assert!(single.policy.starts_with(&format!("witness {NAME} {NAME}+")), "{}", single.policy);
    // WIT-17, and what else is refused before anything is made.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let new = folder.path().join("new");
    let own = signer(NAME, KeyType::Ed25519, 1).verifier().to_string();
    let witness = signer("w.example", KeyType::Ed25519Cosignature, 1).verifier().to_string();
    for flags in [
        &["--name", "a b"][..],
        &["--name", NAME, "--log", &own],
        &["--name", NAME, "--log", &witness],
        &["--name", NAME, "--log", "no vkey"],
        &["--name", NAME, "--key-type", "ed25519", "--key-type", "ed25519"],
        // What nobody could put into a policy.
        &["--name", "none"],
        &["--name", NAME, "--url", "no url"],
        &["--name", NAME, "--url", "ftp://w.example"],
        &["--name", NAME, "--url", "https://w.example\nquorum none"],
    ] {
        let refused = Command::new(program()).arg("init").arg("--dir").arg(&new).args(flags).output();
        assert_eq!(refused.expect("the program runs").status.code(), Some(2), "{flags:?}");
        assert!(!new.exists(), "{flags:?}");
    }
}

#[test]
fn one_process_serves_a_directory_and_others_look_at_it() {
    let log = Log::new("log.example/a", 9);
    let mut server = Server::init(&[&log], &[]);
    server.serve(&[]);
    assert_eq!(server.add(log.request(0, 9)).0, 200);
    let second = server.run("serve", &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process uses"));
    let status = server.run("status", &["--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(
        (&status[0]["origin"], &status[0]["size"], &status[0]["evidence"]),
        (&Value::from("log.example/a"), &Value::from(9), &Value::from(0))
    );
    assert!(String::from_utf8_lossy(&server.run("status", &[]).stdout).contains("size 9"));
    // A contradiction, seen and exported while the witness runs.
    assert_eq!(server.add(log.forked(3, 9).request(9, 9)).0, 422);
    let findings = server.dir().join("findings");
    // Also by the name that the command had at first.
    for name in ["findings", "evidence"] {
        let exported = server.run(name, &["--export", findings.to_str().expect("UTF-8")]);
        assert_eq!(exported.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&exported.stdout).contains("size 9"));
    }
    let files: Vec<_> =
        fs::read_dir(&findings).expect("a folder").map(|file| file.expect("a file").path()).collect();
    let [file] = &files[..] else { panic!("one finding: {files:?}") };
    let finding = attestation::finding::Finding::parse(&fs::read(file).expect("a file")).expect("a finding");
    finding.confirm(None).expect("confirmed");
    assert_eq!(finding.file_name(), file.file_name().expect("a name").to_str().expect("UTF-8"));
    assert!(String::from_utf8_lossy(&server.run("status", &[]).stdout).contains("ALARM"));
    assert_eq!(server.stop(), Some(0));
    // Output that cannot be written is an error, and no panic.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let unwritten = server.command("status", &[]).stdout(full).output().expect("the program runs");
    assert_eq!(unwritten.status.code(), Some(2), "{}", String::from_utf8_lossy(&unwritten.stderr));
    for (setting, value) in
        [("--list-interval", "0s"), ("--body-timeout", "999999years"), ("--max-connections", "0")]
    {
        let odd = server.run("serve", &[setting, value]);
        assert_eq!(odd.status.code(), Some(2), "{setting} {value}");
    }
    for command in ["serve", "status", "findings"] {
        let nowhere = Command::new(program()).args([command, "--dir", "/nowhere"]).output();
        assert_eq!(nowhere.expect("the program runs").status.code(), Some(2));
    }
}

#[test]
fn logs_are_read_again_without_a_restart() {
    let (log, own, listed) =
        (Log::new("log.example/a", 9), Log::new("log.example/b", 9), Log::new("log.example/c", 9));
    let mut server = Server::init(&[&log], &[]);
    server.serve(&[]);
    assert_eq!(server.add(log.request(0, 5)).0, 200);
    for new in [&own, &listed] {
        assert_eq!(server.add(new.request(0, 9)).0, 404);
    }
    // Another log in the place of the first one, and a list.
    let vkey = |log: &Log| log.keys[0].verifier().to_string();
    fs::write(server.dir().join("logs"), format!("logs/v0\nvkey {}\n", vkey(&own))).expect("a file");
    let list = format!("logs/v0\nvkey {}\nqpd 1000\ncontact x\n", vkey(&listed));
    fs::write(server.dir().join("list"), list).expect("a file");
    let toml = server.dir().join("witness.toml");
    let text = fs::read_to_string(&toml).expect("a file").replace("lists = []", "lists = [\"list\"]");
    fs::write(&toml, text).expect("a file");
    server.signal("HUP");
    for new in [&own, &listed] {
        eventually("a new log", || server.add(new.request(0, 9)).0 != 404);
    }
    // WIT-18: gone, and not forgotten.
    assert_eq!(server.add(log.request(5, 9)).0, 404);
    // A file that cannot be understood changes nothing.
    fs::write(server.dir().join("logs"), "?").expect("a file");
    server.signal("HUP");
    eventually("an error", || server.get("/metrics").1.contains("witness_list_errors_total "));
    assert_eq!(server.add(own.request(9, 9)).0, 200);
    fs::write(server.dir().join("logs"), format!("logs/v0\nvkey {}\n", vkey(&log))).expect("a file");
    server.signal("HUP");
    eventually("the first log", || server.add(log.request(0, 9)).0 != 404);
    assert_eq!(server.add(log.request(0, 9)), (409, "5\n".into()));
    assert_eq!(server.stop(), Some(0));
    // What a list has brought is there at the next start, without the list.
    fs::remove_file(server.dir().join("list")).expect("a file");
    server.serve(&[]);
    assert_eq!(server.add(listed.request(9, 9)).0, 200);
}

/// A list of others that never comes keeps nobody from taking a log off.
#[test]
fn the_operators_logs_do_not_wait_for_lists() {
    let log = Log::new("log.example/a", 9);
    let mut server = Server::init(&[&log], &[]);
    let fifo = server.dir().join("list");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let toml = server.dir().join("witness.toml");
    let text = fs::read_to_string(&toml).expect("a file").replace("lists = []", "lists = [\"list\"]");
    fs::write(&toml, text).expect("a file");
    server.serve(&[]);
    assert_eq!(server.add(log.request(0, 5)).0, 200);
    fs::write(server.dir().join("logs"), "logs/v0\n").expect("a file");
    server.signal("HUP");
    eventually("the log is gone", || server.add(log.request(5, 5)).0 == 404);
    assert_eq!(server.stop(), Some(0));
}

/// Many who come at once are let in by the system at once, also while nobody is accepted.
#[test]
fn there_is_room_for_many_who_come_at_once() {
    let mut server = Server::init(&[], &[]);
    server.serve(&["--max-connections", "1"]);
    let connect = |_| TcpStream::connect_timeout(&server.address(), Duration::from_millis(500)).ok();
    let connected: Vec<TcpStream> = (0..300).map_while(connect).collect();
    assert_eq!(connected.len(), 300);
}

/// WIT-14: connections are kept, and slow bodies are cut off.
#[test]
fn wit_14_connections_are_kept_and_slow_bodies_cut_off() {
    let log = Log::new("log.example/a", 9);
    let mut server = Server::init(&[&log], &["--key-type", "ed25519"]);
    server.serve(&["--body-timeout", "300ms"]);
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // As the known clients send it: no media type.
    for (old, size) in [(0, 5), (5, 9), (9, 9)] {
        let body = log.request(old, size);
        write!(
            stream,
            "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        let mut answer = String::new();
        while !answer.ends_with("=\n") {
            let mut bytes = [0; 4_096];
            let read = stream.read(&mut bytes).expect("an answer");
            assert_ne!(read, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&bytes[..read]).expect("UTF-8"));
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let start = Instant::now();
    write!(stream, "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold")
        .expect("a part");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(start.elapsed() >= Duration::from_millis(300));
    // Who sends nothing does not hold up a stop.
    let _idle = TcpStream::connect(server.address()).expect("a connection");
    assert_eq!(server.stop(), Some(0));
}

/// A state that lies ahead of the clock: refused, said, and accepted by the operator, running or at the start.
#[test]
fn a_clock_behind_the_last_cosignature_waits_for_the_operator() {
    let log = Log::new("log.example/a", 9);
    let mut server = Server::init(&[&log], &["--key-type", "ed25519"]);
    let ahead =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs() + 3_600;
    let note = log.note(5);
    let store = Arc::new(RocksStore::open(&server.dir().join("db")).expect("a store"));
    let (state, writer) = State::open(store, |_| ()).expect("a state");
    let update = Update {
        log: Hash::of(log.origin.as_bytes()),
        expected: None,
        seen: Seen { size: log.checkpoint(5).size, root: log.tree.root(5) },
        time: UnixTime::from_secs(ahead),
        note: note.clone(),
        log_note: note,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert_eq!(runtime.block_on(state.replace(update)), Ok(true));
    drop(state);
    writer.join().expect("the writer ends with the state");
    // As an earlier release leaves it.
    fs::remove_file(server.record()).expect("the record");
    server.serve(&[]);
    let (status, why) = server.add(log.request(5, 9));
    assert_eq!(status, 503);
    assert!(why.contains("the last cosignature"), "{why}");
    assert_eq!(server.get("/readyz").0, 503);
    assert!(server.get("/status").1.contains("the last cosignature"));
    assert!(server.get("/metrics").1.contains("witness_clock_stopped 1"));
    server.signal("USR1");
    eventually("the operator's word", || server.add(log.request(5, 9)).0 != 503);
    assert!(server.get("/metrics").1.contains("witness_clock_stopped 0"));
    // Never back: the time stands still until it is reached.
    let (status, line) = server.add(log.request(9, 9));
    assert_eq!(status, 200);
    let line = tlog::note::NoteSignature::parse(line.trim_end()).expect("a line");
    assert_eq!(line.signature()[..8], ahead.to_be_bytes());
    assert_eq!(server.stop(), Some(0));
    server.serve(&[]);
    assert_eq!(server.add(log.request(9, 9)).0, 503, "an old word does not count at the next start");
    assert_eq!(server.stop(), Some(0));
    server.serve(&["--accept-clock"]);
    assert_eq!(server.add(log.request(9, 9)).0, 200);
}

/// Whether strace is here; says so when it is not.
fn strace(test: &str) -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if !there {
        let _ = writeln!(std::io::stderr(), "not run: {test}: no strace");
    }
    there
}

/// The system calls of a trace in the order of their ends, each as "sync" or "answer".
fn events(trace: &str) -> Vec<&'static str> {
    let event = |line: &str| {
        let done = !line.contains("<unfinished");
        if (line.contains("fdatasync") || line.contains("fsync")) && done && line.trim_end().ends_with("= 0")
        {
            Some("sync")
        } else if line.contains("\"HTTP/1.1 200 ") {
            // An answer counts when it begins to leave.
            Some("answer")
        } else {
            None
        }
    };
    trace.lines().filter_map(event).collect()
}

/// How many answers have no sync between them and the answer before.
fn unsynced(events: &[&str]) -> usize {
    let mut synced = false;
    let mut bare = 0;
    for event in events {
        match *event {
            "sync" => synced = true,
            _ => bare += usize::from(!std::mem::take(&mut synced)),
        }
    }
    bare
}

/// Every answer 200 to add-checkpoint is preceded by a sync of its own. The control: answers to reads are not, and
/// the same count finds them.
#[test]
fn wit_7_the_disk_is_synced_before_every_answer() {
    if !strace("wit_7_the_disk_is_synced_before_every_answer") {
        return;
    }
    let log = Log::new("log.example/a", 60);
    let mut server = Server::init(&[&log], &["--key-type", "ed25519"]);
    let trace = server.dir().join("trace");
    let trace_path = trace.to_str().expect("UTF-8");
    let calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg";
    server.serve_under(&["strace", "-f", "-D", "-s", "16", "-e", calls, "-o", trace_path], &[]);
    for size in 1..=50 {
        assert_eq!(server.add(log.request(size - 1, size)).0, 200);
    }
    let reads = || (0..10).for_each(|_| assert_eq!(server.seen(&log).0, 200));
    reads();
    assert_eq!(server.stop(), Some(0));
    // The tracer is a grandchild: it writes its last line after the program has ended.
    eventually("the whole trace", || {
        fs::read_to_string(&trace).is_ok_and(|text| text.contains("exited with 0"))
    });
    let events = events(&fs::read_to_string(&trace).expect("a trace"));
    let answers: Vec<usize> = (0..events.len()).filter(|at| events[*at] == "answer").collect();
    assert_eq!(answers.len(), 60);
    assert_eq!(unsynced(&events[..=answers[49]]), 0, "{events:?}");
    assert_eq!(
        unsynced(&events[answers[49] + 1..]),
        10,
        "the count finds answers without a sync: {events:?}"
    );
}

/// A sync that fails ends the process, with no answer; the next start goes on from what is on the disk.
#[test]
fn wit_7_a_failed_sync_ends_the_process() {
    if !strace("wit_7_a_failed_sync_ends_the_process") {
        return;
    }
    let log = Log::new("log.example/a", 60);
    let mut server = Server::init(&[&log], &["--key-type", "ed25519"]);
    let inject = "inject=fsync,fdatasync:error=EIO:when=20+";
    server.serve_under(
        &["strace", "-f", "-D", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject],
        &[],
    );
    let mut cosigned = 0;
    while let Some((status, text)) = server.try_add(log.request(cosigned, cosigned + 1)) {
        if status != 200 {
            assert!(status == 503 && !text.contains('—'), "{status}: {text}");
            break;
        }
        cosigned += 1;
        assert!(cosigned < 60, "no sync has failed");
    }
    assert_eq!(server.wait(), Some(70));
    assert!(cosigned > 0);
    server.serve(&[]);
    let (status, note) = server.seen(&log);
    assert_eq!(status, 200);
    let seen = Checkpoint::parse(Note::parse(note.as_bytes()).expect("a note").text()).expect("a checkpoint");
    assert!(seen.size.get() >= cosigned, "{} of {cosigned}", seen.size);
    assert_eq!(server.add(log.request(seen.size.get(), 60)).0, 200);
}

/// A folder with this witness in it, and beside it or in a folder of PATH a `monitor` that prints what it was called with.
struct Install {
    folder: tempfile::TempDir,
}

impl Install {
    fn new(monitors: &[&str]) -> Self {
        let install = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for name in ["bin", "path"] {
            fs::create_dir(install.folder.path().join(name)).expect("a folder");
        }
        fs::copy(program(), install.folder.path().join("bin/witness")).expect("copied");
        for place in monitors {
            let path = install.folder.path().join(place).join("monitor");
            fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' {place} $$ \"$@\"\nexit 1\n"))
                .expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        install
    }

    /// The exit code of `witness ARGS`, the lines that it prints, what it says, and its process.
    fn call(&self, args: &[&OsStr]) -> (Option<i32>, Vec<OsString>, String, u32) {
        let bin = self.folder.path().join("bin/witness");
        let mut command = Command::new(bin);
        command.args(args).env("PATH", self.folder.path().join("path"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let pid = child.id();
        let output = child.wait_with_output().expect("it ends");
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| OsStr::from_bytes(line).to_owned()).collect();
        (output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned(), pid)
    }
}

#[test]
fn witness_monitor_becomes_the_monitor_beside_it() {
    let typed = ["monitor", "--", "--help", "--version", "-x", "", "a b", "--", "--dir="].map(OsStr::new);
    let typed = [&typed[..], &[OsStr::from_bytes(b"\xff")]].concat();
    // An empty argument is an empty line, which is left out of what was printed.
    let given: Vec<&OsStr> = typed[1..].iter().copied().filter(|arg| !arg.is_empty()).collect();
    let install = Install::new(&["bin", "path"]);
    let (code, lines, stderr, pid) = install.call(&typed);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    // The same process: signals and supervisors reach it.
    assert_eq!((lines[0].as_os_str(), lines[1].to_str()), (OsStr::new("bin"), Some(&*pid.to_string())));
    assert_eq!(lines[2..], given);
    for flag in ["--help", "--version", "man"] {
        assert_eq!(install.call(&["monitor", flag].map(OsStr::new)).1[2..], [flag]);
    }
    // A program of PATH that has the name may be anybody's: a checkout's, or quite another program.
    let none = Install::new(&["path"]);
    let (code, lines, stderr, _) = none.call(&["monitor", "--once"].map(OsStr::new));
    assert_eq!((code, lines.len()), (Some(2), 0), "{stderr}");
    assert!(stderr.contains("bin/monitor`") && stderr.contains("\nhint: "), "{stderr}");
    // The help of the witness names it all the same.
    let (code, lines, _, _) = none.call(&[OsStr::new("--help")]);
    assert!(code == Some(0) && lines.iter().any(|line| line.to_string_lossy().starts_with("  monitor ")));
    // One that is no program says so.
    let broken = Install::new(&["bin"]);
    let path = broken.folder.path().join("bin/monitor");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("no program");
    let (code, _, stderr, _) = broken.call(&[OsStr::new("monitor")]);
    assert!(code == Some(2) && stderr.contains("cannot run `") && stderr.contains("bin/monitor"), "{stderr}");
}
