//! Changes of keys that break off, are refused, meet each other, or meet what somebody else did.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use testkit::detour::{Detour, Way};
use testkit::log::Log;
use testkit::someone::{Someone, outcome};

/// Somebody who is registered.
fn owner(log: &Log) -> Someone {
    Someone::at(log, &["--register", "--log", &log.url()])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn file(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

fn is_under_way(someone: &Someone) -> bool {
    !file(someone.next_file())["underWay"].is_null()
}

fn events(someone: &Someone) -> usize {
    someone.state()["events"].as_array().expect("events").len()
}

/// What comes of commands that somebody gives at the same moment.
fn at_once<const N: usize>(someone: &Someone, commands: [&[&str]; N]) -> [(i32, String, String); N] {
    let start = std::sync::Barrier::new(N);
    std::thread::scope(|scope| {
        let running = commands.map(|arguments| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                someone.run(arguments)
            })
        });
        running.map(|one| one.join().expect("it ran"))
    })
}

/// Two processes on one machine: the second waits for the first, and no key that the log knows of is lost.
#[test]
fn changes_of_keys_at_once_are_made_one_after_the_other() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let mut waited = 0;
    for round in 1..=20 {
        let both = at_once(&pipeline, [&["rotate-key"], &["rotate-key"]]);
        for (code, _, err) in &both {
            assert_eq!(*code, 0, "{err}");
            waited +=
                usize::from(err.contains("another process is changing the keys here: rotate-key, process"));
        }
        let whoami = pipeline.json(&["whoami"]);
        assert_eq!(whoami["keyIsCurrent"], true, "{whoami}");
        assert_eq!(whoami["state"]["events"].as_array().map(Vec::len), Some(1 + 2 * round), "{whoami}");
    }
    println!("{waited} of 40 waited for another");
    // Several first submissions and an explicit one: one inception, and the file says so.
    for _ in 0..5 {
        let pipeline = Someone::at(&log, &[]);
        pipeline.write("one", "one");
        pipeline.write("two", "two");
        let all = at_once(&pipeline, [&["sign", "one"], &["sign", "two"], &["init", "--register"]]);
        for (code, _, err) in &all {
            assert_eq!((*code, err.contains("warning")), (0, false), "{err}");
        }
        assert_eq!(file(pipeline.next_file())["registered"], "localhost/log");
        pipeline.ok(&["rotate-key"]);
    }
}

/// A report from elsewhere, which no lock of this machine keeps off: either comes first, and whoever comes second
/// finishes or says what came before.
#[test]
fn a_rotation_and_a_report_at_once_lose_no_key() {
    let log = Log::start(&[]);
    for _ in 0..10 {
        let pipeline = owner(&log);
        let recovery = pipeline.recovery_file();
        let inception = pipeline.state()["registered"].to_string();
        let report = ["report-compromise", "--since", &inception, "--recovery", text(&recovery)];
        let [rotated, reported] = at_once(&pipeline, [&["rotate-key"], &report]);
        for (code, _, err) in [&rotated, &reported] {
            let is_said = err.contains("another event of the DID came first") || err.contains("compromised");
            assert!(*code == 0 || (*code == 2 && is_said), "{code}: {err}");
        }
        assert!(rotated.0 == 0 || reported.0 == 0, "{rotated:?} {reported:?}");
        assert!(!is_under_way(&pipeline), "{rotated:?}");
        assert_eq!(pipeline.json(&["whoami"])["keyIsCurrent"], true);
        pipeline.ok(&["recover", "--recovery", text(&recovery), "--since", &inception]);
        pipeline.ok(&["rotate-key"]);
    }
}

/// Who waits in vain says who has the keys, and has changed nothing.
#[test]
fn a_change_of_keys_waits_a_bounded_time_for_another() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let recovery = pipeline.recovery_file();
    let recovery = text(&recovery);
    let before = fs::read(pipeline.next_file()).expect("there");
    let held = File::open(pipeline.home().join(".aip/keys.lock")).expect("there");
    held.lock().expect("free");
    for command in [
        &["rotate-key"][..],
        &["recover", "--recovery", recovery, "--since", "1"],
        &["report-compromise", "--since", "1"],
        &["deactivate", "--yes"],
        &["init", "--register"],
        &["init", "--force"],
    ] {
        let (code, out, err) = pipeline.run(&[command, &["--timeout", "200ms"]].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{command:?}: {err}");
        assert!(
            err.contains("another process is changing the keys here") && err.contains("init, process"),
            "{err}"
        );
        assert!(err.contains("hint: let it end"), "{err}");
    }
    assert_eq!(fs::read(pipeline.next_file()).expect("there"), before);
    assert_eq!(events(&pipeline), 1);
    // The recovery key on another medium needs no lock of this machine, and neither does a signature.
    pipeline.write("app", "an app");
    pipeline.ok(&["sign", "app"]);
    pipeline.ok(&["report-compromise", "--since", "2", "--recovery", recovery]);
    drop(held);
    pipeline.ok(&["recover", "--recovery", recovery]);
}

