//! What is kept of a DID's state here, and what `verify` makes of it without a network.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use testkit::log::Log;
use testkit::someone::{Someone, outcome};
use testkit::witness::Witness;

/// A log, an owner with an artifact, a thief with another, both published, and a consumer who pinned the log.
struct World {
    log: Log,
    owner: Someone,
    consumer: Someone,
    did: String,
    /// Where the loot was logged.
    stolen_at: String,
}

impl World {
    fn new() -> Self {
        let log = Log::start(&[]);
        let (owner, consumer, thief) =
            (Someone::at(&log, &["--register", "--log", &log.url()]), Someone::new(), Someone::new());
        consumer.ok(&["policy", "pin", &log.url(), "--yes"]);
        let (did, key) = (owner.did(), owner.ok(&["key", "export"]));
        owner.write("app", "the owner's");
        owner.ok(&["sign", "app"]);
        thief.write("loot", "the thief's");
        let mut sign = thief.aip(&["sign", "loot", "--log", &log.url()]);
        sign.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", key.trim());
        let (code, _, err) = outcome(sign.output().expect("aip runs"));
        assert_eq!(code, 0, "{err}");
        for (from, name) in [(&owner, "app"), (&thief, "loot")] {
            for name in [name.to_owned(), format!("{name}.receipt.json")] {
                fs::copy(from.work().join(&name), consumer.work().join(&name)).expect("a copy");
            }
        }
        let receipt = fs::read(consumer.work().join("loot.receipt.json")).expect("a receipt");
        let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
        let line = receipt["proof"].as_str().and_then(|proof| proof.lines().nth(1)).expect("an index");
        let stolen_at = line.trim_start_matches("index ").to_owned();
        Self { log, owner, consumer, did, stolen_at }
    }

    fn verify(&self, name: &str) -> (i32, String, String) {
        self.consumer.run(&["verify", name, "--signer", &self.did])
    }

    /// The owner reports the theft and takes the DID back.
    fn recover(&self) {
        self.owner.ok(&["report-compromise", "--since", &self.stolen_at]);
        let recovery = self.owner.recovery_file();
        self.owner.ok(&["recover", "--recovery", recovery.to_str().expect("UTF-8")]);
    }

