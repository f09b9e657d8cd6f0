//! A log that lies in what it asserts of its lists: believed by whoever takes its word, found out by whoever reads all
//! of it, and convicted by one file.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use testkit::liar::{Liar, evidence_without};
use testkit::log::Log;
use testkit::someone::Someone;
use testkit::witness::Witness;

/// An organisation vouches for a pipeline, and takes it back or warns of it: the log has it, and does not say so.
struct Scene {
    log: Log,
    liar: Liar,
    _witness: Witness,
    org: Someone,
    consumer: Someone,
    did: String,
}

impl Scene {
    fn new() -> Self {
        let mut log = Log::init();
        let witness = Witness::start("w", &["ed25519"], &log.vkey);
        log.ask(&witness.policy, "w");
        log.serve(&["--publish-interval", "0s", "--witness-timeout", "2s", "--deadline", "8s"]);
        let liar = Liar::before(&log);
        let at = |url: &str| {
            let someone = Someone::new();
            someone.ok(&["policy", "pin", url, "--yes"]);
            someone
        };
        let (org, pipeline, consumer) = (at(&log.url()), at(&log.url()), at(&liar.url));
        org.ok(&["init", "--capabilities", "vouches", "--register"]);
        pipeline.ok(&["init", "--register"]);
        let did = pipeline.did();
        org.ok(&["vouch", &did, "--scope", "CODE_SIGNING"]);
        Self { log, liar, _witness: witness, org, consumer, did }
    }

    fn gate(&self, more: &[&str]) -> (i32, String) {
        let root = self.org.did();
        let ask = ["gate", "--did", &self.did, "--root", &root, "--threshold", "0.5"];
        let (code, out, err) = self.consumer.run(&[&ask[..], more].concat());
        (code, format!("{out}{err}"))
    }

    #[track_caller]
    fn expect(&self, more: &[&str], code: i32, says: &[&str]) {
        let (got, said) = self.gate(more);
        assert_eq!(got, code, "{said}");
        says.iter().for_each(|what| assert!(said.contains(what), "{what}\n{said}"));
    }

    fn findings(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.consumer.home().join(".aip/findings"));
        folder.map_or(Vec::new(), |folder| folder.map(|entry| entry.expect("an entry").path()).collect())
    }
}

/// A log that hides a revocation opens a gate that takes the log's word. Its signed word then convicts it.
#[test]
fn a_log_that_keeps_a_revocation_back_opens_a_gate_on_its_word_and_convicts_itself() {
    for (says, cause) in [("revoke", "no path of vouches"), ("distrust", "distrusts it")] {
        let scene = Scene::new();
        scene.expect(&[], 0, &["PASS", "log-asserted"]);
        scene.org.ok(&[says, &scene.did, "--scope", "CODE_SIGNING"]);
        scene.expect(&[], 1, &["STOP", cause]);
        // Inceptions, the vouch, and what speaks against it.
        let kept_back = 3;
        scene.liar.tell(&evidence_without(&scene.log, &[kept_back]));
        scene.expect(&["--evidence-out", "lie.json"], 0, &["PASS", "0.8000", "log-asserted"]);
        scene.expect(&["--require", "complete"], 2, &["--sync"]);
        scene.expect(&["--evidence", "lie.json"], 0, &["PASS", "log-asserted"]);
        assert!(scene.findings().is_empty());
        // Whoever reads the log does not ask for its word.
        scene.expect(&["--sync", "--require", "complete"], 1, &["STOP", cause]);
        assert!(scene.findings().is_empty());
        // And with its word at hand, it is convicted.
        let names = ["asserted what its entries contradict", "lacks entry 3", "inspect --finding"];
        scene.expect(&["--sync", "--evidence", "lie.json"], 1, &names);
        let findings = scene.findings();
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        confirms(&scene, finding);
        // What was true stays so: the same question to the honest log.
        scene.expect(&["--sync", "--evidence", "lie.json", "--log", &scene.log.url()], 1, &names);
        assert_eq!(scene.findings(), findings, "the same finding");
    }
}

/// Anybody confirms it, with the log gone.
fn confirms(scene: &Scene, finding: &std::path::Path) {
    let name = finding.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with("false-assertion-"), "{name}");
    let anybody = Someone::new();
    fs::copy(finding, anybody.work().join("finding.json")).expect("a copy");
    let vkey = scene.log.vkey.to_string();
    let inspect = ["inspect", "--finding", "finding.json", "--vkey", &vkey];
    let out = anybody.ok(&inspect);
    for what in
        ["false-assertion by the log `localhost/log`", "entries, and leaf 3 of that tree", "confirmed"]
    {
        assert!(out.contains(what), "{what}\n{out}");
    }
    let mut altered: Value = serde_json::from_slice(&fs::read(finding).expect("read")).expect("JSON");
    altered["evidence"]["leaf"]["index"] = 2.into();
    anybody.write("finding.json", &altered.to_string());
    let (code, out, err) = anybody.run(&inspect);
    assert_eq!((code, out.contains("NOT CONFIRMED")), (1, true), "{out}{err}");
}

/// What the log said truthfully is held against its entries, and stands, also once the log has grown.
#[test]
fn the_word_of_an_honest_log_is_found_to_be_true() {
    let scene = Scene::new();
    scene.expect(&["--evidence-out", "true.json"], 0, &["PASS"]);
    let same = "what the log asserted in the evidence is what its entries say";
    scene.expect(&["--sync", "--evidence", "true.json"], 0, &["PASS", same]);
    scene.org.ok(&["revoke", &scene.did, "--scope", "CODE_SIGNING"]);
    scene.expect(&["--sync", "--evidence", "true.json"], 1, &["STOP", "no path of vouches", same]);
    assert!(scene.findings().is_empty());
    scene.expect(&["--evidence", "true.json", "--log", &scene.log.url()], 2, &["--evidence asks no log"]);
    // Another log's evidence is held against nothing.
    let other = Scene::new();
    let evidence = other.consumer.work().join("other.json");
    other.expect(&["--evidence-out", "other.json"], 0, &["PASS"]);
    fs::copy(evidence, scene.consumer.work().join("other.json")).expect("a copy");
    scene.expect(&["--sync", "--evidence", "other.json"], 1, &["does not hold"]);
}
