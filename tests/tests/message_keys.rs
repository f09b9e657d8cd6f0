//! Message keys from end to end: a real log, several devices, and what comes between them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::entry::{ClaimHash, LogTime};
use attestation::event::{Body, DatedKey, Event, EventEntry, MessageKeys, PendingEvent};
use attestation::message::{MessageKey, MessagePrivateKey};
use serde_json::{Value, json};
use testkit::detour::{Detour, Way};
use testkit::liar::{Liar, evidence_without};
use testkit::log::{Log, ORIGIN};
use testkit::oracle::check_log;
use testkit::someone::Someone;
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;

/// Somebody who is registered.
fn owner(log: &Log) -> Someone {
    Someone::at(log, &["--register", "--log", &log.url()])
}

/// Another machine with the credentials of `owner`, which reaches the log at `url`.
fn device(owner: &Someone, url: &str) -> Someone {
    let device = Someone::new();
    fs::create_dir_all(device.home().join(".aip")).expect("a folder");
    let credentials = ".aip/credentials.json";
    fs::copy(owner.home().join(credentials), device.home().join(credentials)).expect("a copy");
    device.ok(&["policy", "pin", url, "--yes"]);
    device
}

fn key_file(someone: &Someone) -> PathBuf {
    someone.home().join(".aip/message-keys.json")
}

/// The ids of the keys that count, and whether they are on this machine.
fn listed(someone: &Someone) -> Vec<(String, bool)> {
    let list = someone.json(&["message-key", "list"]);
    let key = |key: &Value| (text(&key["keyId"]), key["here"].as_bool().expect("whether it is here"));
    list["keys"].as_array().expect("keys").iter().map(key).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_owned()
}

/// The `message-keys` events of a DID, by the log's list.
fn events(log: &Log, did: &str) -> Vec<(ClaimHash, MessageKeys)> {
    let list = &log.json(&format!("/api/v1/lists?key=msg:{did}")).1["lists"][format!("msg:{did}")];
    let event = |line: &Value| {
        let line: [u8; 32] = encoding::decode_base64_array(&text(line)).expect("a line");
        assert_eq!((line[24], &line[25..]), (48, &[0, 0, 255, 0, 0, 0, 0][..]), "kind 48, depth 255, rest 0");
        let index = u64::from_be_bytes(line[..8].try_into().expect("8 bytes"));
        let leaf = text(&log.json(&format!("/api/v1/entries/{index}")).1["leaf"]);
        let entry = EventEntry::parse(&encoding::decode_base64(&leaf).expect("base64")).expect("an event");
        let Body::MessageKeys(keys) = entry.event().body() else { panic!("another event") };
        (entry.pending().hash(), keys.clone())
    };
    list.as_array().expect("a list").iter().map(event).collect()
}

/// Each names the one before.
fn assert_in_order(events: &[(ClaimHash, MessageKeys)]) {
    let mut before = None;
    for (hash, keys) in events {
        assert_eq!(keys.previous, before);
        before = Some(*hash);
    }
}

fn key_agreement(log: &Log, did: &str) -> Vec<Value> {
    log.json(&format!("/did/{did}")).1["keyAgreement"].as_array().expect("an array").clone()
}

