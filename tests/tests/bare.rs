//! A DID that never logged an inception signs and verifies: each command that shows its receipts says what it lacks, and
//! none says so of a registered one.

use std::fs;

use serde_json::Value;
use testkit::log::Log;
use testkit::someone::{Someone, outcome};

const LACKS: &str = "no gate";

#[test]
fn every_command_says_what_a_bare_did_lacks() {
    let log = Log::start(&[]);
    let (owner, pipeline, consumer) = (Someone::new(), Someone::new(), Someone::new());
    for someone in [&owner, &pipeline, &consumer] {
        someone.ok(&["policy", "pin", &log.url(), "--yes"]);
    }
    owner.ok(&["init"]);
    let (did, key) = (owner.did(), owner.ok(&["key", "export"]).trim().to_owned());
    // Where only the key is, nobody can register.
    pipeline.write("app", "an app");
    let in_pipeline = |arguments: &[&str]| {
        let mut aip = pipeline.aip(arguments);
        aip.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", &key);
        outcome(aip.output().expect("aip runs"))
    };
    consumer.write("app", "an app");
    for registered in [false, true] {
        let first = if registered { "submit" } else { "sign" };
        for command in [first, "submit"] {
            let (code, out, err) = in_pipeline(&[command, "app"]);
            assert_eq!((code, err.contains(LACKS)), (0, !registered), "{command}: {out}{err}");
        }
        let _ = fs::remove_file(consumer.work().join("app.receipt.json"));
        let (code, _, err) = consumer.run(&["fetch", "app"]);
        assert_eq!((code, err.contains(LACKS)), (0, !registered), "{err}");
        let out = consumer.ok(&["verify", "app", "--signer", &did]);
        assert_eq!(out.contains(LACKS), !registered, "{out}");
        let json = consumer.ok(&["verify", "app", "--signer", &did, "--json"]);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["results"][0]["verified"]["registered"], registered);
        let out = consumer.ok(&["inspect", "app.receipt.json"]);
        assert_eq!(out.contains(LACKS), !registered, "{out}");
        if !registered {
            // The old receipt does not know; a state of now does.
            owner.ok(&["init", "--register"]);
            consumer.ok(&["state", "export", "--did", &did, "--out", "state.json"]);
            let out = consumer.ok(&["verify", "app", "--signer", &did, "--state", "state.json"]);
            assert!(!out.contains(LACKS), "{out}");
        }
    }
}