    /// The only state that is kept.
    fn kept(&self) -> PathBuf {
        let folder = self.consumer.home().join(".aip/states");
        let logs = fs::read_dir(&folder).expect("states").map(|entry| entry.expect("an entry").path());
        let log = logs.filter(|path| path.is_dir()).collect::<Vec<_>>();
        assert_eq!(log.len(), 1, "{log:?}");
        let files: Vec<PathBuf> =
            fs::read_dir(&log[0]).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

/// Report, recover, look at the log: the thief's file and its old receipt are refused without a network, by the state
/// that was kept; the owner's are not.
#[test]
fn a_kept_state_refuses_what_a_thief_signed() {
    let mut world = World::new();
    assert_eq!(world.verify("loot").0, 0, "nobody knows yet");
    world.recover();
    // The pin alone knows that there is more, and says so.
    world.consumer.ok(&["log", "sync"]);
    let (code, out, err) = world.verify("loot");
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("as of: size ") && out.contains("which was seen at size 5"), "{out}");
    let way = format!("`aip log sync --did {}` keeps the state of today", world.did);
    assert!(err.contains(&way) && err.contains("--state FILE") && err.contains("`gate`"), "{err}");

    let out = world.consumer.ok(&["log", "sync", "--did", &world.did]);
    let kept = world.kept();
    let said = format!("{}  active as of size 5  kept in `{}`", world.did, kept.display());
    assert!(out.contains(&said), "{out}");
    world.log.stop();
    let (code, out, _) = world.verify("loot");
    assert_eq!(code, 1, "{out}");
    assert!(
        out.starts_with("FAILED  loot  later-state: index 2 lies in a time that the signer reported"),
        "{out}"
    );
    assert!(
        out.contains(&format!("state: as of size 5 of localhost/log, kept in `{}`", kept.display())),
        "{out}"
    );
    let (code, out, err) = world.verify("app");
    assert_eq!(code, 0, "{out}{err}");
    let state = format!("state: active as of size 5 of localhost/log, kept in `{}`\n", kept.display());
    assert!(out.contains(&state) && !out.contains("as of: "), "{out}");
    // Offline is offline.
    let trace = world.consumer.folder().join("trace");
    let strace = ["strace", "-f", "-e", "trace=network", "-o", trace.to_str().expect("UTF-8")];
    match world.consumer.within(&strace, &["verify", "loot", "--signer", &world.did]).output() {
        Ok(output) => {
            assert_eq!(outcome(output).0, 1);
            let calls = fs::read_to_string(&trace).expect("a trace");
            assert!(calls.lines().all(|line| line.contains("+++ exited with")), "{calls}");
        }
        Err(_) => eprintln!("not run: strace is not installed"),
    }
}

/// The bundle of a thief's receipt is as good as it was for Sigstore's cosign, for ever. Here the kept state says no, and so
/// does a named one.
#[test]
fn a_bundle_is_judged_by_the_state_that_is_known() {
    let mut world = World::new();
    let export = |name: &str| {
        let receipt = format!("{name}.receipt.json");
        world.consumer.run(&["export", "--sigstore", &receipt])
    };
    for name in ["app", "loot"] {
        let (code, out, err) = export(name);
        assert_eq!(code, 0, "{out}{err}");
    }
    world.consumer.ok(&["policy", "export", "--sigstore", "--out", "trusted_root.json"]);
    let verify = |name: &str, more: &[&str]| {
        let bundle = format!("{name}.sigstore.json");
        let arguments = ["verify", name, "--bundle", &bundle, "--trusted-root", "trusted_root.json"];
        let signer = ["--signer", &world.did, "--allow-unwitnessed"];
        world.consumer.run(&[&arguments[..], &signer, more].concat())
    };
    let (code, out, err) = verify("loot", &[]);
    assert_eq!(code, 0, "nobody knows yet: {out}{err}");
    assert!(
        out.contains("key: a bundle does not tell whether it was replaced, reported as stolen or ended"),
        "{out}"
    );
    world.recover();
    world.consumer.ok(&["state", "export", "--did", &world.did, "--out", "state.json"]);
    let void = "FAILED  loot  later-state: index 2 lies in a time that the signer reported";
    let (code, out, _) = verify("loot", &["--state", "state.json"]);
    assert!(code == 1 && out.starts_with(void), "{out}");
    world.consumer.ok(&["log", "sync", "--did", &world.did]);
    world.log.stop();
    let (code, out, _) = verify("loot", &[]);
    assert!(code == 1 && out.starts_with(void), "{out}");
    let (code, out, err) = verify("app", &["--max-state-age", "7d"]);
    assert_eq!(code, 2, "no witness attests an age: {out}{err}");
    let (code, out, err) = verify("app", &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("state: by `{}`", world.kept().display())), "{out}");
    let (code, _, err) = export("loot");
    assert!(code == 1 && err.contains("later-state: index 2 lies in a time"), "{err}");
    assert_eq!(export("app").0, 0);
}

/// Whoever may write here puts back a state from before the report. The log's own word is in it, so it is believed as of
/// its day; that the log was seen since is said, and the next look puts the newest in its place.
#[test]
fn an_old_state_that_is_put_back_hides_nothing_silently() {
    let world = World::new();
    world.consumer.ok(&["log", "sync", "--did", &world.did]);
    let (kept, old) = (world.kept(), fs::read(world.kept()).expect("a state"));
    assert_eq!(world.verify("loot").0, 0, "as of that day");
    world.recover();
    world.consumer.ok(&["log", "sync", "--did", &world.did]);
    let new = fs::read(&kept).expect("a state");
    assert_ne!(old, new);
    assert_eq!(world.verify("loot").0, 1);
    fs::write(&kept, &old).expect("written");
    let (code, out, err) = world.verify("loot");
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("as of: size 3 of localhost/log, which was seen at size 5"), "{out}");
    let json = world.consumer.json(&["log", "sync", "--did", &world.did]);
    let state = &json["logs"][0]["states"][0];
    assert_eq!((&state["did"], &state["treeSize"]), (&world.did.clone().into(), &5.into()), "{json}");
    assert_eq!(world.verify("loot").0, 1);
    // Nothing of it: back to the pin.
    fs::remove_file(&kept).expect("removed");
    let (code, out, _) = world.verify("loot");
    assert_eq!((code, out.contains("seen at size 5")), (0, true), "{out}");
    // What nobody can read is no "yes".
    fs::write(&kept, "x").expect("written");
    let (code, out, err) = world.verify("loot");
    assert_eq!(
        (code, out.contains("is malformed"), err.contains("log sync --did")),
        (2, true, true),
        "{out}{err}"
    );
    world.consumer.ok(&["log", "sync", "--did", &world.did]);
    assert_eq!(world.verify("loot").0, 1);
}

