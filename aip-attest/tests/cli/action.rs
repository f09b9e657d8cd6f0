//! The GitHub Action, executed as the runner executes it.

use attestation::receipt::Receipt;
use serde_json::{Value, json};

use crate::log::{Answer, Log};
use crate::runner::{Run, action, root, run, run_from};
use crate::world::{PROGRAM, SIGNER_SEED, World, did, policy};

pub(crate) fn key() -> String {
    tlog::encoding::base64(&SIGNER_SEED)
}

/// As announced, every artifact in `dist/`: also in a folder below.
#[test]
fn what_lies_deeper_is_signed_too() {
    let world = world();
    world.file("dist/linux/app", b"deeper");
    let run = announced(&world, &[], &[]);
    run.expect(true, &[]);
    let names: Vec<Value> = signatures(&run).iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["a b-1.0.whl", "app", "linux/app"]);
}

/// The announced use, with more inputs behind it.
pub(crate) fn with<'a>(did: &'a str, key: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("did", did), ("private-key", key), ("sign-paths", "dist/*")], more].concat()
}

pub(crate) fn announced(world: &World, more: &[(&str, &str)], job: &[(&str, &str)]) -> Run {
    run(world, &with(&did().to_string(), &key(), more), job)
}

pub(crate) fn signatures(run: &Run) -> Vec<Value> {
    serde_json::from_str(&run.outputs["signatures"]).expect("a JSON array")
}

pub(crate) fn world() -> World {
    let world = World::new();
    world.file("dist/a b-1.0.whl", b"wheel");
    world.file("dist/app", b"app");
    world
}

#[test]
fn as_announced_without_a_log_it_signs_and_says_what_is_missing() {
    let world = world();
    let run = announced(&world, &[], &[]);
    run.expect(true, &["::warning title=aip-attest::no log is known"]);
    assert_eq!(run.outputs["did"], did().to_string());
    assert_eq!((run.outputs["signed"].as_str(), run.outputs["pending"].as_str()), ("2", "2"));
    let signatures = signatures(&run);
    let paths: Vec<&str> = signatures.iter().map(|one| one["path"].as_str().expect("text")).collect();
    assert_eq!(paths, ["dist/a b-1.0.whl", "dist/app"]);
    for one in &signatures {
        let receipt = one["receipt"].as_str().expect("text");
        assert!(receipt.starts_with("aip-receipts/dist/"), "{receipt}");
        let receipt = Receipt::parse(world.read(receipt).as_bytes()).expect("a receipt");
        assert_eq!(one["signature"], hex::encode(receipt.envelope().signature()));
        assert_eq!(one["digest"], format!("sha256:{}", receipt.statement().subjects()[0].sha256));
    }
    // Nothing but receipts, and nothing beside what is uploaded.
    assert!(world.files().iter().all(|file| !file.starts_with("dist/") || !file.ends_with(".json")));
    let file = std::fs::read_to_string(&run.outputs["signatures-file"]).expect("the file of signatures");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&file).expect("JSON"), signatures);
    assert!(run.summary.contains("| dist/a b-1.0.whl |"), "{}", run.summary);
    // The key is nowhere: neither printed nor on disk.
    assert!(!run.printed.contains(&key()));
    for name in world.files() {
        assert!(
            !std::fs::read(world.path(&name))
                .expect("read")
                .windows(20)
                .any(|part| part == &key().as_bytes()[..20]),
            "{name}"
        );
    }
}

#[test]
fn with_a_log_the_receipts_are_logged_and_verify() {
    let (log, world) = (Log::start(), world());
    let run = announced(&world, &[("log-url", &log.url())], &[]);
    run.expect(true, &["is not pinned: its own word is taken"]);
    assert_eq!((run.outputs["signed"].as_str(), run.outputs["pending"].as_str()), ("2", "0"));
    assert_eq!(signatures(&run)[1]["index"], 1);
    world.file("policy", log.policy().as_bytes());
    let verify = [
        "verify",
        "dist/*",
        "--receipts",
        "aip-receipts",
        "--policy",
        "policy",
        "--signer",
        &did().to_string(),
    ];
    world.run(&verify).expect(0, &["ok  "]);
    // A fingerprint makes the log's word certain.
    let fingerprint = log.fingerprint();
    let run = announced(&world, &[("log-url", &log.url()), ("policy-sha256", &fingerprint)], &[]);
    run.expect(true, &[]);
    assert!(!run.printed.contains("is not pinned"), "{run:#?}");
    let other = "0".repeat(64);
    let run = announced(&world, &[("log-url", &log.url()), ("policy-sha256", &other)], &[]);
    run.expect(false, &["::error title=aip-attest::", "has another fingerprint"]);
    // The policy of the working tree names the log.
    world.file(
        ".aip/policy",
        format!("{}\n", log.policy().replacen('\n', &format!(" {}\n", log.url()), 1)).as_bytes(),
    );
    let run = announced(&world, &[("private", "true"), ("receipts-dir", "private receipts")], &[]);
    run.expect(true, &[]);
    assert_eq!(run.outputs["pending"], "0");
    assert!(!log.bodies().last().expect("a body").contains("envelope"));
    // AIP_LOG_URL of the job.
    std::fs::remove_dir_all(world.path(".aip")).expect("removed");
    announced(&world, &[], &[("AIP_LOG_URL", &log.url())]).expect(true, &[]);
}

