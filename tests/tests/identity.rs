//! The life of an identity, at the command line and against a real log: made, registered, rotated, stolen, taken
//! back, ended; and what identities say of each other.

use std::fs;

use attestation::did::to_did_key;
use attestation::entry::Entry;
use serde_json::Value;
use testkit::log::Log;
use testkit::oracle;
use testkit::someone::{Someone, outcome};
use tlog::encoding::decode_base64;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

/// Somebody else, with something to sign.
fn stranger(log: &Log) -> Someone {
    let stranger = Someone::new();
    stranger.ok(&["policy", "pin", &log.url(), "--yes"]);
    stranger.write("dist/loot", "not the owner's");
    stranger
}

/// What comes of a command with the key of somebody in the environment.
fn act(stranger: &Someone, did: &str, key: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut aip = stranger.aip(arguments);
    aip.env("AIP_DID", did).env("AIP_PRIVATE_KEY", key.trim());
    outcome(aip.output().expect("aip runs"))
}

/// The same, by a new stranger.
fn with_key(log: &Log, did: &str, key: &str, arguments: &[&str]) -> (i32, String, String) {
    act(&stranger(log), did, key, arguments)
}

#[test]
fn an_identity_is_made_without_a_log_and_registered_by_its_first_signature() {
    let log = Log::start(&[]);
    let pipeline = Someone::new();
    let (code, _, err) = pipeline.run(&["init"]);
    assert_eq!(code, 0, "{err}");
    for said in ["not registered", "move it off this machine now", "keep it offline"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    for (path, what) in [(pipeline.recovery_file(), "private_key"), (pipeline.next_file(), "private_key")] {
        use std::os::unix::fs::PermissionsExt as _;
        let text = fs::read_to_string(&path).expect("there");
        assert!(text.contains(what), "{}", path.display());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        // Neither key is in what was printed.
        let file: Value = serde_json::from_str(&text).expect("JSON");
        let key = file["private_key"].as_str().or_else(|| file["next"]["private_key"].as_str());
        assert!(!err.contains(key.expect("a key")));
    }
    let (_, out, err) = pipeline.run(&["whoami"]);
    assert!(!out.contains("Registered") && err.contains("no log is asked"), "{out}{err}");
    pipeline.ok(&["policy", "pin", &log.url(), "--yes"]);
    assert_eq!(pipeline.state()["status"], "bare");
    pipeline.write("app", "an app");
    let (code, _, err) = pipeline.run(&["sign", "app"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("is registered in"), "{err}");
    let state = pipeline.state();
    assert_eq!((&state["status"], &state["registered"]), (&"active".into(), &0.into()), "{state}");
    let out = pipeline.ok(&["verify", "app", "--signer", &pipeline.did(), "-v"]);
    assert!(out.contains("current key at index 1; active; state as of size 2"), "{out}");
    // Once is enough, and a second try says so.
    let (code, _, err) = pipeline.run(&["init", "--register"]);
    assert_eq!((code, err.contains("it is registered in")), (0, true), "{err}");
}

#[test]
fn a_recovery_key_never_lands_in_a_checkout_by_accident() {
    let pipeline = Someone::new();
    fs::create_dir(pipeline.home().join(".git")).expect("made");
    let (code, _, err) = pipeline.run(&["init"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("is in the git checkout") && err.contains("--recovery-out"), "{err}");
    assert!(!pipeline.home().join(".aip/credentials.json").exists());
    let out = pipeline.folder().join("elsewhere.json");
    let out = out.to_str().expect("UTF-8");
    pipeline.ok(&["init", "--recovery-out", out]);
    // And never over another file.
    let (code, _, err) = pipeline.run(&["init", "--force", "--recovery-out", out]);
    assert_eq!((code, err.contains("never written over")), (2, true), "{err}");
}

#[test]
fn the_environment_alone_stays_bare_and_says_so() {
    let log = Log::start(&[]);
    let made = Someone::new();
    made.ok(&["init"]);
    let (did, key) = (made.did(), made.ok(&["key", "export"]));
    let (code, _, err) = with_key(&log, &did, &key, &["init", "--register"]);
    assert_eq!((code, err.contains("stays bare")), (2, true), "{err}");
    let (code, _, err) = with_key(&log, &did, &key, &["sign", "dist/loot"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("is not registered in") && err.contains("no gate lets them pass"), "{err}");
    let (code, _, err) = with_key(&log, &did, &key, &["vouch", "did:aip:00000000000000000000000000000000"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("is not registered in the log") && err.contains("init --register"), "{err}");
    let (code, _, err) = with_key(&log, &did, &key, &["rotate-key"]);
    assert_eq!((code, err.contains("the environment alone cannot")), (2, true), "{err}");
}

#[test]
fn a_rotated_key_signs_and_the_old_one_does_not() {
    let log = Log::start(&[]);
    let pipeline = Someone::at(&log, &[]);
    let did = pipeline.did();
    pipeline.write("first", "first");
    pipeline.ok(&["sign", "first"]);
    let old = pipeline.ok(&["key", "export"]);
    let (code, out, err) = pipeline.run(&["rotate-key"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("rotation  did:aip:"), "{out}");
    assert!(err.contains("gh secret set AIP_PRIVATE_KEY"), "{err}");
    let new = pipeline.ok(&["key", "export"]);
    assert_ne!(old, new);
    assert!(!out.contains(new.trim()) && !err.contains(new.trim()), "no key is printed");
    assert_eq!(pipeline.did(), did, "the DID stays");
    pipeline.write("second", "second");
    pipeline.ok(&["sign", "second"]);
    pipeline.ok(&["submit", "first.receipt.json"]);
    let out = pipeline.ok(&["verify", "first", "second", "--signer", &did, "-v"]);
    assert!(out.contains("current key at index 1;") && out.contains("current key at index 3;"), "{out}");
    let (code, _, err) = with_key(&log, &did, &old, &["sign", "dist/loot"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("retired-key") && err.contains("hint:"), "{err}");
    // From the environment, as a CI has it; and with no log that says whose key it is.
    let (code, _, err) = with_key(&log, &did, &new, &["sign", "dist/loot"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = with_key(&log, &did, &new, &["sign", "dist/loot", "--no-log"]);
    assert_eq!((code, err.contains("only a log's state says")), (2, true), "{err}");
    let (code, _, err) = with_key(&log, &did, &new, &["whoami", "--offline"]);
    assert_eq!((code, err.contains("is not the DID of its key")), (2, true), "{err}");
    assert_eq!(with_key(&log, &did, &new, &["whoami"]).0, 0);
    let other = Someone::at(&log, &[]).ok(&["key", "export"]);
    let (code, _, err) = with_key(&log, &did, &other, &["sign", "dist/loot"]);
    assert_eq!((code, err.contains("not the current key")), (2, true), "{err}");
}

/// A state that is kept says whose key it is where the log does not answer. One that is older than the rotation does not.
#[test]
fn a_rotated_key_signs_without_the_log_by_a_state_that_is_kept() {
    let mut log = Log::start(&[]);
    let pipeline = Someone::at(&log, &["--register", "--log", &log.url()]);
    let did = pipeline.did();
    let sync = ["log", "sync", "--did", &did];
    pipeline.ok(&sync);
    pipeline.ok(&["rotate-key"]);
    pipeline.write("app", "an app");
    let unlogged = ["sign", "app", "--no-log", "--receipts", "unlogged"];
    let (code, _, err) = pipeline.run(&unlogged);
    assert_eq!((code, err.contains("log sync --did")), (2, true), "{err}");
    pipeline.ok(&sync);
    pipeline.ok(&unlogged);
    log.stop();
    let (code, out, err) = pipeline.run(&["sign", "app", "--timeout", "1s"]);
    assert_eq!((code, out.starts_with("pending  app")), (2, true), "{out}{err}");
    // A thief's key is in no state.
    let other = Someone::new();
    other.ok(&["init"]);
    let key = other.ok(&["key", "export"]);
    let (code, _, err) = act(&pipeline, &did, &key, &["sign", "app", "--no-log"]);
    assert_eq!((code, err.contains("is not the DID of its key")), (2, true), "{err}");
    log.serve(&[]);
    pipeline.ok(&["submit", "app.receipt.json"]);
    pipeline.ok(&["submit", "unlogged"]);
}

#[test]
fn a_stolen_key_is_reported_and_taken_back() {
    let log = Log::start(&[]);
    let (owner, consumer) = (Someone::at(&log, &[]), Someone::new());
    consumer.ok(&["policy", "pin", &log.url(), "--yes"]);
    let (did, stolen) = (owner.did(), owner.ok(&["key", "export"]));
    owner.write("app", "the owner's");
    owner.ok(&["sign", "app"]);
    let thief = stranger(&log);
    let (code, _, err) = act(&thief, &did, &stolen, &["sign", "dist/loot"]);
    assert_eq!(code, 0, "{err}");
    let loot = thief.work().join("dist/loot.receipt.json");
    fs::copy(loot, consumer.work().join("loot.receipt.json")).expect("the thief publishes it");
    consumer.write("loot", "not the owner's");
    let verify = ["verify", "loot", "--signer", &did];
    consumer.ok(&verify);
    // The thief cannot rotate, recover or end it.
    for arguments in [&["rotate-key"][..], &["deactivate", "--yes"], &["report-compromise", "--since", "2"]] {
        assert_eq!(with_key(&log, &did, &stolen, arguments).0, 2, "{arguments:?}");
    }
    let out = owner.ok(&["report-compromise", "--since", "2"]);
    assert!(out.starts_with("compromise  did:aip:"), "{out}");
    let (code, _, err) = owner.run(&["report-compromise", "--since", "2"]);
    assert_eq!((code, err.contains("reported already")), (0, true), "{err}");
    let (code, _, err) = with_key(&log, &did, &stolen, &["sign", "dist/loot", "--private"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("compromised") && err.contains("recover"), "{err}");
    let recovery = owner.recovery_file();
    let recovery = recovery.to_str().expect("UTF-8");
    let (code, out, err) = owner.run(&["recover", "--recovery", recovery]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.starts_with("recovery  did:aip:") && err.contains("move it off this machine now"),
        "{out}{err}"
    );
    assert_ne!(owner.ok(&["key", "export"]), stolen);
    assert_ne!(owner.recovery_file().to_str(), Some(recovery), "another recovery key");
    let state = owner.state();
    assert_eq!((&state["status"], &state["windows"][0]["since"]), (&"active".into(), &2.into()), "{state}");
    // The receipt that he published says nothing yet; refreshed it does. The owner's still verifies.
    let (code, _, err) = consumer.run(&["submit", "loot.receipt.json"]);
    assert_eq!((code, err.contains("does not count for its signer")), (1, true), "{err}");
    let (code, out, _) = consumer.run(&verify);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("FAILED          signer-state") && out.contains("reported as compromised"), "{out}");
    owner.ok(&["submit", "app.receipt.json"]);
    owner.ok(&["verify", "app", "--signer", &did]);
    owner.write("later", "after it");
    owner.ok(&["sign", "later"]);
    owner.ok(&["verify", "later", "--signer", &did]);
    // The old recovery key is worth nothing, the new one ends the DID.
    let (code, _, err) = owner.run(&["recover", "--recovery", recovery, "--since", "3"]);
    assert_eq!((code, err.contains("each recovery made another one")), (2, true), "{err}");
    let newest = owner.recovery_file();
    let end = ["deactivate", "--recovery", newest.to_str().expect("UTF-8"), "--yes"];
    let (code, _, err) = owner.run(&end[..3]);
    assert_eq!((code, err.contains("--yes")), (2, true), "{err}");
    owner.ok(&end);
    owner.write("never", "too late");
    let (code, _, err) = owner.run(&["sign", "never"]);
    assert_eq!((code, err.contains("deactivated")), (2, true), "{err}");
    owner.ok(&["submit", "later.receipt.json"]);
    assert!(owner.ok(&["verify", "later", "--signer", &did]).contains("deactivated at index"));
}

/// What the log says of a DID, and the keys that signed its newest identity event.
fn newest_event(log: &Log, did: &str) -> (Value, Vec<String>) {
    let (status, answer) = log.json(&format!("/api/v1/dids/{did}"));
    assert_eq!(status, 200, "{answer}");
    let newest = answer["identity"].as_array().and_then(|events| events.last()).expect("an event");
    let leaf = decode_base64(newest["leaf"].as_str().expect("text")).expect("base64");
    let Ok(Entry::Event(event)) = Entry::parse(&leaf) else { panic!("an event") };
    let keys =
        event.pending().keys().map(|key| to_did_key(&Ed25519PublicKey::from_bytes(key).expect("a key")));
    (answer["didDocumentMetadata"].clone(), keys.collect())
}

/// The `did:key` of the current key on a machine, and of the next one.
fn keys_of(someone: &Someone) -> [String; 2] {
    let did_key = |text: &str| {
        let seed: [u8; 32] = decode_base64(text.trim()).expect("base64").try_into().expect("32 bytes");
        to_did_key(&Ed25519PrivateKey::from_seed(&seed).public_key())
    };
    let next: Value = serde_json::from_slice(&fs::read(someone.next_file()).expect("there")).expect("JSON");
    let next = next["next"]["private_key"].as_str().expect("a key in the clear").to_owned();
    [did_key(&someone.ok(&["key", "export"])), did_key(&next)]
}

/// Without the recovery key, which is on another medium: the next key reports a theft, and the current and the next
/// one together end a DID.
#[test]
fn the_keys_of_a_machine_report_a_theft_and_end_an_identity() {
    let log = Log::start(&[]);
    let consumer = Someone::new();
    consumer.ok(&["policy", "pin", &log.url(), "--yes"]);
    let root = Someone::at(&log, &["--capabilities", "vouches", "--register", "--log", &log.url()]);
    let owner = || {
        let owner = Someone::at(&log, &["--register", "--log", &log.url()]);
        // Not the keys of the inception: those that a rotation made.
        owner.ok(&["rotate-key"]);
        root.ok(&["vouch", &owner.did()]);
        let kept = owner.folder().join("kept");
        fs::rename(owner.recovery_file(), &kept).expect("moved off");
        owner.write("app", "an app");
        owner.write("late", "too late");
        owner.ok(&["sign", "app"]);
        (owner, kept)
    };
    let gate = |did: &str| {
        let gate = ["gate", "--did", did, "--root", &root.did(), "--threshold", "0", "--json"];
        let (code, out, err) = consumer.run(&gate);
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{err}"));
        (code, json["trust"]["verdict"]["standing"].as_str().expect("a word").to_owned())
    };

    let (reporter, kept) = owner();
    let (did, [_, next]) = (reporter.did(), keys_of(&reporter));
    assert_eq!(gate(&did), (0, "active".to_owned()));
    let since = reporter.state()["events"][1]["index"].as_u64().expect("an index") + 1;
    let out = reporter.ok(&["report-compromise", "--since", &since.to_string()]);
    assert!(out.starts_with("compromise  did:aip:"), "{out}");
    let (metadata, signed) = newest_event(&log, &did);
    assert_eq!((&metadata["status"], signed), (&"compromised".into(), vec![next]), "{metadata}");
    assert_eq!(reporter.state()["windows"][0]["since"], since);
    assert_eq!(log.json(&format!("/did/{did}")).1["verificationMethod"], serde_json::json!([]));
    assert_eq!(gate(&did), (1, "compromised".to_owned()));
    let (code, _, err) = reporter.run(&["sign", "late"]);
    assert_eq!((code, err.contains("compromised")), (2, true), "{err}");
    // A thief of the machine gets no further: only the recovery key speaks for the DID now.
    for command in [&["rotate-key"][..], &["deactivate", "--yes"]] {
        assert_eq!(reporter.run(command).0, 2, "{command:?}");
    }
    reporter.ok(&["recover", "--recovery", kept.to_str().expect("UTF-8")]);
    assert_eq!(gate(&did), (0, "active".to_owned()));

    let (owner, kept) = owner();
    let (did, keys) = (owner.did(), keys_of(&owner));
    let out = owner.ok(&["deactivate", "--yes"]);
    assert!(out.starts_with("deactivation  did:aip:"), "{out}");
    let (metadata, signed) = newest_event(&log, &did);
    assert_eq!((&metadata["deactivated"], signed.as_slice()), (&true.into(), &keys[..]), "{metadata}");
    assert_eq!(log.json(&format!("/did/{did}")).1["verificationMethod"], serde_json::json!([]));
    assert_eq!(gate(&did), (1, "deactivated".to_owned()));
    let (code, _, err) = owner.run(&["deactivate", "--yes"]);
    assert_eq!((code, err.contains("deactivated already")), (0, true), "{err}");
    for command in
        [&["sign", "late"][..], &["rotate-key"], &["recover", "--recovery", kept.to_str().expect("UTF-8")]]
    {
        let (code, _, err) = owner.run(command);
        assert_eq!((code, err.contains("deactivated")), (2, true), "{command:?}: {err}");
    }
    // What it signed stays valid.
    owner.ok(&["submit", "app.receipt.json"]);
    let out = owner.ok(&["verify", "app", "--signer", &did]);
    assert!(out.contains("deactivated at index"), "{out}");
}

#[test]
fn a_lost_machine_is_replaced_by_the_recovery_key() {
    let log = Log::start(&[]);
    let (lost, fresh) = (Someone::at(&log, &["--register", "--log", &log.url()]), Someone::new());
    let did = lost.did();
    let recovery = lost.recovery_file();
    let recovery = recovery.to_str().expect("UTF-8");
    fresh.ok(&["policy", "pin", &log.url(), "--yes"]);
    let (code, _, err) = fresh.run(&["recover", "--recovery", recovery]);
    assert_eq!((code, err.contains("--since INDEX")), (2, true), "{err}");
    fresh.ok(&["recover", "--recovery", recovery, "--since", "1"]);
    assert_eq!(fresh.did(), did);
    fresh.write("app", "from the new machine");
    fresh.ok(&["sign", "app"]);
    fresh.ok(&["verify", "app", "--signer", &did]);
    fresh.ok(&["rotate-key"]);
    lost.write("app", "from the old one");
    assert_eq!(lost.run(&["sign", "app"]).0, 2);
    // Another identity is not overwritten.
    let other = Someone::at(&log, &[]);
    let newest = fresh.recovery_file();
    let (code, _, err) =
        other.run(&["recover", "--recovery", newest.to_str().expect("UTF-8"), "--since", "3"]);
    assert_eq!((code, err.contains("holds another identity")), (2, true), "{err}");
}

#[test]
fn encrypted_keys_stay_encrypted_when_they_change() {
    let log = Log::start(&[]);
    let owner = Someone::new();
    let run = |arguments: &[&str]| {
        let mut aip = owner.aip(arguments);
        aip.env("AIP_PASSPHRASE", "correct horse").env("AIP_LOG_URL", log.url());
        let (code, out, err) = outcome(aip.output().expect("aip runs"));
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    run(&["init", "--encrypt", "--register"]);
    run(&["rotate-key"]);
    let digits = fs::read_dir(owner.home().join(".aip")).expect("a folder");
    for entry in digits {
        let text = fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default();
        assert!(!text.contains("private_key"), "{text}");
    }
    owner.write("app", "an app");
    run(&["sign", "app"]);
    run(&["rotate-key"]);
}

#[test]
fn pipelines_vouch_confirm_and_report() {
    let log = Log::start(&[]);
    let all = "messages,receipts,vouches";
    let voucher = Someone::at(&log, &["--capabilities", all, "--register", "--log", &log.url()]);
    let (one, two) = (Someone::at(&log, &[]), Someone::at(&log, &[]));
    for someone in [&one, &two] {
        someone.write("app", "the same bytes");
        someone.ok(&["sign", "app"]);
    }
    let did = one.did();
    let vouch = voucher.json(&["vouch", &did, "--level", "STRONG", "--depth", "1", "--expires", "30d"]);
    assert_eq!((&vouch["event"], &vouch["subject"]), (&"vouch".into(), &did.as_str().into()), "{vouch}");
    let terms = ["scope", "level", "depth"].map(|term| vouch[term].to_string());
    assert_eq!(terms, ["\"CODE_SIGNING\"", "\"STRONG\"", "1"], "{vouch}");
    let lasts = vouch["expiresAtMillis"].as_u64().zip(vouch["loggedAtMillis"].as_u64());
    let days = lasts.map(|(end, start)| (end - start).div_ceil(86_400_000));
    assert_eq!((days, vouch["expiresAt"].is_string()), (Some(30), true), "{vouch}");
    let line = voucher.ok(&["vouch", &did, "--no-delegate"]);
    assert!(
        line.contains("CODE_SIGNING STRONG until 20") && line.contains("Z, 0 more hops  index"),
        "{line}"
    );
    assert_eq!(voucher.json(&["revoke", &did])["scope"], "CODE_SIGNING");
    voucher.ok(&["distrust", &did, "--scope", "GENERAL"]);
    for (arguments, said) in [
        (&["vouch", "did:aip:upstream-agent"][..], "32 lower-case hex digits"),
        (&["vouch", &did, "--expires", "366d"], "365 days"),
        (&["vouch", &did, "--scope", "ALL"], "one of GENERAL, CODE_SIGNING"),
        (&["vouch", &did, "--level", "SUSPICIOUS"], "the command `distrust`"),
        (&["vouch", &did, "--depth", "8"], "0..=7"),
        (&["vouch", &voucher.did()], "is your own"),
    ] {
        let (code, _, err) = voucher.run(arguments);
        assert_eq!((code, err.contains(said)), (2, true), "{arguments:?}: {err}");
    }
    // A pipeline's key vouches for nobody, and is told that another identity does.
    let (code, _, err) = two.run(&["vouch", &did]);
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("lacks the capability `vouches`")
            && err.contains("aip --as org init")
            && !err.contains("rotate-key"),
        "{err}"
    );
    let confirmed = two.json(&["confirm", "app", "--did", &did]);
    assert_eq!(confirmed["event"], "confirmation");
    two.write("other", "other bytes");
    let (code, _, err) = two.run(&["confirm", "other", "--did", &did]);
    assert_eq!((code, err.contains("logged nothing about sha256:")), (2, true), "{err}");
    let (code, _, err) =
        voucher.run(&["confirm", &format!("sha256:{}", tlog::Hash::of(b"the same bytes")), "--did", &did]);
    assert_eq!((code, err.contains("you logged no build")), (2, true), "{err}");
    let report = ["report-failure", "app", "--did", &did, "--reason", "reproduction"];
    let failure = two.json(&report);
    let (code, _, err) = two.run(&report);
    assert_eq!(code, 2, "one open report: {err}");
    let index = failure["index"].to_string();
    let withdraw = ["withdraw", &did, "--failure", &index];
    assert_eq!(two.ok(&withdraw), two.ok(&withdraw), "the same words are the same entry");
    two.ok(&report);
}

#[test]
fn a_pipeline_that_contradicts_itself_is_reported_by_anybody() {
    let log = Log::start(&[]);
    let (liar, other) = (Someone::at(&log, &[]), Someone::at(&log, &["--register", "--log", &log.url()]));
    let github = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "octo/app"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_SHA", "0123456789012345678901234567890123456789"),
        ("GITHUB_WORKFLOW_REF", "octo/app/.github/workflows/ci.yml@refs/heads/main"),
        ("GITHUB_RUN_ID", "1"),
        ("GITHUB_RUN_ATTEMPT", "1"),
    ];
    for (content, receipt) in [("one", "1.json"), ("two", "2.json")] {
        liar.write("app", content);
        let sign = ["sign", "app", "--reproducible", "--together", "--receipt", receipt];
        let mut aip = liar.aip(&sign);
        aip.envs(github);
        let (code, _, err) = outcome(aip.output().expect("aip runs"));
        assert_eq!(code, 0, "{err}");
        fs::copy(liar.work().join(receipt), other.work().join(receipt)).expect("public");
    }
    let (code, _, err) = other.run(&["report-equivocation", "1.json", "1.json"]);
    assert_eq!(code, 2, "{err}");
    let said = other.json(&["report-equivocation", "2.json", "1.json"]);
    assert_eq!((&said["event"], &said["subject"]), (&"equivocation".into(), &liar.did().as_str().into()));
}

#[test]
fn a_thief_who_registers_first_is_noticed() {
    let log = Log::start(&[]);
    let (owner, thief) = (Someone::at(&log, &[]), Someone::at(&log, &[]));
    // The thief has the credentials, and makes his own keys after them.
    let credentials = ".aip/credentials.json";
    fs::copy(owner.home().join(credentials), thief.home().join(credentials)).expect("stolen");
    thief.ok(&["init", "--register", "--recovery-out", "his.json"]);
    for arguments in [&["init", "--register"][..], &["whoami"], &["whoami", "--json"]] {
        let (code, _, err) = owner.run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains("somebody else registered") && err.contains("worth nothing"), "{err}");
    }
    owner.write("app", "an app");
    let (_, _, err) = owner.run(&["sign", "app"]);
    assert!(err.contains("somebody else registered"), "{err}");
    // He who registered is told nothing of the kind.
    thief.ok(&["whoami"]);
}

#[test]
fn what_the_inception_says_can_be_asked_for_until_it_is_logged() {
    let log = Log::start(&[]);
    let pipeline = Someone::at(&log, &[]);
    let (code, _, err) = pipeline.run(&["init", "--public-name", "a name"]);
    assert_eq!((code, err.contains("change nothing here")), (0, true), "{err}");
    let register = ["init", "--register", "--capabilities", "receipts", "--public-name", "a name"];
    pipeline.ok(&register);
    let whoami = pipeline.ok(&["whoami"]);
    assert!(whoami.contains("a name") && !whoami.contains("messages"), "{whoami}");
    pipeline.ok(&register);
    for (flags, hint) in [
        (["--capabilities", "receipts,vouches"], "rotate-key --capabilities"),
        (["--public-name", "another"], "only the inception takes one"),
    ] {
        let (code, _, err) = pipeline.run(&[&["init", "--register"], &flags[..]].concat());
        assert_eq!((code, err.contains(hint)), (2, true), "{err}");
    }
}

#[test]
fn a_revocation_takes_something_back_or_logs_nothing() {
    let log = Log::start(&[]);
    let org = Someone::at(&log, &["--capabilities", "vouches", "--register", "--log", &log.url()]);
    let pipeline = Someone::at(&log, &["--register", "--log", &log.url()]);
    let did = pipeline.did();
    let size = || oracle::check_log(&log).checkpoint.size.get();
    let refused = |more: &[&str], says: &[&str]| {
        let before = size();
        let (code, out, err) = org.run(&[&["revoke", &did], more].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        says.iter().for_each(|what| assert!(err.contains(what), "{what}\n{err}"));
        assert_eq!(size(), before, "an entry for nothing");
    };
    refused(&[], &["nothing that you said of did:aip:", "stands in CODE_SIGNING"]);
    org.ok(&["vouch", &did, "--scope", "GENERAL"]);
    refused(&[], &["hint: you vouch for it in GENERAL: --scope GENERAL"]);
    org.ok(&["vouch", &did]);
    let (code, out, err) = org.run(&["revoke", &did]);
    assert_eq!((code, out.contains("revocation")), (0, true), "{out}{err}");
    assert!(err.contains("warning: you vouch for it in GENERAL as before"), "{err}");
    refused(&[], &["it was taken back before (entry 4)", "you vouch for it in GENERAL"]);
    let (code, out, err) = org.run(&["revoke", &did, "--scope", "GENERAL"]);
    assert_eq!((code, err.contains("as before")), (0, false), "{out}{err}");
    refused(&["--scope", "GENERAL"], &["it was taken back before (entry 5)"]);
    org.ok(&["distrust", &did, "--scope", "FINANCIAL"]);
    refused(&[], &["you warn of it in FINANCIAL: --scope FINANCIAL"]);
}

#[test]
fn a_vouch_for_whom_it_gives_no_score_says_so() {
    let log = Log::start(&[]);
    let org = Someone::at(&log, &["--capabilities", "vouches", "--register", "--log", &log.url()]);
    let pipeline = Someone::new();
    pipeline.ok(&["init"]);
    pipeline.ok(&["policy", "pin", &log.url(), "--yes"]);
    let did = pipeline.did();
    let said = |what: Option<&str>| {
        let (code, out, err) = org.run(&["vouch", &did]);
        assert_eq!(code, 0, "{out}{err}");
        let warning = err.lines().find(|line| line.starts_with("warning: did:aip:"));
        assert_eq!(warning.is_some(), what.is_some(), "{err}");
        if let Some(what) = what {
            assert!(err.contains(what), "{what}\n{err}");
        }
    };
    said(Some("is not registered in the log `localhost/log`"));
    let asked = ["trust", &did, "--root", &org.did(), "--log", &log.url()];
    let (code, out, err) = org.run(&asked);
    assert_eq!(code, 0, "{out}{err}");
    for what in ["the log `localhost/log` has no inception of it", "of a DID of another log: --log"] {
        assert!(out.contains(what), "{what}\n{out}");
    }
    pipeline.ok(&["init", "--register", "--log", &log.url()]);
    said(None);
    pipeline.ok(&["report-compromise", "--since", "3"]);
    said(Some("is reported as compromised"));
    pipeline.ok(&[
        "recover",
        "--recovery",
        pipeline.recovery_file().to_str().expect("UTF-8"),
        "--since",
        "3",
    ]);
    said(None);
    pipeline.ok(&["deactivate", "--yes"]);
    said(Some("was deactivated"));
}
