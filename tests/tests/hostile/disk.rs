//! A disk that fails or fills, and programs that meet on one directory (R2, R5, R6, S17). The trials themselves are in
//! `torture`; here they run a few times.

use torture::Plan;
use torture::disks::{Disk, Kind};

use super::*;

/// R6 and R2, a few times each.
#[test]
fn after_a_failed_sync_the_process_ends_and_nothing_acknowledged_is_lost() {
    torture::syncs::fail(&Plan::of(12)).assert_clean("failing sync");
    torture::calls::shorten(&Plan::of(1)).assert_clean("short writes");
}

/// R7, a few times.
#[test]
fn a_flipped_bit_is_named_and_never_served() {
    torture::flips::log(&Plan::of(60)).assert_clean("flips");
}

/// R5: the disk fills up to the floor, and then without one.
#[test]
fn on_a_full_disk_writes_stop_with_a_word_and_nothing_acknowledged_is_lost() {
    torture::space::tmpfs(&Plan::of(4)).assert_clean("disk full");
}

/// A log whose directory is a small disk; its signed record is beside it, on another.
fn log_on_small_disk(bytes: u64) -> Option<(Log, Disk)> {
    let log = Log::init();
    let aside = log.folder().join("aside");
    fs::rename(log.dir(), &aside).expect("renamed");
    fs::create_dir(log.dir()).expect("a folder");
    let disk = Disk::make(Kind::Tmpfs, &log.dir(), &aside, bytes).ok()?;
    copy_folder(&aside, &log.dir());
    Some((log, disk))
}

/// A disk that takes nothing when the log is started: full, or read-only. That may pass, and the unit starts the log again
/// (exit code 70); it is not the refusal that waits for a person (2). With room again the log is as it was.
#[test]
fn a_start_on_a_disk_that_takes_nothing_is_to_be_tried_again() {
    let Some((mut log, disk)) = log_on_small_disk(48 << 20) else {
        return eprintln!("not run: disk full: a tmpfs cannot be mounted here");
    };
    let signer = Signer::new(1);
    log.serve(&["--disk-floor-bytes", "0"]);
    assert_eq!(log.submit(&signer.sign(ORIGIN, b"one", Public, 0).published()).0, 200);
    log.kill();
    let ballast = log.dir().join("ballast");
    disk.fill(&ballast, 0);
    let full = log.serve_refused(&["--disk-floor-bytes", "0"]);
    fs::remove_file(&ballast).expect("removed");
    let remount = |how: &str| {
        let mount = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(log.dir()).output();
        assert!(mount.expect("mount runs").status.success());
    };
    remount("ro");
    let read_only = log.serve_refused(&[]);
    remount("rw");
    for (what, refused) in [("full", full), ("read-only", read_only)] {
        let words = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(70), "{what}: {words}");
        assert!(words.contains("error: ") && !words.contains("origin is over"), "{what}: {words}");
    }
    log.serve(&["--disk-floor-bytes", "0"]);
    assert_lives(&mut log, b"after");
}

/// Somebody removes the directory of a log that runs. Nothing more is promised, and the process ends.
#[test]
fn a_log_whose_directory_is_removed_promises_nothing_more() {
    for what in ["removed", "renamed", "replaced"] {
        let mut log = Log::start(&[]);
        let signer = Signer::new(1);
        assert_eq!(log.submit(&signer.sign(ORIGIN, b"one", Public, 0).published()).0, 200);
        match what {
            "removed" => fs::remove_dir_all(log.dir()).expect("removed"),
            _ => fs::rename(log.dir(), log.folder().join("aside")).expect("renamed"),
        }
        if what == "replaced" {
            copy_folder(&log.folder().join("aside"), &log.dir());
        }
        let entry = signer.sign(ORIGIN, b"two", Public, 0).published();
        let answer = log.http().post(format!("{}/api/v1/entries", log.url())).json(&entry).send();
        // One that has another directory under its name may be asked before that is seen.
        let told = answer.is_ok_and(|answer| answer.status().is_success());
        assert!(!told || what == "replaced", "{what}: an entry was promised");
        let mut code = None;
        until("the process ends", Duration::from_secs(10), || {
            code = log.ended();
            code.is_some()
        });
        assert_eq!(code, Some(Some(70)), "{what}");
    }
}

