//! The files that keys lie in: what is sealed stays sealed, what nobody can open blocks nothing, and no copy is lost.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use attestation::Did;
use attestation::event::{Capabilities, Commitment, Event, IdentityEvent, PendingEvent};
use attestation::identity::Identity as State;
use serde_json::{Value, json};
use testkit::detour::{Detour, Way};
use testkit::log::{Log, ORIGIN};
use testkit::someone::{Someone, outcome};
use tlog::encoding::base64;
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, LeafIndex};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn file(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

/// Runs with a passphrase.
fn with(someone: &Someone, passphrase: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut aip = someone.aip(arguments);
    aip.env("AIP_PASSPHRASE", passphrase);
    outcome(aip.output().expect("aip runs"))
}

/// Runs what must succeed.
#[track_caller]
fn ok(someone: &Someone, passphrase: &str, arguments: &[&str]) -> String {
    let (code, out, err) = with(someone, passphrase, arguments);
    assert_eq!(code, 0, "aip {arguments:?}\n{out}{err}");
    out
}

/// The files beside the credentials that hold a key in the clear, but for the copies of what came before.
fn in_the_clear(someone: &Someone) -> Vec<PathBuf> {
    let entries = fs::read_dir(someone.home().join(".aip")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_open = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("private_key"));
    paths.filter(|path| path.extension().is_none_or(|end| end != "old")).filter(is_open).collect()
}

fn owner(log: &Log) -> Someone {
    Someone::at(log, &["--register", "--log", &log.url()])
}

/// Where the DID begins in the log.
fn inception(someone: &Someone, log: &Log) -> String {
    someone.json(&["whoami", "--log", &log.url()])["state"]["registered"].to_string()
}

#[test]
fn a_recovery_with_a_passphrase_seals_what_lay_in_the_clear() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    for way in [Way::Through, Way::Lost] {
        let owner = owner(&log);
        assert_eq!(in_the_clear(&owner).len(), 2);
        let recovery = owner.recovery_file();
        let (url, since) = (detour.url(), inception(&owner, &log));
        let recover = ["recover", "--recovery", text(&recovery), "--since", &since, "--log", &url];
        detour.go(way);
        let first = with(&owner, "correct horse", &[&recover[..], &["--encrypt"]].concat());
        assert_eq!(first.0 == 0, way == Way::Through, "{way:?}: {}", first.2);
        detour.go(Way::Through);
        if way != Way::Through {
            // Begun so, it goes on so, also where that is not said again.
            let (code, _, err) = with(&owner, "wrong", &recover);
            assert_eq!((code, err.contains("the passphrase does not open it")), (2, true), "{err}");
            ok(&owner, "correct horse", &recover);
        }
        assert_eq!(in_the_clear(&owner), [""; 0].map(PathBuf::from), "{way:?}");
        ok(&owner, "correct horse", &["rotate-key"]);
        assert_eq!(in_the_clear(&owner), [""; 0].map(PathBuf::from), "{way:?}");
        let whoami = owner.json(&["whoami"]);
        assert_eq!(whoami["encrypted"], true, "{whoami}");
    }
}

/// The passphrase of the next key is asked for although the credentials need none. What lay sealed stays so.
#[test]
fn a_sealed_next_key_is_opened_beside_plain_credentials() {
    let log = Log::start(&[]);
    let owner = Someone::new();
    ok(&owner, "correct horse", &["init", "--encrypt", "--register", "--log", &log.url()]);
    let key = ok(&owner, "correct horse", &["key", "export"]);
    let credentials = owner.home().join(".aip/credentials.json");
    let plain = json!({"did": owner.did(), "private_key": key.trim()}).to_string();
    fs::write(&credentials, &plain).expect("written");
    let (code, _, err) = with(&owner, "wrong", &["rotate-key"]);
    assert_eq!((code, err.contains("the passphrase does not open it")), (2, true), "{err}");
    assert_eq!(fs::read_to_string(&credentials).expect("there"), plain);
    ok(&owner, "correct horse", &["rotate-key"]);
    assert_eq!(in_the_clear(&owner), [""; 0].map(PathBuf::from));
    ok(&owner, "correct horse", &["report-compromise", "--since", "1"]);
}

