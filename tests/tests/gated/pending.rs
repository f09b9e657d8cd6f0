//! After a rotation or a recovery the DID is no longer the hash of the key: where no log answers, the step signs, says so,
//! and whoever submits gets the log's judgement.

use testkit::log::Log;
use testkit::someone::outcome;

use crate::runner::Run;
use crate::world::{Secrets, World, checkout, secrets, step, step_in_job};

const OPEN: &str = "the log will judge whether this key is the DID's";

/// The owner of the DID with a later key, and a thief with one that the owner took the DID back from.
fn keys(log: &Log) -> (Secrets, Secrets) {
    let mut owner = secrets(log, &[]);
    let key = |owner: &Secrets| owner.owner.ok(&["key", "export"]).trim().to_owned();
    // The inception is entry 0, the rotation entry 1.
    owner.owner.ok(&["rotate-key"]);
    let stolen = key(&owner);
    let recovery = owner.owner.recovery_file();
    owner.owner.ok(&["recover", "--since", "2", "--recovery", recovery.to_str().expect("UTF-8")]);
    owner.key = key(&owner);
    let thief = Secrets { owner: testkit::someone::Someone::new(), did: owner.did.clone(), key: stolen };
    (owner, thief)
}

/// `aip submit` in a later job, with the same secrets.
fn submit(world: &World, secrets: &Secrets, log: &Log) -> (i32, String, String) {
    let url = log.url();
    let mut submit = world.0.aip(&["submit", "aip-receipts", "--log", &url]);
    submit.env("AIP_DID", &secrets.did).env("AIP_PRIVATE_KEY", &secrets.key);
    outcome(submit.output().expect("aip runs"))
}

#[track_caller]
fn expect_pending(run: &Run) {
    run.expect(true, &["::warning title=aip-attest::", OPEN]);
    assert_eq!((run.outputs["signed"].as_str(), run.outputs["pending"].as_str()), ("1", "1"), "{run:#?}");
    assert!(run.summary.contains("The log will judge"), "{}", run.summary);
}

/// The owner's receipt is logged and verifies; the thief's never is.
#[track_caller]
fn expect_judged(world: &World, secrets: &Secrets, log: &Log, is_owner: bool) {
    let (code, out, err) = submit(world, secrets, log);
    assert_eq!(code == 0, is_owner, "{out}{err}");
    let verify =
        ["verify", "dist", "--receipts", "aip-receipts", "--policy", "policy", "--signer", &secrets.did];
    world.file("policy", &log.bytes("/policy"));
    let (code, out, err) = world.0.run(&verify);
    assert_eq!(code, if is_owner { 0 } else { 2 }, "{out}{err}");
}

#[test]
fn where_no_log_is_named_a_later_key_signs_and_submit_judges() {
    let log = Log::start(&[]);
    let (owner, thief) = keys(&log);
    for (secrets, is_owner) in [(&owner, true), (&thief, false)] {
        let world = checkout(&log);
        std::fs::remove_dir_all(world.path(".aip")).expect("removed");
        let run = step(&world, secrets, &[("sign-paths", "dist")]);
        run.expect(true, &["no log is known"]);
        expect_pending(&run);
        expect_judged(&world, secrets, &log, is_owner);
        // Whoever asks for a log wants its word now.
        std::fs::remove_dir_all(world.path("aip-receipts")).expect("removed");
        let run = step(&world, secrets, &[("sign-paths", "dist"), ("require-log", "true")]);
        run.expect(false, &["AIP_DID is not the DID of its key"]);
        assert!(!world.path("aip-receipts").exists(), "nothing is signed");
    }
}

/// The log is down: by its policy its name is known, by its address it is not. Both wait for it.
#[test]
fn a_log_that_does_not_answer_defers_the_judgement_of_a_later_key() {
    let mut log = Log::start(&[]);
    let (owner, thief) = keys(&log);
    let url = log.url();
    let policy = log.bytes("/policy");
    let defer = [("sign-paths", "dist"), ("on-log-failure", "defer")];
    for (secrets, is_owner) in [(&owner, true), (&thief, false)] {
        for named_by in ["policy", "log-url"] {
            let world = checkout(&log);
            if named_by == "log-url" {
                std::fs::remove_dir_all(world.path(".aip")).expect("removed");
            }
            let with = |more: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> {
                let by_url = (named_by == "log-url").then_some(("log-url", url.as_str()));
                by_url.into_iter().chain(more.iter().copied()).collect()
            };
            let step = |with: &[(&str, &str)]| step_in_job(&world, secrets, with, &[("AIP_TIMEOUT", "1s")]);
            log.kill();
            step(&with(&defer[..1])).expect(false, &["::error "]);
            step(&with(&[defer[0], defer[1], ("require-log", "true")])).expect(false, &["::error "]);
            assert!(!world.path("aip-receipts").exists(), "nothing is signed");
            expect_pending(&step(&with(&defer)));
            log.serve(&[]);
            assert_eq!(log.bytes("/policy"), policy);
            expect_judged(&world, secrets, &log, is_owner);
        }
        // A log that answers judges at once, deferred or not.
        let world = checkout(&log);
        let run = step(&world, secrets, &defer);
        let why: &[&str] = if is_owner { &[] } else { &["is not the current key"] };
        run.expect(is_owner, why);
        assert!(!run.printed.contains(OPEN), "{run:#?}");
    }
}

/// Whoever may write into the folder of receipts puts a log's answer into one that the key did sign.
#[test]
fn a_log_answer_that_lies_there_and_does_not_hold_is_not_counted() {
    let mut log = Log::start(&[]);
    let owner = secrets(&log, &[]);
    let world = checkout(&log);
    let defer = [("sign-paths", "dist"), ("on-log-failure", "defer")];
    let sign = || {
        let run = step(&world, &owner, &defer);
        run.expect(true, &[]);
        (run.outputs["pending"].clone(), run.outputs["signatures"].contains(r#""state":"logged""#))
    };
    assert_eq!(sign(), ("0".to_owned(), true));
    log.stop();
    assert_eq!(sign(), ("0".to_owned(), true), "it holds, and is logged, whoever answers now");
    let file = std::fs::read_dir(world.path("aip-receipts/dist")).expect("a folder").next();
    let file = file.expect("a receipt").expect("an entry").path();
    let mut receipt: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a receipt")).expect("JSON");
    let proof = receipt["proof"].as_str().expect("a proof");
    // In the last signature of the checkpoint.
    let at = proof.len() - 10;
    let other = if &proof[at..=at] == "A" { "B" } else { "A" };
    receipt["proof"] = format!("{}{other}{}", &proof[..at], &proof[at + 1..]).into();
    std::fs::write(&file, receipt.to_string()).expect("written");
    assert_eq!(sign(), ("1".to_owned(), false));
    // No policy says who the log is.
    std::fs::remove_dir_all(world.path(".aip")).expect("removed");
    assert_eq!(sign(), ("1".to_owned(), false));
}
