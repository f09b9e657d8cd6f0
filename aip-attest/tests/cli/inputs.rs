//! The action's inputs: what each does, what people write into them, and what they are told.

use attestation::receipt::Receipt;
use serde_json::Value;

use crate::action::{announced, key, signatures, with, world};
use crate::log::Log;
use crate::runner::{action, run};
use crate::world::{did, policy};

/// An input that reaches nothing would be passed over without a word, and so would one that is read and that nobody can
/// set.
#[test]
fn every_input_reaches_the_program_and_every_one_that_it_reads_is_there() {
    let action = action();
    let inputs = action["inputs"].as_object().expect("inputs");
    let variable = |name: &String| format!("AIP_INPUT_{}", name.replace('-', "_").to_uppercase());
    let sign = &action["runs"]["steps"][1]["env"];
    for name in inputs.keys().filter(|name| !["did", "private-key"].contains(&name.as_str())) {
        assert_eq!(sign[variable(name)], format!("${{{{ inputs.{name} }}}}"), "{name}");
    }
    let reads = include_str!("../../src/commands/github_action/inputs.rs");
    for call in ["input(\"", "flag(\"", "word(\"", "lines(\"", "Paths::read(\"", "fingerprint(\""] {
        for name in reads.split(call).skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(inputs.contains_key(name), "{name}");
        }
    }
}

/// What is not here can be signed in a workflow too: an image, and what another job listed; all in one statement.
#[test]
fn subjects_checksums_and_one_statement_are_inputs() {
    let world = world();
    let hex = |text: &str| tlog::Hash::of(text.as_bytes()).to_string();
    let subjects = format!("ghcr.io/octo/app@sha256:{}\nother@sha256:{}\n", hex("image"), hex("other"));
    world.file("SHA256SUMS", format!("{}  far/tool\n", hex("tool")).as_bytes());
    let more = [("sign-paths", ""), ("subjects", subjects.as_str()), ("checksums", "SHA256SUMS")];
    let run = announced(&world, &more, &[]);
    run.expect(true, &[]);
    assert_eq!(run.outputs["signed"], "3");
    let more =
        [&more[1..], &[("together", "true"), ("reproducible", "true"), ("receipts-dir", "r")]].concat();
    let run = announced(&world, &more, &[]);
    run.expect(true, &[]);
    let receipt = signatures(&run)[0]["receipt"].as_str().expect("text").to_owned();
    let receipt = Receipt::parse(world.read(&receipt).as_bytes()).expect("a receipt");
    let subjects = receipt.statement().subjects().iter().map(|subject| subject.name.as_str());
    assert_eq!(subjects.collect::<Vec<_>>(), ["a b-1.0.whl", "app", "far/tool", "ghcr.io/octo/app", "other"]);
    assert!(
        Value::Object(receipt.statement().predicate().clone()).to_string().contains("\"reproducible\":true")
    );
    for (name, bad, why) in [
        ("subjects", "app", "is not NAME@sha256:HEX"),
        ("checksums", "nowhere", "nowhere"),
        ("subjects", "a@sha256:0, b@sha256:1", "`subjects` has one NAME@sha256:HEX a line"),
        ("together", "yes", "the input `together` is `yes`"),
    ] {
        announced(&world, &[(name, bad)], &[]).expect(false, &[why]);
    }
}

/// `aip submit` in a later step finds the log that this one was told.
#[test]
fn later_steps_know_the_log() {
    let (log, world) = (Log::start(), world());
    let run = announced(&world, &[("log-url", &format!("{}/", log.url()))], &[]);
    run.expect(true, &[]);
    assert_eq!(run.job.get("AIP_LOG_URL"), Some(&log.url()));
    assert_eq!(announced(&world, &[], &[]).job.get("AIP_LOG_URL"), None);
}