#[test]
fn other_predicates_have_names_of_their_own() {
    let world = world();
    world.file("sbom.json", br#"{"bomFormat":"CycloneDX"}"#);
    let run = announced(&world, &[("predicate-type", "cyclonedx"), ("predicate", "sbom.json")], &[]);
    run.expect(true, &[]);
    assert!(world.only("aip-receipts/dist/app.").starts_with("aip-receipts/dist/app.cyclonedx."));
    announced(&world, &[("predicate-type", "cyclonedx")], &[]).expect(false, &["go together"]);
}

#[test]
fn thousands_of_files_fit_and_the_summary_says_what_it_leaves_out() {
    let world = World::new();
    for number in 0..2500 {
        world.file(&format!("dist/{} file {number}.bin", "x".repeat(100)), format!("{number}").as_bytes());
    }
    let run = announced(&world, &[], &[]);
    run.expect(true, &["the output `signatures` is empty"]);
    assert_eq!((run.outputs["signed"].as_str(), run.outputs["signatures"].as_str()), ("2500", "[]"));
    let file = std::fs::read_to_string(&run.outputs["signatures-file"]).expect("the file of signatures");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&file).expect("JSON").len(), 2500);
    assert!(run.summary.contains("… and 2400 more that are not shown"), "{}", &run.summary[..500]);
    assert!(run.summary.len() < 1 << 20);
}

#[test]
fn what_is_wrong_fails_the_step_and_says_what() {
    let world = world();
    let own = did().to_string();
    for (with, want) in [
        (with(&own, "", &[]), "there is no private key"),
        (with("", key().leak(), &[]), "AIP_PRIVATE_KEY is set without AIP_DID"),
        (
            with("did:aip:00000000000000000000000000000000", key().leak(), &[("require-log", "true")]),
            "is not the DID of its key",
        ),
        (with(&own, "not a key", &[]), "AIP_PRIVATE_KEY is no private key"),
        (with(&own, key().leak(), &[("sign-paths", "dist/*.none")]), "nothing matches `dist/*.none`"),
        (with(&own, key().leak(), &[("sign-paths", "")]), "there is nothing to do"),
        (with(&own, key().leak(), &[("sign-paths", "dist/*\nmissing")]), "there is no file `missing`"),
        (with(&own, key().leak(), &[("private", "yes")]), "the input `private` is `yes`, not false or true"),
        (with(&own, key().leak(), &[("on-log-failure", "ignore")]), "not fail or defer"),
        (with(&own, key().leak(), &[("if-no-key", "")]), "no log is known"),
        (with(&own, key().leak(), &[("policy", "nowhere")]), "cannot use the policy `nowhere`"),
        (
            with(&own, key().leak(), &[("predicate-type", "spdxx"), ("predicate", "p.json")]),
            "the input `predicate-type` is `spdxx`: neither a URI nor one of",
        ),
        (with(&own, key().leak(), &[("policy-sha256", "abc")]), "not 64 lower-case hex digits"),
        (
            with(&own, key().leak(), &[("policy-sha256", "0".repeat(64).leak())]),
            "`policy-sha256` is set, and there is no policy that could have it: no log is known",
        ),
        (with(&own, key().leak(), &[("log-url", "file:///etc/passwd")]), "it is neither http nor https"),
        (with(&own, key().leak(), &[("verify-did", "did:aip:x")]), "`trust-threshold` is empty"),
        (with(&own, key().leak(), &[("trust-threshold", "0.5")]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("trust-roots", own.clone().leak())]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("trust-scope", "ANY")]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("trust-max-age", "1h")]), "`verify-did` is empty"),
        (
            with(&own, key().leak(), &[("trust-sync", "true")]),
            "`trust-sync` is set, and `verify-did` is empty",
        ),
        (with(&own, key().leak(), &[("verify-paths", "dist/*")]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("verify-receipts-dir", "receipts")]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("verify-source-ref", "refs/heads/main")]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("verify-any-name", "true")]), "`verify-did` is empty"),
        (with(&own, key().leak(), &[("verify-any-name", "1")]), "the input `verify-any-name` is `1`"),
        (with(&own, key().leak(), &[("require-log", "true")]), "no log is known"),
    ] {
        let is_fine = with.contains(&("if-no-key", ""));
        let run = run(&world, &with, &[]);
        run.expect(is_fine, &[want]);
        let level = if is_fine { "::warning " } else { "::error " };
        assert!(run.commands.iter().any(|command| command.starts_with(level)), "{run:#?}");
    }
}

