//! Which files a gate looks at is not the choice of whoever is judged; and what `confirm` is about.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use testkit::log::Log;
use testkit::someone::Someone;

/// A log, a pipeline that a root vouches for, and a consumer who has what it built.
struct World {
    log: Log,
    root: Someone,
    pipeline: Someone,
}

impl World {
    fn new() -> Self {
        let log = Log::start(&[]);
        let root = Someone::at(&log, &["--capabilities", "vouches", "--register", "--log", &log.url()]);
        let pipeline = Someone::at(&log, &["--register", "--log", &log.url()]);
        root.ok(&["vouch", &pipeline.did()]);
        for name in ["app", "lib"] {
            fs::write(pipeline.work().join("dist").join(name), name).expect("written");
        }
        pipeline.ok(&["sign", "dist"]);
        Self { log, root, pipeline }
    }

    /// A new folder with `dist` as it was built, with its receipts.
    fn consumer(&self) -> Someone {
        let consumer = Someone::new();
        consumer.ok(&["policy", "pin", &self.log.url(), "--yes"]);
        for entry in fs::read_dir(self.pipeline.work().join("dist")).expect("a folder") {
            let entry = entry.expect("an entry");
            let to = consumer.work().join("dist").join(entry.file_name());
            fs::copy(entry.path(), to).expect("a copy");
        }
        consumer
    }

