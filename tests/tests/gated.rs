//! The workflows that were announced, by `action.yml` as a runner executes it, against a real log: green where
//! they should be, and red where they must.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::log::Log;
use tests::someone::Someone;

#[path = "../../aip-attest/tests/cli/runner.rs"]
#[expect(dead_code, reason = "the command line's own tests use the rest")]
mod runner;

mod world {
    use super::{Command, PathBuf, Someone, fs};

    /// The runner is told which program to use.
    pub(crate) const PROGRAM: &str = "";

    /// A checkout on a runner.
    pub(crate) struct World(pub(crate) Someone);

    impl World {
        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.0.work().join(name)
        }

        pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, content).expect("written");
            path
        }

        pub(crate) fn command(&self, program: &str) -> Command {
            let mut command = Command::new(program);
            command.current_dir(self.0.work()).env_clear().env("HOME", self.0.home());
            command
        }
    }
}

use runner::{Run, root, run_from};
use world::World;

/// An identity whose two secrets a repository has.
struct Secrets {
    owner: Someone,
    did: String,
    key: String,
}

fn secrets(log: &Log, init: &[&str]) -> Secrets {
    let owner = Someone::new();
    owner.ok(&["policy", "pin", &log.url(), "--yes"]);
    owner.ok(&[&["init", "--register"], init].concat());
    let (did, key) = (owner.did(), owner.ok(&["key", "export"]).trim().to_owned());
    Secrets { owner, did, key }
}

/// A checkout with the log's policy in it.
fn checkout(log: &Log) -> World {
    let world = World(Someone::new());
    let policy = String::from_utf8(log.bytes("/policy")).expect("text");
    let line = policy.lines().find(|line| line.starts_with("log ")).expect("a log").to_owned();
    let policy = policy.replace(&line, &format!("{line} {}", log.url()));
    world.file(".aip/policy", policy.as_bytes());
    world.file("dist/app", b"an app");
    world
}

/// The step, with the two secrets and what else is written below `with:`.
fn step(world: &World, secrets: &Secrets, more: &[(&str, &str)]) -> Run {
    let with = [&[("did", secrets.did.as_str()), ("private-key", &secrets.key)], more].concat();
    let program = tests::program("aip-attest");
    // Soon enough for a log that is down.
    let job = [("AIP_ATTEST_BIN", program.to_str().expect("UTF-8")), ("AIP_TIMEOUT", "10s")];
    run_from(world, &root(), &with, &job)
}

#[test]
fn the_announced_workflows_run_green_and_red_where_they_must() {
    let log = Log::start(&[]);
    let upstream = secrets(&log, &[]);
    let deployer = secrets(&log, &["--capabilities", "receipts,vouches"]);

    // The upstream pipeline signs.
    let build = checkout(&log);
    let signed = step(&build, &upstream, &[("sign-paths", "dist/*")]);
    signed.expect(true, &[]);
    assert_eq!((signed.outputs["signed"].as_str(), signed.outputs["pending"].as_str()), ("1", "0"));

    // The deployer's own DID is the root; it vouches for nobody yet.
    let deploy = checkout(&log);
    let gate = [("verify-did", upstream.did.as_str()), ("trust-threshold", "0.5")];
    let red = step(&deploy, &deployer, &gate);
    red.expect(false, &["::error title=aip-attest::", "no path of vouches", "your own DID"]);
    assert_eq!((red.outputs["verified"].as_str(), red.outputs["trust-score"].as_str()), ("false", "0.0000"));
    assert!(red.summary.contains("### Not trusted"), "{}", red.summary);

    deployer.owner.ok(&["vouch", &upstream.did]);
    let green = step(&deploy, &deployer, &gate);
    green.expect(true, &[]);
    assert_eq!(
        (green.outputs["verified"].as_str(), green.outputs["trust-score"].as_str()),
        ("true", "0.8000")
    );
    assert!(green.summary.contains("### Trusted"), "{}", green.summary);
    assert!(green.summary.contains(&format!("`{}` → `{}`", deployer.did, upstream.did)), "{}", green.summary);

    // With what was built, in the folder that the upstream pipeline uploaded.
    fs::create_dir_all(deploy.path("aip-receipts/dist")).expect("made");
    fs::copy(
        build.path("aip-receipts/dist/app.receipt.json"),
        deploy.path("aip-receipts/dist/app.receipt.json"),
    )
    .expect("a copy");
    let artifacts = [("verify-paths", "dist/*"), ("verify-receipts-dir", "aip-receipts")];
    step(&deploy, &deployer, &[&gate[..], &artifacts].concat()).expect(true, &["1 artifacts verified"]);
    deploy.file("dist/app", b"another app");
    let red = step(&deploy, &deployer, &[&gate[..], &artifacts].concat());
    red.expect(false, &["artifact-digest"]);
    assert_eq!(red.outputs["verified"], "false");
    deploy.file("dist/app", b"an app");

    // Gate and signature in one step: what is not trusted is not signed over.
    let both = [&gate[..], &[("sign-paths", "dist/*"), ("receipts-dir", "mine")]].concat();
    let green = step(&deploy, &deployer, &both);
    green.expect(true, &[]);
    assert_eq!(green.outputs["signed"], "1");
    deployer.owner.ok(&["revoke", &upstream.did]);
    fs::remove_dir_all(deploy.path("mine")).expect("removed");
    let red = step(&deploy, &deployer, &both);
    red.expect(false, &["no path of vouches"]);
    assert!(!deploy.path("mine").exists(), "nothing was signed");

    // As it stands in the announcement, which names no DID.
    let announced = [("verify-did", "did:aip:upstream-agent"), ("trust-threshold", "0.5")];
    let red = step(&deploy, &deployer, &announced);
    red.expect(false, &["the input `verify-did` is `did:aip:upstream-agent`"]);

    // A log that is down opens no gate.
    drop(log);
    let red = step(&deploy, &deployer, &[&gate[..], &[]].concat());
    assert!(!red.passed, "{red:#?}");
    assert_eq!((red.outputs["verified"].as_str(), red.outputs["trust-score"].as_str()), ("false", ""));
    assert!(red.summary.contains("### Could not tell"), "{}", red.summary);
}