/// Whoever asks for a gate gets an answer in the outputs and in the summary, whatever is wrong: a later step must not
/// read an empty output.
#[test]
fn a_gate_that_cannot_even_ask_says_so_where_people_and_steps_look() {
    let world = world();
    let (own, key) = (did().to_string(), key());
    let announced = "did:aip:upstream-agent";
    for (did, more, why) in [
        // As it was announced, which names no DID.
        (announced, vec![("trust-threshold", "0.5")], "the input `verify-did` is `did:aip:upstream-agent`"),
        (&own, vec![], "`trust-threshold` is empty"),
        (&own, vec![("trust-threshold", "0.5"), ("trust-roots", "me")], "the input `trust-roots` is `me`"),
        (
            &own,
            vec![("trust-threshold", "0.5"), ("trust-max-age", "soon")],
            "the input `trust-max-age` is `soon`",
        ),
        (&own, vec![("trust-threshold", "0.5"), ("private", "maybe")], "the input `private` is `maybe`"),
        (&own, vec![("trust-threshold", "0.5")], "no log is named"),
        ("`x`<b>", vec![("trust-threshold", "0.5")], "the input `verify-did` is ``x`<b>`"),
    ] {
        let with = with(&own, &key, &[&[("sign-paths", ""), ("verify-did", did)][..], &more].concat());
        let run = run(&world, &with, &[]);
        run.expect(false, &["::error title=aip-attest::", why]);
        assert_eq!((run.outputs["verified"].as_str(), run.outputs["trust-score"].as_str()), ("false", ""));
        assert!(run.summary.starts_with("### Could not tell whether to trust "), "{}", run.summary);
        assert!(!run.summary.contains(['`', '<']), "{}", run.summary);
    }
    // Without a gate nothing is said about one.
    let run = run(&world, &with(&own, &key, &[]), &[]);
    assert_eq!(run.outputs["verified"], "");
    assert!(!run.summary.contains("trust"), "{}", run.summary);
}

#[test]
fn a_fork_without_secrets_can_pass_unsigned() {
    let world = world();
    let inputs = [("sign-paths", "dist/*"), ("if-no-key", "skip")];
    let run = run(&world, &inputs, &[]);
    run.expect(true, &["::warning title=aip-attest::there is no private key"]);
    assert_eq!((run.outputs["signed"].as_str(), run.outputs["signatures"].as_str()), ("0", "[]"));
    // A credentials file of the machine is not this workflow's identity.
    world.file(
        ".aip/credentials.json",
        json!({"did": did().to_string(), "private_key": key()}).to_string().as_bytes(),
    );
    let again = crate::runner::run(&world, &inputs, &[]);
    again.expect(true, &["there is no private key"]);
}

#[test]
fn identity_may_come_from_the_jobs_environment() {
    let world = world();
    let (own, key) = (did().to_string(), key());
    let run = run(&world, &[("sign-paths", "dist/*")], &[("AIP_DID", &own), ("AIP_PRIVATE_KEY", &key)]);
    run.expect(true, &[]);
    assert_eq!(run.outputs["did"], own);
}

#[test]
fn a_log_that_is_down_fails_or_is_deferred() {
    let world = world();
    world.file(".aip/policy", policy().replacen('\n', " http://127.0.0.1:9\n", 1).as_bytes());
    let quick = [("AIP_TIMEOUT", "1s")];
    announced(&world, &[], &quick).expect(false, &["::error ", "the log gave no receipt in time"]);
    let run = announced(&world, &[("on-log-failure", "defer")], &quick);
    run.expect(true, &["::warning ", "the log gave no receipt in time"]);
    assert_eq!((run.outputs["signed"].as_str(), run.outputs["pending"].as_str()), ("2", "2"));
    std::fs::remove_dir_all(world.path(".aip")).expect("removed");
    // Not even its name is known: signed, and deferred all the same.
    let inputs = [("log-url", "http://127.0.0.1:9"), ("on-log-failure", "defer"), ("receipts-dir", "r")];
    announced(&world, &inputs, &quick).expect(true, &["::warning ", "cannot reach"]);
    announced(&world, &inputs[..1], &quick).expect(false, &["::error ", "cannot reach"]);
    let log = Log::start();
    // A refusal and a lie are not deferred: they would be the same tomorrow.
    for (answer, want) in
        [(Answer::RefuseFirst, "the log refuses the entry"), (Answer::OtherProof, "does not verify")]
    {
        log.say([answer]);
        let inputs = [("log-url", log.url()), ("on-log-failure", "defer".into())];
        let inputs: Vec<(&str, &str)> = inputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        announced(&world, &inputs, &[]).expect(false, &["::error ", want]);
        std::fs::remove_dir_all(world.path("aip-receipts")).expect("removed");
    }
}

