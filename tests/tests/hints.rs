//! What is refused at the command line names what is wrong, and the next step that helps.

use std::fs;
use std::process::Command;

use testkit::log::Log;
use testkit::someone::{Someone, outcome};

const DID: &str = "did:aip:56475aa75463474c0285df5dbf2bcab7";

/// Runs what must end with exit code 2; its stderr has all of `says` and nothing of `not`.
#[track_caller]
fn refused(someone: &Someone, arguments: &[&str], env: &[(&str, &str)], says: &[&str], not: &[&str]) {
    let mut aip = someone.aip(arguments);
    aip.envs(env.iter().copied());
    let (code, out, err) = outcome(aip.output().expect("aip runs"));
    assert_eq!(code, 2, "{arguments:?}\n{out}{err}");
    says.iter().for_each(|what| assert!(err.contains(what), "{arguments:?}: {what}\n{err}"));
    not.iter().for_each(|what| assert!(!err.contains(what), "{arguments:?}: {what}\n{err}"));
}

#[test]
fn numbers_are_refused_in_the_units_that_were_typed() {
    let someone = Someone::new();
    for (arguments, says) in [
        (&["gate", "--did", DID, "--min-paths", "0"][..], "0 is not in 1..=8"),
        (&["gate", "--did", DID, "--min-paths", "99999999999"], "99999999999 is not in 1..=8"),
        (&["gate", "--did", DID, "--threshold", "-1"], "a number from 0 to 1"),
        (&["trust", DID, "--root", &format!("{DID}=0")], "a number above 0, at most 1"),
        (&["trust", DID, "--root", &format!("{DID}=0.0000001")], "at most three decimals"),
        (&["vouch", DID, "--depth", "-1"], "-1 is not in 0..=7"),
        (&["report-compromise", "--since", "-1"], "invalid value '-1' for '--since <INDEX>'"),
        (&["withdraw", DID, "--failure", "-1"], "invalid value '-1' for '--failure <INDEX>'"),
    ] {
        refused(&someone, arguments, &[], &[says], &["unexpected argument", "per mille"]);
    }
}

#[test]
fn whatever_is_named_is_named_by_what_it_lacks() {
    let log = Log::start(&[]);
    let someone =
        Someone::at(&log, &["--capabilities", "vouches,receipts", "--register", "--log", &log.url()]);
    let trust = ["trust", DID];
    for nobody in [" ", ","] {
        let env = [("AIP_TRUST_ROOTS", nobody)];
        refused(&someone, &trust, &env, &["no trust root is named: AIP_TRUST_ROOTS"], &["0 to", "1 to 256"]);
    }
    for (settings, says) in [
        ("max-hops = 9", "`trust.max-hops` is 9, not from 1 to 7"),
        ("decay = \"0\"", "`trust.decay`: a number above 0"),
        ("threshold = 0.5", "line 3, `threshold = 0.5`: invalid type"),
    ] {
        let file = someone.home().join(".aip/trust.toml");
        fs::write(&file, format!("version = 1\n[trust]\n{settings}\n")).expect("written");
        refused(&someone, &trust, &[], &["trust.toml`", says], &["the roots are from"]);
        fs::remove_file(file).expect("removed");
    }
    for (artifact, hint) in
        [("nofile", "name one file, or its digest"), ("sha256:zz", "64 lower-case hex digits")]
    {
        refused(&someone, &["confirm", artifact, "--did", DID], &[], &["there is no file", hint], &["glob"]);
    }
    refused(&someone, &["verify", "sha256:zz"], &[], &[], &["a folder, a glob"]);
    let own = someone.did();
    refused(&someone, &["vouch", &own], &[], &["a vouch is about another DID", "is your own"], &["issuer"]);
    let report =
        ["report-failure", &format!("sha256:{}", "0".repeat(64)), "--did", &own, "--reason", "digest"];
    refused(
        &someone,
        &report,
        &[],
        &["a failure report is about another DID"],
        &["cannot make this failure"],
    );
    let long = "n".repeat(250);
    someone.write(&long, "bytes");
    refused(&someone, &["sign", &long], &[], &["give the artifact a shorter name"], &["left alone"]);
    // A pipe where the log's entries are kept.
    someone.ok(&["trust", &own, "--root", &own, "--sync"]);
    let kept = fs::read_dir(someone.home().join(".aip/logs")).expect("a folder").next();
    let kept = kept.expect("a copy of the log").expect("an entry").path();
    fs::remove_file(&kept).expect("removed");
    assert!(Command::new("mkfifo").arg(&kept).status().expect("mkfifo runs").success());
    refused(
        &someone,
        &["trust", &own, "--root", &own, "--sync"],
        &[],
        &["no regular file", "move it away"],
        &["seek"],
    );
    // Half of an identity.
    let nobody = Someone::new();
    let says = "AIP_DID is set without AIP_PRIVATE_KEY";
    refused(&nobody, &["whoami", "--offline"], &[("AIP_DID", DID)], &[says], &["neither"]);
}

#[test]
fn evidence_of_another_question_says_how_to_ask_this_one() {
    let log = Log::start(&[]);
    let org = Someone::at(&log, &["--capabilities", "vouches", "--register", "--log", &log.url()]);
    let pipelines = [(); 2].map(|()| Someone::at(&log, &["--register", "--log", &log.url()]));
    let [did, other] = pipelines.each_ref().map(Someone::did);
    org.ok(&["vouch", &did]);
    org.ok(&["trust", &did, "--evidence-out", "evidence.json"]);
    org.ok(&["trust", &did, "--evidence", "evidence.json"]);
    let asked = ["trust", &other, "--evidence", "evidence.json"];
    let (code, out, err) = org.run(&asked);
    assert_ne!(code, 0, "{out}{err}");
    assert!(err.contains("--evidence-out FILE`, asked like this"), "{err}");
    assert_eq!(err.matches(&format!("id:{other}")).count(), 1, "once is enough\n{err}");
    fs::write(org.home().join(".aip/trust.toml"), "version = 1\n[min-checkpoint]\n\"localhost/log\" = 99\n")
        .expect("written");
    refused(&org, &["trust", &did], &[], &["`min-checkpoint` is 99", "was never its size"], &[]);
}

#[test]
fn a_window_that_is_said_twice_is_printed_once() {
    let log = Log::start(&[]);
    let owner = Someone::at(&log, &["--register", "--log", &log.url()]);
    owner.ok(&["report-compromise", "--since", "1"]);
    let recovery = owner.recovery_file();
    owner.ok(&["recover", "--recovery", recovery.to_str().expect("UTF-8"), "--since", "1"]);
    let out = owner.ok(&["whoami"]);
    assert_eq!(out.matches("Void: from index 1,").count(), 1, "{out}");
}
