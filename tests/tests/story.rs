//! The command line and the log together: what a newcomer, a consumer and a bad day do.

use std::path::Path;

use serde_json::Value;
use testkit::log::Log;
use testkit::oracle::{check_log, checkpoint};
use testkit::someone::{Someone, outcome};
use tlog::TreeSize;

fn exists(path: &Path) -> bool {
    path.is_file()
}

#[test]
fn a_receipt_from_first_command_to_offline_verification() {
    let mut log = Log::start(&[]);
    let (pipeline, consumer) = (Someone::new(), Someone::new());
    pipeline.ok(&["init", "--platform", "github", "--username", "my-org"]);
    let did = pipeline.did();
    pipeline.write("dist/app.tar.gz", "an app");
    pipeline.write("dist/app.whl", "a wheel");
    let url = log.url();
    // Before any pin the log's own word is taken, and that is said.
    let (code, out, err) = pipeline.run(&["sign", "dist/*", "--log", &url, "--json"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("own word"), "{err}");
    let signed: Value = serde_json::from_str(&out).expect("a JSON array on stdout");
    assert_eq!(signed.as_array().map(Vec::len), Some(2), "{signed}");
    assert!(exists(&pipeline.work().join("dist/app.whl.receipt.json")));
    // Again: our own side files are not artifacts.
    pipeline.ok(&["sign", "dist", "--log", &url]);
    assert!(!exists(&pipeline.work().join("dist/app.whl.receipt.json.receipt.json")));
    // A consumer elsewhere, who pinned the log once.
    consumer.ok(&["policy", "pin", &url, "--yes"]);
    for name in ["app.tar.gz", "app.tar.gz.receipt.json"] {
        std::fs::copy(pipeline.work().join("dist").join(name), consumer.work().join(name)).expect("a copy");
    }
    // The log goes on, and the pin follows it by the log's tiles.
    pipeline.write("later", "another app");
    pipeline.ok(&["sign", "later", "--log", &url]);
    assert!(consumer.ok(&["log", "sync"]).contains(", was "));
    log.stop();
    let verify = ["verify", "app.tar.gz", "--signer", &did, "-v"];
    let out = consumer.ok(&verify);
    let checks = [
        "format",
        "artifact-digest",
        "signature",
        "leaf",
        "log-signature",
        "witness-quorum",
        "inclusion",
        "signer",
        "signer-state",
    ];
    let at: Vec<usize> =
        checks.iter().map(|check| out.find(&format!(" {check} ")).expect("a line a check")).collect();
    assert!(at.is_sorted(), "{out}");
    // In a network namespace without a network, and without one network call.
    match consumer.within(&["unshare", "-rn"], &verify).output() {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare") => {
            assert_eq!(outcome(output).0, 0);
        }
        _ => eprintln!("not run: this kernel gives no network namespace"),
    }
    let trace = consumer.folder().join("trace");
    let strace = ["strace", "-f", "-e", "trace=network", "-o", trace.to_str().expect("UTF-8")];
    match consumer.within(&strace, &verify).output() {
        Ok(output) => {
            assert_eq!(outcome(output).0, 0);
            let calls = std::fs::read_to_string(&trace).expect("a trace");
            assert!(calls.lines().all(|line| line.contains("+++ exited with 0")), "{calls}");
        }
        Err(_) => eprintln!("not run: strace is not installed"),
    }
    // Somebody else's signature is not hers, and a changed artifact is refused by name.
    let other = "did:aip:00000000000000000000000000000000";
    let (code, out, _) = consumer.run(&["verify", "app.tar.gz", "--signer", other]);
    assert_eq!(code, 1);
    assert!(out.contains("FAILED          signer "), "{out}");
    consumer.write("app.tar.gz", "another app");
    let (code, out, _) = consumer.run(&verify);
    assert_eq!(code, 1);
    assert!(out.contains("FAILED          artifact-digest"), "{out}");
    std::fs::remove_file(consumer.work().join("app.tar.gz")).expect("removed");
    assert_eq!(consumer.run(&verify).0, 2);
}

#[test]
fn a_log_that_does_not_answer_in_time_leaves_what_a_retry_sends_again() {
    let mut log = Log::start(&["--round-interval", "5s", "--round-early", "100000"]);
    let pipeline = Someone::new();
    pipeline.ok(&["init"]);
    let url = log.url();
    pipeline.ok(&["policy", "pin", &url, "--yes"]);
    pipeline.write("first", "first");
    pipeline.ok(&["sign", "first"]);
    pipeline.write("second", "second");
    // The round starts too late for this patience.
    let (code, _, err) = pipeline.run(&["sign", "second", "--timeout", "200ms"]);
    assert_eq!(code, 2, "{err}");
    let receipt = pipeline.work().join("second.receipt.json");
    let pending: Value = serde_json::from_slice(&std::fs::read(&receipt).expect("a receipt")).expect("JSON");
    assert!(pending.get("leaf").is_some() && pending.get("proof").is_none(), "{pending}");
    assert_eq!(pipeline.run(&["verify", "second", "--any-signer"]).0, 2, "not logged");
    // The log is gone for a while; nothing is lost by trying.
    log.stop();
    assert_eq!(pipeline.run(&["submit", "second.receipt.json", "--timeout", "200ms"]).0, 2);
    let kept: Value = serde_json::from_slice(&std::fs::read(&receipt).expect("a receipt")).expect("JSON");
    assert_eq!(kept, pending, "what was sent is kept byte for byte");
    log.serve(&[]);
    pipeline.ok(&["sign", "second"]);
    pipeline.ok(&["submit", "second.receipt.json"]);
    pipeline.ok(&["verify", "first", "second", "--any-signer"]);
    let logged: Value = serde_json::from_slice(&std::fs::read(&receipt).expect("a receipt")).expect("JSON");
    assert_eq!(logged["envelope"], pending["envelope"], "a retry of the same run is the same statement");
    assert_eq!(checkpoint(&log).size, TreeSize::new(3), "the inception, and every claim once");
}