#[test]
fn a_message_key_is_made_replaced_and_exported() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let did = pipeline.did();
    let list = pipeline.json(&["message-key", "list"]);
    assert_eq!((&list["keyKind"], &list["keys"]), (&json!("identity"), &json!([])));
    let [identity] = &key_agreement(&log, &did)[..] else { panic!("the identity key") };
    let (code, _, err) = pipeline.run(&["message-key", "export"]);
    assert_eq!((code, err.contains("message-key rotate")), (2, true), "{err}");

    let first = pipeline.json(&["message-key", "rotate"]);
    assert_eq!((&first["event"], &first["subject"]), (&json!("message-keys"), &json!(did)));
    let [one] = &listed(&pipeline)[..] else { panic!("one key") };
    assert_eq!((one.1, &first["keys"][0]["keyId"]), (true, &json!(one.0)));
    let agreed = key_agreement(&log, &did);
    assert_eq!(agreed.len(), 1);
    let multibase = &first["keys"][0]["publicKeyMultibase"];
    assert!(
        text(multibase).starts_with("z6LS") && agreed[0]["publicKeyMultibase"] == *multibase,
        "{agreed:?}"
    );
    assert_eq!(agreed[0]["id"], format!("{did}#{}", text(multibase)));
    assert_ne!(agreed[0], *identity);
    let (_, said) = &events(&log, &did)[0];
    let lives = said.keys[0].not_after.as_millis() - said.issued_at.as_millis();
    assert!((36..=37).contains(&(lives / 86_400_000)), "{lives} ms");

    // Not due: nothing is logged, and the key stays.
    pipeline.ok(&["message-key", "rotate", "--if-due"]);
    assert_eq!(events(&log, &did).len(), 1);
    pipeline.ok(&["message-key", "rotate"]);
    let [two] = &listed(&pipeline)[..] else { panic!("one key") };
    assert_ne!(two.0, one.0);
    assert_in_order(&events(&log, &did));
    // The one before opens what is on its way, also in a job.
    let exported = pipeline.ok(&["message-key", "export"]);
    let private = exported.trim().split(',').map(|key| {
        MessagePrivateKey::from_bytes(&encoding::decode_base64_array(key).expect("32 bytes")).id().to_string()
    });
    assert_eq!(private.collect::<Vec<_>>(), [two.0.clone(), one.0.clone()]);
    let job = |keys: &str| {
        let key = pipeline.ok(&["key", "export"]);
        let mut aip = pipeline.aip(&["message-key", "list", "--json"]);
        aip.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", key.trim()).env("AIP_MESSAGE_KEYS", keys);
        testkit::someone::outcome(aip.output().expect("aip runs"))
    };
    let (code, out, err) = job(exported.trim());
    let list: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {err}"));
    assert_eq!(list["keys"][0]["here"], true);
    let (code, _, err) = job("not,a,key");
    assert_eq!((code, err.contains("AIP_MESSAGE_KEYS is not 1 to 8 private keys")), (2, true), "{err}");
    assert!(!err.contains("not,a,key"), "no secret is repeated: {err}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(key_file(&pipeline)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // From the environment there is no place for a key.
    let mut aip = pipeline.aip(&["message-key", "rotate"]);
    aip.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", pipeline.ok(&["key", "export"]).trim());
    let (code, _, err) = testkit::someone::outcome(aip.output().expect("aip runs"));
    assert_eq!((code, err.contains("lie beside a credentials file")), (2, true), "{err}");
    // Somebody else sees the set, and not where the keys are.
    let other = Someone::new();
    other.ok(&["policy", "pin", &log.url(), "--yes"]);
    let seen = other.json(&["message-key", "list", &did]);
    assert_eq!((&seen["keys"][0]["keyId"], seen["keys"][0].get("here")), (&json!(two.0), None));
    check_log(&log);
}

/// Beside encrypted credentials the keys are locked by the same passphrase.
#[test]
fn keys_beside_encrypted_credentials_are_encrypted() {
    let log = Log::start(&[]);
    let pipeline = Someone::new();
    let with = |arguments: &[&str]| {
        let mut aip = pipeline.aip(arguments);
        aip.env("AIP_PASSPHRASE", "correct horse");
        let (code, out, err) = testkit::someone::outcome(aip.output().expect("aip runs"));
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    };
    with(&["policy", "pin", &log.url(), "--yes"]);
    with(&["init", "--encrypt", "--register"]);
    with(&["message-key", "rotate"]);
    let file = fs::read_to_string(key_file(&pipeline)).expect("there");
    assert!(file.contains("ciphertext") && !file.contains("private_key"), "{file}");
    assert_eq!(with(&["message-key", "export"]).trim().len(), 44);
    with(&["message-key", "rotate"]);
    assert_eq!(with(&["message-key", "export"]).trim().len(), 89);
}