/// In other events than these a stranger chooses what runs or what it sees. The install step says so before there is any
/// program; the program says it again, by itself.
#[test]
fn strangers_events_sign_nothing_unless_allowed() {
    let world = world();
    let file = |name: &str, event: Value| {
        world.file(name, event.to_string().as_bytes()).to_string_lossy().into_owned()
    };
    let run_of =
        |head: u64| json!({"repository": {"id": 1}, "workflow_run": {"head_repository": {"id": head}}});
    let pull_of = |head: Value| json!({"repository": {"id": 1}, "pull_request": {"head": {"repo": head}}});
    let own_run = file("own-run.json", run_of(1));
    let fork_run = file("fork-run.json", run_of(2));
    let own_pull = file("own-pull.json", pull_of(json!({"id": 1})));
    let fork_pull = file("fork-pull.json", pull_of(json!({"id": 2})));
    let gone_pull = file("gone-pull.json", pull_of(Value::Null));
    let trusted = [
        "push",
        "create",
        "release",
        "schedule",
        "workflow_dispatch",
        "repository_dispatch",
        "deployment",
        "merge_group",
    ];
    let strange = [
        "pull_request_target",
        "issue_comment",
        "pull_request_review",
        "pull_request_review_comment",
        "discussion_comment",
        "issues",
        "fork",
        "watch",
        "check_run",
        "deployment_status",
        "Push",
        "push ",
    ];
    let cases = trusted.map(|name| (name, None, true)).into_iter();
    let cases = cases.chain(strange.map(|name| (name, None, false))).chain([
        ("pull_request", Some(&own_pull), true),
        ("pull_request", Some(&fork_pull), false),
        ("pull_request", Some(&gone_pull), false),
        ("pull_request", None, false),
        ("workflow_run", Some(&own_run), true),
        ("workflow_run", Some(&fork_run), false),
        ("workflow_run", None, false),
    ]);
    let (own, key) = (did().to_string(), key());
    for (name, path, passes) in cases {
        let mut job = vec![("GITHUB_EVENT_NAME", name)];
        job.extend(path.map(|path| ("GITHUB_EVENT_PATH", path.as_str())));
        let want: &[&str] = if passes { &[] } else { &["::error ", "nothing is signed in the event"] };
        announced(&world, &[], &job).expect(passes, want);
        announced(&world, &[("allow-untrusted-event", "true")], &job).expect(true, &[]);
        // The program alone.
        let mut command = world.command(PROGRAM);
        command.args(["github-action"]).envs(job).envs([
            ("AIP_DID", own.as_str()),
            ("AIP_PRIVATE_KEY", &key),
            ("AIP_INPUT_SIGN_PATHS", "dist/*"),
        ]);
        assert_eq!(command.output().expect("it runs").status.success(), passes, "{name}");
    }
    // Nothing can be signed where there is no key: a fork's pull request goes on.
    let job = [("GITHUB_EVENT_NAME", "pull_request"), ("GITHUB_EVENT_PATH", fork_pull.as_str())];
    let inputs = [("sign-paths", "dist/*"), ("if-no-key", "skip")];
    run(&world, &inputs, &job).expect(true, &["there is no private key"]);
}

/// An event that is refused gets neither a build nor a program that runs, and a gate's answer is there all the same.
#[test]
fn an_untrusted_event_is_refused_before_anything_runs() {
    let world = world();
    let machine = tempfile::tempdir().expect("a folder");
    let cargo = machine.path().join("cargo");
    std::fs::write(&cargo, format!("#!/bin/sh\ntouch '{}'\n", world.path("built").display()))
        .expect("written");
    make_executable(&cargo);
    let path = format!("{}:/usr/bin:/bin", machine.path().display());
    let job = [("GITHUB_EVENT_NAME", "pull_request_target"), ("PATH", &path)];
    let (own, key) = (did().to_string(), key());
    let gate = [("verify-did", own.as_str()), ("trust-threshold", "0.5")];
    let run = run_from(&world, &root(), &with(&own, &key, &gate), &job);
    run.expect(false, &["nothing is signed in the event `pull_request_target`"]);
    assert!(!world.path("built").exists());
    assert_eq!(run.outputs["verified"], "false");
    assert!(run.summary.contains("### Could not tell whether to trust"), "{}", run.summary);
}

