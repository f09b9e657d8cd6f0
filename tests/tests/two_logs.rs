//! A DID that lives in one log, and signs in another: what a receipt of the other one is worth, and where.

use std::fs;

use serde_json::Value;
use testkit::log::Log;
use testkit::someone::Someone;

/// Two logs, a consumer who pinned both, and a pipeline at home in the first: its root vouches for it there.
struct World {
    home: Log,
    other: Log,
    root: Someone,
    pipeline: Someone,
    consumer: Someone,
}

impl World {
    fn new() -> Self {
        let home = Log::start(&[]);
        let mut other = Log::init_as("localhost/other");
        other.serve(&[]);
        let someone = || {
            let someone = Someone::new();
            for log in [&home, &other] {
                someone.ok(&["policy", "pin", &log.url(), "--yes"]);
            }
            someone
        };
        let (root, pipeline, consumer) = (someone(), someone(), someone());
        root.ok(&["init", "--capabilities", "vouches", "--register", "--log", &home.url()]);
        pipeline.ok(&["init", "--register", "--log", &home.url()]);
        root.ok(&["vouch", &pipeline.did(), "--log", &home.url()]);
        Self { home, other, root, pipeline, consumer }
    }

    /// The pipeline signs something in a log, and the consumer has it.
    fn release(&self, name: &str, log: &Log) {
        self.pipeline.write(name, &format!("the bytes of {name}"));
        self.pipeline.ok(&["sign", name, "--log", &log.url()]);
        for name in [name.to_owned(), format!("{name}.receipt.json")] {
            fs::copy(self.pipeline.work().join(&name), self.consumer.work().join(&name)).expect("a copy");
        }
    }

    /// A gate by the state of one of the logs: the exit code, what it printed, and its words.
    fn gate(&self, name: &str, log: &Log, threshold: &str) -> (i32, Value, String) {
        let (did, root, url) = (self.pipeline.did(), self.root.did(), log.url());
        let gate = ["gate", name, "--did", &did, "--root", &root, "--threshold", threshold, "--log", &url];
        let (code, out, err) = self.consumer.run(&[&gate[..], &["--json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_default(), err)
    }

    #[track_caller]
    fn expect(&self, name: &str, log: &Log, code: i32, standing: &str, artifact: &str) {
        let (got, gate, err) = self.gate(name, log, "0.5");
        let verdict = &gate["trust"]["verdict"];
        assert_eq!(
            (got, verdict["standing"].as_str(), gate["artifacts"][0]["verdict"].as_str()),
            (code, Some(standing), Some(artifact)),
            "{gate}{err}"
        );
        assert_eq!(gate["passes"], code == 0, "{gate}");
        let why = gate["artifacts"][0]["why"].as_str().unwrap_or_default();
        assert_eq!(why.contains("later-state"), artifact != "verified", "{gate}");
    }

    /// `verify --signer`, which asks no log: what the receipt alone says of its signer.
    fn signer_state(&self, name: &str) -> String {
        let json = self.consumer.json(&["verify", name, "--signer", &self.pipeline.did()]);
        let checks = json["results"][0]["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["id"] == "signer-state").expect("it was made");
        assert_eq!(check["result"], "passed", "{check}");
        check["detail"].as_str().expect("words").to_owned()
    }
}

#[test]
fn a_receipt_of_another_log_is_judged_by_the_state_at_home() {
    let mut world = World::new();
    world.release("at-home", &world.home);
    world.release("elsewhere", &world.other);
    let did = world.pipeline.did();
    // Alone: the other log has no event of the DID, and it is said what that leaves.
    assert!(!world.signer_state("at-home").contains("assumed"));
    assert!(world.signer_state("elsewhere").contains("genesis key assumed"));
    let verify = ["verify", "elsewhere", "--signer", &did, "-v"];
    let out = world.consumer.ok(&verify);
    assert!(out.contains("genesis key assumed") && out.contains("no gate"), "{out}");

    // By the state at home: the key is the current one there, wherever it signed.
    world.expect("at-home", &world.home, 0, "active", "verified");
    world.expect("elsewhere", &world.home, 0, "active", "verified");
    // The other log has no inception of it: whatever the threshold, and whosever the receipt is. It says nothing of
    // what was signed at home.
    world.expect("elsewhere", &world.other, 1, "unregistered", "verified");
    world.expect("at-home", &world.other, 1, "unregistered", "could-not-check");
    assert_eq!(world.gate("elsewhere", &world.other, "0").0, 1);
    // Only the state of home opens a gate for it, and nobody can tell without.
    world.home.stop();
    let (root, url) = (world.root.did(), world.home.url());
    let gate = ["gate", "elsewhere", "--did", &did, "--root", &root, "--threshold", "0", "--log", &url];
    let (code, out, err) = world.consumer.run(&[&gate[..], &["--timeout", "1s"]].concat());
    assert_eq!((code, out.contains("PASS"), err.contains("error:")), (2, false, true), "{out}{err}");
    world.home.serve(&[]);

    // The key is changed at home, and two logs have no order: nobody can tell whether it signed there before or after.
    let by_state = |code: i32| {
        let export = ["state", "export", "--did", &did, "--out", "state.json", "--log", &url];
        world.consumer.ok(&export);
        let (got, out, err) = world.consumer.run(&[&verify[..], &["--state", "state.json"]].concat());
        assert_eq!((got, out.contains("later-state")), (code, true), "{out}{err}");
    };
    by_state(0);
    world.pipeline.ok(&["rotate-key", "--log", &world.home.url()]);
    world.expect("at-home", &world.home, 0, "active", "verified");
    world.expect("elsewhere", &world.home, 2, "active", "could-not-check");
    assert!(world.signer_state("elsewhere").contains("genesis key assumed"), "the receipt does not know");
    by_state(2);
    // A theft that home knows of is no doubt.
    world.pipeline.ok(&["report-compromise", "--since", "4", "--log", &world.home.url()]);
    world.expect("elsewhere", &world.home, 1, "compromised", "failed");
}