/// A gate keeps the state that it judged by, also when it reads the whole log, and also when it says no.
#[test]
fn a_gate_keeps_the_state_for_verify() {
    let world = World::new();
    world.recover();
    for more in [&[][..], &["--sync"]] {
        let gate = ["gate", "--did", &world.did, "--root", &world.did, "--threshold", "1"];
        let (code, out, err) = world.consumer.run(&[&gate[..], more].concat());
        assert!(code != 2 && !err.contains("is not kept"), "{out}{err}");
        let (code, out, _) = world.verify("loot");
        assert_eq!((code, out.contains("later-state")), (1, true), "{more:?}: {out}");
        fs::remove_file(world.kept()).expect("removed");
    }
    // Where it cannot be kept the gate says so, and decides as before.
    fs::remove_dir_all(world.consumer.home().join(".aip/states")).expect("removed");
    fs::write(world.consumer.home().join(".aip/states"), "a file").expect("written");
    let gate = ["gate", "--did", &world.did, "--root", &world.did, "--threshold", "0"];
    let (code, _, err) = world.consumer.run(&gate);
    assert_eq!((code, err.contains("is not kept for `verify`")), (0, true), "{err}");
    assert_eq!(world.consumer.run(&["log", "sync", "--did", &world.did]).0, 2);
}

/// A checkout's policy that asks for less than the pin keeps nothing: what a log says to its reader alone must not take the
/// place of what the pinned quorum attests.
#[test]
fn a_weaker_policy_keeps_no_state() {
    let mut log = Log::init();
    let witness = Witness::start("w", &["ed25519"], &log.vkey);
    log.ask(&witness.policy, "w");
    log.serve(&["--publish-interval", "0s", "--witness-timeout", "2s", "--deadline", "8s"]);
    let owner = Someone::at(&log, &["--register", "--log", &log.url()]);
    let did = owner.did();
    log.stop();
    log.ask("", "none");
    log.serve(&[]);
    // What is published now has no cosignature.
    owner.write("app", "an app");
    let (code, _, err) = owner.run(&["sign", "app", "--timeout", "2s"]);
    assert_eq!(code, 2, "{err}");
    fs::create_dir(owner.work().join(".aip")).expect("a folder");
    owner.write(".aip/policy", &format!("log {} {}\nquorum none\n", log.vkey, log.url()));
    let gate = ["gate", "--did", &did, "--root", &did, "--threshold", "0"];
    let (code, out, err) = owner.run(&gate);
    assert_eq!((code, err.contains("the pinned policy asks for more")), (0, true), "{out}{err}");
    assert!(!owner.home().join(".aip/states").exists());
    // Where nobody pinned the log, the policy that judges is the only one.
    let stranger = Someone::new();
    stranger.write("policy", &format!("log {} {}\nquorum none\n", log.vkey, log.url()));
    stranger.ok(&[&gate[..], &["--policy", "policy"]].concat());
    assert!(stranger.home().join(".aip/states").exists());
}

/// A DID that no log knows has a state too, and two logs have one each.
#[test]
fn each_log_has_its_own_state() {
    let world = World::new();
    let mut other = Log::init_as("localhost/other");
    other.serve(&[]);
    world.consumer.ok(&["policy", "pin", &other.url(), "--yes"]);
    let (code, _, err) = world.consumer.run(&["log", "sync", "--did", &world.did]);
    assert_eq!((code, err.contains("2 logs are pinned")), (2, true), "{err}");
    let out = world.consumer.ok(&["log", "sync", "--all", "--did", &world.did]);
    assert!(
        out.contains("  active as of size 3  kept in `") && out.contains("  not registered as of size 0  "),
        "{out}"
    );
    // Neither stands in for the other.
    let states = world.consumer.home().join(".aip/states");
    let mut files = Vec::new();
    for log in fs::read_dir(&states).expect("states").map(|entry| entry.expect("an entry").path()) {
        if log.is_dir() {
            files.extend(fs::read_dir(log).expect("a folder").map(|entry| entry.expect("an entry").path()));
        }
    }
    assert_eq!(files.len(), 2, "{files:?}");
    let (a, b) = (fs::read(&files[0]).expect("read"), fs::read(&files[1]).expect("read"));
    fs::write(&files[0], b).expect("written");
    fs::write(&files[1], a).expect("written");
    let (code, out, _) = world.verify("app");
    assert_eq!((code, out.contains("does not hold")), (2, true), "{out}");
}
