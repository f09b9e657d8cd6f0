//! What a checkout may say to commands that change what a key counts for: a log of the home's name, with another key, that
//! has the owner's inception too, and would answer "done".

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::log::{Log, copy_folder};
use testkit::someone::{Someone, outcome};
use tlog::key::{KeyName, KeyType, SignerKey, VerifierKey};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

/// Takes members from a key file.
fn forget(path: &Path, members: &[&str]) {
    let mut json = file(path);
    members.iter().for_each(|member| drop(json.as_object_mut().expect("an object").remove(*member)));
    fs::write(path, json.to_string()).expect("written");
}

/// The home, a log that has its name, and an owner who is registered in both: inceptions are public, so that whoever
/// serves the other one hands it in there.
struct World {
    home: Log,
    fake: Log,
    owner: Someone,
}

impl World {
    /// With an owner who is registered as `init` says, and remembers no more of the log than the keys do.
    fn new(init: &[&str]) -> Self {
        let (home, fake) = (Log::start(&[]), Log::start(&[]));
        let owner = Someone::new();
        owner.ok(&[&["init", "--register", "--log", &home.url()], init].concat());
        let thief = Someone::new();
        copy_folder(&owner.home().join(".aip"), &thief.home().join(".aip"));
        forget(&thief.next_file(), &["recoveryFile"]);
        thief.ok(&["init", "--register", "--log", &fake.url(), "--accept-log"]);
        Self { home, fake, owner }
    }

    /// The working folder becomes a checkout with this policy.
    fn check_out(&self, policy: &str) {
        fs::create_dir_all(self.owner.work().join(".aip")).expect("a folder");
        self.owner.write(".aip/policy", policy);
    }

    fn policy_of(log: &Log, quorum: &str) -> String {
        format!("log {} {}\n{quorum}\n", log.vkey, log.url())
    }

    /// As an identity of a release that kept nothing: no file says which log it was.
    fn forget(&self) {
        forget(&self.owner.next_file(), &["logs", "recoveryFile"]);
        forget(&self.owner.recovery_file(), &["logs"]);
    }

    fn key_commands(&self) -> Vec<Vec<String>> {
        let recovery = text(&self.owner.recovery_file()).to_owned();
        let words = |line: &str| line.split(' ').map(|word| word.replace("FILE", &recovery)).collect();
        [
            "rotate-key",
            "recover --recovery FILE --since 1",
            "report-compromise --since 1",
            "report-compromise --since 1 --recovery FILE",
            "deactivate --yes",
            "deactivate --yes --recovery FILE",
            "revoke did:aip:56475aa75463474c0285df5dbf2bcab7",
            "distrust did:aip:56475aa75463474c0285df5dbf2bcab7",
        ]
        .map(words)
        .into()
    }

    /// Every key command ends with exit code 2, says this, and has changed nothing anywhere.
    #[track_caller]
    fn refused(&self, says: &[&str]) {
        let files = || {
            let next = fs::read(self.owner.next_file()).expect("there");
            (
                next,
                self.owner.recovery_file(),
                fs::read(self.owner.home().join(".aip/credentials.json")).expect("there"),
            )
        };
        let before = files();
        for command in self.key_commands() {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let (code, out, err) = self.owner.run(&words);
            assert_eq!((code, out.as_str()), (2, ""), "{command:?}: {err}");
            says.iter().for_each(|what| assert!(err.contains(what), "{command:?}: {what}\n{err}"));
            assert_eq!(files(), before, "{command:?}");
        }
        assert_eq!((self.events(&self.home), self.events(&self.fake)), (1, 1));
    }

    /// How many events of the owner a log has.
    fn events(&self, log: &Log) -> usize {
        let someone = Someone::new();
        let home = self.owner.home();
        copy_folder(&home.join(".aip"), &someone.home().join(".aip"));
        let _ = fs::remove_dir_all(someone.home().join(".aip/pins"));
        let (_, out, err) = someone.run(&["whoami", "--log", &log.url(), "--json"]);
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{err}"));
        json["state"]["events"].as_array().expect("events").len()
    }
}