    /// A gate on these artifacts: the exit code and what it printed.
    fn gate(&self, consumer: &Someone, artifacts: &[&str]) -> (i32, Value) {
        let (did, root) = (self.pipeline.did(), self.root.did());
        let gate = ["gate", "--did", &did, "--root", &root, "--threshold", "0.5", "--json"];
        let (code, out, err) = consumer.run(&[&gate[..], artifacts].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    }
}

/// Of each artifact its name and verdict.
fn verdicts(gate: &Value) -> Vec<(&str, &str)> {
    let artifacts = gate["artifacts"].as_array().expect("an array").iter();
    artifacts
        .map(|one| (one["artifact"].as_str().expect("text"), one["verdict"].as_str().expect("text")))
        .collect()
}

#[test]
fn a_gate_looks_at_all_that_is_named_and_says_what_it_left() {
    let world = World::new();
    let consumer = world.consumer();
    let write = |consumer: &Someone, name: &str, content: &str| {
        let path = consumer.work().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    };
    for argument in ["dist", "dist/*", "dist/**"] {
        let (code, gate) = world.gate(&consumer, &[argument]);
        assert_eq!((code, gate["artifacts"].as_array().map(Vec::len)), (0, Some(2)), "{gate:#}");
        let counts = json!({"passedOver": 2, "excluded": 0, "hidden": 0, "internal": 0});
        assert_eq!(gate["selection"], counts);
    }

    // A good file that is called like the pattern, beside an altered one.
    for planted in ["dist/*", "dist/**"] {
        let consumer = world.consumer();
        fs::copy(consumer.work().join("dist/lib"), consumer.work().join(planted)).expect("a copy");
        let receipt = format!("{planted}.receipt.json");
        fs::copy(consumer.work().join("dist/lib.receipt.json"), consumer.work().join(receipt))
            .expect("a copy");
        // It has another name than the one that it was signed under.
        assert_eq!(world.gate(&consumer, &[planted]).0, 1);
        assert_eq!(world.gate(&consumer, &[planted, "--any-name"]).0, 0);
        write(&consumer, "dist/app", "altered");
        let (code, gate) = world.gate(&consumer, &[planted, "--any-name"]);
        assert_eq!((code, gate["passes"].as_bool()), (1, Some(false)), "{planted}: {gate:#}");
        assert!(verdicts(&gate).contains(&("dist/app", "failed")), "{gate:#}");
    }

    // Unsigned files under names of ours.
    for planted in ["dist/run.receipt.json", "dist/x.tlog-proof", "dist/.aip/evil.js", "dist/.git/x"] {
        let consumer = world.consumer();
        write(&consumer, planted, "evil");
        let (code, gate) = world.gate(&consumer, &["dist"]);
        assert_eq!(code, 2, "{planted}: {gate:#}");
        assert!(verdicts(&gate).contains(&(planted, "could-not-check")), "{gate:#}");
        if planted.contains("/.") {
            assert!(gate["hint"].as_str().is_some_and(|hint| hint.contains("--exclude .")), "{gate:#}");
        }
    }
    let consumer = world.consumer();
    write(&consumer, "dist/.git/config", "");
    write(&consumer, "dist/app.map", "");
    let (code, gate) = world.gate(&consumer, &["dist", "--exclude", ".git", "--exclude", "*.map"]);
    assert_eq!((code, &gate["selection"]["excluded"]), (0, &json!(2)), "{gate:#}");
    // What is left of nothing passes nothing.
    assert_eq!(world.gate(&consumer, &["dist", "--exclude", "**"]).0, 2);

    // A link to an altered folder.
    let consumer = world.consumer();
    write(&consumer, "evil/lib", "altered");
    symlink("../evil", consumer.work().join("dist/plugins")).expect("a link");
    for argument in ["dist", "dist/*", "dist/**"] {
        let (code, gate) = world.gate(&consumer, &[argument]);
        assert_eq!(code, 2, "{argument}: {gate:#}");
        assert!(verdicts(&gate).contains(&("dist/plugins", "could-not-check")), "{gate:#}");
    }
}

/// Whoever hosts receipts chooses which one lies beside an artifact. A pipeline says of bytes that it did not build, and signs,
/// that they are bad.
#[test]
fn a_gate_takes_no_other_statement_for_provenance() {
    let world = World::new();
    fs::write(world.pipeline.work().join("found"), "malware").expect("written");
    world.pipeline.write("scan.json", r#"{"result": "malware"}"#);
    let scan = ["sign", "found", "--predicate-type", "vulns", "--predicate", "scan.json"];
    world.pipeline.ok(&scan);
    let consumer = world.consumer();
    let from = world.pipeline.work();
    fs::copy(from.join("found"), consumer.work().join("dist/found")).expect("a copy");
    let receipt = from.join("found.vulns.receipt.json");
    fs::copy(receipt, consumer.work().join("dist/found.receipt.json")).expect("a copy");
    let (code, gate) = world.gate(&consumer, &["dist"]);
    assert_eq!(code, 1, "{gate:#}");
    assert_eq!(
        verdicts(&gate),
        [("dist/app", "verified"), ("dist/found", "failed"), ("dist/lib", "verified")]
    );
    assert_eq!(world.gate(&consumer, &["dist/found", "--predicate-type", "vulns"]).0, 0);
    assert_eq!(world.gate(&consumer, &["dist/app", "--predicate-type", "vulns"]).0, 1);
}

#[test]
fn confirm_is_about_one_artifact_whatever_else_matches() {
    let world = World::new();
    let other = Someone::at(&world.log, &["--register", "--log", &world.log.url()]);
    fs::write(other.work().join("dist/app"), "app").expect("written");
    other.ok(&["sign", "dist"]);
    fs::write(other.work().join("dist/app.map"), "a map").expect("written");
    let did = world.pipeline.did();
    let confirm = ["confirm", "dist/app*", "--did", &did];
    let (code, _, err) = other.run(&confirm);
    assert_eq!((code, err.contains("names 2 artifacts")), (2, true), "{err}");
    let confirmed = other.json(&[&confirm[..], &["--exclude", "*.map"]].concat());
    let counts = json!({"passedOver": 1, "excluded": 1, "hidden": 0, "internal": 0});
    assert_eq!((&confirmed["event"], &confirmed["selection"]), (&json!("confirmation"), &counts));
    // A file that is called like the pattern does not stand in for what it matches.
    fs::copy(other.work().join("dist/app"), other.work().join("dist/app*")).expect("a copy");
    let (code, _, err) = other.run(&[&confirm[..], &["--exclude", "*.map"]].concat());
    assert_eq!((code, err.contains("names 2 artifacts")), (2, true), "{err}");
}