/// The places where a rotation can break off: before the log has it, before that is known here, and before the next
/// key's file says that it ended.
#[test]
fn a_rotation_that_breaks_off_is_finished_by_the_same_command() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let rotate = ["rotate-key", "--log", &detour.url()];
    let pipeline = owner(&log);
    let old = pipeline.ok(&["key", "export"]);
    detour.go(Way::Lost);
    let (code, _, err) = pipeline.run(&rotate);
    assert_eq!((code, err.contains("`aip rotate-key` finishes it")), (2, true), "{err}");
    let begun = fs::read(pipeline.next_file()).expect("there");
    assert!(is_under_way(&pipeline));
    let (code, _, err) = pipeline.run(&["whoami"]);
    assert_eq!((code, err.contains("a rotation was begun and is not finished")), (0, true), "{err}");
    // Whoever took a key elsewhere now would take one that is about to be worth nothing.
    let (code, out, err) = pipeline.run(&["key", "export"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("hint: `aip rotate-key` finishes it"), "{err}");
    detour.go(Way::Through);
    let (code, _, err) = pipeline.run(&rotate);
    assert_eq!((code, err.contains("a rotation was begun")), (0, true), "{err}");
    let sent = detour.submitted();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]), "the same event");
    let new = pipeline.ok(&["key", "export"]);
    assert_ne!(new, old);
    assert_eq!(events(&pipeline), 2);
    // It died just before the file said that it ended.
    fs::write(pipeline.next_file(), &begun).expect("written");
    pipeline.ok(&rotate);
    assert_eq!((pipeline.ok(&["key", "export"]), events(&pipeline)), (new.clone(), 2));
    assert!(!is_under_way(&pipeline));
    // The log has it, and nobody here knows. What came behind changes nothing about that.
    detour.go(Way::AnswerLost);
    assert_eq!(pipeline.run(&rotate).0, 2);
    let recovery = pipeline.recovery_file();
    pipeline.ok(&["report-compromise", "--since", "1", "--recovery", text(&recovery)]);
    let sent = detour.submitted().len();
    let (code, out, err) = pipeline.run(&rotate);
    assert_eq!((code, err.contains("a rotation was begun, and the log has it")), (0, true), "{err}");
    assert!(out.starts_with("rotation  did:aip:") && out.contains("index 2"), "{out}");
    assert_eq!(detour.submitted().len(), sent, "nothing is sent again");
    assert!(!is_under_way(&pipeline));
    assert_ne!(pipeline.ok(&["key", "export"]), new);
    assert_eq!(pipeline.json(&["whoami"])["keyIsCurrent"], true);
    // The next key of then is the one that counts.
    pipeline.ok(&["recover", "--recovery", text(&recovery)]);
    pipeline.ok(&["rotate-key"]);
}

/// Killed at any moment: the same command finishes it, no key that the log knows of is lost, and none lies about.
#[test]
fn a_rotation_that_is_killed_is_finished() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let start = Instant::now();
    pipeline.ok(&["rotate-key"]);
    let whole = start.elapsed();
    let mut killed = 0;
    for part in 1..=KILLS {
        let mut aip = pipeline.aip(&["rotate-key"]);
        let mut aip = aip.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("aip runs");
        std::thread::park_timeout(whole * part / KILLS);
        aip.kill().expect("ours");
        killed += u32::from(!aip.wait().expect("a process that was killed ends").success());
        pipeline.ok(&["rotate-key"]);
        assert_eq!(pipeline.json(&["whoami"])["keyIsCurrent"], true);
        assert!(!is_under_way(&pipeline));
        let entries = fs::read_dir(pipeline.home().join(".aip")).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        assert_eq!(names.filter(|name| name.ends_with(".aip-tmp")).count(), 0);
    }
    println!("{killed} of {KILLS} were killed before they ended");
    assert!(killed > 0, "all ended before they were killed");
}