#[test]
fn key_commands_refuse_another_key_in_the_checkout() {
    let world = World::new(&["--capabilities", "receipts,vouches"]);
    world.check_out(&World::policy_of(&world.fake, "quorum none"));
    let (kept, other) = (world.home.vkey.to_string(), world.fake.vkey.to_string());
    world.refused(&["has another key for the log `localhost/log`", &kept, &other, "--accept-log"]);
    // One key too many is another one too.
    let both = format!("log {}\n{}", world.fake.vkey, World::policy_of(&world.home, "quorum none"));
    world.check_out(&both);
    world.refused(&["has another key for the log `localhost/log`"]);
    // Signing there stays possible, and says so.
    world.check_out(&World::policy_of(&world.fake, "quorum none"));
    world.owner.write("app", "an app");
    let (code, _, err) = world.owner.run(&["sign", "app"]);
    assert_eq!((code, err.contains("is not the log `localhost/log` that")), (0, true), "{err}");
    let (code, _, err) = world.owner.run(&["submit", "app"]);
    assert_eq!((code, err.contains("is not the log `localhost/log` that")), (0, true), "{err}");
    // A checkout that says nothing of the home is not asked: the home is known.
    let name = KeyName::new("example.com/other").expect("a name");
    let renamed = VerifierKey::new(name, world.fake.vkey.key().clone());
    world.check_out(&format!("log {renamed} {}\nquorum none\n", world.fake.url()));
    let (code, out, err) = world.owner.run(&["rotate-key"]);
    let which = format!("the log is {kept} at {}", world.home.url());
    assert_eq!((code, err.contains(&which)), (0, true), "{out}{err}");
    assert_eq!((world.events(&world.home), world.events(&world.fake)), (2, 1));
}

#[test]
fn key_commands_refuse_a_weaker_policy_in_the_checkout() {
    let world = World::new(&["--capabilities", "receipts,vouches"]);
    // What the owner keeps asks for a witness.
    let name = KeyName::new("witness.example.com").expect("a name");
    let witness = SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[7; 32]);
    let strong = format!("witness w {}\nquorum w", witness.verifier());
    for path in [world.owner.next_file(), world.owner.recovery_file()] {
        let mut json = file(&path);
        json["logs"][0]["policy"] = World::policy_of(&world.home, &strong).into();
        fs::write(&path, json.to_string()).expect("written");
    }
    world.check_out(&World::policy_of(&world.home, "quorum none"));
    world.refused(&["is weaker than the one that is known", "it is met by 0 cosignatures", "--accept-log"]);
    // By the owner's own word it is accepted, and kept from then on.
    let accepted = ["rotate-key", "--log", &world.home.url(), "--policy", ".aip/policy"];
    assert_eq!(world.owner.run(&accepted).0, 2);
    world.owner.ok(&[&accepted[..], &["--accept-log"]].concat());
    world.owner.ok(&["rotate-key"]);
}

#[test]
fn a_checkout_alone_names_no_log_to_a_key_command() {
    let world = World::new(&["--capabilities", "receipts,vouches"]);
    world.forget();
    for (log, quorum) in [(&world.fake, "quorum none"), (&world.home, "quorum none")] {
        world.check_out(&World::policy_of(log, quorum));
        world.refused(&[
            "only a checkout says which log `localhost/log` is",
            "`aip policy pin URL`",
            "--log URL",
        ]);
    }
    // What the owner names does, and a checkout that contradicts it is refused.
    let (owner, url) = (&world.owner, world.home.url());
    world.check_out(&World::policy_of(&world.fake, "quorum none"));
    let (code, _, err) = owner.run(&["rotate-key", "--log", &url]);
    assert_eq!((code, err.contains("has another key for the log")), (2, true), "{err}");
    world.check_out(&World::policy_of(&world.home, "quorum none"));
    for named in [&["--log", &url][..], &["--policy", ".aip/policy"]] {
        owner.ok(&[&["rotate-key"], named].concat());
        world.forget();
    }
    let mut rotate = owner.aip(&["rotate-key"]);
    let (code, _, err) = outcome(rotate.env("AIP_LOG_URL", &url).output().expect("aip runs"));
    assert_eq!(code, 0, "{err}");
    world.forget();
    // A checkout does not say which log is at the owner's address either.
    let name = KeyName::new("example.com/other").expect("a name");
    let renamed = VerifierKey::new(name, world.fake.vkey.key().clone());
    world.check_out(&format!("log {renamed} {url}\nquorum none\n"));
    let (code, _, err) = owner.run(&["rotate-key", "--log", &url]);
    assert_eq!((code, err.contains("does not say that it is `example.com/other`")), (2, true), "{err}");
    world.check_out(&World::policy_of(&world.home, "quorum none"));
    // The hint's command keeps it: then the checkout is held against it.
    owner.ok(&["init", "--register", "--log", &url]);
    assert_eq!(file(&owner.next_file())["logs"][0]["vkey"], world.home.vkey.to_string());
    owner.ok(&["rotate-key"]);
    world.forget();
    owner.ok(&["policy", "pin", &url, "--yes"]);
    owner.ok(&["rotate-key"]);
    world.check_out(&World::policy_of(&world.fake, "quorum none"));
    assert_eq!(owner.run(&["rotate-key"]).0, 2);
    assert_eq!(world.events(&world.fake), 1);
}

