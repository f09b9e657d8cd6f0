//! Mail that is damaged or missing: the relay answers 503, and the log goes on. Mail is in no backup.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use testkit::program;

/// The log takes an entry, is ready, and says that the relay is not open.
fn assert_the_log_goes_on_without(log: &Log, number: u64) {
    log.make_known(&Signer::new(number));
    let (status, words) = readiness(log);
    assert!(status == 200 && words.contains("messages: answered 503"), "{status} {words}");
    assert_eq!(metric(log, "log_relay_open"), 0.0);
    let (status, answer) = log.send(&Signer::new(1), &sealed(&Signer::new(2), "while it is closed"));
    assert_eq!((status, rule(&answer)), (503, "relay"), "{answer}");
    let list = Action::List(List { after: 0, keys: None, limit: 1, wait: 60 });
    assert_eq!(log.mailbox(&Signer::new(2), list).0, 503, "and nobody waits");
}

fn record_file(log: &Log) -> PathBuf {
    let files =
        fs::read_dir(log.dir().join("mail")).expect("mail").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().expect("a record file")
}

#[test]
fn damaged_mail_at_start_is_answered_503_and_the_log_goes_on() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    for text in ["one", "two", "three"] {
        send(&log, &alice, &sealed(&bob, text));
    }
    assert_eq!(log.stop(), Some(0));
    let file = record_file(&log);
    let whole = fs::read(&file).expect("a file");
    for (at, bit) in [(whole.len() / 2, 1), (6, 0x80), (whole.len() - 600, 4)] {
        let mut damaged = whole.clone();
        damaged[at] ^= bit;
        fs::write(&file, &damaged).expect("a file");
        log.serve(&[]);
        assert_the_log_goes_on_without(&log, 100 + at as u64);
        assert_eq!(log.stop(), Some(0));
        assert_eq!(fs::read(&file).expect("a file"), damaged, "nothing was changed");
    }
    assert_eq!(log.fsck().status.code(), Some(0), "the log is whole");
    fs::write(&file, &whole).expect("a file");
    log.serve(&[]);
    assert_eq!(log.mail(&bob).len(), 3);
    // Without its folder the relay begins anew: nothing else knows what was in it.
    assert_eq!(log.stop(), Some(0));
    fs::remove_dir_all(log.dir().join("mail")).expect("mail");
    log.serve(&[]);
    assert!(log.mail(&bob).is_empty());
    send(&log, &alice, &sealed(&bob, "one"));
}

#[test]
fn a_sorted_file_that_is_damaged_is_found_at_start() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    // More than the memory for writes holds, so that it is sorted into files.
    for number in 0..100 {
        send_slowly(&log, &alice, &sealed_of(&bob, &number.to_string(), 32_768));
        if number % 50 == 49 {
            assert_eq!(log.stop(), Some(0));
            log.serve(&[]);
        }
    }
    assert_eq!(log.stop(), Some(0));
    let sorted =
        fs::read_dir(log.dir().join("mail")).expect("mail").map(|entry| entry.expect("an entry").path());
    let sorted = sorted.filter(|path| path.extension().is_some_and(|end| end == "sst")).min();
    let Some(file) = sorted else { panic!("no sorted file: the test proves nothing") };
    let mut bytes = fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("a file");
    log.serve(&[]);
    until("the damage is found", Duration::from_secs(30), || {
        readiness(&log).1.contains("messages: answered 503")
    });
    assert_the_log_goes_on_without(&log, 200);
}

/// Sends, and waits while the DID's budget is spent.
fn send_slowly(log: &Log, sender: &Signer, sealed: &Sealed) {
    until("the budget allows it", Duration::from_secs(120), || log.send(sender, sealed).0 == 200);
}

#[test]
fn mail_that_disappears_while_the_log_runs_is_answered_503_and_the_log_goes_on() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    send(&log, &alice, &sealed(&bob, "one"));
    let (mail, aside) = (log.dir().join("mail"), log.folder().join("aside"));
    fs::rename(&mail, &aside).expect("a rename");
    assert_eq!(log.send(&alice, &sealed(&bob, "two")).0, 503);
    until("the relay is closed", Duration::from_secs(20), || metric(&log, "log_relay_open") == 0.0);
    assert_the_log_goes_on_without(&log, 100);
    fs::rename(&aside, &mail).expect("a rename");
    // It looks again from time to time.
    until("the relay is open again", Duration::from_secs(90), || metric(&log, "log_relay_open") == 1.0);
    assert_eq!(log.mail(&bob)[0], sealed(&bob, "one").id());
    assert_eq!(log.stop(), Some(0));
}

#[test]
fn a_second_server_does_not_touch_the_mail() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    send(&log, &alice, &sealed(&bob, "one"));
    let refused = log.serve_refused(&[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another process uses the directory"));
    send(&log, &alice, &sealed(&bob, "two"));
    assert_eq!(log.mail(&bob).len(), 2);
    assert_eq!(log.stop(), Some(0));
}

#[test]
fn a_backup_has_no_mail_and_a_restored_log_begins_without() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    let message = sealed(&bob, "nowhere but in the relay");
    send(&log, &alice, &message);
    let backup = log.folder().join("backup");
    let run = |args: &[&str], paths: &[(&str, PathBuf)]| {
        let mut command = Command::new(program("log-server"));
        command.args(args);
        command.args(paths.iter().flat_map(|(flag, path)| [OsStr::new(*flag), path.as_os_str()]));
        let output = command.output().expect("log-server runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["backup"], &[("--dir", log.dir()), ("--to", backup.clone())]);
    let restored = log.folder().join("restored");
    let paths = [
        ("--from", backup.clone()),
        ("--dir", restored.clone()),
        ("--key", log.dir().join("log.skey")),
        ("--signed-record", log.folder().join("log.signed")),
    ];
    assert_eq!(log.stop(), Some(0));
    run(&["restore"], &paths);
    for folder in [&backup, &restored] {
        assert!(!folder.join("mail").exists(), "{}", folder.display());
    }
    // In the place of the old directory.
    fs::remove_dir_all(log.dir()).expect("the old directory");
    fs::rename(&restored, log.dir()).expect("a rename");
    log.serve(&[]);
    assert!(log.mail(&bob).is_empty());
    let (_, answer) = log.send(&alice, &message);
    assert_eq!(answer["stored"], true, "nothing is known of it: {answer}");
}