/// Spread over the time that a rotation takes.
const KILLS: u32 = 25;

/// The state comes first: what the log could not take is never begun.
#[test]
fn what_the_log_would_refuse_is_not_begun() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let recovery = pipeline.recovery_file();
    let before = fs::read(pipeline.next_file()).expect("there");
    let refused = |arguments: &[&str], said: &str| {
        let (code, _, err) = pipeline.run(arguments);
        assert_eq!((code, err.contains(said)), (2, true), "{arguments:?}: {err}");
        assert_eq!(fs::read(pipeline.next_file()).expect("there"), before);
    };
    refused(&["report-compromise", "--since", "9"], "`since` is 9");
    pipeline.ok(&["report-compromise", "--since", "1"]);
    refused(&["rotate-key"], "recover --recovery FILE");
    refused(&["report-compromise", "--since", "0"], "only its recovery key speaks for it");
    pipeline.ok(&["deactivate", "--yes", "--recovery", text(&recovery)]);
    refused(&["rotate-key"], "deactivated, for ever");
    refused(&["recover", "--recovery", text(&recovery)], "deactivated, for ever");
    refused(&["report-compromise", "--since", "1"], "deactivated, for ever");
    assert_eq!(pipeline.recovery_file(), recovery, "no key was made");
    let entries = fs::read_dir(pipeline.home().join(".aip")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    assert!(!names.into_iter().any(|name| name.contains(".old")), "no copy was needed");
}

/// A rotation that the log refuses is taken off the disk, and the next one is another. Should the log have it all the
/// same, its keys are there.
#[test]
fn a_rotation_that_the_log_refuses_is_taken_back() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let rotate = ["rotate-key", "--log", &detour.url()];
    let pipeline = owner(&log);
    let before = fs::read(pipeline.next_file()).expect("there");
    let old = pipeline.ok(&["key", "export"]);
    detour.go(Way::Refused);
    let (code, _, err) = pipeline.run(&rotate);
    assert_eq!((code, err.contains("the keys here are as they were before")), (2, true), "{err}");
    assert_eq!(fs::read(pipeline.next_file()).expect("there"), before);
    assert_eq!(pipeline.ok(&["key", "export"]), old);
    detour.go(Way::Through);
    pipeline.ok(&rotate);
    let sent = detour.submitted();
    assert_ne!(sent[0], sent[1], "another event");
    // Whoever refused it hands it in later.
    detour.go(Way::Refused);
    assert_eq!(pipeline.run(&rotate).0, 2);
    let body: Value = serde_json::from_str(detour.submitted().last().expect("sent")).expect("JSON");
    assert_eq!(log.submit(&body).0, 200);
    assert_eq!(pipeline.run(&["whoami"]).0, 2, "the key here is an old one");
    // The key that the log asks for is here, and nothing calls for the recovery key.
    let (code, _, err) = pipeline.run(&["report-compromise", "--since", "2"]);
    assert_eq!((code, err.contains("--recovery")), (2, false), "{err}");
    assert!(err.contains("hint: `aip rotate-key` finishes that"), "{err}");
    let (code, _, err) = pipeline.run(&["rotate-key"]);
    assert_eq!(
        (code, err.contains("a change of keys that it had refused: finishing it")),
        (0, true),
        "{err}"
    );
    assert_eq!(pipeline.json(&["whoami"])["keyIsCurrent"], true);
    assert_eq!(events(&pipeline), 3);
    pipeline.ok(&["rotate-key"]);
}

/// Somebody who is registered, has the log's policy in the file `policy`, and remembers nothing of the log.
fn forgetful(log: &Log) -> Someone {
    let pipeline = Someone::new();
    pipeline.write("policy", &String::from_utf8(log.bytes("/policy")).expect("UTF-8"));
    pipeline.ok(&["init", "--register", "--log", &log.url(), "--policy", "policy"]);
    pipeline
}