/// The key of a CI has no file beside it: a pin counts, then what is named.
#[test]
fn a_key_of_the_environment_revokes_where_its_owner_says() {
    let log = Log::start(&[]);
    let owner = Someone::at(&log, &["--capabilities", "vouches", "--register", "--log", &log.url()]);
    let (did, key) = (owner.did(), owner.ok(&["key", "export"]));
    let other = Someone::at(&log, &["--register", "--log", &log.url()]).did();
    let ci = Someone::new();
    fs::create_dir_all(ci.work().join(".aip")).expect("a folder");
    ci.write(".aip/policy", &World::policy_of(&log, "quorum none"));
    let run = |arguments: &[&str]| {
        let mut aip = ci.aip(arguments);
        outcome(aip.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", key.trim()).output().expect("aip runs"))
    };
    for pinned in [false, true] {
        let (code, _, err) = run(&["vouch", &other]);
        assert_eq!(code, 0, "{err}");
        let revoke = ["revoke", &other];
        let (code, _, err) = run(&revoke);
        assert_eq!(
            (code, err.contains("only a checkout says")),
            if pinned { (0, false) } else { (2, true) },
            "{err}"
        );
        if !pinned {
            assert_eq!(run(&[&revoke[..], &["--log", &log.url()]].concat()).0, 0);
            ci.ok(&["policy", "pin", &log.url(), "--yes"]);
        }
    }
}

/// On a machine that knows nothing, the recovery key's file says which log it is.
#[test]
fn a_recovery_file_knows_its_log() {
    let world = World::new(&[]);
    let keeps = |path: PathBuf| file(&path)["logs"][0]["vkey"].clone();
    assert_eq!(keeps(world.owner.recovery_file()), world.home.vkey.to_string());
    let fresh = Someone::new();
    fs::create_dir_all(fresh.work().join(".aip")).expect("a folder");
    fresh.write(".aip/policy", &World::policy_of(&world.fake, "quorum none"));
    let recovery = world.owner.recovery_file();
    let recover = ["recover", "--recovery", text(&recovery), "--since", "1"];
    let (code, _, err) = fresh.run(&recover);
    assert_eq!((code, err.contains("has another key for the log")), (2, true), "{err}");
    fs::remove_dir_all(fresh.work().join(".aip")).expect("removed");
    let (code, _, err) = fresh.run(&recover);
    let which = format!("the log is {} at {}", world.home.vkey, world.home.url());
    assert_eq!((code, err.contains(&which)), (0, true), "{err}");
    // And so does the next one.
    let next = fresh.recovery_file();
    assert_eq!(keeps(next.clone()), world.home.vkey.to_string());
    Someone::new().ok(&["deactivate", "--yes", "--recovery", text(&next)]);
    // One that was moved away before the DID was registered does not, and that is said.
    let owner = Someone::new();
    owner.ok(&["init"]);
    let (path, moved) = (owner.recovery_file(), owner.folder().join("moved.json"));
    fs::rename(&path, &moved).expect("moved");
    let (code, _, err) = owner.run(&["init", "--register", "--log", &world.home.url()]);
    assert_eq!((code, err.contains("is not in") && err.contains("--log URL")), (0, true), "{err}");
    let (code, _, err) = Someone::new().run(&["recover", "--recovery", text(&moved), "--since", "1"]);
    assert_eq!((code, err.contains("no log is named")), (2, true), "{err}");
    let named = ["recover", "--recovery", text(&moved), "--since", "4", "--log", &world.home.url()];
    Someone::new().ok(&named);
}

/// A first signature in a checkout that lies makes no home for the DID: the next one that goes to the right log registers
/// it there, as if the other had not been.
#[test]
fn a_first_signature_in_a_lying_checkout_registers_nothing() {
    let home = Log::start(&[]);
    let mut elsewhere = Log::init_as("localhost/elsewhere");
    elsewhere.serve(&[]);
    // A log of the home's name, and one of another.
    for lying in [Log::start(&[]), elsewhere] {
        let owner = Someone::new();
        owner.ok(&["init"]);
        let before = file(&owner.next_file());
        fs::create_dir_all(owner.work().join(".aip")).expect("a folder");
        owner.write(".aip/policy", &World::policy_of(&lying, "quorum none"));
        owner.write("sent", "signed without a log, and sent later");
        owner.ok(&["sign", "sent", "--no-log"]);
        owner.write("app", "an app");
        for command in [["sign", "app"], ["submit", "sent"]] {
            let (code, out, err) = owner.run(&command);
            assert_eq!(code, 0, "{out}{err}");
            assert_eq!(err.matches("only the policy .aip/policy (working tree) says").count(), 1, "{err}");
            assert!(err.contains("`aip policy pin URL`"), "{err}");
            assert_eq!(file(&owner.next_file()), before, "{command:?}");
        }
        let (status, state) = lying.json(&format!("/api/v1/dids/{}", owner.did()));
        assert!(status == 404 || state["events"].as_array().is_none_or(Vec::is_empty), "{status} {state}");
        fs::remove_dir_all(owner.work().join(".aip")).expect("removed");
        owner.write("release", "a release");
        let (code, _, err) = owner.run(&["sign", "release", "--log", &home.url()]);
        assert_eq!((code, err.contains("is registered in `localhost/log` now")), (0, true), "{err}");
        assert_eq!(file(&owner.next_file())["logs"][0]["vkey"], home.vkey.to_string());
    }
}

/// In a checkout the log that is pinned, or named, is the owner's word: it is registered there as before.
#[test]
fn a_first_signature_registers_where_the_owner_says() {
    let log = Log::start(&[]);
    for way in ["pin", "--log", "--policy"] {
        let owner = Someone::new();
        owner.ok(&["init"]);
        fs::create_dir_all(owner.work().join(".aip")).expect("a folder");
        owner.write(".aip/policy", &World::policy_of(&log, "quorum none"));
        owner.write("app", "an app");
        let url = log.url();
        let more: &[&str] = match way {
            "pin" => &[],
            "--log" => &["--log", &url],
            _ => &["--policy", ".aip/policy"],
        };
        if way == "pin" {
            owner.ok(&["policy", "pin", &url, "--yes"]);
        }
        let (code, _, err) = owner.run(&[&["sign", "app"], more].concat());
        assert_eq!((code, err.contains("is registered in `localhost/log` now")), (0, true), "{way}: {err}");
    }
}

/// A second log is kept beside the first one. What only a checkout says is kept nowhere.
#[test]
fn also_here_keeps_a_second_log() {
    let log = Log::start(&[]);
    let mut other = Log::init_as("localhost/other");
    other.serve(&[]);
    let owner = Someone::new();
    owner.ok(&["init", "--register", "--log", &log.url()]);
    owner.ok(&["init", "--register", "--log", &other.url(), "--also-here"]);
    for path in [owner.next_file(), owner.recovery_file()] {
        let logs = &file(&path)["logs"];
        let keys = [0, 1].map(|at| logs[at]["vkey"].as_str().expect("a key").to_owned());
        assert_eq!(keys, [log.vkey.to_string(), other.vkey.to_string()], "{logs}");
    }
    owner.write("app", "an app");
    let (_, _, err) = owner.run(&["sign", "app", "--log", &other.url()]);
    assert!(err.contains("is at home in `localhost/log`"), "{err}");
    let (code, _, err) = owner.run(&["rotate-key"]);
    assert_eq!((code, err.contains(&format!("the log is {}", log.vkey))), (0, true), "{err}");
    // Who has no pin is told of the home all the same.
    let out = owner.ok(&["whoami"]);
    assert!(out.contains("Current key: this one"), "{out}");
    // In a second log the DID lives on: every change says so, also once the keys here count there alone.
    let owner = Someone::new();
    owner.ok(&["init", "--register", "--log", &log.url()]);
    owner.ok(&["init", "--register", "--log", &other.url(), "--also-here"]);
    let recovery = owner.recovery_file();
    let moved = ["rotate-key", "--log", &other.url()];
    let report = ["report-compromise", "--since", "2", "--log", &other.url()];
    let ends = ["deactivate", "--yes", "--log", &other.url(), "--recovery", text(&recovery)];
    for command in [&moved[..], &moved, &report, &ends] {
        let (code, out, err) = owner.run(command);
        let warns = err.contains("warning: the DID is registered in `localhost/log` too: there ");
        assert_eq!((code, warns), (0, true), "{command:?}: {out}{err}");
    }
    // Registered by what a checkout says: nothing keeps that.
    let owner = Someone::new();
    fs::create_dir_all(owner.work().join(".aip")).expect("a folder");
    owner.write(".aip/policy", &World::policy_of(&log, "quorum none"));
    let (code, _, err) = owner.run(&["init", "--register"]);
    assert_eq!((code, err.contains("nothing keeps that")), (0, true), "{err}");
    assert!(file(&owner.next_file())["logs"].is_null() && file(&owner.recovery_file())["logs"].is_null());
    let (code, _, err) = owner.run(&["rotate-key"]);
    assert_eq!((code, err.contains("only a checkout says")), (2, true), "{err}");
}