/// What is asked of artifacts without any, and twice in two words, is a mistake and not a default.
#[test]
fn what_is_asked_of_artifacts_needs_some_and_is_asked_once() {
    let world = world();
    let own = did().to_string();
    let gate = [("verify-did", own.as_str()), ("trust-threshold", "0.5")];
    for (name, value) in [
        ("verify-source-uri", "https://github.com/octo/app"),
        ("verify-source-ref", "refs/heads/main"),
        ("verify-builder-id", "https://example.com/builder"),
        ("verify-predicate-type", "cyclonedx"),
        ("verify-subject-name", "app"),
        ("verify-any-name", "true"),
        ("verify-artifact-max-age", "90d"),
    ] {
        let why = format!("the input `{name}` is set, and `verify-paths` is empty");
        run(&world, &[&gate[..], &[(name, value)]].concat(), &[]).expect(false, &[&why]);
    }
    let paths = ("verify-paths", "dist/app");
    for (twice, why) in [
        ([("verify-any-name", "true"), ("verify-subject-name", "app")], "are both set"),
        ([("verify-artifact-max-age", "90d"), ("verify-max-age", "80d")], "they mean the same"),
    ] {
        run(&world, &[&gate[..], &[paths], &twice].concat(), &[]).expect(false, &[why]);
    }
    let flags = ["gate", "dist/app", "--did", &own, "--any-name", "--subject-name", "app"];
    world.run(&flags).expect(2, &["--any-name", "cannot be used with"]);
    world.run(&["gate", "--did", &own, "--source-ref", "main"]).expect(2, &["required arguments"]);
}

/// What people write into an input that has one thing a line.
#[test]
fn lists_in_other_forms_get_the_hint_that_helps() {
    let world = world();
    world.file("a", b"a");
    for (paths, want) in [
        ("dist/app, dist/x", "`sign-paths` has one file, folder or pattern a line"),
        ("[\"a\"]", "`sign-paths` has one file, folder or pattern a line"),
        ("['a', 'dist/app']", "begin with `sign-paths: |`"),
        ("- dist/app", "begin with `sign-paths: |`"),
        ("dist/app a", "begin with `sign-paths: |`"),
        ("\"dist/*\"", "leave out the quotation marks"),
        ("!dist/app", "the input `sign-paths` says only what to leave out"),
    ] {
        announced(&world, &[("sign-paths", paths)], &[]).expect(false, &["::error ", want]);
    }
}

/// Whoever writes a workflow has inputs, and no flags.
#[test]
fn no_message_speaks_of_flags() {
    let world = world();
    let (own, key) = (did().to_string(), key());
    let gate = [("sign-paths", ""), ("verify-did", own.as_str()), ("trust-threshold", "0.5")];
    let two_logs = format!(
        "{}log {} https://b.example.com\n",
        policy().replacen('\n', " https://a.example.com\n", 1),
        crate::log::other_log().verifier()
    );
    world.file("two", two_logs.as_bytes());
    world.file("none", policy().as_bytes());
    world.file("one", policy().replacen('\n', " http://127.0.0.1:9\n", 1).as_bytes());
    let runs: [&[(&str, &str)]; 7] = [
        &[gate[0], gate[1], gate[2], ("policy", "one")],
        &[("sign-paths", "dist/app\nmissing")],
        &[("policy", "two")],
        &[("policy", "none")],
        &[gate[0], gate[1], gate[2]],
        &[gate[0], gate[1], gate[2], ("policy", "two")],
        &[gate[0], gate[1], gate[2], ("log-url", "http://127.0.0.1:9")],
    ];
    for more in runs {
        let run = run(&world, &with(&own, &key, more), &[("AIP_TIMEOUT", "1s")]);
        run.expect(false, &["::error "]);
        let said = format!("{}{}", run.printed, run.summary);
        let mut words = said.split('`').filter(|part| !part.starts_with("aip-attest "));
        let flag = words.find(|part| {
            part.split("--").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        });
        assert_eq!(flag, None, "{run:#?}");
    }
}