/// A log that shows an old state again is not followed into it: the copy of a change that was followed before is no
/// news, and the keys of today stay.
#[test]
fn an_old_state_takes_no_key_away() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let pipeline = forgetful(&log);
    let (url, real) = (detour.url(), log.url());
    let rotate = ["rotate-key", "--log", &url, "--policy", "policy"];
    let direct = ["rotate-key", "--log", &real, "--policy", "policy"];
    detour.go(Way::Refused);
    assert_eq!(pipeline.run(&rotate).0, 2);
    let body: Value = serde_json::from_str(&detour.submitted()[0]).expect("JSON");
    assert_eq!(log.submit(&body).0, 200);
    detour.go(Way::Through);
    let before = fs::read(pipeline.next_file()).expect("there");
    pipeline.ok(&rotate);
    let files = fs::read_dir(pipeline.home().join(".aip")).expect("a folder");
    let mut copies = files.map(|entry| fs::read(entry.expect("an entry").path()).expect("read"));
    assert!(copies.any(|copy| copy == before), "what was there is kept");
    // The state of now comes by, and is shown for ever.
    pipeline.ok(&["whoami", "--log", &url, "--policy", "policy"]);
    pipeline.ok(&direct);
    let (next, key) = (fs::read(pipeline.next_file()).expect("there"), pipeline.ok(&["key", "export"]));
    detour.go(Way::Replay);
    let (code, _, err) = pipeline.run(&rotate);
    assert_eq!((code, err.contains("the key here is not the current key")), (2, true), "{err}");
    let now = || (fs::read(pipeline.next_file()).expect("there"), pipeline.ok(&["key", "export"]));
    assert_eq!(now(), (next, key));
    // What was begun on the state of today is not given up for it either.
    let lossy = Detour::to(&log);
    lossy.go(Way::Lost);
    assert_eq!(pipeline.run(&["rotate-key", "--log", &lossy.url(), "--policy", "policy"]).0, 2);
    let begun = fs::read(pipeline.next_file()).expect("there");
    let recovery = pipeline.recovery_file();
    let recover = ["recover", "--recovery", text(&recovery), "--since", "1"];
    for command in [&rotate[..], &[&recover[..], &rotate[1..]].concat()] {
        let (code, _, err) = pipeline.run(command);
        assert_eq!((code, err.contains("shows an older state")), (2, true), "{command:?}: {err}");
        assert_eq!(fs::read(pipeline.next_file()).expect("there"), begun);
    }
    let (code, _, err) = pipeline.run(&direct);
    assert_eq!((code, err.contains("a rotation was begun: finishing it")), (0, true), "{err}");
}

/// Only a refusal of the event itself is one: a log that has committed to it, or that refuses the whole request, may
/// have it.
#[test]
fn what_the_log_may_have_is_not_put_back() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let rotate = ["rotate-key", "--log", &detour.url(), "--timeout", "5s"];
    for way in [Way::Forgotten, Way::TurnedAway] {
        let pipeline = owner(&log);
        detour.go(way);
        let (code, _, err) = pipeline.run(&rotate);
        assert_eq!((code, is_under_way(&pipeline)), (2, true), "{way:?}: {err}");
        assert!(err.contains("may be logged: `aip rotate-key` finishes it"), "{way:?}: {err}");
        detour.go(Way::Through);
        let (code, _, err) = pipeline.run(&rotate);
        assert_eq!((code, err.contains("the log has it")), (0, true), "{way:?}: {err}");
        assert_eq!(pipeline.json(&["whoami"])["keyIsCurrent"], true);
    }
}

/// A change that was begun is finished as it was: whoever asks for something else now is told that it was not done.
#[test]
fn what_is_finished_is_not_taken_for_what_is_asked_now() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let pipeline =
        Someone::at(&log, &["--register", "--log", &log.url(), "--capabilities", "receipts,vouches"]);
    detour.go(Way::Lost);
    assert_eq!(pipeline.run(&["rotate-key", "--log", &detour.url()]).0, 2);
    let less = ["rotate-key", "--capabilities", "receipts"];
    let (code, out, err) = pipeline.run(&less);
    assert_eq!((code, out.starts_with("rotation ")), (2, true), "{out}{err}");
    assert!(err.contains("the key may receipts,vouches, not receipts"), "{err}");
    assert!(err.contains("hint: `aip rotate-key --capabilities receipts`"), "{err}");
    assert_eq!(pipeline.state()["capabilities"], serde_json::json!(["receipts", "vouches"]));
    pipeline.ok(&less);
    assert_eq!(pipeline.state()["capabilities"], serde_json::json!(["receipts"]));
    // The same of a recovery, whichever command finishes it.
    for finish in [&["rotate-key"][..], &["recover", "--recovery"]] {
        let recovery = pipeline.recovery_file();
        let recover = ["recover", "--recovery", text(&recovery), "--since", "1", "--log", &detour.url()];
        detour.go(Way::AnswerLost);
        assert_eq!(pipeline.run(&recover).0, 2);
        let path = if finish.len() > 1 { vec![text(&recovery)] } else { Vec::new() };
        let (code, _, err) = pipeline.run(&[finish, &path, &["--capabilities", "vouches"]].concat());
        assert_eq!((code, err.contains("the recovery is done as it was begun")), (2, true), "{err}");
        let counts = format!("counts now was written to `{}`", text(&pipeline.recovery_file()));
        assert!(err.contains(&counts), "{err}");
        assert_eq!(err.contains("no rotation was made"), finish.len() == 1, "{err}");
        assert_eq!(pipeline.state()["capabilities"], serde_json::json!(["receipts"]));
    }
}