/// A passphrase that is forgotten blocks nobody who has the recovery key. What it locks is kept.
#[test]
fn what_nobody_can_open_is_set_aside() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let url = detour.url();
    // A recovery that was begun, on a machine with nothing else.
    let (lost, fresh) = (owner(&log), Someone::new());
    let recovery = lost.recovery_file();
    let recover = ["recover", "--recovery", text(&recovery), "--since", "1", "--log", &url];
    detour.go(Way::Lost);
    assert_eq!(with(&fresh, "forgotten", &[&recover[..], &["--encrypt"]].concat()).0, 2);
    detour.go(Way::Through);
    let (code, _, err) = with(&fresh, "another", &recover);
    assert_eq!((code, err.contains("hint: if the passphrase is forgotten")), (2, true), "{err}");
    assert!(err.contains("--set-aside"), "{err}");
    let next = file(lost.next_file());
    let name = lost.next_file().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    let begun = fs::read(fresh.home().join(".aip").join(&name)).expect("there");
    fresh.ok(&[&recover[..], &["--set-aside"]].concat());
    assert_eq!(fs::read(fresh.home().join(".aip").join(format!("{name}.1.old"))).expect("kept"), begun);
    assert_ne!(next["next"], file(fresh.next_file())["next"]);
    fresh.ok(&["rotate-key", "--log", &url]);
    // Credentials, with nothing begun.
    let owner = Someone::new();
    ok(&owner, "forgotten", &["init", "--encrypt", "--register", "--log", &log.url()]);
    let (recovery, since) = (owner.recovery_file(), inception(&owner, &log));
    let recover = ["recover", "--recovery", text(&recovery), "--since", &since, "--log", &url];
    let credentials = owner.home().join(".aip/credentials.json");
    let before = fs::read(&credentials).expect("there");
    let (code, _, err) = with(&owner, "another", &recover);
    assert_eq!((code, err.contains("--set-aside")), (2, true), "{err}");
    // Nothing is moved for what the log would not take.
    let too_late = ["recover", "--recovery", text(&recovery), "--since", "99", "--set-aside"];
    assert_eq!(owner.run(&too_late).0, 2);
    assert_eq!(fs::read(&credentials).expect("there"), before);
    detour.go(Way::Lost);
    assert_eq!(owner.run(&[&recover[..], &["--set-aside"]].concat()).0, 2);
    detour.go(Way::Through);
    owner.ok(&recover);
    assert_eq!(fs::read(credentials.with_file_name("credentials.json.1.old")).expect("kept"), before);
    owner.ok(&["rotate-key"]);
    // A recovery that is logged: its own recovery key speaks for the DID, and is named.
    let recovery = owner.recovery_file();
    let recover = ["recover", "--recovery", text(&recovery), "--since", &since, "--log", &url];
    detour.go(Way::AnswerLost);
    assert_eq!(with(&owner, "forgotten", &[&recover[..], &["--encrypt"]].concat()).0, 2);
    detour.go(Way::Through);
    let newer = owner.recovery_file();
    let (code, _, err) = owner.run(&[&recover[..], &["--set-aside"]].concat());
    assert_eq!((code, err.contains(&format!("wrote one to `{}`", text(&newer)))), (2, true), "{err}");
    owner.ok(&["recover", "--recovery", text(&newer), "--since", &since, "--set-aside"]);
    owner.ok(&["rotate-key"]);
}

/// Whoever removed a copy has not removed those behind it.
#[test]
fn a_copy_behind_a_gap_is_found() {
    let log = Log::start(&[]);
    let detour = Detour::to(&log);
    let owner = owner(&log);
    detour.go(Way::Refused);
    for _ in 0..3 {
        assert_eq!(owner.run(&["rotate-key", "--log", &detour.url()]).0, 2);
    }
    let copy = |number: u32| PathBuf::from(format!("{}.{number}.old", text(&owner.next_file())));
    assert!((1..=3).all(|number| copy(number).exists()));
    fs::remove_file(copy(1)).expect("removed");
    fs::remove_file(copy(2)).expect("removed");
    // Whoever refused it hands it in.
    let body: Value = serde_json::from_str(detour.submitted().last().expect("sent")).expect("JSON");
    assert_eq!(log.submit(&body).0, 200);
    let (code, _, err) = owner.run(&["rotate-key"]);
    assert_eq!((code, err.contains("that it had refused: finishing it")), (0, true), "{err}");
    assert!(copy(4).exists() && !copy(1).exists(), "the newest has the highest number");
    assert_eq!(owner.json(&["whoami"])["keyIsCurrent"], true);
}