/// Inputs, names and variables that would run something if they reached a shell, and names that would be
/// workflow commands if they stood at the start of a line.
#[test]
fn hostile_inputs_execute_nothing() {
    let payloads = [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "x' + __import__('os').popen('touch pwned').read() + '",
        "${IFS}touch${IFS}pwned",
        "|touch pwned",
        "& touch pwned &",
        "\ntouch pwned\n",
        "dist/*; touch pwned",
        "$(touch pwned)dist/*",
        "-rf / ; touch pwned",
        "%0Atouch pwned",
        "::set-env name=PATH::/tmp",
        "\n::add-path::/tmp",
        "##[set-output name=did]x",
        "did<<EOF\nx\nEOF",
        "${{ secrets.AIP_PRIVATE_KEY }}",
        "../../../../etc/passwd\0".trim_end_matches('\0'),
        "\u{1b}]0;touch pwned\u{7}",
    ];
    let (own, key) = (did().to_string(), key());
    let action = action();
    let names: Vec<&String> = action["inputs"].as_object().expect("inputs").keys().collect();
    // Each input meets a payload, and `sign-paths` all of them.
    let each = names.iter().zip(payloads.iter().cycle()).map(|(name, payload)| (name.as_str(), *payload));
    let all = payloads.iter().map(|payload| ("sign-paths", *payload));
    let mut runs = 0;
    for input in each.chain(all) {
        let world = world();
        // A gate, so that its inputs are read.
        let gate = [("verify-did", own.as_str()), ("trust-threshold", "0.5"), ("verify-paths", "dist/app")];
        let is_gates = input.0.starts_with("verify-") || input.0.starts_with("trust-");
        let gate = if is_gates { &gate[..] } else { &[] };
        let run = run(&world, &with(&own, &key, &[gate, &[input]].concat()), &[]);
        check_harmless(&world, &run);
        runs += 1;
    }
    println!("{runs} runs with {} hostile inputs, 0 executions", payloads.len());
}

/// S27: a threshold is a decimal from 0 to 1, and nothing else opens the gate.
#[test]
fn s27_other_thresholds_are_refused() {
    let (own, key) = (did().to_string(), key());
    for threshold in
        ["", " ", "NaN", "inf", "-1", "+0.5", "1.1", "0.5;id", ".5", "0.", "5e-1", "0,5", "00.5", "0.1234567"]
    {
        let world = world();
        let gate = [("sign-paths", ""), ("verify-did", own.as_str()), ("trust-threshold", threshold)];
        let run = run(&world, &with(&own, &key, &gate), &[]);
        let want = if threshold.trim().is_empty() { "is empty" } else { "the input `trust-threshold` is" };
        run.expect(false, &[want]);
    }
}

#[test]
fn hostile_file_names_execute_nothing() {
    let world = World::new();
    let names = [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "::error::pwned",
        "##[error]pwned",
        "a|b",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "-rf",
        "a\\b",
        "${{ github.token }}",
    ];
    for name in names {
        world.file(&format!("dist/{name}"), name.as_bytes());
    }
    let run = announced(&world, &[], &[]);
    run.expect(true, &[]);
    check_harmless(&world, &run);
    assert_eq!(run.outputs["signed"], names.len().to_string());
    assert!(
        !run.summary.contains("<img") && !run.summary.contains("[x](") && !run.summary.contains("a|b"),
        "{}",
        run.summary
    );
    let signed: Vec<String> =
        signatures(&run).iter().map(|one| one["name"].as_str().expect("text").to_owned()).collect();
    assert!(names.iter().all(|name| signed.iter().any(|signed| signed == name)), "{signed:?}");
}

fn check_harmless(world: &World, run: &Run) {
    for file in world.files() {
        assert!(file != "pwned" && !file.ends_with("/pwned"), "{file}: {run:#?}");
    }
    for command in &run.commands {
        let ours = ["::error title=aip-attest::", "::warning title=aip-attest::"];
        assert!(ours.iter().any(|start| command.starts_with(start)), "{command}: {run:#?}");
    }
    assert!(run.outputs["did"].is_empty() || run.outputs["did"] == did().to_string(), "{run:#?}");
}

#[cfg(unix)]
pub(crate) fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}