/// A recovery that could not be logged is refused before anything is written, and one that was begun with the wrong
/// start is made anew: with the keys that were made then.
#[test]
fn a_recovery_with_a_wrong_start_is_made_anew() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let owner = owner(&log);
    owner.write("app", "the owner's");
    owner.ok(&["sign", "app"]);
    let first = owner.recovery_file();
    let recover = |since: &str| {
        owner.run(&["recover", "--recovery", text(&first), "--since", since, "--log", &detour.url()])
    };
    let before = file(owner.next_file());
    let (code, _, err) = recover("99");
    assert_eq!((code, err.contains("nothing was changed")), (2, true), "{err}");
    assert_eq!(file(owner.next_file()), before);
    assert_eq!(owner.recovery_file(), first, "no key was made");
    detour.go(Way::Lost);
    let (code, _, err) = recover("0");
    assert_eq!((code, err.contains("`aip recover --recovery FILE` finishes it")), (2, true), "{err}");
    let begun = file(owner.next_file());
    // Until it is logged, the next key of before is there, to report a theft with.
    assert_eq!(begun["next"], before["next"]);
    let second = owner.recovery_file();
    assert_eq!(begun["underWay"]["recoveryFile"], text(&second));
    // Nothing but a recovery finishes it, and what was not logged is corrected; also what the log refused.
    let (code, _, err) = owner.run(&["rotate-key"]);
    assert_eq!(
        (code, err.contains("a recovery was begun here, and the log does not have it")),
        (2, true),
        "{err}"
    );
    detour.go(Way::Refused);
    let (code, _, err) = recover("0");
    assert_eq!((code, err.contains("makes it anew")), (2, true), "{err}");
    owner.ok(&["report-compromise", "--since", "2"]);
    detour.go(Way::Through);
    let (code, _, err) = recover("1");
    assert_eq!((code, err.contains("a recovery was begun")), (0, true), "{err}");
    let valid = format!("the recovery key that counts now was written to `{}`", text(&second));
    assert!(err.contains(&valid), "{err}");
    let windows = &owner.state()["windows"];
    assert_eq!((&windows[0]["since"], &windows[1]["since"]), (&2.into(), &1.into()), "{windows}");
    assert_eq!(owner.ok(&["key", "export"]).trim(), begun["underWay"]["key"]["private_key"]);
    assert_eq!(owner.recovery_file(), second, "no other was made");
    owner.ok(&["rotate-key"]);
    // Logged, and not known here; the other start comes too late, and that is said.
    detour.go(Way::AnswerLost);
    let recover = |since: &str| {
        owner.run(&["recover", "--recovery", text(&second), "--since", since, "--log", &detour.url()])
    };
    assert_eq!(recover("3").0, 2);
    detour.go(Way::Lost);
    let (code, _, err) = recover("4");
    assert_eq!((code, err.contains("it is logged with --since 3")), (0, true), "{err}");
    let third = owner.recovery_file();
    assert!(third != second && err.contains(text(&third)), "{err}");
    owner.ok(&["recover", "--recovery", text(&third), "--since", "4"]);
}

/// A rotation that the log has and nobody here knew of comes before the recovery.
#[test]
fn a_recovery_finishes_the_rotation_before_it() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let owner = owner(&log);
    detour.go(Way::AnswerLost);
    assert_eq!(owner.run(&["rotate-key", "--log", &detour.url()]).0, 2);
    // The next key after it reports a theft, before anything is finished.
    owner.ok(&["report-compromise", "--since", "1"]);
    let next = file(owner.next_file())["underWay"]["next"].clone();
    detour.go(Way::Lost);
    let recovery = owner.recovery_file();
    let recover = ["recover", "--recovery", text(&recovery)];
    let (code, _, err) = owner.run(&[&recover[..], &["--log", &detour.url()]].concat());
    assert_eq!((code, err.contains("a rotation was begun, and the log has it")), (2, true), "{err}");
    assert_eq!(file(owner.next_file())["next"], next, "it can report until the recovery is logged");
    owner.ok(&recover);
    owner.ok(&["rotate-key"]);
}