/// Of two devices at once one event is logged; the other device reads the new set, and goes on behind it.
#[test]
fn s24_of_two_devices_at_once_one_is_first_and_the_other_tries_again() {
    let log = Log::start(&[]);
    let laptop = owner(&log);
    let did = laptop.did();
    let detour = Detour::to(&log);
    let phone = device(&laptop, &detour.url());
    // What the phone knows is from before the laptop's event: it cannot be otherwise.
    assert!(listed(&phone).is_empty());
    laptop.ok(&["message-key", "rotate"]);
    detour.go(Way::Overtaken);
    let (code, _, err) = phone.run(&["message-key", "rotate", "--log", &detour.url()]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("another device changed the message keys at the same time"), "{err}");
    assert_eq!(detour.submitted().len(), 2, "refused once, and made anew");
    let all = events(&log, &did);
    assert_in_order(&all);
    assert_eq!(all.iter().map(|(_, keys)| keys.keys.len()).collect::<Vec<_>>(), [1, 2]);
    let here =
        |someone| listed(someone).into_iter().filter(|(_, here)| *here).map(|(id, _)| id).collect::<Vec<_>>();
    let (on_laptop, on_phone) = (here(&laptop), here(&phone));
    assert!(
        on_laptop.len() == 1 && on_phone.len() == 1 && on_laptop != on_phone,
        "{on_laptop:?} {on_phone:?}"
    );
    // By chance, too: whoever is first, no device loses its key.
    for _ in 0..5 {
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for device in [&laptop, &phone] {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    device.ok(&["message-key", "rotate"]);
                });
            }
        });
        let ids: BTreeSet<String> = here(&laptop).into_iter().chain(here(&phone)).collect();
        assert_eq!(ids.len(), 2);
    }
    let all = events(&log, &did);
    assert_in_order(&all);
    assert_eq!(all.len(), 12, "one event a rotation");
    // A device that is gone is taken out by one that is left.
    let gone = here(&phone).remove(0);
    laptop.ok(&["message-key", "rotate", "--drop", &gone]);
    assert_eq!(listed(&laptop).len(), 1);
    let (code, _, err) = laptop.run(&["message-key", "rotate", "--drop", &gone]);
    assert_eq!((code, err.contains("has the id")), (2, true), "{err}");
    check_log(&log);
}

/// A rotation that breaks off: the key is on the disk before the log has it, and the same command goes on with it.
#[test]
fn a_rotation_that_breaks_off_loses_no_key() {
    let log = Log::start(&[]);
    let laptop = owner(&log);
    let did = laptop.did();
    let detour = Detour::to(&log);
    let keys =
        || -> Value { serde_json::from_slice(&fs::read(key_file(&laptop)).expect("there")).expect("JSON") };
    let rotate = |way| {
        detour.go(way);
        laptop.run(&["message-key", "rotate", "--log", &detour.url(), "--timeout", "2s"])
    };
    // It never reached the log: the key is used by the next run.
    let (code, _, err) = rotate(Way::Lost);
    assert_eq!(code, 2, "{err}");
    let begun = keys()["keys"][0]["private_key"].clone();
    assert!(events(&log, &did).is_empty());
    let (code, _, err) = rotate(Way::Through);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        (&keys()["keys"][0]["private_key"], keys()["keys"].as_array().map(Vec::len)),
        (&begun, Some(1))
    );
    // It did, and nobody heard of it: the next run finds that, and makes no second one.
    let (code, _, err) = rotate(Way::AnswerLost);
    assert_eq!(code, 2, "{err}");
    assert_eq!(events(&log, &did).len(), 2);
    let (code, _, err) = rotate(Way::Through);
    assert!(code == 0 && err.contains("it is finished"), "{code}: {err}");
    assert_eq!(events(&log, &did).len(), 2);
    let (_, said) = events(&log, &did).remove(1);
    assert_eq!(listed(&laptop), [(said.keys[0].key.id().to_string(), true)]);
    assert_eq!(laptop.ok(&["message-key", "export"]).trim().split(',').count(), 2);
}