/// SIGHUP: the policy and the tokens are read again, all or nothing, and the log runs on.
#[test]
fn what_can_be_read_again_is_read_again() {
    let mut log = Log::init();
    let tokens = log.folder().join("tokens");
    fs::write(&tokens, "").expect("written");
    log.serve(&["--admission", "token", "--token-file", tokens.to_str().expect("a path")]);
    let entry = Signer::new(1).sign(ORIGIN, b"one", Public, 0).published();
    let submit = |log: &Log| log.submit_with(&entry, &[("authorization", "Bearer secret")]).0;
    assert_eq!(submit(&log), 401);
    fs::write(&tokens, format!("{}\n", Hash::of(b"secret"))).expect("written");
    let policy = log.dir().join("policy");
    let before = fs::read_to_string(&policy).expect("a policy");
    let hang_up = |log: &Log| {
        let kill = Command::new("kill").args(["-HUP", &log.pid().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    };
    let shown = |log: &Log| String::from_utf8(log.bytes("/policy")).expect("text");
    // One that is malformed: nothing of what was edited counts.
    let read = || fs::read(log.dir().join("read")).expect("what was read last");
    let read_before = read();
    fs::write(&policy, "quorum nobody\n").expect("written");
    hang_up(&log);
    until("the files were read", Duration::from_secs(10), || read() != read_before);
    let good = format!("{before}# A word more\n");
    assert_eq!((log.ended(), shown(&log), submit(&log)), (None, before, 401));
    fs::write(&policy, &good).expect("written");
    hang_up(&log);
    until("the policy is shown", Duration::from_secs(10), || shown(&log) == good);
    assert_eq!(submit(&log), 200);
    assert_eq!(log.stop(), Some(0));
}

#[test]
fn a_directory_a_record_and_a_key_belong_to_one_process() {
    torture::rollback::twice(&Plan::of(1)).assert_clean("R10");
}

/// Whatever `init` makes can be served, and is whole before anything was logged.
#[test]
fn init_makes_only_logs_that_can_be_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, origin) in ["/log", ":80/log", "", "a b", "a+b", "a\nb", &"x".repeat(256)].iter().enumerate()
    {
        let dir = folder.path().join(number.to_string());
        let init = Command::new(program("log-server"))
            .args(["init", "--origin", origin, "--dir"])
            .arg(&dir)
            .output();
        let init = init.expect("log-server runs");
        let words = String::from_utf8_lossy(&init.stderr).into_owned();
        assert_eq!(init.status.code(), Some(2), "{origin:?}: {words}");
        assert!(words.contains("error: ") && !dir.exists(), "{origin:?}: {words}");
    }
    assert_eq!(fsck(&Log::init()), (Some(0), "ok: 0 entries\n".to_owned()));
}

/// I5 for what is not wanted any more: an `erase` that broke off is finished by the next one.
#[test]
fn an_erase_that_broke_off_is_finished_by_the_next() {
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let signed = signer.sign(ORIGIN, b"secret", Public, 3_000);
    log.submit(&signed.published());
    log.stop();
    let hash = signed.envelope.hash().to_string();
    let erase = || {
        let args = ["erase", &hash, "--reason", "asked for", "--dir"];
        Command::new(program("log-server")).args(args).arg(log.dir()).output().expect("log-server runs")
    };
    let on_disk = || {
        // The artifact's digest inside the payload: hex in base64, which no compression takes apart.
        let payload = signed.envelope.unverified_payload();
        let digest = signed.artifact.to_string();
        let at = payload.windows(64).position(|window| window == digest.as_bytes()).expect("the digest");
        let needle = &base64(payload)[at.div_ceil(3) * 4..][..40];
        let grep = Command::new("grep").args(["-raqF", needle]).arg(log.dir()).status();
        grep.expect("grep runs").code() == Some(0)
    };
    assert!(on_disk(), "the check itself works");
    // What a crash between tombstone and compaction leaves behind.
    let store = log_server::store::rocks::RocksStore::open(&log.dir().join("db")).expect("the store");
    let mut batch = log_server::store::Batch::default();
    let tombstone = log_server::store::schema::Tombstone { reason: "asked for".into(), erased_at: 0 };
    log_server::store::schema::put_tombstone(&mut batch, &signed.envelope.hash(), &tombstone);
    log_server::store::Store::write(&store, &batch).expect("written");
    drop(store);
    assert!(on_disk(), "a tombstone alone takes nothing off the disk");
    erase();
    assert!(!on_disk(), "the envelope is still on the disk");
}

/// S17: `fsck --url` reads a log that never ends, packed or not.
#[test]
fn fsck_of_a_hostile_log_ends() {
    let vkey = Log::init().vkey.to_string();
    let zeros = Command::new("sh").args(["-c", "head -c 200000000 /dev/zero | gzip -1"]).output();
    let bomb = zeros.expect("sh runs").stdout;
    for (what, head, unit, repeat) in [
        ("an endless body", "", vec![b'x'; 1 << 16], u64::MAX),
        ("a bomb", "Content-Encoding: gzip\r\n", bomb, 1),
        ("an endless head", "X: ", vec![b'x'; 1 << 16], 0),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                listener.set_nonblocking(true).expect("a socket");
                while !stop.load(Ordering::SeqCst) {
                    let Ok((mut stream, _)) = listener.accept() else {
                        std::thread::park_timeout(Duration::from_millis(2));
                        continue;
                    };
                    stream.set_nonblocking(false).expect("a socket");
                    let _ = stream.read(&mut [0; 1 << 12]);
                    let end = if repeat == 0 { "" } else { "\r\n" };
                    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}{end}").as_bytes());
                    let mut sent = 0;
                    while (repeat == 0 || sent < repeat) && stream.write_all(&unit).is_ok() {
                        sent += 1;
                    }
                }
            });
            let mut fsck = Command::new(program("log-server"));
            fsck.args(["fsck", "--url", &url, "--vkey", &vkey]).env("NO_PROXY", "*");
            let mut fsck =
                Ends(fsck.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("log-server runs"));
            let mut code = None;
            until("fsck ends", Duration::from_secs(20), || {
                code = fsck.0.try_wait().expect("our child");
                code.is_some()
            });
            stop.store(true, Ordering::SeqCst);
            let mut words = String::new();
            fsck.0.stderr.take().expect("a pipe").read_to_string(&mut words).expect("words");
            let code = code.and_then(|status| status.code());
            assert!(matches!(code, Some(1 | 2)), "{what}: {words}");
            assert!(words.starts_with("error: "), "{what}: {words}");
        });
    }
}