/// What was begun with a passphrase goes on with it, also where that is not asked for again.
#[test]
fn a_recovery_begun_encrypted_stays_encrypted() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let (lost, fresh) = (owner(&log), Someone::new());
    let recovery = lost.recovery_file();
    fresh.ok(&["policy", "pin", &log.url(), "--yes"]);
    let recover = |flags: &[&str], passphrase: &str| {
        let url = detour.url();
        let all = ["recover", "--recovery", text(&recovery), "--since", "1", "--log", &url];
        let mut aip = fresh.aip(&[&all[..], flags].concat());
        aip.env("AIP_PASSPHRASE", passphrase);
        outcome(aip.output().expect("aip runs"))
    };
    detour.go(Way::Lost);
    assert_eq!(recover(&["--encrypt"], "correct horse").0, 2);
    detour.go(Way::Through);
    let (code, _, err) = recover(&[], "wrong");
    assert_eq!((code, err.contains("the passphrase does not open it")), (2, true), "{err}");
    let (code, _, err) = recover(&[], "correct horse");
    assert_eq!(code, 0, "{err}");
    for entry in fs::read_dir(fresh.home().join(".aip")).expect("a folder") {
        let text = fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default();
        assert!(!text.contains("private_key"), "{text}");
    }
    let mut export = fresh.aip(&["key", "export"]);
    export.env("AIP_PASSPHRASE", "correct horse");
    assert_eq!(outcome(export.output().expect("aip runs")).0, 0);
}