/// The log's own rules, by raw submissions: their identifiers, in their order.
#[test]
fn a_log_refuses_in_the_order_of_the_specification() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let did: Did = pipeline.did().parse().expect("a DID");
    let key = signing_key(&pipeline);
    let stranger = Ed25519PrivateKey::from_seed(&[3; 32]);
    let now = millis();
    let keys = |previous, seeds: &[u8]| {
        let key = |seed: &u8| DatedKey { key: message_key(*seed), not_after: time(now + 3_600_000) };
        let mut keys: Vec<DatedKey> = seeds.iter().map(key).collect();
        DatedKey::sort(&mut keys);
        MessageKeys { issued_at: time(now), keys, previous }
    };
    let signed = |did: Did, keys: MessageKeys, key: &Ed25519PrivateKey| {
        let event = Event::message_keys(did, ORIGIN, keys).expect("an event");
        PendingEvent::sign(event, &[key]).expect("signed").to_bytes()
    };
    let refused = |leaf: Vec<u8>| submit(&log, &[leaf]).remove(0).expect_err("refused");
    // A name of a device in the set: of no form, though nobody is registered and the signature is bad.
    let text = |leaf: &[u8]| String::from_utf8(leaf.to_vec()).expect("text");
    let alter = |leaf: &[u8], from: &str, to: &str| {
        let entry: Value = serde_json::from_slice(leaf).expect("JSON");
        let payload = entry["spec"]["envelope"]["payload"].as_str().expect("base64");
        let inner = text(&encoding::decode_base64(payload).expect("base64"));
        assert!(inner.contains(from), "{inner}");
        let other = encoding::base64(inner.replacen(from, to, 1).as_bytes());
        text(leaf).replacen(payload, &other, 1).into_bytes()
    };
    let bare = Did::of(&stranger.public_key());
    let of_bare = signed(bare, keys(None, &[1]), &stranger);
    assert_eq!(refused(alter(&of_bare, r#"{"key":"#, r#"{"device":"phone","key":"#)), "message-keys");
    // The signature comes before the state.
    assert_eq!(refused(alter(&of_bare, &format!("{now}"), &format!("{}", now - 1))), "event-signature");
    assert_eq!(refused(of_bare), "not-registered");
    assert_eq!(refused(signed(did, keys(None, &[1]), &stranger)), "signer-key");
    // Two devices in one batch: one stands, whichever is first in line.
    let two = [signed(did, keys(None, &[1]), &key), signed(did, keys(None, &[2]), &key)];
    let answers = submit(&log, &two);
    let first = answers.iter().position(Result::is_ok).expect("one stands");
    assert_eq!(answers[1 - first], Err("message-keys-order".to_owned()));
    assert_eq!(submit(&log, &two[first..=first]), [Ok(())], "the same again meets itself");
    assert_eq!(refused(signed(did, keys(None, &[3]), &key)), "message-keys-order");
    pipeline.ok(&["rotate-key"]);
    let (hash, _) = events(&log, &did.to_string()).remove(0);
    assert_eq!(refused(signed(did, keys(Some(hash), &[3]), &key)), "retired-key");
    let new = signing_key(&pipeline);
    assert_eq!(submit(&log, &[signed(did, keys(Some(hash), &[3]), &new)]), [Ok(())]);
    check_log(&log);
}

/// Behind a recovery no earlier set counts, and the next event follows the void one. A key ends at its time.
#[test]
fn what_is_void_or_has_ended_is_nobodys_key() {
    let mut log = Log::start(&[]);
    let pipeline = owner(&log);
    let did = pipeline.did();
    pipeline.ok(&["message-key", "rotate"]);
    let before = listed(&pipeline);
    let since = pipeline.state()["registered"].to_string();
    let recovery = pipeline.recovery_file();
    let recovery = recovery.to_str().expect("UTF-8");
    pipeline.ok(&["report-compromise", "--since", &since, "--recovery", recovery]);
    assert!(key_agreement(&log, &did).is_empty(), "compromised");
    let (code, _, err) = pipeline.run(&["message-key", "rotate"]);
    assert_eq!((code, err.contains("compromised")), (2, true), "{err}");
    let (code, _, err) = pipeline.run(&["recover", "--recovery", recovery, "--since", &since]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("message-key rotate"), "{err}");
    assert!(listed(&pipeline).is_empty());
    assert_eq!(key_agreement(&log, &did).len(), 1, "the new identity key");
    pipeline.ok(&["message-key", "rotate"]);
    let after = listed(&pipeline);
    assert!(after.len() == 1 && after != before);
    let all = events(&log, &did);
    assert_in_order(&all);
    // One that ends soon: then it is the identity key again, and so says a log that starts anew.
    let key = DatedKey { key: message_key(9), not_after: time(millis() + 3_000) };
    let said = MessageKeys {
        issued_at: time(millis()),
        keys: vec![key],
        previous: all.last().map(|(hash, _)| *hash),
    };
    let event = Event::message_keys(did.parse().expect("a DID"), ORIGIN, said).expect("an event");
    let event = PendingEvent::sign(event, &[&signing_key(&pipeline)]).expect("signed");
    assert_eq!(submit(&log, &[event.to_bytes()]), [Ok(())]);
    let multibase = message_key(9).to_multibase();
    let is_there =
        |log: &Log| key_agreement(log, &did).iter().any(|key| key["publicKeyMultibase"] == multibase);
    assert!(is_there(&log));
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_there(&log) {
        assert!(Instant::now() < deadline, "it has ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(pipeline.json(&["message-key", "list"])["keyKind"], "identity");
    log.stop();
    log.serve(&[]);
    assert!(!is_there(&log) && key_agreement(&log, &did).len() == 1);
    check_log(&log);
}

/// A rotation of the identity loses no message that waits, unless that is asked for; one of message keys loses none.
#[test]
fn a_rotation_stops_while_mail_waits_that_only_the_old_key_opens() {
    let log = Log::start(&[]);
    let pipeline = owner(&log);
    let did = pipeline.did();
    let read = || {
        let inbox = pipeline.json(&["inbox", "--ack"]);
        // Of what is not accepted nothing is shown.
        let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let verdict = |message: &Value| {
            (text(&message["verdict"]), shown(&message["keyKind"]), shown(&message["body"]))
        };
        inbox["messages"].as_array().expect("messages").iter().map(verdict).collect::<Vec<_>>()
    };
    let accepted = |kind: &str, body: &str| ("accepted".to_owned(), kind.to_owned(), body.to_owned());
    pipeline.ok(&["message", &did, "to the identity key"]);
    let (code, _, err) = pipeline.run(&["rotate-key"]);
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("1 message waits that only the old key opens") && err.contains("--leave-messages"),
        "{err}"
    );
    assert_eq!(read(), [accepted("identity", "to the identity key")]);
    pipeline.ok(&["rotate-key"]);
    pipeline.ok(&["message", &did, "lost"]);
    pipeline.ok(&["rotate-key", "--leave-messages"]);
    assert!(read().iter().all(|(verdict, _, _)| verdict != "accepted"), "nobody holds its key");
    // To a message key: neither the identity's rotation nor its own takes it away.
    pipeline.ok(&["message-key", "rotate"]);
    let sent = pipeline.json(&["message", &did, "to the message key"]);
    assert_eq!(sent["sent"][0]["keyKind"], "message");
    pipeline.ok(&["message-key", "rotate"]);
    let opened = read();
    assert!(opened.contains(&accepted("message", "to the message key")), "{opened:?}");
    pipeline.ok(&["message", &did, "again"]);
    pipeline.ok(&["rotate-key"]);
    // Its sender has another key now, and sends again.
    let opened = read();
    assert!(opened.iter().all(|(verdict, _, _)| verdict != "accepted"), "{opened:?}");
    pipeline.ok(&["message", &did, "once more"]);
    assert!(read().contains(&accepted("message", "once more")));
}

/// A log that keeps the newest set back is believed on its word, and convicted by it.
#[test]
fn a_log_that_hides_the_newest_set_convicts_itself() {
    let log = Log::start(&[]);
    let liar = Liar::before(&log);
    let pipeline = owner(&log);
    let did = pipeline.did();
    pipeline.ok(&["message-key", "rotate"]);
    pipeline.ok(&["message-key", "rotate"]);
    let (_, old) = events(&log, &did).remove(0);
    // Inception, first set, second set.
    liar.tell(&evidence_without(&log, &[2]));
    let other = Someone::new();
    other.ok(&["policy", "pin", &liar.url, "--yes"]);
    let told = other.json(&["message-key", "list", &did, "--log", &liar.url]);
    assert_eq!(told["keys"][0]["keyId"], old.keys[0].key.id().to_string(), "the old set, by its word");
    let lie = evidence_without(&log, &[2]).to_json();
    other.write("lie.json", &lie);
    let root = ["--root", &did, "--threshold", "0.5"];
    let sync = [&["gate", "--did", &did, "--sync", "--evidence", "lie.json"][..], &root].concat();
    let (code, out, err) = other.run(&sync);
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains(&format!("`msg:{did}`")) && err.contains("lacks entry 2"), "{err}");
    let folder = fs::read_dir(other.home().join(".aip/findings")).expect("a finding");
    let finding = folder.map(|entry| entry.expect("an entry").path()).next().expect("one");
    let vkey = log.vkey.to_string();
    other.ok(&["inspect", "--finding", finding.to_str().expect("UTF-8"), "--vkey", &vkey]);
}

fn signing_key(someone: &Someone) -> Ed25519PrivateKey {
    let seed = encoding::decode_base64_array(someone.ok(&["key", "export"]).trim()).expect("a seed");
    Ed25519PrivateKey::from_seed(&seed)
}

fn message_key(seed: u8) -> MessageKey {
    *MessagePrivateKey::from_bytes(&[seed; 32]).public_key()
}

fn millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later than 1970");
    u64::try_from(since.as_millis()).expect("milliseconds")
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

/// Submits leaves in one request; of each whether it is logged, or the rule that it breaks.
fn submit(log: &Log, leaves: &[Vec<u8>]) -> Vec<Result<(), String>> {
    let body: Vec<Value> = leaves.iter().map(|leaf| json!({"leaf": encoding::base64(leaf)})).collect();
    let answer =
        log.http().post(format!("{}/api/v1/entries", log.url())).json(&body).send().expect("an answer");
    let answers: Vec<Value> = answer.json().expect("JSON");
    let outcome = |answer: &Value| match answer["status"].as_str() {
        Some("logged") => Ok(()),
        _ => Err(text(&answer["error"]["type"]).replace("urn:aip:problem:", "")),
    };
    answers.iter().map(outcome).collect()
}