/// The time that passes before the lock is had is not given to the log again.
#[test]
fn a_timeout_counts_once() {
    let mut log = Log::start(&[]);
    let owner = owner(&log);
    let recovery = owner.recovery_file();
    log.stop();
    let (timeout, held) = (Duration::from_secs(60), Duration::from_secs(3));
    for command in [
        &["rotate-key"][..],
        &["recover", "--recovery", text(&recovery), "--since", "1"],
        &["report-compromise", "--since", "1"],
        &["deactivate", "--yes"],
        &["init", "--register"],
    ] {
        let lock = File::open(owner.home().join(".aip/keys.lock")).expect("there");
        lock.lock().expect("free");
        let mut aip = owner.aip(&[command, &["--timeout", &format!("{}s", timeout.as_secs())]].concat());
        let mut aip = aip.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("aip runs");
        let mut lines =
            BufReader::new(aip.stderr.take().expect("a pipe")).lines().map(|line| line.expect("a line"));
        assert!(lines.any(|line| line.contains("waiting for")), "{command:?}");
        std::thread::park_timeout(held);
        drop(lock);
        let line = lines.find(|line| line.contains("trying again for")).expect("it tries the log");
        let left = line.rsplit(' ').nth(1).and_then(|left| left.parse::<u64>().ok()).expect("seconds");
        aip.kill().expect("ours");
        aip.wait().expect("a process that was killed ends");
        // Both are told in whole seconds.
        assert!(left <= (timeout - held).as_secs() + 1, "{command:?}: {line}");
    }
}

/// The keys of a DID by their numbers.
fn key(number: u32) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(Hash::of(format!("key {number}").as_bytes()).as_bytes())
}

fn to(number: u32) -> Commitment {
    Commitment::to(key(number).public_key().as_bytes())
}

/// Whoever holds the current and the next key does not use up what takes the DID back: the last events are the recovery
/// key's.
#[test]
fn the_240th_event_is_the_last_rotation() {
    const RECOVERY: u32 = 1_000;
    let log = Log::start(&[
        "--round-interval",
        "2ms",
        "--did-entries-per-minute",
        "0",
        "--address-entries-per-minute",
        "0",
    ]);
    let did = Did::of(&key(0).public_key());
    let capabilities = Capabilities::PIPELINE;
    let mut state: Option<State> = None;
    for number in 0..239_u32 {
        let public = *key(number).public_key().as_bytes();
        let next = to(number + 1);
        let (event, signers) = match &state {
            None => {
                let recovery = to(RECOVERY);
                let inception =
                    IdentityEvent::Inception { key: public, next, recovery, capabilities, public_name: None };
                (inception, vec![key(0)])
            }
            Some(state) => {
                let rotation =
                    IdentityEvent::Rotation { link: state.link(), key: public, next, capabilities };
                (rotation, vec![key(number - 1), key(number)])
            }
        };
        let event = Event::about_itself(did, ORIGIN, event).expect("an event");
        let event = PendingEvent::sign(event, &signers.iter().collect::<Vec<_>>()).expect("an event");
        let (status, answer) = log.submit(&json!([{"leaf": base64(&event.to_bytes())}]));
        assert_eq!((status, &answer[0]["status"]), (200, &"logged".into()), "{number}: {answer}");
        state =
            Some(State::apply(state.as_ref(), &event, LeafIndex::new(u64::from(number))).expect("in order"));
    }
    let owner = Someone::new();
    let folder = owner.home().join(".aip");
    fs::create_dir(&folder).expect("a folder");
    let secret = |number| base64(&*key(number).seed());
    let write = |path: PathBuf, json: Value| fs::write(path, json.to_string()).expect("written");
    write(folder.join("credentials.json"), json!({"did": did.to_string(), "private_key": secret(238)}));
    // A file of the release that kept no log.
    write(
        owner.next_file(),
        json!({
            "format": "aip-next-v1", "did": did.to_string(), "nextKey": to(239).get().to_string(),
            "recoveryKey": to(RECOVERY).get().to_string(), "capabilities": ["messages", "receipts"],
            "registered": ORIGIN, "next": {"private_key": secret(239)},
        }),
    );
    owner.ok(&["policy", "pin", &log.url(), "--yes"]);
    let out = owner.ok(&["rotate-key"]);
    assert!(out.starts_with("rotation  did:aip:") && out.contains("index 239"), "{out}");
    let before = fs::read(owner.next_file()).expect("there");
    let (code, out, err) = owner.run(&["rotate-key"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(
        err.contains("the log `localhost/log` would refuse this rotation") && err.contains("240"),
        "{err}"
    );
    assert!(err.contains("hint: make another identity"), "{err}");
    assert_eq!(fs::read(owner.next_file()).expect("there"), before, "nothing was begun");
    // What the recovery key signs has room.
    let recovery = owner.folder().join("recovery.json");
    write(
        recovery.clone(),
        json!({"format": "aip-recovery-v1", "did": did.to_string(), "private_key": secret(RECOVERY)}),
    );
    owner.ok(&["recover", "--recovery", text(&recovery), "--since", "240"]);
    assert_eq!(owner.run(&["rotate-key"]).0, 2);
    owner.ok(&["report-compromise", "--since", "241"]);
}