/// A key of the environment hides the one of the file: the old one is not taken for the new one.
#[test]
fn the_key_of_the_environment_hides_no_newer_one() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let (did, old) = (pipeline.did(), pipeline.ok(&["key", "export"]));
    pipeline.ok(&["rotate-key"]);
    let new = pipeline.ok(&["key", "export"]);
    let with = |key: &str, arguments: &[&str]| {
        let mut aip = pipeline.aip(arguments);
        aip.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", key.trim());
        outcome(aip.output().expect("aip runs"))
    };
    let (code, out, err) = with(&old, &["key", "export"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(
        err.contains("is not the key in the credentials file") && err.contains("hint: unset AIP_PRIVATE_KEY"),
        "{err}"
    );
    assert_eq!(with(&new, &["key", "export"]).1, new);
    for command in [
        &["rotate-key"][..],
        &["report-compromise", "--since", "1"],
        &["deactivate", "--yes"],
        &["init", "--register"],
    ] {
        let (code, _, err) = with(&new, command);
        assert_eq!((code, err.contains("hint: unset AIP_PRIVATE_KEY")), (2, true), "{command:?}: {err}");
    }
    let recovery = pipeline.recovery_file();
    let (code, _, err) = with(&new, &["recover", "--recovery", text(&recovery), "--since", "2"]);
    assert_eq!((code, err.contains("AIP_PRIVATE_KEY is set and comes before the file")), (0, true), "{err}");
}

/// What this machine knows is told in any case; that the log did not answer, or lied, is no yes.
#[test]
fn whoami_says_when_the_log_gave_no_answer() {
    let mut log = Log::start(&[]);
    let other = Log::start(&[]);
    let pipeline = owner(&log);
    let did = pipeline.did();
    let whoami = |flags: &[&str]| {
        let mut aip = pipeline.aip(&[&["whoami"], flags].concat());
        aip.env("AIP_TIMEOUT", "300ms");
        outcome(aip.output().expect("aip runs"))
    };
    assert_eq!(whoami(&["--json", "--timeout", "60s"]).0, 0);
    let url = other.url();
    for flags in [&["--log", &url][..], &[]] {
        if flags.is_empty() {
            log.stop();
        }
        let (code, out, err) = whoami(flags);
        assert_eq!(code, 2, "{out}{err}");
        assert!(out.contains(&did) && out.contains("Source: "), "{out}");
        assert!(err.contains("error: what the log says of the DID is not known"), "{err}");
        let (code, out, _) = whoami(&[flags, &["--json"]].concat());
        let json: Value = serde_json::from_str(&out).expect("one document");
        assert_eq!((code, &json["schema"], &json["did"]), (2, &"aip.whoami.v1".into(), &did.as_str().into()));
        assert!(json["log"]["error"]["message"].is_string() && json["state"].is_null(), "{json}");
    }
    // The same of a later key, which nothing here proves.
    log.serve(&[]);
    pipeline.ok(&["rotate-key"]);
    log.stop();
    let (code, out, _) = whoami(&["--json"]);
    let json: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!((code, &json["did"], &json["keyIsCurrent"]), (2, &did.as_str().into(), &Value::Null));
    let (code, out, _) = whoami(&["--json", "--offline"]);
    let json: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!((code, &json["did"], &json["log"]), (2, &did.as_str().into(), &Value::Null));
}

#[test]
fn what_was_done_before_is_told_as_when_it_was_done() {
    let log = Log::start(&[]);
    let pipeline = Someone::new();
    let made = pipeline.json(&["init"]);
    assert_eq!((&made["schema"], &made["made"]), (&"aip.init.v1".into(), &true.into()), "{made}");
    assert_eq!(made["recoveryKey"], text(&pipeline.recovery_file()));
    assert_eq!(made["did"], pipeline.did());
    pipeline.ok(&["policy", "pin", &log.url(), "--yes"]);
    let registered = pipeline.json(&["init", "--register"]);
    assert_eq!(
        (&registered["made"], &registered["registered"]["index"]),
        (&false.into(), &0.into()),
        "{registered}"
    );
    assert_eq!(pipeline.json(&["init", "--register"]), registered);
    let recovery = pipeline.recovery_file();
    for command in
        [&["report-compromise", "--since", "0"][..], &["deactivate", "--yes", "--recovery", text(&recovery)]]
    {
        let (once, twice) = (pipeline.json(command), pipeline.json(command));
        for member in ["schema", "event", "issuer", "subject", "origin", "index", "loggedAt"] {
            assert!(!once[member].is_null(), "{once}");
            assert_eq!(once[member], twice[member], "{member}");
        }
    }
    // A log that does not answer takes nothing from what was made.
    let detour = Detour::to(&log);
    detour.go(Way::Lost);
    let (code, out, _) = Someone::new().run(&["init", "--register", "--log", &detour.url(), "--json"]);
    let json: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!((code, &json["made"], &json["registered"]), (2, &true.into(), &Value::Null), "{json}");
    assert!(json["did"].is_string() && json["error"]["message"].is_string(), "{json}");
}

/// A second log has a second state of a DID: nothing makes one but the owner's word.
#[test]
fn a_did_is_registered_elsewhere_only_where_that_is_asked_for() {
    let log = Log::start(&[]);
    let mut other = Log::init_as("localhost/other");
    other.serve(&[]);
    let pipeline = owner(&log);
    pipeline.ok(&["policy", "pin", &other.url(), "--yes"]);
    pipeline.write("app", "an app");
    let elsewhere = ["--log", &other.url()];
    let (code, _, err) = pipeline.run(&[&["sign", "app"], &elsewhere[..]].concat());
    assert_eq!((code, err.contains("is not registered in `localhost/other`")), (0, true), "{err}");
    let register = [&["init", "--register"], &elsewhere[..]].concat();
    let (code, _, err) = pipeline.run(&register);
    assert_eq!((code, err.contains("is at home in the log `localhost/log`")), (2, true), "{err}");
    assert!(err.contains("--also-here"), "{err}");
    let asked = [&register[..], &["--also-here"]].concat();
    pipeline.ok(&asked);
    pipeline.ok(&asked);
    let (code, _, err) = pipeline.run(&["rotate-key", "--log", &log.url()]);
    assert_eq!((code, err.contains("registered in `localhost/other` too")), (0, true), "{err}");
    assert_eq!(pipeline.run(&[&["whoami"], &elsewhere[..]].concat()).0, 2, "frozen there");
    // A first try whose answer was lost may have registered it: the next signature does so nowhere else.
    let detour = Detour::to(&log);
    let pipeline = Someone::new();
    pipeline.ok(&["init"]);
    detour.go(Way::AnswerLost);
    assert_eq!(pipeline.run(&["init", "--register", "--log", &detour.url()]).0, 2);
    pipeline.write("app", "an app");
    pipeline.ok(&[&["sign", "app"], &elsewhere[..]].concat());
    assert_eq!(pipeline.json(&[&["whoami"], &elsewhere[..]].concat())["state"]["status"], "bare");
    assert_eq!(pipeline.run(&register).0, 2);
    pipeline.ok(&["init", "--register", "--log", &log.url()]);
}

/// What a log has is noted as soon as it is known, and what it may have stays noted: by that the DID keeps its home.
#[test]
fn the_home_of_a_did_is_not_forgotten() {
    let log = Log::start(&[]);
    let mut other = Log::init_as("localhost/other");
    other.serve(&[]);
    let detour = Detour::to(&log);
    let new = || {
        let pipeline = Someone::at(&log, &[]);
        pipeline.ok(&["policy", "pin", &other.url(), "--yes"]);
        pipeline
    };
    let register = ["init", "--register", "--log", &detour.url()];
    let pipeline = new();
    detour.go(Way::AnswerLost);
    assert_eq!(pipeline.run(&register).0, 2);
    assert!(file(pipeline.next_file())["registered"].is_null());
    detour.go(Way::Lost);
    pipeline.ok(&register);
    assert_eq!(file(pipeline.next_file())["registered"], "localhost/log");
    // Whoever refused it hands it in later.
    let pipeline = new();
    detour.go(Way::Refused);
    assert_eq!(pipeline.run(&register).0, 2);
    assert_eq!(file(pipeline.next_file())["sentTo"], "localhost/log");
    pipeline.write("app", "an app");
    let elsewhere = ["--log", &other.url()];
    pipeline.ok(&[&["sign", "app"], &elsewhere[..]].concat());
    assert_eq!(pipeline.json(&[&["whoami"], &elsewhere[..]].concat())["state"]["status"], "bare");
}

/// What is registered in one log says nothing of another: whose inception that has is asked there.
#[test]
fn a_thief_in_a_second_log_is_not_taken_for_the_owner() {
    let log = Log::start(&[]);
    let mut other = Log::init_as("localhost/other");
    other.serve(&[]);
    let (owner, thief) = (owner(&log), Someone::new());
    let stolen = thief.home().join(".aip");
    fs::create_dir(&stolen).expect("a folder");
    fs::copy(owner.home().join(".aip/credentials.json"), stolen.join("credentials.json")).expect("stolen");
    for someone in [&owner, &thief] {
        someone.ok(&["policy", "pin", &other.url(), "--yes"]);
    }
    let elsewhere = ["--log", &other.url()];
    thief.ok(&[&["init", "--register"], &elsewhere[..]].concat());
    for command in [&["whoami"][..], &["init", "--register", "--also-here"]] {
        let (code, _, err) = owner.run(&[command, &elsewhere].concat());
        assert_eq!((code, err.contains("somebody else registered")), (2, true), "{command:?}: {err}");
        assert!(err.contains("end it in `localhost/log`"), "{err}");
    }
    // A later key is no sign of anything there.
    owner.ok(&["rotate-key", "--log", &log.url()]);
    let (_, _, err) = owner.run(&[&["whoami"], &elsewhere[..]].concat());
    assert!(!err.contains("somebody else registered"), "{err}");
}

/// What a process that was killed left of a key is removed by the next change; what others can read is warned of.
#[test]
fn keys_lie_nowhere_in_secret_and_nowhere_open() {
    use std::os::unix::fs::PermissionsExt as _;
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let digits = pipeline.did().replace("did:aip:", "");
    let mode =
        |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    let leave = |folder: PathBuf, start: &str| {
        let path = folder.join(format!(".{start}.0123456789abcdef.aip-tmp"));
        fs::write(&path, "a key").expect("written");
        mode(&path, 0o600);
        path
    };
    let (home, keys) = (pipeline.home(), pipeline.home().join(".aip"));
    let left = [leave(keys.clone(), &format!("next-{digits}.js")), leave(keys, "credentials.json")];
    mode(&pipeline.next_file(), 0o640);
    let (code, _, err) = pipeline.run(&["rotate-key"]);
    assert_eq!((code, err.contains("which a process that was killed left")), (0, true), "{err}");
    assert!(err.contains("others can read") && err.contains("mode 640"), "{err}");
    assert!(left.iter().all(|path| !path.exists()));
    let left = leave(home, &format!("aip-recovery-{}", &digits[..27]));
    let recovery = pipeline.recovery_file();
    mode(&recovery, 0o604);
    let (code, _, err) = pipeline.run(&["recover", "--recovery", text(&recovery), "--since", "1"]);
    assert_eq!((code, err.contains("mode 604"), left.exists()), (0, true, false), "{err}");
    // What was written since is its owner's alone.
    assert!(!pipeline.run(&["rotate-key"]).2.contains("others can read"));
}