#[test]
fn a_log_killed_while_many_artifacts_are_signed_has_each_once_after_a_retry() {
    let mut log = Log::start(&["--round-interval", "20ms", "--round-early", "16"]);
    let pipeline = Someone::new();
    pipeline.ok(&["init"]);
    let url = log.url();
    pipeline.ok(&["policy", "pin", &url, "--yes"]);
    for number in 0..2_500 {
        pipeline.write(&format!("dist/{number}"), &number.to_string());
    }
    let signing = pipeline
        .aip(&["sign", "dist", "--receipts", "receipts", "--timeout", "8s"])
        .stdout(std::process::Stdio::null())
        .spawn();
    let mut signing = signing.expect("aip runs");
    while checkpoint(&log).size.get() < 100 {
        assert!(signing.try_wait().expect("ours").is_none(), "signing ended before the log had entries");
    }
    log.kill();
    assert_eq!(signing.wait().expect("ours").code(), Some(2));
    log.serve(&[]);
    pipeline.ok(&["sign", "dist", "--receipts", "receipts"]);
    pipeline.ok(&["verify", "dist", "--receipts", "receipts", "--any-signer"]);
    assert_eq!(check_log(&log).checkpoint.size, TreeSize::new(2_501), "with the inception");
}

#[test]
fn receipts_are_fetched_by_digest_and_private_ones_are_not() {
    let log = Log::start(&[]);
    let (one, two) = (Someone::new(), Someone::new());
    let url = log.url();
    for (someone, name) in [(&one, "one"), (&two, "two")] {
        someone.ok(&["init", name, "someone"]);
        someone.ok(&["policy", "pin", &url, "--yes"]);
        someone.write("app", "the same app");
        someone.ok(&["sign", "app"]);
        std::fs::remove_file(someone.work().join("app.receipt.json")).expect("removed");
    }
    let (code, out, err) = one.run(&["fetch", "app"]);
    assert_eq!(code, 2, "two DIDs signed it: {out}{err}");
    assert!(out.contains(&one.did()) && out.contains(&two.did()), "{out}");
    one.ok(&["fetch", "app", "--signer", &two.did()]);
    one.ok(&["verify", "app", "--signer", &two.did()]);
    one.write("secret", "a secret");
    one.ok(&["sign", "secret", "--private"]);
    one.ok(&["verify", "secret", "--signer", &one.did()]);
    std::fs::remove_file(one.work().join("secret.receipt.json")).expect("removed");
    assert_eq!(one.run(&["fetch", "secret"]).0, 2, "nothing is found by a private entry");
    let log_knows = String::from_utf8_lossy(&log.bytes("/tile/entries/000.p/5")).into_owned();
    assert!(!log_knows.contains("secret"));
}

#[test]
fn a_job_that_did_not_build_signs_checksums() {
    let log = Log::start(&[]);
    let pipeline = Someone::new();
    pipeline.ok(&["init"]);
    pipeline.ok(&["policy", "pin", &log.url(), "--yes"]);
    let artifact = tlog::Hash::of(b"built elsewhere");
    pipeline.write("SHA256SUMS", &format!("{artifact}  app.bin\n{}  lib.so\n", tlog::Hash::of(b"a library")));
    pipeline.ok(&[
        "sign",
        "--checksums",
        "SHA256SUMS",
        "--subject",
        &format!("extra@sha256:{artifact}"),
        "--together",
        "--receipt",
        "all.receipt.json",
    ]);
    pipeline.write("app.bin", "built elsewhere");
    let verify = ["verify", "app.bin", "--any-signer", "--receipt", "all.receipt.json"];
    pipeline.ok(&verify);
    pipeline.ok(&[&verify[..], &["--subject-name", "app.bin"]].concat());
    let (code, out, _) = pipeline.run(&[&verify[..], &["--subject-name", "app-2.0.bin"]].concat());
    assert_eq!(code, 1);
    assert!(out.contains("subject-name"), "{out}");
    let (code, out, _) = pipeline.run(&[&verify[..], &["--predicate-type", "cyclonedx"]].concat());
    assert_eq!((code, out.contains("FAILED          predicate-type")), (1, true), "{out}");
    pipeline.ok(&[&verify[..], &["--max-age", "1h"]].concat());
}
